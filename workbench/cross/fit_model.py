"""The PyMC model of the collapsed rows: shares, motives, cells and emissions; nothing is sampled here.

Emission rows are softmaxes of unit normals around the expert's log odds (not centred: most of them are weakly informed,
and what is strongly informed is still nearly normal on that scale). Inspected rows carry their label as one more source.
Data enter as inputs, so that a model compiled once serves any history of the same channels and cells.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from workbench.cross.collapse import FitData
from workbench.cross.emission import Emission
from workbench.cross.evidence import ONE_WORD, Channel
from workbench.cross.learn import ordinary_rows
from workbench.cross.regimes import RegimePrior, regime_prior
from workbench.cross.roles import priors
from workbench.cross.scoring import groups_of
from workbench.cross.states import N_REGIMES, N_STATES, SOURCES, space

if TYPE_CHECKING:
    from workbench.cross.pattern_op import Layout

HELD = 15.0
"""How much more a row of trouble (lying, untreated, over the limit, disturbed) is worth than an ordinary one."""
LARGEST_SPREAD = 0.7
"""Largest standard deviation of a level's log odds around the expert's: within a factor of two, two times in three; judged."""
SHARE_SPREAD, MOTIVE_SPREAD = 0.7, 0.5
"""Standard deviations of the log odds of each trouble's share and of its motive around the expert's; judged."""
START = 0.02
"""Chains begin this far from the experts' means: where the data say nothing the slope at the mean is exactly zero, which the
sampler takes for a broken model."""
MOST_PARTS = 8
BITS = ("z_T", "z_X", *SOURCES)


def build_model(data: FitData, channels: Sequence[Channel], emissions: Sequence[Emission | None]) -> Any:
    """Return the PyMC model of the collapsed rows."""
    import pymc as pm
    import pytensor.tensor as pt

    from workbench.cross.pattern_op import PatternLogLike

    p, s = priors(), space()
    base = regime_prior()
    mean, motives = expected_shares()
    with pm.Model() as model:
        logit_share = pm.Normal("logit_share", mean, SHARE_SPREAD, shape=len(BITS), initval=mean + START)
        delta = pm.Normal("delta", motives, MOTIVE_SPREAD, shape=len(SOURCES), initval=motives + START)
        pairs = _cells(data)[0]
        cell: Any = pt.zeros(len(pairs))
        for name, index, names in (("industry", pairs[:, 0], data.industries), ("street", pairs[:, 1], data.streets)):
            named = np.array([float(x != "") for x in names])  # works of too small a cell, or of none, have no effect
            if named.sum() > 1:
                raw = pm.Normal(f"raw_{name}", 0.0, 1.0, shape=len(names), initval=np.full(len(names), START))
                effect = pm.Deterministic(f"u_{name}", float(p.regimes["cell_sd"]) * named * raw)
                cell = cell + pt.dot(pt.as_tensor(np.eye(len(names))[index]), effect)
        motive = (s.z_T | s.z_X).astype(float)
        log_share: Any = 0.0
        for i, bit in enumerate((s.z_T, s.z_X, *(s.z_H[x] for x in SOURCES))):
            logit = logit_share[i] + (delta[i - 2] * motive if i >= 2 else np.zeros(N_REGIMES)) + cell[:, None]
            log_share = log_share + pt.switch(bit[None, :], -pt.softplus(-logit), -pt.softplus(logit))
        classes, of_class = _state_classes(channels, emissions)
        weights = base.state_given_regime @ np.eye(classes.shape[1])[of_class]
        log_prior = pt.log(pt.dot(pt.exp(log_share), pt.as_tensor(weights)) + 1e-300)
        log_label = _log_label(classes[-1] == 1, inspected=bool((data.label >= 0).any()))
        layout, order = channel_layout(channels, emissions, classes)
        rows = {n: pm.Data(n, v) for n, v in row_data(data, channels, emissions).items()}
        log_rows = _log_thetas(channels, emissions)
        log_theta = pt.concatenate([log_rows[k].ravel() for k in order])
        pm.Potential("evidence", PatternLogLike(layout)(log_theta, log_prior, log_label, *(rows[n] for n in ROWS))[0])
    return model


def regime_of(logit_share: np.ndarray, delta: np.ndarray, base: RegimePrior) -> RegimePrior:
    """Return the regime prior of given log odds of each trouble's share, shape (5,), and motives, shape (3,)."""
    s = space()
    motive = s.z_T | s.z_X
    log_share = np.zeros(N_REGIMES)
    for i, bit in enumerate((s.z_T, s.z_X, *(s.z_H[x] for x in SOURCES))):
        logit = logit_share[i] + (delta[i - 2] * motive if i >= 2 else 0.0)
        log_share += np.where(bit, -np.log1p(np.exp(-logit)), -np.log1p(np.exp(logit)))
    return RegimePrior(log_share, base.hazard, base.state_given_regime)


def expected_shares() -> tuple[np.ndarray, np.ndarray]:
    """Return the experts' log odds of each trouble's share, shape (5,), and their motives, shape (3,)."""
    spells = [priors().spell(b) for b in BITS]
    return np.array([np.log(s.share / (1 - s.share)) for s in spells]), np.array([s.delta for s in spells[2:]])


def _log_label(violates: np.ndarray, *, inspected: bool) -> Any:
    """Return log P(no visit, none found, violation found | class): what an inspection is, imperfect as it is."""
    import pymc as pm
    import pytensor.tensor as pt

    if not inspected:
        return pt.as_tensor(np.zeros((3, len(violates))))
    i = priors().inspection["sensitivity"]
    se = pm.Beta("sensitivity", i["mean"] * i["worth"], (1 - i["mean"]) * i["worth"])
    ratio = pm.Beta("false_ratio", 2.0, 14.0)  # a clean hour inside a period found in violation: 1 - sp = se · ratio < se
    found = pt.switch(violates, se, se * ratio)
    return pt.stack([pt.zeros(len(violates)), pt.log1p(-found), pt.log(found)])


def _state_classes(channels: Sequence[Channel], emissions: Sequence[Emission | None]) -> tuple[np.ndarray, np.ndarray]:
    """Return states that no channel and no label tells apart as one class: (row of each channel and V per class, class of state).

    Their prior masses are added, so that the likelihood is exactly that of the 384 states.
    """
    parts = [p.row_of_state if p is not None else np.zeros(N_STATES, dtype=np.int64) for p in emissions]
    keys = np.vstack([*parts, space().violation.astype(np.int64)])
    classes, of_class = np.unique(keys, axis=1, return_inverse=True)
    return classes, np.asarray(of_class).ravel()


ROWS = ("cell", "label", "weight", "parts", "start", "odd")
"""What hangs on the data: names of the model's inputs, in the order of the kernel."""


def _cells(data: FitData) -> tuple[np.ndarray, np.ndarray]:
    """Return the distinct (industry, street) pairs and the pair of each row."""
    pairs, of = np.unique(np.stack([data.industry, data.street], axis=1), axis=0, return_inverse=True)
    return pairs, np.asarray(of, dtype=np.int64).ravel()


def _members(channels: Sequence[Channel], emissions: Sequence[Emission | None]) -> list[tuple[list[int], float]]:
    """Return the fitted channels of each group, and the words of one value of it."""
    groups = [([k for k in g.columns if emissions[k] is not None], ONE_WORD / g.support_hours) for g in groups_of(channels)]
    return [(members, power) for members, power in groups if members]


def channel_layout(channels: Sequence[Channel], emissions: Sequence[Emission | None], classes: np.ndarray) -> tuple[Layout, list[int]]:
    """Return the kernel's layout and the channels in the order of the flat table."""
    from workbench.cross.pattern_op import Layout

    rho = float(priors().nuisance["share"])
    groups = _members(channels, emissions)
    order = [k for members, _ in groups for k in members]
    # alone, a nuisance cannot be told from the channel's own errors
    alone = [len(members) == 1 for members, _ in groups]
    return (
        Layout(
            np.ascontiguousarray(classes[order], dtype=np.int64),
            np.array([_rows(emissions, k).shape[1] for k in order], dtype=np.int64),
            np.array([g for g, (members, _) in enumerate(groups) for _ in members], dtype=np.int64),
            np.array([power for _, power in groups], dtype=np.float64),
            np.where(alone, 0.0, np.log1p(-rho)),
            np.where(alone, -1e300, np.log(rho)),
        ),
        order,
    )


def _rows(emissions: Sequence[Emission | None], k: int) -> np.ndarray:
    part = emissions[k]
    return np.zeros((0, 0)) if part is None else part.rows


def _cut(place: np.ndarray, cut: np.ndarray, n: int) -> tuple[list[np.ndarray], np.ndarray]:
    """Return the distinct patterns of ``n`` runs of whole groups, one below the other, and where each row finds its own."""
    ends = cut[np.searchsorted(cut, place.shape[1] * np.arange(1, n + 1) / n)]
    start: list[np.ndarray] = []
    parts = np.empty((len(place), n), dtype=np.int64)
    column, first = np.arange(place.shape[1]), 0
    for q, end in enumerate(ends):
        mine = (column >= first) & (column < end)
        distinct, which = np.unique(np.where(mine[None, :], place, -1), axis=0, return_inverse=True)
        parts[:, q] = np.asarray(which).ravel() + sum(len(x) for x in start)
        start.append(distinct)
        first = int(end)
    return start, parts


def _cost(start: list[np.ndarray], parts: np.ndarray) -> float:
    """Return the work of one gradient, in passes over the classes: a scattered one of a channel counts as three of a row."""
    return 2.0 * parts.size + 6.0 * sum(int((x >= 0).sum()) for x in start)


def row_data(data: FitData, channels: Sequence[Channel], emissions: Sequence[Emission | None]) -> dict[str, np.ndarray]:
    """Return the inputs of the kernel that hang on the data, by the names of :data:`ROWS`.

    Groups are cut into the number of parts at which part patterns and rows together cost least.
    """
    groups = [members for members, _ in _members(channels, emissions)]
    order = [k for members in groups for k in members]
    levels = data.levels[:, order].astype(np.int64)
    first, of = 0, []
    for k in order:
        of.append(first)
        first += _rows(emissions, k).size
    place = np.where(levels >= 0, np.array(of, dtype=np.int64)[None, :] + levels, -1)
    cut = np.cumsum([0, *(len(members) for members in groups)])
    start, parts = min((_cut(place, cut, n) for n in range(1, min(MOST_PARTS, len(groups)) + 1)), key=lambda x: _cost(*x))
    both = np.vstack(start)
    odd = np.zeros((len(both), len(groups)))
    for j, k in enumerate(order):
        part, here = emissions[k], both[:, j] >= 0
        if part is not None:
            odd[here, np.searchsorted(cut, j, side="right") - 1] += np.log(part.nuisance)[both[here, j] - of[j]]
    return {
        "cell": _cells(data)[1],
        "label": (data.label + 1).astype(np.int64),
        "weight": data.weight.astype(np.float64),
        "parts": parts,
        "start": np.ascontiguousarray(both, dtype=np.int64),
        "odd": np.ascontiguousarray(odd, dtype=np.float64),
    }


def spread(part: Emission, source: str) -> np.ndarray:
    """Return the standard deviation of every level's log odds, shape (row, level).

    That of a Dirichlet of the prior's worth, but never more than a factor of two: of a level that the expert calls rare a
    Dirichlet says "or never", and its endless tail is where samplers get lost. Rows of trouble are held: without labels
    nothing else names them.
    """
    worth = np.where(ordinary_rows(part, source), part.worth, HELD * part.worth)
    return np.asarray(np.minimum(1.0 / np.sqrt(worth[:, None] * part.rows), LARGEST_SPREAD))


def _log_thetas(channels: Sequence[Channel], emissions: Sequence[Emission | None]) -> dict[int, Any]:
    """Return the log emission rows of every channel, as a softmax of unit normals around the expert's log odds.

    Channels of as many levels share one variable, so that the graph is small.
    """
    import pymc as pm
    import pytensor.tensor as pt

    out: dict[int, Any] = {}
    for width in sorted({p.rows.shape[1] for p in emissions if p is not None}):
        mine = [(k, p) for k, p in enumerate(emissions) if p is not None and p.rows.shape[1] == width]
        mean = np.log(np.vstack([p.rows for _, p in mine]))
        sd = np.vstack([spread(p, channels[k].source) for k, p in mine])
        odds = mean + sd * pm.Normal(f"raw_rows_{width}", 0.0, 1.0, shape=mean.shape, initval=np.full(mean.shape, START))
        top = odds.max(axis=1, keepdims=True)
        log = odds - top - pt.log(pt.exp(odds - top).sum(axis=1, keepdims=True))
        pm.Deterministic(f"rows_{width}", pt.exp(log))
        at = 0
        for k, p in mine:
            out[k] = log[at : at + len(p.rows)]
            at += len(p.rows)
    return out
