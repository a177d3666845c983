"""One call for any set of witnesses: people, detectors or channels, with some labels or with none.

A committee of latent-class models (two and three difficulties, each panel of sources) is averaged, which carries the
doubt about the model through to the posterior. With labels, members learn from the labelled items and the average is
recalibrated on blocks (views, streets, months) that its members did not see. Without, words count as far as they are
the witnesses' own: people who look at one picture are misled by the same picture, so that given the class their words
still go together, with an intraclass correlation ρ, and ``n`` words are worth ``n / (1 + (n-1)·ρ)``. Votes alone do not
show ρ (a class inferred from them takes a shared error for the truth), so that it keeps its stated prior.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.optimize import minimize
from scipy.stats import beta

from workbench.contracts import ParameterError
from workbench.cross.latent_class import LatentClass, fit_latent_class

DIFFICULTIES = (2, 3)
FOLDS = 5
FEWEST = 50
"""Labels under which blocks cannot be held out, and the average stands as it is."""
FLOOR = 1e-4
DEPENDENCE = (3.0, 7.0)
"""Beta prior of ρ, mean .3: the same judgement as for the hours of one spell (:data:`workbench.cross.scoring.WORD`)."""
GRID = (0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6)


def word_power(n: np.ndarray, rho: float) -> np.ndarray:
    """Return the power at which each of ``n`` words counts when they go together with correlation ``rho``.

    Examples
    --------
    >>> word_power(np.array([1, 10]), 0.3).round(3).tolist()
    [1.0, 0.27]
    """
    return np.asarray(1.0 / (1.0 + (np.maximum(n, 1) - 1) * rho))


@dataclass(frozen=True)
class Consensus:
    """A fitted committee.

    Parameters
    ----------
    members : tuple of (columns, LatentClass)
        Which sources each member hears.
    weights : float array, shape (7,)
        Prior of the correlation of words, over ``GRID``; empty where labels taught the tables.
    slope : float
        Recalibration: every log probability is multiplied by it …
    shift : float array, shape (class,)
        … and shifted by this.
    n : int
        Labels behind it.
    """

    members: tuple[tuple[tuple[int, ...], LatentClass], ...]
    weights: np.ndarray
    slope: float
    shift: np.ndarray
    n: int

    def posterior(self, said: np.ndarray) -> np.ndarray:
        """Return P(class) of every item, shape (item, class), for items seen before or not.

        Parameters
        ----------
        said : int array, shape (item, source)
            Level each source said; -1 nothing.
        """
        return _softmax(self.slope * np.log(_average(self.members, self.weights, np.asarray(said, dtype=np.int64))) + self.shift)


def fit_consensus(
    said: np.ndarray,
    n_classes: int,
    *,
    labels: np.ndarray | None = None,
    blocks: Sequence[object] | None = None,
    panels: Sequence[Sequence[int]] | None = None,
) -> Consensus:
    """Fit the committee; deterministic.

    Parameters
    ----------
    said : int array, shape (item, source)
        Level each source said; -1 nothing.
    n_classes : int
    labels : int array, shape (item,), optional
        Known classes, -1 unknown. Absent or all unknown: levels must be classes.
    blocks : sequence, optional
        Block of each item, held out together when the committee is recalibrated (camera view, enterprise, month).
    panels : sequence of sequences of int, optional
        Sources that each member hears; default all. A source that may mislead elsewhere is heard by some only.

    Raises
    ------
    ParameterError
        If blocks and items differ in number.
    """
    said = np.asarray(said, dtype=np.int64)
    y = np.full(len(said), -1) if labels is None else np.asarray(labels, dtype=np.int64)
    if blocks is not None and len(blocks) != len(said):
        raise ParameterError("one block per item is needed", got=len(blocks), allowed=len(said))
    heard = tuple(tuple(p) for p in panels) if panels is not None else (tuple(range(said.shape[1])),)
    known = np.flatnonzero(y >= 0)
    if not len(known):
        members = tuple((p, fit_latent_class(said[:, list(p)], n_classes, difficulties=d)) for p in heard for d in DIFFICULTIES)
        weights = beta(*DEPENDENCE).pdf(GRID) * np.gradient(np.array(GRID))
        return Consensus(members, weights / weights.sum(), 1.0, np.zeros(n_classes), 0)
    members = _taught(said[known], y[known], n_classes, heard)
    slope, shift = 1.0, np.zeros(n_classes)
    if blocks is not None and len(known) >= FEWEST:
        fold = _folds([blocks[int(i)] for i in known])
        log = np.zeros((len(known), n_classes))
        for f in np.unique(fold):
            out = fold == f
            log[out] = np.log(_average(_taught(said[known][~out], y[known][~out], n_classes, heard), np.zeros(0), said[known][out]))
        slope, shift = _recalibrate(log, y[known])
    return Consensus(members, np.zeros(0), slope, shift, len(known))


def nearby(score: np.ndarray, block: np.ndarray, at: np.ndarray, *, within: float, fade: float, cuts: Sequence[float]) -> np.ndarray:
    """Return what a source says about an item's neighbours in time, as levels: trouble lasts, so that it is one more word.

    Parameters
    ----------
    score : float array, shape (item,)
        What the source says about each item itself.
    block : array, shape (item,)
        Neighbours are of the same block.
    at : float array, shape (item,)
        Time, in the unit of ``within`` and ``fade``; nan: no neighbours.
    within, fade : float
        Neighbours are at most ``within`` away and weigh ``exp(-distance / fade)``; the item itself does not count.
    cuts : sequence of float
        Edges between the levels of the weighted mean.

    Returns
    -------
    int array, shape (item,)
        Level; -1 where nothing is near.
    """
    out = np.full(len(score), -1)
    code = np.unique(np.asarray(block).astype(str), return_inverse=True)[1]
    for b in range(code.max(initial=-1) + 1):
        i = np.flatnonzero(code == b)
        apart = np.abs(at[i][:, None] - at[i][None, :])
        w = np.where(apart <= within, np.exp(-apart / fade), 0.0)
        np.fill_diagonal(w, 0.0)
        mean = (w @ score[i]) / np.maximum(w.sum(1), 1e-12)
        out[i] = np.where(w.sum(1) > 0.05, np.digitize(mean, np.asarray(cuts)), -1)
    return out


def _taught(
    said: np.ndarray, y: np.ndarray, n_classes: int, heard: Sequence[tuple[int, ...]]
) -> tuple[tuple[tuple[int, ...], LatentClass], ...]:
    """Return members fitted to labelled items alone: who gets labelled is seldom chance, and the rest would bend the tables."""
    out = []
    for p in heard:
        rows, counts = np.unique(np.c_[said[:, list(p)], y], axis=0, return_counts=True)
        for d in DIFFICULTIES:
            model = fit_latent_class(
                rows[:, :-1],
                n_classes,
                labels=rows[:, -1],
                counts=counts,
                difficulties=d,
                groups=range(len(p)),
                n_levels=int(said.max()) + 1,
            )
            out.append((p, model))
    return tuple(out)


def _average(members: Sequence[tuple[tuple[int, ...], LatentClass]], weights: np.ndarray, said: np.ndarray) -> np.ndarray:
    total = np.zeros((len(said), members[0][1].n_classes))
    for columns, model in members:
        heard = said[:, list(columns)]
        # a level that no training item had says nothing
        heard = np.where(heard < model.tables.shape[2], heard, -1)
        if not len(weights):
            total += model.posterior(heard) / len(members)
            continue
        n = (heard >= 0).sum(1)
        for count in np.unique(n):
            mine = n == count
            for rho, w in zip(GRID, weights, strict=True):
                if w > 1e-3:
                    total[mine] += w * model.posterior(heard[mine], float(word_power(count, float(rho)))) / len(members)
    total = np.maximum(total, FLOOR)
    return np.asarray(total / total.sum(1, keepdims=True))


def _folds(blocks: Sequence[object]) -> np.ndarray:
    """Return the fold of each item: blocks stay whole, the largest are spread first."""
    names, code, size = np.unique(np.array([str(b) for b in blocks]), return_inverse=True, return_counts=True)
    load, of = np.zeros(min(FOLDS, len(names))), np.zeros(len(names), dtype=np.int64)
    for b in np.argsort(-size, kind="stable"):
        of[b] = int(np.argmin(load))
        load[of[b]] += size[b]
    return np.asarray(of[code])


def _recalibrate(log: np.ndarray, y: np.ndarray) -> tuple[float, np.ndarray]:
    """Return the slope and shifts that fit the labels of held-out blocks, with a mild pull towards no change."""
    k = log.shape[1]

    def loss(x: np.ndarray) -> float:
        p = _softmax(x[0] * log + np.r_[0.0, x[1:]])
        return float(-np.log(p[np.arange(len(y)), y]).sum() + 0.5 * ((x[0] - 1) / 0.2) ** 2 + 0.5 * (x[1:] / 0.3) @ (x[1:] / 0.3))

    best = minimize(loss, np.r_[1.0, np.zeros(k - 1)], method="L-BFGS-B").x.round(6)
    return float(best[0]), np.r_[0.0, best[1:]]


def _softmax(log: np.ndarray) -> np.ndarray:
    p = np.exp(log - log.max(1, keepdims=True))
    return np.asarray(p / p.sum(1, keepdims=True))
