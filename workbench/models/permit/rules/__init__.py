"""The rules R1–R12: small functions named like the breach they look for, one module per subject.

A rule takes the dossier of one enterprise and the numbers of its row in ``params.yml`` and returns three-valued
results, at least one. It never reads anything else, so each is readable and testable alone.
"""

from __future__ import annotations

from collections.abc import Callable
from types import MappingProxyType

from workbench.models.permit.results import RuleResult
from workbench.models.permit.rules import (
    anomaly,
    concentration,
    consistency,
    facility,
    fugitive,
    ledger,
    marking,
    outlets,
    quantity,
    reporting,
    self_monitoring,
    validity,
)

Rule = Callable[..., list[RuleResult]]

GROUPS: MappingProxyType[str, tuple[Rule, ...]] = MappingProxyType(
    {
        "R1": (validity.permit_lapsed_while_discharging, validity.renewal_applied_for_too_late),
        "R2": (outlets.outlet_missing_from_permit, outlets.outlet_moved_or_redirected),
        "R3": (
            concentration.hourly_concentration_over_permitted,
            concentration.daily_concentration_over_permitted,
            concentration.sample_over_permitted,
        ),
        "R4": (quantity.annual_amount_over_permitted, quantity.special_period_amount_over_permitted),
        "R5": (self_monitoring.self_monitoring_missed,),
        "R6": (ledger.ledger_days_missing, ledger.ledger_rows_repeated, ledger.ledger_edited_after_the_fact),
        "R7": (reporting.execution_report_late_or_missing,),
        "R8": (
            consistency.declared_amount_below_measured,
            consistency.declared_amount_below_ledger,
            consistency.tax_below_reported,
            consistency.exceedance_hours_underreported,
        ),
        "R9": (facility.treatment_hours_contradict_power, facility.fuel_or_material_over_permitted),
        "R10": (marking.marked_hours_over_cap, marking.stopped_mark_contradicts_power),
        "R11": (anomaly.outage_not_reported,),
        "R12": (fugitive.fugitive_concentration_over_permitted,),
    }
)
"""Rule functions by their number in the handbook."""
RULES: MappingProxyType[str, Rule] = MappingProxyType({rule.__name__: rule for group in GROUPS.values() for rule in group})
"""Every rule by name."""
GROUP_OF: MappingProxyType[str, str] = MappingProxyType({rule.__name__: g for g, group in GROUPS.items() for rule in group})
"""Number of each rule."""
