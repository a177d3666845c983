"""What is ordinary for a site: its usual ratio to the background and its scatter, by class of hour.

A site's usual ratio is the median of its own hours (working or not, humid or not). It may not stand further above those
of the other sites than usual ratios differ among themselves, so that whoever always dusts does not make that the rule.
Its answer to the wind, on dry ground and on wet, is its own: an open yard dusts in every strong wind, lawfully or not,
and what is new stands out.
The scatter is robust, and grows or shrinks with the disagreement of the neighbours, the wind and the humidity.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

WINDS = (0.5, 0.7, 0.85, 0.93, 0.97, 0.99)
"""Quantiles of the wind between which a site's answer to it is learned."""


@dataclass(frozen=True)
class Standard:
    """Standardised excess, arrays of shape (site, hour).

    Parameters
    ----------
    excess : float32 array
        Log ratio to the background beyond the usual one.
    z : float32 array
        Excess in robust standard deviations; NaN where there is no value or no background.
    memory : float
        Hours that one independent hour is worth: (1 + r)/(1 − r) with r the lag-1 autocorrelation.
    """

    excess: NDArray[np.float32]
    z: NDArray[np.float32]
    memory: float


def working(hours_of_day: NDArray[np.int64], *, work_from: float, work_to: float) -> NDArray[np.bool_]:
    """Return whether hours of the day are working hours."""
    return (hours_of_day >= work_from) & (hours_of_day < work_to)


def standardise(
    log_ratio: NDArray[np.float32],
    spread: NDArray[np.float32],
    work: NDArray[np.bool_],
    humidity: NDArray[np.float64],
    wind: NDArray[np.float64],
    rain: NDArray[np.float64],
    *,
    humid: float,
    shrink_hours: float,
    usual_sd: float,
    scale_min: float,
    drying_hours: float,
) -> Standard:
    """Return excess beyond the usual ratio, standardised.

    Parameters
    ----------
    log_ratio, spread : float32 arrays, shape (site, hour)
    work : bool array, shape (hour,)
    humidity, wind, rain : float arrays, shape (site, hour)
        NaN where not known.
    """
    r = log_ratio.astype(np.float64)
    with np.errstate(invalid="ignore"):
        wet = humidity >= humid
    classes = work[None, :].astype(np.int64) + 2 * wet.astype(np.int64)
    usual = _usual(r, classes, shrink_hours, usual_sd)
    excess = r - usual
    humidities, winds = np.array([humid, 0.5 * (humid + 100.0), 0.25 * humid + 75.0]), _quantiles(wind, WINDS)
    excess = excess - _answer_to(humidity, humidities, excess, shrink_hours, usual_sd)
    for ground in _dry_and_other(humidity, rain, int(drying_hours)):  # wind lifts dust from dry ground
        excess = excess - _answer_to(np.where(ground, wind, np.nan), winds, excess, shrink_hours / 3.0, np.inf)
    with np.errstate(invalid="ignore"):
        windy = wind > winds[1] if winds.size else np.zeros(wind.shape, bool)
    scale = _own_scale(excess, work[None, :] + 2 * windy, shrink_hours, scale_min)
    for _ in range(2):
        for driver in (spread.astype(np.float64), wind, humidity):
            scale = scale * _factor(np.abs(excess) / scale, driver)
    z = excess / np.maximum(scale, scale_min)
    known = np.isfinite(z)
    if known.any():
        z = z / max(1.4826 * float(np.median(np.abs(z[known]))), 1e-6)
    return Standard(excess.astype(np.float32), z.astype(np.float32), memory_of(z))


def memory_of(z: NDArray[np.floating], *, highest: float = 0.97) -> float:
    """Return (1 + r)/(1 − r) of the pooled lag-1 autocorrelation of clipped values; 1 for too few."""
    c = np.clip(z, -3.0, 3.0)
    a, b = c[:, :-1], c[:, 1:]
    both = np.isfinite(a) & np.isfinite(b)
    if both.sum() < 50:
        return 1.0
    x, y = a[both] - a[both].mean(), b[both] - b[both].mean()
    r = float(np.clip((x * y).sum() / max(np.sqrt((x**2).sum() * (y**2).sum()), 1e-12), 0.0, highest))
    return (1.0 + r) / (1.0 - r)


def _usual(r: NDArray[np.float64], classes: NDArray[np.int64], shrink: float, usual_sd: float) -> NDArray[np.float64]:
    """Return the usual log ratio of every site and hour: class medians, shrunk to the site's own, held to those of others."""
    sites = len(r)
    all_hours = np.array([_median(x) for x in r])
    table = np.zeros((sites, 4))
    for k in range(4):
        for s in range(sites):
            x = r[s][classes[s] == k]
            n = int(np.isfinite(x).sum())
            table[s, k] = (n * _median(x) + shrink * all_hours[s]) / (n + shrink) if n else all_hours[s]
        if sites >= 5:
            table[:, k] = _held_to_others(table[:, k], usual_sd)
    return np.take_along_axis(table, classes, axis=1)


def _dry_and_other(humidity: NDArray[np.float64], rain: NDArray[np.float64], drying: int) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Return hours of dry ground (no rain for some hours, air drier than its median) and all others."""
    wet = np.nan_to_num(rain) > 0.0
    lately = np.cumsum(wet, axis=1)
    lately[:, drying:] = lately[:, drying:] - lately[:, :-drying]
    with np.errstate(invalid="ignore"):
        dry = (lately == 0) & (humidity < (np.nanmedian(humidity) if np.isfinite(humidity).any() else np.nan))
    return dry, ~dry


def _answer_to(
    driver: NDArray[np.float64], edges: NDArray[np.float64], excess: NDArray[np.float64], shrink: float, usual_sd: float
) -> NDArray[np.float64]:
    """Return each site's own median excess by class of a driver, shrunk and held to the others as above."""
    out = np.zeros_like(excess)
    known = np.isfinite(driver)
    if not known.any():
        return out
    classes = np.searchsorted(edges, driver, side="right")
    for k in range(len(edges) + 1):
        mine = known & (classes == k)
        table = np.zeros(len(excess))
        for s in range(len(excess)):
            x = excess[s][mine[s]]
            n = int(np.isfinite(x).sum())
            table[s] = n * _median(x) / (n + shrink)
        if len(table) >= 5:
            table = _held_to_others(table, usual_sd)
        out += np.where(mine, table[:, None], 0.0)
    return out


def _quantiles(x: NDArray[np.float64], at: tuple[float, ...]) -> NDArray[np.float64]:
    known = x[np.isfinite(x)]
    return np.quantile(known, at) if known.size else np.array([])


def _held_to_others(table: NDArray[np.float64], usual_sd: float) -> NDArray[np.float64]:
    """Return usual values of sites, none further above the middle one than sites differ among themselves."""
    middle = float(np.median(table))
    width = 1.4826 * float(np.median(np.abs(table - middle)))
    return np.minimum(table, middle + usual_sd * max(width, 0.02))


def _own_scale(excess: NDArray[np.float64], classes: NDArray[np.int64], shrink: float, lowest: float) -> NDArray[np.float64]:
    """Return the robust scatter by site and class of hour, drawn halfway to that of all sites where it is larger."""
    scale = np.empty_like(excess)
    for k in range(4):
        mine = classes == k
        pooled = max(1.4826 * _median(np.abs(excess[mine])), lowest)
        for s in range(len(excess)):
            mask = mine[s]
            x = np.abs(excess[s, mask])
            n = int(np.isfinite(x).sum())
            own = max(1.4826 * _median(x), lowest) if n else pooled
            log = (n * np.log(own) + shrink * np.log(pooled)) / (n + shrink)
            scale[s, mask] = np.exp(log if log < np.log(pooled) else 0.5 * (log + np.log(pooled)))
    return scale


def _factor(size: NDArray[np.float64], driver: NDArray[np.float64], bins: int = 6, hours_min: int = 200) -> NDArray[np.float64]:
    """Return by how much the scatter of all sites differs within sextiles of a driver; 1 where it is not known."""
    out = np.ones_like(size)
    known = np.isfinite(driver) & np.isfinite(size)
    if known.sum() < bins * hours_min:
        return out
    edges = np.unique(np.quantile(driver[known], np.linspace(0, 1, bins + 1)[1:-1]))
    which = np.searchsorted(edges, driver, side="right")
    whole = _median(size[known])
    for b in range(len(edges) + 1):
        mine = known & (which == b)
        if mine.sum() >= hours_min:
            out[np.isfinite(driver) & (which == b)] = np.clip(_median(size[mine]) / max(whole, 1e-9), 0.5, 4.0)
    return out


def _median(x: NDArray[np.float64]) -> float:
    x = x[np.isfinite(x)]
    return float(np.median(x)) if x.size else 0.0
