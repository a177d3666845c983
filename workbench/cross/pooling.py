"""Pool calibrated breach probabilities of one episode, discounting what was computed from the same data.

The simple rule that works from findings alone; where evidence channels exist, the latent-state model replaces it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

BASE = 0.05
"""Share of enterprise-episodes in violation before anything is seen; expert prior, refined by the latent-state model."""
SAME_DETECTOR = 0.0
SAME_MODEL = 0.35
OTHER_MODEL = 0.8
"""Share of a further finding's log Bayes factor that counts: repeated words of one detector add nothing, another
detector on the same data adds a third, another model four fifths (expert judgement; the sensitivity is in the notebook)."""
SPREAD = 0.9
"""Standard deviation of a single detector's log-odds around its calibration, in nats."""


@dataclass(frozen=True)
class Pooled:
    """Log-odds of an episode and where they come from.

    Parameters
    ----------
    logit : float
        Log-odds of a violation.
    sd : float
        Their standard deviation.
    parts : tuple of (model, detector, row label, contribution)
        Contributions sum to ``logit - base``.
    base : float
        Log-odds before anything is seen.
    """

    logit: float
    sd: float
    parts: tuple[tuple[str, str, int, float], ...]
    base: float

    def interval(self, z: float = 1.645) -> tuple[float, float, float]:
        """Return p and its 90 % interval."""
        low, mid, high = (1 / (1 + np.exp(-x)) for x in (self.logit - z * self.sd, self.logit, self.logit + z * self.sd))
        return float(mid), float(low), float(high)


def pool(g: pd.DataFrame, *, base: float = BASE, offset: float = 0.0) -> Pooled:
    """Pool the findings of one episode.

    Parameters
    ----------
    g : DataFrame
        Rows from :func:`workbench.cross.episodes.breaches`, with ``model``, ``detector`` and ``p``.
    base : float
        Prior probability of a violation.
    offset : float
        Log-odds of the enterprise's own past, added to the prior.
    """
    prior = float(np.log(base / (1 - base))) + offset
    ordered = g.sort_values(["p", "finding_id"], ascending=[False, True], kind="stable")
    p = ordered["p"].to_numpy(dtype=float)
    factor = np.log(p / (1 - p)) - prior
    parts: list[tuple[str, str, int, float]] = []
    models: set[str] = set()
    detectors: set[tuple[str, str]] = set()
    for i, (label, model, detector) in enumerate(zip(ordered.index, ordered["model"], ordered["detector"], strict=True)):
        if (model, detector) in detectors:
            share = SAME_DETECTOR
        elif model in models:
            share = SAME_MODEL
        else:
            share = 1.0 if i == 0 else OTHER_MODEL
        models.add(model)
        detectors.add((model, detector))
        # a further finding under the base rate is no evidence of innocence: silence elsewhere is already in its calibration
        gain = share * (factor[i] if i == 0 else max(0.0, factor[i]))
        if share > 0:
            parts.append((str(model), str(detector), int(label), float(gain)))
    logit = float(np.clip(prior + sum(p[3] for p in parts), -7.0, 5.0))
    scale = (logit - prior) / total if (total := sum(p[3] for p in parts)) else 1.0
    clipped = tuple((m, d, r, v * scale) for m, d, r, v in parts)
    return Pooled(logit, SPREAD / np.sqrt(max(1, len(models))), clipped, prior)
