"""Rules on power: treatment off, and treatment idling, while production runs; monitored flow against power.

One stop is a repair, a pattern is a habit: the evidence is the number of separate stops, the share of production time,
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
from workbench.models.energy_tax.meters import Works, hour_of
from workbench.models.energy_tax.states import State
from workbench.models.energy_tax.witnesses import (
    Witnesses,
    condition_ratio,
    emission_ratio,
    exact_zero,
    flow_while_idling,
    ledger_overstates,
    load_on_standby,
    load_on_total,
)

BASE_OFF, BASE_IDLE, BASE_CONDITION = -2.0, -2.8, -2.4
"""Log-odds that a campaign of average weight is a violation, before any part speaks (stated priors)."""


def treatment_off_while_producing(
    works: Works, seen: Witnesses, *, minutes_min: float, share_half: float, stops_half: float, campaign_days: float, hours_min: float,
    window_days: float,
) -> list[Judgement]:  # fmt: skip
    """Judge the times at which production ran and its treatment was off.

    Returns
    -------
    list of Judgement
        One per campaign (episodes closer than ``campaign_days``), else one that is compliant or not evaluable.
    """
    numbers = {"minutes_min": minutes_min, "share_half": share_half, "stops_half": stops_half, "campaign_days": campaign_days}
    numbers |= {"hours_min": hours_min, "window_days": window_days}
    return _judge("treatment_off_while_producing", works, works.off, seen, ("停运", "off"), BASE_OFF, numbers)


def treatment_idling_while_producing(
    works: Works, seen: Witnesses, *, share_max: float, minutes_min: float, share_half: float, stops_half: float, campaign_days: float,
    hours_min: float, window_days: float,
) -> list[Judgement]:  # fmt: skip
    """Judge the times at which the treatment ran far under what production asks of it.

    Parameters
    ----------
    share_max : float
        Already applied when ``works.idle`` was made; said in the words.
    """
    words = (f"低负荷空转（不足应有功率的{share_max:.0%}）", f"idling (under {share_max:.0%} of the expected power)")
    numbers = {"minutes_min": minutes_min, "share_half": share_half, "stops_half": stops_half, "campaign_days": campaign_days}
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
    minutes, share = float(mine.sum() * works.step_s / 60), parts["share_of_production"].value
    days, stops = len(np.unique(works.time[mine].astype("datetime64[D]"))), parts["stops"].value
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
        f"{start:%m-%d}至{end:%m-%d}生产期间治污设施{words[0]}累计{minutes / 60:.1f}小时，分{stops:.0f}次，涉及{days}天，"
        f"占生产时间{share:.0%}，最长{longest:.1f}小时{seen_zh}"
    )
    en = (
        f"{start:%Y-%m-%d} to {end:%Y-%m-%d}: treatment {words[1]} for {minutes / 60:.1f} h while producing, "
        f"in {stops:.0f} stops on {days} days, {share:.0%} of production time, longest {longest:.1f} h{seen_en}"
    )
    return Judgement(
        rule, Ruling.VIOLATED, works.enterprise_id, start, end, zh, en, Kind.TREATMENT_OFF,
        point_id=works.point_ids[works.pairs[0].treatment], value=minutes, threshold=numbers["minutes_min"], unit="min",
        base=base, parts=parts, evidence=tuple(dict.fromkeys(ids)),
    )  # fmt: skip


def _pattern(works: Works, mine: NDArray[np.bool_], a: int, b: int, numbers: dict[str, float]) -> dict[str, Part]:
    """Return what the stops look like by themselves."""
    producing, hours = works.producing, works.step_s / 3600
    times, total, stops = works.time[mine], float(mine.sum() * hours), separate_stops(works, mine)
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
        stops=(stops, 1.3 * np.log(max(stops, 0.5) / numbers["stops_half"])),
        hours=(total, 0.5 * np.log(total / 8.0)),
        share_of_production=(share, 0.6 * np.log(max(share, 1e-4) / numbers["share_half"])),
        served_otherwise=(served, 10 * (served - 0.93)),
        start_agreement=(agreement, 2 * (agreement - 0.6)),
        night_shift=(night, 1.2 * night),
        weekend_shift=(weekend, 0.8 * weekend),
        marked_stopped=(denied, 0.6 * denied),
    )


def separate_stops(works: Works, mine: NDArray[np.bool_]) -> float:
    """Return how many times the treatment stopped, having served production for an hour in between.

    Nine days without a break are one stop, however many days they touch: a breakdown looks like that, a habit does not.
    """
    served = works.producing & ~(works.off | works.idle | works.excused)
    served &= (works.states[[p.treatment for p in works.pairs]] >= State.IDLE).any(axis=0)
    at = np.flatnonzero(mine)
    between = np.cumsum(served)[at]
    again = np.diff(between) * works.step_s >= 3600
    lengths = np.diff(np.r_[0, np.flatnonzero(again) + 1, len(at)]) * works.step_s
    return float((lengths >= 1200).sum())


def _witnessed(works: Works, mine: NDArray[np.bool_], seen: Witnesses, hours_min: float, *, idle: bool) -> dict[str, Part]:
    """Return what other sources say about the stops."""
    ratio = condition_ratio(works, seen, mine, hours_min=hours_min)
    emission = emission_ratio(works, seen, mine, hours_min=hours_min)
    total, standby = load_on_total(works, mine), load_on_standby(works, mine)
    zero = float("nan") if idle else exact_zero(works, mine)
    ledger = ledger_overstates(works, seen, mine)
    flow = flow_while_idling(works, mine) if idle else float("nan")
    even = 0.9 if idle else 0.6
    return parts_of(
        condition=(ratio, 8.0 * (even - ratio)),
        # a facility that takes out half or more leaves twice the concentration or more behind when it stands
        emission=(emission, 2.0 * np.log(max(emission, 0.1) / (1.3 if idle else 1.8))),
        flow_share=(flow, 5.0 * (0.5 - flow)),
        load_on_total=(total, 0.5 - 2.5 * max(total, 0.0)),
        load_on_standby=(standby, 0.1 - 4.0 * standby),
        exact_zero=(zero, -0.8 * zero),
        ledger=(ledger, 1.0 * (ledger - 0.5)),
    )


def condition_low_while_treating(
    works: Works, seen: Witnesses, *, share_max: float, hours_min: float, days_half: float, campaign_days: float
) -> list[Judgement]:
    """Judge hours in which production and the treatment's meter run while the facility's condition says that it does not work.

    Parameters
    ----------
    share_max : float
        Condition under this share of its own median at a like production load is low.
    hours_min : float
        Fewer such hours in a campaign are not judged.

    Returns
    -------
    list of Judgement
        One per campaign; not evaluable without a sensor or a pair of meters.
    """
    rule, span, grid = "condition_low_while_treating", works.span, seen.grid
    if not works.pairs or not seen.condition.size:
        zh, en = (
            "没有治理设施工况传感器或成对的电表，无法核对",
            "no sensor of the facility's condition or no pair of meters, nothing to compare",
        )
        return [not_evaluable(rule, works.enterprise_id, span, Kind.TREATMENT_OFF, zh, en)]
    hour, per_hour = hour_of(works, grid), 3600 / works.step_s
    treating = works.producing & ~(works.off | works.idle | works.excused)
    treating &= (works.states[[p.treatment for p in works.pairs]] == State.ON).any(axis=0)
    steady = np.bincount(hour[treating], minlength=grid.n)[: grid.n] >= 0.9 * per_hour
    steady &= np.r_[False, steady[:-1]]  # the hour after a start is not steady
    power = np.nan_to_num(works.power[sorted({p.production for p in works.pairs})].sum(axis=0))
    load: NDArray[np.float64] = np.bincount(hour, weights=power.astype(float), minlength=grid.n)[: grid.n].astype(float)
    low, share, dead = np.zeros(grid.n, bool), np.ones(grid.n), np.zeros(grid.n, bool)
    for x in seen.condition:
        known = steady & np.isfinite(x)
        if known.sum() < 24 or not np.median(x[known]) > 0:
            continue
        ratio = np.where(known, x / _usual(x, load, known), np.nan)
        mine = known & (np.nan_to_num(ratio, nan=1.0) < share_max)
        low |= mine
        dead |= mine & (x == 0)
        share = np.where(mine, np.fmin(share, ratio), share)
    found = []
    steps = [Episode(int(h), int(h) + 1, 1, 0) for h in np.flatnonzero(low)]
    for group in campaigns(steps, campaign_days * 24):
        if len(group) < hours_min:
            continue
        at = np.array([e.start for e in group])
        days, hours, depth = float(len(np.unique(at // 24))), float(len(at)), float(np.median(share[at]))
        parts = parts_of(
            days=(days, 1.3 * np.log(days / days_half)),
            hours=(hours, 0.5 * np.log(hours / 8.0)),
            condition_share=(depth, 4.0 * (0.35 - depth)),
            dead_sensor=(float(dead[at].mean()), -1.0 * float(dead[at].mean())),
        )
        start, end = (grid.start + pd.Timedelta(hours=int(h)) for h in (at[0], at[-1] + 1))
        zh = f"{start:%m-%d}至{end:%m-%d}治污电表在运行，但设施工况仅为正常的{depth:.0%}，共{hours:.0f}小时，涉及{days:.0f}天"
        en = (
            f"{start:%Y-%m-%d} to {end:%Y-%m-%d}: the treatment's meter ran while the facility's condition stood at {depth:.0%} of normal, "
            f"{hours:.0f} h on {days:.0f} days"
        )
        found.append(
            Judgement(
                rule, Ruling.VIOLATED, works.enterprise_id, start, end, zh, en, Kind.TREATMENT_OFF, value=hours, threshold=hours_min,
                unit="h", base=BASE_CONDITION, parts=parts, evidence=tuple(works.point_ids[p.treatment] for p in works.pairs),
            )
        )  # fmt: skip
    if found:
        return found
    zh, en = "治污运行时设施工况正常", "the facility's condition was normal while its meter ran"
    return [Judgement(rule, Ruling.COMPLIANT, works.enterprise_id, *span, zh, en, Kind.TREATMENT_OFF)]


def _usual(x: NDArray[np.float32], load: NDArray[np.float64], known: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Return the sensor's median at a like load (five classes of equal size), for each hour."""
    edges = np.unique(np.quantile(load[known], [0.2, 0.4, 0.6, 0.8]))
    of = np.digitize(load, edges)
    out = np.full(len(x), np.nan)
    for k in range(len(edges) + 1):
        mine = known & (of == k)
        if mine.sum() >= 12:
            out[of == k] = max(float(np.median(x[mine])), 1e-9)
    return out


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
