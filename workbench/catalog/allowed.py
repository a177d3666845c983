"""What a catalog file may name: readers and their arguments, data types, protocols, parameter classes.

An intake catalog can name any importable Python class or function, so opening a foreign one could run anything.
Only what stands here is opened; everything else is refused by :mod:`workbench.catalog.lint` before intake sees it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from pydantic import BaseModel

from workbench.catalog.specs import InlineTableSpec, MappedTableSpec, SqlTableSpec, WideTableSpec

PARQUET = "intake.readers.datatypes:Parquet"
CSV = "intake.readers.datatypes:CSV"
EXCEL = "intake.readers.datatypes:Excel"
ZARR = "intake.readers.datatypes:Zarr"

DATATYPES: dict[str, frozenset[str]] = {
    PARQUET: frozenset({"url", "storage_options"}),
    CSV: frozenset({"url", "storage_options"}),
    EXCEL: frozenset({"url", "storage_options"}),
    ZARR: frozenset({"url", "storage_options", "root"}),
}
"""Data types and the arguments each takes."""

PROTOCOLS = frozenset({"file", "local", "http", "https", "s3", "memory"})
"""Protocols of URLs; ``memory`` serves tests."""
ENVIRONMENT = r"WORKBENCH_[A-Z0-9_]+"
"""Environment variables a catalog may read: a foreign file must not send other secrets of this machine anywhere."""
PARAMETER_CLASSES = frozenset(
    f"intake.readers.user_parameters:{n}"
    for n in ("BaseUserParameter", "SimpleUserParameter", "OptionsUserParameter", "BoundedNumberUserParameter")
)
PARAMETER_DTYPES = frozenset({"str", "int", "float", "bool"})
RESERVED_PARAMETERS = frozenset({"CATALOG_DIR", "CATALOG_PATH", "STORAGE_OPTIONS"})
INTAKE_ARGUMENTS = frozenset({"args", "data", "metadata", "output_instance", "user_parameters", "reader", "kwargs", "name"})
"""Names that intake itself uses as arguments: a user parameter of such a name would be swallowed."""


@dataclass(frozen=True)
class ReaderRule:
    """What one allowed reader takes and gives."""

    gives: Literal["table", "cube"]
    datatypes: frozenset[str] = frozenset()
    arguments: frozenset[str] = frozenset()
    choices: dict[str, frozenset[object]] = field(default_factory=dict)
    spec: type[BaseModel] | None = None

    def names(self) -> frozenset[str]:
        """Return every argument name the reader takes."""
        return self.arguments | (frozenset(self.spec.model_fields) if self.spec else frozenset())


READERS: dict[str, ReaderRule] = {
    "intake.readers.readers:PandasParquet": ReaderRule(
        "table", frozenset({PARQUET}), frozenset({"columns", "filters", "engine"}), {"engine": frozenset({"auto", "pyarrow"})}
    ),
    "intake.readers.readers:PandasCSV": ReaderRule(
        "table",
        frozenset({CSV}),
        frozenset(
            [
                "sep",
                "encoding",
                "usecols",
                "names",
                "header",
                "skiprows",
                "nrows",
                "dtype",
                "na_values",
                "keep_default_na",
                "parse_dates",
                "date_format",
                "decimal",
                "thousands",
                "quotechar",
                "comment",
                "compression",
            ]
        ),
    ),
    "intake.readers.readers:PandasExcel": ReaderRule(
        "table",
        frozenset({EXCEL}),
        frozenset({"sheet_name", "usecols", "names", "header", "skiprows", "nrows", "dtype", "na_values", "parse_dates"}),
    ),
    "intake.readers.readers:XArrayDatasetReader": ReaderRule(
        "cube", frozenset({ZARR}), frozenset({"chunks", "group", "engine"}), {"engine": frozenset({"zarr"})}
    ),
    "workbench.catalog.readers:WideTableCube": ReaderRule("cube", frozenset({CSV, PARQUET}), spec=WideTableSpec),
    "workbench.catalog.readers:MappedTable": ReaderRule("table", frozenset({CSV, PARQUET, EXCEL}), spec=MappedTableSpec),
    "workbench.catalog.readers:InlineTable": ReaderRule("table", spec=InlineTableSpec),
    "workbench.catalog.readers:SqlTable": ReaderRule("table", spec=SqlTableSpec),
}
"""The allow-list of readers."""


def reader_arguments() -> frozenset[str]:
    """Return every argument name that a reader, a data type or intake itself takes."""
    names = set(INTAKE_ARGUMENTS)
    for rule in READERS.values():
        names |= rule.names()
    for arguments in DATATYPES.values():
        names |= arguments
    return frozenset(names)
