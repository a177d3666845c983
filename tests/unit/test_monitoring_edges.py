"""Edits by their edges: a factor is found to the hour, gradual falls and falls that the related channels share are not."""

from __future__ import annotations

from itertools import pairwise
from types import SimpleNamespace

import numpy as np
import pytest

from workbench.models.monitoring.edges import Ahead, edits_in, errors_of, predict_ahead, reached_by_itself

HOURS = 180 * 24


def process(seed: int) -> np.ndarray:
    """Return log readings of three channels that share their weather, shape (channel, hour)."""
    rng = np.random.default_rng(seed)
    weather, own = np.zeros(HOURS), np.zeros((3, HOURS))
    for t in range(1, HOURS):
        weather[t] = 0.98 * weather[t - 1] + 0.1 * rng.standard_normal()
        own[:, t] = 0.9 * own[:, t - 1] + 0.03 * rng.standard_normal(3)
    return 4.0 + weather + own


def surroundings(z: np.ndarray) -> SimpleNamespace:
    """Return what the prediction asks of a panel: three channels of one place."""
    known = np.isfinite(z)
    unit = np.where(known, (z - np.nanmedian(z, axis=1, keepdims=True)) / np.nanstd(z, axis=1, keepdims=True), 0.0)
    return SimpleNamespace(
        transformed=(z.astype(np.float32), np.ones(3, bool)),
        standardised=(unit.astype(np.float32), known),
        running=np.ones(z.shape, bool),
        arrived=np.ones(3),
    )


@pytest.fixture(autouse=True)
def the_two_others(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("workbench.models.monitoring.edges.predictors_of", lambda panel, row: np.array([r for r in range(3) if r != row]))


def predicted(z: np.ndarray) -> Ahead:
    return predict_ahead(surroundings(z), np.arange(3))  # type: ignore[arg-type]


def gain_over(z: np.ndarray, a: int, b: int) -> float:
    ahead = predicted(z)
    found = edits_in(errors_of(z[0], ahead, 0), ahead, 0)
    return max((s.nats for s in found if s.first < b and s.last > a), default=0.0)


@pytest.mark.parametrize("factor", [0.55, 0.75])
def test_a_factor_is_found_to_the_hour_with_its_size(factor: float) -> None:
    z = process(1)
    z[0, 2000:2300] += np.log(factor)
    ahead = predicted(z)
    found = edits_in(errors_of(z[0], ahead, 0), ahead, 0)
    best = max(found, key=lambda s: s.nats)
    assert (best.first, best.last) == (2000, 2300)
    assert abs(best.size + np.log(factor)) < 0.15
    assert best.nats > 2 * max(reached_by_itself(errors_of(z[0], ahead, 0), ahead, 0), 1.0)


def test_what_is_gradual_gains_far_less_than_what_is_switched() -> None:
    switched, gradual = process(2), process(2)
    fall = np.interp(np.arange(HOURS), [1900, 2000, 2300, 2400], [0, 1, 1, 0])
    switched[0, 2000:2300] -= 0.5
    gradual[0] -= 0.5 * fall
    assert gain_over(gradual, 1900, 2400) < 0.5 * gain_over(switched, 2000, 2300)


def test_what_the_related_channels_share_is_no_edit() -> None:
    alone, shared = process(3), process(3)
    alone[0, 2000:2300] -= 0.5
    shared[:, 2000:2300] -= 0.5
    assert gain_over(shared, 2000, 2300) < 0.4 * gain_over(alone, 2000, 2300)


def test_edits_upwards_are_not_looked_for_and_set_the_null() -> None:
    z = process(4)
    ahead = predicted(z)
    up = z[0].copy()
    up[2000:2300] += 0.6
    error = errors_of(up, ahead, 0)
    assert not any(s.first == 2000 and s.last == 2300 for s in edits_in(error, ahead, 0))
    assert any(s.first == 2000 and s.last == 2300 for s in edits_in(-error, ahead, 0))
    # one odd rise in half a year does not change what a row reaches by itself
    usual = reached_by_itself(errors_of(z[0], ahead, 0), ahead, 0)
    assert reached_by_itself(error, ahead, 0) < usual + 5


def test_spans_do_not_touch_and_gaps_and_short_histories_are_nothing() -> None:
    z = process(5)
    z[0, ::2] = np.nan
    ahead = predicted(z)
    assert edits_in(errors_of(z[0], ahead, 0), ahead, 0) == []
    short = predicted(process(5)[:, :100])
    assert np.isnan(short.spread).all()
    full = process(6)
    full[0, 1000:1200] -= 0.6
    full[0, 1500:1900] -= 0.4
    ahead = predicted(full)
    found = edits_in(errors_of(full[0], ahead, 0), ahead, 0)
    assert all(one.last <= two.first for one, two in pairwise(found))
    assert {(1000, 1200), (1500, 1900)} <= {(s.first, s.last) for s in found}
