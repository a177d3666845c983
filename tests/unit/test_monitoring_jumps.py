"""Sharp jumps of fine readings, and what is built on them: readings switched together, draws of some hours, checks without a mark."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from monitoring_world import PER_DAY, World, edit, honest

from workbench.models.monitoring.detectors.checks import hours_under_test_gas
from workbench.models.monitoring.detectors.operation import _around
from workbench.models.monitoring.detectors.plateau import values_clipped_below_limit
from workbench.models.monitoring.detectors.switching import Event, readings_switch_together
from workbench.models.monitoring.features import build
from workbench.models.monitoring.inputs import read_inputs
from workbench.models.monitoring.jumps import jumps_of_hours, steps_of_hours
from workbench.models.monitoring.panel import Panel

PER = 240


def found(x: np.ndarray, mark: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
    """Return jump and sample of each hour of one row at six minutes."""
    value = x[None].astype(np.float32)
    code = np.zeros(value.shape, np.uint8) if mark is None else mark[None]
    jump, at = np.empty((1, len(x) // 10), np.float32), np.empty((1, len(x) // 10), np.float32)
    jumps_of_hours(value, code, 0, PER, jump, at)
    return jump[0], at[0]


def smooth(seed: int, n: int = PER) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return 50 + np.cumsum(rng.normal(0, 0.1, n)) + rng.normal(0, 0.2, n)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 1000), st.integers(20, PER - 20), st.sampled_from([0.3, 0.6, 1.8, 3.0]))
def test_one_factor_from_one_sample_on_is_one_jump_of_its_size(seed: int, t: int, factor: float) -> None:
    x = smooth(seed)
    x[t:] *= factor
    jump, at = found(x)
    assert np.flatnonzero(jump).tolist() == [t // 10]
    assert at[t // 10] == t
    assert jump[t // 10] == pytest.approx(np.log(factor), abs=0.05)


def test_honest_readings_dips_and_ramps_are_no_jumps() -> None:
    x = smooth(1)
    assert not found(x)[0].any()
    dip = x.copy()
    dip[100:102] *= 0.1
    assert not found(dip)[0].any()
    ramp = x.copy()
    ramp[100:112] *= np.linspace(1, 0.5, 12)
    ramp[112:] *= 0.5
    assert not found(ramp)[0].any()


def test_a_jump_beside_a_gap_or_a_calibration_says_nothing_and_one_out_of_a_stop_counts() -> None:
    x = smooth(2)
    x[100:] *= 0.5
    gap = x.copy()
    gap[97] = np.nan
    assert not found(gap)[0].any()
    mark = np.zeros(PER, np.uint8)
    mark[95:100] = 5
    assert not found(x, mark)[0].any()
    mark[95:100] = 1
    assert found(x, mark)[0].any()


def test_the_step_of_an_hour_is_the_median_of_its_ordinary_steps() -> None:
    x = smooth(3)
    out = np.empty((1, 24), np.float32)
    mark = np.zeros((1, PER), np.uint8)
    mark[0, 30:38] = 2
    steps_of_hours(x[None].astype(np.float32), mark, 0, PER, out)
    steps = np.abs(np.diff(x.astype(np.float32)))
    assert out[0, 5] == pytest.approx(np.sort(steps[49:59])[5])
    assert np.isnan(out[0, 3])  # under a maintenance mark for most of the hour


def panel_of(*steps: dict, world: World | None = None) -> Panel:
    made = world or honest()
    for step in steps:
        edit(made, step)
    return Panel(build(read_inputs(made, made.period)).compute())


@pytest.mark.parametrize(("first", "hours", "factor"), [(20.1, 6, 0.5), (41.7, 20, 0.7), (11.3, 9, 1.6)])
def test_a_switched_span_is_recovered_to_the_sample(first: float, hours: float, factor: float) -> None:
    pair = ["E1-DW1-w01018", "E1-DW1-w21003"]
    panel = panel_of({"do": "scale", "point": pair, "from": first, "to": first + hours / 24, "by": factor})
    spans = readings_switch_together(panel, nats_min=9, hours_min=4, hours_max=72).spans
    begin = panel.first_day + int(first * PER_DAY) * np.timedelta64(15, "m")
    spans = spans[spans["start"] == begin]
    assert set(panel.roster["point_id"].to_numpy()[spans["row"]]) == set(pair)
    assert spans["hours"].to_numpy() == pytest.approx(hours, abs=0.25)
    assert spans["into"].to_numpy() == pytest.approx(factor, rel=0.1)


def test_an_event_is_undone_by_a_jump_back_of_the_same_channel_only() -> None:
    down = Event(10, {0: -0.5, 1: -0.4})
    assert down.joint
    assert down.undone_by(Event(90, {1: 0.1}))
    assert not down.undone_by(Event(90, {0: -0.5}))
    assert not down.undone_by(Event(90, {2: 0.5}))


def test_test_gas_is_a_flat_rectangle_and_an_emission_is_not() -> None:
    so2, nox = "E0-DA1-a21026", "E0-DA1-a21002"
    gas = {"do": "bottle", "point": so2, "from": 30.25, "to": 30.5, "value": 170, "noise": 0.5}
    panel = panel_of(gas)
    row = panel.roster.index[panel.roster["point_id"] == so2][0]
    # it comes back to where it was only by the reading before and after, so the level of the day decides
    hours = np.flatnonzero(hours_under_test_gas(panel)[row])
    assert hours.size == 0 or (hours.min() >= 30 * 24 + 5 and hours.max() <= 30 * 24 + 13)
    other = panel_of(gas, {"do": "bottle", "point": nox, "from": 30.25, "to": 30.5, "value": 2, "noise": 0.05})
    assert hours_under_test_gas(other)[row, 30 * 24 + 6 : 30 * 24 + 12].all()
    raised = panel_of({"do": "scale", "point": [so2, nox], "from": 30.25, "to": 30.5, "by": 2.5})
    assert not hours_under_test_gas(raised)[row].any()


def test_a_gap_is_held_against_gaps_begun_at_other_hours() -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(50, 5, 400)
    x[100:106] = np.nan
    around = _around(x, 6)
    assert around[100] == np.nanmax(np.r_[x[97:100], x[106:108]])
    # wherever a gap began, its level would be drawn from the same distribution: the highest of five
    assert np.nanmean(around) > np.nanmean(x) + 4


def test_a_point_of_coarse_readings_is_not_cut_off_by_rounding() -> None:
    world = honest()
    point = "E0-DA1-a34013"
    world.limits = world.limits.iloc[:0]
    numbers = {"p_max": 1e-5, "min_share": 0.05, "near": 0.06}
    cap = {"do": "clip", "point": point, "from": 30, "to": 42, "value": 12.0}
    fine = panel_of(cap, world=world)
    row = fine.roster.index[fine.roster["point_id"] == point][0]
    assert (values_clipped_below_limit(fine, **numbers).spans["row"] == row).any()
    world.points.loc[world.points["point_id"] == point, "resolution"] = 1.0
    coarse = panel_of(world=world)
    assert not (values_clipped_below_limit(coarse, **numbers).spans["row"] == row).any()
