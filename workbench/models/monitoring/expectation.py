"""What the related channels lead one to expect: a robust ridge regression per point on hourly means.

The second channel of most findings is the residual of this expectation. Predictors are the other channels of the
same place, the production and treatment power and the conditions of the same enterprise and, for points without an
enterprise (ambient air, rivers), the same factor at other places.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import pandas as pd

from workbench.contracts import threads
from workbench.models.monitoring.order_statistics import median_of, middle
from workbench.models.monitoring.vocabulary import OXYGEN

MAX_PREDICTORS, MIN_HOURS, ROUNDS = 14, 168, 3
NOISE_LEVELS, NOISE_FLOOR = 10, 0.3
"""Classes of the expected level whose residual spread is told apart, and the smallest spread of a class as a share of their median."""


class Surroundings(Protocol):
    """What the expectation asks of a panel: the rows, their groups and their transformed values."""

    @property
    def roster(self) -> pd.DataFrame:
        """The rows and what is known of each."""

    def hour(self, name: str) -> np.ndarray:
        """Return an hourly statistic, shape (point, hour)."""

    def siblings(self, row: int) -> np.ndarray:
        """Return the other monitored rows of the same station."""

    @property
    def transformed(self) -> tuple[np.ndarray, np.ndarray]:
        """Hourly means on the scale of the regression, and which rows are logarithmic."""

    @property
    def standardised(self) -> tuple[np.ndarray, np.ndarray]:
        """Every transformed row standardised, and where it was known."""

    @property
    def process_rows(self) -> dict[str, dict[str, np.ndarray]]:
        """Rows of the process channels of each enterprise."""

    @property
    def judged(self) -> np.ndarray:
        """Monitored points fit for judging."""

    @property
    def pollutant(self) -> np.ndarray:
        """Judged points whose factor is a pollutant."""

    @property
    def station(self) -> np.ndarray:
        """Key of the sampling place of each point."""

    @property
    def peers(self) -> np.ndarray:
        """Number of the peer group of each point."""

    @property
    def running(self) -> np.ndarray:
        """Hours neither idle nor marked."""

    @property
    def arrived(self) -> np.ndarray:
        """Share of hours with an ordinary mean."""


@dataclass(frozen=True)
class Expectation:
    """Hourly residuals.

    Parameters
    ----------
    residual : float32 array, shape (point, hour)
        Transformed value less its expectation; log units for concentrations and flows. NaN where unknown.
    scale : float32 array, shape (point,)
        Robust standard deviation of the residual, NaN without an expectation.
    explained : float32 array, shape (point,)
        Share of the variance explained, 0–1.
    expected : float32 array, shape (point, hour)
        Expected transformed value.
    predictors : int32 array, shape (point,)
        Number of related channels.
    logarithmic : bool array, shape (point,)
        Whether the transform is the logarithm.
    noise : float32 array, shape (point, hour)
        Robust standard deviation of the residual at the hour's expected level: readings near the detection limit scatter more in
        log units than high ones. NaN where nothing is expected.
    """

    residual: np.ndarray
    scale: np.ndarray
    explained: np.ndarray
    predictors: np.ndarray
    logarithmic: np.ndarray
    expected: np.ndarray
    noise: np.ndarray


def transform(panel: Surroundings) -> tuple[np.ndarray, np.ndarray]:
    """Return hourly ordinary means on the scale of the regression, and which rows are logarithmic.

    A row is logarithmic where nearly all of its values are positive and its unit is a concentration or flow; the
    logarithm is floored at a hundredth of the row's median, so that zeros stay finite.
    """
    value = panel.hour("hour_mean")
    units = panel.roster["unit"].astype(str)
    wanted = np.array([any(p in u for p in ("g/", "m³/h", "m3/h", "kW")) for u in units], dtype=bool)
    typical = middle(np.where(value > 0, value, np.nan))
    logarithmic = wanted & np.isfinite(typical)
    floor = np.where(logarithmic, 0.01 * typical, 1.0).astype(np.float32)
    out = value.copy()
    out[logarithmic] = np.log(np.maximum(value[logarithmic], floor[logarithmic, None]))
    out[np.isnan(value)] = np.nan
    return out, logarithmic


def expect(panel: Surroundings, *, process_only: bool = False) -> Expectation:
    """Fit the expectation of every judged point (source: the point's own history and its related channels).

    Parameters
    ----------
    process_only : bool
        Leave out the other pollutants and the oxygen of the same place, which a manipulated sampling line moves together.
    """
    z, logarithmic = panel.transformed
    unit, known = panel.standardised
    n, hours = z.shape
    factors = panel.roster["factor"].to_numpy(dtype=object)
    residual = np.full((n, hours), np.nan, np.float32)
    expected, noise = np.full((n, hours), np.nan, np.float32), np.full((n, hours), np.nan, np.float32)
    scale, explained = np.full(n, np.nan, np.float32), np.zeros(n, np.float32)
    count = np.zeros(n, np.int32)

    def fill(row: int) -> None:
        chosen = predictors_of(panel, row)
        if process_only:
            chosen = chosen[~(panel.pollutant[chosen] | (factors[chosen] == OXYGEN)) | (panel.station[chosen] != panel.station[row])]
        y = np.where(panel.running[row], z[row], np.nan)
        if np.isfinite(y).sum() < MIN_HOURS or not len(chosen):
            return
        made = robust_ridge(y, unit[chosen], known[chosen])
        if made is None:
            return
        count[row] = len(chosen)
        expected[row], explained[row] = made
        residual[row] = y - expected[row]
        finite = residual[row][np.isfinite(residual[row])]
        if finite.size:
            scale[row] = 1.4826 * median_of(np.abs(finite - median_of(finite)))
            noise[row] = noise_by_level(expected[row], residual[row])

    # every row is written by one call only, so the result does not depend on the threads
    with ThreadPoolExecutor(threads()) as pool:
        list(pool.map(fill, (int(r) for r in np.flatnonzero(panel.judged))))
    return Expectation(residual, scale, explained, count, logarithmic, expected, noise)


def predictors_of(panel: Surroundings, row: int) -> np.ndarray:
    """Return the rows that may explain ``row``: same place first, then the enterprise's process, then the same factor elsewhere."""
    same = panel.siblings(row)
    enterprise = str(panel.roster["enterprise_id"].iloc[row])
    process = panel.process_rows.get(enterprise, {}) if enterprise else {}
    rows = [same, *(process[k][:3] for k in ("production", "treatment", "condition") if k in process)]
    if not enterprise:
        alike = np.flatnonzero((panel.peers == panel.peers[row]) & panel.judged & (panel.station != panel.station[row]))
        rows.append(alike[:6])
    joined = np.concatenate(rows).astype(int)
    return np.asarray(joined[panel.arrived[joined] > 0.2][:MAX_PREDICTORS])


def noise_by_level(expected: np.ndarray, residual: np.ndarray) -> np.ndarray:
    """Return the robust spread of a row's residual in the tenth of the expected level that each hour belongs to, shape (hour,)."""
    known = np.isfinite(residual)
    cuts = np.quantile(expected[known], np.linspace(0, 1, NOISE_LEVELS + 1)[1:-1])
    level = np.searchsorted(cuts, np.nan_to_num(expected))
    spread = np.full(NOISE_LEVELS, np.nan)
    for k in range(NOISE_LEVELS):
        mine = residual[known & (level == k)]
        if mine.size:
            spread[k] = 1.4826 * median_of(np.abs(mine - median_of(mine)))
    usual = max(float(np.nanmedian(spread)), 1e-4)
    spread = np.clip(np.nan_to_num(spread, nan=usual), NOISE_FLOOR * usual, None)
    return np.asarray(np.where(np.isfinite(expected), spread[level], np.nan), dtype=np.float32)


def standardise(z: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return every row less its median over its spread, clipped at six, NaN as 0, and where it was known.

    The spread is the median absolute one, or the standard deviation where more than that lies in few hours.
    """
    known = np.isfinite(z)
    out = np.zeros(z.shape, np.float32)
    for row in np.flatnonzero(known.any(axis=1)):
        x = z[row, known[row]]
        centre = median_of(x)
        wide = float(np.std(x))
        spread = float(1.4826 * median_of(np.abs(x - centre)))
        spread = spread if spread > 0.1 * wide else wide
        if spread > 0:
            out[row, known[row]] = np.clip((x - centre) / spread, -6, 6)
    return out, known


def clipped_ridge(a: np.ndarray, target: np.ndarray, ridge: np.ndarray, rounds: int) -> np.ndarray:
    """Return the ridge coefficients of ``target`` on the rows of ``a``, errors clipped at three robust standard deviations.

    Parameters
    ----------
    a : array, shape (regressor, sample)
    target : array, shape (sample,)
    ridge : array, shape (regressor, regressor)
        Added to the normal matrix.
    rounds : int
        How often the errors are clipped anew.
    """
    gram = np.linalg.inv(a @ a.T + ridge)
    clipped, beta = target, np.zeros(a.shape[0])
    for _ in range(rounds):
        beta = gram @ (a @ clipped)
        fit = beta @ a
        error = target - fit
        sd = 1.4826 * median_of(np.abs(error - median_of(error))) + 1e-9
        clipped = fit + np.clip(error, -3 * sd, 3 * sd)
    return np.asarray(beta)


def robust_ridge(y: np.ndarray, x: np.ndarray, known: np.ndarray, penalty: float = 1e-2) -> tuple[np.ndarray, float] | None:
    """Return the fitted values and the explained share; outliers are clipped at three robust standard deviations.

    Parameters
    ----------
    y : float array, shape (hour,)
        Values to explain; what is NaN teaches nothing and gets a fitted value all the same.
    x : float array, shape (channel, hour)
        Standardised related channels, 0 where unknown.
    known : bool array, shape (channel, hour)
    """
    usable = x.any(axis=1)
    if not usable.any():
        return None
    x, enough = x[usable], known.mean(axis=0) >= 0.5
    design = np.concatenate([np.ones((1, x.shape[1]), np.float32), x, x * x])
    use = np.isfinite(y) & enough
    if use.sum() < 4 * design.shape[0]:
        return None
    a, target = design[:, use].astype(float), y[use].astype(float)
    ridge = penalty * use.sum() * np.eye(a.shape[0])
    ridge[0, 0] = 0.0
    beta = clipped_ridge(a, target, ridge, ROUNDS)
    fitted = np.where(enough, beta @ design, np.nan)
    # an episode spoils the share of its own season only: the second best quarter of the history tells what the channels explain
    error = target - beta @ a
    shares = []
    for part in np.array_split(np.arange(len(target)), 4):
        total = median_of(np.abs(target[part] - median_of(target[part]))) + 1e-12
        shares.append(1 - (median_of(np.abs(error[part] - median_of(error[part]))) / total) ** 2)
    share = float(np.sort(shares)[-2])
    return fitted.astype(np.float32), min(max(share, 0.0), 1.0)
