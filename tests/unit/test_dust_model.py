"""The dust model on simulated towns: what it finds, what it leaves alone, and laws of its results."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from dust_world import Town, ar1, make_town

from workbench.catalog import MemoryCatalog
from workbench.contracts import KIND_WORDS, Kind
from workbench.models.dust.model import DustModel
from workbench.models.dust.scoring import LABELS
from workbench.models.label_calibration import calibrate
from workbench.models.rule_settings import read_settings


def judge(catalog: MemoryCatalog) -> pd.DataFrame:
    model = DustModel()
    features = model.features(catalog, catalog.period)
    return model.fit(features, catalog.labels(), seed=0).assess(features)


def raised(findings: pd.DataFrame, kind: str = "fugitive") -> pd.DataFrame:
    return findings[(findings["verdict"] == "breach") & (findings["kind"] == kind)]


def plume(town: Town, site: int, day: int, days: int, first: int, last: int, size: float, seed: int = 0) -> None:
    """Add a plume of median ``size`` µg/m³ to one site at hours ``first`` to ``last`` of some days."""
    rng = np.random.default_rng(seed)
    for d in range(day, day + days):
        part = town.slot(d, first, last)
        town.value[site, part] += size * rng.lognormal(0, 0.4, last - first)


@pytest.fixture(scope="module")
def dusty() -> tuple[Town, pd.DataFrame]:
    town = make_town(3)
    plume(town, 1, 20, 1, 8, 18, 200)
    plume(town, 4, 30, 6, 8, 18, 90)
    plume(town, 7, 40, 4, 0, 24, 90)
    return town, judge(town.catalog())


@pytest.mark.parametrize(("site", "day"), [(1, 20), (4, 32), (7, 41)])
def test_plumes_are_found_where_and_when_they_were(dusty: tuple[Town, pd.DataFrame], site: int, day: int) -> None:
    town, findings = dusty
    found = raised(findings)
    noon = town.hours[24 * day + 12]
    mine = found[(found["enterprise_id"] == f"E{site:02d}") & (found["start"] <= noon) & (found["end"] >= noon)]
    assert len(mine)
    assert mine["p_breach"].max() > 0.5, "a quarter of the town dusts: each makes the others more ordinary"


def test_habit_and_days_on_end_are_named_as_such(dusty: tuple[Town, pd.DataFrame]) -> None:
    found = raised(dusty[1]).sort_values("p_breach").groupby("enterprise_id").tail(1).set_index("enterprise_id")["detector"]
    assert found["E01"] == "dust_rises_over_background"
    assert found["E04"] in ("dust_stays_high_at_working_hours", "dust_rises_over_background")
    assert found["E07"] in ("dust_stays_high_for_days", "dust_rises_over_background")


def test_the_other_sites_are_left_alone(dusty: tuple[Town, pd.DataFrame]) -> None:
    found = raised(dusty[1])
    assert len(found[~found["enterprise_id"].isin(["E01", "E04", "E07"])]) <= 2


def test_a_regional_storm_is_no_ones_dust() -> None:
    town = make_town(5)
    town.value[:, town.slot(25, 6, 24)] *= 6
    found = raised(judge(town.catalog()))
    assert not ((found["start"] <= town.hours[24 * 25 + 23]) & (found["end"] > town.hours[24 * 25 + 6])).any()


def test_a_lone_hour_of_an_hourly_series_is_not_raised() -> None:
    town = make_town(6)
    town.value[2, 24 * 20 + 11] = 1900.0
    found = raised(judge(town.catalog()))
    assert not (found["enterprise_id"] == "E02").any()


def test_humidity_swelling_of_all_optical_monitors_is_not_raised() -> None:
    town = make_town(7)
    rng = np.random.default_rng(7)
    wet = np.clip(70 + 25 * ar1(rng, (len(town.hours),), 0.97), 20, 100)
    town.weather["humidity"] = wet
    swelling = np.where(wet > 85, 1 + (wet - 85) / 25, 1.0)
    dry = len(raised(judge(town.catalog())))
    town.value[: town.sites] *= swelling ** rng.uniform(0.5, 1.5, town.sites)[:, None]
    assert len(raised(judge(town.catalog()))) <= dry + 2


def test_a_site_that_always_answers_to_the_wind_is_its_usual_self() -> None:
    """An open yard dusts in every strong wind; what is new stands out, and its usual answer does not."""
    town = make_town(8)
    wind = town.weather["wind_speed"].to_numpy()
    before = (raised(judge(town.catalog()))["enterprise_id"] == "E03").sum()
    town.value[3] *= 1 + 0.15 * np.maximum(wind - 2, 0)
    assert (raised(judge(town.catalog()))["enterprise_id"] == "E03").sum() <= before + 1


def test_a_fence_that_reads_half_for_days_is_a_fault_until_a_second_channel_speaks() -> None:
    town = make_town(9)
    town.value[5, 24 * 30 : 24 * 36] *= 0.5
    found = judge(town.catalog())
    mine = found[(found["detector"] == "fence_reads_below_background") & (found["enterprise_id"] == "E05")]
    assert mine["outcome"].tolist() == ["fault"]
    assert not (raised(found)["enterprise_id"] == "E05").any(), "one channel alone is no fraud"
    assert not len(raised(found, "fabrication"))
    town.clips = [("E05", str(town.hours[24 * 32 + 10]), "dust")]
    seen = raised(judge(town.catalog()))
    assert set(seen.loc[seen["enterprise_id"] == "E05", "detector"]) == {"fence_reads_below_background", "clip_shows_dust"}


def test_recall_and_false_alarms_with_their_intervals() -> None:
    """Six towns, 144 site-months, 24 episodes of 1 to 6 days: the interval of each figure lies on the right side of its bound."""
    from scipy.stats import binom, chi2

    hits, episodes, false, months = 0, 0, 0, 0.0
    for seed in range(20, 26):
        town = make_town(seed)
        rng = np.random.default_rng(seed)
        sites = rng.choice(town.sites, 4, replace=False)
        days = rng.integers(5, 50, 4)
        for s, d, n in zip(sites, days, (1, 2, 4, 6), strict=True):
            plume(town, int(s), int(d), n, 8, 18, 150, seed)
        found = raised(judge(town.catalog()))
        right = np.zeros(len(found), bool)
        for s, d, n in zip(sites, days, (1, 2, 4, 6), strict=True):
            lo, hi = town.hours[24 * d + 8], town.hours[24 * (d + n - 1) + 17]
            mine = ((found["enterprise_id"] == f"E{s:02d}") & (found["start"] <= hi) & (found["end"] > lo)).to_numpy()
            hits, episodes, right = hits + bool(mine.any()), episodes + 1, right | mine
        false, months = false + int((~right).sum()), months + town.sites * 2
    assert binom.cdf(hits, episodes, 0.8) > 0.025, f"recall {hits}/{episodes}"
    assert chi2.ppf(0.975, 2 * false + 2) / 2 / months < 0.10, f"{false} false alarms in {months:.0f} site-months"


def test_units_do_not_matter(dusty: tuple[Town, pd.DataFrame]) -> None:
    town, findings = dusty
    other = Town(town.hours, town.value / 1000, town.sites, town.weather, town.place, unit="mg/m³")
    again = judge(other.catalog())
    assert again[["enterprise_id", "detector", "start", "end"]].equals(findings[["enterprise_id", "detector", "start", "end"]])
    np.testing.assert_allclose(again["p_breach"], findings["p_breach"], atol=1e-3)


def test_the_order_of_points_does_not_matter(dusty: tuple[Town, pd.DataFrame]) -> None:
    town, findings = dusty
    catalog = town.catalog()
    tables = dict(catalog.tables) | {"points": catalog.tables["points"].iloc[::-1].reset_index(drop=True)}
    cubes = {n: c.isel(point=slice(None, None, -1)) for n, c in catalog.cubes.items()}
    again = judge(MemoryCatalog(tables, cubes, catalog.period))
    pd.testing.assert_frame_equal(again, findings)


@pytest.mark.parametrize("what", ["background", "cube", "unit", "weather", "values"])
def test_what_is_missing_is_said_and_never_compliant(what: str) -> None:
    town = make_town(3, days=30)
    plume(town, 1, 20, 1, 8, 18, 200)
    if what == "background":
        town = Town(town.hours, town.value[:2], 2, town.weather, town.place[:2])
    if what == "unit":
        town.unit = "mg/L"
    if what == "values":
        town.value[1] = np.nan
    catalog = town.catalog()
    if what == "cube":
        catalog = replace(catalog, cubes={"obs_ambient": catalog.cubes["obs_ambient"]})
    if what == "weather":
        catalog = replace(catalog, tables={k: v for k, v in catalog.tables.items() if k != "weather"})
    findings = judge(catalog)
    if what == "weather":
        assert "E01" in set(raised(findings)["enterprise_id"])
        return
    mine = findings[findings["enterprise_id"] == "E01"]
    assert len(mine)
    assert (mine["verdict"] == "abstain").all()
    assert mine["p_breach"].isna().all()
    assert mine["reason_zh"].str.startswith("无法评估").all()


def test_a_catalog_without_dust_or_clips_abstains_once() -> None:
    town = make_town(3, days=30)
    catalog = town.catalog()
    points = catalog.tables["points"]
    bare = {
        "enterprises": catalog.tables["enterprises"],
        "outlets": catalog.tables["outlets"].iloc[:0],
        "points": points[points["system"] == "ambient"],
    }
    findings = judge(MemoryCatalog(bare, {"obs_ambient": catalog.cubes["obs_ambient"]}, catalog.period))
    assert findings["verdict"].tolist() == ["abstain"]


def test_clips_channels_and_counts() -> None:
    town = make_town(3, days=30)
    town.clips = [
        ("E02", "2026-01-05 10:00", "uncovered"),
        ("E02", "2026-01-09 10:00", "covered"),
        ("E03", "2026-01-06 09:30", "black_smoke"),
        ("E04", "2026-01-07 12:00", ""),
        ("E05", "2026-01-07 12:00", "white_steam"),
    ]
    catalog = town.catalog()
    model = DustModel()
    features = model.features(catalog, catalog.period)
    fitted = model.fit(features, catalog.labels(), seed=0)
    evidence, findings = fitted.evidence(features), fitted.assess(features)
    cover, smoke, fence = (evidence[n].to_pandas() for n in ("dust_cover", "dust_smoke", "dust_fence"))
    assert cover.loc["E02", "2026-01-05 08:00"] == 1
    assert cover.loc["E02", "2026-01-09 12:00"] == 0
    assert (cover.loc["E02", "2026-01-07"] == -1).all(), "nobody looked"
    assert smoke.loc["E03", "2026-01-06 09:00"] == 2
    assert smoke.loc["E05", "2026-01-07 12:00"] == 1
    assert (smoke.loc["E04"] == -1).all()
    assert set(np.unique(fence)) <= {-1, 0, 1, 2, 3}
    blank = findings[findings["enterprise_id"] == "E04"]
    assert blank["reason_en"].str.contains("1 of 1 clips carry no label").any()
    assert set(findings.loc[findings["detector"] == "clip_shows_black_smoke", "kind"]) == {Kind.EXCEEDANCE.value}
    assert Kind.FUGITIVE in KIND_WORDS


def test_labels_move_the_calibration_only_when_there_are_enough() -> None:
    rng = np.random.default_rng(4)
    score = rng.normal(0, 2, 80)
    y = (rng.random(80) < 1 / (1 + np.exp(1.5 - score))).astype(float)
    numbers = {k: v for k, v in read_settings("workbench.models.dust").prep("calibration").items() if k != "alert"}
    few, many = calibrate(score[:6], y[:6], **numbers), calibrate(score, y, **numbers)
    assert not few.learned
    assert -2.2 < many.shift < -0.7, "the stated priors were too bold, and shrinkage keeps a part of them"
    assert not calibrate(score, np.full(80, np.nan), **numbers).learned


def test_a_label_speaks_about_what_it_overlaps() -> None:
    day = pd.Timestamp("2026-01-10")
    results = pd.DataFrame({"enterprise_id": ["E1", "E1", "E2"], "kind": "fugitive", "start": day, "end": day + pd.Timedelta("1D")})
    results.loc[1, ["start", "end"]] = day + pd.Timedelta("30D"), day + pd.Timedelta("31D")
    labels = pd.DataFrame(
        {"enterprise_id": ["E1"], "period_start": [day], "period_end": [day], "finding": ["violation"], "kinds": [["fugitive"]]}
    )
    np.testing.assert_array_equal(LABELS.confirmed(results, labels), [1.0, np.nan, np.nan])


def test_pictures_hold_the_series_the_span_and_the_clips() -> None:
    import matplotlib as mpl

    mpl.use("Agg")
    import matplotlib.pyplot as plt

    from workbench.models.dust.pictures import draw_map, draw_site, draw_wind_rose

    town = make_town(3, days=40)
    plume(town, 1, 20, 1, 8, 18, 200)
    town.clips = [("E01", str(town.hours[24 * 20 + 10]), "dust"), ("E02", "2026-01-05 10:00", "black_smoke")]
    catalog = town.catalog()
    model = DustModel()
    features = model.features(catalog, catalog.period)
    findings = model.fit(features, catalog.labels(), seed=0).assess(features)
    mine = raised(findings)
    run = mine[mine["detector"] == "dust_rises_over_background"].iloc[0].to_dict()
    ax = draw_site(features, run)
    assert {line.get_label() for line in ax.lines} >= {"厂界 fence PM10", "区域背景 background", "扬尘 dust"}
    rose = draw_wind_rose(features, run, town.weather["wind_dir"].to_numpy())
    assert max(p.get_height() for p in rose.patches) > 1.3
    assert not draw_wind_rose(
        features, {**run, "point_id": "", "enterprise_id": "nobody"}, town.weather["wind_dir"].to_numpy()
    ).get_visible()
    assert len(draw_map(features, findings).collections[0].get_offsets()) == town.sites
    plt.close("all")
