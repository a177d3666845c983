"""Quality of the monitoring model: false alarms on honest real series, recall of injected faults, beside simpler methods.

Series (not part of the project; skipped with the reason where absent): four Beijing stations 2013–2017 (UCI 501, CC BY 4.0), a gas
turbine 2011–2013 (UCI 551, CC BY 4.0), SKAB valve1 (GPL-3 data, evaluation only). Faults are injected here, from their description
in the handbook, not by code of the model.

Two specifications: the faults here are not those that the model rehearses on (workbench/models/monitoring/rehearsal.yml), which have
other lengths, caps, noises, factors and rounding; neither file reads the other.

Split: the numbers of the rehearsal, of the hourly detectors and of the trees were chosen on the *tune* part (station Shunyi; turbine
2011) and, for robustness against faults in the history that it learns from, on one injection (seed 101) over all series. The *test*
part (the other three stations; turbine 2012 and 2013) with the faults of seed 1 is printed. But an earlier version of the older
detectors (constant, clipped, exact copy) was chosen while looking at all four stations, so the Beijing figures are not wholly held
out: other stations and years are the test. Two thresholds are printed for the test part: the one that gives one false alarm per
station-year on the test part's own honest series (the table and the closing line), and the one set so on the tune part, with the
false alarms that it then gives; and what the product itself calls a breach.

The faults are written with the digits of a program (whole numbers where the channel's smallest step is half a unit or more, else four
decimal places), as a factor in a logger does; with --own-digits they are rounded to the point's own digits, which hides that.

The score of a history is fitted on that history, edited (no label): every injected history is fitted anew, faults included.

    python benchmarks/quality_monitoring.py [--quick] [--data FOLDER] [--seed N] [--saqc-python PATH]
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
import pandas as pd
import xarray as xr

from workbench.contracts import EntryMissing, Period, limit_threads

KINDS = ("constant", "clipped", "exact_copy", "noisy_copy", "regenerated", "slope")
AIMS = {"constant": 0.9, "clipped": 0.9, "exact_copy": 0.9, "regenerated": 0.9, "slope": 0.7, "noisy_copy": 0.7}
ELSEWHERE = {"constant": 0.52, "clipped": 0.85, "exact_copy": 0.96, "noisy_copy": 0.48, "regenerated": 0.51, "slope": 0.51}
"""Best recall measured elsewhere at one false alarm per station-year (issue text)."""
AIR = {"PM2.5": "a34004", "PM10": "a34002", "SO2": "a21026", "NO2": "a21004", "CO": "a21005", "O3": "a05024"}
TURBINE = {"CO": "a21005", "NOX": "a21002"}
SEEN = {
    "beijing": "tuned on Shunyi; the other stations were looked at for older detectors and for robustness (seed 101), not held out wholly",
    "turbine": "tuned on 2011; 2012 and 2013 were looked at for robustness (seed 101)",
}
"""What the figures of a set of series may claim."""


@dataclass
class Memory:
    """A catalog in memory (see :class:`workbench.contracts.CatalogView`)."""

    name: str
    tables: dict[str, pd.DataFrame]
    cubes: dict[str, xr.Dataset]

    @property
    def period(self) -> Period:
        """Return the span of the cubes."""
        time_ = next(iter(self.cubes.values()))["time"].to_numpy()
        return Period(pd.Timestamp(time_[0]), pd.Timestamp(time_[-1]) + pd.Timedelta(time_[1] - time_[0]))

    def has(self, entry: str) -> bool:
        """Return whether the entry exists."""
        return entry in self.tables or entry in self.cubes

    def table(self, entry: str, columns: list[str] | None = None) -> pd.DataFrame:
        """Return a table."""
        if entry not in self.tables:
            raise EntryMissing("no such entry", got=entry)
        return self.tables[entry]

    def cube(self, entry: str) -> xr.Dataset:
        """Return a cube."""
        return self.cubes[entry]

    def labels(self, decided_before: pd.Timestamp | None = None) -> pd.DataFrame:
        """Return no inspections."""
        return pd.DataFrame(columns=["enterprise_id", "finding", "kinds", "period_start", "period_end"])

    def path_of(self, relative: str) -> str:
        """Return the path as it is."""
        return relative


@dataclass
class Series:
    """Hourly series of several stations: values (point, hour), and of each point station, factor, unit, and whether faults go there."""

    name: str
    system: str
    values: np.ndarray
    time: pd.DatetimeIndex
    station: list[str]
    factor: list[str]
    unit: list[str]
    target: np.ndarray

    def years(self, stations: set[str]) -> float:
        """Return the station-years of some stations."""
        return len(stations) * len(self.time) / 8766

    def catalog(self, values: np.ndarray) -> Memory:
        """Return a catalog that holds these values."""
        ids = [f"{s}-{f}" for s, f in zip(self.station, self.factor, strict=True)]
        owner = [s if self.system == "cems" else "" for s in self.station]
        points = pd.DataFrame(
            {
                "point_id": ids, "system": self.system, "enterprise_id": owner, "outlet_id": owner, "factor": self.factor, "role": "",
                "unit": self.unit, "range_low": np.nan, "range_high": np.nan, "resolution": np.nan, "interval_s": 3600.0, "lon": np.nan,
                "lat": np.nan, "street_town": self.station, "installed_on": pd.NaT, "removed_on": pd.NaT,
            }
        )  # fmt: skip
        cube = xr.Dataset(
            {"value": (("point", "time"), values.astype(np.float32)), "mark": (("point", "time"), np.zeros(values.shape, np.uint8))},
            coords={"point": np.array(ids, dtype=object), "time": self.time},
        )
        return Memory(self.name, {"points": points}, {f"obs_{self.system}": cube})


def read_air(folder: Path, quick: bool) -> Series:
    """Read the Beijing stations."""
    frames = {}
    for f in sorted(folder.glob("*.parquet")):
        t = pd.read_parquet(f)
        stamp = pd.to_datetime(t[["year", "month", "day", "hour"]]) if "year" in t else pd.to_datetime(t.iloc[:, 0])
        frames[f.stem] = t.set_index(stamp)[list(AIR)].sort_index()
    hours = next(iter(frames.values())).index
    hours = hours[-8760:] if quick else hours
    values = np.concatenate([f.reindex(hours).to_numpy(dtype=float).T for f in frames.values()])
    station = [s for s in frames for _ in AIR]
    return Series(
        "beijing",
        "ambient",
        values,
        hours,
        station,
        list(AIR.values()) * len(frames),
        ["µg/m³"] * len(station),
        np.ones(len(station), bool),
    )


def read_turbine(folder: Path, quick: bool) -> Series:
    """Read the gas turbine, one year as one station."""
    frames = {f.stem: pd.read_csv(f) for f in sorted(folder.glob("gt_*.csv"))}
    n = min(map(len, frames.values())) if not quick else 2400
    hours = pd.date_range("2011-01-01", periods=n, freq="h")  # the source has an order but no times
    columns = list(next(iter(frames.values())))
    values = np.concatenate([f.to_numpy(dtype=float)[:n].T for f in frames.values()])
    station = [s for s in frames for _ in columns]
    factor = [TURBINE.get(c, c) for c in columns] * len(frames)
    unit = [("mg/m³" if c in TURBINE else "1") for c in columns] * len(frames)
    return Series("turbine", "cems", values, hours, station, factor, unit, np.array([u == "mg/m³" for u in unit]))


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


PROFILE_HOURS = 2160
"""Hours of each station that the matrix profile is computed on where the series is longer: its cost grows with the square."""
SAQC = """
import sys, json, warnings, numpy as np, pandas as pd, saqc
warnings.simplefilter("ignore")
v = np.load(sys.argv[1]); out = []
idx = pd.date_range("2013-01-01", periods=v.shape[1], freq="h")
for i in range(len(v)):
    x = pd.Series(v[i], index=idx).dropna()
    data = saqc.SaQC(pd.DataFrame({"x": x}))
    for hours in (6, 8, 12, 16, 24, 36, 48, 72):
        flagged = (data.flagConstants("x", thresh=0.0, window=f"{hours}h").flags["x"] > 0).reindex(idx, fill_value=False).to_numpy()
        edge = np.flatnonzero(np.diff(np.r_[0, flagged.astype(int), 0]))
        out += [(i, int(a), int(b), float(hours)) for a, b in zip(edge[::2], edge[1::2])]
print(json.dumps(out))
"""
PLATEAU = """
import sys, json, warnings, numpy as np, pandas as pd, saqc
warnings.simplefilter("ignore")
v = np.load(sys.argv[1]); out = []; failed = 0
idx = pd.date_range("2013-01-01", periods=v.shape[1], freq="h")
for i in range(len(v)):
    x = pd.Series(v[i], index=idx).interpolate(limit_direction="both")
    spread = 1.4826 * float((x - x.median()).abs().median())
    for jumps in (0.5, 1.0, 2.0, 4.0):
        try:
            found = saqc.SaQC(pd.DataFrame({"x": x})).flagPlateau("x", min_length="12h", max_length="720h", min_jump=jumps * spread)
        except ValueError:  # it stops where it finds no anomaly at all
            failed += 1
            continue
        flagged = (found.flags["x"] > 0).to_numpy()
        edge = np.flatnonzero(np.diff(np.r_[0, flagged.astype(int), 0]))
        out += [(i, int(a), int(b), jumps) for a, b in zip(edge[::2], edge[1::2])]
print(json.dumps(out))
"""
"""SaQC's flagPlateau at several jumps, in robust spreads of the series: the score is the largest jump at which a span is flagged."""


def saqc_alarms(python: str, script: str = SAQC) -> Callable[[Series, np.ndarray], pd.DataFrame]:
    """Return a test of SaQC as a method; flagConstants by default: the score is the longest window that it flags."""

    def alarms(series: Series, values: np.ndarray) -> pd.DataFrame:
        rows = np.flatnonzero(series.target)
        with tempfile.TemporaryDirectory() as folder:
            np.save(f"{folder}/v.npy", values[rows])
            done = subprocess.run([python, "-c", script, f"{folder}/v.npy"], capture_output=True, text=True, timeout=1200, check=True)
        found = pd.DataFrame(json.loads(done.stdout.strip().splitlines()[-1]), columns=["row", "first", "last", "score"])
        return found.assign(row=rows[found["row"].to_numpy(dtype=int)])

    return alarms


def has_saqc(python: str) -> bool:
    """Return whether that Python can import SaQC."""
    try:
        return subprocess.run([python, "-c", "import saqc"], capture_output=True, timeout=120, check=False).returncode == 0
    except (OSError, subprocess.TimeoutExpired):
        return False


def part_of(series: Series, hours: int) -> Series:
    """Return the last hours of every station."""
    n = len(series.time)
    if n <= hours:
        return series
    cut = slice(n - hours, n)
    return Series(
        series.name, series.system, series.values[:, cut], series.time[cut], series.station, series.factor, series.unit, series.target
    )


def episodes(alarms: pd.DataFrame, threshold: float, rows: np.ndarray) -> int:
    """Return how many separate alarms there are at a threshold, days in a row counted once."""
    hit = alarms[(alarms["score"] >= threshold) & alarms["row"].isin(rows)].sort_values(["row", "first"])
    if not len(hit):
        return 0
    gap = (hit["row"].to_numpy()[1:] != hit["row"].to_numpy()[:-1]) | (hit["first"].to_numpy()[1:] > hit["last"].to_numpy()[:-1] + 24)
    return int(1 + gap.sum())


def threshold_for(alarms: pd.DataFrame, rows: np.ndarray, years: float, rate: float = 1.0) -> float:
    """Return the smallest threshold with at most ``rate`` false alarms per station-year on honest series."""
    scores = np.unique(alarms.loc[alarms["row"].isin(rows), "score"].to_numpy())
    lo, hi = 0, len(scores)
    while lo < hi:
        mid = (lo + hi) // 2
        if episodes(alarms, scores[mid], rows) <= rate * years:
            hi = mid
        else:
            lo = mid + 1
    return float(scores[lo]) if lo < len(scores) else float(scores[-1]) + 1e-9 if len(scores) else 0.0


def recall(alarms: pd.DataFrame, faults: pd.DataFrame, threshold: float, rows: np.ndarray) -> tuple[int, int]:
    """Return how many faults an alarm at the threshold overlaps, and how many there are."""
    hit = alarms[alarms["score"] >= threshold]
    by = {r: g[["first", "last"]].to_numpy() for r, g in hit.groupby("row")}
    mine = faults[faults["row"].isin(rows)]
    found = 0
    for row, a, b in mine.itertuples(index=False):
        spans = by.get(row)
        found += bool(spans is not None and ((spans[:, 0] < b) & (spans[:, 1] > a)).any())
    return found, len(mine)


def wilson(k: int, n: int) -> tuple[float, float]:
    """Return the Wilson interval of a share, 95 %."""
    if n == 0:
        return 0.0, 1.0
    p, z = k / n, 1.96
    centre, half = (p + z * z / 2 / n) / (1 + z * z / n), z * np.sqrt(p * (1 - p) / n + z * z / 4 / n / n) / (1 + z * z / n)
    return max(0.0, centre - half), min(1.0, centre + half)


def measure(
    series: Series, tune: set[str], seed: int, kinds: tuple[str, ...], methods: dict[str, object], repeats: int, own_digits: bool = False
) -> dict[str, dict[str, tuple[int, int]]]:
    """Measure every method on one set of series; return hits and faults by method and kind."""
    tune_rows = np.array([i for i, s in enumerate(series.station) if s in tune])
    test_rows = np.array([i for i, s in enumerate(series.station) if s not in tune])
    test = set(series.station) - tune
    out: dict[str, dict[str, tuple[int, int]]] = {}
    faulty = {k: [inject(series, k, seed + r) for r in range(repeats)] for k in kinds}
    if own_digits:
        faulty = {k: [(in_own_digits(series, v, f), f) for v, f in made] for k, made in faulty.items()}
    for name, alarms_of in methods.items():
        t = time.time()
        honest = alarms_of(series, series.values)  # type: ignore[operator]
        chosen = threshold_for(honest, tune_rows, series.years(tune))
        exact = threshold_for(honest, test_rows, series.years(test))
        false = episodes(honest, chosen, test_rows)
        years = series.years(test)
        print(
            f"  {name}: threshold from {sorted(tune)} gives {false} false alarms in {years:.1f} station-years "
            f"of {sorted(test)} = {false / years:.2f} per station-year"
        )
        if name == "workbench":
            worst = honest[honest["row"].isin(test_rows)].groupby("detector")["score"].agg(["size", "max"])
            print(
                "    honest candidates by detector:",
                {k: (int(v["size"]), round(float(v["max"]), 1)) for k, v in worst.iterrows()},
                f"threshold {chosen:.2f}, exact {exact:.2f}",
            )
        if "breach" in honest:
            said = episodes(honest[honest["breach"]], -np.inf, test_rows)
            print(f"    the product's own breaches: {said} false in {years:.1f} station-years = {said / years:.2f} per station-year")
        out[name] = {}
        for kind in kinds:
            k = n = held = ruled = 0
            for values, faults in faulty[kind]:
                found = alarms_of(series, values)  # type: ignore[operator]
                hit, among = recall(found, faults, exact, test_rows)
                k, n, held = k + hit, n + among, held + recall(found, faults, chosen, test_rows)[0]
                ruled += recall(found[found["breach"]], faults, -np.inf, test_rows)[0] if "breach" in found else 0
            out[name][kind] = (k, n)
            low, high = wilson(k, n)
            print(
                f"    {kind:12s} recall at one false alarm per station-year {k / max(n, 1):.2f} "
                f"[{low:.2f}, {high:.2f}] n={n}; at the tuned threshold {held / max(n, 1):.2f}"
                + (f"; ruled a breach {ruled / max(n, 1):.2f}" if "breach" in honest else "")
            )
        print(f"    ({time.time() - t:.0f} s)")
    return out


def skab_f1(folder: Path) -> dict[str, object]:
    """SKAB valve1 by its own protocol: fit on the first 400 rows of each file, score the whole, F1 of outliers over all files.

    Returns the closing figures; intervals: files resampled, 1,000 draws, 95 %.
    """
    from sklearn.ensemble import IsolationForest

    truth: list[np.ndarray] = []
    guess: dict[str, list[np.ndarray]] = {"workbench": [], "Hotelling's T²": [], "isolation forest": [], "always anomaly": []}
    for file in sorted(folder.glob("*.csv")):
        t = pd.read_csv(file, sep=";", index_col="datetime", parse_dates=True)
        x = t.drop(columns=["anomaly", "changepoint"]).to_numpy(dtype=float)
        truth.append(t["anomaly"].to_numpy())
        guess["workbench"].append(against_the_others(x, 400))
        guess["Hotelling's T²"].append(hotelling(x, 400))
        forest = IsolationForest(random_state=0, contamination=0.0005, n_jobs=1).fit(x[:400])
        guess["isolation forest"].append((forest.predict(x) == -1).astype(float))
        guess["always anomaly"].append(np.ones(len(x)))
    rng = np.random.default_rng(1)
    draws = rng.integers(len(truth), size=(1000, len(truth)))
    figures: dict[str, tuple[float, float, float]] = {}
    for name, parts in guess.items():
        counts = np.array(
            [[((g == 1) & (y == v)).sum() for v in (1, 0)] + [((g == 0) & (y == 1)).sum()] for g, y in zip(parts, truth, strict=True)]
        )
        tp, fp, fn = counts.sum(axis=0)
        f1 = [float(2 * c[0] / (2 * c[0] + c[1] + c[2])) for c in (counts[d].sum(axis=0) for d in draws)]
        figures[name] = (float(2 * tp / (2 * tp + fp + fn)), *(float(q) for q in np.quantile(f1, (0.025, 0.975))))
        value, low, high = figures[name]
        honest = sum(int((y == 0).sum()) for y in truth)
        print(
            f"  SKAB valve1 F1 {name}: {value:.2f} [{low:.2f}, {high:.2f}] "
            f"(false alarm rate {fp / max(honest, 1):.2%}, missed {fn / max(tp + fn, 1):.2%}; {len(truth)} files)"
        )
    value, low, high = figures.pop("workbench")
    peers = {m: round(f[0], 3) for m, f in figures.items()}
    ratios = {m: round(value / f[0], 2) for m, f in figures.items() if f[0]}
    return {
        "name": "SKAB valve1 F1", "unit": "1", "value": round(value, 3), "low": round(low, 3), "high": round(high, 3), "n": len(truth),
        "peers": peers, "ratios": ratios,
    }  # fmt: skip


def against_the_others(x: np.ndarray, train: int, window: int = 20, quantile: float = 0.999) -> np.ndarray:
    """Return 1 where the channels leave what the others lead one to expect: the model's expectation, fitted on the training part.

    Window, quantile and margin are those of :func:`hotelling`; nothing was chosen on this set.
    """
    from workbench.models.monitoring.expectation import robust_ridge

    z = x.T
    centre, wide = np.median(z[:, :train], axis=1, keepdims=True), z[:, :train].std(axis=1, keepdims=True)
    narrow = 1.4826 * np.median(np.abs(z[:, :train] - centre), axis=1, keepdims=True)
    z = (z - centre) / np.where(narrow > 0.1 * wide, narrow, np.where(wide > 0, wide, 1.0))
    unit = np.clip(z, -6, 6).astype(np.float32)
    total = np.zeros(len(x))
    for k in range(len(z)):
        others = np.delete(unit, k, axis=0)
        made = robust_ridge(np.where(np.arange(len(x)) < train, unit[k], np.nan), others, np.ones(others.shape, bool))
        if made is not None:
            error = z[k] - made[0]
            total += (error / max(1.4826 * float(np.median(np.abs(error[:train] - np.median(error[:train])))), 0.05)) ** 2
    smooth = pd.Series(total).rolling(window, min_periods=1).median().to_numpy()
    return (smooth > 2 * np.quantile(smooth[:train], quantile)).astype(float)


def hotelling(x: np.ndarray, train: int, window: int = 20, quantile: float = 0.999) -> np.ndarray:
    """Return 1 where the smoothed Hotelling T² of standardised channels passes the quantile of its training part, with a margin of two."""
    centre, spread = x[:train].mean(axis=0), x[:train].std(axis=0)
    z = (x - centre) / np.where(spread > 0, spread, 1.0)
    covariance = np.cov(z[:train].T) + 1e-2 * np.eye(z.shape[1])
    t2 = np.einsum("ij,jk,ik->i", z, np.linalg.inv(covariance), z)
    smooth = pd.Series(t2).rolling(window, min_periods=1).median().to_numpy()
    return (smooth > 2 * np.quantile(smooth[:train], quantile)).astype(float)


def main() -> None:
    """Measure, print the table and the closing line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="one year of the stations, 100 days of the turbine, two kinds of fault")
    parser.add_argument("--data", type=Path, default=None, help="folder with prsa, gas_turbine and skab")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument(
        "--repeats", type=int, default=0, help="rounds of injection per kind (default: 1 for the stations, 3 for the turbine)"
    )
    parser.add_argument(
        "--saqc-python", default=os.environ.get("SAQC_PYTHON", sys.executable), help="a Python that has saqc (GPL, never in the lock)"
    )
    parser.add_argument("--own-digits", action="store_true", help="faults written in the point's own digits: a falsifier who hides them")
    parser.add_argument("--kinds", default="", help="kinds of fault, separated by commas (default: all)")
    parser.add_argument("--methods", default="", help="methods to measure, by name, separated by commas (default: all)")
    parser.add_argument("--only", default="", help="series to measure: beijing, turbine, skab")
    args = parser.parse_args()
    limit_threads()
    root = Path(__file__).resolve().parents[1]
    data = args.data or Path(os.environ.get("WORKBENCH_SHARED", root.parent / "shared")) / "data"
    closing: dict[str, object] = {"name": "monitoring recall at one false alarm per station-year", "unit": "1"}
    if args.own_digits:
        print("faults are written in the point's own digits")
    if not data.is_dir():
        print(f"not measured: no folder {data.name} of real series (give --data)")
        print(json.dumps({**closing, "value": None, "low": None, "high": None, "n": 0, "peers": {}, "ratios": {}}))
        return
    kinds = KINDS if not args.quick else ("constant", "exact_copy")
    if args.kinds:
        kinds = tuple(k for k in KINDS if k in args.kinds.split(","))
    total: dict[str, dict[str, list[int]]] = {}
    with_saqc = has_saqc(args.saqc_python)
    for name, reader, folder, tune, repeats in (
        ("beijing", read_air, "prsa", {"Shunyi"}, 1),
        ("turbine", read_turbine, "gas_turbine", {"gt_2011"}, 3),
    ):
        if not (data / folder).is_dir() or (args.only and args.only != name):
            print(f"not measured: {name}")
            continue
        series = reader(data / folder, args.quick)
        print(f"{name}: {len(set(series.station))} stations, {int(series.target.sum())} channels with faults, {len(series.time):,} hours")
        print(f"  {SEEN[name]}")
        methods: dict[str, object] = {"workbench": model_alarms, "longest run": run_alarms, "isolation forest": forest_alarms}
        if with_saqc:
            methods["SaQC"] = saqc_alarms(args.saqc_python)
        rounds = args.repeats or (1 if args.quick else repeats)
        wanted = {m for m in args.methods.split(",") if m}
        measured = measure(
            series, tune, args.seed, kinds, {m: f for m, f in methods.items() if m in wanted or not wanted}, rounds, args.own_digits
        )
        if not args.quick:
            short = part_of(series, PROFILE_HOURS) if name == "beijing" else series
            print(f"  matrix profile and SaQC's flagPlateau on {len(short.time):,} hours of each station")
            slow: dict[str, object] = {"matrix profile": profile_alarms}
            if with_saqc:
                slow["SaQC plateau"] = saqc_alarms(args.saqc_python, PLATEAU)
            measured |= measure(
                short, tune, args.seed, kinds, {m: f for m, f in slow.items() if m in wanted or not wanted}, rounds, args.own_digits
            )
        for method, by_kind in measured.items():
            for kind, (k, n) in by_kind.items():
                cell = total.setdefault(method, {}).setdefault(kind, [0, 0])
                cell[0], cell[1] = cell[0] + k, cell[1] + n
    if not with_saqc:
        print("SaQC: not measured (give --saqc-python a Python that has saqc; it is GPL and never in the lock)")
    if (data / "skab").is_dir() and args.only in ("", "skab"):
        skab = skab_f1(data / "skab")
        if args.only:
            print(json.dumps(skab, ensure_ascii=False))
            return
    print(
        f"\n{'kind':12s} {'recall':>22s}  aim  elsewhere  {'longest run':>11s} {'forest':>7s} {'profile':>7s} {'SaQC':>7s} {'plateau':>7s}"
    )
    for kind in kinds:
        k, n = total.get("workbench", {}).get(kind, [0, 0])
        low, high = wilson(k, n)
        others = [total.get(m, {}).get(kind, [0, 0]) for m in ("longest run", "isolation forest", "matrix profile", "SaQC", "SaQC plateau")]
        cells = " ".join(f"{a / b:>9.2f}" if b else "        –" for a, b in others)
        reached = "reached" if n and k / n >= AIMS[kind] else "NOT REACHED"
        print(f"{kind:12s} {k / max(n, 1):.2f} [{low:.2f}, {high:.2f}] n={n:<4d} {AIMS[kind]:>4} {ELSEWHERE[kind]:>9} {cells}  {reached}")
    k, n = (sum(c[i] for c in total.get("workbench", {}).values()) for i in (0, 1))
    low, high = wilson(k, n)
    peers = {
        m: round(sum(c[0] for c in b.values()) / max(sum(c[1] for c in b.values()), 1), 3) for m, b in total.items() if m != "workbench"
    }
    value = round(k / max(n, 1), 3)
    ratios = {m: round(value / v, 2) for m, v in peers.items() if v}
    print(json.dumps({**closing, "value": value, "low": round(low, 3), "high": round(high, 3), "n": n, "peers": peers, "ratios": ratios}))


if __name__ == "__main__":
    main()
