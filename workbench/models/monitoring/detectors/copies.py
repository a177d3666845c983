"""Copied history: exact repeats by rolling hash in linear time, noisy ones by a bounded search."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from workbench.models.monitoring.features import EMPTY_HASH, gram_length
from workbench.models.monitoring.matching import FARTHEST, NEAREST
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
    known = np.flatnonzero((sketch != EMPTY_HASH) & panel.judged[:, None, None])
    hashes = sketch.ravel()[known]
    ordered = np.sort(hashes)
    # nearly all hashes are met once: those are put aside before anything is ordered by point and time
    twice = np.unique(ordered[1:][ordered[1:] == ordered[:-1]])
    if len(twice):
        known = known[twice[np.minimum(np.searchsorted(twice, hashes), len(twice) - 1)] == hashes]
    row, day, slot = np.unravel_index(known[: known.size if len(twice) else 0], sketch.shape)
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
        # two points that read the same at the same time share an instrument or a feed; that is not a copy of history
        ok = (panel.peers[row[later]] == panel.peers[row[earlier]]) & (at[later] != at[earlier])
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
    own_values = np.maximum(np.nansum(panel.day("n_valid"), axis=1), 2.0)
    own = spans["source"].to_numpy() == rows
    pair_count = np.where(own, 2 * np.log(own_values[rows]) - np.log(2), 2 * np.log(max(candidates, 2.0)))
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
            # a logger that sends its buffer again repeats the last hours; a person copies by the clock, whole days back
            "replay": (own & (lag < 3 * per_day) & (lag % per_day != 0)).astype(float),
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


def history_copied_with_noise(panel: Panel, *, p_max: float, min_corr: float, hourly_nats_min: float) -> Verdicts:
    """Find spans that an earlier span explains beyond chance though not to the last digit: a copy with a little noise on top.

    Bounded search. Hourly data: every lag from one to ninety days, see :mod:`workbench.models.monitoring.matching`; the strength is
    what the copy explains better than the present, less the logarithm of the lags and spans compared. Data finer than 15 minutes:
    the fast detail at whole-day shifts (the features hold the best match of every day); honest days are independent in their
    detail, so the Fisher z of the best of N candidates has a known tail, and the point's own usual best match (cycles, purges) is
    taken off first.

    Parameters
    ----------
    p_max : float
        Largest probability of such a match in an honest history.
    min_corr : float
        Smallest correlation of the detail (fine data) or of the readings (hourly data).
    hourly_nats_min : float
        Smallest strength in hourly data.
    """
    corr, twin = panel.day("twin_corr").astype(float), panel.day("twin_day").astype(float)
    days = panel.shape[1]
    lag = np.arange(days)[None] - twin
    fine = panel.judged[:, None] & np.isfinite(corr)
    degrees = np.maximum(panel.per_day[:, None] * 0.5 - 3, 1)
    with np.errstate(all="ignore"):
        z = np.arctanh(np.clip(corr, -0.999999, 0.999999)) * np.sqrt(degrees)
    usual = middle(z)[:, None]
    spread = np.maximum(1.4826 * middle(np.abs(z - usual))[:, None], 0.3)
    score = np.clip((z - usual) / spread, 0, 20)
    # the best of N matches: under chance its excess over the usual best falls off faster than exp(−score)
    nats = np.where(fine & (corr >= min_corr), score * np.maximum(score / 2, 1.0) - np.log(max(days, 2)), 0.0)
    nats = np.maximum(nats, 0.0)
    hit = nats >= -np.log(p_max)
    rows: list[dict[str, Any]] = []
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
                "lag_days": float(lag[row, k]),
                "days": float(b - a),
            }
        )
    searched = panel.hourly[:, None] & (panel.day("n_valid") >= 12)
    found = pd.DataFrame(rows + _hourly_matches(panel, hourly_nats_min, min_corr))
    spans = found if len(found) else no_spans(["corr", "lag_days", "days"])
    return verdicts(panel.shape, fine | searched, nats, spans, panel.first_day)


def _hourly_matches(panel: Panel, least: float, min_corr: float) -> list[dict[str, Any]]:
    """Return the matches of hourly points that are strong enough, after the number of lags and spans compared."""
    out: list[dict[str, Any]] = []
    hour = pd.Timedelta(hours=1)
    for row, matches in panel.matches.items():
        y = panel.transformed[0][row]
        for m in matches:
            now, then = y[m.first : m.last], y[m.first - m.lag : m.last - m.lag]
            both = np.isfinite(now) & np.isfinite(then)
            nats = m.gain - np.log((FARTHEST - NEAREST) * len(y) / max(m.last - m.first, 1))
            if both.sum() < 6 or nats < least:
                continue
            spread = np.std(now[both]) * np.std(then[both])
            corr = float(np.mean((now[both] - now[both].mean()) * (then[both] - then[both].mean())) / spread) if spread > 0 else 1.0
            if corr < min_corr:
                continue
            out.append(
                {
                    "row": row,
                    "start": panel.first_day + m.first * hour,
                    "end": panel.first_day + m.last * hour,
                    "nats": float(min(nats, 200.0)),
                    "corr": corr,
                    "lag_days": m.lag / 24,
                    "days": (m.last - m.first) / 24,
                }
            )
    return out
