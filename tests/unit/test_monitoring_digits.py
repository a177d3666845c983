"""Digits of hourly readings: places are what a person would count, a factor leaves its grid, honest grids and repeats do not."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from workbench.models.monitoring.digits import digits_of, occurs_nowhere_else, places_of, usual_places

HOURS = 200 * 24


def whole_numbers(seed: int = 1, rows: int = 3) -> np.ndarray:
    """Return hourly readings in whole numbers, shape (row, hour), as a slow process gives them."""
    rng = np.random.default_rng(seed)
    y = np.zeros((rows, HOURS))
    for t in range(1, HOURS):
        y[:, t] = 0.97 * y[:, t - 1] + 0.15 * rng.standard_normal(rows)
    return np.round(60 * np.exp(y)).astype(np.float32)


@given(places=st.integers(-2, 4), count=st.integers(1, 99_999))
def test_places_are_those_of_the_shortest_decimal(places: int, count: int) -> None:
    x = np.float32(count / 10.0**places) if places >= 0 else np.float32(count * 10.0**-places)
    while count % 10 == 0 and places > -3:
        count, places = count // 10, places - 1
    assert places_of(np.array([x]))[0] == places


def test_a_decade_with_few_readings_tells_nothing() -> None:
    x = np.r_[np.full(100, 40.0), np.full(5, 4.5)].astype(np.float32)
    assert usual_places(x, places_of(x), np.ones(105, bool)).tolist() == [-1] * 100 + [1] * 5


@pytest.mark.parametrize("factor", [0.5731, 0.82])
def test_a_factor_is_found_to_the_hour_and_alone(factor: float) -> None:
    x = whole_numbers()
    x[1, 2000:2200] = np.round(x[1, 2000:2200].astype(float) * factor, 3)
    found = digits_of(x, np.arange(3), np.zeros(3, int), 20.0)
    assert found.departures[0] == found.departures[2] == []
    (only,) = found.departures[1]
    assert only.finer
    assert abs(only.first - 2000) <= 2
    assert abs(only.last - 2200) <= 2


def test_rounded_to_tens_is_coarser() -> None:
    x = whole_numbers()
    x[0, 1000:1100] = np.round(x[0, 1000:1100], -1)
    (only,) = digits_of(x, np.arange(3), np.zeros(3, int), 20.0).departures[0]
    assert not only.finer
    assert abs(only.last - only.first - 100) <= 8


def test_a_constant_counts_where_the_meter_cannot_report_it() -> None:
    for value, found in ((57.3, 1), (57.0, 0)):
        x = whole_numbers()
        x[0, 1000:1030] = value
        assert len(digits_of(x, np.arange(3), np.zeros(3, int), 20.0).departures[0]) == found


@pytest.mark.parametrize("where", ["at a peer", "in another season"])
def test_a_grid_that_occurs_elsewhere_is_honest(where: str) -> None:
    x = whole_numbers()
    # a conversion from ppb: a hundred values that two stations share, or one station half a year apart
    grid = np.round(np.arange(100, 200) * 0.2142, 4)
    rng = np.random.default_rng(2)
    x[0, 1000:1150] = grid[rng.permutation(np.arange(150) % 100)]
    other = (1, 3000) if where == "at a peer" else (0, 4000)
    x[other[0], other[1] : other[1] + 100] = grid
    assert digits_of(x, np.arange(3), np.zeros(3, int), 20.0).departures[0] == []


def test_gaps_and_zeros_are_no_readings_and_rows_not_asked_stay_empty() -> None:
    x = whole_numbers()
    x[0, ::3], x[0, 1::3] = np.nan, 0.0
    found = digits_of(x, np.array([0]), np.zeros(3, int), 12.0)
    assert found.departures == {0: []}
    assert not found.off.any()
    nothing = digits_of(np.full((2, 48), np.nan, np.float32), np.array([0, 1]), np.zeros(2, int), 6.0)
    assert nothing.departures == {0: [], 1: []}


def test_the_order_of_the_rows_does_not_matter() -> None:
    x = np.round(whole_numbers(5) / 7, 1).astype(np.float32)
    group = np.array([0, 0, 1])
    plain = occurs_nowhere_else(x, np.arange(3), group)
    turned = occurs_nowhere_else(x[::-1].copy(), np.arange(3), group[::-1].copy())
    assert np.array_equal(plain, turned[::-1])
