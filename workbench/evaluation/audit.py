"""The random half of 双随机 (draw at random whom to inspect, and who inspects), weighted by probability.

A uniform draw of 60 says nothing about recall where violations are rare. Here the chance of a unit grows with the
square root of its probability of violation, above a floor that keeps every unit in reach; the chance is returned
with the draw, so that doubly robust estimates can undo it.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from workbench.contracts import ParameterError

FLOOR_SHARE = 0.2


def inclusion_probabilities(p: np.ndarray, n: int, floor_share: float = FLOOR_SHARE) -> np.ndarray:
    """Return π with Σπ = n: a floor equal for all, the rest ∝ √p, none above 1.

    Parameters
    ----------
    p : float array
        Probability of violation of each unit, 0 to 1; NaN counts as the median of the others.
    n : int
        Number of units to draw.
    floor_share : float
        Share of the draw that is spread evenly.

    Raises
    ------
    ParameterError
        If ``n`` is not between 1 and the number of units, or a probability is out of range.
    """
    p = np.asarray(p, dtype=float)
    if not 1 <= n <= len(p):
        raise ParameterError("cannot draw this many", got=n, allowed=f"1 to {len(p)}")
    if not 0 < floor_share <= 1:
        raise ParameterError("the evenly spread share keeps every unit in reach", got=floor_share, allowed="above 0, at most 1")
    known = p[np.isfinite(p)]
    if known.size and (known.min() < 0 or known.max() > 1):
        raise ParameterError("a probability is out of range", got=[float(known.min()), float(known.max())], allowed="0 to 1")
    root = np.sqrt(np.where(np.isfinite(p), p, np.median(known) if known.size else 0.0))
    by_root = root / root.sum() if root.sum() > 0 else np.full(len(p), 1 / len(p))
    size = floor_share / len(p) + (1 - floor_share) * by_root
    certain = np.zeros(len(p), dtype=bool)
    while True:  # a unit that would pass 1 is taken for certain, and its surplus goes to the others
        rest = n - certain.sum()
        pi = np.where(certain, 1.0, rest * size / max(size[~certain].sum(), 1e-300))
        over = (pi > 1) & ~certain
        if not over.any():
            return pi
        certain |= over


def draw(units: pd.DataFrame, n: int, *, seed: int, floor_share: float = FLOOR_SHARE) -> pd.DataFrame:
    """Draw exactly ``n`` units, each with its stated probability (systematic sampling in random order, Madow 1949).

    Parameters
    ----------
    units : DataFrame
        ``enterprise_id`` and ``p`` (probability of violation).

    Returns
    -------
    DataFrame
        All units with ``selection_probability`` and ``drawn``; log the probability of those not drawn as well.
    """
    pi = inclusion_probabilities(units["p"].to_numpy(float), n, floor_share)
    rng = np.random.default_rng(seed)
    order = rng.permutation(len(pi))
    ends = np.cumsum(pi[order])
    ends[-1] = n  # rounding must not lose the last unit
    hits = np.searchsorted(ends, rng.random() + np.arange(n), side="right")
    drawn = np.zeros(len(pi), dtype=bool)
    drawn[order[np.minimum(hits, len(pi) - 1)]] = True
    return units.assign(selection_probability=pi, drawn=drawn)
