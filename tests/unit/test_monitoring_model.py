"""The model from catalog to findings, evidence and explanation; bad input, suppressions, invariances."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import xarray as xr
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from monitoring_world import DAYS, FIRST, PER_DAY, World, edit, honest

from workbench.contracts import ParameterError, check_evidence, load_rules
from workbench.models import load
from workbench.models.monitoring.features import build, reduce_block
from workbench.models.monitoring.inputs import read_inputs

RULES = load_rules(files("workbench.models.monitoring").joinpath("params.yml"))
FRAUD = [
    {"do": "constant", "point": "E0-DA1-a21026", "from": 30, "to": 32, "value": 41.0},
    {"do": "copy", "point": "E1-DA1-a21002", "from": 40, "to": 42, "lag": 11},
    {"do": "scale", "point": "E2-DA1-a21026", "from": 20, "to": 21, "by": 2.5},
]


def run(world: World, **params: object) -> tuple[pd.DataFrame, object, xr.Dataset]:
    model = load("monitoring", **params)
    features = model.features(world, world.period)
    fitted = model.fit(features, world.labels(), seed=3)
    return fitted.assess(features), fitted, features


@pytest.fixture(scope="module")
def judged() -> tuple[pd.DataFrame, object, xr.Dataset]:
    world = honest()
    for step in FRAUD:
        edit(world, step)
    return run(world)


def breaches(found: pd.DataFrame) -> set[tuple[str, str]]:
    hit = found[found["verdict"] == "breach"]
    return set(zip(hit["point_id"], hit["detector"], strict=True))


def test_what_was_done_is_found_where_and_when_it_was_done(judged) -> None:
    found = judged[0]
    hit = breaches(found)
    assert {
        ("E0-DA1-a21026", "values_stay_constant"),
        ("E1-DA1-a21002", "history_copied_exactly"),
        ("E2-DA1-a21026", "exceedance_after_lawful_marks"),
    } <= hit
    constant = found[(found["detector"] == "values_stay_constant") & (found["verdict"] == "breach")].iloc[0]
    assert constant["start"] == FIRST + pd.Timedelta(days=30)
    assert constant["end"] == FIRST + pd.Timedelta(days=32)
    assert constant["outcome"] == "fabrication"
    assert "41" in constant["reason_en"]
    assert "恒" not in constant["reason_en"]


def test_an_honest_world_has_no_finding_of_falsified_data() -> None:
    found, _, _ = run(honest(seed=5))
    assert not (found[found["verdict"] == "breach"]["outcome"] == "fabrication").any()


def test_explanations_sum_to_the_score_and_name_units(judged) -> None:
    found, fitted, features = judged
    ids = found.loc[found["verdict"] == "breach", "finding_id"].tolist()
    table = fitted.explain(features, ids)
    assert set(table["finding_id"]) == set(ids)
    total = table.groupby("finding_id").agg(c=("contribution", "sum"), base=("base", "first"), score=("score", "first"))
    np.testing.assert_allclose(total["c"] + total["base"], total["score"], atol=1e-9)
    p = found.set_index("finding_id").loc[total.index, "p_breach"]
    np.testing.assert_allclose(1 / (1 + np.exp(-total["score"])), p, atol=1e-9)
    assert (table["unit"] != "").all()
    assert (table["label_zh"] != table["label_en"]).all()


def test_evidence_keeps_its_contract_and_shows_the_span(judged) -> None:
    _, fitted, features = judged
    evidence = fitted.evidence(features)
    check_evidence(evidence)
    constant = evidence["monitor_constant"]
    inside = constant.sel(enterprise="E0", hour=slice("2026-01-31T01", "2026-02-01T22"))
    assert (inside == constant.attrs["levels"].index("strong")).all()
    assert (constant.sel(enterprise="E2") <= constant.attrs["levels"].index("ordinary")).mean() > 0.9
    level = evidence["monitor_level"]
    over = level.sel(enterprise="E2", hour=slice("2026-01-21T00", "2026-01-21T23"))
    assert (over == level.attrs["levels"].index("over")).mean() > 0.9


def test_the_same_input_gives_the_same_findings_and_another_order_of_points_too(judged) -> None:
    world = honest()
    for step in FRAUD:
        edit(world, step)
    world.points = world.points.sample(frac=1, random_state=4).reset_index(drop=True)
    again, _, _ = run(world)
    pd.testing.assert_frame_equal(judged[0], again)


def test_another_unit_of_the_same_quantity_changes_no_verdict(judged) -> None:
    world = honest()
    for step in FRAUD:
        edit(world, step)
    for factor in ("a21026", "a21002"):
        ids = world.points.loc[world.points["factor"] == factor, "point_id"]
        for i in ids:
            world.values[i] = world.values[i] * 1024.0  # a power of two keeps every float exact
        world.points.loc[world.points["factor"] == factor, ["range_high", "resolution"]] *= 1024.0
        world.points.loc[world.points["factor"] == factor, "unit"] = "µg/m³"
        world.limits.loc[world.limits["factor"] == factor, "limit"] *= 1024.0
    assert breaches(run(world)[0]) == breaches(judged[0])


@settings(max_examples=6, deadline=None)
@given(
    start=st.integers(0, DAYS - 3),
    length=st.integers(1, 3),
    kind=st.sampled_from(["startup", "maintenance", "calibration", "fault", "stopped"]),
)
def test_a_lawful_mark_never_makes_an_exceedance(start: int, length: int, kind: str) -> None:
    from workbench.models.monitoring.detectors import DETECTORS
    from workbench.models.monitoring.panel import Panel

    def over(world: World) -> np.ndarray:
        panel = Panel(build(read_inputs(world, world.period)).compute())
        return DETECTORS["exceedance_after_lawful_marks"](panel, **RULES["exceedance_after_lawful_marks"].numbers()).ruling

    world = honest(plants=1)
    edit(world, {"do": "scale", "point": "E0-DA1-a21026", "from": 20, "to": 22, "by": 2.5})
    before = over(world)
    edit(world, {"do": "mark", "outlet": "E0-DA1", "kind": kind, "from": start, "to": start + length})
    assert not ((over(world) == 1) & (before != 1)).any()


def test_removing_a_points_data_leaves_it_not_evaluable_and_never_compliant() -> None:
    from workbench.models.monitoring.detectors import DETECTORS
    from workbench.models.monitoring.panel import Panel

    world = honest(plants=2)
    edit(world, {"do": "missing", "point": "E0-DA1-a21026"})
    panel = Panel(build(read_inputs(world, world.period)).compute())
    row = int(panel.roster.index[panel.roster["point_id"] == "E0-DA1-a21026"][0])
    rules = load("monitoring").rules
    for name, detector in DETECTORS.items():
        if name not in ("data_missing_or_late", "values_impossible"):
            assert detector(panel, **rules[name].numbers()).at(row) == "not evaluable", name


BAD = {
    "unknown unit": (
        lambda w: w.points.__setitem__("unit", w.points["unit"].where(w.points["point_id"] != "E0-DA1-a21026", "§§")),
        "unit is not known",
    ),
    "range ends where it begins": (
        lambda w: w.points.loc.__setitem__((w.points["point_id"] == "E0-DA1-a21026", "range_high"), 0.0),
        "range ends where it begins",
    ),
    "three values": (lambda w: edit(w, {"do": "short", "point": "E0-DA1-a21026", "keep": 3}), "too few"),
    "all missing": (lambda w: edit(w, {"do": "missing", "point": "E0-DA1-a21026"}), "every value is missing"),
    "infinite": (lambda w: edit(w, {"do": "infinite", "point": "E0-DA1-a21026", "from": 3, "to": 4}), "infinite"),
    "negative": (lambda w: edit(w, {"do": "value", "point": "E0-DA1-a21026", "from": 3, "to": 4, "value": -90}), "negative"),
    "no limits": (lambda w: edit(w, {"do": "no_limits"}), "no permitted limit"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_input_has_a_name_and_neither_crashes_nor_passes(name: str) -> None:
    world = honest(plants=1)
    BAD[name][0](world)
    found, fitted, features = run(world)
    mine = found[(found["point_id"] == "E0-DA1-a21026") & (found["detector"] == "input_fit_for_judging")]
    assert len(mine) == 1
    assert mine["verdict"].iloc[0] == "abstain"
    assert BAD[name][1] in mine["reason_en"].iloc[0]
    assert mine["reason_zh"].iloc[0]
    check_evidence(fitted.evidence(features))


@pytest.mark.parametrize(("times", "words"), [("backwards", "run backwards"), ("irregular", "not regular")])
def test_a_cube_with_broken_times_is_set_aside_by_name_and_the_rest_goes_on(times: str, words: str) -> None:
    class Broken(World):
        def cube(self, entry: str) -> xr.Dataset:
            data = super().cube(entry)
            if entry != "obs_cems":
                return data
            t = data["time"].to_numpy().copy()
            t[100:] = t[100:] - np.timedelta64(2, "D") if times == "backwards" else t[100:] + np.timedelta64(7, "m")
            return data.assign_coords(time=t)

    base = honest(plants=1)
    world = Broken(base.points, base.values, base.codes, base.limits)
    found, _, _ = run(world)
    cems = found[found["point_id"].str.contains("DA1")]
    assert (cems["verdict"] == "abstain").all()
    assert cems["reason_en"].str.contains(words).all()
    assert len(cems) == 6


def test_a_catalog_of_ambient_stations_alone_can_be_judged() -> None:
    world = honest(plants=3)
    keep = world.points["factor"].isin(["a21026", "a21002"])
    world.points = world.points[keep].assign(system="ambient", enterprise_id="", outlet_id="", unit="µg/m³").reset_index(drop=True)
    world.limits = world.limits.iloc[:0]
    edit(world, {"do": "constant", "point": "E1-DA1-a21026", "from": 30, "to": 32, "value": 41.0})
    found, fitted, features = run(world)
    assert ("E1-DA1-a21026", "values_stay_constant") in breaches(found)
    check_evidence(fitted.evidence(features))


def suppression(**changes: object) -> dict[str, object]:
    row = {
        "detector": "values_stay_constant", "point_id": "E0-DA1-a21026", "start": "2026-01-30", "end": "2026-02-03",
        "reason": "probe exchanged, report 7", "signed_by": "Li Hua", "signed_on": "2026-02-04", "expires_on": "2026-12-31",
    }  # fmt: skip
    return {**row, **changes}


@pytest.mark.parametrize(
    ("changes", "silenced"),
    [({}, True), ({"expires_on": "2026-02-04", "signed_on": "2026-01-01"}, True), ({"detector": "values_generated"}, False),
     ({"end": "2026-02-01"}, False),
     ({"point_id": "E1-DA1-a21026"}, False), ({"signed_on": "2026-01-01", "expires_on": "2026-01-15"}, False)],
)  # fmt: skip
def test_a_suppressed_finding_stays_and_shows_who_and_why(tmp_path: Path, changes: dict, silenced: bool) -> None:
    world = honest(plants=2)
    edit(world, FRAUD[0])
    file = tmp_path / "suppressions.yml"
    file.write_text(yaml.safe_dump({"suppressions": [suppression(**changes)]}), encoding="utf-8")
    found, _, _ = run(world, suppressions=str(file))
    mine = found[(found["detector"] == "values_stay_constant") & (found["point_id"] == "E0-DA1-a21026")]
    assert len(mine) == 1
    assert ("Li Hua" in mine["suppressed_by"].iloc[0]) is silenced
    assert (mine["verdict"].iloc[0] == "abstain") is silenced
    assert ("probe exchanged" in mine["reason_en"].iloc[0] and "已抑制" in mine["reason_zh"].iloc[0]) is silenced


@pytest.mark.parametrize("gone", ["reason", "signed_by", "expires_on"])
def test_an_unsigned_or_unreasoned_suppression_is_refused(tmp_path: Path, gone: str) -> None:
    row = suppression()
    del row[gone]
    file = tmp_path / "suppressions.yml"
    file.write_text(yaml.safe_dump({"suppressions": [row]}), encoding="utf-8")
    with pytest.raises(ParameterError, match="suppressions"):
        load("monitoring", suppressions=str(file))


def test_an_unknown_override_is_refused_with_the_nearest_name() -> None:
    with pytest.raises(ParameterError) as error:
        load("monitoring", overrides={"values_stay_constant.min_hour": 3})
    assert "min_hours" in str(error.value)


def test_statistics_are_those_of_numpy_and_do_not_depend_on_the_seam() -> None:
    rng = np.random.default_rng(2)
    x = np.round(rng.normal(20, 3, (3, 5 * 48)), 1).astype(np.float32)
    x[:, 40:60] = 7.5
    x[0, 45] = np.nan
    x[1, 100] = np.inf
    mark = np.zeros(x.shape, np.uint8)
    mark[2, 10:20] = 5
    limits = np.array([[22, 100, -1]] * 3, np.float32)
    none = (np.array([], np.int64), np.array([], np.int64), np.array([], np.uint8), np.array([], np.int64))
    day = reduce_block(x, mark, limits, none, (0, 48, 5), True)[0]
    for i in range(3):
        for d in range(5):
            part, m = x[i, d * 48 : (d + 1) * 48], mark[i, d * 48 : (d + 1) * 48]
            ok = part[np.isfinite(part) & (m == 0)]
            assert day[0, i, d] == ok.size
            np.testing.assert_allclose(
                [day[4, i, d], day[5, i, d], day[6, i, d], day[7, i, d]], [ok.mean(), ok.std(), ok.min(), ok.max()], rtol=1e-4
            )
            assert day[17, i, d] == (ok > 22).sum()
    assert day[10, 1, 0] == 8
    assert day[10, 1, 1] == 20  # the run reaches over midnight
    assert day[10, 0, 1] == 19  # and a gap inside it does not break it
    from workbench.models.monitoring import kernels
    from workbench.models.monitoring.features import fresh_carry

    whole = np.full((kernels.N_DAY, 3, 5), np.nan, np.float32)
    hours = np.full((kernels.N_HOUR, 3, 120), np.nan, np.float32)
    kernels.scan(x, mark, limits, 0, 48, whole, hours, fresh_carry(3))
    carry = fresh_carry(3)
    parts = []
    for a, b in ((0, 2), (2, 5)):
        part = np.full((kernels.N_DAY, 3, b - a), np.nan, np.float32)
        kernels.scan(
            np.ascontiguousarray(x[:, a * 48 : b * 48]), np.ascontiguousarray(mark[:, a * 48 : b * 48]), limits, 0, 48, part, hours, carry
        )
        parts.append(part)
    seam = np.concatenate(parts, axis=2)
    keep = [k for k, name in enumerate(kernels.DAY_STATISTICS) if name not in ("run_start", "run_end")]
    np.testing.assert_array_equal(seam[keep], whole[keep])


def test_an_appended_day_is_reduced_and_scored_like_the_history() -> None:
    from workbench.models.monitoring.append import append_day, start_tail

    world = honest(plants=1)
    world.points = world.points[world.points["system"] == "cems"].reset_index(drop=True)
    tail = start_tail(world, world.period)
    ids = list(tail.points)
    fresh = np.stack([world.values[i][-PER_DAY:] * 1.07 + 0.013 for i in ids]).astype(np.float32)
    row = ids.index("E0-DA1-a21026")
    scored = append_day(tail, fresh, np.zeros(fresh.shape, np.uint8))
    assert scored["constant"].iloc[row] < 5
    assert scored["copied"].iloc[row] == 0
    copied, stuck = fresh.copy(), fresh.copy()
    copied[row] = world.values["E0-DA1-a21026"][20 * PER_DAY : 21 * PER_DAY]
    stuck[row] = 41.0
    assert append_day(tail, copied, np.zeros(fresh.shape, np.uint8))["copied"].iloc[row] > 0.7
    assert append_day(tail, stuck, np.zeros(fresh.shape, np.uint8))["constant"].iloc[row] > 20


@pytest.mark.parametrize("language", ["zh", "en"])
def test_the_pictures_show_series_span_limit_and_related_channels(judged, tmp_path: Path, language: str) -> None:
    from workbench.models.monitoring.pictures import draw_explanation, draw_finding

    found, fitted, features = judged
    finding = found[found["detector"] == "values_stay_constant"].iloc[0]
    figure = draw_finding(features, finding, language=language)
    assert len(figure.axes) == 5
    figure.savefig(tmp_path / "finding.png")
    bars = draw_explanation(fitted.explain(features, [finding["finding_id"]]), language=language)
    bars.savefig(tmp_path / "bars.png")
    assert (tmp_path / "finding.png").stat().st_size > 10_000
    with pytest.raises(ParameterError):
        draw_finding(features.isel(point=slice(5, 6)), finding)
