"""How often equal readings repeat themselves, counted by the level of the value; compiled by numba, free of the GIL."""

from __future__ import annotations

import math

import numpy as np
from numba import njit

LEVELS, EARLY, LATE = 64, 4, 12
"""Half-octaves of value level; runs are counted up to EARLY and up to LATE values, so that no long run can hide itself."""


@njit(cache=True, nogil=True)
def level_of(x: float) -> int:
    """Return the half-octave of a value, 1 to LEVELS − 1; 0 for zero and below."""
    if not x > 0.0:
        return 0
    mantissa, exponent = math.frexp(x)
    level = 2 * (exponent + 9) + (1 if mantissa >= 0.7071067811865476 else 0)
    return min(max(level, 1), LEVELS - 1)


def levels_of(x: np.ndarray) -> np.ndarray:
    """Return :func:`level_of` of every value, shape as ``x``; 0 where it is not finite."""
    out = np.zeros(x.size, np.int64)
    _levels(np.ascontiguousarray(x).ravel(), out)
    return out.reshape(x.shape)


@njit(cache=True, nogil=True)
def _levels(x: np.ndarray, out: np.ndarray) -> None:
    for i in range(x.size):
        if np.isfinite(x[i]):
            out[i] = level_of(float(x[i]))


@njit(cache=True, nogil=True)
def tie_hazards(value: np.ndarray, mark: np.ndarray, hazard: np.ndarray) -> None:
    """Count, by value level, how often a run of equal values goes on: early (up to 4 values) and later (up to 12).

    Parameters
    ----------
    value, mark
        As for :func:`scan`.
    hazard : float32 array, shape (point, LEVELS, 4)
        Output, added to: early continuations, early chances, late continuations, late chances. Capping every run makes
        the count insensitive to the very runs that are looked for.
    """
    for i in range(value.shape[0]):
        run_value, length = np.float32(np.nan), 0
        for t in range(value.shape[1] + 1):
            x = np.float32(np.nan)
            if t < value.shape[1]:
                x = value[i, t]
                m = mark[i, t]
                if not np.isfinite(x) or not (m == 0 or m == 255):
                    continue
                if x == run_value:
                    length += 1
                    continue
            if length > 0:
                b = level_of(run_value)
                on = min(length, EARLY) - 1
                hazard[i, b, 0] += on
                hazard[i, b, 1] += on + (1 if length < EARLY else 0)
                if length >= EARLY:
                    on = min(length, LATE) - EARLY
                    hazard[i, b, 2] += on
                    hazard[i, b, 3] += on + (1 if length < LATE else 0)
            run_value, length = x, 1
