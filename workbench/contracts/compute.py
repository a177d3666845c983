"""The one place where thread counts are set.

LightGBM, numba, BLAS, Arrow and dask share the same cores; each left alone takes all of them.
"""

from __future__ import annotations

import os


def threads() -> int:
    """Return the number of worker threads: ``WORKBENCH_THREADS``, else the cores this process may use."""
    configured = os.environ.get("WORKBENCH_THREADS", "")
    if configured.isdigit() and int(configured) > 0:
        return int(configured)
    return max(1, len(os.sched_getaffinity(0)))


def limit_threads() -> int:
    """Apply :func:`threads` to numba, BLAS, Arrow and dask in this process; return the count.

    Called by the command line, by every notebook and by the benchmarks before they compute.
    """
    n = threads()
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS"):
        os.environ.setdefault(name, str(n))
    import dask
    import numba
    import pyarrow as pa

    numba.set_num_threads(min(n, numba.config.NUMBA_NUM_THREADS))
    pa.set_cpu_count(n)
    dask.config.set(scheduler="threads", num_workers=n)
    return n
