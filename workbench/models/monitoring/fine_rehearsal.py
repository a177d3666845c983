"""The rehearsal at fine data: readings of the sampled points, edited at their full rate, and the statistics made anew.

Edits are those of ``rehearsal.yml`` in samples instead of hours. One more is no falsification: ``frozen``, a reading that stays at its
last value as a stuck instrument's does, so that the score is taught what tells it from an entered one. Cost is bounded by the sample of
:mod:`workbench.models.monitoring.fine` and by the number of rounds.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import pandas as pd

from workbench.models.monitoring.fine import around_the_sample, has_sample
from workbench.models.monitoring.panel import Panel
from workbench.models.monitoring.rehearsal import Plan, Range, Round, edited, places_at

ROUNDS = 4
FROZEN = "frozen"
"""The edit that is a fault."""
Edit = Callable[..., np.ndarray]


def _season(x: np.ndarray, a: int, b: int, day: int) -> np.ndarray:
    return x[max(0, a - 15 * day) : b + 15 * day]


def held(x: np.ndarray, a: int, b: int, day: int, rng: np.random.Generator, *, level: Range) -> np.ndarray:
    """Return one value near the season's level."""
    return np.full(b - a, float(np.nanmedian(_season(x, a, b, day))) * rng.uniform(*level))


def frozen(x: np.ndarray, a: int, b: int, day: int, rng: np.random.Generator) -> np.ndarray:
    """Return the last reading before the span throughout."""
    before = x[max(0, a - day // 24) : a]
    before = before[np.isfinite(before)]
    return np.full(b - a, before[-1] if before.size else np.nan)


def capped(x: np.ndarray, a: int, b: int, day: int, rng: np.random.Generator, *, share: Range) -> np.ndarray:
    """Return the readings with everything over a cap put to the cap."""
    return np.asarray(np.minimum(x[a:b], np.nanquantile(x[a:b], 1 - rng.uniform(*share))))


def replayed(x: np.ndarray, a: int, b: int, day: int, rng: np.random.Generator, *, back_days: Range) -> np.ndarray:
    """Return the readings of some days before, often by the calendar."""
    back = max(int(day * rng.uniform(*back_days)), b - a)
    if rng.random() < 0.4:
        back = -(-back // day) * day
    return x[a - back : b - back].copy() if a >= back else np.full(b - a, np.nan)


def disguised(
    x: np.ndarray, a: int, b: int, day: int, rng: np.random.Generator, *, back_days: Range, noise: Range, scale: Range
) -> np.ndarray:
    """Return the readings of some days before under independent noise, in a third of the cases rescaled."""
    source = replayed(x, a, b, day, rng, back_days=back_days)
    factor = rng.uniform(*scale) if rng.random() < 1 / 3 else 1.0
    return np.asarray(source * factor * np.exp(rng.uniform(*noise) * rng.standard_normal(b - a)))


def drawn(x: np.ndarray, a: int, b: int, day: int, rng: np.random.Generator, *, spread: Range) -> np.ndarray:
    """Return independent draws about the level of the days around."""
    low, middle, high = np.nanquantile(x[max(0, a - 2 * day) : b + 2 * day], (0.16, 0.5, 0.84))
    wide = 0.5 * (high - low) * rng.uniform(*spread)
    shape = rng.standard_normal(b - a) if rng.random() < 0.6 else rng.uniform(-np.sqrt(3), np.sqrt(3), b - a)
    return np.asarray(np.maximum(middle + wide * shape, 0.05 * middle))


def scaled(x: np.ndarray, a: int, b: int, day: int, rng: np.random.Generator, *, factor: Range) -> np.ndarray:
    """Return the readings times one factor."""
    return np.asarray(x[a:b] * rng.uniform(*factor))


def lowered(x: np.ndarray, a: int, b: int, day: int, rng: np.random.Generator, *, amount: Range) -> np.ndarray:
    """Return the readings less one amount, never under a tenth of themselves."""
    off = rng.uniform(*amount) * np.nanmedian(_season(x, a, b, day))
    return np.asarray(np.maximum(x[a:b] - off, 0.1 * x[a:b]))


EDITS: dict[str, Edit] = {f.__name__: f for f in (held, capped, replayed, disguised, drawn, scaled, lowered)}
"""Every edit by its name, as ``rehearsal.yml`` lists them."""


def rehearse_fine(panel: Panel, plan: Plan, seed: int) -> Iterator[Round] | None:
    """Return the edited histories of the sampled places; None where the sample or the history does not suffice."""
    if not has_sample(panel.data) or panel.shape[1] < plan.fewest_days.value:
        return None
    cut, raw = around_the_sample(panel)
    able = cut.pollutant[raw] & (cut.arrived[raw] > 0.5) & cut.transformed[1][raw]
    if not able.any():
        return None
    value = panel.data["raw_value"].to_numpy()[able]
    mark = panel.data["raw_mark"].to_numpy()[able]
    return _rounds(cut, raw[able], value, mark, plan, seed)


def _rounds(cut: Panel, rows: np.ndarray, value: np.ndarray, mark: np.ndarray, plan: Plan, seed: int) -> Iterator[Round]:
    day = value.shape[1] // cut.shape[1]
    clean = np.where((mark == 0) | (mark == 255), value, np.nan).astype(float)
    places = sorted({str(cut.station[r]) for r in rows})
    for number in range(ROUNDS):
        rng = np.random.default_rng([seed, 6, number])
        made, done = value.copy(), []
        for place in places:
            mine = np.flatnonzero(cut.station[rows] == place)
            done += _edit_place(made, clean, mine, day, plan, rng)
        if not done:
            continue
        edits = pd.DataFrame(done, columns=["row", "first", "last", "kind"])
        changed = np.unique(edits["row"].to_numpy(dtype=int))
        panel = edited(cut, rows[changed], made[changed], mark[changed], day)
        hour = day // 24
        edits["first"], edits["last"] = edits["first"] // hour, -(-edits["last"] // hour)
        yield Round(panel, edits.assign(row=rows[edits["row"].to_numpy(dtype=int)]))


def _edit_place(
    made: np.ndarray, clean: np.ndarray, mine: np.ndarray, day: int, plan: Plan, rng: np.random.Generator
) -> list[tuple[int, int, int, str]]:
    """Edit ``made`` at one place, one channel at a time; return (row, first, last sample + 1, kind) of what was done."""
    out, n = [], clean.shape[1]
    kinds = [*plan.edits, FROZEN]
    at = int(rng.integers(day // 24, 10 * day))
    while at < n - 2 * day:
        kind = kinds[int(rng.integers(len(kinds)))]
        ranges = dict(plan.edits["held" if kind == FROZEN else kind])
        shortest, longest = ranges.pop("hours")
        hours = float(np.exp(rng.uniform(np.log(shortest), np.log(min(longest, 24 * n / day / 4)))))
        row, first, length = int(rng.choice(mine)), at, int(hours * day / 24)
        last = min(first + length, n - day)
        at += int(max(day * plan.every_days.value * rng.uniform(0.4, 1.0), length + 3 * day))
        x = clean[row]
        if last - first < shortest * day / 24 or np.isfinite(x[first:last]).mean() < 0.8:
            continue
        new = frozen(x, first, last, day, rng) if kind == FROZEN else EDITS[kind](x, first, last, day, rng, **ranges)
        if np.isfinite(new).mean() < 0.8:
            continue
        if kind not in ("replayed", FROZEN):
            new = np.round(new, places_at(x, first, last))
        made[row, first:last] = np.where(np.isfinite(x[first:last]), new, made[row, first:last])
        out.append((row, first, last, kind))
    return out
