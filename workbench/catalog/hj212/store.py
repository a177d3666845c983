"""A store: a folder in the catalog contract that telemetry is appended to.

``catalog.yml`` with ``data/points.parquet``, ``data/enterprises.parquet``, ``data/outlets.parquet`` (empty where
nothing is known) and one Zarr cube per system. Statistics are never mixed: the cube ``obs_<system>`` holds one of
them (its attribute ``statistic``), every other goes to a side cube ``data/<statistic>_<system>.zarr``, and kinds other
than the plain value (Min, Max, Cou, ZsAvg …) to ``data/<statistic>_<system>_<kind>.zarr``. Side cubes have the same
form and are not entries of the catalog. Values that meet an occupied cell with another value are kept in ``conflicts/``;
``quarantine/`` holds what could not be read. The order of writing is empty cubes, points, values, conflicts, catalog; each step is
whole or absent, and repeating a killed append completes it.
"""

from __future__ import annotations

import fcntl
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
import pandas as pd

from workbench.catalog.hj212.codes import CodeTable
from workbench.catalog.hj212.cube import Appended, Cube
from workbench.catalog.hj212.mapping import DEVICE_COLUMNS, Key, Router, Target, read_mapping
from workbench.catalog.hj212.parse import Fault
from workbench.catalog.hj212.quarantine import Quarantine, merge_part, read_parts, write_parquet
from workbench.contracts import CUBES, REQUIRED_ENTRIES, TABLES, ParameterError, RunError, conform
from workbench.contracts.catalog_yaml import catalog_yaml

STATISTICS = ("realtime", "minute", "hour", "day")
INTERVALS = (1, 5, 10, 15, 20, 30, 60, 120, 180, 240, 300, 360, 600, 720, 900, 1200, 1800, 3600)
DEFAULT_INTERVAL = {"realtime": 60, "minute": 60, "hour": 3600, "day": 86400}
CONFLICT_COLUMNS = (
    "cube",
    "point_id",
    "time",
    "sent_time",
    "kept_value",
    "kept_mark",
    "other_value",
    "other_mark",
    "kind",
    "source",
    "offset",
)
NOT_HERE = Fault("no_system", "", "not in this batch")
MADE_BY = "workbench ingest hj212"


@dataclass
class Batch:
    """Values on their way to the store, as parallel arrays.

    ``which`` indexes ``keys``; ``times`` are seconds since 1970, local; ``origin`` indexes ``sources``.
    """

    keys: list[Key]
    which: np.ndarray
    times: np.ndarray
    values: np.ndarray
    marks: np.ndarray
    origin: np.ndarray
    offsets: np.ndarray
    sources: list[str]


@dataclass
class AppendReport:
    """Counts of one or more appends."""

    new: int = 0
    same: int = 0
    conflicts: int = 0
    cubes: dict[str, int] = field(default_factory=dict)
    new_points: int = 0

    def add(self, other: AppendReport) -> None:
        """Add the counts of another append."""
        self.new += other.new
        self.same += other.same
        self.conflicts += other.conflicts
        self.new_points += other.new_points
        for name, n in other.cubes.items():
            self.cubes[name] = self.cubes.get(name, 0) + n


@dataclass(frozen=True)
class _Part:
    """The values of one batch that go to one cube; ``at`` indexes the batch."""

    name: str
    cube: Cube
    at: np.ndarray
    points: list[str]
    rows: np.ndarray
    times: np.ndarray
    values: np.ndarray


class Store:
    """An open store; one writer at a time.

    Parameters
    ----------
    into : path
        Folder; created where absent. A catalog that is there already keeps its tables and cubes.
    mapping : path, optional
        Mapping table, see :func:`~workbench.catalog.hj212.mapping.read_mapping`.
    native : {"auto", "realtime", "minute", "hour", "day"}
        Statistic that a new ``obs_<system>`` holds; ``auto`` takes the one that most points of the first batch have,
        the finest among equals. An ``obs_`` cube that exists decides by itself.

    Raises
    ------
    RunError
        If another process writes in this store.
    """

    def __init__(self, into: Path, *, mapping: Path | None = None, native: str = "auto") -> None:
        if native not in ("auto", *STATISTICS):
            raise ParameterError("unknown statistic", got=native, allowed=("auto", *STATISTICS))
        table = read_mapping(mapping)
        self.into, self.data, self._native_rule = into, into / "data", native
        self.data.mkdir(parents=True, exist_ok=True)
        self._lock = (into / ".lock").open("a")
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            self._lock.close()
            raise RunError("another process writes in this store", where=str(into), next_step="wait for it, or stop it") from error
        self.codes = CodeTable(self.data / "factor_codes.csv")
        self.quarantine = Quarantine(into / "quarantine")
        self.points = self._table("points")
        self.router = Router(self.codes, table, self.points)
        self._point_ids = set(self.points["point_id"])
        self._cubes: dict[str, Cube] = {}
        self._native: dict[str, str] = {}

    def __enter__(self) -> Store:
        return self

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Write the catalog file where it is missing or ours, and let other writers in."""
        if not self._lock.closed:
            self._write_catalog()
            self._lock.close()

    def append(self, batch: Batch) -> AppendReport:
        """Append a batch; see the module's text for what goes where."""
        report = AppendReport()
        if not len(batch.which):
            return report
        present = set(np.unique(batch.which).tolist())  # keys of earlier batches keep their numbers
        targets = [self.router.target(k) if i in present else NOT_HERE for i, k in enumerate(batch.keys)]
        self._choose_native(targets)
        names = [self._cube_name(t) for t in targets]
        per_value = pd.Categorical(names, categories=sorted({n for n in names if n}))
        codes = per_value.codes[batch.which]
        parts = [self._part(str(name), np.flatnonzero(codes == i), batch, targets) for i, name in enumerate(per_value.categories)]
        report.new_points = self._add_points(targets, names)
        for part in parts:
            done = part.cube.append(part.points, part.rows, part.times, part.values, batch.marks[part.at])
            report.new += done.new
            report.same += done.same
            report.cubes[part.name] = done.new
            if done.rows:
                report.conflicts += self._keep_conflicts(_conflict_rows(part, done, batch))
        return report

    def conflicts(self) -> pd.DataFrame:
        """Return the side table of values that met an occupied cell with another value.

        Columns: cube, point_id, time (of the grid), sent_time, kept and other value and mark, ``kind`` (``other
        value``, ``other mark``, or ``several in one step`` where the device sends more often than the grid holds),
        source and offset of the other one.
        """
        return read_parts(self.into / "conflicts", CONFLICT_COLUMNS)

    def _part(self, name: str, at: np.ndarray, batch: Batch, targets: list[Target | Fault]) -> _Part:
        used, which = np.unique(batch.which[at], return_inverse=True)
        mine = [t for k in used if isinstance(t := targets[k], Target)]
        points = sorted({t.point_id for t in mine})
        place = {p: i for i, p in enumerate(points)}
        rows = np.array([place[t.point_id] for t in mine])[which]
        scale = np.array([t.scale for t in mine])[which]
        values, times = (batch.values[at] * scale).astype(np.float32), batch.times[at]
        return _Part(name, self._cube(name, points, rows, times, mine[0]), at, points, rows, times, values)

    def _keep_conflicts(self, frame: pd.DataFrame) -> int:
        frame = frame.sort_values(["source", "offset"], kind="stable")
        key = ["cube", "point_id", "sent_time", "other_value", "other_mark"]
        added = 0
        for month, part in frame.groupby(frame["time"].dt.strftime("%Y-%m"), sort=True):
            path = self.into / "conflicts" / f"{part['cube'].iloc[0]}-{month}.parquet"
            added += merge_part(
                path, part[list(CONFLICT_COLUMNS)], key=key, order=["time", "point_id", "sent_time", "other_value", "other_mark"]
            )
        return added

    def _cube(self, name: str, points: list[str], rows: np.ndarray, times: np.ndarray, first: Target) -> Cube:
        if name not in self._cubes:
            path = self.data / f"{name}.zarr"
            interval = choose_interval(rows, times, first.statistic)
            start, end = int(times.min()) // interval * interval, int(times.max()) // interval * interval
            attrs = {"system": first.system, "statistic": first.statistic, "timezone": "Asia/Shanghai, local, stored without zone"}
            count = (end - start) // interval + 1
            self._cubes[name] = Cube.open_or_create(path, points=points, start=start, times=count, interval=interval, attrs=attrs)
        return self._cubes[name]

    def _cube_name(self, target: Target | Fault) -> str:
        if isinstance(target, Fault):
            return ""
        if not target.main:
            return f"{target.statistic}_{target.system}_{target.kind.lower()}"
        native = self._native.get(target.system)
        return f"obs_{target.system}" if native == target.statistic else f"{target.statistic}_{target.system}"

    def _choose_native(self, targets: Iterable[Target | Fault]) -> None:
        seen: dict[str, dict[str, set[str]]] = {}
        for t in targets:
            if isinstance(t, Target) and t.main and t.system not in self._native:
                seen.setdefault(t.system, {}).setdefault(t.statistic, set()).add(t.point_id)
        for system, found in seen.items():
            path = self.data / f"obs_{system}.zarr"
            if Cube.exists(path):
                self._native[system] = Cube(path).statistic
            elif self._native_rule == "auto":
                self._native[system] = min(found, key=lambda s: (-len(found[s]), STATISTICS.index(s)))
            else:
                self._native[system] = self._native_rule

    def _add_points(self, targets: list[Target | Fault], names: list[str]) -> int:
        rows: dict[str, dict[str, Any]] = {}
        for t, name in zip(targets, names, strict=True):
            if isinstance(t, Target) and t.point_id not in self._point_ids and (t.point_id not in rows or name.startswith("obs_")):
                rows[t.point_id] = {"interval_s": float(self._cubes[name].interval), **t.row}
        if not rows:
            return 0
        frame = pd.DataFrame([rows[p] for p in sorted(rows)])
        for column, spec in TABLES["points"].columns.items():
            if column not in frame:
                frame[column] = np.nan if spec.dtype == "float" else pd.NaT if spec.dtype == "time" else ""
            elif spec.dtype == "float":
                frame[column] = pd.to_numeric(frame[column], errors="coerce")
        frame = frame[[*TABLES["points"].columns, *DEVICE_COLUMNS]]
        both = frame if self.points.empty else pd.concat([self.points, frame], ignore_index=True)
        self.points = conform("points", both)
        for column in DEVICE_COLUMNS:  # absent for points that others wrote
            self.points[column] = self.points[column].astype(object).where(self.points[column].notna(), "")
        self._point_ids |= set(rows)
        write_parquet(self.points, self.data / "points.parquet")
        return len(rows)

    def _table(self, name: str) -> pd.DataFrame:
        path = self.data / f"{name}.parquet"
        if path.is_file():
            return conform(name, pd.read_parquet(path))
        kinds: dict[str, Any] = {"float": "float64", "int": "int64", "bool": "bool", "time": "datetime64[ns]"}
        return pd.DataFrame({c: pd.Series(dtype=kinds.get(s.dtype, "object")) for c, s in TABLES[name].columns.items()})

    def _write_catalog(self) -> None:
        for name in sorted(REQUIRED_ENTRIES):
            if not (self.data / f"{name}.parquet").is_file():
                write_parquet(self._table(name), self.data / f"{name}.parquet")
        tables = [n for n in TABLES if (self.data / f"{n}.parquet").is_file()]
        cubes = [n for n in CUBES if (self.data / f"{n}.zarr").is_dir()]
        text = catalog_yaml(tables, cubes, metadata={"made_by": MADE_BY})
        path = self.into / "catalog.yml"
        there = path.read_text(encoding="utf-8") if path.is_file() else None
        if there is None or (there != text and f"made_by: {MADE_BY}" in there):
            beside = path.with_name(".catalog.yml.partial")
            beside.write_text(text, encoding="utf-8")
            beside.replace(path)


def _conflict_rows(part: _Part, done: Appended, batch: Batch) -> pd.DataFrame:
    clash, kept, kept_mark = (np.concatenate(x) for x in (done.rows, done.kept_values, done.kept_marks))
    times, other, origin = part.times[clash], part.values[clash], part.at[clash]
    grid = part.cube.start + (times - part.cube.start) // part.cube.interval * part.cube.interval
    kind = np.where(times != grid, "several in one step", np.where(other == kept, "other mark", "other value"))
    return pd.DataFrame(
        {
            "cube": part.name,
            "point_id": np.array(part.points, dtype=object)[part.rows[clash]],
            "time": pd.to_datetime(grid, unit="s"),
            "sent_time": pd.to_datetime(times, unit="s"),
            "kept_value": kept,
            "kept_mark": kept_mark,
            "other_value": other,
            "other_mark": batch.marks[origin],
            "kind": kind,
            "source": np.array(batch.sources, dtype=object)[batch.origin[origin]],
            "offset": batch.offsets[origin],
        }
    )


def choose_interval(rows: np.ndarray, times: np.ndarray, statistic: str) -> int:
    """Return the grid step, in seconds, of a new cube.

    Hours and days have their own. For the finer ones: the largest divisor of the day in :data:`INTERVALS`, not above
    the commonest step between neighbouring times of a point, of which nine in ten steps are multiples (gaps and
    shuffled files do not coarsen the grid); where times jitter so that there is none near, the commonest step rounded
    down; 60 s where no point has two times.
    """
    if statistic in ("hour", "day"):
        return DEFAULT_INTERVAL[statistic]
    order = np.lexsort((times, rows))
    steps = np.diff(times[order])
    steps = steps[(np.diff(rows[order]) == 0) & (steps > 0)]
    if not len(steps):
        return DEFAULT_INTERVAL[statistic]
    found, counts = np.unique(steps, return_counts=True)
    common = int(found[np.argmax(counts)])
    rounded = max(i for i in INTERVALS if i <= max(common, 1))
    common_divisor = max((i for i in INTERVALS if i <= common and np.mean(steps % i == 0) >= 0.9), default=1)
    return common_divisor if common_divisor * 10 >= rounded else rounded
