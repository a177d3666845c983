"""Hourly means from observation cubes, chunk by chunk, and what is derived from them.

A cube of any grid up to one hour becomes, per point and hour, the mean of its valid values and the share of valid
values. Valid: a value from 0 up to 1e9 with mark N, F or none that is no device's word for "nothing" (9999, 65535).
Raw values are read block by block of points.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import numba
import numpy as np
import pandas as pd
import xarray as xr

from workbench.contracts import InsufficientData, Mark, Period, interval_s
from workbench.models.no_value import HIGHEST, drop_codes

_NORMAL, _NONE, _STOPPED = int(Mark.NORMAL), int(Mark.NONE), int(Mark.STOPPED)
BLOCK = 96
"""Points read at a time: it bounds the memory that raw values take."""
LONGER, USUAL_SHARE, LONGEST_RUN = 3, 0.9, 4096
"""A run stands still that is this many times as long as this share of the point's own values have theirs; longer runs count as the last."""


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
    still : bool array
        More than half of the hour's values lie in one run of equal values that is longer than an hour and three times as
        long as nine of ten values of the point's own runs: test gas without its mark, or an instrument that holds.
        Never on a grid of an hour, nor at zero.
    """

    mean: np.ndarray
    stopped: np.ndarray
    still: np.ndarray


@dataclass(frozen=True)
class Block:
    """Raw values of some points over a grid of hours.

    Parameters
    ----------
    rows : int array, shape (point,)
        Places of the points among those asked for.
    value, mark : arrays, shape (point, time)
    hour : int array, shape (time,)
        Hour of the grid in which each value lies.
    per_hour : float
        Values expected in an hour.
    """

    rows: np.ndarray
    value: np.ndarray
    mark: np.ndarray
    hour: np.ndarray
    per_hour: float


def raw_blocks(cube: xr.Dataset, point_ids: Sequence[str], grid: Grid) -> Iterator[Block]:
    """Yield the raw values of points, so many points at a time that memory stays bounded; points not in the cube are left out.

    Raises
    ------
    InsufficientData
        If the cube's grid is coarser than an hour.
    """
    step = interval_s(cube)
    if not step <= 3600:
        raise InsufficientData("hourly values need a grid of an hour or finer", got=f"{step:g} s", allowed="≤ 3600 s")
    at = pd.Index(cube["point"].to_numpy().astype(object)).get_indexer(pd.Index(point_ids, dtype=object))
    found = np.flatnonzero(at >= 0)
    time = cube["time"].to_numpy().astype("datetime64[ns]")
    lo, hi = (int(x) for x in np.searchsorted(time, [grid.start.to_datetime64(), grid.end.to_datetime64()]))
    if hi <= lo:
        return
    order = found[np.argsort(at[found], kind="stable")]
    hour = np.floor((time[lo:hi] - grid.start.to_datetime64()) / np.timedelta64(1, "h")).astype(np.int64)
    for first in range(0, order.size, BLOCK):
        rows = order[first : first + BLOCK]
        part = cube[["value", "mark"]].isel(point=at[rows], time=slice(lo, hi)).compute()
        value = part["value"].to_numpy()  # fancy indexing copied it
        drop_codes(value)
        yield Block(rows, value, part["mark"].to_numpy(), hour, 3600.0 / step)


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


@numba.njit(cache=True, nogil=True)
def _stand_still(value: np.ndarray, mark: np.ndarray, hour: np.ndarray, per_hour: float, still: np.ndarray) -> None:
    """Set the hours that mostly lie in a run of equal values of unusual length; a gap or a mark neither ends nor lengthens a run."""
    points, times = value.shape
    hours = still.shape[1]
    length = np.zeros(times, np.int64)
    count = np.zeros(LONGEST_RUN + 1, np.int64)
    inside = np.zeros(hours, np.int64)
    for p in range(points):
        length[:] = 0
        count[:] = 0
        inside[:] = 0
        first, run, last, total = -1, 0, np.nan, 0
        for t in range(times + 1):
            if t < times:
                v, m = value[p, t], mark[p, t]
                if not (0.0 < v < HIGHEST and (m in (_NORMAL, _NONE))):
                    continue
                if v == last:
                    run += 1
                    continue
            if run > 0:
                count[min(run, LONGEST_RUN)] += run
                total += run
                length[first] = run
            if t < times:
                first, run, last = t, 1, v
        usual, seen = 1, 0
        while usual < LONGEST_RUN and seen + count[usual] < USUAL_SHARE * total:
            seen += count[usual]
            usual += 1
        for a in range(times):
            if length[a] > per_hour and length[a] > LONGER * usual:
                left, t = length[a], a
                while left > 0 and t < times:
                    if value[p, t] == value[p, a] and mark[p, t] in (_NORMAL, _NONE):
                        inside[hour[t]] += 1
                        left -= 1
                    t += 1
        for h in range(hours):
            still[p, h] = 2 * inside[h] > per_hour


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
        np.zeros((len(point_ids), grid.n), np.bool_),
    )
    for b in raw_blocks(cube, point_ids, grid):
        mean, stopped, still = out.mean[b.rows], out.stopped[b.rows], out.still[b.rows]  # fancy indexing copies
        _accumulate(b.value, b.mark, b.hour, b.per_hour, cover_lowest * b.per_hour - 1e-9, mean, stopped)
        if b.per_hour > 1:
            _stand_still(b.value, b.mark, b.hour, b.per_hour, still)
        out.mean[b.rows], out.stopped[b.rows], out.still[b.rows] = mean, stopped, still
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
