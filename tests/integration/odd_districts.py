"""Odd districts: one ordinary small district, and one change at a time that the catalog contract allows.

Each oddity is a function from a :class:`District` to a District; its docstring's first line says what is odd.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from workbench.catalog import open_catalog
from workbench.contracts import CUBES, TABLES
from workbench.contracts.catalog_yaml import catalog_yaml

CORE = ("enterprises", "outlets", "points")
Oddity = Callable[["District"], "District"]


@dataclass(frozen=True)
class District:
    """Tables and cubes of one district, and how they are to be written."""

    tables: dict[str, pd.DataFrame]
    cubes: dict[str, xr.Dataset]
    csv: tuple[str, ...] = ()
    zarr_format: int = 3
    chunks: tuple[int, int] = (16, 480)
    tables_as_is: frozenset[str] = field(default_factory=frozenset)

    def changed(self, **tables: pd.DataFrame) -> District:
        return replace(self, tables=self.tables | tables)

    def with_cubes(self, **cubes: xr.Dataset) -> District:
        return replace(self, cubes=self.cubes | cubes)

    def without(self, *names: str) -> District:
        return replace(
            self,
            tables={n: t for n, t in self.tables.items() if n not in names},
            cubes={n: c for n, c in self.cubes.items() if n not in names},
        )

    def only(self, *names: str) -> District:
        return self.without(*({*self.tables, *self.cubes} - set(names)))


def small(catalog_file: Path, *, enterprises: int = 8, days: int = 10) -> District:
    """Cut an ordinary district from a larger one: its first enterprises with monitors, its first days."""
    catalog = open_catalog(catalog_file)
    tables = {e: catalog.table(e) for e in catalog.entries if e in TABLES}
    monitored = tables["points"].loc[lambda p: p["system"].isin(["cems", "wastewater"]), "enterprise_id"]
    chosen: list[str] = []
    for ids, n in (
        (tables["carbon_units"], 2),
        (tables["inspections"], 2),
        (monitored.to_frame(), enterprises - 5),
        (tables["enterprises"], 1),
    ):
        chosen += [e for e in dict.fromkeys(ids["enterprise_id"]) if e not in chosen][:n]
    end = catalog.period.start + pd.Timedelta(days=days)
    out: dict[str, pd.DataFrame] = {}
    for name, frame in tables.items():
        for column, (other, key) in TABLES[name].refers.items():
            kept = out[other][key] if other in out else None
            if kept is not None and column in frame:
                frame = frame[frame[column].isin(kept) | (frame[column] == "")]
        if name == "enterprises":
            frame = frame[frame["enterprise_id"].isin(chosen)]
        for column in ("start", "time", "sampled_at", "date"):
            if column in frame:
                frame = frame[frame[column] < end]
        out[name] = frame.reset_index(drop=True)
    cubes = {}
    for name in CUBES:
        if catalog.has(name):
            cube = catalog.cube(name)
            kept = np.isin(cube["point"].to_numpy().astype(object), out["points"]["point_id"].to_numpy(dtype=object))
            cubes[name] = cube.isel(point=np.flatnonzero(kept)).sel(time=slice(None, end - pd.Timedelta(seconds=1))).load()
            cubes[name].encoding.clear()
            for variable in cubes[name].variables.values():
                variable.encoding.clear()
    return _with_offences(District(out, {n: c for n, c in cubes.items() if c.sizes["point"]}))


def _with_offences(d: District) -> District:
    """Enter one value for one pollutant for two days and let another go to three times its limit, so that there is something to find."""
    limits = d.tables["permit_limits"].drop_duplicates(["outlet_id", "factor"]).set_index(["outlet_id", "factor"])["limit"]
    points = d.tables["points"].set_index("point_id")
    cubes = dict(d.cubes)
    for entry, offence in (("obs_cems", "entered"), ("obs_wastewater", "over")):
        value = cubes[entry]["value"].to_numpy().copy()
        ids = list(cubes[entry]["point"].to_numpy().astype(object))
        keys = {i: (points.loc[i, "outlet_id"], points.loc[i, "factor"]) for i in ids}
        limited = [k for k, i in enumerate(ids) if keys[i] in limits.index and limits[keys[i]] > 0]
        # a value is entered where a works runs: at an idle one a flat line is no news
        row = max(limited, key=lambda k: np.nanmedian(value[k]) / limits[keys[ids[k]]]) if offence == "entered" else limited[0]
        over = limits[keys[ids[row]]] * (3 + 0.1 * np.sin(np.arange(480)))  # a reading that stands still would be no exceedance
        value[row, 960:1440] = 0.6 * value[row, 960] if offence == "entered" else over
        cubes[entry] = cubes[entry].assign(value=(cubes[entry]["value"].dims, value))
    return replace(d, cubes=cubes)


def write(folder: Path, district: District) -> Path:
    """Write a district as a catalog; return the catalog file."""
    data = folder / "data"
    data.mkdir(parents=True)
    for name, frame in district.tables.items():
        if name in district.csv:
            frame.to_csv(data / f"{name}.csv", index=False)
        else:
            frame.to_parquet(data / f"{name}.parquet")
    for name, cube in district.cubes.items():
        chunked = cube.chunk({"point": district.chunks[0], "time": district.chunks[1]})
        chunked.to_zarr(data / f"{name}.zarr", mode="w", consolidated=False, zarr_format=district.zarr_format)
    text = catalog_yaml(district.tables, district.cubes)
    for name in district.csv:
        text = text.replace(f"data/{name}.parquet", f"data/{name}.csv")
        block = re.compile(rf"(  file_{name}:\n    datatype: intake.readers.datatypes:)Parquet")
        text = block.sub(r"\1CSV", text)
        entry = re.compile(rf"  read_{name}:\n    reader: \S+PandasParquet\n    kwargs:\n      args:\n      - '{{data\(file_{name}\)}}'\n")
        arguments = f"    kwargs:\n      args: ['{{data(file_{name})}}']\n      table: {name}\n"
        reader = f"  read_{name}:\n    reader: workbench.catalog.readers:MappedTable\n{arguments}"
        text, n = entry.subn(lambda _m, r=reader: r, text)
        if n != 1:
            raise RuntimeError(f"the form of catalog_yaml changed: {name}")
    file = folder / "catalog.yml"
    file.write_text(text, encoding="utf-8")
    return file


# ---- which entries there are -------------------------------------------------------------------------------------


def only_registers(d: District) -> District:
    """Registers alone, and one obs cube without any of their points, so that there is a period."""
    bare = d.only(*CORE, "obs_ambient")
    return bare


def only_cems(d: District) -> District:
    """Registers and stack monitors, nothing else."""
    return d.only(*CORE, "obs_cems")


def only_wastewater(d: District) -> District:
    """Registers and wastewater monitors, nothing else."""
    return d.only(*CORE, "obs_wastewater")


def only_power(d: District) -> District:
    """Registers and power meters, nothing else."""
    return d.only(*CORE, "obs_power")


def no_inspections(d: District) -> District:
    """Never inspected: no inspections, no cases."""
    return d.without("inspections", "cases")


def no_permits(d: District) -> District:
    """No permits and nothing that hangs on them."""
    return d.without("permits", "permit_limits", "permit_duties", "execution_reports", "execution_report_items")


def permits_without_limits(d: District) -> District:
    """Permits without their limits."""
    return d.without("permit_limits")


def permits_without_papers(d: District) -> District:
    """Permits and duties, but no table of samples, reports or ledger."""
    return d.without("self_monitoring", "execution_reports", "execution_report_items", "ledger")


def no_cube_at_all_but_power_of_two_hours(d: District) -> District:
    """Power every two hours, and nothing else that moves."""
    return d.only(*CORE, "obs_power").with_cubes(obs_power=_on_grid(d.cubes["obs_power"], 120))


def no_power(d: District) -> District:
    """No power meters."""
    return d.without("obs_power")


def no_marks(d: District) -> District:
    """No marks table, and no mark in any cube."""
    return replace(d.without("marks"), cubes={n: c.assign(mark=xr.full_like(c["mark"], 255)) for n, c in d.cubes.items()})


def no_weather(d: District) -> District:
    """No weather, no clips."""
    return d.without("weather", "clips")


def empty_tables(d: District) -> District:
    """Every optional table is there with its columns and no row."""
    return replace(d, tables={n: (t if n in CORE else t.iloc[:0]) for n, t in d.tables.items()})


def limits_zero(d: District) -> District:
    """Every limit is zero, every amount is empty."""
    return d.changed(permit_limits=d.tables["permit_limits"].assign(limit=0.0, annual_t=np.nan))


def limits_empty(d: District) -> District:
    """No limit and no amount has a value."""
    return d.changed(permit_limits=d.tables["permit_limits"].assign(limit=np.nan, annual_t=np.nan, basis=""))


# ---- grids and cubes -----------------------------------------------------------------------------------------------


def _on_grid(cube: xr.Dataset, minutes: int) -> xr.Dataset:
    step = pd.Timedelta(minutes=minutes)
    times = cube.indexes["time"]
    wanted = pd.date_range(times[0], times[-1], freq=step)
    return cube.isel(time=np.clip(np.searchsorted(times, wanted, side="right") - 1, 0, len(times) - 1)).assign_coords(time=wanted)


def _all_on(minutes: int, days: int = 10) -> Oddity:
    def change(d: District) -> District:
        cubes = {n: _on_grid(c.isel(time=slice(0, days * 240)), minutes) for n, c in d.cubes.items()}
        points = d.tables["points"].assign(interval_s=lambda p: p["interval_s"].where(p["interval_s"].isna(), minutes * 60.0))
        return replace(d.changed(points=points), cubes=cubes)

    change.__doc__ = f"Every cube on a grid of {minutes} minutes."
    change.__name__ = f"grid_of_{minutes}_minutes"
    return change


def two_grids(d: District) -> District:
    """Stacks every hour, power every minute, the rest every six minutes."""
    cubes = d.cubes | {"obs_cems": _on_grid(d.cubes["obs_cems"], 60)}
    cubes["obs_power"] = _on_grid(d.cubes["obs_power"].isel(time=slice(0, 3 * 240)), 1)
    return replace(d.changed(points=d.tables["points"].assign(interval_s=np.nan)), cubes=cubes)


def spans_that_do_not_meet(d: District) -> District:
    """Power was recorded in the first five days, stacks in the last five."""
    half = 5 * 240
    return d.with_cubes(obs_power=d.cubes["obs_power"].isel(time=slice(0, half)), obs_cems=d.cubes["obs_cems"].isel(time=slice(half, None)))


def points_in_another_order(d: District) -> District:
    """Cubes hold their points backwards, tables are shuffled."""
    tables = {n: t.sample(frac=1.0, random_state=3).reset_index(drop=True) for n, t in d.tables.items()}
    return replace(d, tables=tables, cubes={n: c.isel(point=slice(None, None, -1)) for n, c in d.cubes.items()})


def points_that_do_not_match(d: District) -> District:
    """A point of each cube is not in the table, and one of the table not in its cube."""
    cubes = {}
    for n, c in d.cubes.items():
        ids = c["point"].to_numpy().astype(object)
        ids[0] = f"ghost-{n}"
        cubes[n] = c.assign_coords(point=ids).isel(point=slice(0, max(1, len(ids) - 1)))
    return replace(d, cubes=cubes)


def store_version_2(d: District) -> District:
    """Zarr format 2, one chunk per store."""
    return replace(d, zarr_format=2, chunks=(-1, -1))


def slivers(d: District) -> District:
    """One point and 50 times per chunk."""
    return replace(d.only(*CORE, "permit_limits", "permits", "obs_cems", "obs_power"), chunks=(1, 700))


def starts_mid_day(d: District) -> District:
    """The record starts at 13:42 and ends at 07:18."""
    return replace(d, cubes={n: c.isel(time=slice(137, -167)) for n, c in d.cubes.items()})


def starts_off_the_hour(d: District) -> District:
    """Hourly values stamped at 17 minutes past."""
    shifted = {n: _on_grid(c, 60) for n, c in d.cubes.items()}
    return replace(d, cubes={n: c.assign_coords(time=c["time"] + np.timedelta64(17, "m")) for n, c in shifted.items()})


def five_days(d: District) -> District:
    """Only five days."""
    return replace(d, cubes={n: c.isel(time=slice(0, 5 * 240)) for n, c in d.cubes.items()})


def two_hours(d: District) -> District:
    """Only two hours."""
    return replace(d, cubes={n: c.isel(time=slice(0, 20)) for n, c in d.cubes.items()})


def long_and_thin(d: District) -> District:
    """Four hundred days of hours, six stack points and four meters."""

    def long(cube: xr.Dataset, points: int) -> xr.Dataset:
        hours = _on_grid(cube, 60).isel(point=slice(0, points))
        laps = [hours.assign_coords(time=hours["time"] + np.timedelta64(10 * k, "D")) for k in range(40)]
        rng = np.random.default_rng(5)
        return xr.concat(laps, "time").assign(value=lambda c: c["value"] * rng.normal(1, 0.03, c["value"].shape).astype(np.float32))

    return replace(d, cubes={"obs_cems": long(d.cubes["obs_cems"], 6), "obs_power": long(d.cubes["obs_power"], 4)})


# ---- values --------------------------------------------------------------------------------------------------------


def _values(d: District, change: Callable[[np.ndarray], np.ndarray]) -> District:
    return replace(d, cubes={n: c.assign(value=(c["value"].dims, change(c["value"].to_numpy().copy()))) for n, c in d.cubes.items()})


def nothing_arrived(d: District) -> District:
    """Every value of every point is NaN."""
    return _values(d, lambda v: np.full_like(v, np.nan))


def some_points_silent(d: District) -> District:
    """Every third point never sent a value."""

    def change(v: np.ndarray) -> np.ndarray:
        v[::3] = np.nan
        return v

    return _values(d, change)


def all_zero(d: District) -> District:
    """Every value is zero."""
    return _values(d, np.zeros_like)


def wild_values(d: District) -> District:
    """Infinite, hugely negative and hugely positive values in every series."""

    def change(v: np.ndarray) -> np.ndarray:
        rng = np.random.default_rng(4)
        for value in (np.inf, -np.inf, -1e30, 3e38, -5.0):
            v[:, rng.integers(0, v.shape[1], 12)] = value
        return v

    return _values(d, change)


def marks_outside_the_codes(d: District) -> District:
    """Marks 8, 77 and 254, which no code list knows."""
    rng = np.random.default_rng(6)
    cubes = {}
    for n, c in d.cubes.items():
        mark = c["mark"].to_numpy().copy()
        mark[rng.random(mark.shape) < 0.2] = rng.choice(np.array([8, 77, 254], dtype=np.uint8))
        cubes[n] = c.assign(mark=(c["mark"].dims, mark))
    return replace(d, cubes=cubes)


def oxygen_of_plain_air(d: District) -> District:
    """Oxygen is exactly 21 % at every stack; reference oxygen 20.9."""
    oxygen = d.tables["points"].loc[d.tables["points"]["factor"] == "a19001", "point_id"]
    cube = d.cubes["obs_cems"]
    rows = np.isin(cube["point"].to_numpy().astype(object), oxygen.to_numpy(dtype=object))
    value = np.where(rows[:, None], np.float32(21.0), cube["value"].to_numpy())
    outlets = d.tables["outlets"].assign(o2_ref=lambda o: o["o2_ref"].where(o["o2_ref"].isna(), 20.9))
    return d.changed(outlets=outlets).with_cubes(obs_cems=cube.assign(value=(cube["value"].dims, value)))


# ---- registers -----------------------------------------------------------------------------------------------------


def ranges_and_resolution_unknown(d: District) -> District:
    """No range, no resolution, no interval, no days of installing."""
    blank = dict.fromkeys(("range_low", "range_high", "resolution", "interval_s", "lon", "lat"), np.nan)
    return d.changed(points=d.tables["points"].assign(**blank, installed_on=pd.NaT, removed_on=pd.NaT))


def resolution_zero(d: District) -> District:
    """Resolution 0 and a range that is a single value."""
    return d.changed(points=d.tables["points"].assign(resolution=0.0, range_low=5.0, range_high=5.0))


def chinese_units(d: District) -> District:
    """Units in Chinese spellings."""
    words = {
        "mg/m³": "毫克/立方米",
        "mg/m3": "毫克/标立方米",
        "mg/L": "毫克/升",
        "kW": "千瓦",
        "m³/h": "立方米/小时",
        "°C": "℃",
        "%": "百分比",
        "Pa": "帕",
    }
    return d.changed(points=d.tables["points"].assign(unit=lambda p: p["unit"].replace(words)))


def unknown_units(d: District) -> District:
    """Every second point has a unit that is none, or none at all."""
    odd = np.where(np.arange(len(d.tables["points"])) % 4 == 1, "furlong/fortnight²x", "")
    keep = np.arange(len(d.tables["points"])) % 2 == 0
    return d.changed(points=d.tables["points"].assign(unit=lambda p: p["unit"].where(keep, odd)))


def one_enterprise(d: District) -> District:
    """A district of one enterprise."""
    one = d.tables["enterprises"]["enterprise_id"].iloc[:1]
    tables, points = {}, d.tables["points"]
    points = points[points["enterprise_id"].isin(one)]
    outlets = d.tables["outlets"][d.tables["outlets"]["enterprise_id"].isin(one)]
    for n, t in d.tables.items():
        if "enterprise_id" in t:
            t = t[t["enterprise_id"].isin(one)]
        elif "outlet_id" in t:
            t = t[t["outlet_id"].isin(outlets["outlet_id"])]
        elif "permit_id" in t:
            t = t[t["permit_id"].isin(tables["permits"]["permit_id"])]
        tables[n] = t.reset_index(drop=True)
    ids = points["point_id"].to_numpy(dtype=object)
    cubes = {n: c.isel(point=np.flatnonzero(np.isin(c["point"].to_numpy().astype(object), ids))) for n, c in d.cubes.items()}
    return replace(d, tables=tables, cubes={n: c for n, c in cubes.items() if c.sizes["point"]})


def enterprises_without_points(d: District) -> District:
    """Points stand in the field only: none belongs to an enterprise or outlet."""
    return d.changed(points=d.tables["points"].assign(enterprise_id="", outlet_id=""))


def strange_names(d: District) -> District:
    """Identifiers and names with Chinese, slashes, quotes, spaces, markup and line breaks."""
    ids = d.tables["enterprises"]["enterprise_id"]
    forms = ["重庆/江北-{}", "a'b\"{}", "<b>{}</b>", "名 称 {}", "{}%20&x=1", "..\\{}", "{}，（二厂）", "{};DROP TABLE"]
    new = dict(zip(ids, (forms[i % len(forms)].format(e) for i, e in enumerate(ids)), strict=True))
    tables = {n: (t.assign(enterprise_id=t["enterprise_id"].replace(new)) if "enterprise_id" in t else t) for n, t in d.tables.items()}
    tables["enterprises"] = tables["enterprises"].assign(
        name=lambda e: [f'<script>alert("{x}")</script>\n$x^2$_{x}' for x in e["enterprise_id"]]
    )
    return replace(d, tables=tables)


def extra_columns(d: District) -> District:
    """Every table has columns more than the contract, some named like ours inside."""
    more: dict[str, Any] = {"备注": "无", "score": 1.0, "row": 3, "index": "x", "candidate": 7, "limit_basis": "?", "hour": 2, "mean": 0.1}
    return replace(d, tables={n: t.assign(**{k: v for k, v in more.items() if k not in t}) for n, t in d.tables.items()})


def missing_as_none(d: District) -> District:
    """Empty text is None, not an empty string."""

    def blank(n: str, t: pd.DataFrame) -> pd.DataFrame:
        columns = [c for c, spec in TABLES[n].columns.items() if spec.dtype == "str" and spec.empty and c in t]
        return t.assign(**{c: t[c].replace({"": None}) for c in columns})

    return replace(d, tables={n: blank(n, t) for n, t in d.tables.items()})


def other_dtypes(d: District) -> District:
    """Text as pandas string, category or pyarrow; times with microseconds or a zone; whole numbers as integers."""

    def recast(n: str, t: pd.DataFrame) -> pd.DataFrame:
        out = t.copy()
        for k, (c, spec) in enumerate(TABLES[n].columns.items()):
            if spec.dtype == "str":
                out[c] = out[c].astype(["string", "category", "string[pyarrow]"][k % 3])
            elif spec.dtype == "time":
                out[c] = out[c].dt.tz_localize("Asia/Shanghai").dt.tz_convert("UTC") if k % 2 else out[c].astype("datetime64[us]")
            elif spec.dtype == "float" and k % 2 and out[c].notna().all() and (out[c] % 1 == 0).all():
                out[c] = out[c].astype("int32")
            elif spec.dtype == "float":
                out[c] = out[c].astype("float64[pyarrow]") if k % 4 else out[c].astype("Float64")
        return out

    return replace(d, tables={n: recast(n, t) for n, t in d.tables.items()})


def tables_as_csv(d: District) -> District:
    """Every table but those with lists is a CSV file."""
    return replace(d, csv=tuple(n for n in d.tables if n != "inspections"))


# ---- papers --------------------------------------------------------------------------------------------------------


def _inspected(d: District, finding: Callable[[int], str], kinds: Callable[[int], Any]) -> District:
    frame = pd.concat([d.tables["inspections"].iloc[:1]] * 24, ignore_index=True)
    ids, start = d.tables["enterprises"]["enterprise_id"], d.cubes["obs_cems"].indexes["time"][0]
    n = np.arange(len(frame))
    return d.changed(
        inspections=frame.assign(
            inspection_id=[f"I{i:03d}" for i in n],
            enterprise_id=ids.to_numpy()[n % len(ids)],
            inspected_on=start + pd.to_timedelta(n % 9, unit="D"),
            decided_on=start + pd.to_timedelta(n % 9 + 2, unit="D"),
            origin="random",
            period_start=start,
            period_end=start + pd.Timedelta(days=10),
            finding=[finding(int(i)) for i in n],
            kinds=[kinds(int(i)) for i in n],
        )
    )


def kinds_unknown(d: District) -> District:
    """Inspections whose kinds are None."""
    return _inspected(d, lambda i: "violation" if i % 3 == 0 else "none", lambda _: None)


def nothing_ever_found(d: District) -> District:
    """Twenty-four inspections, all found nothing."""
    return _inspected(d, lambda _: "none", lambda _: [])


def always_found(d: District) -> District:
    """Twenty-four inspections, all found every kind."""
    return _inspected(d, lambda _: "violation", lambda _: ["fabrication", "exceedance", "treatment_off", "false_report"])


def undecided(d: District) -> District:
    """Inspections without any decision yet."""
    found = _inspected(d, lambda i: "violation" if i % 2 else "none", lambda i: ["fabrication"] if i % 2 else [])
    return found.changed(inspections=found.tables["inspections"].assign(decided_on=pd.NaT, selection_probability=np.nan))


def ledger_twice(d: District) -> District:
    """Every row of the ledger and of the samples stands twice."""
    return d.changed(**{n: pd.concat([d.tables[n]] * 2, ignore_index=True) for n in ("ledger", "self_monitoring")})


def odd_duties(d: District) -> District:
    """Duties once a year or every day, without due days."""
    duties = d.tables["permit_duties"]
    return d.changed(permit_duties=duties.assign(frequency=np.where(np.arange(len(duties)) % 2, "year", "day"), due_days=np.nan))


def clips_without_files(d: District) -> District:
    """Clips whose files are not there."""
    point = d.tables["points"]["point_id"].iloc[0]
    start = d.cubes["obs_cems"].indexes["time"][0]
    rows = [
        {"clip_id": f"C{i}", "point_id": point, "start": start, "path": f"clips/没有-{i}.mp4", "fps": 5.0, "label": ""} for i in range(3)
    ]
    return d.changed(clips=pd.DataFrame(rows))


def odd_marks(d: District) -> District:
    """Marks of no length, marks over the whole record, marks declared a year later, all at once."""
    marks, start = d.tables["marks"], d.cubes["obs_cems"].indexes["time"][0]
    n = np.arange(len(marks))
    return d.changed(
        marks=marks.assign(
            start=marks["start"].where(n % 3 != 0, start),
            end=marks["end"].where(n % 3 != 0, start + pd.Timedelta(days=400)).where(n % 3 != 1, marks["start"]),
            declared_at=pd.Timestamp("2030-01-01"),
        )
    )


def permits_of_other_years(d: District) -> District:
    """Every permit ended years ago, or begins years ahead."""
    p = d.tables["permits"]
    early = np.arange(len(p)) % 2 == 0
    return d.changed(
        permits=p.assign(
            valid_from=pd.to_datetime(np.where(early, "2001-01-01", "2040-01-01")),
            valid_to=pd.to_datetime(np.where(early, "2006-01-01", "2045-01-01")),
        )
    )


def books_of_nothing(d: District) -> District:
    """Every amount in every book is zero or empty."""
    columns = {
        "ledger": {"value": 0.0},
        "invoices": {"quantity": np.nan, "amount_cny": 0.0},
        "tax_declarations": {"declared_kg": 0.0},
        "carbon_units": {"iodine_mg_g": 0.0, "airflow_m3_h": 0.0, "hours_per_day": 0.0, "inlet_mg_m3": 0.0, "capacity_kg": np.nan},
        "carbon_events": {"mass_kg": 0.0},
        "execution_report_items": {"declared_t": 0.0, "exceed_hours": np.nan},
        "self_monitoring": {"value": np.nan, "load_pct": 0.0},
    }
    return d.changed(**{n: d.tables[n].assign(**c) for n, c in columns.items()})


ODDITIES: dict[str, Oddity] = {
    f.__name__: f
    for f in (
        only_registers,
        only_cems,
        only_wastewater,
        only_power,
        no_inspections,
        no_permits,
        permits_without_limits,
        permits_without_papers,
        no_cube_at_all_but_power_of_two_hours,
        no_power,
        no_marks,
        no_weather,
        empty_tables,
        limits_zero,
        limits_empty,
        _all_on(1, days=3),
        _all_on(15),
        _all_on(30),
        _all_on(60),
        _all_on(120),
        two_grids,
        spans_that_do_not_meet,
        points_in_another_order,
        points_that_do_not_match,
        store_version_2,
        slivers,
        starts_mid_day,
        starts_off_the_hour,
        five_days,
        two_hours,
        long_and_thin,
        nothing_arrived,
        some_points_silent,
        all_zero,
        wild_values,
        marks_outside_the_codes,
        oxygen_of_plain_air,
        ranges_and_resolution_unknown,
        resolution_zero,
        chinese_units,
        unknown_units,
        one_enterprise,
        enterprises_without_points,
        strange_names,
        extra_columns,
        missing_as_none,
        other_dtypes,
        tables_as_csv,
        kinds_unknown,
        nothing_ever_found,
        always_found,
        undecided,
        ledger_twice,
        odd_duties,
        clips_without_files,
        odd_marks,
        permits_of_other_years,
        books_of_nothing,
    )
}
