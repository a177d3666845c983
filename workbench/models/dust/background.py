"""The air that a site would have had without itself: what its neighbours say, each by its own usual ratio.

In the logarithm a neighbour follows a site up to a constant (its usual ratio), learned as the median of their
difference. Neighbours that follow closely count more: the background is the median of their estimates, weighted by the
inverse fourth power of their robust scatter, none with more than three tenths. A regional event lifts all alike and
leaves no excess; what only the closest neighbours share is seen in how many of them agree.
"""

from __future__ import annotations

from dataclasses import dataclass

import numba
import numpy as np
from numpy.typing import NDArray

FLOOR = 5.0
"""µg/m³ added before the logarithm: the noise of a clean hour is additive."""


@dataclass(frozen=True)
class Excess:
    """Excess of sites over their background; arrays of shape (site, hour).

    Parameters
    ----------
    value : float32 array
        Hourly value, µg/m³.
    background : float32 array
        Background at the site's own usual ratio, µg/m³; NaN where fewer than the needed neighbours spoke.
    log_ratio : float32 array
        ln((value + floor)/(background + floor)).
    spread : float32 array
        Scatter of the neighbours' estimates, in the logarithm.
    agree : float32 array
        Share of the neighbours, by weight, that went at least half as far from the background as the site, the same way.
    """

    value: NDArray[np.float32]
    background: NDArray[np.float32]
    log_ratio: NDArray[np.float32]
    spread: NDArray[np.float32]
    agree: NDArray[np.float32]


@numba.njit(cache=True, nogil=True)
def _combine(
    own: np.ndarray,
    y: np.ndarray,
    offset: np.ndarray,
    weight: np.ndarray,
    needed: int,
    centre: np.ndarray,
    spread: np.ndarray,
    agree: np.ndarray,
) -> None:  # pragma: no cover - compiled
    k, hours = y.shape
    values, w = np.empty(k), np.empty(k)
    for h in range(hours):
        n = 0
        for j in range(k):
            v = y[j, h] + offset[j]
            if np.isfinite(v):
                values[n], w[n] = v, weight[j]
                n += 1
        if n < needed:
            continue
        order = np.argsort(values[:n])
        middle, run, m = 0.5 * w[:n].sum(), 0.0, values[order[n - 1]]
        for i in order:
            if run + w[i] >= middle:
                m = values[i]
                break
            run += w[i]
        centre[h] = m
        total, away, along = 0.0, 0.0, 0.0
        for i in range(n):
            total += w[i]
            away += w[i] * abs(values[i] - m)
            half = 0.5 * (own[h] - m)
            if (half > 0 and values[i] - m >= half) or (half < 0 and values[i] - m <= half):
                along += w[i]
        spread[h] = away / total
        agree[h] = along / total


def excess_over_background(
    value: NDArray[np.float32],
    owner: NDArray[np.object_],
    place: NDArray[np.float64],
    sites: int,
    *,
    neighbours: float,
    neighbours_min: float,
    hours_min: float,
    scatter_floor: float,
    weight_max: float,
) -> Excess:
    """Return the excess of the first ``sites`` rows over what all other rows say.

    Parameters
    ----------
    value : float32 array, shape (point, hour)
        µg/m³; sites first, then ambient stations. One factor only.
    owner : object array, shape (point,)
        Enterprise; a point is never background of its own enterprise. Empty for public stations.
    place : float array, shape (point, 2)
        Longitude and latitude; NaN: unknown, taken as far.
    neighbours : float
        Nearest points considered for each site; public stations are always considered.
    neighbours_min : float
        Neighbours needed in an hour.
    hours_min : float
        Common hours needed to learn a usual ratio.
    scatter_floor : float
        Added in square to a neighbour's scatter.
    weight_max : float
        Largest share of one neighbour.
    """
    y = np.log(value.astype(np.float64) + FLOOR)
    hours = y.shape[1]
    centre, spread, agree = (np.full((sites, hours), np.nan) for _ in range(3))
    for s in range(sites):
        chosen, offset, weight = [], [], []
        for q in _nearest(s, owner, place, sites, int(neighbours)):
            d = y[s] - y[q]
            d = d[np.isfinite(d)]
            if len(d) < hours_min:
                continue
            m = float(np.median(d))
            scatter = 1.4826 * float(np.median(np.abs(d - m)))
            chosen.append(q)
            offset.append(m)
            weight.append(1.0 / (scatter**2 + scatter_floor**2) ** 2)
        if len(chosen) >= neighbours_min:
            share = _held(np.array(weight) / sum(weight), max(weight_max, 1.0 / len(weight)))
            _combine(y[s], y[chosen], np.array(offset), share, int(neighbours_min), centre[s], spread[s], agree[s])
    with np.errstate(invalid="ignore"):
        ratio = y[:sites] - centre
        background = np.maximum(np.exp(centre) - FLOOR, 0.0)
    parts = (background, ratio, spread, agree)
    return Excess(value[:sites], *(a.astype(np.float32) for a in parts))


def _held(share: NDArray[np.float64], most: float) -> NDArray[np.float64]:
    """Return shares with none above ``most``, what is cut off spread over the others."""
    for _ in range(len(share)):
        over = share > most + 1e-12
        if not over.any() or over.all():
            break
        free = 1.0 - most * over.sum()
        share = np.where(over, most, share * free / share[~over].sum())
    return share


def _nearest(s: int, owner: NDArray[np.object_], place: NDArray[np.float64], sites: int, most: int) -> list[int]:
    """Return rows that may speak for site ``s``: the nearest sites of other enterprises, and all public stations."""
    other = np.flatnonzero((owner != owner[s]) | (owner == ""))
    other = other[other != s]
    if not len(other):
        return []
    far = np.hypot((place[other, 0] - place[s, 0]) * np.cos(np.radians(np.nan_to_num(place[s, 1]))), place[other, 1] - place[s, 1])
    far = np.where(np.isfinite(far), far, 1e9)
    near = other[np.lexsort((other, far))]
    own, public = near[near < sites][:most], near[near >= sites][:most]
    return [int(q) for q in np.r_[own, public]]
