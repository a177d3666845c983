"""The result of one rule on one subject: three-valued, with its figure, its permit field and what was subtracted."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from workbench.models.rulings import JOIN, Statement, columns_of, split, statements_frame


@dataclass(frozen=True)
class RuleResult(Statement):
    """What one rule says about one permit, outlet, factor and span.

    Parameters
    ----------
    permit_id, factor : str
        Whom it is about; empty where the rule is not about one of them.
    permit_field : str
        ``table.column`` of the permit that the rule rests on.
    subtracted : tuple of (str, float)
        Kind and hours of the lawful marks left out.
    p : float
        The rule's own probability of a breach where it is a statistical statement, else NaN.
    strength : float
        How far beyond the threshold, as a logarithm (0: at the threshold); 0 unless violated.
    """

    permit_id: str = ""
    factor: str = ""
    permit_field: str = ""
    subtracted: tuple[tuple[str, float], ...] = ()
    p: float = float("nan")
    strength: float = 0.0


COLUMNS = (*columns_of(RuleResult), "subtracted")


def to_frame(results: Iterable[RuleResult]) -> pd.DataFrame:
    """Return results as a table, one row each, sorted; lists are joined so that the table fits a Dataset."""
    said = list(results)
    frame = statements_frame(RuleResult, said)
    frame["subtracted"] = pd.Series([JOIN.join(f"{k}={h:g}" for k, h in r.subtracted) for r in said], dtype=object)
    keys = ["enterprise_id", "rule", "outlet_id", "factor", "start", "end", "ruling"]
    return frame.sort_values(keys, kind="stable").reset_index(drop=True)


def records(frame: pd.DataFrame) -> list[dict[str, Any]]:
    """Return the rows of a small table as mappings (quicker than ``to_dict`` there)."""
    names = [str(c) for c in frame.columns]
    return [dict(zip(names, row, strict=True)) for row in zip(*(frame[c].tolist() for c in frame.columns), strict=True)]


def subtracted_words(joined: str) -> str:
    """Return ``calibration 3 h, startup 2 h`` for the marks joined by :func:`to_frame`."""
    return ", ".join(f"{part.partition('=')[0]} {part.partition('=')[2]} h" for part in split(joined))


def log_excess(value: float, threshold: float, *, cap: float = 3.0) -> float:
    """Return ln(value / threshold) in [0, cap]; ``cap`` where the threshold is 0 and the value is not."""
    if not np.isfinite(value) or not np.isfinite(threshold) or value <= threshold:
        return 0.0
    return cap if threshold <= 0 else float(min(cap, np.log(value / threshold)))
