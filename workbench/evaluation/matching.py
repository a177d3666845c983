"""When does a lead or a finding count as right?

*Against truth* (simulated districts): same enterprise; the spans overlap, with a day's tolerance at both ends (a
month for paper offences, which are dated by the period or by the due day); the kind sends the inspector to the same
matter (``matching.yml``); and a lead longer than 45 days counts only where the violation fills a fifth of it.

*Against inspections*: same enterprise; the lead overlaps the inspected period; the inspection is decided. It is right
where one such inspection found a violation of a compatible kind (a violation without recorded kinds fits any), wrong
where all of them found none or another matter. A lead that nobody inspected is **not** wrong: it has no label.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache
from importlib.resources import files
from typing import Any

import numpy as np
import pandas as pd
import yaml

from workbench.contracts import Kind, load_rules


@cache
def _numbers() -> dict[str, float]:
    file = files("workbench.evaluation").joinpath("matching.yml")
    return {f"{rule}.{name}": x for rule, row in load_rules(file).items() for name, x in row.numbers().items()}


@cache
def _words() -> dict[str, Any]:
    raw: dict[str, Any] = yaml.safe_load(files("workbench.evaluation").joinpath("matching.yml").read_text(encoding="utf-8"))
    return raw


def compatible(violation: str, kinds: Iterable[str]) -> np.ndarray:
    """Return for each lead kind whether it sends to a violation of kind ``violation`` (an empty kind names nothing and fits)."""
    allowed = {*_words()["sends_to"][Kind(violation).value], ""}
    return np.array([k in allowed for k in kinds], dtype=bool)


def pairs_with_truth(rows: pd.DataFrame, truth: pd.DataFrame) -> pd.DataFrame:
    """Return every matching pair of a row (lead or finding) and a violation.

    Parameters
    ----------
    rows : DataFrame
        With ``enterprise_id``, ``start``, ``end``, ``kind``; a missing end means a single moment.
    truth : DataFrame
        Contract table ``truth``.

    Returns
    -------
    DataFrame
        Columns ``row`` and ``violation`` (positions), sorted.
    """
    a, b = _joined(rows, truth)
    start, end = (rows[c].to_numpy().astype("datetime64[ns]")[a] for c in ("start", "end"))
    end = np.where(np.isnat(end), start, end)
    begins, ends = (truth[c].to_numpy().astype("datetime64[ns]")[b] for c in ("start", "end"))
    number = _numbers()
    paper = truth["kind"].isin(_words()["paper"]).to_numpy()[b]
    slack = np.where(paper, _days(number["paper_tolerance.days"]), _days(number["day_tolerance.days"]))
    keep = (start <= ends + slack) & (end >= begins - slack)
    length = end - start
    inside = (np.minimum(end, ends) - np.maximum(start, begins)) / np.timedelta64(1, "s")
    keep &= (length <= _days(number["long_lead.days"])) | (inside >= number["long_lead.min_share"] * (length / np.timedelta64(1, "s")))
    keep &= _kinds_fit(rows["kind"].fillna("").to_numpy(object)[a], truth["kind"].to_numpy(object)[b])
    return _pairs(a[keep], b[keep], "violation")


def pairs_with_inspections(rows: pd.DataFrame, inspections: pd.DataFrame) -> pd.DataFrame:
    """Return every pair of a row and a decided inspection whose period it overlaps.

    Returns
    -------
    DataFrame
        Columns ``row``, ``inspection`` (positions) and ``right`` (a compatible violation was found).
    """
    a, b = _joined(rows, inspections)
    start, end = (rows[c].to_numpy().astype("datetime64[ns]")[a] for c in ("start", "end"))
    end = np.where(np.isnat(end), start, end)
    begins, ends = (inspections[c].to_numpy().astype("datetime64[ns]")[b] for c in ("period_start", "period_end"))
    decided = inspections["decided_on"].notna().to_numpy()[b]
    keep = (start <= ends) & (end >= begins) & decided
    a, b = a[keep], b[keep]
    found = (inspections["finding"] == "violation").to_numpy()[b]
    kinds, named = inspections["kinds"].to_numpy(object)[b], rows["kind"].fillna("").to_numpy(object)[a]
    fits = [_one_fits(str(k), list(ks) if ks is not None else []) for k, ks in zip(named, kinds, strict=True)]
    pairs = _pairs(a, b, "inspection")
    right = pd.DataFrame({"row": a, "inspection": b, "right": found & np.array(fits, dtype=bool)})
    return pairs.merge(right, on=["row", "inspection"], how="left")


def label_by_inspection(rows: pd.DataFrame, inspections: pd.DataFrame) -> np.ndarray:
    """Return for each row 1.0 (right), 0.0 (inspected, not found) or NaN (not inspected: no label)."""
    label = np.full(len(rows), np.nan)
    seen = pairs_with_inspections(rows, inspections).groupby("row")["right"].any()
    label[seen.index.to_numpy(int)] = seen.to_numpy(float)
    return label


def decided(
    inspections: pd.DataFrame,
    *,
    before: pd.Timestamp | None = None,
    since: pd.Timestamp | None = None,
    without: Iterable[str] = (),
) -> pd.DataFrame:
    """Return the inspections whose *decision* fell in ``[since, before)``, less those in ``without``.

    A label exists from the day of decision on, whenever the visit was; an undecided inspection has no label.
    """
    keep = inspections["decided_on"].notna() & ~inspections["inspection_id"].isin(list(without))
    if before is not None:
        keep &= inspections["decided_on"] < before
    if since is not None:
        keep &= inspections["decided_on"] >= since
    return inspections[keep].reset_index(drop=True)


def _one_fits(kind: str, found: list[str]) -> bool:
    return not found or any(kind in _words()["sends_to"][k] or not kind for k in found)


def _kinds_fit(kinds: np.ndarray, violations: np.ndarray) -> np.ndarray:
    fits = np.zeros(len(kinds), dtype=bool)
    for violation in np.unique(violations.astype(str)):
        at = violations == violation
        fits[at] = compatible(violation, kinds[at])
    return fits


def _joined(rows: pd.DataFrame, others: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
    left = pd.DataFrame({"e": rows["enterprise_id"].astype(object).to_numpy(), "a": np.arange(len(rows))})
    right = pd.DataFrame({"e": others["enterprise_id"].astype(object).to_numpy(), "b": np.arange(len(others))})
    both = left[left["e"].notna() & (left["e"] != "")].merge(right, on="e")
    return both["a"].to_numpy(int), both["b"].to_numpy(int)


def _pairs(a: np.ndarray, b: np.ndarray, name: str) -> pd.DataFrame:
    return pd.DataFrame({"row": a, name: b}).sort_values(["row", name], ignore_index=True)


def _days(n: float) -> np.timedelta64:
    return np.timedelta64(int(n * 86400), "s")
