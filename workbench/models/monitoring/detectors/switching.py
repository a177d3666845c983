"""Readings of one outlet that jump in the same sample and jump back: set, scaled or replaced together, and let go again."""

from __future__ import annotations

import warnings
from dataclasses import dataclass

import numpy as np
import pandas as pd

from workbench.models.monitoring.held import held_readings
from workbench.models.monitoring.panel import Panel
from workbench.models.monitoring.verdicts import Verdicts, no_spans, verdicts
from workbench.models.monitoring.vocabulary import FINEST, FLOW

COINCIDENCE = 3
"""Samples within which two jumps count as one event: the same one and its neighbours."""
UNLISTED = 1.0
"""Joint jumps a year of an outlet from causes that nobody has listed; judged. Chance alone would make them far rarer."""
BESIDE, FLOW_STEP = 5, 0.1
"""Hours before and after an edge over which the flow is averaged, and its smallest change there, as a logarithm; judged."""


@dataclass(frozen=True)
class Event:
    """Jumps of one outlet in the same sample.

    Parameters
    ----------
    at : int
        Sample of the period.
    sizes : dict of int to float
        Row -> log of the level after over that before.
    """

    at: int
    sizes: dict[int, float]

    @property
    def joint(self) -> bool:
        """Whether two channels jump at once."""
        return len(self.sizes) > 1

    def undone_by(self, other: Event) -> bool:
        """Return whether another event takes the jump of one channel back."""
        return any(other.sizes.get(row, 0.0) * size < 0 for row, size in self.sizes.items())


def readings_switch_together(panel: Panel, *, nats_min: float, hours_min: float, hours_max: float) -> Verdicts:
    """Find spans into which two pollutants of a wastewater outlet jump in the same sample, or out of which they do.

    Analysers of different principle take their samples apart, and what they measure mixes in a pit: two sharp jumps within one sample are
    a coincidence, of rate 3·r₁·r₂ with r₁ and r₂ the rates of their own jumps, but one a year at least. The strength is −ln of the chance
    of one on a day, −ln of the chance that the jump is taken back by the end of the span, and ln m − 1 for each of m such spans of the
    outlet (Poisson). Left out: jumps together with flow or pH, and spans in which the flow per production moves against the readings (rain,
    another stream); what happens at another owner in the same sample (the platform or a vendor); analysers that hold a reading over most
    samples; spans of under four hours, as a check with a standard takes that nobody marks. A stack is not evaluable: its load steps.

    Parameters
    ----------
    nats_min : float
        Smallest strength.
    hours_min, hours_max : float
        Shortest and longest span between a jump and the one that takes it back.
    """
    n, days = panel.shape
    able = np.zeros((n, days), dtype=bool)
    jump, at = panel.hour("jump"), panel.hour("jump_at")
    valid = panel.day("n_valid")
    usable = panel.pollutant & (panel.roster["system"] == "wastewater").to_numpy() & (panel.per_day >= FINEST)
    usable &= ~held_readings(panel)
    outlets = {place: members[usable[members]] for place, members in panel.members.items() if usable[members].sum() >= 2}
    happened = {place: _events(panel, mine, jump, at) for place, mine in outlets.items()}
    common = _common(panel, outlets, happened)
    rows: list[dict[str, object]] = []
    for place, mine in outlets.items():
        able[mine] = valid[mine] >= 0.25 * panel.per_day[mine][:, None]
        per_hour = panel.per_day[mine[0]] / 24
        events = [e for e in happened[place] if not (e.joint and _owners(common, e.at / per_hour, per_hour) > 1)]
        samples = float(np.nansum(valid[mine]) / len(mine))
        found = _spans(events, hours_min * per_hour, hours_max * per_hour, samples, 24 * per_hour)
        for first, last, nats in found:
            nats += max(0.0, np.log(len(found)) - 1)
            if nats < nats_min or _by_flow(panel, mine, first, last, per_hour):
                continue
            start, end = (panel.first_day + e.at * pd.Timedelta(hours=1) / per_hour for e in (first, last))
            for row in sorted({*first.sizes, *last.sizes}):
                into, out = first.sizes.get(row, 0.0), last.sizes.get(row, 0.0)
                numbers = {"into": np.exp(into), "out": np.exp(out), "hours": (last.at - first.at) / per_hour, "times": float(len(found))}
                rows.append({"row": row, "start": start.round("s"), "end": end.round("s"), "nats": float(nats), **numbers})
    spans = pd.DataFrame(rows) if rows else no_spans(["into", "out", "hours", "times"])
    return verdicts(panel.shape, able, np.zeros((n, days)), spans, panel.first_day)


def _events(panel: Panel, rows: np.ndarray, jump: np.ndarray, at: np.ndarray) -> list[Event]:
    """Return the jumps of some channels of one outlet, those of the same sample together, in order of time."""
    process = _jumps_of_process(panel, rows, jump, at)
    singles: list[tuple[int, int, float]] = []
    for row in rows.tolist():
        hours = np.flatnonzero(jump[row] != 0)
        here = [(int(at[row, h]), row, float(jump[row, h])) for h in hours.tolist() if np.isfinite(jump[row, h])]
        singles += [e for e in here if e[0] not in process]
    events: list[Event] = []
    for t, row, size in sorted(singles):
        if events and t - events[-1].at < COINCIDENCE - 1 and row not in events[-1].sizes:
            events[-1].sizes[row] = size
        else:
            events.append(Event(t, {row: size}))
    return events


def _jumps_of_process(panel: Panel, rows: np.ndarray, jump: np.ndarray, at: np.ndarray) -> set[int]:
    """Return the samples within two of a jump of flow or pH of the same outlet: the process itself has changed."""
    beside = [r for r in panel.siblings(int(rows[0])) if panel.judged[r] and not panel.pollutant[r]]
    starts = [int(t) for r in beside for t in at[r][np.nan_to_num(jump[r]) != 0]]
    return {t + k for t in starts for k in (-2, -1, 0, 1, 2)}


def _by_flow(panel: Panel, rows: np.ndarray, first: Event, last: Event, per_hour: float) -> bool:
    """Return whether flow (over production) rises as the readings fall and falls as they rise, or the other way round: another stream."""
    flows = [r for r in panel.siblings(int(rows[0])) if panel.judged[r] and panel.roster["factor"].iloc[r] in FLOW]
    if not flows:
        return False
    flow = panel.hour("hour_any")[flows[0]].astype(float)
    made = panel.process_rows.get(str(panel.roster["enterprise_id"].iloc[rows[0]]), {}).get("production", np.array([], dtype=int))
    if len(made):
        # more water because more is made is no rain: what is made brings its load along
        power = panel.hour("hour_any")[made].astype(float).sum(axis=0)
        floor = 0.15 * np.nanquantile(power, 0.9) if np.isfinite(power).any() else np.nan
        flow = np.where(np.isfinite(power), flow / np.maximum(power, floor), flow) if floor > 0 else flow
    moved = []
    for e in (first, last):
        h = int(e.at // per_hour)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)
            before, after = np.nanmean(flow[max(0, h - BESIDE) : h]), np.nanmean(flow[h + 1 : h + 1 + BESIDE])
        moved.append(np.log(after / before) if before > 0 and after > 0 else 0.0)
    into = sum(first.sizes.values()) or -sum(last.sizes.values())
    return bool(moved[0] * -np.sign(into) >= FLOW_STEP and moved[1] * np.sign(into) >= FLOW_STEP)


def _common(panel: Panel, outlets: dict[str, np.ndarray], happened: dict[str, list[Event]]) -> tuple[np.ndarray, np.ndarray]:
    """Return hour and owner of every joint event of all outlets, in order of time."""
    enterprise = panel.roster["enterprise_id"].to_numpy(dtype=object)
    all_of = [
        (e.at * 24 / panel.per_day[rows[0]], str(enterprise[rows[0]]) or place)
        for place, rows in outlets.items()
        for e in happened[place]
        if e.joint
    ]
    all_of.sort()
    return np.array([h for h, _ in all_of]), np.array([o for _, o in all_of], dtype=object)


def _owners(common: tuple[np.ndarray, np.ndarray], hour: float, per_hour: float) -> int:
    """Return how many owners have a joint event within a sample of an hour."""
    lo, hi = np.searchsorted(common[0], [hour - 1.5 / per_hour, hour + 1.5 / per_hour])
    return len(set(common[1][lo:hi]))


def _without_checks(events: list[Event], shortest: float) -> list[Event]:
    """Return the events less those of a joint jump that is taken back sooner than ``shortest``: a check with a standard."""
    kept = [True] * len(events)
    for k, first in enumerate(events):
        for m in range(k + 1, len(events)):
            if events[m].at - first.at >= shortest:
                break
            if first.joint and kept[k] and first.undone_by(events[m]):
                kept[k] = kept[m] = False
                break
    return [e for e, keep in zip(events, kept, strict=True) if keep]


def _spans(events: list[Event], shortest: float, longest: float, samples: float, chance: float) -> list[tuple[Event, Event, float]]:
    """Return the disjoint spans between an event and the one that takes it back, one of them joint at least, with their nats.

    ``samples`` is the length of the history, ``chance`` the samples within which the joint event is a chance: those of a day.
    """
    events = _without_checks(events, shortest)
    alone: dict[int, int] = {}
    for e in events:
        if not e.joint:
            row = next(iter(e.sizes))
            alone[row] = alone.get(row, 0) + 1

    def edge(e: Event, window: float) -> float:
        rate = sorted((alone.get(row, 0) + 1) / samples for row in e.sizes)
        # of more than two channels the two with the fewest jumps of their own are counted
        expected = max(COINCIDENCE * rate[0] * rate[1], UNLISTED / 365 / chance) if e.joint else rate[0]
        return float(-np.log(-np.expm1(-expected * window)))

    pairs: list[tuple[float, int, int]] = []
    for k, first in enumerate(events):
        for m in range(k + 1, len(events)):
            last = events[m]
            length = last.at - first.at
            if length > longest:
                break
            if (first.joint or last.joint) and length >= shortest and first.undone_by(last):
                found, undone = (first, last) if first.joint else (last, first)
                pairs.append((edge(found, chance) + edge(undone, length), k, m))
    taken = np.zeros(len(events) + 1, dtype=bool)
    out: list[tuple[Event, Event, float]] = []
    for nats, k, m in sorted(pairs, key=lambda p: (-p[0], p[1], p[2])):
        if not taken[k : m + 1].any():
            taken[k : m + 1] = True
            out.append((events[k], events[m], nats))
    return sorted(out, key=lambda s: s[0].at)
