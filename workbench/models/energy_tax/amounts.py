"""Emitted amounts by outlet, factor and quarter from automatic monitors: Σ c·Q over hourly means.

Air: mg/m³ × m³/h × 1e-6 = kg per hour. Water: mg/L × m³/h × 1e-3 = kg per hour. Hours without a value take the mean of
the quarter's valid hours, and the share of such hours widens the error; hours in which production stands marked as
stopped count as zero where the flow is zero.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from workbench.contracts import CatalogView
from workbench.contracts.units import factor_between, known_unit
from workbench.models.hourly import Grid, hour_means

FLOWS = {"obs_cems": "a00000", "obs_wastewater": "w00000"}
CONCENTRATION_UNIT = {"obs_cems": "mg/m³", "obs_wastewater": "mg/L"}
KG = {"obs_cems": 1e-6, "obs_wastewater": 1e-3}
NOT_AMOUNTS = frozenset({"a00000", "w00000", "a19001", "a01012", "w01001"})
"""Flow, oxygen, temperature and pH: measured, never emitted."""


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
        Hourly means in mg/m³ or mg/L, for the reduction rule.
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


def quarterly_amounts(catalog: CatalogView, grid: Grid) -> tuple[list[Quarter], list[str]]:
    """Return measured amounts, and in words what was lost.

    Returns
    -------
    list of Quarter
        Ordered by outlet, factor and quarter.
    list of str
        Points left out, each with its reason.
    """
    points = catalog.table("points")
    found: list[Quarter] = []
    lost: list[str] = []
    for entry, flow_code in FLOWS.items():
        if not catalog.has(entry):
            lost.append(f"{entry}: not in the catalog")
            continue
        mine = points[(points["system"] == entry.removeprefix("obs_")) & (points["outlet_id"] != "")]
        flows = mine[mine["factor"] == flow_code].drop_duplicates("outlet_id").set_index("outlet_id")
        pollutants = mine[~mine["factor"].isin(NOT_AMOUNTS)].sort_values(["outlet_id", "factor"])
        usable = pollutants[pollutants["outlet_id"].isin(flows.index)]
        lost += [f"{p}: no flow meter at its outlet" for p in pollutants.loc[~pollutants["outlet_id"].isin(flows.index), "point_id"]]
        cube = catalog.cube(entry)
        for first in range(0, len(usable), 96):
            block = usable.iloc[first : first + 96]
            outlets = block["outlet_id"].unique()
            c = hour_means(cube, block["point_id"].tolist(), grid)
            q = hour_means(cube, flows.loc[outlets, "point_id"].tolist(), grid)
            row = {o: k for k, o in enumerate(outlets)}
            for k, point in enumerate(block.itertuples()):
                scale = _scale(str(point.unit), CONCENTRATION_UNIT[entry])
                if scale is None:
                    lost.append(f"{point.point_id}: unit {point.unit!r} is not a concentration")
                    continue
                found += _quarters(point, c.mean[k] * scale, q.mean[row[point.outlet_id]], grid, entry)
    return found, lost


def _scale(unit: str, target: str) -> float | None:
    if known_unit(unit) is None:
        return None
    try:
        return factor_between(unit, target)
    except Exception:
        return None


def _quarters(point: object, c: np.ndarray, q: np.ndarray, grid: Grid, entry: str) -> list[Quarter]:
    names = grid.hours.to_period("Q")
    found = []
    for name in names.unique():
        at = np.flatnonzero(names == name)
        product = c[at].astype(float) * q[at].astype(float)
        product[(q[at] == 0)] = 0.0
        good = np.isfinite(product)
        kg = float(np.nanmean(product) * len(at) * KG[entry]) if good.any() else float("nan")
        start, end = name.start_time, name.end_time.ceil("D")
        found.append(
            Quarter(
                str(point.enterprise_id), str(point.outlet_id), str(point.factor), "air" if entry == "obs_cems" else "water", f"{name.year}Q{name.quarter}",  # type: ignore[attr-defined]
                max(start, grid.start), min(end, grid.end), kg, float(good.mean()), start >= grid.start and end <= grid.end, c[at],
            )
        )  # fmt: skip
    return found
