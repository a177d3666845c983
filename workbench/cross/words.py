"""A lead in words: what speaks for it, what else it could be, and what to check next."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from workbench.contracts import KIND_WORDS, Queue, stable_id
from workbench.cross.calibration import Calibration
from workbench.cross.candidates import Candidate
from workbench.cross.checks import checks, innocent, next_check
from workbench.cross.conflicts import best_regimes
from workbench.cross.evidence import Channel
from workbench.cross.explain import Explanation, explain
from workbench.cross.fusion import Fused
from workbench.cross.kinds import articles, kind_row
from workbench.cross.roles import level_words
from workbench.cross.states import regime_words, space

Z95 = 1.96


def lead_id(c: Candidate) -> str:
    """Return the identifier of a lead: what and when, not how likely."""
    e = c.episode
    return stable_id("L", c.queue, e.enterprise_id, e.track, e.start.isoformat(), e.end.isoformat())


def lead_row(c: Candidate, fused: Fused, found: pd.DataFrame, calibration: Calibration, name: str) -> dict[str, Any]:
    """Return one row of the leads table (rank still to be given), without the words that need an explanation."""
    e = c.episode
    g = found.loc[list(e.rows)]
    logit = float(calibration(c.logit)) + c.known + c.inspected
    p, low, high = (float(1 / (1 + np.exp(-x))) for x in (logit, logit - Z95 * c.sd, logit + Z95 * c.sd))
    start, end = e.start, max(e.end, e.start + pd.Timedelta(hours=1))
    rule = kind_row(c.kind)
    zh, en = KIND_WORDS[c.kind]
    outlets = sorted(set(g["outlet_id"].fillna("")) - {""})
    row: dict[str, Any] = {
        "lead_id": lead_id(c),
        "rank": 1,
        "queue": c.queue.value,
        "enterprise_id": e.enterprise_id,
        "outlet_id": outlets[0] if len(outlets) == 1 else "",
        "start": start,
        "end": end,
        "kind": c.kind.value,
        "p_violation": p,
        "p_low": low,
        "p_high": high,
        "reason_zh": f"{name}：疑似{zh}（线索，非结论）。",
        "reason_en": f"{name}: possible {en} (a lead, not a finding of law).",
        "innocent_alternative": f"{rule.innocent_zh} / {rule.innocent_en}",
        "next_check": f"{rule.check_zh} / {rule.check_en}",
        "findings": sorted(g["finding_id"]),
        "articles": articles(c.kind, start),
    }
    if len(g):
        top = g.sort_values(["p", "finding_id"], ascending=[False, True], kind="stable").iloc[0]
        models = sorted(set(g["model"]))
        row["reason_zh"] += f"{top['reason_zh']}（共{len(g)}条发现，来自模型{'、'.join(models)}）。"
        row["reason_en"] += f" {top['reason_en']} ({len(g)} finding(s) of {', '.join(models)})."
        zh, en = _whole_period(g, start, end)
        row["reason_zh"] += zh
        row["reason_en"] += en
    if c.queue == Queue.SILENT:
        row["reason_zh"] += "各模型均未单独报警，由多源证据合并得出。"
        row["reason_en"] += " No model raised an alert by itself; it follows from several sources together."
    if c.row >= 0:
        _add_states(row, c, fused)
    return row


def _whole_period(g: pd.DataFrame, start: pd.Timestamp, end: pd.Timestamp) -> tuple[str, str]:
    """Return a sentence (Chinese, English) that names the period the findings concern, where the lead's span is a part of it.

    A quarterly report is late for a quarter; a lead is no longer than a visit looks at.
    """
    first, last = g["start"].min(), g["end"].max()
    if first >= start and last <= end:
        return "", ""
    zh = f"所涉期间为{first:%Y-%m-%d}至{last:%Y-%m-%d}，线索时段只取其中一次核查所看的部分。"
    en = f" The findings concern {first:%Y-%m-%d} to {last:%Y-%m-%d}; the lead's span is the part that one visit looks at."
    return zh, en


def _add_states(row: dict[str, Any], c: Candidate, fused: Fused) -> None:
    """Write the best state against the runner-up; of a lead likelier than not, the best state that is a violation.

    The single best state may be the honest one while all violating ones together, and visits, weigh more; a lead that reads 74 %
    and *all as it says* would contradict itself.
    """
    hours = _busiest(c, fused)
    best, second, p = best_regimes(fused, c.row, hours)
    bad = np.flatnonzero(space().z_violation)
    if row["p_violation"] >= 0.5 and best not in bad:
        best, second = int(bad[np.argmax(p[bad])]), best
    (best_zh, best_en), (second_zh, second_en) = regime_words(best), regime_words(second)
    prior = fused.prior(c.row)
    row["best_state"], row["runner_up"] = f"{best_zh} / {best_en}", f"{second_zh} / {second_en}"
    row["bayes_factor"] = float(np.exp(np.clip(np.log(p[best] / max(p[second], 1e-300)) - np.log(prior[best] / prior[second]), -50, 50)))
    other = innocent(fused, c.row, hours, int(bad[np.argmax(p[bad])]))
    row["innocent_alternative"] = (
        f"{other.zh}（违法相对它的贝叶斯因子 {_number(other.bayes_factor)}） / "
        f"{other.en} (Bayes factor of a violation against it {_number(other.bayes_factor)})"
    )
    name, gain = next_check(p)
    if gain > 1e-3:
        row["next_check"] = f"{checks()[name].zh} / {checks()[name].en}"


def _busiest(c: Candidate, fused: Fused, most: int = 72) -> np.ndarray:
    """Return the core hours, at most three days of them around the peak."""
    core = c.core
    return np.asarray(core[np.abs(core - c.peak) <= most // 2])


def attributions(c: Candidate, fused: Fused, found: pd.DataFrame, calibration: Calibration) -> tuple[list[dict[str, Any]], str, str]:
    """Return the attribution rows of a lead, and its strongest evidence in words (Chinese, English)."""
    ident = lead_id(c)
    score = float(calibration(c.logit)) + c.known + c.inspected
    beside = (
        ("inspection", "同期检查结果", "inspection of the same span", c.inspected),
        ("other_times", "该企业其他时段的检查与线索", "visits and leads of the enterprise at other times", c.known),
    )
    seen = [_part(ident, name, zh, en, float("nan"), v, 0.0, score) for name, zh, en, v in beside if abs(v) > 1e-9]
    if c.pooled is not None:
        base = float(calibration(c.pooled.base))
        parts = [
            _part(
                ident,
                f"{m}:{d}",
                f"{m} 模型的 {d} 检测",
                f"detector {d} of model {m}",
                float(found["p"].loc[r]),
                calibration.slope * v,
                base,
                score,
            )
            for m, d, r, v in c.pooled.parts
        ]
        most = calibration.slope * (c.logit - c.pooled.logit)
        if abs(most) > 1e-9:
            zh, en = "单凭文件所能证明的上限", "what documents alone can show at most"
            parts.append(_part(ident, "outside_the_states", zh, en, float("nan"), most, base, score))
        return parts + [{**x, "base": base} for x in seen], "", ""
    x: Explanation = explain(fused, c.row, c.peak)
    base = float(calibration(x.base))
    rows, said = [{**s, "base": base} for s in seen], []
    longer = calibration.slope * (c.plug_in - x.total) if c.queue == Queue.SILENT and np.isfinite(c.plug_in) else 0.0
    if abs(longer) > 1e-9:
        zh, en = "核查时段内的其他小时", "the other hours that the visit looks at"
        rows.append(_part(ident, "rest_of_the_visit", zh, en, float((c.episode.end - c.episode.start).days), longer, base, score))
    shrunk = calibration.slope * (c.logit - x.total) - longer
    if abs(shrunk) > 1e-9:
        zh, en = "参数不确定性", "uncertainty of the parameters"
        if c.queue == Queue.SILENT:
            zh, en = "未报警证据的上限与参数不确定性", "what unraised evidence can show at most, and uncertainty of the parameters"
        rows.append(_part(ident, "parameter_uncertainty", zh, en, c.sd, shrunk, base, score))
    for members, value in zip(x.players, x.values, strict=True):
        channels = [fused.evidence.channels[k] for k in members]
        shown = int(channels[0].values[c.row, c.peak])
        if len(channels) == 1:
            label_zh, label_en = _labels(channels[0], c, shown)
            name = channels[0].name
        else:
            name, label_zh, label_en = "other_channels", "其余通道", f"{len(channels)} other channels"
        v = calibration.slope * float(value)
        rows.append(
            _part(ident, name, label_zh, label_en, float(shown) if shown >= 0 and len(channels) == 1 else float("nan"), v, base, score)
        )
        said.append((v, label_zh, label_en))
    said.sort(key=lambda t: -t[0])
    # worth a word before recalibration: a silent lead's log-odds are shrunk, its evidence is no less telling
    top = [t for t in said[:3] if t[0] > 0.2 * calibration.slope]
    zh = "；".join(f"{z}（{v:+.2f}）" for v, z, _ in top)
    en = "; ".join(f"{n} ({v:+.2f})" for v, _, n in top)
    return rows, f"主要依据（对数几率）：{zh}。" if zh else "", f" Main evidence (log-odds): {en}." if en else ""


def _part(ident: str, feature: str, zh: str, en: str, value: float, contribution: float, base: float, score: float) -> dict[str, Any]:
    return {
        "finding_id": ident,
        "feature": feature,
        "label_zh": zh,
        "label_en": en,
        "unit": "1",
        "value": value,
        "contribution": contribution,
        "base": base,
        "score": score,
    }


def _labels(channel: Channel, c: Candidate, shown: int) -> tuple[str, str]:
    """Return what the channel said at the peak, naming the detectors behind a merged one."""
    level = channel.level(shown)
    speaking = []
    for m in channel.members:
        hit = int(m.values[c.row, c.peak])
        if m.level(hit) in ("suspect", "strong") and len(channel.members) > 1:
            speaking.append(m)
    zh, en = channel.label_zh, channel.label_en
    if speaking:
        zh += f"（{'、'.join(m.label_zh for m in speaking[:3])}）"
        en += f" ({', '.join(m.label_en for m in speaking[:3])})"
    return f"{zh}：{level_words().get(level, level)}", f"{en}: {level.replace('_', ' ')}"


def _number(x: float) -> str:
    return f"{x:.1f}" if 0.1 <= x < 1000 else f"{x:.1e}"
