"""Peak memory of the processes that this one starts, by sampling."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import psutil

_SAMPLE_S = 0.2


class Peak:
    """Highest sum of resident memory seen so far, MiB; memory that processes share counts once for each."""

    mib = 0.0


@contextmanager
def watch_memory() -> Iterator[Peak]:
    """Sample the resident memory of this process's new children and of what they start, every 0.2 s."""
    peak, stop, me = Peak(), threading.Event(), psutil.Process()
    earlier = {child.pid for child in me.children(recursive=True)}

    def sample() -> None:
        while not stop.wait(_SAMPLE_S):
            total = 0
            with suppress(psutil.Error):
                for child in me.children(recursive=True):
                    if child.pid not in earlier:
                        with suppress(psutil.Error):
                            total += child.memory_info().rss
            peak.mib = max(peak.mib, total / 2**20)

    watcher = threading.Thread(target=sample, name="memory-watch", daemon=True)
    watcher.start()
    try:
        yield peak
    finally:
        stop.set()
        watcher.join()
