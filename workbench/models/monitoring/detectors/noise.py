"""Values without a process behind them: drawn from a generator, and purge shapes off their schedule."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from workbench.models.monitoring.detectors.shift import LONGEST
from workbench.models.monitoring.held import held_readings
from workbench.models.monitoring.panel import Panel
from workbench.models.monitoring.scan import best_windows, middle, normal_nats, own_scores
from workbench.models.monitoring.segments import disjoint, generator_gain
from workbench.models.monitoring.verdicts import Verdicts, no_spans, runs_of, verdicts

USUAL_STEPS = 1.4
"""Steps within this factor of the point's usual ones are its own noise."""
DRAWN = (24, 36, 48, 72, 96, 120, 168)
"""Lengths of the spans of hourly readings that are asked about, hours."""
BLOCK, WIDER, CALMER = 5, 1.7, 2.0
"""Fine data: hours asked about at once; steps in units of the usual ones from which on they are no noise of the instrument; most that the
hourly means may scatter beyond what draws with such steps leave, an F ratio."""
PURGED = 0.7
"""Share of :data:`WIDER` that the calmest hour of a block keeps."""


def values_generated(panel: Panel, *, score_min: float, lag_max: float, lag_usual: float, hourly_nats_min: float) -> Verdicts:
    """Find spans without autocorrelation in a point that usually has it, and without dependence on its related channels.

    Hourly readings: spans of one to seven days, begun at any quarter of a day, that independent draws explain better than the
    point's own steps at that level do. Finer data: days whose order in time and dependence are lost, against own past; and blocks of
    five hours and more whose steps are wide while the hourly means stay as calm as means of draws do.

    Parameters
    ----------
    score_min : float
        Smallest −ln p of a window of the loss of lag-1 autocorrelation against own past and peers.
    lag_max : float
        Largest median autocorrelation inside the span.
    lag_usual : float
        Smallest usual autocorrelation of the point (or of its peers): below it the detector abstains.
    hourly_nats_min : float
        Smallest strength in hourly readings.
    """
    lag, valid = smoothness(panel), panel.day("n_valid")
    days = panel.shape[1]
    shown = panel.running.reshape(panel.shape[0], days, 24).mean(axis=2) >= 0.4
    lag = np.where(shown & (valid >= 0.5 * panel.per_day[:, None]), lag, np.nan)
    usual = middle(lag)
    groups, member = np.unique(panel.peers, return_inverse=True)
    peers = np.array([middle(usual[None, member == k])[0] for k in range(len(groups))])[member]
    reference = np.fmax(usual, peers)
    able = panel.judged[:, None] & (panel.per_day >= 24)[:, None] & np.isfinite(lag) & (reference >= lag_usual)[:, None]
    with np.errstate(all="ignore"):
        fisher = np.arctanh(np.clip(lag, -0.98, 0.98))
    z = np.where(able, -own_scores(np.where(able, fisher, np.nan), panel.peers), np.nan)
    # a point that is generated throughout has no honest past: measure it against its peers
    whole = able & (usual < lag_max)[:, None]
    z = np.where(whole, np.maximum(np.nan_to_num(z), 3.0), z)
    rows = _drawn(panel, able, reference, lag_max, hourly_nats_min) + _drawn_for_hours(panel, able, reference, score_min)
    seen = [(r["row"], r["start"], r["end"]) for r in rows]
    z = np.where(panel.hourly[:, None], np.nan, z)
    # on a calm day only the instrument's own noise is left, which has no autocorrelation either; a generator's steps are not that noise
    steps = np.log(np.where(panel.day("rough") > 0, panel.day("rough"), np.nan)).astype(float)
    for row, a, b, score in best_windows(z, panel.peers, score_min, tuple(w for w in LONGEST if w <= max(1, days // 3))):
        inside = float(np.nanmedian(lag[row, a:b]))
        if inside > lag_max or _usual_steps(steps[row], able[row], a, b):
            continue
        kept, before = _dependence(panel, row, a * 24, b * 24)
        start, end = panel.first_day + pd.Timedelta(days=a), panel.first_day + pd.Timedelta(days=b)
        if any(r == row and u < end and v > start for r, u, v in seen):
            continue
        numbers = {"lag1": inside, "usual": float(reference[row]), "dependence": kept, "dependence_usual": before, "days": b - a}
        rows.append({"row": row, "start": start, "end": end, "nats": score, **numbers})
    spans = pd.DataFrame(rows) if rows else no_spans(["lag1", "usual", "dependence", "dependence_usual", "days"])
    return verdicts(panel.shape, able, np.zeros(panel.shape), spans, panel.first_day)


def _usual_steps(steps: np.ndarray, able: np.ndarray, a: int, b: int) -> bool:
    """Return whether the steps of days a to b (logarithms) are as wide as those of the other days: calm, and not drawn."""
    other = able & np.isfinite(steps)
    other[a:b] = False
    inside = steps[a:b][np.isfinite(steps[a:b])]
    if other.sum() < 10 or not inside.size:
        return False
    return bool(abs(np.median(inside) - np.median(steps[other])) < np.log(USUAL_STEPS))


def _drawn(panel: Panel, able: np.ndarray, reference: np.ndarray, lag_max: float, least: float) -> list[dict[str, Any]]:
    """Return the spans of hourly points that independent draws explain better than the point's own steps do."""
    hours, hour = panel.shape[1] * 24, pd.Timedelta(hours=1)
    out: list[dict[str, Any]] = []
    for row in np.flatnonzero(panel.hourly & able.any(axis=1)).tolist():
        y = np.where(panel.running[row], panel.transformed[0][row], np.nan).astype(float)
        found = []
        for width in DRAWN:
            a = np.arange(0, hours - width + 1, 6)
            gain, lag = generator_gain(y, a, a + width)
            nats = gain - np.log(hours / width)
            hit = np.flatnonzero((nats >= least) & (lag <= lag_max))
            found += [(float(nats[k]), int(a[k]), int(a[k] + width)) for k in hit]
        for nats, first, last in disjoint(found, hours, apart=0):
            kept, before = _dependence(panel, row, first, last)
            _, lag = generator_gain(y, np.array([first]), np.array([last]))
            numbers = {"lag1": float(lag[0]), "usual": float(reference[row]), "dependence": kept, "dependence_usual": before}
            start, end = panel.first_day + first * hour, panel.first_day + last * hour
            out.append({"row": row, "start": start, "end": end, "nats": nats, **numbers, "days": (last - first) / 24})
    return out


def drawn_blocks(panel: Panel) -> np.ndarray:
    """Return the hours at which a block of fine readings begins that looks drawn, shape (point, hour) bool, last axis short by the block.

    Steps at least :data:`WIDER` times the usual (own or peers', the larger, in shares of the level), and hourly means that scatter no more
    than means of independent readings with such steps. A process that moves in wide steps carries its hourly means along.
    """
    step = panel.hour("hour_step").astype(float)
    mean = np.where(panel.running, panel.hour("hour_mean"), np.nan).astype(float)
    with np.errstate(all="ignore"):
        share = np.where(mean > 0, step / mean, np.nan)
    usual = middle(share)
    # where most readings usually repeat, rounding or a cycle sets the steps, and wide ones are only those that are not zero
    usual[usual == 0] = np.nan
    for g in np.unique(panel.peers):
        mine = np.flatnonzero(panel.peers == g)
        known = usual[mine][np.isfinite(usual[mine])]
        usual[mine] = np.maximum(usual[mine], np.median(known) if known.size else np.nan)
    with np.errstate(all="ignore"):
        wide = share / usual[:, None]
    moved = np.full(mean.shape, np.nan)
    moved[:, 1:] = np.diff(mean, axis=1) ** 2 / 2 * panel.per_day[:, None] / 24
    # for independent normal readings the median step is .954 of their standard deviation
    noise = (step / 0.954) ** 2
    window = np.lib.stride_tricks.sliding_window_view
    w, m, s = (window(x, BLOCK, axis=1) for x in (wide, moved, noise))
    with np.errstate(all="ignore"):
        calm = m[:, :, 1:].mean(axis=2) <= CALMER * s.mean(axis=2)
        return np.asarray(calm & (np.median(w, axis=2) >= WIDER) & (w.min(axis=2) >= PURGED * WIDER))


def _drawn_for_hours(panel: Panel, able: np.ndarray, reference: np.ndarray, least: float) -> list[dict[str, Any]]:
    """Return the spans of fine points that look drawn for some hours.

    The chance of such a block is that of all points (the tenth with most of them left out, at least one block over all), the strength
    −ln of it for a day of blocks, a nat for each further block's length, and ln m − 1 for each of m spans of the point (Poisson).
    """
    usable = panel.fine & panel.pollutant & able.any(axis=1) & ~held_readings(panel)
    if not usable.any():
        return []
    rows = np.flatnonzero(usable)
    blocks = drawn_blocks(panel)[rows]
    known = np.isfinite(panel.hour("hour_step")[rows]).sum(axis=1)
    quiet = np.argsort(blocks.sum(axis=1) / np.maximum(known, 1), kind="stable")[: len(rows) - -(-len(rows) // 10)]
    if not len(quiet):
        return []
    chance = (blocks[quiet].sum() + 1) / max(known[quiet].sum(), 1)
    hour = pd.Timedelta(hours=1)
    out: list[dict[str, Any]] = []
    found: dict[int, list[tuple[int, int]]] = {}
    for k, a, b in runs_of(blocks, bridge=BLOCK):
        found.setdefault(int(rows[k]), []).append((a, b + BLOCK - 1))
    step, mean = panel.hour("hour_step").astype(float), panel.hour("hour_mean").astype(float)
    for row, spans in sorted(found.items()):
        for a, b in spans:
            nats = -np.log(min(24 * chance, 1.0)) + (b - a - BLOCK) / BLOCK + max(0.0, np.log(len(spans)) - 1)
            if nats < least:
                continue
            noise = float(np.nanmean((step[row, a:b] / 0.954) ** 2))
            lag = 1 - noise / max(float(np.nanvar(mean[row, a:b])) + noise * (1 - 24 / panel.per_day[row]), 1e-12)
            kept, before = _dependence(panel, row, a, b)
            numbers = {
                "lag1": float(np.clip(lag, 0.0, 1.0)),
                "usual": float(reference[row]),
                "dependence": kept,
                "dependence_usual": before,
            }
            start, end = panel.first_day + a * hour, panel.first_day + b * hour
            out.append({"row": row, "start": start, "end": end, "nats": float(nats), **numbers, "days": (b - a) / 24})
    return out


def smoothness(panel: Panel) -> np.ndarray:
    """Return a lag-1 autocorrelation that single spikes do not upset, shape (point, day).

    For a normal series the mean step is 2/√π·σ·√(1−r); one spike enlarges σ far more than the mean step, so it cannot pass
    for a generator, as it does in the sum of squared steps.
    """
    sd = panel.day("sd").astype(float)
    ratio = panel.day("rough") / np.where(sd > 0, sd, np.nan) * np.sqrt(np.pi) / 2
    # a day that stands still after one step from the day before: its own values cannot step wider than twice their deviation
    return np.asarray(np.where(ratio <= np.sqrt(np.pi), 1 - ratio**2, np.nan))


def _dependence(panel: Panel, row: int, a: int, b: int) -> tuple[float, float]:
    """Return the correlation with the expectation inside a span and outside it (NaN where there is none)."""
    expected = panel.expectation.expected[row]
    actual = expected + panel.expectation.residual[row]
    inside = np.zeros(len(actual), dtype=bool)
    inside[a:b] = True
    out = []
    for chosen in (inside, ~inside):
        ok = chosen & np.isfinite(actual) & np.isfinite(expected)
        if ok.sum() < 12 or np.std(actual[ok]) == 0 or np.std(expected[ok]) == 0:
            out.append(float("nan"))
        else:
            out.append(float(np.corrcoef(actual[ok], expected[ok])[0, 1]))
    return out[0], out[1]


def purge_off_schedule(panel: Panel, *, score_min: float, dips_min: float) -> Verdicts:
    """Find days with many more short unmarked dips (purge shapes) than the point's own schedule has.

    Parameters
    ----------
    score_min : float
        Smallest Poisson score against the point's own usual number of dips per day.
    dips_min : float
        Fewest dips in a day.
    """
    dips = panel.day("n_dips").astype(float)
    able = panel.pollutant[:, None] & (panel.day("n_valid") >= 0.5 * panel.per_day[:, None]) & (panel.per_day >= 96)[:, None]
    usual = np.nan_to_num(np.nanmean(np.where(able, np.minimum(dips, 4 + middle(np.where(able, dips, np.nan))[:, None]), 0), axis=1))[
        :, None
    ]
    score = (dips - usual) / np.sqrt(np.maximum(usual, 0.5))
    hit = able & (score >= score_min) & (dips >= dips_min) & (panel.running_share >= 0.4)
    rows = []
    for row, a, b in runs_of(hit, bridge=1):
        start, end = panel.first_day + pd.Timedelta(days=a), panel.first_day + pd.Timedelta(days=b)
        top = float(score[row, a:b].max())
        nats = float(0.5 * normal_nats(np.array([min(top, 8.0)]))[0])
        rows.append(
            {
                "row": row,
                "start": start,
                "end": end,
                "nats": nats,
                "dips": float(dips[row, a:b].max()),
                "usual": float(usual[row, 0]),
                "days": b - a,
            }
        )
    spans = pd.DataFrame(rows) if rows else no_spans(["dips", "usual", "days"])
    return verdicts(panel.shape, able, np.maximum(score, 0), spans, panel.first_day)
