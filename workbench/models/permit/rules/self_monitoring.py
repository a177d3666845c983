"""R5: self-monitoring by outlet, factor and frequency."""

from __future__ import annotations

import numpy as np
import pandas as pd

from workbench.contracts import Ruling
from workbench.models.hourly import runs
from workbench.models.permit.calendars import FREQUENCY_WORDS, counts_in, due_windows
from workbench.models.permit.dossier import Dossier
from workbench.models.permit.duties import beyond_table, owed
from workbench.models.permit.results import RuleResult


def self_monitoring_missed(d: Dossier, *, running_lowest: float) -> list[RuleResult]:
    """A period of the permit's calendar passed its due date without a sample of the outlet and factor.

    A period in which the ledger shows production on less than ``running_lowest`` of its days is missed by the letter,
    and named so, but what does not discharge need not be sampled: its probability is low.
    """
    name, field = "self_monitoring_missed", "permit_duties.frequency, due_days"
    rows, refusal = owed(d, name, "self_monitoring", field)
    if refusal or d.permit is None or d.samples is None:
        return refusal
    results: list[RuleResult] = []
    since = max(d.since("self_monitoring"), pd.Timestamp(d.permit["valid_from"]))
    for row in rows:
        outlet, factor = row["outlet_id"], row["factor"]
        word_zh, word_en = FREQUENCY_WORDS[row["frequency"]]
        facts = {"permit_field": field, "outlet_id": outlet, "factor": factor, "unit": "1", "threshold": 0.0}
        duty = f"duty:{d.permit_id}/self_monitoring/{outlet}/{factor}"
        if pd.isna(row["due_days"]):
            results += d.cannot(name, "许可证未载明期限", "the permit names no due date", **facts, evidence=(duty,))
            continue
        starts, ends, due = due_windows(
            row["frequency"], row["due_days"], since=since, until=d.until("self_monitoring"), due_after=d.grid.start
        )
        later = beyond_table(d, name, "self_monitoring", row, since, **facts, evidence=(duty,))
        if not len(starts):
            results += later or d.cannot(name, f"期内没有到期的{word_zh}", f"no {word_en} fell due", **facts, evidence=(duty,))
            continue
        results += later
        mine = d.samples_of.get((outlet, factor))
        missed = counts_in(mine.sampled_at, starts, ends) == 0 if mine is not None else np.ones(len(starts), bool)
        if not missed.any():
            zh, en = f"{len(starts)}个{word_zh}均已监测。", f"All {len(starts)} {word_en} periods sampled."
            results.append(d.say(name, Ruling.COMPLIANT, zh, en, value=0.0, evidence=(duty,), **facts))
        for a, b in runs(missed):
            zh = f"{starts[a]:%Y-%m-%d}起{b - a}个{word_zh}没有监测{factor}，期限{due[b - 1]:%Y-%m-%d}已过。"
            en = f"No sample of {factor} in {b - a} {word_en} period(s) from {starts[a]:%Y-%m-%d}; due by {due[b - 1]:%Y-%m-%d}."
            ran, days = production_days(d, starts[a], ends[b - 1])
            idle = days > 0 and ran < running_lowest * days
            if idle:
                zh += f"台账显示其间{days}天中{days - ran}天停产。"
                en += f" The ledger shows no production on {days - ran} of {days} days."
            results.append(
                d.say(
                    name,
                    Ruling.VIOLATED,
                    zh,
                    en,
                    value=float(b - a),
                    start=starts[a],
                    end=ends[b - 1],
                    evidence=(duty,),
                    strength=float(np.log1p(b - a)),
                    p=0.05 if idle else float("nan"),
                    **facts,
                )
            )
    return results


def production_days(d: Dossier, start: pd.Timestamp, end: pd.Timestamp) -> tuple[int, int]:
    """Return on how many days of a span the ledger shows production, and how many days it speaks about."""
    hours = d.production_hours
    at = np.searchsorted(hours[0], [start.to_datetime64(), end.to_datetime64()])
    part = hours[1][at[0] : at[1]]
    return int((part > 0).sum()), int(part.size)
