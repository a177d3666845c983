"""What the model reads: fence monitors and public stations by hour, weather, production power, labelled clips."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from workbench.contracts import CatalogView, InsufficientData, ParameterError
from workbench.contracts.units import factor_between
from workbench.models.dust.hourly_dust import robust_hours
from workbench.models.hourly import Grid, hour_means
from workbench.models.rule_settings import Settings

PARTICLES: Mapping[str, str] = {"a34001": "TSP", "a34002": "PM10", "a34004": "PM2.5"}
"""Factors that are dust, by HJ 212 code."""
UNIT = "ug/m^3"


@dataclass(frozen=True)
class Air:
    """Hourly air of one factor: fence monitors first, then public stations.

    Parameters
    ----------
    factor : str
        HJ 212 code.
    points : DataFrame
        Rows of ``points`` in the order of ``value``.
    sites : int
        How many of them are fence monitors.
    value : float32 array, shape (point, hour)
        µg/m³; NaN where nothing usable arrived.
    stuck : bool array, shape (point, hour)
        Hours set aside because the instrument repeated one reading.
    """

    factor: str
    points: pd.DataFrame
    sites: int
    value: NDArray[np.float32]
    stuck: NDArray[np.bool_]


@dataclass(frozen=True)
class Weather:
    """Weather of one zone, arrays of shape (hour,); NaN where not known."""

    wind_speed: NDArray[np.float64]
    wind_dir: NDArray[np.float64]
    humidity: NDArray[np.float64]
    rain: NDArray[np.float64]


@dataclass(frozen=True)
class Inputs:
    """All inputs, and what was left out with its reason (point identifier → Chinese, English)."""

    grid: Grid
    air: list[Air]
    weather: dict[str, Weather]
    clips: pd.DataFrame
    unused: dict[str, tuple[str, str]] = field(default_factory=dict)


def read_inputs(catalog: CatalogView, grid: Grid, settings: Settings) -> Inputs:
    """Read everything for one period; absent entries leave their part empty."""
    points = catalog.table("points")
    unused: dict[str, tuple[str, str]] = {}
    fence = _usable(points[points["system"] == "dust"], unused)
    public = _usable(points[(points["system"] == "ambient") & points["factor"].isin(PARTICLES)], {})
    air = []
    for factor in sorted(set(fence["factor"])):
        mine = fence[fence["factor"] == factor].sort_values("point_id")
        others = public[public["factor"] == factor].sort_values("point_id")
        a, stuck_a = _read(catalog, "obs_dust", mine, grid, settings, unused)
        b, stuck_b = _read(catalog, "obs_ambient", others, grid, settings, {})
        table = pd.concat([mine, others], ignore_index=True)
        air.append(Air(factor, table, len(mine), np.vstack([a, b]), np.vstack([stuck_a, stuck_b])))
    return Inputs(grid, air, _weather(catalog, grid), _clips(catalog, points, grid), unused)


def _usable(points: pd.DataFrame, unused: dict[str, tuple[str, str]]) -> pd.DataFrame:
    """Return points of known factor and convertible unit with ``to_ug``, their factor to µg/m³."""
    factors = []
    for ident, factor, unit in zip(points["point_id"], points["factor"], points["unit"], strict=True):
        scale = float("nan")
        if factor not in PARTICLES:
            unused[str(ident)] = (f"因子{factor or '未填'}不是颗粒物", f"factor {factor or '(none)'} is no particulate matter")
        else:
            try:
                scale = factor_between(str(unit), UNIT)
            except ParameterError:
                unused[str(ident)] = (f"单位{unit or '未填'}不是质量浓度", f"unit {unit or '(none)'} is no mass concentration")
        factors.append(scale)
    out = points.assign(to_ug=np.asarray(factors, dtype=float))
    return out[out["to_ug"].notna()]


def _read(
    catalog: CatalogView, entry: str, points: pd.DataFrame, grid: Grid, settings: Settings, unused: dict[str, tuple[str, str]]
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    ids = points["point_id"].astype(str).tolist()
    nothing = np.full((len(ids), grid.n), np.nan, np.float32), np.zeros((len(ids), grid.n), np.bool_)
    numbers = settings.prep("hours")
    top = numbers.pop("value_max")
    if not ids or not catalog.has(entry):
        unused |= dict.fromkeys(ids, (f"目录中没有 {entry}", f"the catalog has no {entry}"))
        return nothing
    try:
        value, stuck = robust_hours(catalog.cube(entry), ids, grid, **numbers)
    except InsufficientData as error:
        unused |= dict.fromkeys(ids, (f"{entry} 的时间间隔过粗（{error.got}）", f"the grid of {entry} is too coarse ({error.got})"))
        return nothing
    value *= points["to_ug"].to_numpy(np.float32)[:, None]
    with np.errstate(invalid="ignore"):
        value[value > top] = np.nan
    return value, stuck


def _weather(catalog: CatalogView, grid: Grid) -> dict[str, Weather]:
    if not catalog.has("weather"):
        return {}
    table = catalog.table("weather").sort_values(["zone", "time"])
    out = {}
    columns = ["wind_speed", "wind_dir", "humidity", "rain"]
    for zone, rows in table.groupby("zone"):
        hourly = rows.assign(hour=rows["time"].dt.floor("h")).drop_duplicates("hour").set_index("hour").reindex(grid.hours)
        out[str(zone)] = Weather(*(hourly[c].to_numpy(np.float64) for c in columns))
    return out


def _clips(catalog: CatalogView, points: pd.DataFrame, grid: Grid) -> pd.DataFrame:
    """Return the clips of the period with their enterprise and outlet; empty without any."""
    columns = ["clip_id", "point_id", "start", "label"]
    if not catalog.has("clips"):
        empty = pd.DataFrame({c: np.array([], dtype=object) for c in (*columns, "enterprise_id", "outlet_id")})
        return empty.astype({"start": "datetime64[ns]"})
    clips = catalog.table("clips", columns)
    clips = clips[(clips["start"] >= grid.start) & (clips["start"] < grid.end)]
    where = points.set_index("point_id")[["enterprise_id", "outlet_id"]]
    clips = clips.join(where, on="point_id")
    for column in ("label", "enterprise_id", "outlet_id"):
        clips[column] = clips[column].fillna("").astype(object)
    return clips[clips["enterprise_id"] != ""].sort_values(["enterprise_id", "start", "clip_id"]).reset_index(drop=True)


def producing_hours(catalog: CatalogView, enterprises: list[str], grid: Grid) -> dict[str, NDArray[np.float32]]:
    """Return by enterprise 1 where production power runs, 0 where it does not, NaN where not known.

    Running is above a third of the meter's own 95 % quantile: no state model, only a witness.
    """
    if not catalog.has("obs_power"):
        return {}
    points = catalog.table("points")
    mine = points[(points["system"] == "power") & (points["role"] == "production") & points["enterprise_id"].isin(enterprises)]
    mine = mine.sort_values(["enterprise_id", "point_id"])
    if not len(mine):
        return {}
    try:
        means = hour_means(catalog.cube("obs_power"), mine["point_id"].astype(str).tolist(), grid).mean
    except InsufficientData:
        return {}
    out: dict[str, NDArray[np.float32]] = {}
    for e, x in zip(mine["enterprise_id"].astype(str), means, strict=True):
        known = np.isfinite(x)
        if known.sum() < 168:
            continue
        on = np.where(known, x > 0.33 * np.quantile(x[known], 0.95), np.nan).astype(np.float32)
        out[e] = np.fmax(out[e], on) if e in out else on
    return out
