"""Runs one notebook through papermill, in a kernel of this very interpreter, and measures it."""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from workbench.contracts import RunError, unknown_name
from workbench.pipeline.executor import SCHEDULER_VARIABLE
from workbench.pipeline.memory_watch import watch_memory

KERNEL = "python3"
LOG = "kernel.log"
OnCell = Callable[[int, int], None]
"""Called as ``on_cell(cells done, cells in all)``."""


@dataclass(frozen=True)
class Usage:
    """What a notebook used: wall time in s, peak resident memory of its kernel and the kernel's children in MiB."""

    wall_s: float
    peak_mib: float


def parameters_of(notebook: Path) -> dict[str, str]:
    """Return the parameters a notebook declares, name to default as written."""
    from papermill import inspect_notebook

    return {name: str(p["default"]) for name, p in inspect_notebook(str(notebook)).items()}


def check_parameters(notebook: Path, given: Mapping[str, Any]) -> None:
    """Refuse parameters that the notebook does not declare (papermill itself only warns).

    Raises
    ------
    ParameterError
        With the nearest declared name.
    """
    declared = parameters_of(notebook)
    for name in given:
        if name not in declared:
            raise unknown_name("notebook parameter", name, declared, where=notebook.name)


def execute(
    notebook: Path, executed: Path, parameters: Mapping[str, Any], *, scratch: Path, scheduler: str = "", on_cell: OnCell | None = None
) -> Usage:
    """Run a notebook and write it, executed, to ``executed``.

    Parameters
    ----------
    notebook : Path
        The notebook; its folder is the kernel's working folder.
    executed : Path
        Where the executed notebook goes, also when a cell fails.
    parameters : mapping
        Values for its ``parameters`` cell.
    scratch : Path
        Folder for the kernel's specification and IPython's files; nothing is written to the user's home.
    scheduler : str
        Address of a Dask cluster for the notebook; empty: threads.
    on_cell : callable, optional
        Told after every cell how far it is.

    Raises
    ------
    RunError
        If a cell fails or the kernel dies; names the notebook and the cell.
    """
    from nbclient.exceptions import CellTimeoutError, DeadKernelError
    from papermill import execute_notebook
    from papermill.exceptions import PapermillException, PapermillExecutionError

    _register_engine()
    started = time.monotonic()
    try:
        with _own_kernel(scratch, scheduler), watch_memory() as peak:
            execute_notebook(
                str(notebook),
                str(executed),
                parameters=dict(parameters),
                engine_name="workbench",
                kernel_name=KERNEL,
                progress_bar=False,
                cwd=str(notebook.parent),
                start_timeout=120,
                autosave_cell_every=0,
                on_cell=on_cell,
                kernel_manager_class=_kernel_manager(scratch / LOG),
            )
    except PapermillExecutionError as error:
        raise RunError(
            f"cell {error.exec_count} of {notebook.name} failed",
            got=f"{error.ename}: {error.evalue}",
            where=f"{notebook.name}, cell {error.exec_count}: {_headline(error.source)}",
        ) from error
    except DeadKernelError as error:
        raise RunError(
            f"the kernel of {notebook.name} died",
            got=str(error),
            where=f"{notebook.name}; its last words: {scratch / LOG}",
            next_step="look for lack of memory (run with a shorter --set period=…), then run again with --resume",
        ) from error
    except (PapermillException, CellTimeoutError, RuntimeError, OSError) as error:
        raise RunError(f"cannot run {notebook.name}", got=f"{type(error).__name__}: {error}", where=notebook.name) from error
    return Usage(time.monotonic() - started, peak.mib)


def _headline(source: str) -> str:
    return next((line.strip() for line in source.splitlines() if line.strip()), "")[:120]


def _kernel_manager(log: Path) -> Any:
    """Return a kernel manager with an encrypted channel where the libraries can do it, that does not wait long at the end.

    A kernel whose libraries hold threads may not answer the request to end; all its cells are done by then. What the
    kernel itself prints (not its cells) goes into ``log``.
    """
    import zmq
    from jupyter_client.manager import AsyncKernelManager
    from traitlets import default

    class KernelManager(AsyncKernelManager):
        """The usual one with other defaults."""

        @default("shutdown_wait_time")
        def _soon(self) -> float:
            return 1.0

        @default("transport_encryption")
        def _encrypted(self) -> str:
            return "auto" if zmq.has("curve") else "disabled"

        async def start_kernel(self, **kw: Any) -> Any:  # type: ignore[override]  # as in AsyncKernelManager itself
            with log.open("ab") as stream:
                return await super().start_kernel(**{**kw, "stdout": stream, "stderr": stream})

    return KernelManager


def _register_engine() -> None:
    from papermill.engines import NBClientEngine, papermill_engines

    class Engine(NBClientEngine):  # type: ignore[misc]
        """papermill's own engine, which also tells how many cells are done."""

        @classmethod
        def execute_managed_notebook(cls, nb_man: Any, kernel_name: str, *, on_cell: OnCell | None = None, **rest: Any) -> Any:
            complete, total, done = nb_man.cell_complete, len(nb_man.nb.cells), 0

            def told(*args: Any, **kwargs: Any) -> Any:
                nonlocal done
                done += 1
                if on_cell is not None:
                    on_cell(min(done, total), total)
                return complete(*args, **kwargs)

            nb_man.cell_complete = told
            return super().execute_managed_notebook(nb_man, kernel_name, **rest)

    papermill_engines.register("workbench", Engine)


@contextmanager
def _own_kernel(scratch: Path, scheduler: str) -> Iterator[None]:
    """Make ``python3`` mean this interpreter whatever kernels the user has installed, and keep out of the home folder."""
    spec = scratch / "kernels" / KERNEL / "kernel.json"
    spec.parent.mkdir(parents=True, exist_ok=True)
    argv = [sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}", "--HistoryManager.enabled=False"]
    secure = {"supported_encryption": ["curve"]}
    spec.write_text(json.dumps({"argv": argv, "display_name": "Python 3", "language": "python", "metadata": secure}), encoding="utf-8")
    wanted = {
        "JUPYTER_PATH": str(scratch),  # searched before the user's and the environment's kernels
        "JUPYTER_RUNTIME_DIR": str(scratch / "runtime"),
        "JUPYTER_NO_CONFIG": "1",
        "IPYTHONDIR": str(scratch / "ipython"),
        "MPLBACKEND": "module://matplotlib_inline.backend_inline",
        "PYDEVD_DISABLE_FILE_VALIDATION": "1",  # no warning about frozen modules in the executed notebook
        SCHEDULER_VARIABLE: scheduler,
    }
    before = {name: os.environ.get(name) for name in (*wanted, "JUPYTER_PREFER_ENV_PATH")}
    os.environ.update(wanted)
    os.environ.pop("JUPYTER_PREFER_ENV_PATH", None)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
