"""A wide table (one column per variable, one row per time) as a lazy observation cube.

Opening reads times only: timestamp columns, or just the number of rows where the table has no times. Values are read
when a model computes, one file at a time, all its columns together.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from workbench.catalog.specs import FILE, TimeSpec, WideTableSpec
from workbench.contracts import MARK_LETTERS, CatalogError, Mark, unknown_name

LOCAL_ZONE = "Asia/Shanghai"
SPARSE = 50
"""A grid of more than this many times per source row comes from a wrong time, not from gaps."""


@dataclass(frozen=True)
class Source:
    """One file of a wide table.

    Parameters
    ----------
    url : str
        Path or URL.
    parquet : bool
        Parquet, else CSV.
    options : mapping
        fsspec storage options.
    """

    url: str
    parquet: bool
    options: dict[str, Any]

    @property
    def stem(self) -> str:
        """The file's name without folder and ending."""
        return self.url.rstrip("/").rpartition("/")[2].rpartition(".")[0]

    def read(self, columns: Sequence[str], spec: WideTableSpec) -> pd.DataFrame:
        """Return the named columns, all rows, in the order of the file."""
        options = self.options or None
        if self.parquet:
            return pd.read_parquet(self.url, columns=list(dict.fromkeys(columns)), storage_options=options)
        wanted = set(columns)
        return read_csv(self.url, spec.encoding, sep=spec.sep, usecols=lambda c: c.strip() in wanted, storage_options=options)

    def header(self, spec: WideTableSpec) -> list[str]:
        """Return the column names."""
        if self.parquet:
            import fsspec
            import pyarrow.parquet as pq

            with fsspec.open(self.url, "rb", **self.options) as stream:
                return list(pq.ParquetFile(stream).schema_arrow.names)
        return list(read_csv(self.url, spec.encoding, sep=spec.sep, nrows=0, storage_options=self.options or None).columns)

    def rows(self, spec: WideTableSpec) -> int:
        """Return the number of rows without reading values (Parquet) or keeping them (CSV)."""
        if self.parquet:
            import fsspec
            import pyarrow.parquet as pq

            with fsspec.open(self.url, "rb", **self.options) as stream:
                return int(pq.ParquetFile(stream).metadata.num_rows)
        return len(self.read([next(iter(spec.columns))], spec))


def read_csv(url: str, encoding: str, **arguments: Any) -> pd.DataFrame:
    """Read a CSV file with an encoding, or ``auto``: UTF-8 (with or without mark), else GB 18030 (which holds GBK).

    Raises
    ------
    UnicodeDecodeError
        If the bytes are not in the encoding.
    """
    tried = ("utf-8-sig", "gb18030") if encoding == "auto" else (encoding,)
    for i, name in enumerate(tried):
        try:
            frame: pd.DataFrame = pd.read_csv(url, encoding=name, low_memory=False, **arguments)
        except UnicodeDecodeError:
            if i == len(tried) - 1:
                raise
        else:
            frame.columns = pd.Index([str(c).strip() for c in frame.columns])
            return frame
    raise CatalogError("no encoding to try", got=encoding, where=url)


def open_wide_table(sources: Sequence[Source], spec: WideTableSpec) -> xr.Dataset:
    """Return the cube of one or several wide tables.

    Parameters
    ----------
    sources : sequence of Source
        The files. ``one_after_another``: each point's series goes on from file to file; ``side_by_side``: each file
        has points of its own, on one common grid.
    spec : WideTableSpec
        Columns, times, marks, missing values, encoding.

    Returns
    -------
    xarray.Dataset
        ``value`` float32 and ``mark`` uint8 with dims (point, time), lazy. ``attrs`` count what was set aside:
        ``rows_without_time`` and ``rows_on_taken_slots`` (rows whose grid time a later row holds).

    Raises
    ------
    CatalogError
        If a column is not in a file, no row has a time, or the times lie on no sensible grid.
    """
    for source in sources:
        _columns_are_there(source, spec)
    step = None if spec.time.step_s is None else round(spec.time.step_s * 1e9)
    if spec.time.start is not None:
        placed, first, step, without = *_counted(sources, spec, spec.time.start), 0
    else:
        stamps = [times_of(source.read(_time_columns(spec.time), spec), spec.time) for source in sources]
        placed, first, step, without = _on_grid(stamps, step, sources)
    size = 1 + max(int(p.max()) for p in placed if p.size and p.max() >= 0)
    if spec.arrange == "side_by_side":
        arrays = [_file_arrays([s], [p], spec, 0, size) for s, p in zip(sources, placed, strict=True)]
        ids = [p.replace(FILE, s.stem) for s in sources for p in spec.columns.values()]
        taken, axis = sum(_taken([p]) for p in placed), 0
    else:
        arrays, axis = _segments(sources, placed, spec, size), 1
        ids, taken = list(spec.columns.values()), _taken(placed)
    import dask.array as da

    value, mark = (da.concatenate([a[i] for a in arrays], axis=axis) for i in (0, 1))
    time = pd.to_datetime(first + step * np.arange(size, dtype="int64"))
    return xr.Dataset(
        {"value": (("point", "time"), value), "mark": (("point", "time"), mark)},
        coords={"point": np.array(ids, dtype=object), "time": time},
        attrs={"interval_s": step / 1e9, "timezone": LOCAL_ZONE, "rows_without_time": without, "rows_on_taken_slots": taken},
    )


def times_of(frame: pd.DataFrame, spec: TimeSpec) -> np.ndarray:
    """Return the local times of the rows as int64 nanoseconds; NaT (the smallest integer) where there is none."""
    if spec.parts is not None:
        parts = {part: pd.to_numeric(frame[column], errors="coerce") for part, column in spec.parts.items()}
        stamps = pd.to_datetime(pd.DataFrame(parts), errors="coerce")
    else:
        names = spec.columns or []
        text = frame[names[0]] if len(names) == 1 else frame[names].astype(str).agg(" ".join, axis=1)
        if not pd.api.types.is_datetime64_any_dtype(text):
            form: Any = {"format": spec.format} if spec.format else {}
            stamps = pd.to_datetime(text, errors="coerce", utc=spec.zone == "UTC", **form)
        else:
            stamps = text
    index = pd.DatetimeIndex(stamps)
    if index.tz is None and spec.zone != LOCAL_ZONE:
        index = index.tz_localize(spec.zone, ambiguous="NaT", nonexistent="NaT")
    if index.tz is not None:
        index = index.tz_convert(LOCAL_ZONE).tz_localize(None)
    ns = index.astype("datetime64[ns]").to_numpy().astype("int64")
    for bound, outside in ((spec.since, np.less), (spec.until, np.greater_equal)):
        if bound is not None:
            limit = pd.Timestamp(bound).as_unit("ns").value
            ns = np.where((ns != _NAT) & outside(ns, limit), _LEFT_OUT, ns)
    return ns


_NAT = np.iinfo("int64").min
_LEFT_OUT = _NAT + 1


def _time_columns(spec: TimeSpec) -> list[str]:
    return list(spec.parts.values()) if spec.parts is not None else list(spec.columns or [])


def _columns_are_there(source: Source, spec: WideTableSpec) -> None:
    header = source.header(spec)
    for column in [*_time_columns(spec.time), *spec.columns, *spec.marks.values()]:
        if column not in header:
            raise unknown_name("column of the source file", column, header, where=source.url)


def _counted(sources: Sequence[Source], spec: WideTableSpec, start: dt.datetime) -> tuple[list[np.ndarray], int, int]:
    counts = [s.rows(spec) for s in sources]
    starts = np.concatenate([[0], np.cumsum(counts)]) if spec.arrange == "one_after_another" else np.zeros(len(counts) + 1, dtype=int)
    if not sum(counts):
        raise CatalogError("the source files have no rows", where=", ".join(s.url for s in sources))
    placed = [np.arange(a, a + n, dtype="int64") for a, n in zip(starts, counts, strict=False)]
    return placed, pd.Timestamp(start).as_unit("ns").value, round((spec.time.step_s or 0) * 1e9)


def _on_grid(stamps: list[np.ndarray], step: int | None, sources: Sequence[Source]) -> tuple[list[np.ndarray], int, int, int]:
    """Return each file's grid slots (-1: set aside), the first time, the step, and the number of rows without time."""
    where = ", ".join(s.url for s in sources)
    known = [t[t > _LEFT_OUT] for t in stamps]
    rows = sum(map(len, known))
    if not rows:
        raise CatalogError("no row of the source files has a time", where=where, next_step="check time.columns, time.format and the period")
    if step is None:
        gaps = np.concatenate([np.diff(np.unique(t)) for t in known])
        if not gaps.size:
            raise CatalogError("the step of the grid cannot be seen from a single time", where=where, next_step="give time.step_s")
        sizes, counts = np.unique(gaps, return_counts=True)
        step = int(sizes[counts.argmax()])
    low, high = min(int(t.min()) for t in known if t.size), max(int(t.max()) for t in known if t.size)
    phases, counts = np.unique(np.concatenate([t % step for t in known]), return_counts=True)
    phase = int(phases[counts.argmax()])
    first = low + (phase - low) % step
    if first - low > step // 2:
        first -= step
    slots = (high - first) // step + 1
    if slots > SPARSE * rows + 1000:
        raise CatalogError(
            f"the times lie on no grid of {step / 1e9:g} s",
            got=f"{rows:,} rows from {pd.Timestamp(low)} to {pd.Timestamp(high)}",
            allowed=f"at most {SPARSE} grid times per row",
            where=where,
            next_step="give time.step_s, or leave wrong times out with time.since and time.until",
        )
    placed = [np.where(t > _LEFT_OUT, (t - first + step // 2) // step, -1) for t in stamps]
    return placed, first, step, sum(int((t == _NAT).sum()) for t in stamps)


def _taken(placed: list[np.ndarray]) -> int:
    slots = np.concatenate([p[p >= 0] for p in placed])
    return len(slots) - len(np.unique(slots))


def _segments(sources: Sequence[Source], placed: list[np.ndarray], spec: WideTableSpec, size: int) -> list[tuple[Any, Any]]:
    """Return one chunk per file where files follow each other, one chunk of all where they overlap."""
    order = sorted((i for i, p in enumerate(placed) if (p >= 0).any()), key=lambda i: int(placed[i][placed[i] >= 0].min()))
    starts = [int(placed[i][placed[i] >= 0].min()) for i in order]
    ends = [int(placed[i].max()) for i in order]
    if any(end >= start for end, start in zip(ends[:-1], starts[1:], strict=True)):
        return [_file_arrays(sources, placed, spec, 0, size)]
    edges = [0, *starts[1:], size]
    return [_file_arrays([sources[i]], [placed[i]], spec, a, b) for i, a, b in zip(order, edges[:-1], edges[1:], strict=True)]


def _file_arrays(sources: Sequence[Source], placed: list[np.ndarray], spec: WideTableSpec, start: int, stop: int) -> tuple[Any, Any]:
    import dask
    import dask.array as da

    shape = (len(spec.columns), stop - start)
    loaded = dask.delayed(_load, pure=False)(list(sources), list(placed), spec, start, stop)
    value = da.from_delayed(loaded[0], shape, dtype=np.float32)
    mark = da.from_delayed(loaded[1], shape, dtype=np.uint8) if spec.marks else da.full(shape, int(Mark.NONE), dtype=np.uint8, chunks=shape)
    return value, mark


def _load(sources: list[Source], placed: list[np.ndarray], spec: WideTableSpec, start: int, stop: int) -> tuple[np.ndarray, np.ndarray]:
    value = np.full((len(spec.columns), stop - start), np.nan, dtype=np.float32)
    mark = np.full(value.shape, int(Mark.NONE), dtype=np.uint8)
    for source, slots in zip(sources, placed, strict=True):
        frame = source.read([*spec.columns, *spec.marks.values()], spec)
        if len(frame) != len(slots):
            raise CatalogError("the file has changed since the catalog was opened", where=source.url, next_step="open the catalog again")
        kept = slots >= 0
        for i, column in enumerate(spec.columns):
            numbers = pd.to_numeric(frame[column], errors="coerce").to_numpy(dtype=np.float64)
            numbers[np.isin(numbers, spec.missing)] = np.nan
            value[i, slots[kept] - start] = numbers[kept]
            if column in spec.marks:
                mark[i, slots[kept] - start] = _mark_codes(frame[spec.marks[column]])[kept]
    return value, mark


def _mark_codes(marks: pd.Series) -> np.ndarray:
    letters = marks.map(lambda m: MARK_LETTERS.get(str(m).strip().upper()))
    codes = pd.to_numeric(marks, errors="coerce")
    codes = codes.where(codes.isin([int(m) for m in Mark]))
    return letters.astype("float64").fillna(codes).fillna(int(Mark.NONE)).to_numpy().astype(np.uint8)
