"""Reading ``reports/``: what iterations there are, their metrics, leads and explanations. Never writes."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

import pandas as pd
from pydantic import TypeAdapter, ValidationError

from workbench.contracts import Metric, RunError, RunRecord, WorkbenchError, result_frame
from workbench.governance.registry import Run

_METRICS = TypeAdapter(list[Metric])


@dataclass(frozen=True)
class Iteration(Run):
    """One finished or failed iteration with its result tables."""

    @property
    def minutes(self) -> float:
        """Wall time of all steps."""
        return sum(s.wall_s for s in self.record.steps) / 60

    def table(self, name: str) -> pd.DataFrame:
        """Return a result table, empty where the iteration did not write one.

        Raises
        ------
        RunError
            If the file cannot be read or breaks its contract.
        """
        file = self.folder / f"{name}.parquet"
        return _table(name, file, file.stat().st_mtime_ns if file.is_file() else 0).copy(deep=False)

    def lead_count(self) -> int | None:
        """Return the number of leads, None where the table cannot be read."""
        try:
            return len(self.table("leads"))
        except WorkbenchError:
            return None

    def catalog_location(self) -> str | None:
        """Return where the catalog of the run lies, or None where the report does not say."""
        return self.record.catalog_location or None


@dataclass(frozen=True)
class Shelf:
    """All iterations of a reports folder, newest first, and what could not be read."""

    iterations: tuple[Iteration, ...] = ()
    set_aside: dict[str, str] = field(default_factory=dict)

    def get(self, iteration_id: str) -> Iteration | None:
        """Return an iteration by id."""
        return next((i for i in self.iterations if i.id == iteration_id), None)


def read_shelf(reports: Path) -> Shelf:
    """Read every iteration below ``reports``; one that cannot be read is set aside with its reason."""
    found, aside = [], {}
    for file in sorted(Path(reports).glob("*/run.json")) if Path(reports).is_dir() else []:
        if file.parent.name.startswith("."):  # an iteration that is still being written
            continue
        try:
            found.append(_iteration(file.parent))
        except ValidationError as error:
            first = error.errors()[0]
            aside[file.parent.name] = " ".join(filter(None, (".".join(map(str, first["loc"])), first["msg"])))
        except (OSError, ValueError) as error:
            aside[file.parent.name] = f"{type(error).__name__}: {str(error).splitlines()[0]}"
    found.sort(key=lambda i: (i.record.created_at, i.id), reverse=True)
    return Shelf(tuple(found), aside)


def _iteration(folder: Path) -> Iteration:
    record = RunRecord.model_validate_json((folder / "run.json").read_text(encoding="utf-8"))
    metrics = folder / "metrics.json"
    read = _METRICS.validate_json(metrics.read_text(encoding="utf-8")) if metrics.is_file() else []
    return Iteration(folder, record, tuple(read))


@lru_cache(maxsize=64)
def _table(name: str, file: Path, mtime_ns: int) -> pd.DataFrame:
    if not mtime_ns:
        return result_frame(name)
    try:
        return result_frame(name, pd.read_parquet(file))
    except WorkbenchError as error:
        raise RunError(f"{file.name} breaks its contract", got=error.payload().get("got"), where=str(file)) from error
    except (OSError, ValueError) as error:
        raise RunError(f"{file.name} cannot be read", got=str(error), where=str(file), next_step="run the iteration again") from error
