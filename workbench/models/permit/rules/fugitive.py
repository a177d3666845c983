"""R12: fugitive emission is controlled as permitted."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from workbench.contracts import Ruling
from workbench.models.hourly import runs
from workbench.models.permit.dossier import Dossier
from workbench.models.permit.results import RuleResult, log_excess, records


def fugitive_concentration_over_permitted(d: Dossier, *, hours_lowest: float) -> list[RuleResult]:
    """The boundary monitor of a fugitive source lies above the permitted concentration for hours on end."""
    name, field = "fugitive_concentration_over_permitted", "permit_limits.limit"
    fugitive = set(d.outlets.loc[d.outlets["kind"] == "fugitive", "outlet_id"]) if len(d.outlets) else set()
    if not fugitive:
        return d.cannot(name, "没有无组织排放源", "no fugitive source on file", permit_field=field)
    limits = d.limits[d.limits["outlet_id"].isin(fugitive) & d.limits["limit"].notna()] if d.limits is not None else None
    if limits is None or not len(limits):
        return d.cannot(name, "许可证没有无组织排放限值", "the permit holds no fugitive limit", permit_field=field)
    results: list[RuleResult] = []
    for row in records(limits):
        s = d.series.get((row["outlet_id"], row["factor"]))
        facts: dict[str, Any] = {
            "permit_field": field,
            "outlet_id": row["outlet_id"],
            "factor": row["factor"],
            "threshold": float(row["limit"]),
            "unit": "mg/m³",
            "evidence": (f"limit:{d.permit_id}/{row['outlet_id']}/{row['factor']}",),
        }
        if s is None or not np.isfinite(s.compared).any():
            results += d.cannot(name, "没有厂界监测数据", "no boundary monitoring", **facts)
            continue
        over = s.compared > row["limit"]
        spans = [(a, b) for a, b in runs(over, join=1) if over[a:b].sum() >= hours_lowest]
        worst = float(np.nanmax(s.compared))
        if not spans:
            zh, en = f"厂界最高{worst:.3g} mg/m³。", f"Boundary maximum {worst:.3g} mg/m³."
            results.append(d.say(name, Ruling.COMPLIANT, zh, en, value=worst, **facts))
        for a, b in spans:
            peak = float(np.nanmax(s.compared[a:b]))
            zh = f"厂界连续{b - a} h超过许可{row['limit']:g} mg/m³，最高{peak:.3g}。"
            en = f"Boundary over the permitted {row['limit']:g} mg/m³ for {b - a} h, up to {peak:.3g}."
            span = {"start": d.grid.start + pd.Timedelta(hours=a), "end": d.grid.start + pd.Timedelta(hours=b)}
            results.append(d.say(name, Ruling.VIOLATED, zh, en, value=peak, strength=log_excess(peak, row["limit"]) * 5, **span, **facts))
    return results
