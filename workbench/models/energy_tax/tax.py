"""Environmental protection tax, recomputed from amounts and concentrations.

The law taxes *equivalents* = kg / equivalent value (Art. 8), for the top pollutants of each outlet (Art. 9), month by
month and declared by quarter (Art. 18), with a reduction by how far the monthly mean stays below the limit (Art. 13)
that any hour (air) or day (water) over the limit voids (Regulation Art. 10). Tampering, diluting, running the treatment
improperly or declaring falsely makes the **generated** amount the base (Regulation Art. 7).

Source: environmental protection tax law of 2018 and its implementing regulation; the equivalent values in
``equivalents.yml`` are recalled and marked so.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib.resources import files
from typing import Any

import yaml

from workbench.contracts import ParameterError


@dataclass(frozen=True)
class MonthlyAmount:
    """What one outlet emitted of one pollutant in one month.

    Parameters
    ----------
    factor : str
        HJ 212 code.
    kg : float
        Emitted mass in kg.
    mean, limit : float or None
        Monthly mean of hourly (air) or daily (water) concentrations and the limit, same unit; None: not known.
    any_over : bool or None
        Whether any hour (air) or day (water) was over the limit; None: not known, so no reduction can be granted.
    generated_kg : float or None
        Mass before treatment, the base where data were falsified; None: not known.
    """

    factor: str
    kg: float
    mean: float | None = None
    limit: float | None = None
    any_over: bool | None = None
    generated_kg: float | None = None


@dataclass(frozen=True)
class TaxItem:
    """The tax on one pollutant of one outlet in one month."""

    factor: str
    base_kg: float
    equivalents: float
    due_share: float
    tax_cny: float
    taxed: bool
    why: str


@dataclass(frozen=True)
class OutletTax:
    """The tax of one outlet in one month, and what could not be computed."""

    items: list[TaxItem]
    not_evaluable: dict[str, str] = field(default_factory=dict)

    @property
    def tax_cny(self) -> float:
        """Sum over the taxed pollutants, CNY."""
        return sum(i.tax_cny for i in self.items)


@cache
def schedule() -> dict[str, Any]:
    """Return the equivalents, rates and reductions (``equivalents.yml``)."""
    text = files("workbench.models.energy_tax").joinpath("equivalents.yml").read_text(encoding="utf-8")
    loaded: dict[str, Any] = yaml.safe_load(text)
    return loaded


def pollution_equivalents(factor: str, kg: float) -> float | None:
    """Return kg divided by the equivalent value, or None for a pollutant that the law does not tax."""
    row = schedule()["factors"].get(factor)
    return None if row is None else kg / float(row["kg"])


def reduction_due(mean: float | None, limit: float | None, any_over: bool | None) -> tuple[float, str]:
    """Return the share of the tax that is due and why (Art. 13, Regulation Art. 10).

    A reduction needs evidence: an unknown mean, limit or exceedance leaves the full tax due.
    """
    if mean is None or limit is None or not limit > 0:
        return 1.0, "no reduction: monthly mean or limit not known"
    if any_over is None:
        return 1.0, "no reduction: not known whether an hour or day was over the limit"
    if any_over:
        return 1.0, "no reduction: an hour or day over the limit voids it (Regulation Art. 10)"
    below = 1.0 - mean / limit
    for step in schedule()["reductions"]:
        if below >= step["at_least_below"] - 1e-12:
            return float(step["due"]), f"monthly mean {below:.0%} below the limit (Art. 13)"
    return 1.0, f"monthly mean {below:.0%} below the limit, less than 30 %"


def month_of_outlet(
    amounts: Iterable[MonthlyAmount], *, medium: str, rate_cny: float, falsified: bool = False, extra_items: Mapping[str, int] | None = None
) -> OutletTax:
    """Return the tax of one outlet for one month.

    Parameters
    ----------
    amounts : iterable of MonthlyAmount
    medium : {"air", "water"}
    rate_cny : float
        CNY per equivalent, set by the province inside the law's range.
    falsified : bool
        Regulation Art. 7 applies: the generated amount is the base and no reduction is granted.
    extra_items : mapping, optional
        How many more pollutants the province taxes per class (Art. 9, third paragraph).

    Raises
    ------
    ParameterError
        If the rate lies outside the law's range, or an amount is negative.
    """
    bounds = schedule()["rate_cny_per_equivalent"].get(medium)
    if bounds is None or not bounds["low"] <= rate_cny <= bounds["high"]:
        raise ParameterError("not a lawful tax rate", got=f"{rate_cny} CNY per equivalent for {medium}", allowed=bounds or ["air", "water"])
    lost: dict[str, str] = {}
    ranked = []
    for amount in amounts:
        base, why = _base(amount, falsified)
        equivalents = None if base is None else pollution_equivalents(amount.factor, base)
        if base is None or equivalents is None:
            lost[amount.factor] = why if base is None else "not in the law's table of taxable pollutants"
            continue
        ranked.append((equivalents, base, amount))
    ranked.sort(key=lambda row: (-row[0], row[2].factor))
    taxed = _taxed({r[2].factor for r in ranked}, [r[2].factor for r in ranked], extra_items or {})
    items = []
    for equivalents, base, amount in ranked:
        share, why = (
            (1.0, "no reduction: data falsified (Regulation Art. 7)")
            if falsified
            else reduction_due(amount.mean, amount.limit, amount.any_over)
        )
        counts = amount.factor in taxed
        tax = equivalents * rate_cny * share if counts else 0.0
        items.append(
            TaxItem(
                amount.factor,
                base,
                equivalents,
                share,
                tax,
                counts,
                why if counts else "not among the pollutants taxed at this outlet (Art. 9)",
            )
        )
    return OutletTax(items, lost)


def _base(amount: MonthlyAmount, falsified: bool) -> tuple[float | None, str]:
    for kg in (amount.kg, amount.generated_kg):
        if kg is not None and not kg >= 0:
            raise ParameterError("an emitted mass cannot be negative or missing", got=kg, allowed="≥ 0 kg", where=amount.factor)
    if not falsified:
        return amount.kg, ""
    if amount.generated_kg is None:
        return None, "falsified data make the generated amount the base, and it is not known"
    return max(amount.generated_kg, amount.kg), ""


def _taxed(known: set[str], order: list[str], extra: Mapping[str, int]) -> set[str]:
    """Return the factors taxed at one outlet, given their order by equivalents (Art. 9)."""
    left = {c: n + int(extra.get(c, 0)) for c, n in schedule()["taxed_per_outlet"].items()}
    groups: set[str] = set()
    taxed = set()
    for factor in order:
        row = schedule()["factors"][factor]
        group = row.get("one_of")
        if left[row["class"]] <= 0 or group in groups:
            continue
        left[row["class"]] -= 1
        groups |= {group} if group else set()
        taxed.add(factor)
    return taxed & known
