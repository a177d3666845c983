"""One review: the results of every rule in force on one dossier."""

from __future__ import annotations

import pandas as pd

from workbench.models.permit.dossier import Dossier
from workbench.models.permit.results import RuleResult
from workbench.models.permit.rules import RULES
from workbench.models.permit.settings import Settings


def results_of(d: Dossier, settings: Settings) -> list[RuleResult]:
    """Return the results of every rule in force on one dossier."""
    out: list[RuleResult] = []
    for name, rule in RULES.items():
        if settings.in_force(name, d.grid.end - pd.Timedelta(hours=1)):
            out += rule(d, **settings.rules[name].numbers())
    return out
