"""Monitored emission per tonne made, month by month, against the works' own months and its industry."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from workbench.contracts import CatalogView, Kind
from workbench.models.additive import Judgement, not_evaluable
from workbench.models.energy_tax.amounts import Quarter
from workbench.models.energy_tax.rules_books import EMISSION, emission_out_of_line_with_output, pooled_intensity
from workbench.models.hourly import Grid
from workbench.models.rule_settings import Settings

FEWEST_DAYS = 15
"""Days of a month that the ledger must hold."""
FEWEST_HOURS = 360
"""Hours of a month that the monitor must have measured."""


def judge_emission(catalog: CatalogView, grid: Grid, settings: Settings, quarters: Sequence[Quarter]) -> list[Judgement]:
    """Run the rule on every works and pollutant that has both monitors and booked output."""
    span = (grid.start, grid.end)
    made = output_months(catalog)
    emitted = emission_months(quarters, grid)
    months = emitted.merge(made, on=["enterprise_id", "month"]) if len(emitted) and len(made) else emitted.iloc[:0].assign(value=0.0)
    months = months[(months["kg"] > 0) & (months["value"] > 0)].copy()
    if not len(months):
        zh = "没有同时有产量（台账或发票）和流量、浓度监测的整月，无法比较"
        en = "no whole month has both output (ledger or invoices) and monitors of flow and concentration: nothing to compare"
        return [not_evaluable(EMISSION, "", span, Kind.FABRICATION, zh, en)]
    months["log_intensity"] = np.log(months["kg"] / months["value"])
    months["industry"] = months["enterprise_id"].map(catalog.table("enterprises").set_index("enterprise_id")["industry"].astype(str))
    found: list[Judgement] = []
    for _, group in months.groupby(["factor", "source"], sort=True):
        pooled, scatter = pooled_intensity(group.reset_index(drop=True))
        for _, mine in pooled.groupby("enterprise_id", sort=True):
            found += emission_out_of_line_with_output(mine.sort_values("month"), scatter, **settings.of(EMISSION))
    return _worst(found)


def emission_months(quarters: Sequence[Quarter], grid: Grid) -> pd.DataFrame:
    """Return ``enterprise_id, factor, month, kg``: summed over the outlets, months measured too little left out."""
    rows = []
    for q in quarters:
        for month in q.months():
            start = pd.Timestamp(q.start.year, month, 1)
            whole = start >= grid.start and start + pd.offsets.MonthBegin(1) <= grid.end
            measured = int(np.isfinite(q.kg_hourly[q.month == month]).sum())
            if whole and measured >= FEWEST_HOURS:
                rows.append((q.enterprise_id, q.factor, start, q.outlet_id, q.month_kg(month)))
    table = pd.DataFrame(rows, columns=["enterprise_id", "factor", "month", "outlet_id", "kg"])
    if not len(table):
        return table.drop(columns="outlet_id")
    keys = ["enterprise_id", "factor"]
    outlets = table.groupby(keys)["outlet_id"].transform("nunique")
    sums = table.assign(outlets=outlets).groupby([*keys, "month"], as_index=False).agg(
        kg=("kg", "sum"), n=("outlet_id", "nunique"), outlets=("outlets", "max")
    )  # fmt: skip
    return sums.loc[sums["n"] == sums["outlets"], [*keys, "month", "kg"]]  # a month in which an outlet is silent is no low month


def output_months(catalog: CatalogView) -> pd.DataFrame:
    """Return ``enterprise_id, month, value (t), source``: ledger first, sale invoices in tonnes where there is none."""
    parts = []
    if catalog.has("ledger"):
        rows = catalog.table("ledger", columns=["enterprise_id", "date", "field", "value"])
        rows = rows[(rows["field"] == "output_t") & rows["value"].notna()]
        sums = rows.assign(month=rows["date"].dt.to_period("M").dt.start_time, day=rows["date"].dt.normalize())
        sums = sums.groupby(["enterprise_id", "month"], as_index=False).agg(value=("value", "sum"), days=("day", "nunique"))
        parts.append(sums.loc[sums["days"] >= FEWEST_DAYS, ["enterprise_id", "month", "value"]].assign(source="ledger"))
    if catalog.has("invoices"):
        rows = catalog.table("invoices")
        rows = rows[(rows["direction"] == "sale") & (rows["unit"] == "t") & rows["quantity"].notna()]
        sums = rows.assign(month=rows["issued_on"].dt.to_period("M").dt.start_time)
        sums = sums.groupby(["enterprise_id", "month"], as_index=False).agg(value=("quantity", "sum"))
        booked = set(parts[0]["enterprise_id"]) if parts else set()
        parts.append(sums[~sums["enterprise_id"].isin(booked)].assign(source="invoices"))
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=["enterprise_id", "month", "value", "source"])


def _worst(found: list[Judgement]) -> list[Judgement]:
    """Return one judgement of each works: that of the pollutant that fits least (others say the same of one plant)."""
    order = {"violated": 0, "compliant": 1, "not evaluable": 2}
    best: dict[str, Judgement] = {}
    for j in found:
        known = best.get(j.enterprise_id)
        if known is None or (order[j.ruling.value], _size(j)) < (order[known.ruling.value], _size(known)):
            best[j.enterprise_id] = j
    return [best[e] for e in sorted(best)]


def _size(j: Judgement) -> float:
    return float(j.value) if np.isfinite(j.value) else np.inf
