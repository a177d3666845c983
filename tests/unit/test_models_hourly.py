"""Hourly means leave out what is no value: words of devices for "nothing"."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from workbench.catalog.memory import cube_of
from workbench.models.hourly import Grid, hour_means
from workbench.models.no_value import CODES, drop_codes

TIME = pd.date_range("2026-01-01", periods=480, freq="6min")
GRID = Grid(TIME[0], 48)
CASES = {
    "a concentration of 30 that reads 9999 for half an hour": (30.0, 9999.0, 30.0),
    "a counter at its stop, 65535": (30.0, 65535.0, 30.0),
    "a flow of ten thousand may well read 9999": (10_050.0, 9999.0, 10_024.5),
    "nothing but the word": (9999.0, 9999.0, np.nan),
    "a real peak that is no such word": (30.0, 5000.0, 2515.0),
}


@pytest.mark.parametrize("case", CASES)
def test_words_for_nothing_are_no_values(case: str) -> None:
    level, said, mean = CASES[case]
    value = np.full((1, 480), level)
    value[0, 20:25] = said
    got = hour_means(cube_of(["P"], TIME, value), ["P"], GRID).mean[0]
    np.testing.assert_allclose(got[2], mean, rtol=1e-6)
    np.testing.assert_allclose(got[3], np.nan if case == "nothing but the word" else level)


def test_a_word_within_twice_the_readings_is_one_only_above_the_range() -> None:
    value = np.tile(np.array([8000.0, 9000.0, 9999.0], np.float32), (2, 1))
    drop_codes(value, np.array([9500.0, np.nan]))
    assert np.isnan(value[0, 2])
    assert value[1, 2] == 9999.0


@given(st.lists(st.floats(0, 900, width=32), min_size=3, max_size=40), st.sampled_from(CODES), st.integers(0, 39))
def test_only_words_are_dropped_and_ordinary_readings_stay(readings: list[float], code: float, at: int) -> None:
    value = np.array([readings], np.float32)
    plain = value.copy()
    drop_codes(plain)
    ordinary = ~np.isin(value, np.float32(CODES))
    np.testing.assert_array_equal(plain[ordinary], value[ordinary])
    value[0, at % len(readings)] = code
    drop_codes(value)
    assert np.isnan(value[0, at % len(readings)]) or code <= 2 * np.nanmax(value)
