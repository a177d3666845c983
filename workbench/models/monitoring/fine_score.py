"""The score that the rehearsal at fine data teaches, and the check that it has earned its place.

It replaces the stated weights of fine points only where it beats them on what neither was fitted to: the rehearsed edits out of fold, and
the inspected candidates out of fold by enterprise. Otherwise the stated weights stay, and the note says why.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd

from workbench.contracts import RuleRow
from workbench.models.monitoring.analysis import Analysis
from workbench.models.monitoring.candidates import Scoring, candidates
from workbench.models.monitoring.detectors import DETECTORS
from workbench.models.monitoring.fine_rehearsal import EDITS, FROZEN, rehearse_fine
from workbench.models.monitoring.one_thread import one_blas_thread
from workbench.models.monitoring.rehearsal import Plan, load_plan
from workbench.models.monitoring.rehearsed import Rehearsed, fit_rehearsed
from workbench.models.monitoring.rehearsing import over_edit
from workbench.models.monitoring.scoring import base_terms, by_fine_rehearsal, folds_of, platt_losses, shared_weights
from workbench.models.monitoring.windows import FAMILIES

MIN_CHECKED = 20
"""Fewest inspected candidates on which the learned score is held against the stated one."""


def fine_examples(
    analysis: Analysis, rules: Mapping[str, RuleRow], scoring: Scoring, seed: int, plan: Plan
) -> tuple[pd.DataFrame, np.ndarray, np.ndarray, np.ndarray, tuple[float, int, int]] | None:
    """Return the examples: candidates, 1 over an edit and 0 for the others, kind of edit, weight, and the run.

    Unedited examples are the candidates of the whole history, each once, and readings that were frozen on purpose.
    """
    made = rehearse_fine(analysis.panel, plan, seed)
    if made is None:
        return None
    wanted = [d for d, f in scoring.detectors.items() if f.family in FAMILIES and f.kind == "fabrication"]
    c = analysis.candidates
    c = c[by_fine_rehearsal(c, scoring)] if len(c) else c
    parts, labels, kinds, weights, edits = [c], [np.zeros(len(c))], [np.full(len(c), "", dtype=object)], [np.ones(len(c))], 0
    with one_blas_thread():
        for r in made:
            found = {d: DETECTORS[d](r.panel, **rules[d].numbers()) for d in wanted}
            c = candidates(r.panel, found, scoring)
            edits += int((r.edits["kind"] != FROZEN).sum())
            c = c[by_fine_rehearsal(c, scoring)] if len(c) else c
            if not len(c):
                continue
            y, which = over_edit(r.panel, c, r.edits)
            stands = (y == 1) & (which >= 0)
            kind = r.edits["kind"].to_numpy(dtype=object)[which]
            each = 1.0 / np.maximum(np.bincount(which[stands], minlength=len(r.edits)), 1)[which]
            parts.append(c[stands])
            labels.append(np.where(kind == FROZEN, 0.0, 1.0)[stands])
            kinds.append(kind[stands])
            weights.append(each[stands])
    c, y = pd.concat(parts, ignore_index=True), np.concatenate(labels)
    kind, weight = np.concatenate(kinds).astype(str), np.concatenate(weights)
    # nobody knows which edit is the commonest: each kind weighs alike
    told = [k for k in EDITS if (kind == k).any()]
    for k in told:
        weight[kind == k] *= weight[np.isin(kind, told)].sum() / len(told) / weight[kind == k].sum()
    years = float((analysis.panel.fine & analysis.panel.pollutant).sum()) * analysis.panel.shape[1] / 365.25
    return c, y, kind, weight, (years, edits, 1)


def fine_score(
    analysis: Analysis, y: np.ndarray, rules: Mapping[str, RuleRow], scoring: Scoring, seed: int, plan: Plan | None = None
) -> tuple[Rehearsed | None, str]:
    """Return the score that the sampled readings' own edited history teaches, None where it is not to be used, and why.

    Parameters
    ----------
    y : float array, shape (candidate,)
        Labels of the analysis' candidates, 1, 0 or NaN.
    """
    if not analysis.panel.shape[0]:
        return None, ""
    plan = plan or load_plan()
    examples = fine_examples(analysis, rules, scoring, seed, plan)
    made = fit_rehearsed(*examples, plan, seed) if examples else None
    if examples is None or made is None:
        return None, ""
    c, edited, _, weight, _ = examples
    stated, pooled = _both(c, scoring, made)
    before, after = (_line_loss(s, edited, weight) for s in (stated, pooled))
    said = f"full rate, {made.note}; pooled with the stated weights log loss {after:.3f} against {before:.3f}"
    if after >= before:
        return None, f"{said}: stated weights stay"
    mine = by_fine_rehearsal(analysis.candidates, scoring) & np.isfinite(y)
    c, y, groups = analysis.candidates[mine], y[mine], analysis.owners(analysis.candidates)[mine].astype(str)
    if len(y) < MIN_CHECKED or min((y == 1).sum(), (y == 0).sum()) < 2:
        return made, f"{said}; {len(y)} inspected candidates are too few to check it"
    weight, folds = shared_weights(groups), folds_of(groups, seed)
    before, after = (float(np.average(platt_losses(s, y, weight, folds), weights=weight)) for s in _both(c, scoring, made))
    said = f"{said}; on {len(y)} inspected candidates {after:.3f} against {before:.3f}"
    return (made, said) if after < before else (None, f"{said}: stated weights stay")


def _both(c: pd.DataFrame, scoring: Scoring, made: Rehearsed) -> tuple[np.ndarray, np.ndarray]:
    """Return the stated score of candidates and the pooled one; trees that score a place never saw it."""
    stated, pooled = base_terms(c, scoring, None), base_terms(c, scoring, None, made)
    return stated.sum(axis=1).to_numpy(), pooled.sum(axis=1).to_numpy()


def _line_loss(score: np.ndarray, y: np.ndarray, weight: np.ndarray) -> float:
    """Return the weighted log loss of the best logistic line through scores, so that only their order and spread are compared."""
    from scipy.optimize import minimize

    def loss(theta: np.ndarray) -> float:
        z = theta[0] * score + theta[1]
        return float(np.average(np.logaddexp(0.0, z) - y * z, weights=weight))

    return float(minimize(loss, np.array([0.5, 0.0]), method="L-BFGS-B", bounds=[(0.01, 3.0), (-12.0, 12.0)]).fun)
