"""The simulated district: a catalog with hidden truth, written from a specification of its own."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

Scale = Literal["tiny", "small", "full"]


def generate(out: Path, *, scale: Scale, seed: int, progress: bool = True, residuals: Path | None = None) -> Path:
    """Write a simulated district into folder ``out`` and return its catalog file.

    Parameters
    ----------
    out : Path
        Folder to create; written beside it first and renamed when complete, so that a killed run leaves nothing
        that opens.
    scale : {"tiny", "small", "full"}
        30 enterprises × 30 days, 140 × 90, or 2,071 points × 261 days, all at six minutes.
    seed : int
        Same seed, scale and versions give the same values.
    progress : bool
        Show a progress bar.
    residuals : Path, optional
        Folder with real series (``gas_turbine``, ``steel``, ``prsa``) to draw residual blocks from.

    Raises
    ------
    ParameterError
        If the scale is unknown or ``out`` holds something that is not a district.
    """
    from workbench.district.build import generate as build

    return build(out, scale=scale, seed=seed, progress=progress, residuals=residuals)


def fingerprint(scale: str, seed: int) -> str:
    """Return what a district of these parameters, made now, would carry as ``fingerprint`` in its ``district.json``."""
    from workbench.district.provenance import fingerprint as compute

    return compute(scale, seed)


__all__ = ["generate"]
