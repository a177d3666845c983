"""How strong runs are where nothing is wrong: the empirical null over all sites of a catalog.

Two looks at it. The bulk of all runs is honest, so the scale of their scores is learned below a high quantile. And in a
mirrored series (deficits instead of excess) no emission shows at all, so the bulk of its runs is honest too. The wider
of the two stands, and a stated rate and scale weigh in where runs are few. A score is then read as log-odds: how often
a violation is expected per site and month, over how often honest runs get that far.

Noise is not all that is honest: a gale, works next door or a busy day lift a yard by itself, and no mirror shows them. So
what the other enterprises of the catalog do counts too (:func:`honest_rate`): where runs as strong are common among
them, most must be honest, since violations are few.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Null:
    """Tail of honest scores beyond ``threshold``: exp(−((s − threshold)/scale)^shape), at ``rate`` per site-month."""

    threshold: float
    rate: float
    scale: float
    shape: float
    runs: int
    mirrored: int

    def base(self, violations_per_site_month: float) -> float:
        """Return the log-odds of a run at the threshold."""
        return float(np.log(violations_per_site_month) - np.log(self.rate))

    def stands_out(self, honest: float) -> float:
        """Return what a run adds to the base, log-odds; ``honest`` is how many honest ones as strong are expected per site-month."""
        return max(float(np.log(self.rate / honest)), 0.0)

    def noise(self, score: float | NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the number of runs per site-month with at least this score that noise alone makes."""
        beyond = np.maximum(np.asarray(score, dtype=np.float64) - self.threshold, 0.0)
        return np.asarray(self.rate * np.exp(-((beyond / self.scale) ** self.shape)))


def learn_null(
    scores: NDArray[np.float64],
    mirrored: NDArray[np.float64],
    site_months: float,
    *,
    threshold: float,
    honest_per_site_month: float,
    weight: float,
    bulk: float,
    shape: float,
) -> Null:
    """Return the null of one kind of run.

    Parameters
    ----------
    scores, mirrored : float arrays
        Scores of the runs, at least ``threshold``, of the series and of its mirror.
    site_months : float
        Site-months that were scanned.
    bulk : float
        Quantile of the scores above which nothing is used.
    shape : float
        1: exponential, as theory has it for independent steps; less: the heavier tail of real weather.
    """
    scale = max(1.0, *(_scale(s - threshold, weight, bulk, shape) for s in (scores, mirrored)))
    rate = (max(len(scores), len(mirrored)) + weight) / (site_months + weight / honest_per_site_month)
    return Null(threshold, rate, scale, shape, len(scores), len(mirrored))


def honest_rate(
    null: Null, scores: NDArray[np.float64], owner: NDArray[np.object_], months: dict[str, float], *, others_weight: float
) -> NDArray[np.float64]:
    """Return how many honest runs at least as strong as each run are expected per site-month: noise, and what others do.

    Parameters
    ----------
    scores : float array, shape (run,)
    owner : object array, shape (run,)
        Enterprise of each run; its own runs never speak about it.
    months : mapping of str to float
        Site-months scanned, by enterprise.
    others_weight : float
        Site-months that the noise counts for beside those of the other enterprises.
    """
    noise, every = null.noise(scores), sum(months.values())
    at_least = _at_least(scores, scores)
    rate = np.empty(len(scores))
    for e in set(owner.tolist()):
        mine = owner == e
        others = at_least[mine] - _at_least(scores[mine], scores[mine])
        span = every - months.get(str(e), 0.0)
        rate[mine] = (others + others_weight * noise[mine]) / (span + others_weight)
    return np.maximum(rate, noise)


def _at_least(scores: NDArray[np.float64], bars: NDArray[np.float64]) -> NDArray[np.int64]:
    """Return how many scores reach each bar."""
    return len(scores) - np.searchsorted(np.sort(scores), bars, side="left")


def _scale(x: NDArray[np.float64], weight: float, bulk: float, shape: float) -> float:
    """Return the scale by what lies below a quantile (the rest is censored there), ``weight`` values of scale 1 added."""
    if not len(x):
        return 1.0
    cut = float(np.quantile(x, bulk))
    below = x[x <= cut]
    powers = float((below**shape).sum() + (len(x) - len(below)) * cut**shape)
    return float(((powers + weight) / (len(below) + weight)) ** (1.0 / shape))
