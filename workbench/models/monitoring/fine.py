"""Readings of some points at their full rate, kept beside the statistics so that a rehearsal can edit them.

Hourly points carry their readings in the hourly means; for finer data the statistics forget them. A bounded sample is therefore kept:
whole chunks of the store, spread evenly over its points, and of these the pollutants of a bounded number of places. The choice depends
on the roster and the layout of the store only.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import xarray as xr

from workbench.models.monitoring import kernels
from workbench.models.monitoring.expectation import Expectation
from workbench.models.monitoring.inputs import Cube, Inputs, mark_spans
from workbench.models.monitoring.panel import Panel
from workbench.models.monitoring.vocabulary import AUXILIARY, FINEST, SAMPLED

BLOCKS, PLACES = 4, 16
"""Blocks of chunks that are read, and places whose pollutants are kept, of each system."""


def raw_sample(inputs: Inputs, blocks_of: Callable[[Cube], list[int]]) -> tuple[dict[str, Any], np.ndarray]:
    """Return the lazy variables ``raw_value`` and ``raw_mark`` over (raw, sample), and the point of each row.

    Cubes of the finest rate met are sampled; outlet marks are laid over the marks of the values, as for the statistics.
    """
    import dask
    import dask.array as da

    cubes = [c for c in inputs.cubes if c.per_day >= FINEST and str(inputs.roster["system"].iloc[c.rows[0]]) in SAMPLED]
    if not cubes:
        return {}, np.array([], dtype=object)
    per_day = max(c.per_day for c in cubes)
    samples = inputs.days * per_day
    values, marks, ids = [], [], []
    for cube in (c for c in cubes if c.per_day == per_day):
        spans = mark_spans(inputs, cube)
        for lo, hi, rows in _chosen(inputs, cube, blocks_of(cube)):
            part = cube.data.isel(point=slice(lo, hi))
            a, b = np.searchsorted(spans[3], [lo, hi])
            cut = (spans[0][a:b], spans[1][a:b], spans[2][a:b], spans[3][a:b] - lo)
            made = dask.delayed(_rows_of, nout=2, pure=True)(part["value"].data, part["mark"].data, cut, rows - lo, cube.offset, samples)
            values.append(da.from_delayed(made[0], shape=(len(rows), samples), dtype=np.float32))
            marks.append(da.from_delayed(made[1], shape=(len(rows), samples), dtype=np.uint8))
            ids += inputs.roster["point_id"].iloc[cube.rows[rows]].tolist()
    if not ids:
        return {}, np.array([], dtype=object)
    words = {"units": "unit of the point", "long_name": "readings of the sampled points, for the rehearsal"}
    return (
        {
            "raw_value": (("raw", "sample"), da.concatenate(values), words),
            "raw_mark": (("raw", "sample"), da.concatenate(marks), {"units": "1", "long_name": "their marks"}),
        },
        np.array(ids, dtype=object),
    )


def _chosen(inputs: Inputs, cube: Cube, bounds: list[int]) -> list[tuple[int, int, np.ndarray]]:
    """Return (first row, last row + 1, pollutant rows of the chosen places) of evenly spread blocks of a cube."""
    roster = inputs.roster.iloc[cube.rows]
    wanted = (~roster["factor"].isin(AUXILIARY) & (roster["outlet_id"] != "") & (roster["enterprise_id"] != "")).to_numpy()
    outlet = roster["outlet_id"].to_numpy(dtype=object)
    picks = np.unique(np.linspace(0, len(bounds) - 2, BLOCKS).round().astype(int))
    each = -(-PLACES // len(picks))
    out = []
    for k in picks.tolist():
        lo, hi = bounds[k], bounds[k + 1]
        rows = np.arange(lo, hi)[wanted[lo:hi]]
        places = sorted(set(outlet[rows]))
        kept = (
            {places[i] for i in np.unique(np.linspace(0, len(places) - 1, min(each, len(places))).round().astype(int))} if places else set()
        )
        rows = rows[[o in kept for o in outlet[rows]]]
        if len(rows):
            out.append((lo, hi, rows))
    return out


def _rows_of(
    value: Any, mark: Any, spans: tuple[np.ndarray, ...], rows: np.ndarray, offset: int, samples: int
) -> tuple[np.ndarray, np.ndarray]:
    code = np.array(mark, dtype=np.uint8, order="C")
    if spans[0].size:
        kernels.overlay_marks(code, *spans)
    x, m = np.full((len(rows), samples), np.nan, np.float32), np.full((len(rows), samples), 255, np.uint8)
    n = min(code.shape[1], samples - offset)
    x[:, offset : offset + n], m[:, offset : offset + n] = np.asarray(value)[rows, :n], code[rows, :n]
    return x, m


def around_the_sample(panel: Panel) -> tuple[Panel, np.ndarray]:
    """Return the panel cut to the sampled places and the process of their enterprises, and the row of each sampled point in it.

    Expectations are those of the whole panel.
    """
    where = {p: k for k, p in enumerate(panel.roster["point_id"])}
    raw = np.array([where[p] for p in panel.data["raw_point"].to_numpy().astype(object)], dtype=int)
    enterprises = panel.roster["enterprise_id"].to_numpy(dtype=object)
    parts = [panel.members[str(panel.station[r])] for r in raw.tolist()]
    parts += [rows for e in sorted({str(enterprises[r]) for r in raw}) for rows in panel.process_rows.get(e, {}).values()]
    rows = np.unique(np.concatenate(parts)).astype(int)
    cut = Panel(panel.data.drop_dims(["raw", "sample"]).isel(point=rows))
    for name in ("expectation", "process_expectation"):
        cut.__dict__[name] = _rows(getattr(panel, name), rows)
    z, logarithmic = panel.transformed
    cut.__dict__["transformed"] = (z[rows], logarithmic[rows])
    return cut, np.searchsorted(rows, raw)


def _rows(e: Expectation, rows: np.ndarray) -> Expectation:
    return replace(
        e, **{k: getattr(e, k)[rows] for k in ("residual", "scale", "explained", "predictors", "logarithmic", "expected", "noise")}
    )


def has_sample(data: xr.Dataset) -> bool:
    """Return whether a feature set holds readings at full rate."""
    return "raw_value" in data and data.sizes.get("raw", 0) > 0
