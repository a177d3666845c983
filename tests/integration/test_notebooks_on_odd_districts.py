"""Every notebook of an iteration runs to its end on odd districts: nothing found, nothing sent, nobody inspected.

The cells run in this process, one shell per notebook, with all that they display formatted as a kernel would.
"""

from __future__ import annotations

import json
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
"""Run in every test run; the others with ``-m slow``."""


@pytest.fixture(scope="module")
def base(tiny_catalog: Path) -> District:
    return small(tiny_catalog)


def run_notebook(file: Path, parameters: dict[str, Any]) -> None:
    """Run the cells of a notebook; raise what a cell raises, with the cell in a note."""
    from IPython.core.interactiveshell import InteractiveShell

    shell = InteractiveShell()
    for cell in json.loads(file.read_text(encoding="utf-8"))["cells"]:
        if cell["cell_type"] != "code":
            continue
        done = shell.run_cell("".join(cell["source"]), store_history=False)
        if (error := done.error_before_exec or done.error_in_exec) is not None:
            error.add_note(f"{file.name}: {''.join(cell['source'])}")
            raise error
        if "parameters" in cell["metadata"].get("tags", []):
            shell.user_ns.update({k: v for k, v in parameters.items() if k in shell.user_ns})


def run_all(catalog: Path, steps: Path, **parameters: Any) -> None:
    """Run the notebooks of the reference experiment one after another, each into a folder of its own."""
    steps.mkdir()
    (steps / ORDER).write_text(json.dumps(STEPS), encoding="utf-8")
    with mpl.rc_context({"backend": "agg"}):
        for name in STEPS:
            (steps / name).mkdir()
            paths = {"catalog": str(catalog), "out": str(steps / name), "upstream": str(steps)}
            run_notebook(ROOT / "notebooks" / f"{name}.ipynb", {**paths, "seed": 3, **parameters})
            plt.close("all")


@pytest.mark.parametrize("name", [*QUICK, *(pytest.param(n, marks=pytest.mark.slow) for n in ODDITIES if n not in QUICK)])
def test_the_notebooks_run_to_their_end(name: str, base: District, tmp_path: Path) -> None:
    catalog = write(tmp_path / "district", base if name == "ordinary" else ODDITIES[name](base))
    run_all(catalog, tmp_path / "steps", held_out=0.33)
    assert len(gather("findings", [tmp_path / "steps" / s for s in STEPS]))
    assert (tmp_path / "steps" / STEPS[-1] / "metrics.json").is_file()
