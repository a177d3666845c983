"""The result of one rule on one subject: three-valued, with its figure, its permit field and what was subtracted."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, fields
from operator import attrgetter
from typing import Any

import numpy as np
import pandas as pd

from workbench.contracts import Ruling

_JOIN = "\x1f"


@dataclass(frozen=True)
class RuleResult:
    """What one rule says about one permit, outlet, factor and span.

    Parameters
    ----------
    rule : str
        Name of the rule function and of its row in ``params.yml``.
    ruling : Ruling
        ``violated``, ``compliant`` or ``not evaluable``; the last never counts as compliant.
    enterprise_id, permit_id, outlet_id, factor : str
        Whom it is about; empty where the rule is not about one of them.
    start, end : Timestamp
        Span, local time.
    value, threshold : float
        The figure found and the figure it was held against, both in ``unit``; NaN where there is none.
    unit : str
        Unit of value and threshold.
    permit_field : str
        ``table.column`` of the permit that the rule rests on.
    evidence : tuple of str
        Identifiers of the rows, series and marks used.
    subtracted : tuple of (str, float)
        Kind and hours of the lawful marks left out.
    reason_zh, reason_en : str
        The sentence for reviewers.
    p : float
        The rule's own probability of a breach where it is a statistical statement, else NaN.
    strength : float
        How far beyond the threshold, as a logarithm (0: at the threshold); 0 unless violated.
    """

    rule: str
    ruling: Ruling
    enterprise_id: str
    start: pd.Timestamp
    end: pd.Timestamp
    reason_zh: str
    reason_en: str
    permit_id: str = ""
    outlet_id: str = ""
    factor: str = ""
    value: float = float("nan")
    threshold: float = float("nan")
    unit: str = "1"
    permit_field: str = ""
    evidence: tuple[str, ...] = ()
    subtracted: tuple[tuple[str, float], ...] = ()
    p: float = float("nan")
    strength: float = 0.0


COLUMNS = tuple(f.name for f in fields(RuleResult))


def to_frame(results: Iterable[RuleResult]) -> pd.DataFrame:
    """Return results as a table, one row each, sorted; lists are joined so that the table fits a Dataset."""
    rows = list(map(attrgetter(*COLUMNS), results))
    frame = pd.DataFrame.from_records(rows, columns=list(COLUMNS))
    frame["ruling"] = frame["ruling"].map(str).astype(object)
    frame["evidence"] = frame["evidence"].map(_JOIN.join).astype(object)
    frame["subtracted"] = frame["subtracted"].map(lambda s: _JOIN.join(f"{k}={h:g}" for k, h in s)).astype(object)
    for column in ("value", "threshold", "p", "strength"):
        frame[column] = frame[column].astype("float64")
    for column in ("start", "end"):
        frame[column] = pd.to_datetime(frame[column]).astype("datetime64[ns]")
    keys = ["enterprise_id", "rule", "outlet_id", "factor", "start", "end", "ruling"]
    return frame.sort_values(keys, kind="stable").reset_index(drop=True)


def records(frame: pd.DataFrame) -> list[dict[str, Any]]:
    """Return the rows of a small table as mappings (quicker than ``to_dict`` there)."""
    names = [str(c) for c in frame.columns]
    return [dict(zip(names, row, strict=True)) for row in zip(*(frame[c].tolist() for c in frame.columns), strict=True)]


def split_evidence(joined: str) -> list[str]:
    """Return the identifiers joined by :func:`to_frame`."""
    return [part for part in joined.split(_JOIN) if part]


def subtracted_words(joined: str) -> str:
    """Return ``calibration 3 h, startup 2 h`` for the marks joined by :func:`to_frame`."""
    return ", ".join(f"{part.partition('=')[0]} {part.partition('=')[2]} h" for part in joined.split(_JOIN) if part)


def log_excess(value: float, threshold: float, *, cap: float = 3.0) -> float:
    """Return ln(value / threshold) in [0, cap]; ``cap`` where the threshold is 0 and the value is not."""
    if not np.isfinite(value) or not np.isfinite(threshold) or value <= threshold:
        return 0.0
    return cap if threshold <= 0 else float(min(cap, np.log(value / threshold)))
