"""R10: marked hours stay within their caps and agree with physics."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from workbench.contracts import Ruling
from workbench.models.hourly import runs
from workbench.models.permit.dossier import Dossier
from workbench.models.permit.results import RuleResult, log_excess


def marked_hours_over_cap(d: Dossier) -> list[RuleResult]:
    """Hours marked in a calendar year exceed the cap of the marking rule for this industry (``marking_caps.yml``)."""
    name, field = "marked_hours_over_cap", "permit_duties.duty"
    if d.marks is None:
        return d.cannot(name, "目录中没有标记", "the catalog holds no marks", permit_field=field)
    if not d.caps:
        return d.cannot(name, "本行业没有已录入的标记上限", "no marking cap is on record for this industry", permit_field=field)
    results: list[RuleResult] = []
    for outlet in sorted(d.outlets.loc[d.outlets["kind"].isin(("stack", "wastewater")), "outlet_id"]) if len(d.outlets) else []:
        mine = d.marks[d.marks["outlet_id"] == outlet]
        for cap in d.caps:
            rows = mine[mine["kind"].isin(cap.kinds)]
            for year in range(d.grid.start.year, (d.grid.end - pd.Timedelta(hours=1)).year + 1):
                begin, close = max(pd.Timestamp(year, 1, 1), d.grid.start), min(pd.Timestamp(year + 1, 1, 1), d.grid.end)
                hours = _hours(rows, begin, close)
                facts: dict[str, Any] = {
                    "permit_field": field,
                    "outlet_id": outlet,
                    "value": hours,
                    "threshold": cap.hours,
                    "unit": "h/a",
                    "start": begin,
                    "end": close,
                    "evidence": (f"marks:{outlet}/{year}",),
                }
                words = "、".join(cap.kinds)
                over = hours > cap.hours
                zh = f"{year}年标记（{words}）{hours:.1f} h，上限{cap.hours:g} h。"
                en = f"{year}: {hours:.1f} h marked ({', '.join(cap.kinds)}), cap {cap.hours:g} h."
                results.append(
                    d.say(
                        name,
                        Ruling.VIOLATED if over else Ruling.COMPLIANT,
                        zh,
                        en,
                        strength=log_excess(hours, cap.hours) if over else 0.0,
                        **facts,
                    )
                )
    return results or d.cannot(name, "没有需要标记的排放口", "no outlet that marks", permit_field=field)


def stopped_mark_contradicts_power(d: Dossier, *, hours_lowest: float, flow_share: float) -> list[RuleResult]:
    """An outlet is marked stopped while production runs and gas or water flows: the mark contradicts physics.

    Two sources must contradict the mark, power and flow; with one of them the rule is not evaluable. The first and last
    hour of a mark are left out. For a stack any production line may be the one that runs; water is held back and drained
    later, so there all of them must run.
    """
    name, field = "stopped_mark_contradicts_power", "permit_duties.duty"
    if d.marks is None:
        return d.cannot(name, "目录中没有标记", "the catalog holds no marks", permit_field=field)
    stopped = d.marks[d.marks["kind"] == "stopped"]
    if not len(stopped):
        return [
            d.say(
                name,
                Ruling.COMPLIANT,
                "没有停运标记。",
                "No stopped marks.",
                permit_field=field,
                value=0.0,
                threshold=hours_lowest,
                unit="h",
            )
        ]
    meters = [p for p in d.power if p.role == "production"]
    lines = np.stack([p.running for p in meters]) if meters else None
    media = dict(zip(d.outlets["outlet_id"], d.outlets["medium"], strict=True)) if len(d.outlets) else {}
    results: list[RuleResult] = []
    for outlet, mine in stopped.groupby("outlet_id", sort=True):
        facts: dict[str, Any] = {"permit_field": field, "outlet_id": outlet, "threshold": hours_lowest, "unit": "h"}
        flow = d.flow_share.get(str(outlet))
        if lines is None or flow is None:
            results += d.cannot(name, "没有用电或流量可核对", "no power or no flow to check against", **facts)
            continue
        claimed = d.grid.mask(mine["start"] + pd.Timedelta(hours=1), mine["end"] - pd.Timedelta(hours=1))
        on = lines > 0.9
        produces = on.all(axis=0) if media.get(outlet) == "water" else on.any(axis=0)
        known = claimed & np.isfinite(flow) & np.isfinite(lines).all(axis=0)
        if not known.any():
            results += d.cannot(name, "停运标记期间没有用电或流量数据", "no power or flow during the stopped marks", **facts)
            continue
        against = known & (flow > flow_share) & produces
        spans = [(a, b) for a, b in runs(against, join=2) if against[a:b].sum() >= hours_lowest]
        ids = (f"marks:{outlet}", *(f"series:{p.point_id}" for p in meters))
        if not spans:
            zh, en = "停运标记与用电、流量相符。", "Stopped marks agree with power and flow."
            results.append(d.say(name, Ruling.COMPLIANT, zh, en, value=float(against.sum()), evidence=ids, **facts))
            continue
        for a, b in _joined(spans, gap=72):
            hours = float(against[a:b].sum())
            zh = f"标记停运的{hours:.0f} h内生产用电和排放流量表明仍在运行。"
            en = f"{hours:.0f} h marked stopped while power and flow show it running."
            span = {"start": d.grid.start + pd.Timedelta(hours=a), "end": d.grid.start + pd.Timedelta(hours=b)}
            results.append(
                d.say(name, Ruling.VIOLATED, zh, en, value=hours, evidence=ids, strength=log_excess(hours, hours_lowest), **span, **facts)
            )
    return results


def _hours(rows: pd.DataFrame, begin: pd.Timestamp, close: pd.Timestamp) -> float:
    if not len(rows):
        return 0.0
    lo, hi = (rows[c].to_numpy().clip(begin.to_datetime64(), close.to_datetime64()) for c in ("start", "end"))
    return float(((hi - lo) / np.timedelta64(1, "h")).sum())


def _joined(spans: list[tuple[int, int]], *, gap: int) -> list[tuple[int, int]]:
    out: list[tuple[int, int]] = []
    for a, b in spans:
        if out and a - out[-1][1] <= gap:
            out[-1] = (out[-1][0], b)
        else:
            out.append((a, b))
    return out
