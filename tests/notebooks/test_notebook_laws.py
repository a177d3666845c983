"""Notebooks stay thin: at most 150 code lines, no def, no stored outputs, one parameters cell with what a step needs."""

from __future__ import annotations

import ast
import json
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
STEP_PARAMETERS = {"catalog", "period", "out", "upstream", "seed"}

every_notebook = pytest.mark.parametrize("file", NOTEBOOKS, ids=[f.stem for f in NOTEBOOKS])


def cells(file: Path, kind: str = "code") -> list[dict]:
    return [c for c in json.loads(file.read_text(encoding="utf-8"))["cells"] if c["cell_type"] == kind]


def source(cell: dict) -> str:
    return "".join(cell["source"])


def tree(cell: dict) -> ast.Module:
    lines = [line for line in source(cell).splitlines() if not line.lstrip().startswith(("%", "!"))]
    return ast.parse("\n".join(lines))


def parameters(file: Path) -> list[dict]:
    return [c for c in cells(file) if "parameters" in c["metadata"].get("tags", [])]


def test_there_are_notebooks() -> None:
    assert {"10_monitoring", "50_cross_model", "90_iteration"} <= {f.stem for f in NOTEBOOKS}


@every_notebook
def test_at_most_150_code_lines(file: Path) -> None:
    lines = [line for c in cells(file) for line in source(c).splitlines() if line.strip() and not line.lstrip().startswith("#")]
    assert len(lines) <= 150


@every_notebook
def test_no_function_or_class_is_defined(file: Path) -> None:
    defined = [n for c in cells(file) for n in ast.walk(tree(c)) if isinstance(n, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef))]
    assert not defined


@every_notebook
def test_no_output_is_stored(file: Path) -> None:
    assert not [c for c in cells(file) if c.get("outputs") or c.get("execution_count")]


@every_notebook
def test_one_parameters_cell_with_what_every_step_needs(file: Path) -> None:
    (cell,) = parameters(file)
    names = {t.id for n in tree(cell).body if isinstance(n, ast.Assign) for t in n.targets if isinstance(t, ast.Name)}
    assert names >= STEP_PARAMETERS
    assert all(isinstance(n, ast.Assign) for n in tree(cell).body), "defaults only"


@every_notebook
def test_no_path_of_a_machine_and_no_global_seed(file: Path) -> None:
    text = file.read_text(encoding="utf-8")
    for word in ("/home/", "/tmp/", "/root/", "np.random.seed", "C:\\\\"):
        assert word not in text, word


@every_notebook
def test_it_begins_with_words_in_both_languages(file: Path) -> None:
    first = json.loads(file.read_text(encoding="utf-8"))["cells"][0]
    text = source(first)
    assert first["cell_type"] == "markdown"
    assert any("一" <= ch <= "鿿" for ch in text)
    assert sum(ch.isascii() and ch.isalpha() for ch in text) > 20


@every_notebook
def test_the_kernel_is_the_interpreter_that_runs_it(file: Path) -> None:
    assert json.loads(file.read_text(encoding="utf-8"))["metadata"]["kernelspec"]["name"] == "python3"


@every_notebook
def test_a_parameter_that_is_declared_has_an_effect(file: Path) -> None:
    """A setting that a notebook takes and does not use would be ignored in silence; overrides act through a model only."""
    (cell,) = parameters(file)
    names = {t.id for n in tree(cell).body if isinstance(n, ast.Assign) for t in n.targets if isinstance(t, ast.Name)}
    rest = [c for c in cells(file) if c is not cell and "parameters" not in c["metadata"].get("tags", [])]
    used = {n.id for c in rest for n in ast.walk(tree(c)) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Load)}
    assert names <= used
    asked = {n.attr for c in rest for n in ast.walk(tree(c)) if isinstance(n, ast.Attribute)}
    assert "overrides" not in names or "overrides" in asked, "overrides are read, not only handed to the step"
