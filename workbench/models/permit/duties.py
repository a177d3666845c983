"""The calendar of duties of one permit: which window was kept, late, missed, or cannot be judged yet."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from workbench.models.permit.calendars import FREQUENCY_WORDS, counts_in, due_windows, windows
from workbench.models.permit.dossier import Dossier
from workbench.models.permit.results import RuleResult, records

STATES = ("kept", "late", "missed", "unknown")
_COLUMNS = ["duty", "outlet_id", "factor", "frequency", "label", "start", "end", "due", "state"]
_WORDS = {"self_monitoring": "自行监测 self-monitoring", "execution_report": "执行报告 report", "ledger": "台账 ledger"}
_TABLE = {"self_monitoring": "self_monitoring", "execution_report": "execution_reports", "ledger": "ledger"}

_ABSENT = {
    "self_monitoring": ("自行监测数据", "self-monitoring", "自行监测", "self-monitoring"),
    "execution_report": ("执行报告", "execution reports", "执行报告", "report"),
    "ledger": ("台账", "ledger", "台账", "ledger"),
}
"""What is said to be missing: the table in the catalog, and the duty in the permit."""
_DAY = np.timedelta64(1, "D")


def owed(d: Dossier, rule: str, duty: str, field: str) -> tuple[list[dict[str, Any]], list[RuleResult]]:
    """Return the rows of a duty, or why a rule about it cannot be evaluated: no permit, no table, no such duty."""
    table_zh, table_en, duty_zh, duty_en = _ABSENT[duty]
    if d.permit is None or d.duties is None:
        return [], d.cannot(rule, "没有许可证或许可义务", "no permit or no permit duties on file", permit_field=field)
    if _missing(d, duty):
        return [], d.cannot(rule, f"目录中没有{table_zh}", f"the catalog holds no {table_en}", permit_field=field)
    rows = records(d.duties[d.duties["duty"] == duty])
    if not rows:
        return [], d.cannot(rule, f"许可证没有{duty_zh}要求", f"the permit holds no {duty_en} duty", permit_field=field)
    return rows, []


def beyond_table(d: Dossier, rule: str, duty: str, row: Mapping[str, Any], since: pd.Timestamp, **facts: Any) -> list[RuleResult]:
    """Return that what falls due after the end of its table cannot be evaluated; empty where the table lasts."""
    table = _TABLE[duty]
    until = d.until(table)
    if not d.ended(table):
        return []
    *_, due = due_windows(row["frequency"], row["due_days"], since=since, until=d.grid.end, due_after=max(until, d.grid.start))
    if not len(due):
        return []
    table_zh, table_en, *_ = _ABSENT[duty]
    word_zh, word_en = FREQUENCY_WORDS[row["frequency"]]
    zh = f"全区{table_zh}止于{until:%Y-%m-%d}，其后到期的{len(due)}个{word_zh}无从判断"
    en = f"nobody has {table_en} after {until:%Y-%m-%d}: the table stops there; {len(due)} {word_en} period(s) fall due later"
    return d.cannot(rule, zh, en, start=until, end=d.grid.end, **facts)


def duty_calendar(d: Dossier) -> pd.DataFrame:
    """Return one row per duty and window inside the review.

    Returns
    -------
    DataFrame
        duty, outlet_id, factor, frequency, label, start, end (not included), due, state (one of :data:`STATES`;
        ``unknown``: not due yet, no due date in the permit, or no such table).
    """
    if d.permit is None or d.duties is None:
        return pd.DataFrame(columns=_COLUMNS)
    rows = []
    for duty in records(d.duties.sort_values(["duty", "outlet_id", "factor"], kind="stable")):
        table = _TABLE[duty["duty"]]
        until = d.until(table)
        begin = max(d.since(table), pd.Timestamp(d.permit["valid_from"])).normalize()
        starts, ends = windows(duty["frequency"], begin, max(until, d.grid.end) + pd.Timedelta(days=366))
        known = pd.notna(duty["due_days"])
        due = ends + pd.Timedelta(days=float(duty["due_days"]) if known else 0.0)
        done = _done(d, duty, starts, ends)
        label = f"{_WORDS[duty['duty']]} {duty['outlet_id']} {duty['factor']} {FREQUENCY_WORDS[duty['frequency']][0]}".replace("  ", " ")
        absent, reported = np.isnat(done), duty["duty"] == "execution_report"
        late = ~absent & reported & (done > due.to_numpy())
        pending = absent & (due > until)
        for a, b, last, no, slow, open_ in zip(starts, ends, due, absent, late, pending, strict=True):
            if b <= d.grid.start or a >= d.grid.end:
                continue
            unknown = not known or open_ or _missing(d, duty["duty"])
            state = "unknown" if unknown else "missed" if no else "late" if slow else "kept"
            rows.append((duty["duty"], duty["outlet_id"], duty["factor"], duty["frequency"], label, a, b, last if known else pd.NaT, state))
    return pd.DataFrame(rows, columns=_COLUMNS)


def _missing(d: Dossier, duty: str) -> bool:
    return {"self_monitoring": d.samples, "execution_report": d.reports, "ledger": d.ledger}[duty] is None


def _done(d: Dossier, duty: dict[str, object], starts: pd.DatetimeIndex, ends: pd.DatetimeIndex) -> np.ndarray:
    """Return when each window's duty was done, datetime64; NaT where it was not."""
    out = np.full(len(starts), np.datetime64("NaT"), "datetime64[ns]")
    if _missing(d, str(duty["duty"])):
        return out
    if duty["duty"] == "execution_report" and d.reports is not None:
        length = (d.reports["period_end"] - d.reports["period_start"]).to_numpy()
        middle = d.reports["period_start"].to_numpy() + length / 2
        handed = d.reports["submitted_at"].to_numpy()
        for k, (a, b) in enumerate(zip(starts.to_numpy(), ends.to_numpy(), strict=True)):
            fits = (middle >= a) & (middle < b) & (length > 0.5 * (b - a) - _DAY) & (length < 1.5 * (b - a) + _DAY)
            mine = handed[fits & ~np.isnat(handed)]
            if mine.size:
                out[k] = mine.min()
        return out
    if duty["duty"] == "self_monitoring" and d.samples is not None:
        taken = d.samples[(d.samples["outlet_id"] == duty["outlet_id"]) & (d.samples["factor"] == duty["factor"])]
        times = np.sort(taken["sampled_at"].to_numpy())
    else:
        times = np.sort(d.ledger["date"].unique()) if d.ledger is not None else np.empty(0, "datetime64[ns]")
    seen = counts_in(times, starts, ends) > 0
    out[seen] = starts.to_numpy()[seen]
    return out
