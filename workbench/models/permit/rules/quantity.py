"""R4: cumulative emission within the permitted annual amount and the limits of special periods."""

from __future__ import annotations

from math import log

import numpy as np
import pandas as pd

from workbench.contracts import Ruling
from workbench.models.permit.accounting import exhaustion_day, measured_mass, share_below
from workbench.models.permit.dossier import Dossier
from workbench.models.permit.results import RuleResult, log_excess, records

_FIELD = "permit_limits.annual_t"


def annual_amount_over_permitted(d: Dossier, *, recent_days: float) -> list[RuleResult]:
    """The emission of a calendar year exceeds the permitted annual amount; exceedances count as emissions."""
    name = "annual_amount_over_permitted"
    results: list[RuleResult] = []
    rows = d.limits[d.limits["annual_t"].notna()] if d.limits is not None and len(d.limits) else None
    if rows is None or not len(rows):
        return d.cannot(name, "许可证没有年许可排放量", "the permit holds no annual amount", permit_field=_FIELD)
    for row in records(rows.drop_duplicates(["outlet_id", "factor"])):
        outlet, factor, permitted = row["outlet_id"], row["factor"], float(row["annual_t"])
        masses = d.masses.get((outlet, factor))
        facts = {
            "permit_field": _FIELD,
            "outlet_id": outlet,
            "factor": factor,
            "threshold": permitted,
            "unit": "t",
            "evidence": (f"limit:{d.permit_id}/{outlet}/{factor}", f"mass:{outlet}/{factor}"),
        }
        if masses is None:
            results += d.cannot(name, "没有浓度和流量的自动监测，无法核算", "no automatic concentration and flow to account with", **facts)
            continue
        for year in range(d.grid.start.year, (d.grid.end - pd.Timedelta(hours=1)).year + 1):
            begin, close = pd.Timestamp(year, 1, 1), pd.Timestamp(year + 1, 1, 1)
            lo, hi = (int(x) for x in d.grid.index([begin, close]).clip(0, d.grid.n))
            span = {"start": max(begin, d.grid.start), "end": min(close, d.grid.end)}
            mass, sigma, filled = (float(x[0]) for x in measured_mass(masses, np.array([lo]), np.array([hi]), **d.accounting))
            at_least = float(masses.mass[hi] - masses.mass[lo])
            known = np.isfinite(mass)
            value = mass if known else at_least
            if value > permitted:
                s = sigma if known else d.accounting["sigma_instrument"]
                p = share_below(log(value / permitted) / s) if permitted > 0 else 1.0
                zh = (
                    f"{year}年已排放{value:.4g} t，超过年许可{permitted:.4g} t（{value / permitted:.2f}倍）。"
                    if permitted > 0
                    else f"许可量为0，已排放{value:.4g} t。"
                )
                en = f"{year}: {value:.4g} t emitted, over the permitted {permitted:.4g} t; {filled if known else 0:.0%} of hours filled."
                when = np.flatnonzero(masses.mass[lo : hi + 1] - masses.mass[lo] > permitted)
                over_from = d.grid.start + pd.Timedelta(hours=int(lo + when[0]) - 1) if when.size else span["start"]
                span["start"] = max(span["start"], over_from)
                results.append(
                    d.say(name, Ruling.VIOLATED, zh, en, value=value, p=p, strength=log_excess(value, permitted), **span, **facts)
                )
            elif not known:
                results += d.cannot(name, f"{year}年有效小时不足", f"too few valid hours in {year}", value=value, **span, **facts)
            elif d.grid.start > begin:
                zh, en = f"{year}年初的数据不在审查期内", f"the beginning of {year} is not under review"
                results += d.cannot(name, zh, en, value=value, **span, **facts)
            else:
                zh, en = _forecast(d, masses.mass, masses.valid, value, permitted, sigma, close, int(recent_days), hi)
                zh = f"{year}年已排放{value:.4g} t，年许可{permitted:.4g} t。{zh}"
                en = f"{year}: {value:.4g} t emitted of {permitted:.4g} t permitted. {en}"
                results.append(d.say(name, Ruling.COMPLIANT, zh, en, value=value, **span, **facts))
    return results


def special_period_amount_over_permitted(d: Dossier) -> list[RuleResult]:
    """The emission of a special period exceeds its limit; needs ``permit_limits.special_from, special_to, special_t``."""
    name, field = "special_period_amount_over_permitted", "permit_limits.special_t"
    wanted = {"special_from", "special_to", "special_t"}
    rows = d.limits[d.limits["special_t"].notna()] if d.limits is not None and wanted <= set(d.limits) else None
    if rows is None or not len(rows):
        return d.cannot(name, "许可证数据没有特殊时段排放量", "the permit data hold no special-period amount", permit_field=field)
    results: list[RuleResult] = []
    for row in records(rows):
        outlet, factor, permitted = row["outlet_id"], row["factor"], float(row["special_t"])
        span = {"start": pd.Timestamp(row["special_from"]), "end": pd.Timestamp(row["special_to"]) + pd.Timedelta(days=1)}
        ids = (f"limit:{d.permit_id}/{outlet}/{factor}", f"mass:{outlet}/{factor}")
        facts = {
            "permit_field": field,
            "outlet_id": outlet,
            "factor": factor,
            "threshold": permitted,
            "unit": "t",
            "evidence": ids,
            **span,
        }
        masses = d.masses.get((outlet, factor))
        at = d.grid.index([span["start"], span["end"]])
        if masses is None or at[0] < 0 or at[1] > d.grid.n:
            results += d.cannot(name, "特殊时段没有完整的核算数据", "the special period is not fully accounted for", **facts)
            continue
        mass, sigma, _ = (float(x[0]) for x in measured_mass(masses, at[:1], at[1:], **d.accounting))
        if not np.isfinite(mass):
            results += d.cannot(name, "特殊时段有效小时不足", "too few valid hours in the special period", **facts)
            continue
        over = mass > permitted
        zh, en = f"特殊时段排放{mass:.4g} t，限{permitted:.4g} t。", f"{mass:.4g} t in the special period, {permitted:.4g} t allowed."
        more = (
            {"p": share_below(log(mass / permitted) / sigma) if permitted > 0 else 1.0, "strength": log_excess(mass, permitted)}
            if over
            else {}
        )
        results.append(d.say(name, Ruling.VIOLATED if over else Ruling.COMPLIANT, zh, en, value=mass, **more, **facts))
    return results


def _forecast(
    d: Dossier,
    mass: np.ndarray,
    valid: np.ndarray,
    used: float,
    permitted: float,
    sigma: float,
    close: pd.Timestamp,
    recent_days: int,
    hi: int,
) -> tuple[str, str]:
    left = int((close - d.grid.end) / pd.Timedelta(days=1))
    if left <= 0:
        return "", ""
    days = min(recent_days, hi // 24)
    edges = hi - 24 * np.arange(days, -1, -1)
    hours = np.diff(valid[edges])
    with np.errstate(invalid="ignore", divide="ignore"):
        daily = np.where(hours >= 12, np.diff(mass[edges]) * 24.0 / hours, np.nan)
    median, early, late = exhaustion_day(daily, used, permitted, sigma=sigma, days_left=left)
    if not np.isfinite(early):
        return "预计年内不会用尽。", "Not expected to run out this year."
    day = [(d.grid.end + pd.Timedelta(days=x)).strftime("%Y-%m-%d") if np.isfinite(x) else None for x in (median, early, late)]
    zh = f"预计{day[0] or '年内不会'}用尽（95%：{day[1]}至{day[2] or '年内不用尽'}）。"
    en = f"Expected to run out {('on ' + day[0]) if day[0] else 'after the year'} (95 %: {day[1]} to {day[2] or 'not this year'})."
    return zh, en
