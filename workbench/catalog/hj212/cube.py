"""One ``obs_*`` cube that grows in points and in time.

What a reader can see. A reader that opens the cube through its consolidated metadata (xarray and intake do) sees the
old extent until the last step of an append replaces the root metadata by rename, and then the new one with all its
values. Inside the old extent a late value appears chunk by chunk, each chunk whole, its mark not later than its value.
A killed append leaves arrays longer than the root metadata says; the next writer cuts them back and clears the edge
chunks before it writes, so nothing of the killed append shines through under another point's name. Only data *before*
the first time of the cube need a rewrite: the new cube is built beside and takes its place by two renames; a reader
that opens the cube just between them does not find it and has to open again.
"""

from __future__ import annotations

import json
import shutil
import warnings
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr
import zarr
from zarr.codecs import BloscCodec

from workbench.contracts import CatalogError

CHUNK = (32, 7200)
POINT_CHUNK, TIME_CHUNK = 4096, 1 << 16
NO_MARK = 255
_UNITS = {"seconds": 1, "minutes": 60, "hours": 3600, "days": 86400}
FLAGS = {"flag_values": [0, 1, 2, 3, 4, 5, 6, 7, 255], "flag_meanings": "N F M S D C T B none"}


@dataclass
class Appended:
    """What one append did: values new to the cube, values it held already, and rows of the batch in conflict."""

    new: int = 0
    same: int = 0
    rows: list[np.ndarray] = field(default_factory=list)
    kept_values: list[np.ndarray] = field(default_factory=list)
    kept_marks: list[np.ndarray] = field(default_factory=list)


class Cube:
    """An open cube on a regular grid of ``interval_s`` seconds that starts at ``start`` (seconds since 1970).

    Raises
    ------
    CatalogError
        If the cube there is not one of the contract (dims, dtypes, a regular grid).
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.exists(path)
        with xr.open_zarr(path, chunks=None) as ds:
            try:
                time = ds["time"].to_numpy().astype("datetime64[s]").astype("int64")
                self.points = [str(p) for p in ds["point"].to_numpy().astype(object)]
                self.attrs: dict[str, Any] = dict(ds.attrs)
            except (KeyError, ValueError) as error:
                raise CatalogError(
                    "not a cube of the contract", got=str(error), allowed="coords point and time", where=str(path)
                ) from error
        steps = np.unique(np.diff(time))
        declared = float(self.attrs.get("interval_s", 0)) or (float(steps[0]) if len(steps) else 0.0)
        if not len(time) or len(steps) > 1 or declared <= 0 or declared != int(declared) or (len(steps) and steps[0] != declared):
            raise CatalogError("cannot append to a cube without a regular grid", got=f"steps {steps[:3].tolist()} s", where=str(path))
        self.start, self.times, self.interval = int(time[0]), len(time), int(declared)
        self.rows = {p: i for i, p in enumerate(self.points)}
        self._open()

    @property
    def statistic(self) -> str:
        """What the values are: ``realtime``, ``minute``, ``hour`` or ``day``; by the interval where it is not written."""
        named = str(self.attrs.get("statistic", ""))
        return named or ("day" if self.interval >= 86400 else "hour" if self.interval >= 3600 else "realtime")

    @classmethod
    def open_or_create(cls, path: Path, *, points: list[str], start: int, times: int, interval: int, attrs: dict[str, Any]) -> Cube:
        """Open the cube at ``path``, or create an empty one, which appears there by rename."""
        if not cls.exists(path):
            beside = path.with_name(path.name + ".building")
            shutil.rmtree(beside, ignore_errors=True)
            _write_empty(beside, points, start, times, interval, {**attrs, "interval_s": interval}, CHUNK)
            beside.rename(path)
        return cls(path)

    def append(self, points: list[str], which: np.ndarray, times: np.ndarray, values: np.ndarray, marks: np.ndarray) -> Appended:
        """Put values in place; the first value of a cell stays.

        Parameters
        ----------
        points : list of str
            Point identifiers.
        which : int array
            Index into ``points``, per value.
        times : int64 array
            Seconds since 1970, local; filed under the grid step that holds them.
        values : float32 array
            No NaN.
        marks : uint8 array
            255 where none was sent.

        Returns
        -------
        Appended
            ``rows`` index the arrays given.
        """
        first = int(times.min())
        if first < self.start:
            self._rebuild(self.start + (first - self.start) // self.interval * self.interval)
        slots = (times - self.start) // self.interval
        fresh = sorted(set(points) - self.rows.keys())
        old = (len(self.points), self.times)
        self.points += fresh
        self.rows |= {p: old[0] + i for i, p in enumerate(fresh)}
        self.times = max(self.times, int(slots.max()) + 1)
        grown = old != (len(self.points), self.times)
        if grown:
            for array in (self._value, self._mark):
                array.resize((len(self.points), self.times))
        rows = np.fromiter((self.rows[p] for p in points), dtype=np.int64, count=len(points))[which]
        done = self._fill(rows, slots, values, marks, old)
        if grown:
            self._commit(old)
        return done

    def _fill(self, rows: np.ndarray, slots: np.ndarray, values: np.ndarray, marks: np.ndarray, old: tuple[int, int]) -> Appended:
        chunk_r, chunk_c = self._value.chunks
        cell = rows * self.times + slots
        twice = pd.DataFrame({"cell": cell, "value": values, "mark": marks}).duplicated().to_numpy()
        done = Appended(same=int(twice.sum()))
        kept = np.flatnonzero(~twice)
        block = (rows[kept] // chunk_r) * (self.times // chunk_c + 1) + slots[kept] // chunk_c
        order = kept[np.lexsort((kept, cell[kept], block))]
        block = (rows[order] // chunk_r) * (self.times // chunk_c + 1) + slots[order] // chunk_c
        starts = np.flatnonzero(np.r_[True, cell[order][1:] != cell[order][:-1]])
        rank = np.arange(len(order)) - np.repeat(starts, np.diff(np.r_[starts, len(order)]))
        for part in np.split(np.arange(len(order)), np.flatnonzero(np.diff(block)) + 1):
            at = order[part]
            r0, c0 = int(rows[at[0]]) // chunk_r * chunk_r, int(slots[at[0]]) // chunk_c * chunk_c
            window = (slice(r0, min(r0 + chunk_r, len(self.points))), slice(c0, min(c0 + chunk_c, self.times)))
            self._fill_block(window, at, rank[part], rows[at] - r0, slots[at] - c0, values, marks, old, done)
        return done

    def _fill_block(
        self,
        window: tuple[slice, slice],
        at: np.ndarray,
        rank: np.ndarray,
        r: np.ndarray,
        c: np.ndarray,
        values: np.ndarray,
        marks: np.ndarray,
        old: tuple[int, int],
        done: Appended,
    ) -> None:
        if window[0].start < old[0] and window[1].start < old[1]:
            v, m = np.array(self._value[window]), np.array(self._mark[window])
        else:
            shape = (window[0].stop - window[0].start, window[1].stop - window[1].start)
            v, m = np.full(shape, np.nan, dtype=np.float32), np.full(shape, NO_MARK, dtype=np.uint8)
        value_changed = mark_changed = False
        for k in range(int(rank.max()) + 1):  # k-th value of the same cell within this batch, in the order of arrival
            turn = rank == k
            i, rr, cc = at[turn], r[turn], c[turn]
            have, have_mark, new, mark = v[rr, cc], m[rr, cc], values[i], marks[i]
            empty, equal = np.isnan(have), have == new
            marks_it = (mark != NO_MARK) & (empty | (equal & (have_mark == NO_MARK)))
            marks_it &= mark != have_mark
            clash = ~empty & (~equal | ((have_mark != NO_MARK) & (mark != NO_MARK) & (mark != have_mark)))
            v[rr[empty], cc[empty]] = new[empty]
            m[rr[marks_it], cc[marks_it]] = mark[marks_it]
            value_changed |= bool(empty.any())
            mark_changed |= bool(marks_it.any())
            done.new += int(empty.sum())
            done.same += int((~empty & ~clash).sum())
            if clash.any():
                done.rows.append(i[clash])
                done.kept_values.append(have[clash])
                done.kept_marks.append(have_mark[clash])
        if mark_changed:
            self._mark[window] = m
        if value_changed:
            self._value[window] = v

    def _open(self) -> None:
        self._root = zarr.open_group(self.path, mode="r+", use_consolidated=False)
        arrays: dict[str, Any] = {name: self._root[name] for name in ("value", "mark", "point", "time")}
        self._value, self._mark, self._point, self._time = (arrays[n] for n in ("value", "mark", "point", "time"))
        extent = (len(self.points), self.times)
        for array, fill in ((self._value, np.nan), (self._mark, NO_MARK)):
            if array.shape != extent:  # a killed append left it longer
                array.resize(extent)
                full = tuple(-(-n // c) * c for n, c in zip(extent, array.chunks, strict=True))
                array.resize(full)
                array[extent[0] :, :] = fill
                array[:, extent[1] :] = fill
                array.resize(extent)
        for path in self.path.rglob("*.partial"):
            path.unlink(missing_ok=True)

    def _commit(self, old: tuple[int, int]) -> None:
        unit, epoch = _time_unit(dict(self._time.attrs), self.path)
        self._point.resize((len(self.points),))
        self._time.resize((self.times,))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            if len(self.points) > old[0]:
                self._point[old[0] :] = np.array(self.points[old[0] :], dtype=np.dtypes.StringDType())
            if self.times > old[1]:
                steps = self.start + np.arange(old[1], self.times, dtype=np.int64) * self.interval
                self._time[old[1] :] = (steps - epoch) // unit
            zarr.consolidate_metadata(self._root.store)

    def _rebuild(self, start: int) -> None:
        """Rewrite the cube so that it begins at ``start``, chunk by chunk, and put it in place."""
        lead = (self.start - start) // self.interval
        beside = self.path.with_name(self.path.name + ".building")
        shutil.rmtree(beside, ignore_errors=True)
        _write_empty(beside, self.points, start, self.times + lead, self.interval, self.attrs, self._value.chunks)
        target = zarr.open_group(beside, mode="r+", use_consolidated=False)
        new: dict[str, Any] = {"value": target["value"], "mark": target["mark"]}
        step_r, step_c = new["value"].chunks
        for name, source in (("value", self._value), ("mark", self._mark)):
            for r in range(0, len(self.points), step_r):
                for c in range(lead // step_c * step_c, self.times + lead, step_c):
                    a, b = max(c, lead), min(c + step_c, self.times + lead)
                    part = source[r : r + step_r, a - lead : b - lead]
                    empty = np.isnan(part) if name == "value" else part == NO_MARK
                    if not empty.all():
                        new[name][r : r + step_r, a:b] = part
        ready, away = self.path.with_name(self.path.name + ".new"), self.path.with_name(self.path.name + ".old")
        beside.rename(ready)
        self.path.rename(away)
        ready.rename(self.path)
        shutil.rmtree(away, ignore_errors=True)
        self.start, self.times = start, self.times + lead
        self._open()

    @staticmethod
    def exists(path: Path) -> bool:
        """Tell whether there is a cube at ``path``, after finishing or undoing a swap that was killed."""
        building, ready, away = (path.with_name(path.name + end) for end in (".building", ".new", ".old"))
        shutil.rmtree(building, ignore_errors=True)
        if ready.is_dir() and not path.is_dir():
            ready.rename(path)
        elif away.is_dir() and not path.is_dir():
            away.rename(path)
        shutil.rmtree(ready, ignore_errors=True)
        shutil.rmtree(away, ignore_errors=True)
        return path.is_dir()


def _time_unit(attrs: dict[str, Any], path: Path) -> tuple[int, int]:
    unit, _, epoch = str(attrs.get("units", "")).partition(" since ")
    if unit not in _UNITS or not epoch:
        raise CatalogError(
            "cannot append to this time coordinate",
            got=attrs.get("units"),
            allowed="seconds, minutes, hours or days since a time",
            where=str(path),
        )
    return _UNITS[unit], int(pd.Timestamp(epoch).timestamp())


def _write_empty(
    path: Path, points: list[str], start: int, times: int, interval: int, attrs: dict[str, Any], chunk: tuple[int, int]
) -> None:
    codec = BloscCodec(cname="lz4", clevel=5, shuffle="bitshuffle")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # zarr: the string type of v3 is not final; the contract's cubes all use it
        root = zarr.create_group(path, zarr_format=3, attributes=attrs)
        shape, dims = (len(points), times), ("point", "time")
        root.create_array("value", shape=shape, chunks=chunk, dtype="float32", fill_value=np.nan, compressors=codec, dimension_names=dims)
        root.create_array(
            "mark", shape=shape, chunks=chunk, dtype="uint8", fill_value=NO_MARK, compressors=codec, dimension_names=dims, attributes=FLAGS
        )
        ids = root.create_array(
            "point", shape=(len(points),), chunks=(POINT_CHUNK,), dtype=np.dtypes.StringDType(), dimension_names=("point",)
        )
        ids[:] = np.array(points, dtype=np.dtypes.StringDType())
        unit, name = (60, "minutes") if interval % 60 == 0 and start % 60 == 0 else (1, "seconds")
        clock = {"units": f"{name} since 1970-01-01 00:00:00", "calendar": "proleptic_gregorian"}
        time = root.create_array(
            "time",
            shape=(times,),
            chunks=(TIME_CHUNK,),
            dtype="int64",
            fill_value=0,
            compressors=codec,
            dimension_names=("time",),
            attributes=clock,
        )
        time[:] = (start + np.arange(times, dtype=np.int64) * interval) // unit
        zarr.consolidate_metadata(root.store)


def extent_on_disk(path: Path) -> tuple[int, int]:
    """Return the committed extent of a cube (points, times), as its root metadata say."""
    meta = json.loads((path / "zarr.json").read_text(encoding="utf-8"))
    rows, times = meta["consolidated_metadata"]["metadata"]["value"]["shape"]
    return int(rows), int(times)
