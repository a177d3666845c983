"""Contract of the observation cubes ``obs_*``.

A cube is an :class:`xarray.Dataset` with dims ``(point, time)`` on a regular grid: ``value`` float32 (NaN: nothing
arrived) and ``mark`` uint8 (:class:`~workbench.contracts.vocabulary.Mark`, 255: none). The unit of a point stands
in ``points.unit``. Checks read the coordinates only, never the values, so a cube stays lazy.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
import xarray as xr

from workbench.contracts.breaches import Breach
from workbench.contracts.vocabulary import System

CUBES: dict[str, System] = {f"obs_{s.value}": s for s in System if s is not System.VIDEO}
"""Cube entries and the system whose points they hold."""
REQUIRED_ENTRIES = frozenset({"enterprises", "outlets", "points"})


def check_cube(name: str, cube: xr.Dataset, points: pd.DataFrame | None = None) -> list[Breach]:
    """Return every breach of cube ``name``.

    Parameters
    ----------
    name : str
        One of :data:`CUBES`.
    cube : xarray.Dataset
        The opened, lazy cube.
    points : DataFrame, optional
        The ``points`` table, to hold the ``point`` coordinate against.
    """
    found: list[Breach] = []
    for variable, kind in (("value", np.float32), ("mark", np.uint8)):
        if variable not in cube:
            found.append(Breach(name, variable, f"a variable of {np.dtype(kind)} over (point, time)"))
            continue
        got = cube[variable]
        if got.dtype != kind:
            found.append(Breach(name, variable, f"dtype {np.dtype(kind)}", examples=[f"got {got.dtype}"]))
        if got.dims != ("point", "time"):
            found.append(Breach(name, variable, "dims (point, time)", examples=[f"got {got.dims}"]))
    found += [Breach(name, c, "a coordinate") for c in ("point", "time") if c not in cube.coords]
    if any(b.column in ("point", "time") for b in found):
        return found
    return found + _check_time(name, cube) + _check_points(name, cube, points)


def _check_time(name: str, cube: xr.Dataset) -> list[Breach]:
    time = cube["time"].to_numpy()
    if not np.issubdtype(time.dtype, np.datetime64):
        return [Breach(name, "time", "local timestamps", examples=[f"got {time.dtype}"])]
    if len(time) < 2:
        return []
    step = np.diff(time.astype("datetime64[ns]").astype("int64"))
    found = []
    if (back := np.flatnonzero(step <= 0)).size:
        found.append(Breach(name, "time", "strictly increasing times", back.size, [f"at {time[i + 1]}" for i in back[:3]]))
    elif (odd := np.flatnonzero(step != step[0])).size:
        found.append(Breach(name, "time", f"a regular grid of {step[0] / 1e9:g} s", odd.size, [f"at {time[i + 1]}" for i in odd[:3]]))
    return found


def _check_points(name: str, cube: xr.Dataset, points: pd.DataFrame | None) -> list[Breach]:
    ids = pd.Index(cube["point"].to_numpy().astype(object))
    found = []
    if ids.has_duplicates:
        twice = ids[ids.duplicated()]
        found.append(Breach(name, "point", "each point once", len(twice), list(map(str, twice[:3]))))
    if points is not None and {"point_id", "system"} <= set(points):
        known = points.loc[points["system"] == CUBES[name].value, "point_id"]
        lost = ids[~ids.isin(known)]
        if len(lost):
            what = f"identifiers of points with system {CUBES[name].value}"
            found.append(Breach(name, "point", what, len(lost), list(map(str, lost[:3])), level="warning"))
    return found


def interval_s(cube: xr.Dataset) -> float:
    """Return the grid step of a cube in seconds (NaN for fewer than two times)."""
    time = cube["time"].to_numpy()
    return float((time[1] - time[0]) / np.timedelta64(1, "s")) if len(time) > 1 else float("nan")
