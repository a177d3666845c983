"""Meter swaps and stuck readings: what happened to the meter, not to the load.

A new meter or current transformer scales everything it shows, running and standby alike, from one day on. A load that
changes moves its running level only. Frozen readings repeat the very same non-zero value for hours.
"""

from __future__ import annotations

from dataclasses import dataclass

import numba as nb
import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray


@dataclass(frozen=True)
class Swap:
    """A change of scale: from step ``at`` on the meter shows ``factor`` times what it would have shown before."""

    at: int
    factor: float


def _daily_quantiles(power: NDArray[np.float32], per_day: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the 5 % and 90 % quantiles of each whole day (NaN for days with under a quarter of the values)."""
    days = len(power) // per_day
    block = np.sort(power[: days * per_day].reshape(days, per_day), axis=1)  # NaN sort last
    n = np.isfinite(block).sum(axis=1)
    rows = np.arange(days)
    low = block[rows, np.maximum(0.05 * (n - 1), 0).astype(int)].astype(float)
    high = block[rows, np.maximum(0.90 * (n - 1), 0).astype(int)].astype(float)
    few = n < per_day / 4
    low[few], high[few] = np.nan, np.nan
    return low, high


def find_swap(
    power: NDArray[np.float32], per_day: int, *, resolution: float, days_each: float, ratio_min: float, agree_log: float, scatter_log: float
) -> Swap | None:
    """Return the swap of a meter, or None.

    Parameters
    ----------
    power : float32 array, shape (time,)
        kW; NaN where nothing arrived.
    per_day : int
        Grid steps in a day.
    resolution : float
        Smallest step of the meter, kW; a standby level under three of them says nothing about scale.
    days_each : float
        Running days needed on either side.
    ratio_min : float
        Smallest change of scale that is looked for.
    agree_log : float
        Running and standby level must jump by the same factor within this (natural log).
    scatter_log : float
        Spread of the daily running level on each side that still counts as steady (natural log).
    """
    if per_day < 1 or len(power) < 2 * days_each * per_day:
        return None
    low, high = _daily_quantiles(power, per_day)
    floor = max(3 * resolution, 1e-6)
    # only days that saw both levels speak of scale: a week at rest is no new running level
    running = np.flatnonzero(np.isfinite(high) & (high > max(10 * resolution, 1e-6)) & (high > 3 * low) & (low > floor))
    w = int(days_each)
    if len(running) < 2 * w:
        return None
    level = np.log(high[running])
    rolling = np.median(sliding_window_view(level, w), axis=1)
    jump = rolling[w:] - rolling[:-w]
    k = int(np.argmax(np.abs(jump)))
    if abs(jump[k]) < np.log(ratio_min):
        return None
    cut = _split(level, k + w, w)  # first running day after the jump
    if min(cut, len(level) - cut) < 3:
        return None
    before, after = level[:cut], level[cut:]
    spread = max(1.4826 * float(np.median(np.abs(s - np.median(s)))) for s in (before[-3 * w :], after[: 3 * w]))
    if spread > scatter_log:
        return None
    step = float(np.median(after[: 3 * w]) - np.median(before[-3 * w :]))
    if abs(step) < np.log(ratio_min):
        return None
    day = int(running[cut])
    rest = np.log(low[running])
    rest_step = float(np.median(rest[cut : cut + 3 * w]) - np.median(rest[max(0, cut - 3 * w) : cut]))
    if abs(rest_step - step) > agree_log:
        return None
    scale = [np.exp(np.median(before[-3 * w :])), np.exp(np.median(after[: 3 * w]))]
    lo, hi = int(running[cut - 1]) * per_day, min(len(power), (day + 1) * per_day)
    near = np.flatnonzero(power[lo:hi] > 0.5 * min(scale))
    at = day * per_day
    if len(near) > 8:
        at = lo + int(near[_split(np.log(power[lo:hi][near].astype(float)), len(near) // 2, len(near) // 2)])
    return Swap(at, float(np.exp(0.5 * (step + rest_step))))


def _split(level: NDArray[np.float64], guess: int, reach: int) -> int:
    """Return the cut within ``reach`` of a guess at which two constants fit best."""
    a, b = max(1, guess - reach), min(len(level) - 1, guess + reach)
    near = level[max(0, a - 2 * reach) : b + 2 * reach]
    shift = max(0, a - 2 * reach)
    n, total, first = len(near), near.sum(), np.cumsum(near)
    cuts = np.arange(a - shift, b - shift + 1)
    left = first[cuts - 1]
    gain = left**2 / cuts + (total - left) ** 2 / np.maximum(n - cuts, 1)
    return int(cuts[np.argmax(gain)]) + shift


@nb.njit(cache=True, nogil=True)
def stuck(power: NDArray[np.float32], floor: float, steps_min: int) -> NDArray[np.bool_]:
    """Return the steps inside runs of at least ``steps_min`` identical readings above ``floor`` (kW); a gap ends a run."""
    out = np.zeros(len(power), np.bool_)
    start = 0
    for t in range(1, len(power) + 1):
        if t == len(power) or power[t] != power[start] or not np.isfinite(power[t]):
            if t - start >= steps_min and np.isfinite(power[start]) and power[start] > floor:
                out[start:t] = True
            start = t
    return out


@nb.njit(cache=True, nogil=True)
def tie_rate(power: NDArray[np.float32], floor: float) -> float:
    """Return the share of neighbouring readings above ``floor`` that are identical; NaN where there are none."""
    ties, n = 0, 0
    for t in range(1, len(power)):
        if power[t] > floor and power[t - 1] > floor:
            n += 1
            if power[t] == power[t - 1]:
                ties += 1
    return ties / n if n else np.nan
