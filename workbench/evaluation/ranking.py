"""How well a score ranks: average precision, false alerts removed at a share of true ones kept, and probabilities that hold.

All statistics take blocks of weights, shape (draws, rows), and return one value per draw.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from workbench.evaluation.intervals import Statistic, divide, wilson


def average_precision(score: np.ndarray, right: np.ndarray) -> Statistic:
    """Return the statistic average precision; tied scores share the precision of the last of them."""
    order = np.argsort(-score, kind="stable")
    s, y = score[order], right[order].astype(float)
    last = np.flatnonzero(np.r_[s[1:] != s[:-1], True]) if len(s) else np.zeros(0, int)

    def statistic(w: np.ndarray) -> np.ndarray:
        if not len(last):
            return np.full(len(w), np.nan)
        n = np.cumsum(w[:, order], axis=1)[:, last]
        tp = np.cumsum(w[:, order] * y, axis=1)[:, last]
        gained = np.diff(tp, axis=1, prepend=0.0)
        return divide((gained * np.divide(tp, n, out=np.zeros_like(tp), where=n > 0)).sum(axis=1), tp[:, -1])

    return statistic


def false_removed(score: np.ndarray, true: np.ndarray, keep: float = 0.9) -> Statistic:
    """Return the statistic *share of false alerts removed* by the highest cut that keeps ``keep`` of the true ones.

    Parameters
    ----------
    score : float array
        Fused score of each alert; an alert at the cut is kept.
    true : bool array
        Whether the alert is right.
    """
    false_scores, true_scores = score[~true], -np.sort(-score[true], kind="stable")
    order = np.flatnonzero(true)[np.argsort(-score[true], kind="stable")]
    ascending = np.argsort(false_scores, kind="stable")
    below = np.searchsorted(false_scores[ascending], true_scores, side="left")  # false alerts under each possible cut

    def statistic(w: np.ndarray) -> np.ndarray:
        wt, wf = w[:, order], w[:, ~true][:, ascending]
        total_true, total_false = wt.sum(axis=1), wf.sum(axis=1)
        out = np.full(len(w), np.nan)
        ok = (total_true > 0) & (total_false > 0)
        if not ok.any():
            return out
        kept = np.cumsum(wt[ok], axis=1) / total_true[ok, None]
        cut = np.argmax(kept >= keep - 1e-12, axis=1)
        removed = np.concatenate([np.zeros((int(ok.sum()), 1)), np.cumsum(wf[ok], axis=1)], axis=1)
        out[ok] = removed[np.arange(len(cut)), below[cut]] / total_false[ok]
        return out

    return statistic


def brier(p: np.ndarray, right: np.ndarray) -> Statistic:
    """Return the statistic mean (p − y)²."""
    loss = (p - right.astype(float)) ** 2

    def statistic(w: np.ndarray) -> np.ndarray:
        return divide(w @ loss, w.sum(axis=1))

    return statistic


def expected_calibration_error(p: np.ndarray, right: np.ndarray, bins: int = 10) -> Statistic:
    """Return the statistic Σ_bin |Σw(y − p)| / Σw over ``bins`` equal bins of p."""
    at = np.minimum((p * bins).astype(int), bins - 1)
    gap = np.zeros((len(p), bins))
    gap[np.arange(len(p)), at] = right.astype(float) - p

    def statistic(w: np.ndarray) -> np.ndarray:
        return divide(np.abs(w @ gap).sum(axis=1), w.sum(axis=1))

    return statistic


def reliability_table(p: np.ndarray, right: np.ndarray, bins: int = 10) -> pd.DataFrame:
    """Return one row per bin that holds a row: ``low, high, n, p_mean, share_right, share_low, share_high`` (Wilson)."""
    at = np.minimum((np.asarray(p) * bins).astype(int), bins - 1)
    rows = []
    for b in np.unique(at):
        y = np.asarray(right, dtype=float)[at == b]
        low, high = wilson(float(y.sum()), len(y))
        mean_p = float(np.asarray(p)[at == b].mean())
        rows.append((b / bins, (b + 1) / bins, len(y), mean_p, float(y.mean()), low, high))
    return pd.DataFrame(rows, columns=["low", "high", "n", "p_mean", "share_right", "share_low", "share_high"])


def fused_score(alerts: pd.DataFrame, leads: pd.DataFrame) -> np.ndarray:
    """Return for each alert the highest ``p_violation`` of a lead that overlaps it, 0 where the fusion raised none."""
    left = pd.DataFrame({"e": alerts["enterprise_id"].to_numpy(object), "a": np.arange(len(alerts))})
    right = pd.DataFrame({"e": leads["enterprise_id"].to_numpy(object), "b": np.arange(len(leads))})
    both = left.merge(right, on="e")
    a, b = both["a"].to_numpy(int), both["b"].to_numpy(int)
    start, end = (alerts[c].to_numpy()[a] for c in ("start", "end"))
    over = (leads["start"].to_numpy()[b] <= end) & (leads["end"].to_numpy()[b] >= start)
    score = np.zeros(len(alerts))
    np.maximum.at(score, a[over], np.nan_to_num(leads["p_violation"].to_numpy(float)[b[over]]))
    return score
