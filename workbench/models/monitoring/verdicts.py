"""What a detector returns: a ruling per point and day, its strength in nats, and the violated spans with their numbers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

VIOLATED, COMPLIANT, NOT_EVALUABLE = np.int8(1), np.int8(0), np.int8(-1)
SPAN_COLUMNS = ("row", "start", "end", "nats")


@dataclass(frozen=True)
class Verdicts:
    """Result of one detector over all points and days.

    Parameters
    ----------
    ruling : int8 array, shape (point, day)
        1 violated, 0 compliant, -1 not evaluable (never fine).
    strength : float32 array, shape (point, day)
        Log-likelihood ratio against honest operation in nats, 0 where nothing speaks against it, NaN where not evaluable.
    spans : DataFrame
        One row per violated span: ``row`` (position in the roster), ``start``, ``end`` (not included), ``nats``, and the
        numbers that its sentence names.
    """

    ruling: np.ndarray
    strength: np.ndarray
    spans: pd.DataFrame

    def at(self, row: int) -> str:
        """Return the ruling of a whole point: violated, compliant or not evaluable."""
        days = self.ruling[row]
        if (days == VIOLATED).any():
            return "violated"
        return "compliant" if (days == COMPLIANT).any() else "not evaluable"


def no_spans(columns: Sequence[str] = ()) -> pd.DataFrame:
    """Return an empty table of spans."""
    frame = pd.DataFrame({c: pd.Series(dtype=float) for c in (*SPAN_COLUMNS, *columns)})
    return frame.astype({"row": int, "start": "datetime64[ns]", "end": "datetime64[ns]"})


def verdicts(shape: tuple[int, int], evaluable: np.ndarray, strength: np.ndarray, spans: pd.DataFrame, first_day: pd.Timestamp) -> Verdicts:
    """Assemble the result: days inside a span are violated, other evaluable days compliant.

    Parameters
    ----------
    evaluable : bool array, shape (point, day)
    strength : float array, shape (point, day)
    """
    ruling = np.where(evaluable, COMPLIANT, NOT_EVALUABLE).astype(np.int8)
    force = np.where(evaluable, np.maximum(np.nan_to_num(strength), 0), np.nan).astype(np.float32)
    if len(spans):
        a = ((spans["start"] - first_day) / pd.Timedelta(days=1)).to_numpy()
        b = ((spans["end"] - first_day) / pd.Timedelta(days=1)).to_numpy()
        for row, lo, hi, nats in zip(spans["row"].to_numpy(dtype=int), a, b, spans["nats"], strict=True):
            days = slice(max(0, int(np.floor(lo))), min(shape[1], max(int(np.ceil(hi)), int(np.floor(lo)) + 1)))
            ruling[row, days] = VIOLATED
            force[row, days] = np.fmax(force[row, days], nats)
    return Verdicts(ruling, force, spans.reset_index(drop=True) if len(spans) else no_spans(list(spans.columns[4:])))


def runs_of(mask: np.ndarray, bridge: int = 0) -> list[tuple[int, int, int]]:
    """Return (row, first, last + 1) of every run of true values along the second axis, bridging gaps up to ``bridge``."""
    out: list[tuple[int, int, int]] = []
    for row in np.flatnonzero(mask.any(axis=1)):
        hits = np.flatnonzero(mask[row])
        cuts = np.flatnonzero(np.diff(hits) > bridge + 1)
        out += [(int(row), int(hits[a]), int(hits[b]) + 1) for a, b in zip(np.r_[0, cuts + 1], np.r_[cuts, hits.size - 1], strict=True)]
    return out


def sellke(log_p: np.ndarray | float) -> np.ndarray:
    """Return the largest log Bayes factor that a p-value can claim, −ln(−e·p·ln p) (Sellke, Bayarri and Berger 2001).

    0 for p ≥ 1/e. Works on ln p, so that p far under the smallest float stays finite.
    """
    lp = np.minimum(np.asarray(log_p, dtype=float), -1.0)
    return np.asarray(np.maximum(-(1.0 + lp + np.log(-lp)), 0.0))
