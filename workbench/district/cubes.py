"""Observation cubes written block by block: a full district never stands in memory."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import xarray as xr
import zarr
from zarr.codecs import BloscCodec
from zarr.errors import ZarrUserWarning

from workbench.contracts import Mark

POINTS_PER_CHUNK, STEPS_PER_CHUNK = 32, 7200


class CubeWriter:
    """Writer of one ``obs_*`` cube; rows must come in the order of ``points`` and are kept until a chunk is full.

    Parameters
    ----------
    path : Path
        Zarr store to create.
    points : list of str
        Point identifiers, in the order in which rows will be added.
    times : DatetimeIndex
        The regular grid.
    """

    def __init__(self, path: Path, points: list[str], times: pd.DatetimeIndex) -> None:
        self.points, self.filled, self.written = points, 0, 0
        self.steps = len(times)
        coords = xr.Dataset(
            coords={"point": ("point", np.array(points, dtype=np.dtypes.StringDType())), "time": ("time", times.to_numpy())},
            attrs={"timezone": "Asia/Shanghai", "missing": "value NaN and mark 255: nothing arrived", "unit": "points.unit"},
        )
        coords.to_zarr(path, mode="w", zarr_format=3, consolidated=False)
        group = zarr.open_group(path, mode="a")
        shape = (len(points), self.steps)
        chunks = (min(POINTS_PER_CHUNK, len(points)), min(STEPS_PER_CHUNK, self.steps))
        codec = BloscCodec(cname="lz4", clevel=5, shuffle="bitshuffle")
        names = ("point", "time")
        words = "0 N, 1 F, 2 M, 3 S, 4 D, 5 C, 6 T, 7 B, 255 none"
        self.value = group.create_array(
            "value", shape=shape, chunks=chunks, dtype="float32", compressors=codec, fill_value=float("nan"), dimension_names=names,
            attributes={"long_name": "transmitted value"},
        )  # fmt: skip
        self.mark = group.create_array(
            "mark", shape=shape, chunks=chunks, dtype="uint8", compressors=codec, fill_value=int(Mark.NONE), dimension_names=names,
            attributes={"long_name": "HJ 212 data mark", "flag_meanings": words},
        )  # fmt: skip
        self.path = path
        self._value = np.empty((POINTS_PER_CHUNK, self.steps), np.float32)
        self._mark = np.empty((POINTS_PER_CHUNK, self.steps), np.uint8)

    def add(self, point_id: str, value: np.ndarray, mark: np.ndarray) -> None:
        """Add the next row.

        Raises
        ------
        ValueError
            If ``point_id`` is not the next point.
        """
        expected = self.points[self.written + self.filled]
        if point_id != expected:
            raise ValueError(f"rows out of order: got {point_id}, expected {expected}")
        self._value[self.filled], self._mark[self.filled] = value, mark
        self.filled += 1
        if self.filled == POINTS_PER_CHUNK:
            self._flush()

    def _flush(self) -> None:
        if self.filled:
            rows = slice(self.written, self.written + self.filled)
            self.value[rows] = self._value[: self.filled]
            self.mark[rows] = self._mark[: self.filled]
            self.written, self.filled = self.written + self.filled, 0

    def close(self) -> None:
        """Write what is left and consolidate the metadata.

        Raises
        ------
        ValueError
            If rows are missing.
        """
        self._flush()
        if self.written != len(self.points):
            raise ValueError(f"{self.path.name}: {self.written} rows written of {len(self.points)}")
        with warnings.catch_warnings():  # zarr warns that format 3 has not settled consolidated metadata; xarray reads it
            warnings.simplefilter("ignore", category=ZarrUserWarning)
            zarr.consolidate_metadata(self.path)
