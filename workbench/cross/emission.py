"""From a channel to the probability of each of its levels in each of the 384 states."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from workbench.cross.evidence import Channel
from workbench.cross.roles import Row, priors, roles
from workbench.cross.states import C_NAMES, M_NAMES, N_STATES, PARTS, space

SUSPECT_WORDS = ("suspect", "weak", "raised", "near", "due", "late")


@dataclass(frozen=True)
class Emission:
    """Levels of one channel given the state.

    Parameters
    ----------
    rows : float array, shape (row, level)
        Distinct distributions (a level the role does not name says nothing: the same in every row).
    row_of_state : int array, shape (384,)
        Which row holds in each state.
    nuisance : float array, shape (level,)
        Distribution while the group's raw data are out of order.
    worth : float
        Hours the prior of a row is worth in a fit.
    """

    rows: np.ndarray
    row_of_state: np.ndarray
    nuisance: np.ndarray
    worth: float

    def log_table(self) -> np.ndarray:
        """Return log probabilities, shape (level, 384)."""
        return np.asarray(np.log(self.rows)[self.row_of_state].T)


def emission(c: Channel) -> Emission:
    """Return the expert prior of a channel's levels (finding channels have none here: they speak to the regime)."""
    role = roles().get(c.role)
    prior = priors().emissions.get(c.role)
    if prior is None or role is None:
        rows, of_state = (_silent(c), np.zeros(N_STATES, dtype=np.int64)) if role is not None else _generic(c)
        worth = 20.0
    else:
        rows = np.array([_over_levels(r.p, c.levels) for r in prior.rows])
        of_state = np.array([0] * N_STATES, dtype=np.int64)
        for i, r in reversed(list(enumerate(prior.rows))):
            of_state[_holds(r, role.source)] = i
        worth = prior.worth
    return Emission(rows, of_state, _nuisance(c, rows), worth)


def _holds(row: Row, source: str) -> np.ndarray:
    s = space()
    holds = np.ones(N_STATES, dtype=bool)
    for part, value in row.when.items():
        index = PARTS[part].index(value)
        if part == "H":
            # condition, video and ambient sources are not the discharger's to falsify
            holds &= (s.H[source] == index) if source in s.H else np.full(N_STATES, index == 0)
        else:
            holds &= getattr(s, part) == index
    return holds


def _over_levels(p: dict[str, float], levels: tuple[str, ...]) -> np.ndarray:
    """Return the row over a channel's own levels; unnamed ones get the same small value in every row."""
    floor = float(priors().nuisance["floor"])
    out = np.array([max(p.get(x, np.nan), floor) if x in p else np.nan for x in levels])
    unknown = np.isnan(out)
    known = out[~unknown].sum()
    if not known:
        return np.full(len(levels), 1 / len(levels))
    # a subset of the levels is renormalised: the missing ones are merged into what the model does distinguish
    out[~unknown] *= (1 - 0.05 * unknown.any()) / known
    out[unknown] = 0.05 / max(1, unknown.sum())
    return out


def _silent(c: Channel) -> np.ndarray:
    return np.full((1, len(c.levels)), 1 / len(c.levels))


def _generic(c: Channel) -> tuple[np.ndarray, np.ndarray]:
    g = priors().generic
    s = space()
    alert = np.isin(np.arange(len(c.levels)), c.alert)
    suspect = np.array([any(w in x for w in SUSPECT_WORDS) for x in c.levels]) & ~alert
    if not alert.any():
        return _silent(c), np.zeros(N_STATES, dtype=np.int64)
    rows = []
    for state in ("calm", "troubled"):
        weight = np.where(alert, g["alert"][state] / alert.sum(), 0.0) + np.where(
            suspect, g["suspect_word"][state] / max(1, suspect.sum()), 0.0
        )
        rest = ~alert & ~suspect
        weight[rest] = (1 - weight.sum()) / max(1, rest.sum())
        rows.append(np.maximum(weight, float(priors().nuisance["floor"])))
    table = np.array(rows)
    table /= table.sum(1, keepdims=True)
    normal = C_NAMES.index("normal") == s.C
    running = M_NAMES.index("off") != s.M
    bad = {
        "monitor": s.H["monitor"] == 1,
        "power": (running & (s.T == 1) & normal) | (s.H["power"] == 1),
        "declaration": s.H["declaration"] == 1,
        "condition": running & (s.T == 1) & normal,
    }.get(c.source, (s.X == 1) & normal)
    return table, bad.astype(np.int64)


def _nuisance(c: Channel, rows: np.ndarray) -> np.ndarray:
    words = priors().nuisance["detector"]
    out = np.array([words.get(x, 0.1) if {"strong", "suspect"} & set(c.levels) else 1.0 for x in c.levels])
    return np.asarray(out / out.sum())
