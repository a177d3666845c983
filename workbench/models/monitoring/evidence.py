"""Hourly channels of the monitors for the cross-model layer.

Every channel is of one enterprise and hour; where it has several outlets the most telling one counts. ``outage`` is a level of
its own wherever the source can be down.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
import xarray as xr

from workbench.contracts import NOT_INSTALLED, channel
from workbench.models.monitoring.analysis import Analysis
from workbench.models.monitoring.detectors.operation import reference_concentration
from workbench.models.monitoring.detectors.shift import daily_residual
from workbench.models.monitoring.panel import Panel
from workbench.models.monitoring.scan import own_scores
from workbench.models.monitoring.vocabulary import FLOW

LEVEL = ("outage", "low", "middle", "near", "over")
CONTEXT = ("outage", "normal", "stopped", "start_stop", "service")
RUNNING = ("outage", "idle", "running")
INTEGRITY = ("outage", "clean", "weak", "suspect", "strong")
EXPECTED = ("outage", "as_expected", "lower", "higher")
MARK_TRUTH = ("unmarked", "consistent", "contradicted")


def make_evidence(analysis: Analysis, findings: pd.DataFrame) -> xr.Dataset:
    """Return the channels of every enterprise with a monitored point, hourly over the whole feature set."""
    panel = analysis.panel
    owner = panel.roster["enterprise_id"].to_numpy(dtype=object)
    enterprises = sorted({str(e) for e in owner[panel.monitored] if e})
    hours = pd.DatetimeIndex(panel.data["hour"].to_numpy())
    rows = {e: np.flatnonzero((owner == e) & panel.monitored) for e in enterprises}
    made = {
        "monitor_level": (_level(panel, rows, hours), LEVEL, "monitor_level", "监测浓度水平", "reading against the limit", ["over"]),
        "monitor_context": (_context(panel, rows, hours), CONTEXT, "monitor_marks", "监测标记工况", "marked working condition", []),
        "monitor_flow": (_flow(panel, rows, hours), RUNNING, "monitor_flow", "排口流量", "flow of the outlet", []),
        "monitor_integrity": (
            _integrity(panel, rows, hours, findings),
            INTEGRITY,
            "monitor_fraud",
            "监测数据真实性",
            "integrity of the readings",
            ["strong"],
        ),
        "monitor_expected": (
            _expected(panel, rows, hours),
            EXPECTED,
            "monitor_residual",
            "读数与工况推算之差",
            "reading against its expectation",
            [],
        ),
        "monitor_mark_truth": (
            _mark_truth(panel, rows, hours, findings),
            MARK_TRUTH,
            "monitor_marks",
            "标记与工况一致性",
            "marks against operation",
            ["contradicted"],
        ),
    }
    return xr.Dataset(
        {
            name: channel(
                values,
                enterprises=enterprises,
                hours=hours,
                levels=levels,
                source="monitor",
                group=group,
                label_zh=zh,
                label_en=en,
                alert_levels=alert,
            )
            for name, (values, levels, group, zh, en, alert) in made.items()
        }
    )


def _blank(rows: dict[str, np.ndarray], hours: pd.DatetimeIndex) -> np.ndarray:
    return np.full((len(rows), len(hours)), NOT_INSTALLED, dtype=np.int8)


def _level(panel: Panel, rows: dict[str, np.ndarray], hours: pd.DatetimeIndex) -> np.ndarray:
    limit = panel.roster["limit"].to_numpy(dtype=float)
    ratio = reference_concentration(panel) / limit[:, None]
    steps = np.select([np.isnan(ratio), ratio > 1, ratio > 0.9, ratio > 0.5], [0, 4, 3, 2], 1).astype(np.int8)
    return _highest(steps, rows, hours, panel.pollutant & np.isfinite(limit))


def _highest(steps: np.ndarray, rows: dict[str, np.ndarray], hours: pd.DatetimeIndex, wanted: np.ndarray) -> np.ndarray:
    out = _blank(rows, hours)
    for k, mine in enumerate(rows.values()):
        mine = mine[wanted[mine]]
        if len(mine):
            out[k] = steps[mine].max(axis=0)
    return out


def _context(panel: Panel, rows: dict[str, np.ndarray], hours: pd.DatetimeIndex) -> np.ndarray:
    code = panel.hour("hour_mark")
    missing = panel.hour("hour_missing") >= 0.9
    steps = np.select([code == 1, np.isin(code, (8, 9)), np.isin(code, (2, 3, 4, 5, 7, 10)), missing], [2, 3, 4, 0], 1).astype(np.int8)
    out = _blank(rows, hours)
    for k, mine in enumerate(rows.values()):
        # an enterprise is stopped when all of its outlets are; otherwise the least special outlet counts
        out[k] = np.where((steps[mine] == 1).any(axis=0), 1, steps[mine].max(axis=0))
    return out


def _flow(panel: Panel, rows: dict[str, np.ndarray], hours: pd.DatetimeIndex) -> np.ndarray:
    value = panel.hour("hour_any")
    flows = panel.roster["factor"].isin(FLOW).to_numpy() & panel.judged
    steps = np.zeros(value.shape, dtype=np.int8)
    for row in np.flatnonzero(flows):
        finite = value[row][np.isfinite(value[row])]
        if finite.size >= 48 and (top := np.quantile(finite, 0.9)) > 0:
            steps[row] = np.where(np.isnan(value[row]), 0, np.where(value[row] < 0.15 * top, 1, 2))
    return _highest(steps, rows, hours, flows)


def _integrity(panel: Panel, rows: dict[str, np.ndarray], hours: pd.DatetimeIndex, findings: pd.DataFrame) -> np.ndarray:
    missing = panel.hour("hour_missing") >= 0.9
    out = _blank(rows, hours)
    for k, mine in enumerate(rows.values()):
        mine = mine[panel.judged[mine]]
        if len(mine):
            out[k] = np.where(missing[mine].all(axis=0), 0, 1)
    position = {e: k for k, e in enumerate(rows)}
    about = findings[
        (findings["kind"] == "fabrication") & (findings["suppressed_by"] == "") & (findings["detector"] != "mark_contradicts_operation")
    ]
    for e, start, end, p, verdict in zip(
        about["enterprise_id"], about["start"], about["end"], about["p_breach"], about["verdict"], strict=True
    ):
        at = position.get(str(e))
        step = 4 if verdict == "breach" else 3 if p >= 0.3 else 2 if p >= 0.1 else 1
        if at is not None and step > 1:
            span = _span(panel, start, end, len(hours))
            out[at, span] = np.maximum(out[at, span], step)
    return out


def _span(panel: Panel, start: pd.Timestamp, end: pd.Timestamp, n: int) -> slice:
    a = int(np.floor((start - panel.first_day) / pd.Timedelta(hours=1)))
    b = int(np.ceil((end - panel.first_day) / pd.Timedelta(hours=1)))
    return slice(max(0, a), min(n, max(b, a + 1)))


def _expected(panel: Panel, rows: dict[str, np.ndarray], hours: pd.DatetimeIndex) -> np.ndarray:
    source = panel.process_expectation
    able = panel.pollutant & (source.explained >= 0.2)
    z = own_scores(daily_residual(source, panel.shape[1]), panel.peers)
    steps = np.repeat(np.select([np.isnan(z), z < -2.5, z > 2.5], [0, 2, 3], 1), 24, axis=1)[:, : len(hours)].astype(np.int8)
    out = _blank(rows, hours)
    for k, mine in enumerate(rows.values()):
        mine = mine[able[mine]]
        if len(mine):
            lower, higher = (steps[mine] == 2).any(axis=0), (steps[mine] == 3).any(axis=0)
            out[k] = np.where(lower, 2, np.where(higher, 3, np.where((steps[mine] == 0).all(axis=0), 0, 1)))
    return out


def _mark_truth(panel: Panel, rows: dict[str, np.ndarray], hours: pd.DatetimeIndex, findings: pd.DataFrame) -> np.ndarray:
    out = _blank(rows, hours)
    for k, mine in enumerate(rows.values()):
        mine = mine[panel.judged[mine]]
        if len(mine):
            out[k] = np.where(panel.lawful[mine].any(axis=0), 1, 0)
    position = {e: k for k, e in enumerate(rows)}
    about = findings[
        (findings["detector"] == "mark_contradicts_operation") & (findings["p_breach"] >= 0.3) & (findings["suppressed_by"] == "")
    ]
    for e, start, end in zip(about["enterprise_id"], about["start"], about["end"], strict=True):
        if (at := position.get(str(e))) is not None:
            span = _span(panel, start, end, len(hours))
            out[at, span] = np.where(out[at, span] == NOT_INSTALLED, NOT_INSTALLED, 2)
    return out
