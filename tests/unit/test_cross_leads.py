"""Leads from findings alone."""

from __future__ import annotations

import hypothesis.extra.numpy as hnp
import numpy as np
import pandas as pd
import pytest
import xarray as xr
from hypothesis import given
from hypothesis import strategies as st

from workbench.contracts import Kind, ParameterError, channel, result_frame
from workbench.cross import build_leads
from workbench.cross.clamp import inspected_shift
from workbench.cross.kinds import articles, kind_row
from workbench.cross.roles import level_words, roles
from workbench.cross.silent import in_visit


def finding(i: int, enterprise: str = "E1", day: int = 0, days: float = 2, **over: object) -> dict[str, object]:
    start = pd.Timestamp("2026-01-01") + pd.Timedelta(days=day)
    row: dict[str, object] = {
        "finding_id": f"F{i}",
        "model": "monitoring",
        "detector": "constant_value",
        "enterprise_id": enterprise,
        "start": start,
        "end": start + pd.Timedelta(days=days),
        "kind": "fabrication",
        "outcome": "fabrication",
        "verdict": "breach",
        "p_breach": 0.5,
        "severity": "high",
        "reason_zh": "恒值",
        "reason_en": "constant value",
    }
    return {**row, **over}


def leads_of(*rows: dict[str, object]) -> pd.DataFrame:
    return build_leads(result_frame("findings", list(rows)), None, None, None, seed=1, budgets=None)[0]


def test_no_findings_give_empty_contract_tables() -> None:
    leads, conflicts, attributions = build_leads(result_frame("findings"), None, None, None, seed=1, budgets=None)
    assert (len(leads), len(conflicts), len(attributions)) == (0, 0, 0)


def test_adjacent_findings_share_a_lead_and_distant_ones_do_not() -> None:
    assert len(leads_of(finding(1, day=0), finding(2, day=3))) == 1
    assert len(leads_of(finding(1, day=0), finding(2, day=20))) == 2


def test_tracks_and_enterprises_are_kept_apart() -> None:
    assert len(leads_of(finding(1), finding(2, enterprise="E2"), finding(3, kind="permit_breach"))) == 3


@pytest.mark.parametrize("days", [31, 90, 400])
def test_no_lead_is_longer_than_thirty_days(days: int) -> None:
    leads = leads_of(*[finding(i, day=i, days=2) for i in range(days)], finding(999, day=0, days=days))
    assert ((leads["end"] - leads["start"]) <= pd.Timedelta(days=30)).all()
    assert sorted(f for fs in leads["findings"] for f in fs) == sorted({f for fs in leads["findings"] for f in fs})


def test_every_finding_stands_in_a_lead_that_overlaps_it() -> None:
    rng = np.random.default_rng(3)
    rows = [
        finding(i, day=int(rng.integers(200)), days=float(rng.choice([0.1, 3, 40, 90])), kind=k, p_breach=float(rng.uniform(0.2, 0.95)))
        for i, k in enumerate(["permit_breach", "fabrication", "fugitive"] * 20)
    ]
    leads = leads_of(*rows)
    of = {f: lead for lead in leads.itertuples() for f in lead.findings}
    assert sorted(of) == sorted(str(r["finding_id"]) for r in rows)
    assert all(of[r["finding_id"]].start <= r["end"] and of[r["finding_id"]].end >= r["start"] for r in rows)


def test_a_lead_on_a_quarter_names_the_whole_quarter() -> None:
    quarter = finding(1, kind="permit_breach", model="permit", days=89)
    month = finding(2, kind="permit_breach", model="permit", enterprise="E2", days=20)
    lead = leads_of(quarter, month).set_index("enterprise_id")
    assert "2026-01-01至2026-03-31" in lead.at["E1", "reason_zh"]
    assert "2026-01-01 to 2026-03-31" in lead.at["E1", "reason_en"]
    assert "所涉期间" not in lead.at["E2", "reason_zh"]


@pytest.mark.parametrize(("kind", "most"), [("permit_breach", 0.976), ("carbon_overdue", 0.976), ("fugitive", 0.92)])
def test_no_paper_is_surer_than_what_stands_outside_it_allows(kind: str, most: float) -> None:
    """Three models that are as sure as they can be: the matter may still be a late file, or the neighbour's dust."""
    lead = leads_of(*[finding(i, kind=kind, model=m, detector=m, p_breach=0.995) for i, m in enumerate(("permit", "energy_tax", "dust"))])
    assert most - 0.05 < lead["p_violation"].iloc[0] < most


def test_abstentions_and_compliant_rows_change_nothing() -> None:
    alone = leads_of(finding(1))
    with_more = leads_of(finding(1), finding(2, verdict="abstain", p_breach=np.nan), finding(3, verdict="compliant", p_breach=0.01))
    pd.testing.assert_frame_equal(alone, with_more)


def test_another_model_adds_more_than_another_detector_and_a_repeat_adds_nothing() -> None:
    p = [
        leads_of(finding(1), other)["p_violation"].max()
        for other in (finding(2), finding(2, detector="copied"), finding(2, model="energy_tax", detector="off", kind="treatment_off"))
    ]
    assert p[0] == leads_of(finding(1))["p_violation"].iloc[0] < p[1] < p[2]


def test_row_order_does_not_matter_and_rank_is_unique() -> None:
    rows = [finding(i, enterprise=f"E{i % 4}", day=i * 2, p_breach=0.1 + 0.02 * i) for i in range(20)]
    a, b = leads_of(*rows), leads_of(*rows[::-1])
    pd.testing.assert_frame_equal(a, b)
    assert sorted(a["rank"]) == list(range(1, len(a) + 1))
    assert a.sort_values("rank")["p_violation"].is_monotonic_decreasing


def test_attributions_sum_to_the_log_odds() -> None:
    rows = [finding(1), finding(2, detector="copied"), finding(3, model="permit", detector="r3", kind="exceedance")]
    leads, _, parts = build_leads(result_frame("findings", rows), None, None, None, seed=1, budgets=None)
    p = leads["p_violation"].iloc[0]
    assert parts["base"].iloc[0] + parts["contribution"].sum() == pytest.approx(np.log(p / (1 - p)))


def test_a_finding_without_probability_never_leads() -> None:
    assert leads_of(finding(1, p_breach=np.nan))["p_violation"].iloc[0] < 0.4


def test_every_kind_has_words_and_the_article_follows_the_day() -> None:
    assert all(kind_row(k).check_en for k in Kind)
    old, new = (articles("fabrication", pd.Timestamp(d)) for d in ("2026-08-14", "2026-08-15"))
    assert any("大气" in a for a in old)
    assert all("法典" in a for a in new)


def test_an_unknown_queue_is_refused() -> None:
    with pytest.raises(ParameterError, match="main and silent"):
        build_leads(result_frame("findings"), None, None, None, seed=1, budgets={"mian": 3})


def visit(finding: str, kinds: list[str], start: str = "2025-12-28", end: str = "2026-01-08") -> pd.DataFrame:
    return pd.DataFrame(
        {
            "inspection_id": ["I1"],
            "enterprise_id": ["E1"],
            "period_start": [pd.Timestamp(start)],
            "period_end": [pd.Timestamp(end)],
            "finding": [finding],
            "kinds": [kinds],
        }
    )


@pytest.mark.parametrize(
    ("finding_", "kinds", "sign"),
    [("none", [], -1), ("violation", ["fabrication"], 1), ("violation", ["carbon_overdue"], 0)],
    ids=["nothing found", "the same found", "another matter found"],
)
def test_an_inspection_of_the_same_span_is_one_more_source(finding_: str, kinds: list[str], sign: int) -> None:
    at = [pd.Timestamp("2026-01-01")], [pd.Timestamp("2026-01-03")]
    shift = inspected_shift(["E1"], *at, ["fabrication"], visit(finding_, kinds))
    assert np.sign(shift[0]) == sign
    elsewhere = inspected_shift(["E1"], *at, ["fabrication"], visit(finding_, kinds, "2026-03-01", "2026-03-09"))
    assert elsewhere[0] == 0


def test_the_inspection_is_named_in_the_attributions_and_they_still_sum() -> None:
    leads, _, parts = build_leads(result_frame("findings", [finding(1)]), None, visit("none", []), None, seed=1)
    p = leads["p_violation"].iloc[0]
    assert "inspection" in set(parts["feature"])
    assert parts["base"].iloc[0] + parts["contribution"].sum() == pytest.approx(np.log(p / (1 - p)))


HOURS = 24 * 60


def channel_of(strong: dict[str, tuple[int, int]], enterprises: int = 12) -> list[xr.Dataset]:
    """Integrity of every enterprise's monitor: ordinary, and strong over the given days of some."""
    values = np.zeros((enterprises, HOURS), dtype=np.int8)
    for e, (first, last) in strong.items():
        values[int(e[1:]), first * 24 : last * 24] = 2
    ids = [f"E{i}" for i in range(enterprises)]
    made = channel(
        values, enterprises=ids, hours=pd.date_range("2026-01-01", periods=HOURS, freq="h"),
        levels=["ordinary", "suspect", "strong"], source="monitor",
        group="monitor", label_zh="监测数据可信度", label_en="integrity of the monitor data", role="monitor_integrity", support_hours=24,
    )  # fmt: skip
    return [xr.Dataset({"integrity": made})]


def silent_of(findings: list[dict[str, object]], evidence: list[xr.Dataset], quota: int = 20) -> pd.DataFrame:
    budgets = {"main": 20, "silent": quota}
    leads, _, parts = build_leads(result_frame("findings", findings), evidence, None, None, seed=1, budgets=budgets)
    quiet = leads[leads["queue"] == "silent"]
    for lead in quiet.itertuples():
        mine = parts[parts["finding_id"] == lead.lead_id]
        assert mine["base"].iloc[0] + mine["contribution"].sum() == pytest.approx(np.log(lead.p_violation / (1 - lead.p_violation)))
    return quiet


def test_what_no_model_raised_comes_back_in_the_silent_queue_as_one_visit() -> None:
    quiet = silent_of([], channel_of({"E3": (20, 26)}))
    first = quiet.iloc[0]
    assert first["enterprise_id"] == "E3"
    assert first["start"] <= pd.Timestamp("2026-01-21")
    assert first["end"] >= pd.Timestamp("2026-01-26")
    assert (quiet["end"] - quiet["start"] <= pd.Timedelta(days=21)).all()
    assert "未单独报警" in first["reason_zh"]
    assert "异常" in first["reason_zh"]


def test_a_span_that_a_model_raised_is_in_the_main_queue_only() -> None:
    raised = finding(1, enterprise="E3", day=20, days=6)
    quiet = silent_of([raised], channel_of({"E3": (20, 26)}))
    mine = quiet[quiet["enterprise_id"] == "E3"]
    assert not ((mine["start"] < raised["end"]) & (mine["end"] > raised["start"])).any()


def test_hours_between_two_raised_spans_are_no_visit_of_their_own() -> None:
    """Who goes for what was raised looks at three weeks, these hours among them; four quiet weeks further on are another visit."""
    evidence = channel_of({"E3": (22, 24), "E4": (45, 50)})
    raised = [finding(i, enterprise=e, day=d, days=4) for i, (e, d) in enumerate([("E3", 16), ("E3", 26), ("E4", 10)])]
    quiet = silent_of(raised, evidence)
    day = (quiet["start"] - pd.Timestamp("2026-01-01")) / pd.Timedelta(days=1)
    assert not ((quiet["enterprise_id"] == "E3") & day.between(19, 27)).any()
    assert ((quiet["enterprise_id"] == "E4") & (day > 14)).any()


def test_a_doubt_moves_an_enterprise_up_the_silent_queue_and_raises_no_lead_of_its_own() -> None:
    evidence = channel_of({})
    doubt = finding(1, enterprise="E5", day=30, days=5, verdict="compliant", p_breach=0.3)
    with_it, without = silent_of([doubt], evidence), silent_of([], evidence)
    assert with_it.iloc[0]["enterprise_id"] == "E5"
    p = {name: q.loc[q["enterprise_id"] == "E5", "p_violation"].max() for name, q in (("with", with_it), ("without", without))}
    assert not p["without"] >= p["with"]


def test_a_doubt_about_carbon_is_silent_unless_something_was_raised_beside_it() -> None:
    doubt = finding(1, enterprise="E5", day=30, days=5, model="energy_tax", kind="carbon_overdue", verdict="abstain", p_breach=0.2)
    beside = finding(2, enterprise="E5", day=32, days=5, model="energy_tax", kind="carbon_overdue", p_breach=0.6)
    assert "carbon_overdue" in set(silent_of([doubt], channel_of({}), quota=40)["kind"])
    assert "carbon_overdue" not in set(silent_of([doubt, beside], channel_of({}), quota=40)["kind"])


@given(hnp.arrays(float, st.integers(1, 400), elements=st.floats(0, 1)), st.data())
def test_a_visit_finds_at_least_what_its_peak_holds_and_never_more_than_certainty(p: np.ndarray, data: st.DataObject) -> None:
    peak = data.draw(st.integers(0, len(p) - 1))
    assert p[peak] - 1e-12 <= in_visit(p, peak) <= 1
    assert in_visit(p * 0.5, peak) <= in_visit(p, peak) + 1e-12


def test_every_level_of_the_vocabulary_reads_in_chinese() -> None:
    assert {level for role in roles().values() for level in role.levels} <= set(level_words())
