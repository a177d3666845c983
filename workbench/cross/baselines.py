"""What the fusion has to beat, on the same candidate leads: alert count, best score, stacking, Dawid–Skene, Dempster–Shafer."""

from __future__ import annotations

import numpy as np
import pandas as pd

from workbench.contracts import Queue
from workbench.cross.calibration import labelled
from workbench.cross.episodes import breaches
from workbench.cross.latent_class import fit_latent_class
from workbench.cross.leads import ranked

NAMES = ("alert_count", "max_score", "stacking", "dawid_skene", "dempster_shafer")


def rerank(leads: pd.DataFrame, findings: pd.DataFrame, inspections: pd.DataFrame | None, name: str) -> pd.DataFrame:
    """Return the main leads with a baseline's probability and rank in place of the fused ones.

    Parameters
    ----------
    leads : DataFrame
        From :func:`workbench.cross.build_leads`; only spans and findings are used, never its probabilities.
    findings : DataFrame
        Contract table.
    inspections : DataFrame, optional
        Labels; ``stacking`` needs them and falls back to ``max_score`` with fewer than ten, or of one class.
    name : str
        One of :data:`NAMES`.
    """
    main = leads[leads["queue"] == Queue.MAIN.value].reset_index(drop=True)
    if not len(main):
        return main
    p = _scores(main, breaches(findings), inspections, name)
    # order first: ties of a count are broken by the best score, which helps the baseline
    best = _matrix(main, breaches(findings))[0].max(1)
    order = np.lexsort((-best, -p))
    out = main.iloc[order].copy()
    out["p_violation"] = np.clip(p[order], 0, 1)
    out["p_low"] = out["p_high"] = out["p_violation"]
    out["rank"] = np.arange(1, len(out) + 1)
    return out.reset_index(drop=True) if name == "alert_count" else ranked(out)


def _matrix(main: pd.DataFrame, found: pd.DataFrame) -> tuple[np.ndarray, np.ndarray, list[str]]:
    """Return (best p, count) of each lead by model, and the models."""
    models = sorted(set(found["model"]))
    by_id = found.set_index("finding_id")
    best, count = np.zeros((len(main), len(models))), np.zeros((len(main), len(models)))
    for i, ids in enumerate(main["findings"]):
        mine = by_id.loc[[x for x in ids if x in by_id.index]]
        for k, m in enumerate(models):
            g = mine.loc[mine["model"] == m, "p"]
            best[i, k], count[i, k] = (float(g.max()), len(g)) if len(g) else (0.0, 0)
    return best, count, models


def _scores(main: pd.DataFrame, found: pd.DataFrame, inspections: pd.DataFrame | None, name: str) -> np.ndarray:
    best, count, _ = _matrix(main, found)
    if name == "alert_count":
        return np.asarray(count.sum(1) / max(1.0, count.sum(1).max()))
    if name == "max_score":
        return np.asarray(best.max(1))
    if name == "stacking":
        return _stacking(main, best, count, inspections)
    if name == "dawid_skene":
        said = np.where(count > 0, np.where(best > 0.5, 2, 1), 0)
        return np.asarray(
            fit_latent_class(said, 2, difficulties=1, n_levels=3, start=np.c_[1 - best.max(1), best.max(1)]).posterior(said)[:, 1]
        )
    return _dempster_shafer(best)


def _stacking(main: pd.DataFrame, best: np.ndarray, count: np.ndarray, inspections: pd.DataFrame | None) -> np.ndarray:
    from sklearn.linear_model import LogisticRegression

    at, label, weight = labelled(main, inspections)
    if len(at) < 10 or len(set(label)) < 2:
        return np.asarray(best.max(1))
    x = np.c_[best, np.log1p(count), np.log1p(count.sum(1))]
    model = LogisticRegression(C=1.0, max_iter=2000).fit(x[at], label, sample_weight=weight)
    return np.asarray(model.predict_proba(x)[:, 1])


def _dempster_shafer(best: np.ndarray) -> np.ndarray:
    """Return the pignistic probability after Dempster's rule; a model keeps 40 % ignorance, one that is silent all of it."""
    violation, ignorance = np.zeros(len(best)), np.ones(len(best))
    clean = np.zeros(len(best))
    for k in range(best.shape[1]):
        p = best[:, k]
        spoke = p > 0
        a, b = np.where(spoke, 0.6 * p, 0.0), np.where(spoke, 0.6 * (1 - p), 0.0)
        u = 1 - a - b
        conflict = violation * b + clean * a
        v = (violation * a + violation * u + ignorance * a) / (1 - conflict)
        c = (clean * b + clean * u + ignorance * b) / (1 - conflict)
        violation, clean, ignorance = v, c, ignorance * u / (1 - conflict)
    return np.asarray(violation + 0.5 * ignorance)
