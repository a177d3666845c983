"""The simulated district and the catalog agree: what one writes the other takes without a breach."""

from __future__ import annotations

from pathlib import Path

from workbench.catalog import check_report, needs_generation, open_catalog
from workbench.contracts import CUBES, TABLES


def test_the_simulated_district_is_a_whole_and_clean_catalog(tiny_catalog: Path) -> None:
    report = check_report(tiny_catalog, deep=True)
    assert [str(b) for b in report.breaches if b.level == "error"] == []
    assert [str(b) for b in report.breaches if b.level == "warning"] == []
    assert {e.entry for e in report.entries} == set(TABLES) | set(CUBES)


def test_its_truth_lies_beside_the_catalog_and_not_in_it(tiny_catalog: Path) -> None:
    assert (tiny_catalog.parent / "truth.parquet").is_file()
    assert "truth" not in tiny_catalog.read_text(encoding="utf-8")
    assert not open_catalog(tiny_catalog).has("truth")


def test_it_asks_for_no_generation_of_its_own(tiny_catalog: Path) -> None:
    assert needs_generation(tiny_catalog) is None
