"""What the benchmarks measured: kept as ``results.json``, shown as the page ``RESULTS.md``."""

from __future__ import annotations

import json
import os
import platform
import re
from collections.abc import Iterable, Sequence
from enum import StrEnum
from pathlib import Path
from typing import Any

import psutil
from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError

from workbench.pipeline.step import write_text

PAGE = "RESULTS.md"
KEPT = "results.json"
_SHOWN = ("name", "value", "unit", "low", "high", "n", "peers", "ratios")
_PATH = re.compile(r"(?<![\w.…/:])(?:~|[A-Za-z]:)?(?:[/\\][\w.\-+@]+)+[/\\]([\w.\-+@]+)")


class Status(StrEnum):
    """What became of a benchmark."""

    MEASURED = "measured"
    SKIPPED = "not measured"
    FAILED = "failed"
    TOO_LONG = "took too long"


class Entry(BaseModel):
    """What one run of one benchmark gave.

    Parameters
    ----------
    benchmark : str
        Name of the script.
    reason : str
        Why nothing was measured; empty where something was.
    seconds : float
        Wall time of the whole script, s.
    peak_gib : float
        Highest resident memory of the script and its children together, GiB.
    load : float, optional
        Processes that wanted to run when it began (mean of a minute, Unix): figures of a busy machine are not those of a quiet one.
    result : mapping, optional
        Its closing line; None where nothing was measured.
    code : str
        Version of the code that ran.
    finished_at : str
        Local time, ISO 8601.
    machine : str
        Processor, cores, memory, Python, system.
    """

    model_config = ConfigDict(frozen=True)

    benchmark: str
    status: Status
    reason: str = ""
    seconds: float
    peak_gib: float = 0.0
    load: float | None = None
    result: dict[str, Any] | None = None
    code: str
    finished_at: str
    machine: str = ""

    @property
    def failed(self) -> bool:
        """Whether it should have measured something and did not."""
        return self.status in (Status.FAILED, Status.TOO_LONG)


def keep(folder: Path, entry: Entry, known: Sequence[str]) -> None:
    """Take one entry over into ``results.json`` and ``RESULTS.md``; entries of scripts that are no longer there are dropped."""
    entries = {e.benchmark: e for e in read(folder) if e.benchmark in known}
    entries[entry.benchmark] = entry.model_copy(update={"machine": entry.machine or machine()})
    rows = [entries[name] for name in sorted(entries)]
    write_text(folder / KEPT, json.dumps([e.model_dump(mode="json") for e in rows], ensure_ascii=False, indent=1) + "\n")
    write_text(folder / PAGE, page(rows, [n for n in known if n not in entries]))


def read(folder: Path) -> list[Entry]:
    """Return what is kept; nothing where there is no such file or it cannot be read (it is made anew by the next run)."""
    try:
        return TypeAdapter(list[Entry]).validate_json((folder / KEPT).read_bytes())
    except (OSError, ValidationError):
        return []


def page(entries: Sequence[Entry], missing: Iterable[str] = ()) -> str:
    """Return the page: one table of what was measured, one of what was not and why, then the details and where it ran."""
    lines = [
        "# Benchmark results",
        "",
        "Written by `workbench bench` after every benchmark. Each is one command, `python benchmarks/NAME.py`; what its figures mean",
        "stands in its first lines. A row tells the last run of its benchmark: rows may come from different runs (see the last table).",
        "",
        "| benchmark | measured | value | unit | interval | n | peers | ratios |",
        "|---|---|---|---|---|---|---|---|",
    ]
    measured = [(e, e.result) for e in entries if e.result is not None]
    for e, r in measured:
        cells = [e.benchmark, r["name"], number(r["value"]), _unit(r), _interval(r), r.get("n", "")]
        cells += [_named(r.get("peers")), _named(r.get("ratios"), "×")]
        lines.append(_row(cells))
    if others := [e for e in entries if e.result is None]:
        lines += ["", "## Not measured", "", "| benchmark | | why |", "|---|---|---|"]
        lines += [_row([e.benchmark, e.status.value, e.reason]) for e in others]
    if further := [(e, {k: v for k, v in r.items() if k not in _SHOWN}) for e, r in measured if set(r) - set(_SHOWN)]:
        lines += ["", "## Further figures", ""]
        lines += [
            f"- **{e.benchmark}**: " + "; ".join(f"{k.replace('_', ' ')} {_value(v)}" for k, v in more.items()) for e, more in further
        ]
    lines += ["", "## Where and how long", "", "| benchmark | s | peak GiB | load before | finished | code |", "|---|---|---|---|---|---|"]
    lines += [_row([e.benchmark, f"{e.seconds:.0f}", f"{e.peak_gib:.1f}", number(e.load), e.finished_at, f"`{e.code}`"]) for e in entries]
    lines += [_row(["in all", f"{sum(e.seconds for e in entries):.0f}", "", "", "", ""]), ""]
    lines += [f"- {m}" for m in sorted({e.machine for e in entries if e.machine})]
    if missing := list(missing):
        lines += ["", f"Never run here: {', '.join(missing)}."]
    return "\n".join(lines) + "\n"


def sentence(entry: Entry) -> str:
    """Return one line on an entry."""
    took = f"({entry.seconds:.0f} s, {entry.peak_gib:.1f} GiB)"
    if (r := entry.result) is None:
        return f"{entry.benchmark}: {entry.status.value}: {entry.reason} {took}"
    interval = f" [{number(r.get('low'))}, {number(r.get('high'))}]" if r.get("low") is not None else ""
    return f"{r['name']}: {number(r['value'])} {_unit(r)}{interval} n={r.get('n', '–')} {took}".replace("  ", " ")


def machine() -> str:
    """Return what a figure depends on: processor, cores this process may use, memory, Python, system."""
    memory = psutil.virtual_memory().total / 2**30
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return f"{_processor()}, {cores} cores, {memory:.1f} GiB, Python {platform.python_version()}, {platform.system()}"


def without_paths(text: str) -> str:
    """Return a text in which every absolute path is cut to its last part: a page that is shared names no folder of a machine."""
    return _PATH.sub(r"…/\1", text)


def number(value: Any) -> str:
    """Return a number in four digits; a dash where there is none."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return "–"
    return f"{value:,.0f}" if abs(value) >= 10_000 else f"{value:.4g}"


def _unit(r: dict[str, Any]) -> str:
    return "" if r.get("unit") == "1" else str(r.get("unit", ""))  # a share


def _interval(r: dict[str, Any]) -> str:
    return "–" if r.get("low") is None and r.get("high") is None else f"{number(r.get('low'))} – {number(r.get('high'))}"


def _named(values: dict[str, Any] | None, unit: str = "") -> str:
    return ", ".join(f"{k} {number(v)}{unit if isinstance(v, (int, float)) else ''}" for k, v in (values or {}).items())


def _value(value: Any) -> str:
    if isinstance(value, dict):
        return "(" + ", ".join(f"{k} {_value(v)}" for k, v in value.items()) + ")"
    if isinstance(value, list):
        return ", ".join(_value(v) for v in value)
    return number(value) if isinstance(value, (int, float)) and not isinstance(value, bool) else without_paths(str(value))


def _row(cells: Sequence[Any]) -> str:
    return "| " + " | ".join(str(c).replace("|", "\\|").replace("\n", " ") for c in cells) + " |"


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    if info.is_file():
        for line in info.read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
