"""Simulated meters whose truth is known: loads that moved, dead meters, codes for nothing, marks, lags, shifts, drives."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from workbench.contracts import Mark, Ruling
from workbench.models.energy_tax.meters import Works, hourly_minutes, hourly_state, learn_works
from workbench.models.energy_tax.readings import usable
from workbench.models.energy_tax.rules_conflict import temperature_contradicts_power, temperature_place
from workbench.models.energy_tax.rules_power import treatment_idling_while_producing, treatment_off_while_producing
from workbench.models.energy_tax.states import Drive, State, learn_meter, meter_states
from workbench.models.energy_tax.witnesses import Witnesses, load_on_standby, load_on_total
from workbench.models.hourly import Grid
from workbench.models.no_value import CODES
from workbench.models.rule_settings import read_settings

SETTINGS = read_settings("workbench.models.energy_tax")
START, DAYS, PER_DAY = pd.Timestamp("2026-01-05"), 60, 96
TIME = pd.date_range(START, periods=DAYS * PER_DAY, freq="15min").to_numpy()
HOUR = (np.arange(len(TIME)) % PER_DAY) / 4
GRID = Grid(START, DAYS * 24)
OFF, IDLE = "treatment_off_while_producing", "treatment_idling_while_producing"


class Plant:
    """Production by day shift, a treatment that follows it, and what else is metered; noise of 4 %."""

    def __init__(self, seed: int = 1) -> None:
        self.rng = np.random.default_rng(seed)
        self.on = (HOUR >= 7) & (HOUR < 21) & (np.arange(len(TIME)) // PER_DAY % 7 != 6)
        self.meters = {"P": ("production", self.noisy(np.where(self.on, 300.0, 9.0))), "T": ("treatment", self.served(self.on))}
        self.outlets: dict[str, str] = {}

    def noisy(self, x: np.ndarray) -> np.ndarray:
        return np.asarray(x * np.exp(0.04 * self.rng.standard_normal(len(x))))

    def served(self, running: np.ndarray) -> np.ndarray:
        return self.noisy(np.where(running, 45.0, 0.8))

    def span(self, first: int, days: int = 1, hours: tuple[float, float] = (10.0, 16.0)) -> np.ndarray:
        day = np.arange(len(TIME)) // PER_DAY
        return np.asarray((day >= first) & (day < first + days) & (hours[0] <= HOUR) & (hours[1] > HOUR) & self.on)

    def works(self, marks: pd.DataFrame | None = None) -> Works:
        names = list(self.meters)
        g = pd.DataFrame({"point_id": names, "role": [self.meters[n][0] for n in names], "resolution": 0.01, "scale": 1.0})
        g["outlet_id"] = [self.outlets.get(n, "") for n in names]
        power = np.stack([self.meters[n][1] for n in names]).astype(np.float32)
        return learn_works("E1", g, power, TIME, 900.0, marks, SETTINGS)


def judged(rule: str, works: Works, seen: Witnesses | None = None) -> list[Any]:
    shared = {"campaign_days": SETTINGS.prep("episodes")["campaign_days"], **SETTINGS.prep("treatment_context")}
    function = {OFF: treatment_off_while_producing, IDLE: treatment_idling_while_producing}[rule]
    return function(works, seen or Witnesses(GRID), **SETTINGS.of(rule), **shared)


def habit(plant: Plant) -> np.ndarray:
    """Six stops of six hours."""
    return np.asarray(np.logical_or.reduce([plant.span(d) for d in (21, 23, 25, 29, 31, 36)]))


# ---- loads that moved ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("where", ["standby", "total", "second treatment", "nowhere"])
def test_a_load_that_moved_to_another_meter_is_not_treatment_off(where: str) -> None:
    plant = Plant()
    gone = habit(plant)
    plant.meters["T"] = ("treatment", plant.served(plant.on & ~gone))
    ran = plant.on if where != "nowhere" else plant.on & ~gone
    total = plant.meters["P"][1] + plant.served(ran)
    plant.meters["Z"] = ("total", plant.noisy(np.full(len(TIME), 5.0)) + total)
    if where == "standby":
        plant.meters["S"] = ("standby", plant.served(plant.on & gone))
    if where == "second treatment":
        plant.meters["U"] = ("treatment", plant.served(plant.on & gone))
    works = plant.works()
    (found,) = [j for j in judged(OFF, works) if j.ruling is not Ruling.COMPLIANT] or judged(OFF, works)
    alert = 1 / (1 + np.exp(-found.score)) >= SETTINGS.prep("calibration")["alert"]
    assert load_on_total(works, gone) == pytest.approx(0.0 if where == "nowhere" else 1.0, abs=0.15)
    if where == "standby":
        assert load_on_standby(works, gone) == pytest.approx(1.0, abs=0.15)
    assert bool(alert and found.ruling is Ruling.VIOLATED) is (where == "nowhere")
    if where in ("standby", "total"):
        assert found.ruling is Ruling.NOT_EVALUABLE
        assert ("另一治污电表接替" if where == "standby" else "总表负荷未降") in found.reason_zh


def test_a_fan_taken_over_by_the_standby_meter_for_good_is_no_stop() -> None:
    plant = Plant(2)
    later = np.arange(len(TIME)) >= 35 * PER_DAY
    plant.meters["T"] = ("treatment", plant.served(plant.on & ~later))
    plant.meters["S"] = ("standby", plant.served(plant.on & later))
    found = judged(OFF, plant.works())
    assert all(1 / (1 + np.exp(-j.score)) < SETTINGS.prep("calibration")["alert"] for j in found if j.ruling is Ruling.VIOLATED)


@pytest.mark.parametrize("factor", [0.1, 0.5, 3.0])
def test_a_new_meter_or_transformer_makes_no_stop_and_no_idling(factor: float) -> None:
    plant = Plant(3)
    x = plant.meters["T"][1].copy()
    x[30 * PER_DAY + 40 :] *= factor
    plant.meters["T"] = ("treatment", x)
    works = plant.works()
    assert works.swaps[1] is not None
    assert works.off.mean() + works.idle.mean() < 0.002


# ---- meters that read nothing ----------------------------------------------------------------------------------------


def test_a_treatment_meter_that_reads_nothing_at_all_is_not_evaluable_unless_the_facility_ignores_production() -> None:
    plant = Plant(4)
    plant.meters["T"] = ("treatment", np.zeros(len(TIME)))
    works = plant.works()
    for rule in (OFF, IDLE):
        assert judged(rule, works)[0].ruling is Ruling.NOT_EVALUABLE
    hourly_on = plant.on.reshape(-1, 4).all(axis=1)
    level = {"follows": np.where(hourly_on, 900.0, 5.0), "ignores": np.full(GRID.n, 5.0)}
    rulings = {}
    for name, x in level.items():
        x = x * np.exp(0.05 * plant.rng.standard_normal(GRID.n))
        rulings[name] = judged(OFF, works, replace(Witnesses(GRID), condition=x[None, :].astype(np.float32)))[0].ruling
    assert rulings == {"follows": Ruling.NOT_EVALUABLE, "ignores": Ruling.VIOLATED}


def test_a_production_meter_that_reads_nothing_at_all_is_not_evaluable() -> None:
    plant = Plant(5)
    plant.meters["P"] = ("production", np.zeros(len(TIME)))
    assert judged(OFF, plant.works())[0].ruling is Ruling.NOT_EVALUABLE


@pytest.mark.parametrize(("reads", "condition", "ruling"), [
    (0.0, None, Ruling.NOT_EVALUABLE), (0.8, None, Ruling.VIOLATED), (0.0, "low", Ruling.VIOLATED), (0.0, "normal", Ruling.NOT_EVALUABLE),
])  # fmt: skip
def test_stops_that_read_exactly_nothing_need_another_witness(reads: float, condition: str | None, ruling: Ruling) -> None:
    plant = Plant(6)
    gone = habit(plant)
    x = plant.served(plant.on & ~gone)
    x[gone] = reads
    plant.meters["T"] = ("treatment", x)
    seen = Witnesses(GRID)
    if condition:
        level = np.where(plant.on & ~(gone & (condition == "low")), 900.0, 5.0)
        seen = replace(seen, condition=level.reshape(1, -1, 4).mean(axis=2).astype(np.float32))
    assert judged(OFF, plant.works(), seen)[0].ruling is ruling


def test_a_treatment_that_always_stands_at_one_level_cannot_be_judged_for_idling_but_is_not_off() -> None:
    plant = Plant(7)
    plant.meters["T"] = ("treatment", plant.noisy(np.full(len(TIME), 6.0)))
    works = plant.works()
    assert works.meters[1].drive is Drive.ALWAYS_ON
    assert judged(IDLE, works)[0].ruling is Ruling.NOT_EVALUABLE
    assert judged(OFF, works)[0].ruling is Ruling.COMPLIANT


# ---- codes for nothing -----------------------------------------------------------------------------------------------


@settings(max_examples=30, deadline=None)
@given(st.sampled_from([*CODES, -9999.0, -30.0, 1e12, float("inf")]), st.floats(5.0, 200.0))
def test_codes_and_impossible_values_are_no_readings(code: float, level: float) -> None:
    x = level * np.exp(0.05 * np.random.default_rng(8).standard_normal((1, 500))).astype(np.float32)
    x[0, 100:110] = code
    out = usable(x, np.zeros(x.shape, np.uint8), resolution=np.array([0.01]), range_high=np.array([np.nan]))
    assert np.isnan(out[0, 100:110]).all()
    np.testing.assert_array_equal(np.delete(out, np.s_[100:110], axis=1), np.delete(x, np.s_[100:110], axis=1))


def test_a_load_of_that_size_keeps_its_value_and_small_negatives_are_nothing() -> None:
    x = np.full((2, 500), 9000.0, np.float32)
    x[0, 50], x[1, 50] = 9999.0, -0.02
    out = usable(x, np.zeros(x.shape, np.uint8), resolution=np.array([1.0, 0.01]), range_high=np.array([20_000.0, np.nan]))
    assert out[0, 50] == 9999.0
    assert out[1, 50] == 0.0
    mark = np.zeros(x.shape, np.uint8)
    mark[0, 7] = Mark.COMM_ERROR
    assert np.isnan(usable(x, mark, resolution=np.array([1.0, 1.0]), range_high=np.full(2, np.nan))[0, 7])


def test_a_treatment_meter_that_sends_minus_9999_in_an_outage_makes_no_stop() -> None:
    plant = Plant(9)
    x = plant.meters["T"][1].astype(np.float32)
    x[habit(plant)] = -9999.0
    plant.meters["T"] = (
        "treatment",
        usable(x[None, :], np.zeros((1, len(x)), np.uint8), resolution=np.array([0.01]), range_high=np.array([np.nan]))[0],
    )
    assert not plant.works().off.any()


# ---- marks -----------------------------------------------------------------------------------------------------------


def test_a_mark_excuses_the_meters_of_its_own_outlet_only() -> None:
    plant = Plant(10)
    gone = habit(plant)
    for name in "TU":
        plant.meters[name] = ("treatment", plant.served(plant.on & ~gone))
        plant.outlets[name] = {"T": "DA001", "U": "DA002"}[name]
    marks = pd.DataFrame({"outlet_id": ["DA001"], "start": [START], "end": [START + pd.Timedelta("60D")], "kind": ["maintenance"]})
    both = plant.works(marks)
    assert both.off.sum() == pytest.approx(gone.sum(), rel=0.05)  # the second facility is not excused
    plant.outlets["U"] = "DA001"
    assert not plant.works(marks).off.any()
    plant.outlets = {}  # a meter that names no outlet has the benefit of the doubt
    assert not plant.works(marks).off.any()


# ---- lag, shifts, drives ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("lag", [0, 2, 5])
def test_the_start_lag_is_learned_and_costs_no_minutes(lag: int) -> None:
    plant = Plant(11)
    gone = habit(plant)
    late = plant.on & np.roll(plant.on, lag)
    plant.meters["T"] = ("treatment", plant.served(late & ~gone))
    works = plant.works()
    assert works.pairs[0].lag_steps == pytest.approx(lag, abs=1)
    assert works.off.sum() == pytest.approx(gone.sum(), rel=0.03)


def test_minutes_by_episode_day_and_hour_come_back() -> None:
    plant = Plant(12)
    gone = habit(plant)
    plant.meters["T"] = ("treatment", plant.served(plant.on & ~gone))
    works = plant.works()
    assert [15 * e.steps for e in works.episodes] == pytest.approx([360] * 6, abs=15)
    per_hour = hourly_minutes(works, works.off, GRID)
    truth = gone.reshape(-1, 4).sum(axis=1) * 15.0
    assert np.abs(per_hour - truth).max() <= 15
    assert np.abs(per_hour.reshape(-1, 24).sum(axis=1) - truth.reshape(-1, 24).sum(axis=1)).max() <= 15


@pytest.mark.parametrize(("hours", "weekend", "part"), [((22.0, 24.0), False, "night_shift"), ((9.0, 13.0), True, "weekend_shift")])
def test_stops_at_night_or_on_weekends_say_so(hours: tuple[float, float], weekend: bool, part: str) -> None:
    plant = Plant(13)
    plant.on = np.ones(len(TIME), bool)
    plant.on[: 5 * PER_DAY] = False
    plant.on &= np.arange(len(TIME)) // PER_DAY % 10 != 9
    plant.meters["P"] = ("production", plant.noisy(np.where(plant.on, 300.0, 9.0)))
    day = np.arange(DAYS)
    chosen = day[(day > 15) & ((day % 7 >= 5) if weekend else (day % 7 < 5))][:8]
    gone = np.logical_or.reduce([plant.span(int(d), hours=hours) for d in chosen])
    plant.meters["T"] = ("treatment", plant.served(plant.on & ~gone))
    (found,) = judged(OFF, plant.works())
    base = 0.33 if part == "night_shift" else 2 / 7
    assert found.parts[part].value == pytest.approx(1 - base, abs=0.1)
    assert found.parts[part].contribution > 0.2


def test_a_slow_variable_speed_fan_is_running_and_standby_is_not() -> None:
    """Part load spreads the running level down to an eighth; the mixture used to put its lower end with the standby level."""
    plant = Plant(14)
    day = np.arange(len(TIME)) // PER_DAY
    speed = np.where(day % 5 == 0, 0.75, 1.0) * np.where(plant.rng.random(DAYS)[day] < 0.2, 0.8, 1.0)
    x = plant.noisy(np.where(plant.on, 50.0 * speed**3, 1.5))
    plant.meters["T"] = ("treatment", x)
    plant.meters["P"] = ("production", plant.noisy(np.where(plant.on, 400.0 * speed, 30.0)))
    works = plant.works()
    levels = {k: v for k, v in SETTINGS.prep("meter_levels").items() if k != "values_min"}
    model = learn_meter(x.astype(np.float32), values_min=500, **levels)
    states = meter_states(x.astype(np.float32), model)
    assert 1.6 < model.off_below < model.on_above < 12.0
    assert ((states == State.OFF) == ~plant.on).mean() > 0.999
    assert not works.off.any()
    assert works.pairs[0].lag_steps == 0


def test_hourly_states_follow_the_schedule_and_an_outage_is_unknown() -> None:
    plant = Plant(15)
    x = plant.meters["T"][1].copy()
    x[10 * PER_DAY : 12 * PER_DAY] = np.nan
    plant.meters["T"] = ("treatment", x)
    works = plant.works()
    state = hourly_state(works, "treatment", GRID)
    truth = np.where(plant.on.reshape(-1, 4).mean(axis=1) > 0.5, State.ON, State.OFF)
    gap = np.zeros(GRID.n, bool)
    gap[240:288] = True
    assert (state[gap] == State.UNKNOWN).all()
    assert (state == truth)[~gap].mean() > 0.99


# ---- temperature -----------------------------------------------------------------------------------------------------


def warmed(on: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Flue gas that warms and cools with a time constant of an hour and a half, °C."""
    x, out = 20.0, np.empty(len(on))
    for k, run in enumerate(on):
        x += ((110.0 if run else 20.0) - x) * 0.5
        out[k] = x
    return np.asarray(out + 3 * rng.standard_normal(len(on)), np.float32)


@pytest.mark.parametrize(("what", "hours"), [("honest", 0), ("cold", 60), ("warm", 48), ("dead", 0), ("always warm", None)])
def test_temperature_is_held_against_production_power(what: str, hours: int | None) -> None:
    plant = Plant(16)
    on = plant.on.reshape(-1, 4).all(axis=1)
    state = np.where(on, 2, 0).astype(np.int8)
    t = warmed(on, plant.rng)
    late = np.arange(len(on)) > 24 * 50
    if what == "cold":  # power shows production, the stack is cold
        t = np.where(late & on, np.float32(20.0), t)
    if what == "warm":  # power shows nothing, the stack is warm
        t = np.where(late & ~on, np.float32(110.0), t)
    if what == "dead":
        t = np.where(late, np.float32(0.0), t)
    if what == "always warm":
        t = np.full(len(on), 110.0, np.float32) + plant.rng.standard_normal(len(on)).astype(np.float32)
    numbers = SETTINGS.of("temperature_contradicts_power")
    (found,) = temperature_contradicts_power("E1", state, t[None, :], START.to_datetime64(), **numbers)
    if hours is None:
        assert found.ruling is Ruling.NOT_EVALUABLE
        return
    assert found.ruling is (Ruling.VIOLATED if hours else Ruling.COMPLIANT)
    assert found.value >= hours
    if hours:
        (agreeing,) = temperature_contradicts_power(  # a second thermometer that agrees with the power clears it
            "E1", state, np.stack([t, warmed(on, plant.rng)]), START.to_datetime64(), **numbers
        )
        assert agreeing.ruling is Ruling.COMPLIANT


def test_a_stop_at_a_cold_stack_is_no_production_and_counts_less() -> None:
    plant = Plant(17)
    gone = habit(plant)
    plant.meters["T"] = ("treatment", plant.served(plant.on & ~gone))
    works = plant.works()
    hourly = plant.on.reshape(-1, 4).all(axis=1)
    state = np.where(hourly, 2, 0).astype(np.int8)
    scores = {}
    for name, warm in (("warm", hourly), ("cold", hourly & ~gone.reshape(-1, 4).any(axis=1))):
        t = np.where(warm, 110.0, 20.0) + plant.rng.standard_normal(GRID.n)
        place = temperature_place(state, t[None, :].astype(np.float32), learn_hours=48, separation=4, settle_hours=3)
        (found,) = judged(OFF, works, replace(Witnesses(GRID), place=place))
        assert found.parts["process_warm"].value == pytest.approx(1.0 if name == "warm" else 0.0, abs=0.1)
        scores[name] = found.score
    plain = judged(OFF, works)[0].score
    assert scores["cold"] < plain - 1.0 < plain <= scores["warm"]


def test_days_without_a_break_count_as_a_habit_only_where_the_facility_was_seen_to_stand() -> None:
    plant = Plant(18)
    gone = plant.span(22, 9, hours=(0.0, 24.0))
    plant.meters["T"] = ("treatment", plant.served(plant.on & ~gone))
    works = plant.works()
    scores = {}
    for name, condition in (("alone", None), ("stood", plant.on & ~gone), ("ran", plant.on)):
        seen = Witnesses(GRID)
        if condition is not None:
            level = np.where(condition, 900.0, 5.0).reshape(1, -1, 4).mean(axis=2)
            seen = replace(seen, condition=level.astype(np.float32))
        (found,) = judged(OFF, works, seen)
        scores[name] = 1 / (1 + np.exp(-found.score))
    alert = SETTINGS.prep("calibration")["alert"]
    assert scores["ran"] < scores["alone"] < alert < scores["stood"]
