"""Rules on power: treatment off, and treatment idling, while production runs; monitored flow against power.

One stop is a repair, a pattern is a habit: the evidence is the number of separate days, the share of production time,
and what the other witnesses say. Spans under marked start-up, shut-down, maintenance or fault are excused before
anything is counted.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from workbench.contracts import Kind, Outcome, Ruling
from workbench.models.energy_tax.episodes import Episode
from workbench.models.energy_tax.judgement import Judgement, Part, not_evaluable, parts_of
from workbench.models.energy_tax.meters import Works
from workbench.models.energy_tax.states import State
from workbench.models.energy_tax.witnesses import (
    Witnesses,
    condition_ratio,
    exact_zero,
    ledger_overstates,
    load_on_standby,
    load_on_total,
)

BASE_OFF, BASE_IDLE = -2.0, -2.8
"""Log-odds that a campaign of average weight is a violation, before any part speaks (stated priors)."""


def treatment_off_while_producing(
    works: Works, seen: Witnesses, *, minutes_min: float, share_half: float, days_half: float, campaign_days: float, hours_min: float,
    window_days: float,
) -> list[Judgement]:  # fmt: skip
    """Judge the times at which production ran and its treatment was off.

    Returns
    -------
    list of Judgement
        One per campaign (episodes closer than ``campaign_days``), else one that is compliant or not evaluable.
    """
    numbers = {"minutes_min": minutes_min, "share_half": share_half, "days_half": days_half, "campaign_days": campaign_days}
    numbers |= {"hours_min": hours_min, "window_days": window_days}
    return _judge("treatment_off_while_producing", works, works.off, seen, ("停运", "off"), BASE_OFF, numbers)


def treatment_idling_while_producing(
    works: Works, seen: Witnesses, *, share_max: float, minutes_min: float, share_half: float, days_half: float, campaign_days: float,
    hours_min: float, window_days: float,
) -> list[Judgement]:  # fmt: skip
    """Judge the times at which the treatment ran far under what production asks of it.

    Parameters
    ----------
    share_max : float
        Already applied when ``works.idle`` was made; said in the words.
    """
    words = (f"低负荷空转（不足应有功率的{share_max:.0%}）", f"idling (under {share_max:.0%} of the expected power)")
    numbers = {"minutes_min": minutes_min, "share_half": share_half, "days_half": days_half, "campaign_days": campaign_days}
    numbers |= {"hours_min": hours_min, "window_days": window_days}
    return _judge("treatment_idling_while_producing", works, works.idle, seen, words, BASE_IDLE, numbers)


def campaigns(episodes: list[Episode], gap_steps: float) -> list[list[Episode]]:
    """Group episodes whose gap is at most ``gap_steps``."""
    groups: list[list[Episode]] = []
    for e in episodes:
        if groups and e.start - groups[-1][-1].stop <= gap_steps:
            groups[-1].append(e)
        else:
            groups.append([e])
    return groups


def _judge(
    rule: str, works: Works, flags: NDArray[np.bool_], seen: Witnesses, words: tuple[str, str], base: float, numbers: dict[str, float]
) -> list[Judgement]:
    span = works.span
    if not works.pairs:
        lost = "production" if not works.rows("production") else "treatment"
        zh = f"没有可用的{'生产' if lost == 'production' else '治污'}电表，无法判断治污设施{words[0]}"
        en = f"no usable {lost} meter, so whether the treatment was {words[1]} cannot be judged"
        return [not_evaluable(rule, works.enterprise_id, span, Kind.TREATMENT_OFF, zh, en)]
    hit = [e for e in works.episodes if flags[e.start : e.stop].any()]
    found = []
    for group in campaigns(hit, numbers["campaign_days"] * 86400 / works.step_s):
        a, b = group[0].start, group[-1].stop
        mine = np.zeros(len(flags), bool)
        for e in group:  # short stops between the episodes are no part of it
            mine[e.start : e.stop] = flags[e.start : e.stop]
        if mine.sum() * works.step_s / 60 >= numbers["minutes_min"]:
            at = np.flatnonzero(mine)
            found.append(_campaign(rule, works, mine, max(a, int(at[0])), min(b, int(at[-1]) + 1), seen, words, base, numbers))
    if found:
        return found
    zh = f"生产期间未见治污设施{words[0]}达{numbers['minutes_min']:g}分钟"
    en = f"no treatment {words[1]} for {numbers['minutes_min']:g} minutes or more while producing"
    return [Judgement(rule, Ruling.COMPLIANT, works.enterprise_id, *span, zh, en, Kind.TREATMENT_OFF)]


def _campaign(
    rule: str, works: Works, mine: NDArray[np.bool_], a: int, b: int, seen: Witnesses, words: tuple[str, str], base: float,
    numbers: dict[str, float],
) -> Judgement:  # fmt: skip
    parts = _pattern(works, mine, a, b, numbers) | _witnessed(works, mine, seen, numbers["hours_min"], idle="idling" in rule)
    minutes, days, share = float(mine.sum() * works.step_s / 60), parts["days"].value, parts["share_of_production"].value
    start, end = works.stamp(a), works.stamp(b)
    lengths = np.diff(np.flatnonzero(np.diff(np.r_[0, mine.astype(np.int8), 0])))[::2]
    longest = float(lengths.max() * works.step_s / 3600)
    ids = tuple(works.point_ids[k] for p in works.pairs for k in (p.production, p.treatment))
    ratio = parts["condition"].value
    seen_zh = "" if not np.isfinite(ratio) else f"；设施工况为正常时的{ratio:.0%}"
    seen_en = "" if not np.isfinite(ratio) else f"; the facility's condition stood at {ratio:.0%} of normal"
    if works.denied[mine].mean() > 0.3:
        seen_zh, seen_en = seen_zh + "；期间标记为停运，与用电矛盾", seen_en + "; marked as stopped meanwhile, which the power contradicts"
    zh = (
        f"{start:%m-%d}至{end:%m-%d}生产期间治污设施{words[0]}累计{minutes / 60:.1f}小时，涉及{days:.0f}天，"
        f"占生产时间{share:.0%}，最长{longest:.1f}小时{seen_zh}"
    )
    en = (
        f"{start:%Y-%m-%d} to {end:%Y-%m-%d}: treatment {words[1]} for {minutes / 60:.1f} h while producing, on {days:.0f} days, "
        f"{share:.0%} of production time, longest {longest:.1f} h{seen_en}"
    )
    return Judgement(
        rule, Ruling.VIOLATED, works.enterprise_id, start, end, zh, en, Kind.TREATMENT_OFF,
        point_id=works.point_ids[works.pairs[0].treatment], value=minutes, threshold=numbers["minutes_min"], unit="min",
        base=base, parts=parts, evidence=tuple(dict.fromkeys(ids)),
    )  # fmt: skip


def _pattern(works: Works, mine: NDArray[np.bool_], a: int, b: int, numbers: dict[str, float]) -> dict[str, Part]:
    """Return what the stops look like by themselves."""
    producing, hours = works.producing, works.step_s / 3600
    times = works.time[mine]
    per_day = np.unique(times.astype("datetime64[D]"), return_counts=True)[1] * hours
    days, total = float((per_day >= 0.5).sum()), float(mine.sum() * hours)
    pad = max(0, round(numbers["window_days"] * 86400 / works.step_s) - (b - a)) // 2
    lo, hi = max(0, a - pad), min(len(mine), b + pad)
    share = float(mine.sum() / max(producing[lo:hi].sum(), 1))
    outside = producing.copy()
    outside[a:b] = False
    enough = outside.sum() * works.step_s > 86400
    served = 1.0 - float((works.off | works.idle | works.excused)[outside].mean()) if enough else float("nan")
    agreement = max((p.agreement for p in works.pairs if np.isfinite(p.agreement)), default=float("nan"))
    night = _at_night(times) - _at_night(works.time[lo:hi][producing[lo:hi]])
    weekend = _on_weekend(times) - _on_weekend(works.time[lo:hi][producing[lo:hi]])
    denied = float(works.denied[mine].mean())
    return parts_of(
        days=(days, 1.3 * np.log(max(days, 0.5) / numbers["days_half"])),
        hours=(total, 0.5 * np.log(total / 8.0)),
        share_of_production=(share, 0.6 * np.log(max(share, 1e-4) / numbers["share_half"])),
        served_otherwise=(served, 10 * (served - 0.93)),
        start_agreement=(agreement, 2 * (agreement - 0.6)),
        night_shift=(night, 1.2 * night),
        weekend_shift=(weekend, 0.8 * weekend),
        marked_stopped=(denied, 0.6 * denied),
    )


def _witnessed(works: Works, mine: NDArray[np.bool_], seen: Witnesses, hours_min: float, *, idle: bool) -> dict[str, Part]:
    """Return what other sources say about the stops."""
    ratio = condition_ratio(works, seen, mine, hours_min=hours_min)
    total, standby = load_on_total(works, mine), load_on_standby(works, mine)
    zero = float("nan") if idle else exact_zero(works, mine)
    ledger = ledger_overstates(works, seen, mine)
    even = 0.9 if idle else 0.6
    return parts_of(
        condition=(ratio, 4.0 * (even - ratio)),
        load_on_total=(total, 0.5 - 2.5 * max(total, 0.0)),
        load_on_standby=(standby, 0.1 - 4.0 * standby),
        exact_zero=(zero, -0.8 * zero),
        ledger=(ledger, 1.0 * (ledger - 0.5)),
    )


def _at_night(times: NDArray[np.datetime64]) -> float:
    hour = (times.astype("datetime64[h]") - times.astype("datetime64[D]")).astype(int)
    return float(np.mean((hour >= 22) | (hour < 6))) if len(times) else float("nan")


def _on_weekend(times: NDArray[np.datetime64]) -> float:
    weekday = (times.astype("datetime64[D]").astype(int) + 3) % 7  # 1970-01-01 was a Thursday; Monday is 0
    return float(np.mean(weekday >= 5)) if len(times) else float("nan")


def flow_contradicts_power(
    enterprise_id: str, production: NDArray[np.int8], flow: NDArray[np.float32], grid_start: np.datetime64, *, hours_min: float,
    learn_hours: float, separation: float, low_share: float, high_share: float,
) -> list[Judgement]:  # fmt: skip
    """Hold the monitored flow of the stacks against the production meters, hour by hour.

    Parameters
    ----------
    production : int8 array, shape (hour,)
        -1 unknown, 0 off, 1 idle, 2 on.
    flow : float32 array, shape (hour,)
        Largest flow of the enterprise's stacks over its own running median; NaN where nothing arrived.
    learn_hours : float
        Hours on and off that are needed before the two may be held against each other.
    separation : float
        The median flow while off must be under this share of that while on, or the flow says nothing of production.
    low_share, high_share : float
        Flow under the first while on, or over the second while off, contradicts.
    """
    rule = "flow_contradicts_power"
    start = pd.Timestamp(grid_start)
    span = (start, start + pd.Timedelta(hours=len(production)))
    on, off = (production == State.ON) & np.isfinite(flow), (production == State.OFF) & np.isfinite(flow)
    if min(on.sum(), off.sum()) < learn_hours or not np.median(flow[off]) < separation * np.median(flow[on]):
        zh, en = "流量与生产用电没有可比的历史，不评价", "flow and production power have no history that could be compared"
        return [not_evaluable(rule, enterprise_id, span, Kind.FABRICATION, zh, en)]
    usual = float(np.median(flow[on]))
    blind, ghost = on & (flow < low_share * usual), off & (flow > high_share * usual)
    hours, at = float((blind | ghost).sum()), np.flatnonzero(blind | ghost)
    if hours < hours_min:
        zh, en = f"流量与生产用电矛盾{hours:.0f}小时", f"flow and production power contradict one another for {hours:.0f} h"
        return [
            Judgement(rule, Ruling.COMPLIANT, enterprise_id, *span, zh, en, Kind.FABRICATION, value=hours, threshold=hours_min, unit="h")
        ]
    a, b = start + pd.Timedelta(hours=int(at[0])), start + pd.Timedelta(hours=int(at[-1]) + 1)
    days = float(len(np.unique(at // 24)))
    parts = parts_of(conflict_hours=(hours, 0.6 * np.log(hours / 48.0)), conflict_days=(days, 0.5 * np.log(days / 5.0)))
    zh = f"生产用电在线而烟气流量近零{blind.sum()}小时，停产而流量如常{ghost.sum()}小时，涉及{days:.0f}天"
    en = (
        f"production power on while the monitored flow was near nothing for {blind.sum()} h; off while the flow was as usual "
        f"for {ghost.sum()} h; on {days:.0f} days"
    )
    return [
        Judgement(
            rule, Ruling.VIOLATED, enterprise_id, a, b, zh, en, Kind.FABRICATION, outcome=Outcome.FABRICATION, value=hours,
            threshold=hours_min, unit="h", base=-2.2, parts=parts,
        )
    ]  # fmt: skip
