"""The rehearsal: edits do what they are called, searches find what was put in, the score explains itself and abstains without history."""

from __future__ import annotations

from importlib.resources import files

import numpy as np
import pandas as pd
import pytest
import xarray as xr

from workbench.contracts import EntryMissing, Period, load_rules
from workbench.models import load
from workbench.models.monitoring.analysis import Analysis, analyse
from workbench.models.monitoring.candidates import load_scoring
from workbench.models.monitoring.features import build
from workbench.models.monitoring.inputs import read_inputs
from workbench.models.monitoring.matching import best_matches, gains
from workbench.models.monitoring.rehearsal import EDITS, load_plan, places_at, rehearse
from workbench.models.monitoring.rehearsed import WEIGHED, Rehearsed, set_aside
from workbench.models.monitoring.rehearsing import over_edit, rehearsed_score, with_measured_null
from workbench.models.monitoring.scoring import Scorer, base_terms, by_rehearsal
from workbench.models.monitoring.segments import generator_gain, lower_spans, weighted_residual
from workbench.models.monitoring.ties import tie_rates

RULES = load_rules(files("workbench.models.monitoring").joinpath("params.yml"))
FACTORS = ("a34004", "a34002", "a21004")
HOUR = pd.Timedelta(hours=1)


class Hourly:
    """A catalog of hourly stations that share their weather."""

    name = "hourly"

    def __init__(self, values: np.ndarray) -> None:
        n, hours = values.shape
        self.time = pd.date_range("2026-01-01", periods=hours, freq="h")
        ids = [f"S{i // len(FACTORS)}-{FACTORS[i % len(FACTORS)]}" for i in range(n)]
        self.points = pd.DataFrame(
            {
                "point_id": ids, "system": "ambient", "enterprise_id": "", "outlet_id": "", "role": "", "unit": "µg/m³",
                "factor": [i.split("-")[1] for i in ids], "range_low": np.nan, "range_high": np.nan, "resolution": np.nan,
                "interval_s": 3600.0, "lon": np.nan, "lat": np.nan, "street_town": [i.split("-")[0] for i in ids],
                "installed_on": pd.NaT, "removed_on": pd.NaT,
            }
        )  # fmt: skip
        self.obs = xr.Dataset(
            {"value": (("point", "time"), values.astype(np.float32)), "mark": (("point", "time"), np.zeros(values.shape, np.uint8))},
            coords={"point": np.array(ids, dtype=object), "time": self.time},
        )

    @property
    def period(self) -> Period:
        return Period(self.time[0], self.time[-1] + HOUR)

    def has(self, entry: str) -> bool:
        return entry in ("points", "obs_ambient")

    def table(self, entry: str, columns: list[str] | None = None) -> pd.DataFrame:
        if entry != "points":
            raise EntryMissing("no such entry", got=entry)
        return self.points

    def cube(self, entry: str) -> xr.Dataset:
        return self.obs


def honest(days: int, seed: int = 3) -> np.ndarray:
    """Return hourly readings of four stations, shape (12, hour): shared slow weather, own quick part, whole numbers."""
    rng = np.random.default_rng(seed)
    hours = days * 24

    def slow(rho: float, size: float) -> np.ndarray:
        step, x = rng.standard_normal(hours), np.zeros(hours)
        for t in range(1, hours):
            x[t] = rho * x[t - 1] + np.sqrt(1 - rho * rho) * step[t]
        return size * x

    rows = []
    weather = slow(0.98, 0.6)
    for _ in range(4):
        place = slow(0.95, 0.2)
        rows += [np.exp(np.log(60 + 20 * k) + weather + place + slow(0.8, 0.12)) for k in range(len(FACTORS))]
    return np.round(np.array(rows))


def analysed(values: np.ndarray) -> Analysis:
    world = Hourly(values)
    return analyse(build(read_inputs(world, world.period)), RULES)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def long_history() -> Analysis:
    return analysed(honest(200))


@pytest.fixture(scope="module")
def taught(long_history: Analysis) -> Rehearsed:
    plan = load_plan()
    small = plan.model_copy(update={"most_edits": plan.most_edits.model_copy(update={"value": 150.0})})
    score = rehearsed_score(long_history.panel, RULES, load_scoring(), 5, small)
    assert score is not None
    return score


def test_every_edit_has_a_row_and_every_row_an_edit() -> None:
    assert set(load_plan().edits) == set(EDITS)


@pytest.mark.parametrize("kind", sorted(EDITS))
def test_an_edit_does_what_it_is_called(kind: str) -> None:
    x = honest(100)[0]
    ranges = dict(load_plan().edits[kind])
    ranges.pop("hours")
    a, b = 1800, 2000
    new = EDITS[kind](x, a, b, np.random.default_rng(1), **ranges)
    again = EDITS[kind](x, a, b, np.random.default_rng(1), **ranges)
    assert new.shape == (b - a,)
    assert np.array_equal(new, again)
    assert (new > 0).all()
    old = x[a:b]
    told = {
        "held": lambda: np.ptp(new) == 0,
        "capped": lambda: (new <= old).all() and 0.05 < (new == new.max()).mean() < 0.6,
        "replayed": lambda: any(np.array_equal(new, x[a - lag : b - lag]) for lag in range(b - a, a)),
        "disguised": lambda: max(np.corrcoef(np.log(new), np.log(x[a - lag : b - lag]))[0, 1] for lag in range(b - a, a)) > 0.97,
        "drawn": lambda: abs(np.corrcoef(new[1:], new[:-1])[0, 1]) < 0.3,
        "scaled": lambda: np.allclose(new / old, new[0] / old[0]) and new[0] < old[0],
        "lowered": lambda: (new < old).all() and np.isclose(np.median(old - new), np.max(old - new)),
    }
    assert told[kind]()


def test_edits_keep_the_decimal_places_of_the_readings() -> None:
    x = honest(60)[0]
    assert places_at(x, 500, 600) == 0
    assert places_at(x / 10, 500, 600) == 1
    assert places_at(x * 100, 500, 600) == -2


def test_rounds_follow_from_the_seed_and_change_the_edited_rows_only(long_history: Analysis) -> None:
    panel = long_history.panel
    one, two = (next(iter(rehearse(panel, load_plan(), seed))) for seed in (7, 7))
    pd.testing.assert_frame_equal(one.edits, two.edits)
    old, new = panel.hour("hour_mean"), one.panel.hour("hour_mean")
    changed = np.flatnonzero((np.nan_to_num(old) != np.nan_to_num(new)).any(axis=1))
    assert set(changed) <= set(one.edits["row"])
    assert len(changed)
    for row, first, last in one.edits[["row", "first", "last"]].itertuples(index=False):
        others = one.edits[(one.edits["row"] == row) & (one.edits["first"] != first)]
        outside = np.ones(old.shape[1], dtype=bool)
        for a, b in [(first, last), *others[["first", "last"]].itertuples(index=False)]:
            outside[a:b] = False
        assert np.array_equal(old[row, outside], new[row, outside], equal_nan=True)


@pytest.mark.parametrize("noise", [0.0, 0.02, 0.04])
def test_a_copy_under_noise_is_found_with_its_lag(noise: float) -> None:
    rng = np.random.default_rng(2)
    x = honest(120)[0]
    x[2000:2048] = np.round(x[1317:1365] * np.exp(noise * rng.standard_normal(48)))
    y = np.log(x)
    unknown = np.full(len(y), np.nan)
    found = best_matches(y, *gains(y, unknown, unknown, np.full(64, 0.1)))
    assert found[0].lag == 683
    assert 1995 <= found[0].first <= 2006
    assert 2042 <= found[0].last <= 2056
    assert all(m.gain < 0.6 * found[0].gain for m in found[1:])


def test_honest_readings_gain_little_by_copying() -> None:
    y = np.log(honest(200, seed=8)[1])
    unknown = np.full(len(y), np.nan)
    assert max((m.gain for m in best_matches(y, *gains(y, unknown, unknown, np.full(64, 0.1)))), default=0.0) < 30


def test_a_run_at_the_floor_is_not_a_copy_of_another_however_far_the_expectation_is() -> None:
    x = honest(120)[0]
    x[1300:1345], x[2000:2045] = 3.0, 3.0
    residual = np.zeros(len(x))
    residual[2000:2045] = -2.0  # the air around says far more than the floor
    found = best_matches(np.log(x), *gains(np.log(x), residual, np.full(len(x), 0.2), np.full(64, 0.9)))
    assert max((m.gain for m in found if m.first < 2045 and m.last > 2000), default=0.0) < 20


def test_independent_draws_are_told_from_a_process() -> None:
    rng = np.random.default_rng(4)
    x = honest(100)[0]
    y = np.log(x)
    y[1000:1072] = np.log(np.round(np.maximum(rng.normal(np.mean(x[950:1120]), 0.5 * np.std(x[900:1200]), 72), 1)))
    starts = np.arange(0, len(y) - 72, 24)
    gain, lag = generator_gain(y, np.r_[1000, starts], np.r_[1072, starts + 72])
    assert gain[0] > 10
    assert lag[0] < 0.4
    away = (starts < 900) | (starts > 1100)
    assert np.quantile(gain[1:][away], 0.95) < 0


def test_a_lowered_span_is_found_to_the_hour() -> None:
    rng = np.random.default_rng(9)
    r = 0.1 * rng.standard_normal(200 * 24)
    r[2400:2700] -= 0.4
    found = lower_spans(weighted_residual(r, np.full(len(r), 0.1)), len(r), (5, 7, 10, 14), 2.5)
    best = max(found, key=lambda f: f[2])
    assert abs(best[0] - 2400) <= 3
    assert abs(best[1] - 2700) <= 3


def test_the_rehearsed_score_finds_what_it_was_not_taught(long_history: Analysis, taught: Rehearsed) -> None:
    values = honest(200)
    values[0, 2400:2448] = 77
    values[7, 3000:3060] = values[7, 2000:2060]
    found = analysed(values).candidates
    mine = by_rehearsal(found, load_scoring())
    score = pd.Series(taught.log_odds(found[mine]), index=found.index[mine])
    start = (found["start"] - pd.Timestamp("2026-01-01")) / HOUR
    for row, a, b in ((0, 2400, 2448), (7, 3000, 3060)):
        over = mine & (found["row"] == row).to_numpy() & (start < b).to_numpy() & (start > a - 30).to_numpy()
        assert score[over].max() > np.quantile(taught.honest, 0.99)


def test_terms_of_a_rehearsed_candidate_sum_to_its_score(long_history: Analysis, taught: Rehearsed) -> None:
    c = long_history.candidates
    mine = by_rehearsal(c, load_scoring())
    terms = base_terms(c, load_scoring(), taught)
    kept = terms.loc[mine, ["shared", "pays", "replay", "standing"]].sum(axis=1)
    rest = terms[mine].sum(axis=1) - kept - terms.loc[mine, ["serviced", "saturated", "starting", "device_fault"]].sum(axis=1)
    assert mine.any()
    np.testing.assert_allclose(rest, taught.log_odds(c[mine]), atol=1e-6)


def test_odd_hourly_rows_are_scored_and_explained() -> None:
    values = honest(120)[:6]
    values[0], values[1], values[3] = 5, np.nan, 0
    values[2, 100:2700] = np.nan
    values[4, ::2] = 0
    world = Hourly(values)
    model = load("monitoring")
    features = model.features(world, world.period)  # type: ignore[arg-type]
    labels = pd.DataFrame(columns=["enterprise_id", "finding", "kinds", "period_start", "period_end"])
    fitted = model.fit(features, labels, seed=1)
    found = fitted.assess(features)
    assert found.loc[found["candidate"] >= 0, "p_breach"].notna().all()
    parts = fitted.explain(features, found["finding_id"])
    sums = parts.groupby("finding_id").agg(base=("base", "first"), told=("contribution", "sum"), score=("score", "first"))
    np.testing.assert_allclose(sums["base"] + sums["told"], sums["score"], atol=1e-6)


def test_the_measured_null_orders_candidates_as_their_scores_do(long_history: Analysis, taught: Rehearsed) -> None:
    scorer = Scorer(load_scoring(), rehearsed=taught)
    c = with_measured_null(long_history, scorer).candidates
    mine = by_rehearsal(c, load_scoring())
    score = taught.log_odds(c[mine])
    order = np.argsort(score, kind="stable")
    assert (np.diff(c.loc[mine, "log_p"].to_numpy()[order]) <= 1e-9).all()
    assert (c["log_p"] <= 0).all()


def test_a_short_history_is_not_rehearsed() -> None:
    assert rehearsed_score(analysed(honest(60)).panel, RULES, load_scoring(), 1) is None


def test_candidates_stand_for_an_edit_by_what_they_share_with_it(long_history: Analysis) -> None:
    first = long_history.panel.first_day
    c = pd.DataFrame(
        {"row": [1, 1, 1, 2], "start": first + HOUR * np.array([100, 190, 400, 100]), "end": first + HOUR * np.array([150, 300, 420, 150])}
    )
    y, which = over_edit(long_history.panel, c, pd.DataFrame({"row": [1], "first": [90], "last": [200], "kind": ["held"]}))
    assert y[0] == 1
    assert np.isnan(y[1])
    assert y[2:].tolist() == [0, 0]
    assert which.tolist() == [0, -1, -1, -1]


def test_tie_rates_lean_on_the_peers_of_the_point_and_on_nobody_else() -> None:
    hazard = np.zeros((4, 64, 4))
    hazard[0, 20, :2], hazard[1, 20, :2] = (900, 1000), (850, 1000)
    hazard[2, 20, :2], hazard[3, 20, :2] = (10, 1000), (0, 5)
    early, _late = tie_rates(hazard, np.array([0, 0, 1, 1]))
    assert early[3, 40] < 0.2
    assert early[1, 40] > 0.8


def test_what_is_as_strong_as_an_edit_is_not_taught_as_honest() -> None:
    c = pd.DataFrame(0.0, index=range(12), columns=list(WEIGHED))
    c["exact_nats"] = [5.0] * 10 + [5.5, 1.0]
    y = np.r_[np.ones(10), 0, 0]
    kind = np.array(["replayed"] * 10 + ["", ""])
    assert set_aside(c, y, kind).tolist() == [False] * 10 + [True, False]
