"""Graded suspicion per detector family: what a finding, a doubt or a weak span is worth as an hourly level.

``strong`` is what the model raises by itself. ``suspect`` is what it weighed and did not raise, and the spans that a detector
finds at the weaker numbers of ``grades.yml``: the sub-threshold level that brings a silent case back. Faults speak in a
channel of their own, which explains an alarm away.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib.resources import files

import numpy as np
import pandas as pd
import yaml
from pydantic import BaseModel, ConfigDict

from workbench.contracts import NOT_INSTALLED, RuleRow
from workbench.models.monitoring.analysis import Analysis
from workbench.models.monitoring.detectors import DETECTORS
from workbench.models.monitoring.panel import Panel

LADDER = ("ordinary", "suspect", "strong")
CAN_BE_DOWN = frozenset({"monitor_integrity", "monitor_fault"})
"""Roles with a level for an outage."""
SUSPECT_P, FAMILY_SHARE = 0.05, 0.03
"""Smallest probability of a doubt that is a suspicion, and the largest share of enterprise-days that the weak spans of one channel
may cover: beyond it they are a habit of the district and say nothing."""


class Graded(BaseModel):
    """One row of ``grades.yml``."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    role: str
    detectors: list[str]
    weak: dict[str, dict[str, float]]
    zh: str
    en: str

    @property
    def fault(self) -> bool:
        """Whether the channel speaks of faults, which raise no alert."""
        return self.role == "monitor_fault"

    @property
    def levels(self) -> tuple[str, ...]:
        """Names of its levels."""
        return (*LADDER, "outage") if self.role in CAN_BE_DOWN else LADDER


def load_grades() -> dict[str, Graded]:
    """Read ``grades.yml``: channel name -> what it grades."""
    table = yaml.safe_load(files(__package__).joinpath("grades.yml").read_text(encoding="utf-8"))["channels"]
    return {str(k): Graded.model_validate(v) for k, v in table.items()}


def grade(
    analysis: Analysis,
    findings: pd.DataFrame,
    rules: Mapping[str, RuleRow],
    rows: Mapping[str, np.ndarray],
    hours: int,
    row: Graded,
) -> np.ndarray:
    """Return the levels of one graded channel, int8 of shape (enterprise, hour).

    ``-1`` where none of the family's detectors could be evaluated at any point of the enterprise that day: the silence of a
    detector that did not look is no word of innocence.
    """
    panel = analysis.panel
    out = np.full((len(rows), hours), NOT_INSTALLED, dtype=np.int8)
    looked = np.zeros(panel.shape, dtype=bool)
    if not panel.shape[0]:
        return out
    for d in row.detectors:
        looked |= analysis.verdicts[d].ruling >= 0
    missing = panel.hour("hour_missing") >= 0.9
    for k, mine in enumerate(rows.values()):
        mine = mine[panel.judged[mine]]
        if not len(mine):
            continue
        out[k] = np.where(np.repeat(looked[mine].any(axis=0), 24)[:hours], 0, NOT_INSTALLED)
        if row.role in CAN_BE_DOWN:
            out[k, missing[mine].all(axis=0)] = len(LADDER)
    _weak_spans(out, panel, rules, rows, row)
    _findings(out, panel, findings, rows, row)
    return out


def _weak_spans(out: np.ndarray, panel: Panel, rules: Mapping[str, RuleRow], rows: Mapping[str, np.ndarray], row: Graded) -> None:
    """Call suspect what a detector finds at its weaker numbers."""
    owner = panel.roster["enterprise_id"].to_numpy(dtype=object)
    position = {e: k for k, e in enumerate(rows)}
    for name, weaker in row.weak.items():
        spans = DETECTORS[name](panel, **{**rules[name].numbers(), **weaker}).spans
        hit = np.zeros(out.shape, dtype=bool)
        for r, start, end in zip(spans["row"].to_numpy(dtype=int), spans["start"], spans["end"], strict=True):
            if (at := position.get(str(owner[r]))) is not None:
                hit[at, span_of(panel, start, end, out.shape[1])] = True
        if hit.size and hit.mean() <= FAMILY_SHARE:
            out[hit & (out == 0)] = 1


def _findings(out: np.ndarray, panel: Panel, findings: pd.DataFrame, rows: Mapping[str, np.ndarray], row: Graded) -> None:
    """Write the levels of the family's findings over their spans; suppressed ones say nothing."""
    position = {e: k for k, e in enumerate(rows)}
    mine = findings[findings["detector"].isin(row.detectors) & (findings["suppressed_by"] == "")]
    for e, start, end, p, verdict, outcome in zip(
        mine["enterprise_id"], mine["start"], mine["end"], mine["p_breach"], mine["verdict"], mine["outcome"], strict=True
    ):
        at = position.get(str(e))
        step = 1 if row.fault else 0 if outcome == "fault" else 2 if verdict == "breach" else 1 if p >= SUSPECT_P else 0
        if at is not None and step:
            part = out[at, span_of(panel, start, end, out.shape[1])]
            part[part != len(LADDER)] = np.maximum(part[part != len(LADDER)], step)


def span_of(panel: Panel, start: pd.Timestamp, end: pd.Timestamp, n: int) -> slice:
    """Return the hours of a span of time, at least one."""
    a = int(np.floor((start - panel.first_day) / pd.Timedelta(hours=1)))
    b = int(np.ceil((end - panel.first_day) / pd.Timedelta(hours=1)))
    return slice(max(0, a), min(n, max(b, a + 1)))
