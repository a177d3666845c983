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


@pytest.mark.slow
def test_a_channel_that_is_nowhere_installed_keeps_its_prior_and_does_not_stop_the_fit() -> None:
    from workbench.cross.fit import fit
    from workbench.cross.simulate import blank_channel, draw

    e = draw(40, 240, np.random.default_rng(0), channel_roles=("treatment_power",)).evidence
    e = e.with_channels(blank_channel("monitor_limit", e.shape), blank_channel("regional_episode", e.shape))
    result = fit(e, seed=1, rows=60, draws=300, tune=200)
    k = next(c.name for c in e.channels if c.role == "monitor_limit")
    spread = result.draws[f"theta_{k}"].std(0)
    assert result.diagnostics["divergences"] == 0
    assert (spread > 0).all()
    assert result.convergence is not None
    assert len(result.reliability(e, None).emissions) == 3
