"""Exact enumeration of the 384 states for every distinct pattern of evidence.

Channels of one detector group share a nuisance: with probability ρ the group's raw data are out of order and its
channels speak from the nuisance distribution whatever the state. A group is therefore one factor,
``[(1-ρ)·∏ θ_k + ρ·∏ ν_k]``, to the power ``24 / support_hours`` where one value rests on more than a day. Factors are
looked up by the group's own sub-pattern, so that scoring a window is one product per group and state. The hour's
likelihood of a regime, summed over operation and context, then counts one seventy-second: what is repeated within days
is one word, while contradictions *within* an hour keep their full strength.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numba as nb
import numpy as np

from workbench.cross.emission import Emission, emission
from workbench.cross.evidence import ONE_WORD, Channel, Evidence
from workbench.cross.patterns import PatternCounter
from workbench.cross.regimes import RegimePrior
from workbench.cross.roles import priors
from workbench.cross.states import N_C, N_M, N_REGIMES, N_STATES

WORD = 3 * ONE_WORD
"""Hours of a spell that count as one word: days of one enterprise resemble each other (its own ways, not only its offence), so
that evidence repeated over a spell grows more slowly than its length; an intraclass correlation of about .3, judged."""
BLOCK = N_STATES // 8
"""States that share the three honesty bits."""


@dataclass(frozen=True)
class Group:
    """Channels that share raw data and support; ``columns`` are their places in the pattern."""

    name: str
    columns: tuple[int, ...]
    support_hours: float


def groups_of(channels: Sequence[Channel]) -> tuple[Group, ...]:
    """Return the groups: same ``group`` and about the same support (hourly, daily, longer)."""
    keys: dict[tuple[str, int], list[int]] = {}
    for i, c in enumerate(channels):
        scale = 0 if c.llr is not None else round(np.log(c.support_hours) / np.log(5))
        keys.setdefault((c.group if c.llr is None else c.name, scale), []).append(i)
    return tuple(
        Group(f"{name}/{scale}", tuple(columns), float(np.exp(np.mean([np.log(channels[i].support_hours) for i in columns]))))
        for (name, scale), columns in sorted(keys.items())
    )


@dataclass(frozen=True)
class Factors:
    """Factor tables of every group, ready for the kernel.

    Parameters
    ----------
    state : float array, shape (row, 384)
        Factors of state groups, one below the other; row 0 is all ones (nothing installed).
    regime : float array, shape (row, 32)
        Log factors of finding channels; row 0 is zero.
    state_codes, regime_codes : int32 arrays, shape (pattern, group)
        Row of each group's factor for each pattern.
    """

    state: np.ndarray
    regime: np.ndarray
    state_codes: np.ndarray
    regime_codes: np.ndarray


def factors(
    channels: Sequence[Channel], patterns: np.ndarray, emissions: Sequence[Emission | None], *, share: float | None = None
) -> Factors:
    """Look up the factors of every group for every distinct pattern.

    Parameters
    ----------
    channels : sequence of Channel
    patterns : int8 array, shape (pattern, channel)
    emissions : sequence of Emission or None
        None where the channel is a finding channel.
    share : float, optional
        ρ of the nuisance; default from ``priors.yml``.
    """
    rho = float(priors().nuisance["share"]) if share is None else share
    state, regime = [np.ones((1, N_STATES))], [np.zeros((1, N_REGIMES))]
    state_codes, regime_codes = [], []
    at_state, at_regime = 1, 1
    for g in groups_of(channels):
        counter = PatternCounter(len(g.columns))
        codes = counter.add(patterns[:, list(g.columns)])
        llr = channels[g.columns[0]].llr
        if llr is not None:
            padded = np.vstack([llr, np.zeros((1, N_REGIMES))])
            regime.append(padded[counter.rows[:, 0]])
            regime_codes.append(codes + at_regime)
            at_regime += len(counter)
            continue
        state.append(_group_factor(g, counter.rows, [emissions[i] for i in g.columns], rho))
        state_codes.append(codes + at_state)
        at_state += len(counter)
    n = len(patterns)
    return Factors(
        np.ascontiguousarray(np.vstack(state)),
        np.ascontiguousarray(np.vstack(regime)),
        np.ascontiguousarray(np.array(state_codes, dtype=np.int32).reshape(len(state_codes), n).T),
        np.ascontiguousarray(np.array(regime_codes, dtype=np.int32).reshape(len(regime_codes), n).T),
    )


def _group_factor(g: Group, rows: np.ndarray, parts: Sequence[Emission | None], rho: float) -> np.ndarray:
    """Return the factor of each sub-pattern, shape (sub-pattern, 384), scaled so that its largest entry is one."""
    plain = np.zeros((len(rows), N_STATES))
    odd = np.zeros((len(rows), 1))
    for j, part in enumerate(parts):
        if part is None:
            continue
        seen = rows[:, j] >= 0
        plain[seen] += part.log_table()[rows[seen, j]]
        odd[seen, 0] += np.log(part.nuisance)[rows[seen, j]]
    log = np.logaddexp(np.log1p(-rho) + plain, np.log(rho) + odd) * (WORD / max(g.support_hours, WORD))
    empty = (rows < 0).all(1)
    log[empty] = 0.0
    return np.asarray(np.exp(log - log.max(1, keepdims=True)))


SERIAL_BELOW = 3_000
"""Patterns under which one thread is quicker than waking the others."""


def regime_log_like(f: Factors, weights: np.ndarray, *, with_findings: bool = True) -> np.ndarray:
    """Return the log likelihood of every pattern in every regime, shape (pattern, 32).

    Parameters
    ----------
    f : Factors
    weights : float array, shape (32, 384)
        P(state | regime).
    with_findings : bool
        False leaves the finding channels out.
    """
    codes = f.regime_codes if with_findings else np.zeros((len(f.regime_codes), 0), dtype=np.int32)
    out = np.empty((len(codes), weights.shape[0]))
    run = _log_like_serial if len(codes) < SERIAL_BELOW else _log_like_parallel
    run(f.state, f.state_codes, f.regime, codes, weights, out)
    return out


@nb.njit(cache=True)
def _log_like_serial(
    state: np.ndarray, state_codes: np.ndarray, regime: np.ndarray, regime_codes: np.ndarray, weights: np.ndarray, out: np.ndarray
) -> None:  # pragma: no cover - compiled
    for i in range(out.shape[0]):
        _log_like_one(i, state, state_codes, regime, regime_codes, weights, out)


@nb.njit(cache=True, parallel=True)
def _log_like_parallel(
    state: np.ndarray, state_codes: np.ndarray, regime: np.ndarray, regime_codes: np.ndarray, weights: np.ndarray, out: np.ndarray
) -> None:  # pragma: no cover - compiled
    for i in nb.prange(out.shape[0]):
        _log_like_one(i, state, state_codes, regime, regime_codes, weights, out)


@nb.njit(cache=True)
def _log_like_one(
    i: int, state: np.ndarray, state_codes: np.ndarray, regime: np.ndarray, regime_codes: np.ndarray, weights: np.ndarray, out: np.ndarray
) -> None:  # pragma: no cover - compiled
    block = state.shape[1] // 8
    acc = np.ones(state.shape[1])
    for g in range(state_codes.shape[1]):
        acc *= state[state_codes[i, g]]
    for z in range(weights.shape[0]):
        a = (z >> 2) * block
        total = 0.0
        for s in range(a, a + block):
            total += acc[s] * weights[z, s]
        value = np.log(max(total, 1e-300)) / WORD
        for g in range(regime_codes.shape[1]):
            value += regime[regime_codes[i, g], z]
        out[i, z] = value


@nb.njit(cache=True, parallel=True)
def window_posteriors(
    state: np.ndarray, codes: np.ndarray, prior: np.ndarray, label: np.ndarray, n_labels: int
) -> np.ndarray:  # pragma: no cover - compiled
    """Posterior of each class of states for every window, by enumeration.

    Parameters
    ----------
    state : float array, shape (row, state)
        Factor tables.
    codes : int32 array, shape (window, group)
    prior : float array, shape (state,)
    label : int array, shape (state,)
        Class of each state; for instance its (V, mechanism, lies) signature.

    Returns
    -------
    float array, shape (window, class)
        Rows sum to one.
    """
    n = codes.shape[0]
    S = state.shape[1]
    out = np.zeros((n, n_labels))
    chunk = 512
    for c in nb.prange((n + chunk - 1) // chunk):
        acc = np.empty(S, dtype=state.dtype)
        for i in range(c * chunk, min(n, (c + 1) * chunk)):
            acc[:] = prior
            for g in range(codes.shape[1]):
                row = codes[i, g]
                for s in range(S):
                    acc[s] *= state[row, s]
            total = 0.0
            for s in range(S):
                out[i, label[s]] += acc[s]
                total += acc[s]
            for k in range(n_labels):
                out[i, k] /= total
    return out


def running(f: Factors, prior: RegimePrior) -> np.ndarray:
    """Return the probability that an honest enterprise is producing, per pattern: where it rests, little can be wrong."""
    calm = prior.state_given_regime[0]
    on = np.array([1.0 if m else 0.0 for m in np.arange(N_STATES) // N_C % N_M])
    out = np.empty(len(f.state_codes))
    for a in range(0, len(out), 20_000):
        product = np.ones((len(f.state_codes[a : a + 20_000]), N_STATES))
        for g in range(f.state_codes.shape[1]):
            product *= f.state[f.state_codes[a : a + 20_000, g]]
        total = product @ calm
        out[a : a + 20_000] = (product @ (calm * on)) / np.maximum(total, 1e-300)
    return out


def state_posterior(f: Factors, row: int, regime_posterior: np.ndarray, prior: RegimePrior) -> np.ndarray:
    """Return P(state) of one pattern, shape (384,), when its regime has the given (smoothed) posterior."""
    product = np.prod(f.state[f.state_codes[row]], axis=0) if f.state_codes.shape[1] else np.ones(N_STATES)
    joint = prior.state_given_regime * product[None, :]
    mass = joint.sum(1, keepdims=True)
    return np.asarray((joint / np.maximum(mass, 1e-300) * regime_posterior[:, None]).sum(0))


def expert_emissions(channels: Sequence[Channel]) -> list[Emission | None]:
    """Return the expert prior of every channel; None for finding channels."""
    return [None if c.llr is not None else emission(c) for c in channels]


def collect(e: Evidence) -> tuple[PatternCounter, np.ndarray]:
    """Return the distinct patterns of the evidence and, per enterprise and hour, which one it is (int32)."""
    n, hours = e.shape
    counter = PatternCounter(len(e.channels))
    index = np.empty((n, hours), dtype=np.int32)
    for i in range(n if hours else 0):
        index[i] = counter.add(np.stack([c.values[i] for c in e.channels], axis=1))
    return counter, index


__all__ = ["BLOCK", "N_C", "N_M", "Factors", "Group", "collect", "expert_emissions", "factors", "groups_of", "regime_log_like"]
