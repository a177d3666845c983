"""A catalog in memory with fence monitors, public stations, weather and clips, for the tests of the dust model."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from workbench.catalog.memory import MemoryCatalog, cube_of
from workbench.contracts import Period

POINT = {"role": "", "range_low": np.nan, "range_high": np.nan, "resolution": 1.0, "interval_s": 3600.0, "installed_on": pd.NaT}


@dataclass
class Town:
    """Hourly truth of a simulated town: what every monitor reads, and the weather; change it before :meth:`catalog`.

    ``value`` has shape (point, hour) in µg/m³, the ``sites`` fence monitors first, then ``stations`` public ones.
    """

    hours: pd.DatetimeIndex
    value: np.ndarray
    sites: int
    weather: pd.DataFrame
    place: np.ndarray
    clips: list[tuple[str, str, str]] = field(default_factory=list)
    unit: str = "µg/m³"
    factor: str = "a34002"

    def slot(self, day: int, first: int, last: int) -> slice:
        """Hours ``first`` to ``last`` of a day."""
        return slice(24 * day + first, 24 * day + last)

    def catalog(self) -> MemoryCatalog:
        n, stations = self.sites, len(self.value) - self.sites
        ids = [f"D{k:02d}" for k in range(n)] + [f"A{k:02d}" for k in range(stations)]
        owners = [f"E{k:02d}" for k in range(n)] + [""] * stations
        points = pd.DataFrame(
            [
                {
                    **POINT, "point_id": i, "system": "dust" if e else "ambient", "enterprise_id": e, "outlet_id": f"O{e}" if e else "",
                    "factor": self.factor, "unit": self.unit, "lon": x, "lat": y, "street_town": "T", "removed_on": pd.NaT,
                }
                for i, e, (x, y) in zip(ids, owners, self.place, strict=True)
            ]
        )  # fmt: skip
        camera = {**POINT, "system": "video", "factor": "", "unit": "", "lon": 0.0, "lat": 0.0, "street_town": "T", "removed_on": pd.NaT}
        cameras = pd.DataFrame([{**camera, "point_id": f"V{e}", "enterprise_id": e, "outlet_id": f"O{e}"} for e in owners[:n]])
        enterprises = pd.DataFrame({"enterprise_id": owners[:n], "name": owners[:n], "industry": "3011", "street_town": "T"})
        outlets = pd.DataFrame({"outlet_id": [f"O{e}" for e in owners[:n]], "enterprise_id": owners[:n], "kind": "fugitive"})
        everything = pd.concat([points, cameras], ignore_index=True)
        tables: dict[str, Any] = {"enterprises": enterprises, "outlets": outlets, "points": everything, "weather": self.weather}
        if self.clips:
            seen = [{"point_id": f"V{e}", "start": pd.Timestamp(t), "label": label} for e, t, label in self.clips]
            tables["clips"] = pd.DataFrame(seen).assign(clip_id=[f"C{k}" for k in range(len(seen))], path="", fps=8.0)
        cubes = {"obs_dust": cube_of(ids[:n], self.hours, self.value[:n]), "obs_ambient": cube_of(ids[n:], self.hours, self.value[n:])}
        return MemoryCatalog(tables, cubes, Period(self.hours[0], self.hours[-1] + pd.Timedelta("1h")))


def ar1(rng: np.random.Generator, shape: tuple[int, ...], rho: float) -> np.ndarray:
    """Return unit-variance autoregressive noise along the last axis."""
    from scipy.signal import lfilter

    return np.asarray(lfilter([np.sqrt(1 - rho**2)], [1, -rho], rng.standard_normal(shape), axis=-1))


def make_town(seed: int, *, sites: int = 12, stations: int = 4, days: int = 60) -> Town:
    """Return an honest town: a regional background, each point's own ratio and noise, lawful dust of working hours."""
    rng = np.random.default_rng(seed)
    hours = pd.date_range("2026-01-01", periods=24 * days, freq="h")
    n = sites + stations
    region = 4.2 + 0.6 * ar1(rng, (24 * days,), 0.985)
    own = rng.normal(0, 0.15, n)[:, None] + 0.15 * ar1(rng, (n, 24 * days), 0.7)
    value = np.exp(region + own)
    wind = np.exp(0.4 + 0.5 * ar1(rng, (24 * days,), 0.9))
    work = (hours.hour >= 7) & (hours.hour < 19)
    busy = rng.random((sites, days)).repeat(24, axis=1) < 0.3  # lawful dust: some days, some hours, a tenth to a third more
    value[:sites] *= 1 + np.where(work & busy, rng.uniform(0.05, 0.3, (sites, 24 * days)), 0.0)
    blows = {"wind_speed": wind, "wind_dir": rng.uniform(0, 360, len(hours))}
    wet = {"humidity": np.clip(60 + 15 * ar1(rng, (24 * days,), 0.95), 10, 100), "rain": 0.0, "temperature": 10.0}
    weather = pd.DataFrame({"time": hours, "zone": "T", **blows, **wet})
    place = np.c_[rng.uniform(106.4, 106.6, n), rng.uniform(29.5, 29.7, n)]
    return Town(hours, np.maximum(np.round(value), 1), sites, weather, place)
