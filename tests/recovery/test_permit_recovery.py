"""Recovery: injected understatement factors are found again with covering intervals; labels move the shares they should."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from workbench.contracts import Ruling
from workbench.models.hourly import Grid
from workbench.models.permit.accounting import Estimate, declared_too_low, hourly_mass, measured_mass, running_masses, understated_factor
from workbench.models.permit.episodes import honest_scatter
from workbench.models.permit.ranking import FEATURES, Boosted, Logistic, Stated, features_of, fit_score, learned_shares
from workbench.models.permit.settings import load_settings

SETTINGS = load_settings()
ACCOUNT = SETTINGS.preparation["measured_mass"].numbers()
SIGMA_DECLARED = SETTINGS.rules["declared_amount_below_measured"].numbers()["sigma_declared"]
HOURS = 720


def monitored_month(rng: np.random.Generator, *, gap_share: float) -> tuple[float, Estimate]:
    """Return a month's true mass and what the monitor's account makes of it.

    The instrument errs by a common factor of the stated size; gaps come in spells, when the load is not the usual one.
    """
    load = np.exp(np.cumsum(rng.normal(0, 0.05, HOURS)) * 0.3)
    c = 20 * load * rng.lognormal(0, 0.2, HOURS)
    flow = 1e5 * load
    true = float((c * flow).sum() * 1e-9)
    bias = np.exp(rng.normal(0, ACCOUNT["sigma_instrument"]))
    measured = c * bias
    length = int(gap_share * HOURS)
    if length:
        start = int(rng.integers(0, HOURS - length))
        measured[start : start + length] = np.nan
    masses = running_masses(hourly_mass(measured, flow, water=False), np.zeros(HOURS, bool))
    mass, sigma, filled = measured_mass(masses, np.array([0]), np.array([HOURS]), **ACCOUNT)
    return true, Estimate(float(mass[0]), float(sigma[0]), "measured", filled_share=float(filled[0]))


@pytest.mark.parametrize("gap_share", [0.0, 0.1, 0.3])
@pytest.mark.parametrize("factor", [0.3, 0.5, 0.7, 0.9])
def test_injected_understatement_is_covered_by_its_interval(factor: float, gap_share: float) -> None:
    rng = np.random.default_rng(int(1000 * factor + 10 * gap_share))
    inside = []
    for _ in range(400):
        true, computed = monitored_month(rng, gap_share=gap_share)
        declared = true * factor * np.exp(rng.normal(0, SIGMA_DECLARED))
        ratio, low, high = understated_factor(declared, computed, sigma_declared=SIGMA_DECLARED)
        inside.append(low <= factor <= high)
        assert low <= ratio <= high
    # 95 % nominal; at 400 draws a true 95 % lies within 92.5 and 97.5 % nearly always; gaps are filled with a wide error
    assert 0.925 <= np.mean(inside) <= 1.0
    if gap_share == 0.0:
        assert np.mean(inside) <= 0.985, "intervals must not be idle either"


def test_probability_of_too_low_is_calibrated_for_honest_and_halved() -> None:
    rng = np.random.default_rng(8)
    honest, halved = [], []
    for _ in range(600):
        true, computed = monitored_month(rng, gap_share=0.05)
        for factor, z_of in ((1.0, honest), (0.5, halved)):
            declared = true * factor * np.exp(rng.normal(0, SIGMA_DECLARED))
            z_of.append(declared_too_low(declared, computed, sigma_declared=SIGMA_DECLARED)[0])
    false_alarms = np.mean(np.array(honest) < -1.645)
    assert 0.025 <= false_alarms <= 0.08, "one-sided 5 % on honest declarations"
    assert np.mean(np.array(halved) < -1.645) > 0.95


def declarations(factors: np.ndarray, rng: np.random.Generator, *, offset: float) -> pd.DataFrame:
    """Rule results of declarations that are all off by a common honest convention (``offset``)."""
    n = len(factors)
    ratio = factors * np.exp(rng.normal(np.log(offset), 0.06, n))
    threshold = np.exp(-1.645 * 0.158)
    frame = pd.DataFrame(
        {
            "rule": "declared_amount_below_measured",
            "ruling": np.where(ratio < threshold, Ruling.VIOLATED.value, Ruling.COMPLIANT.value),
            "value": ratio,
            "threshold": threshold,
            "p": 0.99,
        }
    )
    return frame


@pytest.mark.parametrize("offset", [1.0, 0.75])
def test_empirical_null_frees_a_common_convention_and_keeps_the_liars(offset: float) -> None:
    """Where everyone declares 0.75 of the account, that is the convention and no offence; half of it still is."""
    rng = np.random.default_rng(4)
    factors = np.r_[np.ones(400), np.full(12, 0.5)]
    out = honest_scatter(declarations(factors, rng, offset=offset), **SETTINGS.preparation["honest_scatter"].numbers())
    violated = out["ruling"] == Ruling.VIOLATED.value
    liar = np.arange(len(out)) >= 400
    assert violated[liar].all()
    assert (out.loc[violated & liar, "p"] > 0.8).all()
    assert (out.loc[violated & ~liar, "p"] < 0.5).all()


def episodes(rng: np.random.Generator, n: int, rule: str) -> pd.DataFrame:
    start = pd.Timestamp("2026-01-01") + pd.to_timedelta(rng.integers(0, 90, n), unit="D")
    return pd.DataFrame(
        {
            "finding_id": [f"f{k}" for k in range(n)],
            "rule": rule,
            "enterprise_id": [f"E{k}" for k in range(n)],
            "start": start,
            "end": start + pd.Timedelta(days=2),
            "factors": 1,
            "strength": rng.uniform(0, 3, n),
            "p": np.nan,
        }
    )


def test_labels_move_the_share_of_a_rule_towards_the_truth() -> None:
    rng = np.random.default_rng(2)
    frame = episodes(rng, 200, "ledger_rows_repeated")
    y = (rng.random(200) < 0.1).astype(float)
    before = SETTINGS.priors["ledger_rows_repeated"].share
    shares = learned_shares(frame, y, SETTINGS)
    assert abs(shares["ledger_rows_repeated"] - y.mean()) < 0.05 < before - y.mean()
    assert shares["self_monitoring_missed"] == SETTINGS.priors["self_monitoring_missed"].share, "unlabelled rules keep their prior"


@pytest.mark.parametrize(("n", "kind"), [(30, Stated), (300, Logistic), (2000, Boosted)])
def test_score_grows_with_the_labels_and_stays_calibrated(n: int, kind: type) -> None:
    rng = np.random.default_rng(6)
    frame = episodes(rng, n, "hourly_concentration_over_permitted")
    true = 1 / (1 + np.exp(-(-2.0 + 1.2 * frame["strength"])))
    y = (rng.random(n) < true).astype(float)
    shares = {r: p.share for r, p in SETTINGS.priors.items()}
    x = features_of(frame, SETTINGS, shares, np.zeros(n))
    score = fit_score(x, y, seed=3)
    assert isinstance(score, kind)
    base, parts = score.contributions(x)
    p = 1 / (1 + np.exp(-(base + parts.sum(axis=1))))
    assert parts.shape == (n, len(FEATURES))
    if kind is not Stated:
        assert abs(p.mean() - y.mean()) < 0.03
        bins = pd.qcut(p, 5, duplicates="drop")
        gap = pd.DataFrame({"p": p, "t": true, "b": bins}).groupby("b", observed=True)[["p", "t"]].mean()
        assert (gap["p"] - gap["t"]).abs().max() < 0.1
    again, same = fit_score(x, y, seed=3).contributions(x)
    np.testing.assert_array_equal(parts, same)
    np.testing.assert_array_equal(base, again)


def test_hour_means_agree_with_a_plain_computation() -> None:
    import xarray as xr

    from workbench.models.hourly import hour_means

    rng = np.random.default_rng(0)
    time = pd.date_range("2026-01-01", periods=480, freq="6min")
    value = rng.normal(10, 2, (3, 480)).astype(np.float32)
    mark = rng.choice([0, 0, 0, 0, 1, 5, 255], size=value.shape).astype(np.uint8)
    value[rng.random(value.shape) < 0.1] = np.nan
    value[0, 5], value[1, 7] = -3.0, np.inf
    cube = xr.Dataset(
        {"value": (("point", "time"), value), "mark": (("point", "time"), mark)}, coords={"point": list("abc"), "time": time}
    ).chunk({"time": 100})
    grid = Grid(pd.Timestamp("2025-12-31 22:00"), 52)
    got = hour_means(cube, ["c", "a", "missing"], grid, cover_lowest=0.75)
    for row, p in ((0, 2), (1, 0)):
        v = np.where(np.isin(mark[p], (0, 1, 255)) & np.isfinite(value[p]) & (value[p] >= 0), value[p], np.nan).astype(float)
        hours = v.reshape(48, 10)
        count = np.isfinite(hours).sum(1)
        want = np.where(count >= 7.5, np.nansum(hours, axis=1) / np.maximum(count, 1), np.nan)
        np.testing.assert_allclose(got.mean[row, 2:50], want, rtol=1e-5)
        assert np.isnan(got.mean[row, :2]).all()
        np.testing.assert_array_equal(got.stopped[row, 2:50], (mark[p] == 1).reshape(48, 10).sum(1) >= 5)
    assert np.isnan(got.mean[2]).all()


@pytest.mark.parametrize(
    ("hold", "length", "gap", "stands_still"),
    [
        pytest.param(1, 30, 0, True, id="three hours at one value where every reading differs"),
        pytest.param(1, 30, 4, True, id="the same with a gap inside"),
        pytest.param(1, 9, 0, False, id="under an hour"),
        pytest.param(20, 40, 0, False, id="twice the two hours for which the analyser always holds a value"),
        pytest.param(20, 80, 0, True, id="four times those two hours"),
    ],
)
def test_a_reading_that_stands_still_is_told_from_the_points_own_holds(hold: int, length: int, gap: int, stands_still: bool) -> None:
    import xarray as xr

    from workbench.models.hourly import hour_means

    rng = np.random.default_rng(1)
    time = pd.date_range("2026-01-01", periods=2400, freq="6min")
    value = np.repeat(rng.normal(50, 5, 2400 // hold), hold).astype(np.float32)
    value[1000 : 1000 + length] = 120.0
    value[1010 : 1010 + gap] = np.nan
    cube = xr.Dataset(
        {"value": (("point", "time"), value[None]), "mark": (("point", "time"), np.zeros((1, 2400), np.uint8))},
        coords={"point": ["a"], "time": time},
    )
    still = hour_means(cube, ["a"], Grid(time[0], 240)).still[0]
    assert still[100 : 100 + length // 10].all() == stands_still or length < 10
    assert still.sum() == (length // 10 if stands_still else 0)
    hourly = cube.isel(time=slice(None, None, 10))
    assert not hour_means(hourly, ["a"], Grid(time[0], 240)).still.any(), "a grid of an hour shows no run within an hour"
