"""Result tables that models, the cross layer and the pipeline exchange: findings, leads, attributions, conflicts."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from workbench.contracts.breaches import Breach
from workbench.contracts.errors import ContractBreach
from workbench.contracts.tables import RESULTS, Column, check_table, conform


def result_frame(name: str, rows: Sequence[Mapping[str, Any]] | pd.DataFrame = ()) -> pd.DataFrame:
    """Build a result table: contract columns first and in order, dtypes set, checked.

    Parameters
    ----------
    name : {"findings", "leads", "attributions", "conflicts"}
    rows : sequence of mappings or DataFrame
        Missing optional columns are filled as empty.

    Raises
    ------
    ContractBreach
        With every breach, if the rows do not meet the contract.
    """
    table = RESULTS[name]
    frame = pd.DataFrame(rows) if not isinstance(rows, pd.DataFrame) else rows.copy()
    for column, c in table.columns.items():
        if column not in frame:
            if not c.empty and len(frame):
                continue
            frame[column] = [[] for _ in range(len(frame))] if c.dtype == "list" else _blank(c, len(frame))
    frame = conform(name, frame)
    for column, c in table.columns.items():
        if not len(frame) and column in frame:
            frame[column] = _blank(c, 0)
    breaches: list[Breach] = check_table(name, frame)
    if breaches:
        raise ContractBreach(f"{name} do not meet their contract", got="; ".join(map(str, breaches[:5])), breaches=breaches, where=name)
    rest = [c for c in frame if c not in table.columns]
    return frame[[*table.columns, *rest]].reset_index(drop=True)


def _blank(c: Column, n: int) -> pd.Series:
    dtype = {"float": "float64", "int": "int64", "bool": "bool", "time": "datetime64[ns]"}.get(c.dtype, "object")
    fill: Any = {"float": float("nan"), "time": pd.NaT, "str": ""}.get(c.dtype)
    return pd.Series([fill] * n, dtype=dtype)


def stable_id(prefix: str, *parts: object) -> str:
    """Return a short identifier that depends on the parts only, so that re-runs name the same thing the same."""
    text = "\x1f".join(map(str, parts))
    return f"{prefix}-{hashlib.blake2b(text.encode(), digest_size=6).hexdigest()}"
