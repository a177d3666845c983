"""What tells an entered value from a frozen instrument: the step by which a constant run is entered.

An instrument that freezes stays at its last true reading, so the run is entered by a step like any other of the point. A value that
somebody enters need not lie near the last reading: the step into it is as wide as the point's readings scatter. Hourly means blur that
step; the statistics of finer data keep the value before the run.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from workbench.models.monitoring.panel import Panel
from workbench.models.monitoring.scan import middle
from workbench.models.monitoring.vocabulary import FINEST

FINE = FINEST
"""Samples per day from which on the step into a run is seen apart from the hour's mean."""
ODD_STEPS = 0.1
"""Share of honest steps that are as wide as the readings scatter (spikes, switched ranges, purges); judged."""
CYCLE, ROUNDED = 0.7, 2.0
"""Share of equal neighbours from which on readings are held over a cycle, unless they change by so many steps of the resolution on file at
most: that is rounding near the detection limit."""
WIDEST = 2.5
"""Most that the step into a run may say, nats: it is one step."""


def held_readings(panel: Panel) -> np.ndarray:
    """Return the points whose readings mostly repeat and then change by more than rounding does, shape (point,).

    The analyser's cycle is longer than the sample: what rises over a cycle looks like a jump, and what stands still is no calm.
    """
    ties, rough = middle(panel.day("tie_rate")), middle(panel.day("rough"))
    change = rough / np.maximum(1 - ties, 1e-3)
    rounded = change <= ROUNDED * panel.roster["resolution"].to_numpy(dtype=float)
    return np.asarray((ties > CYCLE) & ~rounded)


def entry_nats(panel: Panel, c: pd.DataFrame) -> np.ndarray:
    """Return the log-likelihood ratio of an entered against a frozen value from the step into each plateau, shape (candidate,).

    With e the step in units of the point's usual step and S the scatter of its readings in the same units, a frozen reading steps as
    the point always does, (1 − o)·exp(−e) + o·exp(−e/S)/S with o = :data:`ODD_STEPS`; an entered one by exp(−e/S)/S. 0 for other families,
    hourly data, and where no reading lies within an hour before the run.
    """
    out = np.zeros(len(c))
    rows = c["row"].to_numpy(dtype=int)
    wanted = np.flatnonzero((c["family"] == "plateau").to_numpy() & (panel.per_day[rows] >= FINE))
    if not len(wanted):
        return out
    value, before, start = panel.day("run_value"), panel.day("run_before"), panel.day("run_start")
    rough = panel.day("rough").astype(float)
    rough = np.where(panel.day("tie_rate") < 0.5, rough, np.nan)
    usual, scatter = middle(rough), _scatter(panel)
    days = panel.shape[1]
    first = np.asarray((c["start"] - panel.first_day) / pd.Timedelta(days=1)).astype(int).clip(0, days - 1)
    last = np.ceil(np.asarray((c["end"] - panel.first_day) / pd.Timedelta(days=1))).astype(int).clip(1, days)
    held = np.array([n.get("value", np.nan) for n in c["numbers"]], dtype=np.float32)
    for i in wanted.tolist():
        row, a, b = int(rows[i]), int(first[i]), max(int(last[i]), int(first[i]) + 1)
        mine = np.flatnonzero((value[row, a:b] == held[i]) & np.isfinite(start[row, a:b])) + a
        if not len(mine) or not np.isfinite(before[row, mine[0]]):
            continue
        near = rough[row, max(0, a - 1) : a + 1]
        step = np.nanmax([usual[row], *near]) if np.isfinite([usual[row], *near]).any() else np.nan
        if not step > 0:
            continue
        e = abs(float(value[row, mine[0]]) - float(before[row, mine[0]])) / float(step)
        s = max(float(scatter[row]) / float(step), 2.0)
        entered = np.exp(-e / s) / s
        frozen = (1 - ODD_STEPS) * np.exp(-min(e, 50.0)) + ODD_STEPS * entered
        out[i] = float(np.clip(np.log(max(entered, 1e-12)) - np.log(max(frozen, 1e-12)), -WIDEST, WIDEST))
    return out


def of_samples(panel: Panel, rows: np.ndarray, a: np.ndarray, b: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return, for spans of fine points, the smoothness lost and the change of step against the other days; 0 elsewhere, NaN unknown.

    Parameters
    ----------
    rows, a, b : int arrays, shape (span,)
        Row, first hour and hour after the last; whole days that the span touches are asked.

    Returns
    -------
    tuple of arrays
        Median of 1 − (mean step over spread)²·π/4 of the other days less that inside; log of the steps inside over those outside.
    """
    lost, change = np.zeros(len(rows)), np.zeros(len(rows))
    fine = panel.fine
    sd, rough = panel.day("sd").astype(float), panel.day("rough").astype(float)
    with np.errstate(all="ignore"):
        smooth = 1 - (rough / np.where(sd > 0, sd, np.nan)) ** 2 * np.pi / 4
        steps = np.log(np.where(rough > 0, rough, np.nan))
    for i in np.flatnonzero(fine[rows]).tolist():
        row, lo, hi = int(rows[i]), int(a[i]) // 24, -(-int(b[i]) // 24)
        for x, out, sign in ((smooth[row], lost, -1.0), (steps[row], change, 1.0)):
            inside, other = x[lo:hi], np.r_[x[:lo], x[hi:]]
            inside, other = inside[np.isfinite(inside)], other[np.isfinite(other)]
            out[i] = sign * float(np.median(inside) - np.median(other)) if inside.size and other.size >= 5 else np.nan
    return lost, change


def _scatter(panel: Panel) -> np.ndarray:
    """Return how far a point's hourly means lie from their middle, median absolute, shape (point,)."""
    hourly = panel.hour("hour_mean").astype(float)
    return np.asarray(1.4826 * middle(np.abs(hourly - middle(hourly)[:, None])))
