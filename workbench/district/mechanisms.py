"""How readings are falsified: one function per mechanism of ``mechanisms.yml`` with kind fabrication.

Each works on the analyser's values of one outlet in place, inside one bout. ``values`` maps factor to the full series
(so that a copy can reach back), in the units of the points and at actual oxygen. What the stack truly emits is
untouched; power, reagents and papers follow the truth by themselves.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from workbench.district.climate import STEPS_PER_DAY
from workbench.district.noise import ar1
from workbench.district.population import Outlet

Values = dict[str, np.ndarray]


@dataclass(frozen=True)
class Bout:
    """One bout of falsifying: steps, strength, whether it is meant to stay quiet, and the outlet it is done at.

    ``over`` is the true reference concentration over the limit by factor, full length; ``everything`` asks for all factors
    (a cover for stopped treatment).
    """

    start: int
    end: int
    strength: float
    silent: bool
    ramped: bool
    outlet: Outlet
    over: dict[str, np.ndarray]
    everything: bool = False

    @property
    def span(self) -> slice:
        """Steps of the bout."""
        return slice(self.start, self.end)

    @property
    def size(self) -> int:
        """Number of steps."""
        return self.end - self.start

    def targets(self) -> list[str]:
        """Pollutants worth falsifying: those over or near their limit, at least one; all where it covers stopped treatment."""
        names = sorted(self.over, key=lambda f: -float(np.mean(self.over[f][self.span])))
        if self.everything:
            return names
        return [f for f in names if self.peak(f) > 0.95] or names[:1]

    def peak(self, factor: str) -> float:
        """Return what the true level reaches in the bout, over the limit."""
        return float(np.quantile(self.over[factor][self.span], 0.97))

    def needed(self, factor: str) -> float:
        """Return the factor that brings the level back under the limit: one falsifies as much as it takes."""
        return min(1.0, 0.93 / max(self.peak(factor), 1e-9))

    def limit(self, factor: str, values: Values) -> np.ndarray:
        """Return the limit in terms of the reading at actual oxygen, over the bout."""
        limit = float(self.outlet.factors[factor]["limit"])
        if "a19001" in values and np.isfinite(self.outlet.o2_ref):
            return np.asarray(limit * np.clip((21 - values["a19001"][self.span]) / (21 - self.outlet.o2_ref), 0.05, 2.0))
        return np.full(self.size, limit)

    def weight(self) -> np.ndarray:
        """Return how far the falsification is in force: at once, or ramped up over the bout."""
        return np.linspace(0.2, 1.0, self.size) if self.ramped else np.ones(self.size)


def constant_value(v: Values, b: Bout, rng: np.random.Generator) -> None:
    """Hold the last honest reading."""
    for f in b.targets():
        before = v[f][max(0, b.start - 240) : b.start + 1]
        level = float(np.nanmedian(before)) * rng.uniform(0.9, 1.0)
        v[f][b.span] = min(level, 0.85 * float(np.median(b.limit(f, v))))


def clip_at_limit(v: Values, b: Bout, rng: np.random.Generator) -> None:
    """Cap the reading just under the limit, with a little noise so that it does not look cut."""
    for f in b.targets():
        cap = b.limit(f, v) * (0.9 + 0.07 * b.strength)
        soft = cap * (1 - np.abs(rng.normal(0, 0.035 if b.silent else 0.004, b.size)))
        v[f][b.span] = np.minimum(v[f][b.span], soft)


def slope_edit(v: Values, b: Bout, rng: np.random.Generator) -> None:
    """Lower the slope of the curve."""
    k = (0.9 - 0.14 * b.strength) if b.silent else (0.68 - 0.28 * b.strength)
    for f in b.targets():
        v[f][b.span] *= 1 - (1 - min(k, b.needed(f))) * b.weight()


def intercept_edit(v: Values, b: Bout, rng: np.random.Generator) -> None:
    """Take a constant off the curve."""
    share = (0.06 + 0.1 * b.strength) if b.silent else (0.22 + 0.25 * b.strength)
    for f in b.targets():
        off = max(share, b.peak(f) * (1 - b.needed(f)))
        v[f][b.span] = np.maximum(v[f][b.span] - off * b.limit(f, v).mean() * b.weight(), 0.0)


def range_saturation(v: Values, b: Bout, rng: np.random.Generator) -> None:
    """Lower the range so that the reading saturates below the limit."""
    for f in b.targets()[:1]:
        top = float(np.median(b.limit(f, v))) * (0.6 + 0.3 * b.strength)
        v[f][b.span] = np.minimum(v[f][b.span], top)


def clean_water(v: Values, b: Bout, rng: np.random.Generator) -> None:
    """Put the sampling head into a bottle: low, flat, deaf to the flow; quiet: half outfall, half bottle."""
    mix = (0.45 + 0.15 * b.strength) if b.silent else 1.0
    for f in ("w01018", "w21003"):
        if f in v:
            level = float(b.outlet.factors[f]["limit"]) * rng.uniform(0.05, 0.16)
            bottle = level * (1 + 0.02 * ar1(rng, b.size, 30))
            v[f][b.span] = v[f][b.span] * (1 - mix) + bottle * mix
    if "w01001" in v and not b.silent:
        v["w01001"][b.span] = 7.0 + 0.02 * rng.standard_normal(b.size)


def line_dilution(v: Values, b: Bout, rng: np.random.Generator) -> None:
    """Let ambient air into the sampling line: pollutants fall and oxygen rises along one mixing line."""
    d = (0.15 + 0.35 * b.strength) * b.weight()
    for f in b.outlet.factors:
        v[f][b.span] *= 1 - d
    v["a19001"][b.span] = v["a19001"][b.span] * (1 - d) + 20.9 * d


def line_dilution_o2(v: Values, b: Bout, rng: np.random.Generator) -> None:
    """Dilute the line and falsify oxygen, so that the conversion to reference oxygen does not undo it."""
    least = (0.1 + 0.12 * b.strength) if b.silent else (0.25 + 0.3 * b.strength)
    d = max(least, 1 - min(b.needed(f) for f in b.outlet.factors)) * b.weight()
    for f in b.outlet.factors:
        v[f][b.span] *= 1 - d
    if not b.silent:  # typed in by hand: calmer than a probe
        level = float(np.nanmedian(v["a19001"][b.span]))
        v["a19001"][b.span] = level + 0.1 * ar1(rng, b.size, 5)


def copied_exact(v: Values, b: Bout, rng: np.random.Generator) -> None:
    """Replay own past, value for value."""
    _copy(v, b, rng, 0.0)


def copied_noisy(v: Values, b: Bout, rng: np.random.Generator) -> None:
    """Replay own past with a little noise and another scale."""
    _copy(v, b, rng, 0.012 + 0.02 * b.strength)


def _copy(v: Values, b: Bout, rng: np.random.Generator, noise: float) -> None:
    block = min(b.size, int(rng.integers(1, 4)) * STEPS_PER_DAY)
    back = b.start - int(np.ceil((block + 60) / STEPS_PER_DAY)) * STEPS_PER_DAY
    ahead = b.end + STEPS_PER_DAY
    first = back if back >= 0 else min(ahead, len(next(iter(v.values()))) - block)
    for f in b.targets():
        source = v[f][max(0, first) : max(0, first) + block].copy()
        if noise:
            source *= (1 + noise * rng.standard_normal(len(source))) * rng.uniform(0.95, 1.05)
        tiled = np.tile(source, b.size // len(source) + 1)[: b.size]
        v[f][b.span] = np.minimum(tiled, 0.93 * b.limit(f, v)) if noise else tiled


def random_generator(v: Values, b: Bout, rng: np.random.Generator) -> None:
    """Draw numbers around a set point; the careful imitate the spread and memory of their own past."""
    for f in b.targets():
        centre = b.limit(f, v).mean() * (0.35 + 0.3 * b.strength)
        if b.silent:
            past = v[f][max(0, b.start - 5 * STEPS_PER_DAY) : b.start + 10]
            spread = float(np.nanstd(past)) / max(float(np.nanmean(past)), 1e-9)
            v[f][b.span] = centre * np.exp(np.clip(spread, 0.03, 0.35) * ar1(rng, b.size, 8))
        elif b.strength > 0.5:
            v[f][b.span] = centre * rng.uniform(0.8, 1.2, b.size)
        else:
            v[f][b.span] = centre * (1 + 0.08 * rng.standard_normal(b.size))


def off_schedule_purge(v: Values, b: Bout, rng: np.random.Generator) -> None:
    """Trigger blowback whenever the level comes near the limit."""
    f = b.targets()[0]
    at, high = b.start, (0.85 if b.silent else 0.7)
    while at < b.end:
        size = int(rng.integers(2, 5))
        stop = min(at + size, b.end)
        if b.over[f][at] > high:
            for g in b.outlet.factors:
                v[g][at:stop] *= rng.uniform(0.25, 0.6) if b.silent else rng.uniform(0.05, 0.25)
        at += size + int(rng.integers(4, 16))


def cut_when_exceeding(v: Values, b: Bout, rng: np.random.Generator) -> None:
    """Cut power or network while over the limit."""
    high = np.max([b.over[f][b.span] for f in b.over], axis=0) > (1.03 if b.silent else 0.97)
    wide = np.convolve(high, np.ones(3), "same") > 0
    if not wide.any():
        wide[: max(4, b.size // 3)] = True
    for f in v:
        v[f][b.span] = np.where(wide, np.nan, v[f][b.span])


def false_mark(v: Values, b: Bout, rng: np.random.Generator) -> None:
    """Leave the readings as they are; the mark is what lies (set by the caller in cube and marks table)."""


FALSIFY: dict[str, Callable[[Values, Bout, np.random.Generator], None]] = {
    f.__name__: f
    for f in (
        constant_value, clip_at_limit, slope_edit, intercept_edit, range_saturation, clean_water, line_dilution,
        line_dilution_o2, copied_exact, copied_noisy, random_generator, off_schedule_purge, cut_when_exceeding, false_mark,
    )
}  # fmt: skip
"""Falsifications by name."""
AT_LOGGER = {"constant_value", "copied_exact", "copied_noisy", "random_generator"}
"""Those written over at the data logger: calibrations do not show in them."""
