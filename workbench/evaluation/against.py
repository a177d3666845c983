"""One iteration held against what is known: inspection labels everywhere, hidden truth on simulated districts."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd

from workbench.contracts import Metric, ParameterError, Period, check_table, conform
from workbench.evaluation import ranking
from workbench.evaluation.detection import alarms_per_enterprise_month, days_to_detect
from workbench.evaluation.doubly_robust import FLOOR, doubly_robust_share
from workbench.evaluation.intervals import measured, ratio, unevaluated
from workbench.evaluation.matching import decided, label_by_inspection, pairs_with_truth
from workbench.evaluation.precision import by_rank, precision_metrics, recall_metrics, silent_precision

BUDGETS = (20, 50, 70, 100)
MIN_DRAWS, MIN_FOUND = 10, 3
"""Random inspections, and violations among them, below which an estimate of prevalence or recall would be a guess."""
INSPECTIONS, TRUTH = "inspections", "truth (simulated)"


def against_inspections(
    leads: pd.DataFrame,
    findings: pd.DataFrame,
    inspections: pd.DataFrame,
    budgets: Sequence[int] = BUDGETS,
    seed: int = 0,
    *,
    enterprises: pd.DataFrame | None = None,
    used_for_fitting: Iterable[str] | None = None,
    decided_since: pd.Timestamp | None = None,
    decided_before: pd.Timestamp | None = None,
) -> list[Metric]:
    """Measure leads and alerts on inspection labels; what nobody inspected is no negative.

    Parameters
    ----------
    leads, findings, inspections : DataFrame
        Contract tables.
    budgets : sequence of int
        Numbers of leads that can be reviewed.
    enterprises : DataFrame, optional
        Contract table; with it the district's prevalence and recall are estimated doubly robustly from random draws.
    used_for_fitting : iterable of inspection_id, optional
        Labels that a model has seen; they are left out. Not given: all labels count, and every note says so.
    decided_since, decided_before : Timestamp, optional
        Labels by *decision* date, half-open.

    Returns
    -------
    list of Metric
        Not evaluable ones included, with the reason.
    """
    wanted = _budgets(budgets)
    known = decided(inspections, before=decided_before, since=decided_since, without=() if used_for_fitting is None else used_for_fitting)
    note = "labels may have been seen in fitting" if used_for_fitting is None else ""
    ordered = by_rank(leads)
    population = None if enterprises is None else pd.Index(enterprises["enterprise_id"].astype(object))
    right = label_by_inspection(ordered, known)
    out = precision_metrics(ordered, right, wanted, seed=seed, population=population, against=INSPECTIONS, note=note)
    for b in wanted:
        top = np.arange(len(ordered)) < b
        share = ratio(top & np.isfinite(right), top)
        out.append(
            measured(f"inspected_share@{b}", share, ordered["enterprise_id"], counted=top, seed=seed, against=INSPECTIONS, subject="leads")
        )
    out.append(silent_precision(ordered, right, seed=seed, population=population, against=INSPECTIONS, note=note))
    labelled = np.isfinite(right)
    out += _probability(ordered[labelled].reset_index(drop=True), right[labelled], seed, population, INSPECTIONS, note)
    alerts = _alerts(findings)
    true = label_by_inspection(alerts, known)
    seen = np.isfinite(true)
    out += _filtering(alerts[seen].reset_index(drop=True), true[seen] == 1, ordered, seed, population, INSPECTIONS, note)
    return out + _from_random_draws(ordered, known, wanted, enterprises, seed, note)


def against_truth(
    leads: pd.DataFrame,
    findings: pd.DataFrame,
    truth_file: Path,
    enterprises: pd.DataFrame | None = None,
    budgets: Sequence[int] = BUDGETS,
    seed: int = 0,
    *,
    period: Period | None = None,
) -> list[Metric]:
    """Measure leads and alerts on the hidden truth of a simulated district, all of which is known.

    Parameters
    ----------
    truth_file : path
        ``truth.parquet`` beside a simulated catalog.
    enterprises : DataFrame, optional
        Contract table; enterprises without any lead or violation belong to the population that is resampled.
    period : Period, optional
        Span of the iteration, for rates per month; default the span of leads, findings and truth.
    """
    wanted = _budgets(budgets)
    truth = read_truth(truth_file)
    ordered, alerts = by_rank(leads), _alerts(findings)
    ids = [ordered["enterprise_id"], alerts["enterprise_id"], truth["enterprise_id"]]
    if enterprises is not None:
        ids.append(enterprises["enterprise_id"])
    population = pd.Index(pd.concat(ids, ignore_index=True).astype(object).unique()).sort_values()
    pairs = pairs_with_truth(ordered, truth)
    right = _flags(pairs, len(ordered)).astype(float)
    true = _flags(pairs_with_truth(alerts, truth), len(alerts))
    span = period or _span(ordered, alerts, truth)
    out = precision_metrics(ordered, right, wanted, seed=seed, population=population, against=TRUTH)
    out += recall_metrics(ordered, truth, pairs, wanted, seed=seed, population=population, against=TRUTH)
    out.append(silent_precision(ordered, right, seed=seed, population=population, against=TRUTH))
    out += _probability(ordered, right, seed, population, TRUTH, "")
    out += _filtering(alerts, true, ordered, seed, population, TRUTH, "")
    out.append(days_to_detect(ordered, truth, pairs, seed=seed, population=population, against=TRUTH))
    for subject, rows, wrong in (
        ("alerts", alerts, ~true),
        ("main queue", ordered, (right == 0) & (ordered["queue"] == "main").to_numpy()),
    ):
        out.append(
            alarms_per_enterprise_month(
                rows,
                wrong,
                span,
                name="false_alarms_per_enterprise_month",
                seed=seed,
                population=population,
                subject=subject,
                against=TRUTH,
            )
        )
    return out


def read_truth(truth_file: Path) -> pd.DataFrame:
    """Read and check a truth table; only ``workbench.evaluation`` and tests may.

    Raises
    ------
    ParameterError
        If the file is not there or does not meet its contract.
    """
    if not Path(truth_file).is_file():
        raise ParameterError("no truth file", got=str(truth_file), next_step="only simulated districts have one, beside their catalog")
    truth = conform("truth", pd.read_parquet(truth_file))
    if breaches := check_table("truth", truth):
        raise ParameterError("the truth table breaks its contract", got="; ".join(map(str, breaches)), where=str(truth_file))
    return truth.sort_values(["start", "enterprise_id", "kind"], kind="stable", ignore_index=True)


def _probability(rows: pd.DataFrame, right: np.ndarray, seed: int, population: pd.Index | None, against: str, note: str) -> list[Metric]:
    p, who = rows["p_violation"].to_numpy(float), rows["enterprise_id"]
    of = partial(measured, enterprise_id=who, seed=seed, population=population, subject="leads", against=against, note=note)
    return [
        of("average_precision", ranking.average_precision(p, right)),
        of("brier", ranking.brier(p, right), share=False),
        of("ece", ranking.expected_calibration_error(p, right), share=False),
    ]


def _filtering(
    alerts: pd.DataFrame, true: np.ndarray, leads: pd.DataFrame, seed: int, population: pd.Index | None, against: str, note: str
) -> list[Metric]:
    score, who = ranking.fused_score(alerts, leads), alerts["enterprise_id"]
    told = "; ".join(filter(None, (f"{int(true.sum())} true and {int((~true).sum())} false alerts", note)))
    both = told if 0 < true.sum() < len(true) else f"{told}: both are needed"
    of = partial(measured, enterprise_id=who, seed=seed, population=population, subject="alerts", against=against)
    return [
        of("alert_precision", ratio(true, np.ones(len(alerts))), note=told),
        of("false_alerts_removed@90", ranking.false_removed(score, true), note=both),
    ]


def _from_random_draws(
    leads: pd.DataFrame, known: pd.DataFrame, budgets: list[int], enterprises: pd.DataFrame | None, seed: int, note: str
) -> list[Metric]:
    """Estimate over units (enterprise × day of a random draw); campaigns and complaints have no known probability."""
    names = ["prevalence_doubly_robust", *(f"recall_doubly_robust@{b}" for b in budgets)]
    random = known[(known["origin"] == "random") & (known["selection_probability"] > 0)]
    if enterprises is not None:
        random = random[random["enterprise_id"].isin(enterprises["enterprise_id"])]
    if enterprises is None or random.empty:
        why = "needs the enterprises table" if enterprises is None else "no random inspection with a logged selection probability"
        return [unevaluated(n, why, subject="leads", against=INSPECTIONS) for n in names]
    found = int((random["finding"] == "violation").sum())
    if len(random) < MIN_DRAWS:
        why = f"{len(random)} random inspections with a logged probability, at least {MIN_DRAWS} are needed"
        return [unevaluated(n, why, subject="leads", against=INSPECTIONS) for n in names]
    ids = pd.Index(enterprises["enterprise_id"].astype(object))
    drawn = random.assign(day=random["inspected_on"].dt.normalize(), y=(random["finding"] == "violation").astype(float))
    units = pd.MultiIndex.from_product([ids, pd.Index(drawn["day"].unique())], names=["enterprise_id", "day"])
    table = drawn.groupby(["enterprise_id", "day"])[["y", "selection_probability"]].max().reindex(units)
    y, pi = table["y"].to_numpy(float), table["selection_probability"].to_numpy(float)
    inspected = np.isfinite(y)
    # Some log the chance in the day's draw, some that of each visit; scaled so that the draws stand for all units once.
    pi = np.minimum(1.0, pi * np.sum(1 / pi[inspected]) / len(units))
    who = pd.Series(units.get_level_values("enterprise_id"))
    expected = _expected(who, leads, float(np.average(y[inspected], weights=1 / pi[inspected])))
    floor = min(FLOOR, float(pi[inspected].min()))
    of = partial(doubly_robust_share, inspected=inspected, pi=pi, expected=expected, enterprise_id=who, seed=seed, floor=floor)
    out = [of(names[0], y, None, subject="leads", against=INSPECTIONS)]
    for name, b in zip(names[1:], budgets, strict=True):
        if found < MIN_FOUND:
            why = f"random inspections found {found} violations, a recall needs at least {MIN_FOUND}"
            out.append(unevaluated(name, why, subject="leads", against=INSPECTIONS))
            continue
        listed = who.isin(set(leads["enterprise_id"].head(b))).to_numpy(float)
        out.append(of(name, y, listed, subject="leads", against=INSPECTIONS))
    return [m.model_copy(update={"note": "; ".join(filter(None, (m.note, note)))}) for m in out]


def _expected(who: pd.Series, leads: pd.DataFrame, base: float) -> np.ndarray:
    """Return m̂ per unit: the enterprise's best lead, scaled so that all units together expect what the draws found."""
    best = who.map(leads.groupby("enterprise_id")["p_violation"].max()).fillna(0.0).to_numpy(float)
    return np.minimum(1.0, best * base / best.mean()) if best.any() else np.full(len(who), base)


def _alerts(findings: pd.DataFrame) -> pd.DataFrame:
    """Return the findings a reviewer would have been shown: breaches; abstentions are neither right nor wrong."""
    return findings[findings["verdict"] == "breach"].sort_values("finding_id", kind="stable", ignore_index=True)


def _flags(pairs: pd.DataFrame, n: int) -> np.ndarray:
    out = np.zeros(n, dtype=bool)
    out[pairs["row"].to_numpy(int)] = True
    return out


def _span(*tables: pd.DataFrame) -> Period:
    start = min((t["start"].min() for t in tables if len(t)), default=pd.Timestamp("2000-01-01"))
    end = max((t["end"].max() for t in tables if len(t)), default=start)
    return Period(start, max(end, start + pd.Timedelta(days=1)))


def _budgets(budgets: Sequence[int]) -> list[int]:
    if not budgets or any(b != int(b) or b < 1 for b in budgets):
        raise ParameterError("a budget is a number of leads", got=list(budgets), allowed="whole numbers ≥ 1")
    return sorted({int(b) for b in budgets})
