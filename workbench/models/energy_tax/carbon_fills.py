"""Fills of an adsorber: how long each was in use, which of them is more than paper, and how long it should have lasted."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd

STORE_DAYS = 45.0
"""Fresh carbon may lie in store this long before a fill that nobody recorded is the likelier reading (our choice)."""


@dataclass(frozen=True)
class Activity:
    """How much a works ran in a span.

    Parameters
    ----------
    share : float
        Running hours over its own usual, at most 1: more hours than usual accuse nobody, the guide reckons with the filed ones.
    source : {"metered", "ledger", "district", "none"}
        Its own meters; its ledger; the metered works of the district (a holiday stops many); nothing, and then the share is 1.
    log_sd : float
        Spread between the works of the district, log; 0 for its own.
    """

    share: float = 1.0
    source: str = "none"
    log_sd: float = 0.0


Active = Callable[[pd.Timestamp, pd.Timestamp], Activity]
"""Activity of one enterprise between two times."""


@dataclass(frozen=True)
class Fill:
    """One fill of an adsorber and how long it was in use.

    Parameters
    ----------
    at, until : Timestamp
        Put in; taken out, or the next fill that is more than paper, or the end of the review.
    mass_kg : float
        NaN where neither the record nor the unit names one.
    replaced : bool
        Whether ``until`` is the end of its use.
    unrecorded : bool
        More carbon was bought than fills are on record: a fill is likelier missing from the papers than from the bed.
    paper : tuple of Timestamp
        Fills on record in the meantime that nothing supports: no carbon bought for them and none taken out.
    """

    at: pd.Timestamp
    until: pd.Timestamp
    mass_kg: float
    replaced: bool
    unrecorded: bool
    paper: tuple[pd.Timestamp, ...] = ()


def replacement_period_days(
    mass_kg: float, capacity_share: float, removed_mg_m3: float, airflow_m3_h: float, hours_per_day: float
) -> float:
    """Return the days until a fill is spent; NaN where nothing is removed."""
    load = removed_mg_m3 * 1e-6 * airflow_m3_h * hours_per_day
    return mass_kg * capacity_share / load if load > 0 else float("nan")


def fills_in_use(unit: pd.Series, events: pd.DataFrame, end: pd.Timestamp) -> list[Fill]:
    """Return the fills of one adsorber in order of time, those on paper only joined to the fill they follow."""
    fills = events[events["event"] == "fill"].sort_values("at")
    taken, bought = (sorted(events.loc[events["event"] == e, "at"]) for e in ("remove", "purchase"))
    real, paper = supported(list(fills["at"]), taken, bought)
    masses = dict(zip(fills["at"], fills["mass_kg"], strict=True))
    found = []
    for k, at in enumerate(real):
        last = k + 1 == len(real)
        following = end if last else real[k + 1]
        out = [t for t in taken if at + pd.Timedelta(hours=12) < t <= following]
        until = out[0] if out else following
        still = last and not out
        stock = sum(t <= until for t in bought) - (k + 1) - (not last)
        aged = any(at < t <= until - pd.Timedelta(days=STORE_DAYS) for t in bought)
        unrecorded = stock >= 1 + still or (still and stock >= 1 and aged)
        mass = float(masses[at]) if np.isfinite(masses[at]) and masses[at] > 0 else float(unit["capacity_kg"])
        found.append(Fill(at, until, mass, not still, unrecorded, paper.get(at, ())))
    return found


def supported(
    fills: list[pd.Timestamp], taken: list[pd.Timestamp], bought: list[pd.Timestamp]
) -> tuple[list[pd.Timestamp], dict[pd.Timestamp, tuple[pd.Timestamp, ...]]]:
    """Return the fills that something supports, and those on paper only by the fill that they follow.

    A fill is paper where the carbon bought so far went into earlier fills and nothing was taken out that day. Two kinds of
    record must fail together, so one lost sheet makes no paper fill; an adsorber without any record of a kind has none.
    The first fill on record is taken as it stands, and so is its carbon.
    """
    real: list[pd.Timestamp] = []
    paper: dict[pd.Timestamp, tuple[pd.Timestamp, ...]] = {}
    older = int(bool(fills) and not any(t <= fills[0] for t in bought))
    for at in fills:
        emptied = any(at - pd.Timedelta(days=1.5) <= t <= at + pd.Timedelta(days=0.5) for t in taken)
        left = older + sum(t <= at for t in bought) - len(real)
        if real and taken and bought and not emptied and left < 1:
            paper[real[-1]] = (*paper.get(real[-1], ()), at)
        else:
            real.append(at)
    return real, paper


def periods_of(unit: pd.Series, fills: list[Fill], *, capacity_share: float, removed_share: float, iodine_full_mg_g: float) -> np.ndarray:
    """Return the replacement period of each fill, days."""
    iodine = unit["iodine_mg_g"]
    quality = min(1.0, iodine / iodine_full_mg_g) if np.isfinite(iodine) and iodine > 0 else 1.0
    removed, flow, hours = removed_share * unit["inlet_mg_m3"], unit["airflow_m3_h"], unit["hours_per_day"]
    return np.array([replacement_period_days(f.mass_kg, capacity_share * quality, removed, flow, hours) for f in fills], dtype=float)


def usual_of_the_district(log_ratios: np.ndarray, *, fills_min: float) -> float:
    """Return by how much (log, at least 0) the completed fills of all adsorbers overrun their reckoned periods in the middle.

    Above 0 the district reckons otherwise than these rules do (another capacity, another share removed): only what goes
    beyond the others tells then. Nothing is granted on fewer fills than ``fills_min``.
    """
    known = log_ratios[np.isfinite(log_ratios)]
    return max(0.0, float(np.median(known))) if len(known) >= fills_min else 0.0
