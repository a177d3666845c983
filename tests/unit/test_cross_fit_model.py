"""The likelihood of the fit: exactly that of the 384 states, with its gradient; the gate; draws as parameters."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from workbench.cross.collapse import FitData
from workbench.cross.emission import Emission
from workbench.cross.evidence import Evidence
from workbench.cross.fit import Fit, fit, gate
from workbench.cross.fit_model import LARGEST_SPREAD, ROWS, _state_classes, channel_layout, expected_shares, row_data, spread
from workbench.cross.learn import ordinary_rows
from workbench.cross.pictures import convergence_table
from workbench.cross.regimes import regime_prior
from workbench.cross.roles import priors
from workbench.cross.scoring import expert_emissions
from workbench.cross.simulate import blank_channel, draw_words, prior_truth
from workbench.cross.states import space

FEW = ("treatment_power", "monitor_limit", "mark")


def world(together: bool) -> tuple[Evidence, list[Emission | None], FitData]:
    rng = np.random.default_rng(2)
    channels = tuple(blank_channel(r, (1, 1), group="one" if together else "") for r in FEW)
    parts = expert_emissions(channels)
    levels = np.stack([rng.integers(-1, len(c.levels), 12) for c in channels], axis=1).astype(np.int8)
    zero = np.zeros(12, dtype=np.int64)
    data = FitData(levels, zero, zero, rng.integers(-1, 2, 12), rng.uniform(0.5, 9, 12), 12 * 72, 12, ("",), ("",))
    return Evidence(np.array(["E"], dtype=object), pd.date_range("2026-01-01", periods=1, freq="h"), channels), parts, data


@pytest.mark.parametrize("together", [False, True], ids=["each alone", "one group with its nuisance"])
def test_likelihood_is_that_of_all_384_states_and_its_gradient_is_right(together: bool) -> None:
    from workbench.cross.pattern_op import arrays, value_and_gradient

    e, parts, data = world(together)
    classes, of_class = _state_classes(e.channels, parts)
    layout, order = channel_layout(e.channels, parts, classes)
    rows = row_data(data, e.channels, parts)
    prior = regime_prior()
    mass = prior.shifted(0.0) @ prior.state_given_regime
    log_prior = np.log(np.bincount(of_class, weights=mass))[None]
    found = np.where(classes[-1] == 1, 0.7, 0.1)
    log_label = np.stack([np.zeros(len(found)), np.log1p(-found), np.log(found)])
    flat = np.concatenate([np.log(parts[k].rows).ravel() for k in order])
    inputs = [rows[n] for n in ROWS]

    def value(x: np.ndarray, p: np.ndarray, label: np.ndarray) -> float:
        return float(value_and_gradient(x, p, label, *inputs, *arrays(layout))[0])

    rho, violates = float(priors().nuisance["share"]) if together else 0.0, space().violation
    wanted = 0.0
    for i in range(len(data.weight)):
        plain, odd = np.ones(384), 1.0
        for k, part in enumerate(parts):
            if data.levels[i, k] >= 0:
                plain = plain * part.rows[part.row_of_state, data.levels[i, k]]
                odd *= part.nuisance[data.levels[i, k]]
        seen = {-1: 1.0, 0: 1 - np.where(violates, 0.7, 0.1), 1: np.where(violates, 0.7, 0.1)}[int(data.label[i])]
        wanted += data.weight[i] * np.log((mass * ((1 - rho) * plain + rho * odd) * seen).sum())
    total, *slopes = value_and_gradient(flat, log_prior, log_label, *inputs, *arrays(layout))
    assert total == pytest.approx(wanted, rel=1e-9)
    rng = np.random.default_rng(0)
    for which, (x, slope) in enumerate(zip((flat, log_prior, log_label), slopes, strict=True)):
        for at in rng.choice(x.size, 6, replace=False):
            step = np.zeros(x.size)
            step[at] = 1e-5
            up, down = (
                [v + (s * step.reshape(v.shape) if j == which else 0) for j, v in enumerate((flat, log_prior, log_label))] for s in (1, -1)
            )
            assert slope.ravel()[at] == pytest.approx((value(*up) - value(*down)) / 2e-5, rel=1e-4, abs=1e-6)


def test_rows_of_trouble_are_held_and_rare_levels_are_not_endless() -> None:
    c = blank_channel("monitor_limit", (1, 1))
    (part,) = expert_emissions((c,))
    sd, ordinary = spread(part, c.source), ordinary_rows(part, c.source)
    assert sd.max() == LARGEST_SPREAD
    assert sd[~ordinary].mean() < 0.6 * sd[ordinary].mean()


def test_the_prior_of_the_simulation_is_that_of_the_fit() -> None:
    mean, motives = expected_shares()
    got = [prior_truth(FEW, np.random.default_rng(k))[2] for k in range(300)]
    assert np.allclose(np.mean([g["logit_share"] for g in got], axis=0), mean, atol=0.2)
    assert np.allclose(np.mean([g["delta"] for g in got], axis=0), motives, atol=0.15)


def test_a_word_is_one_value_held_for_three_days() -> None:
    emissions, prior, _ = prior_truth(FEW, np.random.default_rng(0))
    d = draw_words(40, np.random.default_rng(1), channel_roles=FEW, prior=prior, emissions=emissions)
    assert d.evidence.shape == (40, 72)
    assert all((c.values == c.values[:, :1]).all() for c in d.evidence.channels)


def accepted(n: int = 80) -> tuple[Evidence, Fit]:
    emissions, prior, _ = prior_truth(FEW, np.random.default_rng(0))
    e = draw_words(6, np.random.default_rng(1), channel_roles=FEW, prior=prior, emissions=emissions).evidence
    rng, base = np.random.default_rng(3), expert_emissions(e.channels)
    draws = {"logit_share": rng.normal(-4, 0.3, (n, 5)), "delta": rng.normal(1, 0.2, (n, 3)), "u_industry": rng.normal(0, 0.3, (n, 2))}
    draws |= {
        f"theta_{c.name}": np.stack([np.array([rng.dirichlet(50 * row + 0.5) for row in p.rows]) for _ in range(n)])
        for c, p in zip(e.channels, base, strict=True)
    }
    zero = np.zeros(1, dtype=np.int64)
    data = FitData(np.zeros((1, 3), dtype=np.int8), zero, zero, zero - 1, np.ones(1), 72, 1, ("a", "b"), ("s",))
    return e, Fit(True, "ok", draws, {"ess": 400.0, "r_hat": 1.0}, data)


def test_draws_are_usable_as_parameters_and_spread_the_posterior() -> None:
    from workbench.cross.fusion import fuse

    e, fitted = accepted()
    table = pd.DataFrame({"enterprise_id": e.enterprises, "industry": list("ababab"), "street_town": "s"})
    samples = fitted.samples(e, table, 50)
    assert len(samples) == 50
    p = np.array([fuse(e, r).posterior["violation"].max(1) for r in samples[:12]])
    assert (p.std(0) > 0).all()
    middle = fuse(e, fitted.reliability(e, table)).posterior["violation"].max(1)
    assert ((p.min(0) <= middle + 0.05) & (middle <= p.max(0) + 0.05)).all()
    assert samples[0].offsets[0] != samples[0].offsets[1]


def test_a_refused_fit_gives_no_samples() -> None:
    e, _ = accepted()
    assert Fit(False, "fit refused").samples(e, None) == ()


@pytest.mark.parametrize(
    ("divergences", "r_hat", "ess", "passes"),
    [(0, 1.005, 450, True), (30, 1.0, 450, False), (0, 1.1, 450, False), (0, 1.0, 60, False)],
    ids=["all well", "divergences", "chains disagree", "few effective draws"],
)
def test_the_gate_refuses_each_sign_of_a_bad_fit(divergences: float, r_hat: float, ess: float, passes: bool) -> None:
    assert gate({"divergences": divergences, "r_hat": r_hat, "ess": ess, "draws": 2000})[0] is passes


@pytest.mark.parametrize(
    ("r_hat", "divergences", "again"),
    [(1.019, 0.0, True), (1.84, 0.0, False), (1.019, 60.0, False)],
    ids=["few effective draws", "chains apart", "divergences"],
)
def test_chains_that_are_merely_short_run_once_more_and_twice_as_long(
    r_hat: float, divergences: float, again: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    e, _, data = world(False)
    asked: list[tuple[int, int]] = []

    def run(data: FitData, *, seed: int, draws: int, tune: int, chains: int) -> Fit:
        asked.append((draws, tune))
        spent = {"divergences": divergences, "r_hat": r_hat, "ess": 0.15 * draws, "draws": 2.0 * draws, "seconds": 10.0}
        return Fit(*gate(spent), diagnostics=spent, data=data)

    run.seconds = 4.0  # type: ignore[attr-defined]
    monkeypatch.setattr("workbench.cross.fit.sampler", lambda e, data: run)
    got = fit(e, data=data, draws=700, tune=300)
    assert asked == ([(700, 300), (1400, 600)] if again else [(700, 300)])
    assert got.passed is again
    assert got.diagnostics["seconds"] == (16.0 if again else 10.0)  # compiled once


def test_the_table_says_when_nothing_was_fitted() -> None:
    assert convergence_table(None)["note"].iloc[0].startswith("expert priors")
    assert "refused" in convergence_table(Fit(False, "fit refused: r_hat 1.4"))["note"].iloc[0]


def test_predictive_checks_foresee_what_was_drawn_and_see_what_was_not() -> None:
    from dataclasses import replace

    from workbench.cross.predictive import predictive_checks
    from workbench.cross.simulate import draw

    e = draw(60, 480, np.random.default_rng(0), channel_roles=("treatment_power", "monitor_limit", "smoke")).evidence
    checks = predictive_checks(e)
    after = checks[checks["stage"] == "posterior"]
    assert set(checks["stage"]) == {"prior", "posterior"}
    assert ((after["low"] <= after["observed"]) & (after["observed"] <= after["high"])).mean() >= 0.8
    k = next(i for i, c in enumerate(e.channels) if c.role == "smoke")
    often = e.channels[k].values.copy()
    often[:, ::3] = e.channels[k].alert[0]
    strange = Evidence(e.enterprises, e.hours, tuple(replace(c, values=often) if i == k else c for i, c in enumerate(e.channels)))
    prior = predictive_checks(strange).query("stage == 'prior'").set_index("statistic").loc[e.channels[k].name]
    assert prior["observed"] > prior["high"]


def test_what_is_learned_from_is_not_muted_by_findings() -> None:
    from workbench.cross.simulate import draw
    from workbench.cross.spoken import as_spoken

    raw = draw(5, 48, np.random.default_rng(0), channel_roles=("monitor_integrity", "monitor_limit")).evidence
    spoken = as_spoken(raw, None)
    assert all(c.llr is None for c in spoken.channels)
    for c in raw.channels:
        same = next(x for x in spoken.channels if x.name == c.name)
        assert (same.values == c.values).all()
    assert len(predictive_names(spoken)) >= 2


def predictive_names(e: Evidence) -> pd.DataFrame:
    from workbench.cross.predictive import statistics

    return statistics(e)


def test_intervals_of_leads_are_drawn_from_the_fit() -> None:
    from workbench.cross.fusion import drawn
    from workbench.cross.habits import fuse_with_habits

    e, fitted = accepted()
    used = fuse_with_habits(e, np.zeros(e.shape[0]), None, fitted.reliability(e, None)).reliability
    taken = drawn(used, np.random.default_rng(0))
    name = e.channels[0].name
    assert any(np.allclose(taken.emissions[0].rows, row) for row in fitted.draws[f"theta_{name}"])
    assert taken.origin == "fitted"
