"""Learn from the data, without labels, what honest hours look like; leave what trouble looks like to the experts.

Offences are rare, so how channels go together in ordinary operation is in the data: whether flow stops when production
does, how often an honest works' treatment meter reads zero. Expectation-maximization over the distinct patterns
updates only rows that ordinary states use (honest, normal context, under the limit, treating or at rest). Rows of
lying, untreated, over-limit and disturbed states keep their expert values: without labels nothing would hold them.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from workbench.cross.emission import Emission
from workbench.cross.evidence import ONE_WORD, Evidence
from workbench.cross.fusion import Reliability
from workbench.cross.roles import roles
from workbench.cross.scoring import collect, factors
from workbench.cross.severity import graded
from workbench.cross.states import N_STATES, space

PATTERNS = 4_000
ROUNDS = 4
FLOOR = 0.003


def ordinary_rows(part: Emission, source: str) -> np.ndarray:
    """Return which rows of an emission ordinary states use, shape (row,) bool."""
    s = space()
    ordinary = (s.C == 0) & (s.X == 0) & ((s.T == 0) | (s.M == 0))
    if source in s.H:
        ordinary &= s.H[source] == 0
    return np.isin(np.arange(len(part.rows)), part.row_of_state[ordinary])


def learn_ordinary(e: Evidence, reliability: Reliability, *, rounds: int = ROUNDS, patterns: int = PATTERNS) -> Reliability:
    """Return the reliability with its ordinary rows learned from the evidence itself.

    Parameters
    ----------
    e : Evidence
    reliability : Reliability
        The expert priors; each row is worth its ``worth`` days against the observed ones.
    rounds : int
        Expectation-maximization steps; few are enough, since the states are anchored by the rows that stay.
    patterns : int
        The commonest distinct patterns that are used.
    """
    if not e.shape[1] or not any(x is not None for x in reliability.emissions):
        return reliability
    counter, _ = collect(e)
    top = np.sort(np.argsort(-counter.counts, kind="stable")[:patterns])
    rows, days = counter.rows[top], counter.counts[top] / ONE_WORD
    prior = reliability.regime.shifted(0.0) @ reliability.regime.state_given_regime
    parts = list(reliability.emissions)
    for _ in range(rounds):
        f = factors(e.channels, rows, parts)
        post = np.tile(prior, (len(rows), 1))
        for g in range(f.state_codes.shape[1]):
            post *= f.state[f.state_codes[:, g]]
        post *= (days / np.maximum(post.sum(1), 1e-300))[:, None]
        for k, (c, part, expert) in enumerate(zip(e.channels, parts, reliability.emissions, strict=True)):
            # graded channels have honest rates of their own already (severity.anchored)
            if part is None or expert is None or graded(c.role):
                continue
            free = ordinary_rows(expert, c.source)
            holds = np.zeros((N_STATES, len(part.rows)))
            holds[np.arange(N_STATES), part.row_of_state] = 1.0
            mass = post @ holds
            # a level that the role does not name says nothing: learned in the ordinary rows alone it would speak for innocence
            named = np.isin(c.levels, roles()[c.role].levels) if c.role in roles() else np.ones(len(c.levels), dtype=bool)
            seen = rows[:, k] >= 0
            new = part.rows.copy()
            for r in np.flatnonzero(free):
                count = np.bincount(rows[seen, k], weights=mass[seen, r], minlength=part.rows.shape[1]) * named
                count[~named] = expert.rows[r][~named] / max(expert.rows[r][named].sum(), 1e-9) * count.sum()
                total = count * (ONE_WORD / c.support_hours) + expert.worth * expert.rows[r]
                new[r] = np.maximum(total / total.sum(), FLOOR)
                new[r] /= new[r].sum()
            parts[k] = replace(part, rows=new)
    return replace(reliability, emissions=tuple(parts), origin=f"{reliability.origin}, ordinary rows learned")
