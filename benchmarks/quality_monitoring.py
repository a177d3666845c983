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

Peers: longest run and isolation forest on the whole series; matrix profile on the last 2,160 hours of each station, since its cost grows
with the square; SaQC's functions on the last year, faults only where they touch a test station. What SaQC has said is
kept in --kept, and a run that --minutes ended goes on from there.

    python benchmarks/quality_monitoring.py [--quick] [--data FOLDER] [--seed N] [--saqc-python PATH]
    python benchmarks/quality_monitoring.py --methods SaQC --saqc-python PATH --kept FOLDER --minutes 3
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
from _alarms import forest_alarms, model_alarms, profile_alarms, run_alarms
from _faults import KINDS, in_own_digits, inject
from _real_series import Series, read_air, read_turbine
from _saqc import FUNCTIONS, OF_STATION, Saqc, UnfinishedError
from _skab import skab_f1

from workbench.contracts import limit_threads
from workbench.evaluation.intervals import wilson

AIMS = {"constant": 0.9, "clipped": 0.9, "exact_copy": 0.9, "regenerated": 0.9, "slope": 0.7, "noisy_copy": 0.7}
ELSEWHERE = {"constant": 0.52, "clipped": 0.85, "exact_copy": 0.96, "noisy_copy": 0.48, "regenerated": 0.51, "slope": 0.51}
"""Best recall measured elsewhere at one false alarm per station-year (issue text)."""
SEEN = {
    "beijing": "tuned on Shunyi; the other stations were looked at for older detectors and for robustness (seed 101), not held out wholly",
    "turbine": "tuned on 2011; 2012 and 2013 were looked at for robustness (seed 101)",
}
"""What the figures of a set of series may claim."""
PROFILE_HOURS, SAQC_HOURS = 2160, 8766
"""Hours of each station that the matrix profile and SaQC are given where the series is longer."""
GOES_ON = 60 * 24
"""An alarm that goes on counts again after so many hours."""
Counts = dict[str, tuple[int, int]]
"""Faults found and injected, by kind."""


@dataclass(frozen=True)
class Method:
    """One way to alarm.

    Parameters
    ----------
    alarms : function of (series, values)
        Returns (row, first, last, score).
    hours : int
        Last hours of each station that it is given; 0 for all.
    of_station : bool
        It alarms for a whole station and names its first row.
    only_test : bool
        Faults are left out of the tune part, where they cost time and are not counted.
    """

    alarms: Callable[[Series, np.ndarray], pd.DataFrame]
    hours: int = 0
    of_station: bool = False
    only_test: bool = False


def methods_of(saqc: Saqc | None, wanted: set[str]) -> dict[str, Method]:
    """Return the methods by name; ``SaQC`` stands for all of its functions."""
    made = {
        "workbench": Method(model_alarms),
        "longest run": Method(run_alarms),
        "isolation forest": Method(forest_alarms),
        "matrix profile": Method(profile_alarms, PROFILE_HOURS),
    }
    chosen = {name: m for name, m in made.items() if not wanted or name in wanted}
    for name in FUNCTIONS if saqc else ():
        if not wanted or {name, "SaQC"} & wanted:
            chosen[name] = Method(partial(saqc.alarms, name), SAQC_HOURS, name in OF_STATION, True)
    return chosen


def episodes(alarms: pd.DataFrame, threshold: float, rows: np.ndarray) -> int:
    """Return how many separate alarms there are at a threshold; days in a row count once, and again every :data:`GOES_ON` hours."""
    hit = alarms[(alarms["score"] >= threshold) & alarms["row"].isin(rows)].sort_values(["row", "first"])
    if not len(hit):
        return 0
    row, first = hit["row"].to_numpy(), hit["first"].to_numpy()
    last = hit.groupby("row")["last"].cummax().to_numpy()
    fresh = np.r_[True, (row[1:] != row[:-1]) | (first[1:] > last[:-1] + 24)]
    begun = np.flatnonzero(fresh)
    ended = np.r_[begun[1:] - 1, len(hit) - 1]
    return int(np.ceil((last[ended] - first[begun]) / GOES_ON).sum())


def threshold_for(alarms: pd.DataFrame, rows: np.ndarray, years: float, rate: float = 1.0) -> float:
    """Return the smallest threshold with at most ``rate`` false alarms per station-year on honest series.

    It lies just over the largest honest score that would be one too many.
    """
    scores = np.unique(alarms.loc[alarms["row"].isin(rows), "score"].to_numpy())
    lo, hi = 0, len(scores)
    while lo < hi:
        mid = (lo + hi) // 2
        if episodes(alarms, scores[mid], rows) <= rate * years:
            hi = mid
        else:
            lo = mid + 1
    return float(np.nextafter(scores[lo - 1], np.inf)) if lo else -np.inf


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


def faulty(series: Series, kind: str, seed: int, own_digits: bool, rows: np.ndarray | None) -> tuple[np.ndarray, pd.DataFrame]:
    """Return the values with faults of one kind, in some rows only where these are given, and the faults."""
    values, faults = inject(series, kind, seed)
    if own_digits:
        values = in_own_digits(series, values, faults)
    if rows is None:
        return values, faults
    out = series.values.copy()
    out[rows] = values[rows]
    return out, faults[faults["row"].isin(rows)]


def measure(series: Series, tune: set[str], seed: int, kinds: tuple[str, ...], method: Method, rounds: int, own_digits: bool) -> Counts:
    """Measure one method on one set of series, print what it does, and return faults found and injected by kind."""
    series = series.part(method.hours) if method.hours else series
    stations = np.array(series.station)
    first = {s: int(np.flatnonzero(series.target & (stations == s))[0]) for s in dict.fromkeys(series.station)}
    head = np.array([first[s] if method.of_station else r for r, s in enumerate(stations)])
    tune_rows, test_rows = (np.flatnonzero(np.isin(stations, list(part))) for part in (tune, set(series.station) - tune))
    test, t = set(series.station) - tune, time.time()
    years = series.years(test)
    honest = method.alarms(series, series.values)
    chosen, exact = threshold_for(honest, tune_rows, series.years(tune)), threshold_for(honest, test_rows, years)
    false = episodes(honest, chosen, test_rows)
    print(
        f"    threshold from {sorted(tune)} gives {false} false alarms in {years:.1f} station-years of {sorted(test)} "
        f"= {false / years:.2f} per station-year"
    )
    if "detector" in honest:
        worst = honest[honest["row"].isin(test_rows)].groupby("detector")["score"].agg(["size", "max"])
        best = {k: (int(v["size"]), round(float(v["max"]), 1)) for k, v in worst.iterrows()}
        print(f"    honest candidates by detector: {best} threshold {chosen:.2f}, exact {exact:.2f}")
    if "breach" in honest:
        said = episodes(honest[honest["breach"]], -np.inf, test_rows)
        print(f"    the product's own breaches: {said} false in {years:.1f} station-years = {said / years:.2f} per station-year")
    out: Counts = {}
    for kind in kinds:
        k = n = held = ruled = 0
        for r in range(rounds):
            values, faults = faulty(series, kind, seed + r, own_digits, test_rows if method.only_test else None)
            found, faults = method.alarms(series, values), faults.assign(row=head[faults["row"].to_numpy(dtype=int)])
            hit, among = recall(found, faults, exact, test_rows)
            k, n, held = k + hit, n + among, held + recall(found, faults, chosen, test_rows)[0]
            ruled += recall(found[found["breach"]], faults, -np.inf, test_rows)[0] if "breach" in found else 0
        out[kind] = (k, n)
        print(
            f"    {kind:12s} recall at one false alarm per station-year {share(k, n)}; at the tuned threshold {held / max(n, 1):.2f}"
            + (f"; ruled a breach {ruled / max(n, 1):.2f}" if "breach" in honest else "")
        )
    print(f"    ({time.time() - t:.0f} s)")
    return out


def share(k: int, n: int) -> str:
    """Return a share with its Wilson interval, 95 %, and its number."""
    return f"{k / n:.2f} [{wilson(k, n)[0]:.2f}, {wilson(k, n)[1]:.2f}] n={n}" if n else "–"


def table(name: str, kinds: tuple[str, ...], measured: dict[str, Counts]) -> None:
    """Print recall by kind and method of one set of series, in Markdown."""
    print(f"\n| {name} | aim | {' | '.join(measured)} |\n|{'---|' * (len(measured) + 2)}")
    for kind in kinds:
        cells = [share(*m.get(kind, (0, 0))) for m in measured.values()]
        k, n = measured.get("workbench", {}).get(kind, (0, 0))
        missed = " **not reached**" if n and k / n < AIMS[kind] else ""
        print(f"| {kind} | {AIMS[kind]}{missed} | {' | '.join(cells)} |")


def closing(measured: list[dict[str, Counts]]) -> dict[str, object]:
    """Return the closing line over all series and kinds."""
    total: dict[str, list[int]] = {}
    for name, by_kind in ((name, m) for part in measured for name, m in part.items()):
        cell = total.setdefault(name, [0, 0])
        cell[0], cell[1] = cell[0] + sum(k for k, _ in by_kind.values()), cell[1] + sum(n for _, n in by_kind.values())
    k, n = total.pop("workbench", [0, 0])
    low, high = wilson(k, n) if n else (None, None)
    peers = {m: round(a / max(b, 1), 3) for m, (a, b) in total.items()}
    value = round(k / n, 3) if n else None
    return {
        "name": "monitoring recall at one false alarm per station-year", "unit": "1", "value": value, "low": low and round(low, 3),
        "high": high and round(high, 3), "n": n, "peers": peers,
        "ratios": {m: round(value / v, 2) for m, v in peers.items() if v and value is not None},
    }  # fmt: skip


def parsed() -> argparse.Namespace:
    """Return the arguments."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="one year of the stations, 100 days of the turbine, two kinds of fault")
    parser.add_argument("--data", type=Path, default=None, help="folder with prsa, gas_turbine and skab")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--repeats", type=int, default=0, help="rounds of faults per kind (default: 1 for the stations, 3 for the turbine)")
    parser.add_argument(
        "--saqc-python", default=os.environ.get("SAQC_PYTHON", sys.executable), help="a Python that has saqc (GPL, never in the lock)"
    )
    parser.add_argument("--kept", type=Path, default=None, help="folder of what SaQC has said (default: reports/saqc)")
    parser.add_argument("--minutes", type=float, default=float("inf"), help="SaQC stops after so many; the same command goes on")
    parser.add_argument("--own-digits", action="store_true", help="faults written in the point's own digits: a falsifier who hides them")
    parser.add_argument("--kinds", default="", help="kinds of fault, separated by commas (default: all)")
    parser.add_argument("--methods", default="", help="methods by name, separated by commas (default: all); SaQC: all of its functions")
    parser.add_argument("--only", default="", help="series to measure: beijing, turbine, skab")
    return parser.parse_args()


def main() -> None:
    """Measure, print the tables and the closing line."""
    args = parsed()
    limit_threads()
    root = Path(__file__).resolve().parents[1]
    data = args.data or Path(os.environ.get("WORKBENCH_SHARED", root.parent / "shared")) / "data"
    if args.own_digits:
        print("faults are written in the point's own digits")
    if not data.is_dir():
        print(f"not measured: no folder {data.name} of real series (give --data)\n{json.dumps(closing([]))}")
        return
    kinds = KINDS if not args.quick else ("constant", "exact_copy")
    kinds = tuple(k for k in KINDS if k in args.kinds.split(",")) if args.kinds else kinds
    wanted = {m for m in args.methods.split(",") if m}
    saqc: Saqc | None = Saqc(args.saqc_python, args.kept or root / "reports" / "saqc", time.monotonic() + 60 * args.minutes)
    if args.quick or not saqc or not saqc.there():
        saqc = None
        print("SaQC: not measured (give --saqc-python a Python that has saqc; it is GPL and never in the lock; not with --quick)")
    everything: list[dict[str, Counts]] = []
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
        measured: dict[str, Counts] = {}
        for method, m in methods_of(saqc, wanted).items():
            rounds = args.repeats or (1 if args.quick else repeats)
            hours = min(m.hours or len(series.time), len(series.time))
            print(f"  {method}: {hours:,} hours of each station, {rounds} round(s) of faults")
            try:
                measured[method] = measure(series, tune, args.seed, kinds, m, rounds, args.own_digits)
            except UnfinishedError:
                print("    not finished: the minutes are over, the same command goes on")
                sys.exit(3)
        table(name, kinds, measured)
        everything.append(measured)
    if (data / "skab").is_dir() and args.only in ("", "skab") and (not wanted or "workbench" in wanted):
        skab = skab_f1(data / "skab")
        if args.only:
            print(json.dumps(skab, ensure_ascii=False))
            return
    print(json.dumps(closing(everything), ensure_ascii=False))


if __name__ == "__main__":
    main()
