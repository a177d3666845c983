"""From a catalog to the roster of points that can be judged, with a named reason for each that cannot.

Everything that is unusual about the input becomes a code in ``roster["input"]`` here, so that no detector has to
guess: an unknown unit, a range that ends where it begins, times that run backwards, and so on.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
import xarray as xr

from workbench.contracts import CatalogView, Period
from workbench.contracts.units import known_unit
from workbench.models.monitoring.vocabulary import MONITOR_SYSTEMS, NOTICES, PROCESS_SYSTEMS, may_be_negative

DAY = pd.Timedelta(days=1)
MARK_CODES = {"stopped": 1, "maintenance": 2, "fault": 4, "calibration": 5, "startup": 8, "shutdown": 9, "other": 10}
"""Codes under which outlet marks are laid over the value marks; 8 and up have no HJ 212 letter."""
UNKNOWN_REACH = 1000.0
"""Largest reading of a concentration, temperature or share whose range is not on file; judged."""


@dataclass(frozen=True)
class Cube:
    """One observation cube cut to the period, with the rows of the roster it holds.

    Parameters
    ----------
    entry : str
        Catalog entry.
    data : xarray.Dataset
        Lazy, regular, cut to the period.
    rows : int array
        Positions in the roster, one per point of ``data``.
    offset, per_day : int
        Samples of the first day before the first column; samples per day.
    """

    entry: str
    data: xr.Dataset
    rows: np.ndarray
    offset: int
    per_day: int


@dataclass(frozen=True)
class Inputs:
    """Roster of points, cubes, marks, and what is lost because an entry is absent."""

    roster: pd.DataFrame
    cubes: list[Cube]
    marks: pd.DataFrame
    first_day: pd.Timestamp
    days: int
    lost: list[str]


def read_inputs(catalog: CatalogView, period: Period) -> Inputs:
    """Read what the model needs from ``catalog``.

    Points of a monitoring cube that the catalog lacks stay in the roster, so that each is named as not judged.

    Raises
    ------
    EntryMissing
        If ``points`` is absent.
    """
    systems = (*MONITOR_SYSTEMS, *PROCESS_SYSTEMS)
    first = period.start.floor("D")
    days = int(np.ceil((period.end - first) / DAY))
    points = catalog.table("points")
    points = points[points["system"].isin(systems)].sort_values("point_id", kind="stable").drop_duplicates("point_id")
    lost = [e for e in ("permit_limits", "marks", "weather", "inspections", "obs_power", "obs_condition") if not catalog.has(e)]
    present = [s for s in systems if catalog.has(f"obs_{s}")]
    lost += [f"obs_{s}" for s in MONITOR_SYSTEMS if s not in present]
    roster = points.loc[points["system"].isin((*MONITOR_SYSTEMS, *present))].reset_index(drop=True).copy()
    roster = _with_limits(_with_outlets(roster, catalog), catalog)
    roster["input"] = [
        _static_notice(str(u), float(a), float(b))
        for u, a, b in zip(roster["unit"], roster["range_low"], roster["range_high"], strict=True)
    ]
    roster.loc[~roster["system"].isin(present), "input"] = "no_cube"
    position = pd.Series(np.arange(len(roster)), index=roster["point_id"])
    cubes = []
    for system in present:
        entry = f"obs_{system}"
        cube, notice = _cut(entry, catalog.cube(entry), period, first, position)
        if cube is None:
            roster.loc[roster["system"] == system, "input"] = notice
            lost.append(f"{entry} ({NOTICES[notice].en})")
        else:
            cubes.append(cube)
    held = np.concatenate([c.rows for c in cubes]) if cubes else np.array([], dtype=int)
    absent = ~np.isin(np.arange(len(roster)), held) & (roster["input"].to_numpy() == "")
    roster.loc[absent, "input"] = "not_in_cube"
    marks = catalog.table("marks") if catalog.has("marks") else pd.DataFrame(columns=["outlet_id", "start", "end", "kind"])
    return Inputs(roster, cubes, marks, first, days, lost)


def _with_outlets(roster: pd.DataFrame, catalog: CatalogView) -> pd.DataFrame:
    outlets = catalog.table("outlets") if catalog.has("outlets") else pd.DataFrame(columns=["outlet_id", "o2_ref"])
    known = outlets.drop_duplicates("outlet_id").set_index("outlet_id")
    roster["o2_ref"] = pd.to_numeric(roster["outlet_id"].map(known["o2_ref"]), errors="coerce")
    operators: pd.Series | dict[str, str] = {}
    if catalog.has("enterprises"):
        operators = catalog.table("enterprises").drop_duplicates("enterprise_id").set_index("enterprise_id")["operator"]
    roster["operator"] = roster["enterprise_id"].map(operators).fillna("").astype(object)
    for column in ("enterprise_id", "outlet_id", "factor", "role", "unit", "street_town"):
        roster[column] = roster[column].fillna("").astype(object)
    return roster


def _with_limits(roster: pd.DataFrame, catalog: CatalogView) -> pd.DataFrame:
    roster["limit"], roster["limit_basis"] = np.nan, ""
    if not catalog.has("permit_limits"):
        return roster
    limits = catalog.table("permit_limits").dropna(subset=["limit"])
    limits = limits[limits["limit"] > 0].sort_values(["outlet_id", "factor", "limit"], kind="stable")
    strictest = limits.drop_duplicates(["outlet_id", "factor"]).set_index(["outlet_id", "factor"])
    keys = pd.MultiIndex.from_frame(roster[["outlet_id", "factor"]])
    found = strictest.reindex(keys)
    monitored = roster["system"].isin(("cems", "wastewater")).to_numpy()
    roster["limit"] = np.where(monitored, found["limit"].to_numpy(dtype=float), np.nan)
    roster["limit_basis"] = np.where(np.isfinite(roster["limit"]), found["basis"].fillna("hour").replace("", "hour").to_numpy(), "")
    return roster


def _static_notice(unit: str, low: float, high: float) -> str:
    """Return the code of what makes a point unfit for judging before a value is read; empty where nothing does."""
    if known_unit(unit) is None:
        return "unknown_unit"
    if np.isfinite(high) and high <= (low if np.isfinite(low) else 0.0):
        return "empty_range"
    return ""


def _cut(entry: str, cube: xr.Dataset, period: Period, first: pd.Timestamp, position: pd.Series) -> tuple[Cube | None, str]:
    """Return the cube inside the period, or None with the code of the reason."""
    time = cube["time"].to_numpy()
    if len(time) < 2:
        return None, "too_few_times"
    step = np.diff(time.astype("datetime64[ns]").astype(np.int64)) // 10**9
    if (step <= 0).any():
        return None, "time_backwards"
    if (step != step[0]).any() or 86400 % int(step[0]) or (step[0] < 3600 and 3600 % int(step[0])):
        return None, "irregular_times"
    per_day = int(86400 // step[0])
    if per_day < 24 and 24 % per_day:
        return None, "irregular_times"
    inside = (time >= period.start.to_datetime64()) & (time < period.end.to_datetime64())
    ids = cube["point"].to_numpy().astype(object)
    keep = np.flatnonzero(pd.Index(ids).isin(position.index) & ~pd.Index(ids).duplicated())
    if not inside.any() or not len(keep):
        return None, "nothing_in_period"
    columns = np.flatnonzero(inside)
    data = cube[[v for v in ("value", "mark", "delay") if v in cube]].isel(time=slice(int(columns[0]), int(columns[-1]) + 1), point=keep)
    offset = int((pd.Timestamp(time[columns[0]]) - first) / DAY * per_day)
    return Cube(entry, data, position.loc[ids[keep]].to_numpy(), offset, per_day), ""


def limits_of(inputs: Inputs, cube: Cube) -> np.ndarray:
    """Return the limits of the cube's rows, see :func:`limits_in`."""
    return limits_in(inputs.roster.iloc[cube.rows])


def limits_in(roster: pd.DataFrame) -> np.ndarray:
    """Return limit, upper range end, negative tolerance and reach of the points of a roster, shape (point, 4), NaN where unknown.

    The reach is the largest size a reading can have: the end of the range; where no range is on file a thousand, and none for flows
    and powers, which may well read 9999.
    """
    low, high = roster["range_low"].to_numpy(dtype=float), roster["range_high"].to_numpy(dtype=float)
    high = np.where(high > np.where(np.isfinite(low), low, 0.0), high, np.nan)
    zero_drift = -np.maximum(np.where(np.isfinite(high), 0.02 * high, 1.0), 1e-6)
    signed = np.array([may_be_negative(u) for u in roster["unit"]])
    large = roster["unit"].astype(str).str.contains("/h|/s|W|小时|瓦", regex=True).to_numpy()
    reach = np.where(np.isfinite(high), high, np.where(large, np.inf, UNKNOWN_REACH))
    limit = roster["limit"].to_numpy(dtype=float)
    return np.column_stack([limit, high, np.where(signed, np.nan, zero_drift), reach]).astype(np.float32)


def mark_spans(inputs: Inputs, cube: Cube) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Return the sample spans, codes and cube rows of the outlet marks that concern the cube, sorted by row and start."""
    empty = np.array([], dtype=np.int64)
    if not len(inputs.marks):
        return empty, empty, empty.astype(np.uint8), empty
    rows = pd.DataFrame({"outlet_id": inputs.roster["outlet_id"].iloc[cube.rows].to_numpy(), "row": np.arange(len(cube.rows))})
    marks = inputs.marks[["outlet_id", "start", "end", "kind"]].merge(rows[rows["outlet_id"] != ""], on="outlet_id")
    marks = marks.sort_values(["row", "start", "kind"], kind="stable")
    start = pd.Timestamp(cube.data["time"].to_numpy()[0])
    step = DAY / cube.per_day
    first = np.ceil(np.asarray((marks["start"] - start) / step))
    last = np.ceil(np.asarray((marks["end"] - start) / step))
    code = marks["kind"].map(MARK_CODES).fillna(10).to_numpy(dtype=np.uint8)
    return first.astype(np.int64), last.astype(np.int64), code, marks["row"].to_numpy(dtype=np.int64)
