"""What truly leaves the outlets: flow, oxygen, temperature and concentrations, from load, treatment and weather.

``ref`` is the concentration at reference oxygen (or as discharged), ``conc`` what stands in the stack at its actual
oxygen. Honest operation is held under the limit by feedback control; with treatment reduced the control is gone and
the level moves towards the untreated one.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from workbench.district.behaviour import Episode
from workbench.district.climate import World
from workbench.district.noise import STEPS_PER_HOUR, ar1, lag, stream
from workbench.district.population import Outlet, Site
from workbench.district.production import Production
from workbench.district.settings import draw, number

RAW_CAP = 7.0
"""Untreated level over treated level is capped here: gravity, first stages and process changes still work."""
AIR_O2 = 20.9


@dataclass
class Emission:
    """True state of one outlet, per step. ``service`` is the share of treatment in service (1 full, 0 off)."""

    flow: np.ndarray
    service: np.ndarray
    startup: np.ndarray
    dose: np.ndarray = field(default_factory=lambda: np.ones(0))
    ref: dict[str, np.ndarray] = field(default_factory=dict)
    conc: dict[str, np.ndarray] = field(default_factory=dict)
    o2: np.ndarray | None = None
    temperature: np.ndarray | None = None
    ph: np.ndarray | None = None


def after_start(on: np.ndarray, steps: int, rest: int) -> np.ndarray:
    """Return the first ``steps`` steps after every start that follows a rest of at least ``rest`` steps."""
    out = np.zeros(len(on), bool)
    edges = np.flatnonzero(np.diff(on.astype(np.int8)) == 1) + 1
    stops = np.flatnonzero(np.diff(on.astype(np.int8)) == -1) + 1
    for e in edges:
        before = stops[stops <= e]
        if e - (before[-1] if before.size else 0) >= rest:
            out[e : e + steps] = True
    return np.asarray(out & on)


def true_emission(
    site: Site, outlet: Outlet, world: World, production: Production, episodes: list[Episode], service: np.ndarray
) -> Emission:
    """Return the true state of one outlet."""
    rng = stream(world.seed, "emission", outlet.outlet_id)
    n, load, on = world.steps, production.load, production.on
    air = outlet.medium == "air"
    if not air:
        through = lag(load, draw(rng, "emission.water_hours") * STEPS_PER_HOUR * 0.5)
        flow = outlet.flow * np.maximum(0.0, 0.12 + 0.88 * through) * np.exp(0.08 * ar1(rng, n, 12))
        flow[~on & (through < 0.08)] = 0.0
        out = Emission(flow, service, np.zeros(n, bool))
        out.ph = 7.3 + rng.normal(0, 0.25) + 0.18 * ar1(rng, n, 40) + 0.08 * (through - 0.6)
    else:
        flow = np.where(on, outlet.flow * (0.3 + 0.7 * load) * np.exp(0.035 * ar1(rng, n, 6)), outlet.flow * 0.015)
        fires = np.isfinite(outlet.o2_ref)
        startup = after_start(on, int(rng.integers(10, 26)), 70) if fires else np.zeros(n, bool)
        out = Emission(flow, service, startup)
        spec = outlet.spec
        if fires:
            o2 = spec["o2_full"] + spec["o2_spread"] * np.clip(0.95 - load, 0, 1) + 0.35 * ar1(rng, n, 8) + 1.5 * startup
            out.o2 = np.clip(np.where(on, o2, AIR_O2 - 0.2), 1.0, AIR_O2)
        ambient = np.repeat(world.weather[site.street]["temperature"], STEPS_PER_HOUR)
        out.temperature = ambient + (spec["temperature"] - 15) * lag(np.where(on, 0.75 + 0.25 * load, 0.05), 12) + 0.6 * ar1(rng, n, 10)
    for name, spec_f in outlet.factors.items():
        ref = _reference(site, outlet, world, name, spec_f, production, out, episodes)
        out.ref[name] = ref
        if out.o2 is not None:
            conc = ref * (21 - out.o2) / (21 - outlet.o2_ref)
            out.conc[name] = np.where(on, conc, ref * 0.02)
        else:
            out.conc[name] = ref
    return out


def _reference(
    site: Site,
    outlet: Outlet,
    world: World,
    name: str,
    spec: dict[str, float],
    production: Production,
    out: Emission,
    episodes: list[Episode],
) -> np.ndarray:
    rng = stream(world.seed, "factor", outlet.outlet_id, name)
    n, load, limit = world.steps, production.load, float(spec["limit"])
    residual = world.residuals.draw(rng, n, "stack" if outlet.medium == "air" else "water")
    shape = np.ones(n)
    if name == "a21002" and out.o2 is not None:  # thermal NOx: more air and heat, more of it
        shape = np.exp(0.35 * (load - 0.85) + 0.05 * (out.o2 - float(outlet.spec["o2_full"])))
    elif name == "a21026":  # sulphur comes in batches of fuel
        batch = np.repeat(rng.normal(0, 0.16, n // 400 + 1), 400)[:n]
        shape = np.exp(batch + 0.2 * (load - 0.85))
    elif name == "a34013":
        shape = np.maximum(load, 0.2) ** 0.5 * (1 + 1.2 * (rng.random(n) < 0.0015))
    elif name == "a24088":
        shape = np.maximum(load, 0.05) ** 0.8
    elif outlet.medium == "water":
        residual = lag(residual, draw(rng, "emission.water_hours") * 2.0) * 2.2
        cold = np.clip(15 - np.repeat(world.weather[site.street]["temperature"], STEPS_PER_HOUR), 0, 20)
        shape = np.exp(0.02 * cold * (name == "w21003"))
    ageing = 1 + draw(rng, "treatment.ageing_per_90_days") * np.arange(n) / (90 * 240)
    if rng.random() < number("oddities.fuel_change_share"):  # another coal, another dye: an honest step
        ageing = ageing * np.where(np.arange(n) > rng.integers(0, n), float(np.exp(rng.normal(0, 0.22))), 1.0)
    plain = outlet.levels[name] * shape * ageing * np.exp(float(spec["spread"]) * residual)
    knee, top = number("emission.knee") * limit, number("emission.ceiling") * limit
    held = np.where(plain > knee, knee + (top - knee) * np.tanh((plain - knee) / (top - knee)), plain)
    untreated = held * min(RAW_CAP, 1.0 / max(1e-3, 1.0 - float(spec["removal"])))
    ref = held + (1.0 - out.service) * (untreated - held)
    if out.startup.any():
        hot = out.startup & np.roll(out.startup, -7)  # the declared start-up outlasts its peak
        ref = ref * np.where(hot, 1.0 + rng.uniform(0.4, 1.6), 1.0)
    # only what comes near its limit in ordinary operation is worth saving on
    over = ref if outlet.levels[name] < 0.2 * limit else _overloaded(ref, limit, residual, production.on, episodes, outlet.medium, rng)
    with np.errstate(divide="ignore", invalid="ignore"):
        saved = np.where(over > ref, np.clip(ref / over, 0.35, 1.0), 1.0)
    out.dose = saved if not out.dose.size else np.minimum(out.dose, saved)
    ref = over
    if outlet.medium == "air":
        ref = np.where(production.on, ref, 0.3 * float(spec["floor"]))
    return np.asarray(np.maximum(lag(ref, 1.5 if outlet.medium == "air" else 8.0), 0.0))


OVER = ("exceedance", "cut_when_exceeding", "false_mark", "off_schedule_purge", "clip_at_limit", "range_saturation",
        "line_dilution", "line_dilution_o2", "slope_edit", "intercept_edit", "clean_water", "copied_exact", "copied_noisy",
        "constant_value", "random_generator", "black_smoke")  # fmt: skip


def _overloaded(
    ref: np.ndarray, limit: float, residual: np.ndarray, on: np.ndarray, episodes: list[Episode], medium: str, rng: np.random.Generator
) -> np.ndarray:
    """Return the level with the savings that the falsified readings hide: less reagent, fewer fields, more load."""
    out = ref.copy()
    for e in episodes:
        s = e.scheme
        if s.medium != medium or s.mechanism not in OVER:
            continue
        low, high = (0.92, 1.25) if s.silent else (1.1, 1.9)
        if s.mechanism == "black_smoke":
            low, high = 0.9, 1.2
        times = low + (high - low) * e.strength
        span = slice(e.start, e.end)
        rise = np.linspace(0.3, 1.0, e.end - e.start) if e.ramped else np.minimum(1.0, np.arange(1, e.end - e.start + 1) / 10)
        target = times * limit * np.exp(0.1 * residual[span])
        out[span] = np.where(on[span], np.maximum(ref[span], ref[span] * (1 - rise) + target * rise), ref[span])
    return out
