"""The factor-code table: what each code measures, its unit, and its code in the 2005 version."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from io import StringIO
from pathlib import Path
from typing import Any

import pandas as pd
import yaml

from workbench.contracts import ParameterError

COLUMNS = ("code", "name_zh", "name_en", "code_2005", "unit", "unit_ambient", "amount_unit", "format", "mark", "source", "note")


@cache
def factor_codes() -> pd.DataFrame:
    """Return the factor-code table.

    Returns
    -------
    DataFrame
        One row per code of HJ 212-2017 with columns ``code`` (``x`` stands for a digit of a device number),
        ``name_zh``, ``name_en`` (empty where not translated), ``code_2005`` (empty: none), ``unit``,
        ``unit_ambient`` (unit that air-quality stations and dust monitors send; empty: same as ``unit``),
        ``amount_unit`` (of ``Cou``), ``format``, ``mark`` (R: recalled, to be checked), ``source``, ``note``.
        Licence: see NOTICE beside the file.
    """
    return _read(StringIO(files(__package__).joinpath("factor_codes.csv").read_text(encoding="utf-8")), "factor_codes.csv")


def _read(source: Any, where: str) -> pd.DataFrame:
    frame = pd.read_csv(source, dtype=str, keep_default_na=False)
    if missing := [c for c in ("code", "name_zh", "unit") if c not in frame]:
        raise ParameterError("a factor-code table lacks columns", got=list(frame), allowed=COLUMNS, where=where, next_step=f"add {missing}")
    return frame.reindex(columns=list(COLUMNS), fill_value="")


class CodeTable:
    """Resolve codes as sent (2017, 2025 or 2005, device numbers included) to rows of the table.

    Parameters
    ----------
    extra : path, optional
        A CSV with the same columns; its rows come first. A store's ``data/factor_codes.csv`` is read so.
    """

    def __init__(self, extra: Path | None = None) -> None:
        table = factor_codes()
        if extra is not None and extra.is_file():
            table = pd.concat([_read(extra, str(extra)), table], ignore_index=True).drop_duplicates("code", keep="first")
        self._rows: dict[str, Mapping[str, str]] = {
            str(r["code"]): {str(k): str(v) for k, v in r.items()} for r in table.to_dict("records")
        }
        self._old = {row["code_2005"]: code for code, row in self._rows.items() if row["code_2005"]}
        self._patterns = [
            (re.compile(c.replace("xx", r"\d\d").replace("x", r"\d")), c) for c in self._rows if c.endswith("x") and c[0] in "egi"
        ]
        self._resolved: dict[str, str | None] = {}

    def resolve(self, sent: str) -> str | None:
        """Return today's code for a code as sent, None where it is not known. Device numbers are kept (``e10102``)."""
        try:
            return self._resolved[sent]
        except KeyError:
            code = sent if sent in self._rows or self._pattern(sent) else self._old.get(sent)
            if len(self._resolved) < 100_000:  # garbage codes must not fill the memory
                self._resolved[sent] = code
            return code

    def _pattern(self, code: str) -> str | None:
        return next((name for pattern, name in self._patterns if pattern.fullmatch(code)), None)

    def row(self, code: str) -> Mapping[str, str]:
        """Return the table row of a resolved code."""
        return self._rows.get(code) or self._rows[self._pattern(code) or code]

    def unit(self, code: str, system: str) -> str:
        """Return the unit a code is sent in by a system."""
        row = self.row(code)
        return row["unit_ambient"] if system in ("ambient", "dust") and row["unit_ambient"] else row["unit"]


@dataclass(frozen=True)
class Words:
    """Commands and systems of the protocol, read from ``commands.yml``."""

    commands: Mapping[str, Mapping[str, str]]
    systems: Mapping[str, Mapping[str, str]]


@cache
def protocol_words() -> Words:
    """Return the commands (CN) and systems (ST) that are known."""
    raw = yaml.safe_load(files(__package__).joinpath("commands.yml").read_text(encoding="utf-8"))
    return Words(raw["commands"], raw["systems"])


@cache
def statistics() -> dict[str, str]:
    """Return the statistic of each data command: ``{"2011": "realtime", …}``."""
    return {cn: row["statistic"] for cn, row in protocol_words().commands.items() if "statistic" in row}
