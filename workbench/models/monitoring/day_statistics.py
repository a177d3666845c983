"""Per-point-day statistics straight from a Zarr store: the shortest way from disk to features.

The lazy features of :mod:`workbench.models.monitoring.features` do more (marks, copies, hours of every system) and read through
xarray; this one reads rows of chunks with zarr itself, a thread per block, and runs the same kernel.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from workbench.contracts import threads
from workbench.models.monitoring import kernels
from workbench.models.monitoring.features import fresh_carry


def scan_store(path: str | Path, per_day: int, limits: np.ndarray | None = None) -> list[np.ndarray]:
    """Return the day statistics of every block of points of a store that begins at midnight.

    Parameters
    ----------
    path : path
        Zarr group with ``value`` and ``mark`` over (point, time).
    per_day : int
        Samples per day.
    limits : float32 array, shape (point, 3), optional
        Limit, range end, negative tolerance; NaN where unknown.

    Returns
    -------
    list of float32 arrays, shape (N_DAY, points of the block, day)
        In the order of the store.
    """
    import zarr

    group = zarr.open_group(str(path), mode="r")
    value, mark = group["value"], group["mark"]
    n, samples = value.shape
    rows = max(int(value.chunks[0]), 1)
    days = -(-samples // per_day)
    known = np.full((n, 3), np.nan, np.float32) if limits is None else limits

    def one(lo: int) -> np.ndarray:
        part = slice(lo, min(lo + rows, n))
        v, m = np.ascontiguousarray(value[part]), np.ascontiguousarray(mark[part])
        day = np.full((kernels.N_DAY, len(v), days), np.nan, np.float32)
        hour = np.empty((kernels.N_HOUR, len(v), days * 24), np.float32)
        kernels.scan(v, m, known[part], 0, per_day, day, hour, fresh_carry(len(v)))
        return day

    with ThreadPoolExecutor(threads()) as pool:
        return list(pool.map(one, range(0, n, rows)))
