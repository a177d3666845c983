"""A tuning finds the settings that held-out decisions prefer, goes on where it was killed, and says when it proves nothing."""

from __future__ import annotations

import io
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
import yaml
from rich.console import Console

import workbench.catalog
from workbench.contracts import Metric, ParameterError, RunError
from workbench.governance import Registry
from workbench.pipeline import tuning
from workbench.pipeline.display_tuning import LiveTrials, closing_words
from workbench.pipeline.experiment import load_experiment
from workbench.pipeline.iteration import Request, iteration_id, run_iteration
from workbench.pipeline.steps import plan

sys.path.insert(0, str(Path(__file__).parent))
import pipeline_stubs as stubs

SEARCH = """
held_out: 0.3
tuning:
  objective: {metric: brier, against: inspections, direction: minimize, min_n: 5}
  search:
    second.x: {low: 0.0, high: 1.0}
    second.way: {choices: [a, b]}
"""

MEASURES = """
from pathlib import Path
from workbench.contracts import Metric
from workbench.pipeline.step import write_metrics
brier = (x - 0.3) ** 2 + (0.0 if way == "a" else 0.5)
write_metrics(Path(out) / "metrics.json", [Metric(name="brier", value=brier, low=brier - 0.05, high=brier + 0.05, n=30, method="stub",
              subject="leads", against="inspections")])
"""


@pytest.fixture(autouse=True)
def _stub_catalog(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workbench.catalog, "open_catalog", stubs.StubCatalog)


def request_in(root: Path, fields: str = SEARCH) -> Request:
    file = stubs.write_project(root, fields=fields)
    stubs.write_notebook(root / "notebooks" / "second.ipynb", MEASURES, extra='budgets = [20]\nx = 0.9\nway = "a"\n')
    return Request(load_experiment(file), file, root / "notebooks", str(root / "catalog.yml"), root / "reports", author="张三")


def faked(brier: Callable[[dict], float | None], *, n: int = 30):
    """Return a stand-in for ``run_iteration`` that measures at once, and the list of the settings that it was given."""
    asked: list[dict] = []

    def run(request: Request, observer: object = None) -> SimpleNamespace:
        given = dict(request.experiment.parameters.get("second", {}))
        asked.append(given)
        value = brier(given)
        if value is None:
            raise RunError("the notebook failed", got="x is out of range")
        metric = Metric(name="brier", value=value, low=value - 0.05, high=value + 0.05, n=n, method="stub", against="inspections")
        return SimpleNamespace(metrics=[metric], record=SimpleNamespace(iteration_id=f"stub-{len(asked)}", snapshot={"e": "1"}))

    return run, asked


def bowl(given: dict) -> float:
    return (given.get("x", 0.9) - 0.3) ** 2 + (0.0 if given.get("way", "a") == "a" else 0.5)


def test_each_trial_is_an_iteration_and_unchanged_steps_run_once(tmp_path: Path) -> None:
    wanted = request_in(tmp_path)
    study = tuning.tune(wanted, 2)
    assert [t.number for t in study.trials] == [0, 1, 2]
    assert study.stated.value == pytest.approx(0.36)
    assert Registry(wanted.reports).ids() == [], "trials do not crowd the list of iterations"
    inner = Registry(wanted.reports / tuning.FOLDER / "iterations")
    assert set(inner.ids()) == {t.iteration for t in study.trials}
    for trial in study.trials[1:]:
        record = inner.get(trial.iteration).record
        assert {s.name: s.status for s in record.steps}["first"] == "skipped"
        assert record.params["parameters"]["second"] == dict(
            zip(("x", "way"), (trial.settings["second.x"], trial.settings["second.way"]), strict=True)
        )
        assert trial.value == pytest.approx(bowl(record.params["parameters"]["second"]))


def test_the_optimum_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run, _ = faked(bowl)
    monkeypatch.setattr(tuning, "run_iteration", run)
    study = tuning.tune(request_in(tmp_path), 40)
    assert study.best.settings["second.way"] == "a"
    assert study.best.settings["second.x"] == pytest.approx(0.3, abs=0.1)
    assert study.told_apart


def test_a_killed_study_goes_on_with_the_trial_that_was_cut(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wanted = request_in(tmp_path / "cut")
    run, asked = faked(bowl)

    def killed(request: Request, observer: object = None) -> SimpleNamespace:
        done = run(request, observer)
        if len(asked) == 4:
            raise KeyboardInterrupt
        return done

    monkeypatch.setattr(tuning, "run_iteration", killed)
    with pytest.raises(KeyboardInterrupt):
        tuning.tune(wanted, 5)
    cut = asked[-1]
    again, asked_again = faked(bowl)
    monkeypatch.setattr(tuning, "run_iteration", again)
    study = tuning.tune(wanted, 5)
    assert asked_again[1] == cut, "the values as stated first, then the trial that was cut"
    assert len(asked_again) == 1 + 3
    assert [t.number for t in study.trials] == [0, 1, 2, 3, 4, 5]
    assert all(t.metric for t in study.trials)
    assert len(tuning.tune(wanted, 5).trials) == 6, "a finished study runs no further trial"


def test_a_failing_trial_is_set_aside_with_its_reason(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run, _ = faked(lambda given: None if given.get("way") == "b" else bowl(given))
    monkeypatch.setattr(tuning, "run_iteration", run)
    study = tuning.tune(request_in(tmp_path), 12)
    aside = [t for t in study.trials if t.metric is None]
    assert aside
    assert all("x is out of range" in t.reason and t.settings["second.way"] == "b" for t in aside)
    assert study.best.settings["second.way"] == "a"


def test_a_study_in_which_nothing_can_be_measured_ends_early(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run, asked = faked(lambda given: None if given else 0.2)
    monkeypatch.setattr(tuning, "run_iteration", run)
    with pytest.raises(RunError, match="none of 3 trials"):
        tuning.tune(request_in(tmp_path), 30)
    assert len(asked) == 1 + tuning.PATIENCE


def test_a_difference_inside_the_interval_is_called_no_evidence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run, _ = faked(lambda given: 0.2 + 0.001 * given.get("x", 0.5))
    monkeypatch.setattr(tuning, "run_iteration", run)
    console = Console(file=io.StringIO(), width=200)
    with LiveTrials(console, 4) as live:
        study = tuning.tune(request_in(tmp_path), 4, live)
    closing_words(study, console)
    told = console.file.getvalue()  # type: ignore[attr-defined]
    assert not study.told_apart
    assert "no evidence" in told
    assert "optimistic" in told
    assert f"--set second.x={study.best.settings['second.x']}" in told


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        pytest.param("held_out: 0.3\n", "no search space", id="no tuning block"),
        pytest.param(SEARCH.replace("held_out: 0.3", ""), "no step has seen", id="nothing held out"),
        pytest.param(SEARCH.replace("second.x", "secnd.x"), "second", id="unknown notebook, nearest named"),
        pytest.param(SEARCH.replace("metric: brier", "metric: bier"), "brier", id="unknown metric, nearest named"),
        pytest.param(SEARCH.replace("min_n: 5", "min_n: 31"), "too few held-out decisions", id="too few decisions"),
        pytest.param(SEARCH.replace("against: inspections", "against: truth (simulated)"), "inspections", id="tuned on the truth"),
        pytest.param(SEARCH.replace("low: 0.0", "low: 2.0"), "low is below high", id="range backwards"),
        pytest.param(SEARCH.replace("high: 1.0", "high: 1.0, log: true"), "log needs low above 0", id="logarithm of zero"),
        pytest.param(SEARCH.replace("[a, b]", "[a]"), "choices", id="no choice"),
        pytest.param(SEARCH.replace("choices: [a, b]", "choice: [a, b]"), "choice", id="misspelt"),
    ],
)
def test_what_cannot_be_tuned_honestly_is_refused(fields: str, words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run, _ = faked(bowl)
    monkeypatch.setattr(tuning, "run_iteration", run)
    with pytest.raises(ParameterError) as caught:
        tuning.tune(request_in(tmp_path, fields), 3)
    assert words in str(caught.value)


def test_other_data_or_another_search_space_never_share_a_study(tmp_path: Path) -> None:
    experiment = request_in(tmp_path).experiment
    other = yaml.safe_load(SEARCH)
    other["tuning"]["search"]["second.x"]["high"] = 2.0
    wider = type(experiment).model_validate({**experiment.model_dump(), **other})
    names = {
        tuning.study_name(experiment, {"e": "1"}),
        tuning.study_name(experiment, {"e": "2"}),
        tuning.study_name(wider, {"e": "1"}),
    }
    assert len(names) == 3


def test_a_search_space_changes_no_iteration(tmp_path: Path) -> None:
    wanted = request_in(tmp_path)
    planned = plan(wanted.experiment, wanted.notebooks, wanted.file.parent)
    plain = wanted.experiment.model_copy(update={"tuning": None})
    assert iteration_id(wanted.experiment, planned, {}) == iteration_id(plain, planned, {})
    outcome = run_iteration(replace(wanted, experiment=plain))
    assert run_iteration(replace(wanted, resume=True)).record.iteration_id == outcome.record.iteration_id
