"""R6: the ledger is kept every day, is not copied, and is not written after the fact."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from workbench.contracts import Ruling
from workbench.models.hourly import runs
from workbench.models.permit.calendars import FREQUENCY_WORDS, counts_in, windows
from workbench.models.permit.dossier import Dossier
from workbench.models.permit.duties import beyond_table, owed
from workbench.models.permit.results import RuleResult, log_excess

_FIELD = "permit_duties.frequency"


def ledger_days_missing(d: Dossier, *, missing_share: float, missing_run: float) -> list[RuleResult]:
    """More of the ledger's periods are missing than lost uploads explain: a long run, or too large a share."""
    name = "ledger_days_missing"
    duty, refusal = _duty(d, name)
    if refusal:
        return refusal
    row = duty[0]
    since = max(d.since("ledger"), pd.Timestamp(d.permit["valid_from"])).ceil("D")  # type: ignore[index]
    until = min(d.until("ledger") - pd.Timedelta(days=float(row["due_days"])), d.grid.end)
    later = beyond_table(d, name, "ledger", row, since, permit_field=_FIELD)
    if until <= since:
        return later or d.cannot(name, "期内没有到期的台账", "no ledger entry fell due", permit_field=_FIELD)
    starts, ends = windows(row["frequency"], since, until)
    word_zh, word_en = FREQUENCY_WORDS[row["frequency"]]
    if not len(starts):
        return later or d.cannot(name, f"期内没有完整的{word_zh}", f"no whole {word_en} in the period", permit_field=_FIELD)
    written = np.sort(d.ledger["date"].unique())  # type: ignore[index]
    missing = counts_in(written, starts, ends) == 0
    spans = runs(missing)
    long = [(a, b) for a, b in spans if b - a >= missing_run]
    share = float(missing.mean())
    facts: dict[str, Any] = {"permit_field": _FIELD, "unit": "1", "evidence": (f"ledger:{d.enterprise_id}",)}
    if not long and share <= missing_share:
        zh = f"{len(starts)}个{word_zh}缺{int(missing.sum())}个（{share:.1%}），未超过容差。"
        en = f"{int(missing.sum())} of {len(starts)} {word_en} entries missing ({share:.1%}), within tolerance."
        return [d.say(name, Ruling.COMPLIANT, zh, en, value=share, threshold=missing_share, **facts), *later]
    if not long:
        long, zh0, en0 = [(int(np.argmax(missing)), int(len(missing) - np.argmax(missing[::-1])))], "零散", "scattered, "
        value, threshold = share, missing_share
    else:
        zh0, en0, value, threshold = "", "", float("nan"), missing_run
    results = later
    for a, b in long:
        n = int(missing[a:b].sum())
        zh = f"{starts[a]:%Y-%m-%d}至{starts[b - 1]:%Y-%m-%d}{zh0}缺台账{n}个{word_zh}。"
        en = f"{n} {word_en} ledger entries missing, {en0}{starts[a]:%Y-%m-%d} to {starts[b - 1]:%Y-%m-%d}."
        v = float(n) if np.isnan(value) else value
        more = {"value": v, "threshold": threshold, "start": starts[a], "end": ends[b - 1], "strength": log_excess(v, threshold)}
        results.append(d.say(name, Ruling.VIOLATED, zh, en, **more, **facts))
    return results


def ledger_rows_repeated(d: Dossier, *, repeated_run: float) -> list[RuleResult]:
    """The same figures of all fields are written day after day."""
    name = "ledger_rows_repeated"
    _, refusal = _duty(d, name, needs_due=False)
    if refusal:
        return refusal
    wide = _wide(d)
    facts: dict[str, Any] = {
        "permit_field": "permit_duties.duty",
        "unit": "d",
        "threshold": repeated_run,
        "evidence": (f"ledger:{d.enterprise_id}",),
    }
    telling = _telling(wide)
    if wide.shape[1] < 2 or int(telling.sum()) < repeated_run:
        return d.cannot(name, "有可比字段的台账日不足", "too few ledger days with comparable fields", **facts)
    values = wide.to_numpy(float)
    next_day = np.diff(wide.index.to_numpy()) == np.timedelta64(1, "D")
    same = ((values[1:] == values[:-1]) | (np.isnan(values[1:]) & np.isnan(values[:-1]))).all(axis=1) & next_day & telling[1:]
    spans = [(a, b + 1) for a, b in runs(same) if b + 1 - a >= repeated_run]
    if not spans:
        longest = max((b + 1 - a for a, b in runs(same)), default=1)
        zh, en = f"最长连续相同{longest}天。", f"Longest run of equal days: {longest}."
        return [d.say(name, Ruling.COMPLIANT, zh, en, value=float(longest), **facts)]
    results = []
    for a, b in spans:
        start, end = wide.index[a], wide.index[b - 1] + pd.Timedelta(days=1)
        zh = f"{start:%Y-%m-%d}起连续{b - a}天台账各字段完全相同。"
        en = f"All ledger fields identical on {b - a} days in a row from {start:%Y-%m-%d}."
        results.append(
            d.say(
                name, Ruling.VIOLATED, zh, en, value=float(b - a), start=start, end=end, strength=log_excess(b - a, repeated_run), **facts
            )
        )
    return results


def ledger_edited_after_the_fact(d: Dossier, *, days_after: float, rows_share: float) -> list[RuleResult]:
    """Entries were written or changed long after their due date, and not just a few."""
    name = "ledger_edited_after_the_fact"
    duty, refusal = _duty(d, name)
    if refusal:
        return refusal
    frame = d.ledger[d.ledger["edited_at"].notna()]  # type: ignore[index]
    facts: dict[str, Any] = {"permit_field": "permit_duties.due_days", "unit": "1", "evidence": (f"ledger:{d.enterprise_id}",)}
    if not len(frame):
        return d.cannot(name, "台账没有填写时间", "the ledger holds no edit times", **facts)
    allowed = float(duty[0]["due_days"]) + days_after
    # a day is over at its end
    lag = (frame["edited_at"] - frame["date"]).to_numpy() / np.timedelta64(1, "D") - 1.0
    late = lag > allowed
    share = float(late.mean())
    if share <= rows_share:
        zh, en = f"{share:.1%}的记录晚于期限{allowed:.0f}天。", f"{share:.1%} of entries later than {allowed:.0f} d."
        return [d.say(name, Ruling.COMPLIANT, zh, en, value=share, threshold=rows_share, **facts)]
    when = frame["date"][late]
    zh = f"{int(late.sum())}条记录（{share:.1%}）在{allowed:.0f}天后填写或修改，最晚{lag.max():.0f}天。"
    en = f"{int(late.sum())} entries ({share:.1%}) written or changed after {allowed:.0f} d, the latest after {lag.max():.0f} d."
    span = {"start": when.min(), "end": when.max() + pd.Timedelta(days=1)}
    return [
        d.say(name, Ruling.VIOLATED, zh, en, value=share, threshold=rows_share, strength=log_excess(share, rows_share), **span, **facts)
    ]


def _duty(d: Dossier, name: str, *, needs_due: bool = True) -> tuple[list[dict[str, Any]], list[RuleResult]]:
    rows, refusal = owed(d, name, "ledger", _FIELD)
    if refusal:
        return [], refusal
    if needs_due and pd.isna(rows[0]["due_days"]):
        return [], d.cannot(
            name, "许可证未载明台账期限", "the permit names no due date for the ledger", permit_field="permit_duties.due_days"
        )
    return rows, []


def _wide(d: Dossier) -> pd.DataFrame:
    frame = d.ledger
    if frame is None or not len(frame):
        return pd.DataFrame()
    place, places = pd.factorize(frame["facility"].fillna(""), sort=True)
    field, fields = pd.factorize(frame["field"], sort=True)
    codes, columns = place * len(fields) + field, range(len(places) * len(fields))
    days = frame["date"].to_numpy().astype("datetime64[D]")
    unique, at = np.unique(days, return_inverse=True)
    out = np.full((len(unique), len(columns)), np.nan)
    out[at, codes] = frame["value"].to_numpy(float)
    return pd.DataFrame(out, index=pd.DatetimeIndex(unique.astype("datetime64[ns]")), columns=list(columns))


def _telling(wide: pd.DataFrame) -> np.ndarray:
    """Days whose figures say something: at least two fields that are not 0, not 24 h and not missing."""
    if not len(wide):
        return np.zeros(0, bool)
    v = wide.to_numpy(float)
    return np.asarray((np.isfinite(v) & (v != 0) & (v != 24)).sum(axis=1) >= 2)
