"""The categorical latent-class model behind the fusion, in its general form.

Items have a hidden class; sources (channels, detectors, people) say one of their levels about some of them. What a
source says depends on the class and on a hidden *difficulty* of the item that all sources of it share: without it,
sources that err together are counted as if they erred alone, and the posterior is far too sure (the Dawid–Skene form,
which this model is with one difficulty and no pooling). Sources are partially pooled towards their group, so that one
with few answers borrows from the others. Known labels are clamped, others inferred; both train.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import digamma

from workbench.contracts import InsufficientData, ParameterError
from workbench.cross.scoring import window_posteriors


@dataclass(frozen=True)
class LatentClass:
    """A fitted model.

    Parameters
    ----------
    prior : float array, shape (class,)
    difficulty : float array, shape (class, difficulty)
        P(difficulty | class).
    tables : float array, shape (source, class·difficulty, level)
        P(level | class, difficulty) of each source.
    iterations : int
    """

    prior: np.ndarray
    difficulty: np.ndarray
    tables: np.ndarray
    iterations: int

    @property
    def n_classes(self) -> int:
        """Number of classes."""
        return len(self.prior)

    def posterior(self, said: np.ndarray, power: float = 1.0) -> np.ndarray:
        """Return P(class) of every item, shape (item, class), by exact enumeration of class and difficulty.

        Parameters
        ----------
        said : int array, shape (item, source)
            Level each source said; -1 where it said nothing (factor one).
        power : float
            Share of each word that is its own: below one where sources err together more than difficulty explains
            (see :func:`choose_power`).
        """
        state = np.concatenate([np.ones((1, self.tables.shape[1])), self.tables.transpose(0, 2, 1).reshape(-1, self.tables.shape[1])])
        state = state**power
        n_levels = self.tables.shape[2]
        codes = np.where(said >= 0, 1 + np.arange(said.shape[1])[None, :] * n_levels + said, 0).astype(np.int32)
        joint = (self.prior[:, None] * self.difficulty).ravel()
        label = np.repeat(np.arange(self.n_classes), self.difficulty.shape[1])
        return np.asarray(window_posteriors(state / state.max(1, keepdims=True), codes, joint, label, self.n_classes))


POWERS = (1.0, 0.85, 0.7, 0.6, 0.5, 0.42, 0.35, 0.3, 0.25, 0.21, 0.18, 0.15, 0.12)


def choose_power(model: LatentClass, said: np.ndarray, labels: np.ndarray) -> float:
    """Return the share of each word that is its own, by log-loss on items whose class is known (-1 unknown).

    A handful of labels is enough for one number; the model itself may have been fitted without any.
    """
    known = np.flatnonzero(labels >= 0)
    if not len(known):
        return 1.0
    losses = []
    for power in POWERS:
        p = model.posterior(said[known], power)
        losses.append(float(-np.log(np.clip(p[np.arange(len(known)), labels[known]], 1e-9, 1)).mean()))
    return POWERS[int(np.argmin(losses))]


def fit_latent_class(
    said: np.ndarray,
    n_classes: int,
    *,
    labels: np.ndarray | None = None,
    n_levels: int | None = None,
    difficulties: int = 2,
    groups: Sequence[int] | None = None,
    start: np.ndarray | None = None,
    pooling: float = 6.0,
    counts: np.ndarray | None = None,
    iterations: int = 300,
    tolerance: float = 1e-7,
) -> LatentClass:
    """Fit by variational expectation-maximization; deterministic.

    Parameters
    ----------
    said : int array, shape (item, source)
        Level each source said; -1 nothing.
    n_classes : int
    labels : int array, shape (item,), optional
        Known classes; -1 unknown. Known ones are clamped.
    n_levels : int, optional
        Levels of the widest source.
    difficulties : int
        1: sources err independently given the class (the Dawid–Skene form).
    groups : sequence of int, optional
        Group of each source, for pooling; default one group.
    start : float array, shape (item, class), optional
        First guess of the classes; default: what most sources said, where levels are classes.
    pooling : float
        Answers that a source's group is worth against its own.
    counts : float array, shape (item,), optional
        How often each row of ``said`` came (unique patterns with counts give the same fit as all rows).

    Raises
    ------
    ParameterError
        If a level or label is out of range, or there is no first guess and levels are no classes.
    InsufficientData
        If nothing was said at all.
    """
    said = np.asarray(said, dtype=np.int64)
    n_items, n_sources = said.shape
    n_levels = n_levels or int(said.max(initial=-1)) + 1
    if not (said >= 0).any():
        raise InsufficientData(
            "no source said anything", got=f"{n_items} items, {n_sources} sources", next_step="check the join of sources and items"
        )
    if said.max() >= n_levels or said.min() < -1:
        raise ParameterError("a level is out of range", got=[int(said.min()), int(said.max())], allowed=[-1, n_levels - 1])
    labels = np.full(n_items, -1) if labels is None else np.asarray(labels, dtype=np.int64)
    if labels.max(initial=-1) >= n_classes:
        raise ParameterError("a label is no class", got=int(labels.max()), allowed=[-1, n_classes - 1])
    weight = np.ones(n_items) if counts is None else np.asarray(counts, dtype=float)
    group = np.zeros(n_sources, dtype=np.int64) if groups is None else np.asarray(groups, dtype=np.int64)
    onehot = np.stack([(said == level).astype(float) for level in range(n_levels)], axis=2)  # item, source, level
    r = _first_guess(said, n_classes, n_levels, labels, start)
    q = _first_difficulty(said, r, onehot, difficulties)  # item, class, difficulty: P(d | class) · P(class)
    known = labels >= 0
    previous = -np.inf
    D = difficulties
    done = 0
    for done in range(1, iterations + 1):  # noqa: B007 - kept for the record
        mass = weight[:, None] * q.reshape(n_items, -1)
        n = np.einsum("is,ijl->jsl", mass, onehot)
        tables_log = _pooled(n, group, pooling)
        n_class = q.sum(2).T @ weight
        prior_log = np.log((n_class + 1.0) / (n_class + 1.0).sum())
        diff = np.einsum("i,icd->cd", weight, q) + 2.0
        diff_log = digamma(diff) - digamma(diff.sum(1, keepdims=True))
        log = np.einsum("ijl,jsl->is", onehot, tables_log) + (prior_log[:, None] + diff_log).ravel()
        if known.any():
            other = np.repeat(np.arange(n_classes), D)[None, :] != labels[known, None]
            log[known] = np.where(other, -np.inf, log[known])
        top = log.max(1, keepdims=True)
        p = np.exp(log - top)
        total = p.sum(1, keepdims=True)
        objective = float(weight @ (top[:, 0] + np.log(total[:, 0])))
        q = (p / total).reshape(n_items, n_classes, D)
        if abs(objective - previous) <= tolerance * max(1.0, abs(objective)):
            break
        previous = objective
    mass = weight[:, None] * q.reshape(n_items, -1)
    tables = _pooled_mean(np.einsum("is,ijl->jsl", mass, onehot), group, pooling)
    n_class = q.sum(2).T @ weight + 1.0
    diff = np.einsum("i,icd->cd", weight, q) + 2.0
    return LatentClass(n_class / n_class.sum(), diff / diff.sum(1, keepdims=True), tables, done)


def _first_guess(said: np.ndarray, n_classes: int, n_levels: int, labels: np.ndarray, start: np.ndarray | None) -> np.ndarray:
    if start is not None:
        r = np.asarray(start, dtype=float) + 1e-3
    elif (labels >= 0).any():
        r = np.full((len(said), n_classes), 1.0)
    elif n_levels == n_classes:
        r = np.stack([(said == c).sum(1) for c in range(n_classes)], axis=1) + 0.5
    else:
        raise ParameterError(
            "levels are no classes and nothing is known", allowed="labels, or start", next_step="give a first guess of the classes"
        )
    r = r / r.sum(1, keepdims=True)
    known = labels >= 0
    r[known] = np.eye(n_classes)[labels[known]]
    return np.asarray(r)


def _first_difficulty(said: np.ndarray, r: np.ndarray, onehot: np.ndarray, difficulties: int) -> np.ndarray:
    """Return the first joint guess: an item is hard where its sources are surprising given its class."""
    n_items = len(r)
    if difficulties == 1:
        return np.asarray(r[:, :, None])
    table = np.einsum("ic,ijl->cjl", r, onehot) + 0.5
    table /= table.sum(2, keepdims=True)
    surprise = -np.einsum("ic,ijl,cjl->i", r, onehot, np.log(table)) / np.maximum(1, (said >= 0).sum(1))
    rank = np.argsort(np.argsort(surprise, kind="stable"), kind="stable") / max(1, n_items - 1)
    centres = (np.arange(difficulties) + 0.5) / difficulties
    share = np.exp(-0.5 * ((rank[:, None] - centres[None, :]) / 0.25) ** 2)
    return np.asarray(r[:, :, None] * (share / share.sum(1, keepdims=True))[:, None, :])


def _concentration(n: np.ndarray, group: np.ndarray, pooling: float) -> np.ndarray:
    """Return the Dirichlet parameters of each source's rows: own counts plus what its group is worth."""
    out = np.empty_like(n)
    for g in np.unique(group):
        mine = group == g
        mean = n[mine].sum(0) + 0.3
        mean /= mean.sum(-1, keepdims=True)
        out[mine] = n[mine] + pooling * mean[None]
    return out


def _pooled(n: np.ndarray, group: np.ndarray, pooling: float) -> np.ndarray:
    a = _concentration(n, group, pooling)
    return np.asarray(digamma(a) - digamma(a.sum(-1, keepdims=True)))


def _pooled_mean(n: np.ndarray, group: np.ndarray, pooling: float) -> np.ndarray:
    a = _concentration(n, group, pooling)
    return np.asarray(a / a.sum(-1, keepdims=True))
