"""The desk without a browser: what it shows follows from what is chosen."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from workbench.apps import markup, pictures
from workbench.apps.reports import read_shelf
from workbench.apps.series import first_drawn, runs_of_marks, thin
from workbench.apps.serving import asked
from workbench.apps.state import Desk
from workbench.apps.titles import detector_title, model_title
from workbench.apps.words import half, kind_word, say, words
from workbench.contracts import Mark, ParameterError


@pytest.fixture
def desk(small_reports):
    return Desk(small_reports)


def test_newest_iteration_and_first_lead_are_chosen(desk):
    assert [i.id for i in desk.shelf.iterations] == ["first-9f8e7d6c", "first-1a2b3c4d"]
    assert desk.iteration_id == "first-9f8e7d6c"
    assert desk.lead_id == "L-0000"
    assert desk.lead()["enterprise"] == "青川热电有限公司"


def test_an_address_names_choices_and_nothing_else(small_reports):
    given = {"lang": [b"en"], "lead": [b"L-0007"], "tab": [b"leads"], "iteration": [b"first-1a2b3c4d"], "reports": [b"/etc"]}
    desk = Desk(small_reports, **asked(given))
    assert (desk.language, desk.tab, desk.iteration_id, desk.lead_id) == ("en", "leads", "first-1a2b3c4d", "L-0007")
    assert asked({"lang": [b"<script>"], "tab": [b""], "lead": [b"x" * 300]}) == {}
    lost = Desk(small_reports, **asked({"lead": [b"L-gone"], "iteration": [b"gone"]}))
    assert (lost.iteration_id, lost.lead_id) == ("first-9f8e7d6c", "L-0000")


def test_a_broken_folder_is_set_aside_with_its_reason_and_the_rest_stands(desk):
    assert list(desk.shelf.set_aside) == ["broken"]
    assert "JSON" in desk.shelf.set_aside["broken"]


def test_an_iteration_still_being_written_is_not_shown(small_reports, tmp_path):
    shutil.copytree(small_reports / "first-1a2b3c4d", tmp_path / ".first-1a2b3c4d.work")
    assert read_shelf(tmp_path).iterations == ()


def test_filters_keep_what_they_say_and_move_the_choice(desk):
    total = desk.lead_total()
    desk.queue = "silent"
    silent = desk.leads()
    assert set(silent["queue"]) == {"silent"}
    assert desk.lead_id == silent["lead_id"].iloc[0]
    desk.queue = "all"
    desk.search = "  东渡 "
    assert set(desk.leads()["enterprise_id"]) == {"E0002"}
    desk.search = "(["  # no regular expression
    assert desk.leads().empty
    assert desk.lead_id == ""
    desk.search = ""
    desk.kind = "fugitive"
    assert set(desk.leads()["kind"]) == {"fugitive"}
    desk.kind = ""
    assert len(desk.leads()) == total


def test_a_silent_lead_has_no_finding_and_is_explained_as_a_whole(desk):
    desk.lead_id = "L-0003"
    assert desk.lead_findings().empty
    assert desk.explainable() == ["L-0003"]
    assert desk.explained == "L-0003"


def test_attributions_come_largest_first_and_sum_to_the_score(desk):
    rows = desk.attributions()
    assert desk.explained == "F-0000"
    assert rows["contribution"].abs().is_monotonic_decreasing
    assert rows["base"].iloc[0] + rows["contribution"].sum() == pytest.approx(rows["score"].iloc[0])


def test_series_hold_the_span_limit_and_marks(desk):
    traces, why = desk.traces()
    assert why == ""
    first = traces[0]
    assert first.point["point_id"] == "E0000-P00"  # the point the finding names comes first
    assert first.limits == ((35.0, "hour"),)
    assert "maintenance" in set(first.marks["kind"])
    lead = desk.lead()
    inside = (first.time >= lead["start"].to_datetime64()) & (first.time < lead["end"].to_datetime64())
    assert np.allclose(first.value[inside], 18.4, atol=1e-4)
    assert {t.point["role"] for t in traces} >= {"production", "treatment"}
    shown = len(first.time)
    desk.window = "all"
    assert len(desk.traces()[0][0].time) > shown


def test_only_pollutants_with_a_permit_limit_have_a_line(desk):
    assert {t.point["factor"] for t in desk.traces()[0] if t.limits} == {"a21026"}


def test_without_a_catalog_the_rest_still_stands(small_reports, tmp_path):
    desk = Desk(small_reports, catalog=str(tmp_path / "gone.yml"))
    traces, why = desk.traces()
    assert traces == []
    assert "gone.yml" in why
    assert "18.4" in markup.lead_card(desk)
    assert not desk.attributions().empty


def test_a_report_that_does_not_say_where_its_catalog_lies(small_reports, tmp_path):
    folder = tmp_path / "first-1a2b3c4d"
    shutil.copytree(small_reports / "first-1a2b3c4d", folder)
    text = (folder / "run.json").read_text()
    (folder / "run.json").write_text(text.replace(desk_catalog(small_reports), ""))
    desk = Desk(tmp_path, language="en")
    assert "does not say where" in desk.traces()[1]
    (folder / "run.json").write_text(text)
    assert Desk(tmp_path).traces()[0]


def desk_catalog(reports):
    return read_shelf(reports).iterations[0].record.catalog_location


def test_data_that_changed_since_the_run_are_named(small_reports, tmp_path):
    folder = tmp_path / "first-1a2b3c4d"
    shutil.copytree(small_reports / "first-1a2b3c4d", folder)
    seen = Desk(tmp_path).opened()[0].snapshot(["points", "obs_cems"])
    record = json.loads((folder / "run.json").read_text())
    record["snapshot"] = seen | {"obs_cems": "blake2b-16:0"}
    (folder / "run.json").write_text(json.dumps(record))
    assert Desk(tmp_path).changed_since() == ["obs_cems"]


def test_an_unreadable_table_is_said_and_does_not_stop_the_page(small_reports, tmp_path):
    folder = tmp_path / "first-1a2b3c4d"
    shutil.copytree(small_reports / "first-1a2b3c4d", folder)
    (folder / "attributions.parquet").write_bytes(b"no parquet")
    desk = Desk(tmp_path)
    assert "attributions.parquet" in desk.problem()
    assert desk.lead() is not None
    assert desk.attributions().empty


def test_empty_folder_says_what_to_run(tmp_path):
    desk = Desk(tmp_path)
    assert desk.iteration is None
    assert desk.leads().empty
    assert "workbench run" in markup.empty_page(desk)


def test_precision_and_metrics_stand_side_by_side(desk):
    points = desk.precision_points()
    assert set(points["budget"]) == {20, 70}
    assert len(points) == 4
    html = markup.metrics_table(desk)
    assert html.count(">0.61 ") == 1
    assert "no random draw" in html  # what was not evaluated says why


def test_everything_written_by_others_is_escaped(desk):
    desk.lead_id = "L-0001"
    html = markup.lead_card(desk) + markup.basis(desk)
    assert "恒泰&lt;b&gt;印染&lt;/b&gt;厂 &amp; 分厂" in html
    assert "<b>印染" not in html


@pytest.mark.parametrize("language", ["zh", "en"])
def test_both_languages_show_reason_alternative_and_next_check(desk, language):
    desk.language = language
    html = markup.lead_card(desk)
    assert ("恒值" if language == "zh" else "constant value") in markup.basis(desk)
    assert ("通标气" if language == "zh" else "standard gas") in html
    assert ("standard gas" if language == "zh" else "通标气") not in html
    assert "二氧化硫" in html  # the other language of the reason stands below
    assert "stood at 18.4" in html


def test_texts_are_in_both_languages_and_unknown_ones_are_refused():
    assert all(w.zh and w.en for w in words().values())
    with pytest.raises(ParameterError, match="unknown text"):
        say("no_such_text", "zh")
    assert kind_word("carbon_overdue", "en") == "activated carbon overdue"
    assert half("甲 / a", "en") == "a"
    assert half("甲 / 乙", "en") == "甲 / 乙"
    assert half("a / b / c", "zh") == "a / b / c"


@given(hnp.arrays(float, st.integers(1, 3000), elements=st.floats(-1e6, 1e6) | st.just(np.nan)), st.integers(8, 400))
def test_thinning_keeps_extremes_gaps_and_its_promise(value, limit):
    keep = thin(value, limit)
    assert len(keep) <= max(limit, 4)
    assert (np.diff(keep) > 0).all()
    kept = value[keep]
    if np.isfinite(value).any():
        assert np.nanmin(kept) == np.nanmin(value)
        assert np.nanmax(kept) == np.nanmax(value)
    assert np.isnan(kept).any() == np.isnan(value).any()


def test_runs_of_marks_by_hand():
    time = pd.date_range("2026-01-01", periods=6, freq="h").to_numpy()
    mark = np.array([Mark.NONE, Mark.CALIBRATION, Mark.CALIBRATION, Mark.NORMAL, Mark.FAULT, Mark.CALIBRATION], dtype=np.uint8)
    runs = runs_of_marks(time, mark)
    assert runs["kind"].tolist() == ["calibration", "fault", "calibration"]
    assert runs["start"].tolist()[0] == pd.Timestamp("2026-01-01 01:00")
    assert runs["end"].tolist()[0] == pd.Timestamp("2026-01-01 03:00")


def test_bars_leave_out_nothing_and_state_a_level_once(desk):
    rows = desk.attributions()
    flat = rows.assign(contribution=[0.9, -0.4, 0.004, 0.0, 0.003, 0.0], label_zh=["监测水平：near", "时长", "a", "b", "c", "d"], unit="1")
    figure = pictures.shap_figure(flat, "zh")
    bars = next(r for r in figure.renderers if r.glyph.__class__.__name__ == "HBar").data_source.data
    assert list(bars["name"]) == ["监测水平：near", "时长 = 0.08", "其余 4 项"]
    assert sum(bars["v"]) == pytest.approx(flat["contribution"].sum())


def test_no_probability_is_shown_as_certain():
    assert [markup.percent(p) for p in (1.0, 0.9995, 0.995, 0.5, 0.004, 0.0)] == [">99.9%", ">99.9%", "99.5%", "50%", "0.4%", "<0.1%"]


def test_a_lead_without_outlet_shows_pollutants_of_one_outlet_and_power(desk):
    points = desk.points().assign(near=3)
    drawn = points[points["point_id"].isin(first_drawn(points))]
    assert drawn["system"].tolist() == ["cems", "cems", "cems", "power", "power"]
    assert first_drawn(points.iloc[:0]) == []


def test_names_of_models_and_detectors_come_from_their_owners_and_fall_back_to_ids():
    assert detector_title("monitoring", "values_stay_constant", "zh") == "恒值"
    assert detector_title("monitoring", "no_such_detector", "zh") == "no_such_detector"
    assert detector_title("../contracts", "x", "en") == "x"
    assert model_title("nobody", "en") == "nobody"
    assert model_title("monitoring", "en") != "monitoring"
