"""One enterprise from its production to what its devices send: every channel follows from the same truth."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from workbench.contracts import Mark
from workbench.district import energy, instrument
from workbench.district.behaviour import Episode, Scheme, Visit, lay_out, runs
from workbench.district.carbon import Bed, bed_of, slip
from workbench.district.climate import STEPS_PER_DAY, World
from workbench.district.emission import Emission, true_emission
from workbench.district.mechanisms import AT_LOGGER, FALSIFY, Bout
from workbench.district.noise import STEPS_PER_HOUR, ar1, stream
from workbench.district.population import Outlet, Site
from workbench.district.production import Production, produce
from workbench.district.settings import document, draw, number

Series = tuple[np.ndarray, np.ndarray]


@dataclass
class Discharge:
    """Truth and report of one factor of one outlet: kg per day, and reference concentration per hour (NaN: none)."""

    limit: float
    true_kg: np.ndarray
    true_hour: np.ndarray
    reported_kg: np.ndarray | None = None
    reported_hour: np.ndarray | None = None


@dataclass
class SiteResult:
    """What one enterprise leaves behind: series by point, rows of marks and truth, daily sums for the papers."""

    site: Site
    episodes: list[Episode]
    visits: list[Visit]
    series: dict[str, Series] = field(default_factory=dict)
    marks: list[dict[str, Any]] = field(default_factory=list)
    truth: list[dict[str, Any]] = field(default_factory=list)
    days: dict[str, np.ndarray] = field(default_factory=dict)
    discharges: dict[tuple[str, str], Discharge] = field(default_factory=dict)
    oddities: list[str] = field(default_factory=list)
    on_hour: np.ndarray = field(default_factory=lambda: np.zeros(0))
    bed: Bed | None = None
    falsified: dict[tuple[int, str], str] = field(default_factory=dict)


def per_hour(x: np.ndarray) -> np.ndarray:
    """Return hourly means; NaN where nothing arrived."""
    table = x.reshape(-1, STEPS_PER_HOUR)
    there = np.isfinite(table)
    count = there.sum(axis=1)
    total = np.where(there, table, 0.0).sum(axis=1)
    return np.asarray(np.where(count > 0, total / np.maximum(count, 1), np.nan))


def per_day(x: np.ndarray) -> np.ndarray:
    """Return daily sums of a six-minute series times its step in hours (so kW gives kWh, kg/h gives kg)."""
    return np.asarray(np.nansum(x.reshape(-1, STEPS_PER_DAY), axis=1) / STEPS_PER_HOUR)


def simulate(site: Site, world: World, schemes: list[Scheme], visits: list[Visit]) -> SiteResult:
    """Return everything one enterprise does and sends over the period."""
    production = produce(site, world)
    episodes = lay_out(site, world, schemes, visits, production.on)
    result = SiteResult(site, episodes, visits, on_hour=per_hour(production.on.astype(float)))
    service = {m: energy.service_of(site, world, production, episodes, m) for m in ("air", "water", "yard")}
    parts = [service[m] for m, o in (("air", site.air), ("water", site.water)) if o is not None] or [service["yard"]]
    together = np.mean(parts, axis=0)
    treating = energy.running(site, world, production, together)
    dose = np.ones(world.steps)
    result.bed = bed_of(site, world, production, episodes)
    for outlet in (site.air, site.water):
        if outlet is None:
            continue
        works = service[outlet.medium]
        if outlet is site.air and result.bed is not None:
            works = works * slip(result.bed)
        true = true_emission(site, outlet, world, production, episodes, works)
        dose = np.minimum(dose, true.dose)
        _discharge(result, outlet, true)
        if outlet.monitored:
            _monitor(result, outlet, world, production, true)
    _meters(result, world, production, together, service, treating)
    _yard(result, world, production)
    _transmission(result, world)
    _daily(result, world, production, together * dose, treating)
    _truth(result, world)
    return result


def _discharge(result: SiteResult, outlet: Outlet, true: Emission) -> None:
    scale = 1e-6 if outlet.medium == "air" else 1e-3
    for f, row in outlet.factors.items():
        running = true.flow > 0.05 * outlet.flow
        hour = per_hour(np.where(running & ~true.startup, true.ref[f], np.nan))
        result.discharges[outlet.outlet_id, f] = Discharge(float(row["limit"]), per_day(true.conc[f] * true.flow * scale), hour)


def _until(e: Episode, name: str, world: World) -> int:
    """Return the end of a falsification: a cover stays until what it hides has washed out."""
    tail = 0 if name != e.scheme.cover else (40 if e.scheme.medium == "water" else 6)
    return min(e.end + tail, world.steps)


def _falsified(result: SiteResult, outlet: Outlet) -> list[tuple[Episode, str]]:
    return [
        (e, name)
        for e in result.episodes
        for name in (e.scheme.mechanism, e.scheme.cover)
        if name in FALSIFY and e.scheme.medium == outlet.medium
    ]


def _monitor(result: SiteResult, outlet: Outlet, world: World, production: Production, true: Emission) -> None:
    site, system = result.site, "cems" if outlet.medium == "air" else "wastewater"
    rng = stream(world.seed, "monitor", outlet.outlet_id)
    points = {p.channel: p for p in site.points if p.system == system}
    work = instrument.routine(outlet, world)
    truths: dict[str, Any] = {
        **true.conc,
        "a19001": true.o2,
        "a00000": true.flow,
        "w00000": true.flow,
        "a01012": true.temperature,
        "w01001": true.ph,
    }
    slow = outlet.medium == "water" and rng.random() < number("instrument.batch_share")
    seen = {c: instrument.analyse(p, outlet, truths[c], world, work, slow=slow and c in outlet.factors) for c, p in points.items()}
    frozen: dict[str, list[tuple[int, int]]] = {}
    for c in outlet.factors:
        if rng.random() < number("oddities.stuck_share"):
            frozen[c] = instrument.freeze(rng, seen[c], world)
            result.oddities.append("stuck")
    over = {f: true.ref[f] / float(outlet.factors[f]["limit"]) for f in outlet.factors}
    overwritten = np.zeros(world.steps, bool)
    lies: list[tuple[int, int, int]] = []
    for e, name in _falsified(result, outlet):
        covers = name == e.scheme.cover
        bout = Bout(e.start, _until(e, name, world), e.strength, e.scheme.silent, e.ramped and not covers, outlet, over, covers)
        aimed = bout.targets()
        if len(aimed) == 1 and name not in ("clean_water", "line_dilution", "line_dilution_o2", "cut_when_exceeding", "off_schedule_purge"):
            result.falsified[e.start, name] = points[aimed[0]].point_id
        FALSIFY[name](seen, bout, rng)
        if name in AT_LOGGER:
            overwritten[bout.span] = True
        if name == "false_mark":
            high = np.max([over[f][bout.span] for f in over], axis=0) > 0.95
            lies += [(e.start + a, e.start + b, int(rng.integers(3))) for a, b in runs(high, shortest=3)] or [(e.start, e.end, 1)]
    quiet_stop = rng.random() < number("oddities.unmarked_stop_share")
    stopped = None if quiet_stop else (~production.on if outlet.medium == "air" else true.flow <= 0)
    for c, p in points.items():
        result.series[p.point_id] = instrument.finish(p, outlet, seen[c], world, work, stopped=stopped, overwritten=overwritten)
    for c, spans in frozen.items():
        mark = result.series[points[c].point_id][1]
        for a, b in spans:
            if rng.random() < 0.5:  # noticed: flagged as a fault half way through
                half = (a + b) // 2
                mark[half:b] = Mark.FAULT
                _mark(result, world, outlet, half, b, "fault", "discharger", rng)
    _mark_rows(result, world, outlet, production, true, work, rng, [points[c].point_id for c in points])
    codes = (Mark.CALIBRATION, Mark.MAINTENANCE, Mark.STOPPED)
    for a, b, which in lies:
        for p in points.values():
            if p.factor in outlet.factors or p.factor == "a19001":
                result.series[p.point_id][1][a:b] = codes[which]
        _mark(result, world, outlet, a, b, ("calibration", "maintenance", "stopped")[which], "discharger", rng)
    _reported(result, outlet, points, true)


def _reported(result: SiteResult, outlet: Outlet, points: dict[str, Any], true: Emission) -> None:
    """Sum up what the platform makes of the transmitted values: unmarked steps only."""
    scale = 1e-6 if outlet.medium == "air" else 1e-3
    flow = result.series[points["a00000" if outlet.medium == "air" else "w00000"].point_id][0]
    for f in outlet.factors:
        value, mark = result.series[points[f].point_id]
        good = np.where(mark == Mark.NORMAL, value, np.nan)
        ref = good
        if "a19001" in points:
            o2 = result.series[points["a19001"].point_id][0]
            ref = good * (21 - outlet.o2_ref) / np.maximum(21 - o2, 0.5)
        d = result.discharges[outlet.outlet_id, f]
        d.reported_kg = per_day(good * flow * scale)
        d.reported_hour = per_hour(np.where(true.startup | (true.flow <= 0.05 * outlet.flow), np.nan, ref))


def _mark(result: SiteResult, world: World, outlet: Outlet, a: int, b: int, kind: str, by: str, rng: np.random.Generator) -> None:
    delay = 0 if by == "automatic" else int(rng.integers(0, 30))
    result.marks.append(
        {
            "outlet_id": outlet.outlet_id,
            "start": world.at(a),
            "end": world.at(b),
            "kind": kind,
            "declared_at": world.at(a + delay),
            "declared_by": by,
        }
    )


def _mark_rows(
    result: SiteResult,
    world: World,
    outlet: Outlet,
    production: Production,
    true: Emission,
    work: instrument.Routine,
    rng: np.random.Generator,
    ids: list[str],
) -> None:
    by = "automatic" if rng.random() < 0.5 else "discharger"
    idle = ~production.on if outlet.medium == "air" else true.flow <= 0
    for a, b in runs(idle, shortest=5):
        _mark(result, world, outlet, a, b, "stopped", by, rng)
    for a, b in runs(true.startup, shortest=1):
        _mark(result, world, outlet, a, b, "startup", "discharger", rng)
    for a, b in work.spans:
        _mark(result, world, outlet, a, b, "calibration", "automatic", rng)
    for _ in range(int(rng.poisson(number("oddities.maintenance_per_month") * world.days / 30))):
        a = int(rng.integers(0, world.steps - 30))
        b = min(world.steps, a + int(rng.integers(5, 60)))
        hold = rng.random() < 0.5
        for i in ids:
            value, mark = result.series[i]
            value[a:b] = value[a] if hold else np.nan
            mark[a:b] = np.where(np.isnan(value[a:b]), Mark.NONE, Mark.MAINTENANCE)
        _mark(result, world, outlet, a, b, "maintenance", "discharger", rng)
        result.oddities.append("maintenance")


def _meters(
    result: SiteResult,
    world: World,
    production: Production,
    together: np.ndarray,
    service: dict[str, np.ndarray],
    treating: np.ndarray,
) -> None:
    site = result.site
    kw = energy.power(site, world, production, together, treating)
    rng = stream(world.seed, "meters", site.enterprise_id)
    result.days["kwh"] = per_day(kw["total"])
    for p in site.points:
        if p.system == "power":
            value = kw[p.role]
            if rng.random() < number("oddities.swap_share"):
                value = energy.swap_meter(rng, value)
                result.oddities.append("meter_swap")
            result.series[p.point_id] = instrument.finish(p, None, value, world, None, stopped=None, overwritten=None)
        elif p.system == "condition":
            own = service["water" if p.channel == "dissolved_oxygen" else "air"]
            value = energy.condition(site, world, p.channel, production, own, treating)
            result.series[p.point_id] = instrument.finish(p, None, value, world, None, stopped=None, overwritten=None)


def _yard(result: SiteResult, world: World, production: Production) -> None:
    """Particles at the fence: region, wind over open material, traffic while working, and what is left uncovered."""
    site = result.site
    if site.yard is None:
        return
    rng = stream(world.seed, "yard", site.enterprise_id)
    w = {k: np.repeat(v, STEPS_PER_HOUR) for k, v in world.weather[site.street].items()}
    region = np.repeat(world.dust, STEPS_PER_HOUR)
    n = world.steps
    care = np.ones(n)
    for e in result.episodes:
        if e.scheme.mechanism == "fugitive_dust":
            care[e.start : e.end] = (1.5 + 0.7 * e.strength) if e.scheme.silent else (2.4 + 2.6 * e.strength)
    for _ in range(int(rng.poisson(1.5 * world.days / 30))):  # honest: a neighbour's road works, a loading day
        a = int(rng.integers(0, n))
        care[a : a + int(rng.gamma(2.0, 80))] *= float(rng.uniform(1.4, 3.2))
    dry = np.exp(-0.6 * np.minimum(np.convolve(w["rain"], np.ones(60) / 60, "same"), 3.0))
    own = rng.uniform(10, 35) * (0.25 + production.load) * (w["wind_speed"] / 1.5) ** 0.9 * dry * care
    scatter = np.exp(0.28 * ar1(rng, n, 5, heavy=True))
    for p in site.points:
        if p.system == "dust":
            share = 1.0 if p.factor == "a34002" else 0.42
            value = (region * float(rng.uniform(0.85, 1.15)) * (1.0 if share == 1 else 0.6) + own * share) * scatter
            result.series[p.point_id] = instrument.finish(p, None, value, world, None, stopped=None, overwritten=None)


def vendor_quirks(world: World) -> dict[str, str]:
    """Return the artefact of some vendors: a shifted clock for a while, or held values at the nightly upload."""
    names = [str(v) for v in stream(world.seed, "vendors").permutation(document("world")["vendors"])]
    return {names[0]: "clock", names[1]: "night_hold"}


def _transmission(result: SiteResult, world: World) -> None:
    site = result.site
    rng = stream(world.seed, "transmission", site.enterprise_id)
    quirk = vendor_quirks(world).get(site.operator, "")
    shifted = stream(world.seed, "quirk", site.operator).integers(0, world.steps, 1)[0]
    spans = [(a, b, "") for a, b in world.zone_outages[site.street] if rng.random() < 0.55]
    for _ in range(int(rng.poisson(draw(rng, "oddities.outage_per_month") * world.days / 30))):
        a = int(rng.integers(0, world.steps))
        spans.append((a, a + int(rng.gamma(1.5, 18)) + 2, str(rng.choice(["", "", "cems", "power", "wastewater"]))))
    # the last days of some come in late and are not there yet
    behind = int(rng.integers(1, 4)) * STEPS_PER_DAY if rng.random() < number("oddities.late_files_share") else 0
    result.oddities += ["outage"] * len(spans) + ["late_files"] * (behind > 0)
    for p in site.points:
        if p.point_id not in result.series:
            continue
        value, mark = result.series[p.point_id]
        if p.system in ("cems", "wastewater"):
            if quirk == "clock":
                late = slice(int(shifted), min(world.steps, int(shifted) + 12 * STEPS_PER_DAY))
                value[late], mark[late] = np.roll(value[late], 10), np.roll(mark[late], 10)
                result.oddities.append("clock_shift")
            elif quirk == "night_hold":
                for day in range(world.days):
                    a = day * STEPS_PER_DAY + 20
                    value[a : a + 6] = value[a]
                result.oddities.append("night_hold")
        if behind:
            value[-behind:], mark[-behind:] = np.nan, Mark.NONE
        single = np.flatnonzero(rng.random(world.steps) < 0.002)
        value[single], mark[single] = np.nan, Mark.NONE
        for a, b, system in spans:
            if system in ("", p.system):
                value[a:b] = np.nan
        mark[np.isnan(value)] = Mark.NONE


def _daily(result: SiteResult, world: World, production: Production, dose: np.ndarray, treating: np.ndarray) -> None:
    spec, on = result.site.spec, production.on
    days = result.days
    days["production_hours"] = per_day(on.astype(float))
    days["treatment_hours"] = per_day(treating.astype(float))
    days["load_hours"] = per_day(np.where(on, production.load, 0.0))
    days["output_t"] = days["load_hours"] * float(spec["output"]) * result.site.size
    days["fuel_t"] = days["load_hours"] * float(spec["burn"]) * result.site.size
    days["reagent_kg"] = per_day(np.where(treating, production.load * dose, 0.0)) * 14.0 * result.site.size
    days["low_dose_hours"] = per_day((on & (dose < 0.8)).astype(float))


def _truth(result: SiteResult, world: World) -> None:
    rows, site = document("mechanisms"), result.site
    for e in result.episodes:
        s = e.scheme
        if rows[s.mechanism]["kind"] in ("permit_breach", "false_report", "carbon_overdue"):
            continue  # written by the papers, with the span of the document
        outlet = {"air": site.air, "water": site.water}.get(s.medium) or (site.yard if s.mechanism == "fugitive_dust" else None)
        for name in filter(None, (s.mechanism, s.cover)):
            result.truth.append(
                {
                    "enterprise_id": site.enterprise_id,
                    "outlet_id": outlet.outlet_id if outlet is not None else "",
                    "point_id": result.falsified.get((e.start, name), ""),
                    "start": world.at(e.start),
                    "end": world.at(_until(e, name, world)),
                    "kind": rows[name]["kind"],
                    "mechanism": name,
                    "silent_by_design": s.silent,
                }
            )
