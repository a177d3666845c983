"""From a panel to the rehearsed score: edited histories, the detectors run on them, candidates over an edit against all others."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import pandas as pd

from workbench.contracts import RuleRow
from workbench.models.monitoring.analysis import Analysis
from workbench.models.monitoring.candidates import Scoring, candidates
from workbench.models.monitoring.detectors import DETECTORS
from workbench.models.monitoring.one_thread import one_blas_thread
from workbench.models.monitoring.panel import Panel
from workbench.models.monitoring.rehearsal import Plan, load_plan, rehearse
from workbench.models.monitoring.rehearsed import HOURLY_PENALTY, Rehearsed, fit_rehearsed
from workbench.models.monitoring.scoring import Scorer, by_rehearsal
from workbench.models.monitoring.windows import FAMILIES, hours_of

TOUCHES = 0.25
"""Share of the shorter of edit and candidate that must be common for the candidate to stand for the edit."""


def rehearsed_score(panel: Panel, rules: Mapping[str, RuleRow], scoring: Scoring, seed: int, plan: Plan | None = None) -> Rehearsed | None:
    """Return the score that the catalog's own edited history teaches; None where there is too little of it."""
    plan = plan or load_plan()
    wanted = [d for d, f in scoring.detectors.items() if f.family in FAMILIES and f.kind == "fabrication"]
    parts, labels, kinds, weights, edits, rounds = [], [], [], [], 0, 0
    with one_blas_thread():
        for made in rehearse(panel, plan, seed):
            found = {d: DETECTORS[d](made.panel, **rules[d].numbers()) for d in wanted}
            c = candidates(made.panel, found, scoring)
            c = c[by_rehearsal(c, scoring)] if len(c) else c
            rounds, edits = rounds + 1, edits + len(made.edits)
            if len(c):
                y, which = over_edit(made.panel, c, made.edits)
                parts.append(c)
                labels.append(y)
                kinds.append(np.where(which >= 0, made.edits["kind"].to_numpy(dtype=object)[which], ""))
                weights.append(np.where(y == 1, 1.0 / np.maximum(np.bincount(which[which >= 0], minlength=1)[which], 1), -1.0))
    if not parts:
        return None
    c, y = pd.concat(parts, ignore_index=True), np.concatenate(labels)
    kind, weight = np.concatenate(kinds).astype(str), np.concatenate(weights)
    weight = np.where(weight < 0, 1.0 / rounds, weight)
    known = np.isfinite(y)
    years = float((panel.hourly & panel.pollutant).sum()) * panel.shape[1] / 365.25
    run = (years, edits, rounds)
    plan = plan.model_copy(update={"edits_per_point_year": plan.edits_per_hourly_point_year})
    return fit_rehearsed(c[known].reset_index(drop=True), y[known], kind[known], weight[known], run, plan, seed, HOURLY_PENALTY)


def over_edit(panel: Panel, c: pd.DataFrame, edits: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
    """Return 1 for candidates that stand for an edit, NaN for those that only touch one, 0 for all others; and the edit (−1: none)."""
    first, last = hours_of(panel, c)
    out, which = np.zeros(len(c)), np.full(len(c), -1)
    rows = c["row"].to_numpy(dtype=int)
    for k, (row, a, b) in enumerate(edits[["row", "first", "last"]].itertuples(index=False)):
        mine = np.flatnonzero((rows == row) & (first < b) & (last > a))
        common = np.minimum(last[mine], b) - np.maximum(first[mine], a)
        shorter = np.minimum(last[mine] - first[mine], b - a)
        stands = common >= TOUCHES * shorter
        out[mine] = np.where(stands | (out[mine] == 1), 1.0, np.nan)
        which[mine[stands]] = k
    return out, which


def with_measured_null(analysis: Analysis, scorer: Scorer) -> Analysis:
    """Return the analysis with ln p of rehearsed candidates measured: how many honest candidates reach their score, over all tests."""
    c = analysis.candidates
    if scorer.rehearsed is None or not len(c):
        return analysis
    mine = by_rehearsal(c, scorer.scoring)
    if not mine.any():
        return analysis
    tests = float(sum((v.ruling >= 0).any(axis=1).sum() for v in analysis.verdicts.values())) * analysis.panel.shape[1]
    expected = scorer.rehearsed.expected_honest(scorer.rehearsed.log_odds(c[mine]))
    out = c.copy()
    out.loc[mine, "log_p"] = np.minimum(np.log(np.maximum(expected, 1e-300)) - np.log(max(tests, 1.0)), 0.0)
    return replace(analysis, candidates=out)
