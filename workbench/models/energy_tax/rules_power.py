"""Rules on power: treatment off, and treatment idling, while production runs.

One stop is a repair, a pattern is a habit: the evidence is the number of separate stops, the share of production time,
and what the other witnesses say. Spans under marked start-up, shut-down, maintenance or fault are excused before
anything is counted.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from workbench.contracts import Kind, Ruling
from workbench.models.additive import Judgement, Part, not_evaluable
from workbench.models.energy_tax.episodes import Episode, share_of_expected
from workbench.models.energy_tax.meters import Works
from workbench.models.energy_tax.parts import parts_of
from workbench.models.energy_tax.states import Drive, State
from workbench.models.energy_tax.witnesses import (
    Witnesses,
    condition_ignores_production,
    condition_ratio,
    emission_ratio,
    exact_zero,
    flow_while_idling,
    ledger_overstates,
    load_on_standby,
    load_on_total,
    production_seen_by_flow,
    production_seen_by_temperature,
)

BASE_OFF, BASE_IDLE = -2.0, -4.2
"""Log-odds that a campaign of average weight is a violation, before any part speaks (stated priors). A fan in its low gear
still moves two thirds of the air and may be all that is asked of it: idling needs a witness more than standing does."""


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
    reason = _no_reference(rule, works, seen)
    if reason is not None:
        return [not_evaluable(rule, works.enterprise_id, span, Kind.TREATMENT_OFF, *reason)]
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


def _no_reference(rule: str, works: Works, seen: Witnesses) -> tuple[str, str] | None:
    """Return why the treatment's meters cannot be judged although they read, in both languages; None where they can."""
    if all(works.silent[p.production] for p in works.pairs):
        return (
            "生产电表全期读数为零，无法判断生产时治污是否运行",
            "the production meter reads nothing at all: when it produced is not known",
        )
    rows = [p.treatment for p in works.pairs]
    if all(works.silent[k] for k in rows):
        if "idling" in rule or not condition_ignores_production(works, seen):
            zh = "治污电表全期读数为零：电表失效或设施从未运行，仅凭电表无法区分，须现场核实"
            en = "the treatment's meter reads nothing at all: dead, or the facility never ran; the meter alone cannot tell, look on site"
            return zh, en
        return None
    varies = any(works.meters[p.production].drive in (Drive.SWITCHED, Drive.VARIABLE) for p in works.pairs)
    if "idling" in rule and varies and all(works.meters[k].drive is Drive.ALWAYS_ON for k in rows) and not works.idle.any():
        zh = "治污电表始终处于同一水平，没有自身参照，无法判断是否一直低负荷空转"
        en = "the treatment's meter stands at one level all the time: no reference of its own, so lasting idling does not show"
        return zh, en
    return None


def _campaign(
    rule: str, works: Works, mine: NDArray[np.bool_], a: int, b: int, seen: Witnesses, words: tuple[str, str], base: float,
    numbers: dict[str, float],
) -> Judgement:  # fmt: skip
    told = _witnessed(works, mine, seen, numbers["hours_min"], idle="idling" in rule)
    parts = _pattern(works, mine, a, b, numbers, idle="idling" in rule, stood=_seen_to_stand(told)) | told
    doubt = _elsewhere(parts) or _unseen(parts)
    minutes, share = float(mine.sum() * works.step_s / 60), parts["share_of_production"].value
    days = len(np.unique(works.time[mine].astype("datetime64[D]")))
    stops = separate_stops(works, mine, idle="idling" in rule)
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
    if doubt is not None:
        zh, en = f"{zh}；{doubt[0]}", f"{en}; {doubt[1]}"
    return Judgement(
        rule, Ruling.NOT_EVALUABLE if doubt is not None else Ruling.VIOLATED, works.enterprise_id, start, end, zh, en, Kind.TREATMENT_OFF,
        point_id=works.point_ids[works.pairs[0].treatment], value=minutes, threshold=numbers["minutes_min"], unit="min",
        base=base, parts={} if doubt is not None else parts, evidence=tuple(dict.fromkeys(ids)),
    )  # fmt: skip


MOVED, GONE = 0.7, 0.3
"""Share of the treatment's usual load on other meters from which it went on, and under which it was gone (our choice)."""


def _elsewhere(parts: dict[str, Part]) -> tuple[str, str] | None:
    """Return, in both languages, that the load went on at another meter, unless the facility's own sensor saw it stand."""
    if parts["condition"].value < 0.5:
        return None
    for name, zh, en in (
        ("load_on_standby", "备用或另一治污电表接替了该负荷，不计为停运", "another meter took the load over, so it did not stop"),
        ("load_on_total", "总表负荷未降，可能换线或电表失效，不计为停运", "the total meter did not fall: rewired, or the meter failed"),
    ):
        if parts[name].value > MOVED:
            return zh, en
    return None


def _unseen(parts: dict[str, Part]) -> tuple[str, str] | None:
    """Return, in both languages, that only a reading of nothing says so, where the meter shows a standby load at rest."""
    if not parts["exact_zero"].value > 0.8 or _seen_to_stand(parts) or parts["load_on_total"].value < GONE:
        return None
    zh = "读数为零而平时停机有待机负荷，别无旁证，可能是电表断线，不评价"
    return zh, "it reads exactly nothing though at rest it shows a standby load, and nothing else saw it stand: perhaps a broken wire"


def _seen_to_stand(parts: dict[str, Part]) -> bool:
    """Return whether the facility's condition or the stack's concentration saw the treatment stand."""
    return bool(parts["condition"].value < 0.5 or parts["emission"].value > 1.8)


def _pattern(
    works: Works, mine: NDArray[np.bool_], a: int, b: int, numbers: dict[str, float], *, idle: bool, stood: bool
) -> dict[str, Part]:
    """Return what the stops look like by themselves."""
    producing, hours = works.producing, works.step_s / 3600
    times, total, stops = works.time[mine], float(mine.sum() * hours), separate_stops(works, mine, idle=idle)
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
    # a breakdown, or a meter that fails, lasts long too: length speaks for a habit only where the stops repeat
    # - unless the facility's own sensor or the stack saw it stand: then every day that began without it was a decision
    if stood:
        stops = max(stops, float(len(np.unique(times.astype("datetime64[D]")))))
    repeats = 1.0 if stood else float(np.clip((stops - 1.0) / 3.0, 0.0, 1.0))

    def of_habit(x: float) -> float:
        return min(x, 0.0) + repeats * max(x, 0.0)

    return parts_of(
        stops=(stops, 1.3 * np.log(max(stops, 0.5) / numbers["stops_half"])),
        hours=(total, of_habit(0.5 * np.log(total / 8.0))),
        share_of_production=(share, of_habit(0.6 * np.log(max(share, 1e-4) / numbers["share_half"]))),
        served_otherwise=(served, 10 * (served - 0.93)),
        start_agreement=(agreement, 2 * (agreement - 0.6)),
        night_shift=(night, (0.3 if idle else 1.2) * night),  # a fan that slows with the night's load is demand control
        weekend_shift=(weekend, 0.8 * weekend),
        marked_stopped=(denied, 0.6 * denied),
    )


SERVED_AGAIN = 0.75
"""Share of the expected power from which an idling treatment serves again: around the limit of idling a load that wanders
would count a stop at every crossing (our choice)."""


def separate_stops(works: Works, mine: NDArray[np.bool_], *, idle: bool = False) -> float:
    """Return how many times the treatment stopped or slowed, having served production for an hour in between.

    Nine days without a break are one stop, however many days they touch: a breakdown looks like that, a habit does not.
    """
    served = works.producing & ~(works.off | works.idle | works.excused)
    served &= (works.states[[p.treatment for p in works.pairs]] >= State.IDLE).any(axis=0)
    if idle:
        pairs = [p for p in works.pairs if np.isfinite(p.level_ratio) and np.isfinite(works.meters[p.treatment].typical)]
        shares = [share_of_expected(works.power, p, works.meters[p.treatment].typical) for p in pairs]
        served &= np.logical_and.reduce([s >= SERVED_AGAIN for s in shares]) if shares else False
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
    warm = production_seen_by_temperature(works, seen, mine, hours_min=hours_min)
    stack = production_seen_by_flow(works, seen, mine, hours_min=hours_min)
    even = 0.9 if idle else 0.6
    # a repair is seen by the same instruments: they confirm that it stood, not why; idling they tell from a low gear
    most = 2.5 if idle else 1.5
    return parts_of(
        condition=(ratio, min(8.0 * (even - ratio), most)),
        # a facility that takes out half or more leaves twice the concentration or more behind when it stands
        emission=(emission, min(4.0 * np.log(max(emission, 0.1) / 1.25) if idle else 3.0 * np.log(max(emission, 0.1) / 1.8), most)),
        flow_share=(flow, 5.0 * (0.5 - flow)),
        load_on_total=(total, 0.5 - 2.5 * max(total, 0.0)),
        load_on_standby=(standby, 0.1 - 4.0 * standby),
        exact_zero=(zero, -0.8 * zero),
        # a ledger that admits the stop speaks for a repair; one that does not hides it, or knows that only the meter failed
        ledger=(ledger, 1.6 * (ledger - 0.5)),
        process_warm=(warm, 2.0 * (warm - 0.75)),
        stack_flow=(stack, 0.3 * float(stack > 0.5)),
    )


def _at_night(times: NDArray[np.datetime64]) -> float:
    hour = (times.astype("datetime64[h]") - times.astype("datetime64[D]")).astype(int)
    return float(np.mean((hour >= 22) | (hour < 6))) if len(times) else float("nan")


def _on_weekend(times: NDArray[np.datetime64]) -> float:
    weekday = (times.astype("datetime64[D]").astype(int) + 3) % 7  # 1970-01-01 was a Thursday; Monday is 0
    return float(np.mean(weekday >= 5)) if len(times) else float("nan")
