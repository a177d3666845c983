"""What stands around the meters: marks, ledger, stack flow, concentrations, condition sensors, invoices.

Functions named ``read_…`` return by enterprise; those named ``fill_…`` write hourly levels into the given arrays.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray

from workbench.contracts import CatalogView, interval_s
from workbench.models.energy_tax.amounts import FLOWS, NOT_AMOUNTS
from workbench.models.energy_tax.meters import Works, hour_of
from workbench.models.hourly import Grid, hour_means

HOUR_S = 3600.0


def fine_enough(catalog: CatalogView, entry: str) -> bool:
    """Return whether a cube is there and its grid fine enough for hourly means."""
    return catalog.has(entry) and interval_s(catalog.cube(entry)) <= HOUR_S


def read_marks(catalog: CatalogView) -> pd.DataFrame:
    """Return ``enterprise_id, outlet_id, start, end, kind`` of all marks; empty without them."""
    if not catalog.has("marks"):
        return pd.DataFrame(columns=["enterprise_id", "outlet_id", "start", "end", "kind"])
    outlets = catalog.table("outlets").set_index("outlet_id")["enterprise_id"]
    marks = catalog.table("marks")
    return marks.assign(enterprise_id=marks["outlet_id"].map(outlets))[["enterprise_id", "outlet_id", "start", "end", "kind"]]


def read_ledger_hours(catalog: CatalogView) -> dict[str, pd.Series]:
    """Return declared treatment hours by enterprise and day, the largest of its facilities."""
    if not catalog.has("ledger"):
        return {}
    rows = catalog.table("ledger", columns=["enterprise_id", "date", "field", "value"])
    rows = rows[(rows["field"] == "treatment_hours") & rows["value"].notna()]
    daily = rows.groupby(["enterprise_id", rows["date"].dt.normalize().rename("day")])["value"].max()
    return {str(e): s.droplevel(0) for e, s in daily.groupby(level=0)}


def read_flows(catalog: CatalogView, flows: pd.DataFrame, ours: list[str], grid: Grid) -> dict[str, NDArray[np.float32]]:
    """Return by enterprise the largest flow of its stacks, each over its own running median."""
    mine = flows[flows["enterprise_id"].isin(ours)].sort_values(["enterprise_id", "point_id"])
    if not len(mine) or not fine_enough(catalog, "obs_cems"):
        return {}
    means = hour_means(catalog.cube("obs_cems"), mine["point_id"].tolist(), grid).mean
    out: dict[str, NDArray[np.float32]] = {}
    for e, x in zip(mine["enterprise_id"].astype(str), means, strict=True):
        running = x[np.isfinite(x) & (x > 0)]
        if len(running) >= 48:
            share = x / np.float32(np.quantile(running, 0.75))
            out[e] = np.fmax(out[e], share) if e in out else share
    return out


def read_temperatures(catalog: CatalogView, sensors: pd.DataFrame, ours: list[str], grid: Grid) -> dict[str, NDArray[np.float32]]:
    """Return by enterprise the hourly temperatures of its stacks and processes, °C, shape (sensor, hour).

    Parameters
    ----------
    sensors : DataFrame
        Rows of ``points``: a01012 of the stacks, ``process_temperature`` of production.
    """
    out: dict[str, list[NDArray[np.float32]]] = {}
    for entry in ("obs_cems", "obs_condition"):
        mine = sensors[(sensors["system"] == entry.removeprefix("obs_")) & sensors["enterprise_id"].isin(ours)].sort_values("point_id")
        if len(mine) and fine_enough(catalog, entry):
            means = hour_means(catalog.cube(entry), mine["point_id"].tolist(), grid).mean
            for e, x in zip(mine["enterprise_id"].astype(str), means, strict=True):
                out.setdefault(e, []).append(x)
    return {e: np.stack(x) for e, x in out.items()}


def is_temperature(points: pd.DataFrame) -> NDArray[np.bool_]:
    """Return which points are temperatures of a stack, or of a process that produces."""
    stack = (points["system"] == "cems") & (points["factor"] == "a01012")
    process = (points["system"] == "condition") & (points["factor"] == "process_temperature") & (points["role"] == "production")
    return np.asarray(stack | process)


def surroundings_of(catalog: CatalogView, grid: Grid, works: Works) -> xr.Dataset:
    """Return the hourly production power of one enterprise beside its stacks' flow and its temperatures, for pictures.

    Returns
    -------
    Dataset
        ``production`` (kW) and ``flow`` (over its own running level) by hour, ``temperature`` (°C) by sensor and hour; NaN
        where nothing arrived, no sensor where there is none.
    """
    points, ours = catalog.table("points"), [works.enterprise_id]
    flows = points[(points["system"] == "cems") & (points["factor"] == "a00000")]
    warm = points[is_temperature(points) & points["enterprise_id"].isin(ours)]
    nothing = np.full(grid.n, np.nan, np.float32)
    flow = read_flows(catalog, flows, ours, grid).get(works.enterprise_id, nothing) if len(flows) else nothing
    degrees = read_temperatures(catalog, warm, ours, grid).get(works.enterprise_id, np.empty((0, grid.n), np.float32))
    hour, rows = hour_of(works, grid), works.rows("production")
    power = works.power[rows].sum(axis=0).astype(float) if rows else np.full(len(works.time), np.nan)
    known = np.isfinite(power)
    count = np.bincount(hour[known], minlength=grid.n)[: grid.n]
    with np.errstate(invalid="ignore", divide="ignore"):
        kw = np.where(count > 0, np.bincount(hour[known], power[known], minlength=grid.n)[: grid.n] / count, np.nan)
    return xr.Dataset(
        {
            "production": ("hour", kw, {"units": "kW"}),
            "flow": ("hour", flow, {"units": "1"}),
            "temperature": (("sensor", "hour"), degrees, {"units": "°C"}),
        },
        coords={"hour": grid.hours.to_numpy()},
    )


def read_emissions(catalog: CatalogView, points: pd.DataFrame, ours: list[str], grid: Grid) -> dict[str, NDArray[np.float32]]:
    """Return by enterprise the hourly concentrations of its outlets, shape (monitor, hour)."""
    out: dict[str, list[NDArray[np.float32]]] = {}
    for entry in FLOWS:
        mine = points[(points["system"] == entry.removeprefix("obs_")) & points["enterprise_id"].isin(ours)]
        mine = mine[~mine["factor"].isin(NOT_AMOUNTS)].sort_values("point_id")
        if len(mine) and fine_enough(catalog, entry):
            means = hour_means(catalog.cube(entry), mine["point_id"].tolist(), grid).mean
            for e, x in zip(mine["enterprise_id"].astype(str), means, strict=True):
                out.setdefault(e, []).append(x)
    return {e: np.stack(x) for e, x in out.items()}


def fill_conditions(
    catalog: CatalogView, sensors: pd.DataFrame, ours: list[str], grid: Grid, works: dict[str, Works] | None, row: dict[str, int],
    hourly: dict[str, NDArray[np.int8]],
) -> dict[str, NDArray[np.float32]]:  # fmt: skip
    """Fill the condition levels of some enterprises; return the treatment sensors' hourly means by enterprise."""
    mine = sensors[sensors["enterprise_id"].isin(ours)].sort_values(["enterprise_id", "point_id"])
    if not len(mine) or not fine_enough(catalog, "obs_condition"):
        return {}
    means = hour_means(catalog.cube("obs_condition"), mine["point_id"].tolist(), grid).mean
    out: dict[str, NDArray[np.float32]] = {}
    roles = mine["role"].fillna("").to_numpy()
    names = mine["enterprise_id"].astype(str).to_numpy()
    for e in dict.fromkeys(names):
        treatment = means[(names == e) & (roles != "production")]
        process = means[(names == e) & (roles == "production")]
        if len(treatment):
            out[e] = treatment
            level = hourly["treatment_condition"][row[e]]
            level[:] = _treatment_condition(treatment, (works or {}).get(e), grid)
        if len(process):
            hourly["process_condition"][row[e]] = _process_condition(process)
    return out


def _treatment_condition(x: NDArray[np.float32], works: Works | None, grid: Grid) -> NDArray[np.int8]:
    """Return 0 off, 1 poor, 2 normal, 3 outage against the sensor's own median while producing and treating."""
    treating = np.ones(grid.n, bool)
    if works is not None and works.pairs:
        good = works.producing & ~(works.off | works.idle | works.excused)
        treating = np.bincount(hour_of(works, grid)[good], minlength=grid.n)[: grid.n] >= 0.9 * 3600 / works.step_s
    level = np.full(grid.n, 3, np.int8)
    for s in x:
        base = s[treating & np.isfinite(s) & (s > 0)]
        if len(base) < 24:
            base = s[np.isfinite(s) & (s > 0)]
        if len(base) < 24:
            continue
        with np.errstate(invalid="ignore"):
            ratio = s / np.float32(np.median(base))
            mine = np.where(ratio < 0.25, 0, np.where((ratio < 0.6) | (ratio > 2.5), 1, 2))
        level = np.where(np.isfinite(s), np.minimum(level, mine), level).astype(np.int8)
    return level


def _process_condition(x: NDArray[np.float32]) -> NDArray[np.int8]:
    """Return 0 off, 1 low, 2 full, 3 outage by where a sensor stands in its own range; -1 where it has none."""
    out = np.full(x.shape[1], -1, np.int8)
    for s in x:
        known = s[np.isfinite(s)]
        if len(known) < 48:
            continue
        low, high = np.quantile(known, [0.02, 0.98])
        if not high - low > 0.3 * abs(high):
            continue
        with np.errstate(invalid="ignore"):
            place = (s - low) / (high - low)
            mine = np.where(np.isfinite(s), np.where(place < 0.25, 0, np.where(place < 0.6, 1, 2)), 3)
        out = np.where((out == -1) | (out == 3), mine, np.where(mine == 3, out, np.maximum(out, mine))).astype(np.int8)
    return out


def fill_trade(catalog: CatalogView, grid: Grid, row: dict[str, int], level: NDArray[np.int8]) -> None:
    """Fill the activity of each month from sale invoices; a month not wholly inside the period is not known."""
    if not catalog.has("invoices"):
        return
    rows = catalog.table("invoices")
    rows = rows[(rows["direction"] == "sale") & rows["enterprise_id"].isin(row)]
    size = rows["amount_cny"].fillna(rows["quantity"])
    months = grid.hours.to_period("M")
    names = months.unique()
    sums = size.groupby([rows["enterprise_id"], rows["issued_on"].dt.to_period("M")]).sum().unstack(fill_value=0)
    for e, values in sums.iterrows():
        mine = values.reindex(names, fill_value=0.0).to_numpy(float)
        usual = float(np.median(mine[mine > 0])) if (mine > 0).any() else float("nan")
        for name, amount in zip(names, mine, strict=True):
            whole = name.start_time >= grid.start and name.end_time.ceil("D") <= grid.end
            known = 0 if amount <= 0 else 1 if amount < 0.5 * usual else 2
            level[row[str(e)], months == name] = known if whole and np.isfinite(usual) else 3
