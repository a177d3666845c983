"""Why a lead stands where it stands: exact Shapley values over its channels, on the log-odds.

``v(S)`` is the log-odds of a violation at the lead's peak hour, from the channels in ``S`` alone over the days around
it; absent channels are *not installed*. All ``2^n`` sets are enumerated, so the values sum to ``v(all) - v(none)``
exactly; they are not sampled.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import factorial

import numpy as np

from workbench.contracts import NOT_INSTALLED
from workbench.cross.fusion import Fused, masks
from workbench.cross.patterns import PatternCounter
from workbench.cross.regimes import smooth
from workbench.cross.scoring import factors, regime_log_like

AROUND = 168
"""Hours on each side of the peak that are looked at."""
PLAYERS = 7
"""Channels explained one by one; the rest, each of which moves the log-odds less than any of these, are one more player."""


@dataclass(frozen=True)
class Explanation:
    """Shapley values of one lead.

    Parameters
    ----------
    base : float
        Log-odds with no channel.
    total : float
        Log-odds with all.
    players : tuple of tuple of int
        Channel numbers of each player.
    values : float array
        Shapley value of each player; sums to ``total - base``.
    alone_out : float array
        Δ log-odds when the player alone is left out.
    """

    base: float
    total: float
    players: tuple[tuple[int, ...], ...]
    values: np.ndarray
    alone_out: np.ndarray


def local_logits(fused: Fused, row: int, peak: int, sets: Sequence[Sequence[int]] | None, quantity: int = 0) -> np.ndarray:
    """Return the log-odds at the peak for each set of channels (None: all of them)."""
    a, b = max(0, peak - AROUND), min(fused.evidence.shape[1], peak + AROUND + 1)
    local, index = np.unique(fused.index[row, a:b], return_inverse=True)
    rows = fused.patterns[local]
    if sets is None:
        like = fused.log_like[local]
        pattern = index[None, :].astype(np.int32)
    else:
        keep = np.zeros((len(sets), rows.shape[1]), dtype=bool)
        for i, members in enumerate(sets):
            keep[i, list(members)] = True
        stacked = np.where(keep[:, None, :], rows[None], np.int8(NOT_INSTALLED)).reshape(-1, rows.shape[1])
        counter = PatternCounter(rows.shape[1])
        inverse = counter.add(stacked).reshape(len(sets), len(rows))
        f = factors(fused.evidence.channels, counter.rows, fused.reliability.emissions)
        like = regime_log_like(f, fused.reliability.regime.state_given_regime)
        pattern = inverse[:, index].astype(np.int32)
    prior = np.repeat(fused.prior(row)[None], len(pattern), axis=0)
    wanted = masks()[quantity : quantity + 1]
    both = np.concatenate([wanted, ~wanted])
    p = smooth(np.ascontiguousarray(pattern), like, prior, fused.reliability.regime.hazard, both)[:, :, peak - a].astype(float)
    return np.asarray(np.log(np.maximum(p[0], 1e-9)) - np.log(np.maximum(p[1], 1e-9)))


def explain(
    fused: Fused, row: int, peak: int, *, players: int = PLAYERS, quantity: int = 0, among: Sequence[int] | None = None
) -> Explanation:
    """Return the exact Shapley values at one enterprise's peak hour.

    Parameters
    ----------
    fused : Fused
    row, peak : int
        Enterprise and hour.
    players : int
        Channels explained one by one.
    quantity : int
        Which of :data:`workbench.cross.fusion.QUANTITIES` is explained.
    among : sequence of int, optional
        Channels that take part (default all).
    """
    a, b = max(0, peak - AROUND), min(fused.evidence.shape[1], peak + AROUND + 1)
    seen = (fused.patterns[np.unique(fused.index[row, a:b])] >= 0).any(0)
    active = [int(k) for k in np.flatnonzero(seen) if among is None or int(k) in among]
    singles = local_logits(
        fused, row, peak, [[], active, *([k for k in active if k != j] for j in active), *([j] for j in active)], quantity
    )
    n = len(active)
    moves = np.maximum(np.abs(singles[1] - singles[2 : 2 + n]), np.abs(singles[2 + n :] - singles[0]))
    order = [active[i] for i in np.lexsort((active, -moves))]
    chosen = [(k,) for k in sorted(order[:players])]
    if rest := tuple(sorted(order[players:])):
        chosen.append(rest)
    m = len(chosen)
    sets = [[k for i in range(m) if code >> i & 1 for k in chosen[i]] for code in range(1 << m)]
    v = local_logits(fused, row, peak, sets, quantity) if m else singles[:1]
    return Explanation(float(v[0]), float(v[-1]), tuple(chosen), shapley(v), v[-1] - v[[(1 << m) - 1 - (1 << i) for i in range(m)]])


def shapley(v: np.ndarray) -> np.ndarray:
    """Return the Shapley values of a game given by ``v`` over bit-coded sets, shape (2^n,).

    Examples
    --------
    >>> import numpy as np
    >>> shapley(np.array([0.0, 1.0, 2.0, 5.0])).tolist()
    [2.0, 3.0]
    """
    n = len(v).bit_length() - 1
    codes = np.arange(1 << n)
    size = np.array([int(c).bit_count() for c in codes])
    weight = np.array([factorial(k) * factorial(n - k - 1) / factorial(n) for k in range(n)]) if n else np.zeros(0)
    out = np.zeros(n)
    for i in range(n):
        without = codes[(codes >> i & 1) == 0]
        out[i] = float((weight[size[without]] * (v[without | 1 << i] - v[without])).sum())
    return out
