"""Simulate what is known, estimate it from what is seen: the intervals must cover."""

from __future__ import annotations

import numpy as np
import pandas as pd

from workbench.evaluation import doubly_robust_share, draw, wilson
from workbench.evaluation.intervals import measured, ratio

RUNS = 200


def test_cluster_bootstrap_covers_where_trials_of_an_enterprise_stand_together():
    """120 enterprises with 1 to 8 leads each, all right or wrong together more often than not."""
    rng = np.random.default_rng(11)
    covered = naive = 0
    for run in range(RUNS):
        size = rng.integers(1, 9, 120)
        rate = rng.beta(0.6, 1.4, 120)  # mean .3, strongly clustered
        who = pd.Series(np.repeat(np.arange(120).astype(object), size))
        right = rng.random(len(who)) < np.repeat(rate, size)
        m = measured("precision", ratio(right, np.ones(len(who))), who, seed=run, draws=300)
        covered += m.low <= 0.3 <= m.high
        low, high = wilson(right.sum(), len(right))
        naive += low <= 0.3 <= high
    assert covered / RUNS >= 0.90
    assert naive / RUNS < 0.85, "the simulation must punish an interval that forgets the enterprise"


def _district(rng, n=600):
    p = rng.beta(0.8, 6, n)
    return p, (rng.random(n) < p).astype(float)


def test_doubly_robust_prevalence_covers_under_biased_inspections_while_the_naive_share_does_not():
    rng = np.random.default_rng(5)
    covered, naive, truth_mean = 0, [], []
    for run in range(RUNS):
        p, y = _district(rng)
        pi = np.clip(0.05 + 1.2 * p, 0, 0.9)  # they look where they suspect
        seen = rng.random(len(p)) < pi
        wrong_model = np.clip(p * 0.5 + 0.05, 0, 1)  # m̂ is off; π is right
        who = pd.Series([f"E{i}" for i in range(len(p))])
        m = doubly_robust_share("prevalence", y, None, seen, pi, wrong_model, who, seed=run, draws=300)
        covered += m.low <= 0.8 / 6.8 <= m.high
        naive.append(y[seen].mean())
        truth_mean.append(y.mean())
    assert covered / RUNS >= 0.90
    assert np.mean(naive) > 1.4 * np.mean(truth_mean)


def test_doubly_robust_recall_covers_with_the_weighted_draw():
    """150 of 600 drawn with π ∝ √p plus a floor; recall of a list of 60."""
    rng = np.random.default_rng(8)
    covered, width = 0, []
    for run in range(RUNS):
        p, y = _district(rng)
        score = np.clip(p + rng.normal(0, 0.08, len(p)), 0, 1)
        listed = np.zeros(len(p))
        listed[np.argsort(-score)[:60]] = 1
        units = draw(pd.DataFrame({"enterprise_id": [f"E{i}" for i in range(len(p))], "p": score}), 150, seed=run)
        m = doubly_robust_share(
            "recall", y, listed, units["drawn"], units["selection_probability"], score, units["enterprise_id"], seed=run, draws=300
        )
        recall = (y * listed).sum() / y.sum()
        covered += m.low <= recall <= m.high
        width.append(m.high - m.low)
    assert covered / RUNS >= 0.90
    assert np.mean(width) < 0.35
