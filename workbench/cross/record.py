"""What past visits say of an enterprise: how much likelier than its peers it is to be in violation at another time.

``logit π_i = μ + b_i``, ``b_i ~ N(0, τ²)``, and each visit finds a violation with probability ``se·π_i + fp·(1-π_i)``.
How much enterprises differ (τ) is read from the visits themselves: where the same works are found again and again τ is
large, where one visit tells nothing about the next it is small. Without visits every ``b_i`` is zero. Visits are
chosen, not drawn, which moves μ and hardly the differences between those visited.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.polynomial.hermite_e import hermegauss

from workbench.cross.roles import priors

NODES = 21
SPREADS, MEANS = 12, 21
"""Points of the grids over b, τ and μ: finer ones move no offset by more than .02."""


@dataclass(frozen=True)
class Record:
    """Posterior of μ and τ, and the visits of each enterprise.

    Parameters
    ----------
    weight : float array, shape (point,)
        Posterior of each point of the grid; sums to one.
    mean, spread : float arrays, shape (point,)
        μ and τ of each point.
    visits : dict of str to DataFrame
        ``period_start, period_end, found`` by enterprise.
    """

    weight: np.ndarray
    mean: np.ndarray
    spread: np.ndarray
    visits: dict[str, pd.DataFrame]

    @property
    def tau(self) -> float:
        """Posterior mean of how much enterprises differ, in log-odds."""
        return float(self.weight @ self.spread)

    def offset(self, enterprise: str, start: pd.Timestamp | None = None, end: pd.Timestamp | None = None) -> float:
        """Return E[b] of an enterprise, from its visits outside the span given (what a visit says of the span itself counts elsewhere).

        Parameters
        ----------
        enterprise : str
        start, end : Timestamp, optional
            Span whose own visits are left out.
        """
        found, n = self._counts(enterprise, start, end)
        return self._expected(found, n)

    def chance(self, enterprise: str, start: pd.Timestamp | None = None, end: pd.Timestamp | None = None, *, lean: float = 0.0) -> float:
        """Return the chance of a violation in the span that a visit to the enterprise looks at.

        Parameters
        ----------
        enterprise : str
            One without visits has the chance of the average works.
        start, end : Timestamp, optional
            Span whose own visits are left out.
        lean : float
            Log-odds added for what else is believed of the enterprise.
        """
        found, n = self._counts(enterprise, start, end)
        return self._chance(found, n, lean)

    def unraised(self, enterprise: str, start: pd.Timestamp, end: pd.Timestamp, *, lean: float = 0.0) -> float:
        """Return the log-odds that an enterprise's other times add to a span in which no model raised anything.

        The chance of a violation there against that of an average works, each averaged over what is not known of it, so that
        eight visits of eight stay short of certainty. That no model raised anything is as telling at one works as at another:
        it lowers the log-odds of all alike, and stands in the share of a blind visit (``silent.share``).
        """
        here, average = self.chance(enterprise, start, end, lean=lean), self._chance(0, 0, 0.0)
        return float(np.log(here / (1 - here)) - np.log(average / (1 - average)))

    def _counts(self, enterprise: str, start: pd.Timestamp | None, end: pd.Timestamp | None) -> tuple[int, int]:
        """Return how many visits found a violation, and how many there were, outside the span."""
        v = self.visits.get(enterprise)
        if v is None:
            return 0, 0
        if start is not None and end is not None:
            v = v[(v["period_end"] < start) | (v["period_start"] > end)]
        return int(v["found"].sum()), len(v)

    def _chance(self, found: int, n: int, lean: float) -> float:
        x, w = _nodes()
        logit = self.mean[:, None] + self.spread[:, None] * x
        like = np.exp(_log_like(found, n, logit)) * w
        return float(self.weight @ ((like / (1 + np.exp(-logit - lean))).sum(1) / like.sum(1)))

    def offsets(self, enterprises: Sequence[str]) -> np.ndarray:
        """Return :meth:`offset` of every enterprise, from all its visits."""
        return np.array([self.offset(str(e)) for e in enterprises], dtype=float).reshape(len(enterprises))

    def _expected(self, found: int, n: int) -> float:
        if not n:
            return 0.0
        x, w = _nodes()
        b = self.spread[:, None] * x
        like = np.exp(_log_like(found, n, self.mean[:, None] + b)) * w
        return float(self.weight @ ((like * b).sum(1) / like.sum(1)))


def record_of(inspections: pd.DataFrame | None) -> Record:
    """Return the record of all visits; deterministic.

    Parameters
    ----------
    inspections : DataFrame, optional
        Contract table of labels known so far.
    """
    p = priors().record
    taus = p["spread"]["median"] * np.exp(p["spread"]["log_sd"] * np.linspace(-2.2, 2.2, SPREADS))
    share = float(np.log(p["share"]["mean"] / (1 - p["share"]["mean"])))
    mus = share + p["share"]["logit_sd"] * np.linspace(-2.2, 2.2, MEANS)
    tau, mu = (g.ravel() for g in np.meshgrid(taus, mus, indexing="ij"))
    log = -0.5 * (np.log(tau / p["spread"]["median"]) / p["spread"]["log_sd"]) ** 2 - 0.5 * ((mu - share) / p["share"]["logit_sd"]) ** 2
    visits: dict[str, pd.DataFrame] = {}
    if inspections is not None and len(inspections):
        table = inspections[["enterprise_id", "period_start", "period_end"]].assign(found=inspections["finding"].eq("violation"))
        visits = {str(k): g.reset_index(drop=True) for k, g in table.groupby("enterprise_id", sort=True)}
        x, w = _nodes()
        kinds, count = np.unique([(int(g["found"].sum()), len(g)) for g in visits.values()], axis=0, return_counts=True)
        for (found, n), times in zip(kinds, count, strict=True):
            like = np.exp(_log_like(int(found), int(n), mu[:, None] + tau[:, None] * x)) @ w
            log = log + times * np.log(np.maximum(like, 1e-300))
    weight = np.exp(log - log.max())
    return Record(weight / weight.sum(), mu, tau, visits)


def _nodes() -> tuple[np.ndarray, np.ndarray]:
    x, w = hermegauss(NODES)
    return x, w / w.sum()


def _log_like(found: int, n: int, logit: np.ndarray) -> np.ndarray:
    i = priors().inspection
    se, fp = float(i["sensitivity"]["mean"]), float(i["false_positive"]["mean"])
    q = fp + (se - fp) / (1 + np.exp(-logit))
    return np.asarray(found * np.log(q) + (n - found) * np.log1p(-q))
