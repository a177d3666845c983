"""Runs the scripts of ``benchmarks/`` and writes their results with the machine's description."""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import psutil

from workbench.contracts import ParameterError, unknown_name
from workbench.pipeline.experiment import project_root
from workbench.pipeline.fingerprints import code_version
from workbench.pipeline.step import write_text

RESULTS = "RESULTS.md"


def run_benchmarks(names: Sequence[str], *, quick: bool, say: Callable[[str], None], root: Path | None = None) -> list[str]:
    """Run benchmarks one after another; return the names of those that failed.

    Each script ends with one line of JSON ``{name, value, unit, low, high, n, peers, ratios}``. All results go into
    ``benchmarks/RESULTS.md`` when all scripts were run in full.

    Raises
    ------
    ParameterError
        If this is no checkout, or a name is not known.
    """
    folder = (root or project_root()) / "benchmarks"
    known = sorted(f.stem for f in folder.glob("*.py") if not f.name.startswith("_")) if folder.is_dir() else []
    if not known:
        raise ParameterError("no benchmarks here", where=str(folder), next_step="run inside a checkout of the project")
    for name in names:
        if name not in known:
            raise unknown_name("benchmark", name, known, where=str(folder))
    results, failed = [], []
    for name in names or known:
        started = time.monotonic()
        say(f"{name} …")
        command = [sys.executable, str(folder / f"{name}.py"), *(["--quick"] if quick else [])]
        done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=folder.parent)
        result = _last_json(done.stdout)
        if done.returncode or result is None:
            failed.append(name)
            say(f"{name}: failed (exit {done.returncode})\n{(done.stderr or done.stdout)[-2000:]}")
            continue
        results.append(result)
        say(f"{_sentence(result)}   ({time.monotonic() - started:.0f} s)")
    if not names and not quick and not failed:
        write_text(folder / RESULTS, _page(results))
        say(f"written: {folder / RESULTS}")
    return failed


def _last_json(text: str) -> dict[str, Any] | None:
    lines = [line for line in text.splitlines() if line.strip()]
    try:
        found = json.loads(lines[-1]) if lines else None
    except ValueError:
        return None
    return found if isinstance(found, dict) and {"name", "value"} <= set(found) else None


def _number(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, (int, float)) else "–"


def _sentence(r: dict[str, Any]) -> str:
    interval = f" [{_number(r.get('low'))}, {_number(r.get('high'))}]" if r.get("low") is not None else ""
    return f"{r['name']}: {_number(r['value'])} {r.get('unit', '')}{interval} n={r.get('n', '–')}"


def _page(results: Sequence[dict[str, Any]]) -> str:
    memory = psutil.virtual_memory().total / 2**30
    lines = [
        "# Benchmark results",
        "",
        f"Written by `workbench bench`; code {code_version()}; {_processor()}, {len(os.sched_getaffinity(0))} cores, {memory:.1f} GiB, "
        f"Python {platform.python_version()}, {platform.system()}.",
        "",
        "| benchmark | value | unit | interval | n | peers | ratios |",
        "|---|---|---|---|---|---|---|",
    ]
    for r in results:
        peers = ", ".join(f"{k} {_number(v)}" for k, v in (r.get("peers") or {}).items())
        ratios = ", ".join(f"{k} {_number(v)}×" for k, v in (r.get("ratios") or {}).items())
        interval = f"{_number(r.get('low'))} – {_number(r.get('high'))}"
        lines.append(f"| {r['name']} | {_number(r['value'])} | {r.get('unit', '')} | {interval} | {r.get('n', '')} | {peers} | {ratios} |")
    return "\n".join(lines) + "\n"


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    if info.is_file():
        for line in info.read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
