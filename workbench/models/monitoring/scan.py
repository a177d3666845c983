"""Search for the window whose daily scores depart from the point's own past: lengths in a ladder, one pass each."""

from __future__ import annotations

import warnings

import numpy as np

__all__ = ["LADDER", "best_windows", "middle", "own_scores", "rolling_centre", "spread_of", "standardised"]
LADDER = (1, 2, 3, 5, 7, 10, 14, 21, 30)
"""Window lengths tried, in days."""


def middle(x: np.ndarray, axis: int = 1) -> np.ndarray:
    """Return the median along an axis, NaN left out; NaN where nothing is left."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        return np.asarray(np.nanmedian(x, axis=axis))


def spread_of(x: np.ndarray) -> np.ndarray:
    """Return the robust standard deviation of each row about its median."""
    return np.asarray(1.4826 * middle(np.abs(x - middle(x)[:, None])))


def standardised(z: np.ndarray, group: np.ndarray, floor: float = 1.0) -> np.ndarray:
    """Return window scores divided by the larger of the point's own and its peers' robust spread, and ``floor``.

    Parameters
    ----------
    z : array, shape (point, window)
    group : int array, shape (point,)
        Peer group of each point.
    """
    own = 1.4826 * middle(np.abs(z))
    spread = np.where(np.isfinite(own), own, np.nan)
    for g in np.unique(group):
        members = np.flatnonzero(group == g)
        known = spread[members][np.isfinite(spread[members])]
        if known.size:
            spread[members] = np.fmax(spread[members], np.median(known))
    return np.asarray(z / np.maximum(np.nan_to_num(spread, nan=floor), floor)[:, None])


def best_windows(z: np.ndarray, group: np.ndarray, limit: float, ladder: tuple[int, ...] = LADDER) -> list[tuple[int, int, int, float]]:
    """Return (row, first day, last day + 1, score) of the disjoint windows with the highest score over ``limit``.

    Parameters
    ----------
    z : array, shape (point, day)
        Daily scores, about standard normal under honest operation, high is suspicious; NaN where not evaluable.
    limit : float
        Smallest standardised window score.

    Notes
    -----
    The score of a window of W days is Σz/√n over its n evaluable days, standardised over the point's and its peers' windows
    of the same length, which takes care of autocorrelation. Windows are taken greedily, best first.
    """
    n, days = z.shape
    ok = np.isfinite(z)
    total = np.cumsum(np.pad(np.nan_to_num(np.clip(z, -8, 8)), ((0, 0), (1, 0))), axis=1)
    count = np.cumsum(np.pad(ok.astype(float), ((0, 0), (1, 0))), axis=1)
    found: list[tuple[float, int, int, int]] = []
    for width in ladder:
        if width > days:
            break
        s = total[:, width:] - total[:, :-width]
        c = count[:, width:] - count[:, :-width]
        score = np.where(c >= max(1.0, 0.5 * width), s / np.sqrt(np.maximum(c, 1.0)), np.nan)
        score = standardised(score, group)
        rows, starts = np.nonzero(np.nan_to_num(score, nan=-1.0) >= limit)
        found += [(float(score[r, a]), int(r), int(a), int(a + width)) for r, a in zip(rows, starts, strict=True)]
    found.sort(key=lambda f: (-f[0], f[1], f[2], f[3]))
    taken = np.zeros((n, days + 1), dtype=bool)
    out = []
    for score_, r, a, b in found:
        if not taken[r, max(0, a - 1) : b + 1].any():
            taken[r, a:b] = True
            out.append((r, a, b, score_))
    return sorted(out)


def rolling_centre(x: np.ndarray, half: int = 30) -> np.ndarray:
    """Return the median of each row over the days within ``half``, shape as ``x``; NaN days are left out."""
    _n, days = x.shape
    out = np.empty_like(x, dtype=float)
    for d in range(0, days, 5):
        lo, hi = max(0, d + 2 - half), min(days, d + 3 + half)
        out[:, d : d + 5] = middle(x[:, lo:hi])[:, None]
    return out


def own_scores(x: np.ndarray, group: np.ndarray, half: int = 30) -> np.ndarray:
    """Return daily departures from the point's own surroundings in robust standard deviations (own and peers', the larger)."""
    departure = x - rolling_centre(x, half)
    own = 1.4826 * middle(np.abs(departure))
    spread = np.where(np.isfinite(own) & (own > 0), own, np.nan)
    for g in np.unique(group):
        members = np.flatnonzero(group == g)
        known = spread[members][np.isfinite(spread[members])]
        if known.size:
            spread[members] = np.fmax(spread[members], 0.5 * np.median(known))
    return np.asarray(departure / spread[:, None])
