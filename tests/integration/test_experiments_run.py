"""The project's own experiments run: every notebook, on a tiny district, with decisions kept from every step."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest
from odd_districts import small, write

from workbench.catalog import open_catalog
from workbench.pipeline.experiment import list_experiments, load_experiment, project_root
from workbench.pipeline.iteration import Outcome, run_iteration
from workbench.pipeline.request import request

ROOT = project_root(Path(__file__))


@pytest.fixture(scope="module")
def catalog(tiny_catalog: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write(tmp_path_factory.mktemp("district") / "district", small(tiny_catalog))


@pytest.fixture(scope="module")
def backtest(catalog: Path, tmp_path_factory: pytest.TempPathFactory) -> Outcome:
    return run_iteration(request("backtest", catalog=str(catalog), out=tmp_path_factory.mktemp("reports"), author="张三"))


def test_every_step_of_a_backtest_is_done(backtest: Outcome) -> None:
    experiment = load_experiment(ROOT / "experiments" / "backtest" / "experiment.yml")
    assert {s.name: s.status for s in backtest.record.steps} == dict.fromkeys([*experiment.steps, "report"], "done")
    assert all((backtest.folder / f"{s}.html").stat().st_size > 1000 for s in experiment.steps)


def test_a_backtest_is_judged_on_decisions_that_no_step_has_seen(backtest: Outcome, catalog: Path) -> None:
    against = [m for m in backtest.metrics if m.against == "inspections"]
    assert against
    assert not any("may have been seen in fitting" in m.note for m in against)
    decided = open_catalog(catalog).labels().sort_values("decided_on")
    late = decided[decided["decided_on"] >= decided["decided_on"].iloc[-max(1, round(0.33 * len(decided)))]]
    precision = [m for m in against if m.name.startswith("precision@")]
    assert precision
    assert all(m.n <= late["enterprise_id"].nunique() for m in precision)
    assert len(pd.read_parquet(backtest.folder / "findings.parquet"))


def test_every_experiment_names_notebooks_that_exist() -> None:
    for name in list_experiments(ROOT):
        for step in load_experiment(ROOT / "experiments" / name / "experiment.yml").steps:
            assert (ROOT / "notebooks" / f"{step}.ipynb").is_file()
