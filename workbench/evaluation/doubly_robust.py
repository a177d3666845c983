"""Estimates that do not believe the inspection history: labels come only from where somebody chose to look.

With π the recorded probability that a unit was selected, A whether it was, y what was found and m̂ what a model
expects, the doubly robust mean is ``N⁻¹ Σ [m̂ + A/π · (y − m̂)]``: right if either π or m̂ is right
(Robins, Rotnitzky and Zhao 1994). π is floored, since one visit with π = 0.001 would speak for a thousand units.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from workbench.contracts import Metric, ParameterError
from workbench.evaluation.intervals import LEVEL, Clusters, bootstrap, divide, interval, unevaluated, wilson

FLOOR = 0.01


def contributions(y: np.ndarray, inspected: np.ndarray, pi: np.ndarray, expected: np.ndarray, floor: float = FLOOR) -> np.ndarray:
    """Return ``m̂ + A/π·(y − m̂)`` for each unit; ``y`` is read only where inspected.

    Raises
    ------
    ParameterError
        If an inspected unit has no label, or no selection probability in (0, 1].
    """
    a = np.asarray(inspected, dtype=bool)
    out = np.asarray(expected, dtype=float).copy()
    if not a.any():
        return out
    p, label = np.asarray(pi, dtype=float)[a], np.asarray(y, dtype=float)[a]
    if not (np.isfinite(p) & (p > 0) & (p <= 1)).all() or not np.isfinite(label).all():
        bad = int((~(np.isfinite(p) & (p > 0) & (p <= 1) & np.isfinite(label))).sum())
        raise ParameterError(
            "an inspected unit needs a label and a selection probability",
            got=f"{bad} of {len(p)} without",
            allowed="label 0 or 1, probability in (0, 1]",
            next_step="log the probability of every draw; leave visits without one out of the estimate",
        )
    out[a] += (label - out[a]) / np.maximum(p, floor)
    return out


def doubly_robust_share(
    name: str,
    y: np.ndarray,
    listed: np.ndarray | None,
    inspected: np.ndarray,
    pi: np.ndarray,
    expected: np.ndarray,
    enterprise_id: pd.Series,
    *,
    seed: int,
    floor: float = FLOOR,
    draws: int = 1000,
    **labels: str,
) -> Metric:
    """Return the doubly robust share of violations that stand on a list: recall at fixed inspections; or how many there are.

    The interval resamples enterprises.

    Parameters
    ----------
    y : float array, shape (units,)
        What the inspection found; ignored where not inspected.
    listed : 0/1 array, shape (units,), or None
        Whether the unit is among the leads of the budget. None: the share of violations among all units (prevalence).
    inspected : bool array
    pi : float array
        Selection probability; ignored where not inspected.
    expected : float array
        Model expectation m̂ of every unit, from a model that has not seen these labels.
    """
    part = contributions(y, inspected, pi, expected, floor)
    top = part if listed is None else part * np.asarray(listed, dtype=float)
    bottom = np.ones(len(part)) if listed is None else part
    a = int(np.asarray(inspected, dtype=bool).sum())
    if not a:
        return unevaluated(name, "no inspection with a logged selection probability", **labels)

    def statistic(w: np.ndarray) -> np.ndarray:
        down = w @ bottom
        return divide(w @ top, np.where(down > 0, down, 0.0))

    value = float(statistic(np.ones((1, len(part))))[0])
    if not np.isfinite(value):
        return unevaluated(name, "no violation is estimated", **labels)
    looked = np.asarray(inspected, dtype=bool)
    labels_seen = np.unique(np.asarray(y, dtype=float)[looked])
    method = f"doubly robust, π ≥ {floor:g}, cluster bootstrap by enterprise, {draws} draws, {LEVEL:.0%}"
    low, high = interval(bootstrap(statistic, Clusters.of(enterprise_id), seed=seed, draws=draws))
    if listed is None and len(labels_seen) == 1:
        # All found, or none: resampling them shows no spread. Unequal π count as fewer, equal visits (Kish).
        weight = 1 / np.maximum(np.asarray(pi, dtype=float)[looked], floor)
        effective = float(weight.sum() ** 2 / (weight**2).sum())
        bound = wilson(effective * labels_seen[0], effective)
        low, high = min(low, bound[0]), max(high, bound[1])
        method = f"doubly robust, π ≥ {floor:g}; Wilson over {effective:.0f} effective visits, {LEVEL:.0%} (all found the same)"
    return Metric(
        name=name,
        value=min(max(value, 0.0), 1.0),
        low=max(low, 0.0),
        high=min(high, 1.0),
        n=a,
        method=method,
        note=f"{a} inspections with a logged probability over {len(part)} units",
        **labels,
    )
