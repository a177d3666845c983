"""Real hourly series without known falsification, in one form: four Beijing stations (UCI 501) and a gas turbine (UCI 551)."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd

from workbench.catalog.memory import MemoryCatalog, cube_of
from workbench.contracts import Period

AIR = {"PM2.5": "a34004", "PM10": "a34002", "SO2": "a21026", "NO2": "a21004", "CO": "a21005", "O3": "a05024"}
TURBINE = {"CO": "a21005", "NOX": "a21002"}


@dataclass
class Series:
    """Hourly series of several stations: values (point, hour), and of each point station, factor, unit, and whether faults go there."""

    name: str
    system: str
    values: np.ndarray
    time: pd.DatetimeIndex
    station: list[str]
    factor: list[str]
    unit: list[str]
    target: np.ndarray

    def years(self, stations: set[str]) -> float:
        """Return the station-years of some stations."""
        return len(stations) * len(self.time) / 8766

    def catalog(self, values: np.ndarray) -> MemoryCatalog:
        """Return a catalog that holds these values."""
        ids = [f"{s}-{f}" for s, f in zip(self.station, self.factor, strict=True)]
        owner = [s if self.system == "cems" else "" for s in self.station]
        points = pd.DataFrame(
            {
                "point_id": ids, "system": self.system, "enterprise_id": owner, "outlet_id": owner, "factor": self.factor, "role": "",
                "unit": self.unit, "range_low": np.nan, "range_high": np.nan, "resolution": np.nan, "interval_s": 3600.0, "lon": np.nan,
                "lat": np.nan, "street_town": self.station, "installed_on": pd.NaT, "removed_on": pd.NaT,
            }
        )  # fmt: skip
        period = Period(self.time[0], self.time[-1] + pd.Timedelta(hours=1))
        return MemoryCatalog({"points": points}, {f"obs_{self.system}": cube_of(ids, self.time, values)}, period, self.name)

    def part(self, hours: int) -> Series:
        """Return the last hours of every station."""
        n = len(self.time)
        return self if n <= hours else replace(self, values=self.values[:, n - hours :], time=self.time[n - hours :])


def read_air(folder: Path, quick: bool) -> Series:
    """Read the Beijing stations."""
    frames = {}
    for f in sorted(folder.glob("*.parquet")):
        t = pd.read_parquet(f)
        stamp = pd.to_datetime(t[["year", "month", "day", "hour"]]) if "year" in t else pd.to_datetime(t.iloc[:, 0])
        frames[f.stem] = t.set_index(stamp)[list(AIR)].sort_index()
    hours = next(iter(frames.values())).index
    hours = hours[-8760:] if quick else hours
    values = np.concatenate([f.reindex(hours).to_numpy(dtype=float).T for f in frames.values()])
    station = [s for s in frames for _ in AIR]
    return Series(
        "beijing",
        "ambient",
        values,
        hours,
        station,
        list(AIR.values()) * len(frames),
        ["µg/m³"] * len(station),
        np.ones(len(station), bool),
    )


def read_turbine(folder: Path, quick: bool) -> Series:
    """Read the gas turbine, one year as one station."""
    frames = {f.stem: pd.read_csv(f) for f in sorted(folder.glob("gt_*.csv"))}
    n = min(map(len, frames.values())) if not quick else 2400
    hours = pd.date_range("2011-01-01", periods=n, freq="h")  # the source has an order but no times
    columns = list(next(iter(frames.values())))
    values = np.concatenate([f.to_numpy(dtype=float)[:n].T for f in frames.values()])
    station = [s for s in frames for _ in columns]
    factor = [TURBINE.get(c, c) for c in columns] * len(frames)
    unit = [("mg/m³" if c in TURBINE else "1") for c in columns] * len(frames)
    return Series("turbine", "cems", values, hours, station, factor, unit, np.array([u == "mg/m³" for u in unit]))
