"""Every unusual input of the monitors has a named outcome; what an absent entry costs is said; evidence carries its meaning."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest
import xarray as xr
import yaml
from monitoring_world import PER_DAY, World, edit, honest

from workbench.contracts import check_evidence
from workbench.models import load
from workbench.models.monitoring.grades import load_grades

POINT = "E0-DA1-a21026"


def run(world: World) -> tuple[pd.DataFrame, xr.Dataset]:
    model = load("monitoring")
    features = model.features(world, world.period)
    fitted = model.fit(features, world.labels(), seed=3)
    return fitted.assess(features), fitted.evidence(features)


def setting(column: str, value: object) -> Callable[[World], None]:
    def change(world: World) -> None:
        world.points.loc[world.points["point_id"] == POINT, column] = value

    return change


def value(x: float, **more: object) -> Callable[[World], None]:
    return lambda world: edit(world, {"do": "value", "point": POINT, "from": 3, "to": 4, "value": x, **more})


def limits(x: float) -> Callable[[World], None]:
    return lambda world: world.limits.loc.__setitem__(
        world.limits["factor"] == "a21026", world.limits.assign(limit=x)[world.limits["factor"] == "a21026"]
    )


TABLE = [
    ("unknown unit", setting("unit", "§§"), "unit is not known", False),
    ("range of width zero", setting("range_high", 0.0), "range ends where it begins", True),
    ("range upside down", setting("range_high", -5.0), "range ends where it begins", True),
    ("three values", lambda w: edit(w, {"do": "short", "point": POINT, "keep": 3}), "too few", False),
    ("all missing", lambda w: edit(w, {"do": "missing", "point": POINT}), "every value is missing", False),
    ("infinite for a day", value(np.inf), "infinite", True),
    ("minus infinite for a day", value(-np.inf), "infinite", True),
    ("negative concentration", value(-90.0), "negative", True),
    ("9999 beyond the range", value(9999.0), "9999", True),
    ("65535 beyond the range", value(65535.0), "65535", True),
    ("minus 9999", value(-9999.0), "9999", True),
    ("32767 beyond the range", value(32767.0), "32767", True),
    ("1e30", value(1e30), "impossibly large", True),
    ("limits missing", lambda w: edit(w, {"do": "no_limits"}), "no permitted limit", True),
    ("limit of zero", limits(0.0), "no permitted limit", True),
    ("limit not a number", limits(np.nan), "no permitted limit", True),
]


@pytest.mark.parametrize(("name", "change", "words", "judged"), TABLE, ids=[t[0] for t in TABLE])
def test_bad_input_is_a_named_outcome_and_never_a_silent_pass(name: str, change: Callable[[World], None], words: str, judged: bool) -> None:
    world = honest(plants=1)
    change(world)
    found, evidence = run(world)
    mine = found[found["point_id"] == POINT]
    named = mine[mine["detector"] == "input_fit_for_judging"]
    assert len(named) == 1
    assert named["verdict"].iloc[0] == "abstain"
    assert words in named["reason_en"].iloc[0]
    assert named["reason_zh"].iloc[0]
    assert not (mine["outcome"] == "exceedance").any()  # a device's code is no concentration over the limit
    assert not ((mine["verdict"] == "breach") & (mine["outcome"] == "fabrication")).any()
    if not judged:
        assert set(mine["detector"]) <= {"input_fit_for_judging", "data_missing_or_late"}
    check_evidence(evidence)


def test_a_code_for_no_value_is_taken_out_of_the_means() -> None:
    from workbench.models.monitoring.features import build
    from workbench.models.monitoring.inputs import read_inputs

    clean, dirty = honest(plants=1), honest(plants=1)
    for k in range(3 * PER_DAY, 4 * PER_DAY, 7):
        dirty.values[POINT][k] = 65535.0
        clean.values[POINT][k] = np.nan
    a, b = (build(read_inputs(w, w.period)).compute().sel(point=POINT) for w in (clean, dirty))
    np.testing.assert_array_equal(a["hour_mean"], b["hour_mean"])
    np.testing.assert_array_equal(a["sketch"], b["sketch"])
    assert float(b["n_impossible"].sum()) == len(range(3 * PER_DAY, 4 * PER_DAY, 7))


def test_a_flow_of_9999_without_a_range_on_file_is_a_flow() -> None:
    world = honest(plants=1)
    world.points["range_high"] = np.nan
    edit(world, {"do": "value", "point": "E0-DA1-a00000", "from": 3, "to": 4, "value": 9999})
    found, _ = run(world)
    assert not ((found["point_id"] == "E0-DA1-a00000") & (found["detector"] == "values_impossible")).any()


class WithoutMarks(World):
    def has(self, entry: str) -> bool:
        return entry != "marks" and super().has(entry)


@pytest.mark.parametrize(
    ("hours", "verdict"), [(4, "abstain"), (24, "breach")], ids=["as long as a start-up may last", "a day, longer than any start-up"]
)
def test_without_the_marks_table_an_exceedance_is_lowered_or_not_judged_and_says_what_is_lost(hours: int, verdict: str) -> None:
    base = honest()
    span = {"do": "scale", "point": POINT, "from": 20, "to": 20 + hours / 24, "by": 2.8}
    edit(base, span)
    with_marks, _ = run(base)
    without, _ = run(WithoutMarks(base.points, base.values, base.codes, base.limits))
    a, b = (f[(f["point_id"] == POINT) & (f["detector"] == "exceedance_after_lawful_marks")].iloc[0] for f in (with_marks, without))
    assert (a["severity"], b["severity"]) == ("high", "medium")
    assert b["verdict"] in (verdict, a["verdict"])
    assert "the catalog holds no marks" in b["reason_en"].lower()
    assert "标记表" in b["reason_zh"]
    assert (without["verdict"] == "breach").sum() <= (with_marks["verdict"] == "breach").sum()


def test_marks_that_nothing_can_check_are_named_as_unchecked() -> None:
    world = honest(plants=1)
    edit(world, {"do": "drop", "factors": ["power", "a00000", "w00000", "a19001"]})
    edit(world, {"do": "mark", "outlet": "E0-DA1", "kind": "stopped", "from": 30, "to": 31})
    edit(world, {"do": "mark", "outlet": "E0-DA1", "kind": "calibration", "from": 40, "to": 40.2})
    found, _ = run(world)
    named = found[(found["detector"] == "input_fit_for_judging") & found["reason_en"].str.contains("were not checked")]
    assert len(named) == 1
    assert "fewer than two of flow" in named["reason_en"].iloc[0]
    assert (named["verdict"] == "abstain").all()


@pytest.fixture(scope="module")
def spoken() -> tuple[pd.DataFrame, xr.Dataset]:
    world = honest()
    edit(world, {"do": "constant", "point": POINT, "from": 30, "to": 32, "value": 41.0})
    edit(world, {"do": "missing", "point": "E1-DA1-a21026", "from": 10, "to": 11})
    edit(world, {"do": "mark", "outlet": "E2-DA1", "kind": "startup", "from": 12, "to": 12.5})
    edit(world, {"do": "mark", "outlet": "E2-DW1", "kind": "startup", "from": 12, "to": 12.5})
    return run(world)


def test_every_channel_names_a_role_of_the_cross_layer_and_only_its_levels(spoken, request: pytest.FixtureRequest) -> None:
    file = request.config.rootpath / "workbench" / "cross" / "roles.yml"
    roles = yaml.safe_load(file.read_text(encoding="utf-8"))["roles"]
    for name, array in spoken[1].data_vars.items():
        role = roles[array.attrs["role"]]
        silent = {"marked"} if name == "monitor_level" else set()
        assert set(array.attrs["levels"]) - silent <= set(role["levels"]), name
        assert array.attrs["source"] == role["source"], name
        assert array.attrs["support_hours"] in (1, 24), name


def test_channels_of_one_monitors_readings_share_a_group(spoken) -> None:
    groups = {
        array.attrs["group"] for array in spoken[1].data_vars.values() if array.attrs["role"] in ("monitor_integrity", "monitor_limit")
    }
    assert groups == {"monitor:series"}


def test_lawfully_marked_hours_are_a_level_of_their_own_and_no_outage(spoken) -> None:
    level = spoken[1]["monitor_level"].sel(enterprise="E2", hour=slice("2026-01-13T01", "2026-01-13T10"))
    assert (level == level.attrs["levels"].index("marked")).all()


def test_what_was_not_looked_at_is_not_ordinary(spoken) -> None:
    evidence = spoken[1]
    hours = evidence["monitor_copied"].sel(hour=slice("2026-01-01", "2026-01-02"))
    assert (hours >= -1).all()
    assert (evidence["monitor_mark_truth"] == -1).sum() == 0  # flow, power, temperature and oxygen tell: the marks were looked at
    world = honest(plants=1)
    edit(world, {"do": "drop", "factors": ["power", "a00000", "w00000", "a19001", "a01012"]})
    assert (run(world)[1]["monitor_mark_truth"] == -1).all()


def test_weaker_numbers_are_weaker_numbers_of_detectors_that_exist() -> None:
    rules = load("monitoring").rules
    for name, row in load_grades().items():
        assert set(row.weak) <= set(row.detectors) <= set(rules), name
        for detector, numbers in row.weak.items():
            own = rules[detector].numbers()
            for threshold, weaker in numbers.items():
                assert (weaker > own[threshold]) if threshold == "p_max" else (weaker < own[threshold]), (detector, threshold)


def test_a_doubt_is_a_suspicion_and_no_alert() -> None:
    """Three hours and a half at one value: a finding needs four, a suspicion three."""
    world = honest()
    a = 30 * PER_DAY + 8
    world.values[POINT][a : a + 15] = 41.0
    found, evidence = run(world)
    constant = evidence["monitor_constant"]
    hours = constant.sel(enterprise="E0", hour=slice("2026-01-31T03", "2026-01-31T04"))
    assert not ((found["detector"] == "values_stay_constant") & (found["verdict"] == "breach")).any()
    assert (hours == constant.attrs["levels"].index("suspect")).all()
    assert "suspect" not in constant.attrs["alert_levels"]


@pytest.mark.parametrize(
    ("share", "outcome"), [(0.02, "fault"), (0.92, "fabrication")], ids=["near the detection limit", "just under the limit"]
)
def test_a_cap_that_serves_nobody_is_no_fabrication(share: float, outcome: str) -> None:
    world = honest()
    x = world.values["E0-DA1-a34013"]
    x[:] = np.round(x / 12 * share * 20, 2)
    edit(world, {"do": "clip", "point": "E0-DA1-a34013", "from": 30, "to": 42, "value": round(share * 20, 2)})
    found, _ = run(world)
    cut = found[(found["point_id"] == "E0-DA1-a34013") & (found["detector"] == "values_clipped_below_limit")]
    assert len(cut)
    assert (cut["outcome"] == outcome).all()


@pytest.mark.parametrize(
    ("point", "lag", "outcome"),
    [("E0-DA1-a00000", 1.37, "fault"), ("E0-DA1-a00000", 12, "fabrication"), ("E0-DA1-a21026", 12.4, "fabrication")],
    ids=["flow of the day before sent again", "flow of twelve days before, by the clock", "a pollutant of twelve days before"],
)
def test_a_buffer_sent_again_is_a_fault_of_the_logger(point: str, lag: float, outcome: str) -> None:
    world = honest()
    edit(world, {"do": "copy", "point": point, "from": 30.4, "to": 31.6, "lag": lag})
    found, _ = run(world)
    copied = found[(found["point_id"] == point) & (found["detector"] == "history_copied_exactly")]
    assert len(copied)
    assert (copied["outcome"] == outcome).all()


def test_late_arrival_is_named_as_not_evaluable_where_nobody_knows_it_and_judged_where_the_store_does() -> None:
    world = honest(plants=1)
    found, _ = run(world)
    said = found[found["detector"] == "data_arrive_late"]
    assert said["verdict"].tolist() == ["abstain"]
    assert "not when it arrived" in said["reason_en"].iloc[0]
    assert "到达" in said["reason_zh"].iloc[0]
    edit(world, {"do": "arrive", "minutes": 1})
    edit(world, {"do": "arrive", "point": POINT, "from": 30, "to": 33, "minutes": 2880})
    found, _ = run(world)
    late = found[found["detector"] == "data_arrive_late"]
    assert late["point_id"].tolist() == [POINT]
    assert late["outcome"].tolist() == ["fault"]
    assert (late["start"].iloc[0].day, (late["end"] - late["start"]).iloc[0]) == (31, pd.Timedelta(days=3))


def test_without_the_marks_table_an_outage_is_not_held_against_the_limit() -> None:
    from workbench.models.monitoring.findings import _a_mark_may_excuse

    usual = {"low_level": 0.0, "running": 1.0, "starting": 0.0, "numbers": {}}
    assert _a_mark_may_excuse({"family": "outage", **usual})
    assert not _a_mark_may_excuse({"family": "copy", **usual})
    assert _a_mark_may_excuse({"family": "copy", **usual, "running": 0.2})
