"""Own readers: wide tables become lazy cubes, foreign tables become those of the contract."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import yaml
from catalog_builder import START, tables, write_district
from hypothesis import given, settings
from hypothesis import strategies as st

from workbench.catalog import lint_catalog, open_catalog
from workbench.catalog.specs import WideTableSpec
from workbench.catalog.wide_table import Source, open_wide_table
from workbench.contracts import CatalogError, ParameterError, check_cube, check_table, conform

HOURLY = {"columns": ["t"], "step_s": 3600}


def spec(**changed: Any) -> WideTableSpec:
    return WideTableSpec.model_validate({"columns": {"a": "P0", "b": "P1"}, "time": HOURLY} | changed)


def csv(folder: Path, name: str, text: str, encoding: str = "utf-8") -> Source:
    (folder / name).write_bytes(text.encode(encoding))
    return Source(str(folder / name), False, {})


def parquet(folder: Path, name: str, frame: pd.DataFrame) -> Source:
    frame.to_parquet(folder / name)
    return Source(str(folder / name), True, {})


def test_gaps_are_nan_and_words_are_no_numbers(tmp_path: Path) -> None:
    text = "t,a,b\n2026-01-01 00:00,1,10\n2026-01-01 01:00,n/a,-9999\n2026-01-01 04:00,3,30\n"
    opened = open_wide_table([csv(tmp_path, "x.csv", text)], spec(missing=[-9999]))
    assert check_cube("obs_cems", opened) == []
    assert opened["time"].to_index().equals(pd.date_range(START, periods=5, freq="h"))
    expected = [[1, np.nan, np.nan, np.nan, 3], [10, np.nan, np.nan, np.nan, 30]]
    np.testing.assert_array_equal(opened["value"].to_numpy(), np.array(expected, np.float32))
    assert (opened["mark"] == 255).all()


def test_opening_reads_times_and_no_values(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    frame = pd.DataFrame({"t": pd.date_range(START, periods=3, freq="h"), "a": [1.0, 2, 3], "b": [4.0, 5, 6]})
    source = parquet(tmp_path, "x.parquet", frame)
    asked: list[list[str]] = []
    read = Source.read
    monkeypatch.setattr(Source, "read", lambda self, columns, s: (asked.append(list(columns)), read(self, columns, s))[1])
    opened = open_wide_table([source], spec())
    assert asked == [["t"]]
    assert opened["value"].sum().compute() == 21
    assert asked == [["t"], ["a", "b"]]


def test_a_computation_reads_only_the_files_it_needs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sources = [csv(tmp_path, f"{n}.csv", "a,b\n" + "\n".join(f"{n},{i}" for i in range(4))) for n in range(3)]
    opened = open_wide_table(sources, spec(time={"start": "2026-01-01", "step_s": 3600}))
    loaded: list[str] = []
    monkeypatch.setattr(Source, "read", lambda self, c, s, r=Source.read: (loaded.append(self.stem), r(self, c, s))[1])
    assert opened["value"].isel(time=slice(4, 8)).sel(point="P0").mean().compute() == 1
    assert loaded == ["1"]


def test_files_without_times_follow_each_other(tmp_path: Path) -> None:
    sources = [csv(tmp_path, "1.csv", "a,b\n1,2\n3,4\n"), csv(tmp_path, "2.csv", "a,b\n5,6\n")]
    opened = open_wide_table(sources, spec(time={"start": "2026-01-01", "step_s": 360}))
    assert opened["value"].to_numpy().tolist() == [[1, 3, 5], [2, 4, 6]]
    assert str(opened["time"].to_numpy()[-1])[:16] == "2026-01-01T00:12"


def test_files_side_by_side_share_one_grid(tmp_path: Path) -> None:
    sources = [
        csv(tmp_path, "north.csv", "t,a\n2026-01-01 00:00,1\n2026-01-01 01:00,2\n"),
        csv(tmp_path, "south.csv", "t,a\n2026-01-01 01:00,3\n2026-01-01 02:00,4\n"),
    ]
    opened = open_wide_table(sources, spec(columns={"a": "<file>-a"}, arrange="side_by_side"))
    assert opened["point"].to_numpy().tolist() == ["north-a", "south-a"]
    np.testing.assert_array_equal(opened["value"].to_numpy(), [[1, 2, np.nan], [np.nan, 3, 4]])


def test_overlapping_files_are_merged_and_the_taken_times_counted(tmp_path: Path) -> None:
    sources = [
        csv(tmp_path, "1.csv", "t,a,b\n2026-01-01 00:00,1,1\n2026-01-01 02:00,2,2\n"),
        csv(tmp_path, "2.csv", "t,a,b\n2026-01-01 01:00,3,3\n2026-01-01 02:00,4,4\n"),
    ]
    opened = open_wide_table(sources, spec())
    assert opened["value"].sel(point="P0").to_numpy().tolist() == [1, 3, 4]
    assert opened.attrs["rows_on_taken_slots"] == 1


def test_rows_without_a_time_are_set_aside_and_counted(tmp_path: Path) -> None:
    text = "t,a,b\n2026-01-01 00:00,1,1\nyesterday,9,9\n2026-01-01 01:00,2,2\n"
    opened = open_wide_table([csv(tmp_path, "x.csv", text)], spec())
    assert opened["value"].sel(point="P0").to_numpy().tolist() == [1, 2]
    assert opened.attrs["rows_without_time"] == 1


def test_a_clock_that_jitters_lands_on_its_grid(tmp_path: Path) -> None:
    text = "t,a,b\n2026-01-01 00:00:00,1,1\n2026-01-01 01:00:07,2,2\n2026-01-01 01:59:55,3,3\n2026-01-01 03:00:00,4,4\n"
    opened = open_wide_table([csv(tmp_path, "x.csv", text)], spec())
    assert opened["value"].sel(point="P0").to_numpy().tolist() == [1, 2, 3, 4]
    assert opened["time"].to_index().equals(pd.date_range(START, periods=4, freq="h"))


def test_one_wrong_year_does_not_unfold_a_century(tmp_path: Path) -> None:
    text = "t,a,b\n1926-01-01 00:00,1,1\n2026-01-01 00:00,1,1\n2026-01-01 01:00,2,2\n"
    source = csv(tmp_path, "x.csv", text)
    with pytest.raises(CatalogError, match="no grid") as caught:
        open_wide_table([source], spec())
    assert "1926" in str(caught.value.got)
    opened = open_wide_table([source], spec(time=HOURLY | {"since": "2026-01-01"}))
    assert opened.sizes["time"] == 2
    assert opened.attrs["rows_without_time"] == 0


@pytest.mark.parametrize(
    ("time", "header", "rows"),
    [
        ({"columns": ["date", "clock"]}, "date,clock", ["2026-01-01,00:00", "2026-01-01,01:00"]),
        ({"columns": ["t"], "format": "%d/%m/%y %H:%M"}, "t", ["01/01/26 0:00", "01/01/26 1:00"]),
        ({"parts": {"year": "年", "month": "月", "day": "日", "hour": "时"}}, "年,月,日,时", ["2026,1,1,0", "2026,1,1,1"]),
        ({"columns": ["t"], "zone": "UTC"}, "t", ["2025-12-31 16:00", "2025-12-31 17:00"]),
        ({"columns": ["t"], "zone": "UTC"}, "t", ["2025-12-31T16:00:00Z", "2025-12-31T17:00:00Z"]),
        ({"columns": ["t"]}, "t", ["2026-01-01T00:00:00+08:00", "2026-01-01T01:00:00+08:00"]),
    ],
)
def test_times_in_every_form_become_local(tmp_path: Path, time: dict[str, Any], header: str, rows: list[str]) -> None:
    text = f"{header},a,b\n" + "\n".join(f"{r},1,2" for r in rows)
    opened = open_wide_table([csv(tmp_path, "x.csv", text, "gbk")], spec(time=time))
    assert opened["time"].to_index().equals(pd.date_range(START, periods=2, freq="h"))


def test_marks_are_read_as_letters_or_codes(tmp_path: Path) -> None:
    text = "t,a,b,ma\n" + "\n".join(f"2026-01-01 0{i}:00,1,2,{m}" for i, m in enumerate(["N", "c", 3, "", "Z", 99]))
    opened = open_wide_table([csv(tmp_path, "x.csv", text)], spec(marks={"a": "ma"}))
    assert opened["mark"].sel(point="P0").to_numpy().tolist() == [0, 5, 3, 255, 255, 255]
    assert (opened["mark"].sel(point="P1") == 255).all()


def test_a_column_that_is_not_there_is_named_with_the_nearest(tmp_path: Path) -> None:
    with pytest.raises(ParameterError) as caught:
        open_wide_table([csv(tmp_path, "x.csv", "t,SO2实测值,b\n")], spec(columns={"SO2实测": "P0"}))
    assert caught.value.next_step == "did you mean 'SO2实测值'?"


def test_a_file_that_grew_after_opening_is_not_misread(tmp_path: Path) -> None:
    source = csv(tmp_path, "x.csv", "t,a,b\n2026-01-01 00:00,1,1\n2026-01-01 01:00,2,2\n")
    opened = open_wide_table([source], spec())
    with Path(source.url).open("a") as f:
        f.write("2026-01-01 02:00,3,3\n")
    with pytest.raises(CatalogError, match="has changed"):
        opened["value"].compute()


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"time": {}}, "exactly one"),
        ({"time": {"columns": ["t"], "start": "2026-01-01", "step_s": 1}}, "exactly one"),
        ({"time": {"start": "2026-01-01"}}, "step_s"),
        ({"time": {"parts": {"hour": "h"}}}, "year, month and day"),
        ({"arrange": "side_by_side"}, "<file>"),
        ({"columns": {"a": "<file>"}}, "side_by_side"),
        ({"columns": {"a": "P", "b": "P"}}, "same point identifier"),
        ({"marks": {"c": "m"}}, "not read"),
    ],
)
def test_settings_that_contradict_themselves_are_refused(changed: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        spec(**changed)


@settings(max_examples=40, deadline=None)
@given(
    slots=st.lists(st.integers(0, 60), min_size=2, max_size=25, unique=True),
    cut=st.integers(0, 25),
    step=st.sampled_from([60, 360, 900, 3600]),
)
def test_every_row_lands_in_its_slot_whatever_the_gaps_and_files(
    tmp_path_factory: pytest.TempPathFactory, slots: list[int], cut: int, step: int
) -> None:
    """Any order of rows, any cut into files: each value stands at its own time, everything else is NaN."""
    folder = tmp_path_factory.mktemp("wide")
    times = [START + pd.Timedelta(seconds=step * s) for s in slots]
    frame = pd.DataFrame({"t": times, "a": np.arange(len(slots), dtype=float), "b": 1.0})
    parts = [p for p in (frame[:cut], frame[cut:]) if len(p)]
    sources = [parquet(folder, f"{i}.parquet", p) for i, p in enumerate(parts)]
    opened = open_wide_table(sources, spec(time={"columns": ["t"], "step_s": step}))
    assert check_cube("obs_cems", opened) == []
    series = opened["value"].sel(point="P0").to_series()
    assert series.dropna().to_dict() == dict(zip(times, map(float, range(len(slots))), strict=True))


def with_entry(file: Path, entry: str, reader: str, kwargs: dict[str, Any], data: dict[str, Any] | None = None) -> Path:
    document = yaml.safe_load(file.read_text(encoding="utf-8"))
    block = document["entries"][f"read_{entry}"]
    block["reader"], block["kwargs"] = f"workbench.catalog.readers:{reader}", kwargs
    if data is not None:
        document["data"][f"file_{entry}"] |= data
    file.write_text(yaml.safe_dump(document, sort_keys=False, allow_unicode=True), encoding="utf-8")
    assert lint_catalog(file) == []
    return file


def test_an_inline_table_is_one_of_the_contract(tmp_path: Path) -> None:
    rows = [
        {"outlet_id": "E1-A", "enterprise_id": "E1", "medium": "air", "kind": "stack"},
        {"outlet_id": "E1-W", "medium": "water", "kind": "wastewater"},
    ]
    kwargs = {"table": "outlets", "rows": rows, "constants": {"lon": 120, "lat": 30.5, "enterprise_id": "E2"}}
    catalog = open_catalog(with_entry(write_district(tmp_path), "outlets", "InlineTable", kwargs))
    frame = catalog.table("outlets")
    assert frame["enterprise_id"].tolist() == ["E1", "E2"]
    assert frame["lon"].tolist() == [120.0, 120.0]
    assert frame["receiving"].tolist() == ["", ""]


def test_an_empty_inline_table_has_its_columns(tmp_path: Path) -> None:
    from workbench.catalog.readers import InlineTable

    frame = conform("permit_limits", InlineTable(table="permit_limits", rows=[]).read())
    assert check_table("permit_limits", frame) == []
    assert frame["limit"].dtype == "float64"


CHINESE = (
    "统一编号,企业名称,行业代码,街道乡镇,经度,纬度,重点排污单位,管理类别,统一社会信用代码,运维单位,备注\n"
    "001,甲厂,0810,北街,120.1,30.1,是,重点管理,L1,V1,x\n"
    "002,乙厂,2511,南街,120.2,30.2,否,登记管理,L2,,y\n"
)
HEADINGS = {
    "enterprise_id": "统一编号", "name": "企业名称", "industry": "行业代码", "street_town": "街道乡镇", "lon": "经度", "lat": "纬度",
    "key_polluter": "重点排污单位", "permit_class": "管理类别", "legal_person_id": "统一社会信用代码", "operator": "运维单位",
}  # fmt: skip
WORDS = {"permit_class": {"重点管理": "key", "简化管理": "simplified", "登记管理": "registered"}}


@pytest.mark.parametrize(("encoding", "ending"), [("utf-8", "csv"), ("utf-8-sig", "csv"), ("gbk", "csv"), ("", "xlsx")])
def test_a_bureau_s_own_table_is_read_with_its_headings(tmp_path: Path, encoding: str, ending: str) -> None:
    source = tmp_path / f"企业.{ending}"
    if ending == "csv":
        source.write_bytes(CHINESE.encode(encoding))
    else:
        lines = [line.split(",") for line in CHINESE.splitlines()]
        pd.DataFrame(lines[1:], columns=lines[0]).to_excel(source, index=False)
    data = {"datatype": f"intake.readers.datatypes:{'CSV' if ending == 'csv' else 'Excel'}"}
    data["kwargs"] = {"url": f"{{CATALOG_DIR}}/企业.{ending}", "storage_options": None}
    kwargs = {"args": ["{data(file_enterprises)}"], "table": "enterprises", "columns": HEADINGS, "values": WORDS}
    frame = open_catalog(with_entry(write_district(tmp_path), "enterprises", "MappedTable", kwargs, data)).table("enterprises")
    assert frame["enterprise_id"].tolist() == ["001", "002"]
    assert frame["industry"].tolist() == ["0810", "2511"]
    assert frame["key_polluter"].tolist() == [True, False]
    assert frame["permit_class"].tolist() == ["key", "registered"]
    assert frame["operator"].tolist() == ["V1", ""]
    assert frame["备注"].tolist() == ["x", "y"]
    assert "企业名称" not in frame


def test_a_cell_that_cannot_be_read_is_a_breach_with_its_row(tmp_path: Path) -> None:
    (tmp_path / "e.csv").write_text(CHINESE.replace("120.2", "东经120度"), encoding="utf-8")
    data = {"datatype": "intake.readers.datatypes:CSV", "kwargs": {"url": "{CATALOG_DIR}/e.csv", "storage_options": None}}
    kwargs = {"args": ["{data(file_enterprises)}"], "table": "enterprises", "columns": HEADINGS, "values": WORDS}
    catalog = open_catalog(with_entry(write_district(tmp_path), "enterprises", "MappedTable", kwargs, data))
    assert any(b.entry == "enterprises" and b.column == "lon" and b.level == "error" for b in catalog.check())


def test_lists_constants_and_time_formats(tmp_path: Path) -> None:
    from intake.readers import datatypes

    from workbench.catalog.readers import MappedTable

    t = tables()["inspections"].drop(columns=["origin"])
    t = t.assign(kinds=["exceedance;fugitive", "", ""], decided_on=["03/01/2026", "05/01/2026", ""])
    t.to_csv(tmp_path / "i.csv", index=False)
    reader = MappedTable(
        datatypes.CSV(str(tmp_path / "i.csv")),
        table="inspections",
        lists={"kinds": ";"},
        constants={"origin": "random"},
        time_formats={"decided_on": "%d/%m/%Y"},
    )
    frame = conform("inspections", reader.read())
    assert check_table("inspections", frame) == []
    assert frame["kinds"].tolist() == [["exceedance", "fugitive"], [], []]
    assert frame["decided_on"].tolist()[:2] == [pd.Timestamp("2026-01-03"), pd.Timestamp("2026-01-05")]
    assert frame["decided_on"].isna().tolist() == [False, False, True]
