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
) -> list[Pair]:
    """Pair the meters of one enterprise.

    Parameters
    ----------
    powers, states : arrays, shape (meter, time)
        Power in kW and :class:`State`.
    production, treatment : list of int
        Rows by role.
    reach, tolerance, starts_min : int
        See :func:`start_lag`; fewer starts than ``starts_min`` leave the agreement NaN and the pair rests on overlap.

    Returns
    -------
    list of Pair
        The best treatment of each production meter; empty where a role is missing.
    """
    pairs = []
    for p in production:
        candidates = [_pair(powers, states, p, t, reach, tolerance, starts_min) for t in treatment]
        if candidates:
            pairs.append(max(candidates, key=lambda c: (np.nan_to_num(c.agreement, nan=0.0) + c.overlap, -c.treatment)))
    return pairs


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
