"""Experiments and settings: what is read, what is refused, and with which hint."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workbench.contracts import ParameterError
from workbench.pipeline.experiment import (
    apply_settings,
    find_experiment,
    list_experiments,
    load_experiment,
    parse_value,
    project_root,
    step_name,
)
from workbench.pipeline.steps import plan

ROOT = Path(__file__).resolve().parents[2]
TEXT = "name: e\ntitle: {zh: 一, en: one}\nhypothesis: {zh: 二, en: two}\ncatalog: c.yml\nsteps: [10_monitoring, 90_iteration]\n"


@pytest.fixture
def experiment(tmp_path: Path):
    file = tmp_path / "experiment.yml"
    file.write_text(TEXT, encoding="utf-8")
    return load_experiment(file)


@pytest.mark.parametrize("name", list_experiments(ROOT))
def test_every_experiment_of_the_project_reads_and_fits_its_notebooks(name: str) -> None:
    file = find_experiment(name, ROOT)
    experiment = load_experiment(file)
    assert experiment.name == name
    assert (file.parent / "README.md").is_file()
    assert [s.name for s in plan(experiment, ROOT / "notebooks", file.parent)] == [step_name(s) for s in experiment.steps]


def test_the_default_experiment_is_there() -> None:
    assert "reference" in list_experiments(project_root(ROOT / "notebooks"))


@pytest.mark.parametrize(
    ("setting", "read"),
    [
        ("seed=3", lambda e: e.seed == 3),
        ("budgets=[20,70]", lambda e: e.budgets == [20, 70]),
        ("period=2026-01-01/2026-02-01", lambda e: e.period == "2026-01-01/2026-02-01"),
        (
            "10_monitoring.overrides.constant_value.p_max=1e-9",
            lambda e: e.parameters["10_monitoring"]["overrides"] == {"constant_value.p_max": 1e-9},
        ),
        ("10_monitoring.shown=2", lambda e: e.parameters["10_monitoring"]["shown"] == 2),
        ("steps=[90_iteration]", lambda e: e.steps == ["90_iteration"]),
    ],
)
def test_settings_are_applied(experiment, setting: str, read) -> None:
    assert read(apply_settings(experiment, [setting]))
    assert experiment.seed == 0, "the experiment itself is not changed"


def test_two_overrides_of_one_notebook_are_both_kept(experiment) -> None:
    both = apply_settings(experiment, ["10_monitoring.overrides.a.x=1", "10_monitoring.overrides.b.y=2"])
    assert both.parameters["10_monitoring"]["overrides"] == {"a.x": 1, "b.y": 2}


@pytest.mark.parametrize(
    ("setting", "words"),
    [
        pytest.param("seeed=3", "seed", id="unknown field, nearest named"),
        pytest.param("10_monitorin.shown=3", "10_monitoring", id="unknown notebook, nearest named"),
        pytest.param("seed", "key=value", id="no value"),
        pytest.param("seed=-1", "seed", id="out of range"),
        pytest.param("budgets=[70,20]", "rising", id="budgets not rising"),
        pytest.param("budgets=[]", "budgets", id="no budget"),
        pytest.param("held_out=1.5", "held_out", id="share over one"),
        pytest.param("period=2026-02-01/2026-01-01", "period", id="period backwards"),
        pytest.param("10_monitoring.seed=3", "fills", id="a parameter that the pipeline fills"),
        pytest.param("10_monitoring.out=x", "fills", id="the output folder"),
        pytest.param("name=other", "unknown setting", id="the name cannot be set"),
        pytest.param("steps=[]", "steps", id="no step"),
        pytest.param("steps=[90_iteration,90_iteration]", "once", id="a step twice"),
    ],
)
def test_bad_settings_are_refused(experiment, setting: str, words: str) -> None:
    with pytest.raises(ParameterError) as caught:
        apply_settings(experiment, [setting])
    assert words in str(caught.value)


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("[1, 2", id="no YAML"),
        pytest.param("- 1", id="a list"),
        pytest.param(TEXT + "modles: 3\n", id="unknown field"),
        pytest.param(TEXT.replace("catalog: c.yml\n", ""), id="no catalog"),
        pytest.param(TEXT + "gates: [{name: g, metric: m}]\n", id="a gate that asks nothing"),
        pytest.param(TEXT + "parameters: {20_video: {}}\n", id="parameters of a step that is not run"),
    ],
)
def test_bad_files_are_refused_with_their_place(tmp_path: Path, text: str) -> None:
    file = tmp_path / "experiment.yml"
    file.write_text(text, encoding="utf-8")
    with pytest.raises(ParameterError) as caught:
        load_experiment(file)
    assert str(file) in str(caught.value.where)


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_numbers_are_read_as_written(x: float) -> None:
    assert parse_value(repr(x)) == x


@given(st.integers())
def test_whole_numbers_stay_whole(n: int) -> None:
    assert parse_value(str(n)) == n
    assert isinstance(parse_value(str(n)), int)


def test_outside_a_project_the_error_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(ParameterError) as caught:
        find_experiment("refrence", ROOT)
    assert "reference" in str(caught.value.next_step)
