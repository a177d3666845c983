"""Candidates to findings: outcome, verdict, the sentence, suppressions, and an abstention for every point that cannot be judged."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from workbench.contracts import RuleRow, result_frame, stable_id
from workbench.models.monitoring.analysis import Analysis
from workbench.models.monitoring.candidates import load_sentences
from workbench.models.monitoring.null import false_discovery_rate
from workbench.models.monitoring.panel import Panel
from workbench.models.monitoring.scoring import Scorer
from workbench.models.monitoring.suppressions import Suppression
from workbench.models.monitoring.vocabulary import NOTICES, factor_words

P_BREACH, Q_BREACH = 0.5, 0.1
"""A candidate is a breach from this probability on, if its false discovery rate over all points is at most Q_BREACH."""
FAULT_SERVICED, WHOLE_DEVICE, SHARED = 1.0, 0.99, np.log(3.0)
CAP_PAYS = 0.3
"""A cap under this share of the limit serves nobody: the lowest tax notch is at one half. It is rounding near a detection limit."""
FROZEN, AGAIN = -0.5, np.log(4.0)
"""A constant run entered by an ordinary step (log-likelihood ratio, nats) is a frozen instrument, unless the point has four of them."""
EXCUSED_HOURS, EXCUSED_STARTING = 6, 0.3
"""Without the marks table: an exceedance this short, or with this share of its hours after a start, may have been lawfully marked."""
NEEDS_MARKS = frozenset(
    {
        "values_stay_constant", "values_clipped_below_limit", "values_generated", "purge_off_schedule", "outage_when_exceedance_predicted",
        "mark_contradicts_operation", "calibration_shows_no_gas_step", "exceedance_after_lawful_marks", "history_copied_exactly",
        "history_copied_with_noise",
    }
)  # fmt: skip
"""Detectors that lose lawful hours with the marks table."""
LOWER = {"high": "medium", "medium": "low", "low": "low"}


def make_findings(
    analysis: Analysis, scorer: Scorer, rules: Mapping[str, RuleRow], suppressions: Sequence[Suppression] = ()
) -> pd.DataFrame:
    """Return the findings of an analysis, sorted by point, start and detector.

    Extra columns: ``q`` (false discovery rate over all points), ``nats`` (strength of the detector), ``candidate`` (position, −1 for
    unfit points) and ``suppressed_by``.
    """
    panel, c = analysis.panel, analysis.candidates
    rows = [*_unfit(panel), *_unchecked_marks(analysis), *_scored(analysis, scorer, rules)]
    if not rows:
        return _empty()
    frame = pd.DataFrame(rows)
    frame["suppressed_by"] = [
        next((str(s) for s in suppressions if s.covers(d, p, a, b)), "")
        for d, p, a, b in zip(frame["detector"], frame["point_id"], frame["start"], frame["end"], strict=True)
    ]
    silenced = frame["suppressed_by"] != ""
    # the row stays and says so, but is no alert for anyone downstream, and never compliant
    frame.loc[silenced, "verdict"] = "abstain"
    frame.loc[silenced, "reason_zh"] += "（已抑制：" + frame.loc[silenced, "suppressed_by"] + "）"
    frame.loc[silenced, "reason_en"] += " (suppressed: " + frame.loc[silenced, "suppressed_by"] + ")"
    frame["candidate"] = frame["candidate"].astype("int64")
    frame = frame.sort_values(["enterprise_id", "point_id", "start", "detector", "finding_id"], kind="stable")
    if len(c) == 0:
        frame["q"] = frame["q"].astype(float)
    return result_frame("findings", frame)


def _empty() -> pd.DataFrame:
    frame = result_frame("findings", [])
    for column, dtype in (("q", float), ("nats", float), ("candidate", "int64"), ("suppressed_by", object)):
        frame[column] = pd.Series(dtype=dtype)
    return frame


def _scored(analysis: Analysis, scorer: Scorer, rules: Mapping[str, RuleRow]) -> list[dict[str, Any]]:
    panel, c = analysis.panel, analysis.candidates
    if not len(c):
        return []
    log_odds = scorer.log_odds(c)
    p = 1 / (1 + np.exp(-np.clip(log_odds, -30, 30)))
    tests = float(sum((v.ruling >= 0).any(axis=1).sum() for v in analysis.verdicts.values())) * panel.shape[1]
    q = false_discovery_rate(np.maximum(c["log_p"].to_numpy(), -700.0), tests)
    outcomes = [_outcome(r, scorer, bool(panel.pollutant[int(r["row"])])) for r in c.to_dict("records")]
    sentences = load_sentences()
    rows = []
    for i, candidate in enumerate(c.to_dict("records")):
        row, detector = int(candidate["row"]), str(candidate["detector"])
        point = panel.roster.iloc[row]
        family = scorer.scoring.detectors[detector]
        outcome = outcomes[i]
        if outcome == "fault":
            verdict = "abstain"
        else:
            # an exceedance is read, not inferred, and a mark is held against meters: neither was searched for over all point-days
            sure = q[i] <= Q_BREACH or family.outcome == "exceedance" or family.family == "mark"
            verdict = "breach" if p[i] >= P_BREACH and sure else "compliant"
        zh, en = _sentence(sentences[detector], candidate, point["factor"])
        severity = rules[detector].severity.value
        lost_marks = "marks" in panel.data.attrs.get("lost", []) and detector in NEEDS_MARKS
        if lost_marks and verdict == "breach" and _a_mark_may_excuse(candidate):
            verdict = "abstain"
        zh, en = _with_outcome(zh, en, outcome, verdict, family.outcome)
        if lost_marks and outcome != "fault":
            severity = LOWER[severity]
            words = NOTICES["lost_marks_abstain" if verdict == "abstain" else "lost_marks_lower"]
            zh, en = zh + words.zh + "。", en + " " + words.en.capitalize() + "."
        rows.append(
            {
                "finding_id": stable_id("M", point["point_id"], candidate["family"], detector, candidate["start"], candidate["end"]),
                "model": "monitoring",
                "detector": detector,
                "enterprise_id": point["enterprise_id"],
                "outlet_id": point["outlet_id"],
                "point_id": point["point_id"],
                "start": candidate["start"],
                "end": candidate["end"],
                "kind": family.kind if outcome != "fault" else "",
                "outcome": outcome,
                "verdict": verdict,
                "p_breach": float(p[i]),
                "severity": severity,
                "reason_zh": zh,
                "reason_en": en,
                "evidence": [str(point["point_id"]), *_partners(panel, row)],
                "q": float(q[i]),
                "nats": float(candidate["nats"]),
                "candidate": i,
            }
        )
    return rows


def _a_mark_may_excuse(c: Mapping[Any, Any]) -> bool:
    """Return whether a mark of start-up, service or standstill would usually cover what was found."""
    if c["family"] == "exceedance":
        hours = float(dict(c["numbers"]).get("hours", np.inf))
        return hours <= EXCUSED_HOURS or c["starting"] >= EXCUSED_STARTING
    # a gap under a mark of fault or service is no suspicious gap
    return bool(c["family"] == "outage" or c["low_level"] >= 1 or c["running"] < 0.5)


def _outcome(c: Mapping[Any, Any], scorer: Scorer, pollutant: bool) -> str:
    """Return fault, exceedance or fabrication: falsified data need two channels, one channel alone is a fault until shown otherwise."""
    base = scorer.scoring.detectors[str(c["detector"])].outcome
    if base == "exceedance":
        return "fault" if c["saturated"] >= 1 else "exceedance"
    if base != "fabrication":
        return base
    if c["shared"] >= SHARED or (c["serviced"] >= FAULT_SERVICED and c["family"] == "plateau"):
        return "fault"
    if c["family"] == "plateau" and c["entry"] <= FROZEN and c["repeats"] < AGAIN:
        return "fault"
    numbers = dict(c["numbers"])
    if c["family"] == "clipping" and numbers.get("value", np.nan) < CAP_PAYS * numbers.get("limit", np.nan):
        return "fault"
    if c["replay"] >= 1 and not pollutant:
        # flow, temperature, oxygen or pH said again within days, off the clock: a logger sends its buffer anew, and nobody gains by it
        return "fault"
    two = c["second_channel"] > 0 or c["elsewhere"] > 0 or c["whole_device"] > 0 or c["family"] in ("dilution", "mark", "scale")
    return "fabrication" if two else "fault"


def _sentence(template: Mapping[str, str], c: Mapping[Any, Any], factor: str) -> tuple[str, str]:
    zh, en = factor_words(factor)
    numbers = {k: (float("nan") if v is None else v) for k, v in dict(c["numbers"]).items()}
    zh, en = template["zh"].format(factor=zh, **numbers), template["en"].format(factor=en, **numbers)
    return zh.replace("限值nan", "无限值在案"), en.replace("(limit nan)", "(no limit on file)")


def _with_outcome(zh: str, en: str, outcome: str, verdict: str, base: str) -> tuple[str, str]:
    if outcome == "fault" and base == "fabrication":
        return (
            zh + "缺少第二通道佐证或有设备原因，按仪器故障处理。",
            en + " No second channel speaks for intent, or the device explains it: taken as an instrument fault.",
        )
    if verdict == "compliant":
        return zh + "证据不足，未作为违法线索。", en + " Too weak for a finding."
    return zh, en


def _partners(panel: Panel, row: int) -> list[str]:
    ids = panel.roster["point_id"].to_numpy(dtype=object)
    return [str(i) for i in ids[panel.siblings(row)][:8]]


def _unfit(panel: Panel) -> list[dict[str, Any]]:
    """Return an abstention for every monitored point that cannot be judged, in whole or in part, with the reason."""
    rows = []
    days = panel.data["day"].to_numpy()
    span = (pd.Timestamp(days[0]), pd.Timestamp(days[-1]) + pd.Timedelta(days=1))
    impossible = np.nansum(panel.day("n_impossible"), axis=1)
    limit = panel.roster["limit"].to_numpy(dtype=float)
    regulated = panel.roster["system"].isin(("cems", "wastewater")).to_numpy() & panel.pollutant
    for row in np.flatnonzero(panel.monitored):
        codes = [str(panel.notice[row])] if panel.notice[row] else []
        if impossible[row] > 0:
            codes.append("impossible_values")
        if regulated[row] and not np.isfinite(limit[row]):
            codes.append("no_limit")
        if codes:
            rows.append(_abstention(panel.roster.iloc[row].to_dict(), codes, span))
    rows += [_abstention(point, [str(point["input"])], span) for point in panel.data.attrs.get("set_aside", [])]
    nobody = {"point_id": "", "enterprise_id": "", "outlet_id": ""}
    if not rows and not panel.monitored.any():
        rows.append(_abstention(nobody, ["no_monitors"], span))
    if panel.monitored.any() and "delay" not in panel.data:
        rows.append(_abstention(nobody, ["arrival_unknown"], span) | {"detector": "data_arrive_late"})
    return rows


def _unchecked_marks(analysis: Analysis) -> list[dict[str, Any]]:
    """Return an abstention per outlet whose marks could not be held against physics, with what is missing."""
    panel = analysis.panel
    if "mark_contradicts_operation" not in analysis.verdicts:
        return []
    code = panel.hour("hour_mark")
    days = panel.data["day"].to_numpy()
    span = (pd.Timestamp(days[0]), pd.Timestamp(days[-1]) + pd.Timedelta(days=1))
    checked = {
        d: np.asarray((analysis.verdicts[d].ruling >= 0).any(axis=1))
        for d in ("mark_contradicts_operation", "calibration_shows_no_gas_step")
    }
    rows = []
    for members in panel.members.values():
        head = members[panel.pollutant[members]]
        if not len(head) or not str(panel.roster["enterprise_id"].iloc[head[0]]):
            continue
        codes = []
        if (np.isin(code[head], (1, 2, 3, 8, 9, 10)).sum(axis=1) >= 2).any() and not checked["mark_contradicts_operation"][head].any():
            codes.append("marks_unchecked")
        if (code[head] == 5).any() and not checked["calibration_shows_no_gas_step"][head].any():
            codes.append("gas_unchecked")
        if codes:
            rows.append(_abstention(panel.roster.iloc[head[0]].to_dict(), codes, span))
    return rows


def _abstention(point: Mapping[Any, Any], codes: list[str], span: tuple[pd.Timestamp, pd.Timestamp]) -> dict[str, Any]:
    words = [NOTICES[c] for c in codes]
    return {
        "finding_id": stable_id("M", point["point_id"], "input", *codes),
        "model": "monitoring",
        "detector": "input_fit_for_judging",
        "enterprise_id": point["enterprise_id"],
        "outlet_id": point["outlet_id"],
        "point_id": point["point_id"],
        "start": span[0],
        "end": span[1],
        "kind": "",
        "outcome": "",
        "verdict": "abstain",
        "p_breach": float("nan"),
        "severity": "low",
        "reason_zh": "；".join(w.zh for w in words) + "。",
        "reason_en": "; ".join(w.en for w in words) + ".",
        "evidence": [str(point["point_id"])] if point["point_id"] else [],
        "q": float("nan"),
        "nats": float("nan"),
        "candidate": -1,
    }
