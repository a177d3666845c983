"""Duties outside the physical state: one binary latent per kind, for the conflicts between channels that speak of one duty."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from workbench.cross.evidence import Channel, Evidence
from workbench.cross.roles import priors, roles


def duty_of(names: Sequence[str]) -> str:
    """Return the duty that all of these roles speak of, or empty where they speak of the physical state, or of several."""
    found = {roles()[name].duty for name in names}
    return found.pop() if len(found) == 1 else ""


def likelihood(c: Channel, duty: str) -> np.ndarray:
    """Return P(level | duty kept, breached), shape (level, 2); even where the experts state nothing of the channel.

    Source: ``priors.yml``, ``duties``.
    """
    table = priors().duties.get(duty, {}).get("emissions", {}).get(c.role)
    if table is None:
        return np.full((len(c.levels), 2), 1 / len(c.levels))
    floor = float(priors().nuisance["floor"])
    out = np.array([[max(float(table[state].get(x, floor)), floor) for state in ("kept", "breached")] for x in c.levels])
    return np.asarray(out / out.sum(axis=0))


def duty_conflict(e: Evidence, row: int, hours: np.ndarray, channels: Sequence[int], duty: str) -> tuple[np.ndarray, float]:
    """Return Jensen's measure log(∏ P(e_k) / P(e)) per hour, and the posterior that the duty is breached.

    Parameters
    ----------
    e : Evidence
        With the duty channels.
    row : int
        Enterprise.
    hours : int array
    channels : sequence of int
        Numbers of the channels; one not installed leaves the hour unchanged.
    duty : str
        A kind of ``priors.yml``, ``duties``.

    Returns
    -------
    measure : float array, shape (hour,)
    breached : float
        Of the hours taken as one word each, on average.
    """
    share = float(priors().duties[duty]["share"])
    prior = np.array([1 - share, share])
    together, apart = np.tile(prior, (len(hours), 1)), np.zeros(len(hours))
    for k in channels:
        c = e.channels[k]
        level = c.values[row, hours]
        like = np.where(level[:, None] >= 0, likelihood(c, duty)[np.maximum(level, 0)], 1.0)
        apart += np.log(like @ prior)
        together *= like
    whole = together.sum(1)
    return apart - np.log(whole), float((together[:, 1] / whole).mean())
