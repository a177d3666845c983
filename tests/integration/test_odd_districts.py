"""Odd districts through catalog, models, fusion and evaluation: nothing breaks, and nothing is made of missing data."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from odd_districts import ODDITIES, District, small, write

from workbench import models
from workbench.catalog import open_catalog
from workbench.contracts import NOT_INSTALLED, Breach, CatalogError, Period, check_evidence, check_table
from workbench.cross import build_leads
from workbench.evaluation import against_inspections

LOSES_DATA_ONLY = ("only_registers", "only_power", "no_power", "empty_tables", "two_hours", "nothing_arrived", "unknown_units")
"""Oddities that only take data away: no detector may find there what it did not find before."""


@dataclass(frozen=True)
class Outcome:
    """What one district led to."""

    breaches: list[Breach]
    findings: pd.DataFrame
    evidence: list[xr.Dataset]
    leads: pd.DataFrame


def run_through(file: Path) -> Outcome:
    """Take a catalog through everything an iteration does, and hold each result to its contract."""
    catalog = open_catalog(file)
    breaches = catalog.check(deep=True)
    labels, findings, evidence = catalog.labels(), [], []
    for name in models.available():
        model = models.load(name)
        features = model.features(catalog, catalog.period)
        fitted = model.fit(features, labels, seed=3)
        found = fitted.assess(features)
        assert check_table("findings", found) == []
        wrong = found[found["verdict"] == "breach"]
        assert np.isfinite(wrong["p_breach"].astype(float)).all(), f"{name}: a breach without a probability"
        assert (found.loc[found["verdict"] == "abstain", "reason_en"].str.len() > 10).all()
        parts = fitted.explain(features, wrong["finding_id"])
        assert check_table("attributions", parts) == []
        assert set(parts["finding_id"]) == set(wrong["finding_id"])
        channels = fitted.evidence(features)
        check_evidence(channels)
        findings.append(found)
        evidence.append(channels)
    table, enterprises = pd.concat(findings, ignore_index=True), catalog.table("enterprises")
    leads, conflicts, attributions = build_leads(table, evidence, labels, enterprises, seed=3, budgets={"main": 20, "silent": 5})
    for name, frame in (("leads", leads), ("conflicts", conflicts), ("attributions", attributions)):
        assert check_table(name, frame) == []
    assert set(leads["enterprise_id"]) <= set(enterprises["enterprise_id"])
    likely = leads[leads["p_violation"] >= 0.5]
    assert not likely["best_state"].str.contains("all as it says").any(), "a lead likelier than not whose best state is the honest one"
    assert against_inspections(leads, table, labels, [5, 20], 3, enterprises=enterprises)
    return Outcome(breaches, table, evidence, leads)


@pytest.fixture(scope="module")
def base(tiny_catalog: Path) -> District:
    return small(tiny_catalog)


@pytest.fixture(scope="module")
def outcome_of(base: District, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Outcome]:
    done: dict[str, Outcome] = {}

    def get(name: str) -> Outcome:
        if name not in done:
            district = base if name == "ordinary" else ODDITIES[name](base)
            done[name] = run_through(write(tmp_path_factory.mktemp("odd") / "district", district))
        return done[name]

    return get


def _wrong(outcome: Outcome) -> pd.DataFrame:
    return outcome.findings[outcome.findings["verdict"] == "breach"]


QUICK = (
    "ordinary",
    "only_registers",
    "only_power",
    "no_inspections",
    "no_marks",
    "empty_tables",
    "limits_zero",
    "grid_of_60_minutes",
    "grid_of_120_minutes",
    "two_grids",
    "points_that_do_not_match",
    "starts_mid_day",
    "two_hours",
    "nothing_arrived",
    "wild_values",
    "unknown_units",
    "one_enterprise",
    "enterprises_without_points",
    "strange_names",
    "books_of_nothing",
    "points_in_another_order",
    "other_dtypes",
    "no_power",
)
"""Run in every test run."""
SLOW = pytest.mark.slow
REST = tuple(n for n in ODDITIES if n not in QUICK)


def test_the_two_lists_are_all_oddities() -> None:
    assert set(QUICK) | set(REST) == {"ordinary", *ODDITIES}
    assert all(f.__doc__ for f in ODDITIES.values())


@pytest.mark.parametrize("name", [*QUICK, *(pytest.param(n, marks=SLOW) for n in REST)])
def test_an_odd_district_goes_through(name: str, outcome_of: Callable[[str], Outcome]) -> None:
    outcome = outcome_of(name)
    errors = [str(b) for b in outcome.breaches if b.level == "error"]
    assert errors == []
    assert len(outcome.findings), "silence is no answer: every model says at least what it could not judge"


def test_the_ordinary_district_has_something_to_find(outcome_of: Callable[[str], Outcome]) -> None:
    wrong = _wrong(outcome_of("ordinary"))
    assert {"values_stay_constant", "exceedance_after_lawful_marks"} <= set(wrong["detector"])
    assert len(outcome_of("ordinary").leads)


@pytest.mark.parametrize(
    "name",
    [
        "points_in_another_order",
        "other_dtypes",
        *(pytest.param(n, marks=SLOW) for n in ("store_version_2", "missing_as_none", "extra_columns", "tables_as_csv")),
    ],
)
def test_the_form_of_the_files_changes_no_finding(name: str, outcome_of: Callable[[str], Outcome]) -> None:
    columns = ["model", "detector", "enterprise_id", "outlet_id", "point_id", "start", "end", "kind", "verdict", "p_breach"]
    plain, odd = (o.findings[columns].sort_values(columns[:8]).reset_index(drop=True) for o in (outcome_of("ordinary"), outcome_of(name)))
    pd.testing.assert_frame_equal(plain, odd)


@pytest.mark.parametrize("name", [*LOSES_DATA_ONLY, "wild_values"])
def test_missing_data_are_no_breach_of_a_rule_about_papers(name: str, outcome_of: Callable[[str], Outcome]) -> None:
    papers = {"permit_breach", "false_report", "carbon_overdue", "treatment_off"}
    before = set(_wrong(outcome_of("ordinary"))["detector"])
    new = _wrong(outcome_of(name))
    assert set(new.loc[new["kind"].isin(papers), "detector"]) <= before


@pytest.mark.parametrize("name", ["only_registers", "nothing_arrived", "two_hours", "only_power"])
def test_without_readings_nobody_is_accused(name: str, outcome_of: Callable[[str], Outcome]) -> None:
    assert _wrong(outcome_of(name)).empty
    assert (outcome_of(name).leads["p_violation"] < 0.2).all()


def test_a_meter_that_cannot_be_learned_is_no_outage(outcome_of: Callable[[str], Outcome]) -> None:
    power = next(e for e in outcome_of("grid_of_60_minutes").evidence if "energy_production_power" in e)["energy_production_power"]
    outage = power.attrs["levels"].index("outage")
    assert float((power == outage).mean()) < 0.05
    assert bool((power == NOT_INSTALLED).any())


def test_every_monitor_without_data_is_named(base: District, outcome_of: Callable[[str], Outcome]) -> None:
    found = outcome_of("only_power").findings
    named = set(found.loc[(found["model"] == "monitoring") & (found["verdict"] == "abstain"), "point_id"])
    points = base.tables["points"]
    assert set(points.loc[points["system"].isin(["cems", "wastewater"]), "point_id"]) <= named


@pytest.mark.parametrize(
    ("name", "entry", "column"),
    [
        ("wild_values", "obs_cems", "value"),
        ("points_that_do_not_match", "obs_cems", "point"),
        ("unknown_units", "points", "unit"),
        ("no_power", "points", "point_id"),
    ],
)
def test_the_check_warns_of_what_is_odd(name: str, entry: str, column: str, outcome_of: Callable[[str], Outcome]) -> None:
    assert (entry, column, "warning") in {(b.entry, b.column, b.level) for b in outcome_of(name).breaches}


def _backwards(d: District) -> District:
    marks = d.tables["marks"]
    return d.changed(marks=marks.assign(end=marks["start"] - pd.Timedelta(hours=1)))


def _irregular(d: District) -> District:
    cube = d.cubes["obs_cems"]
    times = cube.indexes["time"].to_series().reset_index(drop=True)
    times.iloc[7] += pd.Timedelta(minutes=1)
    return d.with_cubes(obs_cems=cube.assign_coords(time=times.to_numpy()))


def _doubles(d: District) -> District:
    cube = d.cubes["obs_cems"]
    return d.with_cubes(obs_cems=cube.assign(value=cube["value"].astype("float64")))


def _repeated(d: District) -> District:
    e = d.tables["enterprises"]
    return d.changed(enterprises=pd.concat([e, e.iloc[:2]], ignore_index=True))


@pytest.mark.parametrize(
    ("broken", "entry", "column"),
    [
        pytest.param(_backwards, "marks", "end", id="marks that end before they begin"),
        pytest.param(_irregular, "obs_cems", "time", id="a time off the grid"),
        pytest.param(_doubles, "obs_cems", "value", id="values in double precision"),
        pytest.param(_repeated, "enterprises", "enterprise_id", id="an enterprise twice"),
        pytest.param(lambda d: d.without("points"), "points", "", id="no points"),
        pytest.param(
            lambda d: d.changed(permits=d.tables["permits"].drop(columns="valid_to")), "permits", "valid_to", id="a column is missing"
        ),
    ],
)
def test_broken_input_is_named_by_entry_and_column(
    broken: Callable[[District], District], entry: str, column: str, base: District, tmp_path: Path
) -> None:
    found = open_catalog(write(tmp_path / "district", broken(base))).check()
    assert (entry, column) in {(b.entry, b.column) for b in found if b.level == "error"}


def test_papers_alone_can_be_reviewed_over_a_stated_period(base: District, tmp_path: Path) -> None:
    papers = base.without(*base.cubes)
    catalog = open_catalog(write(tmp_path / "district", papers))
    with pytest.raises(CatalogError, match="covers no period"):
        _ = catalog.period
    for name in models.available():
        model = models.load(name)
        features = model.features(catalog, Period.parse("2026-01-01/2026-01-11"))
        fitted = model.fit(features, catalog.labels(), seed=3)
        assert len(fitted.assess(features))
        check_evidence(fitted.evidence(features))
