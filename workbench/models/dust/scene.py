"""Everything known about one factor's air and what stands around it, ready for the rules."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from workbench.models.dust.background import Excess, excess_over_background
from workbench.models.dust.inputs import Air, Inputs
from workbench.models.dust.noise import Standard, standardise, working
from workbench.models.hourly import Grid
from workbench.models.rule_settings import Settings

KM = 111.2
"""Kilometres of one degree of latitude."""


@dataclass(frozen=True)
class Scene:
    """One factor; arrays of shape (site, hour) unless said otherwise.

    Parameters
    ----------
    air, excess, standard
        Values, background and standardised excess of the same sites.
    work : bool array, shape (hour,)
        Working hours of the day.
    wind_speed, wind_dir, humidity, rain : float arrays
        Of each site's zone; NaN where not known.
    bearing, distance : float arrays, shape (site, site)
        Direction (° from north) and distance (km) from the first to the second.
    owner : object array, shape (site,)
        Enterprise of each site; empty where not known.
    """

    air: Air
    grid: Grid
    excess: Excess
    standard: Standard
    work: NDArray[np.bool_]
    wind_speed: NDArray[np.float64]
    wind_dir: NDArray[np.float64]
    humidity: NDArray[np.float64]
    rain: NDArray[np.float64]
    bearing: NDArray[np.float64]
    distance: NDArray[np.float64]
    owner: NDArray[np.object_]

    @property
    def sites(self) -> pd.DataFrame:
        """Rows of ``points`` of the fence monitors."""
        return self.air.points.iloc[: self.air.sites]

    @property
    def z(self) -> NDArray[np.float32]:
        """Standardised excess."""
        return self.standard.z

    @property
    def site_months(self) -> float:
        """Site-months with a background."""
        return float(np.isfinite(self.z).sum() / (365.25 * 2))


def look(inputs: Inputs, air: Air, zones: list[str], settings: Settings) -> Scene:
    """Compute background and standardised excess of one factor.

    Parameters
    ----------
    zones : list of str
        Weather zone of each site.
    """
    n, grid = air.sites, inputs.grid
    owner = air.points["enterprise_id"].fillna("").astype(object).to_numpy()
    place = air.points[["lon", "lat"]].to_numpy(dtype=np.float64)
    excess = excess_over_background(air.value, owner, place, n, **settings.prep("background"))
    unknown = np.full(grid.n, np.nan)

    def by_site(what: str) -> NDArray[np.float64]:
        rows = [getattr(inputs.weather[z], what) if z in inputs.weather else unknown for z in zones]
        return np.stack(rows) if rows else np.empty((0, grid.n))

    numbers = settings.prep("noise")
    work = working(grid.hours.hour.to_numpy(), work_from=numbers.pop("work_from"), work_to=numbers.pop("work_to"))
    humidity, wind = by_site("humidity"), by_site("wind_speed")
    standard = standardise(excess.log_ratio, excess.spread, work, humidity, wind, by_site("rain"), **numbers)
    bearing, distance = _between(place[:n])
    return Scene(air, grid, excess, standard, work, wind, by_site("wind_dir"), humidity, by_site("rain"), bearing, distance, owner[:n])


def _between(place: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    east = (place[None, :, 0] - place[:, None, 0]) * np.cos(np.radians(place[:, None, 1])) * KM
    north = (place[None, :, 1] - place[:, None, 1]) * KM
    return np.degrees(np.arctan2(east, north)) % 360.0, np.hypot(east, north)
