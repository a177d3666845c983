"""Turns the results of an iteration into what ``index.html`` shows; no number is made here that is not in the files."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from workbench.contracts import KIND_WORDS, Breach, Kind, Metric, RunRecord, Verdict
from workbench.pipeline.experiment import Experiment
from workbench.pipeline.report.charts import Curve, Stage, funnel, lead_map, precision_at_budget
from workbench.pipeline.report.words import against_words, metric_words

SHOWN_LEADS = 20
HEADLINE_BUDGET = 70
"""The budget of the figure at the top of the page; the largest declared one up to this."""
_AT_BUDGET = re.compile(r"^precision@(\d+)$")
QUEUE_WORDS = {"main": ("主队列", "main"), "silent": ("静默队列", "silent")}


def page_view(
    record: RunRecord,
    experiment: Experiment,
    tables: Mapping[str, pd.DataFrame],
    metrics: Sequence[Metric],
    catalog: Any,
    warnings: Sequence[Breach],
) -> dict[str, Any]:
    """Return the template's variables."""
    enterprises = _table(catalog, "enterprises")
    leads = tables["leads"].sort_values("rank")
    curves = precision_curves(metrics)
    stages = funnel_stages(tables["findings"], leads, _table(catalog, "inspections"), _table(catalog, "cases"))
    return {
        "record": record,
        "experiment": experiment,
        "headline": headline(metrics, experiment.budgets),
        "totals": (stages[0].count, len(leads), int((leads["queue"] == "silent").sum())),
        "size": _size(catalog, enterprises),
        "funnel": funnel(stages),
        "curves": curves,
        "precision": precision_at_budget(curves),
        "map": lead_map(enterprises, leads) if enterprises is not None else "",
        "metrics": grouped_metrics(metrics),
        "leads": _lead_rows(leads, enterprises),
        "lead_count": len(leads),
        "warnings": warnings,
        "kinds": _kind_counts(tables["findings"], leads),
        "abstained": _abstained(tables["findings"]),
        "metric_words": metric_words,
        "against_words": against_words,
    }


def headline(metrics: Sequence[Metric], budgets: Sequence[int]) -> list[Metric]:
    """Return the three figures that stand at the top, held against the truth where it is known, else against inspections."""
    budget = max((b for b in budgets if b <= HEADLINE_BUDGET), default=budgets[0])
    chosen = []
    for name in (f"precision@{budget}", "silent_queue_precision", "false_alerts_removed@90"):
        named = [m for m in metrics if m.name == name]
        chosen += sorted(named, key=lambda m: (m.value is None, not m.against.startswith("truth")))[:1]
    return chosen


def _abstained(findings: pd.DataFrame) -> int:
    return int((findings["verdict"] == Verdict.ABSTAIN.value).sum())


def funnel_stages(findings: pd.DataFrame, leads: pd.DataFrame, inspections: pd.DataFrame | None, cases: pd.DataFrame | None) -> list[Stage]:
    """Return the counts from warnings to cases; None where the catalog has no inspections or cases."""
    breaches = findings[findings["verdict"] == Verdict.BREACH.value]
    silent = int((leads["queue"] == "silent").sum())
    confirmed = closed = None
    if inspections is not None:
        found = inspections[inspections["finding"] == "violation"]
        hit = leads.merge(found[["enterprise_id", "inspection_id", "period_start", "period_end"]], on="enterprise_id")
        hit = hit[(hit["start"] <= hit["period_end"]) & (hit["end"] >= hit["period_start"])]
        confirmed = hit["lead_id"].nunique()
        if cases is not None:
            closed = hit.loc[hit["inspection_id"].isin(cases["inspection_id"]), "lead_id"].nunique()
    return [
        Stage("模型预警", "warnings", len(breaches), f"{breaches['detector'].nunique()} 个检测器 detectors"),
        Stage("涉及企业", "enterprises warned", breaches.loc[breaches["enterprise_id"] != "", "enterprise_id"].nunique()),
        Stage("线索", "leads", len(leads), f"其中静默队列 {silent} silent"),
        Stage("与既往查实重合", "met a confirmed inspection", confirmed),
        Stage("其中已立案", "of which a case", closed),
    ]


def precision_curves(metrics: Sequence[Metric]) -> list[Curve]:
    """Return precision at each budget, one series per subject and reference."""
    found: dict[str, list[tuple[int, Metric]]] = {}
    for m in metrics:
        if (hit := _AT_BUDGET.match(m.name)) and m.value is not None:
            name = " · ".join(filter(None, (m.subject, " ".join(against_words(m.against)).strip())))
            found.setdefault(name, []).append((int(hit[1]), m))
    return [Curve(name, sorted(points, key=lambda x: x[0])) for name, points in found.items()]


def grouped_metrics(metrics: Sequence[Metric]) -> list[tuple[str, list[Metric]]]:
    """Return the metrics by what they were held against, in the order in which they came."""
    groups: dict[str, list[Metric]] = {}
    for m in metrics:
        groups.setdefault(m.against, []).append(m)
    return list(groups.items())


def _table(catalog: Any, entry: str) -> pd.DataFrame | None:
    if catalog is None or not catalog.has(entry):
        return None
    frame: pd.DataFrame = catalog.table(entry)
    return frame


def _size(catalog: Any, enterprises: pd.DataFrame | None) -> list[tuple[str, str, int]]:
    size = [] if enterprises is None else [("企业", "enterprises", len(enterprises))]
    for entry, zh, en in (("points", "监测点", "points"), ("inspections", "检查", "inspections")):
        frame = _table(catalog, entry)
        if frame is not None:
            size.append((zh, en, len(frame)))
    return size


def _lead_rows(leads: pd.DataFrame, enterprises: pd.DataFrame | None) -> list[dict[str, Any]]:
    names = {} if enterprises is None else enterprises.set_index("enterprise_id")[["name", "street_town"]].to_dict("index")
    rows = []
    for lead in leads.head(SHOWN_LEADS).to_dict("records"):
        who = names.get(lead["enterprise_id"], {"name": lead["enterprise_id"], "street_town": ""})
        zh, en = KIND_WORDS[Kind(lead["kind"])]
        queue_zh, queue_en = QUEUE_WORDS[lead["queue"]]
        rows.append({**lead, **who, "kind_zh": zh, "kind_en": en, "queue_zh": queue_zh, "queue_en": queue_en})
    return rows


def _kind_counts(findings: pd.DataFrame, leads: pd.DataFrame) -> list[tuple[str, str, int, int, int]]:
    warned = findings[findings["verdict"] == Verdict.BREACH.value]["kind"].value_counts()
    counts = [warned, *(leads.loc[leads["queue"] == queue, "kind"].value_counts() for queue in QUEUE_WORDS)]
    there = {k for c in counts for k in c.index}
    rows = []
    for k in Kind:
        if k.value in there:
            warnings, main, silent = (int(c.get(k.value, 0)) for c in counts)
            rows.append((*KIND_WORDS[k], warnings, main, silent))
    return rows
