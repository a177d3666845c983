"""A whole iteration (``workbench run``) on a full-size district: time and memory of every step, growth, resumption, and a new day.

    python benchmarks/iteration.py [--quick] [--catalog CATALOG] [--seed 1] [--scheduler tcp://…] [--no-day]

(a) a small and a full district are generated, or ``--catalog`` is copied; the last day of the large one is taken out and kept as packets
(b) ``workbench run`` on both, each in a process of its own: seconds and peak memory of every step, records/s, cost of a record
(c) the same command again with ``--resume``, nothing changed
(d) the day comes in as HJ 212 packets (``workbench ingest``), and the iteration runs again: what a daily schedule costs
``--quick``: a tiny district for the full one, and no small one. A record is one cell of a cube, arrived or not. Value: seconds of the first
run; low and high: of the two full runs. The last line is JSON: {name, value, unit, low, high, n, peers, ratios}.
"""

from __future__ import annotations

import argparse
import datetime as dt
import json
import shutil
import subprocess
import sys
import tempfile
import time
import warnings
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import xarray as xr
import zarr

from workbench.catalog import open_catalog
from workbench.catalog.hj212 import ingest_files
from workbench.catalog.hj212.encode import LETTERS, encode_packet
from workbench.contracts import CUBES, limit_threads, threads
from workbench.pipeline.memory_watch import watch_memory

ROOT = Path(__file__).resolve().parents[1]
GOAL_S, GOAL_GIB = 900.0, 8.0
CODES = [f"e{group}{k:02d}" for group in (301, 302, 303) for k in range(100)]
"""Codes for what HJ 212 has none for (power, states of the treatment): the mapping says which point each of them is."""


@dataclass(frozen=True)
class Run:
    """What one ``workbench run`` took: seconds and peak GiB in all, and (seconds, peak MiB) of each step."""

    seconds: float
    peak_gib: float
    steps: dict[str, tuple[float, float]]
    folder: Path


def main() -> None:
    """Run every part and print the closing line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--catalog", type=Path, help="full-size district instead of a generated one; it is copied, not changed")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--scheduler", default="", help="address of a running Dask scheduler; default: threads")
    parser.add_argument("--no-day", action="store_true", help="leave (d) out: half the time")
    options = parser.parse_args()
    limit_threads()
    scratch = Path(tempfile.mkdtemp(prefix="iteration-"))
    try:
        print(json.dumps(measure(options, scratch), ensure_ascii=False))
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def measure(options: argparse.Namespace, scratch: Path) -> dict[str, object]:
    """Run (a) to (d); return the closing line."""
    print("(a) districts", flush=True)
    small = None if options.quick else generated(scratch / "small", "small", options.seed)[0]
    if options.catalog:
        catalog, made = shutil.copytree(options.catalog.resolve().parent, scratch / "full") / options.catalog.name, 0.0
    else:
        catalog, made = generated(scratch / "full", "tiny" if options.quick else "full", options.seed)
    whole = {e: values_of(catalog, e) for e in cubes_of(catalog)}
    day = take_out_last_day(catalog, scratch)
    n = records(catalog)
    print(f"  last day taken out: {day.values:,} values in {day.packets:,} packets, {day.size / 1e6:.0f} MB", flush=True)
    extra = ["--scheduler", options.scheduler] if options.scheduler else []

    print(f"(b) the whole iteration, {threads()} threads", flush=True)
    few = run(small, scratch / "reports_small", extra) if small else None
    first = run(catalog, scratch / "reports", extra)
    table(first, n, few, records(small) if small else 0)
    size = sum(f.stat().st_size for f in first.folder.rglob("*") if f.is_file())
    cost = first.seconds / n
    ratio = cost / (few.seconds / records(small)) if few and small else None
    print(
        f"  {n / first.seconds / 1e6:.2f} M records/s; report folder {size / 1e6:.0f} MB; goals {GOAL_S:g} s and {GOAL_GIB:g} GiB",
        flush=True,
    )

    print("(c) again with --resume, nothing changed", flush=True)
    again = run(catalog, scratch / "reports", [*extra, "--resume"])
    unchanged = again.folder == first.folder
    print(f"  {again.seconds:.1f} s" + ("" if unchanged else ": not a resumption, the code has changed meanwhile"), flush=True)

    runs, daily = [first.seconds], {}
    if not options.no_day:
        print("(d) a new day comes in, and the iteration runs again", flush=True)
        began = time.perf_counter()
        report = ingest_files([day.file], catalog.parent, mapping=day.mapping, progress=False, now=day.end + dt.timedelta(days=1))
        took = time.perf_counter() - began
        same = all(np.array_equal(values_of(catalog, e), whole[e], equal_nan=True) for e in whole)
        print(
            f"  ingest: {took:.1f} s for {report.stored.new:,} values ({report.packets / took:,.0f} packets/s, "
            f"{report.set_aside} set aside); the store is {'as before the day was taken out' if same else 'NOT as before'}"
        )
        second = run(catalog, scratch / "reports", [*extra, "--resume"])
        print(f"  run: {second.seconds:.1f} s: every step ran again, since each reads the whole history")
        runs.append(second.seconds)
        daily = {"ingest_s": round(took, 1), "run_after_s": round(second.seconds, 1), "values": report.stored.new, "store_as_before": same}
    ratios = {"of goal": round(first.seconds / GOAL_S, 3)} | ({"cost of a record, full to small": round(ratio, 3)} if ratio else {})
    return {
        "name": "whole iteration", "value": round(first.seconds, 1), "unit": "s", "low": round(min(runs), 1), "high": round(max(runs), 1),
        "n": n, "peers": {"goal": GOAL_S}, "ratios": ratios, "peak_gib": round(first.peak_gib, 2),
        "records_per_s": round(n / first.seconds), "report_mb": round(size / 1e6, 1), "step_s": {k: s for k, (s, _) in first.steps.items()},
        "generate_s": round(made, 1), "resume_s": round(again.seconds, 1) if unchanged else None, "day": daily,
    }  # fmt: skip


def generated(folder: Path, scale: str, seed: int) -> tuple[Path, float]:
    """Generate a district; return its catalog and the seconds."""
    began = time.perf_counter()
    subprocess.run(command("generate", "--scale", scale, "--seed", str(seed), str(folder)), check=True, capture_output=True, cwd=ROOT)
    seconds = time.perf_counter() - began
    catalog = folder / "catalog.yml"
    print(f"  {scale}, seed {seed}: {records(catalog) / 1e6:.1f} M records, generated in {seconds:.0f} s", flush=True)
    return catalog, seconds


def command(*words: str) -> list[str]:
    """Return the command line of ``workbench``."""
    return [sys.executable, "-m", "workbench.cli", *words]


def cubes_of(catalog: Path) -> list[str]:
    """Return the names of a catalog's cubes."""
    opened = open_catalog(str(catalog))
    return [e for e in CUBES if opened.has(e)]


def records(catalog: Path) -> int:
    """Return the cells of all cubes of a catalog."""
    opened = open_catalog(str(catalog))
    return sum(int(opened.cube(e)["value"].size) for e in cubes_of(catalog))


def values_of(catalog: Path, entry: str) -> np.ndarray:
    """Return the last two days of a cube's values, shape (point, time)."""
    cube = open_catalog(str(catalog)).cube(entry)
    end = pd.Timestamp(cube["time"].to_numpy()[-1]).normalize()
    return np.asarray(cube["value"].sel(time=slice(end - pd.Timedelta(days=1), None)))


def run(catalog: Path, reports: Path, extra: list[str]) -> Run:
    """Run an iteration in a process of its own; a run that fails ends the benchmark with its words."""
    began = time.perf_counter()
    with watch_memory() as peak:
        done = subprocess.run(
            command("run", "--catalog", str(catalog), "--out", str(reports), *extra), check=False, capture_output=True, text=True, cwd=ROOT
        )
    seconds = time.perf_counter() - began
    if done.returncode:
        raise SystemExit(f"the iteration failed (exit {done.returncode}):\n{done.stdout[-2000:]}\n{done.stderr[-2000:]}")
    folder = max((f.parent for f in reports.glob("*/run.json")), key=lambda f: (f / "run.json").stat().st_mtime)
    record = json.loads((folder / "run.json").read_text(encoding="utf-8"))
    return Run(seconds, peak.mib / 1024, {s["name"]: (s["wall_s"], s["peak_mib"]) for s in record["steps"]}, folder)


def table(large: Run, n: int, small: Run | None, n_small: int) -> None:
    """Print the steps of the large run and, beside them, of the small one."""
    rows = {}
    for step, (seconds, mib) in large.steps.items():
        rows[step] = {"s": seconds, "MiB": mib, "ns a record": seconds / n * 1e9}
        if small is not None:
            s, m = small.steps[step]
            rows[step] |= {"small: s": s, "small: MiB": m, "small: ns a record": s / n_small * 1e9}
    frame = pd.DataFrame.from_dict(rows, orient="index")
    frame.loc["in all (with start and check)"] = [
        large.seconds, large.peak_gib * 1024, large.seconds / n * 1e9,
        *([small.seconds, small.peak_gib * 1024, small.seconds / n_small * 1e9] if small else []),
    ]  # fmt: skip
    print(frame.to_string(float_format=lambda x: f"{x:,.1f}"))


@dataclass(frozen=True)
class Day:
    """A day taken out of a store, as packets, and the table that maps what its devices send to points."""

    file: Path
    mapping: Path
    packets: int
    values: int
    size: int
    end: dt.datetime


def take_out_last_day(catalog: Path, scratch: Path) -> Day:
    """Take the last day out of every cube of a local store, in place; return it as HJ 212 packets."""
    opened = open_catalog(str(catalog))
    points = opened.table("points").set_index("point_id", drop=False)
    last = max(pd.Timestamp(opened.cube(e)["time"].to_numpy()[-1]) for e in cubes_of(catalog)).normalize()
    devices: list[dict[str, object]] = []
    packets, values = 0, 0
    file = scratch / "day.txt"
    with file.open("wb") as out:
        for entry in cubes_of(catalog):
            cube = opened.cube(entry)
            day = cube.sel(time=slice(last, None)).load()
            for mn, group in grouped(points.loc[day["point"].to_numpy().astype(object)], len(devices)):
                devices += group
                part = day.sel(point=[g["point_id"] for g in group])
                v, m = part["value"].to_numpy(), part["mark"].to_numpy()
                for k, when in enumerate(pd.DatetimeIndex(part["time"].to_numpy())):
                    there = [
                        (str(g["factor"]), {"Rtd": np.format_float_positional(v[i, k], trim="-"), "Flag": LETTERS.get(int(m[i, k]), "")})
                        for i, g in enumerate(group)
                        if np.isfinite(v[i, k])
                    ]
                    if there:
                        sent = {code: {a: b for a, b in what.items() if b} for code, what in there}
                        out.write(encode_packet(mn, when.to_pydatetime(), sent, mark=None, answer=False))
                        packets, values = packets + 1, values + len(there)
            cut(catalog.parent / "data" / f"{entry}.zarr", day.sizes["time"])
    mapping = scratch / "mapping.csv"
    pd.DataFrame(devices).to_csv(mapping, index=False)
    return Day(file, mapping, packets, values, file.stat().st_size, (last + pd.Timedelta(days=1)).to_pydatetime())


def grouped(points: pd.DataFrame, number: int) -> list[tuple[str, list[dict[str, object]]]]:
    """Return (MN, rows of the mapping) for each device: what stands at one outlet, or at one place, in one system."""
    place = points["outlet_id"].where(points["outlet_id"] != "", points["point_id"].str.rpartition("-")[0])
    out = []
    for _, rows in points.groupby([points["system"], place], sort=True):
        mn = f"88{number + len(out):012d}"
        own = rows["factor"].str.fullmatch(r"[aw]\d{5}") & ~rows["factor"].duplicated(keep=False)
        codes = rows["factor"].where(own, pd.Series(CODES[: len(rows)], index=rows.index))
        out.append(
            (
                mn,
                [
                    {"mn": mn, "factor": c, "point_id": p, "system": s, "point_factor": f, "sent_unit": u}
                    for c, p, s, f, u in zip(codes, rows["point_id"], rows["system"], rows["factor"], rows["unit"], strict=True)
                ],
            )
        )
    return out


def cut(store: Path, steps: int) -> None:
    """Take the last steps out of a store, so that nothing of them is left in its edge chunks."""
    group = zarr.open_group(str(store), mode="r+", use_consolidated=False)
    times = group["value"].shape[1] - steps
    for name in ("value", "mark"):
        array = group[name]
        array[:, times:] = array.fill_value
        array.resize((array.shape[0], times))
    group["time"].resize((times,))
    with warnings.catch_warnings():  # consolidated metadata are not in the Zarr 3 specification; xarray writes and reads them
        warnings.simplefilter("ignore")
        zarr.consolidate_metadata(str(store))
    with xr.open_zarr(store, chunks=None) as left:
        if left.sizes["time"] != times:
            raise SystemExit(f"{store.name} was not cut")


if __name__ == "__main__":
    main()
