"""500 permits over five years of hourly data, all rules, from the stored cubes to findings and evidence channels.

Synthesises its own district in a temporary folder (not timed). ``--quick``: 40 permits over one year.
The last line is JSON: {name, value, unit, low, high, n, peers, ratios}.
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

START = pd.Timestamp("2021-01-01")
GOAL_S = 30.0


def main() -> None:
    """Run the benchmark and print its line of JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--repeat", type=int, default=3)
    options = parser.parse_args()
    permits, years = (40, 1) if options.quick else (500, 5)
    limit_threads()
    model = load("permit")
    with tempfile.TemporaryDirectory() as folder:
        started = time.perf_counter()
        warm = synthesise(Path(folder) / "warm", 4, 1)
        run(model, warm)  # compiles the kernel once
        district = synthesise(Path(folder) / "district", permits, years)
        print(f"synthesised {permits} permits x {years} years in {time.perf_counter() - started:.0f} s (not timed)")
        seconds, cpu = [], []
        for _ in range(1 if options.quick else options.repeat):
            before = time.process_time()
            took, parts, results, findings = run(model, district)
            cpu.append(time.process_time() - before)
            seconds.append(took)
            words = ", ".join(f"{k} {v:.1f} s" for k, v in parts.items())
            print(f"{took:.1f} s ({cpu[-1]:.1f} s of processor): {words}; {results:,} rule results, {findings:,} findings")
        values = sum(district.cube(c).sizes["point"] * district.cube(c).sizes["time"] for c in ("obs_cems", "obs_wastewater", "obs_power"))
        rows = sum(len(t) for t in district.tables.values())
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"{values / 1e6:.0f} million hourly values, {rows:,} table rows, peak {peak:.0f} MiB; goal {GOAL_S:g} s")
    best = float(np.median(seconds))
    print(
        json.dumps(
            {
                "name": "permit_review",
                "value": round(best, 2),
                "unit": "s",
                "low": round(min(seconds), 2),
                "high": round(max(seconds), 2),
                "n": permits,
                "peers": {"goal": GOAL_S},
                "ratios": {"of_goal": round(best / GOAL_S, 3)},
                "permit_years_per_s": round(permits * years / best, 1),
                "cpu_s": round(min(cpu), 2),
                "peak_mib": round(peak),
            }
        )
    )


def run(model: object, district: MemoryCatalog) -> tuple[float, dict[str, float], int, int]:
    """Return seconds in all and by part, and the number of rule results and findings."""
    clock = [time.perf_counter()]
    book = model.open(district, district.period)  # type: ignore[attr-defined]
    clock.append(time.perf_counter())
    features = model.review(book)  # type: ignore[attr-defined]
    clock.append(time.perf_counter())
    fitted = model.fit(features, district.labels(), seed=1)  # type: ignore[attr-defined]
    findings = fitted.assess(features)
    fitted.evidence(features)
    clock.append(time.perf_counter())
    parts = dict(zip(("read", "rules", "findings"), np.diff(clock), strict=True))
    return clock[-1] - clock[0], parts, features.sizes["result"], len(findings)


def synthesise(folder: Path, permits: int, years: int, seed: int = 1) -> MemoryCatalog:
    """Write cubes and make tables of a district in which most duties are kept."""
    rng = np.random.default_rng(seed)
    folder.mkdir(parents=True)
    end = START + pd.DateOffset(years=years)
    ids = [f"E{k:04d}" for k in range(permits)]
    wet = rng.random(permits) < 0.4
    outlets, points = [], []
    for e, w in zip(ids, wet, strict=True):
        outlets.append((f"{e}-DA001", e, "DA001", "air", "stack", 118.0, 31.0, 6.0, "大气"))
        air = (("a21026", "mg/m³"), ("a21002", "mg/m³"), ("a34013", "mg/m³"), ("a19001", "%"), ("a00000", "m³/h"))
        points += [(f"{e}-{f}", "cems", e, f"{e}-DA001", f, "", unit) for f, unit in air]
        points += [(f"{e}-{role}", "power", e, "", "power", role, "kW") for role in ("production", "treatment")]
        if w:
            outlets.append((f"{e}-DW001", e, "DW001", "water", "wastewater", 118.0, 31.0, np.nan, "清溪"))
            water = (("w01018", "mg/L"), ("w21003", "mg/L"), ("w00000", "m³/h"))
            points += [(f"{e}-{f}", "wastewater", e, f"{e}-DW001", f, "", unit) for f, unit in water]
    outlet = pd.DataFrame(outlets, columns=["outlet_id", "enterprise_id", "code", "medium", "kind", "lon", "lat", "o2_ref", "receiving"])
    point = pd.DataFrame(points, columns=["point_id", "system", "enterprise_id", "outlet_id", "factor", "role", "unit"])
    for system in ("cems", "wastewater", "power"):
        mine = point[point["system"] == system]
        if len(mine):
            write_cube(folder / f"obs_{system}.zarr", mine, end, rng)
    tables = paper(ids, outlet, end, rng) | {"outlets": outlet, "points": point}
    tables["enterprises"] = pd.DataFrame(
        {
            "enterprise_id": ids,
            "industry": rng.choice(["3011", "2614", "4430", "2710"], permits),
            "permit_class": "key",
            "street_town": "镇",
        }
    )
    cubes = {f.stem: xr.open_zarr(f, chunks={}, consolidated=False) for f in sorted(folder.glob("obs_*.zarr"))}
    return MemoryCatalog(tables, cubes, Period(START, end), name="synthetic permits")


LEVEL = {"a21026": 20, "a21002": 60, "a34013": 8, "a19001": 9, "a00000": 1e5, "w01018": 40, "w21003": 4, "w00000": 30, "power": 200}


def write_cube(store: Path, points: pd.DataFrame, end: pd.Timestamp, rng: np.random.Generator) -> None:
    """Write an hourly cube: daily cycle, noise, gaps, marks."""
    time_ = pd.date_range(START, end, freq="h", inclusive="left")
    n = len(time_)
    cycle = (1 + 0.2 * np.sin(np.arange(n) * 2 * np.pi / 24)).astype(np.float32)
    noise = np.exp(0.15 * rng.standard_normal((16, n))).astype(np.float32)
    value = np.empty((len(points), n), np.float32)
    mark = np.zeros((len(points), n), np.uint8)
    for k, factor in enumerate(points["factor"]):
        value[k] = LEVEL[factor] * (cycle * np.roll(noise[k % 16], 31 * k) if factor != "a19001" else 1.0)
        a = int(rng.integers(0, n - 48))
        value[k, a : a + int(rng.integers(2, 40))] = np.nan
        mark[k, 11::168] = 5
    cube = xr.Dataset(
        {"value": (("point", "time"), value), "mark": (("point", "time"), mark)},
        coords={"point": points["point_id"].to_numpy(object), "time": time_},
    )
    cube.chunk({"point": 64, "time": min(n, 8784)}).to_zarr(store, mode="w", consolidated=False, zarr_format=3)


def paper(ids: list[str], outlets: pd.DataFrame, end: pd.Timestamp, rng: np.random.Generator) -> dict[str, pd.DataFrame]:
    """Return permits and everything filed: monthly samples and reports, a daily ledger, marks, quarterly tax."""
    factors = {"air": ["a21026", "a21002", "a34013"], "water": ["w01018", "w21003"]}
    limit = {"a21026": 50.0, "a21002": 150.0, "a34013": 20.0, "w01018": 80.0, "w21003": 10.0}
    permit = [f"{e}-P" for e in ids]
    pairs = [
        (e, o, f) for o, e, m in zip(outlets["outlet_id"], outlets["enterprise_id"], outlets["medium"], strict=True) for f in factors[m]
    ]
    months = pd.period_range(START, end, freq="M")[:-1]
    quarters = pd.period_range(START, end, freq="Q")[:-1]
    tables = {
        "permits": pd.DataFrame(
            {"permit_id": permit, "enterprise_id": ids, "class": "key", "issued_on": START, "valid_from": START - pd.Timedelta(days=900)}
        ).assign(valid_to=end + pd.Timedelta(days=900)),
        "permit_limits": pd.DataFrame(
            [(f"{e}-P", o, f, limit[f], "hour" if f[0] == "a" else "day", 400.0) for e, o, f in pairs],
            columns=["permit_id", "outlet_id", "factor", "limit", "basis", "annual_t"],
        ),
        "permit_duties": pd.DataFrame(
            [(f"{e}-P", "self_monitoring", o, f, "month", 10.0) for e, o, f in pairs]
            + [(p, d, "", "", q, due) for p in permit for d, q, due in (("execution_report", "month", 15.0), ("ledger", "day", 3.0))],
            columns=["permit_id", "duty", "outlet_id", "factor", "frequency", "due_days"],
        ),
    }
    starts = months.to_timestamp()
    n = len(pairs) * len(months)
    kept = rng.random(n) > 0.005
    tables["self_monitoring"] = pd.DataFrame(
        {
            "outlet_id": np.repeat([o for _, o, _ in pairs], len(months)),
            "factor": np.repeat([f for *_, f in pairs], len(months)),
            "sampled_at": np.tile(starts.to_numpy(), len(pairs)) + rng.integers(0, 27 * 24, n).astype("timedelta64[h]"),
            "value": np.repeat([0.4 * limit[f] for *_, f in pairs], len(months)),
            "unit": np.repeat(["mg/m³" if f[0] == "a" else "mg/L" for *_, f in pairs], len(months)),
        }
    )[kept]
    reports = pd.DataFrame(
        {
            "report_id": [f"{p}-{m}" for p in permit for m in months],
            "permit_id": np.repeat(permit, len(months)),
            "period_start": np.tile(starts.to_numpy(), len(ids)),
            "period_end": np.tile(months.end_time.normalize().to_numpy(), len(ids)),
        }
    )
    reports["submitted_at"] = reports["period_end"] + pd.to_timedelta(rng.integers(1, 17, len(reports)), unit="D")
    tables["execution_reports"] = reports
    hours = months.days_in_month.to_numpy() * 24
    per_hour = {f: LEVEL[f] * (LEVEL["a00000"] * 1e-9 if f[0] == "a" else LEVEL["w00000"] * 1e-6) * 1.04 for f in limit}
    tables["execution_report_items"] = pd.DataFrame(
        {
            "report_id": [f"{e}-P-{m}" for e, _, _ in pairs for m in months],
            "outlet_id": np.repeat([o for _, o, _ in pairs], len(months)),
            "factor": np.repeat([f for *_, f in pairs], len(months)),
            "declared_t": np.repeat([per_hour[f] for *_, f in pairs], len(months)) * np.tile(hours, len(pairs)) * rng.lognormal(0, 0.04, n),
            "exceed_hours": 0.0,
        }
    )
    days = pd.date_range(START, end, freq="D", inclusive="left")
    fields = [("线", "output_t", 100.0), ("线", "production_hours", 24.0), ("治理", "treatment_hours", 24.0), ("治理", "reagent_kg", 30.0)]
    tables["ledger"] = pd.concat(
        [
            pd.DataFrame(
                {"enterprise_id": np.repeat(ids, len(days)), "date": np.tile(days.to_numpy(), len(ids)), "facility": place, "field": f}
            ).assign(value=lambda t, f=f, v=v: v if "hours" in f else (v * rng.lognormal(0, 0.05, len(t))).round(2))
            for place, f, v in fields
        ],
        ignore_index=True,
    )
    tables["ledger"]["edited_at"] = tables["ledger"]["date"] + pd.Timedelta(hours=32)
    spans = pd.DataFrame({"outlet_id": rng.choice(outlets["outlet_id"], 60 * len(ids) * len(quarters) // 4)})
    spans["start"] = START + pd.to_timedelta(rng.integers(0, len(days) * 24 - 24, len(spans)), unit="h")
    spans["end"] = spans["start"] + pd.to_timedelta(rng.integers(1, 6, len(spans)), unit="h")
    spans["kind"] = rng.choice(["startup", "calibration", "maintenance", "fault"], len(spans))
    tables["marks"] = spans
    tables["tax_declarations"] = pd.DataFrame(
        [
            (e, o, f, f"{q.year}Q{q.quarter}", per_hour[f] * 1000 * 24 * (q.end_time - q.start_time).days)
            for e, o, f in pairs
            for q in quarters
        ],
        columns=["enterprise_id", "outlet_id", "factor", "quarter", "declared_kg"],
    )
    return tables


if __name__ == "__main__":
    main()
