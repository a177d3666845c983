"""Faults injected into honest series, from their description in the handbook and not by code of the model."""

from __future__ import annotations

import numpy as np
import pandas as pd
from _real_series import Series

KINDS = ("constant", "clipped", "exact_copy", "noisy_copy", "regenerated", "slope")


def inject(series: Series, kind: str, seed: int) -> tuple[np.ndarray, pd.DataFrame]:
    """Return the series with one fault per station and season, in a channel drawn at random, and where they are."""
    rng = np.random.default_rng([seed, KINDS.index(kind)])
    values, rows = series.values.copy(), []
    n = values.shape[1]
    block = 90 * 24 if n > 20000 else 45 * 24
    for station in dict.fromkeys(series.station):
        channels = np.flatnonzero(series.target & (np.array(series.station) == station))
        for lo in range(block, n - block // 2, block):
            row = int(rng.choice(channels))
            clean = series.values[row]
            finite = np.unique(clean[np.isfinite(clean)])
            step = np.min(np.diff(finite)) if len(finite) > 1 else 1.0
            places = 4 if step < 0.5 else 0
            hours = {
                "constant": (12, 73),
                "clipped": (168, 337),
                "exact_copy": (24, 97),
                "noisy_copy": (24, 97),
                "regenerated": (48, 169),
                "slope": (168, 721),
            }[kind]
            length = int(rng.integers(*hours))
            if lo >= min(lo + block // 2, n - length):
                continue
            a = int(rng.integers(lo, min(lo + block // 2, n - length)))
            span = slice(a, a + length)
            x = clean[span]
            if np.isfinite(x).mean() < 0.9:
                continue
            if kind == "constant":
                new = np.full(length, np.round(np.nanmedian(x) * rng.uniform(0.7, 1.1), places))
            elif kind == "clipped":
                cap = np.round(np.nanquantile(x, rng.uniform(0.6, 0.85)), places)
                new = np.minimum(x, cap)
            elif kind in ("exact_copy", "noisy_copy"):
                source = int(rng.integers(max(0, a - 60 * 24), a - length))
                new = clean[source : source + length].copy()
                if np.isfinite(new).mean() < 0.9:
                    continue
                if kind == "noisy_copy":
                    new = np.round(new * (1 + rng.normal(0, 0.03, length)), places)
            elif kind == "regenerated":
                new = np.round(np.abs(rng.normal(np.nanmean(x), 0.6 * np.nanstd(x) + 1e-9, length)), places)
            else:
                new = np.round(x * rng.uniform(0.55, 0.75), places)
            values[row, span] = np.where(np.isfinite(x), new, np.nan)
            rows.append((row, a, a + length))
    return values, pd.DataFrame(rows, columns=["row", "first", "last"])


def in_own_digits(series: Series, values: np.ndarray, faults: pd.DataFrame) -> np.ndarray:
    """Return the values with every fault written as the point itself writes readings of that size: a falsifier who hides the digits."""
    out = values.copy()
    for row, a, b in faults.itertuples(index=False):
        clean = series.values[row]
        clean = clean[np.isfinite(clean) & (clean > 0)]
        decade = np.floor(np.log10(clean))
        new = out[row, a:b]
        mine = np.floor(np.log10(np.where(np.isfinite(new) & (new > 0), new, np.nan)))
        for d in np.unique(mine[np.isfinite(mine)]):
            alike = clean[decade == d]
            alike = alike if alike.size >= 30 else clean
            places = next(
                (k for k in range(-3, 6) if np.mean(np.abs(alike - np.round(alike, k)) <= 1e-6 * np.abs(alike)) >= 0.8),
                6,
            )
            new[mine == d] = np.round(new[mine == d], places)
        out[row, a:b] = new
    return out
