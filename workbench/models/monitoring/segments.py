"""Windows of hourly series: sums over any span at once, what an edit of the scale or a generator would leave in them.

Spans are found at half-day or quarter-day steps over a ladder of lengths, then the edges are put to the hour. Nothing here knows what
a finding is; the detectors and the description of candidates ask.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from workbench.models.monitoring.levels import LEVELS, levels_of

EDITED = (3, 5, 7, 10, 14, 21, 30, 40)
"""Lengths of lower spans that are looked for, days."""
LOWEST = 2.5
"""Smallest score of a lower span."""
BESIDE, EDGE = 240, 72
"""Hours on each side of a span that its level is compared with; hours on each side of an edge that make the jump."""
FEWEST = 20.0
"""Steps' worth of pooled evidence on their usual size that a level starts from."""


@dataclass(frozen=True)
class Sums:
    """Prefix sums of one row, so that any span's mean costs two look-ups.

    Parameters
    ----------
    total, weight : float arrays, shape (hour + 1,)
    """

    total: np.ndarray
    weight: np.ndarray

    def mean(self, a: np.ndarray, b: np.ndarray) -> np.ndarray:
        """Return the weighted mean over hours a to b (not included), NaN where little is known; bounds are cut to the row."""
        n = len(self.total) - 1
        a, b = np.clip(a, 0, n), np.clip(b, 0, n)
        w = self.weight[b] - self.weight[a]
        enough = w > 0.25 * np.maximum(b - a, 1) * self.weight[-1] / max(n, 1)
        return np.where(enough & (b > a), (self.total[b] - self.total[a]) / np.where(w > 0, w, 1.0), np.nan)


def sums_of(x: np.ndarray, weight: np.ndarray | None = None) -> Sums:
    """Return the prefix sums of a row; unknown hours weigh nothing."""
    known = np.isfinite(x)
    w = np.where(known, 1.0 if weight is None else np.nan_to_num(weight), 0.0)
    return Sums(np.r_[0.0, np.cumsum(np.where(known, x, 0.0) * w)], np.r_[0.0, np.cumsum(w)])


def weighted_residual(residual: np.ndarray, noise: np.ndarray) -> Sums:
    """Return sums of a row's residual, hours weighted by how little their level scatters, values clipped at three spreads."""
    noise = np.where(np.isfinite(noise), noise, np.inf)
    clipped = np.clip(residual, -3 * noise, 3 * noise)
    usual = float(np.median(noise[np.isfinite(noise)])) if np.isfinite(noise).any() else 1.0
    return sums_of(np.where(np.isfinite(residual), clipped, np.nan), (usual / noise) ** 2)


def contrast(r: Sums, a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Return the mean of spans less that of the hours beside them, sides weighted alike; one side where the other is unknown."""
    before, after = r.mean(a - BESIDE, a), r.mean(b, b + BESIDE)
    beside = np.where(np.isfinite(before) & np.isfinite(after), 0.5 * (before + after), np.where(np.isfinite(before), before, after))
    return r.mean(a, b) - beside


def jumps(r: Sums, a: np.ndarray, b: np.ndarray, reach: int = EDGE) -> tuple[np.ndarray, np.ndarray]:
    """Return the change of level into a span at its start and out of it at its end, both negative where the span lies lower."""
    inside = np.minimum(reach, b - a)
    return r.mean(a, a + inside) - r.mean(a - reach, a), r.mean(b - inside, b) - r.mean(b, b + reach)


def spread_about(x: np.ndarray) -> float:
    """Return the spread of the known values: robust about the median, or as far as the upper twentieth reaches, the larger.

    Rows differ in how heavy their tails are, and a level falls by an edit but hardly ever rises by one: the upper tail is honest.
    """
    known = x[np.isfinite(x)]
    if not known.size:
        return float("nan")
    middle, high = np.quantile(known, (0.5, 0.95))
    return float(max(1.4826 * np.median(np.abs(known - middle)), (high - middle) / 1.645))


def lower_spans(r: Sums, hours: int, days: tuple[int, ...], least: float, every: int = 12) -> list[tuple[int, int, float]]:
    """Return the disjoint spans (first, last + 1, score) of one row that lie lower than what is beside them, abruptly.

    The score adds the contrast and the jumps at both edges, each in spreads of the row's own spans of that length:
    residuals drift for weeks, so their own spread over such spans is the null, not that of single hours.
    """
    found: list[tuple[float, int, int]] = []
    for width in days:
        a = np.arange(0, hours - 24 * width + 1, every)
        if len(a) < 8:
            continue
        b = a + 24 * width
        level = contrast(r, a, b)
        into, out = jumps(r, a, b)
        edge = 0.5 * (np.where(np.isfinite(into), into, out) + np.where(np.isfinite(out), out, into))
        by_level, by_edge = -level / max(spread_about(level), 1e-6), -edge / max(spread_about(edge), 1e-6)
        score = (by_level + by_edge) / np.sqrt(2)
        hit = np.flatnonzero((score >= least) & (by_level >= 1.0) & (by_edge >= 0.0))
        found += [(float(score[k]), int(a[k]), int(b[k])) for k in hit]
    return [(*_sharpened(r, a, b, hours), s) for s, a, b in disjoint(found, hours)]


def disjoint(found: list[tuple[float, int, int]], hours: int, apart: int = 24) -> list[tuple[float, int, int]]:
    """Return spans (score, first, last + 1) that do not touch, taken best first, in order of time."""
    taken = np.zeros(hours + 1, dtype=bool)
    kept = []
    for score, a, b in sorted(found, key=lambda f: (-f[0], f[1], f[2])):
        if not taken[max(0, a - apart) : b + apart].any():
            taken[a:b] = True
            kept.append((score, a, b))
    return sorted(kept, key=lambda f: f[1])


def _sharpened(r: Sums, a: int, b: int, hours: int, reach: int = 30) -> tuple[int, int]:
    """Return the edges moved to the hour within ``reach`` at which the level changes most."""
    shift = np.arange(-reach, reach + 1)
    starts = np.clip(a + shift, 0, max(b - 48, 0))
    into = np.nan_to_num(r.mean(starts, starts + 48) - r.mean(starts - 48, starts))
    first = int(starts[int(np.argmin(into))]) if np.any(into < 0) else a
    ends = np.clip(b + shift, min(first + 48, hours), hours)
    out = np.nan_to_num(r.mean(ends - 48, ends) - r.mean(ends, ends + 48))
    last = int(ends[int(np.argmin(out))]) if np.any(out < 0) else b
    return first, max(last, first + 1)


@dataclass(frozen=True)
class Steps:
    """Steps of one logarithmic row against its own past at the same level.

    Parameters
    ----------
    ratio : float array, shape (hour,)
        Size of the step from the hour before over the usual size at that level, NaN over gaps.
    cost : float array, shape (hour,)
        −ln p of the step under the usual (Laplace) steps of that level.
    """

    ratio: np.ndarray
    cost: np.ndarray


def steps_against_past(y: np.ndarray) -> Steps:
    """Return the steps of a row of log readings against the usual ones at the level that they start from."""
    before = np.r_[np.nan, y[:-1]]
    move = np.abs(y - before)
    known = np.isfinite(move)
    typical = max(float(np.mean(np.minimum(move[known], 1.0))), 1e-4) if known.any() else 1.0
    level = levels_of(np.where(np.isfinite(before), np.exp(before), np.nan).astype(np.float32))
    total = np.bincount(level[known], np.minimum(move[known], 8 * typical), LEVELS)
    count = np.bincount(level[known], minlength=LEVELS)
    width = np.maximum((total + FEWEST * typical) / (count + FEWEST), 0.1 * typical)[level]
    ratio = np.where(known, move / width, np.nan)
    return Steps(ratio, np.where(known, np.log(2 * width) + np.minimum(ratio, 8.0), np.nan))


def generator_gain(y: np.ndarray, a: np.ndarray, b: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return what independent normal draws explain better than the row's own steps do, nats, and the lag-1 autocorrelation.

    Parameters
    ----------
    a, b : int arrays
        Spans, last hour not included.
    """
    steps = steps_against_past(y)
    cost, level, square = sums_of(steps.cost), sums_of(y), sums_of(y * y)
    move = np.abs(np.diff(y, prepend=np.nan))
    step = sums_of(move)
    count = step.weight[b] - step.weight[a]
    # a generator that hardly moves is no generator: what scatters less than half a usual step is for the constant-value detector
    least = (0.5 * float(np.nanmean(np.minimum(move, 1.0)))) ** 2 if np.isfinite(move).any() else 1e-8
    variance = np.maximum(square.mean(a, b) - level.mean(a, b) ** 2, max(least, 1e-8))
    drawn = 0.5 * np.log(2 * np.pi * variance) + 0.5
    # for a normal series the mean step is 2/√π·σ·√(1−r)
    lag = 1 - (step.mean(a, b) * np.sqrt(np.pi) / 2) ** 2 / variance
    return count * (cost.mean(a, b) - drawn), lag
