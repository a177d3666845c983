"""Features by (point, day) and (point, hour): the raw cubes reduced block by block, lazily.

A block is a row of storage chunks: a few points over all their times. One task reads it, lays the outlet marks over
the value marks, and runs the kernels; dask runs the tasks on threads or on a cluster with the same bytes as result,
since no task depends on another.
"""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from workbench.models.monitoring import kernels, levels
from workbench.models.monitoring.arrival import delays
from workbench.models.monitoring.fine import raw_sample
from workbench.models.monitoring.inputs import DAY, Cube, Inputs, limits_of, mark_spans
from workbench.models.monitoring.jumps import jumps_of_hours, steps_of_hours
from workbench.models.monitoring.no_value import drop_impossible
from workbench.models.monitoring.one_thread import one_blas_thread
from workbench.models.monitoring.vocabulary import FINEST, MONITOR_SYSTEMS

POINT_COLUMNS = (
    "system", "enterprise_id", "outlet_id", "factor", "role", "unit", "range_low", "range_high", "resolution",
    "street_town", "lon", "lat", "operator", "limit", "limit_basis", "o2_ref", "input",
)  # fmt: skip
BLOCK_ROWS = 32
"""Points per task where the store's chunks are smaller; measured, see docs/store-layout.md."""
GRAM_HOURS, MIN_GRAM = 1.2, 6
AXES = (1, 1, 0, 0, 1, 0)
"""Axis of the points in each output of :func:`reduce_block`."""
HABIT = 8
"""Rank of the match that counts as a habit."""
EMPTY_HASH = np.uint64(0xFFFFFFFFFFFFFFFF)


def reduce_block(
    value: np.ndarray,
    mark: np.ndarray,
    limits: np.ndarray,
    spans: tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray],
    grid: tuple[int, int, int],
    copies: bool,
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Reduce the raw rows of one block.

    Parameters
    ----------
    value : float32 array, shape (point, time)
    mark : uint8 array, shape (point, time)
    limits : float32 array, shape (point, 4)
        Limit, range end, negative tolerance, largest possible reading; see :func:`kernels.scan`.
    spans : arrays
        Outlet marks: first and last sample, code, row.
    grid : (offset, per_day, days)
    copies : bool
        Whether the searches for copied history are wanted (not for process channels).

    Returns
    -------
    day : float32, shape (N_DAY, point, day)
    hour : float32, shape (N_HOUR, point, hour)
    sketch : uint64, shape (point, day, SKETCH)
    where : int32, shape (point, day, SKETCH)
    twin : float32, shape (2, point, day)
        Best correlation of the day's fast detail with that of an earlier day, and that day (-1: none).
    hazard : float32, shape (point, LEVELS, 4)
        How often runs of equal values go on, by value level.
    """
    offset, per_day, days = grid
    value = np.ascontiguousarray(value, dtype=np.float32)
    mark = np.array(mark, dtype=np.uint8, order="C")
    n = value.shape[0]
    if spans[0].size:
        kernels.overlay_marks(mark, *spans)
    day = np.full((kernels.N_DAY, n, days), np.nan, np.float32)
    hour = np.full((kernels.N_HOUR, n, days * 24), np.nan, np.float32)
    kernels.scan(value, mark, limits, offset, per_day, day, hour, fresh_carry(n))
    sketch = np.full((n, days, kernels.SKETCH), EMPTY_HASH, np.uint64)
    where = np.full((n, days, kernels.SKETCH), -1, np.int32)
    twin = np.full((2, n, days), np.nan, np.float32)
    hazard = np.zeros((n, levels.LEVELS, 4), np.float32)
    if copies:
        if np.nansum(day[3]) > 0:
            value = value.copy()
            drop_impossible(value, limits)
        levels.tie_hazards(value, mark, hazard)
        kernels.sketch_grams(value, mark, offset, per_day, gram_length(per_day), sketch, where)
        if per_day >= FINEST:
            steps_of_hours(value, mark, offset, per_day, hour[-3])
            jumps_of_hours(value, mark, offset, per_day, hour[-2], hour[-1])
            with one_blas_thread():
                for i in range(n):
                    twin[:, i] = twin_days(value[i], mark[i], offset, per_day, days)
    return day, hour, sketch, where, twin, hazard


def fresh_carry(n: int) -> np.ndarray:
    """Return the state of :func:`kernels.scan` before the first value, shape (n, CARRY)."""
    carry = np.zeros((n, kernels.CARRY))
    carry[:, (0, 4, 5)] = np.nan
    return carry


def gram_length(per_day: int) -> int:
    """Return the values in one gram: 1.2 hours of them, six at least."""
    return max(MIN_GRAM, round(GRAM_HOURS * per_day / 24))


def twin_days(value: np.ndarray, mark: np.ndarray, offset: int, per_day: int, days: int) -> np.ndarray:
    """Return, per day, the best correlation of its fast detail with an earlier day's, and that day.

    The search is bounded: same time of day, whole days apart. Correlation is of the detail clipped at three times its
    own mean size, so that one shared spike (a purge, a start) does not look like a copy; what the eighth best match reaches is a
    habit of the series (a weekly cycle) and is taken off.
    """
    detail = np.empty((days, per_day), np.float32)
    kernels.detail_of_days(value, mark, offset, per_day, 2 * (per_day // 48) + 1, detail)
    size = np.abs(detail).mean(axis=1, keepdims=True)
    np.clip(detail, -3 * size, 3 * size, out=detail)
    norm = np.sqrt(np.einsum("ds,ds->d", detail, detail))
    detail /= np.where(norm > 0, norm, 1)[:, None]
    gram = detail @ detail.T
    best = np.empty(days, np.int64)
    corr, habit = np.empty(days, np.float32), np.empty(days, np.float32)
    kernels.earlier_twins(gram, min(HABIT, days), best, corr, habit)
    alive = (norm > 0) & (corr > -1)
    corr = np.tanh(np.arctanh(np.clip(corr, -0.9999, 0.9999)) - np.arctanh(np.clip(habit, 0, 0.9999)))
    return np.stack([np.where(alive, corr, np.nan), np.where(alive, best, -1)]).astype(np.float32)


def build(inputs: Inputs) -> xr.Dataset:
    """Return the lazy feature set of all points.

    Variables over (point, day) and (point, hour) carry ``units`` and ``long_name``; ``sketch`` and ``sketch_at`` are the
    smallest n-gram hashes of each day and where they end.
    """
    import dask.array as da

    points, days = len(inputs.roster), inputs.days
    parts = [_cube_parts(inputs, cube) for cube in inputs.cubes]
    rows = np.concatenate([c.rows for c in inputs.cubes]) if parts else np.array([], dtype=int)
    order = np.full(points, -1)
    order[rows] = np.arange(len(rows))
    held = np.flatnonzero(order >= 0)
    joined = [da.concatenate([p[k] for p in parts or [_no_rows(days)]], axis=axis) for k, axis in enumerate(AXES)]
    roster = inputs.roster.iloc[held]
    # rows come cube by cube; the roster is sorted by point, so put them back in its order
    take = order[held]
    day, hour, sketch, where, twin, hazard = (da.take(a, take, axis=axis) for a, axis in zip(joined, AXES, strict=True))
    per_day = np.zeros(points, dtype=np.int32)
    first = np.zeros(points, dtype=np.int64)
    for cube in inputs.cubes:
        per_day[cube.rows], first[cube.rows] = cube.per_day, cube.offset
    variables: dict[str, Any] = {}
    for k, (name, (unit, words)) in enumerate(kernels.DAY_STATISTICS.items()):
        variables[name] = (("point", "day"), day[k], {"units": unit, "long_name": words})
    for k, (name, (unit, words)) in enumerate(kernels.HOUR_STATISTICS.items()):
        variables[name] = (("point", "hour"), hour[k], {"units": unit, "long_name": words})
    variables["sketch"] = (("point", "day", "gram"), sketch, {"units": "1", "long_name": "smallest n-gram hashes"})
    variables["sketch_at"] = (("point", "day", "gram"), where, {"units": "1", "long_name": "sample at which the gram ends"})
    variables["twin_corr"] = (("point", "day"), twin[0], {"units": "1", "long_name": "best correlation of detail with an earlier day"})
    variables["twin_day"] = (("point", "day"), twin[1], {"units": "1", "long_name": "that earlier day"})
    variables["hazard"] = (("point", "level", "tie"), hazard, {"units": "1", "long_name": "how often runs of equal values go on"})
    if (late := delays(inputs, held)) is not None:
        variables["delay"] = (("point", "day"), late, {"units": "h", "long_name": "median time from measurement to arrival"})
    raw, raw_points = raw_sample(inputs, _blocks)
    variables |= raw
    coords: dict[str, Any] = {
        "point": roster["point_id"].to_numpy(dtype=object),
        "day": pd.date_range(inputs.first_day, periods=days, freq="D"),
        "hour": pd.date_range(inputs.first_day, periods=days * 24, freq="h"),
        "per_day": ("point", per_day[held]),
        "offset": ("point", first[held]),
    }
    coords |= {c: ("point", _plain(roster[c])) for c in POINT_COLUMNS}
    if len(raw_points):
        coords["raw_point"] = ("raw", raw_points)
    unread = inputs.roster[order < 0]
    attrs = {"lost": list(inputs.lost), "set_aside": unread[["point_id", "enterprise_id", "outlet_id", "input"]].to_dict("records")}
    marks = inputs.marks.reindex(columns=["outlet_id", "start", "end", "kind"]).sort_values(["outlet_id", "start", "kind"], kind="stable")
    for column in marks:
        coords[f"mark_{column}"] = ("marked", _plain(marks[column]))
    return xr.Dataset(variables, coords=coords, attrs=attrs)


def _plain(column: pd.Series) -> np.ndarray:
    return column.to_numpy(dtype=object) if column.dtype == object else column.to_numpy()


def _cube_parts(inputs: Inputs, cube: Cube) -> tuple[Any, ...]:
    """Return the dask arrays of one cube, one task per block of points."""
    import dask
    import dask.array as da

    limits, spans = limits_of(inputs, cube), mark_spans(inputs, cube)
    system = str(inputs.roster["system"].iloc[cube.rows[0]])
    grid = (cube.offset, cube.per_day, inputs.days)
    task = dask.delayed(_read_and_reduce, nout=len(AXES), pure=True)
    outputs: list[list[Any]] = [[] for _ in AXES]
    bounds = _blocks(cube)
    for lo, hi in itertools.pairwise(bounds):
        part = cube.data.isel(point=slice(lo, hi))
        a, b = np.searchsorted(spans[3], [lo, hi])
        cut = (spans[0][a:b], spans[1][a:b], spans[2][a:b], spans[3][a:b] - lo)
        n = hi - lo
        made = task(part["value"].data, part["mark"].data, limits[lo:hi], cut, grid, system in MONITOR_SYSTEMS)
        shapes = (
            ((kernels.N_DAY, n, inputs.days), np.float32),
            ((kernels.N_HOUR, n, inputs.days * 24), np.float32),
            ((n, inputs.days, kernels.SKETCH), np.uint64),
            ((n, inputs.days, kernels.SKETCH), np.int32),
            ((2, n, inputs.days), np.float32),
            ((n, levels.LEVELS, 4), np.float32),
        )
        for k, (shape, dtype) in enumerate(shapes):
            outputs[k].append(da.from_delayed(made[k], shape=shape, dtype=dtype))
    return tuple(da.concatenate(o, axis=axis) for o, axis in zip(outputs, AXES, strict=True))


def _no_rows(days: int) -> tuple[Any, ...]:
    """Return the outputs of a cube without points, so that a catalog without cubes is no special case."""
    import dask.array as da

    nothing = reduce_block(
        np.empty((0, 2), np.float32),
        np.empty((0, 2), np.uint8),
        np.empty((0, 3), np.float32),
        (np.array([], np.int64),) * 4,
        (0, 24, days),
        False,
    )
    return tuple(da.from_array(a, chunks=a.shape) for a in nothing)


def _read_and_reduce(value: Any, mark: Any, *arguments: Any) -> tuple[np.ndarray, ...]:
    return reduce_block(np.asarray(value), np.asarray(mark), *arguments)


def _blocks(cube: Cube) -> list[int]:
    """Return row bounds that follow the store's chunks, so that no chunk is read twice."""
    n = cube.data.sizes["point"]
    chunks = cube.data["value"].chunks
    if not chunks:
        return [*range(0, n, BLOCK_ROWS), n]
    bounds = np.cumsum((0, *chunks[0]))
    kept = [0]
    for edge in bounds[1:]:
        if edge - kept[-1] >= BLOCK_ROWS or edge == n:
            kept.append(int(edge))
    return kept


def day_index(times: pd.DatetimeIndex, first: pd.Timestamp) -> np.ndarray:
    """Return the day number of times counted from the first day."""
    return np.asarray((times - first) // DAY)
