"""How inspections speak about what this model judges."""

from __future__ import annotations

from workbench.models.label_calibration import LabelPlan

LABELS = LabelPlan(
    groups={
        "dust_rises_over_background": "series",
        "dust_stays_high_at_working_hours": "series",
        "dust_stays_high_for_days": "series",
        "fence_reads_below_background": "low",
        "clip_shows_dust": "clips",
        "clip_shows_uncovered_pile": "clips",
        "clip_shows_black_smoke": "clips",
        "clip_shows_open_burning": "clips",
    },
    compatible={
        "fugitive": frozenset({"fugitive", "exceedance"}),
        "exceedance": frozenset({"exceedance", "treatment_off", "permit_breach"}),
        "fabrication": frozenset({"fabrication", "false_report"}),
    },
    other_days=1.0,
)
"""A visit speaks about a span it overlaps, give or take a day: dust settles."""
