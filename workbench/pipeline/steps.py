"""Runs the steps of an iteration one after another, each atomically, and takes over those that need not run again."""

from __future__ import annotations

import datetime as dt
import json
import os
import shutil
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol
from zoneinfo import ZoneInfo

from pydantic import ValidationError

from workbench.contracts import ParameterError, RunError, StepRecord
from workbench.pipeline import fingerprints, kernel
from workbench.pipeline.experiment import RESERVED, SHARED, Experiment, step_name

RECORD = "step.json"
DATA_SUFFIXES = (".parquet", ".zarr", ".json", ".csv", ".yml")
"""Outputs that later steps may read; the executed notebook and its HTML do not make them run again."""


class Observer(Protocol):
    """Is told what goes on; the command line draws a progress bar from it."""

    def step_started(self, name: str, cells: int) -> None:
        """A step begins to run."""

    def step_advanced(self, name: str, done: int, cells: int) -> None:
        """Another cell is done."""

    def step_finished(self, record: StepRecord) -> None:
        """A step is done, was taken over, or failed."""

    def said(self, text: str) -> None:
        """Something worth a line."""


class Silent:
    """An observer that draws nothing."""

    def step_started(self, name: str, cells: int) -> None:
        """Do nothing."""

    def step_advanced(self, name: str, done: int, cells: int) -> None:
        """Do nothing."""

    def step_finished(self, record: StepRecord) -> None:
        """Do nothing."""

    def said(self, text: str) -> None:
        """Do nothing."""


@dataclass(frozen=True)
class PlannedStep:
    """A notebook with the parameters it will receive (paths apart)."""

    name: str
    notebook: Path
    parameters: dict[str, Any]
    source: str
    declared: frozenset[str]


@dataclass
class Workplace:
    """Where an iteration is made: ``reports/.<id>.work``, later renamed to ``reports/<id>``.

    Parameters
    ----------
    folder : Path
        The work folder.
    catalog : str
        Catalog file or URL, as handed to the notebooks.
    snapshot : mapping of str to str
        Content hash per catalog entry.
    scheduler : str
        Address of a Dask cluster; empty: threads.
    elsewhere : list of Path
        Folders of other iterations whose steps may be taken over.
    """

    folder: Path
    catalog: str
    snapshot: dict[str, str]
    scheduler: str = ""
    elsewhere: list[Path] = field(default_factory=list)

    @property
    def steps(self) -> Path:
        """Folder of the finished steps."""
        return self.folder / "steps"

    @property
    def previous(self) -> Path:
        """Folder of steps of an earlier, interrupted run."""
        return self.folder / "previous"


def plan(experiment: Experiment, notebooks: Path, beside: Path) -> list[PlannedStep]:
    """Find every notebook, give it its parameters and refuse those that it does not declare.

    Parameters
    ----------
    notebooks : Path
        Folder in which steps are looked up by name.
    beside : Path
        Folder of the experiment, for steps given as paths.

    Raises
    ------
    ParameterError
        If a notebook is not there or a parameter is not declared.
    """
    planned = []
    for step in experiment.steps:
        name = step_name(step)
        file = (beside / step) if step.endswith(".ipynb") else notebooks / f"{step}.ipynb"
        if not file.is_file():
            there = sorted(f.stem for f in notebooks.glob("*.ipynb"))
            raise ParameterError("no such notebook", got=step, allowed=there, where=str(file), next_step="correct steps in experiment.yml")
        declared = frozenset(kernel.parameters_of(file))
        own = experiment.parameters.get(name, {})
        kernel.check_parameters(file, own)
        if lost := {"catalog", "out"} - declared:
            raise ParameterError(
                "a step's notebook declares these parameters",
                got=sorted(declared),
                allowed=sorted(RESERVED - {"scheduler"}),
                where=f"{file.name}: {sorted(lost)} missing",
                next_step="tag the cell with the defaults 'parameters'",
            )
        shared = {k: getattr(experiment, k) for k in SHARED if k in declared}
        planned.append(PlannedStep(name, file, {**shared, **own}, fingerprints.notebook_hash(file), declared))
    return planned


def run_steps(planned: Sequence[PlannedStep], place: Workplace, *, resume: bool, observer: Observer) -> list[StepRecord]:
    """Run the steps in order; return their records.

    Parameters
    ----------
    resume : bool
        Take over a step whose inputs hash the same and whose outputs verify, from an interrupted run or another
        iteration, instead of running it.

    Raises
    ------
    RunError
        If a step fails; the steps before it stay in the work folder, and the failed notebook lies beside them.
    """
    _set_aside_earlier_steps(place)
    _write(place.steps / ".order.json", json.dumps([p.name for p in planned]))
    records: list[StepRecord] = []
    for step in planned:
        wanted = inputs_hash(step, place.snapshot, records)
        record = _taken_over(step.name, wanted, place) if resume else None
        if record is None:
            record = _run(step, wanted, place, observer)
        records.append(record)
        observer.step_finished(record)
    shutil.rmtree(place.previous, ignore_errors=True)
    return records


def inputs_hash(step: PlannedStep, snapshot: dict[str, str], before: Iterable[StepRecord]) -> str:
    """Return the hash of everything a step's result depends on: notebook, parameters, data, earlier outputs, code, environment."""
    upstream = {r.name: {k: v for k, v in r.outputs.items() if k.endswith(DATA_SUFFIXES)} for r in before}
    return fingerprints.digest(
        {
            "notebook": step.source,
            "parameters": step.parameters,
            "snapshot": snapshot,
            "upstream": upstream,
            "code": fingerprints.source_hash(),
            "environment": fingerprints.environment_hash(),
        }
    )


def verified_record(folder: Path, wanted: str | None = None) -> StepRecord | None:
    """Return a finished step's record if its outputs are all there and hash to what was recorded, else None."""
    try:
        record = StepRecord.model_validate_json((folder / RECORD).read_text(encoding="utf-8"))
    except (OSError, ValidationError):
        return None
    if record.status == "failed" or (wanted is not None and record.inputs_hash != wanted):
        return None
    for name, recorded in record.outputs.items():
        if not (folder / name).exists() or fingerprints.sha256_of(folder / name) != recorded:
            return None
    return record


def _set_aside_earlier_steps(place: Workplace) -> None:
    """Empty ``steps``, so that a step never reads what a later one left behind in an earlier run."""
    place.previous.mkdir(parents=True, exist_ok=True)
    for folder in sorted(place.steps.glob("*")) if place.steps.is_dir() else []:
        target = place.previous / folder.name
        if folder.is_dir() and (folder / RECORD).is_file():
            shutil.rmtree(target, ignore_errors=True)
            folder.replace(target)
    for leftover in place.folder.glob("*.partial"):
        shutil.rmtree(leftover, ignore_errors=True)
    shutil.rmtree(place.steps, ignore_errors=True)
    place.steps.mkdir(parents=True)


def _taken_over(name: str, wanted: str, place: Workplace) -> StepRecord | None:
    for root in (place.previous, *(f / "steps" for f in place.elsewhere)):
        record = verified_record(root / name, wanted)
        if record is None:
            continue
        if root == place.previous:
            (root / name).replace(place.steps / name)
        else:
            partial = place.folder / f"{name}.{os.getpid()}.partial"
            shutil.copytree(root / name, partial, copy_function=_link)
            partial.replace(place.steps / name)
        return record.model_copy(update={"status": "skipped", "reason": "inputs unchanged"})
    return None


def _link(source: str, target: str) -> None:
    """Hard-link where the file system can; a step's files are never changed after its end."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)


def _run(step: PlannedStep, wanted: str, place: Workplace, observer: Observer) -> StepRecord:
    partial = place.folder / f"{step.name}.{os.getpid()}.partial"
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    executed = partial / f"{step.name}.ipynb"
    paths = {"catalog": place.catalog, "out": str(partial), "upstream": str(place.steps), "scheduler": place.scheduler}
    parameters = {**step.parameters, **{k: v for k, v in paths.items() if k in step.declared}}
    started = dt.datetime.now(ZoneInfo("Asia/Shanghai")).replace(tzinfo=None, microsecond=0).isoformat()
    observer.step_started(step.name, _cells(step.notebook))
    try:
        usage = kernel.execute(
            step.notebook,
            executed,
            parameters,
            scratch=place.folder / "jupyter",
            scheduler=place.scheduler,
            on_cell=lambda done, cells: observer.step_advanced(step.name, done, cells),
        )
    except RunError as error:
        kept = _keep_failed(executed, place, step.name)
        observer.step_finished(
            StepRecord(name=step.name, status="failed", inputs_hash=wanted, started_at=started, reason=str(error.got or error.what))
        )
        shutil.rmtree(partial, ignore_errors=True)
        raise RunError(
            error.what,
            got=error.got,
            where=f"{error.where}; executed notebook: {kept}" if kept else error.where,
            next_step=error.next_step or "correct the cause, then run the same command with --resume: finished steps are not run again",
        ) from error
    record = StepRecord(
        name=step.name,
        status="done",
        inputs_hash=wanted,
        outputs={p.name: fingerprints.sha256_of(p) for p in sorted(partial.iterdir())},
        started_at=started,
        wall_s=round(usage.wall_s, 2),
        peak_mib=round(usage.peak_mib, 1),
    )
    _write(partial / RECORD, record.model_dump_json(indent=1) + "\n")
    _sync(partial)
    partial.replace(place.steps / step.name)
    return record


def _keep_failed(executed: Path, place: Workplace, name: str) -> Path | None:
    if not executed.is_file():
        return None
    kept = place.folder / "failed" / f"{name}.ipynb"
    kept.parent.mkdir(exist_ok=True)
    executed.replace(kept)
    return kept


def _cells(notebook: Path) -> int:
    return len(json.loads(notebook.read_text(encoding="utf-8")).get("cells", []))


def _write(file: Path, text: str) -> None:
    temporary = file.with_name(f".{file.name}.tmp")
    temporary.write_text(text, encoding="utf-8")
    temporary.replace(file)


def _sync(folder: Path) -> None:
    """Ask the system to put a step on disk before its rename makes it count."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
