"""Intervals: Wilson for independent trials, bootstrap over enterprises for everything else.

Leads of one enterprise stand and fall together, so the enterprise is the unit that is resampled. A resample is a
vector of multinomial counts, one per enterprise; every statistic here takes a block of such vectors at once and
returns one value per vector, so that no resampled table is ever built.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.stats import norm

from workbench.contracts import Metric, ParameterError

DRAWS = 1000
LEVEL = 0.95
_BLOCK_VALUES = 4_000_000  # weights held at once: 32 MB, whatever the number of rows
Statistic = Callable[[np.ndarray], np.ndarray]
"""Block of row weights, shape (draws, rows), to one value per draw."""


def wilson(k: float, n: float, level: float = LEVEL) -> tuple[float, float]:
    """Return the Wilson score interval of a proportion ``k / n`` (NaN bounds where n is 0).

    Raises
    ------
    ParameterError
        If not ``0 ≤ k ≤ n``.
    """
    if not 0 <= k <= n:
        raise ParameterError("a proportion needs 0 ≤ k ≤ n", got=f"k={k}, n={n}")
    if n == 0:
        return float("nan"), float("nan")
    z = float(norm.ppf(0.5 + level / 2))
    p, z2 = k / n, z * z
    centre = (p + z2 / (2 * n)) / (1 + z2 / n)
    half = z / (1 + z2 / n) * np.sqrt(p * (1 - p) / n + z2 / (4 * n * n))
    # at k = 0 and k = n the bound is the end itself; rounding must not step over it
    return (0.0 if k == 0 else max(0.0, centre - half)), (1.0 if k == n else min(1.0, centre + half))


@dataclass(frozen=True)
class Clusters:
    """Rows numbered by the enterprise they belong to.

    Parameters
    ----------
    code : int array, shape (rows,)
        Enterprise number of each row.
    size : int
        Number of enterprises in the population, those without any row included.
    """

    code: np.ndarray
    size: int

    @classmethod
    def of(cls, enterprise_id: pd.Series, population: pd.Index | None = None) -> Clusters:
        """Number the rows; ``population`` (default: the enterprises met) is widened by enterprises it misses."""
        ids = pd.Index(enterprise_id.astype(object).unique())
        known = (ids if population is None else population.union(ids, sort=False)).unique().sort_values()
        return cls(known.get_indexer(pd.Index(enterprise_id.astype(object))), len(known))

    def counts(self, rng: np.random.Generator, draws: int) -> np.ndarray:
        """Return multinomial enterprise counts, shape (draws, size)."""
        if self.size == 0:
            return np.zeros((draws, 0))
        return rng.multinomial(self.size, np.full(self.size, 1 / self.size), size=draws).astype(float)


def bootstrap(statistic: Statistic, clusters: Clusters, *, seed: int, draws: int = DRAWS) -> np.ndarray:
    """Return ``statistic`` over ``draws`` resamples of enterprises, shape (draws,); undefined draws are NaN."""
    rng = np.random.default_rng(seed)
    block = max(1, min(draws, _BLOCK_VALUES // max(1, max(len(clusters.code), clusters.size))))
    parts = []
    for start in range(0, draws, block):
        counts = clusters.counts(rng, min(block, draws - start))
        parts.append(np.asarray(statistic(counts[:, clusters.code]), dtype=float))
    return np.concatenate(parts)


def interval(sample: np.ndarray, level: float = LEVEL) -> tuple[float, float]:
    """Return the percentile interval of a bootstrap sample, undefined draws left out."""
    finite = sample[np.isfinite(sample)]
    if not len(finite):
        return float("nan"), float("nan")
    low, high = np.quantile(finite, [0.5 - level / 2, 0.5 + level / 2])
    return float(low), float(high)


def measured(
    name: str,
    statistic: Statistic,
    enterprise_id: pd.Series,
    *,
    seed: int,
    population: pd.Index | None = None,
    counted: np.ndarray | None = None,
    draws: int = DRAWS,
    share: bool = True,
    unit: str = "1",
    subject: str = "",
    against: str = "",
    note: str = "",
) -> Metric:
    """Return a metric with its bootstrap interval over enterprises.

    Parameters
    ----------
    statistic : callable
        Value per row of a (draws, rows) block of weights.
    enterprise_id : Series, length rows
        The cluster of each row.
    population : Index, optional
        All enterprises of the district; those without a row are resampled too.
    counted : bool array, optional
        Rows that the value rests on; ``n`` is the number of their enterprises.
    share : bool
        The value lies between 0 and 1 and is better or worse towards an end. At exactly 0 or 1 the bootstrap knows no
        spread, and the Wilson interval over the ``n`` enterprises stands in. A value of another sort from fewer than
        two enterprises has no interval.
    """
    clusters = Clusters.of(enterprise_id, population)
    value = float(np.asarray(statistic(np.ones((1, len(enterprise_id))))).item())
    used = enterprise_id if counted is None else enterprise_id[counted]
    n = int(used.nunique())
    labels = {"unit": unit, "subject": subject, "against": against}
    if not np.isfinite(value):
        return unevaluated(name, note or "nothing to measure it on", **labels)
    if share and n and value in (0.0, 1.0):
        low, high = wilson(value * n, n)
        method = f"Wilson over enterprises, {LEVEL:.0%} (the bootstrap has no spread at {value:g})"
    elif n < 2 and not share:
        low = high = float("nan")
        method = "one enterprise: no interval"
    else:
        low, high = interval(bootstrap(statistic, clusters, seed=seed, draws=draws))
        method = f"cluster bootstrap by enterprise, {draws} draws, {LEVEL:.0%}"
    return Metric(name=name, value=value, low=low, high=high, n=n, method=method, note=note, **labels)


def unevaluated(name: str, why: str, **labels: str) -> Metric:
    """Return a metric that could not be evaluated, with the reason; it never counts as passed."""
    return Metric(name=name, value=None, low=None, high=None, n=0, method="not evaluated", note=why, **labels)


def proportion(name: str, k: int, n: int, **labels: str) -> Metric:
    """Return a proportion of independent trials with its Wilson interval."""
    if n == 0:
        return unevaluated(name, "no trials", **labels)
    low, high = wilson(k, n)
    return Metric(name=name, value=k / n, low=low, high=high, n=n, method=f"Wilson, {LEVEL:.0%}", **labels)


def ratio(top: np.ndarray, bottom: np.ndarray) -> Statistic:
    """Return the statistic Σw·top / Σw·bottom (NaN where the bottom is empty)."""

    def statistic(w: np.ndarray) -> np.ndarray:
        return divide(w @ top.astype(float), w @ bottom.astype(float))

    return statistic


def divide(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Return ``a / b`` with NaN where ``b`` is 0."""
    out = np.full(np.broadcast(a, b).shape, np.nan)
    np.divide(a, b, out=out, where=b != 0)
    return out
