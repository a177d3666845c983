"""Splits that do not leak, and the weighted audit draw."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from workbench.contracts import ParameterError
from workbench.evaluation import connected_groups, draw, forward, group_folds, hold_out_street, inclusion_probabilities


def enterprises(rows):
    return pd.DataFrame(rows, columns=["enterprise_id", "legal_person_id", "operator", "street_town"])


KIN = enterprises([("A", "p1", "", "s1"), ("B", "p1", "v1", "s1"), ("C", "p2", "v1", "s2"), ("D", "p3", "", "s2"), ("E", "p4", "", "s3")])


def test_kin_by_legal_person_vendor_and_shared_stack():
    groups = connected_groups(KIN)
    assert groups["A"] == groups["B"] == groups["C"]
    assert groups.nunique() == 3
    outlets = pd.DataFrame({"outlet_id": ["o1", "o2"], "enterprise_id": ["D", "E"], "kind": "stack", "lon": 121.5, "lat": 31.2})
    assert connected_groups(KIN, outlets)["D"] == connected_groups(KIN, outlets)["E"]
    apart = outlets.assign(lon=[121.5, 121.6])
    points = pd.DataFrame({"outlet_id": ["o1"], "enterprise_id": ["E"]})
    assert connected_groups(KIN, apart)["D"] != connected_groups(KIN, apart)["E"]
    assert connected_groups(KIN, apart, points)["D"] == connected_groups(KIN, apart, points)["E"]
    assert connected_groups(KIN, links=("legal_person",)).nunique() == 4


@given(st.lists(st.tuples(st.sampled_from("pqrst"), st.sampled_from(["", "v", "w"])), min_size=1, max_size=20))
def test_no_tie_crosses_a_group(rows):
    table = enterprises([(f"E{i}", p, v, "s") for i, (p, v) in enumerate(rows)])
    group = table["enterprise_id"].map(connected_groups(table))
    for column in ("legal_person_id", "operator"):
        tied = table[table[column] != ""]
        assert (group[tied.index].groupby(tied[column]).nunique() <= 1).all()


def test_folds_keep_groups_whole_and_are_seeded():
    groups = pd.Series([0, 0, 0, 1, 1, 2, 3, 4], index=list("abcdefgh"))
    folds = group_folds(groups, 3, seed=1)
    assert (folds.groupby(groups).nunique() == 1).all()
    assert folds.value_counts().max() <= 3
    assert folds.equals(group_folds(groups, 3, seed=1))
    with pytest.raises(ParameterError):
        group_folds(groups, 6, seed=1)


def visits():
    day = pd.to_datetime
    return pd.DataFrame(
        {
            "inspection_id": ["early", "late decision", "embargo", "after", "open"],
            "enterprise_id": list("ABCDE"),
            "period_start": day(["2026-01-01", "2026-01-01", "2026-03-05", "2026-04-01", "2026-04-01"]),
            "period_end": day(["2026-01-31", "2026-01-31", "2026-03-20", "2026-04-20", "2026-04-20"]),
            "decided_on": day(["2026-02-15", "2026-03-15", "2026-04-01", "2026-05-01", None]),
        }
    )


def test_forward_split_by_decision_date_with_embargo():
    split = forward(visits(), pd.Timestamp("2026-03-01"), embargo_days=28, longest_window_days=28)
    assert split.train["inspection_id"].tolist() == ["early"]
    assert split.test["inspection_id"].tolist() == ["after"]
    with pytest.raises(ParameterError, match="embargo"):
        forward(visits(), pd.Timestamp("2026-03-01"), embargo_days=7, longest_window_days=28)


def test_held_out_street_takes_its_kin_from_training():
    split = hold_out_street(visits(), KIN, "s2", connected_groups(KIN))
    assert set(split.test["enterprise_id"]) == {"C", "D"}
    assert set(split.train["enterprise_id"]) == {"E"}
    with pytest.raises(ParameterError):
        hold_out_street(visits(), KIN, "nowhere")


@given(st.lists(st.floats(0, 1), min_size=1, max_size=40), st.data())
def test_inclusion_probabilities_sum_to_the_draw_and_keep_all_in_reach(p, data):
    n = data.draw(st.integers(1, len(p)))
    pi = inclusion_probabilities(np.array(p), n)
    assert pi.sum() == pytest.approx(n)
    assert (pi > 0).all()
    assert (pi <= 1 + 1e-12).all()
    order = np.argsort(p, kind="stable")
    assert (np.diff(pi[order]) >= -1e-9).all()


def test_draw_has_its_size_and_meets_its_probabilities():
    units = pd.DataFrame({"enterprise_id": [f"E{i}" for i in range(30)], "p": np.linspace(0, 0.9, 30)})
    counts = np.zeros(30)
    for seed in range(2000):
        got = draw(units, 6, seed=seed)
        assert got["drawn"].sum() == 6
        counts += got["drawn"]
    pi = got["selection_probability"].to_numpy()
    assert np.abs(counts / 2000 - pi).max() < 4 * np.sqrt(0.25 / 2000)
    assert draw(units, 6, seed=3).equals(draw(units, 6, seed=3))
    with pytest.raises(ParameterError):
        draw(units, 31, seed=0)
