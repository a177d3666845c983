"""Empirical null: what strength honest points reach, learned from all points, and the false discovery rate over them.

At two thousand points and a year of days, the p-value of one test by its own model means nothing: models are a little
wrong, and the wrongness piles up in the tail. The tail is therefore measured: the strengths over the 95 % point of all
evaluable point-days fall off exponentially with a rate set by the *median* excess, which true hits (far under half of the tail)
hardly move.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from workbench.models.monitoring.verdicts import COMPLIANT, Verdicts

TAIL, FEWEST = 0.05, 100


def tail_of(verdict: Verdicts, spans: pd.DataFrame, first_day: pd.Timestamp) -> np.ndarray:
    """Return ln p of each span under the empirical null of its detector, at most 0.

    Where honest days reach no strength at all (fewer than :data:`FEWEST` in the tail), the null says nothing and the
    detector's own physics stands: ln p = −nats.
    """
    own: np.ndarray = np.asarray(-np.maximum(spans["nats"].to_numpy(dtype=float), 0.0))
    days = verdict.strength[verdict.ruling == COMPLIANT]  # a violated day carries its span's strength, not its own
    positive = days[np.isfinite(days) & (days > 0)]
    if positive.size < FEWEST or days.size < 20 * FEWEST:
        return own
    share = min(TAIL, positive.size / days.size)
    edge = np.quantile(days[np.isfinite(days)], 1 - share)
    excess = positive[positive > edge] - edge
    if excess.size < FEWEST:
        return own
    rate = np.log(2) / max(float(np.median(excess)), 1e-6)
    peak = np.empty(len(spans))
    a = ((spans["start"] - first_day) / pd.Timedelta(days=1)).to_numpy()
    b = ((spans["end"] - first_day) / pd.Timedelta(days=1)).to_numpy()
    for k, (row, lo, hi) in enumerate(zip(spans["row"].to_numpy(dtype=int), a, b, strict=True)):
        inside = verdict.strength[row, max(0, int(lo)) : max(int(np.ceil(hi)), int(lo) + 1)]
        peak[k] = np.nanmax(inside) if np.isfinite(inside).any() else 0.0
    measured = np.log(share) - rate * np.maximum(peak - edge, 0)
    return np.asarray(np.minimum(measured, 0.0))


def false_discovery_rate(log_p: np.ndarray, tests: float) -> np.ndarray:
    """Return the q-value of each of the smallest p-values among ``tests`` tests (Benjamini and Hochberg 1995)."""
    if not len(log_p):
        return np.zeros(0)
    order = np.argsort(log_p, kind="stable")
    rank = np.arange(1, len(log_p) + 1)
    q = np.minimum.accumulate((log_p[order] + np.log(max(tests, 1.0)) - np.log(rank))[::-1])[::-1]
    out = np.empty(len(log_p))
    out[order] = np.exp(np.minimum(q, 0.0))
    return out
