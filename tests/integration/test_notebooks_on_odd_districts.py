"""Every notebook of an iteration runs to its end on odd districts: nothing found, nothing sent, nobody inspected.

The cells run in this process, without a kernel; what they show is rendered.
"""

from __future__ import annotations

import ast
import json
import os
from pathlib import Path
from typing import Any

import matplotlib as mpl
import matplotlib.pyplot as plt
import pytest
from odd_districts import ODDITIES, District, small, write

from workbench.pipeline.experiment import load_experiment, project_root
from workbench.pipeline.step import ORDER, gather

ROOT = project_root(Path(__file__))
STEPS = load_experiment(ROOT / "experiments" / "reference" / "experiment.yml").steps
QUICK = ("ordinary", "only_registers", "only_power", "no_inspections", "nothing_arrived", "empty_tables", "one_enterprise", "no_weather")
"""Run in every test run; all of them with ``WORKBENCH_EVERY_ODDITY=1``. The models see every oddity in test_odd_districts."""
NAMES = ("ordinary", *ODDITIES) if os.environ.get("WORKBENCH_EVERY_ODDITY") else QUICK


@pytest.fixture(scope="module")
def base(tiny_catalog: Path) -> District:
    return small(tiny_catalog)


def render(shown: Any) -> None:
    """Make the HTML of a value, or its text where it has none, as a kernel would."""
    getattr(shown, "_repr_html_", shown.__repr__)()


def run_notebook(file: Path, parameters: dict[str, Any]) -> None:
    """Run the cells of a notebook; what a cell ends in is rendered, its figures are drawn. A failure names the cell."""
    names: dict[str, Any] = {"__name__": "__main__", "display": render}
    for cell in json.loads(file.read_text(encoding="utf-8"))["cells"]:
        if cell["cell_type"] != "code":
            continue
        tree = ast.parse("".join(cell["source"]))
        last = ast.Expression(tree.body.pop().value) if tree.body and isinstance(tree.body[-1], ast.Expr) else None
        try:
            exec(compile(tree, file.name, "exec"), names)
            if last is not None:
                render(eval(compile(last, file.name, "eval"), names))
            for number in plt.get_fignums():
                plt.figure(number).canvas.draw()
        except Exception as error:
            error.add_note(f"{file.name}: {''.join(cell['source'])}")
            raise
        finally:
            plt.close("all")
        if "parameters" in cell["metadata"].get("tags", []):
            names.update({k: v for k, v in parameters.items() if k in names})


def run_all(catalog: Path, steps: Path, **parameters: Any) -> None:
    """Run the notebooks of the reference experiment one after another, each into a folder of its own."""
    steps.mkdir()
    (steps / ORDER).write_text(json.dumps(STEPS), encoding="utf-8")
    with mpl.rc_context({"backend": "agg"}):
        for name in STEPS:
            (steps / name).mkdir()
            paths = {"catalog": str(catalog), "out": str(steps / name), "upstream": str(steps)}
            run_notebook(ROOT / "notebooks" / f"{name}.ipynb", {**paths, "seed": 3, **parameters})


@pytest.mark.parametrize("name", NAMES)
def test_the_notebooks_run_to_their_end(name: str, base: District, tmp_path: Path) -> None:
    catalog = write(tmp_path / "district", base if name == "ordinary" else ODDITIES[name](base))
    run_all(catalog, tmp_path / "steps", held_out=0.33)
    assert len(gather("findings", [tmp_path / "steps" / s for s in STEPS]))
    assert (tmp_path / "steps" / STEPS[-1] / "metrics.json").is_file()
