"""Runs the scripts of ``benchmarks/`` one after another and keeps what each of them said, whatever becomes of the others."""

from __future__ import annotations

import datetime as dt
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import IO, Any
from zoneinfo import ZoneInfo

from workbench.contracts import ParameterError, unknown_name
from workbench.pipeline.bench_results import Entry, Status, keep, sentence, without_paths
from workbench.pipeline.experiment import project_root
from workbench.pipeline.fingerprints import code_version
from workbench.pipeline.memory_watch import watch_memory

LIMIT_MINUTES = 20.0
"""A benchmark that takes longer is ended and named, so that one of them cannot cost the results of the others."""
_GRACE_S = 10.0


def known_benchmarks(folder: Path) -> list[str]:
    """Return the names of the scripts of a folder, sorted; files that begin with ``_`` are parts of others."""
    return sorted(f.stem for f in folder.glob("*.py") if not f.name.startswith("_")) if folder.is_dir() else []


def run_benchmarks(
    names: Sequence[str],
    *,
    quick: bool,
    say: Callable[[str], None],
    root: Path | None = None,
    limit_minutes: float = LIMIT_MINUTES,
) -> list[str]:
    """Run benchmarks one after another; return the names of those that failed.

    Each script ends with one line of JSON ``{name, value, unit, low, high, n, peers, ratios}``; what it prints before is shown as it comes.
    ``value`` null means that nothing was measured, with the reason under ``skipped`` (else its last words): that is no failure.
    After every script ``benchmarks/results.json`` and the page ``benchmarks/RESULTS.md`` are written anew, what earlier runs measured
    with other names included; ``quick`` sizes measure nothing worth keeping and leave both as they are.

    Parameters
    ----------
    names : sequence of str
        Which; empty: all of them.
    say : callable
        Told every line.
    limit_minutes : float
        A script that takes longer is ended and counts as failed.

    Raises
    ------
    ParameterError
        If this is no checkout, or a name is not known.
    """
    folder = (root or project_root()) / "benchmarks"
    known = known_benchmarks(folder)
    if not known:
        raise ParameterError("no benchmarks here", where=str(folder), next_step="run inside a checkout of the project")
    for name in names:
        if name not in known:
            raise unknown_name("benchmark", name, known, where=str(folder))
    chosen, entries = list(names or known), []
    for k, name in enumerate(chosen, 1):
        say(f"[{k}/{len(chosen)}] {name} …")
        entry = _run(name, folder, quick=quick, say=say, limit_minutes=limit_minutes)
        entries.append(entry)
        say(f"[{k}/{len(chosen)}] {sentence(entry)}")
        if not quick:
            keep(folder, entry, known)
    _closing(entries, say)
    if not quick:
        say(f"written: {folder / 'RESULTS.md'}")
    return [e.benchmark for e in entries if e.failed]


def _closing(entries: Sequence[Entry], say: Callable[[str], None]) -> None:
    say("")
    for e in sorted(entries, key=lambda e: -e.seconds):
        say(f"{e.seconds:7.0f} s  {e.peak_gib:5.1f} GiB  {e.benchmark:24s} {e.status.value}")
    say(f"{sum(e.seconds for e in entries):7.0f} s  in all")


def _run(name: str, folder: Path, *, quick: bool, say: Callable[[str], None], limit_minutes: float) -> Entry:
    """Run one script, its lines shown as they come, in a process group of its own that ends with it."""
    command = [sys.executable, "-u", str(folder / f"{name}.py"), *(["--quick"] if quick else [])]
    load = round(os.getloadavg()[0], 2) if hasattr(os, "getloadavg") else None
    started, out = time.monotonic(), [""]
    with tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace") as complaints, watch_memory() as peak:
        child = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=complaints, text=True, errors="replace", cwd=folder.parent, start_new_session=True
        )
        too_long = threading.Event()

        def stop() -> None:
            too_long.set()
            _end(child)

        timer = threading.Timer(60 * limit_minutes, stop)
        timer.start()
        try:
            for line in _lines(child.stdout):
                out.append(line)
                if _result(line) is None:
                    say(f"    {line}")
            code = child.wait()
        finally:  # also when a person interrupts: nothing is left running
            timer.cancel()
            _end(child)
        seconds = time.monotonic() - started
        complaints.seek(0)
        words = [line for line in complaints.read().splitlines() if line.strip()]
    result = _result(out[-1])
    told = next((line for line in reversed(out) if line and _result(line) is None), "")
    status, reason = _judged(code, result, told, words, limit_minutes if too_long.is_set() else None)
    if status is Status.FAILED:
        say("\n".join(f"    {line}" for line in words[-15:]))
    return Entry(
        benchmark=name,
        status=status,
        reason=without_paths(reason),
        seconds=round(seconds, 1),
        peak_gib=round(peak.mib / 1024, 2),
        load=load,
        result=result if status is Status.MEASURED else None,
        code=code_version(),
        finished_at=dt.datetime.now(ZoneInfo("Asia/Shanghai")).replace(tzinfo=None, microsecond=0).isoformat(),
    )


def _judged(code: int, result: dict[str, Any] | None, told: str, words: list[str], limit: float | None) -> tuple[Status, str]:
    """Return what became of a script, and why where nothing was measured."""
    if limit is not None:
        return Status.TOO_LONG, f"ended after {limit:g} min; last words: {told or 'none'}"
    if code:
        return Status.FAILED, f"exit {code}: {words[-1] if words else told or 'no words'}"
    if result is None:
        return Status.FAILED, "its last line is not the JSON of a result"
    if result["value"] is None:
        return Status.SKIPPED, str(result.get("skipped") or result.get("note") or told or "no reason given")
    return Status.MEASURED, ""


def _lines(stream: IO[str] | None) -> Iterator[str]:
    return (line.rstrip("\n") for line in stream or ())


def _end(child: subprocess.Popen[str]) -> None:
    """End a child and whatever it started: interrupted first, so that it removes its scratch folders, then made to."""
    for how, wait in ((signal.SIGINT, _GRACE_S), (signal.SIGTERM, 1.0), (signal.SIGKILL, _GRACE_S)):
        if child.poll() is not None:
            return
        try:
            os.killpg(child.pid, how)
            child.wait(wait)
        except (ProcessLookupError, subprocess.TimeoutExpired):
            continue


def _result(line: str) -> dict[str, Any] | None:
    """Return the result that a line is, or None."""
    try:
        found = json.loads(line) if line.startswith("{") else None
    except ValueError:
        return None
    return found if isinstance(found, dict) and {"name", "value"} <= set(found) else None
