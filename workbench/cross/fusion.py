"""Fuse hourly evidence: exact posterior of regimes for every enterprise and hour, with parameter uncertainty."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from workbench.cross.emission import Emission
from workbench.cross.evidence import Evidence
from workbench.cross.regimes import RegimePrior, regime_prior, smooth
from workbench.cross.scoring import Factors, collect, expert_emissions, factors, regime_log_like
from workbench.cross.severity import anchored
from workbench.cross.states import MECHANISMS, N_REGIMES, SOURCES, space

QUANTITIES = ("violation", *MECHANISMS, "power_lies")


@dataclass(frozen=True)
class Reliability:
    """Parameters of the fusion: how channels speak and how common troubles are.

    Parameters
    ----------
    emissions : sequence of Emission or None
        One per channel of the evidence (None: finding channel).
    regime : RegimePrior
    offsets : float array, shape (enterprise,)
        Log-odds added to every trouble of an enterprise (industry, street, its own past).
    origin : str
        Where they come from: ``expert priors`` or the fit, for the record.
    samples : tuple of Reliability
        Draws of an accepted fit, for intervals; empty: draws around the parameters themselves.
    """

    emissions: Sequence[Emission | None]
    regime: RegimePrior
    offsets: np.ndarray
    origin: str = "expert priors"
    samples: tuple[Reliability, ...] = ()


@dataclass(frozen=True)
class Fused:
    """Result of :func:`fuse`.

    Parameters
    ----------
    evidence : Evidence
    reliability : Reliability
    index : int32 array, shape (enterprise, hour)
        Pattern of each hour.
    patterns : int8 array, shape (pattern, channel)
    factors : Factors
    log_like : float array, shape (pattern, 32)
    posterior : dict of float32 arrays, shape (enterprise, hour)
        ``violation``, each mechanism, ``power_lies``.
    """

    evidence: Evidence
    reliability: Reliability
    index: np.ndarray
    patterns: np.ndarray
    factors: Factors
    log_like: np.ndarray
    posterior: dict[str, np.ndarray]

    def prior(self, row: int) -> np.ndarray:
        """Return the regime prior of one enterprise, shape (32,)."""
        return self.reliability.regime.shifted(float(self.reliability.offsets[row]))


def masks() -> np.ndarray:
    """Return the regimes of each of :data:`QUANTITIES`, shape (quantity, 32)."""
    s = space()
    return np.array([s.z_violation, *(s.z_mechanism(k) for k in MECHANISMS), s.z_H["power"]])


def expert(e: Evidence, offsets: np.ndarray | None = None) -> Reliability:
    """Return the expert priors as parameters: what the layer works with before any label."""
    parts = [None if x is None else anchored(x, c) for x, c in zip(expert_emissions(e.channels), e.channels, strict=True)]
    return Reliability(parts, regime_prior(), np.zeros(e.shape[0]) if offsets is None else offsets)


def fuse(e: Evidence, reliability: Reliability) -> Fused:
    """Return the exact smoothed posterior of every enterprise and hour.

    Parameters
    ----------
    e : Evidence
        Channels with ``-1`` where not installed (factor one).
    reliability : Reliability
        From :func:`expert` or from the fit.
    """
    counter, index = collect(e)
    f = factors(e.channels, counter.rows, reliability.emissions)
    log_like = regime_log_like(f, reliability.regime.state_given_regime)
    prior = np.array([reliability.regime.shifted(float(x)) for x in reliability.offsets]).reshape(e.shape[0], N_REGIMES)
    if index.size:
        probability = smooth(index, log_like, prior, reliability.regime.hazard, masks())
    else:
        probability = np.zeros((len(QUANTITIES), *e.shape), dtype=np.float32)
    return Fused(e, reliability, index, counter.rows, f, log_like, dict(zip(QUANTITIES, probability, strict=True)))


def carried(reliability: Reliability, known: Evidence, other: Evidence) -> Reliability:
    """Return the parameters of one evidence for another that shares its channels: by name, the expert's where it has more."""
    of = {c.name: x for c, x in zip(known.channels, reliability.emissions, strict=True) if c.llr is None}
    experts = expert(other).emissions
    parts = [None if c.llr is not None else of.get(c.name) or x for c, x in zip(other.channels, experts, strict=True)]
    return Reliability(parts, reliability.regime, reliability.offsets, reliability.origin)


def drawn(r: Reliability, rng: np.random.Generator) -> Reliability:
    """Return one draw of the parameters: of the fit where ``r`` has samples, else around ``r`` (rows worth their prior hours)."""
    if r.samples:
        taken = r.samples[int(rng.integers(len(r.samples)))]
        return replace(taken, offsets=r.offsets, origin=r.origin)
    emissions = [None if x is None else Emission(_dirichlet(x, rng), x.row_of_state, x.nuisance, x.worth) for x in r.emissions]
    s = space()
    log_share = r.regime.log_share.copy()
    for bit in (s.z_T, s.z_X, *(s.z_H[x] for x in SOURCES)):
        log_share = log_share + bit * rng.normal(0.0, 0.4)
    return Reliability(emissions, RegimePrior(log_share, r.regime.hazard, r.regime.state_given_regime), r.offsets, r.origin)


def _dirichlet(x: Emission, rng: np.random.Generator) -> np.ndarray:
    rows = np.array([rng.dirichlet(row * x.worth + 0.05) for row in x.rows])
    return np.asarray(np.maximum(rows, 1e-4) / np.maximum(rows, 1e-4).sum(1, keepdims=True))
