"""When a lead counts as right: case tables for both yardsticks."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from workbench.contracts import Kind
from workbench.evaluation import decided, label_by_inspection, pairs_with_truth
from workbench.evaluation.matching import _words, compatible


def row(start, end, kind="fabrication", enterprise="E1"):
    return pd.DataFrame({"enterprise_id": [enterprise], "start": [pd.Timestamp(start)], "end": [pd.Timestamp(end)], "kind": [kind]})


def act(start, end, kind="fabrication", enterprise="E1"):
    frame = row(start, end, kind, enterprise)
    return frame.assign(outlet_id="", point_id="", mechanism="m", silent_by_design=False)


CASES = [
    ("inside", row("2026-03-02", "2026-03-03"), act("2026-03-01", "2026-03-10"), True),
    ("touching within a day", row("2026-03-01", "2026-03-02"), act("2026-03-03", "2026-03-05"), True),
    ("a day and a half apart", row("2026-03-01", "2026-03-02"), act("2026-03-03 12:00", "2026-03-05"), False),
    (
        "paper offence, three weeks apart",
        row("2026-03-01", "2026-03-02", "permit_breach"),
        act("2026-03-23", "2026-03-25", "permit_breach"),
        True,
    ),
    (
        "paper offence, five weeks apart",
        row("2026-03-01", "2026-03-02", "permit_breach"),
        act("2026-04-06", "2026-04-09", "permit_breach"),
        False,
    ),
    ("other enterprise", row("2026-03-02", "2026-03-03", enterprise="E2"), act("2026-03-01", "2026-03-10"), False),
    ("other matter", row("2026-03-02", "2026-03-03", "fugitive"), act("2026-03-01", "2026-03-10"), False),
    ("kin matter", row("2026-03-02", "2026-03-03", "exceedance"), act("2026-03-01", "2026-03-10"), True),
    ("kinship has a direction", row("2026-03-02", "2026-03-03", "fabrication"), act("2026-03-01", "2026-03-10", "exceedance"), False),
    ("60-day lead, 11 days of violation: under a fifth", row("2026-01-01", "2026-03-02"), act("2026-01-05", "2026-01-16"), False),
    ("60-day lead, 12 days of violation: a fifth", row("2026-01-01", "2026-03-02"), act("2026-01-05", "2026-01-17"), True),
    ("45-day lead is not long", row("2026-01-01", "2026-02-15"), act("2026-01-05", "2026-01-06"), True),
    ("a lead without end is a moment", row("2026-03-02", pd.NaT), act("2026-03-01", "2026-03-10"), True),
]


@pytest.mark.parametrize(("what", "lead", "violation", "right"), CASES, ids=[c[0] for c in CASES])
def test_lead_against_truth(what, lead, violation, right):
    assert bool(len(pairs_with_truth(lead, violation))) is right


def test_every_kind_sends_to_itself_and_only_to_known_kinds():
    kinds = [k.value for k in Kind]
    assert set(_words()["sends_to"]) == set(kinds)
    for kind in kinds:
        assert compatible(kind, [kind]).all()
        assert set(_words()["sends_to"][kind]) <= set(kinds)


def visit(start, end, finding="violation", kinds=("fabrication",), enterprise="E1", decided_on="2026-06-01", name="I1"):
    return pd.DataFrame(
        {
            "inspection_id": [name],
            "enterprise_id": [enterprise],
            "inspected_on": [pd.Timestamp(end)],
            "decided_on": [pd.Timestamp(decided_on)],
            "origin": ["lead"],
            "selection_probability": [np.nan],
            "period_start": [pd.Timestamp(start)],
            "period_end": [pd.Timestamp(end)],
            "finding": [finding],
            "kinds": [list(kinds)],
        }
    )


VISITS = [
    ("found", [visit("2026-03-01", "2026-03-10")], 1.0),
    ("found, kinds not recorded", [visit("2026-03-01", "2026-03-10", kinds=())], 1.0),
    ("found another matter", [visit("2026-03-01", "2026-03-10", kinds=("fugitive",))], 0.0),
    ("found nothing", [visit("2026-03-01", "2026-03-10", "none", ())], 0.0),
    ("nobody looked at that time", [visit("2026-01-01", "2026-02-10")], np.nan),
    ("nobody looked there", [visit("2026-03-01", "2026-03-10", enterprise="E9")], np.nan),
    ("not decided yet", [visit("2026-03-01", "2026-03-10", decided_on=None)], np.nan),
    ("first nothing, then found", [visit("2026-03-01", "2026-03-05", "none", ()), visit("2026-03-04", "2026-03-10", name="I2")], 1.0),
]


@pytest.mark.parametrize(("what", "visits", "label"), VISITS, ids=[v[0] for v in VISITS])
def test_lead_against_inspections(what, visits, label):
    lead = row("2026-03-04", "2026-03-06", "fabrication")
    np.testing.assert_equal(label_by_inspection(lead, pd.concat(visits, ignore_index=True)), [label])


def test_labels_count_from_the_day_of_decision_not_of_the_visit():
    visits = pd.concat([visit("2026-03-01", "2026-03-10", decided_on=d, name=d or "open") for d in ("2026-04-01", "2026-05-01", None)])
    assert list(decided(visits, before=pd.Timestamp("2026-05-01"))["inspection_id"]) == ["2026-04-01"]
    assert list(decided(visits, since=pd.Timestamp("2026-05-01"))["inspection_id"]) == ["2026-05-01"]
    assert list(decided(visits, without=["2026-04-01"])["inspection_id"]) == ["2026-05-01"]


times = st.datetimes(pd.Timestamp("2026-01-01").to_pydatetime(), pd.Timestamp("2026-06-01").to_pydatetime())


@given(st.lists(st.tuples(times, times, st.sampled_from([k.value for k in Kind]), st.sampled_from(["E1", "E2"])), min_size=1, max_size=8))
def test_a_lead_that_copies_a_violation_is_right_whatever_the_order(spans):
    truth = pd.concat([act(min(a, b), max(a, b), k, e) for a, b, k, e in spans], ignore_index=True)
    leads = truth[["enterprise_id", "start", "end", "kind"]]
    pairs = pairs_with_truth(leads, truth)
    assert {(i, i) for i in range(len(truth))} <= set(pairs.itertuples(index=False, name=None))
    assert (leads["enterprise_id"].to_numpy()[pairs["row"]] == truth["enterprise_id"].to_numpy()[pairs["violation"]]).all()
    back = pairs_with_truth(leads.iloc[::-1], truth.iloc[::-1])
    n = len(truth) - 1
    assert {(n - a, n - b) for a, b in back.itertuples(index=False)} == set(pairs.itertuples(index=False, name=None))
