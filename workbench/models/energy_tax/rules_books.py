"""Rules on books: the tax declaration against measured amounts, its reductions, and output against energy.

Sharing by the tax bureau covers the environmental tax only; invoices may be absent, and then what was lost is said.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from workbench.contracts import Kind, Ruling
from workbench.models.energy_tax.amounts import Quarter
from workbench.models.energy_tax.judgement import Judgement, not_evaluable, part

DECLARED, REDUCED, OUTPUT = "tax_declared_below_measured", "tax_reduction_not_due", "output_out_of_line_with_energy"


def tax_declared_below_measured(
    q: Quarter, declared_kg: float, *, z_limit: float, measured_log_sd: float, declared_log_sd: float, gap_log_sd: float, cover_min: float
) -> Judgement:
    """Hold the declared amount against the measured one, with log-normal errors.

    Parameters
    ----------
    declared_kg : float
        Of the whole quarter; NaN where nothing was declared.
    """
    span = (q.start, q.end)
    where = f"{q.outlet_id} {q.factor} {q.quarter}"
    if not q.covers_whole:
        return not_evaluable(
            DECLARED,
            q.enterprise_id,
            span,
            Kind.FALSE_REPORT,
            f"{where}季度未完整，不评价",
            f"{where}: the period does not hold the whole quarter",
        )
    if not np.isfinite(declared_kg) or not np.isfinite(q.kg) or q.cover < cover_min or q.kg <= 0:
        zh = f"{where}有效监测小时占{q.cover:.0%}，无法核算申报量"
        return not_evaluable(
            DECLARED,
            q.enterprise_id,
            span,
            Kind.FALSE_REPORT,
            zh,
            f"{where}: valid hours {q.cover:.0%}, the declaration cannot be held against them",
        )
    sd = float(np.sqrt(measured_log_sd**2 + declared_log_sd**2 + (gap_log_sd * (1 - q.cover)) ** 2))
    ratio = max(declared_kg, 1e-9) / q.kg
    z = float(np.log(ratio) / sd)
    low, high = np.exp(np.log(ratio) + np.array([-1.96, 1.96]) * sd)
    text = f"{declared_kg:,.0f} kg / {q.kg:,.0f} kg = {ratio:.2f} [{low:.2f}, {high:.2f}]"
    violated = z < z_limit
    parts = {}
    if violated:
        parts = {
            "declared_over_measured": part("申报/核算", "declared over measured", ratio, "1", -1.1 * (z - z_limit), low=0.0, high=3.5),
            "hours_covered": part("有效小时占比", "valid hours", q.cover, "1", 4 * (q.cover - 0.9), low=-1.0, high=0.3),
        }
    ruling = Ruling.VIOLATED if violated else Ruling.COMPLIANT
    return Judgement(
        DECLARED, ruling, q.enterprise_id, q.start, q.end, f"{where}环保税申报量/监测核算量：{text}", f"{where}: tax declared over measured amount {text}",
        Kind.FALSE_REPORT, outlet_id=q.outlet_id, value=ratio, threshold=float(np.exp(z_limit * sd)), base=-0.8, parts=parts,
        evidence=(f"tax {q.outlet_id} {q.factor} {q.quarter}",),
    )  # fmt: skip


def tax_reduction_not_due(
    q: Quarter, reduction: float, limit: float, lawful: np.ndarray, *, over_hours_min: float, over_share: float
) -> Judgement:
    """Judge a claimed reduction by the hours (air) or days (water) over the limit.

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
        return Judgement(
            REDUCED,
            Ruling.COMPLIANT,
            q.enterprise_id,
            *span,
            f"{where}未申报减税",
            f"{where}: no reduction claimed",
            Kind.FALSE_REPORT,
            outlet_id=q.outlet_id,
        )
    values = np.where(lawful, np.nan, q.hourly)
    if not np.isfinite(limit) or np.isfinite(values).sum() < 24:
        return not_evaluable(
            REDUCED, q.enterprise_id, span, Kind.FALSE_REPORT, f"{where}限值或数据缺失，无法判断减税", f"{where}: limit or data missing"
        )
    unit_hours = 1
    if q.medium == "water":  # the law looks at daily means there
        whole = values[: len(values) // 24 * 24].reshape(-1, 24)
        good = np.isfinite(whole).sum(axis=1) >= 12
        values, unit_hours = np.nanmean(whole[good], axis=1) if good.any() else np.array([]), 24
    over = int((values > limit * over_share).sum())
    mean_below = 1 - float(np.nanmean(values)) / limit
    due = 0.5 if mean_below >= 0.5 else 0.25 if mean_below >= 0.3 else 0.0
    violated = over >= over_hours_min or reduction > due + 1e-9
    zh = f"{where}申报减征{reduction:.0%}，均值低于限值{mean_below:.0%}，超限{'小时' if unit_hours == 1 else '日'}{over}个"
    en = f"{where}: reduction of {reduction:.0%} claimed; mean {mean_below:.0%} below the limit, {over} {'hours' if unit_hours == 1 else 'days'} over it"
    parts = (
        {"over": part("超限个数", "hours or days over the limit", float(over), "1", 0.5 * np.log1p(over) - 0.3, low=-0.3, high=1.5)}
        if violated
        else {}
    )
    return Judgement(
        REDUCED, Ruling.VIOLATED if violated else Ruling.COMPLIANT, q.enterprise_id, *span, zh, en, Kind.FALSE_REPORT, outlet_id=q.outlet_id,
        value=float(over), threshold=over_hours_min, unit="h" if unit_hours == 1 else "d", base=-1.8, parts=parts, evidence=(f"tax {where}",),
    )  # fmt: skip


def output_out_of_line_with_energy(monthly: pd.DataFrame, industry_sd: float, *, z_limit: float, months_min: float) -> list[Judgement]:
    """Judge reported output against metered production energy.

    Parameters
    ----------
    monthly : DataFrame
        Months of one enterprise: ``enterprise_id, month, log_intensity`` (log of output per kWh), ``expected``, ``sd``
        (partially pooled over its industry; see :func:`pooled_intensity`).
    industry_sd : float
        Between-month scatter of the industry, log.

    Returns
    -------
    list of Judgement
        Output per energy far under the expectation means output left out of the books (or energy used elsewhere).
    """
    if not len(monthly):
        return []
    enterprise = str(monthly["enterprise_id"].iloc[0])
    span = (monthly["month"].min(), monthly["month"].max() + pd.offsets.MonthBegin(1))
    if len(monthly) < months_min:
        return [
            not_evaluable(
                OUTPUT, enterprise, span, Kind.FALSE_REPORT, "产量或用电不足两个月，无法比较", "fewer than two months of output and energy"
            )
        ]
    z = ((monthly["log_intensity"] - monthly["expected"]) / np.hypot(monthly["sd"], industry_sd)).to_numpy()
    worst = int(np.argmin(z))
    ratio = float(np.exp(monthly["log_intensity"].iloc[worst] - monthly["expected"].iloc[worst]))
    start = monthly["month"].iloc[worst]
    zh = f"{start:%Y-%m}单位用电产量为自身与行业预期的{ratio:.0%}（z={z[worst]:.1f}）"
    en = f"{start:%Y-%m}: output per energy is {ratio:.0%} of what the enterprise and its industry lead to expect (z = {z[worst]:.1f})"
    violated = bool(z[worst] < z_limit)
    parts = (
        {
            "output_per_energy": part(
                "单位用电产量/预期", "output per energy over expected", ratio, "1", -0.5 * (z[worst] - z_limit), low=0.0, high=1.5
            )
        }
        if violated
        else {}
    )
    return [
        Judgement(
            OUTPUT, Ruling.VIOLATED if violated else Ruling.COMPLIANT, enterprise, start, start + pd.offsets.MonthBegin(1), zh, en, Kind.FALSE_REPORT,
            value=ratio, threshold=float(np.exp(z_limit * industry_sd)), base=-2.6, parts=parts, evidence=(f"ledger {start:%Y-%m}",),
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
        With ``expected`` and ``sd`` (log); rows of an enterprise with one month lean on its industry alone.
    float
        Scatter between months of an enterprise, pooled over all, log (at least 0.05).
    """
    out = months.copy()
    within = out.groupby("enterprise_id")["log_intensity"].transform("median")
    scatter = max(0.05, float(1.4826 * np.median(np.abs(out["log_intensity"] - within))) if len(out) else 0.05)
    centre = out.groupby("industry")["log_intensity"].transform("median")
    between = np.maximum((within - centre).groupby(out["industry"]).transform(lambda x: 1.4826 * np.median(np.abs(x))), 0.3)
    n = out.groupby("enterprise_id")["log_intensity"].transform("size") - 1
    total = out.groupby("enterprise_id")["log_intensity"].transform("sum")
    own = np.where(n > 0, (total - out["log_intensity"]) / np.maximum(n, 1), 0.0)  # own other months: a month is no witness for itself
    weight = (n / scatter**2) / (n / scatter**2 + 1 / between**2)
    out["expected"] = weight * own + (1 - weight) * centre
    out["sd"] = np.sqrt(1.0 / (n / scatter**2 + 1 / between**2))
    return out, scatter
