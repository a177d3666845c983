"""The simulated district keeps its contract, its physics and its promises about honesty."""

from __future__ import annotations

import json
import tracemalloc
from collections import Counter
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import xarray as xr

from workbench.contracts import CUBES, TABLES, TRUTH, Mark, ParameterError, check_cube, check_references, check_table, conform
from workbench.district import generate
from workbench.district.behaviour import Episode, Scheme, abilities, choose_schemes, lay_out, plan_visits
from workbench.district.build import _public
from workbench.district.carbon import bed_of, life_days
from workbench.district.climate import World, make_world
from workbench.district.cubes import CubeWriter
from workbench.district.emission import true_emission
from workbench.district.energy import fan_power, power, running, service_of
from workbench.district.instrument import routine
from workbench.district.mechanisms import FALSIFY, Bout
from workbench.district.noise import Residuals, ar1, lag, stream
from workbench.district.population import Site, populate
from workbench.district.production import produce
from workbench.district.settings import document, scale_named
from workbench.district.simulate import simulate


@pytest.fixture(scope="module")
def tables(tiny_catalog: Path) -> dict[str, pd.DataFrame]:
    data = tiny_catalog.parent / "data"
    return {n: conform(n, pd.read_parquet(data / f"{n}.parquet")) for n in TABLES}


@pytest.fixture(scope="module")
def truth(tiny_catalog: Path) -> pd.DataFrame:
    return conform("truth", pd.read_parquet(tiny_catalog.parent / "truth.parquet"))


@pytest.fixture(scope="module")
def world() -> World:
    return make_world(scale_named("tiny"), 3, Residuals())


@pytest.fixture(scope="module")
def sites(world: World) -> list[Site]:
    return populate(world)


def _first(sites: list[Site], ability: str) -> Site:
    return next(s for s in sites if ability in abilities(s))


def _bouts(world: World, scheme: Scheme, strength: float = 0.5) -> list[Episode]:
    return [Episode(scheme, 1200, 5400, strength, False)]


# -- contract -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", sorted(TABLES))
def test_every_table_is_there_filled_and_in_contract(name: str, tables: dict[str, pd.DataFrame]) -> None:
    assert len(tables[name]) > 0
    assert check_table(name, tables[name]) == []
    assert check_references(name, tables[name], tables) == []


@pytest.mark.parametrize("name", sorted(CUBES))
def test_every_cube_is_there_and_in_contract(name: str, tiny_catalog: Path, tables: dict[str, pd.DataFrame]) -> None:
    with xr.open_zarr(tiny_catalog.parent / "data" / f"{name}.zarr") as cube:
        assert check_cube(name, cube, tables["points"]) == []
        value, mark = cube["value"].to_numpy(), cube["mark"].to_numpy()
    there = np.isfinite(value)
    assert there.mean() > 0.9
    assert np.array_equal(~there, mark == Mark.NONE)
    assert set(np.unique(mark)) <= set(map(int, Mark))


def test_values_lie_in_range_and_on_the_resolution(tiny_catalog: Path, tables: dict[str, pd.DataFrame]) -> None:
    points = tables["points"].set_index("point_id")
    with xr.open_zarr(tiny_catalog.parent / "data" / "obs_cems.zarr") as cube:
        for i, point in enumerate(cube["point"].to_numpy().astype(object)):
            v = cube["value"].to_numpy()[i].astype(float)
            v = v[np.isfinite(v)]
            step = points.loc[point, "resolution"]
            assert v.max() <= points.loc[point, "range_high"] * 1.0001
            assert np.abs(v / step - np.round(v / step)).max() < 1e-2 or v.max() > 1e5 * step


def test_truth_is_in_contract_and_beside_the_catalog(tiny_catalog: Path, truth: pd.DataFrame) -> None:
    assert check_table("truth", truth) == []
    assert "truth" not in tiny_catalog.read_text(encoding="utf-8")
    assert not (tiny_catalog.parent / "data" / "truth.parquet").exists()
    assert set(TRUTH.columns) <= set(truth)


def test_truth_lies_inside_the_period(tiny_catalog: Path, truth: pd.DataFrame) -> None:
    note = json.loads((tiny_catalog.parent / "district.json").read_text(encoding="utf-8"))
    start = pd.Timestamp(note["start"])
    assert (truth["start"] >= start).all()
    assert (truth["end"] <= start + pd.Timedelta(days=note["days"])).all()
    assert (truth["end"] > truth["start"]).all()


def test_truth_names_only_enterprises_and_outlets_of_the_district(truth: pd.DataFrame, tables: dict[str, pd.DataFrame]) -> None:
    assert set(truth["enterprise_id"]) <= set(tables["enterprises"]["enterprise_id"])
    assert set(truth["outlet_id"]) - {""} <= set(tables["outlets"]["outlet_id"])
    rows = document("mechanisms")
    assert all(rows[m]["kind"] == k for m, k in zip(truth["mechanism"], truth["kind"], strict=True))


def test_every_clip_file_opens(tiny_catalog: Path, tables: dict[str, pd.DataFrame]) -> None:
    import cv2

    for path in tables["clips"]["path"]:
        film = cv2.VideoCapture(str(tiny_catalog.parent / path))
        ok, frame = film.read()
        film.release()
        assert ok
        assert frame.shape[2] == 3


# -- determinism and safety ---------------------------------------------------------------------------------------


def test_same_seed_gives_the_same_bytes(tiny_catalog: Path, tmp_path: Path) -> None:
    again = generate(tmp_path / "again", scale="tiny", seed=7, progress=False)
    first = tiny_catalog.parent
    names = sorted(str(p.relative_to(first)) for p in first.rglob("*") if p.is_file())
    assert names == sorted(str(p.relative_to(again.parent)) for p in again.parent.rglob("*") if p.is_file())
    different = [n for n in names if not n.endswith(".mp4") and (first / n).read_bytes() != (again.parent / n).read_bytes()]
    assert different == []


def test_an_enterprise_does_not_depend_on_its_neighbours(world: World, sites: list[Site]) -> None:
    one = simulate(sites[4], world, [], plan_visits(sites[4], world))
    simulate(sites[9], world, [], plan_visits(sites[9], world))
    two = simulate(sites[4], world, [], plan_visits(sites[4], world))
    for point, (value, mark) in one.series.items():
        assert np.array_equal(value, two.series[point][0], equal_nan=True)
        assert np.array_equal(mark, two.series[point][1])


def test_a_killed_generation_leaves_nothing_that_opens(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("workbench.district.build._tables", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
    monkeypatch.setattr("workbench.district.build.populate", lambda w: populate(w)[:2])
    with pytest.raises(KeyboardInterrupt):
        generate(tmp_path / "d", scale="tiny", seed=1, progress=False)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_is_not_a_district_is_not_replaced(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("mine")
    with pytest.raises(ParameterError, match="not a district"):
        generate(tmp_path, scale="tiny", seed=1, progress=False)
    assert (tmp_path / "thesis.txt").read_text() == "mine"


def test_an_unknown_scale_is_refused_with_the_nearest() -> None:
    with pytest.raises(ParameterError) as refusal:
        scale_named("smal")
    assert refusal.value.payload()["next"] == "did you mean 'small'?"


def test_full_has_exactly_the_promised_number_of_points() -> None:
    for seed in (1, 2):
        full = make_world(scale_named("full"), seed, Residuals())
        sites = populate(full)
        count = sum(p.system != "video" for s in sites for p in s.points) + sum(len(s.points) for s in _public(full, sites))
        assert count == 2071


def test_a_cube_is_written_in_bounded_memory(tmp_path: Path) -> None:
    peaks = []
    for points in (64, 256):
        names = [f"P{i:03d}" for i in range(points)]
        times = pd.date_range("2026-01-01", periods=14400, freq="6min")
        tracemalloc.start()
        writer = CubeWriter(tmp_path / f"{points}.zarr", names, times)
        for i, name in enumerate(names):
            writer.add(name, np.full(14400, i, np.float32), np.zeros(14400, np.uint8))
        writer.close()
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < 1.3 * peaks[0]
    assert peaks[1] < 0.7 * 256 * 14400 * 5
    with xr.open_zarr(tmp_path / "256.zarr") as cube:
        assert np.array_equal(cube["value"].to_numpy()[:, 7000], np.arange(256, dtype=np.float32))


def test_rows_of_a_cube_come_in_order(tmp_path: Path) -> None:
    writer = CubeWriter(tmp_path / "c.zarr", ["a", "b"], pd.date_range("2026-01-01", periods=10, freq="6min"))
    with pytest.raises(ValueError, match="expected a"):
        writer.add("b", np.zeros(10, np.float32), np.zeros(10, np.uint8))
    with pytest.raises(ValueError, match="0 rows written of 2"):
        writer.close()


# -- physics ------------------------------------------------------------------------------------------------------


def test_fan_power_follows_the_cube_of_speed() -> None:
    assert fan_power(100.0, np.array([1.0, 0.5, 0.8])) == pytest.approx([100.0, 12.5, 51.2])


def test_carbon_life_follows_the_formula_of_the_guide() -> None:
    # 1000 kg, 10 %, 40 mg/m³ removed, 20 000 m³/h, 10 h/d: 100 kg / 8 kg/d
    assert life_days(1000, 0.1, 40, 20000, 10) == pytest.approx(12.5)


def _dilution(world: World, sites: list[Site], name: str) -> tuple[np.ndarray, np.ndarray, slice]:
    site = _first(sites, "air_o2")
    outlet = site.air
    assert outlet is not None
    rng = np.random.default_rng(0)
    n = world.steps
    c = 60 + 5 * ar1(rng, n, 20)
    o2 = 8 + 0.3 * ar1(rng, n, 10)
    values = {f: c.copy() for f in outlet.factors} | {"a19001": o2.copy()}
    bout = Bout(1000, 3000, 0.5, True, False, outlet, {f: np.ones(n) for f in outlet.factors})
    FALSIFY[name](values, bout, rng)
    f = next(iter(outlet.factors))

    def ref(c: np.ndarray, o2: np.ndarray) -> np.ndarray:
        return np.asarray(c * (21 - outlet.o2_ref) / (21 - o2))

    return ref(c, o2), ref(values[f], values["a19001"]), bout.span


def test_line_dilution_leaves_the_reference_concentration(world: World, sites: list[Site]) -> None:
    before, after, span = _dilution(world, sites, "line_dilution")
    # exact with 21; the line is filled with air of 20.9 %
    assert np.allclose(after[span], before[span], rtol=0.02)


def test_line_dilution_with_false_oxygen_lowers_it(world: World, sites: list[Site]) -> None:
    before, after, span = _dilution(world, sites, "line_dilution_o2")
    assert after[span].mean() < 0.9 * before[span].mean()
    assert np.array_equal(np.delete(after, np.r_[span]), np.delete(before, np.r_[span]))


def test_stopping_treatment_raises_what_is_emitted_and_lowers_its_power(world: World, sites: list[Site]) -> None:
    site = next(s for s in sites if s.air is not None and np.isfinite(s.air.o2_ref))
    outlet = site.air
    assert outlet is not None
    production = produce(site, world)
    off = _bouts(world, Scheme("treatment_off", False, "", "air", "idling"))
    levels, kw = {}, {}
    for name, episodes in (("honest", []), ("off", off)):
        service = service_of(site, world, production, episodes, "air")
        levels[name] = true_emission(site, outlet, world, production, episodes, service).ref
        kw[name] = power(site, world, production, service, running(site, world, production, service))["treatment"]
    inside = np.zeros(world.steps, bool)
    inside[1300:5300] = production.on[1300:5300]
    assert inside.sum() > 100
    for f in outlet.factors:
        assert levels["off"][f][inside].mean() > 1.5 * levels["honest"][f][inside].mean()
    assert kw["off"][inside].mean() < 0.8 * kw["honest"][inside].mean()
    assert kw["off"][6000:].mean() == pytest.approx(kw["honest"][6000:].mean(), rel=1e-6)


def test_honest_operation_stays_under_the_limit_by_the_hour(world: World, sites: list[Site]) -> None:
    for site in sites[:12]:
        result = simulate(site, world, [], [])
        for d in result.discharges.values():
            assert np.nanmax(d.true_hour, initial=0.0) <= d.limit
        assert result.truth == []


@pytest.mark.parametrize("mechanism", [m for m in FALSIFY if m not in ("false_mark", "line_dilution", "off_schedule_purge")])
def test_a_falsified_report_is_lower_than_the_truth(mechanism: str, world: World, sites: list[Site]) -> None:
    needs = document("mechanisms")[mechanism]["needs"]
    site = _first(sites, needs)
    medium = "water" if needs == "water" or site.air is None or not site.air.monitored else "air"
    outlet = site.air if medium == "air" else site.water
    assert outlet is not None
    result = simulate(site, world, [Scheme(mechanism, False, "", medium, "whole")], [])
    assert {t["mechanism"] for t in result.truth} == {mechanism}
    reported = true = 0.0
    for t in result.truth:
        a, b = (int((t[k] - world.start) / pd.Timedelta(hours=1)) for k in ("start", "end"))
        for f in outlet.factors:
            d = result.discharges[outlet.outlet_id, f]
            assert d.reported_hour is not None
            weight = 1 / d.limit
            reported += weight * float(np.nansum(d.reported_hour[a : b + 1]))
            true += weight * float(
                np.nansum(
                    np.where(np.isnan(d.reported_hour[a : b + 1]) & (mechanism != "cut_when_exceeding"), np.nan, d.true_hour[a : b + 1])
                )
            )
    assert reported < 0.97 * true


def test_false_marks_are_declared_but_the_line_runs(world: World, sites: list[Site]) -> None:
    site = _first(sites, "monitor")
    medium = "air" if site.air is not None and site.air.monitored else "water"
    result = simulate(site, world, [Scheme("false_mark", False, "", medium, "intermittent")], [])
    declared = [m for m in result.marks if any(t["start"] <= m["start"] and m["end"] <= t["end"] for t in result.truth)]
    assert any(m["declared_by"] == "discharger" for m in declared)


def test_an_overdue_bed_lets_solvent_through(world: World, sites: list[Site]) -> None:
    site = _first(sites, "carbon")
    production = produce(site, world)
    honest = bed_of(site, world, production, [])
    late = bed_of(site, world, production, _bouts(world, Scheme("carbon_overdue", False)))
    assert honest is not None
    assert late is not None
    assert honest.use.max() < 1.05
    assert len(late.changes) <= len(honest.changes)
    assert late.use.max() >= honest.use.max()


def test_a_lag_keeps_the_mean_and_delays() -> None:
    x = np.r_[np.zeros(50), np.ones(150)]
    y = lag(x, 10)
    assert 0.55 < y[60] < 0.75
    assert y[-1] == pytest.approx(1.0, abs=1e-4)


# -- behaviour, honesty, observation ------------------------------------------------------------------------------


def test_mechanisms_in_yaml_and_in_code_are_the_same() -> None:
    rows = document("mechanisms")
    fabrications = {m for m, r in rows.items() if r["kind"] == "fabrication"}
    assert fabrications == set(FALSIFY)
    assert all(r["basis"] and r["share"] > 0 for r in rows.values())


@pytest.mark.parametrize("seed", [1, 5, 11])
def test_prevalence_and_silent_share_are_as_written(seed: int) -> None:
    world = make_world(scale_named("small"), seed, Residuals())
    sites = populate(world)
    schemes = choose_schemes(world, sites)
    assert 0.15 <= len(schemes) / len(sites) <= 0.25
    flat = [s for mine in schemes.values() for s in mine]
    assert 0.33 <= np.mean([s.silent for s in flat]) <= 0.47
    assert len({s.mechanism for s in flat}) >= 18


def test_most_enterprises_that_heed_a_visit_pause_after_it(world: World, sites: list[Site]) -> None:
    site = _first(sites, "monitor")
    visits = [v for s in sites for v in plan_visits(s, world)][:1]
    assert visits
    scheme = Scheme("slope_edit", False, "", "air", "whole")
    on = np.ones(world.steps, bool)
    paused = 0
    for k in range(40):
        other = World(**{**world.__dict__, "seed": 100 + k})
        covered = np.zeros(world.steps, bool)
        for e in lay_out(site, other, [scheme], visits, on):
            covered[e.start : e.end] = True
        paused += not covered[visits[0].step : visits[0].step + 200].any()
    assert paused >= 20  # 60 % heed, and some would not have acted then anyway


def test_honest_oddities_are_at_least_as_common_as_offences(world: World, sites: list[Site]) -> None:
    odd: Counter[str] = Counter()
    for site in sites:
        odd.update(set(simulate(site, world, [], []).oddities))
    assert sum(odd.values()) / len(sites) > 0.25
    assert {"outage", "maintenance"} <= set(odd)
    assert odd["outage"] >= 0.25 * len(sites)


def test_honest_points_hold_long_runs_of_equal_values(tiny_catalog: Path, tables: dict[str, pd.DataFrame], truth: pd.DataFrame) -> None:
    honest = set(tables["enterprises"]["enterprise_id"]) - set(truth["enterprise_id"])
    points = tables["points"].set_index("point_id")
    long = 0
    for name in ("obs_cems", "obs_wastewater"):
        with xr.open_zarr(tiny_catalog.parent / "data" / f"{name}.zarr") as cube:
            ids = cube["point"].to_numpy().astype(object)
            for i, p in enumerate(ids):
                if points.loc[p, "enterprise_id"] in honest:
                    v = cube["value"].to_numpy()[i][cube["mark"].to_numpy()[i] == Mark.NORMAL]
                    edges = np.flatnonzero(np.diff(v)) if len(v) else np.array([0])
                    long += len(edges) > 1 and int(np.diff(edges).max()) >= 30
    assert long >= 5


def test_calibrations_show_zero_and_span_under_their_mark(world: World, sites: list[Site]) -> None:
    site = next(s for s in sites if "air_o2" in abilities(s) and s.air is not None and not routine(s.air, world).gap)
    outlet = site.air
    assert outlet is not None
    spans = routine(outlet, world).spans
    assert len(spans) >= 3
    result = simulate(site, world, [], [])
    point = next(p for p in site.points if p.system == "cems" and p.factor in outlet.factors)
    value, mark = result.series[point.point_id]
    shown = value[mark == Mark.CALIBRATION]
    assert np.nanmin(shown) < 0.05 * point.high
    assert np.nanmax(shown) > 0.6 * point.high


def test_some_sources_are_missing(tables: dict[str, pd.DataFrame]) -> None:
    everyone = set(tables["enterprises"]["enterprise_id"])
    metered = set(tables["points"].loc[tables["points"]["system"] == "power", "enterprise_id"])
    assert 0.4 < len(metered) / len(everyone) < 0.95
    assert 0.3 < tables["invoices"]["enterprise_id"].nunique() / len(everyone) < 0.9
    assert tables["ledger"].duplicated(["enterprise_id", "date", "facility", "field"]).any()
    assert (tables["clips"]["label"] == "").any()


def test_inspections_miss_and_are_partly_logged(tables: dict[str, pd.DataFrame]) -> None:
    i = tables["inspections"]
    assert (i["period_end"] <= i["inspected_on"]).all()
    assert (i["decided_on"].isna() | (i["decided_on"] > i["inspected_on"])).all()
    assert ((i["finding"] == "violation") == i["kinds"].map(len).gt(0)).all()


def test_streams_depend_on_their_name_only() -> None:
    assert stream(1, "a", "b").random() == stream(1, "a", "b").random()
    assert stream(1, "a", "b").random() != stream(1, "ab").random()
