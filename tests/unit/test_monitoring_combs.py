"""The comb of a factor: readings rounded before and after tell it, smooth readings and readings rounded once do not."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from workbench.models.monitoring.combs import _windows, comb_at, edits_by_edge_and_comb, factors, steps_of
from workbench.models.monitoring.digits import places_of, usual_places
from workbench.models.monitoring.edges import Ahead, edits_in

HOURS = 60 * 24


def concentrations(seed: int, hours: int = HOURS) -> np.ndarray:
    """Return concentrations that follow one another about 60, not rounded."""
    rng = np.random.default_rng(seed)
    z = np.zeros(hours)
    for t in range(1, hours):
        z[t] = 0.95 * z[t - 1] + 0.15 * rng.standard_normal()
    return np.exp(4.1 + z)


def steps(x: np.ndarray) -> np.ndarray:
    value = x.astype(np.float32)
    places = places_of(value)
    return steps_of(value, places, usual_places(value, places, value > 0))


@pytest.mark.parametrize("factor", [0.57, 0.65, 0.72])
def test_a_factor_between_two_roundings_is_told_to_a_hundredth(factor: float) -> None:
    told = steps(np.round(factor * np.round(concentrations(1))))
    nats, best, _ = comb_at(told, -np.log(factor) + 0.08)
    assert nats > 15
    assert best == pytest.approx(factor, abs=0.01)


def test_a_factor_before_the_only_rounding_leaves_no_comb() -> None:
    found = [comb_at(steps(np.round(0.65 * concentrations(seed))), -np.log(0.65))[0] for seed in range(10)]
    assert max(found) < 5
    assert np.median(found) < 0


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10_000), st.floats(0.2, 0.8))
def test_honest_readings_hardly_ever_tell_a_factor(seed: int, size: float) -> None:
    # nats over the logarithm of the factors tried: e⁻⁹ of honest spans reach nine
    assert comb_at(steps(np.round(concentrations(seed))), size)[0] < 9


@settings(max_examples=30, deadline=None)
@given(st.floats(0.3, 0.6), st.floats(0.05, 0.3), st.floats(5, 3000))
def test_the_teeth_move_by_no_more_than_is_allowed_from_one_factor_to_the_next(low: float, wide: float, top: float) -> None:
    tried = factors(low, low + wide, top)
    assert tried[0] == pytest.approx(low)
    assert tried[-1] == pytest.approx(low + wide)
    assert np.all(np.abs(np.diff(top / tried)) <= 0.3 + 1e-6)


def test_the_window_of_an_edit_stands_out_among_all_others() -> None:
    x = np.round(concentrations(3, 200 * 24))
    a, b = 90 * 24, 110 * 24
    x[a:b] = np.round(0.62 * x[a:b])
    told = steps(x)
    first, last, factor, _ = _windows(told, factors(0.38, 0.86, float(np.quantile(told[told > 0], 0.9))))[0]
    assert a - 96 <= first < last <= b + 96
    assert factor == pytest.approx(0.62, abs=0.01)


def test_edges_too_weak_for_themselves_are_found_with_the_comb() -> None:
    rng = np.random.default_rng(4)
    hours = 150 * 24
    x = np.round(concentrations(5, hours))
    a, b = 70 * 24, 88 * 24
    x[a:b] = np.round(0.66 * x[a:b])
    error = 0.25 * rng.standard_normal(hours)  # a step of 0.4 is hardly more than one hour's error
    error[a] -= 0.42
    error[b] += 0.42
    shape = (1, hours)
    ahead = Ahead(np.zeros(shape, np.float32), np.array([[1.0, 0.0]]), np.full(shape, 0.25, np.float32), np.ones(1), np.full(1, -np.inf))
    alone = max((s.nats for s in edits_in(error, ahead, 0) if s.first < b and s.last > a), default=0.0)
    best = max(edits_by_edge_and_comb(error, ahead, 0, steps(x)), key=lambda s: s.nats)
    assert best.nats > alone + 5
    assert min(best.last, b) - max(best.first, a) > 0.75 * (b - a)
    assert np.exp(-best.size) == pytest.approx(0.66, abs=0.02)
    assert best.edges + best.comb == pytest.approx(best.nats)


@pytest.mark.parametrize("steps_known", [0, 10])
def test_without_readings_that_tell_the_edges_stand_alone(steps_known: int) -> None:
    rng = np.random.default_rng(6)
    hours = 40 * 24
    error = 0.1 * rng.standard_normal(hours)
    shape = (1, hours)
    ahead = Ahead(np.zeros(shape, np.float32), np.array([[0.9, 0.0]]), np.full(shape, 0.1, np.float32), np.ones(1), np.full(1, -np.inf))
    told = np.zeros(hours, np.int64)
    told[:steps_known] = 40
    assert edits_by_edge_and_comb(error, ahead, 0, told) == edits_in(error, ahead, 0)


def test_repeated_readings_readings_off_the_steps_and_small_ones_do_not_tell() -> None:
    value = np.array([40, 40, 41, 41.5, 42, 3, np.nan, 44], np.float32)
    places = np.array([0, 0, 0, 1, 0, 0, 0, 0], np.int8)
    assert steps_of(value, places, np.zeros(8, np.int8)).tolist() == [40, 0, 41, 0, 42, 0, 0, 44]
