"""When readings arrived, where a store knows it.

The catalog's cubes need not say when a reading arrived, only when it was measured. A store that does carries the variable ``delay`` beside
``value``: seconds from measurement to arrival, NaN where unknown. Without it late arrival is not evaluable, and said so.
"""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np

from workbench.models.monitoring.inputs import Inputs


def delays(inputs: Inputs, held: np.ndarray) -> Any:
    """Return the lazy median delay of every held point and day in hours, NaN where unknown; None where no cube knows it.

    Parameters
    ----------
    held : int array
        Positions in the roster of the points that have a series.
    """
    import dask
    import dask.array as da

    if not any("delay" in c.data for c in inputs.cubes):
        return None
    parts, rows = [], []
    for cube in inputs.cubes:
        shape = (len(cube.rows), inputs.days)
        rows.append(cube.rows)
        if "delay" not in cube.data:
            parts.append(da.full(shape, np.nan, dtype=np.float32))
            continue
        made = dask.delayed(_by_day, pure=True)(cube.data["delay"].data, cube.offset, cube.per_day, inputs.days)
        parts.append(da.from_delayed(made, shape=shape, dtype=np.float32))
    order = np.full(len(inputs.roster), -1)
    joined = np.concatenate(rows)
    order[joined] = np.arange(len(joined))
    return da.take(da.concatenate(parts), order[held], axis=0)


def _by_day(delay: Any, offset: int, per_day: int, days: int) -> np.ndarray:
    x = np.asarray(delay, dtype=np.float32)
    full = np.full((len(x), days * per_day), np.nan, np.float32)
    n = min(x.shape[1], full.shape[1] - offset)
    full[:, offset : offset + n] = x[:, :n] / 3600
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        return np.asarray(np.nanmedian(full.reshape(len(x), days, per_day), axis=2), dtype=np.float32)
