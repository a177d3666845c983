"""An entered value against a frozen instrument, at fine data; and labels that one visit gives to many candidates."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from tests.unit.monitoring_world import PER_DAY, honest
from workbench.models import load
from workbench.models.monitoring.scoring import shared_weights

POINT = "E0-DA1-a21026"


def judged(value: float | None, **changes: float) -> tuple[pd.Series, pd.Series]:
    """Return the finding and the candidate of two days at one value (None: that of the reading before)."""
    world = honest()
    x = world.values[POINT]
    a = 30 * PER_DAY + 7
    x[a : a + 2 * PER_DAY] = x[a - 1] if value is None else value
    if "gap" in changes:
        x[a - int(changes["gap"]) : a] = np.nan
    model = load("monitoring")
    features = model.features(world, world.period)
    fitted = model.fit(features, world.labels(), seed=1)
    found = fitted.assess(features)
    mine = found[(found["point_id"] == POINT) & (found["detector"] == "values_stay_constant")]
    assert len(mine) == 1
    return mine.iloc[0], fitted.analysis(features).candidates.iloc[int(mine["candidate"].iloc[0])]


def test_a_reading_that_freezes_is_a_fault_and_an_entered_one_is_not() -> None:
    frozen, how = judged(None)
    assert frozen["outcome"] == "fault"
    assert how["entry"] <= -0.5
    entered, what = judged(25.0)
    assert entered["outcome"] == "fabrication"
    assert entered["verdict"] == "breach"
    assert what["entry"] >= 1
    assert entered["p_breach"] > frozen["p_breach"]


def test_a_run_after_a_gap_says_nothing_of_its_entry() -> None:
    _, c = judged(25.0, gap=8)  # two hours
    assert c["entry"] == 0


@pytest.mark.parametrize("late", [False, True], ids=["in one pass", "appended"])
def test_the_value_before_a_run_is_kept(late: bool) -> None:
    from workbench.models.monitoring import kernels
    from workbench.models.monitoring.features import fresh_carry

    x = np.array([[1, 2, 3, 7, 7, 7, 7, 7, 7, 7, 7, 7, 2, 3, 4, 9]], np.float32)  # six hours each
    mark, limits = np.zeros(x.shape, np.uint8), np.full((1, 4), np.nan, np.float32)
    carry = fresh_carry(1)
    out = []
    for a, b in ((0, 8), (8, 16)) if late else ((0, 16),):
        day = np.full((kernels.N_DAY, 1, (b - a) // 4), np.nan, np.float32)
        hour = np.full((kernels.N_HOUR, 1, (b - a) * 6), np.nan, np.float32)
        kernels.scan(np.ascontiguousarray(x[:, a:b]), mark[:, a:b].copy(), limits, 0, 4, day, hour, carry)
        out.append(day)
    before = np.concatenate(out, axis=2)[list(kernels.DAY_STATISTICS).index("run_before"), 0]
    assert before[1:3].tolist() == [3, 3]


def test_one_visit_weighs_less_than_as_many_visits_as_it_labels() -> None:
    weight = shared_weights(np.array(["A"] * 9 + ["B"], dtype=object))
    assert weight[9] == 1
    assert 1 < weight[:9].sum() < 3
