"""Residual pools from real series: what is left once the slow and the driven part is taken out, per hour, unit variance."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

Floats = np.ndarray
SMOOTH_HOURS = 24 * 14


def read_residuals(folder: Path) -> dict[str, list[Floats]]:
    """Return residual pools by family from a folder with ``gas_turbine``, ``steel`` and ``prsa``; absent ones are left out.

    Parameters
    ----------
    folder : Path
        Holds ``gas_turbine/*.csv`` (NOX, CO hourly), ``steel/*.csv`` (Usage_kWh, 15 min), ``prsa/*.parquet`` (hourly).
    """
    pools: dict[str, list[Floats]] = {}
    turbine = [pd.read_csv(f) for f in sorted((folder / "gas_turbine").glob("*.csv"))]
    if turbine:
        pools["stack"] = [unit_residual(np.log(t[c].clip(lower=0.05)), t[["TIT", "TEY", "AT"]]) for t in turbine for c in ("NOX", "CO")]
    steel = [pd.read_csv(f) for f in sorted((folder / "steel").glob("*.csv"))]
    if steel:
        hourly = [np.log(s["Usage_kWh"].clip(lower=0.5)).groupby(np.arange(len(s)) // 4).mean() for s in steel]
        pools["power"] = [unit_residual(h, pd.DataFrame({"h": (np.arange(len(h)) % 24 > 8).astype(float)})) for h in hourly]
    air = [pd.read_parquet(f) for f in sorted((folder / "prsa").glob("*.parquet"))]
    if air:
        pools["ambient"] = [unit_residual(np.log(a["PM2.5"].interpolate(limit_direction="both").clip(lower=1)), None) for a in air]
    return pools


def unit_residual(level: pd.Series, drivers: pd.DataFrame | None) -> Floats:
    """Return the residual of a log level after a linear fit on drivers and removal of a two-week mean; clipped at 5 sd."""
    y = level.to_numpy(float)
    if drivers is not None:
        x = np.column_stack([np.ones(len(y)), drivers.to_numpy(float)])
        y = y - x @ np.linalg.lstsq(x, y, rcond=None)[0]
    y = y - pd.Series(y).rolling(SMOOTH_HOURS, center=True, min_periods=24).mean().to_numpy()
    return np.asarray(np.clip(y / max(float(np.std(y)), 1e-9), -5, 5))
