"""Hourly evidence of a simulated works whose truth is known: every channel says at every hour what happened."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import xarray as xr

from workbench.catalog.memory import MemoryCatalog, cube_of
from workbench.contracts import Period
from workbench.models import load
from workbench.models.energy_tax.channels import CHANNELS

START, DAYS, PER_DAY = pd.Timestamp("2026-01-05"), 60, 96
TIME = pd.date_range(START, periods=DAYS * PER_DAY, freq="15min")
DAY, HOUR = np.arange(len(TIME)) // PER_DAY, (np.arange(len(TIME)) % PER_DAY) / 4
ON = (HOUR >= 7) & (HOUR < 21) & (DAY % 7 != 6)
LOW = ON & (DAY == 10)  # a day of production at a quarter of the load
STOP = ON & np.isin(DAY, (21, 23, 25, 29, 31, 36)) & (HOUR >= 10) & (HOUR < 16)
FROZEN = (DAY == 44) & (HOUR >= 9) & (HOUR < 15)
OUTAGE = DAY == 50
COLD = ON & np.isin(DAY, (52, 53, 54)) & (HOUR >= 7)


def catalog() -> MemoryCatalog:
    """A catalog of one enterprise whose hours are known, and of one without any source."""
    rng = np.random.default_rng(1)

    def noisy(x: np.ndarray) -> np.ndarray:
        return x * np.exp(0.03 * rng.standard_normal(len(x)))

    production = noisy(np.where(LOW, 75.0, np.where(ON, 300.0, 9.0)))
    production[FROZEN] = 301.25
    treatment = noisy(np.where(ON & ~STOP, 45.0, 0.8))
    total = production + treatment + 5.0
    treatment[DAY >= 40] *= 0.5  # a new transformer
    treatment[OUTAGE] = np.nan
    drop = noisy(np.where(ON & ~STOP, 900.0, 4.0))
    furnace = np.where(ON, np.where(LOW, 300.0, 700.0), 40.0) + 3 * rng.standard_normal(len(TIME))
    furnace[COLD] = 40.0 + 3 * rng.standard_normal(int(COLD.sum()))
    sources = {
        "obs_power": {"E1-P": production, "E1-T": treatment, "E1-Z": total},
        "obs_condition": {"E1-D": drop, "E1-F": furnace},
    }
    rows = [
        ("E1-P", "power", "power", "production", "kW"), ("E1-T", "power", "power", "treatment", "kW"),
        ("E1-Z", "power", "power", "total", "kW"), ("E1-D", "condition", "pressure_drop", "treatment", "Pa"),
        ("E1-F", "condition", "process_temperature", "production", "°C"),
    ]  # fmt: skip
    points = pd.DataFrame(rows, columns=["point_id", "system", "factor", "role", "unit"])
    months = [pd.Timestamp("2026-02-10"), pd.Timestamp("2026-02-20")]
    tables = {
        "enterprises": pd.DataFrame({"enterprise_id": ["E1", "E2"], "industry": "2110"}),
        "outlets": pd.DataFrame({"outlet_id": [], "enterprise_id": [], "o2_ref": []}),
        "points": points.assign(enterprise_id="E1", outlet_id="", resolution=0.01, range_high=np.nan),
        "invoices": pd.DataFrame({"enterprise_id": "E1", "issued_on": months, "direction": "sale", "commodity": "x"}).assign(
            quantity=5.0, unit="t", amount_cny=9.0
        ),
        "carbon_units": pd.DataFrame(
            {
                "unit_id": ["C1"], "enterprise_id": "E1", "outlet_id": "", "capacity_kg": 1000.0, "iodine_mg_g": 800.0,
                "airflow_m3_h": 10_000.0, "hours_per_day": 12.0, "inlet_mg_m3": 40 / 0.85,
            }
        ),
        "carbon_events": pd.DataFrame({"unit_id": ["C1"], "at": [START], "event": "fill", "mass_kg": 1000.0, "document": ""}),
    }  # fmt: skip
    cubes = {entry: cube_of(list(rows), TIME, np.stack([np.round(x, 2) for x in rows.values()])) for entry, rows in sources.items()}
    return MemoryCatalog(tables, cubes, Period(START, START + pd.Timedelta(days=DAYS)))


@pytest.fixture(scope="module")
def evidence() -> xr.Dataset:
    model, given = load("energy_tax"), catalog()
    features = model.features(given, given.period)
    found: xr.Dataset = model.fit(features, given.labels(), seed=1).evidence(features)
    return found


def said(evidence: xr.Dataset, name: str, enterprise: str = "E1") -> np.ndarray:
    """Return the level by name at each hour; an empty string where nothing is installed."""
    levels = [*CHANNELS[name]["levels"], ""]
    return np.array(levels, dtype=object)[evidence[name].sel(enterprise=enterprise).to_numpy()]


def hourly(x: np.ndarray) -> np.ndarray:
    return np.asarray(x.reshape(-1, 4).mean(axis=1))


def test_an_enterprise_without_any_source_has_none_of_the_channels(evidence: xr.Dataset) -> None:
    assert {n: set(said(evidence, n, "E2")) for n in CHANNELS} == {n: {""} for n in CHANNELS}


@pytest.mark.parametrize("name", ["energy_production_power", "energy_total_power"])
def test_production_and_total_power_are_off_low_and_full_by_the_hour(evidence: xr.Dataset, name: str) -> None:
    truth = np.where(hourly(LOW) > 0.5, "low", np.where(hourly(ON) > 0.5, "full", "off"))
    use = (hourly(FROZEN) == 0) & (hourly(OUTAGE) == 0)
    assert (said(evidence, name) == truth)[use].mean() > 0.99


def test_treatment_power_is_off_on_or_in_outage(evidence: xr.Dataset) -> None:
    truth = np.where(hourly(OUTAGE) > 0.5, "outage", np.where(hourly(ON & ~STOP) > 0.5, "on", "off"))
    assert (said(evidence, "energy_treatment_power") == truth).mean() > 0.99


def test_off_while_on_is_strong_in_the_stops_and_ordinary_elsewhere(evidence: xr.Dataset) -> None:
    levels, stop = said(evidence, "energy_off_while_on"), hourly(STOP) == 1
    assert (levels[stop] == "strong").mean() > 0.95
    calm = (hourly(STOP) == 0) & (hourly(FROZEN) == 0) & (hourly(OUTAGE) == 0)
    assert (levels[calm] == "ordinary").mean() > 0.99
    assert (levels[hourly(OUTAGE) == 1] == "outage").all()


def test_frozen_readings_and_a_cold_furnace_make_the_power_suspect(evidence: xr.Dataset) -> None:
    levels = said(evidence, "energy_power_integrity")
    frozen = hourly(FROZEN) == 1
    assert np.isin(levels[frozen], ["suspect", "outage"]).all()
    cold = (hourly(COLD) == 1) & (np.arange(len(levels)) % 24 >= 11)  # settled
    assert np.isin(levels[cold], ["suspect", "strong"]).mean() > 0.9
    calm = (hourly(FROZEN) == 0) & (hourly(COLD) == 0)
    assert (levels[calm] == "ordinary").mean() > 0.98


def test_the_swap_is_marked_around_its_day_only(evidence: xr.Dataset) -> None:
    at = np.flatnonzero(said(evidence, "energy_meter_swap") == "swap")
    assert 39 * 24 <= at.min() <= 41 * 24
    assert at.max() - at.min() <= 48


def test_condition_of_facility_and_process_follow_the_truth(evidence: xr.Dataset) -> None:
    truth = np.where(hourly(ON & ~STOP) > 0.9, "normal", "off")
    full = np.isin(hourly(ON & ~STOP), (0.0, 1.0))
    assert (said(evidence, "energy_treatment_condition") == truth)[full].mean() > 0.97
    process = np.where(hourly(COLD) > 0.5, "off", np.where(hourly(LOW) > 0.5, "low", np.where(hourly(ON) > 0.5, "full", "off")))
    assert (said(evidence, "energy_process_condition") == process)[np.isin(hourly(ON), (0.0, 1.0))].mean() > 0.97


def test_carbon_is_fresh_then_due_then_overdue_and_trade_is_known_for_whole_months(evidence: xr.Dataset) -> None:
    levels = said(evidence, "energy_carbon")
    first = {name: int(np.argmax(levels == name)) for name in ("fresh", "overdue")}
    assert first["fresh"] == 0
    assert 20 * 24 <= first["overdue"] <= 26 * 24  # 1000 kg × 0.1 / (40e-6 × 10 000 × 12) = 20.8 d, less the Sundays
    assert (levels[first["overdue"] :] == "overdue").all()
    trade, month = said(evidence, "energy_trade_activity"), (START + pd.to_timedelta(np.arange(DAYS * 24), unit="h")).month
    assert set(trade[month == 2]) == {"normal"}
    assert set(trade[month != 2]) == {"unknown"}
