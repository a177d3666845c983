"""One whole iteration: catalog checked → steps in order → one report folder, made beside and renamed into place."""

from __future__ import annotations

import datetime as dt
import getpass
import os
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from workbench.contracts import (
    CUBES,
    Breach,
    ContractBreach,
    Metric,
    ParameterError,
    Period,
    RunError,
    RunRecord,
    StepRecord,
    WorkbenchError,
)
from workbench.governance import AuditLog, Registry
from workbench.pipeline import fingerprints, lock
from workbench.pipeline.assembly import REPORT, assemble, report_is_whole
from workbench.pipeline.experiment import Experiment
from workbench.pipeline.steps import Observer, PlannedStep, Silent, Workplace, inputs_hash, plan, run_steps, verified_record

AUDIT = "audit.jsonl"


@dataclass(frozen=True)
class Request:
    """What one call of ``workbench run`` asks for.

    Parameters
    ----------
    experiment : Experiment
        With all settings applied.
    file : Path
        The experiment file; notebooks given as paths are looked up beside it.
    notebooks : Path
        Folder in which steps are looked up by name.
    catalog : str
        Catalog file (full path) or URL.
    reports : Path
        Folder that holds the iterations.
    author : str
        Who answers for the run; cannot sign for its promotion.
    scheduler : str
        Address of a Dask cluster; empty: threads.
    resume : bool
        Take over finished steps whose inputs have not changed.
    """

    experiment: Experiment
    file: Path
    notebooks: Path
    catalog: str
    reports: Path
    author: str = ""
    scheduler: str = ""
    resume: bool = False


@dataclass(frozen=True)
class Outcome:
    """A finished iteration."""

    record: RunRecord
    folder: Path
    metrics: Sequence[Metric]
    warnings: Sequence[Breach] = field(default_factory=list)
    unchanged: bool = False


def run_iteration(request: Request, observer: Observer | None = None) -> Outcome:
    """Run an experiment and return the finished iteration.

    Raises
    ------
    ParameterError
        If a setting or a notebook's parameter is not known.
    ContractBreach
        If the catalog has errors; with every breach. Warnings are recorded and the run goes on.
    RunError
        If a step fails. Finished steps are kept for ``--resume``.
    """
    watch, experiment = observer or Silent(), request.experiment
    planned = plan(experiment, request.notebooks, request.file.parent)
    catalog, snapshot, warnings = _opened_and_checked(request.catalog, watch)
    period = _period(experiment.period, catalog)
    identity = iteration_id(experiment, planned, snapshot)
    work, final = request.reports / f".{identity}.work", request.reports / identity
    with lock.hold(request.reports / ".locks" / f"{identity}.lock"):
        recover(request.reports, identity)
        if request.resume and (outcome := _unchanged(final, planned, snapshot, warnings)) is not None:
            return outcome
        if not request.resume:
            shutil.rmtree(work, ignore_errors=True)
        work.mkdir(parents=True, exist_ok=True)
        place = Workplace(work, request.catalog, snapshot, request.scheduler, _other_iterations(request.reports, work))
        record = RunRecord(
            iteration_id=identity,
            experiment=experiment.name,
            author=request.author or current_user(),
            params=experiment.model_dump(mode="json", exclude={"seed", "catalog", "tuning"}),
            seed=experiment.seed,
            period=str(period),
            catalog=catalog.name,
            catalog_location=str(request.catalog),
            code_version=fingerprints.code_version(),
            environment_hash=fingerprints.environment_hash(),
            snapshot=snapshot,
            created_at=_now(),
        )
        audit = AuditLog(request.reports / AUDIT)
        try:
            record.steps = run_steps(planned, place, resume=request.resume, observer=watch)
        except RunError as error:
            audit.append("run failed", actor=record.author, subject=identity, details={"what": error.what, "where": error.where or ""})
            raise
        watch.said("report")
        metrics = assemble(record, work, catalog, experiment, warnings)
        _into_place(work, final)
        audit.append("run", actor=record.author, subject=identity, details={"run.json": fingerprints.sha256_of(final / "run.json")})
        return Outcome(record, final, metrics, warnings)


def iteration_id(experiment: Experiment, planned: Sequence[PlannedStep], snapshot: dict[str, str]) -> str:
    """Return ``<experiment>-<8 hex>``; the digits depend on settings, seed, period, notebooks, data and code."""
    parts = {
        "steps": [[s.name, s.source, s.parameters] for s in planned],
        "experiment": experiment.model_dump(mode="json", exclude={"title", "hypothesis", "catalog", "parameters", "steps", "tuning"}),
        "snapshot": snapshot,
        "code": fingerprints.source_hash(),
    }
    return f"{experiment.name}-{fingerprints.digest(parts)[:8]}"


def recover(reports: Path, identity: str) -> None:
    """Finish or undo a replacement that was interrupted between its two renames."""
    old, final = reports / f".{identity}.old", reports / identity
    if old.is_dir() and not final.exists():
        old.replace(final)
    shutil.rmtree(old, ignore_errors=True)


def current_user() -> str:
    """Return who runs this: ``WORKBENCH_AUTHOR``, else the user of the system."""
    if name := os.environ.get("WORKBENCH_AUTHOR", "").strip():
        return name
    try:
        return getpass.getuser()
    except (OSError, KeyError):
        return "unknown"


def _opened_and_checked(location: str, watch: Observer) -> tuple[Any, dict[str, str], list[Breach]]:
    from workbench.catalog import open_catalog

    watch.said("catalog")
    catalog = open_catalog(location)
    breaches = list(catalog.check())
    errors = [b for b in breaches if b.level == "error"]
    if errors:
        raise ContractBreach(
            "the catalog does not meet its contract",
            got=f"{len(errors)} errors; first: {errors[0]}",
            where=location,
            next_step=f"see every breach with: workbench check {location}",
            breaches=breaches,
        )
    return catalog, dict(catalog.snapshot()), breaches


def _period(text: str, catalog: Any) -> Period:
    """Return the period to run over; refuse one that no observation lies in, before any step has run."""
    if not text:
        return catalog.period  # type: ignore[no-any-return]
    period = Period.parse(text)
    if any(catalog.has(entry) for entry in CUBES):
        covered = catalog.period
        if period.end <= covered.start or period.start >= covered.end:
            raise ParameterError(
                "the period lies outside the data",
                got=str(period),
                allowed=f"a period that meets {covered}",
                where=catalog.location,
                next_step="choose a period within the data, or leave it empty for all of them",
            )
    return period


def _unchanged(final: Path, planned: Sequence[PlannedStep], snapshot: dict[str, str], warnings: Sequence[Breach]) -> Outcome | None:
    """Return the finished iteration if every step's inputs hash as recorded and every output verifies, else None."""
    if not (final / "run.json").is_file():
        return None
    try:
        run = Registry(final.parent).get(final.name)
    except WorkbenchError:
        return None
    records: list[StepRecord] = []
    for step in planned:
        record = verified_record(final / "steps" / step.name, inputs_hash(step, snapshot, records))
        if record is None:
            return None
        records.append(record)
    if run.record.status != "done" or not report_is_whole(final, run.record):
        return None
    shown = [r.model_copy(update={"status": "skipped", "reason": "inputs unchanged"}) for r in run.record.steps]
    return Outcome(run.record.model_copy(update={"steps": shown}), final, run.metrics, warnings, unchanged=True)


def _other_iterations(reports: Path, work: Path) -> list[Path]:
    folders = [f for f in (*reports.glob("*"), *reports.glob(".*.work")) if (f / "steps").is_dir() and f != work]
    return sorted(set(folders))


def _into_place(work: Path, final: Path) -> None:
    old = final.with_name(f".{final.name}.old")
    if final.exists():
        final.replace(old)
    work.replace(final)
    shutil.rmtree(old, ignore_errors=True)


def _now() -> str:
    return dt.datetime.now(ZoneInfo("Asia/Shanghai")).replace(tzinfo=None, microsecond=0).isoformat()


__all__ = ["AUDIT", "REPORT", "Outcome", "Request", "current_user", "iteration_id", "recover", "run_iteration"]
