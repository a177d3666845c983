"""Hourly evidence channels, with the roles and level names of the cross-model layer."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.resources import files
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr
import yaml
from numpy.typing import NDArray

from workbench.contracts import NOT_INSTALLED, Kind, channel
from workbench.models.hourly import Grid

CHANNELS: Mapping[str, dict[str, Any]] = yaml.safe_load(
    files("workbench.models.dust").joinpath("channels.yml").read_text(encoding="utf-8")
)["channels"]
"""Attributes of each channel (``channels.yml``)."""
RAISED, HIGH = 2.0, 1.0
"""Standardised excess of an hour that is raised by itself, and of one that is high inside a finding."""
COVER = {"covered": 0, "uncovered": 1}
SMOKE = {"clean": 0, "white_steam": 1, "black_smoke": 2}


def evidence_of(features: xr.Dataset, results: pd.DataFrame, *, cover_hold_h: float, smoke_hold_h: float) -> xr.Dataset:
    """Return the channels.

    Parameters
    ----------
    features : Dataset
        Of :meth:`~workbench.models.dust.model.DustModel.features`.
    results : DataFrame
        Its rule results with ``p`` (calibrated) and ``breach``.
    cover_hold_h, smoke_hold_h : float
        Hours before and after a clip for which its label stands.
    """
    ids = [str(e) for e in features["enterprise"].to_numpy()]
    hours = pd.DatetimeIndex(features["hour"].to_numpy())
    grid = Grid(hours[0], len(hours))
    levels = {
        "dust_fence": _fence(features, results, ids, grid),
        "dust_cover": _labels(features, ids, grid, COVER, cover_hold_h),
        "dust_smoke": _labels(features, ids, grid, SMOKE, smoke_hold_h),
    }
    return xr.Dataset({n: channel(levels[n], enterprises=ids, hours=hours, **CHANNELS[n]) for n in CHANNELS})


def _fence(features: xr.Dataset, results: pd.DataFrame, ids: list[str], grid: Grid) -> NDArray[np.int8]:
    """Return 0 ordinary, 1 raised, 2 high, 3 outage; −1 without a monitor, or where there is no background."""
    row = {e: k for k, e in enumerate(ids)}
    out = np.full((len(ids), grid.n), NOT_INSTALLED, np.int8)
    z, value = features["z"].to_numpy(), features["value"].to_numpy()
    owner = features["site_enterprise_id"].to_numpy()
    top = np.full((len(ids), grid.n), np.nan)
    for k, e in enumerate(owner):
        if str(e) not in row or not np.isfinite(z[k]).any():
            continue
        r = row[str(e)]
        top[r] = np.fmax(top[r], z[k])
        gone = ~np.isfinite(value[k]) & (out[r] == NOT_INSTALLED)
        out[r, gone] = 3
        out[r, np.isfinite(z[k]) & ((out[r] == 3) | (out[r] == NOT_INSTALLED))] = 0
    with np.errstate(invalid="ignore"):
        out[(out == 0) & (top > RAISED)] = 1
    raised = results[results["breach"] & (results["kind"] == Kind.FUGITIVE)]
    for e, start, end in zip(raised["enterprise_id"], raised["start"], raised["end"], strict=True):
        if str(e) in row:
            lo, hi = np.clip([np.floor(grid.index([start])[0]), np.ceil(grid.index([end])[0])], 0, grid.n).astype(int)
            part, seen = out[row[str(e)], lo:hi], top[row[str(e)], lo:hi]
            with np.errstate(invalid="ignore"):
                part[(part >= 0) & (seen > HIGH)] = 2
    return out


def _labels(features: xr.Dataset, ids: list[str], grid: Grid, levels: Mapping[str, int], hold: float) -> NDArray[np.int8]:
    """Return the level of the clip nearest in time, where one is within ``hold`` hours; else −1: nobody looked."""
    row = {e: k for k, e in enumerate(ids)}
    out = np.full((len(ids), grid.n), NOT_INSTALLED, np.int8)
    away = np.full((len(ids), grid.n), np.inf)
    at = grid.index(pd.DatetimeIndex(features["clip_start"].to_numpy()))
    hour = np.arange(grid.n) + 0.5
    for when, e, label in zip(at, features["clip_enterprise_id"].to_numpy(), features["clip_label"].to_numpy(), strict=True):
        if str(label) not in levels or str(e) not in row:
            continue
        lo, hi = max(0, int(np.floor(when - hold))), min(grid.n, int(np.floor(when + hold)) + 1)
        r, distance = row[str(e)], np.abs(hour[lo:hi] - when)
        nearer = distance < away[r, lo:hi]
        out[r, lo:hi][nearer] = levels[str(label)]
        away[r, lo:hi][nearer] = distance[nearer]
    return out
