"""A half-open span of local time."""

from __future__ import annotations

from dataclasses import dataclass

import pandas as pd

from workbench.contracts.errors import ParameterError


@dataclass(frozen=True)
class Period:
    """Half-open local time span ``[start, end)``, Asia/Shanghai without zone.

    Raises
    ------
    ParameterError
        If the end is not after the start.
    """

    start: pd.Timestamp
    end: pd.Timestamp

    def __post_init__(self) -> None:
        for name in ("start", "end"):
            stamp = pd.Timestamp(getattr(self, name))
            if stamp.tz is not None:
                stamp = stamp.tz_convert("Asia/Shanghai").tz_localize(None)
            object.__setattr__(self, name, stamp)
        if not self.end > self.start:
            raise ParameterError(
                "a period must end after it starts",
                got=f"{self.start} to {self.end}",
                allowed="start < end",
                next_step="swap or widen the two times",
            )

    @classmethod
    def parse(cls, text: str) -> Period:
        """Read ``2026-01-01/2026-05-01`` (end not included).

        Raises
        ------
        ParameterError
            If the text is not two dates joined by a slash.
        """
        head, slash, tail = text.partition("/")
        try:
            if not slash:
                raise ValueError(text)
            return cls(pd.Timestamp(head.strip()), pd.Timestamp(tail.strip()))
        except ValueError as error:
            raise ParameterError(
                "cannot read a period",
                got=text,
                allowed="START/END, for example 2026-01-01/2026-05-01 (end not included)",
            ) from error

    @property
    def days(self) -> float:
        """Length in days."""
        return (self.end - self.start) / pd.Timedelta(days=1)

    def __str__(self) -> str:
        return f"{self.start.isoformat()}/{self.end.isoformat()}"
