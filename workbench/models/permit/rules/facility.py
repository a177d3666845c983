"""R9: facilities, fuels and materials are as permitted and as recorded."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from workbench.contracts import Ruling
from workbench.models.hourly import runs
from workbench.models.permit.dossier import Dossier
from workbench.models.permit.results import RuleResult, log_excess, records


def treatment_hours_contradict_power(d: Dossier, *, hours_more: float, days_lowest: float, join_d: float) -> list[RuleResult]:
    """The ledger records clearly more treatment hours than the treatment's own meters ran."""
    name, field = "treatment_hours_contradict_power", "permit_duties.duty"
    facts: dict[str, Any] = {"permit_field": field, "unit": "h", "threshold": hours_more}
    if d.ledger is None or not len(d.ledger):
        return d.cannot(name, "没有台账", "no ledger on file", **facts)
    meters = [p for p in d.power if p.role == "treatment"]
    if not meters:
        return d.cannot(name, "没有治理设施用电监测", "treatment power is not metered", **facts)
    said_on, said = d.ledger_of("treatment_hours")
    first = d.grid.start.ceil("D")
    skip, days = int((first - d.grid.start) / pd.Timedelta(hours=1)), (d.grid.end - first).days
    at = (said_on - first.to_datetime64()) / np.timedelta64(1, "D")
    inside = (at >= 0) & (at < days)
    if days < 1 or not inside.any():
        return d.cannot(name, "台账没有治理设施运行时数", "the ledger holds no treatment hours", **facts)
    recorded = np.full(days, np.inf)
    np.minimum.at(recorded, at[inside].astype(int), said[inside])  # of several facilities the one that says least
    recorded[np.isinf(recorded)] = np.nan
    state = np.stack([p.running[skip : skip + 24 * days].reshape(days, 24) for p in meters]).astype(float)
    heard = np.isfinite(state).any(axis=0).sum(axis=1)  # hours of the day in which some meter reported
    best = np.where(np.isfinite(state), state, 0.0).max(axis=0).sum(axis=1)  # the busiest meter, in the discharger's favour
    ran = np.where(heard >= 22, best + (24 - heard), np.nan)  # unheard hours count as running
    # a treatment whose pressure drop, oxygen or temperature shows it at work draws its power from another meter
    sensed = [p.running[skip : skip + 24 * days].reshape(days, 24) for p in d.power if p.role == "condition"]
    if sensed:
        ran = np.fmax(ran, np.nansum(np.stack(sensed), axis=2).max(axis=0)) + 0.0 * ran  # a day without power stays unknown
    known = np.isfinite(recorded) & np.isfinite(ran)
    if not known.any():
        return d.cannot(name, "没有同时有台账和用电数据的日", "no day has both ledger and power", **facts)
    over = known & (recorded - ran >= hours_more)
    spans = [(a, b) for a, b in runs(over, join=int(join_d)) if over[a:b].sum() >= days_lowest]
    ids = (f"ledger:{d.enterprise_id}", *(f"series:{p.point_id}" for p in meters))
    if not spans:
        worst = float(np.max((recorded - ran)[known]))
        zh, en = f"台账与用电最多相差{worst:.1f} h，未成片。", f"Ledger and power differ by at most {worst:.1f} h, in no lasting spell."
        return [d.say(name, Ruling.COMPLIANT, zh, en, value=worst, evidence=ids, **facts)]
    results = []
    for a, b in spans:
        gap, n = float((recorded - ran)[a:b][over[a:b]].mean()), int(over[a:b].sum())
        zh = f"{n}天台账记录的治理运行时数比用电多，平均多{gap:.1f} h/天。"
        en = f"On {n} days the ledger records {gap:.1f} h/d more treatment than its power shows."
        span = {"start": first + pd.Timedelta(days=a), "end": first + pd.Timedelta(days=b)}
        strength = log_excess(gap, hours_more) + float(np.log(n / days_lowest))
        results.append(d.say(name, Ruling.VIOLATED, zh, en, value=gap, evidence=ids, strength=strength, **span, **facts))
    return results


def fuel_or_material_over_permitted(d: Dossier, *, tolerance: float) -> list[RuleResult]:
    """Annual fuel or product of the ledger exceeds the permitted one; needs the optional ``permit_materials``."""
    name, field = "fuel_or_material_over_permitted", "permit_materials.annual_amount"
    if d.permit_materials is None or not len(d.permit_materials):
        return d.cannot(name, "许可证数据没有燃料和原辅料", "the data hold no permitted fuel or material", permit_field=field)
    if d.ledger is None or not len(d.ledger):
        return d.cannot(name, "没有台账", "no ledger on file", permit_field=field)
    results: list[RuleResult] = []
    for row in records(d.permit_materials):
        mine = d.ledger[(d.ledger["field"] == row["field"]) & d.ledger["value"].notna()]
        facts = {"permit_field": field, "threshold": float(row["annual_amount"]), "unit": "t", "evidence": (f"ledger:{d.enterprise_id}",)}
        if not len(mine) or pd.isna(row["annual_amount"]):
            results += d.cannot(name, f"台账没有{row['field']}", f"the ledger holds no {row['field']}", **facts)
            continue
        for year, used in mine["value"].groupby(mine["date"].dt.year).sum().items():
            over = used > row["annual_amount"] * (1 + tolerance)
            zh = f"{year}年{row['field']}合计{used:.4g}，许可{row['annual_amount']:.4g}。"
            en = f"{year}: {row['field']} {used:.4g} in total, {row['annual_amount']:.4g} permitted."
            begin = max(pd.Timestamp(int(str(year)), 1, 1), d.grid.start)
            span = {"start": begin, "end": max(begin, min(pd.Timestamp(int(str(year)) + 1, 1, 1), d.grid.end))}
            more = {"value": float(used), "strength": log_excess(used, row["annual_amount"]) if over else 0.0}
            results.append(d.say(name, Ruling.VIOLATED if over else Ruling.COMPLIANT, zh, en, **more, **span, **facts))
    return results
