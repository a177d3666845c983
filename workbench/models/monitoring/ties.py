"""How likely equal readings follow one another, by the level of the value, from the point's own honest past and its peers."""

from __future__ import annotations

import numpy as np

from workbench.models.monitoring.levels import LEVELS


def tie_rates(hazard: np.ndarray, group: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return how likely a run of equal values goes on, by value level: early and later, shape (point, level).

    The point's own counts are shrunk towards its neighbouring levels and its peers; runs were capped while counting, so
    the very plateaus that are looked for hardly move the rate.

    Parameters
    ----------
    hazard : array, shape (point, level, 4)
        From :func:`workbench.models.monitoring.levels.tie_hazards`.
    group : int array, shape (point,)
        Peer group of each point.
    """
    counts = hazard.astype(float)
    smooth = counts.copy()
    smooth[:, 1:] += 0.5 * counts[:, :-1]
    smooth[:, :-1] += 0.5 * counts[:, 1:]
    rates: list[np.ndarray] = []
    for on, chances, prior in ((0, 1, 40.0), (2, 3, 20.0)):
        own = counts[:, :, on].sum(axis=1), counts[:, :, chances].sum(axis=1)
        peers = np.zeros(len(own[0]))
        for g in np.unique(group):
            members = group == g
            typical = np.median((own[0][members] + 0.5) / (own[1][members] + 1.0))
            peers[members] = typical
        mean = (own[0] + prior * peers) / (own[1] + prior)
        # later ties are rare at most levels: there they lean on the early rate of the level, somewhat stickier
        lean = np.repeat(mean[:, None], LEVELS, axis=1) if not rates else np.minimum(np.sqrt(rates[0]), np.maximum(mean[:, None], rates[0]))
        rates.append((smooth[:, :, on] + prior * lean) / (smooth[:, :, chances] + prior))
    return np.clip(rates[0], 1e-3, 0.999), np.clip(np.maximum(rates[1], rates[0]), 1e-3, 0.999)
