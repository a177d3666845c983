"""What was set aside: one row per frame, packet or field, with its reason, in Parquet beside the store.

The table is a folder of parts, one part per source, so that adding to it rewrites one small file, whole and by
rename. A row is known by source, offset, reason and text: reading the same file twice adds nothing.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import NamedTuple

import pandas as pd
import yaml

COLUMNS = (
    "id",
    "source",
    "offset",
    "unit",
    "reason",
    "reason_zh",
    "reason_en",
    "detail",
    "mn",
    "cn",
    "data_time",
    "text",
    "raw",
    "raw_hex",
)
LONGEST_RAW = 12_000


@dataclass(frozen=True)
class Reason:
    """Words of one reason, and what is lost by it (frame, packet or field)."""

    unit: str
    zh: str
    en: str


@cache
def reasons() -> Mapping[str, Reason]:
    """Return every reason for setting something aside, by code."""
    raw = yaml.safe_load(files(__package__).joinpath("reasons.yml").read_text(encoding="utf-8"))
    return {code: Reason(**row) for code, row in raw.items()}


class SetAside(NamedTuple):
    """One thing set aside: where it stood, why, and its bytes."""

    source: str
    offset: int
    reason: str
    detail: str = ""
    mn: str = ""
    cn: str = ""
    data_time: str = ""
    text: str = ""
    raw: bytes = b""
    unit: str = ""


class Quarantine:
    """The table of what was set aside, in folder ``quarantine``."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def add(self, rows: Iterable[SetAside]) -> int:
        """Add rows that are not there yet; return how many were new."""
        frame = pd.DataFrame([_row(r) for r in rows], columns=list(COLUMNS))
        added = 0
        for source, part in frame.groupby("source", sort=True):
            name = hashlib.blake2b(str(source).encode(), digest_size=8).hexdigest()
            added += merge_part(self.folder / f"{name}.parquet", part, key=["id"], order=["offset", "id"])
        return added

    def read(self) -> pd.DataFrame:
        """Return the whole table, empty where nothing was ever set aside."""
        return read_parts(self.folder, COLUMNS)


def _row(r: SetAside) -> tuple[object, ...]:
    reason = reasons()[r.reason]
    raw, unit = r.raw[:LONGEST_RAW], r.unit or reason.unit
    plain = raw.decode("ascii") if raw.isascii() else ""
    ident = hashlib.blake2b(f"{r.source}\x1f{r.offset}\x1f{r.reason}\x1f{r.text}".encode(), digest_size=8).hexdigest()
    coded = "" if plain or not raw else raw.hex()
    return (ident, r.source, r.offset, unit, r.reason, reason.zh, reason.en, r.detail, r.mn, r.cn, r.data_time, r.text, plain, coded)


def merge_part(path: Path, rows: pd.DataFrame, *, key: list[str], order: list[str]) -> int:
    """Add the rows of ``rows`` whose key is not in the Parquet file yet; return their number. Written by rename."""
    rows = rows.drop_duplicates(key, keep="first")
    if path.is_file():
        old = pd.read_parquet(path)
        known = pd.MultiIndex.from_frame(old[key])
        rows = rows[~pd.MultiIndex.from_frame(rows[key]).isin(known)]
        both = pd.concat([old, rows], ignore_index=True) if len(rows) else old
    else:
        both = rows
    if len(rows):
        write_parquet(both.sort_values(order, kind="stable", ignore_index=True), path)
    return len(rows)


def write_parquet(frame: pd.DataFrame, path: Path) -> None:
    """Write a table beside its place and rename it there, so that a reader sees the old one or the new one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f".{path.name}.{os.getpid()}.partial")
    frame.to_parquet(beside, index=False)
    with beside.open("rb") as stream:
        os.fsync(stream.fileno())
    beside.replace(path)


def read_parts(folder: Path, columns: Iterable[str]) -> pd.DataFrame:
    """Return the parts of a folder as one table, in the order of their names."""
    parts = [pd.read_parquet(p) for p in sorted(folder.glob("*.parquet")) if not p.name.startswith(".")]
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=list(columns))
