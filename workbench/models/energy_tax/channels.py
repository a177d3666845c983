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

from workbench.contracts import channel
from workbench.models.energy_tax.rules_books import DECLARED, REDUCED
from workbench.models.energy_tax.rules_carbon import RULE as CARBON
from workbench.models.hourly import Grid

CHANNELS: Mapping[str, dict[str, Any]] = yaml.safe_load(
    files("workbench.models.energy_tax").joinpath("channels.yml").read_text(encoding="utf-8")
)["channels"]
"""Attributes of each channel (``channels.yml``)."""
OFF_RULES = ("treatment_off_while_producing", "treatment_idling_while_producing")


def evidence_of(features: xr.Dataset, results: pd.DataFrame) -> xr.Dataset:
    """Return the channels.

    Parameters
    ----------
    features : Dataset
        Of :meth:`~workbench.models.energy_tax.model.EnergyTaxModel.features`.
    results : DataFrame
        Its rule results with ``p`` (calibrated) and ``breach``.
    """
    ids = [str(e) for e in features["enterprise"].to_numpy()]
    hours = pd.DatetimeIndex(features["hour"].to_numpy())
    grid = Grid(hours[0], len(hours))
    levels = {
        "energy_production_power": features["production_level"].to_numpy(),
        "energy_treatment_power": features["treatment_level"].to_numpy(),
        "energy_total_power": features["total_level"].to_numpy(),
        "energy_meter_swap": features["meter_swap"].to_numpy(),
        "energy_treatment_condition": features["treatment_condition"].to_numpy(),
        "energy_process_condition": features["process_condition"].to_numpy(),
        "energy_trade_activity": features["trade_activity"].to_numpy(),
        "energy_off_while_on": _off_while_on(features, results, ids, grid),
        "energy_power_integrity": _integrity(features, results, ids, grid),
        "energy_carbon": _carbon(features, results, ids, grid),
        "energy_tax_integrity": _tax(results, ids, grid),
    }
    arrays = {n: channel(levels[n], enterprises=ids, hours=hours, **CHANNELS[n]) for n in CHANNELS}
    return xr.Dataset(arrays)


def _spans(results: pd.DataFrame, rules: tuple[str, ...], ids: list[str], grid: Grid) -> list[tuple[int, int, int, dict[str, Any]]]:
    row = {e: k for k, e in enumerate(ids)}
    mine = results[results["rule"].isin(rules)]
    found = []
    for r in mine.to_dict("records"):
        if r["enterprise_id"] in row:
            lo, hi = np.clip([np.floor(grid.index([r["start"]])[0]), np.ceil(grid.index([r["end"]])[0])], 0, grid.n).astype(int)
            found.append((row[r["enterprise_id"]], int(lo), int(hi), {str(k): v for k, v in r.items()}))
    return found


def _off_while_on(features: xr.Dataset, results: pd.DataFrame, ids: list[str], grid: Grid) -> NDArray[np.int8]:
    minutes = features["off_minutes"].to_numpy().astype(int) + features["idle_minutes"].to_numpy()
    paired, p, t = (features[n].to_numpy() for n in ("paired", "production_level", "treatment_level"))
    out = np.full(minutes.shape, -1, np.int8)
    out[paired] = 0
    out[paired[:, None] & ((p == 3) | (t == 3))] = 3
    out[paired[:, None] & (minutes >= 15)] = 1
    for e, lo, hi, r in _spans(results, OFF_RULES, ids, grid):
        if r["breach"]:
            part = out[e, lo:hi]
            part[minutes[e, lo:hi] >= 30] = 2
    return out


def _integrity(features: xr.Dataset, results: pd.DataFrame, ids: list[str], grid: Grid) -> NDArray[np.int8]:
    p, frozen, clash = (features[n].to_numpy() for n in ("production_level", "frozen_minutes", "flow_conflict"))
    out = np.where(p >= 0, 0, -1).astype(np.int8)
    out[p == 3] = 3
    out[(p >= 0) & ((frozen >= 45) | (clash == 1))] = 1
    for e, lo, hi, r in _spans(results, ("flow_contradicts_power", "temperature_contradicts_power"), ids, grid):
        if r["breach"]:
            part = out[e, lo:hi]
            part[clash[e, lo:hi] == 1] = 2
    return out


def _carbon(features: xr.Dataset, results: pd.DataFrame, ids: list[str], grid: Grid) -> NDArray[np.int8]:
    out = np.full((len(ids), grid.n), -1, np.int8)
    spans = _spans(results, (CARBON,), ids, grid)
    unknown = [s for s in spans if s[3]["ruling"] == "not evaluable"]
    for e, lo, hi, _ in unknown:
        out[e, lo:hi] = 3
    for e, lo, hi, r in spans:
        if r["ruling"] == "compliant":
            part = out[e, lo:hi]
            due = r["value"] > 0.8 * r["threshold"]
            when = r["end"] - pd.Timedelta(days=r["value"] - 0.8 * r["threshold"])
            late = max(0, int((when - grid.start) / pd.Timedelta(hours=1)) - lo) if due else grid.n
            state = np.zeros(len(part), np.int8)
            state[late:] = 1
            part[:] = np.where(part == 3, state, np.maximum(part, state))
        elif r["ruling"] == "violated":
            begin = max(0, int(grid.index([r["start"] - pd.Timedelta(days=r["threshold"])])[0]))
            before, part = out[e, begin:lo], out[e, lo:hi]
            before[:] = np.where(before == 3, 0, np.maximum(before, 0))
            level = np.int8(2 if r["breach"] else 1)
            part[:] = np.where(part == 3, level, np.maximum(part, level))
    return out


def _tax(results: pd.DataFrame, ids: list[str], grid: Grid) -> NDArray[np.int8]:
    out = np.full((len(ids), grid.n), -1, np.int8)
    for e, lo, hi, r in _spans(results, (DECLARED, REDUCED), ids, grid):
        if r["ruling"] == "not evaluable" or (r["rule"] == REDUCED and r["ruling"] != "violated"):
            continue
        level = 0 if r["ruling"] == "compliant" else 2 if r["breach"] else 1
        if r["ruling"] == "compliant" and r["value"] < 1.15 * r["threshold"]:
            level = 1
        np.maximum(out[e, lo:hi], np.int8(level), out=out[e, lo:hi])
    return out
