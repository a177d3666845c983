"""The district must not be solvable by one simple rule, and its residuals should pass for real ones.

The rules here are the crude ones anybody would try first; their numbers are nobody's thresholds.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from sklearn.ensemble import RandomForestClassifier
from sklearn.metrics import average_precision_score, roc_auc_score
from sklearn.model_selection import StratifiedGroupKFold, cross_val_predict

from workbench.district import generate
from workbench.district.noise import Residuals, stream
from workbench.district.residuals import read_residuals


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return generate(tmp_path_factory.mktemp("small"), scale="small", seed=21, progress=False).parent


def _cube(folder: Path, name: str) -> tuple[list[str], np.ndarray, np.ndarray]:
    with xr.open_zarr(folder / "data" / f"{name}.zarr") as cube:
        return list(cube["point"].to_numpy().astype(object)), cube["value"].to_numpy(), cube["mark"].to_numpy()


def _monitor_rules(folder: Path, scores: pd.DataFrame) -> None:
    points = pd.read_parquet(folder / "data" / "points.parquet").set_index("point_id")
    outlets = pd.read_parquet(folder / "data" / "outlets.parquet").set_index("outlet_id")
    limits = pd.read_parquet(folder / "data" / "permit_limits.parquet").set_index(["outlet_id", "factor"])["limit"]
    for name in ("obs_cems", "obs_wastewater"):
        ids, value, mark = _cube(folder, name)
        oxygen = {points.loc[p, "outlet_id"]: value[i] for i, p in enumerate(ids) if points.loc[p, "factor"] == "a19001"}
        for i, p in enumerate(ids):
            row = points.loc[p]
            e = row["enterprise_id"]
            scores.loc[e, "outage share"] = max(scores.loc[e, "outage share"], float(np.isnan(value[i]).mean()))
            if (row["outlet_id"], row["factor"]) not in limits.index:
                continue
            x = np.where(mark[i] == 0, value[i], np.nan).astype(float)
            if row["outlet_id"] in oxygen:
                x_ref = x * (21 - outlets.loc[row["outlet_id"], "o2_ref"]) / np.maximum(21 - oxygen[row["outlet_id"]], 0.5)
            else:
                x_ref = x
            flat = x[np.isfinite(x)]
            if len(flat) < 100:
                continue
            edges = np.flatnonzero(np.diff(flat))
            run = float(np.diff(edges).max()) if len(edges) > 1 else float(len(flat))
            hour = pd.Series(x_ref).groupby(np.arange(len(x)) // 10).mean() / limits[row["outlet_id"], row["factor"]]
            for rule, figure in (
                ("longest constant run", run),
                ("share near the limit", float(hour.between(0.85, 1.0).mean())),
                ("hours over the limit", float((hour > 1).sum())),
                ("step-to-step scatter", float(np.std(np.diff(np.log(np.maximum(flat, 1e-3)))))),
            ):
                scores.loc[e, rule] = max(scores.loc[e, rule], figure)


def _power_rule(folder: Path, scores: pd.DataFrame) -> None:
    points = pd.read_parquet(folder / "data" / "points.parquet")
    ids, value, _ = _cube(folder, "obs_power")
    where = {p: i for i, p in enumerate(ids)}
    for e, mine in points[points["system"] == "power"].groupby("enterprise_id"):
        row = {r: value[where[p]] for p, r in zip(mine["point_id"], mine["role"], strict=True)}
        if {"production", "treatment"} <= set(row):
            on = row["production"] > 0.3 * np.nanquantile(row["production"], 0.95)
            low = row["treatment"] < 0.3 * np.nanquantile(row["treatment"], 0.95)
            scores.loc[e, "minutes off while on"] = 6.0 * float((on & low).sum())


def test_no_simple_rule_alone_solves_the_district(small: Path, record_property) -> None:
    enterprises = pd.read_parquet(small / "data" / "enterprises.parquet")["enterprise_id"]
    rules = [
        "longest constant run",
        "share near the limit",
        "hours over the limit",
        "step-to-step scatter",
        "outage share",
        "minutes off while on",
    ]
    scores = pd.DataFrame(0.0, index=pd.Index(enterprises), columns=rules)
    _monitor_rules(small, scores)
    _power_rule(small, scores)
    scores["alert count"] = sum((scores[r] > scores[r].quantile(0.9)).astype(float) for r in rules)
    violators = scores.index.isin(pd.read_parquet(small / "truth.parquet")["enterprise_id"])
    precision = {r: float(average_precision_score(violators, scores[r])) for r in scores}
    record_property("average_precision", precision)
    assert 0.15 <= violators.mean() <= 0.25
    assert max(precision.values()) < 0.5, precision
    # and it is not noise either: something of it shows
    assert max(precision.values()) > violators.mean() + 0.03, precision


def test_the_small_district_keeps_its_size(small: Path) -> None:
    points = pd.read_parquet(small / "data" / "points.parquet")
    assert 600 <= len(points) <= 850
    size = sum(f.stat().st_size for f in small.rglob("*") if f.is_file())
    assert size < 400e6
    truth = pd.read_parquet(small / "truth.parquet")
    hours = (truth["end"] - truth["start"]).dt.total_seconds() / 3600
    assert 2 < hours.median() < 200
    schemes = truth.drop_duplicates(["enterprise_id", "mechanism"])
    assert 0.25 <= schemes["silent_by_design"].mean() <= 0.55


def _windows(series: np.ndarray, size: int = 72) -> np.ndarray:
    rows = []
    for a in range(0, len(series) - size, size):
        w = series[a : a + size]
        w = (w - w.mean()) / max(float(w.std()), 1e-9)
        d = np.diff(w)
        lags = [float((w[:-k] * w[k:]).mean()) for k in (1, 2, 4, 8, 24)]
        rows.append([*lags, float(d.std()), float(np.abs(d).max()), float((w**4).mean()), float((w**3).mean()), float((d**4).mean())])
    return np.array(rows)


@pytest.mark.real
def test_residuals_pass_for_real_ones(shared: Path, record_property) -> None:
    """A classifier of real against simulated windows: bootstrapped blocks are hard to tell, parametric ones easier."""
    pool = read_residuals(shared / "data")["stack"]
    real = _windows(np.concatenate(pool))
    groups = np.arange(len(real)) // 20
    auc = {}
    for name, source in (("blocks", Residuals({"stack": pool})), ("parametric", Residuals())):
        made = _windows(source.draw(stream(5, name), 10 * 72 * len(real), "stack").reshape(-1, 10).mean(axis=1))
        x = np.vstack([real, made])
        y = np.r_[np.ones(len(real)), np.zeros(len(made))]
        g = np.r_[groups, 1000 + np.arange(len(made)) // 20]
        forest = RandomForestClassifier(100, min_samples_leaf=5, random_state=0, n_jobs=1)
        p = cross_val_predict(forest, x, y, groups=g, cv=StratifiedGroupKFold(4), method="predict_proba")[:, 1]
        auc[name] = float(roc_auc_score(y, p))
    record_property("auc_real_against_simulated", auc)
    assert auc["blocks"] < 0.75, auc
    assert auc["parametric"] < 0.9, auc


@pytest.mark.real
def test_a_district_over_real_residuals_is_in_contract_too(shared: Path, tmp_path: Path) -> None:
    catalog = generate(tmp_path / "d", scale="tiny", seed=7, progress=False, residuals=shared / "data")
    plain = generate(tmp_path / "p", scale="tiny", seed=7, progress=False)
    assert "blocks of real series" in (catalog.parent / "district.json").read_text(encoding="utf-8")
    _, real, _ = _cube(catalog.parent, "obs_cems")
    _, parametric, _ = _cube(plain.parent, "obs_cems")
    assert real.shape == parametric.shape
    assert not np.array_equal(real, parametric, equal_nan=True)
    assert np.nanmedian(real) == pytest.approx(np.nanmedian(parametric), rel=0.2)
