"""How well the dust model sees plumes on a real background, and how often it cries wolf there.

Beijing hourly PM10 and PM2.5 (UCI 501, CC BY 4.0): four honest public stations, 2013 to 2017. Each in turn plays the
fence monitor of a site, the other three its surroundings.

1. Honest series: findings raised per station-year (Poisson interval).
2. One plume episode a quarter is added to the station: a burst of a working day, a habit of working hours over five
   days, and three days on end. Recall of episodes at one false alarm per site-quarter on the honest series, beside a
   threshold on the raw value, on the ratio to the other stations, a z-score against the own past, and an isolation forest.
   Intervals are Wilson's over episodes. The parts of this model's score were set on such series: the honest tail
   (shape of the null) on the same four stations, the coarseness of dust by physics, as in the plumes.

3. Findings on own simulated districts and on the practice district, made by others: precision by rule (one enterprise is one
   trial, Wilson), recall of fugitive dust by mechanism (enterprises resampled), reliability.

``--quick``: one year, a tiny district. ``--only`` one part. Without the data the line of JSON says so. The last line is JSON.
"""

from __future__ import annotations

import argparse
import json
import time
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd
from _reviews import SHARED, Reviewed, add_districts, both_sides, clustered, headline, precision_lines, reliability

from workbench.catalog.memory import MemoryCatalog, cube_of
from workbench.contracts import Period, limit_threads
from workbench.evaluation import wilson
from workbench.models import load
from workbench.models.hourly import runs

STATIONS = ("Aotizhongxin", "Changping", "Dongsi", "Shunyi")
PLACES = ((116.40, 39.98), (116.23, 40.22), (116.42, 39.93), (116.66, 40.13))
"""Longitude and latitude, recalled to two decimals; used for nearness only."""
FACTORS = {"PM10": "a34002", "PM2.5": "a34004"}
KINDS = {"burst": (1, 8, 18), "habit": (5, 8, 18), "days on end": (3, 0, 24)}
"""Days, first hour and last hour of an injected episode."""
FINE = 0.25
"""PM2.5 in the PM10 of a plume: resuspended dust is coarse (recalled from AP-42, 0.1 to 0.25)."""
SIZES = (40.0, 80.0, 160.0)
"""Median of what a plume adds to PM10 at the fence, µg/m³."""
JOIN = 6
NAME = "dust: recall of plume episodes at one false alarm per site-quarter"


@dataclass
class Station:
    """One station as a site in a catalog, with what peers need of it."""

    name: str
    value: dict[str, np.ndarray]
    others: dict[str, np.ndarray]
    weather: pd.DataFrame
    hours: pd.DatetimeIndex
    where: int
    spans: list[tuple[int, int]] = field(default_factory=list)


def main() -> None:
    """Print the tables and the line of JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--only", choices=["beijing", "districts"], help="one part instead of both")
    parser.add_argument("--seed", type=int, default=5)
    parser.add_argument("--stations", type=Path, default=SHARED / "data" / "prsa")
    add_districts(parser, [83, 84])
    options = parser.parse_args()
    limit_threads()
    line = {"name": NAME, "value": None, "unit": "1", "low": None, "high": None, "n": 0, "peers": {}, "ratios": {}}
    if options.only != "districts":
        if (options.stations / f"{STATIONS[0]}.parquet").is_file():
            line |= beijing(options)
        else:
            line["skipped"] = "the Beijing series are not here"
    if options.only != "beijing":
        for name, side in both_sides("dust", options, quick=options.quick).items():
            districts(name, side)
    print(json.dumps(line))


def beijing(options: argparse.Namespace) -> dict[str, object]:
    """Print false alarms and recall on a real background; return what belongs in the line of JSON."""
    years = [2015] if options.quick else [2013, 2014, 2015, 2016]
    honest = [s for y in years for s in read_year(options.stations, y)]
    started = time.monotonic()
    scores = {name: [score(s) for s in honest] for name, score in SCORERS.items()}
    quarters = len(honest) * 4
    print(f"{len(honest)} station-years, honest; UCI 501, CC BY 4.0")
    false_alarms([this_model(s, {}) for s in honest], len(honest))
    cuts = {name: cut_at(s, quarters) for name, s in scores.items()}
    table = []
    for size in SIZES:
        for kind in KINDS:
            rng = np.random.default_rng([options.seed, int(size), list(KINDS).index(kind)])
            dusty = [inject(s, kind, size, rng) for s in honest]
            for name, score in SCORERS.items():
                hit = np.concatenate([_hits(score(s), cuts[name], s.spans) for s in dusty])
                table.append({"size": size, "kind": kind, "method": name, "hit": int(hit.sum()), "n": len(hit)})
    frame = pd.DataFrame(table)
    show(frame)
    total = frame.groupby("method")[["hit", "n"]].sum()
    mine = total.loc["this model"]
    low, high = wilson(int(mine["hit"]), int(mine["n"]))
    peers = {str(k): round(float(v["hit"] / v["n"]), 3) for k, v in total.iterrows() if k != "this model"}
    print(f"{time.monotonic() - started:.1f} s")
    value = float(mine["hit"] / mine["n"])
    ratios = {k: round(value / v, 2) if v else None for k, v in peers.items()}
    return {"value": round(value, 3), "low": round(low, 3), "high": round(high, 3), "n": int(mine["n"]), "peers": peers, "ratios": ratios}


def districts(name: str, side: Reviewed) -> None:
    """Print precision by rule, recall by mechanism and reliability of the findings of one side."""
    print(headline(name, side))
    raised = side.raised
    print("\n".join(precision_lines(raised)))
    for mechanism, g in side.truth[side.truth["kind"] == "fugitive"].groupby("mechanism"):
        hit = pd.Series(side.reached(g.index, raised.index))
        share, low, high = clustered(hit, g["enterprise_id"])
        print(f"recall    {mechanism:34s} {share:.2f} [{low:.2f}, {high:.2f}] n={len(g)} of {g['enterprise_id'].nunique()} enterprises")
    print("\n".join(reliability(side.findings)))


# ---- data ------------------------------------------------------------------------------------------------------------


def read_year(folder: Path, year: int) -> list[Station]:
    """Return the four stations of one year from March on (the data begin then)."""
    hours = pd.date_range(f"{year}-03-01", f"{year + 1}-02-28 23:00", freq="h")
    tables = [pd.read_parquet(folder / f"{s}.parquet") for s in STATIONS]
    for t in tables:
        t.index = pd.to_datetime(t[["year", "month", "day", "hour"]])
    tables = [t.reindex(hours) for t in tables]
    air = {f: np.stack([t[f].to_numpy(np.float32) for t in tables]) for f in FACTORS}
    out = []
    for k, (name, t) in enumerate(zip(STATIONS, tables, strict=True)):
        rest = [j for j in range(4) if j != k]
        out.append(
            Station(name, {f: a[k].copy() for f, a in air.items()}, {f: a[rest] for f, a in air.items()}, _weather(t, hours), hours, k)
        )
    return out


def _weather(t: pd.DataFrame, hours: pd.DatetimeIndex) -> pd.DataFrame:
    points = ["N", "NNE", "NE", "ENE", "E", "ESE", "SE", "SSE", "S", "SSW", "SW", "WSW", "W", "WNW", "NW", "NNW"]
    warm, dew = t["TEMP"], t["DEWP"]
    humidity = 100 * np.exp(17.625 * dew / (243.04 + dew) - 17.625 * warm / (243.04 + warm))  # Magnus
    direction = t["wd"].map({p: 22.5 * i for i, p in enumerate(points)})
    return pd.DataFrame(
        {"time": hours, "zone": "Z", "wind_speed": t["WSPM"].to_numpy(), "wind_dir": direction.to_numpy(float),
         "humidity": humidity.to_numpy(), "rain": t["RAIN"].to_numpy()}
    )  # fmt: skip


def catalog_of(s: Station) -> MemoryCatalog:
    """Return a catalog of one site and its surroundings."""
    rest = [j for j in range(4) if j != s.where]
    rows = []
    for f, code in FACTORS.items():
        rows.append({"point_id": f"site {f}", "system": "dust", "enterprise_id": "E", "outlet_id": "O", "factor": code, "place": s.where})
        public = {"system": "ambient", "enterprise_id": "", "outlet_id": "", "factor": code}
        rows += [{**public, "point_id": f"{STATIONS[j]} {f}", "place": j} for j in rest]
    points = pd.DataFrame(rows)
    points["lon"], points["lat"] = ([PLACES[j][a] for j in points["place"]] for a in (0, 1))
    points = points.assign(unit="µg/m³", role="", street_town="Z")
    cubes = {}
    for entry, system in (("obs_dust", "dust"), ("obs_ambient", "ambient")):
        value = np.vstack([s.value[f][None] if system == "dust" else s.others[f] for f in FACTORS])
        cubes[entry] = cube_of(points.loc[points["system"] == system, "point_id"].tolist(), s.hours, value)
    enterprises = pd.DataFrame({"enterprise_id": ["E"], "industry": ["3011"], "street_town": ["Z"]})
    outlets = pd.DataFrame({"outlet_id": ["O"], "enterprise_id": ["E"], "kind": ["fugitive"]})
    tables = {"enterprises": enterprises, "outlets": outlets, "points": points, "weather": s.weather}
    return MemoryCatalog(tables, cubes, Period(s.hours[0], s.hours[-1] + pd.Timedelta("1h")), name="beijing")


def inject(s: Station, kind: str, size: float, rng: np.random.Generator) -> Station:
    """Return the station with one episode a quarter; a plume comes and goes, and rain lays it."""
    days, first, last = KINDS[kind]
    out = Station(s.name, {f: a.copy() for f, a in s.value.items()}, s.others, s.weather, s.hours, s.where)
    for quarter in range(4):
        day = int(quarter * 91 + rng.integers(2, 88 - days))
        seen = 24 * day + first, 24 * (day + days - 1) + last
        hour = np.arange(*seen)
        on = (hour % 24 >= first) & (hour % 24 < last) & (rng.random(len(hour)) < 0.8)
        dry = ~(s.weather["rain"].to_numpy()[seen[0] : seen[1]] > 0.1)
        wind = np.nan_to_num(s.weather["wind_speed"].to_numpy()[seen[0] : seen[1]], nan=1.5)
        plume = np.where(on & dry, size * rng.lognormal(0.0, 0.6, len(hour)) * np.clip(0.7 + 0.2 * wind, 0.7, 2.0), 0.0)
        for f, share in (("PM10", 1.0), ("PM2.5", FINE)):
            out.value[f][seen[0] : seen[1]] += (share * plume).astype(np.float32)
        out.spans.append(seen)
    return out


# ---- methods: each returns (start, stop, score) of alarms, in hours --------------------------------------------------

Alarms = list[tuple[int, int, float]]


def this_model(s: Station, overrides: dict[str, float] | None = None) -> Alarms:
    """Runs of the model by log-odds, weak ones too unless ``overrides`` say otherwise: the cut is set below."""
    model = load("dust", overrides={"runs.log_odds_min": -9.0} if overrides is None else overrides)
    catalog = catalog_of(s)
    features = model.features(catalog, catalog.period)
    found = model.fit(features, catalog.labels(), seed=0).assess(features)
    found = found[found["p_breach"].notna() & (found["kind"] == "fugitive")]
    at = [((found[c] - s.hours[0]) / pd.Timedelta("1h")).astype(int).tolist() for c in ("start", "end")]
    p = found["p_breach"].to_numpy()
    return list(zip(*at, np.log(p / (1 - p)).tolist(), strict=True))


def hourly_alarms(x: np.ndarray) -> Alarms:
    """Turn an hourly score into alarms: runs of the highest three hundredths, each with its peak as score."""
    known = x[np.isfinite(x)]
    low = float(np.quantile(known, 0.97)) if known.size else np.inf
    return [(a, b, float(np.nanmax(x[a:b]))) for a, b in runs(np.nan_to_num(x, nan=-np.inf) > low, join=JOIN)]


def raw_value(s: Station) -> Alarms:
    """PM10 itself."""
    return hourly_alarms(s.value["PM10"].astype(float))


def ratio_to_stations(s: Station) -> Alarms:
    """PM10 over the median of the other stations."""
    return hourly_alarms(_ratio(s))


def _ratio(s: Station) -> np.ndarray:
    others = pd.DataFrame(s.others["PM10"]).median(axis=0).to_numpy()
    return np.asarray(np.log(s.value["PM10"] + 5.0) - np.log(others + 5.0), dtype=float)


def own_past(s: Station) -> Alarms:
    """Log PM10 against the 30 days before, robustly."""
    y = pd.Series(np.log(s.value["PM10"] + 5.0))
    past = y.shift(1).rolling(720, min_periods=168)
    spread = (past.quantile(0.75) - past.quantile(0.25)) / 1.349
    return hourly_alarms(((y - past.median()) / spread).to_numpy())


def isolation_forest(s: Station) -> Alarms:
    """Isolation forest on value, change, ratio, particle sizes and weather of the same station."""
    from sklearn.ensemble import IsolationForest

    y, fine = np.log(s.value["PM10"] + 5.0), np.log(s.value["PM2.5"] + 5.0)
    columns = [y, np.r_[0.0, np.diff(y)], _ratio(s), y - fine, s.weather["wind_speed"], s.weather["humidity"], s.hours.hour]
    x = np.column_stack([np.asarray(c, dtype=float) for c in columns])
    known = np.isfinite(x).all(axis=1)
    out = np.full(len(x), np.nan)
    forest = IsolationForest(n_estimators=100, random_state=0).fit(x[known])
    out[known] = -forest.score_samples(x[known])
    return hourly_alarms(out)


SCORERS = {
    "this model": this_model,
    "raw value": raw_value,
    "ratio to stations": ratio_to_stations,
    "own past": own_past,
    "isolation forest": isolation_forest,
}


# ---- figures ---------------------------------------------------------------------------------------------------------


def cut_at(alarms: list[Alarms], allowed: int) -> float:
    """Return the score above which the honest series raise ``allowed`` alarms."""
    scores = np.sort([a[2] for s in alarms for a in s])[::-1]
    return float(scores[allowed]) if len(scores) > allowed else float("-inf")


def _hits(alarms: Alarms, cut: float, spans: list[tuple[int, int]]) -> np.ndarray:
    """Return which spans an alarm above the cut overlaps."""
    return np.array([any(a < stop and b > start for a, b, s in alarms if s > cut) for start, stop in spans])


def false_alarms(alarms: list[Alarms], years: int) -> None:
    """Print findings per honest station-year at the model's own alert level."""
    from scipy.stats import chi2

    alert = load("dust").settings.prep("calibration")["alert"]  # type: ignore[attr-defined]
    for name, level in (("raised", alert), ("p ≥ 0.8", 0.8)):
        k = sum(a[2] >= np.log(level / (1 - level)) for s in alarms for a in s)
        low, high = chi2.ppf(0.025, 2 * k) / 2 if k else 0.0, chi2.ppf(0.975, 2 * k + 2) / 2
        print(f"findings {name:8s} {k / years:.2f} per station-year [{low / years:.2f}, {high / years:.2f}], n={k}")


def show(frame: pd.DataFrame) -> None:
    """Print recall by size, kind and method with Wilson intervals."""
    print("\nrecall at one false alarm per site-quarter")
    for (size, kind), g in frame.groupby(["size", "kind"], sort=False):
        words = []
        for r in g.itertuples():
            low, high = wilson(int(r.hit), int(r.n))
            words.append(f"{r.method} {r.hit / r.n:.2f} [{low:.2f}, {high:.2f}]")
        print(f"+{size:3.0f} µg/m³ {kind:12s} n={g['n'].iloc[0]}: " + "; ".join(words))


if __name__ == "__main__":
    main()
