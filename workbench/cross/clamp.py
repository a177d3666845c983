"""What an inspection of the same span already answered: the label as one more, imperfect, source."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from workbench.contracts import Kind
from workbench.cross.reliability import TOGETHER, sensitivity
from workbench.cross.roles import priors


def inspected_shift(
    enterprise: Sequence[str],
    start: Sequence[pd.Timestamp],
    end: Sequence[pd.Timestamp],
    kind: Sequence[str],
    inspections: pd.DataFrame | None,
) -> np.ndarray:
    """Return the log-odds that known inspections add to each lead.

    Parameters
    ----------
    enterprise, start, end, kind : sequences
        One entry per lead.
    inspections : DataFrame, optional
        Labels known so far.

    Returns
    -------
    float array, shape (lead,)
        ``log(se / fp)`` where a visit of the span found this kind or one that goes with it, ``log((1-se) / (1-fp))``
        where it found none; each times the share of the lead's span that the visit looked at. A violation of another
        kind says nothing. Several visits add up.
    """
    out = np.zeros(len(kind))
    if inspections is None or not len(inspections) or not len(out):
        return out
    se = sensitivity(pd.Series(list(kind), dtype=object))
    fp = float(priors().inspection["false_positive"]["mean"])
    by = dict(iter(inspections.groupby("enterprise_id", sort=False)))
    for i, (e, a, b, k) in enumerate(zip(enterprise, start, end, kind, strict=True)):
        if e not in by:
            continue
        g = by[e]
        length = max((b - a) / pd.Timedelta(hours=1), 1.0)
        for first, last, finding, kinds in zip(g["period_start"], g["period_end"], g["finding"], g["kinds"], strict=True):
            share = np.clip((min(b, last) - max(a, first)) / pd.Timedelta(hours=1) / length, 0.0, 1.0)
            if share > 0 and finding == "none":
                out[i] += share * np.log((1 - se[i]) / (1 - fp))
            elif share > 0 and TOGETHER[Kind(k)] & {str(x) for x in kinds}:
                out[i] += share * np.log(se[i] / fp)
    return out
