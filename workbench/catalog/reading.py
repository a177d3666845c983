"""How entries are read: what keeps a store lazy, what a cube is brought to, when an entry is refused."""

from __future__ import annotations

from typing import Any

import numpy as np
import xarray as xr

from workbench.contracts import Breach, ContractBreach

TRUTH = "truth"


def names_truth(url: str) -> bool:
    """Return whether a path or URL names the hidden truth of a simulated district."""
    return url.replace("\\", "/").rstrip("/").rpartition("/")[2].lower().partition(".")[0] == TRUTH


def lazily(settings: dict[str, Any]) -> dict[str, Any]:
    """Return what keeps a Zarr store lazy, its metadata fresh and its marks whole numbers.

    On this machine each array's own metadata is as quick to read as the consolidated copy, and never stale. The fill
    value of a Zarr 2 array would be read as missing and turn marks into floats.
    """
    data = next(a for a in (*settings.get("args", ()), settings.get("data")) if hasattr(a, "url"))
    wanted: dict[str, Any] = {"mask_and_scale": {"mark": False}} | ({} if "chunks" in settings else {"chunks": {}})
    if "://" not in str(data.url) or str(data.url).startswith("file://"):
        wanted["consolidated"] = False
    return wanted


def refuse(entry: str, breaches: list[Breach], location: str) -> None:
    """Raise ContractBreach, with every breach, where at least one is an error."""
    errors = [b for b in breaches if b.level == "error"]
    if errors:
        raise ContractBreach(
            f"the entry {entry} breaks its contract",
            got=f"{len(errors)} breach{'es' if len(errors) > 1 else ''}: " + " | ".join(map(str, errors)),
            where=location,
            next_step="`workbench check` lists every breach of every entry",
            breaches=breaches,
        )


def storage(cube: xr.Dataset) -> xr.Dataset:
    """Return the cube with ``point`` as object text and ``time`` as nanoseconds, whatever the store's encoding gave."""
    if "point" in cube.coords and cube["point"].dtype != object:
        cube = cube.assign_coords(point=cube["point"].to_numpy().astype(object))
    if "time" in cube.coords and np.issubdtype(cube["time"].dtype, np.datetime64):
        cube = cube.assign_coords(time=cube["time"].astype("datetime64[ns]"))
    return cube
