"""Score of a candidate in log-odds: a sum of named terms, corrected by boosted trees where there are labels enough.

Without labels the score is prior + Σ weight·circumstance, so its explanation is exact. With labels (see
:func:`enough`) LightGBM starts from that sum as its initial score and learns corrections only, then one line is fitted
through the log-odds (Platt), both judged out of fold by enterprise; a correction that does not lower the log loss there is dropped.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from workbench.contracts import threads
from workbench.models.monitoring.candidates import CIRCUMSTANCES, Scoring
from workbench.models.monitoring.rehearsed import UNREHEARSED, WEIGHED, Rehearsed
from workbench.models.monitoring.windows import FAMILIES

MIN_LABELLED, MIN_POSITIVE, FOLDS = 60, 15, 5
SENSITIVITY = 0.7
"""Chance that an inspection confirms what is there [R]: a visit finds traces of past falsification only sometimes."""
NOT_EDITED = ("repeats", "elsewhere")
"""Circumstances that edits at full rate do not show, one at a time as they are made."""
TOGETHER = 0.5
"""Correlation of the labels of one enterprise's candidates; judged."""
COMPATIBLE = {"fabrication": {"fabrication", "exceedance", "treatment_off"}, "exceedance": {"exceedance", "fabrication", "treatment_off"}}
"""Inspection kinds that confirm a candidate of a kind."""


@dataclass(frozen=True)
class Scorer:
    """Fitted score.

    Parameters
    ----------
    scoring : Scoring
        Priors and weights.
    lines : dict of str to (slope, shift)
        Platt line of each offence kind; a kind without labels enough keeps slope 1 and shift 0.
    booster : str
        LightGBM model text; empty without a correction.
    note : str
        How it was fitted, for the card and the reasons.
    rehearsed : Rehearsed, optional
        Score of hourly points from the rehearsal; without it their candidates are scored by the plain sum like all others.
    fine : Rehearsed, optional
        Score of fine points from the rehearsal at full rate; half of their score, the plain sum being the other half.
    """

    scoring: Scoring
    lines: dict[str, tuple[float, float]] = field(default_factory=dict)
    booster: str = ""
    note: str = "unsupervised"
    rehearsed: Rehearsed | None = None
    fine: Rehearsed | None = None

    def terms(self, c: pd.DataFrame) -> pd.DataFrame:
        """Return the additive terms of each candidate (log-odds), columns ``base`` and :data:`CIRCUMSTANCES`; rows sum to the score."""
        out = base_terms(c, self.scoring, self.rehearsed, self.fine)
        kinds = c["detector"].map({k: f.kind for k, f in self.scoring.detectors.items()})
        slope = kinds.map(lambda k: self.lines.get(k, (1.0, 0.0))[0]).to_numpy(dtype=float)
        shift = kinds.map(lambda k: self.lines.get(k, (1.0, 0.0))[1]).to_numpy(dtype=float)
        if self.booster and len(c):
            learned = (kinds == "fabrication").to_numpy(dtype=float)[:, None]
            shap = learned * self._trees().predict(design(c), pred_contrib=True, num_threads=1)
            out[list(CIRCUMSTANCES)] += shap[:, : len(CIRCUMSTANCES)]
            out["base"] += shap[:, len(CIRCUMSTANCES) :].sum(axis=1)
        out = out.mul(slope, axis=0)
        out["base"] += shift
        return out

    def log_odds(self, c: pd.DataFrame) -> np.ndarray:
        """Return the score of each candidate."""
        return self.terms(c).sum(axis=1).to_numpy()

    def _trees(self) -> Any:
        import lightgbm

        return lightgbm.Booster(model_str=self.booster)


def plain_terms(c: pd.DataFrame, scoring: Scoring) -> pd.DataFrame:
    """Return prior and weighted circumstances of each candidate."""
    out = pd.DataFrame(index=c.index)
    out["base"] = c["detector"].map({k: f.prior for k, f in scoring.detectors.items()}).astype(float)
    for name in CIRCUMSTANCES:
        weight = scoring.circumstances[name].weight
        # what is not known (a feature of the span, without readings in it) says nothing either way
        out[name] = weight * c[name].astype(float).fillna(0.0)
    exceedance = (c["family"] == "exceedance").to_numpy()
    # for a reading over the limit the other channels and their calm are no argument
    out.loc[exceedance, ["second_channel", "running", "whole_device", "duration", "below", "device_fault"]] = 0.0
    # the shift detectors are cross-channel already: the same residual must not count twice
    out.loc[c["family"].isin(("scale", "dilution", "clean")).to_numpy(), ["second_channel", "below"]] = 0.0
    return out


def by_rehearsal(c: pd.DataFrame, scoring: Scoring) -> np.ndarray:
    """Return which candidates a rehearsed score judges: hourly pollutants, families that were rehearsed, shape (candidate,)."""
    fabrication = c["detector"].map({k: f.kind == "fabrication" for k, f in scoring.detectors.items()}).to_numpy(dtype=bool)
    return np.asarray(c["hourly"].to_numpy(dtype=bool) & fabrication & c["family"].isin(FAMILIES).to_numpy())


def by_fine_rehearsal(c: pd.DataFrame, scoring: Scoring) -> np.ndarray:
    """Return which candidates the score rehearsed at full rate judges, shape (candidate,)."""
    fabrication = c["detector"].map({k: f.kind == "fabrication" for k, f in scoring.detectors.items()}).to_numpy(dtype=bool)
    return np.asarray(c["fine"].to_numpy(dtype=bool) & fabrication & c["family"].isin(FAMILIES).to_numpy())


def base_terms(c: pd.DataFrame, scoring: Scoring, rehearsed: Rehearsed | None, fine: Rehearsed | None = None) -> pd.DataFrame:
    """Return the terms before labels speak: the rehearsed trees where they may judge, prior and weighted circumstances elsewhere.

    Fine points take the mean of both log-odds: what was stated knows of circumstances that no edit shows, what was learned knows the
    district's own honest oddities, and neither is sure of the other's ground.
    """
    out = plain_terms(c, scoring)
    if not len(c):
        return out
    if rehearsed is not None:
        mine = by_rehearsal(c, scoring)
        out.loc[mine] = _taught(out.loc[mine], c[mine], rehearsed, UNREHEARSED)
    if fine is not None:
        mine = by_fine_rehearsal(c, scoring)
        out.loc[mine] = 0.5 * (out.loc[mine] + _taught(out.loc[mine], c[mine], fine, (*UNREHEARSED, *NOT_EDITED)))
    return out


def _taught(plain: pd.DataFrame, c: pd.DataFrame, rehearsed: Rehearsed, kept: tuple[str, ...]) -> pd.DataFrame:
    """Return the terms of a rehearsed score: the trees' own, and of the plain terms those that no edit shows."""
    base, parts = rehearsed.contributions(c)
    out = plain.copy()
    out.loc[:, [k for k in out if k not in kept]] = 0.0
    out["base"] = base
    out[list(WEIGHED)] += parts
    return out


def design(c: pd.DataFrame) -> np.ndarray:
    """Return the feature matrix of the trees, shape (candidate, circumstance)."""
    return c[list(CIRCUMSTANCES)].to_numpy(dtype=float)


def label_candidates(c: pd.DataFrame, enterprises: np.ndarray, kinds: np.ndarray, labels: pd.DataFrame) -> np.ndarray:
    """Return 1, 0 or NaN per candidate: confirmed, refuted or not inspected.

    A candidate is labelled by an inspection of its enterprise whose period covers part of it: confirmed where the inspection found a
    violation of a compatible kind, refuted where it found none at all; another violation labels nothing.
    """
    out = np.full(len(c), np.nan)
    if not len(labels):
        return out
    by = {str(e): g for e, g in labels.groupby("enterprise_id", sort=True)}
    for i, (e, start, end) in enumerate(zip(enterprises, c["start"], c["end"], strict=True)):
        mine = by.get(str(e))
        if mine is None:
            continue
        near = mine[(mine["period_start"] < end) & (mine["period_end"] + pd.Timedelta(days=1) > start)]
        if not len(near):
            continue
        wanted = COMPATIBLE.get(str(kinds[i]), set())
        hit = [f == "violation" and bool(wanted & set(k)) for f, k in zip(near["finding"], near["kinds"], strict=True)]
        if any(hit):
            out[i] = 1.0
        elif (near["finding"] == "none").all():
            out[i] = 0.0
    return out


def fit_scorer(
    c: pd.DataFrame,
    y: np.ndarray,
    groups: np.ndarray,
    scoring: Scoring,
    seed: int,
    rehearsed: Rehearsed | None = None,
    fine: Rehearsed | None = None,
    said: str = "",
) -> Scorer:
    """Fit the score; see the module's first lines for the rule.

    Parameters
    ----------
    y : float array
        From :func:`label_candidates`.
    groups : array of str
        Enterprise of each candidate: folds never split one.
    rehearsed, fine : Rehearsed, optional
        What the rehearsals taught, of hourly and of fine points; labels correct it.
    said : str
        What is to be noted of the rehearsal at full rate.
    """
    kinds = c["detector"].map({k: f.kind for k, f in scoring.detectors.items()}).to_numpy(dtype=object)
    lines: dict[str, tuple[float, float]] = {}
    notes: list[str] = [note for note in (rehearsed.note if rehearsed else "", said) if note]
    booster = ""
    for kind in ("fabrication", "exceedance"):
        mine = np.isfinite(y) & (kinds == kind)
        counted = f"{kind}: {int(mine.sum())} labelled candidates, {int((y[mine] == 1).sum())} confirmed"
        if not enough(y[mine]):
            notes.append(f"{counted}; unsupervised, {MIN_LABELLED} and {MIN_POSITIVE} of each outcome are needed")
            continue
        base = base_terms(c[mine], scoring, rehearsed, fine).sum(axis=1).to_numpy()
        weight = shared_weights(groups[mine])
        if kind == "fabrication":
            lines[kind], booster, how = _fit_corrected(design(c)[mine], y[mine], base, weight, groups[mine].astype(str), seed)
        else:
            lines[kind], how = _platt(base, y[mine], weight), "calibrated sum"
        notes.append(f"{counted}; {how}")
    return Scorer(scoring, lines, booster, "; ".join(notes), rehearsed, fine)


def shared_weights(groups: np.ndarray) -> np.ndarray:
    """Return the weight of each labelled candidate, 1/(1 + (n − 1)·ρ) with n of its enterprise: one visit labels them together.

    Otherwise an offender with twenty candidates would teach that candidates are mostly right.
    """
    _, member, size = np.unique(groups.astype(str), return_inverse=True, return_counts=True)
    return np.asarray(1.0 / (1.0 + (size[member] - 1.0) * TOGETHER))


def _fit_corrected(
    x: np.ndarray, y: np.ndarray, start: np.ndarray, weight: np.ndarray, groups: np.ndarray, seed: int
) -> tuple[tuple[float, float], str, str]:
    """Return the Platt line, the trees (empty where they do not surely lower the log loss out of fold) and how it went.

    Surely: by more than one standard error of the difference over enterprises.
    """
    folds = folds_of(groups, seed)
    corrected = start.copy()
    for k in range(FOLDS):
        train, test = folds != k, folds == k
        if test.any() and len(np.unique(y[train])) == 2:
            trees = _boost(x[train], y[train], start[train], weight[train], seed)
            corrected[test] += trees.predict(x[test], raw_score=True, num_threads=1)
    plain, trees_loss = (platt_losses(s, y, weight, folds) for s in (start, corrected))
    gain = pd.Series(weight * (plain - trees_loss)).groupby(groups).sum().to_numpy()
    sure = gain.mean() > gain.std(ddof=1) / np.sqrt(len(gain)) if len(gain) > 1 else False
    before, after = (float(np.sum(weight * each) / weight.sum()) for each in (plain, trees_loss))
    if sure:
        how = f"boosted correction, log loss {after:.3f} against {before:.3f} without, out of fold by enterprise"
        return _platt(corrected, y, weight), _boost(x, y, start, weight, seed).model_to_string(), how
    return (
        _platt(start, y, weight),
        "",
        f"calibrated sum, log loss {before:.3f}; a boosted correction did not surely lower it ({after:.3f})",
    )


def enough(y: np.ndarray) -> bool:
    """Return whether the labels suffice: 60 labelled candidates with 15 of each outcome."""
    known = y[np.isfinite(y)]
    return len(known) >= MIN_LABELLED and min((known == 1).sum(), (known == 0).sum()) >= MIN_POSITIVE


def folds_of(groups: np.ndarray, seed: int) -> np.ndarray:
    """Return a fold for each candidate; those of one group share it."""
    names = np.unique(groups)
    order = np.random.default_rng(seed).permutation(len(names))
    fold = dict(zip(names[order], np.arange(len(names)) % FOLDS, strict=True))
    return np.array([fold[g] for g in groups])


def _boost(x: np.ndarray, y: np.ndarray, start: np.ndarray, weight: np.ndarray, seed: int) -> Any:
    import lightgbm

    data = lightgbm.Dataset(x, y, weight=weight, init_score=start, feature_name=list(CIRCUMSTANCES), free_raw_data=False)
    params = {
        "objective": "binary", "num_leaves": 4, "learning_rate": 0.05, "min_data_in_leaf": 10, "lambda_l2": 10.0,
        "deterministic": True, "force_row_wise": True, "num_threads": min(threads(), 2), "seed": seed, "verbosity": -1,
        "boost_from_average": False,
    }  # fmt: skip
    return lightgbm.train(params, data, num_boost_round=60)


def _platt(score: np.ndarray, y: np.ndarray, weight: np.ndarray) -> tuple[float, float]:
    """Return slope and shift of the logistic line, pulled towards 1 and 0 by a weak normal prior."""
    from scipy.optimize import minimize

    def loss(theta: np.ndarray) -> tuple[float, np.ndarray]:
        p = 1 / (1 + np.exp(-np.clip(theta[0] * score + theta[1], -30, 30)))
        seen = np.clip(SENSITIVITY * p, 1e-9, 1 - 1e-9)
        value = -np.sum(weight * (y * np.log(seen) + (1 - y) * np.log(1 - seen))) + 10 * (theta[0] - 1) ** 2 + 0.05 * theta[1] ** 2
        slope = weight * SENSITIVITY * p * (1 - p) * ((1 - y) / (1 - seen) - y / seen)
        return float(value), np.array([np.sum(slope * score) + 20 * (theta[0] - 1), np.sum(slope) + 0.1 * theta[1]])

    found = minimize(loss, np.array([1.0, 0.0]), jac=True, method="L-BFGS-B", bounds=[(0.1, 3.0), (-8.0, 8.0)])
    return float(found.x[0]), float(found.x[1])


def platt_losses(score: np.ndarray, y: np.ndarray, weight: np.ndarray, folds: np.ndarray) -> np.ndarray:
    """Return the log loss of each label under the line fitted without its fold."""
    out = np.zeros(len(y))
    for k in np.unique(folds):
        train, test = folds != k, folds == k
        slope, shift = _platt(score[train], y[train], weight[train])
        p = np.clip(SENSITIVITY / (1 + np.exp(-np.clip(slope * score[test] + shift, -30, 30))), 1e-6, 1 - 1e-6)
        out[test] = -(y[test] * np.log(p) + (1 - y[test]) * np.log(1 - p))
    return out
