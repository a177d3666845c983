"""Fast medians are NumPy's to the last bit; matches of days do not depend on the number of BLAS threads."""

from __future__ import annotations

import os
import subprocess
import sys
import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from threadpoolctl import threadpool_limits

from workbench.models.monitoring.features import reduce_block
from workbench.models.monitoring.kernels import earlier_twins
from workbench.models.monitoring.levels import level_of, levels_of
from workbench.models.monitoring.order_statistics import lower_quartile, median_of, middle

ROWS = hnp.arrays(
    st.sampled_from([np.float32, np.float64]),
    hnp.array_shapes(min_dims=2, max_dims=2, min_side=1, max_side=70),
    elements=st.one_of(st.just(float("nan")), st.integers(-40, 40).map(lambda k: k / 8), st.just(float("inf"))),
)


@given(x=ROWS)
@settings(max_examples=150, deadline=None)
def test_medians_and_quartiles_are_those_of_numpy(x: np.ndarray) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert np.array_equal(middle(x), np.nanmedian(x, axis=1), equal_nan=True)
        assert np.array_equal(middle(x, axis=0), np.nanmedian(x, axis=0), equal_nan=True)
        assert np.array_equal(lower_quartile(x), np.nanquantile(x.astype(float), 0.25, axis=1), equal_nan=True)
    assert middle(x).dtype == x.dtype


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_large_tables_on_threads_give_the_same_medians_as_row_by_row(dtype: type) -> None:
    x = np.round(np.random.default_rng(3).standard_normal((900, 401)), 2).astype(dtype)
    assert np.array_equal(middle(x), np.median(x, axis=1))
    assert median_of(x[0]) == np.median(x[0])
    assert type(median_of(x[0])) is dtype
    assert np.isnan(median_of(x[0, :0]))


def test_levels_of_many_values_are_the_levels_of_each() -> None:
    x = np.array([[np.nan, np.inf, -1.0, 0.0], [1e-9, 0.7, 3.0, 1e12]], np.float32)
    assert levels_of(x).tolist() == [[0, 0, 0, 0], [level_of(float(v)) for v in x[1]]]


@pytest.mark.parametrize("days", [1, 2, 5, 40])
def test_best_earlier_day_and_habit_are_those_of_a_full_sort(days: int) -> None:
    x = np.round(np.random.default_rng(days).uniform(-1, 1, (days, days)), 1).astype(np.float32)
    gram = np.maximum(x, x.T)
    rank = min(8, days)
    best, corr, habit = np.empty(days, np.int64), np.empty(days, np.float32), np.empty(days, np.float32)
    earlier_twins(gram, rank, best, corr, habit)
    for d in range(days):
        others = np.sort(np.delete(gram[d], d))[::-1]
        assert habit[d] == (max(others[rank - 1], 0) if len(others) >= rank else 0)
        earlier = np.maximum(gram[d, :d], -1)
        assert corr[d] == (earlier.max() if d else -1)
        assert best[d] == (earlier.argmax() if d else 0)


def test_the_matches_of_days_have_the_same_bytes_on_any_number_of_blas_threads() -> None:
    rng = np.random.default_rng(5)
    days, per_day = 130, 96
    value = np.round(20 + np.cumsum(rng.standard_normal((2, days * per_day)), axis=1), 2).astype(np.float32)
    none = (np.array([], np.int64), np.array([], np.int64), np.array([], np.uint8), np.array([], np.int64))
    twins = []
    for count in (1, 2):
        with threadpool_limits(count, user_api="blas"):
            made = reduce_block(value, np.zeros(value.shape, np.uint8), np.full((2, 3), np.nan, np.float32), none, (0, per_day, days), True)
            twins.append(made[4].tobytes())
    assert np.isfinite(made[4][0]).any()
    assert twins[0] == twins[1]


GIVEN_BACK = """
import numpy
from threadpoolctl import threadpool_info
from workbench.models.monitoring.one_thread import one_blas_thread

def counts():
    return {p["filepath"]: p["num_threads"] for p in threadpool_info() if p["user_api"] == "blas"}

before = counts()
with one_blas_thread():
    with one_blas_thread():
        inner = counts()
    outer = counts()
after = {k: n for k, n in counts().items() if k in before}
held = set(inner.values()) == set(outer.values()) == {1}
raise SystemExit(0 if before and held and after == before else f"{before} {inner} {outer} {after}")
"""


def test_blas_gets_its_threads_back_when_the_last_caller_leaves() -> None:
    # in a process of its own: here other tests' threads may still hold the limit, or load another BLAS meanwhile
    asked = {**os.environ, "OPENBLAS_NUM_THREADS": "2", "MKL_NUM_THREADS": "2", "OMP_NUM_THREADS": "2"}
    done = subprocess.run([sys.executable, "-c", GIVEN_BACK], capture_output=True, text=True, env=asked, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
