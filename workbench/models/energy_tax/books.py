"""The book side of the enterprises: what the tables hold, brought into the form that the rules ask for."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Sequence
from functools import cached_property, partial

import numpy as np
import pandas as pd

from workbench.contracts import CatalogView, Kind
from workbench.models.additive import Judgement, not_evaluable
from workbench.models.energy_tax.amounts import Quarter
from workbench.models.energy_tax.carbon_fills import Active, Activity, fills_in_use, periods_of, usual_of_the_district
from workbench.models.energy_tax.rules_books import (
    DECLARED,
    OUTPUT,
    REAGENT,
    REDUCED,
    Served,
    output_out_of_line_with_energy,
    pooled_intensity,
    reagent_out_of_line_with_energy,
    tax_declared_below_measured,
    tax_reduction_not_due,
)
from workbench.models.energy_tax.rules_carbon import BALANCE, RULE, carbon_mass_does_not_balance, carbon_replacement_overdue
from workbench.models.hourly import Grid
from workbench.models.rule_settings import Settings

LAWFUL = ("startup", "shutdown", "calibration", "maintenance", "fault")
Span = tuple[pd.Timestamp, pd.Timestamp]


def judge_tax(
    catalog: CatalogView, grid: Grid, settings: Settings, quarters: Sequence[Quarter], treatment_off: Iterable[Judgement],
    hours_of: Callable[[str], tuple[np.ndarray, np.ndarray]],
) -> list[Judgement]:  # fmt: skip
    """Run both tax rules on every outlet and quarter that was declared or measured.

    Parameters
    ----------
    quarters : sequence of Quarter
        Measured amounts.
    treatment_off : iterable of Judgement
        Findings that the treatment was off or idling.
    hours_of : callable
        Hours of the grid in which an enterprise produced without, and with its treatment.
    """
    span = (grid.start, grid.end)
    if not catalog.has("tax_declarations"):
        zh, en = (
            "目录中没有环境保护税申报，无法核对",
            "the catalog has no environmental tax declarations, nothing to hold against the monitors",
        )
        return [not_evaluable(r, "", span, Kind.FALSE_REPORT, zh, en) for r in (DECLARED, REDUCED)]
    tax = catalog.table("tax_declarations")
    tax = tax[tax["outlet_id"].fillna("") != ""]
    declared: dict[tuple[str, str], dict[str, tuple[float, float]]] = {}
    sums = tax.groupby(["outlet_id", "quarter", "factor"], as_index=False).agg(kg=("declared_kg", "sum"), reduction=("reduction", "max"))
    names = ("outlet_id", "quarter", "factor", "kg", "reduction")
    for outlet, name, factor, kg, reduction in zip(*(sums[c].tolist() for c in names), strict=True):
        declared.setdefault((outlet, name), {})[factor] = (float(kg), float(reduction))
    limits = _limits(catalog)
    spans = [(j.enterprise_id, j.start, j.end) for j in treatment_off]
    marks = catalog.table("marks") if catalog.has("marks") else pd.DataFrame(columns=["outlet_id", "start", "end", "kind"])
    marks = marks[marks["kind"].isin(LAWFUL)]
    marked = {o: grid.mask(g["start"], g["end"]) for o, g in marks.groupby("outlet_id")}
    nothing = np.zeros(grid.n, bool)
    groups: dict[tuple[str, str], list[Quarter]] = {}
    for q in quarters:
        groups.setdefault((q.outlet_id, q.quarter), []).append(q)
    found: list[Judgement] = []
    partial = sorted({k for k, mine in groups.items() if not mine[0].covers_whole})
    for (outlet, name), mine in sorted(groups.items()):
        if not mine[0].covers_whole:
            continue
        said = declared.get((outlet, name), {})
        falsified = any(e == mine[0].enterprise_id and a < mine[0].end and b > mine[0].start for e, a, b in spans)
        own = {f: v for (o, f), v in limits.items() if o == outlet}
        lo = int((mine[0].start - grid.start) / pd.Timedelta(hours=1))
        untreated, treated = (x[lo : lo + len(mine[0].hourly)] for x in hours_of(mine[0].enterprise_id))
        found.append(tax_declared_below_measured(mine, said, own, Served(untreated, treated, falsified), **settings.of(DECLARED)))
        for q in mine:
            if q.factor in said:
                lawful = marked.get(outlet, nothing)[lo : lo + len(q.hourly)]
                found.append(tax_reduction_not_due(q, said[q.factor][1], own.get(q.factor, np.nan), lawful, **settings.of(REDUCED)))
    if partial:
        zh = f"{len(partial)}个排放口季度不完整，未评价"
        en = f"{len(partial)} quarters of outlets lie only partly inside the period and are not judged"
        found.append(not_evaluable(DECLARED, "", span, Kind.FALSE_REPORT, zh, en))
    bare = sorted(set(tax["enterprise_id"]) - {q.enterprise_id for q in quarters})
    if bare:
        some = ", ".join(bare[:5])
        zh = f"{len(bare)}家企业没有流量与浓度的在线监测，无法核算申报量：{some}…"
        en = f"{len(bare)} enterprises have no monitors of flow and concentration, their declarations cannot be recomputed: {some} …"
        found.append(not_evaluable(DECLARED, "", span, Kind.FALSE_REPORT, zh, en))
    return found


def _limits(catalog: CatalogView) -> dict[tuple[str, str], float]:
    if not catalog.has("permit_limits"):
        return {}
    rows = catalog.table("permit_limits").dropna(subset=["limit"])
    rows = rows[rows["limit"] > 0]
    lowest = rows.groupby(["outlet_id", "factor"], as_index=False)["limit"].min()
    return {(str(o), str(f)): float(v) for o, f, v in zip(lowest["outlet_id"], lowest["factor"], lowest["limit"], strict=True)}


def judge_carbon(catalog: CatalogView, grid: Grid, settings: Settings, energy: Energy) -> list[Judgement]:
    """Run both carbon rules on every adsorber."""
    span = (grid.start, grid.end)
    lost = [e for e in ("carbon_units", "carbon_events") if not catalog.has(e)]
    if lost:
        zh, en = f"目录中没有{'、'.join(lost)}，无法核算活性炭", f"the catalog has no {', '.join(lost)}, activated carbon cannot be judged"
        return [not_evaluable(r, "", span, Kind.CARBON_OVERDUE, zh, en) for r in (RULE, BALANCE)]
    table = catalog.table("carbon_events")
    events, none = dict(list(table[table["at"] < grid.end].groupby("unit_id"))), table.iloc[:0]
    units = catalog.table("carbon_units").sort_values("unit_id")
    energy.hours_declared = _declared_hours(catalog, set(units["enterprise_id"].astype(str)), energy.days)
    numbers = settings.of(RULE)
    reckoned = {k: numbers[k] for k in ("capacity_share", "removed_share", "iodine_full_mg_g")}
    ratios: list[np.ndarray] = []
    for _, unit in units.iterrows():
        fills = fills_in_use(unit, events.get(unit["unit_id"], none), grid.end)
        done = [f for f in fills if f.replaced and f.until > grid.start]
        active = energy.activity_of(str(unit["enterprise_id"]))
        days = np.array([(f.until - f.at) / pd.Timedelta(days=1) * active(f.at, f.until).share for f in done], dtype=float)
        with np.errstate(invalid="ignore", divide="ignore"):
            ratios.append(np.log(days / periods_of(unit, done, **reckoned)))
    usual = usual_of_the_district(np.concatenate(ratios) if ratios else np.empty(0), fills_min=numbers["fills_min"])
    invoiced = _carbon_on_invoices(catalog, units, table, grid)
    found: list[Judgement] = []
    for _, unit in units.iterrows():
        mine, enterprise = events.get(unit["unit_id"], none), str(unit["enterprise_id"])
        found += carbon_replacement_overdue(unit, mine, span, energy.activity_of(enterprise), usual, **numbers)
        found.append(carbon_mass_does_not_balance(unit, mine, span, invoiced.get(enterprise), **settings.of(BALANCE)))
    return found


def _declared_hours(catalog: CatalogView, enterprises: set[str], days: pd.DatetimeIndex) -> dict[str, np.ndarray]:
    """Return the ledger's production hours by enterprise and day, NaN where the ledger holds nothing."""
    if not catalog.has("ledger"):
        return {}
    rows = catalog.table("ledger", columns=["enterprise_id", "date", "field", "value"])
    rows = rows[(rows["field"] == "production_hours") & rows["value"].notna() & rows["enterprise_id"].isin(enterprises)]
    daily = rows.groupby(["enterprise_id", rows["date"].dt.normalize().rename("day")])["value"].max()
    return {str(e): s.droplevel(0).reindex(days).to_numpy(float) for e, s in daily.groupby(level=0)}


def _carbon_on_invoices(catalog: CatalogView, units: pd.DataFrame, events: pd.DataFrame, grid: Grid) -> dict[str, tuple[float, float]]:
    """Return by enterprise the carbon on its purchase invoices and in its fills, kg, from its first such invoice on.

    Fills in the first lead time after that invoice draw on older stock and are left out, like invoices on the last days.
    """
    if not catalog.has("invoices"):
        return {}
    rows = catalog.table("invoices")
    kilo = rows["unit"].map({"kg": 1.0, "t": 1000.0, "千克": 1.0, "吨": 1000.0})
    named = rows["commodity"].astype(str).str.contains("活性炭|activated carbon", case=False, regex=True)
    rows = rows.assign(kg=rows["quantity"] * kilo)[
        named & (rows["direction"] == "purchase") & kilo.notna() & (rows["issued_on"] < grid.end)
    ]
    owner = units.set_index("unit_id")["enterprise_id"]
    fills = events[(events["event"] == "fill") & (events["at"] < grid.end)]
    fills = fills.assign(enterprise_id=fills["unit_id"].map(owner))
    found = {}
    for enterprise, mine in rows.groupby("enterprise_id"):
        done = fills[(fills["enterprise_id"] == enterprise) & (fills["at"] >= mine["issued_on"].min())]
        if len(done) >= 2:  # one fill and one invoice may lie on either side of the review's edge
            found[str(enterprise)] = (float(mine["kg"].sum()), float(done["mass_kg"].sum()))
    return found


class Energy:
    """Metered production by enterprise and day, filled while the meters are read."""

    def __init__(self, grid: Grid) -> None:
        self.days = pd.date_range(grid.start.normalize(), grid.end, freq="D", inclusive="left")
        self.kwh: dict[str, np.ndarray] = {}
        self.hours_on: dict[str, np.ndarray] = {}
        self.hours_declared: dict[str, np.ndarray] = {}

    def add(self, enterprise: str, hour_kw: np.ndarray, hour_on: np.ndarray, grid: Grid) -> None:
        """Add one enterprise: mean production power (kW) and minutes on of each hour, NaN where not known."""
        day = ((grid.hours.normalize() - self.days[0]) // pd.Timedelta(days=1)).to_numpy()
        known = np.isfinite(hour_kw)
        n = np.bincount(day[known], minlength=len(self.days)).astype(float)
        with np.errstate(invalid="ignore", divide="ignore"):
            scale = np.where(n >= 18, 24.0 / n, np.nan)
        self.kwh[enterprise] = np.bincount(day[known], hour_kw[known], minlength=len(self.days)) * scale
        self.hours_on[enterprise] = np.bincount(day[known], hour_on[known] / 60.0, minlength=len(self.days)) * scale

    def activity_of(self, enterprise: str) -> Active:
        """Return a function of two times: how much the enterprise ran between them.

        Hours of its meters over their own mean; without a meter those of its ledger; without either what the metered
        enterprises of the district did, with the spread between them. Days outside the review count as usual ones.
        """
        for source, table in (("metered", self.hours_on), ("ledger", self.hours_declared)):
            if (daily := _over_mean(table.get(enterprise))) is not None:
                return partial(self._share, daily[None, :], source)
        return partial(self._share, self._district, "district")

    def _share(self, daily: np.ndarray, source: str, start: pd.Timestamp, end: pd.Timestamp) -> Activity:
        mine = daily[:, (self.days >= start.normalize()) & (self.days < end)]
        if not len(mine) or np.isfinite(mine).sum(axis=1).max() < 3:
            return Activity()
        part = min(1.0, mine.shape[1] / max((end - start) / pd.Timedelta(days=1), 1.0))
        with np.errstate(invalid="ignore"), warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)  # a works without a known day in the span
            each = np.clip(part * np.minimum(1.0, np.nanmean(mine, axis=1)) + (1.0 - part), 0.05, 1.0)
        each = np.log(each[np.isfinite(each)])
        return Activity(float(np.exp(each.mean())), source, float(each.std()) if len(each) > 1 else 0.0)

    @cached_property
    def _district(self) -> np.ndarray:
        """Each day's hours of the metered enterprises over their own mean, shape (enterprise, day); none with fewer than five."""
        known = [d for e in sorted(self.hours_on) if (d := _over_mean(self.hours_on[e])) is not None]
        return np.stack(known) if len(known) >= 5 else np.empty((0, len(self.days)))


def _over_mean(hours: np.ndarray | None) -> np.ndarray | None:
    """Return hours by day over their mean, None with fewer than four weeks of them or where nothing ever ran."""
    if hours is None or np.isfinite(hours).sum() < 28 or not np.nanmean(hours) > 0:
        return None
    return np.asarray(hours / np.nanmean(hours))


def judge_intensity(catalog: CatalogView, grid: Grid, settings: Settings, energy: Energy) -> tuple[list[Judgement], pd.DataFrame]:
    """Run the rules on output and reagent per energy; return the judgements and the months behind them."""
    span = (grid.start, grid.end)
    industry = catalog.table("enterprises").set_index("enterprise_id")["industry"].astype(str)
    found: list[Judgement] = []
    tables = []
    sources = {
        OUTPUT: ("output_t", "sale", Kind.FALSE_REPORT, output_out_of_line_with_energy, "产量", "output"),
        REAGENT: ("reagent_kg", "purchase", Kind.TREATMENT_OFF, reagent_out_of_line_with_energy, "药剂", "reagent"),
    }
    for rule, (ledger_field, direction, kind, judge, zh_name, en_name) in sources.items():
        parts = [_ledger_months(catalog, ledger_field, energy), _invoice_months(catalog, direction, energy, span)]
        if not catalog.has("invoices"):
            zh = f"没有发票：{zh_name}只能与台账核对，台账本身不真实时看不出来"
            en = f"no invoices: {en_name} is held against the ledger only, and a ledger that is itself untrue does not show"
            found.append(not_evaluable(rule, "", span, kind, zh, en))
        months = pd.concat([p for p in parts if len(p)], ignore_index=True) if any(len(p) for p in parts) else pd.DataFrame()
        if not len(months):
            zh = f"没有{zh_name}（台账或发票）或没有生产用电，无法比较"
            en = f"no {en_name} in ledger or invoices, or no production meter: nothing to compare"
            found.append(not_evaluable(rule, "", span, kind, zh, en))
            continue
        months["industry"] = months["enterprise_id"].map(industry)
        for source, group in months.groupby("source", sort=True):
            pooled, scatter = pooled_intensity(group.reset_index(drop=True))
            tables.append(pooled.assign(rule=rule))
            for _, mine in pooled.groupby("enterprise_id", sort=True):
                j = judge(mine.sort_values("month"), scatter, **settings.of(rule))
                found += [x for x in j if source == "ledger" or x.ruling.value == "violated"]
    return found, pd.concat(tables, ignore_index=True) if tables else pd.DataFrame()


def _ledger_months(catalog: CatalogView, field: str, energy: Energy) -> pd.DataFrame:
    if not catalog.has("ledger"):
        return pd.DataFrame()
    rows = catalog.table("ledger", columns=["enterprise_id", "date", "field", "value"])
    rows = rows[(rows["field"] == field) & rows["value"].notna() & rows["enterprise_id"].isin(energy.kwh)]
    daily = rows.groupby(["enterprise_id", rows["date"].dt.normalize().rename("day")])["value"].sum()
    found = []
    for enterprise, mine in daily.groupby(level=0):
        value = mine.droplevel(0).reindex(energy.days).to_numpy(float)
        kwh = energy.kwh[str(enterprise)]
        both = np.isfinite(value) & np.isfinite(kwh)
        found += _sums(str(enterprise), energy.days, np.where(both, value, np.nan), np.where(both, kwh, np.nan), 15, "ledger")
    return pd.DataFrame(found)


def _invoice_months(catalog: CatalogView, direction: str, energy: Energy, span: Span) -> pd.DataFrame:
    if not catalog.has("invoices"):
        return pd.DataFrame()
    rows = catalog.table("invoices")
    rows = rows[(rows["direction"] == direction) & rows["quantity"].notna() & rows["enterprise_id"].isin(energy.kwh)]
    if not len(rows):
        return pd.DataFrame()
    main = rows.groupby(["enterprise_id", "commodity", "unit"])["amount_cny"].sum().reset_index().sort_values("amount_cny", ascending=False)
    main = main.drop_duplicates("enterprise_id")  # the commodity that carries the business; units cannot be added
    rows = rows.merge(main[["enterprise_id", "commodity", "unit"]], on=["enterprise_id", "commodity", "unit"])
    rows = rows.assign(month=rows["issued_on"].dt.to_period("M").dt.start_time)
    sums = rows.groupby(["enterprise_id", "month"], as_index=False)["quantity"].sum()
    found = []
    for enterprise, month, quantity in zip(sums["enterprise_id"], sums["month"], sums["quantity"], strict=True):
        after = month + pd.offsets.MonthBegin(1)
        if month < span[0] or after > span[1] or not quantity > 0:
            continue
        kwh = energy.kwh[str(enterprise)][(energy.days >= month) & (energy.days < after)]
        if np.isfinite(kwh).sum() >= 15 and np.nansum(kwh) > 0:
            total = float(np.nanmean(kwh) * len(kwh))
            found.append(_month(str(enterprise), month, float(quantity), total, "invoices"))
    return pd.DataFrame(found)


def _sums(
    enterprise: str, days: pd.DatetimeIndex, value: np.ndarray, kwh: np.ndarray, days_min: int, source: str
) -> list[dict[str, object]]:
    frame = pd.DataFrame({"month": days.to_period("M").start_time, "value": value, "kwh": kwh}).dropna()
    sums = frame.groupby("month").agg(value=("value", "sum"), kwh=("kwh", "sum"), n=("kwh", "size"))
    rows = sums[(sums["n"] >= days_min) & (sums["value"] > 0) & (sums["kwh"] > 0)]
    return [_month(enterprise, m, float(v), float(k), source) for m, v, k in zip(rows.index, rows["value"], rows["kwh"], strict=True)]


def _month(enterprise: str, month: pd.Timestamp, value: float, kwh: float, source: str) -> dict[str, object]:
    return {
        "enterprise_id": enterprise,
        "month": month,
        "value": value,
        "kwh": kwh,
        "log_intensity": float(np.log(value / kwh)),
        "source": source,
    }
