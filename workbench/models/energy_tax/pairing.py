"""Which treatment serves which production, and how long after production starts the treatment may start.

Learned per enterprise from edges of the meters' states, not from a plan: for every pair the start lag is the mode of
the lags between production starts and the nearest treatment starts, and the pair holds where most starts agree.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from workbench.models.energy_tax.states import State


@dataclass(frozen=True)
class Pair:
    """A production meter and the treatment meter that serves it.

    Parameters
    ----------
    production, treatment : int
        Row indices of the two meters.
    lag_steps : int
        Typical treatment start after production start (negative: before), grid steps.
    agreement : float
        Share of production starts with a treatment start within the tolerance of that lag; NaN for too few starts.
    overlap : float
        Share of production hours with the treatment running, over the whole history.
    starts : int
        Production starts the pair rests on.
    level_ratio : float
        Median of log10(treatment / production power) while both run; NaN where they never do.
    level_slope : float
        Robust slope of log10 treatment on log10 production power while both run; 0 where production hardly varies.
    """

    production: int
    treatment: int
    lag_steps: int
    agreement: float
    overlap: float
    starts: int
    level_ratio: float
    level_slope: float


def starts_of(states: NDArray[np.int8]) -> NDArray[np.int64]:
    """Return the indices at which a meter goes from off to running; a gap before it makes no start."""
    before, after = states[:-1], states[1:]
    return np.flatnonzero((before == State.OFF) & (after >= State.IDLE)) + 1


def start_lag(production: NDArray[np.int64], treatment: NDArray[np.int64], reach: int, tolerance: int) -> tuple[int, float]:
    """Return the modal lag of treatment starts after production starts, and the share of starts that agree.

    Parameters
    ----------
    production, treatment : int arrays
        Start indices, ascending.
    reach : int
        Largest lag looked at either way, steps.
    tolerance : int
        Starts within this of the modal lag agree, steps.
    """
    if not len(production) or not len(treatment):
        return 0, float("nan")
    at = np.searchsorted(treatment, production)
    left = treatment[np.clip(at - 1, 0, len(treatment) - 1)] - production
    right = treatment[np.clip(at, 0, len(treatment) - 1)] - production
    nearest = np.where(np.abs(left) < np.abs(right), left, right)
    near = nearest[np.abs(nearest) <= reach]
    if not len(near):
        return 0, 0.0
    counts = np.bincount(near + reach, minlength=2 * reach + 1).astype(float)
    smooth = np.convolve(counts, np.ones(2 * tolerance + 1), mode="same")
    lag = int(np.argmax(smooth + 1e-6 * -np.abs(np.arange(-reach, reach + 1)))) - reach
    return lag, float((np.abs(nearest - lag) <= tolerance).mean())


def pair_up(
    powers: NDArray[np.float32],
    states: NDArray[np.int8],
    production: list[int],
    treatment: list[int],
    *,
    reach: int,
    tolerance: int,
    starts_min: int,
    weak: float,
) -> list[Pair]:
    """Pair the meters of one enterprise.

    Every production meter takes its best treatment and every treatment its best production, so that a second facility
    is watched too. Pairs far weaker than the best one are left out: a compressor house that no treatment follows.

    Parameters
    ----------
    powers, states : arrays, shape (meter, time)
        Power in kW and :class:`State`.
    production, treatment : list of int
        Rows by role.
    reach, tolerance, starts_min : int
        See :func:`start_lag`; fewer starts than ``starts_min`` leave the agreement NaN and the pair rests on overlap.
    weak : float
        A pair is left out when its strength is under this share of the best pair's.

    Returns
    -------
    list of Pair
        Ordered by row; empty where a role is missing.
    """
    all_pairs = {(p, t): _pair(powers, states, p, t, reach, tolerance, starts_min) for p in production for t in treatment}
    all_pairs = {k: v for k, v in all_pairs.items() if np.isfinite(v.overlap)}
    if not all_pairs:
        return []
    chosen = set()
    for p in production:
        mine = [k for k in all_pairs if k[0] == p]
        chosen |= {max(mine, key=lambda k: (strength(all_pairs[k]), -k[1]))} if mine else set()
    for t in treatment:
        mine = [k for k in all_pairs if k[1] == t]
        chosen |= {max(mine, key=lambda k: (strength(all_pairs[k]), -k[0]))} if mine else set()
    best = max(strength(all_pairs[k]) for k in chosen)
    return [all_pairs[k] for k in sorted(chosen) if strength(all_pairs[k]) >= weak * best]


def strength(pair: Pair) -> float:
    """Return how well a treatment follows a production, 0 to 1: overlap, with the agreement of starts where known."""
    return pair.overlap if not np.isfinite(pair.agreement) else 0.5 * (pair.overlap + pair.agreement)


def alternating(states: NDArray[np.int8], producing: NDArray[np.bool_], treatment: list[int], *, both_max: float, union_min: float) -> bool:
    """Return whether treatment meters take turns (duty and reserve fan): rarely both, nearly always one, while producing."""
    if len(treatment) < 2:
        return False
    known = producing & (states[treatment] >= State.OFF).all(axis=0)
    if not known.any():
        return False
    running = (states[treatment] >= State.IDLE)[:, known]
    each = running.mean(axis=1)
    return bool((running.sum(axis=0) >= 2).mean() <= both_max and running.any(axis=0).mean() >= union_min and each.min() >= 0.1)


def _pair(powers: NDArray[np.float32], states: NDArray[np.int8], p: int, t: int, reach: int, tolerance: int, starts_min: int) -> Pair:
    starts = starts_of(states[p])
    lag, agreement = start_lag(starts, starts_of(states[t]), reach, tolerance)
    known = (states[p] == State.ON) & (states[t] >= State.OFF)
    both = known & (states[t] >= State.IDLE)
    overlap = float(both.sum() / known.sum()) if known.any() else float("nan")
    ratio, slope = float("nan"), 0.0
    if both.sum() >= 50:
        x, y = np.log10(np.maximum(powers[p, both], 1e-3)), np.log10(np.maximum(powers[t, both], 1e-3))
        slope = _robust_slope(x, y)
        ratio = float(np.median(y - slope * x))
    few = len(starts) < starts_min
    return Pair(p, t, 0 if few else lag, float("nan") if few else agreement, overlap, len(starts), ratio, slope)


def _robust_slope(x: NDArray[np.floating], y: NDArray[np.floating]) -> float:
    """Return the slope through the medians of the outer thirds of x (Brown-Mood); 0 where x hardly varies."""
    low, high = np.quantile(x, [1 / 3, 2 / 3])
    a, b = x <= low, x >= high
    spread = float(np.median(x[b]) - np.median(x[a]))
    if spread < 0.03:
        return 0.0
    return float(np.clip((np.median(y[b]) - np.median(y[a])) / spread, 0.0, 3.0))
