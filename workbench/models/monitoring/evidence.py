"""Hourly channels of the monitors for the cross-model layer.

Every channel is of one enterprise and hour; where it has several outlets the most telling one counts. Each names its role in
``docs/evidence-roles.md``, the raw data it rests on (``group``) and the hours of them behind one value. ``outage`` is a level of
its own wherever the source can be down; ``-1`` stands where nothing is installed or nothing could be evaluated.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
import xarray as xr

from workbench.contracts import NOT_INSTALLED, RuleRow, channel
from workbench.models.monitoring.analysis import Analysis
from workbench.models.monitoring.detectors.operation import reference_concentration
from workbench.models.monitoring.detectors.shift import daily_residual
from workbench.models.monitoring.grades import grade, load_grades
from workbench.models.monitoring.panel import Panel
from workbench.models.monitoring.scan import own_scores
from workbench.models.monitoring.vocabulary import FLOW

LEVEL = ("marked", "outage", "under", "near", "over")
MARK = ("none", "stopped", "startup", "calibration", "fault")
RUNNING = ("outage", "none", "some")
EXPECTED = ("outage", "as_expected", "lower", "higher")
NEAR, DAILY_HOURS = 0.9, 8
SERIES = "monitor:series"
"""Group of every channel that is computed from the readings themselves: one monitor's trouble shows in all of them."""


@dataclass(frozen=True)
class Grid:
    """Rows of each enterprise with a monitored point, and the hours."""

    rows: dict[str, np.ndarray]
    hours: pd.DatetimeIndex

    def blank(self) -> np.ndarray:
        """Return a channel in which nothing is installed."""
        return np.full((len(self.rows), len(self.hours)), NOT_INSTALLED, dtype=np.int8)


def make_evidence(analysis: Analysis, findings: pd.DataFrame, rules: Mapping[str, RuleRow]) -> xr.Dataset:
    """Return the channels of every enterprise with a monitored point, hourly over the whole feature set."""
    panel = analysis.panel
    owner = panel.roster["enterprise_id"].to_numpy(dtype=object)
    enterprises = sorted({str(e) for e in owner[panel.monitored] if e})
    hours = pd.DatetimeIndex(panel.data["hour"].to_numpy())
    grid = Grid({e: np.flatnonzero((owner == e) & panel.monitored) for e in enterprises}, hours)
    # name: values, levels, role, group, hours behind a value, words, alert levels
    made = {
        "monitor_level": (_level(panel, grid), LEVEL, "monitor_limit", SERIES, 1, "监测浓度水平", "reading against the limit", ["over"]),
        "monitor_context": (_marks(panel, grid), MARK, "mark", "monitor:marks", 1, "监测标记工况", "marked working condition", []),
        "monitor_flow": (_flow(panel, grid), RUNNING, "monitor_flow", "monitor:flow", 1, "排口流量", "flow of the outlet", []),
        "monitor_expected": (
            _expected(panel, grid),
            EXPECTED,
            "monitor_expected",
            SERIES,
            24,
            "读数与工况推算之差",
            "reading against its expectation",
            [],
        ),
    }
    for name, row in load_grades().items():
        group = "monitor:marks" if row.role == "mark_integrity" else SERIES
        values = grade(analysis, findings, rules, grid.rows, len(hours), row)
        made[name] = (values, row.levels, row.role, group, 24, row.zh, row.en, [] if row.fault else ["strong"])
    return xr.Dataset(
        {
            name: channel(
                values,
                enterprises=enterprises,
                hours=hours,
                levels=levels,
                source="declaration" if role in ("mark", "mark_integrity") else "monitor",
                group=group,
                label_zh=zh,
                label_en=en,
                alert_levels=alert,
                role=role,
                support_hours=support,
            )
            for name, (values, levels, role, group, support, zh, en, alert) in made.items()
        }
    )


def _level(panel: Panel, grid: Grid) -> np.ndarray:
    """Return the level against the limit; of a daily limit, the day's mean of its ordinary hours."""
    days = panel.shape[1]
    limit = panel.roster["limit"].to_numpy(dtype=float)
    ratio = np.where(panel.lawful, np.nan, reference_concentration(panel)) / limit[:, None]
    for row in np.flatnonzero(panel.roster["limit_basis"].to_numpy(dtype=object) == "day"):
        table = ratio[row].reshape(days, 24)
        known = np.isfinite(table)
        mean = np.nansum(table, axis=1) / np.maximum(known.sum(axis=1), 1)
        ratio[row] = np.where(known, np.where(known.sum(axis=1) >= DAILY_HOURS, mean, np.nan)[:, None], np.nan).ravel()
    down = (panel.hour("hour_missing") >= 0.9) & ~panel.lawful
    steps = np.select([ratio > 1, ratio > NEAR, np.isfinite(ratio), panel.lawful, down], [4, 3, 2, 0, 1], NOT_INSTALLED).astype(np.int8)
    return _highest(steps, grid, panel.pollutant & np.isfinite(limit))


def _highest(steps: np.ndarray, grid: Grid, wanted: np.ndarray) -> np.ndarray:
    out = grid.blank()
    for k, mine in enumerate(grid.rows.values()):
        mine = mine[wanted[mine]]
        if len(mine):
            out[k] = steps[mine].max(axis=0)
    return out


def _marks(panel: Panel, grid: Grid) -> np.ndarray:
    code = panel.hour("hour_mark")
    steps = np.select([code == 1, np.isin(code, (8, 9)), np.isin(code, (2, 3, 5, 10)), np.isin(code, (4, 7))], [1, 2, 3, 4], 0).astype(
        np.int8
    )
    out = grid.blank()
    for k, mine in enumerate(grid.rows.values()):
        # an enterprise is stopped when all of its outlets are; otherwise the least special outlet counts
        out[k] = np.where((steps[mine] == 0).any(axis=0), 0, steps[mine].max(axis=0))
    return out


def _flow(panel: Panel, grid: Grid) -> np.ndarray:
    value = panel.hour("hour_any")
    flows = panel.roster["factor"].isin(FLOW).to_numpy() & panel.judged
    steps = np.zeros(value.shape, dtype=np.int8)
    for row in np.flatnonzero(flows):
        finite = value[row][np.isfinite(value[row])]
        if finite.size >= 48 and (top := np.quantile(finite, 0.9)) > 0:
            steps[row] = np.where(np.isnan(value[row]), 0, np.where(value[row] < 0.15 * top, 1, 2))
    return _highest(steps, grid, flows)


def _expected(panel: Panel, grid: Grid) -> np.ndarray:
    source = panel.process_expectation
    able = panel.pollutant & (source.explained >= 0.2)
    z = own_scores(daily_residual(source, panel.shape[1]), panel.peers)
    missing = (panel.day("n_missing") / panel.per_day[:, None]) >= 0.9
    steps = np.select([z < -2.5, z > 2.5, np.isfinite(z), missing], [2, 3, 1, 0], NOT_INSTALLED)
    steps = np.repeat(steps, 24, axis=1)[:, : len(grid.hours)].astype(np.int8)
    out = grid.blank()
    for k, mine in enumerate(grid.rows.values()):
        mine = mine[able[mine]]
        if len(mine):
            lower, higher = (steps[mine] == 2).any(axis=0), (steps[mine] == 3).any(axis=0)
            out[k] = np.where(lower, 2, np.where(higher, 3, steps[mine].max(axis=0)))
    return out
