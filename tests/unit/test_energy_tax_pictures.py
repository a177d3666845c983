"""What reviewers see: off-spans shaded under the pair of curves, the band of the industry, bars in named units."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest
import xarray as xr

from workbench.catalog import open_catalog
from workbench.models import load
from workbench.models.energy_tax.meters import Works, learn_works
from workbench.models.energy_tax.pictures import draw_intensity, draw_pair, draw_reasons, draw_surroundings
from workbench.models.rule_settings import read_settings

mpl.use("Agg")
pytestmark = pytest.mark.filterwarnings("ignore:Glyph")
START = pd.Timestamp("2026-01-05")


def works_with_a_stop() -> Works:
    rng, n = np.random.default_rng(1), 40 * 96
    hour = (np.arange(n) % 96) / 4
    on = (hour >= 7) & (hour < 21)
    stop = on & (np.arange(n) // 96 == 20)
    power = np.stack([np.where(on, 300.0, 9.0), np.where(on & ~stop, 45.0, 0.8)]) * np.exp(0.04 * rng.standard_normal((2, n)))
    g = pd.DataFrame({"point_id": ["P", "T"], "role": ["production", "treatment"], "resolution": 0.01, "scale": 1.0})
    time = pd.date_range(START, periods=n, freq="15min").to_numpy()
    return learn_works("E1", g, power.astype(np.float32), time, 900.0, None, read_settings("workbench.models.energy_tax"))


def test_the_off_span_is_shaded_where_the_treatment_stood_and_nowhere_else() -> None:
    works = works_with_a_stop()
    ax = draw_pair(works, START + pd.Timedelta("19D"), START + pd.Timedelta("22D"))
    assert len(ax.lines) == 2
    (shade,) = ax.collections
    assert "treatment off" in str(shade.get_label())
    days = {pd.Timestamp(mpl.dates.num2date(x).replace(tzinfo=None)).normalize() for p in shade.get_paths() for x in p.vertices[:, 0]}
    assert days == {START + pd.Timedelta("20D")}
    assert not draw_pair(works, START, START + pd.Timedelta("5D")).collections


def test_the_intensity_stands_against_the_band_of_its_own_industry() -> None:
    month = pd.Timestamp("2026-01-01")
    rows = [("E1", "a", month, -1.0, 0.0, 0.2)] + [(f"P{k}", "a", month, 0.1 * k, 0.0, 0.2) for k in range(9)]
    rows += [("X", "b", month, 9.0, 9.0, 0.2)]
    ax = draw_intensity(pd.DataFrame(rows, columns=["enterprise_id", "industry", "month", "log_intensity", "expected", "sd"]), "E1")
    band = next(c for c in ax.collections if "industry" in str(c.get_label())).get_paths()[0].vertices[:, 1]
    assert np.exp(-1.0) <= band.min() < band.max() <= np.exp(0.8)
    assert ax.lines[-1].get_ydata()[0] == pytest.approx(np.exp(-1.0))


def test_bars_carry_name_value_and_unit_and_are_the_contributions() -> None:
    parts = pd.DataFrame(
        {
            "label_zh": ["停治总时长", "夜间占比", "无数据"],
            "unit": ["h", "1", "h"],
            "value": [30.0, 0.5, np.nan],
            "contribution": [1.2, -0.3, 0.0],
        }
    )
    ax = draw_reasons(parts)
    assert [t.get_text() for t in ax.get_yticklabels()] == ["夜间占比 0.5", "停治总时长 30 h"]
    assert [p.get_width() for p in ax.patches] == [-0.3, 1.2]


def test_stack_flow_and_temperature_stand_beside_the_production() -> None:
    hours = pd.date_range(START, periods=48, freq="h")
    seen = xr.Dataset(
        {
            "production": ("hour", np.full(48, 300.0)),
            "flow": ("hour", np.ones(48)),
            "temperature": (("sensor", "hour"), np.full((2, 48), 90.0)),
        },
        coords={"hour": hours},
    )
    ax = draw_surroundings(seen, hours[0], hours[-1])
    (right,) = [a for a in ax.figure.axes if a is not ax]
    assert len(right.lines) == 3
    assert {"°C", "kW"} == {right.get_ylabel(), ax.get_ylabel()}


def test_surroundings_of_a_district_hold_what_its_stacks_measure(tiny_catalog: Path) -> None:
    catalog: Any = open_catalog(tiny_catalog)
    points = catalog.table("points")
    metered = set(points.loc[(points["system"] == "power") & (points["role"] == "production"), "enterprise_id"])
    warm = points[(points["factor"] == "a01012") & points["enterprise_id"].isin(metered)]
    if not len(warm):
        pytest.skip("no metered enterprise of this district measures the temperature of its stack")
    model: Any = load("energy_tax")
    enterprise = str(warm["enterprise_id"].iloc[0])
    seen = model.surroundings(catalog, catalog.period, enterprise)
    assert seen.sizes["sensor"] >= 1
    assert np.isfinite(seen["temperature"]).mean() > 0.2
    assert np.isfinite(seen["production"]).mean() > 0.2
    assert model.surroundings(catalog, catalog.period, "nobody") is None
