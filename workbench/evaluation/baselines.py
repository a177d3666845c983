"""What the fusion has to beat: counting alerts, and each model alone, held against the same labels by the same rule."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from workbench.contracts import Metric
from workbench.evaluation.against import BUDGETS, INSPECTIONS, TRUTH, read_truth
from workbench.evaluation.matching import label_by_inspection, pairs_with_truth
from workbench.evaluation.precision import precision_metrics

ALERT_COUNT = "alert count"


def ranked_by_alert_count(findings: pd.DataFrame) -> pd.DataFrame:
    """Return one row per enterprise, the most alerts first; its strongest alert stands for it.

    Returns
    -------
    DataFrame
        ``lead_id, rank, enterprise_id, start, end, kind``, in rank order.
    """
    alerts = _strongest_first(findings)
    count = alerts["enterprise_id"].value_counts()
    top = alerts.drop_duplicates("enterprise_id")
    top = top.assign(count=top["enterprise_id"].map(count))
    return _numbered(top.sort_values(["count", "p_breach", "finding_id"], ascending=[False, False, True], kind="stable"))


def ranked_by_model(findings: pd.DataFrame, model: str) -> pd.DataFrame:
    """Return the alerts of one model, the most probable first, one per enterprise and kind (columns as above)."""
    alerts = _strongest_first(findings[findings["model"] == model])
    return _numbered(alerts.drop_duplicates(["enterprise_id", "kind"]))


def baselines(
    findings: pd.DataFrame,
    *,
    inspections: pd.DataFrame | None = None,
    truth_file: Path | None = None,
    enterprises: pd.DataFrame | None = None,
    budgets: Sequence[int] = BUDGETS,
    seed: int = 0,
) -> list[Metric]:
    """Return precision@budget of counting alerts and of each model alone.

    Parameters
    ----------
    findings : DataFrame
        Contract table of all models; only breaches count.
    inspections : DataFrame, optional
        Decided inspections to hold them against (see :func:`workbench.evaluation.decided`).
    truth_file : Path, optional
        Hidden truth of a simulated district.
    enterprises : DataFrame, optional
        Contract table; the population that is resampled.

    Returns
    -------
    list of Metric
        Named as those of the leads; ``subject`` names the baseline.
    """
    population = None if enterprises is None else pd.Index(enterprises["enterprise_id"].astype(object))
    lists = {ALERT_COUNT: ranked_by_alert_count(findings)}
    lists |= {f"model {m} alone": ranked_by_model(findings, m) for m in sorted(findings["model"].unique())}
    truth = None if truth_file is None else read_truth(truth_file)
    out: list[Metric] = []
    for subject, rows in lists.items():
        labels = {}
        if inspections is not None:
            labels[INSPECTIONS] = label_by_inspection(rows, inspections)
        if truth is not None:
            right = np.zeros(len(rows))
            right[pairs_with_truth(rows, truth)["row"].to_numpy(int)] = 1
            labels[TRUTH] = right
        for against, right in labels.items():
            found = precision_metrics(rows, right, sorted(budgets), seed=seed, population=population, against=against)
            out += [m.model_copy(update={"subject": subject}) for m in found]
    return out


def _strongest_first(findings: pd.DataFrame) -> pd.DataFrame:
    alerts = findings[(findings["verdict"] == "breach") & (findings["enterprise_id"] != "")]
    alerts = alerts.assign(p_breach=alerts["p_breach"].fillna(0.0))
    return alerts.sort_values(["p_breach", "finding_id"], ascending=[False, True], kind="stable")


def _numbered(rows: pd.DataFrame) -> pd.DataFrame:
    numbered = rows.rename(columns={"finding_id": "lead_id"}).assign(rank=np.arange(1, len(rows) + 1))
    return numbered[["lead_id", "rank", "enterprise_id", "start", "end", "kind"]].reset_index(drop=True)
