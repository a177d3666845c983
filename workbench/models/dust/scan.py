"""Finds the runs of one factor's air and what honest runs look like, kind by kind."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from workbench.models.dust.noise import memory_of
from workbench.models.dust.null import Null, honest_rate, learn_null
from workbench.models.dust.scene import Scene
from workbench.models.dust.segments import Run, daily, likelihood_ratio, runs_of
from workbench.models.rule_settings import Settings

SCANS = {
    "dust_rises_over_background": ("hour", 1.0),
    "dust_stays_high_at_working_hours": ("work", 1.0),
    "dust_stays_high_for_days": ("day", 1.0),
    "fence_reads_below_background": ("hour", -1.0),
}
"""What each series rule scans (hours, working hours of days, whole days), and in which direction."""


@dataclass(frozen=True)
class Found:
    """One run in hours ``[start, stop)`` of one site, its rule, the null of its kind, and how many honest ones as strong are expected."""

    rule: str
    site: int
    start: int
    stop: int
    score: float
    null: Null
    honest: float
    sign: float


def scan(scene: Scene, settings: Settings) -> list[Found]:
    """Return all runs of a scene, by rule."""
    numbers, null = settings.prep("runs"), settings.prep("empirical_null")
    prior = {k: null[k] for k in ("honest_per_site_month", "weight", "bulk", "shape")}
    clip = {"z_low": numbers["z_low"], "z_high": numbers["z_high"]}
    series = {"hour": scene.z.astype(np.float64)}
    for name, chosen in (("work", scene.work), ("day", np.ones(scene.grid.n, bool))):
        series[name] = daily(scene.z, chosen, hours_min=numbers["day_hours_min"], **clip)
    months = np.isfinite(scene.z).sum(axis=1) / (365.25 * 2)
    by_owner: dict[str, float] = {}
    for e, span in zip(scene.owner, months, strict=True):
        by_owner[str(e)] = by_owner.get(str(e), 0.0) + float(span)
    found = []
    for rule, (name, sign) in SCANS.items():
        z, step = series[name], 1 if name == "hour" else 24
        llr = {"shift": numbers["shift_hour" if step == 1 else "shift_day"], "memory": memory_of(z), **clip}
        longest = max(1, int(numbers["longest_days"] * 24 / step))
        score_min = settings.of(rule)["score_min"]
        mine, mirror = (_runs(s * sign * z, llr, score_min, longest) for s in (1.0, -1.0))
        learned = learn_null(_scores(mine), _scores(mirror), scene.site_months, threshold=score_min, **prior)
        owners = np.array([str(scene.owner[r.site]) for r in mine], dtype=object)
        honest = honest_rate(learned, _scores(mine), owners, by_owner, others_weight=null["others_weight"])
        for r, rate in zip(mine, honest.tolist(), strict=True):
            stop = min(r.stop * step, scene.grid.n)
            found.append(Found(rule, r.site, r.start * step, stop, r.score, learned, rate, sign))
    return found


def _runs(z: NDArray[np.float64], llr: dict[str, float], score_min: float, longest: int) -> list[Run]:
    return runs_of(likelihood_ratio(z, **llr), score_min=score_min, longest=longest)


def _scores(runs: list[Run]) -> NDArray[np.float64]:
    return np.array([r.score for r in runs], dtype=np.float64)
