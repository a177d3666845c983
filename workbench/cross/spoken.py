"""The channels as they spoke, for learning: nothing set aside for the findings that repeat it."""

from __future__ import annotations

import pandas as pd

from workbench.cross.assemble import shared_word
from workbench.cross.context import context_channels
from workbench.cross.evidence import Evidence
from workbench.cross.roles import roles
from workbench.cross.severity import merge_graded


def as_spoken(raw: Evidence, enterprises: pd.DataFrame | None) -> Evidence:
    """Return what a fit and its checks look at: graded roles merged, context added, duties left out, no findings.

    Scoring mutes the hours for which a finding already speaks; learning from what is left would take a channel that alerts
    where its model does for one that never alerts.

    Parameters
    ----------
    raw : Evidence
        From :func:`workbench.cross.prepare` (``raw``).
    enterprises : DataFrame, optional
        Contract table, for streets and operators.
    """
    physical = Evidence(raw.enterprises, raw.hours, tuple(c for c in raw.channels if not (c.role and roles()[c.role].duty)))
    return shared_word(merge_graded(physical)).with_channels(*context_channels(physical, enterprises))
