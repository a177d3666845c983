"""What ``workbench check CATALOG`` prints: all breaches of all entries at once, and what the catalog holds."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

from workbench.catalog.checks import read_and_check
from workbench.catalog.hashing import entry_size
from workbench.catalog.lint import LintError
from workbench.catalog.opening import open_catalog
from workbench.contracts import CUBES, TABLES, Breach, CatalogError, Period, interval_s

if TYPE_CHECKING:
    import pandas as pd
    import xarray as xr
    from rich.console import Console, RenderableType


@dataclass(frozen=True)
class EntrySummary:
    """One entry of a checked catalog: what it holds, its size on disk, and how many breaches it has."""

    entry: str
    holds: str
    span: str = ""
    size_bytes: int | None = None
    errors: int = 0
    warnings: int = 0


@dataclass(frozen=True)
class CheckReport:
    """Result of a check; ``ok`` decides the exit code.

    Parameters
    ----------
    location : str
        The catalog file.
    name : str
        Its name; empty where it could not be opened.
    period : Period, optional
        Span of its cubes.
    entries : list of EntrySummary
        What each entry holds.
    breaches : list of Breach
        Every breach, errors and warnings.
    issues : list of CatalogError
        Faults of the catalog file itself; with any, nothing of it was opened.
    deep : bool
        Whether the values of the cubes were read.
    """

    location: str
    name: str = ""
    period: Period | None = None
    entries: list[EntrySummary] = field(default_factory=list)
    breaches: list[Breach] = field(default_factory=list)
    issues: list[CatalogError] = field(default_factory=list)
    deep: bool = False

    @property
    def errors(self) -> int:
        """Number of errors: faults of the file, and breaches that make an entry unusable."""
        return len(self.issues) + sum(b.level == "error" for b in self.breaches)

    @property
    def warnings(self) -> int:
        """Number of warnings: rows that models set aside or abstain for."""
        return sum(b.level == "warning" for b in self.breaches)

    @property
    def ok(self) -> bool:
        """Whether every entry can be used (warnings allowed)."""
        return self.errors == 0

    @property
    def exit_code(self) -> int:
        """0 where :attr:`ok`, else 1."""
        return 0 if self.ok else 1

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        return {
            "location": self.location,
            "name": self.name,
            "period": str(self.period) if self.period else None,
            "ok": self.ok,
            "deep": self.deep,
            "entries": [asdict(e) for e in self.entries],
            "breaches": [{**asdict(b), "examples": list(b.examples)} for b in self.breaches],
            "issues": [{k: str(v) for k, v in i.payload().items()} for i in self.issues],
        }

    def tables(self) -> list[RenderableType]:
        """Return what to print, as rich renderables: the entries, then the faults of the file or the breaches."""
        from rich import box
        from rich.table import Table
        from rich.text import Text

        out: list[RenderableType] = []
        if self.entries:
            holds = Table(title=f"{self.name}: {self.period or 'no observations'}", title_justify="left", box=box.SIMPLE)
            for heading in ("entry", "holds", "span", "size", "breaches"):
                holds.add_column(
                    heading, justify="right" if heading in ("size", "breaches") else "left", no_wrap=heading in ("entry", "size")
                )
            for e in self.entries:
                holds.add_row(e.entry, e.holds, e.span, _size(e.size_bytes), _counts(e))
            out.append(holds)
        if self.issues:
            out.append(Text("faults of the catalog file: nothing of it was opened", style="italic"))
            out += [Text(f"{issue}\n") for issue in self.issues]
        if self.breaches:
            found = Table(title="breaches of the contract", title_justify="left", show_lines=True)
            for heading in ("level", "entry", "column", "rows", "first of them", "expected"):
                found.add_column(heading, overflow="fold", justify="right" if heading == "rows" else "left")
            for b in sorted(self.breaches, key=lambda b: b.level):
                cells = [b.entry, b.column, f"{b.rows:,}" if b.rows else "", "\n".join(b.examples), b.expected]
                found.add_row(Text(b.level, style="bold red" if b.level == "error" else "yellow"), *map(Text, cells))
            out.append(found)
        verdict = "can be used" if self.ok else "cannot be used as it is"
        note = "" if self.deep or self.issues else " (values of the cubes not read)"
        line = f"{self.location} {verdict}: {self.errors} errors, {self.warnings} warnings{note}"
        out.append(Text(line, style="green" if self.ok else "bold red"))
        return out

    def render(self, console: Console | None = None) -> None:
        """Print the report to a rich console (standard output where absent)."""
        from rich.console import Console

        target = console or Console()
        for part in self.tables():
            target.print(part)


def check_report(
    path: str | os.PathLike[str], *, deep: bool = False, progress: bool = False, parameters: Mapping[str, Any] | None = None
) -> CheckReport:
    """Check a catalog: its file, every table, every cube's coordinates, and how they fit together.

    Parameters
    ----------
    path : str or path
        Catalog file, its folder, or a URL.
    deep : bool
        Also read the values of the cubes chunk by chunk.
    progress : bool
        Draw a progress bar on a terminal.
    parameters : mapping, optional
        Values of the catalog's user parameters.

    Raises
    ------
    CatalogError
        If the file cannot be read at all, or its simulated district has not been generated.
    ParameterError
        If a parameter is unknown, or a required one has no value.
    """
    try:
        catalog = open_catalog(path, **(parameters or {}))
    except LintError as error:
        return CheckReport(error.where or os.fspath(path), issues=error.issues, deep=deep)
    seen = read_and_check(catalog, deep=deep, progress=progress)
    entries = []
    for entry in catalog.entries:
        own = [b for b in seen.breaches if b.entry == entry]
        holds, span = "", ""
        if entry in seen.tables:
            holds, span = f"{len(seen.tables[entry]):,} rows", _table_span(entry, seen.tables[entry])
        elif entry in seen.cubes:
            holds, span = _cube_words(seen.cubes[entry])
        try:
            size = entry_size(catalog, entry)
        except (OSError, CatalogError):
            size = None
        errors = sum(b.level == "error" for b in own)
        entries.append(EntrySummary(entry, holds, span, size, errors, len(own) - errors))
    return CheckReport(catalog.location, catalog.name, _period(seen.cubes), entries, seen.breaches, deep=deep)


def _period(cubes: dict[str, xr.Dataset]) -> Period | None:
    import pandas as pd

    spans = []
    for entry, cube in cubes.items():
        if entry in CUBES and "time" in cube.coords and cube["time"].dtype.kind == "M" and cube.sizes["time"] > 1:
            time = cube["time"].to_numpy()
            spans.append((pd.Timestamp(time.min()), pd.Timestamp(time.max()) + pd.Timedelta(seconds=abs(interval_s(cube)))))
    return Period(min(a for a, _ in spans), max(b for _, b in spans)) if spans else None


def _table_span(entry: str, frame: pd.DataFrame) -> str:
    import pandas as pd

    times = [c for c, spec in TABLES[entry].columns.items() if spec.dtype == "time" and c in frame] if entry in TABLES else []
    if not times or not pd.api.types.is_datetime64_any_dtype(frame[times[0]]) or frame[times[0]].isna().all():
        return ""
    return f"{frame[times[0]].min():%Y-%m-%d} … {frame[times[0]].max():%Y-%m-%d} ({times[0]})"


def _cube_words(cube: xr.Dataset) -> tuple[str, str]:
    import pandas as pd

    sizes = " × ".join(f"{n:,} {d}s" for d, n in cube.sizes.items())
    if "time" not in cube.coords or not cube.sizes.get("time") or cube["time"].dtype.kind != "M":
        return sizes, ""
    first, last = pd.Timestamp(cube["time"].to_numpy()[0]), pd.Timestamp(cube["time"].to_numpy()[-1])
    return sizes, f"{first:%Y-%m-%d} … {last:%Y-%m-%d}, every {interval_s(cube):g} s"


def _counts(e: EntrySummary) -> str:
    words = [f"{n} {w}{'s' if n > 1 else ''}" for n, w in ((e.errors, "error"), (e.warnings, "warning")) if n]
    return ", ".join(words)


def _size(size: int | None) -> str:
    if not size:
        return "?" if size is None else "in the file"
    value = float(size)
    for unit in ("B", "kB", "MB", "GB"):
        if value < 1000:
            return f"{value:.0f} {unit}" if unit == "B" else f"{value:.1f} {unit}"
        value /= 1000
    return f"{value:.1f} TB"
