"""Air let into a sampling line for some hours: one factor on every pollutant of the line, switched on and off from one hour to another.

With a share f of air every dry concentration is multiplied by 1 − f, whatever the pollutant, at the same hour; treatment of SO2, NOx and
particulates fails or recovers one by one. Oxygen rises by f·(20.9 − O2) where it is left alone and stays where it is falsified with the
line, and only then does c·(21 − O2ref)/(21 − O2) fall: what pays is the pair of a common factor and an oxygen that does not move. Days
average spans of a few hours away, so the hours themselves are asked, by the residuals from flow, temperature and power.

The null is the mirror: honest lines step up together as often as down, but nobody lets air out.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from workbench.models.monitoring.order_statistics import median_of

SHORTEST, LONGEST = 3, 72
"""Lengths of the spans that are tried, hours."""
SHARES = (0.1, 0.7)
"""Least and largest share of air that is believed."""
BESIDE = 12
"""Hours on each side that the level inside is held against."""
LEAST = 2.5
"""Smallest common step at each edge, in its own spreads."""
APART = 3.0
"""Most that the steps of the pollutants may differ from the common one: mean square in their spreads, at each edge and inside."""


@dataclass(frozen=True)
class Diluted:
    """One span: hours first to last (not included), score in spreads, share of air, log step of the common factor."""

    first: int
    last: int
    score: float
    share: float


def common_spans(residual: np.ndarray, up: bool = False) -> list[Diluted]:
    """Return the disjoint spans in which one factor below one (``up``: above one) lies on every row, best first taken, in order of time.

    Parameters
    ----------
    residual : array, shape (pollutant, hour)
        Log readings less their expectation from the process, NaN where unknown; two pollutants at least.
    """
    x = -residual if up else residual
    pollutants, hours = x.shape
    if pollutants < 2 or hours < 4 * BESIDE:
        return []
    # the hour of the switch holds both levels, so the step is taken across it
    step = np.full(x.shape, np.nan)
    step[:, 1:-1] = x[:, 2:] - x[:, :-2]
    spread = np.array([1.4826 * median_of(np.abs(s[np.isfinite(s)])) if np.isfinite(s).any() else np.nan for s in step])
    if not (np.isfinite(spread) & (spread > 0)).all():
        return []
    weight = 1 / spread**2
    common = (weight[:, None] * step).sum(axis=0) / weight.sum()
    differ = (((step - common) / spread[:, None]) ** 2).sum(axis=0) / (pollutants - 1)
    known = np.isfinite(x)
    total = np.cumsum(np.pad(np.where(known, np.clip(x, -3, 3), 0.0), ((0, 0), (1, 0))), axis=1)
    count = np.cumsum(np.pad(known.astype(float), ((0, 0), (1, 0))), axis=1)
    own = common[np.isfinite(common)]
    if own.size < 100:
        return []
    # as measured: honest steps hang together
    scale = max(float(1.4826 * median_of(np.abs(own - median_of(own)))), 1e-6)
    ok = np.isfinite(common) & (differ <= APART)
    downs, ups = np.flatnonzero(ok & (common <= -LEAST * scale)), np.flatnonzero(ok & (common >= LEAST * scale))
    low, high = -np.log(1 - SHARES[0]), -np.log(1 - SHARES[1])
    found: list[tuple[float, int, int, float]] = []
    for a in downs.tolist():
        later = ups[np.searchsorted(ups, a + SHORTEST) : np.searchsorted(ups, a + LONGEST, "right")]
        sizes = 0.5 * (common[later] - common[a])
        fits = (np.abs(common[a] + common[later]) <= 0.6 * sizes) & (sizes >= 0.7 * low) & (sizes <= 1.5 * high)
        for b, size in zip(later[fits].tolist(), sizes[fits].tolist(), strict=True):
            # every pollutant lies lower by that one factor
            each = _contrast(total, count, a, b)
            depth = float(weight @ each / weight.sum())
            if not (low <= depth <= high and abs(depth - size) <= 0.35 * size):
                continue
            if (each >= 0.5 * depth).all() and (each <= 1.6 * depth).all():
                found.append((float(min(-common[a], common[b]) / scale), a, b, depth))
    taken = np.zeros(hours + 1, dtype=bool)
    kept = []
    for score, a, b, depth in sorted(found, key=lambda f: (-f[0], f[1], f[2])):
        if not taken[a : b + 1].any():
            taken[a : b + 1] = True
            kept.append(Diluted(a, b, score, 1 - float(np.exp(-depth))))
    return sorted(kept, key=lambda s: s.first)


def _contrast(total: np.ndarray, count: np.ndarray, a: int, b: int) -> np.ndarray:
    """Return, per row, the mean of the hours beside less that of the hours a to b, edges left out; NaN where either is hardly known."""
    hours = total.shape[1] - 1
    sides = ((max(0, a - BESIDE), a), (b + 1, min(hours, b + 1 + BESIDE)))
    beside = sum(total[:, hi] - total[:, lo] for lo, hi in sides if hi > lo)
    known = sum(count[:, hi] - count[:, lo] for lo, hi in sides if hi > lo)
    n = count[:, b] - count[:, a + 1]
    enough = (n >= 0.8 * (b - a - 1)) & (known >= BESIDE)
    return np.where(enough, beside / np.maximum(known, 1) - (total[:, b] - total[:, a + 1]) / np.maximum(n, 1), np.nan)


def nats_of(score: np.ndarray, mirrored: np.ndarray, lines: int) -> np.ndarray:
    """Return −ln of how many mirrored spans per line reach each score; beyond the highest the tail falls off by its mean excess."""
    null = np.sort(mirrored)
    if not null.size:
        # nothing steps up anywhere: half a span on all lines
        return np.full(len(score), np.log(2.0 * max(lines, 1)))
    rate = 1 / max(float(np.mean(null - null[0])), 0.3) if null.size > 1 else 1.0
    reached = (null.size - np.searchsorted(null, score, "left")) / lines
    beyond = 0.5 / lines * np.exp(-rate * np.maximum(score - null[-1], 0.0))
    return np.asarray(-np.log(np.maximum(np.where(score > null[-1], beyond, reached), 1e-12)))
