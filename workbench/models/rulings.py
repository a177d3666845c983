"""What one rule says about one enterprise and span, and how many such sentences become a table and lie in a Dataset."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, fields
from operator import attrgetter
from typing import Any

import pandas as pd
import xarray as xr

from workbench.contracts import Ruling

JOIN = "\x1f"
"""Joins identifiers, so that a list of them fits one cell of an array."""
_WORDS = ("Ruling", "Kind", "Outcome")
_STORED: dict[str, Any] = {"str": object, "float": "float64", "pd.Timestamp": "datetime64[ns]"} | dict.fromkeys(_WORDS, object)
"""Dtype of a field's cell by its declared type."""


@dataclass(frozen=True)
class Statement:
    """What one rule says, in three values; each model adds what else its rules know.

    Parameters
    ----------
    rule : str
        Name of the rule function and of its row in ``params.yml``.
    ruling : Ruling
        ``violated``, ``compliant`` or ``not evaluable``; the last never counts as compliant.
    enterprise_id, outlet_id : str
        Whom it is about; empty where it is not about one.
    start, end : Timestamp
        Span, local time.
    reason_zh, reason_en : str
        The sentence for reviewers.
    value, threshold : float
        The figure found and the figure it was held against, both in ``unit``; NaN where there is none.
    unit : str
        Unit of value and threshold.
    evidence : tuple of str
        Identifiers of the rows, series, clips and marks used.
    """

    rule: str
    ruling: Ruling
    enterprise_id: str
    start: pd.Timestamp
    end: pd.Timestamp
    reason_zh: str
    reason_en: str
    outlet_id: str = field(default="", kw_only=True)
    value: float = field(default=float("nan"), kw_only=True)
    threshold: float = field(default=float("nan"), kw_only=True)
    unit: str = field(default="1", kw_only=True)
    evidence: tuple[str, ...] = field(default=(), kw_only=True)


def columns_of(kind: type[Statement]) -> tuple[str, ...]:
    """Return the fields of a statement that one cell can hold: texts, numbers, times, words of a closed list, identifiers."""
    return tuple(f.name for f in fields(kind) if f.type in _STORED or f.name == "evidence")


def statements_frame(kind: type[Statement], said: Iterable[Statement]) -> pd.DataFrame:
    """Return statements of one kind as a table, a row each, in their order; identifiers are joined (:func:`split`)."""
    columns = columns_of(kind)
    frame = pd.DataFrame.from_records(list(map(attrgetter(*columns), said)), columns=list(columns))
    frame["evidence"] = frame["evidence"].map(JOIN.join)
    for f in fields(kind):
        if f.type in _WORDS:
            frame[f.name] = frame[f.name].map(str)
    return frame.astype({f.name: _STORED[str(f.type)] for f in fields(kind) if f.type in _STORED} | {"evidence": object})


def split(joined: str) -> list[str]:
    """Return the identifiers joined in one cell."""
    return [part for part in joined.split(JOIN) if part]


def cells_of(prefix: str, frame: pd.DataFrame) -> dict[str, Any]:
    """Return a table as variables ``<prefix>_<column>`` of a Dataset, with ``prefix`` as their dim."""
    columns = {c: frame[c].to_numpy() for c in frame}
    return {f"{prefix}_{c}": (prefix, v if v.dtype.kind in "fiM" else v.astype(object)) for c, v in columns.items()}


def frame_of(prefix: str, features: xr.Dataset, columns: Sequence[str]) -> pd.DataFrame:
    """Return the table that :func:`cells_of` laid into a Dataset."""
    return pd.DataFrame({c: features[f"{prefix}_{c}"].to_numpy() for c in columns})
