"""R1: the permit is held, in force, and renewed in time."""

from __future__ import annotations

import pandas as pd

from workbench.contracts import Ruling
from workbench.models.permit.dossier import Dossier
from workbench.models.permit.results import RuleResult, log_excess


def permit_lapsed_while_discharging(d: Dossier) -> list[RuleResult]:
    """An enterprise whose class needs a permit discharges without one in force."""
    name, field = "permit_lapsed_while_discharging", "permits.valid_to"
    klass = str(d.enterprise.get("permit_class") or "")
    if not d.permits_known:
        return d.cannot(name, "目录中没有许可证表", "the catalog holds no permits", permit_field=field)
    if klass == "registered":
        return [d.say(name, Ruling.COMPLIANT, "实行登记管理，无需许可证。", "Registered class: no permit is needed.", permit_field=field)]
    if d.permit is None:
        if not klass:
            return d.cannot(name, "管理类别不明，且无许可证", "class unknown and no permit on file", permit_field=field)
        return [
            d.say(
                name,
                Ruling.VIOLATED,
                f"管理类别为{klass}，但没有许可证在案。",
                f"Class {klass}, yet no permit is on file.",
                permit_field="permits.permit_id",
                evidence=(f"enterprise:{d.enterprise_id}",),
                p=0.6,
            )
        ]
    if pd.isna(d.permit["valid_from"]) or pd.isna(d.permit["valid_to"]):
        return d.cannot(name, "许可证未载明有效期", "the permit names no validity", permit_field=field)
    start, stop = pd.Timestamp(d.permit["valid_from"]), pd.Timestamp(d.permit["valid_to"])
    covered_to = stop + pd.Timedelta(days=1)  # the last day counts
    late = max((d.grid.end - covered_to) / pd.Timedelta(days=1), (start - d.grid.start) / pd.Timedelta(days=1), 0.0)
    facts = {"permit_field": field, "value": float(late), "threshold": 0.0, "unit": "d", "evidence": (f"permit:{d.permit_id}",)}
    if late <= 0:
        return [d.say(name, Ruling.COMPLIANT, f"许可证有效至{stop:%Y-%m-%d}。", f"Permit in force until {stop:%Y-%m-%d}.", **facts)]
    begin = max(d.grid.start, covered_to) if covered_to < d.grid.end else d.grid.start
    end = d.grid.end if covered_to < d.grid.end else min(d.grid.end, start)
    flowing = _discharges(d, begin, end)
    if flowing is None:
        return d.cannot(
            name,
            f"许可证不在有效期内{late:.0f}天，但无数据表明期间排放",
            f"permit not in force for {late:.0f} d, but nothing shows whether it discharged",
            start=begin,
            end=end,
            **facts,
        )
    if not flowing:
        zh, en = "许可证不在有效期内，期间未见排放。", "Permit not in force, and no discharge was seen meanwhile."
        return [d.say(name, Ruling.COMPLIANT, zh, en, start=begin, end=end, **facts)]
    zh = f"许可证有效期为{start:%Y-%m-%d}至{stop:%Y-%m-%d}，期外仍在排放，共{late:.0f}天。"
    en = f"Permit in force {start:%Y-%m-%d} to {stop:%Y-%m-%d}; discharge went on outside it for {late:.0f} d."
    return [d.say(name, Ruling.VIOLATED, zh, en, start=begin, end=end, strength=log_excess(late, 1.0), **facts)]


def renewal_applied_for_too_late(d: Dossier, *, days_before: float) -> list[RuleResult]:
    """Renewal must be applied for this many days before the permit ends; needs ``permits.renewal_applied_on``."""
    name, field = "renewal_applied_for_too_late", "permits.valid_to"
    if d.permit is None or pd.isna(d.permit["valid_to"]):
        return d.cannot(name, "没有载明有效期的许可证", "no permit with a validity is on file", permit_field=field)
    stop = pd.Timestamp(d.permit["valid_to"])
    latest = stop - pd.Timedelta(days=days_before)
    facts = {"permit_field": field, "threshold": days_before, "unit": "d", "evidence": (f"permit:{d.permit_id}",)}
    if d.grid.end <= latest:
        left = float((stop - d.grid.end) / pd.Timedelta(days=1))
        return [d.say(name, Ruling.COMPLIANT, f"距届满还有{left:.0f}天。", f"{left:.0f} d left before it ends.", value=left, **facts)]
    given = d.permit.get("renewal_applied_on")
    applied = pd.NaT if given is None else pd.Timestamp(given)
    if pd.isna(applied):
        zh = f"应于{latest:%Y-%m-%d}前申请延续，数据中没有申请日期"
        en = f"renewal was due by {latest:%Y-%m-%d}; the data hold no application date"
        return d.cannot(name, zh, en, **facts)
    before = float((stop - applied) / pd.Timedelta(days=1))
    ruling = Ruling.VIOLATED if applied > latest else Ruling.COMPLIANT
    zh = f"届满前{before:.0f}天申请延续，法定为{days_before:.0f}天。"
    en = f"Renewal applied for {before:.0f} d before the end; {days_before:.0f} d are required."
    strength = log_excess(days_before, max(before, 1.0)) if ruling is Ruling.VIOLATED else 0.0
    return [d.say(name, ruling, zh, en, value=before, start=min(latest, applied), end=applied, strength=strength, **facts)]


def _discharges(d: Dossier, start: pd.Timestamp, end: pd.Timestamp) -> bool | None:
    lo, hi = (int(x) for x in d.grid.index([start, end]).clip(0, d.grid.n))
    seen = None
    for p in d.power:
        part = p.running[lo:hi]
        if p.role == "production" and (part == part).any():
            seen = bool(seen) or bool((part > 0.5).any())
    for share in d.flow_share.values():
        part = share[lo:hi]
        if (part == part).any():
            seen = bool(seen) or bool((part > 0.3).any())
    return seen
