"""Power meters and working-condition points, and how much of the treatment is in service."""

from __future__ import annotations

import numpy as np

from workbench.district.behaviour import Episode, runs
from workbench.district.climate import STEPS_PER_DAY, World
from workbench.district.noise import STEPS_PER_HOUR, ar1, lag, stream
from workbench.district.population import Site
from workbench.district.production import Production
from workbench.district.settings import draw, number


def service_of(site: Site, world: World, production: Production, episodes: list[Episode], medium: str) -> np.ndarray:
    """Return the share of treatment of one medium in service per step (1 full; only meaningful while producing)."""
    service = np.ones(world.steps)
    for e in episodes:
        s = e.scheme
        if s.mechanism == "treatment_off" and s.medium == medium:
            left = (0.86 - 0.2 * e.strength) if s.silent else (0.45 - 0.25 * e.strength if s.variant == "idling" else 0.0)
            ramp = np.linspace(0.95, left, e.end - e.start) if e.ramped else left
            service[e.start : e.end] = ramp
        elif s.mechanism == "fugitive_dust" and medium == "yard":  # sprays and mist guns left off
            service[e.start : e.end] = 0.85 if s.silent else 0.3
    return service


def running(site: Site, world: World, production: Production, service: np.ndarray) -> np.ndarray:
    """Return the steps in which treatment runs: with production after its start lag, and on for a while after it stops."""
    rng = stream(world.seed, "treatment", site.enterprise_id)
    delay = max(1, round(float(site.spec["lag"]) / 6))
    on = production.on.copy()
    late = on.copy()
    for a, b in runs(on, shortest=1):
        late[a : min(b, a + delay)] = False
    after = int(rng.integers(2, 15))
    for _, b in runs(on, shortest=1):
        late[b : b + after] = True
    if site.water is not None:  # biology is aerated day and night
        late = late | (lag(production.load, 60) > 0.05)
    return late & (service > 0.02)


def power(site: Site, world: World, production: Production, service: np.ndarray, treating: np.ndarray) -> dict[str, np.ndarray]:
    """Return kW per step by role; fans follow the cube of their speed (affinity law)."""
    rng = stream(world.seed, "power", site.enterprise_id)
    n, load, on = world.steps, production.load, production.on
    full, fans = site.production_kw, site.treatment_kw
    rest = draw(rng, "power.standby_share") * full
    wobble = 1 + 0.07 * world.residuals.draw(rng, n, "power")
    making = np.where(on, full * (0.14 + 0.86 * load ** rng.uniform(0.85, 1.25)) * np.clip(wobble, 0.6, 1.5), rest)
    floor = number("power.fan_floor_speed")
    speed = floor + (1 - floor) * np.clip(load, 0, 1) if site.variable_speed else np.full(n, 0.97)
    # idling turns the fan down or sheds one of several pumps
    speed = speed * np.cbrt(np.clip(service, 0.0, 1.0)) if not site.variable_speed else speed * (0.35 + 0.65 * np.clip(service, 0, 1))
    cleaning = fan_power(fans, speed) * np.exp(0.03 * ar1(rng, n, 9))
    treating_kw = np.where(treating, cleaning, fans * rng.uniform(0.005, 0.03))
    treating_kw = _fan_fault(rng, site, treating_kw, world)
    hour = (np.arange(n) // STEPS_PER_HOUR) % 24
    office = 0.02 * full * (1 + 1.5 * ((hour >= 8) & (hour < 18))) * np.exp(0.1 * ar1(rng, n, 20))
    out = {"production": making, "treatment": treating_kw, "standby": np.full(n, rest) * np.exp(0.04 * ar1(rng, n, 50))}
    out["total"] = making + treating_kw + office
    noise = number("power.meter_noise")
    for role in out:
        out[role] = np.maximum(out[role] * (1 + noise * rng.standard_normal(n)), 0.0)
    return out


def fan_power(rated_kw: float, speed: np.ndarray) -> np.ndarray:
    """Return shaft power of a fan at a share of rated speed: P ∝ n³ (affinity law)."""
    return np.asarray(rated_kw * np.asarray(speed, float) ** 3)


def _fan_fault(rng: np.random.Generator, site: Site, kw: np.ndarray, world: World) -> np.ndarray:
    """Honest low treatment readings: a lost phase, one of two fans on the meter, cleaning by a spare unit."""
    if rng.random() > number("oddities.fan_fault_share"):
        return kw
    out = kw.copy()
    for _ in range(int(rng.integers(1, 4))):
        at = int(rng.integers(0, world.steps))
        size = int(rng.gamma(2.0, 1.6) * STEPS_PER_DAY)
        out[at : at + size] *= float(rng.choice([0.03, 0.08, 0.5, 0.66], p=[0.3, 0.15, 0.3, 0.25]))
    return out


def swap_meter(rng: np.random.Generator, value: np.ndarray) -> np.ndarray:
    """Return the series of a meter that was replaced once: a gap of hours, then a slightly different ratio."""
    out = value.copy()
    at = int(rng.integers(0, len(out)))
    out[at:] *= float(rng.choice([0.8, 0.97, 1.04, 1.25]))
    out[at : at + int(rng.integers(5, 60))] = np.nan
    return out


def condition(site: Site, world: World, channel: str, production: Production, service: np.ndarray, treating: np.ndarray) -> np.ndarray:
    """Return a working-condition series: it follows the true service of treatment."""
    rng = stream(world.seed, "condition", site.enterprise_id, channel)
    n, load = world.steps, production.load
    if channel == "pressure_drop":
        period = int(rng.integers(120, 500))
        cake = 0.8 + 0.35 * (((np.arange(n) + rng.integers(period)) % period) / period)
        flow = np.where(treating, (0.35 + 0.65 * load) * (0.3 + 0.7 * service), 0.0)
        return np.asarray(rng.uniform(700, 1300) * flow**2 * cake * np.exp(0.05 * ar1(rng, n, 6)) + rng.uniform(4, 15))
    if channel == "process_temperature":
        hot = rng.uniform(320, 400)
        target = np.where(treating, hot - 90 * (1 - service) + 25 * (load - 0.8), 60.0)
        return np.asarray(lag(target, 14) + 3 * ar1(rng, n, 10))
    target = np.where(treating, rng.uniform(2.2, 3.4) * (0.15 + 0.85 * service) - 0.7 * (load - 0.7), 0.25)
    return np.asarray(np.maximum(lag(target, 9) + 0.18 * ar1(rng, n, 12), 0.0))
