"""Checks with test gas or a standard that carry no mark: a rectangle in the readings, flat and back to where it began."""

from __future__ import annotations

import numpy as np

from workbench.models.monitoring.panel import Panel

LONGEST = 8
"""Longest check, hours: a field comparison takes a shift at most; judged."""
STEP, BACK = 0.25, 0.2
"""Smallest jump into a check, and how far the level after it may lie from that before, as logarithms; judged."""
FLAT = 0.02
"""Most that hourly means under test gas differ, as a share of their level: the gas is certified to about this [R]."""


def hours_under_test_gas(panel: Panel) -> np.ndarray:
    """Return the hours of fine pollutants that look like a check nobody marked, shape (point, hour) bool.

    Into the span and out of it the reading jumps within a sample, it comes back to where it was, and between the edges it stands as flat
    as a gas bottle does. Or the other pollutants of the outlet jump at both edges too, one of them the other way: test gas of one
    component holds none of another. What burns or reacts does neither.
    """
    jump, at, mean = panel.hour("jump"), panel.hour("jump_at"), panel.hour("hour_mean")
    out = np.zeros(mean.shape, dtype=bool)
    for members in panel.members.values():
        rows = [int(r) for r in members[panel.pollutant[members]] if panel.per_day[r] > 24]
        edges = {r: [(int(h), int(at[r, h]), float(jump[r, h])) for h in np.flatnonzero(np.nan_to_num(jump[r]))] for r in rows}
        for row in rows:
            for k, (h, t, into) in enumerate(edges[row]):
                for last, until, back in edges[row][k + 1 :]:
                    if last - h > LONGEST:
                        break
                    if into * back >= 0 or abs(into) < STEP or abs(into + back) > BACK:
                        continue
                    others = [_size_at(edges[r], t) * _size_at(edges[r], until) < 0 and _size_at(edges[r], t) for r in rows if r != row]
                    if _flat(mean[row, h + 1 : last]) or any(s and s * into < 0 for s in others):
                        out[row, h : last + 1] = True
                    break
    return out


def _size_at(edges: list[tuple[int, int, float]], sample: int) -> float:
    """Return the jump of a channel within a sample of another's, 0 where there is none."""
    return next((size for _, t, size in edges if abs(t - sample) <= 1), 0.0)


def _flat(inside: np.ndarray) -> bool:
    """Return whether two hours at least lie between the edges, all at one level."""
    known = inside[np.isfinite(inside)]
    return bool(known.size >= 2 and np.ptp(known) <= FLAT * abs(float(np.mean(known))))
