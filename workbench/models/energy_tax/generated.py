"""The generated amount: what a works made of a pollutant before treatment, the tax base where Regulation Art. 7 applies.

Two ways, the first that the data hold: a monitor before the treatment, Σ c_in·Q; else the works' own hours without
treatment, whose concentration over that of its treated hours tells what the treatment takes out: Σ c·Q · ratio over the
treated hours, Σ c·Q over the others. Where neither exists it is not evaluable, with what is missing.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from workbench.models.energy_tax.amounts import Quarter
from workbench.models.energy_tax.tax import MonthlyAmount, month_of_outlet

Z95 = 1.96


@dataclass(frozen=True)
class Generated:
    """Generated amount of one factor at one outlet in one quarter.

    Parameters
    ----------
    months : dict of int to float
        kg by month; empty where it is not evaluable.
    log_sd : float
        Standard error of the logarithm; NaN where it is not evaluable.
    basis_zh, basis_en : str
        What it rests on, or what is missing.
    """

    factor: str
    months: dict[int, float]
    log_sd: float
    basis_zh: str
    basis_en: str

    @property
    def kg(self) -> float:
        """Return the amount of the quarter, kg; NaN where it is not evaluable."""
        return float(sum(self.months.values())) if self.months else float("nan")

    @property
    def interval(self) -> tuple[float, float]:
        """Return the 95 % interval, kg."""
        return self.kg * float(np.exp(-Z95 * self.log_sd)), self.kg * float(np.exp(Z95 * self.log_sd))


def generated_amount(
    q: Quarter, untreated: NDArray[np.bool_], treated: NDArray[np.bool_], *, hours_min: float, inlet_log_sd: float, ratio_log_sd: float
) -> Generated:
    """Return the generated amount of one factor.

    Parameters
    ----------
    untreated, treated : bool arrays, shape (hour of the quarter,)
        Hours in which the works produced without and with its treatment; both False where that is not known.
    hours_min : float
        Fewer untreated hours, or fewer than four times as many treated ones, tell no ratio.
    inlet_log_sd : float
        Log error of a monitor before the treatment with its flow.
    ratio_log_sd : float
        Log error of the ratio beside its sampling error: untreated hours are not drawn at random.
    """
    if q.inlet_kg_hourly is not None and np.isfinite(q.inlet_kg_hourly).mean() >= 0.5:
        months = _by_month(q, q.inlet_kg_hourly.astype(float))
        return Generated(q.factor, months, inlet_log_sd, "治理前监测", "monitor before the treatment")
    good = np.isfinite(q.hourly) & (q.hourly > 0)
    a, b = (np.log(q.hourly[mine & good].astype(float)) for mine in (untreated, treated))
    if len(a) < hours_min or len(b) < 4 * hours_min:
        zh = f"缺治理前监测，且未治理的有效小时仅{len(a)}（需{hours_min:g}）"
        return Generated(
            q.factor, {}, np.nan, zh, f"no monitor before the treatment, and {len(a)} valid hours without it (of {hours_min:g})"
        )
    log_ratio = float(np.median(a) - np.median(b))
    sampled = sum((1.2533 * 1.4826 * float(np.median(np.abs(x - np.median(x)))) / np.sqrt(max(len(x) / 6.0, 1.0))) ** 2 for x in (a, b))
    sd = float(np.sqrt(sampled + ratio_log_sd**2))
    if log_ratio - 1.645 * sd <= 0:
        zh = f"停治时浓度为治理时的{np.exp(log_ratio):.2f}倍，未见升高：该因子不由此设施去除，或监测未反映"
        en = (
            f"{np.exp(log_ratio):.2f} times the treated concentration without it, no rise: it takes out others, or the monitor does not see"
        )
        return Generated(q.factor, {}, np.nan, zh, en)
    kg = q.kg_hourly.astype(float) * np.where(treated, np.exp(log_ratio), 1.0)
    zh = f"未治理{len(a)}小时的浓度为治理时的{np.exp(log_ratio):.1f}倍"
    return Generated(
        q.factor, _by_month(q, kg), sd, zh, f"{len(a)} h without treatment read {np.exp(log_ratio):.1f} times the treated hours"
    )


def _by_month(q: Quarter, kg: NDArray[np.float64]) -> dict[int, float]:
    """Return kg by month, hours without a value filled by the month's mean (the quarter's where it has none)."""
    whole = float(np.nanmean(kg)) if np.isfinite(kg).any() else 0.0
    found = {}
    for month in q.months():
        mine = kg[q.month == month]
        found[month] = (float(np.nanmean(mine)) if np.isfinite(mine).any() else whole) * len(mine)
    return found


def tax_on_generated(generated: list[Generated], quarters: list[Quarter], *, rate_cny: float) -> float:
    """Return the tax of one outlet and quarter with the generated amounts as base, CNY: no reduction is granted (Art. 7).

    Factors whose generated amount is not evaluable are taxed on what was measured, so the sum is a lower bound then.
    """
    by_factor = {g.factor: g for g in generated}
    total = 0.0
    for month in sorted({m for q in quarters for m in q.months()}):
        amounts = []
        for q in quarters:
            kg = q.month_kg(month)
            if np.isfinite(kg):
                kg = max(kg, 0.0)
                made = by_factor[q.factor].months.get(month) if q.factor in by_factor else None
                amounts.append(MonthlyAmount(q.factor, kg, generated_kg=kg if made is None else made))
        total += month_of_outlet(amounts, medium=quarters[0].medium, rate_cny=rate_cny, falsified=True).tax_cny
    return total


def words_of(generated: list[Generated], quarters: list[Quarter], *, treatment_off: bool, rate_cny: float) -> tuple[str, str]:
    """Return the sentence on the generated amount, in both languages."""
    why_zh, why_en = (
        ("停运治污（第七条第四项）", "treatment off, item 4")
        if treatment_off
        else ("虚假申报（第七条第五项）", "false declaration, item 5")
    )
    known = [g for g in generated if g.months]
    head_zh = f"；若认定{why_zh}，以产生量为计税依据："
    head_en = f"; if that is established (Regulation Art. 7: {why_en}) the generated amount is the base: "
    if not known:
        return f"{head_zh}不可核算，{generated[0].basis_zh}", f"{head_en}not evaluable, {generated[0].basis_en}"
    tax = tax_on_generated(generated, quarters, rate_cny=rate_cny)
    amounts = [f"{g.factor} {g.kg:,.0f} kg [{g.interval[0]:,.0f}, {g.interval[1]:,.0f}]" for g in known]
    zh = "，".join(f"{x}（{g.basis_zh}）" for x, g in zip(amounts, known, strict=True))
    en = ", ".join(f"{x} ({g.basis_en})" for x, g in zip(amounts, known, strict=True))
    least = len(known) < len(generated)
    return f"{head_zh}{zh}，应纳{'至少' if least else ''}{tax:,.0f}元", f"{head_en}{en}, {'at least ' if least else ''}{tax:,.0f} CNY due"
