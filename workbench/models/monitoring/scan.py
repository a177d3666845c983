"""Search for the window whose daily scores depart from the point's own past: lengths in a ladder, one pass each."""

from __future__ import annotations

import warnings

import numpy as np

from workbench.models.monitoring.order_statistics import lower_quartile, middle

__all__ = ["LADDER", "best_windows", "middle", "normal_nats", "own_scores", "rolling_centre", "spread_of", "standardised", "tail_nats"]
LADDER = (1, 2, 3, 5, 7, 10, 14, 21, 30)
"""Window lengths tried, in days."""


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
    # long windows over one episode are most of a point's windows: the lower quartile of |z| still belongs to the honest ones
    own = lower_quartile(np.abs(z)) / 0.3186
    spread = np.where(np.isfinite(own), own, np.nan)
    for g in np.unique(group):
        members = np.flatnonzero(group == g)
        known = spread[members][np.isfinite(spread[members])]
        if known.size:
            spread[members] = np.fmax(spread[members], np.median(known))
    return np.asarray(z / np.maximum(np.nan_to_num(spread, nan=floor), floor)[:, None])


def best_windows(
    z: np.ndarray, group: np.ndarray, limit: float, ladder: tuple[int, ...] = LADDER, beside: int = 0
) -> list[tuple[int, int, int, float]]:
    """Return (row, first day, last day + 1, nats) of the disjoint windows that honest days hardly reach.

    Parameters
    ----------
    z : array, shape (point, day)
        Daily scores, about standard normal under honest operation, high is suspicious; NaN where not evaluable.
    group : int array, shape (point,)
        Peer group of each point.
    limit : float
        Smallest −ln p of a window under the tail measured over all windows of its length.

    beside : int
        Days before and after a window that it is compared with; 0: with nothing. Edits begin and end from one day to the next, so
        the days beside them tell more than the season.

    Notes
    -----
    The score of a window of W days is Σz/√n over its n evaluable days, standardised over the point's and its peers' windows of the
    same length, which takes care of autocorrelation. Its tail over all points falls off exponentially from the 95 % point on, at a
    rate set by the median excess, which true hits hardly move; that turns scores of different lengths into comparable nats.
    Windows are taken greedily, best first.
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
        if beside:
            score = score - np.sqrt(np.maximum(c, 1.0)) * _beside(total, count, width, min(beside, max(width, 3)))
        nats = tail_nats(standardised(score, group))
        rows, starts = np.nonzero(np.nan_to_num(nats, nan=-1.0) >= limit)
        found += [(float(nats[r, a]), int(r), int(a), int(a + width)) for r, a in zip(rows, starts, strict=True)]
    found.sort(key=lambda f: (-f[0], f[1], f[2], f[3]))
    taken = np.zeros((n, days + 1), dtype=bool)
    out = []
    for nats_, r, a, b in found:
        if not taken[r, max(0, a - 1) : b + 1].any():
            taken[r, a:b] = True
            out.append((r, a, b, nats_))
    return sorted(out)


def _beside(total: np.ndarray, count: np.ndarray, width: int, k: int) -> np.ndarray:
    """Return the mean score of the k days before and after every window, sides weighted alike; NaN where neither is known."""
    days = total.shape[1] - 1
    start = np.arange(days - width + 1)
    sides = []
    for lo, hi in ((np.maximum(start - k, 0), start), (start + width, np.minimum(start + width + k, days))):
        n = count[:, hi] - count[:, lo]
        sides.append(np.where(n >= 2, (total[:, hi] - total[:, lo]) / np.maximum(n, 1), np.nan))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        return np.asarray(np.nanmean(np.stack(sides), axis=0))


def tail_nats(score: np.ndarray, share: float = 0.05) -> np.ndarray:
    """Return −ln p of scores under an exponential tail from the 95 % point on, but never more than the normal tail claims."""
    finite = score[np.isfinite(score)]
    known = np.flatnonzero(np.isfinite(score).any(axis=1))
    if known.size >= 2:
        # one strong hit fills the tail of a small district: the tenth of the points with the highest peaks does not set it
        peak = np.nanmax(score[known], axis=1)
        quiet = known[np.argsort(peak, kind="stable")[: known.size - -(-known.size // 10)]]
        finite = score[quiet][np.isfinite(score[quiet])]
    if finite.size < 40:
        return np.where(np.isfinite(score), normal_nats(score), np.nan)
    edge = float(np.quantile(finite, 1 - share))
    excess = finite[finite > edge] - edge
    rate = np.log(2) / max(float(np.median(excess)) if excess.size else 0.0, 0.1)
    measured = np.where(score > edge, -np.log(share) + rate * (score - edge), 0.0)
    return np.where(np.isfinite(score), np.minimum(measured, normal_nats(score)), np.nan)


def normal_nats(score: np.ndarray) -> np.ndarray:
    """Return −ln P(Z > score) by the Mills ratio, 0 for scores under 0.5."""
    s = np.maximum(np.nan_to_num(score), 0.5)
    return np.where(np.nan_to_num(score) > 0.5, 0.5 * s**2 + np.log(s * np.sqrt(2 * np.pi)), 0.0)


def rolling_centre(x: np.ndarray, half: int = 45) -> np.ndarray:
    """Return the median of each row over the days within ``half``, shape as ``x``; NaN days are left out."""
    _n, days = x.shape
    out = np.empty_like(x, dtype=float)
    for d in range(0, days, 5):
        lo, hi = max(0, d + 2 - half), min(days, d + 3 + half)
        out[:, d : d + 5] = middle(x[:, lo:hi])[:, None]
    return out


def own_scores(x: np.ndarray, group: np.ndarray, half: int = 45) -> np.ndarray:
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
