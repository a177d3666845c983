"""What readings say for a factor, each distinct reading asked once: the same bytes as asking every reading."""

from __future__ import annotations

import numpy as np
import pytest

from workbench.models.monitoring.combs import _says, _sums


@pytest.mark.parametrize("size", [6, 300, 50_000_000])
def test_sums_are_those_of_every_reading_in_its_order(size):
    rng = np.random.default_rng(size)
    steps = np.round(size * np.exp(0.4 * rng.standard_normal(480))).astype(np.int64)
    steps[rng.random(480) < 0.2] = 0
    bounds, tried = np.arange(11) * 48, np.array([0.38, 0.5, 0.6123, 0.86])
    expected = np.zeros((4, 10))
    for i, factor in enumerate(tried):
        for p in range(10):
            for y in steps[bounds[p] : bounds[p + 1]].tolist():
                expected[i, p] += _says(y, factor) if y > 0 else 0.0
    assert _sums(steps, bounds, tried).tobytes() == expected.tobytes()
    assert expected.any()


def test_no_reading_says_nothing():
    assert not _sums(np.zeros(48, np.int64), np.array([0, 24, 48]), np.array([0.5])).any()
