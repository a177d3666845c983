"""Production: a semi-Markov state (off, low, full) inside the shift pattern, and the load that follows it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from workbench.district.climate import STEPS_PER_DAY, World
from workbench.district.noise import STEPS_PER_HOUR, ar1, lag, stream
from workbench.district.population import Site
from workbench.district.settings import draw, number

SHIFTS = {"day": (8, 18), "two": (6, 22), "night": (20, 32)}


@dataclass(frozen=True)
class Production:
    """State per step (0 off, 1 low, 2 full) and load (0–1)."""

    state: np.ndarray
    load: np.ndarray

    @property
    def on(self) -> np.ndarray:
        """Steps in which the line runs."""
        return np.asarray(self.state > 0)


def produce(site: Site, world: World) -> Production:
    """Return the production of one enterprise over the period."""
    rng = stream(world.seed, "production", site.enterprise_id)
    n = world.steps
    state = _dwell(rng, n)
    shift = site.spec["shift"]
    if shift == "two" and rng.random() < 0.2:
        shift = "night"  # cheap electricity: honest night work
    state[~(_planned_stops(rng, n) if shift == "continuous" else _shifts(rng, n, world, shift))] = 0
    _holidays(rng, state, world, continuous=shift == "continuous")
    low, full = draw(rng, "production.low_load"), draw(rng, "production.full_load")
    target = np.choose(state, [0.0, low, full])
    if rng.random() < 0.7 and site.air is not None:
        ordered = np.repeat(world.order, STEPS_PER_DAY)
        target = np.where(ordered, np.minimum(target, number("calendar.order_load_cap")), target)
    load = lag(target, float(rng.uniform(2, 7))) * (1 + 0.05 * ar1(rng, n, 25))
    return Production(state, np.where(state > 0, np.clip(load, 0.05, 1.05), np.clip(load, 0, 1) * 0.3))


def _dwell(rng: np.random.Generator, n: int) -> np.ndarray:
    """Alternate full and low with gamma dwell times."""
    full, low = draw(rng, "production.full_hours"), draw(rng, "production.low_hours")
    state, at, value = np.empty(n, np.int64), 0, 2
    while at < n:
        hours = rng.gamma(2.0, (full if value == 2 else low) / 2.0)
        size = max(3, int(hours * STEPS_PER_HOUR))
        state[at : at + size] = value
        at, value = at + size, 3 - value
    return state


def _planned_stops(rng: np.random.Generator, n: int) -> np.ndarray:
    open_, at = np.ones(n, bool), int(rng.uniform(0, 30) * STEPS_PER_DAY)
    every = draw(rng, "production.stop_every_days")
    while at < n:
        size = int(draw(rng, "production.stop_hours") * STEPS_PER_HOUR)
        open_[at : at + size] = False
        at += size + int(rng.gamma(4, every / 4) * STEPS_PER_DAY)
    return open_


def _shifts(rng: np.random.Generator, n: int, world: World, shift: str) -> np.ndarray:
    first, last = SHIFTS[shift]
    open_ = np.zeros(n, bool)
    sunday_off = rng.random() < 0.75
    for day in range(world.days):
        weekday = (world.start.dayofweek + day) % 7
        if (weekday == 6 and sunday_off) or rng.random() < number("production.shift_skip"):
            continue
        a = day * STEPS_PER_DAY + int((first + rng.normal(0, 0.25)) * STEPS_PER_HOUR)
        b = day * STEPS_PER_DAY + int((last + rng.normal(0, 0.4)) * STEPS_PER_HOUR)
        open_[max(0, a) : min(n, b)] = True
    return open_


def _holidays(rng: np.random.Generator, state: np.ndarray, world: World, *, continuous: bool) -> None:
    closes = rng.random() < number("calendar.holiday_stop_share")
    if continuous or not closes:
        return
    days = world.holiday.copy()
    around = np.flatnonzero(world.festival)
    if around.size:  # leave some days early, come back some days late
        days[around[int(rng.integers(0, 5)) : len(around) - int(rng.integers(0, 8))]] = True
    state[np.repeat(days, STEPS_PER_DAY)] = 0
