"""Recovery: what was put in with known size comes back with about that size, and the null is about right on honest data."""

from __future__ import annotations

import sys
from importlib.resources import files
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "unit"))
from monitoring_world import edit, honest

from workbench.contracts import load_rules
from workbench.models.monitoring.candidates import load_scoring
from workbench.models.monitoring.detectors import DETECTORS
from workbench.models.monitoring.features import build
from workbench.models.monitoring.inputs import read_inputs
from workbench.models.monitoring.null import false_discovery_rate
from workbench.models.monitoring.panel import Panel
from workbench.models.monitoring.scan import tail_nats
from workbench.models.monitoring.scoring import Scorer, fit_scorer, label_candidates

RULES = load_rules(files("workbench.models.monitoring").joinpath("params.yml"))


def spans_of(name: str, *steps: dict, point: str) -> object:
    world = honest(seed=2)
    for step in steps:
        edit(world, step)
    panel = Panel(build(read_inputs(world, world.period)).compute())
    row = int(panel.roster.index[panel.roster["point_id"] == point][0])
    spans = DETECTORS[name](panel, **RULES[name].numbers()).spans
    return spans[spans["row"] == row]


@pytest.mark.parametrize("by", [0.5, 0.65])
def test_an_injected_slope_is_recovered_in_size_and_time(by: float) -> None:
    found = spans_of("values_scaled_down", {"do": "scale", "point": "E1-DA1-a21002", "from": 22, "to": 36, "by": by}, point="E1-DA1-a21002")
    assert len(found)
    best = found.loc[found["nats"].idxmax()]
    assert best["drop"] == pytest.approx(1 - by, abs=0.12)
    assert best["start"].dayofyear >= 21
    assert best["end"].dayofyear <= 39


@pytest.mark.parametrize("share", [0.25, 0.45])
def test_an_injected_air_share_is_recovered_on_the_mixing_line(share: float) -> None:
    points = [f"E1-DA1-{f}" for f in ("a21026", "a21002", "a34013", "a19001")]
    found = spans_of("sampling_line_diluted", {"do": "air", "point": points, "from": 30, "to": 36, "share": share}, point=points[0])
    assert len(found) == 1
    assert found["air"].iloc[0] == pytest.approx(share, abs=0.1)
    assert found["o2_share"].iloc[0] == pytest.approx(share, abs=0.12)
    assert found["on_line"].iloc[0] == 1


@pytest.mark.parametrize(("hours", "share"), [(5, 0.35), (7, 0.2), (24, 0.5)])
def test_hours_of_air_under_a_kept_oxygen_are_recovered(hours: int, share: float) -> None:
    from workbench.models.monitoring.mixing import common_spans

    rng = np.random.default_rng(hours)
    shared, own = 0.05 * rng.standard_normal(1500).cumsum(), 0.05 * rng.standard_normal((3, 1500))
    residual = 0.3 * np.tanh(shared) + own
    residual[:, 700 : 700 + hours] += np.log(1 - share)
    found = [s for s in common_spans(residual) if s.last > 700 and s.first < 700 + hours]
    assert len(found) == 1
    assert abs(found[0].first - 700) <= 1
    assert abs(found[0].last - (700 + hours)) <= 1
    assert found[0].share == pytest.approx(share, abs=0.1)
    assert all(s.score < found[0].score for s in common_spans(residual, up=True))


@pytest.mark.parametrize("lag", [3.0, 9.25])
def test_the_lag_of_a_copy_is_recovered_exactly(lag: float) -> None:
    found = spans_of(
        "history_copied_exactly", {"do": "copy", "point": "E2-DA1-a34013", "from": 40, "to": 42, "lag": lag}, point="E2-DA1-a34013"
    )
    assert found["lag_days"].tolist() == pytest.approx([lag])
    assert found["hours"].iloc[0] == pytest.approx(48, abs=8)


def test_measured_tails_hold_their_probability_on_honest_scores() -> None:
    rng = np.random.default_rng(4)
    score = rng.standard_normal((60, 2000))
    nats = tail_nats(score)
    for level in (5.0, 7.0, 9.0):
        assert (nats > level).mean() <= 2.0 * np.exp(-level)


def test_measured_tails_are_not_fooled_by_one_loud_point() -> None:
    rng = np.random.default_rng(5)
    score = rng.standard_normal((20, 400))
    score[3, 100:140] += 9
    assert tail_nats(score)[3, 100:140].min() > 10


def test_false_discovery_rate_is_kept_on_a_mixture() -> None:
    rng = np.random.default_rng(6)
    kept = []
    for _ in range(60):
        p = np.r_[rng.uniform(size=900), rng.uniform(size=100) * 1e-6]
        hit = false_discovery_rate(np.log(p), 1000.0) <= 0.1
        kept.append(hit[:900].sum() / max(hit.sum(), 1))
    assert np.mean(kept) < 0.13


def table_of(n: int, seed: int) -> tuple:
    from workbench.models.monitoring.candidates import CIRCUMSTANCES

    rng = np.random.default_rng(seed)
    import pandas as pd

    c = pd.DataFrame({name: rng.uniform(0, 1, n) for name in CIRCUMSTANCES})
    c["strength"] = rng.uniform(0, 6, n)
    c["detector"], c["family"] = "values_stay_constant", "plateau"
    return c, rng


def test_calibration_recovers_the_line_that_made_the_labels() -> None:
    from workbench.models.monitoring.scoring import SENSITIVITY, plain_terms

    c, rng = table_of(4000, 7)
    score = plain_terms(c, load_scoring()).sum(axis=1).to_numpy()
    p = 1 / (1 + np.exp(-(0.8 * score - 0.7)))
    y = (rng.uniform(size=len(c)) < SENSITIVITY * p).astype(float)
    scorer = fit_scorer(c, y, np.array([f"E{i % 400}" for i in range(len(c))], dtype=object), load_scoring(), 1)
    got = 1 / (1 + np.exp(-scorer.log_odds(c)))
    assert np.abs(got - p).mean() < 0.05
    again = fit_scorer(c, y, np.array([f"E{i % 400}" for i in range(len(c))], dtype=object), load_scoring(), 1)
    np.testing.assert_array_equal(again.log_odds(c), scorer.log_odds(c))


def test_trees_learn_what_the_sum_does_not_know_and_stay_additive() -> None:
    from workbench.models.monitoring.scoring import SENSITIVITY, plain_terms

    c, rng = table_of(3000, 8)
    weights = {name: row.weight for name, row in load_scoring().circumstances.items()}
    c[[name for name, w in weights.items() if w < 0 and name in c]] = 0.0  # a table of candidates that nothing speaks against
    wrong = c["repeats"].to_numpy() > 0.5  # a circumstance that in this district means honest
    score = plain_terms(c, load_scoring()).sum(axis=1).to_numpy()
    likely = 1 / (1 + np.exp(-score))
    y = (rng.uniform(size=len(c)) < SENSITIVITY * np.where(wrong, 0.05, 1.0) * likely).astype(float)
    scorer = fit_scorer(c, y, np.array([f"E{i % 300}" for i in range(len(c))], dtype=object), load_scoring(), 1)
    assert scorer.booster
    p = 1 / (1 + np.exp(-scorer.log_odds(c)))
    assert p[wrong].mean() < 0.5 * p[~wrong].mean()
    np.testing.assert_allclose(scorer.terms(c).sum(axis=1), scorer.log_odds(c))


def test_few_labels_leave_the_score_as_it_is() -> None:
    c, _ = table_of(50, 9)
    y = np.r_[np.ones(10), np.zeros(40)]
    scorer = fit_scorer(c, y, np.array(["E"] * 50, dtype=object), load_scoring(), 1)
    assert not scorer.lines
    np.testing.assert_allclose(scorer.log_odds(c), Scorer(load_scoring()).log_odds(c))


def test_a_candidate_is_labelled_by_inspections_that_cover_it_only() -> None:
    import pandas as pd

    day = pd.Timestamp("2026-02-01")
    c = pd.DataFrame({"start": [day, day, day, day], "end": [day + pd.Timedelta(days=2)] * 4})
    labels = pd.DataFrame(
        {
            "enterprise_id": ["A", "B", "C", "D"],
            "finding": ["violation", "none", "violation", "none"],
            "kinds": [["fabrication"], [], ["carbon_overdue"], []],
            "period_start": [day - pd.Timedelta(days=9)] * 3 + [day + pd.Timedelta(days=30)],
            "period_end": [day + pd.Timedelta(days=9)] * 3 + [day + pd.Timedelta(days=40)],
        }
    )
    y = label_candidates(c, np.array(["A", "B", "C", "D"], dtype=object), np.array(["fabrication"] * 4, dtype=object), labels)
    np.testing.assert_array_equal(y, [1, 0, np.nan, np.nan])
