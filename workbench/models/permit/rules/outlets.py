"""R2: outlets are as permitted in number, position and destination."""

from __future__ import annotations

import numpy as np
import pandas as pd

from workbench.contracts import Ruling
from workbench.models.permit.dossier import Dossier
from workbench.models.permit.results import RuleResult, log_excess, records

_DISCHARGING = ("stack", "wastewater", "river_outfall")


def outlet_missing_from_permit(d: Dossier) -> list[RuleResult]:
    """A discharging outlet stands in the register but not in the permit."""
    name, field = "outlet_missing_from_permit", "permit_limits.outlet_id"
    if d.permit is None or d.limits is None:
        return d.cannot(name, "没有许可证或许可限值", "no permit or no permitted limits on file", permit_field=field)
    if not len(d.limits):
        return d.cannot(name, "许可证未载明任何排放口", "the permit names no outlet", permit_field=field)
    mine = d.outlets[d.outlets["kind"].isin(_DISCHARGING)] if len(d.outlets) else d.outlets
    if not len(mine):
        return d.cannot(name, "登记中没有排放口", "the register holds no outlet", permit_field=field)
    known = set(d.limits["outlet_id"]) | (set(d.permit_outlets["outlet_id"]) if d.permit_outlets is not None else set())
    extra = sorted(set(mine["outlet_id"]) - known)
    facts = {"permit_field": field, "value": float(len(mine)), "threshold": float(len(mine) - len(extra)), "unit": "1"}
    if not extra:
        return [
            d.say(name, Ruling.COMPLIANT, f"{len(mine)}个排放口均载于许可证。", f"All {len(mine)} outlets stand in the permit.", **facts)
        ]
    return [
        d.say(
            name,
            Ruling.VIOLATED,
            f"排放口{o}不在许可证内（许可{len(mine) - len(extra)}个，实有{len(mine)}个）。",
            f"Outlet {o} is not in the permit ({len(mine) - len(extra)} permitted, {len(mine)} found).",
            outlet_id=o,
            evidence=(f"outlet:{o}", f"permit:{d.permit_id}"),
            **facts,
        )
        for o in extra
    ]


def outlet_moved_or_redirected(d: Dossier, *, distance_m: float) -> list[RuleResult]:
    """An outlet lies elsewhere, or discharges elsewhere, than permitted; needs the optional ``permit_outlets``."""
    name, field = "outlet_moved_or_redirected", "permit_outlets.lon, lat, receiving"
    if d.permit is None or d.permit_outlets is None or not len(d.permit_outlets):
        return d.cannot(name, "许可证数据未载明排放口位置和去向", "the data hold no permitted position or destination", permit_field=field)
    both = d.permit_outlets.merge(d.outlets, on="outlet_id", suffixes=("_permit", ""))
    if not len(both):
        return d.cannot(name, "许可证所载排放口不在登记中", "no permitted outlet is in the register", permit_field=field)
    results = []
    for row in records(both):
        away = _metres(row["lon_permit"], row["lat_permit"], row["lon"], row["lat"])
        wanted, got = str(row.get("receiving_permit") or ""), str(row.get("receiving") or "")
        facts = {
            "permit_field": field,
            "outlet_id": row["outlet_id"],
            "value": away,
            "threshold": distance_m,
            "unit": "m",
            "evidence": (f"outlet:{row['outlet_id']}",),
        }
        redirected = bool(wanted and got and wanted != got)
        if not np.isfinite(away) and not (wanted and got):
            results += d.cannot(name, "位置和去向均缺失", "position and destination are both missing", **facts)
        elif redirected or (np.isfinite(away) and away > distance_m):
            zh = f"距许可位置{away:.0f} m，去向“{got}”（许可“{wanted}”）。"
            en = f"{away:.0f} m from the permitted position, discharging to {got!r} (permitted {wanted!r})."
            results.append(d.say(name, Ruling.VIOLATED, zh, en, strength=1.0 if redirected else log_excess(away, distance_m), **facts))
        else:
            results.append(d.say(name, Ruling.COMPLIANT, "位置和去向与许可相符。", "Position and destination are as permitted.", **facts))
    return results


def _metres(lon1: float, lat1: float, lon2: float, lat2: float) -> float:
    if pd.isna([lon1, lat1, lon2, lat2]).any():
        return float("nan")
    dx = np.radians(lon2 - lon1) * np.cos(np.radians((lat1 + lat2) / 2))
    return float(6_371_000.0 * np.hypot(dx, np.radians(lat2 - lat1)))
