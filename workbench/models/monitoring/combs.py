"""The comb that a factor leaves in readings which had been rounded before: rounding once more does not take it out.

A meter reports whole numbers of its own step. Times a factor k and rounded to that step again, some numbers stand for two of the
meter's and others for one: ⌊(y + ½)/k⌋ − ⌊(y − ½)/k⌋ of them, a pattern along the numbers whose teeth follow from k alone. Honest
readings are smooth from one step to the next, whatever their distribution, so that the logarithm of that count times k is what one
reading says for the factor: a twentieth of a nat on average, a few weeks of readings say as much as the edges do. What a meter or
a calibration scales before the first rounding leaves no comb.

The factors are tried finely enough that the teeth of nine readings in ten stay in place. Spans are found by days, then first and last
hour are sought by the comb and the edges together.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numba import njit

from workbench.models.monitoring.edges import FREEDOM, LONGEST, MOST, SHORTEST, Ahead, Edited, edits_in

FACTORS = (0.38, 0.86)
"""Factors that are looked for: over these the teeth lie so far apart that a level's own shape is taken for them."""
SMALLEST, LARGEST = 5.0, 4000.0
"""Readings of fewer steps tell no comb from their own distribution; where nine in ten are no longer under so many steps, factors are
tried only about the size of an edge."""
TEETH = 0.3
"""How far the teeth at the upper readings may move from one factor to the next, in teeth."""
DAYS = (5, 7, 10, 14, 21, 30)
"""Lengths that are tried, days."""
WINDOWS, NATS = 80, 5.0
"""Windows of a row that are looked into, and the least that a window must say, nats."""
AROUND, APART = 360, 0.15
"""Hours on each side of a window in which the span may begin and end; how far a factor may lie from the size of an edge, log units."""
MOST_FACTORS, FEWEST = 20_000, 20
"""Most factors tried about one edge; fewest readings that tell a comb."""


def steps_of(value: np.ndarray, places: np.ndarray, usual: np.ndarray) -> np.ndarray:
    """Return one row's readings in steps of its own, 0 where they do not tell: off the steps, repeated, or few steps; int64.

    Parameters
    ----------
    value : float32 array, shape (hour,)
    places, usual : int8 arrays, shape (hour,)
        Decimal places that a reading needs and those usual at its size (:class:`workbench.models.monitoring.digits.Digits`).
    """
    known = np.isfinite(value) & (value > 0) & (places <= usual) & np.r_[True, value[1:] != value[:-1]]
    n = np.where(known, np.round(np.where(known, value, 0).astype(float) * 10.0 ** usual.astype(float)), 0.0)
    return np.asarray(np.where(n >= SMALLEST, n, 0), dtype=np.int64)


def edits_by_edge_and_comb(error: np.ndarray, ahead: Ahead, row: int, steps: np.ndarray) -> list[Edited]:
    """Return the disjoint spans of a row that a factor under one explains, by its edges, its comb or both, in order of time.

    Parameters
    ----------
    error : float array, shape (hour,)
        Prediction errors (:func:`workbench.models.monitoring.edges.errors_of`).
    steps : int64 array, shape (hour,)
        From :func:`steps_of`.
    """
    found = edits_in(error, ahead, row)
    top = float(np.quantile(steps[steps > 0], 0.9)) if (steps > 0).sum() >= FEWEST else 0.0
    if not top:
        return found
    seeds = _windows(steps, factors(*FACTORS, top)) if top <= LARGEST else []
    spans = []
    for s in found:
        nats, factor, tried = comb_at(steps[s.first : s.last], s.size)
        spans.append(replace(s, nats=s.nats + max(nats, 0.0), comb=max(nats, 0.0)))
        if nats > 0:
            seeds.append((s.first, s.last, factor, tried))
    spread = ahead.spread[row].astype(float)
    for first, last, factor, tried in seeds:
        lo, hi = max(0, first - AROUND), min(len(steps), last + AROUND)
        a, b, edge, comb = _together(
            error[lo:hi], spread[lo:hi], steps[lo:hi], factor, ahead.own[row, 0], ahead.own[row, 1], SHORTEST, LONGEST, FREEDOM,
            ahead.effective[row], MOST,
        )  # fmt: skip
        if b > a:
            nats = max(comb - float(np.log(tried)), 0.0)
            spans.append(Edited(lo + a, lo + b, edge + nats, -float(np.log(factor)), nats))
    spans.sort(key=lambda s: (-s.nats, s.first, s.last))
    out: list[Edited] = []
    for s in spans:
        if all(s.first >= o.last + 24 or s.last + 24 <= o.first for o in out):
            out.append(s)
    return sorted(out, key=lambda s: s.first)


def factors(low: float, high: float, top: float) -> np.ndarray:
    """Return factors from ``low`` to ``high`` between which the teeth at ``top`` steps move by :data:`TEETH` at most, ascending."""
    # the tooth of y steps lies at y/k: it moves by y·dk/k²
    count = max(int(np.ceil((1 / low - 1 / high) * top / TEETH)), 1) + 1
    return np.asarray(1 / np.linspace(1 / low, 1 / high, min(count, MOST_FACTORS)))


def comb_at(steps: np.ndarray, size: float) -> tuple[float, float, int]:
    """Return what the best factor about a size (log units) explains of a span less the logarithm of the factors tried, it, their number."""
    told = steps[steps > 0]
    if told.size < FEWEST:
        return 0.0, float(np.exp(-size)), 1
    tried = factors(np.exp(-min(size + APART, 1.2)), np.exp(-max(size - APART, 0.05)), float(np.quantile(told, 0.9)))
    sums = _sums(told, np.array([0, told.size]), tried)[:, 0]
    k = int(np.argmax(sums))
    return float(sums[k] - np.log(len(tried))), float(tried[k]), len(tried)


def _windows(steps: np.ndarray, tried: np.ndarray) -> list[tuple[int, int, float, int]]:
    """Return first hour, hour after the last, factor and factors tried of the windows whose comb stands out, at most :data:`WINDOWS`."""
    days = len(steps) // 24
    total = np.concatenate([np.zeros((len(tried), 1)), np.cumsum(_sums(steps, np.arange(days + 1) * 24, tried), axis=1)], axis=1)
    found: list[tuple[float, int, int, int]] = []
    for width in (w for w in DAYS if w <= days):
        gain = total[:, width:] - total[:, :-width]
        best = gain.argmax(axis=0)
        nats = gain[best, np.arange(gain.shape[1])]
        found += [(float(nats[a]), a, a + width, int(best[a])) for a in np.flatnonzero(nats >= NATS).tolist()]
    found.sort(key=lambda f: (-f[0], *f[1:]))
    out: list[tuple[float, int, int, int]] = []
    for f in found:
        if len(out) == WINDOWS:
            break
        if all(f[3] != o[3] or f[1] >= o[2] or f[2] <= o[1] for o in out):
            out.append(f)
    return [(a * 24, b * 24, float(tried[k]), len(tried)) for _, a, b, k in out]


@njit(cache=True, nogil=True)
def _says(y: int, k: float) -> float:
    """Return what one reading of ``y`` steps says for a factor, nats."""
    return float(np.log((np.floor((y + 0.5) / k) - np.floor((y - 0.5) / k)) * k))


def _sums(steps: np.ndarray, bounds: np.ndarray, tried: np.ndarray) -> np.ndarray:
    """Return what the readings between bounds say for each factor, shape (factor, part), nats."""
    distinct, which = np.unique(steps, return_inverse=True)
    return np.asarray(_sums_of(distinct, which, bounds, tried))


@njit(cache=True, nogil=True)
def _sums_of(distinct: np.ndarray, which: np.ndarray, bounds: np.ndarray, tried: np.ndarray) -> np.ndarray:
    """Return the sums; a reading that comes many times is asked once for each factor."""
    out = np.zeros((tried.size, bounds.size - 1))
    says = np.zeros(distinct.size)
    for i in range(tried.size):
        for j in range(distinct.size):
            if distinct[j] > 0:
                says[j] = _says(distinct[j], tried[i])
        for p in range(bounds.size - 1):
            total = 0.0
            for t in range(bounds[p], bounds[p + 1]):
                total += says[which[t]]
            out[i, p] = total
    return out


@njit(cache=True, nogil=True)
def _together(
    error: np.ndarray,
    spread: np.ndarray,
    steps: np.ndarray,
    factor: float,
    one: float,
    two: float,
    shortest: int,
    longest: int,
    freedom: float,
    effective: float,
    most: float,
) -> tuple[int, int, float, float]:
    """Return the first hour, the hour after the last, the edges' gain and the comb's of the span in which both together are largest."""
    n, d, half = error.size, -np.log(factor), 0.5 * (freedom + 1)
    into, out, within, comb = np.zeros(n), np.zeros(n), np.zeros(n + 1), np.zeros(n + 1)
    for t in range(n):
        inside = 0.0
        if not (np.isnan(error[t]) or np.isnan(spread[t])):
            width = freedom * spread[t] * spread[t]
            usual = np.log(1 + error[t] * error[t] / width)
            shifted = error[t] + d * (1 - one - two)
            inside = half * (usual - np.log(1 + shifted * shifted / width))
            inside = effective * min(max(inside, -most), most)
            shifted = error[t] + d
            into[t] = half * (usual - np.log(1 + shifted * shifted / width)) - inside
            shifted = error[t] - d * (one + two)
            out[t] = half * (usual - np.log(1 + shifted * shifted / width))
        within[t + 1] = within[t] + inside
        comb[t + 1] = comb[t] + (_says(steps[t], factor) if steps[t] > 0 else 0.0)
    best, first, last = -1e9, 0, 0
    for b in range(shortest, n):
        for a in range(max(0, b - longest), b - shortest + 1):
            total = out[b] + within[b] + into[a] - within[a] + comb[b] - comb[a]
            if total > best:
                best, first, last = total, a, b
    if last == first:
        return 0, 0, 0.0, 0.0
    edge = out[last] + within[last] + into[first] - within[first]
    return first, last, edge, comb[last] - comb[first]
