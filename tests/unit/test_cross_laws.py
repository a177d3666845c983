"""Laws of the fusion under any evidence (hypothesis): order, abstention, missing modality, monotone words, repeated hours."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from workbench.contracts import NOT_INSTALLED
from workbench.cross.evidence import Evidence
from workbench.cross.fusion import Reliability, fuse
from workbench.cross.regimes import regime_prior
from workbench.cross.scoring import expert_emissions
from workbench.cross.simulate import blank_channel

ROLES = ("production_power", "treatment_power", "monitor_limit", "monitor_integrity", "mark", "report_integrity", "smoke")
HOURS = 24


@st.composite
def any_evidence(draw: st.DrawFn) -> Evidence:
    """One enterprise, a day; each channel any run of levels, outage and not installed included; some share a group."""
    out = []
    for role in draw(st.lists(st.sampled_from(ROLES), min_size=2, max_size=5, unique=True)):
        c = blank_channel(role, (1, HOURS), group=draw(st.sampled_from(["", "shared"])))
        cuts = sorted(draw(st.lists(st.integers(0, HOURS), min_size=0, max_size=2)))
        values = np.empty(HOURS, dtype=np.int8)
        for a, b in zip([0, *cuts], [*cuts, HOURS], strict=True):
            values[a:b] = draw(st.integers(NOT_INSTALLED, len(c.levels) - 1))
        out.append(replace(c, values=values[None]))
    return Evidence(np.array(["E"], dtype=object), pd.date_range("2026-01-01", periods=HOURS, freq="h"), tuple(out))


def posterior(e: Evidence) -> dict[str, np.ndarray]:
    return fuse(e, Reliability(expert_emissions(e.channels), regime_prior(), np.zeros(1))).posterior


def same(a: dict[str, np.ndarray], b: dict[str, np.ndarray]) -> bool:
    return all(np.allclose(a[k], b[k], atol=1e-6) for k in a)


@settings(max_examples=40, deadline=None)
@given(any_evidence(), st.randoms(use_true_random=False))
def test_order_of_channels_does_not_matter(e: Evidence, random) -> None:
    order = list(e.channels)
    random.shuffle(order)
    assert same(posterior(e), posterior(replace(e, channels=tuple(order))))


@settings(max_examples=40, deadline=None)
@given(any_evidence(), st.sampled_from(ROLES))
def test_a_channel_that_abstains_changes_nothing(e: Evidence, role: str) -> None:
    mute = blank_channel(role, e.shape, name="mute", group="mute")
    assert same(posterior(e), posterior(replace(e, channels=(*e.channels, mute))))


@settings(max_examples=40, deadline=None)
@given(any_evidence(), st.data())
def test_a_missing_modality_is_as_if_it_had_never_been(e: Evidence, data: st.DataObject) -> None:
    k = data.draw(st.integers(0, len(e.channels) - 1))
    silent = tuple(replace(c, values=np.full_like(c.values, NOT_INSTALLED)) if i == k else c for i, c in enumerate(e.channels))
    without = tuple(c for i, c in enumerate(e.channels) if i != k)
    assert same(posterior(replace(e, channels=silent)), posterior(replace(e, channels=without)))


@pytest.mark.parametrize(("role", "kind"), [("monitor_integrity", "fabrication"), ("report_integrity", "false_report")])
@settings(max_examples=40, deadline=None)
@given(e=any_evidence(), start=st.integers(0, HOURS - 2), length=st.integers(1, HOURS))
def test_a_stronger_word_never_lowers_its_suspicion_whatever_else_is_said(
    role: str, kind: str, e: Evidence, start: int, length: int
) -> None:
    others = tuple(c for c in e.channels if c.role != role)
    before = 0.0
    for level in range(3):  # ordinary, suspect, strong
        c = blank_channel(role, e.shape, name="word", group="its own")
        c.values[0, start : start + length] = level
        p = posterior(replace(e, channels=(*others, c)))[kind][0, start]
        assert p >= before - 1e-7
        before = float(p)


@settings(max_examples=30, deadline=None)
@given(any_evidence())
def test_posteriors_are_proportions_and_a_violation_is_at_least_each_of_its_mechanisms(e: Evidence) -> None:
    p = posterior(e)
    assert all(((v >= 0) & (v <= 1 + 1e-6)).all() for v in p.values())
    assert all((p["violation"] >= p[k] - 1e-6).all() for k in ("treatment_off", "exceedance", "fabrication"))


@settings(max_examples=30, deadline=None)
@given(any_evidence())
def test_time_reversed_evidence_gives_the_time_reversed_posterior(e: Evidence) -> None:
    back = replace(e, channels=tuple(replace(c, values=c.values[:, ::-1].copy()) for c in e.channels))
    a, b = posterior(e), posterior(back)
    assert all(np.allclose(a[k], b[k][:, ::-1], atol=1e-5) for k in a)
