"""Rules on the series of fence monitors: a burst, a habit of working hours, days on end, and a monitor that reads too low.

Each judges one run of excess (or deficit) that the scan found; the run stands out by the empirical null of the catalog,
and the witnesses around it speak for and against.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypedDict, Unpack

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from workbench.contracts import Kind, Outcome, Ruling
from workbench.models.additive import Judgement, Part
from workbench.models.dust.inputs import PARTICLES
from workbench.models.dust.null import Null
from workbench.models.dust.parts import parts_of
from workbench.models.dust.witnesses import Around, clips_between

CONSTRUCTION = ("47", "48", "49", "50")
"""GB/T 4754 divisions of building: their dust belongs to other authorities."""


@dataclass(frozen=True)
class Candidate:
    """One run with all that is known about it.

    Parameters
    ----------
    site : mapping
        Row of ``points`` (``enterprise_id``, ``outlet_id``, ``point_id``, ``factor``).
    start, end : Timestamp
    score : float
        Log-likelihood ratio of the run.
    null : Null
        What honest runs of this kind do.
    honest : float
        Honest runs as strong that are expected per site-month (:func:`~workbench.models.dust.null.honest_rate`).
    around : Around
    clips : DataFrame
        Labelled clips of the enterprise.
    clip_days : float
        Days around the run in which a clip speaks about it.
    industry : str
    """

    site: dict[str, str]
    start: pd.Timestamp
    end: pd.Timestamp
    score: float
    null: Null
    honest: float
    around: Around
    clips: pd.DataFrame
    clip_days: float
    industry: str = ""


class Bars(TypedDict):
    """Numbers of a rule on excess (``params.yml``): how many are expected, what is asked for, and where a witness is neutral."""

    per_site_month: float
    score_min: float
    working_half: float
    ratio_half: float
    hours_half: float
    days_half: float


def dust_rises_over_background(run: Candidate, **bars: Unpack[Bars]) -> Judgement:
    """Judge one run of dusty hours."""
    words = ("扬尘明显高于同一时刻的区域背景", "dust rose over the background of the same hours")
    return _judge("dust_rises_over_background", run, words, **bars)


def dust_stays_high_at_working_hours(run: Candidate, **bars: Unpack[Bars]) -> Judgement:
    """Judge one run of days whose working hours are dusty."""
    words = ("作业时段扬尘连日偏高", "working hours were dusty day after day")
    return _judge("dust_stays_high_at_working_hours", run, words, **bars)


def dust_stays_high_for_days(run: Candidate, **bars: Unpack[Bars]) -> Judgement:
    """Judge one run of days that are dusty day and night."""
    words = ("扬尘昼夜连日偏高", "dust stayed high day and night")
    return _judge("dust_stays_high_for_days", run, words, **bars)


def fence_reads_below_background(
    run: Candidate, *, per_site_month: float, score_min: float, ratio_half: float, hours_half: float, days_half: float
) -> Judgement:
    """Judge one run of hours in which a fence monitor reads less than the air around it can hold.

    One channel alone is an instrument's fault (a fouled inlet reads so too); it takes a second one, a clip that shows dust
    meanwhile (a pile may lie open without dusting), and then the dust is the matter, and the monitor is in doubt.
    """
    a = run.around
    seen = len(clips_between(run.clips, run.start, run.end, ("dust",)))
    parts = _common(run) | parts_of(
        second_channel=(float(seen), 0.0 if seen else -3.0),
        low_ratio=(a.ratio, 2.0 * np.log(ratio_half / max(a.ratio, 0.05))),
        hours=(a.hours, 0.8 * np.log(max(a.hours, 1.0) / hours_half)),
        days=(a.days, 0.4 * np.log(max(a.days, 0.5) / days_half)),
        shared=(a.shared, -8.0 * (a.shared - 0.10)),
        other_factor=(a.other, 0.3 * (a.other - 1.0)),
        producing=(a.producing, 0.8 * a.producing),
    )
    name = PARTICLES[run.site["factor"]]
    zh = f"{_when(run)}厂界{name}读数仅为周边推算的{a.ratio:.0%}，共{a.hours:.0f}小时，涉及{a.days:.0f}天{_aside_zh(a)}"
    zh += f"；期间有{seen}段视频见扬尘，监测数据存疑" if seen else "；仅一个通道，先按仪器故障核查"
    en = (
        f"{run.start:%Y-%m-%d %H:00} to {run.end:%Y-%m-%d %H:00}: {name} at the fence read {a.ratio:.0%} of "
        f"what its neighbours imply, {a.hours:.0f} h on {a.days:.0f} days{_aside_en(a)}"
    )
    en += (
        f"; {seen} clips show dust meanwhile, so that the monitor is in doubt"
        if seen
        else "; one channel alone: to be checked as an instrument fault first"
    )
    kind, outcome = (Kind.FUGITIVE, Outcome.OTHER) if seen else (Kind.FABRICATION, Outcome.FAULT)
    return _judgement("fence_reads_below_background", run, zh, en, parts, per_site_month, score_min, kind, outcome)


def _judge(
    rule: str, run: Candidate, words: tuple[str, str], *, per_site_month: float, score_min: float, working_half: float,
    ratio_half: float, hours_half: float, days_half: float,
) -> Judgement:  # fmt: skip
    a = run.around
    parts = _common(run) | parts_of(
        ratio=(a.ratio, 1.5 * np.log(max(a.ratio, 0.1) / ratio_half)),
        hours=(a.hours, 0.3 * np.log(max(a.hours, 1.0) / hours_half)),
        days=(a.days, 0.4 * np.log(max(a.days, 0.5) / days_half)),
        working_hours=(a.working, 3.0 * (a.working - working_half)),
        rain=(a.rain, -2.5 * max(a.rain, 0.0)),
        humidity=(a.humid, -1.5 * max(a.humid, 0.0)),
        # still air collects haze, and a gale lifts dust everywhere, beyond what a site's usual answer to wind holds
        wind=(a.wind, 0.1 - 1.3 * abs(np.log(max(a.wind, 0.1) / 1.1))),
        shared=(a.shared, -6.0 * (a.shared - 0.10)),
        upwind=(a.upwind, -2.0 * max(a.upwind - 0.15, 0.0)),
        other_factor=(a.other, 0.5 * (a.other - 1.3)),
        # dust is coarse (PM2.5 is a tenth to a quarter of its PM10, recalled from AP-42); haze and swollen particles are fine
        coarse=(a.coarse, 3.0 * (a.coarse - 0.05)),
        producing=(a.producing, 0.8 * a.producing),
    ) | _seen(run)  # fmt: skip
    name = PARTICLES[run.site["factor"]]
    zh = (
        f"{_when(run)}{words[0]}：厂界{name}为背景的{a.ratio:.1f}倍（平均高出{a.added:.0f} µg/m³），"
        f"共{a.hours:.0f}小时，涉及{a.days:.0f}天，作业时段占{a.working:.0%}{_rare(run)[0]}{_aside_zh(a)}"
    )
    en = (
        f"{run.start:%Y-%m-%d %H:00} to {run.end:%Y-%m-%d %H:00}: {words[1]}: {name} at the fence {a.ratio:.1f} times the background "
        f"({a.added:.0f} µg/m³ above it), {a.hours:.0f} h on {a.days:.0f} days, {a.working:.0%} in working hours"
        f"{_rare(run)[1]}{_aside_en(a)}"
    )
    if run.industry.startswith(CONSTRUCTION):
        zh += "；施工扬尘归住建等部门（法典第1128条），移送线索"
        en += "; construction dust belongs to other authorities (Code Art. 1128): hand the lead over"
    return _judgement(rule, run, zh, en, parts, per_site_month, score_min, Kind.FUGITIVE, Outcome.OTHER)


def _judgement(
    rule: str,
    run: Candidate,
    zh: str,
    en: str,
    parts: dict[str, Part],
    per_site_month: float,
    score_min: float,
    kind: Kind,
    outcome: Outcome,
) -> Judgement:
    return Judgement(
        rule, Ruling.VIOLATED if run.score >= score_min else Ruling.COMPLIANT, run.site["enterprise_id"], run.start, run.end, zh, en, kind,
        outlet_id=run.site["outlet_id"], point_id=run.site["point_id"], outcome=outcome, value=run.score, threshold=score_min, unit="nat",
        base=run.null.base(per_site_month), parts=parts, evidence=(run.site["point_id"],),
    )  # fmt: skip


def _common(run: Candidate) -> dict[str, Part]:
    excess = run.null.stands_out(run.honest)
    return parts_of(stands_out=(excess, excess))


def _seen(run: Candidate) -> dict[str, Part]:
    """Return what labelled clips of the same days say."""
    pad = pd.Timedelta(days=run.clip_days)
    bad = clips_between(run.clips, run.start - pad, run.end + pad, ("dust", "uncovered"))
    good = clips_between(run.clips, run.start, run.end, ("covered", "clean"))
    days = bad["start"].dt.normalize().nunique()
    return parts_of(
        clip_dust=(float(len(bad)) if len(bad) else float("nan"), 1.0 + 0.5 * (days - 1)),
        clip_covered=(float(len(good)) if len(good) else float("nan"), -0.5 * len(good)),
    )


def _rare(run: Candidate) -> tuple[str, str]:
    """Return how often an honest site has a run as strong, by the null of the catalog and by what other sites do."""
    months = 1.0 / max(run.honest, 1e-9)
    if months < 1.0:
        return "；同样强的常态波动每月不止一次", "; an honest site has one as strong more than once a month"
    zh, en = ("百月以上", "more than a hundred months") if months > 100 else (f"约{months:.0f}个月", f"about {months:.0f} months")
    return f"；同样强的常态波动，每点位{zh}才有一次", f"; an honest site has one as strong once in {en}"


def _when(run: Candidate) -> str:
    return f"{run.start:%m-%d %H时}至{run.end:%m-%d %H时}"


def _aside_zh(a: Around) -> str:
    said = []
    if np.isfinite(a.shared):
        said.append(f"同向变化的邻近点位占{a.shared:.0%}（按权重）")
    if np.isfinite(a.wind):
        said.append(f"风速为常态的{a.wind:.1f}倍")
    if np.isfinite(a.upwind) and a.upwind > 0.3:
        said.append(f"{a.upwind:.0%}的小时上风向邻近点位更高")
    return "；" + "，".join(said) if said else ""


def _aside_en(a: Around) -> str:
    said = []
    if np.isfinite(a.shared):
        said.append(f"{a.shared:.0%} of the neighbours (by weight) moved likewise")
    if np.isfinite(a.wind):
        said.append(f"wind {a.wind:.1f} times the usual")
    if np.isfinite(a.upwind) and a.upwind > 0.3:
        said.append(f"a site upwind was dustier in {a.upwind:.0%} of the hours")
    return "; " + ", ".join(said) if said else ""


def hot_hours(z: NDArray[np.floating], start: int, stop: int, *, sign: float, hot_z: float) -> NDArray[np.bool_]:
    """Return the dusty hours of a run, bool of shape (hour,): z above ``hot_z``, or the dustiest hour where none is."""
    hot = np.zeros(len(z), bool)
    part = sign * np.nan_to_num(z[start:stop], nan=-np.inf)
    hot[start:stop] = part > hot_z
    if not hot.any() and len(part):
        hot[start + int(part.argmax())] = True
    return hot
