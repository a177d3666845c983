"""How inspections speak about what this model judges."""

from __future__ import annotations

from workbench.models.label_calibration import LabelPlan

LABELS = LabelPlan(
    groups={
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
    },
    compatible={
        "treatment_off": frozenset({"treatment_off", "fabrication", "exceedance"}),
        "carbon_overdue": frozenset({"carbon_overdue", "treatment_off"}),
        "false_report": frozenset({"false_report", "fabrication"}),
        "fabrication": frozenset({"fabrication", "false_report"}),
    },
    days={"treatment_off": 1.0},
    other_days=31.0,
)
"""A visit sees a treatment that is off within a day; papers are looked at up to a month later."""
