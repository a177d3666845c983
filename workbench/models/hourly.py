"""Hourly means from observation cubes, chunk by chunk, and what is derived from them.

A cube of any grid up to one hour becomes, per point and hour, the mean of its valid values and the share of valid
values. Valid: a value from 0 up to 1e9 with mark N, F or none. Raw values are read block by block of points.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numba
import numpy as np
import pandas as pd
import xarray as xr

from workbench.contracts import InsufficientData, Mark, Period, interval_s

_NORMAL, _NONE, _STOPPED = int(Mark.NORMAL), int(Mark.NONE), int(Mark.STOPPED)
HIGHEST = 1e9
"""No point of the contract reads as much in its unit: such a number is some device's word for "nothing"."""
BLOCK = 96
"""Points read at a time: it bounds the memory that raw values take."""


@dataclass(frozen=True)
class Grid:
    """A regular hourly grid: first hour and number of hours."""

    start: pd.Timestamp
    n: int

    @classmethod
    def over(cls, period: Period) -> Grid:
        """Return the grid of whole hours that covers a period."""
        start = period.start.floor("h")
        return cls(start, max(1, int(np.ceil((period.end - start) / pd.Timedelta(hours=1)))))

    @property
    def hours(self) -> pd.DatetimeIndex:
        """Start of every hour."""
        return pd.date_range(self.start, periods=self.n, freq="h")

    @cached_property
    def end(self) -> pd.Timestamp:
        """End of the last hour."""
        return self.start + pd.Timedelta(hours=self.n)

    def index(self, times: pd.Series | pd.DatetimeIndex | Sequence[pd.Timestamp]) -> np.ndarray:
        """Return fractional hour positions of times, not clipped."""
        stamps = np.asarray(times, dtype="datetime64[ns]")
        return np.asarray((stamps - self.start.to_datetime64()) / np.timedelta64(1, "h"), dtype=float)

    def mask(self, starts: pd.Series, ends: pd.Series) -> np.ndarray:
        """Return the hours touched by any of the spans ``[start, end)``, bool of shape (n,)."""
        if not len(starts):
            return np.zeros(self.n, bool)
        lo = np.clip(np.floor(self.index(starts)), 0, self.n).astype(int)
        hi = np.clip(np.ceil(self.index(ends)), 0, self.n).astype(int)
        step = np.zeros(self.n + 1, np.int64)
        np.add.at(step, lo, 1)
        np.add.at(step, np.maximum(hi, lo), -1)
        return np.asarray(np.cumsum(step[:-1]) > 0)


@dataclass(frozen=True)
class HourMeans:
    """Hourly means of points, all arrays of shape (point, hour).

    Parameters
    ----------
    mean : float32 array
        Mean of the values marked N, F or not at all; NaN where too few arrived.
    stopped : bool array
        At least half of the hour's values are marked F (stopped) by the device.
    """

    mean: np.ndarray
    stopped: np.ndarray


@numba.njit(cache=True, nogil=True)
def _accumulate(
    value: np.ndarray, mark: np.ndarray, hour: np.ndarray, per_hour: float, needed: float, mean: np.ndarray, stopped: np.ndarray
) -> None:
    points, times = value.shape
    hours = mean.shape[1]
    total = np.zeros(hours)
    count = np.zeros(hours, np.int64)
    off = np.zeros(hours, np.int64)
    for p in range(points):
        total[:] = 0.0
        count[:] = 0
        off[:] = 0
        for t in range(times):
            h = hour[t]
            v = value[p, t]
            m = mark[p, t]
            if m == _STOPPED:
                off[h] += 1
            if 0.0 <= v < HIGHEST and (m in (_NORMAL, _NONE, _STOPPED)):
                total[h] += v
                count[h] += 1
        for h in range(hours):
            stopped[p, h] = 2 * off[h] >= per_hour
            if count[h] > 0 and count[h] >= needed:
                mean[p, h] = total[h] / count[h]


def hour_means(cube: xr.Dataset, point_ids: Sequence[str], grid: Grid, *, cover_lowest: float = 0.0) -> HourMeans:
    """Return the hourly means of points.

    Parameters
    ----------
    cube : Dataset
        Lazy cube with dims (point, time).
    point_ids : sequence of str
        Points to read; one not in the cube stays NaN.
    grid : Grid
        Hours wanted.
    cover_lowest : float
        Share of the expected values that an hour needs; 0: any value will do.

    Raises
    ------
    InsufficientData
        If the cube's grid is coarser than an hour.
    """
    out = HourMeans(
        np.full((len(point_ids), grid.n), np.nan, np.float32),
        np.zeros((len(point_ids), grid.n), np.bool_),
    )
    step = interval_s(cube)
    if not step <= 3600:
        raise InsufficientData("hourly means need a grid of an hour or finer", got=f"{step:g} s", allowed="≤ 3600 s")
    at = pd.Index(cube["point"].to_numpy().astype(object)).get_indexer(pd.Index(point_ids, dtype=object))
    found = np.flatnonzero(at >= 0)
    time = cube["time"].to_numpy().astype("datetime64[ns]")
    lo, hi = (int(x) for x in np.searchsorted(time, [grid.start.to_datetime64(), grid.end.to_datetime64()]))
    if not found.size or hi <= lo:
        return out
    order = found[np.argsort(at[found], kind="stable")]
    hour = np.floor((time[lo:hi] - grid.start.to_datetime64()) / np.timedelta64(1, "h")).astype(np.int64)
    for first in range(0, order.size, BLOCK):
        block = order[first : first + BLOCK]
        part = cube[["value", "mark"]].isel(point=at[block], time=slice(lo, hi)).compute()
        mean, stopped = out.mean[block], out.stopped[block]  # fancy indexing copies
        per_hour = 3600.0 / step
        _accumulate(part["value"].to_numpy(), part["mark"].to_numpy(), hour, per_hour, cover_lowest * per_hour - 1e-9, mean, stopped)
        out.mean[block], out.stopped[block] = mean, stopped
    return out


def referenced(concentration: np.ndarray, oxygen: np.ndarray, o2_ref: float, *, o2_highest: float) -> np.ndarray:
    """Return the concentration at reference oxygen, c·(21 − O2ref)/(21 − O2).

    Hours whose oxygen is missing or above ``o2_highest`` (% vol) are NaN: the conversion then says nothing.
    """
    usable = np.isfinite(oxygen) & (oxygen <= o2_highest)
    out = np.full(concentration.shape, np.nan, np.float32)
    out[usable] = concentration[usable] * (21.0 - o2_ref) / (21.0 - oxygen[usable])
    return out


def runs(mask: np.ndarray, *, join: int = 0) -> list[tuple[int, int]]:
    """Return half-open index spans where ``mask`` is true, joining spans that are at most ``join`` apart."""
    edges = np.flatnonzero(np.diff(np.r_[0, mask.astype(np.int8), 0]))
    spans: list[tuple[int, int]] = []
    for a, b in zip(edges[::2], edges[1::2], strict=True):
        if spans and a - spans[-1][1] <= join:
            spans[-1] = (spans[-1][0], int(b))
        else:
            spans.append((int(a), int(b)))
    return spans
