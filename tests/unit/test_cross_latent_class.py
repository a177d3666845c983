"""The general latent-class model: clamping, pooling, difficulty, counts."""

from __future__ import annotations

import numpy as np
import pytest

from workbench.contracts import InsufficientData, ParameterError
from workbench.cross.latent_class import fit_latent_class


def votes(n: int = 400, workers: int = 9, seed: int = 0, hard: float = 0.0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    y = rng.integers(0, 2, n)
    skill = rng.uniform(0.65, 0.95, workers)
    difficult = rng.random(n) < hard
    right = rng.random((n, workers)) < np.where(difficult[:, None], 0.35, skill[None, :])
    said = np.where(right, y[:, None], 1 - y[:, None])
    said[rng.random(said.shape) < 0.3] = -1
    return said, y


def log_loss(y: np.ndarray, p: np.ndarray) -> float:
    return float(-np.log(np.clip(p[np.arange(len(y)), y], 1e-9, 1)).mean())


def test_classes_are_recovered_without_labels() -> None:
    said, y = votes()
    p = fit_latent_class(said, 2, difficulties=1).posterior(said)
    assert np.allclose(p.sum(1), 1)
    assert (p.argmax(1) == y).mean() > 0.93


def test_shared_difficulty_tempers_the_posterior() -> None:
    said, y = votes(hard=0.25)
    plain, shared = (log_loss(y, fit_latent_class(said, 2, difficulties=d).posterior(said)) for d in (1, 2))
    assert shared < plain


def test_labels_are_clamped_and_help_the_rest() -> None:
    said, y = votes(n=120, workers=4)
    known = np.where(np.arange(len(y)) % 2 == 0, y, -1)
    model = fit_latent_class(said, 2, labels=known)
    rest = known < 0
    assert log_loss(y[rest], model.posterior(said)[rest]) < 0.6


def test_unique_patterns_with_counts_give_the_same_fit_as_all_rows() -> None:
    said, _ = votes(n=500, workers=4)
    rows, counts = np.unique(said, axis=0, return_counts=True)
    a = fit_latent_class(said, 2, difficulties=1)
    b = fit_latent_class(rows, 2, difficulties=1, counts=counts)
    assert np.allclose(a.tables, b.tables, atol=1e-4)


def test_an_item_nobody_spoke_about_keeps_the_prior() -> None:
    said, _ = votes()
    model = fit_latent_class(said, 2)
    assert np.allclose(model.posterior(np.full((1, said.shape[1]), -1))[0], model.prior, atol=1e-9)


def test_order_of_sources_does_not_matter() -> None:
    said, _ = votes()
    a = fit_latent_class(said, 2).posterior(said)
    b = fit_latent_class(said[:, ::-1], 2).posterior(said[:, ::-1])
    assert np.allclose(a, b, atol=1e-8)


@pytest.mark.parametrize(
    ("said", "error"),
    [(np.full((3, 2), -1), InsufficientData), (np.array([[5, 0]]), ParameterError)],
    ids=["nothing said", "level out of range"],
)
def test_bad_input_is_named(said: np.ndarray, error: type[Exception]) -> None:
    with pytest.raises(error):
        fit_latent_class(said, 2, n_levels=2)
