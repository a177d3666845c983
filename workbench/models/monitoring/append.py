"""A day of new records added to a known history and scored, without reading the history again.

What is kept between days is small: the features by (point, day) and (point, hour), the run that reaches over midnight, and
the sorted hashes of the history. A new day is reduced with the carry, its hashes are looked up, and the detectors that judge a
day by its own past are applied to it; window detectors run with the nightly full assessment.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from workbench.contracts import CatalogView, Period
from workbench.models.monitoring import kernels
from workbench.models.monitoring.detectors.plateau import tie_rates
from workbench.models.monitoring.features import EMPTY_HASH, build, gram_length
from workbench.models.monitoring.inputs import limits_of, read_inputs
from workbench.models.monitoring.levels import EARLY, levels_of
from workbench.models.monitoring.noise_floor import usual_levels
from workbench.models.monitoring.panel import Panel


@dataclass
class Tail:
    """State of a history between days.

    Parameters
    ----------
    points : array of str
        Rows, all of one cube.
    per_day : int
    limits : float32 array, shape (point, 3)
    carry : float64 array, shape (point, CARRY)
    hashes : uint64 array
        Sorted hashes of the history.
    early, late : float arrays, shape (point, level)
        Tie rates by value level.
    usual : float array, shape (4, point)
        Median and robust spread of the log daily mean and of the lag-1 autocorrelation.
    """

    points: np.ndarray
    per_day: int
    limits: np.ndarray
    carry: np.ndarray
    hashes: np.ndarray
    early: np.ndarray
    late: np.ndarray
    usual: np.ndarray


def start_tail(catalog: CatalogView, period: Period) -> Tail:
    """Build the state from a history of one cube that ends at midnight."""
    inputs = read_inputs(catalog, period)
    cube = inputs.cubes[0]
    data = build(inputs).compute()
    panel = Panel(data.sel(point=inputs.roster["point_id"].to_numpy()[cube.rows]))
    carry = np.zeros((len(cube.rows), kernels.CARRY))
    carry[:, 0], carry[:, 1] = panel.day("run_value")[:, -1], panel.day("run")[:, -1]
    carry[:, (4, 5)] = np.nan
    early, late = tie_rates(panel)
    sketch = panel.hour("sketch")
    hashes = np.sort(sketch[sketch != EMPTY_HASH])
    points = panel.roster["point_id"].to_numpy(dtype=object)
    return Tail(points, cube.per_day, limits_of(inputs, cube), carry, hashes, early, late, usual_levels(panel))


def append_day(tail: Tail, value: np.ndarray, mark: np.ndarray) -> pd.DataFrame:
    """Reduce and score one new day; the state moves on by a day.

    Parameters
    ----------
    value : float32 array, shape (point, per_day)
    mark : uint8 array, shape (point, per_day)

    Returns
    -------
    DataFrame
        One row per point: ``constant`` (−ln p of the longest run), ``copied`` (share of the day's hashes met before), ``over_limit``
        (share of ordinary values over the limit), ``missing`` (share), ``level`` and ``lag1`` (robust departures from own past).
    """
    n = len(value)
    value, mark = np.ascontiguousarray(value, np.float32), np.ascontiguousarray(mark, np.uint8)
    day = np.full((kernels.N_DAY, n, 1), np.nan, np.float32)
    hour = np.full((kernels.N_HOUR, n, 24), np.nan, np.float32)
    kernels.scan(value, mark, tail.limits, 0, tail.per_day, day, hour, tail.carry)
    sketch = np.full((n, 1, kernels.SKETCH), EMPTY_HASH, np.uint64)
    where = np.full((n, 1, kernels.SKETCH), -1, np.int32)
    kernels.sketch_grams(value, mark, 0, tail.per_day, gram_length(tail.per_day), sketch, where)
    names = {name: day[k, :, 0].astype(float) for k, name in enumerate(kernels.DAY_STATISTICS)}
    flat = sketch[:, 0]
    known = flat != EMPTY_HASH
    at = np.minimum(np.searchsorted(tail.hashes, flat), max(len(tail.hashes) - 1, 0))
    met = known & (tail.hashes[at] == flat) if len(tail.hashes) else np.zeros_like(known)
    tail.hashes = np.sort(np.concatenate([tail.hashes, flat[known]]), kind="stable")
    levels = levels_of(names["run_value"])
    rows = np.arange(n)
    run = np.nan_to_num(names["run"])
    log_p = np.log(np.maximum(names["n_valid"], 1))
    log_p = log_p + np.minimum(np.maximum(run - 1, 0), EARLY - 1) * np.log(tail.early[rows, levels])
    log_p = log_p + np.maximum(run - EARLY, 0) * np.log(tail.late[rows, levels])
    with np.errstate(all="ignore"):
        level = (np.log(names["mean"]) - tail.usual[0]) / tail.usual[1]
        lag = (names["lag1"] - tail.usual[2]) / tail.usual[3]
        over = names["n_over_limit"] / names["n_valid"]
    return pd.DataFrame(
        {
            "point_id": tail.points,
            "constant": np.maximum(-log_p, 0.0),
            "copied": met.sum(axis=1) / np.maximum(known.sum(axis=1), 1),
            "over_limit": over,
            "missing": names["n_missing"] / tail.per_day,
            "level": level,
            "lag1": lag,
        }
    )
