"""The score of candidates of hourly points, fitted on the rehearsal: boosted trees over the detectors' outputs and the span's features.

Cross-fitted: the trees that score a place never saw that place (or, with fewer than three places, that part of the year), so that
neither its honest oddities nor what is really falsified there was taught to them as normal. The log-odds are calibrated out of
fold (Platt) and moved to the stated rate of falsified spans. Explanations are the trees' own (path-dependent SHAP), which sum exactly.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from workbench.models.monitoring.rehearsal import Plan

FOLDS, SEASON = 3, pd.Timedelta(days=45)
WEIGHED = (
    "plateau_nats", "clipping_nats", "scale_nats", "exact_nats", "noisy_nats", "generated_nats", "digit_nats", "copy_gain", "drawn_gain",
    "lag_lost", "off_share", "step_ratio", "at_top", "cut_off", "level_drop", "level_score", "edge_score", "scatter", "surprise",
    "uncoupled", "others_lower", "level_rank", "explained", "duration", "second_channel", "whole_device", "jump", "low_level", "abrupt",
    "switch_nats", "switch_margin", "comb_nats", "entry", "calm_lost", "step_change",
)  # fmt: skip
"""What the trees see of a candidate."""
RISING = frozenset(
    {
        "copy_gain",
        "drawn_gain",
        "cut_off",
        "level_score",
        "edge_score",
        "plateau_nats",
        "clipping_nats",
        "exact_nats",
        "noisy_nats",
        "generated_nats",
        "digit_nats",
        "off_share",
        "switch_nats",
        "switch_margin",
        "comb_nats",
    }
)
LINEAR = (
    "plateau_nats", "clipping_nats", "scale_nats", "exact_nats", "noisy_nats", "generated_nats", "digit_nats", "copy_gain",
    "drawn_gain", "level_score", "edge_score", "cut_off", "surprise", "off_share",
    "switch_nats", "switch_margin", "comb_nats",
)  # fmt: skip
"""Features of the line that the trees start from: leaves are flat beyond the examples, a line goes on."""
FALLING = frozenset({"others_lower", "whole_device"})
"""Where physics says which way a feature speaks: more of it never lowers (raises) the score."""
LEADS = {
    "plateau_nats": "held", "clipping_nats": "capped", "exact_nats": "replayed", "noisy_nats": "disguised", "generated_nats": "drawn",
}  # fmt: skip
"""Feature that tells each kind of edit best."""
COLUMNS = np.array([WEIGHED.index(f) for f in LINEAR])
NATS = np.array([f.endswith("_nats") or f == "copy_gain" for f in LINEAR])
"""Which of them come as ln(1 + nat)."""
PENALTY, HOURLY_PENALTY = 5.0, 1.0
"""Penalty of the fit at fine data, and on hourly readings (chosen on station Shunyi and turbine 2011, seeds 401 to 406)."""
MOST_NATS = 60.0
"""Nats that one feature may claim on the line."""
UNREHEARSED = ("shared", "serviced", "saturated", "starting", "replay", "standing", "device_fault", "pays")
"""Circumstances that an edited history does not show: they keep the weights of ``scoring.yml``."""


@dataclass(frozen=True)
class Rehearsed:
    """Fitted trees of every fold.

    Parameters
    ----------
    boosters : tuple of str
        LightGBM model text of each fold: the one that did not see it.
    lines : float array, shape (fold, 1 + LINEAR)
        Intercept and coefficients of the logistic line that the trees of each fold start from.
    fold_of : dict of str to int
        Fold of each place; empty where folds are parts of the year.
    slope, shift : float
        Platt line from the trees' sum to log-odds.
    honest : float array
        Scores that unedited candidates of the rehearsal reach, ascending, out of fold.
    rounds : int
        Histories that these come from.
    note : str
        How it was fitted.
    """

    boosters: tuple[str, ...]
    lines: np.ndarray
    fold_of: dict[str, int]
    slope: float
    shift: float
    honest: np.ndarray = field(repr=False)
    rounds: int = 1
    note: str = ""

    def folds(self, c: pd.DataFrame) -> np.ndarray:
        """Return the fold of each candidate: that of its place, or of its part of the year."""
        if self.fold_of:
            return np.array([self.fold_of.get(str(p), 0) for p in c["place"]], dtype=int)
        return season_folds(c)

    def contributions(self, c: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
        """Return base, shape (candidate,), and contributions, shape (candidate, feature); they sum to the log-odds."""
        import lightgbm

        base, parts = np.zeros(len(c)), np.zeros((len(c), len(WEIGHED)))
        fold, x = self.folds(c), design(c)
        for k, text in enumerate(self.boosters):
            mine = np.flatnonzero(fold == k)
            if len(mine):
                shap = np.asarray(lightgbm.Booster(model_str=text).predict(x[mine], pred_contrib=True, num_threads=1))
                parts[mine], base[mine] = shap[:, :-1], shap[:, -1] + self.lines[k, 0]
                parts[np.ix_(mine, COLUMNS)] += self.lines[k, 1:] * on_line(x[mine])
        return self.slope * base + self.shift, self.slope * parts

    def log_odds(self, c: pd.DataFrame) -> np.ndarray:
        """Return the log-odds of each candidate."""
        base, parts = self.contributions(c)
        return np.asarray(base + parts.sum(axis=1))

    def expected_honest(self, score: np.ndarray) -> np.ndarray:
        """Return how many honest candidates of one history reach each score: counted, and beyond the top hundredth extrapolated.

        The tail falls off exponentially at a rate set by the median excess, which the few that may not be honest hardly move.
        """
        n = len(self.honest)
        counted = (n - np.searchsorted(self.honest, score, "left")) / self.rounds
        edge_at = max(int(0.98 * n), n - 400)
        edge = self.honest[min(edge_at, n - 1)]
        excess = self.honest[edge_at:] - edge
        rate = np.log(2) / max(float(np.median(excess)) if excess.size else 0.0, 0.1)
        beyond = (n - edge_at) / self.rounds * np.exp(-rate * np.maximum(score - edge, 0))
        return np.asarray(np.where(score > edge, beyond, counted))


def design(c: pd.DataFrame) -> np.ndarray:
    """Return the feature matrix of the trees, shape (candidate, feature)."""
    return c[list(WEIGHED)].to_numpy(dtype=float)


def on_line(x: np.ndarray) -> np.ndarray:
    """Return the features of the line, shape (candidate, LINEAR).

    A detector's nats are ln p of an honest span: odds grow with them and not with their logarithm, up to :data:`MOST_NATS`.
    """
    z = np.nan_to_num(x[:, COLUMNS])
    return np.asarray(np.where(NATS, np.minimum(np.expm1(np.minimum(z, 20.0)), MOST_NATS), z))


def season_folds(c: pd.DataFrame) -> np.ndarray:
    """Return folds by part of the year: neighbouring parts differ, so a span is scored by trees fitted on other parts."""
    start = pd.to_datetime(c["start"]).to_numpy().astype("datetime64[s]").astype(np.int64)
    return np.asarray(start // int(SEASON.total_seconds()) % FOLDS, dtype=int)


def fit_rehearsed(
    c: pd.DataFrame,
    y: np.ndarray,
    kind: np.ndarray,
    weight: np.ndarray,
    run: tuple[float, int, int],
    plan: Plan,
    seed: int,
    penalty: float = PENALTY,
) -> Rehearsed | None:
    """Fit the trees on the candidates of all rounds; None where the examples do not suffice.

    Parameters
    ----------
    c : DataFrame
        Candidates with :data:`WEIGHED`, ``place`` and ``start``.
    y : float array
        1 over an edit, 0 away from all edits.
    kind : array of str
        Edit that a candidate stands for, empty for none.
    weight : float array
        Weight of each candidate: those over one edit share a weight of one, and so do those of one honest span over all rounds.
    run : (point-years of one round, edits of all rounds, rounds)
    penalty : float
        What holds back the squares of the line's coefficients (per unit of spread) and of the leaves.
    """
    point_years, edits, rounds = run
    fewest = int(plan.fewest_examples.value)
    if min((y == 1).sum(), (y == 0).sum()) < fewest:
        return None
    places = sorted(set(c["place"].astype(str)))
    fold_of = {p: k % FOLDS for k, p in enumerate(places)} if len(places) >= FOLDS else {}
    fold = np.array([fold_of[str(p)] for p in c["place"]]) if fold_of else season_folds(c)
    x, raw, boosters, lines = design(c), np.zeros(len(c)), [], []
    taught = ~set_aside(c, y, kind)
    for k in range(FOLDS):
        train = (fold != k) & taught
        if len(np.unique(y[train])) < 2:
            return None
        line = _logistic(on_line(x[train]), y[train], weight[train], penalty)
        start = line[0] + on_line(x) @ line[1:]
        booster = _boost(x[train], y[train], weight[train], start[train], seed, penalty)
        boosters.append(booster.model_to_string())
        lines.append(line)
        mine = fold == k
        if mine.any():
            raw[mine] = start[mine] + booster.predict(x[mine], raw_score=True, num_threads=1)
    slope, shift = _platt(raw[taught], y[taught])
    loss, over = _loss(slope * raw[taught] + shift, y[taught]), int((y == 1).sum())
    # the rehearsal edits far more often than anybody falsifies: put the odds back to the stated rate
    shift += float(np.log(plan.edits_per_point_year.value * point_years * rounds / max(edits, 1)))
    honest = np.sort(slope * raw[taught & (y == 0)] + shift)
    away = f"{len(y) - over} away ({int((~taught).sum())} of these set aside)"
    note = f"rehearsal of {edits} edits: {over} candidates over them, {away}, log loss {loss:.3f} out of fold"
    return Rehearsed(tuple(boosters), np.array(lines), fold_of, slope, shift, honest, rounds, note)


def set_aside(c: pd.DataFrame, y: np.ndarray, kind: np.ndarray) -> np.ndarray:
    """Return which unedited candidates are taught as neither honest nor edited: as strong as an edit of their own kind.

    The history may hold real falsification: what nine of ten edits of a kind do not surpass must not be taught as honest, or the
    score would learn to overlook just what it is for. Slopes overlap with honest shifts, there only one in ten edits sets the bound.
    """
    out = np.zeros(len(c), dtype=bool)
    for feature, name in LEADS.items():
        x = c[feature].to_numpy(dtype=float)
        mine = (kind == name) & (x > 0)
        if mine.any():
            out |= (y == 0) & (x > np.quantile(x[mine], 0.1))
    # any edit may leave the digits, and some do at its edges only
    digits = c["digit_nats"].to_numpy(dtype=float)
    mine = (kind != "") & (digits > 0)
    if mine.any():
        out |= (y == 0) & (digits > np.quantile(digits[mine], 0.25))
    for feature, told in (("switch_nats", ("scaled", "lowered")), ("comb_nats", ("scaled",))):
        x = c[feature].to_numpy(dtype=float)
        mine = np.isin(kind, told) & (x > 0)
        if mine.any():
            out |= (y == 0) & (x > np.quantile(x[mine], 0.6))
    both = np.minimum(np.nan_to_num(c["level_score"].to_numpy(dtype=float)), np.nan_to_num(c["edge_score"].to_numpy(dtype=float)))
    mine = np.isin(kind, ("scaled", "lowered")) & (c["scale_nats"].to_numpy(dtype=float) > 0)
    if mine.any():
        out |= (y == 0) & (both > np.quantile(both[mine], 0.9))
    return np.asarray(out & (kind == ""))


def _boost(x: np.ndarray, y: np.ndarray, weight: np.ndarray, start: np.ndarray, seed: int, penalty: float) -> Any:
    import lightgbm

    data = lightgbm.Dataset(x, y, weight=weight, init_score=start, feature_name=list(WEIGHED), free_raw_data=False)
    params = {
        "objective": "binary", "num_leaves": 12, "learning_rate": 0.06, "min_data_in_leaf": 15, "lambda_l2": penalty,
        "feature_fraction": 0.7, "bagging_fraction": 0.8, "bagging_freq": 1, "deterministic": True, "force_row_wise": True,
        "num_threads": 1, "seed": seed, "verbosity": -1,
        "monotone_constraints": [1 if f in RISING else -1 if f in FALLING else 0 for f in WEIGHED],
    }  # fmt: skip
    return lightgbm.train(params, data, num_boost_round=150)


def _logistic(x: np.ndarray, y: np.ndarray, weight: np.ndarray, penalty: float) -> np.ndarray:
    """Return intercept and coefficients of a logistic line, none of them negative, held back by a normal prior on unit scale."""
    from scipy.optimize import minimize

    z = np.nan_to_num(x)
    centre, spread = z.mean(axis=0), z.std(axis=0) + 1e-9
    unit = np.column_stack([np.ones(len(z)), (z - centre) / spread])

    def loss(theta: np.ndarray) -> tuple[float, np.ndarray]:
        score = unit @ theta
        p = 1 / (1 + np.exp(-np.clip(score, -30, 30)))
        value = float(np.sum(weight * (np.logaddexp(0.0, score) - y * score)) + penalty * np.sum(theta[1:] ** 2))
        slope = unit.T @ (weight * (p - y))
        slope[1:] += 2 * penalty * theta[1:]
        return value, slope

    bounds = [(None, None)] + [(0.0, None)] * x.shape[1]
    found = minimize(loss, np.zeros(unit.shape[1]), jac=True, method="L-BFGS-B", bounds=bounds).x
    return np.asarray(np.r_[found[0] - np.sum(found[1:] * centre / spread), found[1:] / spread])


def _platt(score: np.ndarray, y: np.ndarray) -> tuple[float, float]:
    """Return slope and shift of the logistic line through the scores out of fold."""
    from scipy.optimize import minimize

    def loss(theta: np.ndarray) -> float:
        return _loss(theta[0] * score + theta[1], y) + 1e-3 * float((theta[0] - 1) ** 2)

    found = minimize(loss, np.array([1.0, 0.0]), method="L-BFGS-B", bounds=[(0.2, 2.0), (-6.0, 6.0)])
    return float(found.x[0]), float(found.x[1])


def _loss(log_odds: np.ndarray, y: np.ndarray) -> float:
    each: np.ndarray = np.asarray(np.logaddexp(0.0, log_odds) - y * log_odds)
    return float(each.mean())
