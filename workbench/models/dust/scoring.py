"""From additive scores to calibrated probabilities: stated priors, moved by inspection labels where they carry it.

Of each group of rules, calibrated log-odds = shift + slope · score. Without enough labels shift is 0 and slope 1 (the
stated priors); with them both are the maximum a posteriori under normal priors around 0 and 1, so that few labels
move little. An affine map keeps the score additive, so the explanation stays exact.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd

from workbench.models.label_calibration import Calibration, calibrate, confirmed_by

GROUPS: Mapping[str, str] = {
    "dust_rises_over_background": "series",
    "dust_stays_high_at_working_hours": "series",
    "dust_stays_high_for_days": "series",
    "fence_reads_below_background": "low",
    "clip_shows_dust": "clips",
    "clip_shows_uncovered_pile": "clips",
    "clip_shows_black_smoke": "clips",
    "clip_shows_open_burning": "clips",
}
"""Rules whose labels are pooled."""
COMPATIBLE: Mapping[str, frozenset[str]] = {
    "fugitive": frozenset({"fugitive", "exceedance"}),
    "exceedance": frozenset({"exceedance", "treatment_off", "permit_breach"}),
    "fabrication": frozenset({"fabrication", "false_report"}),
}
"""Kinds of an inspection that confirm a judgement of a kind."""


def labelled(results: pd.DataFrame, labels: pd.DataFrame) -> np.ndarray:
    """Return 1 confirmed, 0 not confirmed, NaN not inspected, for each result.

    An inspection speaks about a result whose span it overlaps, give or take a day.
    """
    return confirmed_by(results, labels, COMPATIBLE, {}, other_days=1.0)


__all__ = ["COMPATIBLE", "GROUPS", "Calibration", "calibrate", "labelled"]
