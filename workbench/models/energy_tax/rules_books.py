"""Rules on books: the tax declaration against measured amounts, its reductions, output and reagent against energy.

Sharing by the tax bureau covers the environmental tax only; invoices may be absent, and then what was lost is said.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd

from workbench.contracts import Kind, Ruling
from workbench.models.additive import Judgement, not_evaluable
from workbench.models.energy_tax.amounts import Quarter
from workbench.models.energy_tax.generated import generated_amount, words_of
from workbench.models.energy_tax.parts import parts_of
from workbench.models.energy_tax.tax import MonthlyAmount, month_of_outlet, pollution_equivalents, reduction_due

DECLARED, REDUCED = "tax_declared_below_measured", "tax_reduction_not_due"
OUTPUT, REAGENT = "output_out_of_line_with_energy", "reagent_out_of_line_with_energy"
EMISSION = "emission_out_of_line_with_output"
BASE_OUTPUT, BASE_REAGENT, BASE_EMISSION = -3.0, -1.7, -2.6
"""Log-odds of a month far under the expectation (stated priors): output falls for many honest reasons (another product,
repairs, stock), reagent per energy for few."""


@dataclass(frozen=True)
class Served:
    """How one enterprise's production was treated in the hours of a quarter.

    Parameters
    ----------
    untreated, treated : bool arrays, shape (hour of the quarter,)
        Produced without, and with its treatment; both False where that is not known.
    found_off : bool
        Whether a finding says that the treatment was off in the quarter.
    """

    untreated: np.ndarray
    treated: np.ndarray
    found_off: bool = False


def tax_due(quarters: list[Quarter], limits: Mapping[str, float], *, rate_cny: float) -> float:
    """Return the tax of one outlet and quarter from measured amounts, CNY: month by month, with the reductions due.

    Parameters
    ----------
    quarters : list of Quarter
        The factors of one outlet in one quarter.
    limits : mapping of str to float
        Limit by factor; a factor without one gets no reduction.
    rate_cny : float
        CNY per equivalent.
    """
    total = 0.0
    for month in sorted({m for q in quarters for m in q.months()}):
        amounts = []
        for q in quarters:
            values = over_basis(q, np.flatnonzero(q.month == month))
            limit = limits.get(q.factor)
            known = len(values) > 0
            mean = float(np.mean(values)) if known else None
            over = bool((values > limit).any()) if known and limit is not None else None
            kg = q.month_kg(month)
            if np.isfinite(kg):
                amounts.append(MonthlyAmount(q.factor, max(kg, 0.0), mean, limit, over))
        total += month_of_outlet(amounts, medium=quarters[0].medium, rate_cny=rate_cny).tax_cny
    return total


def tax_declared(declared: Mapping[str, tuple[float, float]], *, rate_cny: float, factors_taxed: int = 3) -> float:
    """Return the tax of a declaration ``{factor: (kg, claimed reduction)}`` of one outlet and quarter, CNY."""
    rows = [
        (pollution_equivalents(f, kg) or 0.0, 1.0 - (r if np.isfinite(r) else 0.0)) for f, (kg, r) in declared.items() if np.isfinite(kg)
    ]
    return float(sum(e * share for e, share in sorted(rows, reverse=True)[:factors_taxed]) * rate_cny)


def over_basis(q: Quarter, at: np.ndarray) -> np.ndarray:
    """Return what the law holds against the limit: hourly means for air, daily means for water (half a day of hours)."""
    values = q.hourly[at]
    if q.medium == "air":
        return np.asarray(values[np.isfinite(values)], float)
    whole = values[: len(values) // 24 * 24].reshape(-1, 24).astype(float)
    good = np.isfinite(whole).sum(axis=1) >= 12
    return np.nanmean(whole[good], axis=1) if good.any() else np.empty(0)


def tax_declared_below_measured(
    quarters: list[Quarter], declared: Mapping[str, tuple[float, float]], limits: Mapping[str, float], served: Served, *, z_limit: float,
    measured_log_sd: float, declared_log_sd: float, gap_log_sd: float, cover_min: float, rate_air: float, rate_water: float,
    untreated_hours: float, ratio_log_sd: float,
) -> Judgement:  # fmt: skip
    """Hold the declaration of one outlet and quarter against the measured amounts, with log-normal errors.

    Parameters
    ----------
    quarters : list of Quarter
        Measured amounts of the outlet's factors in the quarter.
    declared : mapping
        ``{factor: (kg of the whole quarter, claimed reduction)}``.
    served : Served
        Hours of the quarter with and without treatment. Where the treatment was off, or the declaration is too low, Regulation
        Art. 7 may make the generated amount the base: it is computed and said beside the tax on what was measured.
    untreated_hours, ratio_log_sd : float
        See :func:`~workbench.models.energy_tax.generated.generated_amount`.
    rate_air, rate_water : float
        CNY per equivalent, for the gap in money.

    Returns
    -------
    Judgement
        On the factor that is worst; the others add to it only by their number, since one flow meter makes them err together.
    """
    q0 = quarters[0]
    span, where = (q0.start, q0.end), f"{q0.outlet_id} {q0.quarter}"
    if not q0.covers_whole:
        zh, en = f"{where}：审查期不含整个季度，不评价", f"{where}: the period does not hold the whole quarter"
        return not_evaluable(DECLARED, q0.enterprise_id, span, Kind.FALSE_REPORT, zh, en)
    usable = [q for q in quarters if np.isfinite(declared.get(q.factor, (np.nan, 0))[0]) and q.cover >= cover_min and q.kg > 0]
    if not usable:
        cover = max(q.cover for q in quarters)
        zh = f"{where}有效监测小时最多{cover:.0%}或未申报，无法核算申报量"
        en = f"{where}: valid hours {cover:.0%} at most or nothing declared, the declaration cannot be held against them"
        return not_evaluable(DECLARED, q0.enterprise_id, span, Kind.FALSE_REPORT, zh, en)
    sd = {q.factor: float(np.sqrt(measured_log_sd**2 + declared_log_sd**2 + (gap_log_sd * (1 - q.cover)) ** 2)) for q in usable}
    ratio = {q.factor: max(declared[q.factor][0], 1e-9) / q.kg for q in usable}
    z = {f: float(np.log(ratio[f]) / sd[f]) for f in ratio}
    worst = min(z, key=lambda f: (z[f], f))
    q = next(u for u in usable if u.factor == worst)
    low, high = np.exp(np.log(ratio[worst]) + np.array([-1.96, 1.96]) * sd[worst])
    rate = rate_air if q.medium == "air" else rate_water
    due, paid = tax_due(usable, limits, rate_cny=rate), tax_declared({u.factor: declared[u.factor] for u in usable}, rate_cny=rate)
    text = f"{declared[worst][0]:,.0f} kg / {q.kg:,.0f} kg = {ratio[worst]:.2f} [{low:.2f}, {high:.2f}]"
    violated = z[worst] < z_limit
    parts = {}
    if violated:
        also = float(sum(v < z_limit for v in z.values()) - 1)
        parts = parts_of(
            declared_over_measured=(ratio[worst], -1.1 * (z[worst] - z_limit)),
            other_factors=(also, 0.3 * also),
            hours_covered=(q.cover, 4 * (q.cover - 0.9)),
            tax_gap=(due - paid, 0.15 * np.log10(max(due - paid, 1.0) / 1000.0)),
        )
    art_zh, art_en = "", ""
    if violated or served.found_off:
        numbers = {"hours_min": untreated_hours, "inlet_log_sd": measured_log_sd, "ratio_log_sd": ratio_log_sd}
        made = [generated_amount(u, served.untreated, served.treated, **numbers) for u in usable]
        art_zh, art_en = words_of(made, usable, treatment_off=served.found_off, rate_cny=rate)
    zh = f"{where} {worst} 环保税申报量/监测核算量：{text}；按{rate:g}元/当量核算应纳{due:,.0f}元，申报{paid:,.0f}元{art_zh}"
    en = (
        f"{where} {worst}: declared over measured amount {text}; at {rate:g} CNY per equivalent {due:,.0f} CNY due, "
        f"{paid:,.0f} declared{art_en}"
    )
    return Judgement(
        DECLARED, Ruling.VIOLATED if violated else Ruling.COMPLIANT, q.enterprise_id, *span, zh, en, Kind.FALSE_REPORT,
        outlet_id=q.outlet_id, value=ratio[worst], threshold=float(np.exp(z_limit * sd[worst])), base=-0.8, parts=parts,
        evidence=tuple(f"tax {q.outlet_id} {f} {q.quarter}" for f in sorted(z) if z[f] < z_limit) or (f"tax {where}",),
    )  # fmt: skip


def tax_reduction_not_due(
    q: Quarter, reduction: float, limit: float, lawful: np.ndarray, *, over_hours_min: float, over_share: float
) -> Judgement:
    """Judge a claimed reduction by the hours (air) or days (water) over the limit and by the monthly means.

    Parameters
    ----------
    reduction : float
        Claimed reduction, share; NaN or 0: none.
    limit : float
        mg/m³ or mg/L; NaN unknown.
    lawful : bool array, shape (hour of the quarter,)
        Hours under lawful marks, left out.
    """
    span, where = (q.start, q.end), f"{q.outlet_id} {q.factor} {q.quarter}"
    if not np.isfinite(reduction) or reduction <= 0:
        zh, en = f"{where}未申报减税", f"{where}: no reduction claimed"
        return Judgement(REDUCED, Ruling.COMPLIANT, q.enterprise_id, *span, zh, en, Kind.FALSE_REPORT, outlet_id=q.outlet_id)
    kept = np.where(lawful, np.nan, q.hourly)
    months = [over_basis(_with(q, kept), np.flatnonzero(q.month == m)) for m in q.months()]
    months = [m for m in months if len(m) >= (24 if q.medium == "air" else 5)]
    if not np.isfinite(limit) or not months:
        zh, en = f"{where}限值或数据缺失，无法判断减税", f"{where}: limit or data missing, the reduction cannot be judged"
        return not_evaluable(REDUCED, q.enterprise_id, span, Kind.FALSE_REPORT, zh, en)
    over = int(sum((m > limit * over_share).sum() for m in months))
    voided = [bool((m > limit * over_share).sum() >= over_hours_min) for m in months]
    due = [1.0 - reduction_due(float(m.mean()), limit, v)[0] for m, v in zip(months, voided, strict=True)]
    excess = float(np.mean([max(0.0, reduction - d) for d in due]))
    hours = "小时" if q.medium == "air" else "日"
    mean_below = 1 - float(np.mean([m.mean() for m in months])) / limit
    violated = excess > 1e-9
    wrong = sum(d < reduction for d in due)
    zh = f"{where}申报减征{reduction:.0%}，均值低于限值{mean_below:.0%}，超限{hours}{over}个，{wrong}个月不应按此减征"
    en = (
        f"{where}: reduction of {reduction:.0%} claimed; mean {mean_below:.0%} below the limit, {over} "
        f"{'hours' if q.medium == 'air' else 'days'} over it; not due at this rate in {wrong} months"
    )
    parts = {}
    if violated:
        parts = parts_of(over=(float(over), 0.4 * np.log1p(over) - 0.6), mean_share=(1 - mean_below, 2.0 * (0.5 - mean_below)))
    return Judgement(
        REDUCED, Ruling.VIOLATED if violated else Ruling.COMPLIANT, q.enterprise_id, *span, zh, en, Kind.FALSE_REPORT,
        outlet_id=q.outlet_id, value=excess, threshold=0.0, unit="1", base=-2.2, parts=parts, evidence=(f"tax {where}",),
    )  # fmt: skip


def _with(q: Quarter, hourly: np.ndarray) -> Quarter:
    from dataclasses import replace

    return replace(q, hourly=hourly)


def output_out_of_line_with_energy(
    monthly: pd.DataFrame, scatter: float, *, z_limit: float, months_min: float, invoice_log_sd: float
) -> list[Judgement]:
    """Judge output (ledger, else sale invoices) against metered production energy.

    Parameters
    ----------
    monthly : DataFrame
        Months of one enterprise: ``enterprise_id, month, log_intensity`` (log of output per kWh), ``expected``, ``sd``
        (partially pooled over its industry; see :func:`pooled_intensity`), ``source``.
    scatter : float
        Between-month scatter, log.
    invoice_log_sd : float
        Added for invoices: goods are sold from stock and bought into it, not in the month of their making.

    Returns
    -------
    list of Judgement
        Output per energy far under the expectation: output left out of the books, or energy used for something else.
    """
    words = ("产量", "output", "产量未入账或电用于他处", "output left out of the books, or energy used elsewhere", "output_per_energy")
    return _intensity(OUTPUT, Kind.FALSE_REPORT, monthly, scatter, z_limit, months_min, invoice_log_sd, words, BASE_OUTPUT, 0.35)


def reagent_out_of_line_with_energy(
    monthly: pd.DataFrame, scatter: float, *, z_limit: float, months_min: float, invoice_log_sd: float
) -> list[Judgement]:
    """Judge reagent used (ledger, else purchase invoices) against metered production energy; far under: treated without reagent."""
    words = ("药剂量", "reagent", "治污可能未投药", "treatment may have run without it", "reagent_per_energy")
    return _intensity(REAGENT, Kind.TREATMENT_OFF, monthly, scatter, z_limit, months_min, invoice_log_sd, words, BASE_REAGENT, 0.5)


def emission_out_of_line_with_output(
    monthly: pd.DataFrame, scatter: float, *, z_limit: float, months_min: float, invoice_log_sd: float
) -> list[Judgement]:
    """Judge the monitored emission of one pollutant against output (ledger, else sale invoices in tonnes).

    Parameters
    ----------
    monthly : DataFrame
        As for :func:`output_out_of_line_with_energy`, ``log_intensity`` the log of kg emitted per tonne made.

    Returns
    -------
    list of Judgement
        Emission per output far under the expectation: the monitor reads too low, or more was booked than was made.
    """
    words = ("监测排放量", "monitored emission", "监测数据可能偏低或产量虚报", "the monitor may read too low, or output is overstated",
             "emission_per_output")  # fmt: skip
    per = ("产量", "output")
    return _intensity(EMISSION, Kind.FABRICATION, monthly, scatter, z_limit, months_min, invoice_log_sd, words, BASE_EMISSION, 0.3, per)


def _intensity(
    rule: str,
    kind: Kind,
    monthly: pd.DataFrame,
    scatter: float,
    z_limit: float,
    months_min: float,
    invoice_sd: float,
    words: tuple[str, str, str, str, str],
    base: float,
    slope: float,
    per: tuple[str, str] = ("用电", "energy"),
) -> list[Judgement]:
    if not len(monthly):
        return []
    enterprise = str(monthly["enterprise_id"].iloc[0])
    span = (monthly["month"].min(), monthly["month"].max() + pd.offsets.MonthBegin(1))
    if len(monthly) < months_min:
        zh, en = f"{words[0]}或{per[0]}不足{months_min:.0f}个月，无法比较", f"fewer than {months_min:.0f} months of {words[1]} and {per[1]}"
        return [not_evaluable(rule, enterprise, span, kind, zh, en)]
    away = (monthly["log_intensity"] - monthly["expected"]).to_numpy(float)
    z: np.ndarray = away / np.sqrt(
        monthly["sd"].to_numpy(float) ** 2 + scatter**2 + np.where(monthly["source"] == "invoices", invoice_sd, 0.0) ** 2
    )
    worst = int(np.argmin(z))
    ratio = float(np.exp(monthly["log_intensity"].iloc[worst] - monthly["expected"].iloc[worst]))
    start, source = monthly["month"].iloc[worst], str(monthly["source"].iloc[worst])
    source_zh = {"ledger": "台账", "invoices": "发票"}.get(source, source)
    violated = bool(z[worst] < z_limit)
    tail_zh, tail_en = (f"：{words[2]}", f": {words[3]}") if violated else ("", "")
    zh = f"{start:%Y-%m}单位{per[0]}{words[0]}（{source_zh}）为自身与行业预期的{ratio:.0%}（z={z[worst]:.1f}）{tail_zh}"
    en = (
        f"{start:%Y-%m}: {words[1]} per {per[1]} ({source}) is {ratio:.0%} of what enterprise and industry lead to expect "
        f"(z = {z[worst]:.1f}){tail_en}"
    )
    months = float((z < z_limit).sum())
    parts = {}
    if violated:
        parts = parts_of(**{words[4]: (ratio, -slope * (z[worst] - z_limit))}, months=(months, 0.3 * (months - 1)))
    return [
        Judgement(
            rule, Ruling.VIOLATED if violated else Ruling.COMPLIANT, enterprise, start, start + pd.offsets.MonthBegin(1), zh, en, kind,
            value=ratio, threshold=float(np.exp(z_limit * scatter)), base=base, parts=parts, evidence=(f"{source} {start:%Y-%m}",),
        )
    ]  # fmt: skip


def pooled_intensity(months: pd.DataFrame) -> tuple[pd.DataFrame, float]:
    """Add the expected log intensity of each row, partially pooled: own other months, shrunk to the industry.

    Parameters
    ----------
    months : DataFrame
        ``enterprise_id, industry, month, log_intensity``.

    Returns
    -------
    DataFrame
        ``log_intensity`` less the month's common effect, with ``expected`` and ``sd`` (log); an enterprise with one
        month leans on its industry alone.
    float
        Scatter between months of an enterprise, pooled over all, log (at least 0.05).
    """
    out = months.copy()
    own_middle = out.groupby("enterprise_id")["log_intensity"].transform("median")
    common = (out["log_intensity"] - own_middle).groupby(out["month"]).transform("median")  # a holiday moves everybody
    out["log_intensity"] = out["log_intensity"] - common
    within = out.groupby("enterprise_id")["log_intensity"].transform("median")
    several = out.groupby("enterprise_id")["log_intensity"].transform("size") > 1
    away = np.abs(out["log_intensity"] - within)[several]
    # own middles and the month's common effect were taken from the same rows
    free = int(several.sum()) - out.loc[several, "enterprise_id"].nunique() - out["month"].nunique() + 1
    lost = np.sqrt(several.sum() / free) if free > 0 else 2.0
    scatter = max(0.05, float(1.4826 * lost * np.median(away)) if len(away) else 0.3)
    centre = out.groupby("industry")["log_intensity"].transform("median")
    spread = (within - centre).abs().groupby(out["industry"]).transform("median")
    between = np.maximum(1.4826 * spread.to_numpy(), 0.3)
    n = out.groupby("enterprise_id")["log_intensity"].transform("size").to_numpy() - 1
    total = out.groupby("enterprise_id")["log_intensity"].transform("sum")
    own = np.where(n > 0, (total - out["log_intensity"]) / np.maximum(n, 1), 0.0)  # a month is no witness for itself
    weight = (n / scatter**2) / (n / scatter**2 + 1 / between**2)
    out["expected"] = weight * own + (1 - weight) * centre
    out["sd"] = np.sqrt(1.0 / (n / scatter**2 + 1 / between**2))
    return out, scatter
