"""What else saw a stop of the treatment: condition sensor, total and standby meters, ledger, the reading itself.

Each witness returns one figure, NaN where it does not exist or has seen too little; it never decides anything.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from workbench.models.energy_tax.meters import Works, hour_of
from workbench.models.energy_tax.states import State
from workbench.models.hourly import Grid


@dataclass(frozen=True)
class Witnesses:
    """Other sources of one enterprise.

    Parameters
    ----------
    grid : Grid
    condition : float32 array, shape (sensor, hour)
        Condition of the treatment facility (pressure drop, dissolved oxygen …); NaN where nothing arrived.
    emission : float32 array, shape (monitor, hour)
        Monitored concentrations of the enterprise's outlets, any unit; NaN where nothing arrived.
    place : float array, shape (sensor, hour)
        Temperature of stack and process between its medians without (0) and with production (1).
    flow : float32 array, shape (hour,)
        Largest flow of the stacks over its own running level.
    ledger_hours : Series
        Declared treatment hours by day, the largest of the facilities; empty without a ledger.
    """

    grid: Grid
    condition: NDArray[np.float32] = field(default_factory=lambda: np.empty((0, 0), np.float32))
    emission: NDArray[np.float32] = field(default_factory=lambda: np.empty((0, 0), np.float32))
    place: NDArray[np.float64] = field(default_factory=lambda: np.empty((0, 0)))
    flow: NDArray[np.float32] = field(default_factory=lambda: np.empty(0, np.float32))
    ledger_hours: pd.Series = field(default_factory=lambda: pd.Series(dtype=float))


def condition_ratio(works: Works, seen: Witnesses, flags: NDArray[np.bool_], *, hours_min: float) -> float:
    """Return the median condition where ``flags`` fill the hour over its median while producing and treating.

    The lowest of several sensors counts: one facility of two may be off.
    """
    return min(_ratios(works, seen, seen.condition, flags, hours_min), default=float("nan"))


def emission_ratio(works: Works, seen: Witnesses, flags: NDArray[np.bool_], *, hours_min: float) -> float:
    """Return the median concentration where ``flags`` fill the hour over its median while producing and treating.

    The highest of several pollutants counts: a facility takes out some of them only.
    """
    return max(_ratios(works, seen, seen.emission, flags, hours_min), default=float("nan"))


def production_seen_by_temperature(works: Works, seen: Witnesses, flags: NDArray[np.bool_], *, hours_min: float) -> float:
    """Return where stack and process temperature stood where ``flags`` fill the hour: 0 as at rest, 1 as in production.

    The highest of several sensors counts. Near 0 the production that the meter shows did not take place there.
    """
    hit = _full_hours(works, seen, flags)
    places = [p[hit & np.isfinite(p)] for p in seen.place]
    return max((float(np.median(p)) for p in places if len(p) >= hours_min), default=float("nan"))


def production_seen_by_flow(works: Works, seen: Witnesses, flags: NDArray[np.bool_], *, hours_min: float) -> float:
    """Return the flow of the stacks where ``flags`` fill the hour over that while producing and treating."""
    return max(_ratios(works, seen, seen.flow[None, :], flags, hours_min), default=float("nan")) if seen.flow.size else float("nan")


def _full_hours(works: Works, seen: Witnesses, flags: NDArray[np.bool_]) -> NDArray[np.bool_]:
    n = seen.grid.n
    return np.asarray(np.bincount(hour_of(works, seen.grid)[flags], minlength=n)[:n] >= 0.75 * 3600 / works.step_s)


def _ratios(works: Works, seen: Witnesses, series: NDArray[np.float32], flags: NDArray[np.bool_], hours_min: float) -> list[float]:
    hour, n = hour_of(works, seen.grid), seen.grid.n
    per_hour = 3600 / works.step_s
    hit = _full_hours(works, seen, flags)
    treating = np.bincount(hour[works.producing & ~(works.off | works.idle | works.excused)], minlength=n)[:n] >= 0.9 * per_hour
    ratios = []
    for x in series:
        a, b = x[hit & np.isfinite(x)], x[treating & np.isfinite(x)]
        if len(a) >= hours_min and len(b) >= 24 and np.median(b) > 0:
            ratios.append(float(np.median(a) / np.median(b)))
    return ratios


def load_on_total(works: Works, flags: NDArray[np.bool_]) -> float:
    """Return the share of the treatment's usual load that the total meter still shows where ``flags`` are set.

    1: the total meter did not fall, so the treatment meter failed or the load was rewired; 0: it fell by all of it.
    """
    totals = works.rows("total")
    if not totals or not works.pairs:
        return float("nan")
    production = works.rows("production")
    rest = works.power[totals].sum(axis=0) - works.power[production].sum(axis=0)
    treatment = works.pairs[0].treatment
    normal = works.producing & (works.states[treatment] == State.ON) & np.isfinite(rest)
    resting = ~works.producing & (works.states[treatment] == State.OFF) & np.isfinite(rest)
    mine = flags & np.isfinite(rest)
    if min(normal.sum(), resting.sum()) < 50 or mine.sum() < 3:
        return float("nan")
    high, low = float(np.median(rest[normal])), float(np.median(rest[resting]))
    scatter = 1.4826 * float(np.median(np.abs(rest[normal] - high)))
    if high - low < 0.5 * works.meters[treatment].typical or scatter > 0.5 * (high - low):
        return float("nan")
    return float((np.median(rest[mine]) - low) / (high - low))


def load_on_standby(works: Works, flags: NDArray[np.bool_]) -> float:
    """Return the rise of standby and unpaired treatment meters where ``flags`` are set, over the treatment's usual load."""
    paired = {p.treatment for p in works.pairs}
    rows = works.rows("standby") + [k for k in works.rows("treatment") if k not in paired]
    if not rows or not paired:
        return float("nan")
    treatment = works.pairs[0].treatment
    standby = works.power[rows].sum(axis=0)
    normal = works.producing & (works.states[treatment] == State.ON) & np.isfinite(standby)
    mine = flags & np.isfinite(standby)
    typical = works.meters[treatment].typical
    if normal.sum() < 50 or mine.sum() < 3 or not typical > 0:
        return float("nan")
    return float((np.median(standby[mine]) - np.median(standby[normal])) / typical)


def flow_while_idling(works: Works, flags: NDArray[np.bool_]) -> float:
    """Return the flow where ``flags`` are set over the usual one, by the fan law P ∝ n³ (recalled): the cube root of the powers.

    A fan at half its power still moves four fifths of the air; one at an eighth moves half.
    """
    treatment = works.pairs[0].treatment
    usual = works.producing & (works.states[treatment] >= State.IDLE) & ~(works.off | works.idle | works.excused)
    if usual.sum() < 50 or not flags.any():
        return float("nan")
    power = works.power[treatment]
    return float(np.cbrt(np.nanmedian(power[flags]) / np.nanmedian(power[usual])))


def condition_ignores_production(works: Works, seen: Witnesses) -> bool:
    """Return whether some live condition sensor reads the same in production and at rest: the facility does not run with it.

    For treatment meters that read nothing at all, where no time of treating could be a base. A sensor that hardly ever
    changes is dead itself and says nothing.
    """
    hour, n, per_hour = hour_of(works, seen.grid), seen.grid.n, 3600 / works.step_s
    producing = np.bincount(hour[works.producing], minlength=n)[:n] / per_hour
    for x in seen.condition:
        a, b = x[(producing >= 0.9) & np.isfinite(x)], x[(producing <= 0.1) & np.isfinite(x)]
        if min(len(a), len(b)) < 48 or len(np.unique(np.r_[a, b])) < 20:
            continue
        scatter = max(1.4826 * float(np.median(np.abs(b - np.median(b)))), 1e-6)
        if float(np.median(a)) - float(np.median(b)) < scatter:
            return True
    return False


def exact_zero(works: Works, flags: NDArray[np.bool_]) -> float:
    """Return the share of ``flags`` that read exactly nothing although the stopped treatment usually shows a standby load."""
    treatment = works.pairs[0].treatment
    x = works.power[treatment]
    resting = ~works.producing & (works.states[treatment] == State.OFF)
    mine = flags & np.isfinite(x)
    if resting.sum() < 50 or not mine.any():
        return float("nan")
    usual = float(np.median(x[resting]))
    if not usual > 0.003 * works.meters[treatment].typical:
        return float("nan")
    return float((x[mine] < 0.05 * usual).mean())


def ledger_overstates(works: Works, seen: Witnesses, flags: NDArray[np.bool_]) -> float:
    """Return declared less metered treatment hours over the hours of ``flags``, on days with an hour of them or more.

    0: the ledger admits the stop; 1: it says that the treatment ran through it.
    """
    if not len(seen.ledger_hours) or not works.pairs:
        return float("nan")
    day = works.time.astype("datetime64[D]")
    hours = works.step_s / 3600
    days, back = np.unique(day, return_inverse=True)
    off = np.bincount(back[flags], minlength=len(days)) * hours
    state = works.states[works.pairs[0].treatment]
    ran = np.bincount(back[state >= State.IDLE], minlength=len(days)) * hours
    known = np.bincount(back[state >= State.OFF], minlength=len(days)) * hours
    declared = seen.ledger_hours.reindex(pd.DatetimeIndex(days)).to_numpy(float)
    use = (off >= 1) & (known >= 20) & np.isfinite(declared)
    if not use.any():
        return float("nan")
    return float(np.clip((declared - ran)[use].sum() / off[use].sum(), -1.0, 2.0))
