"""What alarms: the model, and simpler methods beside it. Each returns (row, first, last, score), hours, last not included."""

from __future__ import annotations

import warnings
from itertools import pairwise

import numpy as np
import pandas as pd
from _real_series import Series


def model_alarms(series: Series, values: np.ndarray) -> pd.DataFrame:
    """Return every candidate of falsified data as (row, first, last, score)."""
    from workbench.models import load

    catalog = series.catalog(values)
    model = load("monitoring")
    features = model.features(catalog, catalog.period)
    fitted = model.fit(features, catalog.labels(), seed=1)
    found = fitted.assess(features)
    found = found[(found["candidate"] >= 0) & (found["p_breach"].notna())]
    analysis = fitted.analysis(features)
    c = analysis.candidates.iloc[found["candidate"].to_numpy()]
    kinds = c["detector"].map({k: f.kind for k, f in fitted.scorer.scoring.detectors.items()}).to_numpy()
    order = {p: i for i, p in enumerate(f"{s}-{f}" for s, f in zip(series.station, series.factor, strict=True))}
    hour = pd.Timedelta(hours=1)
    out = pd.DataFrame(
        {
            "row": found["point_id"].map(order).to_numpy(),
            "first": ((found["start"] - series.time[0]) / hour).to_numpy(),
            "last": ((found["end"] - series.time[0]) / hour).to_numpy(),
            "score": fitted.scorer.log_odds(c),
            "detector": c["detector"].to_numpy(),
            "breach": (found["verdict"] == "breach").to_numpy(),
        }
    )
    return out[(kinds == "fabrication") & series.target[out["row"].to_numpy(dtype=int)]].reset_index(drop=True)


def daily_table(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return simple daily statistics of one series for the isolation forest: (day, 7), and which days are known."""
    days = len(values) // 24
    x = values[: days * 24].reshape(days, 24)
    ok = np.isfinite(x).sum(axis=1) >= 12
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        d = np.diff(x, axis=1)
        run = np.zeros(days)
        for i in range(days):
            same = np.r_[0, (d[i] == 0).astype(int), 0]
            edges = np.flatnonzero(np.diff(same))
            run[i] = (edges[1::2] - edges[::2]).max() if len(edges) else 0
        columns = [
            np.nanmean(x, 1),
            np.nanstd(x, 1),
            np.nanmin(x, 1),
            np.nanmax(x, 1),
            np.nanmean(d == 0, 1),
            np.nanmean(np.abs(d), 1),
            run,
        ]
    return np.nan_to_num(np.column_stack(columns)), ok


def forest_alarms(series: Series, values: np.ndarray) -> pd.DataFrame:
    """Isolation forest on simple daily statistics: the score is its anomaly score."""
    from sklearn.ensemble import IsolationForest

    rows = []
    for row in np.flatnonzero(series.target):
        x, ok = daily_table(values[row])
        forest = IsolationForest(n_estimators=100, random_state=1, n_jobs=1).fit(x[ok])
        score = np.where(ok, -forest.score_samples(x), -np.inf)
        rows += [(row, d * 24, (d + 1) * 24, s) for d, s in enumerate(score) if np.isfinite(s)]
    return pd.DataFrame(rows, columns=["row", "first", "last", "score"])


def run_alarms(series: Series, values: np.ndarray) -> pd.DataFrame:
    """Longest run of equal values: the score is its length."""
    rows = []
    for row in np.flatnonzero(series.target):
        x = values[row]
        known = np.flatnonzero(np.isfinite(x))
        change = np.r_[True, x[known][1:] != x[known][:-1], True]
        edges = np.flatnonzero(change)
        rows += [(row, known[a], known[b - 1] + 1, b - a) for a, b in pairwise(edges) if b - a >= 4]
    return pd.DataFrame(rows, columns=["row", "first", "last", "score"])


def profile_alarms(series: Series, values: np.ndarray) -> pd.DataFrame:
    """Matrix profile (stumpy, m = 24): the score is minus the smallest distance of a day to any other window."""
    import stumpy

    rows = []
    for row in np.flatnonzero(series.target):
        x = pd.Series(values[row]).interpolate(limit_direction="both").to_numpy(dtype=float)
        profile = np.asarray(stumpy.stump(x, 24)[:, 0], dtype=float)
        for d in range(len(profile) // 24):
            day = profile[d * 24 : (d + 1) * 24]
            if np.isfinite(day).any():
                rows.append((row, d * 24, (d + 2) * 24, -float(np.nanmin(day))))
    return pd.DataFrame(rows, columns=["row", "first", "last", "score"])
