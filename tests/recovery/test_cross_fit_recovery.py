"""Intervals of the fit cover parameters drawn from its prior as often as they say; the fit passes its gate."""

from __future__ import annotations

import numpy as np
import pytest

from workbench.cross.recovery import Coverage, coverage


@pytest.fixture(scope="module")
def covered() -> Coverage:
    return coverage(5, words=1200, channel_roles=("treatment_power", "monitor_limit"), draws=300, tune=250, seed=3)


@pytest.mark.slow
def test_ninety_per_cent_intervals_cover_as_often_as_they_say(covered: Coverage) -> None:
    for kind in covered.n:
        low, high = covered.allowed(kind)
        assert low <= covered.inside[kind] <= high, f"{kind}: {covered.inside[kind]} of {covered.n[kind]}"


@pytest.mark.slow
def test_wall_time_is_that_of_sampling_a_few_hundred_rows(covered: Coverage) -> None:
    assert covered.seconds.max() < 60
    assert np.isfinite(covered.by_replication).all()


def test_what_chance_allows_is_a_binomial_interval() -> None:
    c = Coverage(0.9, {"shares": 88}, {"shares": 100}, np.array([0.88]), np.zeros(1), 1)
    low, high = c.allowed("shares")
    assert 75 <= low <= 85
    assert 95 <= high <= 100
    assert c.interval("shares")[0] == pytest.approx(0.88)
