"""Puts the steps' results together into one report folder: tables, metrics, cards, notebooks, pages, run record."""

from __future__ import annotations

import datetime as dt
import json
import os
import shutil
import time
from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from workbench.contracts import Breach, Metric, RunRecord, StepRecord
from workbench.pipeline import fingerprints
from workbench.pipeline.experiment import Experiment
from workbench.pipeline.step import METRICS, gather, gather_metrics, latest_leads, write_metrics, write_table, write_text

REPORT = "report"
"""Name under which the assembly itself stands among the steps of a run record."""
_SCRATCH = ("jupyter", "previous", "failed")


def assemble(record: RunRecord, work: Path, catalog: Any, experiment: Experiment, warnings: Sequence[Breach]) -> list[Metric]:
    """Write everything of ``reports/<iteration_id>/`` into ``work``; return the metrics.

    Parameters
    ----------
    record : RunRecord
        With its steps; finished and written as ``run.json`` last of all.
    catalog : Catalog
        For names and places of enterprises, inspections and cases.
    warnings : sequence of Breach
        What the check of the catalog found, written as ``catalog_check.json``.
    """
    from workbench.pipeline.report import write_index, write_notebook_page

    started = time.monotonic()
    folders = [work / "steps" / s.name for s in record.steps]
    tables = {name: gather(name, folders) for name in ("findings", "attributions", "conflicts")} | {"leads": latest_leads(folders)}
    for name, frame in tables.items():
        write_table(work / f"{name}.parquet", frame)
    metrics = gather_metrics(folders)
    write_metrics(work / METRICS, metrics)
    breaches = [
        {"entry": b.entry, "column": b.column, "expected": b.expected, "rows": b.rows, "examples": list(b.examples)} for b in warnings
    ]
    write_text(work / "catalog_check.json", json.dumps(breaches, ensure_ascii=False, indent=1) + "\n")
    write_text(work / "environment.json", json.dumps(dict(fingerprints.installed()), indent=1) + "\n")
    _copy_cards(work / "cards")
    for step in record.steps:
        notebook = work / f"{step.name}.ipynb"
        shutil.copyfile(work / "steps" / step.name / notebook.name, notebook)
        write_notebook_page(notebook, notebook.with_suffix(".html"), record)
    for name in _SCRATCH:
        shutil.rmtree(work / name, ignore_errors=True)
    for leftover in work.glob("*.partial"):
        shutil.rmtree(leftover, ignore_errors=True)
    record.finished_at = dt.datetime.now(ZoneInfo("Asia/Shanghai")).replace(tzinfo=None, microsecond=0).isoformat()
    record.status = "done"
    write_index(work / "index.html", record, experiment, tables, metrics, catalog, warnings)
    outputs = {p.name: fingerprints.sha256_of(p) for p in sorted(work.iterdir()) if p.name not in ("steps", "run.json")}
    record.steps.append(
        StepRecord(
            name=REPORT,
            status="done",
            inputs_hash=fingerprints.digest([s.outputs for s in record.steps]),
            outputs=outputs,
            started_at=record.finished_at,
            wall_s=round(time.monotonic() - started, 2),
        )
    )
    write_text(work / "run.json", record.model_dump_json(indent=1) + "\n")
    os.sync()
    return metrics


def report_is_whole(folder: Path, record: RunRecord) -> bool:
    """Return whether every file of a report is there and hashes to what was recorded."""
    mine = next((s for s in record.steps if s.name == REPORT), None)
    if mine is None:
        return False
    return all((folder / n).exists() and fingerprints.sha256_of(folder / n) == h for n, h in mine.outputs.items())


def _copy_cards(target: Path) -> None:
    from workbench import models

    target.mkdir(exist_ok=True)
    for name in models.available():
        card = files("workbench.models").joinpath(name, "card.yml")
        write_text(target / f"{name}.yml", card.read_text(encoding="utf-8"))
