"""Laws of the fusion: exactness, invariance, abstention, monotone evidence, explanation."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from workbench.contracts import NOT_INSTALLED, Kind
from workbench.cross.checks import checks, information_gain, next_check
from workbench.cross.conflicts import detect_conflicts, jensen
from workbench.cross.evidence import Evidence
from workbench.cross.explain import explain, local_logits, shapley
from workbench.cross.finding_channels import HOURS, P_EDGES, levels, table
from workbench.cross.fusion import Fused, Reliability, expert, fuse, masks
from workbench.cross.habits import fuse_with_habits
from workbench.cross.learn import learn_ordinary
from workbench.cross.patterns import PatternCounter
from workbench.cross.regimes import regime_prior, smooth
from workbench.cross.scoring import WORD, factors, regime_log_like, window_posteriors
from workbench.cross.simulate import DEFAULT_ROLES, blank_channel, draw
from workbench.cross.states import N_STATES, space

ROLES = ("production_power", "treatment_power", "monitor_limit", "monitor_integrity", "mark")


def evidence(levels: dict[str, list[int]], hours: int | None = None) -> Evidence:
    n = hours or len(next(iter(levels.values())))
    out = []
    for role, values in levels.items():
        c = blank_channel(role, (1, n))
        c.values[0] = values
        out.append(c)
    return Evidence(
        np.array(["E"], dtype=object), pd.date_range("2026-01-01", periods=n, freq="h"), tuple(sorted(out, key=lambda c: c.name))
    )


def fused(e: Evidence) -> Fused:
    from workbench.cross.scoring import expert_emissions

    return fuse(e, Reliability(expert_emissions(e.channels), regime_prior(), np.zeros(e.shape[0])))


@pytest.fixture(scope="module")
def drawn():
    return draw(12, 240, np.random.default_rng(3), missing=0.2)


def test_enumeration_equals_brute_force(drawn) -> None:
    e = drawn.evidence
    f = fused(e)
    prior = regime_prior()
    rng = np.random.default_rng(0)
    rho = 0.04
    for u in rng.choice(len(f.patterns), 5, replace=False):
        like = np.ones(N_STATES)
        for k, part in enumerate(f.reliability.emissions):
            level = f.patterns[u, k]
            if level >= 0:
                like *= [(1 - rho) * part.rows[part.row_of_state[s], level] + rho * part.nuisance[level] for s in range(N_STATES)]
        wanted = np.log([sum(prior.state_given_regime[z, s] * like[s] for s in range(N_STATES)) for z in range(32)]) / WORD
        got = f.log_like[u]
        assert np.allclose(got - got[0], wanted - wanted[0], atol=1e-9)


def test_window_posteriors_equal_brute_force() -> None:
    rng = np.random.default_rng(1)
    state = rng.random((7, 20)) + 0.01
    codes = rng.integers(0, 7, (40, 3)).astype(np.int32)
    prior, label = rng.dirichlet(np.ones(20)), rng.integers(0, 4, 20)
    got = window_posteriors(state, codes, prior, label, 4)
    joint = prior * state[codes].prod(1)
    joint /= joint.sum(1, keepdims=True)
    assert np.allclose(got, np.stack([joint[:, label == k].sum(1) for k in range(4)], axis=1))


def test_smoothing_equals_the_sum_over_all_paths() -> None:
    rng = np.random.default_rng(2)
    R, hours = 3, 5
    prior, hazard = rng.dirichlet(np.ones(R)), np.array([0.1, 0.3, 0.6])
    log_like = np.log(rng.random((4, R)))
    pattern = rng.integers(0, 4, (1, hours)).astype(np.int32)
    redraw = prior * hazard / (prior * hazard).sum()
    move = np.diag(1 - hazard) + np.outer(hazard, redraw)
    total = np.zeros((hours, R))
    for path in np.ndindex(*([R] * hours)):
        p = prior[path[0]] * np.exp(log_like[pattern[0, 0], path[0]])
        for h in range(1, hours):
            p *= move[path[h - 1], path[h]] * np.exp(log_like[pattern[0, h], path[h]])
        for h in range(hours):
            total[h, path[h]] += p
    wanted = total / total.sum(1, keepdims=True)
    got = smooth(pattern, log_like, prior[None], hazard, np.eye(R, dtype=bool))
    assert np.allclose(got[:, 0].T, wanted, atol=1e-6)


def test_a_regime_prior_is_stationary() -> None:
    p = regime_prior()
    share = p.shifted(0.3)
    redraw = share * p.hazard / (share * p.hazard).sum()
    assert np.allclose(share * (1 - p.hazard) + redraw * (share @ p.hazard), share)
    assert np.allclose(p.state_given_regime.sum(1), 1)


def test_order_of_channels_enterprises_and_models_does_not_matter(drawn) -> None:
    e = drawn.evidence
    a = fused(e).posterior["violation"]
    flipped = Evidence(e.enterprises, e.hours, e.channels[::-1])
    assert np.allclose(fused(flipped).posterior["violation"], a, atol=1e-6)
    order = np.random.default_rng(0).permutation(len(e.enterprises))
    moved = Evidence(e.enterprises[order], e.hours, tuple(replace(c, values=c.values[order]) for c in e.channels))
    assert np.allclose(fused(moved).posterior["violation"], a[order], atol=1e-6)


def test_a_channel_that_abstains_leaves_the_posterior_unchanged(drawn) -> None:
    e = drawn.evidence
    mute = blank_channel("smoke", e.shape)
    assert np.allclose(fused(e.with_channels(mute)).posterior["violation"], fused(e).posterior["violation"], atol=1e-7)


def test_without_any_modality_the_prior_stands() -> None:
    e = evidence({"smoke": [NOT_INSTALLED] * 30})
    f = fused(e)
    assert np.allclose(f.posterior["violation"], f.prior(0)[masks()[0]].sum(), atol=1e-6)


@pytest.mark.parametrize("role", ["monitor_integrity", "off_while_on", "power_integrity", "mark_integrity", "report_integrity"])
def test_stronger_words_never_lower_the_suspicion(role: str) -> None:
    kind = {
        "off_while_on": "treatment_off",
        "power_integrity": "power_lies",
        "mark_integrity": "false_report",
        "report_integrity": "false_report",
    }
    p = [fused(evidence({role: [level] * 96})).posterior[kind.get(role, "fabrication")][0, 48] for level in range(3)]
    assert p[0] < p[1] < p[2]


def test_contradicting_sources_raise_what_neither_says_alone() -> None:
    both = {"production_power": [2] * 240, "monitor_process": [0] * 240}
    alone = max(fused(evidence({k: v})).posterior["violation"][0, 120] for k, v in both.items())
    assert fused(evidence(both)).posterior["violation"][0, 120] > 3 * alone


def test_a_lawful_start_up_explains_an_exceedance() -> None:
    over = {"monitor_limit": [0] * 100 + [2] * 30 + [0] * 100}
    marked = {**over, "mark": [0] * 100 + [2] * 30 + [0] * 100}
    assert fused(evidence(marked)).posterior["exceedance"][0, 115] < 0.6 * fused(evidence(over)).posterior["exceedance"][0, 115]


def test_an_outage_is_evidence_and_not_installed_is_not() -> None:
    out = fused(evidence({"monitor_limit": [3] * 48})).posterior["violation"][0, 24]
    none = fused(evidence({"monitor_limit": [-1] * 48})).posterior["violation"][0, 24]
    assert abs(out - none) > 1e-4


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 5), st.integers(0, 2**31 - 1))
def test_shapley_values_sum_and_are_symmetric(n: int, seed: int) -> None:
    v = np.random.default_rng(seed).normal(size=1 << n)
    assert shapley(v).sum() == pytest.approx(v[-1] - v[0])
    size = np.array([int(c).bit_count() for c in range(1 << n)], dtype=float)
    assert np.allclose(shapley(size**2), n)


def test_explanation_sums_to_the_posterior_and_null_channels_get_nothing(drawn) -> None:
    e = drawn.evidence.with_channels(blank_channel("smoke", drawn.evidence.shape))
    f = fused(e)
    row, hour = np.unravel_index(int(f.posterior["violation"].argmax()), e.shape)
    x = explain(f, int(row), int(hour), players=5)
    assert x.values.sum() == pytest.approx(x.total - x.base, abs=1e-9)
    assert x.total == pytest.approx(local_logits(f, int(row), int(hour), None)[0], abs=1e-6)
    mute = next(k for k, c in enumerate(e.channels) if c.role == "smoke")
    assert all(mute not in p for p in x.players)


def test_information_gain_is_bounded_and_names_the_check_that_fits() -> None:
    s = space()
    p = np.full(32, 1e-6)
    p[0], p[int(np.flatnonzero(s.z_T & ~s.z_X & ~s.z_H["monitor"] & ~s.z_H["power"] & ~s.z_H["declaration"])[0])] = 0.5, 0.5
    p /= p.sum()
    entropy = -(p * np.log(p)).sum()
    assert all(0 <= information_gain(p, c.finds()) <= entropy for c in checks().values())
    assert next_check(p)[0] == "facility_visit"


def test_conflict_is_found_worded_and_jensen_is_positive() -> None:
    hours = 60
    levels = {"mark": [0] * 20 + [1] * 20 + [0] * 20, "production_power": [2] * hours}
    f = fused(evidence(levels))
    found = detect_conflicts(f)
    assert "marked_stopped_while_producing" in set(found["rule"])
    row = found[found["rule"] == "marked_stopped_while_producing"].iloc[0]
    assert row["strength"] > 0
    assert "标记停产" in row["reason_zh"]
    inside = jensen(f, 0, np.arange(20, 40), [0, 1])
    assert inside.min() > jensen(f, 0, np.arange(0, 20), [0, 1]).max()


def test_a_duty_outside_the_state_has_conflicts_of_its_own() -> None:
    e = evidence({"dust": [0] * 40, "cover": [2] * 20 + [0] * 20})
    found = detect_conflicts(fused(e), e)
    assert found["rule"].tolist() == ["dust_low_with_uncovered_pile"]
    assert found["strength"].iloc[0] > 0
    assert (found["end"].iloc[0] - found["start"].iloc[0]) == pd.Timedelta(hours=20)
    agreeing = evidence({"dust": [2] * 40, "cover": [2] * 40})
    assert len(detect_conflicts(fused(agreeing), agreeing)) == 0


def test_no_conflict_where_a_party_is_not_installed() -> None:
    assert len(detect_conflicts(fused(evidence({"mark": [1] * 40})))) == 0


def test_ordinary_hours_are_learned_and_trouble_rows_stay() -> None:
    truth = draw(60, 480, np.random.default_rng(5), channel_roles=DEFAULT_ROLES)
    e = truth.evidence
    base = expert(e)
    k = next(i for i, c in enumerate(e.channels) if c.role == "treatment_power")
    values = e.channels[k].values.copy()
    values[(values == 2) & (np.random.default_rng(0).random(values.shape) < 0.2)] = 1  # an honest habit of idling
    e = Evidence(e.enterprises, e.hours, tuple(replace(c, values=values) if i == k else c for i, c in enumerate(e.channels)))
    learned = learn_ordinary(e, base)
    on, lying = 2, 0
    assert learned.emissions[k].rows[on, 1] > 2 * base.emissions[k].rows[on, 1]
    assert np.allclose(learned.emissions[k].rows[lying], base.emissions[k].rows[lying])


def test_a_level_that_the_role_does_not_name_stays_silent_after_learning() -> None:
    """Were it learned in the ordinary rows alone, a common one would speak for innocence."""
    e = draw(60, 480, np.random.default_rng(5), channel_roles=DEFAULT_ROLES).evidence
    k = next(i for i, c in enumerate(e.channels) if c.role == "monitor_limit")
    c = e.channels[k]
    values = np.where(np.random.default_rng(1).random(c.values.shape) < 0.3, len(c.levels), c.values).astype(np.int8)
    c = replace(c, values=values, levels=(*c.levels, "marked"))
    e = Evidence(e.enterprises, e.hours, tuple(c if i == k else x for i, x in enumerate(e.channels)))
    learned = learn_ordinary(e, expert(e)).emissions[k]
    assert learned is not None
    assert np.allclose(learned.rows[:, -1], learned.rows[0, -1], rtol=0.02)
    assert not np.allclose(learned.rows, expert(e).emissions[k].rows)


def test_same_input_same_bytes(drawn) -> None:
    e = drawn.evidence
    a = fuse_with_habits(e, np.zeros(e.shape[0]), None).posterior["violation"]
    b = fuse_with_habits(e, np.zeros(e.shape[0]), None).posterior["violation"]
    assert a.tobytes() == b.tobytes()


@settings(max_examples=30, deadline=None)
@given(st.lists(st.lists(st.integers(-1, 3), min_size=3, max_size=3), min_size=1, max_size=200))
def test_patterns_are_counted_like_numpy_counts_them(rows: list[list[int]]) -> None:
    block = np.array(rows, dtype=np.int8)
    counter = PatternCounter(3)
    inverse = np.concatenate([counter.add(block[:70]), counter.add(block[70:])])
    assert (counter.rows[inverse] == block).all()
    want = {tuple(r): int(c) for r, c in zip(*np.unique(block, axis=0, return_counts=True), strict=True)}
    assert {tuple(r): int(c) for r, c in zip(counter.rows, counter.counts, strict=True)} == want


def test_patterns_grow_beyond_the_first_store() -> None:
    block = np.random.default_rng(0).integers(-1, 5, (30_000, 8)).astype(np.int8)
    counter = PatternCounter(8)
    inverse = counter.add(block)
    assert (counter.rows[inverse] == block).all()
    assert counter.counts.sum() == len(block)


def test_factors_of_findings_are_left_out_on_request(drawn) -> None:
    e = drawn.evidence
    f = fused(e)
    assert np.allclose(regime_log_like(f.factors, f.reliability.regime.state_given_regime, with_findings=False), f.log_like)
    assert len(factors(e.channels, f.patterns, f.reliability.emissions).regime) == 1


@pytest.mark.parametrize("kind", [Kind.TREATMENT_OFF, Kind.EXCEEDANCE, Kind.FABRICATION, Kind.FALSE_REPORT])
@pytest.mark.parametrize(("p", "days"), [(0.15, 1.0), (0.575, 6.0), (0.85, 1.0), (0.575, 21.0)])
def test_a_finding_alone_is_believed_as_far_as_it_says_however_long_it_is(kind: Kind, p: float, days: float) -> None:
    hours, n = 24 * 60, round(24 * days)
    names = levels()
    c = blank_channel("monitor_integrity", (1, hours))
    values = np.full((1, hours), NOT_INSTALLED, dtype=np.int8)
    class_of = int(np.searchsorted(P_EDGES, p, side="right")) - 1
    values[0, 480 : 480 + n] = 1 + class_of * len(HOURS) + int(np.abs(np.log(np.array(HOURS) / n)).argmin())
    spoken = replace(c, name=f"finding_{kind}", values=values, levels=names, role="", llr=table(kind))
    e = Evidence(np.array(["E"], dtype=object), pd.date_range("2026-01-01", periods=hours, freq="h"), (spoken,))
    f = fuse(e, Reliability([None], regime_prior(), np.zeros(1)))
    assert f.posterior[kind.value][0, 480 + n // 2] == pytest.approx(p, abs=0.06)
