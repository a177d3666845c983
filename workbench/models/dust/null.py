"""How strong runs are where nothing is wrong: the empirical null over all sites of a catalog.

Two looks at it. The bulk of all runs is honest, so the scale of their scores is learned below a high quantile. And in a
mirrored series (deficits instead of excess) no emission shows at all, so the bulk of its runs is honest too. The wider
of the two stands, and a stated rate and scale weigh in where runs are few. A score is then read as log-odds: how often
a violation is expected per site and month, over how often honest runs get that far.
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

    def stands_out(self, score: float) -> float:
        """Return what a score adds to the base, log-odds."""
        return float((max(score - self.threshold, 0.0) / self.scale) ** self.shape)

    def false_alarms(self, score: float) -> float:
        """Return the expected number of honest runs per site-month with at least this score."""
        return float(self.rate * np.exp(-self.stands_out(score)))


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


def _scale(x: NDArray[np.float64], weight: float, bulk: float, shape: float) -> float:
    """Return the scale by what lies below a quantile (the rest is censored there), ``weight`` values of scale 1 added."""
    if not len(x):
        return 1.0
    cut = float(np.quantile(x, bulk))
    below = x[x <= cut]
    powers = float((below**shape).sum() + (len(x) - len(below)) * cut**shape)
    return float(((powers + weight) / (len(below) + weight)) ** (1.0 / shape))
