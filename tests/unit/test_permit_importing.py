"""Permits from one's own spreadsheet: both languages, errors by row, nothing lost silently."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest
from openpyxl import Workbook, load_workbook

from workbench.contracts import TABLES, ParameterError, check_table
from workbench.models.permit.importing import import_permits, write_template

PERMIT = ["P1", "E1", "重点管理", "2024-05-01", "2024-05-01", "2029-04-30"]
HEAD = ["许可证编号", "企业编号", "管理类别", "发证日期", "有效期起", "有效期止"]


def workbook(path: Path, **sheets: list[list[object]]) -> Path:
    book = Workbook()
    book.remove(book.active)
    for name, rows in sheets.items():
        sheet = book.create_sheet(name)
        for row in rows:
            sheet.append(row)
    book.save(path)
    return path


def test_chinese_workbook_becomes_contract_tables(tmp_path: Path) -> None:
    file = workbook(
        tmp_path / "p.xlsx",
        许可证=[HEAD, PERMIT],
        许可限值=[
            ["许可证编号", "排放口编号", "污染因子", "许可浓度", "均值类型", "年许可量"],
            ["P1", "DA001", "a21026", "35", "小时", "1,024.5"],
        ],
        许可义务=[["许可证编号", "义务", "频次", "期限天数"], ["P1", "执行报告", "季度", 15], ["P1", "台账", "日", None]],
    )
    report = import_permits(file, tmp_path / "out")
    assert report.errors == []
    assert report.accepted == {"permits": 1, "permit_limits": 1, "permit_duties": 2}
    for table in report.accepted:
        frame = pd.read_parquet(tmp_path / "out" / f"{table}.parquet")
        assert check_table(table, frame) == [], table
    limits = pd.read_parquet(tmp_path / "out" / "permit_limits.parquet")
    assert limits.loc[0, "annual_t"] == 1024.5
    assert limits.loc[0, "basis"] == "hour"


def test_english_csv_is_recognised_by_its_headers(tmp_path: Path) -> None:
    file = tmp_path / "mine.csv"
    file.write_text("permit_id,duty,frequency,due_days\nP1,execution_report,month,15\n", encoding="utf-8")
    assert import_permits(file, tmp_path / "out").accepted == {"permit_duties": 1}


def test_gb18030_csv_is_read(tmp_path: Path) -> None:
    file = tmp_path / "mine.csv"
    file.write_bytes((",".join(HEAD) + "\n" + ",".join(PERMIT) + "\n").encode("gb18030"))
    assert import_permits(file, tmp_path / "out").accepted == {"permits": 1}


@pytest.mark.parametrize(
    ("row", "column", "expected"),
    [
        (["P2", "E2", "什么类", "2024-05-01", "2024-05-01", "2029-04-30"], "管理类别", "重点管理"),
        (["P2", "", "重点管理", "2024-05-01", "2024-05-01", "2029-04-30"], "企业编号", "must not be empty"),
        (["P2", "E2", "重点管理", "昨天", "2024-05-01", "2029-04-30"], "发证日期", "a date"),
        (["P2", "E2", "重点管理", "2024-05-01", "2029-05-01", "2024-04-30"], "有效期止", "not before"),
        (["P1", "E2", "重点管理", "2024-05-01", "2024-05-01", "2029-04-30"], "permit_id", "each key once"),
    ],
    ids=["unknown word", "empty", "no date", "ends before it starts", "key twice"],
)
def test_bad_row_is_set_aside_with_its_number_and_the_rest_goes_on(tmp_path: Path, row: list[str], column: str, expected: str) -> None:
    file = workbook(tmp_path / "p.xlsx", 许可证=[HEAD, PERMIT, row, ["P3", "E3", "key", "2024年5月1日", "2024/5/1", "2029-04-30"]])
    report = import_permits(file, tmp_path / "out")
    assert report.accepted == {"permits": 2}
    assert [e.row for e in report.errors] == [3]
    assert column in report.errors[0].column
    assert expected in report.errors[0].expected
    assert report.set_aside == 1
    assert str(report.errors[0]).startswith("许可证 row 3")


def test_negative_and_wordy_numbers_are_refused(tmp_path: Path) -> None:
    head = ["permit_id", "outlet_id", "factor", "limit"]
    file = workbook(
        tmp_path / "p.xlsx", permit_limits=[head, ["P1", "DA1", "a21026", -5], ["P1", "DA2", "a21026", "五十"], ["P1", "DA3", "a21026", 50]]
    )
    report = import_permits(file, tmp_path / "out")
    assert report.accepted == {"permit_limits": 1}
    assert [e.row for e in report.errors] == [2, 3]


def test_a_row_that_names_an_unknown_permit_gets_the_nearest_one(tmp_path: Path) -> None:
    file = workbook(
        tmp_path / "p.xlsx",
        许可证=[HEAD, ["9131-001P", *PERMIT[1:]]],
        许可义务=[["许可证编号", "义务", "频次"], ["9131-O01P", "台账", "日"]],
    )
    report = import_permits(file, tmp_path / "out")
    assert report.accepted["permit_duties"] == 0
    assert "9131-001P" in report.errors[0].expected


def test_missing_required_column_is_one_error_for_the_sheet(tmp_path: Path) -> None:
    file = workbook(tmp_path / "p.xlsx", 许可证=[HEAD[:3], PERMIT[:3]], 许可义务=[["许可证编号", "义务", "频次"], ["P1", "台账", "日"]])
    report = import_permits(file, tmp_path / "out")
    assert any(e.row == 1 and "有效期起" in e.column for e in report.errors)


def test_misspelt_header_is_named_with_the_nearest(tmp_path: Path) -> None:
    file = workbook(
        tmp_path / "p.xlsx",
        permits=[["permit_id", "enterprise_id", "class", "issued_on", "valid_from", "valid_to", "renewal_aplied_on"], [*PERMIT, ""]],
    )
    assert any("renewal_applied_on" in n for n in import_permits(file, tmp_path / "out").notes)


def test_template_fills_back_in_and_its_examples_are_left_out(tmp_path: Path) -> None:
    path = write_template(tmp_path / "template.xlsx")
    report = import_permits(path, tmp_path / "out")
    assert report.errors == []
    assert set(report.accepted.values()) == {0}
    book = load_workbook(path)
    book["许可证 permits"].append(PERMIT)
    book.save(path)
    assert import_permits(path, tmp_path / "out").accepted["permits"] == 1


def test_layout_columns_are_columns_of_the_contract() -> None:
    from workbench.models.permit.importing import _columns, _layout

    for table in _layout():
        if table in TABLES:
            required = {n for n, c in TABLES[table].columns.items() if not c.empty}
            assert required <= {c.name for c in _columns(table)}, table
        assert len(_layout()[table]["example"]) == len(_columns(table))


@pytest.mark.parametrize("name", ["nothing.xlsx", "word.docx", "broken.xlsx", "other.csv"])
def test_unusable_file_is_an_error_with_a_way_out(tmp_path: Path, name: str) -> None:
    if name == "word.docx" or name == "broken.xlsx":
        (tmp_path / name).write_bytes(b"not a workbook")
    if name == "other.csv":
        (tmp_path / name).write_text("a,b\n1,2\n")
    with pytest.raises(ParameterError) as error:
        import_permits(tmp_path / name, tmp_path / "out")
    assert error.value.payload().keys() & {"allowed", "next"}
