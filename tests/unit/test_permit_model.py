"""The permit model whole: what it reads and refuses, knowledge at a day, pictures, evidence levels, determinism."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import test_permit_cases as cases

from workbench.catalog import open_catalog
from workbench.catalog.memory import Altered
from workbench.contracts import ParameterError, Period, Ruling
from workbench.models.hourly import HourMeans
from workbench.models.permit.book import Book, meter_states, table_end, zone_outages
from workbench.models.permit.calendars import report_span, windows
from workbench.models.permit.channels import CHANNELS, THIN_LEVEL, channel_values
from workbench.models.permit.duties import duty_calendar
from workbench.models.permit.model import PermitModel, results_frame
from workbench.models.permit.review import results_of
from workbench.models.permit.settings import load_settings

pytestmark = pytest.mark.filterwarnings("ignore:Glyph")


@pytest.fixture(scope="module")
def tiny(tiny_catalog: Path) -> tuple[PermitModel, Book]:
    catalog, model = open_catalog(tiny_catalog), PermitModel()
    return model, model.open(catalog, catalog.period)


def test_every_rule_speaks_about_every_enterprise(tiny: tuple[PermitModel, Book]) -> None:
    model, book = tiny
    results = results_frame(model.review(book))
    assert set(results["rule"]) == set(model.settings.rules)
    spoken = results.groupby("rule")["enterprise_id"].nunique()
    assert (spoken == len(book.enterprises)).all(), "a rule that says nothing of an enterprise would count as kept"


def test_overrides_reach_rules_and_preparation_and_unknown_ones_are_refused() -> None:
    settings = load_settings({"hourly_concentration_over_permitted.join_h": 3, "hour_means.cover_lowest": 0.5})
    assert settings.rules["hourly_concentration_over_permitted"].numbers()["join_h"] == 3
    assert settings.prep("hour_means")["cover_lowest"] == 0.5
    with pytest.raises(ParameterError) as error:
        load_settings({"hourly_concentration_over_permitted.join": 3})
    assert "join_h" in str(error.value)


def test_an_earlier_review_knows_nothing_later(tiny_catalog: Path) -> None:
    """A report handed in after the review's end is not yet handed in; a duty due later is not yet missed."""
    catalog, model = open_catalog(tiny_catalog), PermitModel()
    end = catalog.period.start + pd.Timedelta(days=12)
    book = model.open(catalog, Period(catalog.period.start, end))
    assert all(when <= end for when in book.as_of.values())
    results = results_frame(model.review(book))
    late = results[(results["rule"] == "execution_report_late_or_missing") & (results["ruling"] == "violated")]
    assert (late["end"] <= end).all()


@pytest.mark.parametrize(
    ("frequency", "since", "until", "starts"),
    [
        ("month", "2026-01-10", "2026-04-01", ["2026-02-01", "2026-03-01"]),
        ("quarter", "2026-01-01", "2026-06-30 12:00", ["2026-01-01"]),
        ("half_year", "2025-07-01", "2026-07-01", ["2025-07-01", "2026-01-01"]),
        ("year", "2024-06-01", "2026-01-01", ["2025-01-01"]),
        ("week", "2026-01-01", "2026-01-19", ["2026-01-05", "2026-01-12"]),
        ("day", "2026-01-01", "2026-01-03", ["2026-01-01", "2026-01-02"]),
    ],
)
def test_windows_are_whole_natural_periods(frequency: str, since: str, until: str, starts: list[str]) -> None:
    got, ends = windows(frequency, pd.Timestamp(since), pd.Timestamp(until))
    assert [str(s.date()) for s in got] == starts
    assert (ends[:-1] == got[1:]).all(), "no gaps between the windows"


def test_report_periods_end_the_day_after_whichever_way_they_are_written() -> None:
    start = pd.Series(pd.to_datetime(["2026-01-01", "2026-01-01", "2026-01-01"]))
    end = pd.Series(pd.to_datetime(["2026-01-31", "2026-02-01", "2026-01-31 23:59:59"], format="ISO8601"))
    assert list(report_span(start, end)) == [pd.Timestamp("2026-02-01")] * 3


def test_months_and_quarters_filed_side_by_side_are_counted_once() -> None:
    from workbench.models.permit.dossier import Declared

    lo, hi = np.array([0, 0, 744, 1416]), np.array([744, 2160, 1416, 2160])  # a quarter and its three months
    stamps = [pd.Timestamp("2026-01-01")] * 4
    said = Declared(stamps, stamps, lo, hi, np.array([1.0, 3.1, 1.0, 1.0]), np.zeros(4), ["m1", "q", "m2", "m3"])
    assert [said.report_id[k] for k in said.tiling(0, 2160)] == ["m1", "m2", "m3"]
    missing = Declared(stamps[:3], stamps[:3], lo[:3], hi[:3], np.ones(3), np.zeros(3), ["m1", "q", "m2"])
    assert [missing.report_id[k] for k in missing.tiling(0, 2160)] == ["q"]
    assert missing.tiling(2160, 4000).size == 0


def test_meter_states_tell_low_speed_from_standby() -> None:
    fan = np.r_[np.full(200, 1.5), np.full(300, 25.0), np.full(500, 100.0)].astype(np.float32)
    always = np.full(1000, 80.0, np.float32)
    dead = np.full(1000, np.nan, np.float32)
    state = meter_states(np.stack([fan, always, dead]), **load_settings().prep("meter_states"))
    assert (state[0, :200] == 0).all()
    assert (state[0, 200:] == 1).all()
    assert (state[1] == 1).all()
    assert np.isnan(state[2]).all()


def test_a_meter_that_reads_nothing_all_along_tells_nothing() -> None:
    state = meter_states(np.zeros((1, 500), np.float32), **load_settings().prep("meter_states"))
    assert np.isnan(state).all()


STOPS = {
    "monthly reports to the end": (("2026-01-10", "2026-02-09", "2026-03-11", "2026-04-08"), 8, "2026-05-01"),
    "monthly reports that stop in February": (("2025-12-10", "2026-01-10", "2026-02-09"), 8, "2026-02-09"),
    "one enterprise alone may have failed to report": (("2025-12-10", "2026-01-10", "2026-02-09"), 1, "2026-05-01"),
    "two days are no habit": (("2026-01-10", "2026-02-09"), 8, "2026-05-01"),
    "nothing at all": ((), 8, "2026-05-01"),
}


@pytest.mark.parametrize("case", STOPS)
def test_a_table_stops_where_everybody_falls_silent_at_once(case: str) -> None:
    days, owners, until = STOPS[case]
    stamps = pd.Series(pd.to_datetime([d for d in days for _ in range(owners)]), dtype="datetime64[ns]")
    who = pd.Series([f"E{k}" for _ in days for k in range(owners)], dtype=object)
    got = table_end(stamps, who, pd.Timestamp("2026-05-01"), **load_settings().prep("table_end"))
    assert got == pd.Timestamp(until)


def test_what_falls_due_after_a_table_stopped_is_not_evaluable_and_never_late(tiny_catalog: Path) -> None:
    """The table of reports and the ledger lose their second half: nobody is late for it, and it is said."""
    catalog, model = open_catalog(tiny_catalog), PermitModel()
    whole = results_frame(model.features(catalog, catalog.period))
    middle = catalog.period.start + (catalog.period.end - catalog.period.start) / 2
    ledger = catalog.table("ledger")
    cut = Altered(catalog, tables={"ledger": ledger[ledger["date"] < middle].reset_index(drop=True)})
    results = results_frame(model.features(cut, catalog.period))
    name = "ledger_days_missing"
    before, after = (r[(r["rule"] == name) & (r["ruling"] == "violated")] for r in (whole, results))
    assert len(after) <= len(before)
    assert set(after["enterprise_id"]) <= set(before["enterprise_id"])
    said = results[(results["rule"] == name) & results["reason_en"].str.contains("the table stops there")]
    judged = whole[(whole["rule"] == name) & (whole["ruling"] != "not evaluable")]
    assert set(judged["enterprise_id"]) <= set(said["enterprise_id"])
    assert (said["ruling"] == "not evaluable").all()
    assert said["reason_zh"].str.contains("台账止于").all()


def test_zone_outage_needs_many_monitors_and_ignores_dead_ones() -> None:
    mean = np.ones((10, 4), np.float32)
    mean[:4, 2], mean[0, 3] = np.nan, np.nan
    mean = np.vstack([mean, np.full((5, 4), np.nan, np.float32)])
    zone = zone_outages([HourMeans(mean, np.zeros(mean.shape, bool), np.zeros(mean.shape, bool))], silent_share=0.3)
    assert zone is not None
    assert zone.tolist() == [False, False, True, False]
    assert zone_outages([], silent_share=0.3) is None


def levels(given: dict[str, object], channel: str) -> list[str]:
    d = cases.build(given)
    values = channel_values(d, results_of(d, cases.SETTINGS))[channel]
    names = CHANNELS[channel]["levels"]
    return ["–" if v < 0 else names[v] for v in values]


@pytest.mark.parametrize(
    ("given", "channel", "hour", "level"),
    [
        ({}, "permit_monitor_limit", 100, "under"),
        ({"series": {"DA001/a21026": {"set": [[100, 106, 47]]}}}, "permit_monitor_limit", 103, "near"),
        ({"series": {"DA001/a21026": {"set": [[100, 106, 80]]}}}, "permit_monitor_limit", 103, "over"),
        (
            {"series": {"DA001/a21026": {"set": [[100, 106, 80]]}}, "marks": [["DA001", "fault", 100, 106]]},
            "permit_monitor_limit",
            103,
            "–",
        ),
        ({"series": {"DA001/a21026": {"missing": [[100, 106]]}}}, "permit_monitor_limit", 103, "outage"),
        ({"series": {"DW001/w01018": {"set": [[240, 264, 90]]}}}, "permit_monitor_limit_daily", 250, "over"),
        ({"marks": [["DA001", "startup", 10, 12]]}, "permit_mark", 10, "startup"),
        ({"marks": [["DA001", "stopped", 10, 12]]}, "permit_mark", 10, "none"),
        ({"marks": [["DA001", "stopped", 10, 12], ["DW001", "stopped", 10, 12]]}, "permit_mark", 10, "stopped"),
        ({"marks": [["DA001", "stopped", 100, 124]]}, "permit_mark_integrity", 110, "strong"),
        ({}, "permit_declared_treatment", 50, "some"),
        ({"ledger": {"drop": [2]}}, "permit_declared_treatment", 50, "unknown"),
        ({"declared": 0.5}, "permit_report_integrity", 50, "strong"),
        ({"declared": 0.86}, "permit_report_integrity", 50, "suspect"),
        ({}, "permit_report_integrity", 50, "ordinary"),
        ({"samples": []}, "permit_duty", 50, "missed"),
        ({}, "permit_duty", 50, "kept"),
        ({"permit": "absent"}, "permit_duty", 50, "–"),
    ],
)
def test_channel_levels(given: dict[str, object], channel: str, hour: int, level: str) -> None:
    assert levels(given, channel)[hour] == level


def test_duty_calendar_names_kept_late_missed_and_not_yet_due() -> None:
    late = duty_calendar(cases.build({"reports": {"late": {"2026-01": 10}}, "samples": [["DA001", "a21026", "2026-01-12", 21, "mg/m³"]]}))
    reports = late[late["duty"] == "execution_report"].set_index("start")["state"]
    assert reports[pd.Timestamp("2026-01-01")] == "late"
    assert reports[pd.Timestamp("2026-02-01")] == "kept"
    assert reports[pd.Timestamp("2026-03-01")] == "unknown"
    samples = late[late["duty"] == "self_monitoring"].set_index("start")["state"]
    assert samples[pd.Timestamp("2026-02-01")] == "missed"
    no_dates = duty_calendar(cases.build({"due": {"self_monitoring": None}, "samples": []}))
    assert set(no_dates.loc[no_dates["duty"] == "self_monitoring", "state"]) == {"unknown"}


def test_calendar_and_rule_agree(tiny: tuple[PermitModel, Book]) -> None:
    model, book = tiny
    for d in book.dossiers():
        rule = [r for r in results_of(d, model.settings) if r.rule == "self_monitoring_missed" and r.ruling is Ruling.VIOLATED]
        calendar = duty_calendar(d)
        missed = calendar[(calendar["duty"] == "self_monitoring") & (calendar["state"] == "missed")] if len(calendar) else calendar
        for row in missed.itertuples():
            if row.due > d.grid.start:
                assert any(r.factor == row.factor and r.start <= row.start and r.end >= row.end for r in rule)


@pytest.mark.parametrize(
    "given", [{}, {"permit": "absent"}, {"series": "absent"}, {"annual_t": 6.0, "coefficient": 0.72}, {"reports": "absent"}]
)
def test_pictures_draw_whatever_is_missing(given: dict[str, object]) -> None:
    import matplotlib as mpl

    mpl.use("Agg")
    import matplotlib.pyplot as plt

    from workbench.models.permit.pictures import draw_duties, draw_emission

    d = cases.build(given)
    for figure in (draw_duties(d), draw_emission(d, "DA001", "a21026")):
        figure.canvas.draw()
        assert np.asarray(figure.canvas.buffer_rgba())[..., :3].std() > 1, "an empty picture"
        assert any(t.get_text() for axes in figure.axes for t in (axes.title, axes.xaxis.label, axes.yaxis.label, *axes.texts))
        plt.close(figure)


def test_findings_are_dated_named_and_cited(tiny: tuple[PermitModel, Book]) -> None:
    model, book = tiny
    features = model.review(book)
    labels = pd.DataFrame(columns=["enterprise_id", "decided_on", "period_start", "period_end", "finding", "kinds"])
    findings = model.fit(features, labels, seed=1).assess(features)
    spoken = findings[findings["p_breach"].notna()]
    assert spoken["finding_id"].is_unique
    assert (spoken["end"] >= spoken["start"]).all()
    assert spoken["evidence"].map(len).gt(0).all()
    assert spoken["articles"].map(len).gt(0).all()
    assert spoken["reason_zh"].str.contains("依据：").all()
    abstained = findings[findings["p_breach"].isna()]
    assert abstained["reason_en"].str.contains("Not evaluable").all()
    assert len(abstained) < 24 * len(book.enterprises) / 2, "reasons that hold for most enterprises are said once"


def test_alert_levels_of_the_channels_are_alerts_of_the_model(tiny: tuple[PermitModel, Book]) -> None:
    """Where a paper channel shouts, a finding was raised; what is too thin to raise is lowered in the evidence, too."""
    model, book = tiny
    features = model.review(book)
    labels = pd.DataFrame(columns=["enterprise_id", "decided_on", "period_start", "period_end", "finding", "kinds"])
    fitted = model.fit(features, labels, seed=1)
    findings, evidence = fitted.assess(features), fitted.evidence(features)
    hours = pd.DatetimeIndex(evidence["hour"].to_numpy())
    for name, (rules, alert, _) in THIN_LEVEL.items():
        raised = findings[findings["detector"].isin(rules) & (findings["verdict"] == "breach")]
        for k, e in enumerate(evidence["enterprise"].to_numpy()):
            loud = evidence[name].to_numpy()[k] == alert
            spans = [(hours >= r.start.floor("h")) & (hours <= r.end) for r in raised[raised["enterprise_id"] == e].itertuples()]
            assert not (loud & ~np.any([np.zeros(len(hours), bool), *spans], axis=0)).any(), (name, e)


def test_a_monitor_in_an_unknown_unit_is_named_and_the_rest_goes_on(tiny_catalog: Path) -> None:
    catalog = open_catalog(tiny_catalog)
    points, limits = catalog.table("points"), catalog.table("permit_limits")
    key = set(zip(limits["outlet_id"], limits["factor"], strict=True))
    first = next(i for i, k in zip(points.index, zip(points["outlet_id"], points["factor"], strict=True), strict=True) if k in key)
    points.loc[first, "unit"] = "斤/亩"
    model = PermitModel()
    results = results_frame(model.features(Altered(catalog, tables={"points": points}), catalog.period))
    mine = results[(results["outlet_id"] == points.loc[first, "outlet_id"]) & (results["factor"] == points.loc[first, "factor"])]
    hourly = mine[mine["rule"].str.contains("ly_concentration")]
    assert (hourly["ruling"] == "not evaluable").all()
    assert hourly["reason_en"].str.contains("斤/亩").all()
    assert (results["ruling"] == "compliant").any()


@pytest.mark.real
def test_practice_district_is_reviewed_whole(shared: Path) -> None:
    catalog, model = open_catalog(shared / "data" / "district" / "catalog.yml"), PermitModel()
    features = model.features(catalog, Period.parse("2026-01-01/2026-02-01"))
    fitted = model.fit(features, catalog.labels(), seed=1)
    assert len(fitted.assess(features))
    assert set(fitted.evidence(features).data_vars) == set(CHANNELS)
