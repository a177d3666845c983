"""Rules on activated carbon: replacement in time, and the balance of purchase, fill and disposal.

Replacement period T[d] = m·s / (c·1e-6·Q·t) with m kg, s the dynamic capacity, c mg/m³ removed, Q m³/h, t h/d. A works
that stands still loads nothing: days in use count by the activity of the works in them. All errors are log-normal.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from workbench.contracts import Kind, Ruling
from workbench.models.additive import Judgement, not_evaluable
from workbench.models.energy_tax.carbon_fills import Active, Activity, Fill, fills_in_use, periods_of
from workbench.models.energy_tax.parts import parts_of

RULE, BALANCE = "carbon_replacement_overdue", "carbon_mass_does_not_balance"
ONE_SIDED = 1.645
BASE, SLOPE, CAP = -1.1, 2.2, 4.5
"""Log-odds where the lower bound of the 90 % interval touches the period; log-odds per standard error; highest z."""


def carbon_replacement_overdue(
    unit: pd.Series, events: pd.DataFrame, span: tuple[pd.Timestamp, pd.Timestamp], active: Active, usual: float = 0.0, *,
    capacity_share: float, removed_share: float, iodine_full_mg_g: float, mass_log_sd: float, capacity_log_sd: float,
    removed_log_sd: float, airflow_log_sd: float, metered_log_sd: float, ledger_log_sd: float, unmetered_log_sd: float,
    schedule_days: float, fills_min: float,
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
    active : callable
        Activity of the works between two times.
    usual : float
        See :func:`~workbench.models.energy_tax.carbon_fills.usual_of_the_district`, which ``fills_min`` belongs to.
    mass_log_sd, capacity_log_sd, removed_log_sd, airflow_log_sd : float
        Log errors of m, s, c and Q as filed: the duty is reckoned with the filed figures.
    metered_log_sd, ledger_log_sd, unmetered_log_sd : float
        Log error of the hours t: of meters (also those of the district, beside their spread), of a ledger, of no source.
    schedule_days : float
        A change falls on a working day: error of the dates, d.

    Returns
    -------
    list of Judgement
        One per fill that reaches into the period; not evaluable where capacity, airflow, hours or inlet are missing, or
        where a fill is likely missing from the papers. Where the 90 % interval of days over period holds 1 the score
        stays under the alert.
    """
    enterprise, name = str(unit["enterprise_id"]), str(unit["unit_id"])
    needed = ("airflow_m3_h", "hours_per_day", "inlet_mg_m3")
    lost = [c for c in needed if not np.isfinite(unit[c]) or unit[c] <= 0]
    fills = fills_in_use(unit, events, span[1])
    if lost or not fills:
        why_zh = f"缺少{'、'.join(lost)}" if lost else "没有填充记录"
        why_en = f"missing {', '.join(lost)}" if lost else "no record of a fill"
        zh, en = f"吸附装置{name}{why_zh}，无法核算更换周期", f"adsorber {name}: {why_en}, no replacement period"
        return [not_evaluable(RULE, enterprise, span, Kind.CARBON_OVERDUE, zh, en)]
    periods = periods_of(unit, fills, capacity_share=capacity_share, removed_share=removed_share, iodine_full_mg_g=iodine_full_mg_g)
    filed = mass_log_sd**2 + capacity_log_sd**2 + removed_log_sd**2 + airflow_log_sd**2
    hours = {"metered": metered_log_sd, "ledger": ledger_log_sd, "district": metered_log_sd, "none": unmetered_log_sd}
    found = []
    for fill, period in zip(fills, periods, strict=True):
        if fill.until <= span[0] or fill.at >= span[1] or not np.isfinite(period):
            continue
        activity = active(fill.at, fill.until)
        sd = float(np.sqrt(filed + hours[activity.source] ** 2 + activity.log_sd**2 + (schedule_days / period) ** 2))
        found.append(_judge_fill(unit, fill, float(period), activity, sd, usual))
    return found


def _judge_fill(unit: pd.Series, fill: Fill, period: float, activity: Activity, log_sd: float, usual: float) -> Judgement:
    at, until = fill.at, fill.until
    name, enterprise, outlet = (str(unit[c]) for c in ("unit_id", "enterprise_id", "outlet_id"))
    used = max((until - at) / pd.Timedelta(days=1), 1e-3)
    share = max(activity.share, 0.05)
    allowed = period / share * np.exp(usual)  # calendar days that the fill lasts at this activity
    low, high = np.exp(np.log(used / allowed) + np.array([-ONE_SIDED, ONE_SIDED]) * log_sd)
    ran_zh = f"，期间开工为平时的{share:.0%}，可用{allowed:.0f}天" if allowed > period * 1.005 else ""
    ran_en = f", {allowed:.0f} d at the activity of that time ({share:.0%} of usual)" if allowed > period * 1.005 else ""
    head_zh = f"吸附装置{name}于{at:%Y-%m-%d}填充，核算更换周期{period:.0f}天{ran_zh}，实际使用{used:.0f}天"
    head_en = f"adsorber {name}: filled {at:%Y-%m-%d}, replacement period {period:.0f} d{ran_en}, in use {used:.0f} d"
    evidence = (name, f"fill {at:%Y-%m-%d}", *(f"fill on paper {p:%Y-%m-%d}" for p in fill.paper))
    if fill.paper:
        dates = [f"{p:%m-%d}" for p in fill.paper]
        head_zh += f"（{'、'.join(dates)}的填充记录既无购炭也无卸出，不计为更换）"
        head_en += f" (fills recorded on {', '.join(dates)} had no carbon bought and none taken out, and count for nothing)"
    if used <= allowed:
        return Judgement(
            RULE, Ruling.COMPLIANT, enterprise, at, until, f"{head_zh}，未超期", f"{head_en}, in time", Kind.CARBON_OVERDUE,
            outlet_id=outlet, value=used, threshold=allowed, unit="d", evidence=evidence,
        )  # fmt: skip
    if fill.unrecorded:
        zh, en = (
            f"{head_zh}；购炭次数多于填充记录，可能漏记一次更换，不评价",
            f"{head_en}; more purchases than fills are on record, a change may be missing from the papers",
        )
        return Judgement(
            RULE, Ruling.NOT_EVALUABLE, enterprise, at, until, zh, en, Kind.CARBON_OVERDUE, outlet_id=outlet, value=used,
            threshold=allowed, unit="d", evidence=evidence,
        )  # fmt: skip
    raw = {"use_over_period": np.log(used / period), "activity": np.log(share), "usual_overrun": -usual}
    scale = SLOPE / log_sd * min(1.0, CAP * log_sd / sum(raw.values()))  # beyond the cap more days add nothing
    figures = {"use_over_period": used / period, "activity": share, "usual_overrun": float(np.exp(usual))}
    parts = parts_of(**{k: (figures[k], scale * v) for k, v in raw.items()})
    ending_zh, ending_en = ("后更换", "then replaced") if fill.replaced else ("至今未更换", "not replaced yet")
    ratio_zh = f"，为可用天数的{used / allowed:.2f}倍 [{low:.2f}, {high:.2f}]"
    ratio_en = f", {used / allowed:.2f} [{low:.2f}, {high:.2f}] of what it lasts"
    zh = f"{head_zh}，超期{used - allowed:.0f}天，{ending_zh}{ratio_zh}"
    en = f"{head_en}, {used - allowed:.0f} d overdue, {ending_en}{ratio_en}"
    due = at + pd.Timedelta(days=allowed)
    return Judgement(
        RULE, Ruling.VIOLATED, enterprise, due, until, zh, en, Kind.CARBON_OVERDUE, outlet_id=outlet, value=used,
        threshold=allowed, unit="d", base=BASE - SLOPE * ONE_SIDED, parts=parts, evidence=evidence,
    )  # fmt: skip


def carbon_mass_does_not_balance(
    unit: pd.Series, events: pd.DataFrame, span: tuple[pd.Timestamp, pd.Timestamp], invoiced: tuple[float, float] | None = None, *,
    z_limit: float, weighing_log_sd: float, disposal_days: float,
) -> Judgement:  # fmt: skip
    """Hold invoices and purchases against fills, and disposal against what was taken out with its adsorbed load.

    The ratio is reported with its interval from the weighing error; either side missing is not evaluable.

    Parameters
    ----------
    invoiced : tuple of float, optional
        Carbon on the enterprise's purchase invoices and in the fills of all its adsorbers over the same span, kg; None
        without invoices that name carbon, and then the words say so.
    disposal_days : float
        What was taken out later than this before the end may still lie in store and is not missed yet.
    """
    enterprise, name = str(unit["enterprise_id"]), str(unit["unit_id"])
    known = _ratios(events, span[1] - pd.Timedelta(days=disposal_days))
    if invoiced is not None and np.isfinite(invoiced).all() and min(invoiced) > 0:
        known["invoiced_over_filled"] = invoiced
    lost_zh, lost_en = (
        ("", "")
        if invoiced is not None
        else ("（无写明活性炭的发票，购买只凭台账）", " (no invoice names carbon: purchases rest on the records)")
    )
    if not known:
        zh = f"吸附装置{name}缺少购买、填充或处置记录，无法核对平衡{lost_zh}"
        en = f"adsorber {name}: records of purchase, fill or disposal are missing or not due, no balance{lost_en}"
        return not_evaluable(BALANCE, enterprise, span, Kind.CARBON_OVERDUE, zh, en)
    sd = weighing_log_sd * np.sqrt(2.0)
    z = {k: float(np.log(have / want) / sd) for k, (have, want) in known.items()}
    worst = min(z, key=lambda k: (z[k], k))
    ratio = known[worst][0] / known[worst][1]
    low, high = np.exp(np.log(ratio) + np.array([-1.96, 1.96]) * sd)
    violated = z[worst] < z_limit
    parts = parts_of(**{worst: (ratio, -0.5 * (z[worst] - z_limit))})
    words = parts[worst]
    zh = f"吸附装置{name}{words.zh}之比{ratio:.2f} [{low:.2f}, {high:.2f}]{lost_zh}"
    en = f"adsorber {name}: {words.en} {ratio:.2f} [{low:.2f}, {high:.2f}]{lost_en}"
    return Judgement(
        BALANCE, Ruling.VIOLATED if violated else Ruling.COMPLIANT, enterprise, *span, zh, en, Kind.CARBON_OVERDUE,
        outlet_id=str(unit["outlet_id"]), value=ratio, threshold=float(np.exp(z_limit * sd)), base=-2.2, parts=parts if violated else {},
        evidence=(name,),
    )  # fmt: skip


def _ratios(events: pd.DataFrame, due: pd.Timestamp) -> dict[str, tuple[float, float]]:
    """Return what is there over what is needed, by part name: purchases by fills, disposals by removals that are due."""
    mass = events.groupby("event")["mass_kg"].sum(min_count=1)
    bought, filled, disposed = (float(mass.get(e, np.nan)) for e in ("purchase", "fill", "dispose"))
    taken = float(events.loc[(events["event"] == "remove") & (events["at"] <= due), "mass_kg"].sum(min_count=1))
    ratios = {"bought_over_filled": (bought, filled), "disposed_over_removed": (disposed, taken)}
    return {k: r for k, r in ratios.items() if np.isfinite(r).all() and min(r) > 0}
