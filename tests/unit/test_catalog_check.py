"""The check of a whole catalog: every breach at once, with its rows; warnings never stop, errors always do."""

from __future__ import annotations

import io
import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml
from catalog_builder import START, cube, tables, write_district
from rich.console import Console

from workbench.catalog import check_report, open_catalog
from workbench.contracts import Breach, CatalogError


def breaches(folder: Path, deep: bool = False, **changed: pd.DataFrame) -> dict[tuple[str, str], Breach]:
    found = open_catalog(write_district(folder, changed)).check(deep=deep)
    return {(b.entry, b.column): b for b in found}


def test_the_clean_district_has_no_breach(tmp_path: Path) -> None:
    assert breaches(tmp_path, deep=True) == {}


def test_all_breaches_of_all_entries_come_at_once(tmp_path: Path) -> None:
    t = tables()
    found = breaches(
        tmp_path,
        enterprises=t["enterprises"].assign(industry=["0810", "25", "x"], lat=[91.0, 30.0, 30.0]),
        outlets=t["outlets"].drop(columns="medium"),
        points=pd.concat([t["points"], t["points"].iloc[:1]]),
        inspections=t["inspections"].assign(finding=["violation", "maybe", "none"], enterprise_id=["E1", "E9", "E3"]),
    )
    expected = {
        ("enterprises", "industry"): ("error", 2),
        ("enterprises", "lat"): ("error", 1),
        ("outlets", "medium"): ("error", 0),
        ("points", "point_id"): ("error", 1),
        ("inspections", "finding"): ("error", 1),
        ("inspections", "enterprise_id"): ("warning", 1),
    }
    assert {k: (b.level, b.rows) for k, b in found.items() if k in expected} == expected
    assert found["enterprises", "industry"].examples == ["row 1: '25'", "row 2: 'x'"]


@pytest.mark.parametrize(
    ("description", "entry", "column", "change", "rows"),
    [
        ("a unit nobody knows", "points", "unit", {"unit": ["mg/m³", "mgs per cube", "%", ""]}, 1),
        ("a range upside down", "points", "range_high", {"range_low": [300.0, 0.0, 0.0, np.nan]}, 1),
        ("an interval that is no multiple of the grid", "points", "interval_s", {"interval_s": [3600.0, 5000.0, 7200.0, np.nan]}, 1),
        ("a point without observations", "points", "point_id", {"point_id": ["P0", "P1", "P9", "C0"]}, 1),
        ("a kind nobody knows", "inspections", "kinds", {"kinds": [["exceedence"], [], []]}, 1),
        ("kinds where nothing was found", "inspections", "kinds", {"kinds": [["exceedance"], ["fugitive"], []]}, 1),
        ("a decision before its inspection", "inspections", "decided_on", {"decided_on": pd.to_datetime(["2026-01-01", None, None])}, 1),
    ],
)
def test_what_makes_no_sense_is_a_warning(
    tmp_path: Path, description: str, entry: str, column: str, change: dict[str, object], rows: int
) -> None:
    breach = breaches(tmp_path, **{entry: tables()[entry].assign(**change)})[entry, column]
    assert (breach.level, breach.rows) == ("warning", rows), description


def test_a_cube_point_that_no_table_knows_is_a_warning(tmp_path: Path) -> None:
    file = write_district(tmp_path, cubes={"obs_cems": cube(["P0", "P1", "P2", "P3"])})
    (breach,) = open_catalog(file).check()
    assert (breach.entry, breach.column, breach.level, breach.examples) == ("obs_cems", "point", "warning", ["P3"])


def test_points_of_an_absent_cube_are_a_warning(tmp_path: Path) -> None:
    (breach,) = open_catalog(write_district(tmp_path, cubes={})).check()
    assert (breach.column, breach.rows, breach.level) == ("point_id", 3, "warning")


def test_values_are_read_only_where_asked(tmp_path: Path) -> None:
    bad = cube()
    bad["value"][1, 3] = np.inf
    bad["value"][1, 4] = -np.inf
    bad["value"][2, 0] = np.nan
    bad["mark"][0, :5] = 99
    catalog = open_catalog(write_district(tmp_path, cubes={"obs_cems": bad}))
    assert catalog.check() == []
    found = {b.column: b for b in catalog.check(deep=True)}
    assert {c: (b.level, b.rows, b.examples) for c, b in found.items()} == {
        "value": ("warning", 2, ["point P1: 2 values"]),
        "mark": ("warning", 5, ["point P0: 5 values"]),
    }


def test_clips_that_are_not_there_or_elsewhere_are_named(tmp_path: Path) -> None:
    clips = pd.DataFrame(
        {
            "clip_id": ["K1", "K2", "K3", "K4"],
            "point_id": ["C0", "C0", "P0", "C0"],
            "start": [START] * 4,
            "path": ["clips/a.mp4", "clips/gone.mp4", "clips/a.mp4", "../../outside.mp4"],
            "fps": [5.0] * 4,
            "label": [""] * 4,
        }
    )
    (tmp_path / "clips").mkdir()
    (tmp_path / "clips" / "a.mp4").write_bytes(b"x")
    found = breaches(tmp_path, clips=clips)
    assert found["clips", "path"].examples == ["row 1: 'clips/gone.mp4'", "row 3: '../../outside.mp4'"]
    assert found["clips", "point_id"].examples == ["row 2: 'P0'"]


def test_entries_absent_unreadable_or_unknown_are_named(tmp_path: Path) -> None:
    file = write_district(tmp_path)
    document = yaml.safe_load(file.read_text(encoding="utf-8"))
    document["aliases"]["obs_cem"] = document["aliases"].pop("obs_cems")
    del document["aliases"]["outlets"], document["entries"]["read_outlets"]
    file.write_text(yaml.safe_dump(document, sort_keys=False), encoding="utf-8")
    (tmp_path / "data" / "inspections.parquet").unlink()
    found = {b.entry: b for b in open_catalog(file).check()}
    assert found["outlets"].level == "error"
    assert found["obs_cem"].level == "warning"
    assert "did you mean obs_cems?" in found["obs_cem"].expected
    assert found["inspections"].level == "error"
    assert "FileNotFoundError" in found["inspections"].examples[0]


def test_a_cube_where_a_table_belongs_and_the_other_way_round(tmp_path: Path) -> None:
    file = write_district(tmp_path)
    document = yaml.safe_load(file.read_text(encoding="utf-8"))
    aliases = document["aliases"]
    aliases["obs_cems"], aliases["outlets"] = aliases["outlets"], aliases["obs_cems"]
    file.write_text(yaml.safe_dump(document, sort_keys=False), encoding="utf-8")
    errors = {b.entry for b in open_catalog(file).check() if b.level == "error"}
    assert errors == {"obs_cems", "outlets"}


def printed(report: object) -> str:
    out = io.StringIO()
    report.render(Console(file=out, width=160))  # type: ignore[attr-defined]
    return out.getvalue()


def test_the_report_decides_the_exit_code(tmp_path: Path) -> None:
    clean = check_report(write_district(tmp_path / "a"))
    assert (clean.exit_code, clean.errors, clean.warnings) == (0, 0, 0)
    assert {e.entry: e.holds for e in clean.entries}["obs_cems"] == "3 points × 48 times"
    assert "can be used: 0 errors, 0 warnings" in printed(clean)
    doubtful = check_report(write_district(tmp_path / "b", {"points": tables()["points"].assign(unit="?")}))
    assert (doubtful.exit_code, doubtful.errors, doubtful.warnings) == (0, 0, 1)
    broken = check_report(write_district(tmp_path / "c", {"points": tables()["points"].assign(system="?")}))
    assert broken.exit_code == 1
    text = printed(broken)
    for words in ("points", "system", "row 0: '?'", "one of cems, wastewater", "cannot be used as it is"):
        assert words in text
    assert json.loads(json.dumps(broken.to_dict()))["ok"] is False


def test_words_that_look_like_markup_are_printed_as_they_are(tmp_path: Path) -> None:
    report = check_report(write_district(tmp_path, {"points": tables()["points"].assign(unit="[red]微西[门子]")}))
    assert "[red]微西[门子]" in printed(report)


def test_a_faulty_file_is_reported_with_all_its_faults(tmp_path: Path) -> None:
    file = write_district(tmp_path)
    file.write_text(file.read_text(encoding="utf-8").replace("PandasParquet", "PandasHDF5"), encoding="utf-8")
    report = check_report(file)
    assert (report.exit_code, len(report.issues), report.entries) == (1, 4, [])
    assert "this reader is not allowed" in printed(report)


def test_a_file_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(CatalogError):
        check_report(tmp_path / "none.yml")
