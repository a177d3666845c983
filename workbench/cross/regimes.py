"""Priors over hour states and regimes, and the exact forward-backward pass that makes regimes stick.

A spell of regime z ends each hour with probability ``1 / (24·days_z)`` and the next regime is drawn afresh, so that
the troubles of one spell may come and go together and the pass costs 32 operations an hour, not 32².
"""

from __future__ import annotations

from dataclasses import dataclass

import numba as nb
import numpy as np

from workbench.cross.roles import Priors, priors
from workbench.cross.states import C_NAMES, M_NAMES, N_REGIMES, N_STATES, SOURCES, space

CALM_DAYS = 30.0


@dataclass(frozen=True)
class RegimePrior:
    """Prior of regimes and states.

    Parameters
    ----------
    log_share : float array, shape (32,)
        Log prior of each regime at an average enterprise.
    hazard : float array, shape (32,)
        Chance per hour that a spell of this regime ends.
    state_given_regime : float array, shape (32, 384)
        P(state | regime), rows sum to one.
    """

    log_share: np.ndarray
    hazard: np.ndarray
    state_given_regime: np.ndarray

    def shifted(self, offset: float) -> np.ndarray:
        """Return the regime prior (32,) of an enterprise whose log-odds of each trouble are ``offset`` higher."""
        s = space()
        troubles = s.z_T.astype(int) + s.z_X + sum(s.z_H[x].astype(int) for x in SOURCES)
        raw = self.log_share + offset * troubles
        p = np.exp(raw - raw.max())
        return np.asarray(p / p.sum())


def regime_prior(p: Priors | None = None) -> RegimePrior:
    """Return the prior as ``priors.yml`` states it."""
    p = p or priors()
    s = space()
    spells = {name: p.spell(name) for name in ("z_T", "z_X", *SOURCES)}
    motive = s.z_T | s.z_X
    log_share = np.zeros(N_REGIMES)
    days = np.full(N_REGIMES, CALM_DAYS)
    for name, bit in (("z_T", s.z_T), ("z_X", s.z_X), *((x, s.z_H[x]) for x in SOURCES)):
        logit = np.log(spells[name].share / (1 - spells[name].share)) + spells[name].delta * (motive if name in SOURCES else 0.0)
        log_share += np.where(bit, -np.log1p(np.exp(-logit)), -np.log1p(np.exp(logit)))
        days = np.where(bit, np.minimum(days, spells[name].days), days)
    return RegimePrior(log_share, 1 / (24 * days), state_given_regime(p))


def state_given_regime(p: Priors | None = None) -> np.ndarray:
    """Return P(state | regime), shape (32, 384)."""
    p = p or priors()
    s = space()
    pM = np.array([p.operation["M"][m] for m in M_NAMES])[s.M]
    pC = np.array([p.context["C"][c] for c in C_NAMES])[s.C]
    off, over = p.treatment_off, p.over_limit
    honest_off = np.array([off["honest"][c] for c in C_NAMES])[s.C]
    treated = np.array([over["treated"][c] for c in C_NAMES])[s.C]
    untreated = np.array([over["untreated"][c] for c in C_NAMES])[s.C]
    running = s.M > 0
    out = np.zeros((N_REGIMES, N_STATES))
    for z in range(N_REGIMES):
        q_off = np.where(running, off["habit"] if space().z_T[z] else honest_off, off["at_rest"])
        q_over = np.where(running, np.where(s.T == 1, untreated, treated), over["at_rest"])
        if space().z_X[z]:
            q_over = np.where(running, np.maximum(q_over, over["out_of_control"]), q_over)
        same = np.logical_and.reduce([s.H[x] == int(s.z_H[x][z]) for x in SOURCES])
        out[z] = same * pM * pC * np.where(s.T == 1, q_off, 1 - q_off) * np.where(s.X == 1, q_over, 1 - q_over)
    return out


SERIAL_BELOW = 60_000
"""Enterprise-hours under which one thread is quicker than waking the others."""


def smooth(pattern: np.ndarray, log_like: np.ndarray, prior: np.ndarray, hazard: np.ndarray, masks: np.ndarray) -> np.ndarray:
    """Forward-backward over the hours of every enterprise.

    Parameters
    ----------
    pattern : int32 array, shape (enterprise, hour)
        Row of ``log_like`` for each hour.
    log_like : float array, shape (pattern, 32)
        Log likelihood of the hour's evidence in each regime.
    prior : float array, shape (enterprise, 32)
    hazard : float array, shape (32,)
    masks : bool array, shape (mask, 32)

    Returns
    -------
    float32 array, shape (mask, enterprise, hour)
        Posterior probability of each mask of regimes, given all hours of the enterprise.
    """
    out = np.empty((masks.shape[0], *pattern.shape), dtype=np.float32)
    run = _smooth_serial if pattern.size < SERIAL_BELOW else _smooth_parallel
    like = np.exp(log_like - log_like.max(1, keepdims=True)) if len(log_like) else log_like
    run(np.ascontiguousarray(pattern, dtype=np.int32), np.ascontiguousarray(like), prior, hazard, masks.astype(np.float64), out)
    return out


@nb.njit(cache=True)
def _smooth_serial(
    pattern: np.ndarray, like: np.ndarray, prior: np.ndarray, hazard: np.ndarray, masks: np.ndarray, out: np.ndarray
) -> None:  # pragma: no cover - compiled
    for i in range(pattern.shape[0]):
        _smooth_one(pattern[i], like, prior[i], hazard, masks, out, i)


@nb.njit(cache=True, parallel=True)
def _smooth_parallel(
    pattern: np.ndarray, like: np.ndarray, prior: np.ndarray, hazard: np.ndarray, masks: np.ndarray, out: np.ndarray
) -> None:  # pragma: no cover - compiled
    for i in nb.prange(pattern.shape[0]):
        _smooth_one(pattern[i], like, prior[i], hazard, masks, out, i)


@nb.njit(cache=True, fastmath={"reassoc", "contract"})
def _smooth_one(
    pattern: np.ndarray, like: np.ndarray, prior: np.ndarray, hazard: np.ndarray, masks: np.ndarray, out: np.ndarray, i: int
) -> None:  # pragma: no cover - compiled
    hours = pattern.shape[0]
    R = prior.shape[0]
    redraw = prior * hazard
    redraw = redraw / redraw.sum()
    stay = 1.0 - hazard
    alpha = np.empty((hours, R))
    a = prior.copy()
    for h in range(hours):
        row = pattern[h]
        total = 0.0
        for z in range(R):
            a[z] *= like[row, z]
            total += a[z]
        scale = 1.0 / total
        leaving = 0.0
        for z in range(R):
            a[z] *= scale
            alpha[h, z] = a[z]
            leaving += hazard[z] * a[z]
        for z in range(R):
            a[z] = stay[z] * a[z] + redraw[z] * leaving
    b = np.ones(R)
    for h in range(hours - 1, -1, -1):
        total = 0.0
        for z in range(R):
            total += alpha[h, z] * b[z]
        for m in range(masks.shape[0]):
            inside = 0.0
            for z in range(R):
                inside += masks[m, z] * alpha[h, z] * b[z]
            out[m, i, h] = inside / total
        row = pattern[h]
        mixed = 0.0
        for z in range(R):
            b[z] *= like[row, z]
            mixed += redraw[z] * b[z]
        largest = 0.0
        for z in range(R):
            b[z] = stay[z] * b[z] + hazard[z] * mixed
            largest += b[z]
        scale = 1.0 / largest
        for z in range(R):
            b[z] *= scale
