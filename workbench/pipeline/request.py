"""From what was typed to what is run."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from workbench.contracts import ParameterError
from workbench.pipeline.experiment import apply_settings, find_experiment, load_experiment, project_root
from workbench.pipeline.iteration import Request


def request(
    experiment: str = "reference",
    *,
    catalog: str = "",
    settings: Sequence[str] = (),
    out: Path | None = None,
    scheduler: str = "",
    resume: bool = False,
    author: str = "",
) -> Request:
    """Resolve names and paths.

    Parameters
    ----------
    experiment : str
        Name in ``experiments/``, or an experiment file.
    catalog : str
        Catalog file, relative to the working folder, or URL; empty: the experiment's, relative to its project.
    settings : sequence of str
        ``key=value``, see :func:`workbench.pipeline.experiment.apply_settings`.
    out : Path, optional
        Reports folder; default ``reports/`` of the project.
    """
    file = find_experiment(experiment)
    root = project_root(file.parent)
    loaded = apply_settings(load_experiment(file), settings)
    if scheduler and "://" not in scheduler:
        raise ParameterError("cannot read the scheduler's address", got=scheduler, allowed="tcp://HOST:PORT", where="--scheduler")
    return Request(
        experiment=loaded,
        file=file,
        notebooks=root / "notebooks",
        catalog=_located(catalog, Path.cwd()) if catalog else _located(loaded.catalog, root),
        reports=(out or root / "reports").resolve(),
        author=author,
        scheduler=scheduler,
        resume=resume,
    )


def _located(catalog: str, base: Path) -> str:
    if "://" in catalog:
        return catalog
    file = (base / catalog).resolve()
    if not file.exists():
        raise ParameterError("no such catalog", got=catalog, where=str(file), next_step="name a catalog file with --catalog")
    return str(file)
