"""Own intake readers, so that foreign sources open through a catalog of their own without converting anything by hand.

They are named in catalog files as ``workbench.catalog.readers:<class>``; their settings are described, and held to
their form, by :mod:`workbench.catalog.specs`.
"""

from __future__ import annotations

from functools import partial
from typing import Any, ClassVar

import pandas as pd
import xarray as xr
from intake.readers import datatypes
from intake.readers.readers import BaseReader

from workbench.catalog.specs import InlineTableSpec, MappedTableSpec, SqlTableSpec, WideTableSpec
from workbench.catalog.sql import read_sql_table
from workbench.catalog.wide_table import Source, open_wide_table, read_csv
from workbench.contracts import TABLES, Column, unknown_name

TRUE = {"true", "1", "1.0", "yes", "y", "是", "有"}
FALSE = {"false", "0", "0.0", "no", "n", "否", "无"}


class WideTableCube(BaseReader):  # type: ignore[misc]  # intake is untyped
    """A wide CSV or Parquet table, or several, as a lazy observation cube (see :class:`WideTableSpec`)."""

    imports: ClassVar[set[str]] = {"xarray", "pandas", "dask"}
    implements: ClassVar[set[type]] = {datatypes.CSV, datatypes.Parquet}
    output_instance = "xarray:Dataset"

    def discover(self, **kwargs: Any) -> xr.Dataset:
        """Return the lazy cube; no values are read."""
        cube: xr.Dataset = self.read(**kwargs)
        return cube

    def _read(self, data: Any, **settings: Any) -> xr.Dataset:
        urls = data.url if isinstance(data.url, list) else [data.url]
        parquet = isinstance(data, datatypes.Parquet)
        sources = [Source(u, parquet, dict(data.storage_options or {})) for u in urls]
        return open_wide_table(sources, WideTableSpec.model_validate(settings))


class InlineTable(BaseReader):  # type: ignore[misc]  # intake is untyped
    """A small table whose rows stand in the catalog file itself (see :class:`InlineTableSpec`)."""

    imports: ClassVar[set[str]] = {"pandas"}
    implements: ClassVar[set[type]] = set()
    output_instance = "pandas:DataFrame"

    def _read(self, **settings: Any) -> pd.DataFrame:
        spec = InlineTableSpec.model_validate(settings)
        columns = dict.fromkeys(c for row in [*spec.rows, spec.constants] for c in row)
        if spec.table is not None:
            columns |= dict.fromkeys(_table(spec.table))
        rows = [{**dict.fromkeys(columns), **spec.constants, **row} for row in spec.rows]
        frame = pd.DataFrame(rows, columns=list(columns))
        return frame if spec.table is None else _as_contract(frame, spec.table)


class MappedTable(BaseReader):  # type: ignore[misc]  # intake is untyped
    """A foreign CSV, Parquet or Excel table with its own headings and words (see :class:`MappedTableSpec`)."""

    imports: ClassVar[set[str]] = {"pandas"}
    implements: ClassVar[set[type]] = {datatypes.CSV, datatypes.Parquet, datatypes.Excel}
    output_instance = "pandas:DataFrame"

    def _read(self, data: Any, **settings: Any) -> pd.DataFrame:
        spec = MappedTableSpec.model_validate(settings)
        _table(spec.table)
        return _mapped(_read_text(data, spec), spec, str(data.url))


class SqlTable(BaseReader):  # type: ignore[misc]  # intake is untyped
    """A table or view of a SQL database, PostgreSQL or SQLite (see :class:`SqlTableSpec`); its URL comes from the environment."""

    imports: ClassVar[set[str]] = {"pandas", "sqlalchemy"}
    implements: ClassVar[set[type]] = set()
    output_instance = "pandas:DataFrame"

    def _read(self, **settings: Any) -> pd.DataFrame:
        spec = SqlTableSpec.model_validate(settings)
        _table(spec.table)
        return _mapped(read_sql_table(spec), spec, f"{spec.database}: {spec.source}")


def _mapped(frame: pd.DataFrame, spec: MappedTableSpec | SqlTableSpec, where: str) -> pd.DataFrame:
    for column, source in spec.columns.items():
        if source not in frame:
            raise unknown_name(f"column of the source (for {column})", source, frame.columns, where=where)
    lost = {s for c, s in spec.columns.items() if s != c}
    out = frame.drop(columns=[c for c in lost if c not in spec.columns])
    out = out.assign(**{c: frame[s] for c, s in spec.columns.items()})
    out = out.assign(**{c: v for c, v in spec.constants.items() if c not in spec.columns})
    for column, words in spec.values.items():
        out[column] = out[column].map(partial(_translated, words=words))
    for column, separator in spec.lists.items():
        out[column] = out[column].map(partial(_split, separator=separator))
    for column, form in spec.time_formats.items():
        out[column] = pd.to_datetime(out[column], format=form)
    return _as_contract(out, spec.table)


def _read_text(data: Any, spec: MappedTableSpec) -> pd.DataFrame:
    """Read every cell as text (an industry code 0810 keeps its zero), several files one below the other."""
    frames = []
    for url in data.url if isinstance(data.url, list) else [data.url]:
        options = data.storage_options or None
        if isinstance(data, datatypes.Parquet):
            frames.append(pd.read_parquet(url, storage_options=options))
        elif isinstance(data, datatypes.Excel):
            frames.append(pd.read_excel(url, sheet_name=spec.sheet, dtype=str, storage_options=options))
        else:
            frames.append(read_csv(url, spec.encoding, sep=spec.sep, dtype=str, storage_options=options))
    return pd.concat(frames, ignore_index=True)


def _translated(value: Any, *, words: dict[str, Any]) -> Any:
    return words.get(value, words.get(str(value), value)) if pd.notna(value) else words.get("", value)


def _split(value: Any, *, separator: str) -> list[str]:
    return [w.strip() for w in str(value).split(separator) if w.strip()] if pd.notna(value) else []


def _table(name: str) -> dict[str, Column]:
    if name not in TABLES:
        raise unknown_name("contract table", name, TABLES)
    return TABLES[name].columns


def _as_contract(frame: pd.DataFrame, table: str) -> pd.DataFrame:
    """Read text as the contract's types; what cannot be read stays as it is, for the check to report with its row."""
    for column, spec in _table(table).items():
        if column not in frame:
            if spec.empty:
                frame[column] = None
            else:
                continue
        frame[column] = _typed(frame[column], spec)
    return frame


def _typed(s: pd.Series, spec: Column) -> pd.Series:
    if spec.dtype in ("float", "int"):
        numbers = pd.to_numeric(s.replace("", None), errors="coerce")
        return s if (numbers.isna() & s.notna() & (s != "")).any() else numbers.astype("float64")
    if spec.dtype == "time":
        times = pd.to_datetime(s.replace("", None), errors="coerce")
        return s if (times.isna() & s.notna() & (s != "")).any() else times
    if spec.dtype == "bool":
        words = s.map(lambda v: str(v).strip().lower())
        return words.isin(TRUE) if words.isin(TRUE | FALSE).all() else s
    if spec.dtype == "str":
        return s.map(lambda v: v if isinstance(v, str) or pd.isna(v) else str(v)).astype("object")
    return s.map(lambda v: [] if v is None else v)
