"""The iterations of a reports folder, read back from their run records."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError

from workbench.contracts import IntegrityError, Metric, ParameterError, RunRecord, unknown_name

CHAMPION = "champion.json"


@dataclass(frozen=True)
class Run:
    """One finished iteration: its folder, run record and metrics."""

    folder: Path
    record: RunRecord
    metrics: tuple[Metric, ...]

    @property
    def id(self) -> str:
        """Identifier of the iteration."""
        return self.record.iteration_id

    def metric(self, name: str, subject: str | None = None, against: str | None = None) -> Metric | None:
        """Return the first metric of this name (and subject, and reference, where given), or None."""
        for m in self.metrics:
            if m.name == name and subject in (None, m.subject) and against in (None, m.against):
                return m
        return None


class Registry:
    """All iterations under one reports folder.

    Parameters
    ----------
    reports : Path
        Folder that holds one folder per iteration.
    """

    def __init__(self, reports: Path) -> None:
        self.reports = reports

    def ids(self) -> list[str]:
        """Return the identifiers of the finished iterations, sorted."""
        return sorted(f.parent.name for f in self.reports.glob("*/run.json") if not f.parent.name.startswith("."))

    def runs(self) -> tuple[list[Run], list[str]]:
        """Return the iterations, newest first, and a sentence for each one that cannot be read."""
        runs, set_aside = [], []
        for name in self.ids():
            try:
                runs.append(self.get(name))
            except IntegrityError as error:
                set_aside.append(f"{name}: {error.what} ({error.got})")
        return sorted(runs, key=lambda r: (r.record.finished_at, r.id), reverse=True), set_aside

    def get(self, iteration_id: str) -> Run:
        """Return one iteration.

        Raises
        ------
        ParameterError
            If there is none of this name.
        IntegrityError
            If its record or metrics cannot be read.
        """
        folder = self.reports / iteration_id
        if iteration_id not in self.ids():
            raise unknown_name("iteration", iteration_id, self.ids(), where=str(self.reports))
        try:
            record = RunRecord.model_validate_json((folder / "run.json").read_text(encoding="utf-8"))
            metrics = folder / "metrics.json"
            rows = json.loads(metrics.read_text(encoding="utf-8")) if metrics.is_file() else []
            return Run(folder, record, tuple(Metric.model_validate(m) for m in rows))
        except (OSError, ValueError, ValidationError) as error:
            raise IntegrityError("cannot read a run record", got=str(error)[:300], where=str(folder)) from error

    def champion(self) -> Run | None:
        """Return the promoted iteration, or None where none was promoted yet.

        Raises
        ------
        ParameterError
            If the promoted iteration is no longer there.
        """
        file = self.reports / CHAMPION
        if not file.is_file():
            return None
        name = str(json.loads(file.read_text(encoding="utf-8"))["run"])
        try:
            return self.get(name)
        except ParameterError as error:
            raise ParameterError(
                "the champion's report is gone",
                got=name,
                where=str(file),
                next_step="put its folder back, or run its experiment again with the same data and code",
            ) from error
