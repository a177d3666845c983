"""From additive scores to calibrated probabilities: stated priors, moved by inspection labels where they carry it.

Of each group of rules, calibrated log-odds = shift + slope · score. Without enough labels shift is 0 and slope 1 (the
stated priors); with them both are the maximum a posteriori under normal priors around 0 and 1, so that few labels
move little. An affine map keeps the score additive, so the explanation stays exact.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd

GROUPS: Mapping[str, str] = {
    "treatment_off_while_producing": "power",
    "treatment_idling_while_producing": "power",
    "condition_low_while_treating": "power",
    "reagent_out_of_line_with_energy": "reagent",
    "flow_contradicts_power": "conflict",
    "temperature_contradicts_power": "conflict",
    "carbon_replacement_overdue": "carbon",
    "carbon_mass_does_not_balance": "carbon",
    "tax_declared_below_measured": "tax",
    "tax_reduction_not_due": "tax",
    "output_out_of_line_with_energy": "output",
    "emission_out_of_line_with_output": "output",
}
"""Rules whose labels are pooled: what holds for one of them (how often a finding is confirmed) should hold for the others."""
COMPATIBLE: Mapping[str, frozenset[str]] = {
    "treatment_off": frozenset({"treatment_off", "fabrication", "exceedance"}),
    "carbon_overdue": frozenset({"carbon_overdue", "treatment_off"}),
    "false_report": frozenset({"false_report", "fabrication"}),
    "fabrication": frozenset({"fabrication", "false_report"}),
}
"""Kinds of an inspection that confirm a judgement of a kind."""


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


def labelled(results: pd.DataFrame, labels: pd.DataFrame, *, paper_days: float = 31.0) -> np.ndarray:
    """Return 1 confirmed, 0 not confirmed, NaN not inspected, for each result (``enterprise_id, kind, start, end``).

    An inspection speaks about a result whose span it overlaps; papers are looked at up to a month later.
    """
    out = np.full(len(results), np.nan)
    groups = dict(list(labels.groupby("enterprise_id"))) if len(labels) else {}
    columns = (results[c] for c in ("enterprise_id", "kind", "start", "end"))
    for k, (enterprise, kind, start, end) in enumerate(zip(*columns, strict=True)):
        mine = groups.get(enterprise)
        if mine is None:
            continue
        slack = pd.Timedelta(days=1 if kind == "treatment_off" else paper_days)
        near = mine[(mine["period_start"] <= end + slack) & (mine["period_end"] >= start - slack)]
        if len(near):
            wanted = COMPATIBLE[kind]
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
