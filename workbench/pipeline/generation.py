"""Makes the simulated district that a catalog points at, once, as a whole."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any, cast

from workbench.contracts import RunError
from workbench.pipeline import lock


def generate_if_needed(location: str, *, progress: bool = True) -> Path | None:
    """Generate the district that a catalog file asks for and that is not there yet.

    The district is made in a folder beside its place and renamed into it, so that a killed run leaves no half of one.

    Parameters
    ----------
    location : str
        Catalog file or URL.
    progress : bool
        Draw a progress bar.

    Returns
    -------
    Path or None
        The folder made; None where nothing was needed.

    Raises
    ------
    RunError
        If the generated folder holds no catalog, or another process is generating it.
    """
    from workbench.catalog import needs_generation

    spec = needs_generation(location)
    if spec is None:
        return None
    from workbench.district import generate

    partial = spec.folder.with_name(f".{spec.folder.name}.{os.getpid()}.partial")
    with lock.hold(spec.folder.with_name(f".{spec.folder.name}.lock")):
        if spec.catalog.is_file():
            return None
        for leftover in spec.folder.parent.glob(f".{spec.folder.name}.*.partial"):
            shutil.rmtree(leftover, ignore_errors=True)
        generate(partial, scale=cast(Any, spec.scale), seed=spec.seed, progress=progress)
        if not (partial / spec.catalog.name).is_file():
            raise RunError("the generated district has no catalog", where=str(partial), next_step=f"try by hand: {spec.command()}")
        shutil.rmtree(spec.folder, ignore_errors=True)
        partial.replace(spec.folder)
    return spec.folder
