"""How far a model's own probability is believed: learned from inspected findings, pooled over detectors and models.

A model's ``p_breach`` is calibrated on few and chosen labels, detector by detector at best. Here every finding gets
``logit q = base + slope·logit p + u_model + u_detector``, with the expert's base and slope as prior means and normal
offsets, fitted to inspections that looked at the finding's span. A visit that bears something out says that *one* of the
findings it bears out holds, not each: ``P(borne out) = 1 - (1-leak)·∏(1 - se·q)`` (a noisy-or), else every false alarm at a
works that was caught would count as true. What is seen on documents or on the plant's own meters
has prior means nearer to the model's word than what is inferred from a monitor's series, and what is inferred from the air at the
fence means further from it. With no label the means stand.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.optimize import minimize

from workbench.contracts import Kind
from workbench.cross.roles import priors

CLIP = 3.0
"""Log-odds beyond which a model's certainty says nothing more."""
TOGETHER: dict[str, frozenset[str]] = {
    Kind.FABRICATION: frozenset({Kind.FABRICATION, Kind.FALSE_REPORT, Kind.EXCEEDANCE, Kind.TREATMENT_OFF}),
    Kind.EXCEEDANCE: frozenset({Kind.EXCEEDANCE, Kind.PERMIT_BREACH, Kind.TREATMENT_OFF, Kind.FUGITIVE}),
    Kind.TREATMENT_OFF: frozenset({Kind.TREATMENT_OFF, Kind.FABRICATION, Kind.EXCEEDANCE, Kind.FALSE_REPORT}),
    Kind.PERMIT_BREACH: frozenset({Kind.PERMIT_BREACH, Kind.FALSE_REPORT, Kind.EXCEEDANCE}),
    Kind.FALSE_REPORT: frozenset({Kind.FALSE_REPORT, Kind.PERMIT_BREACH, Kind.FABRICATION}),
    Kind.CARBON_OVERDUE: frozenset({Kind.CARBON_OVERDUE, Kind.TREATMENT_OFF, Kind.PERMIT_BREACH}),
    Kind.FUGITIVE: frozenset({Kind.FUGITIVE, Kind.EXCEEDANCE}),
}
"""A finding of one kind is borne out by an inspection that found one of these: the visit looked into the right matter."""


@dataclass(frozen=True)
class FindingReliability:
    """Offsets by model and detector.

    Parameters
    ----------
    base, slope : float
    model : dict of str to float
    detector : dict of (str, str) to float
        By (model, detector).
    sd : dict of (str, str) to float
        Posterior standard deviation of the log-odds of a detector's findings.
    n : int
        Inspected findings behind it.
    raised : bool
        Whether it is about findings that were raised, or about doubts.
    """

    base: float
    slope: float
    model: dict[str, float]
    detector: dict[tuple[str, str], float]
    sd: dict[tuple[str, str], float]
    n: int
    raised: bool = True

    def believed(self, found: pd.DataFrame) -> np.ndarray:
        """Return the believed probability of every finding (columns ``model, detector, p``)."""
        x = _logit(found["p"].to_numpy(dtype=float))
        pairs = list(zip(found["model"], found["detector"], strict=True))
        offset = np.array([self.model.get(m, 0.0) + self.detector.get((m, d), 0.0) for m, d in pairs])
        offset = offset + (manner_offset(x, found["kind"]) if self.raised else 0.0)
        return np.asarray(1 / (1 + np.exp(-(self.base + self.slope * x + offset))))

    def table(self) -> pd.DataFrame:
        """Return one row per detector that was inspected: offset in log-odds, its standard deviation."""
        rows = [
            {"model": m, "detector": d, "offset": self.model.get(m, 0.0) + v, "sd": self.sd[(m, d)]} for (m, d), v in self.detector.items()
        ]
        return pd.DataFrame(rows, columns=["model", "detector", "offset", "sd"])


def manner_offset(x: np.ndarray, kind: pd.Series) -> np.ndarray:
    """Return what the belief in a finding gains or loses against one on a monitor's series, at log-odds ``x``.

    Findings seen directly (documents, the plant's own meters) are believed more, those inferred from shared air less.
    """
    f = priors().findings
    out = np.zeros(len(x))
    for d in (f["direct"], f["ambient"]):
        base, own = (float(np.log(b / (1 - b))) for b in (f["base"], d["base"]))
        out += np.where(kind.isin(d["kinds"]).to_numpy(), own - base + (d["slope"] - f["slope"]) * x, 0.0)
    return out


def sensitivity(kind: pd.Series) -> np.ndarray:
    """Return the share of violations of each kind that an inspection finds."""
    i = priors().inspection
    direct = kind.isin(priors().findings["direct"]["kinds"]).to_numpy()
    return np.asarray(np.where(direct, i["direct_sensitivity"]["mean"], i["sensitivity"]["mean"]))


def coincidence(kind: pd.Series, inspections: pd.DataFrame | None) -> np.ndarray:
    """Return the chance that a visit bears out a finding that does not hold: by its own error, or by another matter of the works.

    The share of the visits given (those that met no finding) that found a violation of the kind or of one that goes with it,
    with the false positive rate worth as many visits as its prior says.
    """
    prior = priors().inspection["false_positive"]
    n = 0 if inspections is None else len(inspections)
    sets = [set(_listed(k)) for k in inspections["kinds"]] if n and inspections is not None else []
    rate = {
        str(k): (prior["mean"] * prior["worth"] + sum(bool(TOGETHER[k] & s) for s in sets)) / (prior["worth"] + n)
        for k in sorted(set(kind))
    }
    return np.array([rate[str(k)] for k in kind], dtype=float)


def inspected_findings(found: pd.DataFrame, inspections: pd.DataFrame | None) -> pd.DataFrame:
    """Return the (finding, inspection) pairs that overlap, with ``label`` and ``weight``.

    Pairs of one detector in one inspection share a weight of one: ten findings of one week are one word.
    """
    if inspections is None or not len(inspections) or not len(found):
        return pd.DataFrame(columns=["model", "detector", "kind", "p", "label", "weight"])
    right = inspections[["inspection_id", "enterprise_id", "period_start", "period_end", "finding", "kinds"]]
    left = found[["finding_id", "model", "detector", "enterprise_id", "start", "end", "kind", "p"]]
    both = left.merge(right, on="enterprise_id")
    both = both[(both["start"] <= both["period_end"]) & (both["end"] >= both["period_start"])].copy()
    both["label"] = [
        float(f == "violation" and (not len(kinds) or bool(TOGETHER[k] & set(kinds))))
        for f, k, kinds in zip(both["finding"], both["kind"], both["kinds"].map(_listed), strict=True)
    ]
    both["weight"] = 1.0 / both.groupby(["inspection_id", "model", "detector"])["finding_id"].transform("size")
    return both.reset_index(drop=True)


def fit_reliability(found: pd.DataFrame, inspections: pd.DataFrame | None, *, raised: bool = True) -> FindingReliability:
    """Return the MAP reliability with its curvature; with no inspected finding, the expert's means.

    Parameters
    ----------
    found : DataFrame
        From :func:`workbench.cross.episodes.breaches`, or :func:`~workbench.cross.episodes.doubts`.
    inspections : DataFrame, optional
    raised : bool
        Whether the models raised them; doubts have prior means of their own.
    """
    f = priors().findings if raised else {**priors().findings, **priors().doubts}
    base = float(np.log(f["base"] / (1 - f["base"])))
    pairs = inspected_findings(found, inspections)
    if not len(pairs):
        return FindingReliability(base, float(f["slope"]), {}, {}, {}, 0, raised)
    beside = None if inspections is None else inspections[~inspections["inspection_id"].isin(pairs["inspection_id"])]
    se, leak = sensitivity(pairs["kind"]), coincidence(pairs["kind"], beside)
    models = sorted(set(pairs["model"]))
    detectors = sorted(set(zip(pairs["model"], pairs["detector"], strict=True)))
    m = np.array([models.index(x) for x in pairs["model"]])
    d = np.array([detectors.index(x) for x in zip(pairs["model"], pairs["detector"], strict=True)])
    x, y, w = _logit(pairs["p"].to_numpy(dtype=float)), pairs["label"].to_numpy(dtype=float), pairs["weight"].to_numpy(dtype=float)
    mean = np.r_[base, float(f["slope"]), np.zeros(len(models) + len(detectors))]
    sd = np.r_[f["base_sd"], f["slope_sd"], np.full(len(models), f["model_sd"]), np.full(len(detectors), f["detector_sd"])]
    design = np.zeros((len(y), len(mean)))
    design[:, 0], design[:, 1] = 1.0, x
    design[np.arange(len(y)), 2 + m] = 1.0
    design[np.arange(len(y)), 2 + len(models) + d] = 1.0
    known = manner_offset(x, pairs["kind"]) if raised else np.zeros(len(x))

    # one outcome per visit and answer: what was borne out is explained by at least one of the findings that it bears out
    group = pairs.groupby(["inspection_id", "label"], sort=True).ngroup().to_numpy()
    n = int(group.max()) + 1
    borne = np.zeros(n)
    borne[group] = y
    nothing = np.full(n, np.inf)
    np.minimum.at(nothing, group, np.log1p(-leak))

    def missed(b: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return log P(no finding of a group borne out), shape (group,), and its slope in every finding's log-odds."""
        q = 1 / (1 + np.exp(-np.clip(design @ b + known, -30, 30)))
        return nothing + np.bincount(group, w * np.log1p(-se * q), n), -w * se * q * (1 - q) / (1 - se * q)

    def loss(b: np.ndarray) -> tuple[float, np.ndarray]:
        log, each = missed(b)
        found = np.log(-np.expm1(log))
        value = -(borne * found + (1 - borne) * log).sum() + 0.5 * (((b - mean) / sd) ** 2).sum()
        slope = np.where(borne == 1, np.exp(log - found), -1.0)[group] * each
        return float(value), design.T @ slope + (b - mean) / sd**2

    best = np.round(minimize(loss, mean, jac=True, method="L-BFGS-B", options={"maxiter": 500, "gtol": 1e-8}).x, 6)
    log, each = missed(best)
    moves = np.zeros((n, len(mean)))
    np.add.at(moves, group, design * each[:, None])
    curvature = moves.T @ (moves * (np.exp(log) / -np.expm1(log))[:, None]) + np.diag(1 / sd**2)
    covariance = np.linalg.inv(curvature)
    rows = {
        pair: np.r_[1.0, 0.0, np.eye(len(models))[models.index(pair[0])], np.eye(len(detectors))[k]] for k, pair in enumerate(detectors)
    }
    return FindingReliability(
        float(best[0]),
        float(best[1]),
        {name: float(best[2 + k]) for k, name in enumerate(models)},
        {pair: float(best[2 + len(models) + k]) for k, pair in enumerate(detectors)},
        {pair: float(np.sqrt(v @ covariance @ v)) for pair, v in rows.items()},
        len(pairs),
        raised,
    )


def _logit(p: np.ndarray) -> np.ndarray:
    return np.asarray(np.clip(np.log(p / (1 - p)), -CLIP, CLIP))


def _listed(value: object) -> Sequence[str]:
    return [str(v) for v in value] if isinstance(value, (list, tuple, np.ndarray)) else []
