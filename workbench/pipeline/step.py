"""What a notebook needs to be a step: its catalog, its period, what earlier steps found, and one way to write.

::

    step = Step.begin(catalog=catalog, period=period, out=out, upstream=upstream, seed=seed, overrides=overrides)
    findings = step.findings()                       # of all earlier steps
    step.write(findings=found, evidence=channels, metrics=numbers)
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd
import xarray as xr

from workbench.contracts import (
    RESULTS,
    ContractBreach,
    Metric,
    ParameterError,
    Period,
    check_evidence,
    limit_threads,
    result_frame,
)
from workbench.pipeline.executor import SCHEDULER_VARIABLE, connect
from workbench.pipeline.hidden_truth import truth_beside

EVIDENCE = "evidence.zarr"
METRICS = "metrics.json"
ORDER = ".order.json"
"""File beside the step folders that names them in the order in which they run."""


@dataclass
class Step:
    """One step of an iteration, as its notebook sees it.

    Parameters
    ----------
    catalog : Catalog
        The opened catalog.
    period : Period
        Span to work on, local time, end not included.
    out : Path or None
        Folder of this step; None in an interactive session: results are checked and not written.
    upstream : Path or None
        Folder that holds the earlier steps' folders; None: there are no earlier steps.
    seed : int
        Seed of this iteration; hand ``rng`` or ``seed`` on, never the global generator.
    overrides : mapping
        ``{"rule.threshold": value}`` for the models.
    threads : int
        Worker threads set for numba, BLAS, Arrow, LightGBM and dask.
    held_out : float
        Share of the decided inspections, the latest ones, that no model may see (0: all may be seen).
    """

    catalog: Any
    period: Period
    out: Path | None
    upstream: Path | None
    seed: int
    overrides: dict[str, float]
    threads: int
    held_out: float = 0.0
    written: list[str] = field(default_factory=list)

    @classmethod
    def begin(
        cls,
        catalog: str,
        period: str = "",
        out: str = "",
        upstream: str = "",
        seed: int = 0,
        overrides: Mapping[str, float] | None = None,
        held_out: float = 0.0,
    ) -> Step:
        """Open the catalog, limit threads, connect to the Dask cluster if one was named; return the step.

        Parameters
        ----------
        catalog : str
            Catalog file or URL.
        period : str
            ``START/END``; empty: the whole span of the catalog's cubes.
        """
        threads = limit_threads()
        connect(os.environ.get(SCHEDULER_VARIABLE, ""))
        from workbench.catalog import open_catalog

        opened = open_catalog(catalog)
        span = Period.parse(period) if period else opened.period
        return cls(
            catalog=opened,
            period=span,
            out=Path(out) if out else None,
            upstream=Path(upstream) if upstream else None,
            seed=seed,
            overrides=dict(overrides or {}),
            threads=threads,
            held_out=held_out,
        )

    def labels(self) -> pd.DataFrame:
        """Return the inspections that models may learn from: decided before :attr:`labels_end`."""
        labels: pd.DataFrame = self.catalog.labels(self.labels_end)
        return labels

    @property
    def labels_end(self) -> pd.Timestamp | None:
        """Day from which decisions are held out; None: nothing is held out.

        A split by decision day, as in use: what is decided later was not known.
        """
        decided = self.catalog.labels()["decided_on"].sort_values()
        if not self.held_out or decided.empty:
            return None
        first = decided.iloc[min(len(decided) - 1, round(len(decided) * (1 - self.held_out)))]
        return pd.Timestamp(first).normalize()

    @property
    def truth_file(self) -> Path | None:
        """Truth of a simulated district, for ``workbench.evaluation`` only; None for real ones."""
        return truth_beside(self.catalog.location)

    def findings(self) -> pd.DataFrame:
        """Return the findings of all earlier steps (contract table ``findings``; empty where there are none)."""
        return self._gather("findings")

    def attributions(self) -> pd.DataFrame:
        """Return the attributions of all earlier steps."""
        return self._gather("attributions")

    def conflicts(self) -> pd.DataFrame:
        """Return the conflicts of all earlier steps."""
        return self._gather("conflicts")

    def leads(self) -> pd.DataFrame:
        """Return the leads of the last earlier step that wrote any."""
        return latest_leads(self.step_folders())

    def evidence(self) -> list[xr.Dataset]:
        """Return the evidence of each earlier step that has any, lazy, dims (enterprise, hour)."""
        return [xr.open_zarr(f / EVIDENCE, consolidated=False) for f in self.step_folders() if (f / EVIDENCE).is_dir()]

    def metrics(self) -> list[Metric]:
        """Return the metrics of all earlier steps."""
        return gather_metrics(self.step_folders())

    def step_folders(self) -> list[Path]:
        """Return the folders of the earlier steps, in the order in which they ran (by name where that is not known)."""
        if self.upstream is None or not self.upstream.is_dir():
            return []
        there = sorted(f for f in self.upstream.iterdir() if f.is_dir() and not f.name.startswith("."))
        order = self.upstream / ORDER
        known = json.loads(order.read_text(encoding="utf-8")) if order.is_file() else []
        return sorted(there, key=lambda f: (known.index(f.name) if f.name in known else len(known), f.name))

    def write(
        self,
        *,
        findings: pd.DataFrame | None = None,
        attributions: pd.DataFrame | None = None,
        conflicts: pd.DataFrame | None = None,
        leads: pd.DataFrame | None = None,
        evidence: xr.Dataset | None = None,
        metrics: Sequence[Metric] | None = None,
    ) -> list[str]:
        """Check results against their contracts and write them; return the names of the files written.

        Raises
        ------
        ContractBreach
            If a table, the evidence or a metric does not meet its contract; nothing is written then.
        """
        given = {"findings": findings, "attributions": attributions, "conflicts": conflicts, "leads": leads}
        tables = {name: _sorted(name, result_frame(name, frame)) for name, frame in given.items() if frame is not None}
        if evidence is not None:
            check_evidence(evidence)
        for m in metrics or ():
            if not isinstance(m, Metric):
                raise ContractBreach("a metric is a contracts.Metric", got=type(m).__name__, where=METRICS)
        if self.out is None:
            return []
        self.out.mkdir(parents=True, exist_ok=True)
        for name, frame in tables.items():
            write_table(self.out / f"{name}.parquet", frame)
            self.written.append(f"{name}.parquet")
        if evidence is not None:
            _write_evidence(self.out / EVIDENCE, evidence)
            self.written.append(EVIDENCE)
        if metrics is not None:
            write_metrics(self.out / METRICS, metrics)
            self.written.append(METRICS)
        return self.written

    def _gather(self, name: str) -> pd.DataFrame:
        return gather(name, self.step_folders())


def gather(name: str, folders: Sequence[Path]) -> pd.DataFrame:
    """Return one result table over several step folders; a row repeated by a later step replaces the earlier one."""
    frames = [read_table(f / f"{name}.parquet") for f in folders if (f / f"{name}.parquet").is_file()]
    frames = [f for f in frames if len(f)]
    if not frames:
        return result_frame(name)
    whole = pd.concat(frames, ignore_index=True).drop_duplicates(list(RESULTS[name].key), keep="last")
    return _sorted(name, result_frame(name, whole))


def latest_leads(folders: Sequence[Path]) -> pd.DataFrame:
    """Return the leads of the last folder that has any (a later step refines the whole list), by rank."""
    files = [f / "leads.parquet" for f in folders if (f / "leads.parquet").is_file()]
    return read_table(files[-1]) if files else result_frame("leads")


def gather_metrics(folders: Sequence[Path]) -> list[Metric]:
    """Return the metrics of several step folders, in order."""
    return [
        Metric.model_validate(m) for f in folders if (f / METRICS).is_file() for m in json.loads((f / METRICS).read_text(encoding="utf-8"))
    ]


def read_table(file: Path) -> pd.DataFrame:
    """Read a result table back, list columns as lists."""
    return result_frame(file.stem, pd.read_parquet(file))


def write_table(file: Path, frame: pd.DataFrame) -> None:
    """Write a table atomically; the bytes depend on its content and the library versions only."""
    temporary = file.with_name(f".{file.name}.tmp")
    frame.to_parquet(temporary, engine="pyarrow", index=False, compression="zstd")
    temporary.replace(file)


def write_metrics(file: Path, metrics: Sequence[Metric]) -> None:
    """Write metrics atomically as a JSON list."""
    write_text(file, json.dumps([m.model_dump() for m in metrics], ensure_ascii=False, indent=1) + "\n")


def write_text(file: Path, text: str) -> None:
    """Write a text file atomically."""
    temporary = file.with_name(f".{file.name}.tmp")
    temporary.write_text(text, encoding="utf-8")
    temporary.replace(file)


def _write_evidence(folder: Path, evidence: xr.Dataset) -> None:
    temporary = folder.with_name(f".{folder.name}.tmp")
    shutil.rmtree(temporary, ignore_errors=True)
    evidence.to_zarr(temporary, mode="w", consolidated=False, zarr_format=3)
    shutil.rmtree(folder, ignore_errors=True)
    temporary.replace(folder)


def _sorted(name: str, frame: pd.DataFrame) -> pd.DataFrame:
    by = ["rank"] if name == "leads" else list(RESULTS[name].key)
    if name == "leads" and frame["rank"].duplicated().any():
        twice = frame.loc[frame["rank"].duplicated(), "rank"].tolist()
        raise ContractBreach("rank is unique over both queues", got=twice[:5], where="leads.rank")
    return frame.sort_values(by, kind="stable").reset_index(drop=True)


def require_upstream(step: Step, file: str) -> None:
    """Raise :class:`ParameterError` unless an earlier step wrote ``file``; for notebooks that make no sense without it."""
    if not any((f / file).exists() for f in step.step_folders()):
        raise ParameterError(
            "no earlier step wrote this",
            got=[f.name for f in step.step_folders()] or "no earlier step",
            allowed=file,
            next_step="list the step that writes it before this one in experiment.yml",
        )
