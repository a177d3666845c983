"""One breach of a contract, as ``workbench check`` prints it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Breach:
    """What is wrong with an entry of a catalog.

    Parameters
    ----------
    entry : str
        Catalog entry.
    column : str
        Column, variable or coordinate; empty where the whole entry is meant.
    expected : str
        What the contract asks for.
    rows : int
        Number of offending rows or values; 0 where the breach is not about rows.
    examples : sequence of str
        The first offending rows, as ``row 17: value``.
    level : {"error", "warning"}
        An error makes the entry unusable as a whole; a warning makes models abstain for the rows named.
    """

    entry: str
    column: str
    expected: str
    rows: int = 0
    examples: Sequence[str] = ()
    level: Literal["error", "warning"] = "error"

    def __str__(self) -> str:
        where = f"{self.entry}.{self.column}" if self.column else self.entry
        count = f" ({self.rows:,} rows)" if self.rows else ""
        tail = f": {'; '.join(self.examples)}" if self.examples else ""
        return f"{self.level} {where}: expected {self.expected}{count}{tail}"
