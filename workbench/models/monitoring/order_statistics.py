"""Medians and quantiles of many rows at once, NaN left out: the same numbers as ``numpy.nanmedian`` and ``numpy.nanquantile``.

NumPy takes masked arrays or a Python call per row for these, which was most of the detectors' time over a long history. The kernels
copy the known values of a row aside, select what is asked for, and release the GIL; blocks of rows run on threads.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from numba import njit

from workbench.contracts import threads

__all__ = ["lower_quartile", "median_of", "middle"]
_SERIAL = 200_000
"""Values below which threads cost more than they save."""


@njit(cache=True, nogil=True)
def _select(x: np.ndarray, size: int, k: int) -> None:
    """Put the k-th smallest of the first ``size`` values in its place: nothing before it is larger, nothing after it smaller."""
    lo, hi = 0, size - 1
    while hi - lo > 24:
        middle_ = (lo + hi) // 2
        a, b, c = x[lo], x[middle_], x[hi]
        pivot = max(min(a, b), min(max(a, b), c))
        i, j = lo, hi
        while i <= j:
            while x[i] < pivot:
                i += 1
            while pivot < x[j]:
                j -= 1
            if i <= j:
                x[i], x[j] = x[j], x[i]
                i += 1
                j -= 1
        if k <= j:
            hi = j
        elif k >= i:
            lo = i
        else:
            return
    for i in range(lo + 1, hi + 1):
        kept = x[i]
        j = i - 1
        while j >= lo and x[j] > kept:
            x[j + 1] = x[j]
            j -= 1
        x[j + 1] = kept


@njit(cache=True, nogil=True)
def _median(x: np.ndarray, size: int) -> float:
    """Return the median of the first ``size`` values, NaN for none; their order is changed."""
    if size == 0:
        return np.nan
    half = size // 2
    _select(x, size, half)
    if size % 2:
        return float(x[half])
    below = x[0]
    for k in range(1, half):
        below = max(below, x[k])
    return float((below + x[half]) / 2)


@njit(cache=True, nogil=True)
def _medians(x: np.ndarray, out: np.ndarray) -> None:
    known = np.empty(x.shape[1], x.dtype)
    for i in range(x.shape[0]):
        size = 0
        for k in range(x.shape[1]):
            if not np.isnan(x[i, k]):
                known[size] = x[i, k]
                size += 1
        out[i] = _median(known, size)


@njit(cache=True, nogil=True)
def _lower_quartiles(x: np.ndarray, out: np.ndarray) -> None:
    known = np.empty(x.shape[1], x.dtype)
    for i in range(x.shape[0]):
        size = 0
        for k in range(x.shape[1]):
            if not np.isnan(x[i, k]):
                known[size] = x[i, k]
                size += 1
        if size == 0:
            out[i] = np.nan
            continue
        at = (size - 1) * 0.25
        lo = int(at)
        share = at - lo
        _select(known, size, lo)
        a = known[lo]
        if lo + 1 < size:
            b = known[lo + 1]
            for k in range(lo + 2, size):
                b = min(b, known[k])
        else:
            b = a
        # the two forms of the interpolation are NumPy's
        out[i] = b - (b - a) * (1 - share) if share >= 0.5 else a + (b - a) * share


def _by_rows(kernel: Callable[[np.ndarray, np.ndarray], None], x: np.ndarray) -> np.ndarray:
    out = np.empty(len(x), x.dtype)
    if x.size < _SERIAL or threads() == 1:
        kernel(x, out)
        return out
    parts = np.linspace(0, len(x), 4 * threads() + 1).astype(int)
    with ThreadPoolExecutor(threads()) as pool:
        list(pool.map(lambda k: kernel(x[parts[k] : parts[k + 1]], out[parts[k] : parts[k + 1]]), range(len(parts) - 1)))
    return out


def middle(x: np.ndarray, axis: int = 1) -> np.ndarray:
    """Return the median along an axis, NaN left out; NaN where nothing is left. Float32 stays float32."""
    x = np.asarray(x)
    x = np.moveaxis(x if x.dtype in (np.float32, np.float64) else x.astype(float), axis, -1)
    rows = np.ascontiguousarray(x).reshape(int(np.prod(x.shape[:-1])), x.shape[-1])
    return _by_rows(_medians, rows).reshape(x.shape[:-1])


def lower_quartile(x: np.ndarray) -> np.ndarray:
    """Return the 25 % quantile of each row, NaN left out, by linear interpolation; NaN where nothing is left."""
    return _by_rows(_lower_quartiles, np.ascontiguousarray(x, dtype=float))


def median_of(x: np.ndarray) -> np.floating:
    """Return the median of a one-dimensional array without NaN, in its own precision; NaN for an empty one."""
    return x.dtype.type(_median(x.copy(), x.size))  # type: ignore[no-any-return]
