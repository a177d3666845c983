"""Known parameters are drawn from, and found again: intervals cover them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from workbench.cross.collapse import ALIKE
from workbench.cross.emission import emission
from workbench.cross.fit import collapse, gate, reduce_rows
from workbench.cross.fusion import Reliability, expert, fuse
from workbench.cross.latent_class import fit_latent_class
from workbench.cross.learn import learn_ordinary, ordinary_rows
from workbench.cross.patterns import PatternCounter
from workbench.cross.reliability import fit_reliability
from workbench.cross.simulate import blank_channel, draw

ROLES = ("production_power", "treatment_power", "monitor_limit", "monitor_integrity")


def shifted_truth(rng: np.random.Generator, roles: tuple[str, ...] = ROLES, worth: float = 25.0) -> list:
    parts = [emission(blank_channel(r, (1, 1))) for r in roles]
    out = []
    for name, p in zip(roles, parts, strict=True):  # only what an unlabelled fit can learn moves: the ordinary rows
        free = ordinary_rows(p, blank_channel(name, (1, 1)).source)
        out.append(replace(p, rows=np.array([rng.dirichlet(worth * row + 0.3) if f else row for row, f in zip(p.rows, free, strict=True)])))
    return out


def test_a_refused_fit_leaves_the_expert_priors_and_says_so() -> None:
    from workbench.cross.fit import Fit

    e = draw(3, 24, np.random.default_rng(0)).evidence
    ok, reason = gate({"divergences": 40.0, "r_hat": 1.4, "ess": 11.0, "draws": 300.0})
    assert not ok
    used = Fit(ok, reason).reliability(e, None)
    assert "expert priors" in used.origin
    assert "r_hat 1.400" in used.origin
    assert np.allclose(used.emissions[0].rows, expert(e).emissions[0].rows)


def test_rare_rows_keep_their_total_weight() -> None:
    rng = np.random.default_rng(0)
    counter = PatternCounter(4)
    counter.add(rng.geometric(0.3, (60_000, 4)).clip(max=30).astype(np.int8))
    data = reduce_rows(counter, 1, 90, seed=0)
    assert len(data.weight) <= 90
    assert data.weight.sum() * 72 == pytest.approx(60_000)
    again = reduce_rows(counter, 1, 90, seed=0)
    assert (again.levels == data.levels).all()


def test_labels_and_cells_are_part_of_a_row() -> None:
    e = draw(9, 72, np.random.default_rng(0)).evidence
    seen = pd.DataFrame(
        {"enterprise_id": [e.enterprises[0]], "period_start": [e.hours[0]], "period_end": [e.hours[23]], "finding": ["violation"]}
    )
    table = pd.DataFrame({"enterprise_id": e.enterprises, "industry": list("aaaabbbbc"), "street_town": "s"})
    data = collapse(e, seen, table, rows=10_000)
    assert data.weight[data.label == 1].sum() * 72 == pytest.approx(24)
    assert data.industries == ("", "a", "b"), "one works is no industry"
    assert [data.weight[data.industry == k].sum() for k in range(3)] == pytest.approx([1, 4, 4])


def test_the_days_of_one_works_are_no_new_works() -> None:
    few, many = (collapse(draw(20, 72 * days, np.random.default_rng(0)).evidence, None, None).weight.sum() for days in (1, 60))
    assert few == pytest.approx(20)
    assert 20 * 5 < many < 20 / ALIKE


def test_regimes_are_found_again_and_calibrated() -> None:
    truth = draw(150, 1200, np.random.default_rng(8))
    e = truth.evidence
    f = fuse(e, Reliability(truth.emissions, truth.prior, np.zeros(e.shape[0])))
    from workbench.cross.states import space

    bad = space().z_violation[truth.regime]
    p = f.posterior["violation"]
    assert p[bad].mean() > 5 * p[~bad].mean()
    # the hours are drawn independently here while the layer counts three days as one word: it must err on the timid side
    top = p > 0.5
    assert bad[top].mean() > p[top].mean() - 0.1


def test_ordinary_rows_are_recovered_without_labels() -> None:
    rng = np.random.default_rng(11)
    truth = draw(120, 960, rng, channel_roles=ROLES, emissions=shifted_truth(rng, worth=6.0))
    before_, learned = expert(truth.evidence), learn_ordinary(truth.evidence, expert(truth.evidence))
    for k, c in enumerate(truth.evidence.channels):
        if c.role in {"monitor_limit", "treatment_power"}:  # low against full load hangs on one meter here: not identified
            free = ordinary_rows(truth.emissions[k], c.source)
            before, after = (np.abs(x.emissions[k].rows - truth.emissions[k].rows)[free].sum() for x in (before_, learned))
            assert after < 0.5 * before


def test_worker_tables_are_recovered() -> None:
    rng = np.random.default_rng(2)
    y = rng.integers(0, 3, 1500)
    tables = rng.dirichlet([1, 1, 1], (6, 3)) * 0.4 + 0.6 * np.eye(3)[None]
    said = np.stack([[rng.choice(3, p=tables[j, c]) for c in y] for j in range(6)], axis=1)
    model = fit_latent_class(said, 3, difficulties=1, pooling=1.0)
    assert np.abs(model.tables - tables).max() < 0.12


def test_a_detector_that_inspections_refute_is_believed_less() -> None:
    rng = np.random.default_rng(3)
    rows, seen = [], []
    for i in range(120):
        good = i % 2 == 0
        start = pd.Timestamp("2026-01-01") + pd.Timedelta(days=int(rng.integers(0, 60)))
        rows.append(
            {
                "finding_id": f"F{i}",
                "model": "m",
                "detector": "good" if good else "bad",
                "enterprise_id": f"E{i}",
                "start": start,
                "end": start + pd.Timedelta(days=2),
                "kind": "fabrication",
                "p": 0.7,
            }
        )
        true = rng.random() < (0.8 if good else 0.05)
        found = true and rng.random() < 0.75
        seen.append(
            {
                "inspection_id": f"I{i}",
                "enterprise_id": f"E{i}",
                "period_start": start - pd.Timedelta(days=5),
                "period_end": start + pd.Timedelta(days=5),
                "finding": "violation" if found else "none",
                "kinds": ["fabrication"] if found else [],
            }
        )
    trust = fit_reliability(pd.DataFrame(rows), pd.DataFrame(seen))
    believed = pd.Series(trust.believed(pd.DataFrame(rows))).groupby([r["detector"] for r in rows]).mean()
    assert believed["good"] > 0.6
    assert believed["bad"] < 0.2
    none = fit_reliability(pd.DataFrame(rows), None)
    assert none.n == 0
    assert 0.3 < none.believed(pd.DataFrame(rows))[0] < 0.5
