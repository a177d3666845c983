"""R7: execution reports are submitted on time."""

from __future__ import annotations

import numpy as np
import pandas as pd

from workbench.contracts import Ruling
from workbench.models.permit.calendars import FREQUENCY_WORDS, due_windows
from workbench.models.permit.dossier import Dossier
from workbench.models.permit.duties import beyond_table, owed
from workbench.models.permit.results import RuleResult

_NEVER = np.iinfo(np.int64).max


def execution_report_late_or_missing(d: Dossier) -> list[RuleResult]:
    """A report of the permit's calendar was submitted after its due date, or never."""
    name, field = "execution_report_late_or_missing", "permit_duties.due_days"
    rows, refusal = owed(d, name, "execution_report", field)
    if refusal or d.permit is None or d.reports is None:
        return refusal
    results: list[RuleResult] = []
    until = d.until("execution_reports")
    since = max(d.since("execution_reports"), pd.Timestamp(d.permit["valid_from"]))
    begin, stop = (d.reports[c].to_numpy().astype("datetime64[ns]") for c in ("period_start", "period_end"))
    middle, length = begin + (stop - begin) // 2, (stop - begin) / np.timedelta64(1, "D")
    handed_in, report_ids = d.reports["submitted_at"].to_numpy().astype("datetime64[ns]"), d.reports["report_id"].to_numpy()
    for row in rows:
        word_zh, word_en = FREQUENCY_WORDS[row["frequency"]]
        facts = {"permit_field": field, "unit": "d", "threshold": 0.0}
        if pd.isna(row["due_days"]):
            results += d.cannot(name, "许可证未载明提交期限", "the permit names no due date", **facts)
            continue
        starts, ends, due = due_windows(row["frequency"], row["due_days"], since=since, until=until, due_after=d.grid.start)
        later = beyond_table(d, name, "execution_report", row, since, **facts)
        if not len(starts):
            results += later or d.cannot(name, f"期内没有到期的{word_zh}报", f"no {word_en} report fell due", **facts)
            continue
        results += later
        mine = np.searchsorted(starts.to_numpy(), middle, side="right") - 1  # window of each report
        days = ((ends.to_numpy() - starts.to_numpy()) / np.timedelta64(1, "D"))[mine]
        # a quarter's report is not the report of its middle month, nor the other way round
        fits = (mine >= 0) & (middle < ends.to_numpy()[mine]) & (length > 0.5 * days - 1) & (length < 1.5 * days + 1)
        first = np.full(len(starts), _NEVER)
        there = fits & (handed_in <= until.to_datetime64())  # NaT compares false
        np.minimum.at(first, mine[there], handed_in[there].astype("int64"))
        late_days = (np.minimum(first, until.value) - due.to_numpy().astype("datetime64[ns]").astype("int64")) / 86_400e9
        found = np.flatnonzero(late_days > 0)
        for k in found.tolist():
            start, end, deadline, late = starts[k], ends[k], due[k], float(late_days[k])
            missing = first[k] == _NEVER
            handed = until if missing else pd.Timestamp(first[k])
            ids = tuple(f"report:{r}" for r in report_ids[fits & (mine == k)])
            if missing:
                last = end - pd.Timedelta(days=1)
                zh = f"{start:%Y-%m-%d}至{last:%Y-%m-%d}的{word_zh}报未见提交，期限{deadline:%Y-%m-%d}，已逾{late:.0f}天。"
                en = f"No {word_en} report for {start:%Y-%m-%d} to {last:%Y-%m-%d}; due {deadline:%Y-%m-%d}, {late:.0f} d ago."
            else:
                zh = f"{start:%Y-%m-%d}起的{word_zh}报于{handed:%Y-%m-%d}提交，晚于期限{deadline:%Y-%m-%d}{late:.1f}天。"
                en = (
                    f"{word_en.capitalize()} report from {start:%Y-%m-%d} submitted {handed:%Y-%m-%d}, "
                    f"{late:.1f} d after {deadline:%Y-%m-%d}."
                )
            span = {"start": min(deadline, handed), "end": handed}  # the offence begins when the report is due
            results.append(
                d.say(
                    name,
                    Ruling.VIOLATED,
                    zh,
                    en,
                    value=late,
                    evidence=ids or (f"duty:{d.permit_id}/execution_report",),
                    strength=_days(late),
                    **span,
                    **facts,
                )
            )
        if not found.size:
            zh, en = f"{len(starts)}份{word_zh}报均按期提交。", f"All {len(starts)} {word_en} reports on time."
            results.append(d.say(name, Ruling.COMPLIANT, zh, en, value=0.0, **facts))
    return results


def _days(late: float) -> float:
    return float(np.log1p(late))
