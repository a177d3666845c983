"""From additive scores to calibrated probabilities: stated priors, moved by inspection labels where they carry it.

Of each group of rules, calibrated log-odds = shift + slope · score. Without enough labels shift is 0 and slope 1 (the
stated priors); with them both are the maximum a posteriori under normal priors around 0 and 1, so that few labels
move little. An affine map keeps the score additive, so the explanation stays exact.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import pandas as pd


@dataclass(frozen=True)
class Calibration:
    """Affine map of one group's scores, and what it rests on."""

    shift: float
    slope: float
    labels: int
    positives: int

    @property
    def learned(self) -> bool:
        """Whether labels moved it."""
        return self.shift != 0.0 or self.slope != 1.0


@dataclass(frozen=True)
class LabelPlan:
    """How inspections speak about the judgements of a model.

    Parameters
    ----------
    groups : mapping of str to str
        Group of each rule: what holds for one rule (how often it is confirmed) should hold for the others of its group,
        so that their labels are pooled.
    compatible : mapping of str to set of str
        Kinds of an inspection that confirm a judgement of a kind.
    days : mapping of str to float
        How many days beside its span an inspection may lie, by kind; others ``other_days``.
    """

    groups: Mapping[str, str]
    compatible: Mapping[str, frozenset[str]]
    other_days: float
    days: Mapping[str, float] = field(default_factory=dict)

    def confirmed(self, results: pd.DataFrame, labels: pd.DataFrame) -> np.ndarray:
        """Return 1 confirmed, 0 not confirmed, NaN not inspected, for each result.

        Parameters
        ----------
        results : DataFrame
            Judgements (``enterprise_id, kind, start, end``).
        labels : DataFrame
            Rows of ``inspections``.
        """
        out = np.full(len(results), np.nan)
        groups = dict(list(labels.groupby("enterprise_id"))) if len(labels) else {}
        columns = (results[c] for c in ("enterprise_id", "kind", "start", "end"))
        for k, (enterprise, kind, start, end) in enumerate(zip(*columns, strict=True)):
            mine = groups.get(enterprise)
            if mine is None:
                continue
            slack = pd.Timedelta(days=self.days.get(kind, self.other_days))
            near = mine[(mine["period_start"] <= end + slack) & (mine["period_end"] >= start - slack)]
            if len(near):
                wanted = self.compatible[kind]
                out[k] = float(any(f == "violation" and wanted & set(ks) for f, ks in zip(near["finding"], near["kinds"], strict=True)))
        return out


def calibrate(
    score: np.ndarray, y: np.ndarray, *, labels_min: float, positives_min: float, shift_sd: float, slope_sd: float
) -> Calibration:
    """Return the map of one group.

    Parameters
    ----------
    score : float array, shape (result,)
        Stated log-odds.
    y : float array, shape (result,)
        1, 0, or NaN where not inspected.
    labels_min, positives_min : float
        With fewer labels, or fewer of either outcome, the stated prior stands.
    shift_sd, slope_sd : float
        Prior spreads.
    """
    from scipy.optimize import minimize

    known = np.isfinite(y)
    n, positives = int(known.sum()), int(np.nansum(y))
    if n < labels_min or min(positives, n - positives) < positives_min:
        return Calibration(0.0, 1.0, n, positives)
    s, t = score[known], y[known]

    def loss(w: np.ndarray) -> tuple[float, np.ndarray]:
        z = w[0] + w[1] * s
        p = 1.0 / (1.0 + np.exp(-z))
        value = float(np.sum(np.logaddexp(0.0, z) - t * z) + 0.5 * (w[0] / shift_sd) ** 2 + 0.5 * ((w[1] - 1.0) / slope_sd) ** 2)
        return value, np.array([np.sum(p - t) + w[0] / shift_sd**2, np.sum((p - t) * s) + (w[1] - 1.0) / slope_sd**2])

    best = minimize(loss, np.array([0.0, 1.0]), jac=True, method="L-BFGS-B", bounds=[(-4, 4), (0.2, 3)]).x
    return Calibration(float(best[0]), float(best[1]), n, positives)
