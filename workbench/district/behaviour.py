"""Who violates, how, and when: by cost, by belief of inspection, pausing after a visit.

The choice is made for the whole district at once so that its prevalence is what ``world.yml`` says; the spans of
each scheme are then laid out per enterprise from its own stream.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from workbench.district.climate import STEPS_PER_DAY, World
from workbench.district.noise import STEPS_PER_HOUR, stream
from workbench.district.population import Site
from workbench.district.settings import document, draw, number

FABRICATIONS_FOR_COVER = ("copied_noisy", "clip_at_limit", "line_dilution_o2", "clean_water", "slope_edit", "random_generator")
PAPER = {"late_report", "missing_self_monitoring", "over_permit_annual", "declared_low", "tax_under", "carbon_overdue"}
"""Mechanisms that live in documents: their span is the whole of a reporting period."""


@dataclass(frozen=True)
class Scheme:
    """What one enterprise has decided to do."""

    mechanism: str
    silent: bool
    cover: str = ""
    medium: str = ""
    variant: str = "whole"


@dataclass(frozen=True)
class Episode:
    """One bout of a scheme: steps ``[start, end)``; ``strength`` 0–1 within what the scheme allows."""

    scheme: Scheme
    start: int
    end: int
    strength: float
    ramped: bool


@dataclass(frozen=True)
class Visit:
    """A visit planned without looking at behaviour."""

    step: int
    origin: str
    probability: float


def abilities(site: Site) -> set[str]:
    """Return what the enterprise has that a mechanism may need."""
    air, water = site.air, site.water
    watched = [o for o in (air, water) if o is not None and o.monitored]
    found = set()
    if watched:
        found.add("monitor")
    if water is not None and water.monitored:
        found.add("water")
    if air is not None and air.monitored and np.isfinite(air.o2_ref):
        found.add("air_o2")
    if (air is not None or water is not None) and (site.power or watched):
        found.add("treatment")
    if site.permit_class != "registered":
        found |= {"permit", "duties"}
    if site.carbon_kg:
        found.add("carbon")
    if site.yard is not None:
        found.add("dust")
    if site.camera == "stack":
        found.add("camera")
    return found


def choose_schemes(world: World, sites: list[Site]) -> dict[str, list[Scheme]]:
    """Return the schemes of every enterprise that violates, by enterprise."""
    rng = stream(world.seed, "behaviour")
    vendor = {v: float(rng.normal(0, 0.5)) for v in document("world")["vendors"]}
    street = {z: float(rng.normal(0, 0.4)) for z in world.zones}
    utility = [
        0.8 * s.traits["frailty"] + 2.0 * float(s.spec["treat"]) - 0.35 * np.log(s.size) - 0.4 * s.key_polluter
        + 0.5 * s.traits["tight"] + vendor.get(s.operator, 0.0) + street[s.street] + rng.gumbel()
        for s in sites
    ]  # fmt: skip
    count = max(1, round(number("behaviour.prevalence") * len(sites)))
    chosen = [sites[int(i)] for i in np.argsort(utility)[::-1][:count]]
    rows = document("mechanisms")
    used = dict.fromkeys(rows, 0)
    silent = total = 0
    out: dict[str, list[Scheme]] = {}
    for site in chosen:
        able = abilities(site)
        mine: list[Scheme] = []
        for _ in range(1 + int(rng.random() < number("behaviour.second_scheme"))):
            taken = {s.mechanism for s in mine}
            fits = [m for m, r in rows.items() if r["needs"] in able and m not in taken]
            if not fits:
                continue
            turn = {m: (used[m] + 0.5) / float(rows[m]["share"]) for m in fits}  # a fair deck: the one most behind its share
            best = [m for m in fits if turn[m] <= min(turn.values())]
            mechanism = best[int(rng.integers(len(best)))]
            used[mechanism] += 1
            quiet = bool(rows[mechanism]["quiet"]) and silent < number("behaviour.silent_share") * (total + 1)
            scheme = _scheme(site, mechanism, quiet, rng)
            total, silent = total + 1, silent + scheme.silent
            mine.append(scheme)
        if mine:
            out[site.enterprise_id] = mine
    return out


def _scheme(site: Site, mechanism: str, quiet: bool, rng: np.random.Generator) -> Scheme:
    needs = document("mechanisms")[mechanism]["needs"]
    watched = [m for m, o in (("air", site.air), ("water", site.water)) if o is not None and o.monitored]
    there = [m for m, o in (("air", site.air), ("water", site.water)) if o is not None]
    medium = {"water": "water", "air_o2": "air", "camera": "air"}.get(needs, "")
    if needs == "monitor":
        medium = watched[int(rng.integers(len(watched)))]
    if needs == "treatment":
        pool = watched or there
        medium = pool[int(rng.integers(len(pool)))]
    variant, cover = "whole", ""
    if mechanism == "treatment_off":
        variant = "idling" if quiet else ("whole", "night", "idling")[int(rng.integers(3))]
        outlet = site.air if medium == "air" else site.water
        if outlet is not None and outlet.monitored and (quiet or rng.random() < 0.6):
            fits = [
                c
                for c in FABRICATIONS_FOR_COVER
                if document("mechanisms")[c]["needs"] in abilities(site) - ({"water"} if medium == "air" else {"air_o2"})
            ]
            cover = fits[int(rng.integers(len(fits)))]
    elif mechanism not in PAPER:
        variant = ("whole", "night", "intermittent", "intermittent")[int(rng.integers(4))]
        if mechanism in ("exceedance", "black_smoke", "cut_when_exceeding", "false_mark", "off_schedule_purge"):
            variant = "intermittent"
    return Scheme(mechanism, quiet, cover, medium, variant)


def plan_visits(site: Site, world: World) -> list[Visit]:
    """Return the visits that do not depend on behaviour: the random draw and campaigns by industry and street."""
    rng = stream(world.seed, "visits", site.enterprise_id)
    expected = number("inspection.per_enterprise_90_days") * world.days / 90
    random_rate = expected * (0.45 if site.key_polluter else 0.22)
    campaign = expected * (0.35 if site.spec["air"] == "solvent" or site.yard is not None else 0.1)
    visits = []
    for origin, rate in (("random", random_rate), ("campaign", campaign)):
        for _ in range(int(rng.poisson(rate))):
            day = int(rng.integers(3, world.days))
            visits.append(Visit(day * STEPS_PER_DAY + 100, origin, round(min(1.0, rate / max(1.0, world.days / 30)), 4)))
    return sorted(visits, key=lambda v: v.step)


def lay_out(site: Site, world: World, schemes: list[Scheme], visits: list[Visit], on: np.ndarray) -> list[Episode]:
    """Return the bouts of all schemes of one enterprise, inside the period and outside heeded visits."""
    episodes: list[Episode] = []
    for k, scheme in enumerate(schemes):
        rng = stream(world.seed, "scheme", site.enterprise_id, k)
        if scheme.mechanism in PAPER:
            episodes.append(Episode(scheme, 0, world.steps, float(rng.random()), False))
            continue
        paused = np.zeros(world.steps, bool)
        if rng.random() < number("behaviour.heed_inspection"):
            for v in visits:
                paused[v.step : v.step + int(draw(rng, "behaviour.heed_days") * STEPS_PER_DAY)] = True
        length = max(2 * STEPS_PER_DAY, int(draw(rng, "behaviour.span_share") * world.steps))
        first = int(rng.integers(0, max(1, world.steps - length)))
        wanted = _pattern(rng, scheme, first, length, world)
        mine = _runs(wanted & on & ~paused, shortest=6)
        if not mine:  # the line stood still all the time: act on its longest run instead
            mine = _runs(on, shortest=6)[:1]
        ramped = bool(rng.random() < 0.3)
        level = float(rng.random())
        episodes += [
            Episode(scheme, a, min(b, a + 21 * STEPS_PER_DAY), float(np.clip(level + rng.normal(0, 0.12), 0, 1)), ramped) for a, b in mine
        ]
    return episodes


def _pattern(rng: np.random.Generator, scheme: Scheme, first: int, length: int, world: World) -> np.ndarray:
    wanted = np.zeros(world.steps, bool)
    if scheme.variant == "night":
        hour = (np.arange(world.steps) // STEPS_PER_HOUR) % 24
        night = (hour >= 22) | (hour < 5)
        wanted[first : first + length] = night[first : first + length]
        for day in range(0, world.days):  # not every night
            if rng.random() < 0.25:
                a = day * STEPS_PER_DAY + 12 * STEPS_PER_HOUR
                wanted[a : a + STEPS_PER_DAY] = False
    elif scheme.variant == "intermittent":
        at = first
        while at < first + length:
            size = int(rng.gamma(2.0, 9.0 if scheme.silent else 16.0) * STEPS_PER_HOUR) + 8
            wanted[at : min(first + length, at + size)] = True
            at += size + int(rng.gamma(2.0, 30.0) * STEPS_PER_HOUR)
    else:
        wanted[first : first + length] = True
    return wanted


def _runs(mask: np.ndarray, shortest: int) -> list[tuple[int, int]]:
    """Return the runs of a mask, joined over gaps under twelve hours when a shift pattern would shred them."""
    edges = np.flatnonzero(np.diff(np.concatenate([[0], mask.view(np.int8), [0]])))
    pairs = [(int(a), int(b)) for a, b in zip(edges[::2], edges[1::2], strict=True)]
    return [(a, b) for a, b in pairs if b - a >= shortest]


runs = _runs
