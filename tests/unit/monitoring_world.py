"""A small honest district for the monitoring tests, and the edits that the golden cases name.

Three plants, each with a stack (SO2, NOx, particulates, O2, temperature, flow), a wastewater outlet (COD, NH3-N, pH, flow), a
production meter and a treatment meter; 60 days at 15 minutes. Everything follows a slowly varying load.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from workbench.contracts import EntryMissing, Period

PER_DAY, DAYS, FIRST = 96, 60, pd.Timestamp("2026-01-01")
STACK = {
    "a21026": (60.0, 0.1),
    "a21002": (120.0, 0.1),
    "a34013": (12.0, 0.01),
    "a19001": (8.0, 0.01),
    "a01012": (110.0, 0.1),
    "a00000": (50000.0, 1.0),
}
WATER = {"w01018": (45.0, 0.1), "w21003": (6.0, 0.01), "w01001": (7.4, 0.01), "w00000": (30.0, 0.1)}
UNITS = {"a19001": "%", "a01012": "℃", "a00000": "m³/h", "w01001": "1", "w00000": "m³/h", "power": "kW"}
LIMITS = {"a21026": 100.0, "a21002": 200.0, "a34013": 20.0, "w01018": 80.0, "w21003": 10.0}


@dataclass
class World:
    """A catalog in memory (see :class:`workbench.contracts.CatalogView`)."""

    points: pd.DataFrame
    values: dict[str, np.ndarray]
    codes: dict[str, np.ndarray]
    limits: pd.DataFrame
    marks: list[dict[str, Any]] = field(default_factory=list)
    time: pd.DatetimeIndex = field(default_factory=lambda: pd.date_range(FIRST, periods=DAYS * PER_DAY, freq="15min"))
    inspections: pd.DataFrame = field(
        default_factory=lambda: pd.DataFrame(columns=["enterprise_id", "finding", "kinds", "period_start", "period_end"])
    )
    name: str = "world"
    delays: dict[str, np.ndarray] = field(default_factory=dict)

    @property
    def period(self) -> Period:
        return Period(FIRST, FIRST + pd.Timedelta(days=DAYS))

    def has(self, entry: str) -> bool:
        if entry.startswith("obs_"):
            return bool((self.points["system"] == entry[4:]).any())
        return entry in ("points", "outlets", "enterprises", "marks") or (entry == "permit_limits" and len(self.limits) > 0)

    def table(self, entry: str, columns: list[str] | None = None) -> pd.DataFrame:
        if entry == "points":
            return self.points
        if entry == "permit_limits":
            return self.limits
        if entry == "marks":
            return pd.DataFrame(self.marks, columns=["outlet_id", "start", "end", "kind"])
        if entry == "outlets":
            ids = sorted(set(self.points["outlet_id"]) - {""})
            return pd.DataFrame({"outlet_id": ids, "o2_ref": [9.0 if "DA" in i else np.nan for i in ids]})
        if entry == "enterprises":
            ids = sorted(set(self.points["enterprise_id"]))
            return pd.DataFrame({"enterprise_id": ids, "operator": [f"vendor {i}" for i in ids]})
        raise EntryMissing("no such entry", got=entry)

    def cube(self, entry: str) -> xr.Dataset:
        ids = self.points.loc[self.points["system"] == entry[4:], "point_id"].tolist()
        value = np.stack([self.values[i] for i in ids]).astype(np.float32)
        mark = np.stack([self.codes[i] for i in ids]).astype(np.uint8)
        coords = {"point": np.array(ids, dtype=object), "time": self.time}
        made = xr.Dataset({"value": (("point", "time"), value), "mark": (("point", "time"), mark)}, coords=coords)
        if self.delays:
            made["delay"] = (("point", "time"), np.stack([self.delays[i] for i in ids]).astype(np.float32))
        return made

    def labels(self, decided_before: pd.Timestamp | None = None) -> pd.DataFrame:
        return self.inspections

    def path_of(self, relative: str) -> str:
        return relative


def ar1(rng: np.random.Generator, n: int, r: float) -> np.ndarray:
    """Return a stationary first-order series of unit variance."""
    from scipy.signal import lfilter

    return lfilter([np.sqrt(1 - r * r)], [1, -r], rng.standard_normal(n + 500))[500:]


def honest(seed: int = 0, plants: int = 3) -> World:
    """Return an honest world."""
    rng = np.random.default_rng(seed)
    n = DAYS * PER_DAY
    rows, values = [], {}
    for p in range(plants):
        e = f"E{p}"
        load = np.exp(0.18 * ar1(rng, n, 0.995) + 0.1 * np.sin(np.arange(n) * 2 * np.pi / PER_DAY + p))
        for system, outlet, factors in (
            ("cems", f"{e}-DA1", STACK),
            ("wastewater", f"{e}-DW1", WATER),
            ("power", "", {"power/production": (300.0, 0.1), "power/treatment": (40.0, 0.1)}),
        ):
            for code, (level, resolution) in factors.items():
                factor, _, role = code.partition("/")
                own = ar1(rng, n, 0.97)
                if factor in ("a19001", "a01012", "w01001"):
                    x = level + (0.35 if factor != "a01012" else 6.0) * own - (2.0 if factor == "a19001" else 0.0) * (load - 1)
                else:
                    x = level * load ** (0.9 if factor != "power" else 1.0) * np.exp(0.08 * own + 0.01 * rng.standard_normal(n))
                point = f"{outlet or e}-{factor}{role[:1]}"
                values[point] = np.round(np.maximum(x, 0.2), 4 if resolution < 0.01 else 2 if resolution < 0.1 else 1)
                rows.append(
                    {
                        "point_id": point, "system": system, "enterprise_id": e, "outlet_id": outlet, "factor": factor, "role": role,
                        "unit": UNITS.get(factor, "mg/m³" if system == "cems" else "mg/L"), "range_low": 0.0,
                        "range_high": 20 * level if factor != "a19001" else 25.0,
                        "resolution": resolution, "interval_s": 900.0, "lon": 118.0 + p, "lat": 31.0, "street_town": f"S{p}",
                        "installed_on": pd.NaT, "removed_on": pd.NaT,
                    }
                )  # fmt: skip
    points = pd.DataFrame(rows)
    limits = [
        {
            "permit_id": "P",
            "outlet_id": r["outlet_id"],
            "factor": r["factor"],
            "limit": LIMITS[r["factor"]],
            "basis": "hour" if r["system"] == "cems" else "day",
        }
        for r in rows
        if r["factor"] in LIMITS
    ]
    return World(points, values, {k: np.zeros(n, np.uint8) for k in values}, pd.DataFrame(limits))


def edit(world: World, step: dict[str, Any], seed: int = 1) -> None:
    """Apply one edit of a golden case to the world, in place.

    ``point``: a point, or a list of them; ``from`` and ``to``: days; ``do``: what happens, see the branches below.
    """
    rng = np.random.default_rng(seed)
    do = step["do"]
    a, b = int(step.get("from", 0) * PER_DAY), int(step.get("to", DAYS) * PER_DAY)
    if do == "mark":
        world.marks.append(
            {"outlet_id": step["outlet"], "start": world.time[a], "end": world.time[0] + pd.Timedelta(minutes=15 * b), "kind": step["kind"]}
        )
        return
    if do == "hourly":  # the last step: other steps count in quarters of an hour
        world.time = world.time[::4]
        world.values = {k: v[::4] for k, v in world.values.items()}
        world.codes = {k: v[::4] for k, v in world.codes.items()}
        world.points = world.points.assign(interval_s=3600.0)
        return
    if do == "arrive":  # seconds from measurement to arrival, of one point or of all
        for point in [step["point"]] if "point" in step else list(world.values):
            world.delays.setdefault(point, np.full(len(world.time), np.nan))[a:b] = 60.0 * step["minutes"]
        return
    if do == "no_limits":
        world.limits = world.limits.iloc[:0]
        return
    if do == "drop":
        gone = set(world.points.loc[world.points["factor"].isin(step["factors"]), "point_id"])
        world.points = world.points[~world.points["point_id"].isin(gone)].reset_index(drop=True)
        return
    for point in step["point"] if isinstance(step["point"], list) else [step["point"]]:
        x = world.values[point]
        span = slice(a, b)
        if do == "constant":
            x[span] = step.get("value", x[a - 1])
        elif do == "clip":
            x[span] = np.minimum(x[span], step["value"])
        elif do == "scale":
            x[span] = np.round(x[span] * step["by"], 2)
        elif do == "add":
            x[span] = np.round(x[span] + step["by"], 2)
        elif do == "copy":
            source = a - int(step["lag"] * PER_DAY)
            x[span] = x[source : source + b - a]
        elif do == "copy_noisy":
            source = a - int(step["lag"] * PER_DAY)
            y = x[source : source + b - a]
            x[span] = np.round(y + rng.normal(0, step["noise"] * np.std(np.diff(y)), b - a), 2)
        elif do == "generate":
            x[span] = np.round(rng.normal(np.mean(x[span]), np.std(x[span]), b - a), 2)
        elif do == "calm":  # a steady process: only the usual small steps are left, about one level
            x[span] = np.round(np.mean(x[span]) + np.mean(np.abs(np.diff(x))) * np.sqrt(np.pi) / 2 * rng.standard_normal(b - a), 2)
        elif do == "bottle":
            x[span] = np.round(step["value"] + step.get("noise", 0.02) * rng.standard_normal(b - a), 2)
        elif do == "air":
            f = step["share"]
            x[span] = np.round(x[span] + f * (20.9 - x[span]), 2) if point.endswith("a19001") else np.round(x[span] * (1 - f), 2)
        elif do == "missing":
            x[span] = np.nan
        elif do == "value":
            x[span] = step["value"]
        elif do == "infinite":
            x[span] = np.inf
        elif do == "drift":
            x[span] = np.round(x[span] * np.exp(np.linspace(0, step["by"], b - a)), 2)
        elif do == "dips":
            for d in range(int(step["from"]), int(step["to"])):
                for k in rng.choice(np.arange(2, PER_DAY - 2, 3), step["count"], replace=False):
                    x[d * PER_DAY + k] *= 0.1
        elif do == "calibrate":  # zero gas, then span gas, or the last reading held
            top = float(world.points.loc[world.points["point_id"] == point, "range_high"].iloc[0])
            for start in range(a + PER_DAY // 2, b, int(step["every"] * PER_DAY)):
                half, end = start + 2, start + 4
                world.codes[point][start:end] = 5
                x[start:half] = x[start - 1] if step.get("hold") else 0.0
                x[half:end] = x[start - 1] if step.get("hold") else 0.8 * top
        elif do == "value_each":  # a monthly mean at a share of the limit, with its own fluctuation
            limit = LIMITS[world.points.loc[world.points["point_id"] == point, "factor"].iloc[0]]
            x[span] = np.round(x[span] / np.mean(x[span]) * step["share"] * limit, 2)
        elif do == "flatten":  # a third of its fluctuation, so that no hour passes the limit
            x[:] = np.round(np.mean(x) * (x / np.mean(x)) ** (1 / 3), 2)
        elif do == "gaps_over":
            level = np.quantile(x, step["quantile"])
            hits = np.flatnonzero(x[8:-8] > level) + 8
            last = -(10**9)
            for h in hits:
                if h - last > 2 * PER_DAY:
                    x[h + 1 : h + 13] = np.nan
                    last = h
        elif do == "gaps_anywhere":
            for d in range(3, DAYS - 2, 4):
                k = d * PER_DAY + int(rng.integers(0, PER_DAY - 16))
                x[k : k + 12] = np.nan
        elif do == "short":
            x[:] = np.where(np.arange(len(x)) < step["keep"], x, np.nan)
        elif do == "coarse":
            x[:] = np.round(x / step["to_step"]) * step["to_step"]
        else:
            raise ValueError(f"unknown edit {do}")
