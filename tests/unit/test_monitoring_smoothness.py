"""Smoothness within a day: one for a slow series, zero for independent draws, unknown where a day cannot have it."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest

from workbench.models.monitoring.detectors.noise import smoothness


def of_day(values: np.ndarray, before: float) -> float:
    """Return the smoothness that the day's statistics give: the first step is the one from the day before."""
    day = {
        "sd": np.array([[np.std(values)]], dtype=np.float32),
        "rough": np.array([[np.mean(np.abs(np.diff(np.r_[before, values])))]], dtype=np.float32),
    }
    return float(smoothness(cast(Any, SimpleNamespace(day=day.__getitem__)))[0, 0])


def test_independent_draws_have_none_and_a_slow_series_has_all() -> None:
    rng = np.random.default_rng(1)
    drawn = rng.normal(20, 2, 2400)
    assert of_day(drawn, drawn[0]) == pytest.approx(0, abs=0.06)
    slow = 20 + np.sin(np.linspace(0, 6, 2400))
    assert of_day(slow, slow[0]) == pytest.approx(1, abs=0.01)


def test_a_day_that_stands_still_after_a_step_is_no_generator() -> None:
    still = np.full(240, 0.1, dtype=np.float32)
    still[7] = np.nextafter(np.float32(0.1), np.float32(1))
    assert np.isnan(of_day(still, 24.0))
