"""Calendar, weather, heavy-pollution orders and regional dust: what the whole district shares.

Hourly weather per street drives dispersion; stagnation brings orders that cap production; storms bring dust to
every station at once, so that a high reading alone says nothing about one site.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from workbench.district.noise import STEPS_PER_HOUR, Residuals, ar1, stream
from workbench.district.settings import Scale, document, draw, number

STEPS_PER_DAY = 24 * STEPS_PER_HOUR


@dataclass(frozen=True)
class World:
    """Shared state of a district: its grid, calendar, weather and outages.

    ``weather`` holds hourly arrays by street; ``dust`` is the regional background (µg/m³) per hour, ``order`` the
    days under a production order, ``zone_outages`` half-open step spans by street.
    """

    seed: int
    scale: Scale
    start: pd.Timestamp
    steps: int
    zones: tuple[str, ...]
    weather: dict[str, dict[str, np.ndarray]]
    order: np.ndarray
    dust: np.ndarray
    holiday: np.ndarray
    festival: np.ndarray
    zone_outages: dict[str, list[tuple[int, int]]]
    residuals: Residuals = field(default_factory=Residuals)

    @property
    def times(self) -> pd.DatetimeIndex:
        """The six-minute grid."""
        return pd.date_range(self.start, periods=self.steps, freq="6min")

    @property
    def days(self) -> int:
        """Days of the period."""
        return self.scale.days

    def at(self, step: float) -> pd.Timestamp:
        """Return the local time of a step."""
        return self.start + pd.Timedelta(minutes=6 * float(step))


def make_world(scale: Scale, seed: int, residuals: Residuals) -> World:
    """Return the shared world of one district."""
    start = pd.Timestamp(document("world")["start"])
    hours = scale.days * 24
    zones = tuple(document("world")["streets"][: scale.streets])
    rng = stream(seed, "weather")
    synoptic = ar1(rng, hours, 40.0)
    damp = ar1(rng, hours, 60.0)
    warm = ar1(rng, hours, 72.0)
    weather = {z: _zone_weather(stream(seed, "weather", z), start, synoptic, damp, warm) for z in zones}
    wind = pd.Series(np.mean([w["wind_speed"] for w in weather.values()], axis=0))
    dates = pd.date_range(start, periods=scale.days, freq="D")
    spans = [tuple(map(pd.Timestamp, s)) for s in document("world")["holidays"]]
    festival = tuple(map(pd.Timestamp, document("world")["spring_festival"]))
    return World(
        seed=seed,
        scale=scale,
        start=start,
        steps=scale.days * STEPS_PER_DAY,
        zones=zones,
        weather=weather,
        order=_orders(rng, wind, scale.days),
        dust=_dust(rng, wind, hours),
        holiday=np.array([any(a <= d <= b for a, b in spans) for d in dates]),
        festival=np.array([festival[0] <= d <= festival[1] for d in dates]),
        zone_outages={z: _outages(stream(seed, "outage", z), scale.days) for z in zones},
        residuals=residuals,
    )


def _zone_weather(
    rng: np.random.Generator, start: pd.Timestamp, synoptic: np.ndarray, damp: np.ndarray, warm: np.ndarray
) -> dict[str, np.ndarray]:
    n = len(synoptic)
    times = pd.date_range(start, periods=n, freq="h")
    hour, yearday = times.hour.to_numpy(), times.dayofyear.to_numpy()
    season = -np.cos(2 * np.pi * (yearday - 18) / 365)
    daily = np.sin(2 * np.pi * (hour - 9) / 24)
    temperature = 18 + 10.5 * season + 3.2 * daily + 2.6 * warm + 0.4 * ar1(rng, n, 6)
    humidity = np.clip(77 - 9 * daily + 9 * damp - 3 * synoptic + 2 * ar1(rng, n, 5), 25, 100)
    wind = np.exp(0.35 + 0.42 * synoptic + 0.14 * daily + 0.2 * ar1(rng, n, 4))
    wet = (damp + 0.5 * ar1(rng, n, 8)) > 1.25
    rain = np.where(wet, rng.gamma(0.7, 1.6, n), 0.0)
    return {
        "wind_speed": np.round(wind, 1),
        "wind_dir": np.round((30 + 55 * ar1(rng, n, 20) + 25 * synoptic) % 360.0, 0),
        "temperature": np.round(temperature, 1),
        "humidity": np.round(humidity, 0),
        "rain": np.round(rain, 1),
        "pressure": np.round(985 - 7 * season - 4 * synoptic + 0.8 * ar1(rng, n, 24), 1),
    }


def _orders(rng: np.random.Generator, wind: pd.Series, days: int) -> np.ndarray:
    """Days under a production order: one spell a month, begun on the stillest day of it."""
    order = np.zeros(days, bool)
    still = wind.groupby(np.arange(len(wind)) // 24).mean().to_numpy()
    for first in range(0, days, 30):
        month = still[first : first + 30]
        if len(month) < 10:
            continue
        begin = first + int(np.argmin(month))
        order[begin : begin + round(draw(rng, "calendar.order_days"))] = True
    return order


def _dust(rng: np.random.Generator, wind: pd.Series, hours: int) -> np.ndarray:
    """Regional particle background, µg/m³ per hour: stagnation raises it, storms raise it more."""
    still = wind.rolling(36, min_periods=1).mean().to_numpy()
    base = 62 * np.exp(-0.22 * (still - 1.5)) * np.exp(0.2 * ar1(rng, hours, 18))
    storm = np.zeros(hours)
    for _ in range(max(1, hours // (24 * 28))):
        at, length = int(rng.integers(0, hours)), int(rng.integers(14, 50))
        x = np.arange(hours) - at
        storm += rng.uniform(180, 420) * np.where((x >= 0) & (x < length), np.sin(np.pi * np.clip(x, 0, length) / length), 0)
    return np.asarray(base + storm)


def _outages(rng: np.random.Generator, days: int) -> list[tuple[int, int]]:
    count = int(rng.poisson(number("oddities.zone_outage_per_month") * days / 30))
    begins = np.sort(rng.integers(0, days * STEPS_PER_DAY, count))
    return [(int(b), int(b) + int(rng.integers(8, 90))) for b in begins]
