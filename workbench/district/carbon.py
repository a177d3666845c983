"""Activated carbon: how full the bed is, when it is changed, and what slips through a full one."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from workbench.district.behaviour import Episode
from workbench.district.climate import STEPS_PER_DAY, World
from workbench.district.noise import STEPS_PER_HOUR, stream
from workbench.district.population import Site
from workbench.district.production import Production
from workbench.district.settings import number


@dataclass
class Bed:
    """One adsorber: filling ``use`` (1: dynamic capacity reached) per step and the changes, in steps (before 0: past).

    ``papered`` changes stand in the fill record only: no purchase, no waste manifest, and the bed stays as it was.
    """

    use: np.ndarray
    changes: list[int] = field(default_factory=list)
    papered: list[int] = field(default_factory=list)
    inlet: float = 0.0
    hours: float = 0.0


def life_days(mass_kg: float, share: float, removed_mg_m3: float, flow_m3_h: float, hours_per_day: float) -> float:
    """Return the replacement period T = m·s/(c·1e-6·Q·t) in days (provincial guide)."""
    return mass_kg * share / (removed_mg_m3 * 1e-6 * flow_m3_h * hours_per_day)


def bed_of(site: Site, world: World, production: Production, episodes: list[Episode]) -> Bed | None:
    """Return the adsorber of a site over the period, or None where it has none."""
    if not site.carbon_kg or site.air is None:
        return None
    rng = stream(world.seed, "carbon", site.enterprise_id)
    capacity = site.carbon_kg * number("treatment.carbon_capacity_share")
    factor = site.air.factors["a24088"]
    inlet = max(site.air.levels["a24088"] / (1 - factor["removal"]), 0.4 * factor["limit"])
    hours = max(4.0, float(production.load.mean()) * 24)
    # the bed was sized for its design inlet; what it really gets sets its life, kept within one to eight weeks
    days = np.clip(life_days(site.carbon_kg, capacity / site.carbon_kg, inlet * 0.9, site.carbon_flow, hours), 9, 55)
    inlet = capacity / (0.9e-6 * site.carbon_flow * hours * days)
    daily = np.where(production.on, production.load, 0.0) * inlet * 0.9e-6 * site.carbon_flow / STEPS_PER_HOUR / capacity
    overdue = next((e for e in episodes if e.scheme.mechanism == "carbon_overdue"), None)
    use = np.empty(world.steps)
    filled, bed = float(rng.uniform(0.05, 0.75)), Bed(use, [], [], round(float(inlet), 1), round(hours, 1))
    bed.changes.append(-int(filled * days * STEPS_PER_DAY) - 1)
    bed.changes.insert(0, bed.changes[0] - int(days * 0.9 * STEPS_PER_DAY))
    late = 1.0 if overdue is None else (1.35 if overdue.scheme.silent else 2.2) + overdue.strength
    limit = float(rng.uniform(0.72, 0.98)) * late if overdue is None else late
    told = False
    for day in range(world.days):
        span = slice(day * STEPS_PER_DAY, (day + 1) * STEPS_PER_DAY)
        use[span] = filled + np.cumsum(daily[span])
        filled = float(use[span.stop - 1])
        change = span.stop
        if filled >= limit and change < world.steps:
            bed.changes.append(change)
            filled, told = 0.0, False
            limit = float(rng.uniform(0.72, 0.98)) if overdue is None else late
        elif overdue is not None and overdue.scheme.silent and filled >= 0.93 and not told:
            bed.papered.append(change)
            told = True
    return bed


def slip(bed: Bed) -> np.ndarray:
    """Return the share of adsorption left (1 fresh, falling once the bed is over its capacity)."""
    return np.asarray(1.0 - 0.8 / (1.0 + np.exp(-(bed.use - 1.5) / 0.1)))
