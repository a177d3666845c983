"""Sharp lasting jumps of fine readings, the largest of each hour, and their usual step; compiled by numba, free of the GIL.

Concentrations in a pit, a stack or a sample line move as fast as these mix; a value that is set, scaled or let go again changes within one
sample. Dips of a sample or two (a purge) do not last and are no jumps.
"""

from __future__ import annotations

import numpy as np
from numba import njit

LEAST = 0.1
"""Smallest jump, as a logarithm; judged: the error of one monitor is about as large."""
TIMES = 5.0
"""Smallest jump in units of the usual change of the readings about it; judged."""
_NEAR, _WIDE, _STOPPED = 5, 40, 1


@njit(cache=True, nogil=True)
def jumps_of_hours(value: np.ndarray, mark: np.ndarray, offset: int, per_day: int, jump: np.ndarray, at: np.ndarray) -> None:
    """Write the largest sharp lasting jump of each hour.

    A jump lies between two samples: the medians of three readings before and after differ by :data:`LEAST` at least, most of it in the one
    step, five readings on each side say so too, and it is :data:`TIMES` the mean change (steps without change left out) of the 80 samples
    about it. Readings under a stop mark count, since what stands in a pit is still read; those under any other mark do not.

    Parameters
    ----------
    value : float32 array, shape (point, time)
    mark : uint8 array, shape (point, time)
        0 normal, 255 none, 1 stopped.
    offset, per_day : int
        As for :func:`workbench.models.monitoring.kernels.scan`.
    jump : float32 array, shape (point, hour)
        Output: log of the level after over that before; 0 where there is none.
    at : float32 array, shape (point, hour)
        Output: sample of the period at which it begins; −1 where there is none.
    """
    n_point, n = value.shape
    per_hour = per_day // 24
    before, after = np.empty(_NEAR, np.float64), np.empty(_NEAR, np.float64)
    for i in range(n_point):
        for h in range(jump.shape[1]):
            jump[i, h], at[i, h] = np.float32(0.0), np.float32(-1.0)
        for t in range(_NEAR, n - _NEAR + 1):
            step = np.float64(value[i, t]) - np.float64(value[i, t - 1])
            # most samples end here: under half of the smallest jump
            if not abs(step) >= 0.5 * LEAST * min(value[i, t], value[i, t - 1]) or step == 0.0:
                continue
            usable = True
            for k in range(t - _NEAR, t + _NEAR):
                x, m = value[i, k], mark[i, k]
                usable = usable and x > 0 and np.isfinite(x) and (m == 0 or m == 255 or m == _STOPPED)
            if not usable:
                continue
            for k in range(_NEAR):
                before[k], after[k] = value[i, t - 1 - k], value[i, t + k]
            low, high = np.median(before[:3]), np.median(after[:3])
            moved = high - low
            if moved * step <= 0 or abs(step) < 0.6 * abs(moved):
                continue
            if (np.median(after) - np.median(before)) * moved < 0.3 * moved * moved:
                continue
            size = np.log(high / low)
            if abs(size) < LEAST:
                continue
            total, count = 0.0, 0
            for k in range(max(1, t - _WIDE), min(n, t + _WIDE + 1)):
                m, w = mark[i, k], mark[i, k - 1]
                if k == t or not (m == 0 or m == 255 or m == _STOPPED) or not (w == 0 or w == 255 or w == _STOPPED):
                    continue
                change = abs(np.float64(value[i, k]) - np.float64(value[i, k - 1]))
                if np.isfinite(change) and change > 0:
                    total += change
                    count += 1
            if count < 3 or abs(moved) < TIMES * total / count:
                continue
            h = (t + offset) // per_hour
            if h < jump.shape[1] and abs(size) > abs(jump[i, h]):
                jump[i, h], at[i, h] = np.float32(size), np.float32(t + offset)


@njit(cache=True, nogil=True)
def steps_of_hours(value: np.ndarray, mark: np.ndarray, offset: int, per_day: int, out: np.ndarray) -> None:
    """Write the median absolute step between neighbouring ordinary readings of each hour, NaN where over half of them are missing.

    Parameters
    ----------
    value, mark, offset, per_day
        As for :func:`jumps_of_hours`; readings under a stop mark are not ordinary here.
    out : float32 array, shape (point, hour)
        Output, in the unit of the point. The median, since a purge makes two large steps.
    """
    n_point, n = value.shape
    per_hour = per_day // 24
    steps = np.empty(per_hour, np.float32)
    for i in range(n_point):
        for h in range(out.shape[1]):
            out[i, h] = np.float32(np.nan)
            lo, hi = max(h * per_hour - offset, 1), min((h + 1) * per_hour - offset, n)
            count = 0
            for t in range(lo, hi):
                m, w = mark[i, t], mark[i, t - 1]
                step = abs(value[i, t] - value[i, t - 1])
                if not np.isfinite(step) or not (m == 0 or m == 255) or not (w == 0 or w == 255):
                    continue
                k = count
                while k > 0 and steps[k - 1] > step:
                    steps[k] = steps[k - 1]
                    k -= 1
                steps[k] = step
                count += 1
            if 2 * count >= per_hour:
                out[i, h] = steps[count // 2]
