"""Everything the model reads, brought to one Dataset: hourly states by enterprise, and rule results.

Meters, condition sensors and flows are read block by block of enterprises; only hourly int8 values, daily energy and
judgements are kept, so memory does not grow with the grid of the cubes.
"""

from __future__ import annotations

from dataclasses import fields
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray

from workbench.contracts import CatalogView, InsufficientData, Kind, Period, Ruling, interval_s
from workbench.models.energy_tax.amounts import FLOWS, NOT_AMOUNTS
from workbench.models.energy_tax.books import Energy, judge_carbon, judge_intensity, judge_tax
from workbench.models.energy_tax.judgement import Judgement, not_evaluable
from workbench.models.energy_tax.meters import Works, hour_of, hourly_minutes, read_works
from workbench.models.energy_tax.rules_power import (
    condition_low_while_treating,
    flow_contradicts_power,
    treatment_idling_while_producing,
    treatment_off_while_producing,
)
from workbench.models.energy_tax.settings import Settings
from workbench.models.energy_tax.states import Drive, State
from workbench.models.energy_tax.witnesses import Witnesses
from workbench.models.hourly import Grid, hour_means

OFF, IDLE, FLOW = "treatment_off_while_producing", "treatment_idling_while_producing", "flow_contradicts_power"
LOW = "condition_low_while_treating"
HOURLY: dict[str, tuple[int, str, str]] = {
    "production_level": (-1, "1", "production: -1 no meter, 0 off, 1 low, 2 full, 3 outage"),
    "treatment_level": (-1, "1", "treatment: -1 no meter, 0 off, 1 idle, 2 on, 3 outage"),
    "total_level": (-1, "1", "total meter: -1 none, 0 off, 1 low, 2 full, 3 outage"),
    "off_minutes": (0, "min", "treatment off while producing, lawful spans out"),
    "idle_minutes": (0, "min", "treatment idling while producing, lawful spans out"),
    "excused_minutes": (0, "min", "off or idling inside marks that excuse"),
    "frozen_minutes": (0, "min", "some meter repeats one reading"),
    "meter_swap": (-1, "1", "-1 no meter, 0 none, 1 within a day of a swap"),
    "flow_conflict": (-1, "1", "flow against power: -1 not comparable, 0 no, 1 contradiction"),
    "treatment_condition": (-1, "1", "-1 no sensor, 0 off, 1 poor, 2 normal, 3 outage"),
    "process_condition": (-1, "1", "-1 no sensor, 0 off, 1 low, 2 full, 3 outage"),
    "trade_activity": (-1, "1", "sale invoices of the month: -1 none ever, 0 none, 1 low, 2 normal, 3 unknown"),
}
"""Hourly variables: fill, unit, meaning."""
RESULT_COLUMNS = (*(f.name for f in fields(Judgement) if f.name not in ("parts", "evidence")), "evidence")
PART_COLUMNS = ("result", "feature", "label_zh", "label_en", "unit", "value", "contribution")
HOUR_S = 3600.0
JOIN = "\x1f"
"""Joins the identifiers of evidence, so that they fit an array."""


def build_features(catalog: CatalogView, period: Period, settings: Settings) -> xr.Dataset:
    """Return the features Dataset (see :meth:`~workbench.models.energy_tax.model.EnergyTaxModel.features`)."""
    enterprises = catalog.table("enterprises")
    if not len(enterprises):
        raise InsufficientData("the catalog holds no enterprise", where="enterprises", next_step="check the catalog")
    grid = Grid.over(period)
    ids = sorted(enterprises["enterprise_id"].astype(str))
    row = {e: k for k, e in enumerate(ids)}
    hourly = {n: np.full((len(ids), grid.n), fill, np.int8) for n, (fill, _, _) in HOURLY.items()}
    paired, energy = np.zeros(len(ids), bool), Energy(grid)
    found = _power_side(catalog, grid, settings, row, hourly, paired, energy)
    _trade(catalog, grid, row, hourly["trade_activity"])
    off = [j for j in found if j.rule == OFF and j.ruling is Ruling.VIOLATED]
    found += judge_tax(catalog, grid, settings, off)
    found += judge_carbon(catalog, grid, settings, energy)
    intensity, _ = judge_intensity(catalog, grid, settings, energy)
    return to_dataset(found + intensity, ids, grid, hourly, paired)


def _power_side(
    catalog: CatalogView, grid: Grid, settings: Settings, row: dict[str, int], hourly: dict[str, NDArray[np.int8]],
    paired: NDArray[np.bool_], energy: Energy,
) -> list[Judgement]:  # fmt: skip
    span = (grid.start, grid.end)
    points = catalog.table("points")
    found: list[Judgement] = []
    sensors = points[(points["system"] == "condition") & points["enterprise_id"].isin(row)]
    lost = _why_no_power(catalog)
    if lost is not None:
        zh, en = lost
        _conditions(catalog, sensors, sorted(row), grid, None, row, hourly)
        return [not_evaluable(r, "", span, Kind.TREATMENT_OFF, zh, en) for r in (OFF, IDLE, LOW)]
    meters = points[(points["system"] == "power") & points["enterprise_id"].isin(row)]
    bare = sorted(set(row) - set(meters["enterprise_id"]))
    if bare:
        zh = f"{len(bare)}家企业没有电表，无法判断治污设施停运"
        en = f"{len(bare)} enterprises without any meter: whether their treatment stopped while producing cannot be judged"
        found.append(not_evaluable(OFF, "", span, Kind.TREATMENT_OFF, zh, en))
    blind = sorted(set(row) - set(sensors["enterprise_id"]))
    if blind:
        zh = f"{len(blind)}家企业没有设施工况传感器，治污通电而不起作用时看不出来"
        en = f"{len(blind)} enterprises have no sensor of the facility's condition: treatment powered but without effect does not show"
        found.append(not_evaluable(LOW, "", span, Kind.TREATMENT_OFF, zh, en))
    flows = points[(points["system"] == "cems") & (points["factor"] == "a00000") & points["enterprise_id"].isin(row)]
    ledger = _ledger_hours(catalog)
    done: set[str] = set()
    for block in read_works(catalog.cube("obs_power"), meters, _marks(catalog), grid, settings):
        ours = [w.enterprise_id for w in block]
        done |= set(ours)
        for works in block:
            _states(works, grid, hourly, row[works.enterprise_id], energy)
            paired[row[works.enterprise_id]] = bool(works.pairs)
        seen = _conditions(catalog, sensors, ours, grid, {w.enterprise_id: w for w in block}, row, hourly)
        flow = _flows(catalog, flows, ours, grid)
        emission = _emissions(catalog, points, [w.enterprise_id for w in block if w.episodes], grid)
        for works in block:
            e = works.enterprise_id
            nothing = np.empty((0, 0), np.float32)
            witnesses = Witnesses(grid, seen.get(e, nothing), emission.get(e, nothing), ledger.get(e, pd.Series(dtype=float)))
            found += _judge_power(works, witnesses, settings)
            if e in flow:
                found += _judge_flow(works, grid, flow[e], settings, hourly["flow_conflict"][row[e]], hourly["production_level"][row[e]])
    left = sorted(set(sensors["enterprise_id"]) - done)
    _conditions(catalog, sensors, left, grid, None, row, hourly)
    return found


def _why_no_power(catalog: CatalogView) -> tuple[str, str] | None:
    """Return why nothing can be said from power, None where something can."""
    if not catalog.has("obs_power"):
        zh = "目录中没有用电数据，无法判断治污设施是否停运"
        return zh, "the catalog has no power data: whether treatment stopped while producing cannot be judged"
    step = interval_s(catalog.cube("obs_power"))
    if step > HOUR_S:
        zh = f"用电数据间隔为{step / HOUR_S:g}小时，长于1小时，无法判断治污设施是否停运"
        return (
            zh,
            f"power comes every {step / HOUR_S:g} h, coarser than an hour: whether treatment stopped while producing cannot be judged",
        )
    return None


def _hourly(catalog: CatalogView, entry: str) -> bool:
    """Return whether a cube is there and its grid fine enough for hourly means."""
    return catalog.has(entry) and interval_s(catalog.cube(entry)) <= HOUR_S


def works_of(catalog: CatalogView, period: Period, enterprise_id: str, settings: Settings) -> Works | None:
    """Return the power side of one enterprise; None where it has no meter."""
    points = catalog.table("points")
    mine = points[(points["system"] == "power") & (points["enterprise_id"] == enterprise_id)]
    if _why_no_power(catalog) is not None or not len(mine):
        return None
    blocks = list(read_works(catalog.cube("obs_power"), mine, _marks(catalog), Grid.over(period), settings))
    return blocks[0][0] if blocks else None


def intensity_months(catalog: CatalogView, period: Period, settings: Settings) -> pd.DataFrame:
    """Return monthly output and reagent per metered production energy, with their pooled expectation."""
    grid = Grid.over(period)
    energy = Energy(grid)
    if _why_no_power(catalog) is None:
        points = catalog.table("points")
        meters = points[(points["system"] == "power") & (points["role"] == "production")]
        empty = pd.DataFrame(columns=["enterprise_id", "start", "end", "kind"])
        for block in read_works(catalog.cube("obs_power"), meters, empty, grid, settings):
            for works in block:
                _energy(works, grid, energy)
    return judge_intensity(catalog, grid, settings, energy)[1]


def _judge_power(works: Works, seen: Witnesses, settings: Settings) -> list[Judgement]:
    shared = {"campaign_days": settings.prep("episodes")["campaign_days"], **settings.prep("treatment_context")}
    found = treatment_off_while_producing(works, seen, **settings.of(OFF), **shared)
    if seen.condition.size:
        found += condition_low_while_treating(works, seen, **settings.of(LOW), campaign_days=shared["campaign_days"])
    return found + treatment_idling_while_producing(works, seen, **settings.of(IDLE), **shared)


def _judge_flow(
    works: Works, grid: Grid, flow: NDArray[np.float32], settings: Settings, conflict: NDArray[np.int8], level: NDArray[np.int8]
) -> list[Judgement]:
    production = np.where(level == 3, State.UNKNOWN, level).astype(np.int8)
    numbers = settings.of(FLOW)
    found = flow_contradicts_power(works.enterprise_id, production, flow, grid.start.to_datetime64(), **numbers)
    if found[0].ruling is not Ruling.NOT_EVALUABLE:
        usual = float(np.median(flow[(production == State.ON) & np.isfinite(flow)]))
        known = (production >= 0) & np.isfinite(flow)
        clash = ((production == State.ON) & (flow < numbers["low_share"] * usual)) | (
            (production == State.OFF) & (flow > numbers["high_share"] * usual)
        )
        conflict[known] = clash[known]
    return found


def _states(works: Works, grid: Grid, hourly: dict[str, NDArray[np.int8]], e: int, energy: Energy) -> None:
    """Fill the hourly states of one enterprise and its daily energy."""
    hour, n = hour_of(works, grid), grid.n
    for role in ("production", "treatment", "total"):
        rows = [k for k in works.rows(role) if not _untold(works, k)]
        if rows:
            hourly[f"{role}_level"][e] = _level(works, rows, hour, n, low_by_power=role != "treatment")
    for name, flags in (("off", works.off), ("idle", works.idle), ("excused", works.excused), ("frozen", works.frozen)):
        hourly[f"{name}_minutes"][e] = np.round(hourly_minutes(works, flags, grid)).astype(np.int8)
    swap = hourly["meter_swap"][e]
    swap[:] = 0
    for s in works.swaps:
        if s is not None:
            at = int(hour[s.at])
            swap[max(0, at - 24) : at + 24] = 1
    _energy(works, grid, energy)


def _untold(works: Works, k: int) -> bool:
    """Return whether readings of a meter arrive but its levels could not be learned: no source, and no outage either."""
    return works.meters[k].drive is Drive.NOT_EVALUABLE and bool(works.arrived[k].mean() > 0.5)


def _energy(works: Works, grid: Grid, energy: Energy) -> None:
    """Add the mean production power of each hour."""
    rows, hour, n = works.rows("production"), hour_of(works, grid), grid.n
    if rows:
        power = works.power[rows].sum(axis=0).astype(float)
        known = np.isfinite(power)
        count = np.bincount(hour[known], minlength=n)[:n]
        with np.errstate(invalid="ignore", divide="ignore"):
            kw = np.where(count > 0, np.bincount(hour[known], power[known], minlength=n)[:n] / count, np.nan)
        energy.add(works.enterprise_id, kw, hourly_minutes(works, works.producing, grid), grid)


def _level(works: Works, rows: list[int], hour: NDArray[np.int64], n: int, *, low_by_power: bool) -> NDArray[np.int8]:
    """Return 0 off, 1 idle or low, 2 on or full, 3 outage for each hour; the highest of several meters counts."""
    top = works.states[rows].max(axis=0)
    if low_by_power:
        full = np.zeros(len(top), bool)
        for k in rows:
            full |= works.power[k] >= 0.5 * np.nan_to_num(works.meters[k].typical, nan=np.inf)
        top = np.where((top == State.ON) & ~full, State.IDLE, top)
    counts = np.stack([np.bincount(hour[top == s], minlength=n)[:n] for s in (State.OFF, State.IDLE, State.ON)])
    return np.where(counts.sum(axis=0) > 0, counts.argmax(axis=0), 3).astype(np.int8)


def _marks(catalog: CatalogView) -> pd.DataFrame:
    if not catalog.has("marks"):
        return pd.DataFrame(columns=["enterprise_id", "start", "end", "kind"])
    outlets = catalog.table("outlets").set_index("outlet_id")["enterprise_id"]
    marks = catalog.table("marks")
    return marks.assign(enterprise_id=marks["outlet_id"].map(outlets))[["enterprise_id", "start", "end", "kind"]]


def _ledger_hours(catalog: CatalogView) -> dict[str, pd.Series]:
    if not catalog.has("ledger"):
        return {}
    rows = catalog.table("ledger", columns=["enterprise_id", "date", "field", "value"])
    rows = rows[(rows["field"] == "treatment_hours") & rows["value"].notna()]
    daily = rows.groupby(["enterprise_id", rows["date"].dt.normalize().rename("day")])["value"].max()
    return {str(e): s.droplevel(0) for e, s in daily.groupby(level=0)}


def _flows(catalog: CatalogView, flows: pd.DataFrame, ours: list[str], grid: Grid) -> dict[str, NDArray[np.float32]]:
    """Return by enterprise the largest flow of its stacks, each over its own running median."""
    mine = flows[flows["enterprise_id"].isin(ours)].sort_values(["enterprise_id", "point_id"])
    if not len(mine) or not _hourly(catalog, "obs_cems"):
        return {}
    means = hour_means(catalog.cube("obs_cems"), mine["point_id"].tolist(), grid).mean
    out: dict[str, NDArray[np.float32]] = {}
    for e, x in zip(mine["enterprise_id"].astype(str), means, strict=True):
        running = x[np.isfinite(x) & (x > 0)]
        if len(running) >= 48:
            share = x / np.float32(np.quantile(running, 0.75))
            out[e] = np.fmax(out[e], share) if e in out else share
    return out


def _emissions(catalog: CatalogView, points: pd.DataFrame, ours: list[str], grid: Grid) -> dict[str, NDArray[np.float32]]:
    """Return by enterprise the hourly concentrations of its outlets, shape (monitor, hour)."""
    out: dict[str, list[NDArray[np.float32]]] = {}
    for entry in FLOWS:
        mine = points[(points["system"] == entry.removeprefix("obs_")) & points["enterprise_id"].isin(ours)]
        mine = mine[~mine["factor"].isin(NOT_AMOUNTS)].sort_values("point_id")
        if catalog.has(entry) and len(mine):
            means = hour_means(catalog.cube(entry), mine["point_id"].tolist(), grid).mean
            for e, x in zip(mine["enterprise_id"].astype(str), means, strict=True):
                out.setdefault(e, []).append(x)
    return {e: np.stack(x) for e, x in out.items()}


def _conditions(
    catalog: CatalogView, sensors: pd.DataFrame, ours: list[str], grid: Grid, works: dict[str, Works] | None, row: dict[str, int],
    hourly: dict[str, NDArray[np.int8]],
) -> dict[str, NDArray[np.float32]]:  # fmt: skip
    """Fill the condition levels of some enterprises; return the treatment sensors' hourly means by enterprise."""
    mine = sensors[sensors["enterprise_id"].isin(ours)].sort_values(["enterprise_id", "point_id"])
    if not len(mine) or not _hourly(catalog, "obs_condition"):
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


def _trade(catalog: CatalogView, grid: Grid, row: dict[str, int], level: NDArray[np.int8]) -> None:
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


def to_dataset(
    found: list[Judgement], ids: list[str], grid: Grid, hourly: dict[str, NDArray[np.int8]], paired: NDArray[np.bool_]
) -> xr.Dataset:
    """Return hourly arrays and judgements as one Dataset; results sorted, their parts in a table of their own."""
    found = sorted(found, key=lambda j: (j.enterprise_id, j.rule, j.outlet_id, j.start, j.end, j.reason_en))
    data: dict[str, Any] = {n: (("enterprise", "hour"), hourly[n], {"units": u, "long_name": w}) for n, (_, u, w) in HOURLY.items()}
    values: Any
    data["paired"] = ("enterprise", paired, {"units": "1", "long_name": "a production and a treatment meter are paired"})
    for column in RESULT_COLUMNS:
        values = [getattr(j, column) for j in found]
        if column == "evidence":
            array: NDArray[Any] = np.array([JOIN.join(v) for v in values], dtype=object)
        elif column in ("start", "end"):
            array = pd.to_datetime(pd.Series(values, dtype="datetime64[ns]")).to_numpy()
        elif column in ("value", "threshold", "base"):
            array = np.array(values, dtype=float)
        else:
            array = np.array([str(getattr(v, "value", v)) for v in values], dtype=object)
        data[f"result_{column}"] = ("result", array)
    parts = [(k, name, p.zh, p.en, p.unit, p.value, p.contribution) for k, j in enumerate(found) for name, p in j.parts.items()]
    columns: list[Any] = list(zip(*parts, strict=True)) if parts else [() for _ in PART_COLUMNS]
    kinds = (np.int64, object, object, object, object, float, float)
    for name, values, kind in zip(PART_COLUMNS, columns, kinds, strict=True):
        data[f"part_{name}"] = ("part", np.array(values, dtype=kind))
    coords = {"enterprise": np.asarray(ids, dtype=object), "hour": grid.hours.to_numpy()}
    out = xr.Dataset(data, coords=coords, attrs={"units": "stated per variable; results in result_unit, parts in part_unit"})
    out["result_value"].attrs["units"] = out["result_threshold"].attrs["units"] = "see result_unit"
    out["result_base"].attrs["units"] = out["part_contribution"].attrs["units"] = "log-odds"
    out["part_value"].attrs["units"] = "see part_unit"
    return out


def results_frame(features: xr.Dataset) -> pd.DataFrame:
    """Return the rule results of a features Dataset as a table, with their stated ``score`` (log-odds)."""
    frame = pd.DataFrame({c: features[f"result_{c}"].to_numpy() for c in RESULT_COLUMNS})
    sums = np.bincount(features["part_result"].to_numpy(), features["part_contribution"].to_numpy(), minlength=len(frame))
    frame["score"] = frame["base"] + sums[: len(frame)]
    return frame


def parts_frame(features: xr.Dataset) -> pd.DataFrame:
    """Return the parts of all scores as a table (``result`` is the row of :func:`results_frame`)."""
    return pd.DataFrame({c: features[f"part_{c}"].to_numpy() for c in PART_COLUMNS})
