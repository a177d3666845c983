"""Rules on activated carbon: replacement in time, and the balance of purchase, fill and disposal.

Replacement period T[d] = m·s / (c·1e-6·Q·t) with m kg, s the dynamic capacity, c mg/m³ removed, Q m³/h, t h/d.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd

from workbench.contracts import Kind, Ruling
from workbench.models.energy_tax.judgement import Judgement, not_evaluable, parts_of

Metered = Callable[[pd.Timestamp, pd.Timestamp], float]
"""Mean metered production hours per day between two times; NaN where not known."""
RULE, BALANCE = "carbon_replacement_overdue", "carbon_mass_does_not_balance"


def replacement_period_days(
    mass_kg: float, capacity_share: float, removed_mg_m3: float, airflow_m3_h: float, hours_per_day: float
) -> float:
    """Return the days until a fill is spent; NaN where nothing is removed."""
    load = removed_mg_m3 * 1e-6 * airflow_m3_h * hours_per_day
    return mass_kg * capacity_share / load if load > 0 else float("nan")


def carbon_replacement_overdue(
    unit: pd.Series, events: pd.DataFrame, span: tuple[pd.Timestamp, pd.Timestamp], metered: Metered, *, capacity_share: float,
    capacity_log_sd: float, inlet_log_sd: float, removed_share: float, iodine_full_mg_g: float,
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
    metered : callable
        Mean metered production hours per day between two times; NaN where not known. They only weigh: the meter stands
        at the works, not at the adsorber, and the guide reckons with the declared hours.

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
        end = min(until, span[1])
        log_sd = float(np.hypot(capacity_log_sd, inlet_log_sd))
        found.append(_fill(unit, at, end, period, log_sd, k + 1 < len(fills) and until <= span[1], metered(max(at, span[0]), end)))
    return found


def _fill(
    unit: pd.Series, at: pd.Timestamp, until: pd.Timestamp, period: float, log_sd: float, replaced: bool, metered_hours: float
) -> Judgement:
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
    running = metered_hours / unit["hours_per_day"]
    parts = parts_of(
        metered_hours=(running, 1.5 * np.log(max(running, 0.05))),
        use_over_period=(used / period, 1.7 * (z - 1.0)),
        overdue_days=(used - period, 0.6 * np.log(max(used - period, 1.0) / 10.0)),
    )
    ending_zh, ending_en = ("后更换", "then replaced") if replaced else ("至今未更换", "not replaced yet")
    zh = f"吸附装置{name}于{at:%Y-%m-%d}填充，核算更换周期{period:.0f}天，实际使用{used:.0f}天，超期{used - period:.0f}天，{ending_zh}"
    en = (
        f"adsorber {name}: filled {at:%Y-%m-%d}, replacement period {period:.0f} d, in use {used:.0f} d, "
        f"{used - period:.0f} d overdue, {ending_en}"
    )
    return Judgement(
        RULE, Ruling.VIOLATED, enterprise, due, until, zh, en, Kind.CARBON_OVERDUE, outlet_id=str(unit["outlet_id"]), value=used,
        threshold=period, unit="d", base=-0.5, parts=parts, evidence=(name, f"fill {at:%Y-%m-%d}"),
    )  # fmt: skip


def carbon_mass_does_not_balance(
    unit: pd.Series, events: pd.DataFrame, span: tuple[pd.Timestamp, pd.Timestamp], *, z_limit: float, weighing_log_sd: float,
    disposal_days: float,
) -> Judgement:  # fmt: skip
    """Hold purchase against fill, and disposal against what was taken out with its adsorbed load.

    The ratio is reported with its interval from the weighing error; either side missing is not evaluable.

    Parameters
    ----------
    disposal_days : float
        What was taken out later than this before the end may still lie in store and is not missed yet.
    """
    enterprise, name = str(unit["enterprise_id"]), str(unit["unit_id"])
    known = _ratios(events, span[1] - pd.Timedelta(days=disposal_days))
    if not known:
        zh = f"吸附装置{name}缺少购买、填充或处置记录，无法核对平衡"
        en = f"adsorber {name}: records of purchase, fill or disposal are missing or not due, no balance"
        return not_evaluable(BALANCE, enterprise, span, Kind.CARBON_OVERDUE, zh, en)
    sd = weighing_log_sd * np.sqrt(2.0)
    z = {k: float(np.log(have / want) / sd) for k, (have, want) in known.items()}
    worst = min(z, key=lambda k: z[k])
    ratio = known[worst][0] / known[worst][1]
    low, high = np.exp(np.log(ratio) + np.array([-1.96, 1.96]) * sd)
    violated = z[worst] < z_limit
    parts = parts_of(**{worst: (ratio, -0.5 * (z[worst] - z_limit))})
    words = parts[worst]
    zh = f"吸附装置{name}{words.zh}之比{ratio:.2f} [{low:.2f}, {high:.2f}]"
    en = f"adsorber {name}: {words.en} {ratio:.2f} [{low:.2f}, {high:.2f}]"
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
