"""Edits of the scale: slope, intercept, clean water in place of the sample, dilution of the sampling line, drift."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from workbench.models.monitoring.expectation import Expectation
from workbench.models.monitoring.mixing import common_spans, nats_of
from workbench.models.monitoring.panel import Panel
from workbench.models.monitoring.scan import best_windows, middle, own_scores
from workbench.models.monitoring.segments import BESIDE, contrast, jumps, sums_of, weighted_residual
from workbench.models.monitoring.verdicts import Verdicts, no_spans, verdicts
from workbench.models.monitoring.vocabulary import FINEST, OXYGEN

LONGEST = (2, 3, 5, 7, 10, 14, 21, 30)
AMBIENT_O2 = 20.9
SWITCHED = 8.0
"""Smallest gain of a factor switched on and off within the hour that makes a span of hourly readings, nats."""


def daily_residual(expectation: Expectation, days: int) -> np.ndarray:
    """Return the median residual of each day with at least six known hours, shape (point, day)."""
    r = expectation.residual.reshape(len(expectation.residual), days, 24)
    return np.where(np.isfinite(r).sum(axis=2) >= 6, middle(r, axis=2), np.nan)


def _windows(panel: Panel, z: np.ndarray, score_min: float, ladder: tuple[int, ...] = LONGEST) -> list[tuple[int, int, int, float]]:
    return best_windows(z, panel.peers, score_min, tuple(w for w in ladder if w <= max(2, panel.shape[1] // 3)), beside=10)


def _dates(panel: Panel, a: int, b: int) -> tuple[pd.Timestamp, pd.Timestamp]:
    return panel.first_day + pd.Timedelta(days=a), panel.first_day + pd.Timedelta(days=b)


def _scores(panel: Panel, expectation: Expectation, explained_min: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return daily residuals, their downward scores and where they are evaluable."""
    r = daily_residual(expectation, panel.shape[1])
    able = (expectation.explained >= explained_min) & panel.judged
    z = np.where(able[:, None], -own_scores(r, panel.peers), np.nan)
    return r, z, np.isfinite(z)


def values_scaled_down(panel: Panel, *, score_min: float, hourly_score_min: float, explained_min: float, drop_min: float) -> Verdicts:
    """Find spans in which a pollutant reads lower than its related channels say, by one factor: Δlog mean = Δlog sd.

    Parameters
    ----------
    score_min : float
        Smallest −ln p of a window of the downward residual, over all windows of its length (fine data).
    hourly_score_min : float
        Smallest score of a span of hourly readings: contrast and jumps at the edges, in robust standard deviations of the point's own
        spans of that length.
    explained_min : float
        Smallest share of variance that the related channels explain; below it the detector abstains.
    drop_min : float
        Smallest drop in log units.
    """
    return _edit(panel, True, score_min, hourly_score_min, explained_min, drop_min)


def values_shifted_down(panel: Panel, *, score_min: float, hourly_score_min: float, explained_min: float, drop_min: float) -> Verdicts:
    """Find spans in which a pollutant reads lower by one amount: the mean moves, the size of the steps stays."""
    return _edit(panel, False, score_min, hourly_score_min, explained_min, drop_min)


def _edit(panel: Panel, slope: bool, score_min: float, hourly_score_min: float, explained_min: float, drop_min: float) -> Verdicts:
    r, z, able = _scores(panel, panel.expectation, explained_min)
    able &= panel.pollutant[:, None] & panel.expectation.logarithmic[:, None]
    z = np.where(able, z, np.nan)
    rough = np.log(np.where(panel.day("rough") > 0, panel.day("rough"), np.nan))
    strength = np.zeros(panel.shape)
    rows = _hourly_edits(panel, np.flatnonzero(panel.hourly & able.any(axis=1)), slope, hourly_score_min, drop_min)
    z = np.where(panel.hourly[:, None], np.nan, z)
    for row, a, b, score in _windows(panel, z, score_min):
        near = np.r_[max(0, a - 21) : a, b : min(panel.shape[1], b + 21)]
        if len(near) < 3:
            continue
        drop = float(np.nanmedian(r[row, near]) - np.nanmedian(r[row, a:b]))
        steps = _median_or(rough[row, near], 0.0) - _median_or(rough[row, a:b], 0.0)
        # a scaled series loses its steps by the same factor, a shifted one keeps them
        scaled = abs(steps - drop) <= abs(steps)
        if drop < drop_min or scaled is not slope:
            continue
        start, end = _dates(panel, a, b)
        abrupt = _edge(r[row], a, b, drop)
        nats = score
        numbers = {"drop": 1 - np.exp(-drop), "days": b - a, "abrupt": abrupt, "explained": panel.expectation.explained[row]}
        rows.append({"row": row, "start": start, "end": end, "nats": nats, **numbers})
    spans = pd.DataFrame(rows) if rows else no_spans(["drop", "days", "abrupt", "explained"])
    return verdicts(panel.shape, able, strength, spans, panel.first_day)


def _hourly_edits(panel: Panel, rows: np.ndarray, slope: bool, least: float, drop_min: float) -> list[dict[str, Any]]:
    """Return the spans of hourly points that lie lower than their expectation from one hour to another, steps told apart."""
    hour = pd.Timedelta(hours=1)
    e = panel.expectation
    out: list[dict[str, Any]] = []
    for row in rows.tolist():
        residual = weighted_residual(e.residual[row].astype(float), e.noise[row].astype(float))
        step = sums_of(np.abs(np.diff(panel.hour("hour_mean")[row].astype(float), prepend=np.nan)))
        for a, b, score, size in _lower(panel, row, least):
            first, last = np.array([a]), np.array([b])
            drop = float(np.fmax(-contrast(residual, first, last)[0], size))
            beside = step.mean(np.array([a - BESIDE, b]), np.array([a, b + BESIDE]))
            inside = float(step.mean(first, last)[0])
            usual = float(np.nanmean(beside)) if np.isfinite(beside).any() else 0.0
            steps = float(np.log(usual / inside)) if inside > 0 and usual > 0 else 0.0
            # a scaled series loses its steps by the same factor, a shifted one keeps them
            scaled = abs(steps - drop) <= abs(steps)
            if not drop >= drop_min or scaled is not slope:
                continue
            edges = np.concatenate(jumps(residual, first, last, 24))
            edges = edges[np.isfinite(edges)]
            abrupt = float(np.mean(np.clip(-edges / drop, 0, 1))) if edges.size else 0.5
            numbers = {"drop": 1 - np.exp(-drop), "days": (b - a) / 24, "abrupt": abrupt, "explained": e.explained[row]}
            start, end = panel.first_day + a * hour, panel.first_day + b * hour
            out.append({"row": row, "start": start, "end": end, "nats": 0.5 * score**2, **numbers})
    return out


def _lower(panel: Panel, row: int, least: float) -> list[tuple[int, int, float, float]]:
    """Return first hour, hour after the last, score and size (NaN: not told) of the spans of a row that lie lower.

    A span found by its edges takes the place of what the level alone found there.
    """
    switched = [s for s in panel.switched.get(row, ([], 1.0))[0] if s.nats >= SWITCHED]
    spans = [(s.first, s.last, float(np.sqrt(2 * s.nats)), s.size) for s in switched]
    for a, b, score in panel.lowered.get(row, []):
        if score >= least and not any(a < s.last and b > s.first for s in switched):
            spans.append((a, b, score, np.nan))
    return sorted(spans)


def _median_or(x: np.ndarray, other: float) -> float:
    return float(np.median(x[np.isfinite(x)])) if np.isfinite(x).any() else other


def _edge(r: np.ndarray, a: int, b: int, drop: float) -> float:
    """Return how much of the drop happens from one day to the next at the edges, 0–1: edits are abrupt, processes drift."""
    parts = []
    for inside, outside in (((a, min(a + 2, b)), (a - 2, a)), ((max(a, b - 2), b), (b, b + 2))):
        if outside[0] < 0 or outside[1] > len(r):
            continue
        before, within = r[outside[0] : outside[1]], r[inside[0] : inside[1]]
        if np.isfinite(before).any() and np.isfinite(within).any():
            parts.append(np.clip((np.nanmean(before) - np.nanmean(within)) / max(drop, 1e-9), 0, 1))
    return float(np.mean(parts)) if parts else 0.5


def clean_water_replaces_sample(panel: Panel, *, score_min: float, drop_min: float, flat_max: float) -> Verdicts:
    """Find spans in which COD or NH3-N reads low and flat whatever flow and pH do: a bottle in place of the sample.

    Low and flat must come together, against the point's own past: the drop of the level beyond the expectation from flow and pH,
    and steps smaller than the level alone explains.

    Parameters
    ----------
    score_min : float
        Smallest −ln p of a window of both together.
    drop_min : float
        Smallest drop of the level, as a share.
    flat_max : float
        Largest ratio of the span's daily spread to the usual one.
    """
    water = panel.roster["system"].isin(("wastewater", "surface_water")).to_numpy() & panel.pollutant & (panel.per_day >= 24)
    n, days = panel.shape
    if not water.any():
        return verdicts(
            panel.shape, np.zeros(panel.shape, bool), np.zeros(panel.shape), no_spans(["drop", "flat", "days", "abrupt"]), panel.first_day
        )
    hourly = np.where(panel.running, panel.hour("hour_mean"), np.nan)
    steps = np.abs(np.diff(hourly, axis=1, prepend=np.nan)).reshape(n, days, 24)
    logs = np.where(panel.running, panel.transformed[0], np.nan).reshape(n, days, 24)
    enough = np.isfinite(steps).sum(axis=2) >= 8
    with np.errstate(all="ignore"):
        level = np.where(enough & panel.expectation.logarithmic[:, None], middle(logs, axis=2), np.nan)
        still_steps = np.where(enough, middle(steps, axis=2), np.nan)
        flat = np.log(np.maximum(still_steps, 1e-3 * middle(still_steps)[:, None]))
    process = daily_residual(panel.process_expectation, days)
    level = np.where(np.isfinite(process), process, level)
    able = water[:, None] & np.isfinite(level) & np.isfinite(flat)
    low, still = -own_scores(np.where(able, level, np.nan), panel.peers), -own_scores(np.where(able, flat, np.nan), panel.peers)
    both = _joint_drop(panel, np.where(able, low, np.nan))
    # flat by itself is a quiet day and low by itself a clean one; a second pollutant of the sample may stand in for flat
    second = np.maximum(np.clip(still, 0, 6), np.clip(np.nan_to_num(both), 0, 6))
    z = np.where((low > 0) & (second > 0), np.sqrt(2) * np.minimum(np.clip(low, 0, 6), second), np.minimum(low, 0))
    z = np.where(able, z, np.nan)
    rows = []
    for row, a, b, score in _windows(panel, z, score_min, (1, *LONGEST)):
        out = np.r_[max(0, a - 30) : a, b : min(days, b + 30)]
        drop = 1 - np.exp(_median_or(level[row, a:b], 0.0) - _median_or(level[row, out], 0.0))
        ratio = np.exp(_median_or(flat[row, a:b], 0.0) - _median_or(flat[row, out], 0.0))
        joint = float(np.nanmean(both[row, a:b])) if np.isfinite(both[row, a:b]).any() else 0.0
        if drop < drop_min or (ratio > flat_max and joint < 3):
            continue
        start, end = _dates(panel, a, b)
        nats = score
        abrupt = _edge(level[row], a, b, -np.log1p(-min(drop, 0.99)))
        rows.append({"row": row, "start": start, "end": end, "nats": nats, "drop": drop, "flat": ratio, "days": b - a, "abrupt": abrupt})
    spans = pd.DataFrame(rows) if rows else no_spans(["drop", "flat", "days", "abrupt"])
    return verdicts(panel.shape, able, np.zeros(panel.shape), spans, panel.first_day)


def _joint_drop(panel: Panel, low: np.ndarray) -> np.ndarray:
    """Return the smallest downward score among the other pollutants of the same place, NaN where there is none."""
    out = np.full(low.shape, np.nan)
    for rows in panel.members.values():
        mine = rows[panel.pollutant[rows] & np.isfinite(low[rows]).any(axis=1)]
        for row in mine if len(mine) > 1 else []:
            out[row] = low[mine[mine != row]].min(axis=0)
    return out


def sampling_line_diluted(panel: Panel, *, score_min: float, air_min: float, agree: float) -> Verdicts:
    """Find spans in which outside air gets into the sampling line: O2 rises and every pollutant falls along one mixing line.

    With a share f of air, c → c·(1−f) and O2 → O2 + f·(20.9−O2). The converted concentration c·(21−O2ref)/(21−O2) does not
    change, so the pair is watched and not c_ref. Where O2 does not rise while all pollutants fall by one factor that flow,
    temperature and power do not explain, O2 has been falsified with them or a common scale was edited.

    Parameters
    ----------
    score_min : float
        Smallest −ln p of a window of the joint movement.
    air_min : float
        Smallest share of air.
    agree : float
        Largest relative disagreement of the shares computed from the pollutants and from O2 for the mixing line.
    """
    days, n = panel.shape[1], panel.shape[0]
    r = daily_residual(panel.process_expectation, days)
    z = own_scores(r, panel.peers)
    joint = np.full((n, days), np.nan)
    oxygen = np.full(n, -1)
    factors = panel.roster["factor"].to_numpy(dtype=object)
    partners: dict[int, np.ndarray] = {}
    for rows in panel.members.values():
        if str(panel.roster["system"].iloc[rows[0]]) != "cems":
            continue
        pollutants = rows[panel.pollutant[rows] & panel.process_expectation.logarithmic[rows]]
        gas = rows[(factors[rows] == OXYGEN) & panel.judged[rows]]
        if len(pollutants) < 2 and not (len(pollutants) and len(gas)):
            continue
        down = -z[pollutants]
        lowest = np.where(np.isfinite(down).all(axis=0), np.clip(down, -6, 6).min(axis=0), np.nan)
        head = int(pollutants[0])
        partners[head] = pollutants
        if len(gas):
            oxygen[head] = int(gas[0])
            rise = np.clip(np.nan_to_num(z[gas[0]]), -6, 6)
            joint[head] = (lowest * np.sqrt(len(pollutants)) + np.maximum(rise, 0)) / np.sqrt(2)
        else:
            joint[head] = lowest * np.sqrt(len(pollutants)) / np.sqrt(2)
    able_rows = np.isfinite(joint)
    rows_out = []
    hourly = panel.hour("hour_mean")
    for row, a, b, score in _windows(panel, joint, score_min, (1, *LONGEST)):
        near = np.r_[max(0, a - 21) : a, b : min(days, b + 21)]
        if len(near) < 3:
            continue
        shares = [1 - np.exp(_median_or(r[p, a:b], 0.0) - _median_or(r[p, near], 0.0)) for p in partners[row]]
        share = float(np.median(shares))
        air = np.nan
        if oxygen[row] >= 0:
            o2 = np.where(panel.running[oxygen[row]], hourly[oxygen[row]], np.nan)
            usual = _median_or(o2.reshape(days, 24)[near].ravel(), np.nan)
            moved = _median_or(r[oxygen[row], a:b], 0.0) - _median_or(r[oxygen[row], near], 0.0)
            air = float(moved / max(AMBIENT_O2 - usual, 1.0))
        if share < air_min or max(shares) - min(shares) > agree * share + 0.05:
            continue
        on_line = bool(np.isfinite(air) and air >= 0.5 * air_min and abs(air - share) <= agree * share + 0.03)
        if len(shares) < 2 and not on_line:
            continue
        start, end = _dates(panel, a, b)
        nats = score
        for p in partners[row]:
            numbers = {"air": share, "o2_share": air, "on_line": float(on_line), "pollutants": len(shares), "days": b - a}
            rows_out.append({"row": int(p), "start": start, "end": end, "nats": nats, **numbers})
    rows_out += _air_for_hours(panel, partners, oxygen, score_min, rows_out)
    able = np.zeros((n, days), dtype=bool)
    strength = np.zeros((n, days))
    for head, rows in partners.items():
        able[rows] = able_rows[head]
    spans = pd.DataFrame(rows_out) if rows_out else no_spans(["air", "o2_share", "on_line", "pollutants", "days"])
    return verdicts(panel.shape, able, strength, spans, panel.first_day)


def _air_for_hours(
    panel: Panel, partners: dict[int, np.ndarray], oxygen: np.ndarray, score_min: float, known: list[dict[str, Any]]
) -> list[dict[str, Any]]:
    """Return the spans of some hours of fine lines on which one factor lies, apart from those that the days show already."""
    hour = pd.Timedelta(hours=1)
    e = panel.process_expectation.residual
    found, mirrored, lines = [], [], 0
    for head, rows in partners.items():
        if len(rows) < 2 or panel.per_day[head] < FINEST:
            continue
        lines += 1
        residual = e[rows].astype(float)
        found += [(head, s) for s in common_spans(residual)]
        mirrored += [s.score for s in common_spans(residual, up=True)]
    out: list[dict[str, Any]] = []
    nats = nats_of(np.array([s.score for _, s in found]), np.array(mirrored), lines)
    for (head, s), strong in zip(found, nats.tolist(), strict=True):
        start, end = panel.first_day + s.first * hour, panel.first_day + s.last * hour
        seen = any(k["row"] in partners[head] and k["start"] < end and k["end"] > start for k in known)
        if strong < score_min or seen:
            continue
        air = np.nan
        if oxygen[head] >= 0:
            o2 = panel.hour("hour_mean")[oxygen[head]].astype(float)
            usual = _median_or(np.r_[o2[max(0, s.first - 12) : s.first], o2[s.last + 1 : s.last + 13]], np.nan)
            air = (_median_or(o2[s.first + 1 : s.last], np.nan) - usual) / max(AMBIENT_O2 - usual, 1.0)
        on_line = bool(np.isfinite(air) and abs(air - s.share) <= 0.4 * s.share + 0.03)
        numbers = {"air": s.share, "o2_share": air, "on_line": float(on_line), "pollutants": len(partners[head])}
        numbers["days"] = (s.last - s.first) / 24
        out += [{"row": int(p), "start": start, "end": end, "nats": strong, **numbers} for p in partners[head]]
    return out


def drift_ends_at_calibration(panel: Panel, *, slope_min: float, reset_min: float, days_min: float) -> Verdicts:
    """Find slow drifts of the residual that a maintenance or calibration resets: an instrument fault, not fraud.

    Parameters
    ----------
    slope_min : float
        Smallest drift over the span in robust standard deviations of the daily residual.
    reset_min : float
        Smallest share of the drift that the reset takes back.
    days_min : float
        Shortest drift.
    """
    _r, z, able = _scores(panel, panel.expectation, 0.2)
    code = panel.hour("hour_mark").reshape(*panel.shape, 24)
    serviced = (code == 2).any(axis=2) | (code == 4).any(axis=2)
    window = int(days_min)
    rows = []
    grid = np.arange(window) - (window - 1) / 2
    for row in np.flatnonzero(able.any(axis=1)):
        for day in map(int, np.flatnonzero(serviced[row])):
            if day < window or day + 3 > panel.shape[1]:
                continue
            past, after = -z[row, day - window : day], -z[row, day + 1 : day + 4]
            if not np.isfinite(past).all() or not np.isfinite(after).any():
                continue
            rise = float((grid @ past) / (grid @ grid)) * window
            reset = float(np.nanmedian(after) - np.median(past[-3:]))
            straight = np.corrcoef(grid, past)[0, 1] ** 2
            if abs(rise) >= slope_min and -reset / rise >= reset_min and straight >= 0.6:
                start, end = _dates(panel, day - window, day)
                rows.append(
                    {
                        "row": int(row),
                        "start": start,
                        "end": end,
                        "nats": min(abs(rise), 8.0),
                        "rise": rise,
                        "reset": -reset / rise,
                        "days": window,
                    }
                )
    spans = pd.DataFrame(rows) if rows else no_spans(["rise", "reset", "days"])
    return verdicts(panel.shape, able, np.zeros(panel.shape), spans, panel.first_day)
