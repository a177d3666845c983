"""Minutes and episodes of treatment off or idling while production runs."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from workbench.models.energy_tax.pairing import Pair
from workbench.models.energy_tax.states import State


@dataclass(frozen=True)
class Episode:
    """A span, in grid steps ``[start, stop)``, and how much of it the treatment was off or idling while producing."""

    start: int
    stop: int
    steps_off: int
    steps_idle: int

    @property
    def steps(self) -> int:
        """Steps of treatment off or idling inside the span."""
        return self.steps_off + self.steps_idle


def off_while_on(production: NDArray[np.int8], treatment: NDArray[np.int8], grace_steps: int) -> NDArray[np.bool_]:
    """Return where production runs and the treatment does not, less the grace after each production start.

    Unknown states are never counted: what did not arrive is not evaluable.
    """
    running = production == State.ON
    off = running & (treatment == State.OFF)
    if grace_steps > 0 and len(production):
        up = production >= State.IDLE  # coming back from idle to full is no start
        edge = np.flatnonzero(up & ~np.r_[False, up[:-1]])
        delta = np.zeros(len(production) + 1, np.int32)
        np.add.at(delta, edge, 1)
        np.add.at(delta, np.minimum(edge + grace_steps, len(production)), -1)
        off &= np.cumsum(delta)[:-1] == 0
    return np.asarray(off, bool)


def idle_while_on(
    powers: NDArray[np.float32], states: NDArray[np.int8], pair: Pair, *, share_max: float, typical: float, smooth_steps: int
) -> NDArray[np.bool_]:
    """Return where the treatment runs far under what production asks of it.

    Parameters
    ----------
    powers, states : arrays, shape (meter, time)
    pair : Pair
        Its ``level_ratio`` and ``level_slope`` give the expected treatment power from production power.
    share_max : float
        Idling is running at or under this share of the expected power (fan power goes with the cube of the flow).
    typical : float
        Median running power of the treatment, kW; idling must be under ``share_max`` of this too, so that a treatment
        that always follows production closely is not called idle for a peak of production.
    smooth_steps : int
        Window of the running mean that must stay low, steps.
    """
    p, t = pair.production, pair.treatment
    both = (states[p] == State.ON) & (states[t] >= State.IDLE)
    if not np.isfinite(pair.level_ratio) or not np.isfinite(typical):
        return np.zeros(powers.shape[1], bool)
    share = np.where(both, share_of_expected(powers, pair, typical), np.nan)
    low = both & (_running_mean(share, smooth_steps) <= share_max) & (share <= 1.3 * share_max)
    return np.asarray(low, bool)


def share_of_expected(powers: NDArray[np.float32], pair: Pair, typical: float) -> NDArray[np.float64]:
    """Return treatment power over what production asks of it, at most its typical running power; shape (time,)."""
    with np.errstate(divide="ignore", invalid="ignore"):
        expected = 10.0 ** (pair.level_ratio + pair.level_slope * np.log10(np.maximum(powers[pair.production].astype(float), 1e-3)))
        return np.asarray(powers[pair.treatment] / np.minimum(expected, typical), dtype=float)


def _running_mean(x: NDArray[np.floating], window: int) -> NDArray[np.floating]:
    good = np.isfinite(x)
    kernel = np.ones(max(window, 1))
    total = np.convolve(np.where(good, x, 0.0), kernel, mode="same")
    count = np.convolve(good.astype(float), kernel, mode="same")
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(count > 0, total / count, np.nan)


def episodes_of(off: NDArray[np.bool_], idle: NDArray[np.bool_], *, join_steps: int, steps_min: int) -> list[Episode]:
    """Join neighbouring spans and drop the short ones.

    Parameters
    ----------
    off, idle : bool arrays, shape (time,)
    join_steps : int
        Spans closer than this are one episode.
    steps_min : int
        Episodes with fewer steps of off or idle are dropped.
    """
    hit = np.flatnonzero(off | idle)
    if not len(hit):
        return []
    cut = np.flatnonzero(np.diff(hit) > max(join_steps, 1)) + 1
    found = []
    for block in np.split(hit, cut):
        a, b = int(block[0]), int(block[-1]) + 1
        episode = Episode(a, b, int(off[a:b].sum()), int((idle[a:b] & ~off[a:b]).sum()))
        if episode.steps >= steps_min:
            found.append(episode)
    return found
