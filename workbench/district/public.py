"""Public stations: ambient air and the river, driven by weather and by what the district truly emits."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from workbench.district.climate import World
from workbench.district.instrument import finish
from workbench.district.noise import STEPS_PER_HOUR, ar1, lag, stream
from workbench.district.population import CENTRE, Outlet, Point
from workbench.district.simulate import Series

AMBIENT = {"a34004": (0.55, 1.0), "a34002": (0.95, 1.0), "a21026": (0.1, 1.0), "a21004": (0.4, 1.0)}
RIVER = {"w01018": (14.0, 0.1, 100.0), "w21003": (0.45, 0.01, 10.0), "w21011": (0.11, 0.001, 2.0), "w01009": (7.6, 0.01, 20.0)}
UPSTREAM = "双河"
MG_L_PER_KG_H = 0.03
"""What 1 kg/h adds to the river: a small river of some 33,000 m³/h."""


@dataclass
class Sums:
    """What the enterprises add to air (kg/h, by street) and to the river (kg/h), hourly."""

    air: dict[str, np.ndarray] = field(default_factory=dict)
    river: np.ndarray | None = None

    def add(self, street: str, air: np.ndarray, river: np.ndarray) -> None:
        """Add one enterprise."""
        self.air[street] = self.air.get(street, np.zeros_like(air)) + air
        self.river = river if self.river is None else self.river + river


@dataclass(frozen=True)
class Station:
    """A public station with its points."""

    name: str
    street: str
    lon: float
    lat: float
    points: tuple[Point, ...]
    outlet: Outlet | None = None


def stations(world: World, extra: int = 0) -> list[Station]:
    """Return the public stations; ``extra`` more ambient points make up a wanted total."""
    out: list[Station] = []
    for k in range(world.scale.ambient + -(-extra // len(AMBIENT))):
        rng = stream(world.seed, "station", k)
        zone = k % len(world.zones)
        angle = 2 * np.pi * (zone + 0.3 + 0.05 * (k // len(world.zones))) / len(world.zones)
        factors = list(AMBIENT)
        if k >= world.scale.ambient:
            left = extra - (k - world.scale.ambient) * len(AMBIENT)
            factors = factors[: min(left, len(AMBIENT))]
        points = tuple(
            Point(f"A{k + 1:03d}-{i + 1}", "ambient", f, factor=f, unit="µg/m³", high=2000.0, resolution=1.0) for i, f in enumerate(factors)
        )
        lon = CENTRE[0] + 0.11 * np.cos(angle) + rng.normal(0, 0.01)
        lat = CENTRE[1] + 0.09 * np.sin(angle) + rng.normal(0, 0.01)
        out.append(Station(f"A{k + 1:03d}", world.zones[zone], round(float(lon), 5), round(float(lat), 5), points))
    for k in range(world.scale.surface_water):
        rng = stream(world.seed, "river", k)
        lon, lat = (
            round(CENTRE[0] - 0.12 + 0.24 * k / max(1, world.scale.surface_water - 1), 5),
            round(CENTRE[1] + float(rng.normal(0, 0.01)), 5),
        )
        outlet = Outlet(f"OR-{k + 1:02d}", f"RH{k + 1:03d}", "water", "river_outfall", lon, lat, receiving=UPSTREAM)
        points = tuple(
            Point(
                f"S{k + 1:03d}-{i + 1}",
                "surface_water",
                f,
                outlet_id=outlet.outlet_id,
                factor=f,
                unit="mg/L",
                high=RIVER[f][2],
                resolution=RIVER[f][1],
            )
            for i, f in enumerate(RIVER)
        )
        out.append(Station(f"S{k + 1:03d}", world.zones[k % len(world.zones)], lon, lat, points, outlet))
    return out


def observe(station: Station, world: World, sums: Sums) -> dict[str, Series]:
    """Return the series of one station by point."""
    rng = stream(world.seed, "observe", station.name)
    n, out = world.steps, {}
    w = world.weather[station.street]
    hours = len(world.dust)
    still = 1.0 / np.maximum(w["wind_speed"], 0.4)
    load = sums.air.get(station.street, np.zeros(hours))
    load = load / max(float(load.mean()), 1e-9) if load.any() else load
    river = sums.river if sums.river is not None and sums.river.any() else np.zeros(hours)
    flush = 1 + 0.5 * lag(np.minimum(w["rain"], 6.0), 20)
    for p in station.points:
        if p.system == "ambient":
            share = AMBIENT[p.factor][0]
            background = share * world.dust if p.factor.startswith("a34") else share * 60 * (0.6 + 0.4 * still)
            hourly = background + (14 if p.factor != "a34002" else 20) * share * load * still
            value = np.interp(np.arange(n) / STEPS_PER_HOUR, np.arange(hours), hourly)
            value = value * np.exp(0.12 * world.residuals.draw(rng, n, "ambient"))
        else:
            base = RIVER[p.factor][0]
            below = int(station.name[1:]) / max(1, world.scale.surface_water)
            added = {"w01018": 1.0, "w21003": 0.07, "w21011": 0.01, "w01009": -0.3}[p.factor] * MG_L_PER_KG_H * lag(river, 6.0) * below
            season = -0.1 * (w["temperature"] - 15) if p.factor == "w01009" else 0.0
            hourly = np.maximum(base + added / flush + season, 0.02)
            value = np.interp(np.arange(n) / STEPS_PER_HOUR, np.arange(hours), hourly) * np.exp(0.06 * ar1(rng, n, 60))
        for a, b in world.zone_outages[station.street]:
            value[a:b] = np.nan
        out[p.point_id] = finish(p, None, value, world, None, stopped=None, overwritten=None)
    return out
