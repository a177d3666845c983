"""Hourly values of dust and ambient points, without lone spikes and frozen stretches.

The mean of an hour leaves out its single largest sample, so that one reading gone astray is no dusty hour. Hours whose
samples are all the same for half a day are a stuck instrument: they are set aside and counted.
"""

from __future__ import annotations

from collections.abc import Sequence

import numba
import numpy as np
import xarray as xr
from numpy.typing import NDArray

from workbench.contracts import Mark
from workbench.models.hourly import Grid, raw_blocks, runs
from workbench.models.no_value import HIGHEST

_NORMAL, _NONE, _STOPPED = int(Mark.NORMAL), int(Mark.NONE), int(Mark.STOPPED)


@numba.njit(cache=True, nogil=True)
def _hourly(
    value: np.ndarray, mark: np.ndarray, hour: np.ndarray, needed: int, mean: np.ndarray, flat: np.ndarray
) -> None:  # pragma: no cover - compiled
    points, times = value.shape
    hours = mean.shape[1]
    total, high, low = np.zeros(hours), np.zeros(hours), np.zeros(hours)
    count = np.zeros(hours, np.int64)
    for p in range(points):
        total[:], high[:], low[:] = 0.0, -1.0, 1e30
        count[:] = 0
        for t in range(times):
            h, v, m = hour[t], value[p, t], mark[p, t]
            if 0.0 <= v < HIGHEST and (m in (_NORMAL, _NONE, _STOPPED)):
                total[h] += v
                count[h] += 1
                high[h] = max(high[h], v)
                low[h] = min(low[h], v)
        for h in range(hours):
            n = count[h]
            if n >= 4 and n >= needed:
                mean[p, h] = (total[h] - high[h]) / (n - 1)
                flat[p, h] = high[h] == low[h]
            elif n >= needed and n > 0:
                mean[p, h] = total[h] / n
        for h in range(1, hours):  # an hourly grid has one sample an hour: flat is then the same as the hour before
            if count[h] > 0 and count[h] < 4 and count[h - 1] > 0 and high[h] == low[h - 1] and low[h] == high[h]:
                flat[p, h] = True


def robust_hours(
    cube: xr.Dataset, point_ids: Sequence[str], grid: Grid, *, cover_lowest: float, stuck_hours: float
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Return hourly values in the points' own units, and the hours set aside as stuck.

    Parameters
    ----------
    cube : Dataset
        Lazy cube with dims (point, time), grid of an hour or finer.
    point_ids : sequence of str
        Points to read; one not in the cube stays NaN.
    cover_lowest : float
        Share of the expected samples that an hour needs.
    stuck_hours : float
        So many flat hours in a row are a stuck instrument.

    Returns
    -------
    value : float32 array, shape (point, hour)
        NaN where too few samples arrived or the instrument was stuck.
    stuck : bool array, shape (point, hour)

    Raises
    ------
    InsufficientData
        If the grid is coarser than an hour.
    """
    n = len(point_ids)
    mean, flat = np.full((n, grid.n), np.nan, np.float32), np.zeros((n, grid.n), np.bool_)
    for b in raw_blocks(cube, point_ids, grid):
        needed = max(1, int(np.ceil(cover_lowest * b.per_hour - 1e-9)))
        m, f = mean[b.rows], flat[b.rows]  # fancy indexing copies
        _hourly(b.value, b.mark, b.hour, needed, m, f)
        mean[b.rows], flat[b.rows] = m, f
    stuck = np.zeros_like(flat)
    for k in range(n):
        for first, stop in runs(flat[k]):
            if stop - first >= stuck_hours:
                stuck[k, first:stop] = True
    mean[stuck] = np.nan
    return mean, stuck
