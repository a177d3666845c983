"""Everything the model reads, brought to one Dataset: hourly states by enterprise, and rule results.

Meters, condition sensors and flows are read block by block of enterprises; only hourly int8 values, daily energy and
judgements are kept, so memory does not grow with the grid of the cubes.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray

from workbench.contracts import CatalogView, InsufficientData, Kind, Period, Ruling, interval_s
from workbench.models.additive import Judgement, judgements_of, not_evaluable, state_units
from workbench.models.energy_tax.amounts import quarterly_amounts
from workbench.models.energy_tax.books import Energy, judge_carbon, judge_intensity, judge_tax
from workbench.models.energy_tax.emission_intensity import judge_emission
from workbench.models.energy_tax.meters import Works, hour_of, hourly_minutes, read_works
from workbench.models.energy_tax.rules_conflict import (
    Clash,
    condition_low_while_treating,
    flow_clash,
    flow_contradicts_power,
    temperature_clash,
    temperature_contradicts_power,
    temperature_place,
)
from workbench.models.energy_tax.rules_power import (
    treatment_idling_while_producing,
    treatment_off_while_producing,
)
from workbench.models.energy_tax.states import Drive, State
from workbench.models.energy_tax.surroundings import (
    HOUR_S,
    fill_conditions,
    fill_trade,
    is_temperature,
    read_emissions,
    read_flows,
    read_ledger_hours,
    read_marks,
    read_temperatures,
)
from workbench.models.energy_tax.witnesses import Witnesses
from workbench.models.hourly import Grid
from workbench.models.rule_settings import Settings

OFF, IDLE, FLOW = "treatment_off_while_producing", "treatment_idling_while_producing", "flow_contradicts_power"
WARM, LOW = "temperature_contradicts_power", "condition_low_while_treating"
HOURLY: dict[str, tuple[int, str, str]] = {
    "production_level": (-1, "1", "production: -1 no meter, 0 off, 1 low, 2 full, 3 outage"),
    "treatment_level": (-1, "1", "treatment: -1 no meter, 0 off, 1 idle, 2 on, 3 outage"),
    "total_level": (-1, "1", "total meter: -1 none, 0 off, 1 low, 2 full, 3 outage"),
    "off_minutes": (0, "min", "treatment off while producing, lawful spans out"),
    "idle_minutes": (0, "min", "treatment idling while producing, lawful spans out"),
    "excused_minutes": (0, "min", "off or idling inside marks that excuse"),
    "frozen_minutes": (0, "min", "some meter repeats one reading"),
    "meter_swap": (-1, "1", "-1 no meter, 0 none, 1 within a day of a swap"),
    "flow_conflict": (-1, "1", "flow or temperature against power: -1 not comparable, 0 no, 1 contradiction"),
    "treatment_condition": (-1, "1", "-1 no sensor, 0 off, 1 poor, 2 normal, 3 outage"),
    "process_condition": (-1, "1", "-1 no sensor, 0 off, 1 low, 2 full, 3 outage"),
    "trade_activity": (-1, "1", "sale invoices of the month: -1 none ever, 0 none, 1 low, 2 normal, 3 unknown"),
}
"""Hourly variables: fill, unit, meaning."""


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
    fill_trade(catalog, grid, row, hourly["trade_activity"])
    off = [j for j in found if j.rule in (OFF, IDLE) and j.ruling is Ruling.VIOLATED]
    quarters, _ = quarterly_amounts(catalog, grid)
    found += judge_tax(catalog, grid, settings, quarters, off, lambda e: _served(hourly, row[e]))
    found += judge_carbon(catalog, grid, settings, energy)
    intensity, _ = judge_intensity(catalog, grid, settings, energy)
    intensity += judge_emission(catalog, grid, settings, quarters)
    return to_dataset(found + intensity, ids, grid, hourly, paired)


def _served(hourly: dict[str, NDArray[np.int8]], e: int) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Return the hours in which one enterprise produced without, and with its treatment."""
    without = hourly["off_minutes"][e].astype(int) + hourly["idle_minutes"][e] + hourly["excused_minutes"][e]
    with_it = (hourly["production_level"][e] >= State.IDLE) & (hourly["production_level"][e] <= State.ON)
    return without >= 45, with_it & (hourly["treatment_level"][e] == State.ON) & (without == 0)


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
        fill_conditions(catalog, sensors, sorted(row), grid, None, row, hourly)
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
    warm = points[is_temperature(points) & points["enterprise_id"].isin(row)]
    ledger = read_ledger_hours(catalog)
    done: set[str] = set()
    for block in read_works(catalog.cube("obs_power"), meters, read_marks(catalog), grid, settings):
        ours = [w.enterprise_id for w in block]
        done |= set(ours)
        for works in block:
            _states(works, grid, hourly, row[works.enterprise_id], energy)
            paired[row[works.enterprise_id]] = bool(works.pairs)
        seen = fill_conditions(catalog, sensors, ours, grid, {w.enterprise_id: w for w in block}, row, hourly)
        flow = read_flows(catalog, flows, ours, grid)
        temperature = read_temperatures(catalog, warm, ours, grid)
        emission = read_emissions(catalog, points, [w.enterprise_id for w in block if w.episodes], grid)
        for works in block:
            e = works.enterprise_id
            nothing = np.empty((0, 0), np.float32)
            level = hourly["production_level"][row[e]]
            production = np.where(level == 3, State.UNKNOWN, level).astype(np.int8)
            degrees = temperature.get(e, nothing)
            witnesses = Witnesses(
                grid, seen.get(e, nothing), emission.get(e, nothing), _place(production, degrees, settings),
                flow.get(e, np.empty(0, np.float32)), ledger.get(e, pd.Series(dtype=float)),
            )  # fmt: skip
            found += _judge_power(works, witnesses, settings)
            found += _judge_conflict(e, grid, production, flow.get(e), degrees, settings, hourly["flow_conflict"][row[e]])
    left = sorted(set(sensors["enterprise_id"]) - done)
    fill_conditions(catalog, sensors, left, grid, None, row, hourly)
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


def works_of(catalog: CatalogView, period: Period, enterprise_id: str, settings: Settings) -> Works | None:
    """Return the power side of one enterprise; None where it has no meter."""
    points = catalog.table("points")
    mine = points[(points["system"] == "power") & (points["enterprise_id"] == enterprise_id)]
    if _why_no_power(catalog) is not None or not len(mine):
        return None
    blocks = list(read_works(catalog.cube("obs_power"), mine, read_marks(catalog), Grid.over(period), settings))
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


def _place(production: NDArray[np.int8], degrees: NDArray[np.float32], settings: Settings) -> NDArray[np.float64]:
    numbers = {k: settings.of(WARM)[k] for k in ("learn_hours", "separation", "settle_hours")}
    return temperature_place(production, degrees, **numbers) if degrees.size else np.empty((0, 0))


def _judge_conflict(
    e: str, grid: Grid, production: NDArray[np.int8], flow: NDArray[np.float32] | None, degrees: NDArray[np.float32], settings: Settings,
    conflict: NDArray[np.int8],
) -> list[Judgement]:  # fmt: skip
    """Judge flow and temperature against production power, and write the hours that contradict."""
    found: list[Judgement] = []
    start = grid.start.to_datetime64()
    clashes: list[Clash | None] = []
    if flow is not None:
        numbers = settings.of(FLOW)
        found += flow_contradicts_power(e, production, flow, start, **numbers)
        clashes.append(flow_clash(production, flow, **{k: v for k, v in numbers.items() if k != "hours_min"}))
    if degrees.size:
        numbers = settings.of(WARM)
        found += temperature_contradicts_power(e, production, degrees, start, **numbers)
        clashes.append(temperature_clash(production, degrees, **{k: v for k, v in numbers.items() if k != "hours_min"}))
    for known, blind, ghost in (c for c in clashes if c is not None):
        conflict[known] = np.maximum(conflict[known], (blind | ghost)[known])
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


def to_dataset(
    found: list[Judgement], ids: list[str], grid: Grid, hourly: dict[str, NDArray[np.int8]], paired: NDArray[np.bool_]
) -> xr.Dataset:
    """Return hourly arrays and judgements as one Dataset; results sorted, their parts in a table of their own."""
    found = sorted(found, key=lambda j: (j.enterprise_id, j.rule, j.outlet_id, j.start, j.end, j.reason_en))
    data: dict[str, Any] = {n: (("enterprise", "hour"), hourly[n], {"units": u, "long_name": w}) for n, (_, u, w) in HOURLY.items()}
    data["paired"] = ("enterprise", paired, {"units": "1", "long_name": "a production and a treatment meter are paired"})
    coords = {"enterprise": np.asarray(ids, dtype=object), "hour": grid.hours.to_numpy()}
    return state_units(xr.Dataset(data | judgements_of(found), coords=coords))
