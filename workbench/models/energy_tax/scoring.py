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


def labelled(results: pd.DataFrame, labels: pd.DataFrame) -> np.ndarray:
    """Return 1 confirmed, 0 not confirmed, NaN not inspected, for each result.

    An inspection speaks about a result whose span it overlaps; papers are looked at up to a month later.
    """
    return confirmed_by(results, labels, COMPATIBLE, {"treatment_off": 1.0}, other_days=31.0)


__all__ = ["COMPATIBLE", "GROUPS", "Calibration", "calibrate", "labelled"]
