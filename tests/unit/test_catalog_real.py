"""Catalogs over real data: the practice district, the UCI gas turbine, four stations of Beijing."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from workbench.catalog import Catalog, check_report, open_catalog
from workbench.contracts import CUBES, TABLES

pytestmark = pytest.mark.real


@pytest.fixture(scope="module")
def practice(shared: Path) -> Catalog:
    return open_catalog(shared / "data" / "district" / "catalog.yml")


@pytest.fixture(scope="module")
def turbine(shared: Path, root: Path) -> Catalog:
    return open_catalog(root / "catalogs" / "examples" / "gas_turbine.yml", data_dir=shared / "data" / "gas_turbine")


@pytest.fixture(scope="module")
def beijing(shared: Path, root: Path) -> Catalog:
    return open_catalog(root / "catalogs" / "examples" / "beijing_stations.yml", data_dir=shared / "data" / "prsa")


def test_the_practice_district_is_clean_as_it_is(shared: Path) -> None:
    started = time.perf_counter()
    report = check_report(shared / "data" / "district", deep=True)
    assert time.perf_counter() - started < 60, "fifteen seconds on an idle machine"
    assert report.breaches == []
    assert report.exit_code == 0
    assert str(report.period) == "2026-01-01T00:00:00/2026-05-01T00:00:00"
    assert {e.entry for e in report.entries} == set(TABLES) | set(CUBES)


def test_the_practice_district_hides_its_truth(practice: Catalog, shared: Path) -> None:
    assert (shared / "data" / "district" / "truth.parquet").is_file()
    assert not practice.has("truth")


def test_its_cubes_open_lazily(practice: Catalog) -> None:
    for entry in CUBES:
        assert practice.cube(entry)["value"].chunks is not None, entry


def test_its_second_snapshot_is_quick(practice: Catalog, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORKBENCH_CACHE", str(tmp_path))
    first = practice.snapshot()
    from workbench.catalog import hashing

    monkeypatch.setattr(hashing, "_digest", lambda f: pytest.fail(f"read again: {f.path}"))
    assert practice.snapshot() == first


def test_the_turbine_s_years_follow_each_other(turbine: Catalog, shared: Path) -> None:
    assert turbine.check(deep=True) == []
    raw = pd.concat([pd.read_csv(shared / "data" / "gas_turbine" / f"gt_{y}.csv") for y in (2011, 2012, 2013)])
    nox = turbine.cube("obs_cems")["value"].sel(point="GT-NOX")
    np.testing.assert_array_equal(nox.to_numpy(), raw["NOX"].to_numpy(np.float32))
    assert nox.to_series().autocorr() == pytest.approx(0.90, abs=0.05)
    assert turbine.cube("obs_condition").sizes == {"point": 9, "time": len(raw)}
    assert turbine.period.days == pytest.approx(len(raw) / 24)


def test_every_value_of_the_turbine_lies_in_its_declared_range(turbine: Catalog) -> None:
    points = turbine.table("points").set_index("point_id")
    for entry in ("obs_cems", "obs_condition"):
        cube = turbine.cube(entry)
        low, high = (f("time").compute().to_series() for f in (cube["value"].min, cube["value"].max))
        assert (low >= points["range_low"].reindex(low.index)).all()
        assert (high <= points["range_high"].reindex(high.index)).all()


def test_the_stations_stand_side_by_side_at_their_own_hours(beijing: Catalog, shared: Path) -> None:
    assert beijing.check(deep=True) == []
    cube = beijing.cube("obs_ambient")
    assert cube.sizes == {"point": 24, "time": 35_064}
    raw = pd.read_parquet(shared / "data" / "prsa" / "Dongsi.parquet").set_index(["year", "month", "day", "hour"])
    hour = float(cube["value"].sel(point="Dongsi-a34004", time="2016-12-20T21:00"))
    assert hour == raw.loc[(2016, 12, 20, 21), "PM2.5"]
    np.testing.assert_array_equal(cube["value"].sel(point="Dongsi-a34004").to_numpy(), raw["PM2.5"].to_numpy(np.float32))


def test_both_open_without_outlets_and_inspections_in_their_way(turbine: Catalog, beijing: Catalog) -> None:
    assert beijing.table("outlets").empty
    assert beijing.labels().empty
    assert turbine.labels(pd.Timestamp("2012-01-01")).empty
