"""Copied history: exact repeats by rolling hash in linear time, noisy ones by a bounded search."""

from __future__ import annotations

import numpy as np
import pandas as pd

from workbench.models.monitoring.features import EMPTY_HASH, gram_length
from workbench.models.monitoring.panel import Panel
from workbench.models.monitoring.scan import middle
from workbench.models.monitoring.verdicts import Verdicts, no_spans, runs_of, verdicts

MOST_ALIKE = 6
"""A gram met more often than this is a habit of the series, not a copy."""


def history_copied_exactly(panel: Panel, *, p_max: float, min_hours: float) -> Verdicts:
    """Find spans that repeat earlier values to the last digit, in the point's own history or in another point's.

    Equal rolling hashes at one distance in time are joined to spans. The strength is the information in the repeated
    values (bits per value from the point's own step size over its resolution) less the logarithm of the pairs compared.

    Parameters
    ----------
    p_max : float
        Largest probability that an honest series repeats itself so.
    min_hours : float
        Shortest span.
    """
    evaluable = panel.judged[:, None] & (panel.day("n_valid") >= 0.25 * panel.per_day[:, None])
    spans = _join(panel, _pairs(panel), min_hours)
    spans = spans[spans["nats"] >= -np.log(p_max)] if len(spans) else spans
    return verdicts(panel.shape, evaluable, np.zeros(panel.shape), _strongest(spans), panel.first_day)


def _pairs(panel: Panel) -> pd.DataFrame:
    """Return every pair of equal grams as (row, at) of the later and (source, from) of the earlier one."""
    sketch, where = panel.hour("sketch"), panel.hour("sketch_at")
    row, day, slot = np.nonzero((sketch != EMPTY_HASH) & panel.judged[:, None, None])
    at = where[row, day, slot].astype(np.int64) + panel.roster["offset"].to_numpy()[row]
    keys = sketch[row, day, slot]
    order = np.lexsort((row, at, keys))
    keys, at, row = keys[order], at[order], row[order]
    new = np.r_[True, keys[1:] != keys[:-1]]
    group = np.cumsum(new) - 1
    size = np.bincount(group)
    rank = np.arange(len(keys)) - np.flatnonzero(new)[group]
    found = []
    for back in range(1, MOST_ALIKE):
        later = np.flatnonzero((rank >= back) & (size[group] <= MOST_ALIKE))
        earlier = later - back
        ok = panel.peers[row[later]] == panel.peers[row[earlier]]
        found.append(np.stack([row[later], at[later], row[earlier], at[earlier]], axis=1)[ok])
    pairs = pd.DataFrame(np.concatenate(found), columns=["row", "at", "source", "origin"])
    return pairs.drop_duplicates()


def _join(panel: Panel, pairs: pd.DataFrame, min_hours: float) -> pd.DataFrame:
    columns = ["source", "lag_days", "hours", "bits", "replay"]
    if not len(pairs):
        return no_spans(columns)
    pairs["lag"] = pairs["at"] - pairs["origin"]
    pairs = pairs.sort_values(["row", "source", "lag", "at"], kind="stable")
    per_day = panel.per_day[pairs["row"].to_numpy()]
    key = pairs[["row", "source", "lag"]].to_numpy()
    fresh = np.r_[True, (key[1:] != key[:-1]).any(axis=1) | (np.diff(pairs["at"].to_numpy()) > per_day[1:])]
    pairs["span"] = np.cumsum(fresh)
    spans = pairs.groupby("span").agg(
        row=("row", "first"), source=("source", "first"), lag=("lag", "first"), lo=("at", "min"), hi=("at", "max"), grams=("at", "size")
    )
    rows = spans["row"].to_numpy()
    per_day = panel.per_day[rows]
    gram = np.array([gram_length(int(p)) for p in per_day])
    length = spans["hi"].to_numpy() - spans["lo"].to_numpy() + gram
    bits = bits_per_value(panel)[rows] * length
    candidates = float(np.nansum(panel.day("n_valid")[panel.judged]))
    lag = spans["lag"].to_numpy()
    pair_count = 2 * np.log(max(candidates, 2.0))
    step = (pd.Timedelta(days=1).value / per_day).astype(np.int64)
    start = spans["lo"].to_numpy() - gram + 1
    out = pd.DataFrame(
        {
            "row": rows,
            "start": panel.first_day + pd.to_timedelta(start * step),
            "end": panel.first_day + pd.to_timedelta((spans["hi"].to_numpy() + 1) * step),
            "nats": bits * np.log(2) - pair_count,
            "source": spans["source"].to_numpy(),
            "lag_days": spans["lag"].to_numpy() / per_day,
            "hours": length * 24 / per_day,
            "bits": bits,
            # a logger that sends its buffer again repeats what came just before; a person copies whole days
            "replay": ((spans["source"].to_numpy() == rows) & (lag <= 2 * length) & (lag % per_day != 0)).astype(float),
        }
    )
    enough = (out["hours"] >= min_hours) & (spans["grams"].to_numpy() >= 2)
    return out[enough.to_numpy()]


def bits_per_value(panel: Panel) -> np.ndarray:
    """Return the information of one value given its predecessor, in bits, shape (point,).

    Laplace steps of the point's median roughness at its resolution, log2(2e·b/Δ), at most 8 and at most −log2 of the
    median tie rate; where the resolution is unknown, a thousandth of the level stands in.
    """
    rough, ties = middle(panel.day("rough")), middle(panel.day("tie_rate"))
    level = middle(np.abs(panel.day("mean")))
    resolution = panel.roster["resolution"].to_numpy(dtype=float)
    resolution = np.where(np.isfinite(resolution) & (resolution > 0), resolution, 1e-3 * level)
    with np.errstate(all="ignore"):
        laplace = np.log2(2 * np.e * rough / resolution)
        by_ties = -np.log2(np.clip(ties, 1 / 256, 1.0))
    return np.asarray(np.clip(np.nan_to_num(np.fmin(laplace, by_ties)), 0.0, 8.0))


def _strongest(spans: pd.DataFrame) -> pd.DataFrame:
    """Keep, of overlapping spans of a point, the strongest."""
    kept: list[int] = []
    for _, mine in spans.groupby("row", sort=True):
        order = mine.sort_values(["nats", "start"], ascending=[False, True], kind="stable")
        taken: list[tuple[pd.Timestamp, pd.Timestamp]] = []
        for index, s, e in zip(order.index, order["start"], order["end"], strict=True):
            if all(e <= a or s >= b for a, b in taken):
                taken.append((s, e))
                kept.append(index)
    return spans.loc[sorted(kept)] if kept else no_spans(list(spans.columns[4:]))


def history_copied_with_noise(panel: Panel, *, p_max: float, min_corr: float) -> Verdicts:
    """Find days whose fast detail repeats an earlier day's beyond chance: a copy with a little noise or scale on top.

    Bounded search: the same time of day, whole days apart (the features hold the best match of every day). Honest days are
    independent in their detail, so the Fisher z of the best of D candidates has a known tail; the point's own usual best
    match (cycles, purges) is taken off first.
    """
    corr, twin = panel.day("twin_corr").astype(float), panel.day("twin_day")
    days = panel.shape[1]
    evaluable = panel.judged[:, None] & np.isfinite(corr)
    with np.errstate(all="ignore"):
        z = np.arctanh(np.clip(corr, -0.999999, 0.999999)) * np.sqrt(np.maximum(panel.per_day[:, None] * 0.5 - 3, 1))
    usual = middle(z)[:, None]
    spread = np.maximum(1.4826 * middle(np.abs(z - usual))[:, None], 1.0)
    score = (z - usual) / spread
    nats = np.where(evaluable & (corr >= min_corr), np.maximum(0.5 * score**2 - np.log(max(days, 2)), 0), 0.0)
    hit = nats >= -np.log(p_max)
    rows = []
    for row, a, b in runs_of(hit, bridge=1):
        inside = slice(a, b)
        k = int(np.argmax(nats[row, inside])) + a
        rows.append(
            {
                "row": row,
                "start": panel.first_day + pd.Timedelta(days=a),
                "end": panel.first_day + pd.Timedelta(days=b),
                "nats": float(min(nats[row, inside].sum(), 200.0)),
                "corr": float(corr[row, k]),
                "lag_days": float(k - twin[row, k]),
                "days": float(b - a),
            }
        )
    spans = pd.DataFrame(rows) if rows else no_spans(["corr", "lag_days", "days"])
    return verdicts(panel.shape, evaluable, nats, spans, panel.first_day)
