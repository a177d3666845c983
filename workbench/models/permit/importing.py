"""Permits from one's own spreadsheet into catalog tables: ``workbench import permits FILE --into FOLDER``.

An Excel workbook holds one sheet per table, a CSV file one table. Headers and the words of closed lists may be Chinese
or English (``layout.yml`` names both). A bad row is set aside with its reason; the good ones are written as parquet.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import pandas as pd
import yaml

from workbench.contracts import TABLES, ParameterError, conform, nearest

_TRUE, _FALSE = {"是", "true", "yes", "1", "y"}, {"否", "false", "no", "0", "n"}


@dataclass(frozen=True)
class SheetColumn:
    """One column of the layout: its names, type and allowed words."""

    name: str
    zh: str
    dtype: str
    required: bool
    words: Mapping[str, str] = field(default_factory=dict)
    unit: str = ""
    doc: str = ""


@dataclass(frozen=True)
class RowError:
    """A row that was set aside.

    Parameters
    ----------
    sheet : str
        Sheet, or the file's name for CSV.
    row : int
        Row number as the spreadsheet shows it (the header is row 1).
    column : str
        Column as it is named in the file.
    got, expected : str
        What stood there, and what was expected.
    """

    sheet: str
    row: int
    column: str
    got: str
    expected: str

    def __str__(self) -> str:
        return f"{self.sheet} row {self.row}, {self.column}: expected {self.expected}, got {self.got!r}"


@dataclass(frozen=True)
class ImportReport:
    """What an import did: rows written by table, rows set aside, and files written."""

    accepted: dict[str, int]
    errors: list[RowError]
    files: list[Path]
    notes: list[str]

    @property
    def set_aside(self) -> int:
        """Number of rows set aside."""
        return len({(e.sheet, e.row) for e in self.errors})

    def table(self) -> pd.DataFrame:
        """Return the errors as a table (sheet, row, column, got, expected)."""
        columns = ["sheet", "row", "column", "got", "expected"]
        return pd.DataFrame([[getattr(e, c) for c in columns] for e in self.errors], columns=columns)


def import_permits(file: str | Path, into: str | Path) -> ImportReport:
    """Read a permit workbook or CSV file and write catalog tables beside each other.

    Parameters
    ----------
    file : path
        ``.xlsx`` (sheets named as in :func:`write_template`, in Chinese or English) or ``.csv`` (one table, recognised
        by its headers; UTF-8 or GB 18030).
    into : path
        Folder for ``permits.parquet``, ``permit_limits.parquet`` and so on, made where absent. Existing files of the
        tables found are replaced, each atomically; others are left alone.

    Returns
    -------
    ImportReport

    Raises
    ------
    ParameterError
        If the file cannot be read, or holds no table of the layout.
    """
    path, folder = Path(file), Path(into)
    sheets = _read(path)
    tables: dict[str, pd.DataFrame] = {}
    errors: list[RowError] = []
    notes: list[str] = []
    for sheet, frame in sheets.items():
        table = _table_of(sheet, frame)
        if table is None:
            notes.append(f"sheet {sheet!r} is not a table of the layout and was left out")
            continue
        good, bad, said = _parse(sheet, table, frame)
        errors += bad
        notes += said
        tables[table] = pd.concat([tables[table], good], ignore_index=True) if table in tables else good
    if not tables:
        names = [f"{spec['zh']} / {name}" for name, spec in _layout().items()]
        raise ParameterError(
            "no table of the permit layout in this file",
            got=list(sheets),
            allowed=names,
            where=str(path),
            next_step="write_template(path) makes an empty workbook to fill in",
        )
    errors += _references(tables)
    written, accepted = [], {}
    folder.mkdir(parents=True, exist_ok=True)
    for table, frame in tables.items():
        ready = frame.drop(columns=["_sheet", "_row"])
        ready = conform(table, ready) if table in TABLES else ready
        accepted[table] = len(ready)
        target = folder / f"{table}.parquet"
        temporary = target.with_name(f".{target.name}.tmp")
        ready.to_parquet(temporary, index=False)
        temporary.replace(target)
        written.append(target)
    return ImportReport(accepted, sorted(errors, key=lambda e: (e.sheet, e.row, e.column)), written, notes)


def write_template(path: str | Path) -> Path:
    """Write an empty workbook with one sheet per table, headers in both languages, an example row and a sheet of words.

    Headers read ``许可证编号 permit_id``; either half, or both, is understood on import. Example rows begin with
    ``例：`` in the first column and are left out on import.
    """
    from openpyxl import Workbook
    from openpyxl.comments import Comment
    from openpyxl.styles import Font, PatternFill
    from openpyxl.utils import get_column_letter

    book = Workbook()
    guide = book.active
    guide.title = "说明 guide"
    for row in (
        ["每张表一行表头；红色列必填。日期写作 2026-01-31。不用的表可以留空或删去。"],
        ["One header row per sheet; red columns are required. Dates as 2026-01-31. Unused sheets may stay empty or be deleted."],
        [],
        ["表 sheet", "列 column", "可填 allowed", "说明 note"],
    ):
        guide.append(row)
    for table, spec in _layout().items():
        sheet = book.create_sheet(f"{spec['zh']} {table}"[:31])
        for k, column in enumerate(_columns(table), start=1):
            cell = sheet.cell(1, k, f"{column.zh} {column.name}")
            cell.font = Font(bold=True, color="A32020" if column.required else "20262E")
            cell.fill = PatternFill("solid", fgColor="EEF2F6")
            allowed = "、".join(column.words) or _expectation(column)
            cell.comment = Comment(f"{allowed}\n{column.doc}".strip(), "workbench")
            sheet.column_dimensions[get_column_letter(k)].width = max(14, len(column.zh) * 2 + len(column.name))
            guide.append([spec["zh"], f"{column.zh} {column.name}", allowed, column.doc])
        sheet.append(spec["example"])
        sheet.freeze_panes = "A2"
    target = Path(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = target.with_name(f".{target.name}.tmp")
    book.save(temporary)
    temporary.replace(target)
    return target


@cache
def _layout() -> dict[str, dict[str, Any]]:
    raw = yaml.safe_load(files("workbench.models.permit").joinpath("layout.yml").read_text(encoding="utf-8"))
    layout: dict[str, dict[str, Any]] = raw["sheets"]
    return layout


@cache
def _columns(table: str) -> tuple[SheetColumn, ...]:
    return tuple(
        SheetColumn(
            name=name,
            zh=c["zh"],
            dtype=c["dtype"],
            required=bool(c.get("required", False)),
            words={str(k): str(v) for k, v in c.get("words", {}).items()},
            unit=c.get("unit", ""),
            doc=c.get("doc", ""),
        )
        for name, c in _layout()[table]["columns"].items()
    )


def _read(path: Path) -> dict[str, pd.DataFrame]:
    if not path.is_file():
        raise ParameterError("no such file", got=str(path), next_step="check the path")
    try:
        if path.suffix.lower() in (".xlsx", ".xlsm"):
            found: dict[str, pd.DataFrame] = pd.read_excel(path, sheet_name=None, dtype=object, engine="openpyxl")
            return found
        if path.suffix.lower() == ".csv":
            for encoding in ("utf-8-sig", "gb18030"):
                try:
                    return {path.stem: pd.read_csv(path, dtype=object, encoding=encoding, keep_default_na=True)}
                except UnicodeDecodeError:
                    continue
            raise ParameterError("cannot tell the encoding of this file", where=str(path), allowed="UTF-8 or GB 18030")
    except (ValueError, OSError, KeyError, BadZipFile) as error:
        raise ParameterError("cannot read this file", got=str(error), where=str(path), allowed=".xlsx or .csv") from error
    raise ParameterError("not a spreadsheet", got=path.suffix or path.name, allowed=".xlsx or .csv", where=str(path))


def _known_columns(table: str, frame: pd.DataFrame) -> dict[str, str]:
    """Return the file's header for each column of the layout that it has."""
    names = {}
    for header in frame.columns:
        words = {str(header).strip(), *str(header).replace("（", " ").replace("(", " ").split()}
        for column in _columns(table):
            if column.name not in names and ({column.name, column.zh} & words):
                names[column.name] = str(header)
    return names


def _table_of(sheet: str, frame: pd.DataFrame) -> str | None:
    words = {sheet.strip(), *sheet.split()}
    for table, spec in _layout().items():
        if {table, spec["zh"]} & words:
            return table
    best = max(_layout(), key=lambda t: (_fit(t, frame), t))
    return best if _fit(best, frame) > 0 else None


def _fit(table: str, frame: pd.DataFrame) -> float:
    """Share of the file's headers that the table knows; 0 unless it has all required columns."""
    known = _known_columns(table, frame)
    required = {c.name for c in _columns(table) if c.required}
    return len(known) / max(1, len(frame.columns)) if required <= set(known) else 0.0


def _parse(sheet: str, table: str, frame: pd.DataFrame) -> tuple[pd.DataFrame, list[RowError], list[str]]:
    known = _known_columns(table, frame)
    columns = _columns(table)
    errors: list[RowError] = []
    notes: list[str] = []
    lost = [c for c in columns if c.required and c.name not in known]
    extra = [str(h) for h in frame.columns if str(h) not in known.values() and not str(h).startswith("Unnamed")]
    for header in extra:
        hint = nearest(header, [n for c in columns for n in (c.name, c.zh)])
        notes.append(f"{sheet}: column {header!r} is not in the layout and was left out" + (f"; did you mean {hint!r}?" if hint else ""))
    if lost:
        names = ", ".join(f"{c.zh} {c.name}" for c in lost)
        errors.append(RowError(sheet, 1, names, "no such column", "these required columns"))
        return _empty(columns), errors, notes
    rows = []
    for k, raw in enumerate(frame.to_dict("records")):
        line, values, bad = k + 2, {}, False
        cells = {c.name: raw[known[c.name]] for c in columns if c.name in known}
        if all(_blank(v) for v in cells.values()) or str(next(iter(cells.values()))).startswith("例："):
            continue
        for c in columns:
            value, problem = _value(c, cells.get(c.name))
            if problem:
                errors.append(RowError(sheet, line, known.get(c.name, c.name), str(cells.get(c.name, "")), problem))
                bad = True
            values[c.name] = value
        for a, b in _layout()[table].get("ordered", ()):
            if not bad and pd.notna(values[a]) and pd.notna(values[b]) and values[b] < values[a]:
                errors.append(RowError(sheet, line, known[b], str(cells[b]), f"a day not before {a}"))
                bad = True
        if not bad:
            rows.append({**values, "_sheet": sheet, "_row": line})
    good = pd.DataFrame(rows) if rows else _empty(columns)
    key = _layout()[table]["key"]
    twice = good.duplicated(key, keep="first")
    errors += [
        RowError(sheet, int(row["_row"]), "+".join(key), " / ".join(str(row[c]) for c in key), "each key once; the first row was kept")
        for row in good[twice].to_dict("records")
    ]
    return good[~twice].reset_index(drop=True), errors, notes


def _empty(columns: tuple[SheetColumn, ...]) -> pd.DataFrame:
    return pd.DataFrame(columns=[*(c.name for c in columns), "_sheet", "_row"])


def _blank(value: Any) -> bool:
    return value is None or (not isinstance(value, (list, dict)) and bool(pd.isna(value))) or str(value).strip() == ""


def _expectation(c: SheetColumn) -> str:
    words = {"str": "text", "float": f"a number{' in ' + c.unit if c.unit else ''}, not negative", "time": "a date such as 2026-01-31"}
    return "one of " + "、".join(f"{k}/{v}" for k, v in c.words.items()) if c.words else words[c.dtype]


def _value(c: SheetColumn, raw: Any) -> tuple[Any, str]:
    """Return the value and, where it cannot be used, what was expected."""
    missing: Any = {"str": "", "float": float("nan"), "time": pd.NaT}[c.dtype]
    if _blank(raw):
        return missing, f"{_expectation(c)}; must not be empty" if c.required else ""
    text = str(raw).strip()
    if c.words:
        if text in c.words:
            return c.words[text], ""
        return (text, "") if text in c.words.values() else (missing, _expectation(c))
    if c.dtype == "str":
        return (text[:-2] if isinstance(raw, float) and text.endswith(".0") else text), ""
    if c.dtype == "float":
        try:
            number = float(text.replace(",", ""))
        except ValueError:
            return missing, _expectation(c)
        return (number, "") if number >= 0 and number != float("inf") else (missing, _expectation(c))
    stamp = pd.to_datetime(raw if not isinstance(raw, str) else _iso(text), errors="coerce")
    return (stamp, "") if pd.notna(stamp) and 1990 <= stamp.year <= 2100 else (missing, _expectation(c))


def _iso(text: str) -> str:
    for zh, mark in (("年", "-"), ("月", "-"), ("日", ""), ("/", "-"), (".", "-")):
        text = text.replace(zh, mark) if zh != "." or text.count(".") == 2 else text
    return text


def _references(tables: dict[str, pd.DataFrame]) -> list[RowError]:
    """Set aside rows that name a permit which the same file does not hold, where it holds permits at all."""
    if "permits" not in tables:
        return []
    known = set(tables["permits"]["permit_id"])
    errors = []
    for table, frame in tables.items():
        if table == "permits" or "permit_id" not in frame or not len(frame):
            continue
        lost = ~frame["permit_id"].isin(known)
        rows = zip(frame["_sheet"][lost], frame["_row"][lost], frame["permit_id"][lost], strict=True)
        errors += [
            RowError(str(sheet), int(row), "permit_id", str(permit), _permit_hint(str(permit), known)) for sheet, row, permit in rows
        ]
        tables[table] = frame[~lost].reset_index(drop=True)
    return errors


def _permit_hint(permit: str, known: set[str]) -> str:
    hint = nearest(permit, known)
    return "a permit of the sheet 许可证 permits" + (f"; did you mean {hint!r}?" if hint else "")
