"""R8: the execution report agrees with the monitor, the ledger and the tax declaration."""

from __future__ import annotations

from functools import lru_cache
from math import exp, isfinite, isnan, log, sqrt
from typing import Any

import numpy as np
import pandas as pd

from workbench.contracts import Ruling
from workbench.models.permit.accounting import Estimate, combined, declared_too_low, measured_mass
from workbench.models.permit.amounts import balance_amount, coefficient_amount
from workbench.models.permit.dossier import LAWFUL_KINDS, Declared, Dossier
from workbench.models.permit.results import RuleResult, records
from workbench.models.permit.rules.concentration import hour_rulings

_FIELD = "execution_report_items.declared_t"


def declared_amount_below_measured(d: Dossier, *, z_limit: float, sigma_declared: float) -> list[RuleResult]:
    """The declared amount of a report lies below the measured one by more than both errors allow."""
    name = "declared_amount_below_measured"
    if refusal := _refusal(d, name):
        return refusal
    results: list[RuleResult] = []
    for (outlet, factor), said in d.declared.items():
        facts: dict[str, Any] = {"permit_field": _FIELD, "outlet_id": outlet, "factor": factor}
        masses = d.masses.get((outlet, factor))
        if masses is None:
            results += d.cannot(name, "没有可核算的自动监测", "no automatic monitoring to account with", **facts)
            continue
        inside = (said.lo >= 0) & (said.hi <= d.grid.n) & (said.hi > said.lo)
        mass, sigma, _ = measured_mass(masses, said.lo.clip(0, d.grid.n), said.hi.clip(0, d.grid.n), **d.accounting)
        mass[~inside] = np.nan
        computed = [Estimate(m, s, "measured") for m, s in zip(mass, sigma, strict=True)]
        results += _held_against(d, name, said, computed, z_limit, sigma_declared, facts, ("自动监测核算", "accounted from the monitor"))
    return results


def declared_amount_below_ledger(d: Dossier, *, z_limit: float, sigma_declared: float, sigma_product: float) -> list[RuleResult]:
    """The declared amount lies below what product and coefficient, or a solvent balance, give.

    Only where nothing is measured: the law's order is monitor, then laboratory, then coefficient (Tax Law Art. 10).
    """
    name = "declared_amount_below_ledger"
    if refusal := _refusal(d, name):
        return refusal
    results: list[RuleResult] = []
    for (outlet, factor), said in d.declared.items():
        facts: dict[str, Any] = {"permit_field": _FIELD, "outlet_id": outlet, "factor": factor}
        if (outlet, factor) in d.masses:
            results += d.cannot(name, "已有自动监测核算，优先采用", "accounted from the monitor, which comes first", **facts)
            continue
        computed = []
        for start, end in zip(said.start, said.end, strict=True):
            ways = [
                coefficient_amount(d, outlet, factor, start, end, sigma_product=sigma_product),
                balance_amount(d, outlet, factor, start, end),
            ]
            computed.append(combined(ways))
        if not any(e.known for e in computed):
            results += d.cannot(name, "没有产量、排放系数或物料平衡", computed[0].reason, **facts)
            continue
        c = d.coefficients.get((outlet, factor))
        source = f"（{c.source}）" if c is not None else ""
        words = (
            f"产量系数{source}或物料衡算",
            f"from product and coefficient{f' ({c.source})' if c is not None else ''} or the solvent balance",
        )
        results += _held_against(d, name, said, computed, z_limit, sigma_declared, facts, words)
    return results


def tax_below_reported(d: Dossier, *, ratio_lowest: float) -> list[RuleResult]:
    """The tax declaration of a quarter lies below what the execution reports of the same quarter declare."""
    name, field = "tax_below_reported", _FIELD
    if d.tax is None:
        return d.cannot(name, "目录中没有环保税申报", "the catalog holds no tax declarations", permit_field=field)
    if refusal := _refusal(d, name):
        return refusal
    if not len(d.tax):
        return d.cannot(name, "没有环保税申报", "no tax declaration on file", permit_field=field)
    results: list[RuleResult] = []
    for row in records(d.tax.sort_values(["outlet_id", "factor", "quarter"], kind="stable")):
        key = (row["outlet_id"], row["factor"])
        begin, close = _quarter(row["quarter"])
        facts: dict[str, Any] = {
            "permit_field": field,
            "outlet_id": key[0],
            "factor": key[1],
            "threshold": ratio_lowest,
            "unit": "1",
            "start": begin,
            "end": close,
        }
        reported, covered = 0.0, 0.0
        ids: tuple[str, ...] = ()
        said = d.declared.get(key)
        if said is not None:
            first, last = ((t - d.grid.start) / pd.Timedelta(hours=1) for t in (begin, close))
            mine = said.tiling(first, last)
            covered = float((said.hi - said.lo)[mine].sum()) / 24.0
            reported = float(said.amount_t[mine].sum()) * 1000.0
            ids = tuple(f"report:{said.report_id[k]}" for k in mine)
        quarter = row["quarter"]
        if abs(covered - (close - begin).days) > 1.5 or pd.isna(row["declared_kg"]) or isnan(reported):
            results += d.cannot(
                name, f"{quarter}的执行报告不全或税额缺失", f"reports of {quarter} incomplete or tax figure missing", **facts
            )
            continue
        if reported <= 0:
            results += d.cannot(name, f"{quarter}报告量为0", f"nothing reported for {quarter}", **facts)
            continue
        ratio = float(row["declared_kg"]) / reported
        zh = f"{quarter}纳税申报{row['declared_kg']:.4g} kg，执行报告{reported:.4g} kg（{ratio:.2f}）。"
        en = f"{quarter}: {row['declared_kg']:.4g} kg declared for tax, {reported:.4g} kg in the execution reports ({ratio:.2f})."
        low = ratio < ratio_lowest
        evidence = (f"tax:{d.enterprise_id}/{key[0]}/{key[1]}/{quarter}", *ids)
        strength = float(min(3.0, -log(max(ratio, 1e-3) / ratio_lowest))) if low else 0.0
        results.append(
            d.say(name, Ruling.VIOLATED if low else Ruling.COMPLIANT, zh, en, value=ratio, evidence=evidence, strength=strength, **facts)
        )
    return results


def exceedance_hours_underreported(d: Dossier, *, hours_lowest: float, share_lowest: float) -> list[RuleResult]:
    """A report names clearly fewer hours over the limit than the monitor shows."""
    name, field = "exceedance_hours_underreported", "execution_report_items.exceed_hours"
    if refusal := _refusal(d, name):
        return refusal
    limits = {(r["outlet_id"], r["factor"]): r["limit"] for r in d.limit_rows if r["basis"] == "hour"}
    results: list[RuleResult] = []
    for (outlet, factor), said in d.declared.items():
        limit, s = limits.get((outlet, factor)), d.series.get((outlet, factor))
        if limit is None or pd.isna(limit) or s is None:
            continue
        verdict = hour_rulings(s.compared, d.mark_hours(outlet, LAWFUL_KINDS), float(limit))
        facts: dict[str, Any] = {"permit_field": field, "outlet_id": outlet, "factor": factor, "unit": "h"}
        agreeing: list[float] = []
        over, seen = (np.r_[0, np.cumsum(verdict == 1)], np.r_[0, np.cumsum(verdict >= 0)])
        for k, (lo, hi, given) in enumerate(zip(said.lo.tolist(), said.hi.tolist(), said.exceed_hours.tolist(), strict=True)):
            if isnan(given) or not 0 <= lo < hi <= d.grid.n or seen[hi] == seen[lo]:
                continue
            found = float(over[hi] - over[lo])
            if found < hours_lowest or given >= share_lowest * found:
                agreeing.append(found)
                continue
            zh, en = f"报告超标{given:.0f} h，监测超标{found:.0f} h。", f"{given:.0f} h over the limit reported, {found:.0f} h measured."
            more = {
                "value": given,
                "threshold": share_lowest * found,
                "strength": float(np.log1p(found - given)),
                "start": said.start[k],
                "end": said.end[k],
                "evidence": (f"report:{said.report_id[k]}", f"series:{s.point_id}"),
            }
            results.append(d.say(name, Ruling.VIOLATED, zh, en, **more, **facts))
        if agreeing:
            zh, en = (
                f"{len(agreeing)}份报告的超标时数与监测相符。",
                f"Hours over the limit agree with the monitor in {len(agreeing)} reports.",
            )
            results.append(d.say(name, Ruling.COMPLIANT, zh, en, value=max(agreeing), **facts))
    return results or d.cannot(name, "没有可比的超标时数", "no exceedance hours to compare", permit_field=field)


def _refusal(d: Dossier, name: str) -> list[RuleResult]:
    """Return why declarations cannot be compared at all; empty where they can."""
    if d.reports is None or d.items is None:
        return d.cannot(name, "目录中没有执行报告", "the catalog holds no execution reports", permit_field=_FIELD)
    if not d.declared:
        return d.cannot(name, "没有已提交的执行报告", "no execution report on file", permit_field=_FIELD)
    return []


def _held_against(
    d: Dossier,
    name: str,
    said: Declared,
    computed: list[Estimate],
    z_limit: float,
    sigma_declared: float,
    facts: dict[str, Any],
    words: tuple[str, str],
) -> list[RuleResult]:
    results: list[RuleResult] = []
    mass = f"mass:{facts['outlet_id']}/{facts['factor']}"
    for estimate, declared, start, end, report in zip(computed, said.amount_t.tolist(), said.start, said.end, said.report_id, strict=True):
        z, p = declared_too_low(declared, estimate, sigma_declared=sigma_declared)
        more = {**facts, "start": start, "end": end, "evidence": (f"report:{report}", mass)}
        if isnan(z):
            reason = estimate.reason or "amount missing, period outside the review, or too few valid hours"
            results += d.cannot(name, "申报量缺失，或核算依据不足", reason, unit="t", **more)
            continue
        low, high = estimate.interval()
        s = sqrt(sigma_declared**2 + estimate.sigma**2)
        violated = z < z_limit
        zh = f"申报{declared:.4g} t，{words[0]}{estimate.value:.4g} t（95%：{low:.4g}–{high:.4g}），偏低概率{p:.2f}。"
        en = f"{declared:.4g} t declared, {estimate.value:.4g} t {words[1]} (95 %: {low:.4g}–{high:.4g}); too low with probability {p:.2f}."
        more |= {"value": declared, "threshold": estimate.value * exp(z_limit * s), "unit": "t"}
        if violated:
            more |= {"strength": float(min(-z, 10.0)) if isfinite(z) else 10.0}
            if name == "declared_amount_below_measured":  # a coefficient is too coarse to be a probability of its own
                more["p"] = p
        results.append(d.say(name, Ruling.VIOLATED if violated else Ruling.COMPLIANT, zh, en, **more))
    return results


@lru_cache(maxsize=1024)
def _quarter(text: str) -> tuple[pd.Timestamp, pd.Timestamp]:
    quarter = pd.Period(text, freq="Q-DEC")
    return quarter.start_time, (quarter + 1).start_time
