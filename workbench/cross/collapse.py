"""Distinct rows of evidence with weights: what the fit sees, however long the history behind them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from workbench.cross.evidence import Evidence
from workbench.cross.patterns import PatternCounter
from workbench.cross.scoring import WORD

MOST_WORDS = 4_000.0
"""Words a history counts at most; beyond this the likelihood would only pretend to know more (and the sampler would crawl).
All rows are scaled alike."""
ALIKE = 0.1
"""Correlation of the words of one enterprise over its whole history, judged: a works has ways of its own (a meter that reads a
share of the load, a channel that is always suspect), so that ``n`` words are worth ``n / (1 + (n-1)·ρ)``, at most ten. Without
it a few works with odd ways bend shares and rows of trouble to explain them, and chains settle on different bends."""
FEWEST_WORKS = 4
"""Works under which an industry or street has no effect of its own: one works alone would name it."""


@dataclass(frozen=True)
class FitData:
    """What the likelihood sees: distinct rows with weights.

    Parameters
    ----------
    levels : int8 array, shape (row, channel)
    industry, street : int array, shape (row,)
    label : int array, shape (row,)
        1 inspected and found in violation, 0 inspected and none found, -1 not inspected.
    weight : float array, shape (row,)
        Observed words (of three days) behind each row.
    hours : int
        Enterprise-hours counted.
    distinct : int
        Distinct rows before the rare ones were drawn.
    """

    levels: np.ndarray
    industry: np.ndarray
    street: np.ndarray
    label: np.ndarray
    weight: np.ndarray
    hours: int
    distinct: int
    industries: tuple[str, ...] = ()
    streets: tuple[str, ...] = ()


def collapse(
    e: Evidence,
    inspections: pd.DataFrame | None,
    enterprises: pd.DataFrame | None,
    *,
    rows: int = 300,
    seed: int = 0,
) -> FitData:
    """Count distinct (pattern, industry, street, label) rows, enterprise by enterprise, and keep at most ``rows``.

    The commonest two thirds are kept; the rest stand for all others: drawn with probability by count and weighted to
    their total, so that rare patterns, where offences are, stay represented without bias.
    """
    n, hours = e.shape
    table = None
    if enterprises is not None and len(enterprises):
        table = enterprises.drop_duplicates("enterprise_id").set_index("enterprise_id").reindex(e.enterprises)
    industry, industries = _codes(table, "industry", n)
    street, streets = _codes(table, "street_town", n)
    label = _labels(e, inspections)
    counter = PatternCounter(len(e.channels) + 3)
    for i in range(n):
        block = np.empty((hours, len(e.channels) + 3), dtype=np.int8)
        for k, c in enumerate(e.channels):
            block[:, k] = c.values[i]
        block[:, -3], block[:, -2], block[:, -1] = industry[i], street[i], label[i]
        counter.add(block)
    words = hours / WORD
    most = n * words / (1 + max(words - 1, 0.0) * ALIKE)
    return reduce_rows(counter, len(e.channels), rows, seed, industries, streets, most=min(most, MOST_WORDS))


def reduce_rows(
    counter: PatternCounter,
    width: int,
    rows: int,
    seed: int,
    industries: Sequence[str] = ("",),
    streets: Sequence[str] = ("",),
    *,
    most: float = MOST_WORDS,
) -> FitData:
    """Return at most ``rows`` weighted rows of a filled counter (see :func:`collapse`)."""
    order = np.lexsort((*counter.rows.T[::-1], -counter.counts))
    kept, counts = counter.rows[order], counter.counts[order].astype(float)
    head = min(len(kept), rows if len(kept) <= rows else 2 * rows // 3)
    weight = counts[:head].copy()
    chosen = kept[:head]
    if len(kept) > head:
        rest = counts[head:]
        # systematic draw: as many picks as rows left, each worth the same share of the total
        picks = rows - head
        step = rest.sum() / picks
        at = np.random.default_rng(seed).uniform(0, step) + step * np.arange(picks)
        which, times = np.unique(np.searchsorted(rest.cumsum(), at), return_counts=True)
        chosen = np.vstack([chosen, kept[head:][which]])
        weight = np.r_[weight, times * step]
    return FitData(
        chosen[:, :width].copy(),
        chosen[:, width].astype(np.int64),
        chosen[:, width + 1].astype(np.int64),
        chosen[:, width + 2].astype(np.int64),
        weight / WORD * min(1.0, most / max(weight.sum() / WORD, 1e-9)),
        int(counter.counts.sum()),
        len(counter),
        tuple(industries),
        tuple(streets),
    )


def _codes(table: pd.DataFrame | None, column: str, n: int) -> tuple[np.ndarray, list[str]]:
    if table is None:
        return np.zeros(n, dtype=np.int8), [""]
    known = table[column].fillna("").astype(str)
    known = known.where(known.map(known.value_counts()) >= FEWEST_WORKS, "")
    codes, names = pd.factorize(known, sort=True)
    return codes.astype(np.int8), [str(x) for x in names]


def _labels(e: Evidence, inspections: pd.DataFrame | None) -> np.ndarray:
    out = np.full(e.shape, -1, dtype=np.int8)
    if inspections is None or not e.shape[1]:
        return out
    hours = e.hours.to_numpy()
    for enterprise, start, end, finding in inspections[["enterprise_id", "period_start", "period_end", "finding"]].itertuples(index=False):
        row = e.row(str(enterprise))
        if row >= 0:
            inside = (hours >= np.datetime64(start)) & (hours <= np.datetime64(end))
            out[row, inside] = np.maximum(out[row, inside], np.int8(finding == "violation"))
    return out
