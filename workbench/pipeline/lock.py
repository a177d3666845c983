"""One run per iteration: a lock that dies with its process."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from workbench.contracts import RunError


@contextmanager
def hold(file: Path) -> Iterator[None]:
    """Hold the lock ``file`` for the length of the block.

    The kernel releases an ``flock`` when its process ends, however it ends, so a lock left by a killed run is taken
    over without asking.

    Raises
    ------
    RunError
        If another living process holds it.
    """
    file.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(file, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            holder = os.read(descriptor, 64).decode(errors="replace").strip()
            raise RunError(
                "this iteration is running already",
                got=f"process {holder or 'unknown'}",
                where=str(file),
                next_step="wait for it, or end that process and run again with --resume",
            ) from error
        os.ftruncate(descriptor, 0)
        os.write(descriptor, str(os.getpid()).encode())
        yield
    finally:
        os.close(descriptor)
