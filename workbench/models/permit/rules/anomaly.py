"""R11: anomalies of the monitor are reported."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from workbench.contracts import Ruling
from workbench.models.hourly import runs
from workbench.models.permit.dossier import LAWFUL_KINDS, Dossier
from workbench.models.permit.results import RuleResult, log_excess


def outage_not_reported(d: Dossier, *, hours_lowest: float) -> list[RuleResult]:
    """The monitor of an outlet sent nothing for long while production ran, and no mark reports it.

    Hours in which the whole zone was silent are left out: that is the network, not the discharger.
    """
    name, field = "outage_not_reported", "permit_duties.duty"
    if d.marks is None:
        return d.cannot(name, "目录中没有标记", "the catalog holds no marks", permit_field=field)
    if not d.series:
        return d.cannot(name, "没有自动监测", "no automatic monitoring", permit_field=field)
    meters = [p.running for p in d.power if p.role == "production"]
    if not meters:
        return d.cannot(
            name, "没有生产用电，无法区分停产", "production power is not metered, so a stop cannot be told apart", permit_field=field
        )
    state = np.stack(meters)
    runs_now = (np.where(np.isfinite(state), state, 0.0) > 0.5).any(axis=0)
    zone = d.zone_outage if d.zone_outage is not None else np.zeros(d.grid.n, bool)
    results: list[RuleResult] = []
    for outlet in sorted({o for o, _ in d.series}):
        mine = [s for (o, _), s in d.series.items() if o == outlet]
        silent = np.stack([~np.isfinite(s.measured) for s in mine]).all(axis=0)
        facts: dict[str, Any] = {
            "permit_field": field,
            "outlet_id": outlet,
            "threshold": hours_lowest,
            "unit": "h",
            "evidence": tuple(f"series:{s.point_id}" for s in mine),
        }
        unmarked = silent & ~d.mark_hours(outlet, (*LAWFUL_KINDS, "other")) & ~zone
        spans = [(a, b) for a, b in runs(unmarked, join=1) if (unmarked & runs_now)[a:b].sum() >= hours_lowest]
        if not spans:
            longest = max((b - a for a, b in runs(unmarked)), default=0)
            zh, en = f"最长未标记中断{longest} h。", f"Longest unmarked outage {longest} h."
            results.append(d.say(name, Ruling.COMPLIANT, zh, en, value=float(longest), **facts))
        for a, b in spans:
            hours = float((unmarked & runs_now)[a:b].sum())
            zh = f"生产期间监测中断{hours:.0f} h，未标记、未报告。"
            en = f"Monitor silent for {hours:.0f} h while producing, neither marked nor reported."
            span = {"start": d.grid.start + pd.Timedelta(hours=a), "end": d.grid.start + pd.Timedelta(hours=b)}
            results.append(d.say(name, Ruling.VIOLATED, zh, en, value=hours, strength=log_excess(hours, hours_lowest), **span, **facts))
    return results
