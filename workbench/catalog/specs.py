"""Settings of our own readers, as they stand in a catalog file; pydantic holds them to their form."""

from __future__ import annotations

import datetime as dt
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

Encoding = Literal["auto", "utf-8", "utf-8-sig", "gbk", "gb18030"]
FILE = "<file>"
"""Stands in a point identifier for the file's name without its ending."""


class _Spec(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class TimeSpec(_Spec):
    """Where the times of a wide table come from; exactly one of ``columns``, ``parts`` and ``start``."""

    columns: list[str] | None = Field(None, description="one timestamp column, or a date and a time column joined by a space")
    format: str | None = Field(None, description="strptime format of the joined columns; guessed where absent")
    parts: dict[Literal["year", "month", "day", "hour", "minute", "second"], str] | None = Field(None, description="part -> column")
    start: dt.datetime | None = Field(None, description="time of the first row, for tables that have no times")
    step_s: float | None = Field(None, gt=0, description="grid step in seconds; the most frequent one where absent")
    zone: str = Field("Asia/Shanghai", description="zone of the timestamps as written")
    since: dt.datetime | None = None
    until: dt.datetime | None = Field(None, description="rows from here on are left out")

    @model_validator(mode="after")
    def _one_source(self) -> Self:
        given = [n for n in ("columns", "parts", "start") if getattr(self, n) is not None]
        if len(given) != 1:
            raise ValueError(f"give exactly one of columns, parts and start (got {', '.join(given) or 'none'})")
        if self.start is not None and self.step_s is None:
            raise ValueError("a table without times needs step_s beside start")
        if self.parts is not None and not {"year", "month", "day"} <= set(self.parts):
            raise ValueError("parts need at least year, month and day")
        return self


class WideTableSpec(_Spec):
    """Settings of :class:`workbench.catalog.readers.WideTableCube`."""

    columns: dict[str, str] = Field(min_length=1, description="source column -> point_id; <file> stands for the file's name")
    time: TimeSpec
    arrange: Literal["one_after_another", "side_by_side"] = "one_after_another"
    marks: dict[str, str] = Field(default_factory=dict, description="value column -> column of its marks (letters or codes)")
    missing: list[float] = Field(default_factory=list, description="numbers that stand for nothing arrived")
    encoding: Encoding = "auto"
    sep: str = Field(",", min_length=1)

    @model_validator(mode="after")
    def _identifiers(self) -> Self:
        if self.arrange == "side_by_side" and not all(FILE in p for p in self.columns.values()):
            raise ValueError(f"files side by side need {FILE} in every point identifier")
        if self.arrange == "one_after_another" and any(FILE in p for p in self.columns.values()):
            raise ValueError(f"{FILE} in a point identifier needs arrange: side_by_side")
        if len(set(self.columns.values())) < len(self.columns):
            raise ValueError("two columns are given the same point identifier")
        if lost := set(self.marks) - set(self.columns):
            raise ValueError(f"marks name columns that are not read: {', '.join(sorted(lost))}")
        return self


class InlineTableSpec(_Spec):
    """Settings of :class:`workbench.catalog.readers.InlineTable`."""

    rows: list[dict[str, Any]] = Field(description="one mapping per row; a column that a row leaves out is empty there")
    constants: dict[str, Any] = Field(default_factory=dict, description="columns with one value for every row that gives none")
    table: str | None = Field(None, description="contract table, whose column types the values are read as")


class _MappingSpec(_Spec):
    """How a foreign table becomes one of the contract."""

    table: str = Field(description="contract table, whose column types the values are read as")
    columns: dict[str, str] = Field(default_factory=dict, description="contract column -> source column; others keep their names")
    constants: dict[str, Any] = Field(default_factory=dict, description="contract columns that the source lacks")
    values: dict[str, dict[str, Any]] = Field(default_factory=dict, description="contract column -> {source word: contract word}")
    lists: dict[str, str] = Field(default_factory=dict, description="contract column -> separator of its words")
    time_formats: dict[str, str] = Field(default_factory=dict, description="contract column -> strptime format")


class MappedTableSpec(_MappingSpec):
    """Settings of :class:`workbench.catalog.readers.MappedTable`."""

    encoding: Encoding = "auto"
    sep: str = Field(",", min_length=1)
    sheet: str | int = 0


class SqlTableSpec(_MappingSpec):
    """Settings of :class:`workbench.catalog.readers.SqlTable`."""

    database: str = Field(
        "WORKBENCH_DATABASE_URL",
        pattern=r"^WORKBENCH_[A-Z0-9_]+$",
        description="environment variable that holds the database's URL, such as postgresql+psycopg://user:password@host/name",
    )
    source: str = Field(min_length=1, description="table or view of the database")
    namespace: str | None = Field(None, description="schema of the database; its default where absent")
