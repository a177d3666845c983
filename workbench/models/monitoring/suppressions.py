"""Suppressions: a person may silence a detector at a point for a while, with a reason and a name.

A suppressed finding stays in the table, flagged in ``suppressed_by``; it never counts as compliant, and an expired
suppression has no effect.
"""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import Any

import pandas as pd
import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from workbench.contracts import ParameterError


class Suppression(BaseModel):
    """One suppression.

    Parameters
    ----------
    detector : str
        Detector name, or ``*`` for every detector.
    point_id : str
        Point.
    start, end : datetime
        Window of data it covers.
    reason : str
        Why, in at least five characters.
    signed_by : str
        Person who answers for it.
    signed_on : date
    expires_on : date
        Data after this day are not covered, whatever the window says.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    detector: str = Field(min_length=1)
    point_id: str = Field(min_length=1)
    start: dt.datetime
    end: dt.datetime
    reason: str = Field(min_length=5)
    signed_by: str = Field(min_length=2)
    signed_on: dt.date
    expires_on: dt.date

    @model_validator(mode="after")
    def _ordered(self) -> Suppression:
        if self.end <= self.start or self.expires_on < self.signed_on:
            raise ValueError("the window must end after it starts, and the suppression expire after it was signed")
        return self

    def covers(self, detector: str, point_id: str, start: pd.Timestamp, end: pd.Timestamp) -> bool:
        """Return whether a finding lies wholly inside what was signed for and ends before the suppression expires."""
        return (
            self.detector in ("*", detector)
            and self.point_id == point_id
            and start >= pd.Timestamp(self.start)
            and end <= pd.Timestamp(self.end)
            and end <= pd.Timestamp(self.expires_on) + pd.Timedelta(days=1)
        )

    def __str__(self) -> str:
        return f"{self.signed_by}, {self.signed_on}, until {self.expires_on}: {self.reason}"


def read_suppressions(file: str | Path) -> list[Suppression]:
    """Read suppressions from YAML (``suppressions: [row, …]``) or parquet (one row each).

    Raises
    ------
    ParameterError
        If the file cannot be read or a row is incomplete; none of its rows is used then.
    """
    path = Path(file)
    try:
        if path.suffix == ".parquet":
            rows: list[Any] = pd.read_parquet(path).to_dict("records")
        else:
            rows = yaml.safe_load(path.read_text(encoding="utf-8"))["suppressions"]
        return [Suppression.model_validate(r) for r in rows]
    except (OSError, ValueError, KeyError, TypeError, yaml.YAMLError, ValidationError) as error:
        raise ParameterError(
            "cannot read the suppressions",
            got=str(error),
            allowed="rows with detector, point_id, start, end, reason, signed_by, signed_on, expires_on",
            where=str(path),
            next_step="complete the rows; an unsigned or unreasoned suppression is refused",
        ) from error
