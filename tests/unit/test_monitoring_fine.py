"""The rehearsal at full rate: what is kept of the readings, what edits do, and when the learned score may speak."""

from __future__ import annotations

from importlib.resources import files

import numpy as np
import pytest

from tests.unit import monitoring_world
from tests.unit.monitoring_world import DAYS, PER_DAY, honest
from workbench.contracts import load_rules
from workbench.models import load
from workbench.models.monitoring import fine_score
from workbench.models.monitoring.analysis import Analysis, analyse
from workbench.models.monitoring.candidates import load_scoring
from workbench.models.monitoring.features import build
from workbench.models.monitoring.fine_rehearsal import EDITS, FROZEN, frozen, rehearse_fine
from workbench.models.monitoring.inputs import read_inputs
from workbench.models.monitoring.rehearsal import Plan, load_plan
from workbench.models.monitoring.scoring import base_terms, by_fine_rehearsal, fit_scorer

RULES = load_rules(files("workbench.models.monitoring").joinpath("params.yml"))


def short_plan() -> Plan:
    plan = load_plan()
    less = {"fewest_days": 30.0, "fewest_examples": 10.0, "every_days": 8.0}
    return plan.model_copy(update={k: getattr(plan, k).model_copy(update={"value": v}) for k, v in less.items()})


@pytest.fixture(scope="module")
def history() -> Analysis:
    world = honest(plants=6)
    return analyse(build(read_inputs(world, world.period)), RULES)


def test_readings_of_whole_places_are_kept_as_they_are(history: Analysis) -> None:
    data = history.panel.data
    world = honest(plants=6)
    assert data.sizes["raw"] > 0
    for point, kept in zip(data["raw_point"].to_numpy().astype(object), data["raw_value"].to_numpy(), strict=True):
        np.testing.assert_array_equal(kept, world.values[point].astype(np.float32))
    outlets = {str(p).rsplit("-", 1)[0] for p in data["raw_point"].to_numpy()}
    pollutants = {f"{o}-{f}" for o in outlets for f in (("a21026", "a21002", "a34013") if "DA" in o else ("w01018", "w21003"))}
    assert pollutants == set(data["raw_point"].to_numpy().astype(object))


def test_the_sample_is_bounded_and_spread(monkeypatch: pytest.MonkeyPatch) -> None:
    from workbench.models.monitoring import fine

    monkeypatch.setattr(fine, "PLACES", 2)
    monkeypatch.setattr(fine, "BLOCKS", 1)
    world = honest(plants=6)
    data = build(read_inputs(world, world.period))
    outlets = {str(p).rsplit("-", 1)[0] for p in data["raw_point"].to_numpy()}
    assert outlets == {"E0-DA1", "E5-DA1", "E0-DW1", "E5-DW1"}


def test_every_edit_at_full_rate_is_one_of_the_plan() -> None:
    assert set(EDITS) == set(load_plan().edits)


def test_rounds_follow_from_the_seed_and_change_the_edited_rows_only(history: Analysis) -> None:
    first = next(iter(rehearse_fine(history.panel, short_plan(), 3) or []))
    again = next(iter(rehearse_fine(history.panel, short_plan(), 3) or []))
    other = next(iter(rehearse_fine(history.panel, short_plan(), 4) or []))
    assert first.edits.equals(again.edits)
    assert not first.edits.equals(other.edits)
    assert set(first.edits["kind"]) <= {*EDITS, FROZEN}
    np.testing.assert_array_equal(first.panel.day("mean"), again.panel.day("mean"))
    plain = history.panel.data.sel(point=first.panel.data["point"].to_numpy())
    same = np.ones(first.panel.shape[0], dtype=bool)
    same[np.unique(first.edits["row"])] = False
    np.testing.assert_array_equal(first.panel.day("mean")[same], plain["mean"].to_numpy()[same])
    row, a, b = first.edits[["row", "first", "last"]].iloc[0]
    assert not np.array_equal(first.panel.hour("hour_mean")[row, a:b], plain["hour_mean"].to_numpy()[row, a:b])


def test_a_frozen_reading_is_the_last_one_before() -> None:
    x = np.arange(500.0)
    assert set(frozen(x, 200, 240, PER_DAY, np.random.default_rng(0))) == {199.0}


def test_the_learned_score_knows_edits_from_frozen_readings_and_its_terms_sum(history: Analysis) -> None:
    scoring = load_scoring()
    y = np.full(len(history.candidates), np.nan)
    examples = fine_score.fine_examples(history, RULES, scoring, 5, short_plan())
    assert examples is not None
    c, edited, kind, _, _ = examples
    made, said = fine_score.fine_score(history, y, RULES, scoring, 5, short_plan())
    assert made is not None, said
    assert "too few to check" in said
    held, stuck = (made.log_odds(c[(kind == k) & (c["family"] == "plateau")]) for k in ("held", FROZEN))
    assert np.mean(held[:, None] > stuck[None]) > 0.8
    scorer = fit_scorer(c, np.full(len(c), np.nan), np.array(["E"] * len(c), dtype=object), scoring, 1, None, made)
    np.testing.assert_allclose(scorer.terms(c).sum(axis=1), scorer.log_odds(c))
    pooled, stated = base_terms(c, scoring, None, made).sum(axis=1), base_terms(c, scoring, None).sum(axis=1)
    assert by_fine_rehearsal(c, scoring).all()
    assert pooled[edited == 1].mean() - pooled[edited == 0].mean() > 0
    assert not np.allclose(pooled, stated)


def test_where_inspections_contradict_it_the_stated_weights_stay(history: Analysis, monkeypatch: pytest.MonkeyPatch) -> None:
    scoring = load_scoring()
    examples = fine_score.fine_examples(history, RULES, scoring, 5, short_plan())
    assert examples is not None
    c = examples[0]
    made, _ = fine_score.fine_score(history, np.full(len(history.candidates), np.nan), RULES, scoring, 5, short_plan())
    assert made is not None
    gain = (base_terms(c, scoring, None, made) - base_terms(c, scoring, None)).sum(axis=1).to_numpy()
    # inspections that confirm just what the learned score thinks less of
    labelled = Analysis(history.source, history.panel, history.verdicts, c)
    monkeypatch.setattr(fine_score, "fine_examples", lambda *_: examples)
    owners = np.array([f"E{i % 30}" for i in range(len(c))], dtype=object)
    monkeypatch.setattr(Analysis, "owners", lambda *_: owners)
    for sign, used in ((-1.0, False), (1.0, True)):
        y = (sign * gain > np.median(sign * gain)).astype(float)
        got, said = fine_score.fine_score(labelled, y, RULES, scoring, 5, short_plan())
        assert (got is not None) is used, said


def test_a_short_history_and_hourly_points_keep_the_stated_weights() -> None:
    world = honest()
    model = load("monitoring")
    fitted = model.fit(model.features(world, world.period), world.labels(), seed=1)
    assert load_plan().fewest_days.value > DAYS
    assert fitted.scorer.fine is None
    assert monitoring_world.PER_DAY == PER_DAY
