"""How strong runs are where nothing is wrong: the empirical null over all sites of a catalog.

Two looks at it. The bulk of all runs is honest, so the scale of their scores is learned below a high quantile. And in a
mirrored series (deficits instead of excess) no emission shows at all, so its runs are honest by construction. The wider
of the two stands, and a stated rate and scale weigh in where runs are few. A score is then read as log-odds: how often
a violation is expected per site and month, over how often honest runs get that far.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Null:
    """Exponential tail of honest scores: rate per site-month at ``threshold``, and scale (nat)."""

    threshold: float
    rate: float
    scale: float
    runs: int
    mirrored: int

    def base(self, violations_per_site_month: float) -> float:
        """Return the log-odds of a run at the threshold."""
        return float(np.log(violations_per_site_month) - np.log(self.rate))

    def stands_out(self, score: float) -> float:
        """Return what a score adds to the base, log-odds."""
        return (score - self.threshold) / self.scale

    def false_alarms(self, score: float) -> float:
        """Return the expected number of honest runs per site-month with at least this score."""
        return float(self.rate * np.exp(-(score - self.threshold) / self.scale))


def learn_null(
    scores: NDArray[np.float64],
    mirrored: NDArray[np.float64],
    site_months: float,
    *,
    threshold: float,
    honest_per_site_month: float,
    weight: float,
    bulk: float,
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
    """
    if len(scores):
        cut = float(np.quantile(scores, bulk))
        below = scores[scores <= cut]
        total, n = float((below - threshold).sum() + (len(scores) - len(below)) * (cut - threshold)), len(below)
    else:
        total, n = 0.0, 0
    from_bulk = (total + weight) / (n + weight)
    from_mirror = (float((mirrored - threshold).sum()) + weight) / (len(mirrored) + weight)
    rate = (max(len(scores), len(mirrored)) + weight) / (site_months + weight / honest_per_site_month)
    return Null(threshold, rate, max(1.0, from_bulk, from_mirror), len(scores), len(mirrored))
