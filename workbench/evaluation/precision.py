"""Precision and recall at a review budget: of the first ``b`` leads, how many are right, and how much do they find?

A budget is a number of leads that the bureau can look at. Accuracy is never computed: with a few violations among
hundreds of enterprises a model that says nothing is right nearly always.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from workbench.contracts import Metric
from workbench.evaluation.intervals import Statistic, divide, measured, unevaluated


def by_rank(leads: pd.DataFrame) -> pd.DataFrame:
    """Return the leads in the order in which they are reviewed: by rank over both queues."""
    return leads.sort_values(["rank", "lead_id"], kind="stable", ignore_index=True)


def precision_at(budget: int, right: np.ndarray) -> Statistic:
    """Return the statistic precision@budget for rows in rank order.

    Parameters
    ----------
    right : float array
        1 right, 0 wrong, NaN without a label. Rows without one use up budget, yet are not counted as wrong.
    """
    labelled = np.isfinite(right)
    hit = np.where(labelled, right, 0.0)

    def statistic(w: np.ndarray) -> np.ndarray:
        top = w * (np.cumsum(w, axis=1) <= budget)
        return divide(top @ hit, top @ labelled.astype(float))

    return statistic


def precision_metrics(
    leads: pd.DataFrame, right: np.ndarray, budgets: list[int], *, seed: int, population: pd.Index | None, against: str, note: str = ""
) -> list[Metric]:
    """Return precision@budget of ``leads`` (in rank order), with the share of the budget that carries a label.

    Parameters
    ----------
    right : float array
        As :func:`precision_at`.
    """
    labelled = np.isfinite(right)
    out = []
    for budget in budgets:
        top = np.arange(len(leads)) < budget
        told = f"{int((top & labelled).sum())} of the first {min(budget, len(leads))} leads carry a label"
        out.append(
            measured(
                f"precision@{budget}",
                precision_at(budget, right),
                leads["enterprise_id"],
                seed=seed,
                population=population,
                counted=top & labelled,
                subject="leads",
                against=against,
                note="; ".join(filter(None, (told, note))),
            )
        )
    return out


def recall_metrics(
    leads: pd.DataFrame, truth: pd.DataFrame, pairs: pd.DataFrame, budgets: list[int], *, seed: int, population: pd.Index, against: str
) -> list[Metric]:
    """Return recall@budget: the share of violations that one of the first ``b`` leads reaches.

    Parameters
    ----------
    pairs : DataFrame
        ``row`` (position in ``leads``, in rank order) and ``violation`` (position in ``truth``).
    """
    if not len(truth):
        return [unevaluated(f"recall@{b}", "no violation in the truth", subject="leads", against=against) for b in budgets]
    first = np.full(len(truth), -1)
    reached = pairs.groupby("violation")["row"].min()
    first[reached.index.to_numpy(int)] = reached.to_numpy(int)
    # One block of weights for both: a lead and the violation it reaches share their enterprise, hence their weight.
    ids = pd.concat([leads["enterprise_id"], truth["enterprise_id"]], ignore_index=True)
    out = []
    for budget in budgets:
        statistic = _recall(budget, first, len(leads))
        counted = np.r_[np.zeros(len(leads), bool), np.ones(len(truth), bool)]
        hit = int(((first >= 0) & (first < budget)).sum())
        out.append(
            measured(
                f"recall@{budget}",
                statistic,
                ids,
                seed=seed,
                population=population,
                counted=counted,
                subject="leads",
                against=against,
                note=f"{hit} of {len(truth)} violations reached",
            )
        )
    return out


def _recall(budget: int, first: np.ndarray, leads: int) -> Statistic:
    def statistic(w: np.ndarray) -> np.ndarray:
        violations = w[:, leads:]
        within = np.zeros(violations.shape, dtype=bool)
        if leads:
            within = np.cumsum(w[:, :leads], axis=1)[:, first] <= budget
        return divide((violations * within * (first >= 0)).sum(axis=1), violations.sum(axis=1))

    return statistic


def silent_precision(
    leads: pd.DataFrame, right: np.ndarray, *, seed: int, population: pd.Index | None, against: str, note: str = ""
) -> Metric:
    """Return the precision of the whole silent queue, where no single model had raised an alert."""
    silent = (leads["queue"] == "silent").to_numpy()
    counted = silent & np.isfinite(right)
    hit = np.where(counted, right, 0.0)

    def statistic(w: np.ndarray) -> np.ndarray:
        return divide(w @ hit, w @ counted.astype(float))

    told = f"{int(counted.sum())} of {int(silent.sum())} silent leads carry a label"
    return measured(
        "silent_queue_precision",
        statistic,
        leads["enterprise_id"],
        seed=seed,
        population=population,
        counted=counted,
        subject="silent queue",
        against=against,
        note="; ".join(filter(None, (told, note))),
    )
