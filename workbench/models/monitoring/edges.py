"""Edits of the scale by their edges: a factor is switched on in one hour and off in another, what emission or weather do is gradual.

Every hour is predicted one step ahead, from the two readings before it and from the related channels now and an hour ago. Taking a
factor off a span moves the prediction errors by the same amount at its first hour, up again at the hour after its last, and a little
in between. The gain of "readings times exp(−d) from hour a to hour b" over "as usual" is summed from these (heavy tails: Student's t),
the best a for every b found in one pass per size. Hours in between follow one another and count for less (effective number).

The null needs no model: honest series rise as abruptly as they fall, but nobody edits upwards. The same search on the mirrored errors says
what a row reaches by itself.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from numba import njit

from workbench.contracts import threads
from workbench.models.monitoring.expectation import MIN_HOURS, Surroundings, clipped_ridge, noise_by_level, predictors_of

SIZES = (0.12, 0.2, 0.3, 0.4, 0.5, 0.65, 0.85, 1.1)
"""Sizes of the step that are tried, log units."""
SHORTEST, LONGEST = 72, 1100
"""Lengths that are tried, hours."""
FREEDOM = 3.0
"""Degrees of freedom of the prediction errors."""
WINDOW, FEWEST, MOST = 240, 0.2, 1.0
"""Hours over which errors are summed to learn how many of them count as one, the least that one is let count for, and the most that an
hour between the edges may say, nats."""
FLOOR, TIED = 0.05, 0.02
"""Readings no higher than this quantile, where so many readings share it, stand at the detection floor and say nothing."""
LEAST = 4.0
"""Smallest gain of a span that is kept, nats."""
PENALTY, ROUNDS = 1e-3, 4
MIRRORED = 4
"""Which of the mirrored spans of a row, per year, stands for what it reaches by itself: none of a few odd ones."""


@dataclass(frozen=True)
class Ahead:
    """One-step predictions, kept when readings of a row are edited.

    Parameters
    ----------
    others : float32 array, shape (row, hour)
        Part of the prediction that the related channels and the constant give; NaN where not known.
    own : float array, shape (row, 2)
        Weights of the readings one and two hours ago.
    spread : float32 array, shape (row, hour)
        Robust spread of the errors at the predicted level.
    effective : float array, shape (row,)
        How many independent errors one error counts for: sums of errors that hang together scatter more than they should.
    floor : float array, shape (row,)
        Transformed reading that stands at the detection floor.
    """

    others: np.ndarray
    own: np.ndarray
    spread: np.ndarray
    effective: np.ndarray
    floor: np.ndarray


@dataclass(frozen=True)
class Edited:
    """One span that a factor explains.

    Parameters
    ----------
    first, last : int
        Hours, last not included.
    nats : float
        Gain over "as usual", edges and comb together.
    size : float
        Log factor.
    comb : float
        Part of it that the comb of rounded readings tells (:mod:`workbench.models.monitoring.combs`), less the logarithm of the factors
        tried; 0 where it tells nothing or was not asked.
    """

    first: int
    last: int
    nats: float
    size: float
    comb: float = 0.0

    @property
    def edges(self) -> float:
        """Part of the gain that the edges tell."""
        return self.nats - self.comb


def predict_ahead(panel: Surroundings, rows: np.ndarray) -> Ahead:
    """Fit the one-step prediction of ``rows`` (source: their own past and their related channels)."""
    z, _ = panel.transformed
    unit, known = panel.standardised
    others = np.full(z.shape, np.nan, np.float32)
    spread = np.full(z.shape, np.nan, np.float32)
    own = np.zeros((len(z), 2))
    effective, floor = np.ones(len(z)), np.full(len(z), -np.inf)

    def fill(row: int) -> None:
        chosen = predictors_of(panel, row)
        y = np.where(panel.running[row], z[row], np.nan).astype(float)
        one, two = _before(y)
        x = unit[chosen]
        beside = known[chosen].mean(axis=0) >= 0.5 if len(chosen) else np.ones(y.shape, dtype=bool)
        use = np.isfinite(y) & np.isfinite(one) & beside
        design = np.concatenate([np.ones((1, y.size), np.float32), x, np.c_[x[:, :1], x[:, :-1]]])
        if use.sum() < max(MIN_HOURS, 8 * len(design)):
            return
        a = np.concatenate([one[None, use], two[None, use], design[:, use]])
        beta = _robust(a, y[use])
        own[row] = beta[:2]
        rest = beta[2:] @ design
        others[row] = np.where(beside, rest, np.nan)
        predicted = np.where(use, rest + beta[0] * np.nan_to_num(one) + beta[1] * np.nan_to_num(two), np.nan)
        spread[row] = noise_by_level(np.nan_to_num(predicted), y - predicted)
        floor[row] = _floor(y)
        effective[row] = _effective(np.where(y > floor[row], y - predicted, np.nan) / spread[row])

    # every row is written by one call only, so the result does not depend on the threads
    with ThreadPoolExecutor(threads()) as pool:
        list(pool.map(fill, rows.tolist()))
    return Ahead(others, own, spread, effective, floor)


def errors_of(y: np.ndarray, ahead: Ahead, row: int) -> np.ndarray:
    """Return the prediction errors of a row with readings ``y`` (transformed), NaN where the hour before is not known or at the floor."""
    one, two = _before(y)
    return np.asarray(np.where(y > ahead.floor[row], y, np.nan) - ahead.others[row] - ahead.own[row, 0] * one - ahead.own[row, 1] * two)


def edits_in(error: np.ndarray, ahead: Ahead, row: int) -> list[Edited]:
    """Return the disjoint spans of a row that a factor under one explains, in order of time."""
    one, two, effective = float(ahead.own[row, 0]), float(ahead.own[row, 1]), float(ahead.effective[row])
    gain, first, size = _best(error, ahead.spread[row], one, two, np.array(SIZES), SHORTEST, LONGEST, FREEDOM, effective, MOST)
    order = np.flatnonzero(gain >= LEAST)
    order = order[np.argsort(-gain[order], kind="stable")]
    taken = np.zeros(len(error) + 1, dtype=bool)
    out = []
    for b in order.tolist():
        a = int(first[b])
        if not (taken[max(a - 24, 0)] or taken[min(b + 24, len(error))] or taken[a : b + 1].any()):
            taken[a:b] = True
            out.append(Edited(a, b, float(gain[b]), SIZES[int(size[b])]))
    return sorted(out, key=lambda s: s.first)


def reached_by_itself(error: np.ndarray, ahead: Ahead, row: int) -> float:
    """Return the gain that a row's mirrored errors reach about :data:`MIRRORED` times a year, nats."""
    risen = sorted((e.nats for e in edits_in(-error, ahead, row)), reverse=True)
    years = max(np.isfinite(error).sum() / 8766, 1e-9)
    at = int(MIRRORED * years)
    return risen[at] if at < len(risen) else LEAST


def _before(y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the readings one and two hours ago; the second stands in by the first where it is not known."""
    one: np.ndarray = np.concatenate([[np.nan], y[:-1]])
    two: np.ndarray = np.concatenate([[np.nan, np.nan], y[:-2]])
    return one, np.asarray(np.where(np.isfinite(two), two, one))


def _floor(y: np.ndarray) -> float:
    known = y[np.isfinite(y)]
    low = float(np.quantile(known, FLOOR, method="lower"))
    return low if np.mean(known == low) >= TIED else -np.inf


def _effective(z: np.ndarray) -> float:
    """Return how many independent errors one error counts for, over :data:`WINDOW` hours, at most one."""
    x = np.clip(np.nan_to_num(z), -3, 3)
    total = np.cumsum(np.r_[0.0, x])
    sums = total[WINDOW::24] - total[:-WINDOW:24]
    if len(sums) < 10:
        return FEWEST
    scatter = (1.4826 * float(np.median(np.abs(sums - np.median(sums))))) ** 2
    return float(np.clip(WINDOW * np.mean(x * x) / max(scatter, 1e-9), FEWEST, 1.0))


def _robust(a: np.ndarray, target: np.ndarray) -> np.ndarray:
    """Return ridge coefficients, the own past hardly held back, errors clipped at three robust standard deviations."""
    ridge = PENALTY * a.shape[1] * np.ones(len(a))
    ridge[:3] = 1e-6
    return clipped_ridge(a, target, np.diag(ridge), ROUNDS)


@njit(cache=True, nogil=True)
def _best(
    error: np.ndarray,
    spread: np.ndarray,
    one: float,
    two: float,
    sizes: np.ndarray,
    shortest: int,
    longest: int,
    freedom: float,
    effective: float,
    most: float,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return, for each hour after a span, the largest gain over all first hours and sizes, that first hour and the size's number."""
    n = error.size
    gain, first, size = np.full(n, -1e9), np.zeros(n, np.int64), np.zeros(n, np.int64)
    k = 0.5 * (freedom + 1)
    into, out, within = np.zeros(n), np.zeros(n), np.zeros(n + 1)
    queue = np.zeros(n, np.int64)
    for j in range(sizes.size):
        d = sizes[j]
        for t in range(n):
            inside, into[t], out[t] = 0.0, 0.0, 0.0
            if not (np.isnan(error[t]) or np.isnan(spread[t])):
                width = freedom * spread[t] * spread[t]
                usual = np.log(1 + error[t] * error[t] / width)
                shifted = error[t] + d * (1 - one - two)
                inside = k * (usual - np.log(1 + shifted * shifted / width))
                inside = effective * min(max(inside, -most), most)
                shifted = error[t] + d
                into[t] = k * (usual - np.log(1 + shifted * shifted / width)) - inside
                shifted = error[t] - d * (one + two)
                out[t] = k * (usual - np.log(1 + shifted * shifted / width))
            within[t + 1] = within[t] + inside
        head, tail = 0, 0
        for b in range(shortest, n):
            a = b - shortest
            start = into[a] - within[a]
            while tail > head and into[queue[tail - 1]] - within[queue[tail - 1]] <= start:
                tail -= 1
            queue[tail] = a
            tail += 1
            while queue[head] < b - longest:
                head += 1
            a = queue[head]
            total = out[b] + within[b] + into[a] - within[a]
            if total > gain[b]:
                gain[b], first[b], size[b] = total, a, j
    return gain, first, size
