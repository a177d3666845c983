"""500 meters over a year of 15-minute power, from the stored cube to findings and evidence channels, and its growth.

Synthesises production, treatment, total and standby meters in a temporary folder (not timed): 125 enterprises of four
meters. ``--quick``: 60 meters over 60 days. The last line is JSON: {name, value, unit, low, high, n, peers, ratios};
``ratios`` holds the time at twice and four times the meters over the time at one.
"""

from __future__ import annotations

import argparse
import json
import resource
import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd
import xarray as xr

from workbench.catalog import MemoryCatalog
from workbench.contracts import Period, limit_threads
from workbench.models import load

START = pd.Timestamp("2025-01-01")
ROLES = ("production", "treatment", "total", "standby")
GOAL_S = 20.0


def main() -> None:
    """Run the benchmark and print its line of JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args()
    limit_threads()
    enterprises, days = (15, 60) if options.quick else (125, 365)
    warm_up()
    with tempfile.TemporaryDirectory() as folder:
        period = synthesise(Path(folder), 4 * enterprises, days)
        times = {k: [timed(Path(folder), k * enterprises, period) for _ in range(options.repeats if k == 1 else 1)] for k in (1, 2, 4)}
    base = float(np.median([t for t, _ in times[1]]))
    values = 4 * enterprises * days * 96
    speed = values / base / 1e6
    print(f"{4 * enterprises} meters × {days} days of 15 min: {base:.1f} s, {speed:.1f} M values/s, {times[1][0][1]} findings")
    for k in (2, 4):
        print(f"{k} times the meters: {times[k][0][0]:.1f} s, {times[k][0][0] / base:.2f} times as long")
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"peak memory {peak:.0f} MiB over all sizes; goal {GOAL_S:g} s")
    walls = [t for t, _ in times[1]]
    print(
        json.dumps(
            {
                "name": "energy_tax_meters_year",
                "value": round(base, 2),
                "unit": "s",
                "low": round(min(walls), 2),
                "high": round(max(walls), 2),
                "n": 4 * enterprises,
                "peers": {"goal": GOAL_S},
                "ratios": {f"x{k}": round(times[k][0][0] / base, 2) for k in (2, 4)},
            }
        )
    )


def warm_up() -> None:
    """Compile the kernels once: they are cached on disk and no part of the work."""
    with tempfile.TemporaryDirectory() as folder:
        timed(Path(folder), 2, synthesise(Path(folder), 2, 20))


def timed(folder: Path, enterprises: int, period: Period) -> tuple[float, int]:
    """Return the seconds from cube to findings and channels, and the number of findings."""
    began = time.perf_counter()
    power = xr.open_zarr(folder / "obs_power.zarr", chunks={}, consolidated=False)
    catalog = MemoryCatalog(tables_of(enterprises), {"obs_power": power}, period, name="synthetic meters")
    model = load("energy_tax")
    features = model.features(catalog, period)
    fitted = model.fit(features, catalog.labels(), seed=1)
    findings = fitted.assess(features)
    fitted.evidence(features)
    return time.perf_counter() - began, len(findings)


def tables_of(enterprises: int) -> dict[str, pd.DataFrame]:
    """Return the tables of the first enterprises."""
    ids = [f"E{k:04d}" for k in range(enterprises)]
    names = [(e, f"{e}-{r}", r) for e in ids for r in ROLES]
    points = pd.DataFrame(names, columns=["enterprise_id", "point_id", "role"])
    points = points.assign(system="power", outlet_id="", factor="power", unit="kW", resolution=0.1, interval_s=900.0)
    enterprise = pd.DataFrame({"enterprise_id": ids, "industry": "2110"})
    return {"enterprises": enterprise, "outlets": pd.DataFrame({"outlet_id": [], "enterprise_id": [], "o2_ref": []}), "points": points}


def synthesise(folder: Path, enterprises: int, days: int) -> Period:
    """Write the power cube of enterprises with shifts, weekends, variable-speed fans and some stops of the treatment."""
    rng = np.random.default_rng(5)
    n = days * 96
    time_axis = pd.date_range(START, periods=n, freq="15min")
    hour, weekday = time_axis.hour.to_numpy(), time_axis.dayofweek.to_numpy()
    value = np.empty((4 * enterprises, n), np.float32)
    for e in range(enterprises):
        begin, length = rng.integers(5, 10), rng.integers(8, 20)
        on = ((hour - begin) % 24 < length) & ((weekday < 6) | (e % 3 == 0)) & (np.repeat(rng.random(days), 96) > 0.04)
        drift = 1 + 0.15 * np.repeat(rng.standard_normal(n // 24 + 1), 24)[:n]
        production = np.where(on, rng.uniform(80, 900) * drift, 8) * np.exp(0.05 * rng.standard_normal(n))
        follow = np.roll(on, 1)
        if e % 4 == 0:
            stop = np.repeat(rng.random(days) < 0.1, 96) & ((hour >= 22) | (hour < 4))
            follow &= ~stop
        treatment = np.where(follow, rng.uniform(15, 120) * (drift if e % 2 else 1.0), 0.5) * np.exp(0.03 * rng.standard_normal(n))
        standby = 3 * np.exp(0.02 * rng.standard_normal(n))
        value[4 * e : 4 * e + 4] = production, treatment, production + treatment + standby, standby
    value[rng.random(value.shape) < 0.01] = np.nan
    ids = np.array([f"E{e:04d}-{r}" for e in range(enterprises) for r in ROLES], dtype=object)
    cube = xr.Dataset(
        {"value": (("point", "time"), np.round(value, 1)), "mark": (("point", "time"), np.zeros(value.shape, np.uint8))},
        coords={"point": ids, "time": time_axis},
    )
    cube.chunk({"point": 32, "time": 96 * 60}).to_zarr(folder / "obs_power.zarr", mode="w", consolidated=False, zarr_format=3)
    return Period(START, START + pd.Timedelta(days=days))


if __name__ == "__main__":
    main()
