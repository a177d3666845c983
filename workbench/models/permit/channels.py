"""Hourly evidence channels of the permit model, with the roles and level names of the cross-model layer."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from workbench.contracts import Ruling
from workbench.models.permit.dossier import LAWFUL_KINDS, Dossier
from workbench.models.permit.results import RuleResult
from workbench.models.permit.rules.concentration import daily_means

NEAR = 0.9
HOUR_NS = 3_600_000_000_000
CHANNELS: dict[str, dict[str, Any]] = {
    "permit_monitor_limit": {
        "role": "monitor_limit",
        "levels": ["under", "near", "over", "outage"],
        "source": "monitor",
        "group": "monitor:limit",
        "support_hours": 1,
        "alert_levels": ["over"],
        "label_zh": "小时浓度与许可限值",
        "label_en": "hourly concentration against the permit",
    },
    "permit_monitor_limit_daily": {
        "role": "monitor_limit",
        "levels": ["under", "near", "over", "outage"],
        "source": "monitor",
        "group": "monitor:limit",
        "support_hours": 24,
        "alert_levels": ["over"],
        "label_zh": "日均浓度与许可限值",
        "label_en": "daily concentration against the permit",
    },
    "permit_mark": {
        "role": "mark",
        "levels": ["none", "stopped", "startup", "calibration", "fault"],
        "source": "declaration",
        "group": "marks",
        "support_hours": 1,
        "alert_levels": [],
        "label_zh": "工况与异常标记",
        "label_en": "declared mark",
    },
    "permit_mark_integrity": {
        "role": "mark_integrity",
        "levels": ["ordinary", "suspect", "strong"],
        "source": "declaration",
        "group": "marks",
        "support_hours": 6,
        "alert_levels": ["strong"],
        "label_zh": "停运标记与用电流量",
        "label_en": "stopped mark against power and flow",
    },
    "permit_declared_production": {
        "role": "declared_production",
        "levels": ["none", "some", "unknown"],
        "source": "declaration",
        "group": "ledger",
        "support_hours": 24,
        "alert_levels": [],
        "label_zh": "台账生产记录",
        "label_en": "production in the ledger",
    },
    "permit_declared_treatment": {
        "role": "declared_treatment",
        "levels": ["none", "some", "unknown"],
        "source": "declaration",
        "group": "ledger",
        "support_hours": 24,
        "alert_levels": [],
        "label_zh": "台账治污记录",
        "label_en": "treatment in the ledger",
    },
    "permit_report_integrity": {
        "role": "report_integrity",
        "levels": ["ordinary", "suspect", "strong"],
        "source": "declaration",
        "group": "reports",
        "support_hours": 720,
        "alert_levels": ["strong"],
        "label_zh": "执行报告与台账可信度",
        "label_en": "report and ledger against measurement",
    },
    "permit_duty": {
        "role": "duty",
        "levels": ["kept", "late", "missed", "unknown"],
        "source": "declaration",
        "group": "duties",
        "support_hours": 720,
        "alert_levels": ["missed"],
        "label_zh": "许可义务履行",
        "label_en": "duties of the permit",
    },
}
"""Attributes of each channel."""
_INTEGRITY = (
    "declared_amount_below_measured",
    "declared_amount_below_ledger",
    "tax_below_reported",
    "exceedance_hours_underreported",
    "ledger_rows_repeated",
    "ledger_edited_after_the_fact",
    "treatment_hours_contradict_power",
)
_DUTIES = ("self_monitoring_missed", "execution_report_late_or_missing", "ledger_days_missing")
THIN_LEVEL = {
    "permit_report_integrity": (_INTEGRITY, 2, 1),  # strong, not raised alone: suspect
    "permit_duty": (_DUTIES, 2, 3),  # missed by the letter while production stood still: unknown
    "permit_mark_integrity": (("stopped_mark_contradicts_power",), 2, 1),
}
"""Rules behind a channel, its alert level, and the level where the model would not raise an alert on them."""
SUSPECT_RATIO = 1.2
"""A declared amount within this factor above its threshold is suspect."""


def channel_values(d: Dossier, results: list[RuleResult]) -> dict[str, np.ndarray]:
    """Return the level indices of one enterprise, int8 of shape (hour,), −1 where there is no such source."""
    n = d.grid.n
    out = {name: np.full(n, -1, np.int8) for name in CHANNELS}
    _limits(d, out)
    _marks(d, results, out)
    for name, field in (("permit_declared_production", "production_hours"), ("permit_declared_treatment", "treatment_hours")):
        out[name] = _ledger(d, field)
    integrity = out["permit_report_integrity"]
    duty = out["permit_duty"]
    for r in results:
        if r.ruling is Ruling.NOT_EVALUABLE:
            continue
        if r.rule in _INTEGRITY:
            lo, hi = _span(d, r)
            level = 2 if r.ruling is Ruling.VIOLATED else 0
            if r.rule.startswith("declared") and level == 0 and r.value < SUSPECT_RATIO * r.threshold:
                level = 1
            np.maximum(integrity[lo:hi], level, out=integrity[lo:hi])
        elif r.rule in _DUTIES:
            lo, hi = _span(d, r)
            late = r.rule == "execution_report_late_or_missing" and r.ruling is Ruling.VIOLATED and r.evidence[:1] != ()
            missed = r.ruling is Ruling.VIOLATED and not (late and r.evidence[0].startswith("report:"))
            level = 2 if missed else 1 if r.ruling is Ruling.VIOLATED else 0
            np.maximum(duty[lo:hi], level, out=duty[lo:hi])
    return out


def _span(d: Dossier, r: RuleResult) -> tuple[int, int]:
    zero = d.grid.start.value
    lo, hi = (r.start.value - zero) // HOUR_NS, (r.end.value - zero) // HOUR_NS
    return min(max(lo, 0), d.grid.n), min(max(hi, 0), d.grid.n)


def _limits(d: Dossier, out: dict[str, np.ndarray]) -> None:
    if d.limits is None:
        return
    for outlet, factor, limit, basis in zip(d.limits["outlet_id"], d.limits["factor"], d.limits["limit"], d.limits["basis"], strict=True):
        s = d.series.get((outlet, factor))
        if s is None or pd.isna(limit) or limit <= 0:
            continue
        marked = d.mark_hours(outlet, LAWFUL_KINDS)
        if basis == "day":
            level = out["permit_monitor_limit_daily"]
            first, daily = daily_means(d, s, outlet, 1, by_flow=factor.startswith("w"))
            skip = int((first - d.grid.start) / pd.Timedelta(hours=1))
            figure = np.full(d.grid.n, np.nan)
            figure[skip : skip + 24 * len(daily)] = np.repeat(daily, 24)
        else:
            level = out["permit_monitor_limit"]
            figure = np.where(marked, np.nan, s.compared)
        ratio = figure / limit
        mine = np.where(np.isfinite(ratio), (ratio >= NEAR).astype(np.int8) + (ratio > 1), -1).astype(np.int8)
        np.maximum(level, mine, out=level)
        silent = ~np.isfinite(s.measured) & ~marked
        level[silent & (level < 0)] = 3
    for name in ("permit_monitor_limit", "permit_monitor_limit_daily"):
        level = out[name]
        # an outage at one outlet does not hide what another one shows
        if not (level >= 0).any():
            level[:] = -1


def _marks(d: Dossier, results: list[RuleResult], out: dict[str, np.ndarray]) -> None:
    outlets = sorted({o for o, _ in d.series})
    if d.marks is None or not outlets:
        return
    mark = out["permit_mark"]
    mark[:] = 0
    for level, kinds in ((4, ("fault", "other")), (3, ("calibration", "maintenance")), (2, ("startup", "shutdown"))):
        for o in outlets:
            mark[d.mark_hours(o, kinds)] = level
    stopped = np.stack([d.mark_hours(o, ("stopped",)) for o in outlets]).all(axis=0)
    mark[stopped] = 1
    mine = [r for r in results if r.rule == "stopped_mark_contradicts_power" and r.ruling is not Ruling.NOT_EVALUABLE]
    if mine and any(r.evidence for r in mine):
        out["permit_mark_integrity"][:] = 0
        for r in mine:
            if r.ruling is Ruling.VIOLATED:
                lo, hi = _span(d, r)
                out["permit_mark_integrity"][lo:hi] = 2


def _ledger(d: Dossier, field: str) -> np.ndarray:
    level = np.full(d.grid.n, -1, np.int8)
    on, value = d.ledger_of(field)
    if not len(on):
        return level
    first = d.grid.start.floor("D")
    days = int(np.ceil((d.grid.end - first) / pd.Timedelta(days=1)))
    at = ((on - first.to_datetime64()) / np.timedelta64(1, "D")).astype(int)
    usable = (at >= 0) & (at < days)
    said = np.full(days, -1, np.int8)
    np.maximum.at(said, at[usable], (value[usable] > 0).astype(np.int8))
    skip = int((d.grid.start - first) / pd.Timedelta(hours=1))
    level[:] = np.repeat(np.where(said < 0, np.int8(2), said), 24)[skip : skip + d.grid.n]
    return level
