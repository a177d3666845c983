"""The daily books of an enterprise: ledger and invoices."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from workbench.district.behaviour import Scheme
from workbench.district.climate import World
from workbench.district.settings import number
from workbench.district.simulate import SiteResult

Rows = dict[str, list[dict[str, Any]]]
PRICE = {"烟煤": 780.0, "焦炭": 1900.0, "天然气": 4100.0, "生活垃圾": 0.0, "电": 0.68}


def ledger(rows: Rows, result: SiteResult, world: World, rng: np.random.Generator, schemes: dict[str, Scheme]) -> None:
    """Add the daily ledger: what was done, or what is claimed where treatment was off."""
    site, days = result.site, result.days
    if site.permit_class == "registered" and rng.random() < 0.5:
        return
    off = schemes.get("treatment_off")
    claims = off is not None and (off.silent or rng.random() < 0.6)
    treated = site.air is not None or site.water is not None
    fields = {"production_hours": "生产线", "output_t": "生产线"}
    if treated:
        fields |= {"treatment_hours": "治污设施", "reagent_kg": "治污设施"}
    if site.spec["burn"]:
        fields["fuel_t"] = "锅炉/窑炉"
    usual = float(np.median(days["reagent_kg"] / np.maximum(days["load_hours"], 0.1)))
    for day in range(world.days):
        date = world.start + pd.Timedelta(days=day)
        for name, facility in fields.items():
            value = float(days[name][day])
            if name == "treatment_hours" and claims:
                value = max(value, float(days["production_hours"][day]))
            if name == "reagent_kg" and claims:
                value = max(value, usual * float(days["load_hours"][day]))
            value = round(value * 2) / 2 if name.endswith("hours") else round(value * float(np.exp(rng.normal(0, 0.04))), 2)
            value = min(value, 24.0) if name.endswith("hours") else value
            wait = float(rng.uniform(9, 30)) if rng.random() > number("oddities.late_edit") else float(rng.uniform(24 * 4, 24 * 30))
            row = {
                "enterprise_id": site.enterprise_id, "date": date, "facility": facility, "field": name, "value": value,
                "edited_at": (date + pd.Timedelta(hours=15 + wait)).floor("min"),
            }  # fmt: skip
            rows["ledger"].append(row)
            if rng.random() < number("oddities.duplicate_rows"):
                rows["ledger"].append(dict(row))


def invoices(rows: Rows, result: SiteResult, world: World, rng: np.random.Generator) -> None:
    """Add the invoices of an enterprise that shares them; they follow what was truly used."""
    site = result.site
    if not site.invoices:
        return
    days, spec = result.days, site.spec

    def add(at: pd.Timestamp, direction: str, commodity: str, quantity: float, unit: str, price: float) -> None:
        if quantity > 0:
            rows["invoices"].append(
                {
                    "enterprise_id": site.enterprise_id, "issued_on": at.normalize(), "direction": direction, "commodity": commodity,
                    "quantity": round(quantity, 2), "unit": unit, "amount_cny": round(quantity * price * float(rng.uniform(0.95, 1.05)), 2),
                }
            )  # fmt: skip

    month = np.array([(world.start + pd.Timedelta(days=d)).month for d in range(world.days)])
    outlet = site.air or site.water
    for m in np.unique(month):
        mine = month == m
        at = world.start + pd.Timedelta(days=int(np.flatnonzero(mine)[-1]) - int(rng.integers(0, 5)))
        stock = float(np.exp(rng.normal(0, 0.12)))
        add(at, "purchase", "电", float(days["kwh"][mine].sum()), "kWh", PRICE["电"])
        if spec["fuel"] and spec["fuel"] != "生活垃圾":
            add(at, "purchase", spec["fuel"], float(days["fuel_t"][mine].sum()) * stock, "t", PRICE[spec["fuel"]])
        if outlet is not None and outlet.stream != "solvent":
            add(at, "purchase", outlet.spec["reagent"], float(days["reagent_kg"][mine].sum()) * stock, "kg", 2.4)
        add(at, "sale", spec["product"], float(days["output_t"][mine].sum()) * float(np.exp(rng.normal(0, 0.1))), "t", 900.0)
    if result.bed is not None:
        for change in result.bed.changes:
            at = world.at(change) - pd.Timedelta(days=int(rng.integers(1, 12)))
            add(at, "purchase", "活性炭", site.carbon_kg * float(rng.uniform(1.0, 1.06)), "kg", 9.5)
