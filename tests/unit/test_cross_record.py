"""What visits of other times say of an enterprise, and what silent evidence can show at most."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from workbench.cross.calibration import apart_from, calibrate
from workbench.cross.record import record_of
from workbench.cross.reliability import coincidence, fit_reliability
from workbench.cross.roles import priors
from workbench.cross.silent import in_a_visit

DAY = pd.Timedelta(days=1)
FIRST = pd.Timestamp("2026-01-01")


def visits(found: dict[str, list[int]], kinds: tuple[str, ...] = ("fabrication",)) -> pd.DataFrame:
    """One visit a month to each enterprise; 1: a violation was found."""
    rows = [
        (f"{e}{k}", e, FIRST + 30 * k * DAY, FIRST + (30 * k + 20) * DAY, "violation" if y else "none", list(kinds) if y else [])
        for e, ys in found.items()
        for k, y in enumerate(ys)
    ]
    return pd.DataFrame(rows, columns=["inspection_id", "enterprise_id", "period_start", "period_end", "finding", "kinds"])


def drawn(tau: float, rng: np.random.Generator, n: int = 300, times: int = 3, share: float = 0.12) -> tuple[pd.DataFrame, np.ndarray]:
    b = rng.normal(0, tau, n)
    se, fp = (priors().inspection[x]["mean"] for x in ("sensitivity", "false_positive"))
    p = fp + (se - fp) / (1 + np.exp(-(np.log(share / (1 - share)) + b)))
    return visits({f"E{i:03d}": list((rng.random(times) < q).astype(int)) for i, q in enumerate(p)}), b


def test_without_a_visit_all_enterprises_are_alike() -> None:
    assert record_of(None).offsets(["A", "B"]).tolist() == [0.0, 0.0]
    assert record_of(visits({"A": [1, 0]})).offset("B") == 0.0


@pytest.mark.parametrize("tau", [0.3, 1.0, 2.5], ids=["alike", "as expected", "the same works again and again"])
def test_how_much_enterprises_differ_is_recovered(tau: float) -> None:
    found, b = drawn(tau, np.random.default_rng(int(10 * tau)))
    record = record_of(found)
    assert 0.6 * tau < record.tau < 1.6 * tau + 0.4
    offsets = record.offsets([f"E{i:03d}" for i in range(len(b))])
    assert abs(offsets.mean()) < 0.35
    if tau > 0.5:
        assert np.corrcoef(offsets, b)[0, 1] > 0.2
    assert ((offsets - b) ** 2).mean() < b.var() + 0.1


def test_one_more_violation_raises_and_one_more_clean_visit_lowers() -> None:
    found, _ = drawn(1.5, np.random.default_rng(0))
    more = pd.concat([found, visits({"X": [1], "Y": [1, 1], "Z": [0], "W": [0, 0]})], ignore_index=True)
    w, z, x, y = record_of(more).offsets(["W", "Z", "X", "Y"])
    assert w < z < 0 < x < y


def test_a_visit_of_the_span_itself_counts_elsewhere() -> None:
    found, _ = drawn(1.5, np.random.default_rng(0))
    record = record_of(pd.concat([found, visits({"X": [1, 0]})], ignore_index=True))
    assert record.offset("X", FIRST, FIRST + 5 * DAY) < 0 < record.offset("X", FIRST + 31 * DAY, FIRST + 40 * DAY)
    assert record.offset("X", FIRST, FIRST + 100 * DAY) == 0.0


@given(st.floats(0.001, 0.999), st.floats(0.001, 0.999), st.floats(24, 504))
def test_silent_evidence_is_monotone_and_its_bayes_factor_bounded(a: float, b: float, hours: float) -> None:
    p = priors().silent
    low, high = sorted((float(in_a_visit(a, hours)), float(in_a_visit(b, hours))))
    assert (float(in_a_visit(min(a, b), hours)), float(in_a_visit(max(a, b), hours))) == (low, high)
    assert high <= np.log(p["share"] / (1 - p["share"])) + np.log(1 / p["odd"]) + 1e-9


def test_what_a_visit_may_have_found_among_raised_things_says_nothing_of_silence() -> None:
    found = visits({"A": [1, 0], "B": [1]})
    raised = pd.DataFrame({"enterprise_id": ["A"], "start": [FIRST + 3 * DAY], "end": [FIRST + 4 * DAY]})
    left = apart_from(found, raised)
    assert left is not None
    assert sorted(left["inspection_id"]) == ["A1", "B0"]


def test_known_log_odds_are_not_learned_twice() -> None:
    rng = np.random.default_rng(0)
    known = rng.normal(0, 1.5, 400)
    logit = np.full(400, -2.0)
    y = (rng.random(400) < 0.05 + 0.7 / (1 + np.exp(-(logit + known)))).astype(float)
    assert abs(calibrate(logit, y, np.ones(400), known=known)(-2.0) - -2.0) < 0.35


def test_a_finding_is_borne_out_by_chance_the_oftener_the_more_is_found() -> None:
    kind = pd.Series(["fabrication", "carbon_overdue"])
    none = coincidence(kind, None)
    many = coincidence(kind, visits({f"E{i}": [1, 1, 0] for i in range(40)}))
    assert none == pytest.approx(priors().inspection["false_positive"]["mean"])
    assert many[0] > 0.4
    assert many[1] < none[1]


def test_a_caught_works_does_not_make_all_its_false_alarms_true() -> None:
    """Two detectors speak at every visit; one is right in half of the cases, the other never: only one of them is needed."""
    rng = np.random.default_rng(0)
    rows, seen = [], []
    for i in range(200):
        bad, start = rng.random() < 0.5, FIRST
        for name in ("right", "never") if bad else ("never",):
            rows.append(("monitoring", name, f"E{i}", start, start + DAY, "fabrication", 0.7, f"F{len(rows)}"))
        found = bad and rng.random() < 0.75
        seen.append((f"I{i}", f"E{i}", start, start + 5 * DAY, "violation" if found else "none", ["fabrication"] if found else []))
    columns = ["model", "detector", "enterprise_id", "start", "end", "kind", "p", "finding_id"]
    visited = pd.DataFrame(seen, columns=["inspection_id", "enterprise_id", "period_start", "period_end", "finding", "kinds"])
    findings = pd.DataFrame(rows, columns=columns)
    trust = fit_reliability(findings, visited)
    believed = pd.Series(trust.believed(findings)).groupby(findings["detector"]).mean()
    assert believed["right"] > 0.55
    assert believed["never"] < 0.25


def test_a_works_caught_at_every_visit_is_not_certain_and_what_else_is_believed_moves_it_little() -> None:
    found, _ = drawn(1.5, np.random.default_rng(0))
    record = record_of(pd.concat([found, visits({"X": [1] * 8, "Y": [0] * 8})], ignore_index=True))
    later = (FIRST + 4000 * DAY, FIRST + 4020 * DAY)
    assert record.chance("Y", *later) < record.chance("new") < record.chance("X", *later) < 0.9
    assert record.unraised("new", *later) == pytest.approx(0.0)
    assert record.unraised("Y", *later) < 0 < record.unraised("X", *later) <= record.offset("X", *later)
    assert 0 < record.unraised("X", *later, lean=1.0) - record.unraised("X", *later) < 1.0
