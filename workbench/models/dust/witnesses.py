"""What stands around a run of excess: the witnesses for it, and the innocent ones."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from workbench.models.dust.scene import Scene


@dataclass(frozen=True)
class Around:
    """Witnesses of one run; every field may be NaN: not known.

    Parameters
    ----------
    ratio : float
        Median of value over background in the dusty hours, beyond the usual ratio.
    hours, days : float
        Dusty hours, and days with at least two of them.
    working : float
        Share of the dusty hours in working hours.
    rain, humid : float
        Share of rainy (humid) hours among the dusty ones, less that of all hours.
    wind : float
        Mean wind speed in the dusty hours over that of all hours.
    shared : float
        Mean share of the neighbours, by weight, that moved at least half as far the same way in the same hours.
    upwind : float
        Share of the dusty hours in which a near site upwind adds more dust than this one.
    other, coarse : float
        Mean z of the other particle size, and log ratio of PM10 less that of PM2.5.
    producing : float
        Share of the dusty hours with production power, less that of all hours of the same kind of day.
    added : float
        Mean of what the site adds to the background, µg/m³.
    """

    ratio: float
    hours: float
    days: float
    working: float
    rain: float
    humid: float
    wind: float
    shared: float
    upwind: float
    other: float
    coarse: float
    producing: float
    added: float


def witnesses(
    scene: Scene, site: int, hot: NDArray[np.bool_], other: tuple[Scene, int] | None, producing: NDArray[np.float32] | None, *,
    sign: float, humid: float, rain_mm: float, near_km: float, wind_cone: float, wind_min: float,
) -> Around:  # fmt: skip
    """Collect the witnesses of a run.

    Parameters
    ----------
    hot : bool array, shape (hour,)
        Its dusty hours.
    other : (Scene, int), optional
        The other particle size at the same place.
    producing : float array, shape (hour,), optional
        1 running, 0 not, NaN unknown.
    sign : float
        1 for excess, −1 for deficits.
    """
    at = np.flatnonzero(hot)
    excess, value, ground = (a[site] for a in (scene.standard.excess, scene.excess.value, scene.excess.background))
    per_day = np.bincount(at // 24) if at.size else np.zeros(1, int)
    with np.errstate(invalid="ignore"):
        rainy, wet = _flags(scene.rain[site], scene.rain[site] > rain_mm), _flags(scene.humidity[site], scene.humidity[site] >= humid)
    speed = scene.wind_speed[site]
    base = producing[scene.work] if producing is not None else np.zeros(0)
    z_other, coarse = _other_size(scene, site, at, other, sign)
    return Around(
        ratio=float(np.exp(np.nanmedian(excess[at]))) if at.size else float("nan"),
        hours=float(at.size),
        days=float((per_day >= 2).sum()) or float((per_day > 0).sum()),
        working=float(scene.work[at].mean()) if at.size else float("nan"),
        rain=_mean(rainy[at]) - _mean(rainy),
        humid=_mean(wet[at]) - _mean(wet),
        wind=_mean(speed[at]) / _mean(speed) if _mean(speed) > 0 else float("nan"),
        shared=_mean(scene.excess.agree[site, at]),
        upwind=_upwind(scene, site, at, near_km, wind_cone, wind_min) if sign > 0 else float("nan"),
        other=z_other,
        coarse=coarse,
        producing=float("nan") if producing is None else _mean(producing[at]) - _mean(base),
        added=_mean((value - ground)[at]),
    )


def _other_size(scene: Scene, site: int, at: NDArray[np.intp], other: tuple[Scene, int] | None, sign: float) -> tuple[float, float]:
    if other is None:
        return float("nan"), float("nan")
    theirs, k = other
    mine, yours = scene.standard.excess[site, at], theirs.standard.excess[k, at]
    difference = _mean(mine - yours)
    return sign * _mean(theirs.z[k, at]), difference if scene.air.factor < theirs.air.factor else -difference


def _upwind(scene: Scene, site: int, at: NDArray[np.intp], near_km: float, cone: float, wind_min: float) -> float:
    """Return the share of hours in which a near site upwind adds more µg/m³; wind direction is where it comes from."""
    other = (scene.owner != scene.owner[site]) | (scene.owner == "")
    other[site] = False
    near = np.flatnonzero(other & (scene.distance[site] <= near_km))
    blows = np.isfinite(scene.wind_dir[site, at]) & (scene.wind_speed[site, at] >= wind_min)
    if not near.size or not blows.any():
        return float("nan")
    added = [scene.excess.value[s, at] - scene.excess.background[s, at] for s in near]
    mine = scene.excess.value[site, at] - scene.excess.background[site, at]
    hit = np.zeros(len(at), bool)
    for s, theirs in zip(near, added, strict=True):
        off = np.abs((scene.wind_dir[site, at] - scene.bearing[site, s] + 180.0) % 360.0 - 180.0)
        with np.errstate(invalid="ignore"):
            hit |= blows & (off <= cone) & (theirs > mine)
    return float(hit[blows].mean())


def _flags(x: NDArray[np.float64], flags: NDArray[np.bool_]) -> NDArray[np.float64]:
    return np.where(np.isfinite(x), flags.astype(np.float64), np.nan)


def _mean(x: NDArray[np.floating]) -> float:
    known = x[np.isfinite(x)]
    return float(known.mean()) if known.size else float("nan")


def clips_between(clips: pd.DataFrame, start: pd.Timestamp, end: pd.Timestamp, labels: tuple[str, ...]) -> pd.DataFrame:
    """Return the clips of a span that carry one of the labels."""
    return clips[(clips["start"] >= start) & (clips["start"] <= end) & clips["label"].isin(labels)]
