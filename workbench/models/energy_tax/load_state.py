"""Operating states of an enterprise that has labelled some: causal features, gradient boosting, transitions.

Where somebody has named the states of a meter (light, medium, maximum load …) for a while, this learns to name them
afterwards. Every feature at a time uses readings up to that time only, so it can run live; the season enters through
the cosine of the day of the year alone, so that November is read like February although no November was ever seen.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from workbench.contracts import InsufficientData, threads

PARAMS: Mapping[str, float | int | str | bool] = {
    "objective": "multiclass", "learning_rate": 0.04, "num_leaves": 15, "min_data_in_leaf": 40, "feature_fraction": 0.6,
    "bagging_fraction": 0.8, "bagging_freq": 1, "lambda_l2": 3.0, "verbosity": -1, "deterministic": True, "force_row_wise": True,
}  # fmt: skip
ROUNDS = 250
SMOOTHING = Literal["none", "filter", "viterbi"]


def causal_features(
    time: pd.DatetimeIndex, power: NDArray[np.floating], *, others: Mapping[str, NDArray[np.floating]] | None = None, calendar: bool = True
) -> pd.DataFrame:
    """Return features of each time, none of which looks ahead.

    Parameters
    ----------
    time : DatetimeIndex
        Regular grid; each stamp is the end of its interval.
    power : float array, shape (time,)
        Power or energy per interval; NaN where nothing arrived.
    others : mapping of str to array, optional
        Further readings of the same meter (reactive power, power factor), same shape.
    calendar : bool
        Whether to add the place in the day, the weekday and the season.

    Returns
    -------
    DataFrame
        One row per time; NaN where a window holds nothing. Powers are relative to the trailing four weeks' high level, so
        that a change of level or unit leaves them as they are.
    """
    step = pd.Timedelta(time[1] - time[0])
    per_hour, per_day = max(1, round(pd.Timedelta(hours=1) / step)), max(1, round(pd.Timedelta(days=1) / step))
    x: pd.Series[float] = pd.Series(np.asarray(power, float))
    high = x.rolling(28 * per_day, min_periods=per_hour).quantile(0.95).to_numpy()
    rel: pd.Series[float] = x / np.where(high > 0, high, np.nan)
    columns: dict[str, Any] = {"now": rel}
    for lag in (1, 2, per_hour, 2 * per_hour, per_day, 7 * per_day):
        columns[f"lag_{lag}"] = rel.shift(lag)
    for hours in (1, 2, 4, 12, 24):
        window: Any = rel.rolling(hours * per_hour, min_periods=1)
        columns |= {f"mean_{hours}h": window.mean(), f"sd_{hours}h": window.std(), f"max_{hours}h": window.max()}
    begun = (time - step).normalize()  # the day of the interval's start
    so_far: Any = rel.groupby(np.asarray(begun))
    columns |= {"day_mean": so_far.expanding().mean().droplevel(0), "day_max": so_far.cummax()}
    columns["week_ago_2h"] = rel.rolling(2 * per_hour, min_periods=1).mean().shift(7 * per_day - 2 * per_hour)
    for name, values in (others or {}).items():
        y = pd.Series(np.asarray(values, float))
        columns |= {
            name: y,
            f"{name}_1h": y.rolling(per_hour, min_periods=1).mean(),
            f"{name}_4h": y.rolling(4 * per_hour, min_periods=1).mean(),
        }
    if calendar:
        columns |= calendar_features(time, step)
    return pd.DataFrame({k: np.asarray(v, float) for k, v in columns.items()})


def calendar_features(time: pd.DatetimeIndex, step: pd.Timedelta) -> dict[str, NDArray[np.float64]]:
    """Return the place in the day (hours, of the interval's start), the weekday, and the season as cos of the day of the year."""
    start = time - step
    day = (start - start.normalize()) / pd.Timedelta(hours=1)
    season = np.cos(2 * np.pi * (start.dayofyear.to_numpy() - 1) / 365.25)
    return {"hour": np.asarray(day, float), "weekday": start.dayofweek.to_numpy(float), "season": season}


@dataclass(frozen=True)
class LoadStateModel:
    """A fitted classifier of operating states.

    Parameters
    ----------
    states : tuple of str
        Names in the order of their probabilities.
    booster : lightgbm.Booster
    log_share : float array, shape (state,)
        Log share of each state in training.
    log_transition : float array, shape (state, state)
        Log probability of the next state given the present one.
    weight : float
        How much the transitions count in smoothing, 0 to 1, chosen on the last part of the training span.
    """

    states: tuple[str, ...]
    booster: Any
    log_share: NDArray[np.float64]
    log_transition: NDArray[np.float64]
    weight: float

    def probabilities(self, features: pd.DataFrame) -> NDArray[np.float64]:
        """Return the probability of each state, shape (time, state)."""
        return np.asarray(self.booster.predict(features, num_threads=threads()))

    def predict(self, features: pd.DataFrame, *, smoothing: SMOOTHING = "filter") -> NDArray[np.object_]:
        """Return the state of each time.

        Parameters
        ----------
        smoothing : {"none", "filter", "viterbi"}
            ``filter`` is causal; ``viterbi`` looks at the whole span and is for hindsight.
        """
        p = self.probabilities(features)
        if smoothing == "none" or self.weight == 0.0:
            best = p.argmax(axis=1)
        elif smoothing == "filter":
            best = forward_filter(np.log(p + 1e-12) - self.log_share, self.weight * self.log_transition).argmax(axis=1)
        else:
            best = viterbi(np.log(p + 1e-12) - self.log_share, self.weight * self.log_transition)
        return np.array([self.states[k] for k in best], dtype=object)


def fit_load_states(
    features: pd.DataFrame, states: Sequence[str], *, seed: int, tune_share: float = 0.2, rounds: int = ROUNDS
) -> LoadStateModel:
    """Fit on features and the states named for them, in order of time.

    Parameters
    ----------
    features : DataFrame
        Of :func:`causal_features`.
    states : sequence of str
        Same length; empty where nobody named the state.
    seed : int
    tune_share : float
        Last share of the named times, on which the weight of the transitions is chosen.
    rounds : int
        Boosting rounds.

    Raises
    ------
    InsufficientData
        If fewer than two states, or fewer than 200 times, are named.
    """
    labels = np.asarray(states, dtype=object)
    named = np.flatnonzero(labels != "")
    kinds = tuple(sorted(set(labels[named])))
    if len(kinds) < 2 or len(named) < 200:
        raise InsufficientData("too few named states", got=f"{len(kinds)} states at {len(named)} times", allowed="2 states, 200 times")
    y = np.array([kinds.index(s) if s else -1 for s in labels])
    log_share = np.log(np.bincount(y[named], minlength=len(kinds)) / len(named))
    counts = np.ones((len(kinds), len(kinds)))
    follow = (y[1:] >= 0) & (y[:-1] >= 0)
    np.add.at(counts, (y[:-1][follow], y[1:][follow]), 1.0)
    log_transition = np.log(counts / counts.sum(axis=1, keepdims=True))
    cut = named[int(len(named) * (1 - tune_share))]
    early = named[named < cut]
    trial = _boost(features.iloc[early], y[early], len(kinds), seed, rounds)
    emission = np.log(np.asarray(trial.predict(features.iloc[cut : named[-1] + 1])) + 1e-12) - log_share
    truth = y[cut : named[-1] + 1]
    scores = {w: macro_f1(truth, forward_filter(emission, w * log_transition).argmax(axis=1), len(kinds)) for w in (0.1, 0.25, 0.5, 1.0)}
    scores[0.0] = macro_f1(truth, (emission + log_share).argmax(axis=1), len(kinds))
    weight = max(sorted(scores), key=lambda w: scores[w])
    return LoadStateModel(kinds, _boost(features.iloc[named], y[named], len(kinds), seed, rounds), log_share, log_transition, weight)


def _boost(features: pd.DataFrame, y: NDArray[np.int64], kinds: int, seed: int, rounds: int) -> Any:
    import lightgbm as lgb

    params = {**PARAMS, "num_class": kinds, "seed": seed, "num_threads": threads()}
    return lgb.train(params, lgb.Dataset(features, label=y), num_boost_round=rounds)


def forward_filter(emission: NDArray[np.float64], log_transition: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return filtered log-probabilities, shape (time, state): what is known at each time from the past and the present.

    Parameters
    ----------
    emission : float array, shape (time, state)
        Log-likelihood up to a constant per time.
    log_transition : float array, shape (state, state)
    """
    out = np.empty_like(emission)
    state = emission[0] - np.logaddexp.reduce(emission[0])
    out[0] = state
    for t in range(1, len(emission)):
        state = np.logaddexp.reduce(state[:, None] + log_transition, axis=0) + emission[t]
        state = state - np.logaddexp.reduce(state)
        out[t] = state
    return out


def viterbi(emission: NDArray[np.float64], log_transition: NDArray[np.float64]) -> NDArray[np.int64]:
    """Return the most probable path of states, shape (time,)."""
    n, k = emission.shape
    best, back = emission[0].copy(), np.zeros((n, k), np.int64)
    for t in range(1, n):
        step = best[:, None] + log_transition
        back[t] = step.argmax(axis=0)
        best = step.max(axis=0) + emission[t]
    path = np.empty(n, np.int64)
    path[-1] = int(best.argmax())
    for t in range(n - 1, 0, -1):
        path[t - 1] = back[t, path[t]]
    return path


def macro_f1(truth: NDArray[np.int64], said: NDArray[np.int64], kinds: int) -> float:
    """Return the unweighted mean F1 over states that occur; times whose truth is negative are left out."""
    use = truth >= 0
    t, s = truth[use], said[use]
    f1 = [2.0 * ((t == k) & (s == k)).sum() / max((t == k).sum() + (s == k).sum(), 1) for k in range(kinds) if (t == k).any()]
    return float(np.mean(f1))
