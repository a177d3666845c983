"""Rules on meters that other instruments contradict: the facility's condition, the stack's flow, stack and process temperature."""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from workbench.contracts import Kind, Outcome, Ruling
from workbench.models.additive import Judgement, not_evaluable
from workbench.models.energy_tax.episodes import Episode
from workbench.models.energy_tax.meters import Works, hour_of
from workbench.models.energy_tax.parts import parts_of
from workbench.models.energy_tax.rules_power import campaigns
from workbench.models.energy_tax.states import State
from workbench.models.energy_tax.witnesses import Witnesses

BASE_CONDITION = -2.4
"""Log-odds of a campaign of low condition of average weight (stated prior)."""


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
    clash = flow_clash(production, flow, learn_hours=learn_hours, separation=separation, low_share=low_share, high_share=high_share)
    words = ("烟气流量", "the monitored flow", "近零", "near nothing", "如常", "as usual")
    return _clash("flow_contradicts_power", enterprise_id, clash, grid_start, hours_min, words)


def temperature_contradicts_power(
    enterprise_id: str, production: NDArray[np.int8], temperature: NDArray[np.float32], grid_start: np.datetime64, *, hours_min: float,
    learn_hours: float, separation: float, settle_hours: float, low_share: float, high_share: float,
) -> list[Judgement]:  # fmt: skip
    """Hold the temperature of stack and process against the production meters, hour by hour.

    Parameters
    ----------
    production : int8 array, shape (hour,)
        -1 unknown, 0 off, 1 idle, 2 on.
    temperature : float32 array, shape (sensor, hour)
        °C of flue gas (a01012) and process (process_temperature); NaN where nothing arrived.
    separation : float
        Medians on and off must differ by this many of the larger scatter, or a sensor says nothing of production.
    settle_hours : float
        Hours a state must have lasted: walls warm and cool slowly.
    low_share, high_share : float
        Place between the two medians under the first while on, or over the second while off, contradicts. An hour counts
        where every sensor that says something says so.
    """
    numbers = {"separation": separation, "settle_hours": settle_hours, "low_share": low_share, "high_share": high_share}
    clash = temperature_clash(production, temperature, learn_hours=learn_hours, **numbers)
    words = ("温度", "the temperature", "如停产", "as when nothing runs", "如生产", "as in production")
    return _clash("temperature_contradicts_power", enterprise_id, clash, grid_start, hours_min, words)


Clash = tuple[NDArray[np.bool_], NDArray[np.bool_], NDArray[np.bool_]]
"""Hours that can be compared; on while the other says off; off while the other says on."""


def flow_clash(
    production: NDArray[np.int8], flow: NDArray[np.float32], *, learn_hours: float, separation: float, low_share: float, high_share: float
) -> Clash | None:
    """Return the hours at which flow and power contradict, None where they have no history to be compared by."""
    on, off = (production == State.ON) & np.isfinite(flow), (production == State.OFF) & np.isfinite(flow)
    if min(on.sum(), off.sum()) < learn_hours or not np.median(flow[off]) < separation * np.median(flow[on]):
        return None
    usual = float(np.median(flow[on]))
    return on | off, on & (flow < low_share * usual), off & (flow > high_share * usual)


def temperature_place(
    production: NDArray[np.int8], temperature: NDArray[np.float32], *, learn_hours: float, separation: float, settle_hours: float
) -> NDArray[np.float64]:
    """Return where each usable sensor stands between its medians off (0) and on (1), shape (usable sensor, hour)."""
    on, off = (_settled(production == s, int(settle_hours)) for s in (State.ON, State.OFF))
    found = []
    for x in temperature:
        # a wire that fell off reads exactly nothing; a works in winter does not, hour after hour
        known = np.isfinite(x) & (x != 0)
        a, b = x[on & known], x[off & known]
        if min(len(a), len(b)) < learn_hours:
            continue
        high, low = float(np.median(a)), float(np.median(b))
        scatter = 1.4826 * max(float(np.median(np.abs(a - high))), float(np.median(np.abs(b - low))), 0.5)
        if high - low > separation * scatter:
            found.append(np.where(known, (x - low) / (high - low), np.nan))
    return np.array(found) if found else np.empty((0, len(production)))


def temperature_clash(
    production: NDArray[np.int8], temperature: NDArray[np.float32], *, learn_hours: float, separation: float, settle_hours: float,
    low_share: float, high_share: float,
) -> Clash | None:  # fmt: skip
    """Return the hours at which temperature and power contradict, None where no sensor tells on from off."""
    place = temperature_place(production, temperature, learn_hours=learn_hours, separation=separation, settle_hours=settle_hours)
    if not len(place):
        return None
    known = np.isfinite(place).any(axis=0)
    highest, lowest = (
        np.where(known, f(np.where(np.isfinite(place), place, e), axis=0), np.nan) for f, e in ((np.max, -9e9), (np.min, 9e9))
    )
    on, off = (_settled(production == s, int(settle_hours)) & known for s in (State.ON, State.OFF))
    return on | off, on & (highest < low_share), off & (lowest > high_share)


def _settled(state: NDArray[np.bool_], hours: int) -> NDArray[np.bool_]:
    """Return the hours whose state has lasted for more than so many hours."""
    count = np.convolve(state, np.ones(hours + 1), mode="full")[: len(state)]
    return np.asarray(count > hours)


def _clash(
    rule: str, enterprise_id: str, clash: Clash | None, grid_start: np.datetime64, hours_min: float,
    words: tuple[str, str, str, str, str, str],
) -> list[Judgement]:  # fmt: skip
    start = pd.Timestamp(grid_start)
    name_zh, name_en, low_zh, low_en, high_zh, high_en = words
    if clash is None:
        zh, en = f"{name_zh}与生产用电没有可比的历史，不评价", f"{name_en} and production power have no history that could be compared"
        return [not_evaluable(rule, enterprise_id, (start, start + pd.Timedelta(hours=1)), Kind.FABRICATION, zh, en)]
    known, blind, ghost = clash
    span = (start, start + pd.Timedelta(hours=len(known)))
    hours, at = float((blind | ghost).sum()), np.flatnonzero(blind | ghost)
    if hours < hours_min:
        zh, en = f"{name_zh}与生产用电矛盾{hours:.0f}小时", f"{name_en} and production power contradict one another for {hours:.0f} h"
        return [
            Judgement(rule, Ruling.COMPLIANT, enterprise_id, *span, zh, en, Kind.FABRICATION, value=hours, threshold=hours_min, unit="h")
        ]
    a, b = start + pd.Timedelta(hours=int(at[0])), start + pd.Timedelta(hours=int(at[-1]) + 1)
    days = float(len(np.unique(at // 24)))
    parts = parts_of(conflict_hours=(hours, 0.6 * np.log(hours / 48.0)), conflict_days=(days, 0.5 * np.log(days / 5.0)))
    zh = f"生产用电在线而{name_zh}{low_zh}{blind.sum()}小时，停产而{name_zh}{high_zh}{ghost.sum()}小时，涉及{days:.0f}天"
    en = (
        f"production power on while {name_en} was {low_en} for {blind.sum()} h; off while it was {high_en} for {ghost.sum()} h; "
        f"on {days:.0f} days"
    )
    return [
        Judgement(
            rule, Ruling.VIOLATED, enterprise_id, a, b, zh, en, Kind.FABRICATION, outcome=Outcome.FABRICATION, value=hours,
            threshold=hours_min, unit="h", base=-2.2, parts=parts,
        )
    ]  # fmt: skip
