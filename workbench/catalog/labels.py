"""Inspections as labels: what was decided, and was known on a day."""

from __future__ import annotations

import pandas as pd

from workbench.contracts import TABLES, conform


def decided(inspections: pd.DataFrame | None, before: pd.Timestamp | None) -> pd.DataFrame:
    """Return the inspections with a decision, of days before ``before`` where given; None: an empty table."""
    if inspections is None:
        return conform("inspections", pd.DataFrame({c: [] for c in TABLES["inspections"].columns}))
    known = inspections["decided_on"].notna()
    if before is not None:
        known &= inspections["decided_on"] < pd.Timestamp(before)
    return inspections[known].reset_index(drop=True)
