"""Leads from findings alone."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from workbench.contracts import Kind, ParameterError, result_frame
from workbench.cross import build_leads
from workbench.cross.clamp import inspected_shift
from workbench.cross.kinds import articles, kind_row


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
