"""The amount of one outlet and factor over a span, three ways side by side."""

from __future__ import annotations

import numpy as np
import pandas as pd

from workbench.models.permit.accounting import Estimate, balance_mass, coefficient_mass, measured_mass, unknown
from workbench.models.permit.dossier import Dossier

SIGMA_PRODUCT = 0.05
SIGMA_USED, SIGMA_OUT = 0.05, 0.2
"""Relative errors of the ledger's product, of solvent used, and of what left with waste and product; our choice."""
VOLATILE = ("a24088", "a24087", "a99054")
"""Factors that a solvent balance speaks about: non-methane hydrocarbons and volatile organic compounds."""


def amounts(d: Dossier, outlet_id: str, factor: str, start: pd.Timestamp, end: pd.Timestamp) -> dict[str, Estimate]:
    """Return ``measured``, ``coefficient`` and ``balance`` estimates (t) of a span; unknown ones carry their reason."""
    return {
        "measured": measured_amount(d, outlet_id, factor, start, end),
        "coefficient": coefficient_amount(d, outlet_id, factor, start, end),
        "balance": balance_amount(d, outlet_id, factor, start, end),
    }


def measured_amount(d: Dossier, outlet_id: str, factor: str, start: pd.Timestamp, end: pd.Timestamp) -> Estimate:
    """Return Σ c·Q of the span with gaps filled by the stated rule."""
    masses = d.masses.get((outlet_id, factor))
    lo, hi = (round(float(x)) for x in d.grid.index([start, end]))
    if masses is None:
        return unknown("measured", "no automatic concentration and flow")
    if lo < 0 or hi > d.grid.n:
        return unknown("measured", "the span is not fully under review")
    mass, sigma, filled = (float(x[0]) for x in measured_mass(masses, np.array([lo]), np.array([hi]), **d.accounting))
    if not np.isfinite(mass):
        return unknown("measured", "too few valid hours")
    return Estimate(mass, sigma, "measured", filled_share=filled)


def product_made(d: Dossier, start: pd.Timestamp, end: pd.Timestamp) -> float:
    """Return the ledger's product of a span (t), scaled to the whole span; NaN under 80 % of its days."""
    if d.ledger is None or not len(d.ledger):
        return float("nan")
    days, made = d.ledger_of("output_t")
    inside = (days >= np.datetime64(start, "D")) & (days < np.datetime64(end, "D"))
    covered = len(np.unique(days[inside])) / max((end - start) / pd.Timedelta(days=1), 1.0)
    return float(made[inside].sum()) / covered if covered >= 0.8 else float("nan")


def coefficient_amount(
    d: Dossier, outlet_id: str, factor: str, start: pd.Timestamp, end: pd.Timestamp, *, sigma_product: float = SIGMA_PRODUCT
) -> Estimate:
    """Return P·G·(1 − η·k) of the span from the ledger's product."""
    c = d.coefficients.get((outlet_id, factor))
    if c is None:
        return unknown("coefficient", "no coefficient on record and too few peers")
    made = product_made(d, start, end)
    return coefficient_mass(made, c.generated, c.removal, c.running, sigma_coefficient=c.sigma, sigma_product=sigma_product)


def balance_amount(d: Dossier, outlet_id: str, factor: str, start: pd.Timestamp, end: pd.Timestamp) -> Estimate:
    """Return the balance of volatile organic compounds; needs the optional table ``solvents``.

    Columns: outlet_id, start, end, used_t, voc_share, recovered_t, in_waste_t, in_product_t. Rows inside the span count.
    """
    if factor not in VOLATILE:
        return unknown("balance", "a solvent balance says nothing about this factor")
    if d.solvents is None:
        return unknown("balance", "no solvent records in the catalog")
    rows = d.solvents[(d.solvents["outlet_id"] == outlet_id) & (d.solvents["start"] >= start) & (d.solvents["end"] <= end)]
    if not len(rows):
        return unknown("balance", "no solvent records in the span")
    covered = float(((rows["end"] - rows["start"]).to_numpy() / np.timedelta64(1, "D")).sum())
    if covered < 0.9 * (end - start) / pd.Timedelta(days=1):
        return unknown("balance", "solvent records do not cover the span")
    out = {c: float(rows[f"{c}_t"].fillna(0.0).sum()) for c in ("recovered", "in_waste", "in_product")}
    return balance_mass(rows["used_t"].tolist(), rows["voc_share"].tolist(), **out, sigma_used=SIGMA_USED, sigma_out=SIGMA_OUT)
