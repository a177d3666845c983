"""What an analyser makes of the truth: lag, drift, noise, blowback, calibration, floor, resolution, range, marks."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from workbench.contracts import Mark
from workbench.district.climate import STEPS_PER_DAY, World
from workbench.district.noise import STEPS_PER_HOUR, lag, stream
from workbench.district.population import Outlet, Point
from workbench.district.settings import draw, number


@dataclass(frozen=True)
class Routine:
    """Calibration and blowback routine of one outlet's analysers."""

    calibrating: np.ndarray
    zero_phase: np.ndarray
    purging: np.ndarray
    spans: list[tuple[int, int]] = field(default_factory=list)
    gap: bool = False


def routine(outlet: Outlet, world: World) -> Routine:
    """Return the calibration and blowback routine of an outlet: daily short or weekly long checks."""
    rng = stream(world.seed, "routine", outlet.outlet_id)
    n = world.steps
    calibrating, zero, purging = np.zeros(n, bool), np.zeros(n, bool), np.zeros(n, bool)
    daily = rng.random() < 0.35
    every = STEPS_PER_DAY * (1 if daily else 7)
    size = int(rng.integers(2, 4)) if daily else int(rng.integers(6, 12))
    at = int(rng.integers(0, every))
    at = at - at % STEPS_PER_DAY + int(rng.integers(8, 17)) * STEPS_PER_HOUR
    spans = []
    while at < n:
        end = min(at + size, n)
        calibrating[at:end] = True
        zero[at : at + (size + 1) // 2] = True
        spans.append((at, end))
        at += every + (0 if daily else int(rng.integers(-20, 21)))
    if outlet.medium == "air":
        period = max(20, int(draw(rng, "instrument.purge_hours") * STEPS_PER_HOUR))
        purging[int(rng.integers(period)) :: period] = True
    return Routine(calibrating, zero, purging & ~calibrating, spans, bool(rng.random() < number("oddities.calibration_gap_share")))


def analyse(point: Point, outlet: Outlet, truth: np.ndarray, world: World, work: Routine, *, slow: bool) -> np.ndarray:
    """Return what the analyser shows before it is rounded: lag, drift between calibrations, noise, blowback."""
    rng = stream(world.seed, "instrument", point.point_id)
    n = len(truth)
    seen = lag(truth, float(rng.uniform(0.3, 1.2)))
    marked = rng.random() < number("instrument.drifting_share")
    rate = draw(rng, "instrument.drift_marked_per_week" if marked else "instrument.drift_per_week") * rng.choice([-1.0, 1.0])
    resets = np.zeros(n, bool)
    # a neglected analyser is only put right at every third check
    for k, (_, end) in enumerate(work.spans):
        if end < n and (not marked or k % 3 == 0):
            resets[end] = True
    since = np.arange(n) - np.maximum.accumulate(np.where(resets, np.arange(n), 0))
    pollutant = point.factor in outlet.factors
    if pollutant:
        seen = seen * (1 + np.clip(rate * since / (7 * STEPS_PER_DAY), -0.25, 0.25))
    seen = seen * (1 + draw(rng, "instrument.noise") * rng.standard_normal(n) * (1.0 if pollutant else 0.4))
    if pollutant and outlet.medium == "air":
        seen = np.where(work.purging, seen * draw(rng, "instrument.purge_dip"), seen)
    if slow:  # the analyser repeats its last result until the next analysis
        size = int(number("instrument.batch_steps"))
        seen = np.repeat(seen[int(rng.integers(size)) :: size], size)[:n] if n >= size else seen
        seen = np.concatenate([seen, np.full(n - len(seen), seen[-1])]) if len(seen) < n else seen
    return np.asarray(seen)


def freeze(rng: np.random.Generator, value: np.ndarray, world: World) -> list[tuple[int, int]]:
    """Freeze an honest sensor once or twice for hours (a fault, repaired later); return the spans."""
    spans = []
    for _ in range(int(rng.integers(1, 3))):
        at = int(rng.integers(0, world.steps - 20))
        hours = rng.gamma(2.0, 10.0) * (6.0 if rng.random() < number("oddities.stuck_long_share") else 1.0)
        end = min(world.steps, at + int(hours * STEPS_PER_HOUR) + 8)
        value[at:end] = value[at]
        spans.append((at, end))
    return spans


def finish(
    point: Point,
    outlet: Outlet | None,
    seen: np.ndarray,
    world: World,
    work: Routine | None,
    *,
    stopped: np.ndarray | None,
    overwritten: np.ndarray | None,
) -> tuple[np.ndarray, np.ndarray]:
    """Return value and mark as transmitted: calibration values, floor, range, resolution, stop marks."""
    rng = stream(world.seed, "finish", point.point_id)
    value = seen.astype(np.float64, copy=True)
    mark = np.zeros(len(value), np.uint8)
    factors = outlet.factors if outlet is not None else {}
    if point.factor in factors:
        floor = float(factors[point.factor]["floor"])
        below = value < floor
        value[below] = floor if rng.random() < 0.7 else floor / 2
    if stopped is not None:
        mark[stopped] = Mark.STOPPED
    if work is not None and (point.factor in factors or point.factor == "a19001"):
        busy = work.calibrating if overwritten is None else work.calibrating & ~overwritten
        high = point.high * 0.8 if point.factor != "a19001" else 20.9
        noise = 1 + 0.004 * rng.standard_normal(len(value))
        value = np.where(busy, np.where(work.zero_phase, 0.002 * point.high * np.abs(rng.standard_normal(len(value))), high * noise), value)
        if work.gap:
            value = np.where(busy, np.nan, value)
        mark[work.calibrating] = Mark.CALIBRATION
    with np.errstate(invalid="ignore"):
        beyond = value > point.high
    value[beyond] = point.high
    mark[beyond & (mark == 0)] = Mark.OVER_RANGE
    value = np.round(value / point.resolution) * point.resolution
    mark[np.isnan(value)] = Mark.NONE
    return value.astype(np.float32), mark
