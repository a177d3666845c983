"""Rules on activated carbon: replacement in time, and the balance of purchase, fill and disposal.

Replacement period T[d] = m·s / (c·1e-6·Q·t) with m kg, s the dynamic capacity, c mg/m³ removed, Q m³/h, t h/d.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
from scipy.stats import norm

from workbench.contracts import Kind, Ruling
from workbench.models.energy_tax.judgement import Judgement, not_evaluable, part

RULE, BALANCE = "carbon_replacement_overdue", "carbon_mass_does_not_balance"


def replacement_period_days(
    mass_kg: float, capacity_share: float, removed_mg_m3: float, airflow_m3_h: float, hours_per_day: float
) -> float:
    """Return the days until a fill is spent; NaN where nothing is removed."""
    load = removed_mg_m3 * 1e-6 * airflow_m3_h * hours_per_day
    return mass_kg * capacity_share / load if load > 0 else float("nan")


def carbon_replacement_overdue(
    unit: pd.Series, events: pd.DataFrame, span: tuple[pd.Timestamp, pd.Timestamp], *, capacity_share: float, capacity_log_sd: float,
    inlet_log_sd: float, removed_share: float, iodine_full_mg_g: float,
) -> list[Judgement]:  # fmt: skip
    """Judge the fills of one adsorber against their replacement period.

    Parameters
    ----------
    unit : Series
        A row of ``carbon_units``.
    events : DataFrame
        Its rows of ``carbon_events``.
    span : tuple of Timestamp
        Period under review.

    Returns
    -------
    list of Judgement
        One per fill that reaches into the period; not evaluable where capacity, airflow, hours or inlet are missing.
    """
    enterprise, name = str(unit["enterprise_id"]), str(unit["unit_id"])
    needed = ("airflow_m3_h", "hours_per_day", "inlet_mg_m3")
    lost = [c for c in needed if not np.isfinite(unit[c]) or unit[c] <= 0]
    fills = events[events["event"] == "fill"].sort_values("at")
    if lost or fills.empty:
        why_zh = f"缺少{'、'.join(lost)}" if lost else "没有填充记录"
        why_en = f"missing {', '.join(lost)}" if lost else "no record of a fill"
        return [
            not_evaluable(
                RULE,
                enterprise,
                span,
                Kind.CARBON_OVERDUE,
                f"吸附装置{name}{why_zh}，无法核算更换周期",
                f"adsorber {name}: {why_en}, no replacement period",
            )
        ]
    iodine = unit["iodine_mg_g"]
    quality = min(1.0, iodine / iodine_full_mg_g) if np.isfinite(iodine) and iodine > 0 else 1.0
    found = []
    for k, (at, mass) in enumerate(zip(fills["at"], fills["mass_kg"], strict=True)):
        until = fills["at"].iloc[k + 1] if k + 1 < len(fills) else span[1]
        mass = mass if np.isfinite(mass) and mass > 0 else unit["capacity_kg"]
        if until <= span[0] or at >= span[1] or not np.isfinite(mass):
            continue
        removed = removed_share * unit["inlet_mg_m3"]
        period = replacement_period_days(mass, capacity_share * quality, removed, unit["airflow_m3_h"], unit["hours_per_day"])
        found.append(_fill(unit, at, min(until, span[1]), period, float(np.hypot(capacity_log_sd, inlet_log_sd)), k + 1 < len(fills)))
    return found


def _fill(unit: pd.Series, at: pd.Timestamp, until: pd.Timestamp, period: float, log_sd: float, replaced: bool) -> Judgement:
    used = (until - at) / pd.Timedelta(days=1)
    z = float(np.log(max(used, 1e-3) / period) / log_sd)
    due = at + pd.Timedelta(days=period)
    name, enterprise = str(unit["unit_id"]), str(unit["enterprise_id"])
    if z <= 0:
        zh, en = (
            f"吸附装置{name}使用{used:.0f}天，未超核算周期{period:.0f}天",
            f"adsorber {name}: {used:.0f} d in use, period {period:.0f} d",
        )
        return Judgement(
            RULE,
            Ruling.COMPLIANT,
            enterprise,
            at,
            until,
            zh,
            en,
            Kind.CARBON_OVERDUE,
            outlet_id=str(unit["outlet_id"]),
            value=used,
            threshold=period,
            unit="d",
        )
    parts = {
        "use_over_period": part(
            "使用时间与核算周期之比", "time in use over replacement period", used / period, "1", 1.7 * (z - 1.0), low=-1.7, high=4.5
        ),
        "overdue_days": part(
            "超期天数", "days overdue", used - period, "d", 0.6 * np.log(max(used - period, 1.0) / 10.0), low=-1.2, high=1.2
        ),
    }
    ending_zh, ending_en = ("后更换", "then replaced") if replaced else ("至今未更换", "not replaced yet")
    zh = f"吸附装置{name}于{at:%Y-%m-%d}填充，核算更换周期{period:.0f}天，实际使用{used:.0f}天，超期{used - period:.0f}天，{ending_zh}"
    en = f"adsorber {name}: filled {at:%Y-%m-%d}, replacement period {period:.0f} d, in use {used:.0f} d, {used - period:.0f} d overdue, {ending_en}"
    return Judgement(
        RULE, Ruling.VIOLATED, enterprise, due, until, zh, en, Kind.CARBON_OVERDUE, outlet_id=str(unit["outlet_id"]), value=used, threshold=period,
        unit="d", base=-0.5, parts=parts, evidence=(name, f"fill {at:%Y-%m-%d}"),
    )  # fmt: skip


def carbon_mass_does_not_balance(
    unit: pd.Series,
    events: pd.DataFrame,
    span: tuple[pd.Timestamp, pd.Timestamp],
    *,
    z_limit: float,
    weighing_log_sd: float,
    capacity_share: float,
) -> Judgement:
    """Hold purchase against fill, and disposal against what was taken out with its adsorbed load.

    The ratio is reported with its interval from the weighing error; either side missing is not evaluable.
    """
    enterprise, name = str(unit["enterprise_id"]), str(unit["unit_id"])
    mass = events.groupby("event")["mass_kg"].sum(min_count=1)
    bought, filled, taken, disposed = (float(mass.get(e, np.nan)) for e in ("purchase", "fill", "remove", "dispose"))
    ratios = {
        "bought_over_filled": (bought, filled, "购买/填充", "purchased over filled"),
        "disposed_over_spent": (disposed, taken if np.isfinite(taken) else np.nan, "处置/卸出", "disposed of over removed"),
    }
    known = {k: r for k, r in ratios.items() if np.isfinite(r[0]) and np.isfinite(r[1]) and r[1] > 0 and r[0] > 0}
    if not known:
        zh, en = (
            f"吸附装置{name}缺少购买、填充或处置记录，无法核对平衡",
            f"adsorber {name}: records of purchase, fill or disposal are missing, no balance",
        )
        return not_evaluable(BALANCE, enterprise, span, Kind.CARBON_OVERDUE, zh, en)
    sd = weighing_log_sd * np.sqrt(2.0)
    z = {k: float(np.log(r[0] / r[1]) / sd) for k, r in known.items()}
    worst = min(z, key=lambda k: z[k])
    have, want, zh_name, en_name = known[worst]
    low, high = np.exp(np.log(have / want) + np.array([-1.96, 1.96]) * sd)
    text = f"{have / want:.2f} [{low:.2f}, {high:.2f}]"
    zh, en = f"吸附装置{name}{zh_name}之比{text}", f"adsorber {name}: {en_name} {text}"
    ruling = Ruling.VIOLATED if z[worst] < z_limit else Ruling.COMPLIANT
    contribution = float(norm.logsf(z[worst]) - norm.logcdf(z[worst])) if ruling is Ruling.VIOLATED else 0.0
    parts = {worst: part(zh_name, en_name, have / want, "1", 0.35 * contribution, low=0.0, high=2.5)} if ruling is Ruling.VIOLATED else {}
    return Judgement(
        BALANCE, ruling, enterprise, max(span[0], events["at"].min()), span[1], zh, en, Kind.CARBON_OVERDUE, outlet_id=str(unit["outlet_id"]),
        value=have / want, threshold=float(np.exp(z_limit * sd)), base=-2.2, parts=parts, evidence=(name,),
    )  # fmt: skip
