"""What copying explains better than the present does: a bounded search of hourly series for an earlier original.

Every hour is described twice. By the present: the step from the hour before (Laplace, as wide as the point's own steps at that level)
and, where related channels exist, the distance from their expectation. By the past: the reading some lag before, with a few per cent
of noise (normal). The gain of an hour is the difference of the two log probabilities, both over the same interval of one resolution
step, so that rounding and repeated values are worth what they are worth. Gains are summed along a lag until they are used up (the
recursion of Smith and Waterman 1981, one lag being one diagonal). Honest series gain nothing for long: their detail is new.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from numba import njit

from workbench.contracts import threads
from workbench.models.monitoring.levels import LEVELS, levels_of

NOISE = 0.035
"""Noise that is looked for, log units: a copy with one to six per cent of it is found."""
NEAREST, FARTHEST = 24, 90 * 24
"""Lags searched, in hours: nearer repeats are the daily cycle's or a logger's, farther ones are not looked for."""
LEAST_GAIN, MOST_GAIN = -2.5, 2.5
"""What one hour may add at most either way, nats: one value proves nothing."""
DEPENDENCE = 0.2
"""Weight of the distance from the expectation: its hours follow one another, so five count as one."""
SEASON = 90 * 24
"""Hours over which one resolution is taken to hold."""
LEAST = 14.0
"""Smallest gain that makes a match, nats: the best of two thousand lags reaches it by chance about once a season."""
FEWEST = 20.0
"""Steps' worth of pooled evidence on their usual size that a level starts from."""


@dataclass(frozen=True)
class Match:
    """One span that an earlier one explains.

    Parameters
    ----------
    first, last : int
        Hours of the span, last not included.
    lag : int
        Hours back to the original.
    gain : float
        Nats won over describing the span by the present.
    """

    first: int
    last: int
    lag: int
    gain: float


@njit(cache=True, nogil=True, fastmath=False)
def _sweep(
    y: np.ndarray,
    base: np.ndarray,
    precision: np.ndarray,
    nearest: int,
    farthest: int,
    top: np.ndarray,
    origin: np.ndarray,
    back: np.ndarray,
) -> None:
    """Write, for each hour, the largest running gain over all lags, where that run began and its lag."""
    n = y.size
    width = farthest - nearest + 1
    running = np.zeros(width, np.float32)
    began = np.zeros(width, np.int32)
    reverse = y[::-1].copy()
    least, most = np.float32(LEAST_GAIN), np.float32(MOST_GAIN)
    for t in range(n):
        top[t] = 0.0
        reach = min(t - nearest + 1, width)
        if reach <= 0:
            continue
        if np.isnan(y[t]):
            continue
        b, p, here = base[t], precision[t], y[t]
        lo = n - 1 - (t - nearest)
        for k in range(reach):
            d = here - reverse[lo + k]
            g = b - p * d * d
            g = min(max(g, least), most) if g == g else least
            s = running[k] + g
            fresh = running[k] <= 0.0
            began[k] = t if fresh else began[k]
            running[k] = max(s, np.float32(0.0))
        best = 0
        for k in range(1, reach):
            if running[k] > running[best]:
                best = k
        top[t] = running[best]
        origin[t] = began[best]
        back[t] = best + nearest


def gains(y: np.ndarray, residual: np.ndarray, noise: np.ndarray, ties: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return what each hour starts from (nats) and the precision of the copy, for one logarithmic row.

    Parameters
    ----------
    y : float array, shape (hour,)
        Log readings, NaN where unknown.
    residual, noise : float arrays, shape (hour,)
        Distance from the expectation and its spread at that level; NaN without one.
    ties : float array, shape (LEVELS,)
        How likely a run of equal values goes on, by level of the value.
    """
    before = np.r_[np.nan, y[:-1]]
    x = np.exp(y)
    move = np.abs(y - before)
    known = np.isfinite(move)
    if known.sum() < 48:
        return np.zeros(len(y), np.float32), np.ones(len(y), np.float32)
    typical = max(float(np.mean(np.minimum(move[known], 1.0))), 1e-4)
    half = 0.5 * steps_of(x) / np.where(known, x, 1.0)
    level = levels_of(np.where(np.isfinite(before), np.exp(before), np.nan).astype(np.float32))
    total = np.bincount(level[known], np.minimum(move[known], 8 * typical), LEVELS)
    count = np.bincount(level[known], minlength=LEVELS)
    width = np.maximum((total + FEWEST * typical) / (count + FEWEST), 1e-4)[level]
    with np.errstate(all="ignore"):
        # Laplace over one resolution step about the reading
        apart = 0.5 * (np.exp(-np.maximum(move - half, 0) / width) - np.exp(-(move + half) / width))
        close = 1 - 0.5 * np.exp(-np.maximum(half - move, 0) / width) - 0.5 * np.exp(-(half + move) / width)
    # equal neighbours are as likely as the point's own history says, whatever its resolution is
    chance = np.where(move == 0, np.maximum(close, ties[level]), np.where(move <= half, close, apart))
    present = np.log(np.clip(chance, 1e-6, 1.0))
    spread = min(NOISE, 0.5 * typical) ** 2 + 2 / 3 * half**2
    copy = np.log(np.minimum(1.0, 2 * half / np.sqrt(2 * np.pi * spread)))
    surprise = np.nan_to_num(np.minimum((residual / noise) ** 2, 16.0), nan=1.0) - 1.0
    # a run of equal readings is surprising once: at a floor, say, every other run there would explain it hour by hour
    surprise = np.where(move == 0, np.minimum(surprise, 0.0), surprise)
    base = copy - present + 0.5 * DEPENDENCE * surprise
    # after a gap the present says little: the size of the step over it is not known
    return np.where(known, base, 0.0).astype(np.float32), (0.5 / np.where(spread > 0, spread, 1.0)).astype(np.float32)


def steps_of(x: np.ndarray) -> np.ndarray:
    """Return the resolution at each hour: the lower tenth of the unequal steps of its season (instruments change), shape (hour,)."""
    out = np.empty(len(x))
    move = np.abs(np.diff(x, prepend=np.nan))
    everywhere = move[move > 0]
    fallback = float(np.quantile(everywhere, 0.1)) if everywhere.size else 1.0
    for a in range(0, len(x), SEASON):
        mine = move[a : a + SEASON]
        mine = mine[mine > 0]
        out[a : a + SEASON] = np.quantile(mine, 0.1) if mine.size >= 48 else fallback
    return out


def best_matches(y: np.ndarray, base: np.ndarray, precision: np.ndarray, least: float = LEAST) -> list[Match]:
    """Return the disjoint spans that gain at least ``least`` nats, best first."""
    n = len(y)
    if n <= NEAREST + 24:
        return []
    top, origin, back = np.zeros(n, np.float32), np.zeros(n, np.int32), np.zeros(n, np.int32)
    _sweep(y.astype(np.float32), base, precision, NEAREST, min(FARTHEST, n - 1), top, origin, back)
    order = np.flatnonzero(top >= least)
    order = order[np.argsort(-top[order], kind="stable")]
    taken = np.zeros(n, dtype=bool)
    out = []
    for t in order.tolist():
        a = int(origin[t])
        if taken[a] or taken[t] or taken[a : t + 1].any():
            continue
        taken[a : t + 1] = True
        # what follows on the same run falls off slowly: it belongs to this match and is not a second one
        end = t + 1
        while end < n and origin[end] == a and top[end] > 0:
            taken[end] = True
            end += 1
        out.append(Match(a, t + 1, int(back[t]), float(top[t])))
    return out


def matches_of(rows: np.ndarray, y: np.ndarray, residual: np.ndarray, noise: np.ndarray, ties: np.ndarray) -> dict[int, list[Match]]:
    """Return the matches of each of ``rows``; one task per row, so the result does not depend on the threads."""

    def one(row: int) -> list[Match]:
        return best_matches(y[row], *gains(y[row].astype(float), residual[row], noise[row], ties[row]))

    with ThreadPoolExecutor(threads()) as pool:
        return dict(zip(rows.tolist(), pool.map(one, rows.tolist()), strict=True))
