"""Emitted amounts by outlet, factor and quarter from automatic monitors: Σ c·Q over hourly means.

Air: mg/m³ × m³/h × 1e-6 = kg per hour. Water: mg/L × m³/h × 1e-3 = kg per hour. Hours without a value take the mean of
the quarter's valid hours, and the share of such hours widens the error; an hour without flow emits nothing.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from workbench.contracts import CatalogView, ParameterError, interval_s
from workbench.contracts.units import factor_between
from workbench.models.hourly import Grid, hour_means, referenced

FLOWS = {"obs_cems": "a00000", "obs_wastewater": "w00000"}
OXYGEN = "a19001"
CONCENTRATION_UNIT = {"obs_cems": "mg/m³", "obs_wastewater": "mg/L"}
KG = {"obs_cems": 1e-6, "obs_wastewater": 1e-3}
NOT_AMOUNTS = frozenset({"a00000", "w00000", OXYGEN, "a01011", "a01012", "a01013", "a01014", "w01001", "w01010", "w01014"})
"""Flow, oxygen, velocity, temperature, pressure, humidity, pH, conductivity: measured, never emitted."""
BLOCK = 96


@dataclass(frozen=True)
class Quarter:
    """Measured amount of one factor at one outlet in the part of a quarter that the period covers.

    Parameters
    ----------
    kg : float
        Amount scaled to the covered hours; NaN where nothing was measured.
    cover : float
        Valid hours over covered hours.
    covers_whole : bool
        Whether the period holds the whole quarter.
    hourly : float32 array
        Hourly means in mg/m³ (at reference oxygen where the outlet has one) or mg/L, for the reduction rule.
    month : int array
        Month of each hour.
    kg_hourly : float32 array
        Emitted kg by hour; NaN where not measured.
    inlet_kg_hourly : float32 array or None
        kg by hour before the treatment, where a monitor with role ``inlet`` measures it; None without one.
    """

    enterprise_id: str
    outlet_id: str
    factor: str
    medium: str
    quarter: str
    start: pd.Timestamp
    end: pd.Timestamp
    kg: float
    cover: float
    covers_whole: bool
    hourly: np.ndarray
    month: np.ndarray
    kg_hourly: np.ndarray
    inlet_kg_hourly: np.ndarray | None = None

    def months(self) -> list[int]:
        """Return the months in order."""
        return [int(m) for m in np.unique(self.month)]

    def month_kg(self, month: int) -> float:
        """Return the amount of a month, hours without a value filled by its mean (the quarter's where it has none)."""
        mine = self.kg_hourly[self.month == month]
        good = np.isfinite(mine)
        mean = float(mine[good].mean()) if good.any() else self.kg / max(len(self.kg_hourly), 1)
        return mean * len(mine)


def quarterly_amounts(catalog: CatalogView, grid: Grid) -> tuple[list[Quarter], list[str]]:
    """Return measured amounts, and in words what was lost.

    Returns
    -------
    list of Quarter
        Ordered by outlet, factor and quarter.
    list of str
        Points left out, each with its reason.
    """
    points, outlets = catalog.table("points"), catalog.table("outlets").set_index("outlet_id")
    found: list[Quarter] = []
    lost: list[str] = []
    for entry, flow_code in FLOWS.items():
        if not catalog.has(entry):
            lost.append(f"{entry}: not in the catalog")
            continue
        mine = points[(points["system"] == entry.removeprefix("obs_")) & (points["outlet_id"] != "")]
        flows, oxygen = (mine[mine["factor"] == f].drop_duplicates("outlet_id").set_index("outlet_id") for f in (flow_code, OXYGEN))
        pollutants = mine[~mine["factor"].isin(NOT_AMOUNTS)].sort_values(["outlet_id", "factor"])
        before = pollutants["role"] == "inlet" if "role" in pollutants else pd.Series(False, index=pollutants.index)
        inlets = pollutants[before].drop_duplicates(["outlet_id", "factor"]).set_index(["outlet_id", "factor"])
        pollutants = pollutants[~before]
        usable = pollutants[pollutants["outlet_id"].isin(flows.index)]
        lost += [f"{p}: no flow meter at its outlet" for p in pollutants.loc[~pollutants["outlet_id"].isin(flows.index), "point_id"]]
        cube = catalog.cube(entry)
        if not interval_s(cube) <= 3600:
            lost.append(f"{entry}: coarser than an hour")
            continue
        for first in range(0, len(usable), BLOCK):
            block = usable.iloc[first : first + BLOCK]
            ids = block["outlet_id"].unique()
            c = hour_means(cube, block["point_id"].tolist(), grid)
            q = hour_means(cube, flows.loc[ids, "point_id"].tolist(), grid)
            o2 = hour_means(cube, [str(oxygen["point_id"].get(o, "")) for o in ids], grid)
            raw = [str(inlets["point_id"].get((o, f), "")) for o, f in zip(block["outlet_id"], block["factor"], strict=True)]
            c_in = hour_means(cube, raw, grid).mean if any(raw) else None
            row = {o: k for k, o in enumerate(ids)}
            for k, point in enumerate(block.itertuples()):
                scale = _scale(str(point.unit), CONCENTRATION_UNIT[entry])
                if not np.isfinite(scale):
                    lost.append(f"{point.point_id}: unit {point.unit!r} is not a concentration")
                    continue
                j, reference = row[point.outlet_id], float(outlets["o2_ref"].get(point.outlet_id, np.nan))
                mean = c.mean[k] * np.float32(scale)
                compared = referenced(mean, o2.mean[j], reference, o2_highest=19.0) if np.isfinite(reference) else mean
                flow_scale = _scale(str(flows["unit"].get(point.outlet_id, "")), "m³/h")
                if not np.isfinite(flow_scale):
                    lost.append(f"{point.point_id}: unit {flows['unit'].get(point.outlet_id)!r} of its flow meter is not a flow")
                    continue
                kg = mean.astype(float) * q.mean[j].astype(float) * flow_scale * KG[entry]
                kg[q.mean[j] == 0] = 0.0
                made = None
                if c_in is not None and raw[k]:
                    unit = _scale(str(inlets["unit"].get((point.outlet_id, point.factor), "")), CONCENTRATION_UNIT[entry])
                    made = c_in[k].astype(float) * unit * q.mean[j].astype(float) * flow_scale * KG[entry]
                found += _quarters(point, compared, kg, made, grid, entry)
    return found, lost


def _scale(unit: str, target: str) -> float:
    try:
        return factor_between(unit, target)
    except ParameterError:
        return float("nan")


def _quarters(point: object, compared: np.ndarray, kg: np.ndarray, made: np.ndarray | None, grid: Grid, entry: str) -> list[Quarter]:
    names, months = grid.hours.to_period("Q"), grid.hours.month.to_numpy()
    found = []
    for name in names.unique():
        at = np.flatnonzero(names == name)
        good = np.isfinite(kg[at])
        total = float(kg[at][good].mean() * len(at)) if good.any() else float("nan")
        start, end = name.start_time, name.end_time.ceil("D")
        found.append(
            Quarter(
                enterprise_id=str(point.enterprise_id),  # type: ignore[attr-defined]
                outlet_id=str(point.outlet_id),  # type: ignore[attr-defined]
                factor=str(point.factor),  # type: ignore[attr-defined]
                medium="air" if entry == "obs_cems" else "water",
                quarter=f"{name.year}Q{name.quarter}",
                start=max(start, grid.start),
                end=min(end, grid.end),
                kg=total,
                cover=float(good.mean()),
                covers_whole=start >= grid.start and end <= grid.end,
                hourly=compared[at],
                month=months[at],
                kg_hourly=kg[at].astype(np.float32),
                inlet_kg_hourly=None if made is None else made[at].astype(np.float32),
            )
        )
    return found
