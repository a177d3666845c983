"""A hand-made district of three enterprises, small enough to break one cell at a time."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import xarray as xr

from workbench.contracts.catalog_yaml import catalog_yaml

START = pd.Timestamp("2026-01-01")


def tables() -> dict[str, pd.DataFrame]:
    enterprises = pd.DataFrame(
        {
            "enterprise_id": ["E1", "E2", "E3"],
            "name": ["甲厂", "乙厂", "丙厂"],
            "industry": ["0810", "2511", "4610"],
            "street_town": ["north", "south", "south"],
            "lon": [120.1, 120.2, 120.3],
            "lat": [30.1, 30.2, 30.3],
            "key_polluter": [True, False, True],
            "permit_class": ["key", "", "simplified"],
            "legal_person_id": ["L1", "L2", "L2"],
            "operator": ["V1", "", "V2"],
        }
    )
    outlets = pd.DataFrame(
        {
            "outlet_id": ["E1-A", "E2-W"],
            "enterprise_id": ["E1", "E2"],
            "code": ["DA001", "DW001"],
            "medium": ["air", "water"],
            "kind": ["stack", "wastewater"],
            "lon": [120.1, 120.2],
            "lat": [30.1, 30.2],
            "o2_ref": [6.0, np.nan],
            "receiving": ["", "river"],
        }
    )
    points = pd.DataFrame(
        {
            "point_id": ["P0", "P1", "P2", "C0"],
            "system": ["cems", "cems", "cems", "video"],
            "enterprise_id": ["E1", "E1", "E3", "E1"],
            "outlet_id": ["E1-A", "E1-A", "", ""],
            "factor": ["a21026", "a21002", "a19001", ""],
            "role": ["", "", "", ""],
            "unit": ["mg/m³", "mg/m³", "%", ""],
            "range_low": [0.0, 0.0, 0.0, np.nan],
            "range_high": [200.0, 300.0, 25.0, np.nan],
            "resolution": [0.1, 0.1, 0.01, np.nan],
            "interval_s": [3600.0, 3600.0, 3600.0, np.nan],
            "lon": [120.1] * 4,
            "lat": [30.1] * 4,
            "street_town": ["north"] * 4,
            "installed_on": [pd.Timestamp("2020-01-01")] * 4,
            "removed_on": [pd.NaT] * 4,
        }
    )
    inspections = pd.DataFrame(
        {
            "inspection_id": ["I1", "I2", "I3"],
            "enterprise_id": ["E1", "E2", "E3"],
            "inspected_on": pd.to_datetime(["2026-01-02", "2026-01-03", "2026-01-03"]),
            "decided_on": pd.to_datetime(["2026-01-03", "2026-01-05", None]),
            "origin": ["lead", "random", "complaint"],
            "selection_probability": [np.nan, 0.1, np.nan],
            "period_start": [START] * 3,
            "period_end": [START + pd.Timedelta(days=1)] * 3,
            "finding": ["violation", "none", "none"],
            "kinds": [["exceedance"], [], []],
        }
    )
    return {"enterprises": enterprises, "outlets": outlets, "points": points, "inspections": inspections}


def cube(points: list[str] | None = None, hours: int = 48) -> xr.Dataset:
    ids = ["P0", "P1", "P2"] if points is None else points
    values = np.arange(len(ids) * hours, dtype=np.float32).reshape(len(ids), hours)
    return xr.Dataset(
        {"value": (("point", "time"), values), "mark": (("point", "time"), np.zeros(values.shape, np.uint8))},
        coords={"point": np.array(ids, dtype=object), "time": pd.date_range(START, periods=hours, freq="h")},
    )


def write_district(folder: Path, changed: dict[str, pd.DataFrame] | None = None, cubes: dict[str, xr.Dataset] | None = None) -> Path:
    """Write the district, with some entries replaced; return its catalog file."""
    frames = tables() | (changed or {})
    stores = {"obs_cems": cube()} if cubes is None else cubes
    (folder / "data").mkdir(parents=True, exist_ok=True)
    for name, frame in frames.items():
        frame.to_parquet(folder / "data" / f"{name}.parquet")
    for name, store in stores.items():
        store.chunk({"point": 1, "time": 24}).to_zarr(folder / "data" / f"{name}.zarr", mode="w", consolidated=False)
    file = folder / "catalog.yml"
    file.write_text(catalog_yaml(frames, stores), encoding="utf-8")
    return file
