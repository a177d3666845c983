"""Simulated meters with known levels, dwell times, lags and stops: the model must find them again."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from workbench.models.energy_tax.meters import Works, learn_works
from workbench.models.energy_tax.pairing import start_lag
from workbench.models.energy_tax.rules_books import pooled_intensity
from workbench.models.energy_tax.states import Drive, State, learn_meter, meter_states
from workbench.models.energy_tax.swaps import find_swap, stuck
from workbench.models.rule_settings import read_settings

SETTINGS = read_settings("workbench.models.energy_tax")
LEVELS = {k: v for k, v in SETTINGS.prep("meter_levels").items() if k != "values_min"}
PER_DAY = 96


def shifts(days: int, rng: np.random.Generator, *, start: int = 28, length: int = 50) -> np.ndarray:
    """Return a bool schedule of 15-minute steps: one shift a day with jitter, no work on Sundays."""
    on = np.zeros(days * PER_DAY, bool)
    for d in range(days):
        if d % 7 != 6:
            a = d * PER_DAY + start + int(rng.integers(-3, 4))
            on[a : a + length + int(rng.integers(-4, 5))] = True
    return on


def works_of(
    production: np.ndarray, treatment: np.ndarray, marks: pd.DataFrame | None = None, *, scale: float = 1.0, **more: object
) -> Works:
    g = pd.DataFrame({"point_id": ["P", "T"], "role": ["production", "treatment"], "resolution": 0.01 / scale, "scale": scale})
    time = pd.date_range("2026-01-05", periods=len(production), freq="15min").to_numpy()
    power = np.stack([production, treatment]).astype(np.float32)
    return learn_works("E1", g, power, time, 900.0, marks, SETTINGS)


def simulated(rng: np.random.Generator, days: int = 60, lag: int = 1) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Return production kW, treatment kW, the production schedule and the true stops of the treatment."""
    on = shifts(days, rng)
    production = np.where(on, 300.0, 12.0) * np.exp(0.1 * rng.standard_normal(len(on)))
    follow = np.roll(on, lag) & on
    stop = np.zeros(len(on), bool)
    for d in range(3, days, 9):
        a = d * PER_DAY + 40
        stop[a : a + 16] = True
    stop &= on
    treatment = np.where(follow & ~stop, 45.0, 0.8) * np.exp(0.05 * rng.standard_normal(len(on)))
    return production, treatment, on, stop


@pytest.mark.parametrize(("off", "on", "noise"), [(0.0, 100.0, 0.05), (5.0, 100.0, 0.2), (20.0, 400.0, 0.1), (0.5, 3.0, 0.1)])
def test_two_levels_with_known_dwell_come_back(off: float, on: float, noise: float) -> None:
    rng = np.random.default_rng(1)
    truth = shifts(60, rng)
    x = (np.where(truth, on, off) * np.exp(noise * rng.standard_normal(len(truth)))).astype(np.float32)
    model = learn_meter(x, values_min=500, **LEVELS)
    states = meter_states(x, model)
    assert off * 1.05 < model.off_below <= model.on_above < on
    said = states >= State.IDLE
    f1 = 2 * (said & truth).sum() / (said.sum() + truth.sum())
    assert f1 > 0.995
    assert model.share_on == pytest.approx(truth.mean(), abs=0.03)
    assert model.typical == pytest.approx(on, rel=0.05)


def test_idle_off_and_on_are_three_levels() -> None:
    rng = np.random.default_rng(2)
    truth = rng.permutation(np.repeat([0, 1, 2], [40, 30, 60])).repeat(48)
    x = (np.array([0.3, 30.0, 80.0])[truth] * np.exp(0.05 * rng.standard_normal(len(truth)))).astype(np.float32)
    states = meter_states(x, learn_meter(x, values_min=500, **LEVELS))
    assert (states == truth).mean() > 0.98


def test_a_wide_running_level_is_a_variable_speed_drive_and_standby_is_not_running() -> None:
    rng = np.random.default_rng(3)
    on = shifts(60, rng)
    speed = np.clip(0.7 + 0.25 * np.sin(np.arange(len(on)) / 30), 0.3, 1)
    x = (np.where(on, 90 * speed**3, 4.0) * np.exp(0.03 * rng.standard_normal(len(on)))).astype(np.float32)
    model = learn_meter(x, values_min=500, **LEVELS)
    assert model.drive is Drive.VARIABLE
    off_said = meter_states(x, model)[~on] == State.OFF
    assert off_said.mean() > 0.99


def test_a_rare_peak_is_not_the_running_level() -> None:
    rng = np.random.default_rng(4)
    x = 50 * np.exp(0.05 * rng.standard_normal(6000))
    x[rng.random(6000) < 0.005] = 400.0
    states = meter_states(x.astype(np.float32), learn_meter(x.astype(np.float32), values_min=500, **LEVELS))
    assert (states == State.ON).mean() > 0.99


@pytest.mark.parametrize("lag", [0, 1, 2, 4])
def test_start_lag_comes_back(lag: int) -> None:
    rng = np.random.default_rng(lag)
    production = np.sort(rng.choice(5000, 80, replace=False)) * 10
    treatment = np.sort(np.r_[production + lag, rng.choice(50_000, 30)])
    assert start_lag(production, treatment, reach=8, tolerance=0)[0] == lag


def test_minutes_of_treatment_off_come_back() -> None:
    production, treatment, _, stop = simulated(np.random.default_rng(5))
    works = works_of(production, treatment)
    assert works.off.sum() == pytest.approx(stop.sum(), rel=0.03)
    assert (works.off & stop).sum() >= 0.97 * stop.sum()
    assert len(works.episodes) == len(range(3, 60, 9)) - sum(not stop[d * PER_DAY : (d + 1) * PER_DAY].any() for d in range(3, 60, 9))
    assert not works_of(production, np.where(stop, 45.0, treatment)).off.any()


def test_an_idling_fan_is_found_and_one_that_follows_its_production_is_not() -> None:
    rng = np.random.default_rng(6)
    on = shifts(60, rng)
    load = np.repeat(rng.uniform(0.4, 1.0, 60), PER_DAY)
    production = np.where(on, 400 * load, 10.0) * np.exp(0.03 * rng.standard_normal(len(on)))
    fan = np.where(on, 50 * load**1.5, 0.5) * np.exp(0.03 * rng.standard_normal(len(on)))
    assert works_of(production, fan).idle.sum() <= 4
    slow = np.zeros(len(on), bool)
    slow[20 * PER_DAY + 40 : 20 * PER_DAY + 60] = True
    idle = works_of(production, np.where(slow & on, 0.3 * fan, fan)).idle
    assert (idle & slow).sum() >= 0.85 * (slow & on).sum()


def test_two_fans_that_take_turns_leave_no_stop() -> None:
    rng = np.random.default_rng(7)
    production, treatment, on, stop = simulated(rng)
    treatment = np.where(stop, 45.0, treatment)
    week = (np.arange(len(on)) // (7 * PER_DAY)) % 2 == 0
    g = pd.DataFrame({"point_id": list("PAB"), "role": ["production", "treatment", "treatment"], "resolution": 0.01, "scale": 1.0})
    time = pd.date_range("2026-01-05", periods=len(on), freq="15min").to_numpy()
    power = np.stack([production, np.where(week, treatment, 0.8), np.where(week, 0.8, treatment)]).astype(np.float32)
    assert not learn_works("E1", g, power, time, 900.0, None, SETTINGS).off.any()


def test_a_meter_swap_is_found_and_a_slower_fan_is_none() -> None:
    rng = np.random.default_rng(8)
    numbers = SETTINGS.prep("meter_swap")
    x = np.where(shifts(60, rng), 80.0, 4.0) * np.exp(0.05 * rng.standard_normal(60 * PER_DAY))
    at = 33 * PER_DAY + 50
    swapped = x.copy()
    swapped[at:] *= 0.4
    swap = find_swap(swapped.astype(np.float32), PER_DAY, resolution=0.01, **numbers)
    assert swap is not None
    assert swap.factor == pytest.approx(0.4, rel=0.05)
    assert abs(swap.at - at) <= PER_DAY
    slower = x.copy()
    slower[at:][slower[at:] > 20] *= 0.4
    assert find_swap(slower.astype(np.float32), PER_DAY, resolution=0.01, **numbers) is None
    assert find_swap(x.astype(np.float32), PER_DAY, resolution=0.01, **numbers) is None


def test_a_swapped_treatment_meter_leaves_no_stop() -> None:
    production, treatment, _, stop = simulated(np.random.default_rng(9))
    treatment = np.where(stop, 45.0, treatment)
    treatment[30 * PER_DAY :] *= 0.1
    assert works_of(production, treatment).off.mean() < 0.001


def test_a_frozen_production_meter_makes_no_stop() -> None:
    production, treatment, _, stop = simulated(np.random.default_rng(10))
    treatment = np.where(stop, 45.0, treatment)
    a = 10 * PER_DAY + 60  # frozen while running, over the night after
    production[a : a + 60] = 301.5
    works = works_of(production, treatment)
    assert works.frozen[a + 1 : a + 59].all()
    assert not works.off.any()
    assert stuck(np.array([1, 1, 1, np.nan, 1, 1], np.float32), 0.5, 3).tolist() == [True, True, True, False, False, False]


def test_watts_and_kilowatts_have_the_same_states() -> None:
    production, treatment, _, _ = simulated(np.random.default_rng(11))
    kw = works_of(production, treatment)
    # the reader multiplies by `scale`; here the readings in W times 1/1000
    w = works_of(
        (production * 1000).astype(np.float32) * np.float32(1e-3), (treatment * 1000).astype(np.float32) * np.float32(1e-3), scale=1e-3
    )
    assert (kw.states == w.states).mean() > 0.9999
    big = learn_meter((production * 1000).astype(np.float32), values_min=500, **LEVELS)
    small = learn_meter(production.astype(np.float32), values_min=500, **LEVELS)
    assert (meter_states((production * 1000).astype(np.float32), big) == meter_states(production.astype(np.float32), small)).all()


@settings(max_examples=12, deadline=None)
@given(st.integers(0, 50), st.integers(1, 4 * 96), st.sampled_from(["startup", "shutdown", "maintenance", "fault"]))
def test_an_excuse_never_adds_minutes(day: int, length: int, kind: str) -> None:
    production, treatment, _, _ = simulated(np.random.default_rng(12), days=50)
    start = pd.Timestamp("2026-01-05") + pd.Timedelta(days=day)
    mark = pd.DataFrame({"start": [start], "end": [start + length * pd.Timedelta("15min")], "kind": [kind]})
    free, excused = works_of(production, treatment), works_of(production, treatment, mark)
    assert not (excused.off & ~free.off).any()
    assert not (excused.idle & ~free.idle).any()
    assert ((excused.off | excused.excused) == free.off)[free.off].all()


def test_pooling_recovers_industry_and_own_level_and_a_short_month() -> None:
    rng = np.random.default_rng(13)
    rows = []
    level = {f"E{k:02d}": (1.0 if k < 20 else 3.0) + 0.4 * rng.standard_normal() for k in range(40)}
    for e, own in level.items():
        for m in range(6):
            x = own + 0.1 * rng.standard_normal() - (1.2 if (e, m) == ("E05", 3) else 0.0)
            rows.append(
                {"enterprise_id": e, "industry": "a" if int(e[1:]) < 20 else "b", "month": pd.Timestamp(2026, m + 1, 1), "log_intensity": x}
            )
    pooled, scatter = pooled_intensity(pd.DataFrame(rows))
    assert scatter == pytest.approx(0.1, abs=0.03)
    clean = pooled[~((pooled["enterprise_id"] == "E05") & (pooled["month"].dt.month != 4))]
    error = (clean["expected"] - clean["enterprise_id"].map(level)).abs()
    assert error.median() < 0.12
    z = (pooled["log_intensity"] - pooled["expected"]) / np.hypot(pooled["sd"], scatter)
    assert z.idxmin() == pooled.index[(pooled["enterprise_id"] == "E05") & (pooled["month"].dt.month == 4)][0]
    assert (z < -4).sum() == 1


def test_one_month_alone_leans_on_its_industry() -> None:
    rows = [
        {"enterprise_id": f"E{k}", "industry": "a", "month": pd.Timestamp("2026-01-01"), "log_intensity": 2.0 + 0.1 * k} for k in range(9)
    ]
    pooled, _ = pooled_intensity(pd.DataFrame(rows))
    assert pooled["expected"].nunique() == 1
    assert (pooled["sd"] >= 0.3).all()
