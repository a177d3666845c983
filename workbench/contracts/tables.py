"""Schemas of every table, read from ``tables.yml``.

A table is a pandas DataFrame. ``TABLES[name].schema()`` is a pandera schema; :func:`check_table` returns every
breach at once instead of raising on the first. Extra columns are kept and never checked.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cache
from importlib.resources import files
from typing import Any, Literal

import pandas as pd
import pandera.pandas as pa
import yaml

from workbench.contracts.breaches import Breach

DType = Literal["str", "float", "int", "bool", "time", "list"]
EXAMPLES = 3
RESULT_NAMES = ("findings", "leads", "attributions", "conflicts")
_DTYPES: dict[str, str] = {"float": "float64", "int": "int64", "bool": "bool", "time": "datetime64[ns]"}
_WORDS: dict[DType, str] = {
    "str": "text",
    "float": "a number",
    "int": "a whole number",
    "bool": "true or false",
    "time": "a local time",
    "list": "a list",
}


@dataclass(frozen=True)
class Column:
    """One column: dtype, unit, allowed values or range, and whether it may be empty."""

    dtype: DType
    doc: str = ""
    unit: str = ""
    isin: tuple[str, ...] | None = None
    ge: float | None = None
    le: float | None = None
    gt: float | None = None
    pattern: str | None = None
    empty: bool = False

    def expectation(self) -> str:
        """Return in words what the column must hold."""
        text = _WORDS[self.dtype]
        if self.isin:
            text = "one of " + ", ".join(self.isin)
        for sign, bound in (("≥", self.ge), (">", self.gt), ("≤", self.le)):
            if bound is not None:
                text += f" {sign} {bound:g}"
        if self.pattern:
            text += f" like {self.pattern}"
        if self.unit:
            text += f" in {self.unit}"
        return text + (", may be empty" if self.empty else ", never empty")


@dataclass(frozen=True)
class Table:
    """Contract of one table entry."""

    name: str
    doc: str
    columns: dict[str, Column]
    key: tuple[str, ...] = ()
    refers: dict[str, tuple[str, str]] = field(default_factory=dict)
    ordered: tuple[tuple[str, str], ...] = ()
    required: bool = False

    def schema(self) -> pa.DataFrameSchema:
        """Return the pandera schema of this table."""
        return pa.DataFrameSchema(
            {n: _column(c) for n, c in self.columns.items()},
            strict=False,
            name=self.name,
            description=self.doc,
        )


def _column(c: Column) -> pa.Column:
    checks: list[pa.Check] = []
    if c.isin is not None:
        allowed = set(c.isin) | ({""} if c.empty else set())
        checks.append(pa.Check.isin(sorted(allowed)))
    if c.ge is not None:
        checks.append(pa.Check.ge(c.ge))
    if c.gt is not None:
        checks.append(pa.Check.gt(c.gt))
    if c.le is not None:
        checks.append(pa.Check.le(c.le))
    if c.pattern is not None:
        checks.append(pa.Check.str_matches(c.pattern))
    return pa.Column(_DTYPES.get(c.dtype), checks, nullable=c.empty, required=True, description=c.doc)


def _has_dtype(s: pd.Series, c: Column) -> bool:
    if c.dtype == "str":
        return bool(s.map(_is_text).where(s.notna(), True).all())
    if c.dtype == "list":
        return bool(s.map(lambda v: isinstance(v, list)).all())
    return str(s.dtype) == _DTYPES[c.dtype]


def _mistyped(name: str, column: str, c: Column, s: pd.Series) -> Breach:
    if c.dtype in ("float", "int"):
        bad = s[pd.to_numeric(s, errors="coerce").isna() & s.notna()] if c.empty else s[pd.to_numeric(s, errors="coerce").isna()]
    elif c.dtype == "time":
        bad = s[pd.to_datetime(s, errors="coerce").isna() & s.notna()]
    elif c.dtype == "bool":
        bad = s[~s.isin([True, False, 0, 1])]
    else:
        bad = s[s.notna() & ~s.map(_is_text)]
    bad = bad if len(bad) else s
    return Breach(name, column, c.expectation(), len(bad), _rows(bad))


def _is_text(value: object) -> bool:
    return isinstance(value, str)


def conform(name: str, frame: pd.DataFrame) -> pd.DataFrame:
    """Return ``frame`` with the storage dtypes of table ``name``; values are never changed, extra columns kept.

    Integers become floats where the contract asks for a number, timestamps become ``datetime64[ns]`` without zone,
    text columns become ``object`` with missing values as empty text where the contract allows empty.
    A column that cannot be converted is left as it is, for :func:`check_table` to report.
    """
    table, out = _load()[name], frame.copy(deep=False)
    for column, c in table.columns.items():
        if column not in out:
            continue
        try:
            out[column] = _converted(out[column], c)
        except (ValueError, TypeError):
            continue
    return out


def _converted(s: pd.Series, c: Column) -> pd.Series:
    if c.dtype == "time":
        s = pd.to_datetime(s)
        if getattr(s.dt, "tz", None) is not None:
            s = s.dt.tz_convert("Asia/Shanghai").dt.tz_localize(None)
        return s.astype("datetime64[ns]")
    if c.dtype == "float":
        return s if s.dtype == bool else s.astype("float64")
    if c.dtype == "int":
        return s.astype("int64") if (pd.to_numeric(s) % 1 == 0).all() else s
    if c.dtype == "bool":
        return s.astype("bool") if not s.isna().any() and set(s.unique()) <= {0, 1} else s
    if c.dtype == "str":
        s = s.astype("object")
        return s.where(s.notna(), "") if c.empty else s
    return s.map(lambda v: [] if v is None else list(v)) if len(s) else s


def check_table(name: str, frame: pd.DataFrame) -> list[Breach]:
    """Return every breach of table ``name`` in ``frame`` (already through :func:`conform`).

    Cross-table references are checked by the catalog, which holds all tables.
    """
    table, found = _load()[name], []
    missing = [c for c in table.columns if c not in frame]
    found += [Breach(name, c, f"the column ({table.columns[c].expectation()})") for c in missing]
    mistyped = [c for c, spec in table.columns.items() if c in frame and not _has_dtype(frame[c], spec)]
    found += [_mistyped(name, c, table.columns[c], frame[c]) for c in mistyped]
    try:
        table.schema().remove_columns([*missing, *mistyped]).validate(frame, lazy=True)
    except pa.errors.SchemaErrors as errors:
        for column, group in errors.failure_cases.groupby("column", sort=False, dropna=False):
            spec = table.columns[str(column)]
            rows = group.drop_duplicates("index")
            found.append(
                Breach(
                    name,
                    str(column),
                    spec.expectation(),
                    rows=len(rows),
                    examples=[f"row {i}: {v!r}" for i, v in rows[["index", "failure_case"]].head(EXAMPLES).itertuples(index=False)],
                )
            )
    for column, c in table.columns.items():
        if c.dtype == "str" and not c.empty and column in frame and column not in mistyped:
            blank = frame.loc[frame[column] == "", column]
            if len(blank):
                found.append(Breach(name, column, c.expectation(), len(blank), _rows(blank)))
    if table.key and not set(table.key) & set(missing):
        twice = frame.duplicated(list(table.key), keep="first")
        if twice.any():
            found.append(Breach(name, "+".join(table.key), "each key once", int(twice.sum()), _rows(frame.loc[twice, table.key[0]])))
    for a, b in table.ordered:
        if {a, b} <= set(frame) and all(pd.api.types.is_datetime64_any_dtype(frame[c]) for c in (a, b)):
            early = frame.loc[frame[b] < frame[a], b]
            if len(early):
                found.append(Breach(name, b, f"not before {a}", len(early), _rows(early)))
    return found


def check_references(name: str, frame: pd.DataFrame, others: dict[str, pd.DataFrame]) -> list[Breach]:
    """Return the rows of ``frame`` whose identifiers are not in the tables they refer to (warnings: rows are set aside)."""
    found = []
    for column, (other, key) in _load()[name].refers.items():
        if column not in frame or other not in others or key not in others[other]:
            continue
        s = frame[column]
        lost = s[s.notna() & (s != "") & ~s.isin(others[other][key])]
        if len(lost):
            found.append(Breach(name, column, f"an identifier of {other}", len(lost), _rows(lost), level="warning"))
    return found


def _rows(s: pd.Series) -> list[str]:
    return [f"row {i}: {v!r}" for i, v in s.head(EXAMPLES).items()]


@cache
def _load() -> dict[str, Table]:
    raw = yaml.safe_load(files("workbench.contracts").joinpath("tables.yml").read_text(encoding="utf-8"))
    return {name: _table(name, spec) for name, spec in raw.items()}


def _column_of(spec: dict[str, Any]) -> Column:
    arguments: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in spec.items()}
    return Column(**arguments)


def _table(name: str, spec: dict[str, Any]) -> Table:
    columns = {n: _column_of(c) for n, c in spec["columns"].items()}
    return Table(
        name=name,
        doc=spec["doc"],
        columns=columns,
        key=tuple(spec.get("key", ())),
        refers={k: (a, b) for k, (a, b) in spec.get("refers", {}).items()},
        ordered=tuple((a, b) for a, b in spec.get("ordered", ())),
        required=bool(spec.get("required", False)),
    )


TRUTH = _load()["truth"]
"""Only ``workbench.evaluation`` and tests may read such a table; an architecture test keeps it so."""
RESULTS: dict[str, Table] = {name: _load()[name] for name in RESULT_NAMES}
"""Contract of every result table, by name."""
TABLES: dict[str, Table] = {n: t for n, t in _load().items() if n not in {"truth", *RESULT_NAMES}}
"""Contract of every catalog table, by name."""
