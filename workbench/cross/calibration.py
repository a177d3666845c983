"""Recalibrate lead log-odds on inspected leads, shrunk hard towards no change: labels are few and chosen."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.optimize import minimize

from workbench.contracts import Queue
from workbench.cross.roles import priors

PRIOR = {Queue.MAIN: ((-0.2, 0.6), (0.7, 0.2)), Queue.SILENT: ((0.0, 0.5), (1.0, 0.2))}
"""Mean and standard deviation of shift and slope: fused log-odds overstate. Silent ones were already taken down to what a
visit confirms (``silent.in_a_visit``)."""


@dataclass(frozen=True)
class Calibration:
    """``logit' = shift + slope · logit``; ``n`` inspected leads stood behind it."""

    shift: float = 0.0
    slope: float = 1.0
    n: int = 0

    def __call__(self, logit: np.ndarray | float) -> np.ndarray:
        """Return recalibrated log-odds."""
        return np.asarray(self.shift + self.slope * np.asarray(logit, dtype=float))


DOCUMENTS = ((0.0, 0.4), (1.0, 0.2))
"""The same for leads on documents: nothing was fused, so nothing overstates."""


def calibrate(
    logit: np.ndarray,
    label: np.ndarray,
    weight: np.ndarray,
    queue: Queue = Queue.MAIN,
    *,
    documents: bool = False,
    known: np.ndarray | None = None,
) -> Calibration:
    """Return the MAP recalibration.

    Parameters
    ----------
    logit : float array, shape (lead,)
    label : float array, shape (lead,)
        1 the inspection of that span found a violation, 0 none.
    weight : float array, shape (lead,)
        Several leads of one inspection share its weight of one.
    queue : Queue
        Gives the prior.
    documents : bool
        Leads outside the physical state, which rest on documents: their own prior, and less said by a visit.
    known : float array, shape (lead,), optional
        Log-odds that are added after recalibration, as they are.

    Notes
    -----
    An inspection misses (sensitivity) and finds other things (false positive rate) as ``priors.yml`` states; the
    inspected are not the population, but conditional on the log-odds the outcome is taken as such.
    """
    (shift, shift_sd), (slope, slope_sd) = DOCUMENTS if documents else PRIOR[queue]
    if not len(logit):
        return Calibration(shift, slope, 0)
    i = priors().inspection
    se, fp = i["direct_sensitivity" if documents else "sensitivity"]["mean"], i["false_positive"]["mean"]

    added = np.zeros(len(logit)) if known is None else known

    def loss(x: np.ndarray) -> float:
        p = 1 / (1 + np.exp(-np.clip(x[0] + x[1] * logit + added, -30, 30)))
        y = se * p + fp * (1 - p)
        fit = weight @ (label * np.log(y) + (1 - label) * np.log(1 - y))
        return float(-fit + 0.5 * ((x[0] - shift) / shift_sd) ** 2 + 0.5 * ((x[1] - slope) / slope_sd) ** 2)

    best = minimize(loss, np.array([shift, slope]), method="L-BFGS-B", bounds=[(-4, 3), (0.2, 2.0)])
    return Calibration(round(float(best.x[0]), 6), round(float(best.x[1]), 6), len(logit))


def labelled(leads: pd.DataFrame, inspections: pd.DataFrame | None) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return (row numbers, labels, weights) of the leads whose span an inspection looked at."""
    none = np.zeros(0, dtype=int), np.zeros(0), np.zeros(0)
    if inspections is None or not len(inspections) or not len(leads):
        return none
    left = leads.reset_index(drop=True)[["enterprise_id", "start", "end"]].assign(row=np.arange(len(leads)))
    right = inspections[["inspection_id", "enterprise_id", "period_start", "period_end", "finding"]]
    both = left.merge(right, on="enterprise_id")
    both = both[(both["start"] <= both["period_end"]) & (both["end"] >= both["period_start"])]
    if not len(both):
        return none
    both["w"] = 1 / both.groupby("inspection_id")["row"].transform("size")
    g = both.groupby("row")
    return (
        g["row"].first().to_numpy(),
        g["finding"].agg(lambda f: float((f == "violation").any())).to_numpy(),
        g["w"].sum().clip(upper=1).to_numpy(),
    )


def apart_from(inspections: pd.DataFrame | None, found: pd.DataFrame) -> pd.DataFrame | None:
    """Return the inspections in whose period no model raised anything about the enterprise."""
    if inspections is None or not len(inspections) or not len(found):
        return inspections
    left = inspections[["enterprise_id", "period_start", "period_end"]].assign(row=np.arange(len(inspections)))
    both = left.merge(found[["enterprise_id", "start", "end"]], on="enterprise_id")
    met = both.loc[(both["start"] <= both["period_end"]) & (both["end"] >= both["period_start"]), "row"]
    return inspections[~left["row"].isin(met).to_numpy()]
