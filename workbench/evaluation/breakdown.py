"""The same figures by kind of trick, by industry and by street: an average hides who is missed and who is bothered."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from workbench.contracts import ParameterError
from workbench.evaluation.against import BUDGETS, read_truth
from workbench.evaluation.intervals import wilson
from workbench.evaluation.matching import pairs_with_truth
from workbench.evaluation.precision import by_rank


def mechanism_table(leads: pd.DataFrame, truth_file: Path, budgets: Sequence[int] = BUDGETS) -> pd.DataFrame:
    """Return one row per mechanism of violation: how many there are, and how many the first leads reach.

    Returns
    -------
    DataFrame
        ``mechanism, kind, n, silent_by_design``; per budget ``recall@b, low@b, high@b``; and the same with ``all`` for
        all leads. Intervals: Wilson, 95 %.
    """
    truth, ordered = read_truth(truth_file), by_rank(leads)
    first = np.full(len(truth), np.inf)
    reached = pairs_with_truth(ordered, truth).groupby("violation")["row"].min()
    first[reached.index.to_numpy(int)] = reached.to_numpy(float)
    rows = []
    for (mechanism, kind), group in truth.groupby(["mechanism", "kind"], sort=True):
        row: dict[str, object] = {
            "mechanism": mechanism,
            "kind": kind,
            "n": len(group),
            "silent_by_design": int(group["silent_by_design"].sum()),
        }
        at = first[group.index.to_numpy(int)]
        for name, budget in [*((str(b), float(b)) for b in budgets), ("all", float(len(ordered)))]:
            row |= _share(int((at < budget).sum()), len(group), name, "recall")
        rows.append(row)
    columns = ["mechanism", "kind", "n", "silent_by_design"]
    columns += [f"{c}@{b}" for b in [*map(str, budgets), "all"] for c in ("recall", "low", "high")]
    return pd.DataFrame(rows, columns=columns)


def precision_by(leads: pd.DataFrame, right: np.ndarray, enterprises: pd.DataFrame, by: str, budget: int) -> pd.DataFrame:
    """Return precision of the first ``budget`` leads by a column of ``enterprises``, such as industry or street_town.

    Parameters
    ----------
    right : float array
        1 right, 0 wrong, NaN without a label, for the leads in rank order.

    Returns
    -------
    DataFrame
        ``<by>, leads, labelled, precision, low, high`` (Wilson over the labelled leads), most leads first.

    Raises
    ------
    ParameterError
        If the enterprises have no such column.
    """
    if by not in enterprises:
        raise ParameterError("no such column to break down by", got=by, allowed=sorted(enterprises.columns))
    top = by_rank(leads).assign(right=right).head(budget)
    top[by] = top["enterprise_id"].map(enterprises.set_index("enterprise_id")[by]).fillna("")
    rows = []
    for value, group in top.groupby(by, sort=True):
        n, k = int(group["right"].notna().sum()), int(group["right"].sum())
        low, high = wilson(k, n)
        rows.append((value, len(group), n, k / n if n else np.nan, low, high))
    out = pd.DataFrame(rows, columns=[by, "leads", "labelled", "precision", "low", "high"])
    return out.sort_values(["leads", by], ascending=[False, True], ignore_index=True)


def cost_curve(leads: pd.DataFrame, right: np.ndarray) -> pd.DataFrame:
    """Return what each further review buys, over the leads that carry a label.

    Parameters
    ----------
    right : float array
        1 right, 0 wrong, NaN without a label, for the leads in rank order.

    Returns
    -------
    DataFrame
        One row per labelled lead: ``budget`` (leads reviewed so far, unlabelled ones included), ``reviews`` (labelled
        ones), ``found``, ``visits_per_found`` (NaN before the first), ``precision, low, high`` (Wilson).
    """
    ordered = by_rank(leads).assign(right=right)
    ordered["budget"] = np.arange(1, len(ordered) + 1)
    known = ordered[ordered["right"].notna()]
    reviews, found = np.arange(1, len(known) + 1), known["right"].cumsum().to_numpy(float)
    bounds = np.array([wilson(float(k), float(n)) for k, n in zip(found, reviews, strict=True)]).reshape(-1, 2)
    return pd.DataFrame(
        {
            "budget": known["budget"].to_numpy(),
            "reviews": reviews,
            "found": found.astype(int),
            "visits_per_found": np.where(found > 0, reviews / np.maximum(found, 1), np.nan),
            "precision": found / reviews,
            "low": bounds[:, 0],
            "high": bounds[:, 1],
        }
    )


def _share(k: int, n: int, name: str, what: str) -> dict[str, float]:
    low, high = wilson(k, n)
    return {f"{what}@{name}": k / n, f"low@{name}": low, f"high@{name}": high}
