"""Makes the simulated district that a catalog points at, once, as a whole, and anew when its generator has changed."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from workbench.contracts import RunError
from workbench.pipeline import lock


@dataclass(frozen=True)
class Generated:
    """A district that was made: its folder, and whether it replaced one that another generator had made."""

    folder: Path
    anew: bool

    def __str__(self) -> str:
        """Return the line for the screen."""
        if self.anew:
            return f"生成器已变更，模拟区已重新生成 the generator has changed, simulated district made anew: {self.folder}"
        return f"模拟区已生成 simulated district: {self.folder}"


def generate_if_needed(location: str, *, progress: bool = True) -> Generated | None:
    """Generate the district that a catalog file asks for, where it is not there or was made by another generator.

    The district is made beside its place and renamed into it, and an old one is removed only then, so that a killed run
    leaves no half of one.

    Parameters
    ----------
    location : str
        Catalog file or URL.
    progress : bool
        Draw a progress bar.

    Returns
    -------
    Generated or None
        What was made; None where nothing was needed.

    Raises
    ------
    RunError
        If the generated folder holds no catalog, or another process is generating it.
    """
    from workbench.catalog import needs_generation
    from workbench.district import fingerprint, generate

    spec = needs_generation(location, fingerprint)
    if spec is None:
        return None
    with lock.hold(spec.folder.with_name(f".{spec.folder.name}.lock")):
        if needs_generation(location, fingerprint) is None:  # another process was quicker
            return None
        for leftover in (p for end in ("part", "old") for p in spec.folder.parent.glob(f".{spec.folder.name}.*.{end}")):
            shutil.rmtree(leftover, ignore_errors=True)  # of a killed process: none living generates while the lock is held
        anew = spec.catalog.is_file()
        generate(spec.folder, scale=cast(Any, spec.scale), seed=spec.seed, progress=progress)
        if not spec.catalog.is_file():
            raise RunError("the generated district has no catalog", where=str(spec.folder), next_step=f"try by hand: {spec.command()}")
    return Generated(spec.folder, anew)
