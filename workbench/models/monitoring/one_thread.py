"""BLAS on one thread while this model computes.

Two reasons. A product split over threads rounds otherwise in the last bit, so that findings would depend on the number of cores, and
a Dask worker (one BLAS thread) would not give the bytes of a local run. And the products here are small and run on threads already:
threads inside each of them only wait for one another.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from threading import Lock
from typing import Any

__all__ = ["one_blas_thread"]


class _Holders:
    """How many callers are inside; the first one sets the limit, the last one puts the old count back."""

    def __init__(self) -> None:
        self.lock = Lock()
        self.inside = 0
        self.limit: Any = None


_holders = _Holders()


@contextmanager
def one_blas_thread() -> Iterator[None]:
    """Keep BLAS on one thread until every caller has left; may be nested and entered from several threads."""
    from threadpoolctl import threadpool_limits

    with _holders.lock:
        if _holders.inside == 0:
            _holders.limit = threadpool_limits(1, user_api="blas")
        _holders.inside += 1
    try:
        yield
    finally:
        with _holders.lock:
            _holders.inside -= 1
            if _holders.inside == 0:
                _holders.limit.restore_original_limits()
                _holders.limit = None
