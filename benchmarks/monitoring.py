"""Speed and size of the monitoring model, beside peers in the same run; makes its own synthetic store.

    python benchmarks/monitoring.py [--quick] [--scheduler tcp://…] [--saqc-python PATH] [--layouts]

(a) per-point-day statistics from the Zarr store to features, against DuckDB and Polars on their own best files
(b) every detector over the full history: seconds and peak memory
(c) one day of new records appended and scored
(d) cost of the statistics at 1, 4 and 16 times the records
(e) the same bytes on a two-worker Dask cluster
``--layouts`` measures chunk shapes and codecs (docs/store-layout.md rests on it).
"""

from __future__ import annotations

import argparse
import gc
import hashlib
import json
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from workbench.contracts import Period, limit_threads, threads

PER_DAY = 240
FULL = (2071, 260)
QUICK = (256, 30)
CHUNKS = (32, 7200)
"""Points and samples in a chunk: 30 days of 32 points, see docs/store-layout.md."""
FACTORS = ("a21026", "a21002", "a34013", "a19001", "a00000", "a01012")


def synthetic(points: int, days: int, seed: int) -> np.ndarray:
    """Return plausible rounded values, shape (point, time) float32: a daily cycle, slow noise, ties, gaps."""
    rng = np.random.default_rng(seed)
    n = days * PER_DAY
    out = np.empty((points, n), np.float32)
    cycle = 1 + 0.2 * np.sin(np.arange(n) * 2 * np.pi / PER_DAY)
    for i in range(points):
        noise = rng.standard_normal(n).astype(np.float32)
        slow = np.repeat(np.cumsum(noise[::20])[: n // 20 + 1], 20)[:n] * 0.02
        slow -= slow.mean()
        x = (20 + 5 * (i % 7)) * cycle * np.exp(np.clip(slow, -1, 1) * 0.3 + 0.03 * noise)
        out[i] = np.round(x, 1)
    gaps = rng.integers(0, n - 20, size=(points, 6))
    for i in range(points):
        for g in gaps[i]:
            out[i, g : g + 12] = np.nan
    return out


def store_options(codec: str) -> dict[str, Any]:
    """Return the zarr encoding of a codec by its name."""
    from zarr.codecs import BloscCodec, ZstdCodec

    if codec == "lz4 bitshuffle":
        return {"compressors": BloscCodec(cname="lz4", clevel=1, shuffle="bitshuffle")}
    if codec == "zstd bitshuffle":
        return {"compressors": BloscCodec(cname="zstd", clevel=1, shuffle="bitshuffle")}
    if codec == "zstd plain":
        return {"compressors": ZstdCodec(level=3)}
    return {"compressors": None}


def write_store(path: Path, value: np.ndarray, chunks: tuple[int, int], codec: str) -> None:
    """Write values and empty marks as a cube with the given chunks and codec."""
    n, t = value.shape
    data = xr.Dataset(
        {"value": (("point", "time"), value), "mark": (("point", "time"), np.zeros(value.shape, np.uint8))},
        coords={"point": np.array([f"P{i:05d}" for i in range(n)]), "time": pd.date_range("2026-01-01", periods=t, freq="6min")},
    )
    encoding = {v: {"chunks": (min(chunks[0], n), min(chunks[1], t)), **store_options(codec)} for v in ("value", "mark")}
    data.to_zarr(path, mode="w", encoding=encoding, zarr_format=3, consolidated=False)


class Store:
    """The synthetic store as a catalog."""

    name = "synthetic"

    def __init__(self, path: Path, days: int | None = None) -> None:
        self.path, self.days = path, days
        ids = [str(i) for i in self.cube("obs_cems")["point"].to_numpy()]
        k = np.arange(len(ids))
        place = [f"O{i // len(FACTORS):04d}" for i in k]
        self.points = pd.DataFrame(
            {
                "point_id": ids, "system": "cems", "enterprise_id": place, "outlet_id": place,
                "factor": [FACTORS[i % len(FACTORS)] for i in k],
                "role": "", "unit": "mg/m³", "range_low": 0.0, "range_high": 500.0, "resolution": 0.1, "interval_s": 360.0, "lon": 118.0,
                "lat": 31.0, "street_town": [f"S{i % 12}" for i in k], "installed_on": pd.NaT, "removed_on": pd.NaT,
            }
        )  # fmt: skip
        self.limits = pd.DataFrame({"permit_id": "X", "outlet_id": place, "factor": self.points["factor"], "limit": 80.0, "basis": "hour"})

    @property
    def period(self) -> Period:
        """Return the span of the store."""
        t = self.cube("obs_cems")["time"].to_numpy()
        return Period(pd.Timestamp(t[0]), pd.Timestamp(t[-1]) + pd.Timedelta(minutes=6))

    def has(self, entry: str) -> bool:
        """Return whether the entry exists."""
        return entry in ("points", "permit_limits", "obs_cems")

    def table(self, entry: str, columns: list[str] | None = None) -> pd.DataFrame:
        """Return points or limits."""
        return self.points if entry == "points" else self.limits

    def cube(self, entry: str) -> xr.Dataset:
        """Return the lazy cube."""
        data = xr.open_zarr(self.path, consolidated=False)
        return data if self.days is None else data.isel(time=slice(0, self.days * PER_DAY))

    def labels(self, decided_before: pd.Timestamp | None = None) -> pd.DataFrame:
        """Return no inspections."""
        return pd.DataFrame(columns=["enterprise_id", "finding", "kinds", "period_start", "period_end"])

    def path_of(self, relative: str) -> str:
        """Return the path as it is."""
        return relative


def best_of(work: Callable[[], Any], repeats: int) -> tuple[float, float, float]:
    """Return the median, the smallest and the largest wall time."""
    times = []
    for _ in range(repeats):
        gc.collect()
        t = time.perf_counter()
        work()
        times.append(time.perf_counter() - t)
    return float(np.median(times)), min(times), max(times)


def statistics_of(path: Path) -> list[np.ndarray]:
    """Read the store block by block with numpy and the model's kernel; return the day statistics."""
    from workbench.models.monitoring.day_statistics import scan_store

    return scan_store(path, PER_DAY)


def bandwidth(value: np.ndarray) -> float:
    """Return seconds to read the raw bytes once from memory with all threads: the floor of any method."""
    from concurrent.futures import ThreadPoolExecutor

    parts = np.array_split(value, threads())
    marks = [np.zeros(p.shape, np.uint8) for p in parts]

    def read(k: int) -> int:
        return int(parts[k].view(np.uint32).max()) + int(marks[k].max())

    with ThreadPoolExecutor(threads()) as pool:
        return best_of(lambda: list(pool.map(read, range(len(parts)))), 3)[1]


SQL = """
with s as (select point, day, t, value, lag(value) over (partition by point order by t) as previous from '{file}'),
r as (select *, sum(case when value is not distinct from previous then 0 else 1 end) over (partition by point order by t) as run from s),
l as (select point, day, max(n) as longest from (select point, day, run, count(*) as n from r group by all) group by all)
select s.point, s.day, count(value) as n, count(*) - count(value) as missing, avg(value) as mean, stddev_pop(value) as sd,
 min(value) as low,
 max(value) as high, avg((value = previous)::int) as ties, avg(abs(value - previous)) as rough, sum(pow(value - previous, 2)) as steps,
 sum((value > 80)::int) as over_limit, any_value(l.longest) as longest
from s join l using (point, day) group by s.point, s.day
"""


def write_long(path: Path, value: np.ndarray) -> None:
    """Write the long parquet file both engines like best: sorted by point and time, integers for keys, zstd, point-aligned row groups."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    n = value.shape[1]
    t = np.arange(n, dtype=np.int32)
    writer = None
    for i in range(len(value)):
        table = pa.table(
            {
                "point": pa.array(np.full(n, i, np.int32)),
                "day": pa.array((t // PER_DAY).astype(np.int16)),
                "t": pa.array(t),
                "value": pa.array(value[i], from_pandas=True),
            }
        )
        writer = writer or pq.ParquetWriter(path, table.schema, compression="lz4")
        writer.write_table(table)
    if writer:
        writer.close()


def duckdb_statistics(path: Path) -> int:
    """Compute the same day statistics in SQL; return the number of point-days."""
    import duckdb

    with duckdb.connect() as db:
        db.execute(f"set threads to {threads()}")
        return len(db.execute(SQL.format(file=path)).fetchnumpy()["n"])


def polars_statistics(path: Path) -> int:
    """Compute the same day statistics lazily in Polars; return the number of point-days."""
    import polars as pl

    value, previous = pl.col("value"), pl.col("value").shift(1).over("point")
    lazy = pl.scan_parquet(path).with_columns(previous=previous)
    lazy = lazy.with_columns(step=value - pl.col("previous"))
    lazy = lazy.with_columns(run=(pl.col("step").fill_null(1.0) != 0).cum_sum().over("point"))
    runs = lazy.group_by("point", "day", "run").agg(n=pl.len()).group_by("point", "day").agg(longest=pl.col("n").max())
    stats = lazy.group_by("point", "day").agg(
        n=value.count(), missing=value.null_count(), mean=value.mean(), sd=value.std(ddof=0), low=value.min(), high=value.max(),
        ties=(pl.col("step") == 0).mean(), rough=pl.col("step").abs().mean(), steps=(pl.col("step") ** 2).sum(), over=(value > 80).sum(),
    )  # fmt: skip
    return stats.join(runs, on=["point", "day"]).collect().height


def peer(name: str, work: Callable[[], Any], records: int) -> float | None:
    """Time a peer once, print and return its records per second, or None with the reason printed."""
    try:
        seconds = best_of(work, 1)[0]
    except Exception as error:  # a peer that fails is reported, not fatal
        print(f"  {name}: not measured ({type(error).__name__}: {str(error)[:120]})")
        return None
    print(f"  {name}: {records / seconds / 1e6:.2f} M records/s ({seconds:.2f} s for {records / 1e6:.1f} M records)")
    return records / seconds


SAQC = """
import sys, time, warnings, numpy as np, pandas as pd, saqc
warnings.simplefilter("ignore")
v = np.load(sys.argv[1]); n = v.shape[1]; idx = pd.date_range("2026-01-01", periods=n, freq="6min")
daily = [
    ("n", "x", "count"), ("mean", "x", "mean"), ("sd", "x", "std"), ("low", "x", "min"), ("high", "x", "max"), ("missing", "gap", "sum"),
    ("ties", "tie", "mean"), ("rough", "step", "mean"), ("steps", "square", "sum"), ("over_limit", "over", "sum"),
    ("longest", "run", "max"),
]
t = time.perf_counter()
for i in range(len(v)):
    q = saqc.SaQC(pd.DataFrame({"x": v[i].astype(float)}, index=idx))
    q = q.processGeneric("x", target="gap", func=lambda x: x.isna().astype(float))
    q = q.processGeneric("x", target="step", func=lambda x: x.diff().abs())
    q = q.processGeneric("x", target="square", func=lambda x: x.diff() ** 2)
    q = q.processGeneric("x", target="tie", func=lambda x: (x.diff() == 0).astype(float))
    q = q.processGeneric("x", target="over", func=lambda x: (x > 80).astype(float))
    q = q.processGeneric("x", target="run", func=lambda x: x.groupby((x != x.shift()).cumsum()).cumcount() + 1.0)
    for name, field, how in daily:
        q = q.copyField(field, target=name).resample(name, freq="1D", func=how)
print(time.perf_counter() - t)
"""
"""The day statistics of the SQL above, by SaQC's own functions."""


def saqc_rate(python: str, value: np.ndarray, folder: Path) -> float | None:
    """Return SaQC's records per second from a Python that has it (GPL, never part of the lock), or None."""
    sample = value[:4]
    np.save(folder / "saqc.npy", sample)
    try:
        done = subprocess.run([python, "-c", SAQC, str(folder / "saqc.npy")], capture_output=True, text=True, timeout=600, check=False)
    except OSError:
        done = None
    if done is None or done.returncode:
        print("  SaQC: not measured (give --saqc-python a Python that has saqc; it is GPL and never in the lock)")
        return None
    rate = sample.size / float(done.stdout.strip().splitlines()[-1])
    print(f"  SaQC: {rate / 1e6:.3f} M records/s (the same statistics by its own functions, {sample.size / 1e6:.2f} M records)")
    return rate


def all_detectors(path: Path, days: int | None = None) -> tuple[int, float]:
    """Read, reduce, run every detector, score; return the number of findings and the seconds."""
    from workbench.models import load

    catalog = Store(path, days)
    model = load("monitoring")
    t = time.perf_counter()
    features = model.features(catalog, catalog.period)
    fitted = model.fit(features, catalog.labels(), seed=1)
    found = fitted.assess(features)
    return len(found), time.perf_counter() - t


def peak_of(code: str, path: Path) -> tuple[float, float]:
    """Run a call of this file in a process of its own; return seconds and peak GiB."""
    done = subprocess.run([sys.executable, __file__, "--inner", code, str(path)], capture_output=True, text=True, check=True)
    seconds, peak = done.stdout.strip().splitlines()[-1].split()
    return float(seconds), float(peak)


def inner(code: str, path: Path) -> None:
    """Run one part in this process and print its seconds and peak memory."""
    limit_threads()
    seconds = all_detectors(path)[1] if code == "detectors" else float("nan")
    print(seconds, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20)


def append_and_score(path: Path, value: np.ndarray, points: int) -> float:
    """Append one day to the history's features and score it; return seconds from the new records to the scored day."""
    from workbench.models.monitoring.append import Tail, append_day, start_tail

    catalog = Store(path)
    tail: Tail = start_tail(catalog, catalog.period)
    day = np.resize(value[:points, :PER_DAY], (points, PER_DAY)) + np.float32(0.1)
    mark = np.zeros(day.shape, np.uint8)
    append_day(tail, day, mark)  # compiles
    t = time.perf_counter()
    append_to_store(path, day, mark)
    written = time.perf_counter() - t
    append_day(tail, day, mark)
    seconds = time.perf_counter() - t
    print(f"  {day.size:,} new records: {written:.2f} s to store, {seconds - written:.2f} s to reduce, look up and score")
    return seconds


def append_to_store(path: Path, day: np.ndarray, mark: np.ndarray) -> None:
    """Append a day to value and mark of the store, blocks of points in threads."""
    from concurrent.futures import ThreadPoolExecutor

    import zarr

    group = zarr.open_group(str(path), mode="r+")
    for name, new in (("value", day), ("mark", mark)):
        array = group[name]
        n = array.shape[1]
        array.resize((array.shape[0], n + PER_DAY))
        rows = array.chunks[0]

        def put(lo: int, array: Any = array, new: np.ndarray = new, n: int = n, rows: int = rows) -> None:
            array[lo : lo + rows, n : n + PER_DAY] = new[lo : lo + rows]

        with ThreadPoolExecutor(threads()) as pool:
            list(pool.map(put, range(0, len(new), rows)))
    times = group["time"]
    n = times.shape[0]
    step = times[1] - times[0]
    times.resize((n + PER_DAY,))
    times[n:] = times[n - 1] + step * np.arange(1, PER_DAY + 1)


def digest(features: xr.Dataset) -> str:
    """Return a hash over every variable's bytes."""
    h = hashlib.sha256()
    for name in sorted(map(str, features.data_vars)):
        h.update(np.ascontiguousarray(features[name].to_numpy()).tobytes())
    return h.hexdigest()[:16]


def linearity(folder: Path, points: int, days: int) -> list[float]:
    """Print and return the nanoseconds per record of the statistics at 1, 4 and 16 times the records.

    Every timing reads the same number of records, the smallest store 16 times over and the largest once, so that other work on the
    machine weighs alike on all sizes; sizes take turns, three rounds, from a warm page cache, and the smallest time counts. The
    smallest store has whole blocks of points for every thread, so that no thread idles at any size.
    """
    sizes = (1, 4, 16)
    block = CHUNKS[0] * threads()
    base = block * max(1, points // 16 // block)
    few = synthetic(min(base, 64), days, 2)
    stores = {k: folder / f"times{k}.zarr" for k in sizes}
    for k, store in stores.items():
        write_store(store, np.resize(few, (base * k, days * PER_DAY)), CHUNKS, "lz4 bitshuffle")
        statistics_of(store)  # into the page cache
    times: dict[int, list[float]] = {k: [] for k in sizes}
    for _ in range(3):
        for k, store in stores.items():
            times[k].append(best_of(lambda store=store, k=k: [statistics_of(store) for _ in range(16 // k)], 1)[0])
    records = base * 16 * days * PER_DAY
    costs = [min(times[k]) / records * 1e9 for k in sizes]
    for k, cost in zip(sizes, costs, strict=True):
        slow = max(times[k]) / records * 1e9
        print(f"  {k:2d}× ({base * k * days * PER_DAY / 1e6:.1f} M records): {cost:.2f} ns per record (slowest round {slow:.2f})")
    print(f"  a record costs {costs[2] / costs[0]:.2f} times as much at 16× as at 1×, {costs[1] / costs[0]:.2f} times at 4×")
    for store in stores.values():
        shutil.rmtree(store)
    return costs


def on_cluster(path: Path, scheduler: str) -> bool:
    """Return whether a two-worker Dask cluster gives the same bytes as threads."""
    from distributed import Client, LocalCluster

    from workbench.models import load

    catalog = Store(path)
    model = load("monitoring")
    here = digest(model.features(catalog, catalog.period).compute())
    cluster = None if scheduler else LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None)
    with Client(scheduler or cluster) as client:
        client.wait_for_workers(1)
        there = digest(model.features(catalog, catalog.period).compute())
    if cluster:
        cluster.close()
    return here == there


def layouts(value: np.ndarray, folder: Path) -> None:
    """Measure chunk shapes and codecs on a slice of the store: size, write, read through the kernel, append one day."""
    sample = value[:256]
    t = sample.shape[1]
    print(f"layouts over {sample.size / 1e6:.0f} M records: chunks, codec, MB, read+reduce s, M records/s")
    for chunks in ((32, t), (32, 7200), (256, 7200), (256, 240)):
        for codec in ("lz4 bitshuffle", "zstd bitshuffle", "zstd plain", "none"):
            path = folder / "layout.zarr"
            write_store(path, sample, chunks, codec)
            size = sum(f.stat().st_size for f in path.rglob("*") if f.is_file()) / 1e6
            seconds = best_of(lambda path=path: statistics_of(path), 3)[1]
            print(f"  {chunks!s:12s} {codec:16s} {size:8.0f} {seconds:8.2f} {sample.size / seconds / 1e6:8.0f}")
            shutil.rmtree(path)


def main() -> None:
    """Run every part and print the closing line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--scheduler", default="", help="address of a running Dask scheduler; default: a cluster of its own")
    parser.add_argument("--saqc-python", default=os.environ.get("SAQC_PYTHON", sys.executable))
    parser.add_argument("--layouts", action="store_true", help="measure chunks and codecs and stop")
    parser.add_argument("--inner", nargs=2, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.inner:
        inner(args.inner[0], Path(args.inner[1]))
        return
    limit_threads()
    points, days = QUICK if args.quick else FULL
    folder = Path(tempfile.mkdtemp(prefix="monitoring-"))
    try:
        value = synthetic(points, days, 1)
        if args.layouts:
            layouts(value, folder)
            return
        store = folder / "obs.zarr"
        t = time.perf_counter()
        write_store(store, value, CHUNKS, "lz4 bitshuffle")
        size = sum(f.stat().st_size for f in store.rglob("*") if f.is_file())
        print(
            f"store: {points:,} × {value.shape[1]:,} = {value.size / 1e6:.1f} M records, {size / 1e6:.0f} MB, "
            f"written in {time.perf_counter() - t:.0f} s"
        )
        floor = bandwidth(value)
        print(f"memory-bandwidth floor: {value.size / floor / 1e6:,.0f} M records/s ({value.size * 5 / floor / 1e9:.1f} GB/s)")
        print("(a) per-point-day statistics, from disk to features")
        statistics_of(store)  # compiles
        middle, fast, slow = best_of(lambda: statistics_of(store), 3)
        rate, low, high = (value.size / s for s in (middle, slow, fast))
        print(
            f"  workbench: {rate / 1e6:.0f} M records/s [{low / 1e6:.0f}, {high / 1e6:.0f}] on {threads()} threads, "
            f"{floor / middle:.2f} of the floor"
        )
        few = max(1, min(points, 10_000_000 // value.shape[1]))
        write_long(folder / "long.parquet", value[:few])
        records = few * value.shape[1]
        peers = {
            "duckdb": peer("DuckDB", lambda: duckdb_statistics(folder / "long.parquet"), records),
            "polars": peer("Polars", lambda: polars_statistics(folder / "long.parquet"), records),
            "saqc": saqc_rate(args.saqc_python, value, folder),
        }
        del value
        gc.collect()
        print("(b) every detector over the full history, in a process of its own")
        seconds, peak = peak_of("detectors", store)
        print(f"  {seconds:.1f} s, peak {peak:.2f} GiB (aims: 60 s, 6 GiB)")
        print("(c) one day appended and scored")
        head = np.asarray(xr.open_zarr(store, consolidated=False)["value"][:, :PER_DAY])
        day_seconds = append_and_score(store, head, points)
        print(f"  {day_seconds:.2f} s (aim: 3 s)")
        print("(d) cost at 1, 4 and 16 times the records (statistics)")
        costs = linearity(folder, points, days)
        print("(e) the same bytes on a two-worker Dask cluster")
        part = folder / "part.zarr"
        # matrix products of over about a hundred days are split over BLAS threads: shorter histories would not show a difference
        write_store(part, synthetic(min(points, 192), min(days, 150), 3), CHUNKS, "lz4 bitshuffle")
        same = on_cluster(part, args.scheduler)
        print(f"  {'identical' if same else 'DIFFERENT'}")
        known = {k: round(v / 1e6, 3) for k, v in peers.items() if v}
        print(
            json.dumps(
                {
                    "name": "per-point-day statistics", "value": round(rate / 1e6, 1), "unit": "M records/s", "low": round(low / 1e6, 1),
                    "high": round(high / 1e6, 1), "n": points * days * PER_DAY, "peers": known,
                    "ratios": {k: round(rate / 1e6 / v, 1) for k, v in known.items()},
                    "all_detectors_s": round(seconds, 1), "peak_gib": round(peak, 2), "append_day_s": round(day_seconds, 2),
                    "same_bytes": same,
                    "ns_per_record_1_4_16": [round(c, 2) for c in costs], "floor": round(points * days * PER_DAY / floor / 1e6, 0),
                }
            )
        )  # fmt: skip
    finally:
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
