"""From episodes to calibrated probabilities, with contributions that sum to the score.

Three ways by the number of labels: stated weights alone, a ridge logistic regression, gradient boosting. The share of
each rule's results that hold up is a Beta prior that labels update in all three.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import pandas as pd

from workbench.contracts import threads
from workbench.models.permit.results import records
from workbench.models.permit.settings import Settings

LOGISTIC_ROWS, LOGISTIC_POSITIVES = 80, 20
BOOSTED_ROWS, BOOSTED_POSITIVES = 600, 120
COMPATIBLE = {
    "permit_breach": {"permit_breach", "false_report", "exceedance"},
    "false_report": {"false_report", "permit_breach", "fabrication"},
    "exceedance": {"exceedance", "permit_breach", "treatment_off"},
    "fabrication": {"fabrication", "false_report"},
    "fugitive": {"fugitive", "exceedance"},
}
"""Kinds of an inspection that confirm an episode of a kind."""
FEATURES: dict[str, tuple[str, str, str]] = {
    "rule": ("规则本身的可信度", "how often this rule holds up", "log-odds"),
    "strength": ("超出程度", "how far beyond the threshold", "log-odds"),
    "own": ("规则自身的概率", "the rule's own probability", "log-odds"),
    "factors": ("同时涉及的因子数", "factors at once", "1"),
    "other_rules": ("同企业其他违反的规则数", "other rules violated by the enterprise", "1"),
    "past": ("以往查实次数", "earlier confirmed violations", "1"),
    "days": ("持续天数", "length of the episode", "d"),
}
"""Features with their Chinese and English names and units."""
_PRIOR_WEIGHTS = {"rule": 1.0, "strength": 1.0, "own": 1.0, "factors": 0.25, "other_rules": 0.1, "past": 0.3, "days": 0.0}
_PAPER = {
    "self_monitoring_missed",
    "execution_report_late_or_missing",
    "tax_below_reported",
    "declared_amount_below_measured",
    "annual_amount_over_permitted",
}


class Score(Protocol):
    """A fitted way from features to log-odds."""

    @property
    def name(self) -> str:
        """What is said of it in records."""
        ...

    def contributions(self, x: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
        """Return the base (row,) and the contributions (row, feature), which sum to the log-odds."""
        ...


@dataclass(frozen=True)
class Stated:
    """Stated weights, used while labels are few."""

    name: str = "stated weights"

    def contributions(self, x: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
        """Return base 0 and weight times feature; counts enter as ln(1 + n), the log-odds as they are."""
        z = _scaled(x)
        return np.zeros(len(x)), z * np.array([_PRIOR_WEIGHTS[f] for f in FEATURES])


@dataclass(frozen=True)
class Logistic:
    """Ridge logistic regression around the stated weights: labels move them as far as they can carry."""

    weights: np.ndarray
    intercept: float
    centre: np.ndarray
    name: str = "logistic"

    def contributions(self, x: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
        """Return the log-odds at the mean of the labelled episodes and each feature's departure from it."""
        base = self.intercept + float(self.centre @ self.weights)
        return np.full(len(x), base), (_scaled(x) - self.centre) * self.weights


@dataclass(frozen=True)
class Boosted:
    """LightGBM with the stated score as offset; contributions are its exact path-dependent SHAP values."""

    booster: Any
    name: str = "boosted"

    def contributions(self, x: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
        """Return SHAP values on top of the stated contributions."""
        base, stated = Stated().contributions(x)
        shap = np.asarray(self.booster.predict(pd.DataFrame(_scaled(x), columns=list(FEATURES)), pred_contrib=True))
        return base + shap[:, -1], stated + shap[:, :-1]


def features_of(episodes: pd.DataFrame, settings: Settings, shares: Mapping[str, float], past: np.ndarray) -> pd.DataFrame:
    """Return the features of episodes in the units of :data:`FEATURES`; no missing values."""
    n = len(episodes)
    own = episodes["p"].to_numpy(float)
    has_own = np.isfinite(own)
    share = np.array([shares[r] for r in episodes["rule"]]) if n else np.empty(0)
    slope = np.array([settings.priors[r].slope for r in episodes["rule"]]) if n else np.empty(0)
    rules = episodes.groupby("enterprise_id")["rule"].transform("nunique").to_numpy(float) if n else np.empty(0)
    stated = np.array([settings.priors[r].share for r in episodes["rule"]]) if n else np.empty(0)
    return pd.DataFrame(
        {
            # a rule with a probability of its own starts from that; labels still shift it
            "rule": np.where(has_own, log_odds(share) - log_odds(stated), log_odds(share)),
            "strength": np.where(has_own, 0.0, slope * episodes["strength"].to_numpy(float)),
            "own": np.where(has_own, log_odds(np.where(has_own, own, 0.5)), 0.0),
            "factors": episodes["factors"].to_numpy(float) - 1.0,
            "other_rules": rules - 1.0,
            "past": past.astype(float),
            "days": (episodes["end"] - episodes["start"]).to_numpy() / np.timedelta64(1, "D"),
        },
        index=episodes.index,
    )


def log_odds(p: np.ndarray) -> np.ndarray:
    """Return ln(p/(1−p)), p kept within 0.001 and 0.999."""
    q = np.clip(np.asarray(p, float), 1e-3, 1.0 - 1e-3)
    return np.asarray(np.log(q / (1.0 - q)))


def probability(score: np.ndarray) -> np.ndarray:
    """Return the logistic function of log-odds."""
    return np.asarray(1.0 / (1.0 + np.exp(-np.clip(score, -30, 30))))


def past_violations(episodes: pd.DataFrame, labels: pd.DataFrame) -> np.ndarray:
    """Return how many violations of the enterprise were decided before each episode began."""
    if not len(labels) or not len(episodes):
        return np.zeros(len(episodes))
    known = labels[(labels["finding"] == "violation") & labels["decided_on"].notna()]
    by = {e: np.sort(g.to_numpy()) for e, g in known.groupby("enterprise_id")["decided_on"]}
    return np.array(
        [
            np.searchsorted(by[e], s.to_datetime64()) if e in by else 0
            for e, s in zip(episodes["enterprise_id"], episodes["start"], strict=True)
        ],
        float,
    )


def labelled(episodes: pd.DataFrame, labels: pd.DataFrame, settings: Settings) -> np.ndarray:
    """Return 1 confirmed, 0 not confirmed, NaN not inspected, for each episode.

    An inspection speaks about an episode whose span it overlaps; papers are looked at up to a month later.
    """
    out = np.full(len(episodes), np.nan)
    if not len(labels) or not len(episodes):
        return out
    groups = dict(list(labels.groupby("enterprise_id")))
    for k, e in enumerate(records(episodes[["enterprise_id", "rule", "start", "end"]])):
        mine = groups.get(e["enterprise_id"])
        if mine is None:
            continue
        slack = pd.Timedelta(days=31 if e["rule"] in _PAPER else 1)
        overlap = mine[(mine["period_start"] <= e["end"] + slack) & (mine["period_end"] >= e["start"] - slack)]
        if not len(overlap):
            continue
        wanted = COMPATIBLE[settings.priors[e["rule"]].kind.value]
        confirmed = any(f == "violation" and wanted & set(kinds) for f, kinds in zip(overlap["finding"], overlap["kinds"], strict=True))
        out[k] = float(confirmed)
    return out


def learned_shares(episodes: pd.DataFrame, y: np.ndarray, settings: Settings) -> dict[str, float]:
    """Return the share of each rule's episodes that hold up: the Beta prior updated by labelled enterprises.

    Episodes of one enterprise are one observation, or one bad neighbour would speak twenty times.
    """
    shares = {}
    known = np.isfinite(y)
    frame = pd.DataFrame({"rule": episodes["rule"][known], "e": episodes["enterprise_id"][known], "y": y[known]})
    per = frame.groupby(["rule", "e"])["y"].mean().groupby("rule")
    hits_of, count_of = per.sum().to_dict(), per.count().to_dict()
    for rule, prior in settings.priors.items():
        hits, n = float(hits_of.get(rule, 0.0)), float(count_of.get(rule, 0))
        shares[rule] = (prior.share * prior.weight + hits) / (prior.weight + n)
    return shares


def fit_score(x: pd.DataFrame, y: np.ndarray, *, seed: int) -> Score:
    """Fit the richest way that the labels carry."""
    known = np.isfinite(y)
    n, positives = int(known.sum()), int(np.nansum(y))
    if n < LOGISTIC_ROWS or positives < LOGISTIC_POSITIVES or n - positives < LOGISTIC_POSITIVES:
        return Stated()
    if n >= BOOSTED_ROWS and positives >= BOOSTED_POSITIVES:
        return _boosted(x[known], y[known], seed)
    return _logistic(_scaled(x[known]), y[known])


def _scaled(x: pd.DataFrame) -> np.ndarray:
    z = x[list(FEATURES)].to_numpy(float).copy()
    for j, name in enumerate(FEATURES):
        if name in ("factors", "other_rules", "past", "days"):
            z[:, j] = np.log1p(np.maximum(z[:, j], 0.0))
    return z


def _logistic(z: np.ndarray, y: np.ndarray) -> Logistic:
    from scipy.optimize import minimize

    start = np.array([_PRIOR_WEIGHTS[f] for f in FEATURES])
    pull = 10.0  # the stated weights are worth this much curvature

    def loss(w: np.ndarray) -> tuple[float, np.ndarray]:
        s = z @ w[1:] + w[0]
        off = w[1:] - start
        p = probability(s)
        value = float(np.sum(np.logaddexp(0.0, s) - y * s) + 0.5 * pull * off @ off + 0.5 * w[0] ** 2)
        return value, np.r_[np.sum(p - y) + w[0], z.T @ (p - y) + pull * off]

    best = minimize(loss, np.r_[0.0, start], jac=True, method="L-BFGS-B").x
    return Logistic(best[1:], float(best[0]), z.mean(axis=0))


def _boosted(x: pd.DataFrame, y: np.ndarray, seed: int) -> Boosted:
    import lightgbm as lgb

    base, stated = Stated().contributions(x)
    data = lgb.Dataset(pd.DataFrame(_scaled(x), columns=list(FEATURES)), label=y, init_score=base + stated.sum(axis=1))
    params = {
        "objective": "binary",
        "learning_rate": 0.05,
        "num_leaves": 8,
        "min_data_in_leaf": 30,
        "lambda_l2": 5.0,
        "verbosity": -1,
        "seed": seed,
        "deterministic": True,
        "force_row_wise": True,
        "num_threads": threads(),
    }
    return Boosted(lgb.train(params, data, num_boost_round=80))
