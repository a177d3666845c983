"""Draw evidence from the model itself: for recovery tests, prior checks and benchmarks. Not a district.

What is drawn here obeys every assumption of the model, so that it shows whether the machinery finds what it should,
never how well it does on real works; that is what the simulated districts, made by others, are for.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from workbench.cross.emission import Emission, emission
from workbench.cross.evidence import Channel, Evidence
from workbench.cross.fit_model import MOTIVE_SPREAD, SHARE_SPREAD, expected_shares, regime_of, spread
from workbench.cross.regimes import RegimePrior, regime_prior
from workbench.cross.roles import roles
from workbench.cross.scoring import WORD
from workbench.cross.states import N_STATES

DEFAULT_ROLES = (
    "production_power",
    "treatment_power",
    "monitor_process",
    "monitor_limit",
    "monitor_integrity",
    "mark",
    "report_integrity",
    "treatment_condition",
)


@dataclass(frozen=True)
class Drawn:
    """Evidence with the truth behind it.

    Parameters
    ----------
    evidence : Evidence
    regime : int8 array, shape (enterprise, hour)
    state : int16 array, shape (enterprise, hour)
    emissions : tuple of Emission
    prior : RegimePrior
    """

    evidence: Evidence
    regime: np.ndarray
    state: np.ndarray
    emissions: tuple[Emission, ...]
    prior: RegimePrior


def blank_channel(role: str, shape: tuple[int, int], name: str = "", group: str = "") -> Channel:
    """Return a channel of a role with nothing installed yet."""
    r = roles()[role]
    return Channel(
        name=name or f"sim_{role}",
        values=np.full(shape, -1, dtype=np.int8),
        levels=tuple(r.levels),
        role=role,
        source=r.source,
        group=group or f"sim:{role}",
        alert=tuple(r.levels.index(x) for x in r.alert),
        support_hours=24.0,
        label_zh=r.zh,
        label_en=r.en,
    )


def draw(
    enterprises: int,
    hours: int,
    rng: np.random.Generator,
    *,
    channel_roles: Sequence[str] = DEFAULT_ROLES,
    prior: RegimePrior | None = None,
    emissions: Sequence[Emission] | None = None,
    missing: float = 0.0,
) -> Drawn:
    """Draw regimes, states and levels.

    Parameters
    ----------
    enterprises, hours : int
    rng : Generator
    channel_roles : sequence of str
        One channel per role.
    prior : RegimePrior, optional
        Default: ``priors.yml``.
    emissions : sequence of Emission, optional
        True emissions; default the expert ones.
    missing : float
        Share of (enterprise, channel) pairs that are not installed.
    """
    prior = prior or regime_prior()
    shape = (enterprises, hours)
    channels = [blank_channel(r, shape) for r in channel_roles]
    parts = tuple(emissions) if emissions is not None else tuple(emission(c) for c in channels)
    share = prior.shifted(0.0)
    redraw = share * prior.hazard
    redraw /= redraw.sum()
    regime = np.empty(shape, dtype=np.int8)
    now = rng.choice(len(share), size=enterprises, p=share)
    for h in range(hours):
        regime[:, h] = now
        leaves = rng.random(enterprises) < prior.hazard[now]
        now = np.where(leaves, rng.choice(len(share), size=enterprises, p=redraw), now)
    state = np.empty(shape, dtype=np.int16)
    for z in np.unique(regime):
        here = regime == z
        state[here] = rng.choice(N_STATES, size=int(here.sum()), p=prior.state_given_regime[z])
    for c, part in zip(channels, parts, strict=True):
        row = part.row_of_state[state]
        u = rng.random(shape)
        cumulative = part.rows.cumsum(1)
        c.values[:] = np.minimum((u[..., None] > cumulative[row]).sum(-1), len(c.levels) - 1).astype(np.int8)
        c.values[rng.random(enterprises) < missing] = -1
    stamps = pd.date_range("2026-01-01", periods=hours, freq="h")
    ids = np.array([f"S{i:05d}" for i in range(enterprises)], dtype=object)
    order = np.argsort([c.name for c in channels], kind="stable")
    evidence = Evidence(ids, stamps, tuple(channels[i] for i in order))
    return Drawn(evidence, regime, state, tuple(parts[i] for i in order), prior)


def prior_truth(channel_roles: Sequence[str], rng: np.random.Generator) -> tuple[tuple[Emission, ...], RegimePrior, dict[str, np.ndarray]]:
    """Draw parameters from the fit's own prior.

    Returns
    -------
    emissions : tuple of Emission
        One per role.
    prior : RegimePrior
    known : dict of arrays
        ``logit_share`` and ``delta``, to be found again.
    """
    mean, motives = expected_shares()
    known = {
        "logit_share": mean + SHARE_SPREAD * rng.normal(size=len(mean)),
        "delta": motives + MOTIVE_SPREAD * rng.normal(size=len(motives)),
    }
    parts = []
    for role in channel_roles:
        part = emission(blank_channel(role, (1, 1)))
        odds = np.log(part.rows) + spread(part, roles()[role].source) * rng.normal(size=part.rows.shape)
        rows = np.exp(odds - odds.max(1, keepdims=True))
        parts.append(replace(part, rows=rows / rows.sum(1, keepdims=True)))
    return tuple(parts), regime_of(known["logit_share"], known["delta"], regime_prior()), known


def draw_words(
    words: int, rng: np.random.Generator, *, channel_roles: Sequence[str], prior: RegimePrior, emissions: Sequence[Emission]
) -> Drawn:
    """Draw independent words: each enterprise is one word of three days, in which every channel holds one value.

    What the likelihood of the fit takes for granted, so that its intervals must cover as often as they say.
    """
    hourly = draw(words, 1, rng, channel_roles=channel_roles, prior=prior, emissions=emissions)
    e = hourly.evidence
    long = tuple(replace(c, values=np.repeat(c.values, int(WORD), axis=1)) for c in e.channels)
    stamps = pd.date_range(e.hours[0], periods=int(WORD), freq="h")
    return Drawn(Evidence(e.enterprises, stamps, long), hourly.regime, hourly.state, hourly.emissions, prior)
