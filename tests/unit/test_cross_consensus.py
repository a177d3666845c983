"""The committee: one call with labels or with none; laws it keeps whatever it was taught."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from workbench.contracts import ParameterError
from workbench.cross.consensus import Consensus, fit_consensus, nearby, word_power
from workbench.cross.latent_class import fit_latent_class


def log_loss(y: np.ndarray, p: np.ndarray) -> float:
    return float(-np.log(np.clip(p[np.arange(len(y)), y], 1e-4, 1)).mean())


def crowd(rho: float, seed: int = 0, items: int = 300, workers: int = 14) -> tuple[np.ndarray, np.ndarray]:
    """Votes of workers of whom a share √rho repeats what the item looks like."""
    rng = np.random.default_rng(seed)
    y = rng.integers(0, 2, items)
    skill = rng.uniform(0.65, 0.9, workers)
    own = np.where(rng.random((items, workers)) < skill, y[:, None], 1 - y[:, None])
    look = np.where(rng.random(items) < 0.78, y, 1 - y)
    return np.where(rng.random((items, workers)) < np.sqrt(rho), look[:, None], own), y


def witnesses(seed: int = 0, items: int = 900) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A detector of four levels and a citizen of three, in nine views with error rates of their own."""
    rng = np.random.default_rng(seed)
    view = rng.integers(0, 9, items)
    y = (rng.random(items) < rng.uniform(0.1, 0.6, 9)[view]).astype(int)
    wrong = rng.random(items) < rng.uniform(0.05, 0.25, 9)[view]
    detector = np.clip(np.where(wrong, 1 - y, y) * 3 + rng.integers(-1, 2, items), 0, 3)
    citizen = np.where(rng.random(items) < 0.4, -1, np.clip(y + rng.integers(0, 2, items), 0, 2))
    return np.c_[detector, citizen], y, view


def test_words_that_go_together_count_less() -> None:
    assert word_power(np.array([1]), 0.4)[0] == 1.0
    assert word_power(np.array([10]), 0.0)[0] == 1.0
    assert word_power(np.array([5, 20]), 0.3).tolist() == pytest.approx([1 / 2.2, 1 / 6.7])


def test_without_labels_a_dependent_crowd_is_fused_better_than_by_the_dawid_skene_form() -> None:
    said, y = crowd(0.3)
    ours = log_loss(y, fit_consensus(said, 2).posterior(said))
    assert ours < 0.7 * log_loss(y, fit_latent_class(said, 2, difficulties=1).posterior(said))


def test_on_unseen_views_the_committee_beats_its_best_source() -> None:
    said, y, view = witnesses()
    unseen = view >= 6
    model = fit_consensus(said, 2, labels=np.where(unseen, -1, y), blocks=list(view), panels=[(0,), (0, 1)])
    rate = np.array([(y[~unseen][said[~unseen, 0] == k].mean()) for k in range(4)])[said[unseen, 0]]
    assert log_loss(y[unseen], model.posterior(said[unseen])) < log_loss(y[unseen], np.c_[1 - rate, rate]) - 0.02
    assert 0.5 < model.slope < 1.5


def test_labels_of_the_judged_items_are_not_looked_at() -> None:
    said, y, view = witnesses()
    unseen = view >= 6
    a, b = (fit_consensus(said, 2, labels=np.where(unseen, hidden, y), blocks=list(view)).posterior(said[unseen]) for hidden in (-1, -1))
    assert a.tobytes() == b.tobytes()
    only = fit_consensus(said[~unseen], 2, labels=y[~unseen], blocks=list(view[~unseen])).posterior(said[unseen])
    assert np.allclose(a, only)


@pytest.fixture(scope="module")
def taught() -> Consensus:
    said, y, view = witnesses()
    return fit_consensus(said, 2, labels=y, blocks=list(view))


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(st.integers(-1, 3), st.integers(-1, 2)), min_size=1, max_size=30))
def test_posteriors_are_proportions_and_hang_on_the_item_alone(taught: Consensus, rows: list[tuple[int, int]]) -> None:
    said = np.array(rows)
    p = taught.posterior(said)
    assert np.allclose(p.sum(1), 1)
    assert (p > 0).all()
    order = np.random.default_rng(0).permutation(len(said))
    assert np.allclose(taught.posterior(said[order]), p[order])


def test_a_level_never_heard_before_says_nothing(taught: Consensus) -> None:
    assert np.allclose(taught.posterior(np.array([[9, 1]])), taught.posterior(np.array([[-1, 1]])))


def test_blocks_must_be_as_many_as_items() -> None:
    said, y, view = witnesses(items=60)
    with pytest.raises(ParameterError):
        fit_consensus(said, 2, labels=y, blocks=list(view[:5]))


def test_neighbours_are_of_the_same_block_near_in_time_and_not_the_item_itself() -> None:
    score, block, at = np.array([1.0, 0.0, 1.0, 0.0]), np.array(["a", "a", "b", "a"]), np.array([0.0, 60.0, 30.0, 9000.0])
    near = nearby(score, block, at, within=1200, fade=300, cuts=(0.5,))
    assert near.tolist() == [0, 1, -1, -1]
    assert nearby(score, block, np.full(4, np.nan), within=1200, fade=300, cuts=(0.5,)).tolist() == [-1] * 4
