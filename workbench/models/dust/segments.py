"""Runs of excess: all maximal segments of a series of log-likelihood ratios, in linear time.

Ruzzo and Tompa (1999): the disjoint segments whose every start and end raises their sum most. Of a series under the
null, scores fall off as exp(−s); what a catalog's own honest runs do is measured (:mod:`~workbench.models.dust.null`).
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numba
import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Run:
    """One run of one site: positions ``[start, stop)`` on the scanned grid, and its score (nat)."""

    site: int
    start: int
    stop: int
    score: float


@numba.njit(cache=True, nogil=True)
def maximal_segments(x: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:  # pragma: no cover - compiled
    """Return starts, stops and sums of all maximal scoring segments of ``x`` (float, no NaN)."""
    n = len(x)
    left, right = np.empty(n + 1, np.int64), np.empty(n + 1, np.int64)
    before, after = np.empty(n + 1), np.empty(n + 1)
    k, total = 0, 0.0
    for i in range(n):
        previous = total
        total += x[i]
        if x[i] <= 0:
            continue
        a, low, high = i, previous, total
        while True:
            j = k - 1
            while j >= 0 and before[j] >= low:
                j -= 1
            if j < 0 or after[j] >= high:
                break
            a, low = left[j], before[j]
            k = j
        left[k], right[k], before[k], after[k] = a, i + 1, low, high
        k += 1
    return left[:k].copy(), right[:k].copy(), after[:k] - before[:k]


def likelihood_ratio(z: NDArray[np.floating], *, shift: float, memory: float, z_low: float, z_high: float) -> NDArray[np.float64]:
    """Return the log-likelihood ratio of a shift against none, per step; a missing step counts a little against."""
    x = (shift * np.clip(z, z_low, z_high) - 0.5 * shift**2) / memory
    return np.where(np.isfinite(x), x, -0.05 * shift**2 / memory)


def runs_of(llr: NDArray[np.float64], *, score_min: float, longest: int) -> list[Run]:
    """Return the runs of all sites with at least ``score_min``; longer ones are cut into pieces of ``longest`` steps."""
    found = []
    for s, x in enumerate(llr):
        for a, b, score in zip(*maximal_segments(x), strict=True):
            if score < score_min:
                continue
            pieces = int(np.ceil((b - a) / longest))
            edges = np.linspace(a, b, pieces + 1).round().astype(int)
            for lo, hi in pairwise(edges):
                part = float(score) if pieces == 1 else float(x[lo:hi].sum())
                if part >= score_min:
                    found.append(Run(s, int(lo), int(hi), part))
    return found


def daily(z: NDArray[np.float32], chosen: NDArray[np.bool_], *, hours_min: float, z_low: float, z_high: float) -> NDArray[np.float64]:
    """Return the mean clipped z of the chosen hours of each whole day, standardised by the site's own days.

    Parameters
    ----------
    z : float32 array, shape (site, hour)
        From midnight on.
    chosen : bool array, shape (hour,)

    Returns
    -------
    float array, shape (site, day)
        NaN where fewer than ``hours_min`` hours are known.
    """
    sites, hours = z.shape
    days = -(-hours // 24)
    padded = np.full((sites, days * 24), np.nan)
    padded[:, :hours] = np.where(chosen, np.clip(z, z_low, z_high), np.nan)
    cube = padded.reshape(sites, days, 24)
    count = np.isfinite(cube).sum(axis=2)
    with np.errstate(invalid="ignore", divide="ignore"):
        mean = np.where(count >= hours_min, np.nansum(cube, axis=2) / count, np.nan)
    known = np.isfinite(mean)
    if not known.any():
        return mean
    centre = np.array([np.median(m[k]) if k.any() else 0.0 for m, k in zip(mean, known, strict=True)])
    away = np.abs(mean - np.minimum(centre, 0.5)[:, None])
    pooled = max(1.4826 * float(np.median(away[known])), 1e-3)
    own = np.array([1.4826 * np.median(a[k]) if k.sum() >= 10 else pooled for a, k in zip(away, known, strict=True)])
    scale = np.sqrt(np.maximum(own, pooled) * pooled)
    return np.asarray((mean - np.minimum(centre, 0.5)[:, None]) / scale[:, None])
