"""Every metric by hand on five rows, and laws that must hold on any."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from sklearn.metrics import average_precision_score

from workbench.contracts import ParameterError, result_frame
from workbench.evaluation import (
    against_inspections,
    against_truth,
    baselines,
    cost_curve,
    doubly_robust_share,
    mechanism_table,
    precision_by,
    ranked_by_alert_count,
    ranked_by_model,
    reliability_table,
    wilson,
)
from workbench.evaluation.intervals import Clusters, bootstrap, measured, ratio
from workbench.evaluation.precision import precision_at
from workbench.evaluation.ranking import average_precision, brier, expected_calibration_error, false_removed

ONE = np.ones((1, 5))


def value(statistic, w=ONE):
    return float(statistic(w)[0])


def test_precision_counts_labels_only_while_unlabelled_leads_use_up_the_budget():
    right = np.array([1, np.nan, 0, 1, 1.0])
    assert value(precision_at(1, right)) == 1
    assert value(precision_at(3, right)) == 1 / 2
    assert value(precision_at(4, right)) == 2 / 3
    assert value(precision_at(100, right)) == 3 / 4
    assert np.isnan(value(precision_at(2, np.array([np.nan] * 5))))


def test_average_precision_by_hand_and_with_ties():
    score, right = np.array([0.9, 0.8, 0.7, 0.6, 0.5]), np.array([1, 0, 1, 0, 0])
    assert value(average_precision(score, right)) == pytest.approx((1 + 2 / 3) / 2)
    assert value(average_precision(np.full(5, 0.5), right)) == pytest.approx(2 / 5)


@given(hnp.arrays(float, 12, elements=st.sampled_from([0.1, 0.2, 0.5, 0.9])), hnp.arrays(bool, 12))
def test_average_precision_agrees_with_scikit_learn(score, right):
    if right.any():
        assert value(average_precision(score, right), np.ones((1, 12))) == pytest.approx(average_precision_score(right, score))


def test_false_alerts_removed_by_hand():
    # cut that keeps 90 % of two true ones is the lower of them: 0.4; below it lie 2 of 3 false alerts
    score, true = np.array([0.9, 0.4, 0.4, 0.3, 0.0]), np.array([True, True, False, False, False])
    assert value(false_removed(score, true)) == pytest.approx(2 / 3)
    assert value(false_removed(score, true, keep=0.5)) == 1
    assert np.isnan(value(false_removed(score, np.ones(5, bool))))


@given(
    hnp.arrays(float, 9, elements=st.floats(0, 1)), hnp.arrays(bool, 9), hnp.arrays(float, (3, 9), elements=st.integers(0, 3).map(float))
)
def test_weights_mean_repetition(score, right, weights):
    """A row of weight 3 counts as three rows: every statistic must agree with the table written out."""
    for make in (average_precision, brier, expected_calibration_error, false_removed):
        got = make(score, right)(weights)
        for w, g in zip(weights.astype(int), got, strict=True):
            s, y = np.repeat(score, w), np.repeat(right, w)
            want = float(make(s, y)(np.ones((1, len(s))))[0]) if len(s) else np.nan
            np.testing.assert_allclose(g, want, atol=1e-9)


def test_brier_ece_and_reliability_by_hand():
    p, right = np.array([0.9, 0.9, 0.1, 0.1, 0.1]), np.array([1, 0, 0, 0, 1])
    assert value(brier(p, right)) == pytest.approx((0.01 + 0.81 + 0.01 + 0.01 + 0.81) / 5)
    assert value(expected_calibration_error(p, right)) == pytest.approx((abs(1 - 1.8) + abs(1 - 0.3)) / 5)
    table = reliability_table(p, right)
    assert table["n"].tolist() == [3, 2]
    assert table["share_right"].tolist() == pytest.approx([1 / 3, 1 / 2])


def test_wilson_of_ten_trials_and_its_ends():
    low, high = wilson(5, 10)
    assert (low, high) == pytest.approx((0.2366, 0.7634), abs=1e-4)
    assert wilson(0, 10)[0] == 0
    assert wilson(10, 10)[1] == 1
    assert np.isnan(wilson(0, 0)).all()
    with pytest.raises(ParameterError):
        wilson(3, 2)


@given(st.integers(0, 60), st.integers(1, 60))
def test_wilson_holds_its_estimate_and_mirrors(k, n):
    k = min(k, n)
    low, high = wilson(k, n)
    assert 0 <= low <= k / n <= high <= 1
    assert wilson(n - k, n) == pytest.approx((1 - high, 1 - low))


def test_bootstrap_is_seeded_and_never_falsely_certain():
    who, hit = pd.Series(list("aabbcd")), np.array([1, 0, 1, 1, 0, 1.0])
    statistic = ratio(hit, np.ones(6))
    a, b, c = (bootstrap(statistic, Clusters.of(who), seed=s, draws=50) for s in (1, 1, 2))
    np.testing.assert_array_equal(a, b)
    assert (a != c).any()
    sure = measured("x", ratio(np.ones(6), np.ones(6)), who, seed=0)
    assert (sure.value, sure.high, sure.n) == (1, 1, 4)
    assert sure.low < 0.6
    assert "Wilson" in sure.method


def leads(n=5, **columns):
    rows = {
        "lead_id": [f"L{i}" for i in range(n)],
        "rank": range(1, n + 1),
        "queue": "main",
        "enterprise_id": [f"E{i}" for i in range(n)],
        "start": pd.Timestamp("2026-03-01"),
        "end": pd.Timestamp("2026-03-05"),
        "kind": "fabrication",
        "p_violation": np.linspace(0.9, 0.1, n),
        "p_low": 0.0,
        "p_high": 1.0,
        "reason_zh": "理由",
        "reason_en": "reason",
    }
    return result_frame("leads", pd.DataFrame(rows | columns))


def findings(ids=("E0", "E1", "E2")):
    n = len(ids)
    rows = {
        "finding_id": [f"F{i}" for i in range(n)],
        "model": "monitoring",
        "detector": "d",
        "enterprise_id": list(ids),
        "start": pd.Timestamp("2026-03-02"),
        "end": pd.Timestamp("2026-03-03"),
        "kind": "fabrication",
        "verdict": "breach",
        "p_breach": 0.5,
        "reason_zh": "理由",
        "reason_en": "reason",
    }
    return result_frame("findings", pd.DataFrame(rows)) if n else result_frame("findings")


def inspections(rows):
    names = ["inspection_id", "enterprise_id", "origin", "selection_probability", "finding", "kinds"]
    day = pd.Timestamp("2026-03-06")
    return pd.DataFrame(rows, columns=names).assign(
        inspected_on=day, decided_on=day, period_start=pd.Timestamp("2026-03-01"), period_end=pd.Timestamp("2026-03-06")
    )


def truth_file(folder, enterprises=("E0", "E3")):
    truth = pd.DataFrame(
        {
            "enterprise_id": list(enterprises),
            "outlet_id": "",
            "point_id": "",
            "start": pd.Timestamp("2026-03-02"),
            "end": pd.Timestamp("2026-03-04"),
            "kind": "fabrication",
            "mechanism": ["constant", "copied"][: len(enterprises)],
            "silent_by_design": [False, True][: len(enterprises)],
        }
    )
    truth.to_parquet(folder / "truth.parquet")
    return folder / "truth.parquet"


def named(metrics, name, subject=None):
    (found,) = [m for m in metrics if m.name == name and (subject is None or m.subject == subject)]
    return found


def test_against_inspections_leaves_the_uninspected_out():
    seen = inspections([("I0", "E0", "lead", np.nan, "violation", ["fabrication"]), ("I1", "E2", "lead", np.nan, "none", [])])
    out = against_inspections(leads(), findings(), seen, [1, 3], 0)
    assert named(out, "precision@1").value == 1
    assert named(out, "precision@3").value == 1 / 2
    assert named(out, "precision@3").n == 2
    assert named(out, "inspected_share@3").value == pytest.approx(2 / 3)
    assert named(out, "alert_precision").value == 1 / 2
    assert "seen in fitting" in named(out, "precision@3").note
    assert named(out, "prevalence_doubly_robust").value is None
    held = against_inspections(leads(), findings(), seen, [3], 0, used_for_fitting=["I1"])
    assert named(held, "precision@3").value == 1


def test_against_inspections_estimates_prevalence_from_random_draws_only():
    enterprises = pd.DataFrame({"enterprise_id": [f"E{i}" for i in range(20)]})
    seen = inspections(
        [(f"I{i}", f"E{i}", "random", 0.5, "violation" if i < 3 else "none", []) for i in range(10)]
        + [(f"C{i}", f"E{i}", "campaign", np.nan, "violation", []) for i in range(10, 20)]
    )
    out = against_inspections(leads(20, p_violation=0.5), findings(), seen, [2], 0, enterprises=enterprises)
    prevalence = named(out, "prevalence_doubly_robust")
    assert prevalence.n == 10
    # m̂ is .3 everywhere: three give .3 + .7/.5, seven .3 - .3/.5, ten .3; the campaign's ten finds do not count
    assert prevalence.value == pytest.approx((3 * 1.7 - 7 * 0.3 + 10 * 0.3) / 20)
    assert prevalence.low <= prevalence.value <= prevalence.high < 0.9
    assert named(out, "recall_doubly_robust@2").value == pytest.approx(2 * 1.7 / 6)


def test_few_random_draws_are_no_estimate_and_none_found_is_not_certainty():
    enterprises = pd.DataFrame({"enterprise_id": [f"E{i}" for i in range(20)]})

    def metrics(n, found):
        seen = inspections([(f"I{i}", f"E{i}", "random", 0.5, "violation" if i < found else "none", []) for i in range(n)])
        return against_inspections(leads(20), findings(), seen, [2], 0, enterprises=enterprises)

    few = metrics(9, 4)
    assert named(few, "prevalence_doubly_robust").value is None
    assert "9 random" in named(few, "recall_doubly_robust@2").note
    nothing = named(metrics(12, 0), "prevalence_doubly_robust")
    assert nothing.value == 0
    assert nothing.high > 0.15
    assert named(metrics(12, 2), "recall_doubly_robust@2").value is None
    assert named(metrics(12, 2), "prevalence_doubly_robust").value is not None


def test_one_enterprise_gives_no_false_certainty():
    seen = inspections([("I0", "E0", "lead", np.nan, "violation", [])])
    out = against_inspections(leads(), findings(), seen, [5], 0)
    assert named(out, "average_precision").value == 1
    assert named(out, "average_precision").low < 0.3
    assert named(out, "brier").low is None


def test_against_truth_by_hand(tmp_path):
    out = against_truth(leads(queue=["main", "main", "main", "silent", "silent"]), findings(), truth_file(tmp_path), None, [1, 3, 5], 0)
    assert [named(out, f"precision@{b}").value for b in (1, 3, 5)] == [1, pytest.approx(1 / 3), pytest.approx(2 / 5)]
    assert [named(out, f"recall@{b}").value for b in (1, 3, 5)] == [0.5, 0.5, 1]
    assert named(out, "silent_queue_precision").value == 0.5
    assert named(out, "alert_precision").value == pytest.approx(1 / 3)
    assert named(out, "false_alerts_removed@90").value == 1  # E0 has the highest lead, E1 and E2 lie under it
    assert named(out, "days_to_detect").value == 3
    for m in out:
        assert m.value is None or (m.low is not None and m.low <= m.value <= m.high), m.name


def test_no_leads_is_not_evaluated_and_finds_nothing(tmp_path):
    empty = result_frame("leads")
    out = against_truth(empty, findings(()), truth_file(tmp_path), None, [5], 0)
    assert named(out, "precision@5").value is None
    assert named(out, "recall@5").value == 0
    assert all(m.note for m in out if m.value is None)
    assert all(m.value is None for m in against_inspections(empty, findings(()), inspections([]), [5], 0))


def test_mechanism_table_and_breakdown(tmp_path):
    table = mechanism_table(leads(), truth_file(tmp_path), [1, 5]).set_index("mechanism")
    assert table.loc["constant", "recall@1"] == 1
    assert table.loc["copied", "recall@1"] == 0
    assert table.loc["copied", "recall@all"] == 1
    assert table["silent_by_design"].to_dict() == {"constant": 0, "copied": 1}
    enterprises = pd.DataFrame({"enterprise_id": [f"E{i}" for i in range(5)], "street_town": ["a", "a", "b", "b", "b"]})
    by = precision_by(leads(), np.array([1, 0, np.nan, 1, 1]), enterprises, "street_town", 3).set_index("street_town")
    assert by.loc["a", "precision"] == 0.5
    assert np.isnan(by.loc["b", "precision"])
    with pytest.raises(ParameterError):
        precision_by(leads(), np.zeros(5), enterprises, "colour", 3)


@settings(deadline=None, max_examples=15)
@given(st.permutations(range(6)), st.integers(0, 5))
def test_order_of_rows_never_matters(order, seed):
    rows = leads(6)
    seen = inspections([(f"I{i}", f"E{i}", "lead", np.nan, "violation" if i % 2 else "none", []) for i in range(4)])
    a = against_inspections(rows, findings(), seen, [2, 4], seed)
    b = against_inspections(rows.iloc[list(order)], findings().iloc[::-1], seen.iloc[::-1], [2, 4], seed)
    assert [m.model_dump() for m in a] == [m.model_dump() for m in b]


@pytest.mark.parametrize("budgets", [[], [0], [2.5]])
def test_budgets_are_whole_numbers(budgets):
    with pytest.raises(ParameterError):
        against_inspections(leads(), findings(), inspections([]), budgets, 0)


def test_cost_curve_by_hand():
    curve = cost_curve(leads(), np.array([0, np.nan, 1, 1, 0.0]))
    assert curve["budget"].tolist() == [1, 3, 4, 5]
    assert curve["found"].tolist() == [0, 1, 2, 2]
    assert np.isnan(curve["visits_per_found"].iloc[0])
    assert curve["visits_per_found"].tolist()[1:] == [2, 1.5, 2]
    assert ((curve["low"] <= curve["precision"]) & (curve["precision"] <= curve["high"])).all()
    assert cost_curve(result_frame("leads"), np.array([])).empty


@given(hnp.arrays(bool, 8), hnp.arrays(float, 8, elements=st.floats(0, 1)))
def test_doubly_robust_is_the_plain_share_where_all_were_looked_at_whatever_the_model_says(y, expected):
    who = pd.Series([f"E{i}" for i in range(8)])
    m = doubly_robust_share("prevalence", y, None, np.ones(8, bool), np.ones(8), expected, who, seed=0, draws=20)
    assert m.value == pytest.approx(y.mean())


@pytest.mark.parametrize("pi", [0.0, np.nan, 1.2])
def test_a_draw_without_its_probability_is_refused(pi):
    with pytest.raises(ParameterError, match="selection probability"):
        doubly_robust_share("x", np.array([1.0]), None, np.array([True]), np.array([pi]), np.array([0.5]), pd.Series(["E"]), seed=0)


def test_baselines_by_hand(tmp_path):
    found = findings(("E1", "E1", "E0", "E2", "E2")).assign(model=list("aabab"), p_breach=[0.2, 0.3, 0.9, 0.6, 0.1])
    assert ranked_by_alert_count(found)["enterprise_id"].tolist() == ["E2", "E1", "E0"]  # two, two (weaker), one
    assert ranked_by_model(found, "a")["lead_id"].tolist() == ["F3", "F1"]
    seen = inspections([("I0", "E1", "lead", np.nan, "violation", []), ("I1", "E2", "lead", np.nan, "none", [])])
    out = baselines(found, inspections=seen, truth_file=truth_file(tmp_path), budgets=[2])
    by = {(m.subject, m.against): m.value for m in out}
    assert by[("alert count", "inspections")] == 0.5
    assert by[("model b alone", "truth (simulated)")] == 0.5  # E0 is right, E2 is not
    assert by[("model a alone", "truth (simulated)")] == 0
    assert all(m.value is None for m in baselines(findings(()), inspections=seen, budgets=[2]))
