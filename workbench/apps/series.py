"""The series behind a lead: which points belong to it, their values in a window, limits and marks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from typing import Any

import numpy as np
import pandas as pd

from workbench.apps.words import Language, say, say_or
from workbench.contracts import CUBES, CatalogView, Mark, WorkbenchError

MAX_VERTICES = 4000
_FACTOR_ORDER = ("a21026", "a21002", "a34013", "a24088", "w01018", "w21003", "power", "a19001", "a00000", "w00000")


@dataclass(frozen=True)
class Trace:
    """One point's values in a window, thinned to what a screen can show.

    Parameters
    ----------
    point : mapping
        Row of ``points``.
    time, value : arrays
        At most :data:`MAX_VERTICES`; extremes of every stretch are kept, NaN where nothing arrived.
    limits : tuple of (value, basis)
        Permit limits in the point's unit.
    marks : DataFrame
        ``start, end, kind, source`` of marked stretches inside the window; source ``declared`` or ``data``.
    raw_count : int
        Values in the window before thinning.
    """

    point: Mapping[Any, Any]
    time: np.ndarray
    value: np.ndarray
    limits: tuple[tuple[float, str], ...]
    marks: pd.DataFrame
    raw_count: int


def points_of(catalog: CatalogView, lead: pd.Series, findings: pd.DataFrame) -> pd.DataFrame:
    """Return the points of the lead's enterprise, those it rests on first, then its outlet, then the others.

    Returns
    -------
    DataFrame
        Rows of ``points`` that a cube can hold, with ``near`` (0 named by a finding, 1 same outlet, 2 power or
        condition, 3 another outlet).
    """
    points = catalog.table("points")
    cubes = {system.value: entry for entry, system in CUBES.items() if catalog.has(entry)}
    mine = points[(points["enterprise_id"] == lead["enterprise_id"]) & points["system"].isin(list(cubes))].copy()
    named = set(findings["point_id"]) - {"", None}
    near = np.full(len(mine), 3)
    near[mine["system"].isin(["power", "condition"]).to_numpy()] = 2
    if lead["outlet_id"]:
        near[(mine["outlet_id"] == lead["outlet_id"]).to_numpy()] = 1
    near[mine["point_id"].isin(named).to_numpy()] = 0
    order = {f: i for i, f in enumerate(_FACTOR_ORDER)}
    mine["near"], mine["entry"] = near, mine["system"].map(cubes)
    mine["_order"] = mine["factor"].map(order).fillna(len(order))
    ordered: pd.DataFrame = mine.sort_values(["near", "_order", "point_id"], ignore_index=True)
    return ordered.drop(columns="_order")


def first_drawn(points: pd.DataFrame) -> list[str]:
    """Return the points drawn at first: those the lead rests on, pollutants of one outlet, then power.

    Parameters
    ----------
    points : DataFrame
        As :func:`points_of`.
    """
    if points.empty:
        return []
    chosen = list(points.loc[points["near"] == 0, "point_id"].head(3))
    monitors = points[points["system"].isin(["cems", "wastewater", "dust"])]
    if len(monitors):
        monitors = monitors[monitors["outlet_id"] == monitors["outlet_id"].iloc[0]]
    chosen += [p for p in monitors["point_id"] if p not in chosen][: max(0, 3 - len(chosen))]
    power = points[(points["system"] == "power") & points["role"].isin(["production", "treatment", "total"])].drop_duplicates("role")
    chosen += [p for p in power["point_id"] if p not in chosen][:2]
    return chosen or list(points["point_id"].head(3))


def read_trace(catalog: CatalogView, point: Mapping[Any, Any], start: pd.Timestamp, end: pd.Timestamp) -> Trace:
    """Read one point between two times.

    Raises
    ------
    WorkbenchError
        If the cube cannot be read or does not hold the point.
    """
    entry, name = str(point["entry"]), str(point["point_id"])
    cube = catalog.cube(entry)
    where = np.flatnonzero(cube["point"].to_numpy() == name)
    if not where.size:
        raise WorkbenchError("the cube does not hold this point", got=name, where=entry)
    part = cube.isel(point=int(where[0])).sel(time=slice(start, end)).compute()
    time, value, mark = part["time"].to_numpy(), part["value"].to_numpy().astype(float), part["mark"].to_numpy()
    keep = thin(value, MAX_VERTICES)
    found = [m for m in (_declared(catalog, point, start, end), runs_of_marks(time, mark)) if len(m)]
    marks = pd.concat(found, ignore_index=True) if found else pd.DataFrame({"start": [], "end": [], "kind": [], "source": []})
    return Trace(point, time[keep], value[keep], _limits(catalog, point), marks, len(value))


def thin(value: np.ndarray, limit: int) -> np.ndarray:
    """Return the positions to draw: first, lowest, highest of each stretch, and one gap where a stretch has one."""
    n = len(value)
    if n <= limit:
        return np.arange(n)
    bins = max(1, limit // 4)
    edges = np.linspace(0, n, bins + 1).astype(int)
    keep = []
    for a, b in pairwise(edges):
        part = value[a:b]
        known = np.isfinite(part)
        keep.append(a)
        if known.any():
            keep += [a + int(np.nanargmin(part)), a + int(np.nanargmax(part))]
        if not known.all():
            keep.append(a + int(np.argmin(known)))
    return np.unique(keep)


def runs_of_marks(time: np.ndarray, mark: np.ndarray) -> pd.DataFrame:
    """Return the stretches in which the data themselves carry a mark other than normal or none."""
    odd = ~np.isin(mark, [Mark.NORMAL, Mark.NONE])
    code = np.where(odd, mark.astype(int), -1)
    if not odd.any():
        return pd.DataFrame({"start": [], "end": [], "kind": [], "source": []})
    begins = np.flatnonzero(np.r_[True, code[1:] != code[:-1]])
    ends = np.r_[begins[1:], len(code)] - 1
    step = time[1] - time[0] if len(time) > 1 else np.timedelta64(1, "h")
    rows = [(time[a], time[b] + step, Mark(int(code[a])).name.lower(), "data") for a, b in zip(begins, ends, strict=True) if code[a] >= 0]
    return pd.DataFrame(rows, columns=["start", "end", "kind", "source"])


def point_label(point: Mapping[Any, Any], language: Language) -> str:
    """Return the name of a point's series: factor, role, outlet."""
    factor, role = str(point["factor"] or ""), str(point["role"] or "")
    name = say_or(f"factor_{factor}", language, "") or factor_name(factor, language)
    part = [f"{say_or(f'role_{role}', language, role)} · {name}" if role else name]
    outlet = str(point["outlet_id"] or "")
    if outlet:
        part.append(outlet)
    return " · ".join([*part, str(point["point_id"])] if str(point["point_id"]) != outlet else part)


def unit_of(point: Mapping[Any, Any]) -> str:
    """Return the unit as written on an axis; a dimensionless factor has none."""
    unit = str(point["unit"] or "")
    return "" if unit == "1" else unit


@cache
def factor_name(code: str, language: Language) -> str:
    """Return the name of an HJ 212 factor code, the code itself where it is not known."""
    from workbench.catalog.hj212.codes import factor_codes

    table = factor_codes()
    row = table[table["code"] == code]
    if row.empty:
        return code
    name = str(row["name_zh" if language == "zh" else "name_en"].iloc[0]) or str(row["name_zh"].iloc[0])
    return name


def limit_text(value: float, basis: str, unit: str, language: Language) -> str:
    """Return the words beside a limit line."""
    return say("limit", language, value=f"{value:g}", unit=unit, basis=say_or(f"basis_{basis}", language, basis))


def _limits(catalog: CatalogView, point: Mapping[Any, Any]) -> tuple[tuple[float, str], ...]:
    if not point["outlet_id"] or not catalog.has("permit_limits"):
        return ()
    limits = catalog.table("permit_limits")
    mine = limits[(limits["outlet_id"] == point["outlet_id"]) & (limits["factor"] == point["factor"])]
    pairs = mine[["limit", "basis"]].dropna().drop_duplicates().itertuples(index=False, name=None)
    return tuple(sorted((float(v), str(b)) for v, b in pairs))


def _declared(catalog: CatalogView, point: Mapping[Any, Any], start: pd.Timestamp, end: pd.Timestamp) -> pd.DataFrame:
    if not point["outlet_id"] or not catalog.has("marks"):
        return pd.DataFrame({"start": [], "end": [], "kind": [], "source": []})
    marks = catalog.table("marks")
    mine = marks[(marks["outlet_id"] == point["outlet_id"]) & (marks["end"] >= start) & (marks["start"] <= end)]
    declared: pd.DataFrame = mine[["start", "end", "kind"]].assign(source="declared")
    return declared.reset_index(drop=True)
