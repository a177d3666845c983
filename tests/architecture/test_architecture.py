"""The rules of the house, kept by reading the code."""

from __future__ import annotations

import ast
import json
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "workbench"
MODULES = sorted(p for p in PACKAGE.rglob("*.py"))
MIDDLE = ("catalog", "district", "models", "cross", "scenarios", "discretion", "casework", "evaluation", "governance")
RANK = {"contracts": 0, **dict.fromkeys(MIDDLE, 1), "pipeline": 2, "apps": 3, "cli": 3}


def _imports(path: Path) -> list[tuple[str, int]]:
    found = []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found += [(a.name, node.lineno) for a in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            found.append((node.module, node.lineno))
            found += [(f"{node.module}.{a.name}", node.lineno) for a in node.names]
        elif isinstance(node, ast.ImportFrom) and node.level:
            found.append(("." * node.level, node.lineno))
    return found


def _part(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def _parts_imported(path: Path) -> set[tuple[str, int]]:
    words = [(name.split("."), line) for name, line in _imports(path) if name.startswith("workbench.")]
    return {(w[1], line) for w, line in words if w[1] in RANK}


@pytest.mark.parametrize("path", MODULES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_imports_point_one_way(path: Path) -> None:
    part = _part(path)
    if part in ("__init__", "__main__"):
        return
    assert part in RANK, f"{path}: not a part of the house"
    wrong = {
        (other, line)
        for other, line in _parts_imported(path)
        if other != part and (RANK[other] > RANK[part] or (RANK[other] == RANK[part] == 1))
    }
    assert not wrong, f"{path.name} imports {sorted(wrong)}"


def test_models_do_not_import_one_another() -> None:
    wrong = []
    for path in (PACKAGE / "models").rglob("*.py"):
        own = path.relative_to(PACKAGE / "models").parts[0]
        for name, line in _imports(path):
            words = name.split(".")
            if words[:2] == ["workbench", "models"] and len(words) > 2 and words[2] != own and (PACKAGE / "models" / words[2]).is_dir():
                wrong.append(f"{path.name}:{line} {name}")
    assert not wrong


def test_relative_imports_are_not_used() -> None:
    assert not [f"{p}:{line}" for p in MODULES for name, line in _imports(p) if name.startswith(".")]


def test_only_the_catalog_imports_intake() -> None:
    users = {_part(p) for p in MODULES for name, _ in _imports(p) if name.split(".")[0] == "intake"}
    assert users <= {"catalog"}


def test_truth_is_read_by_evaluation_only() -> None:
    """No model, no fusion and no notebook opens the truth of a simulated district; only its writer names the file."""
    readers = {
        str(p.relative_to(ROOT))
        for p in [*MODULES, *(ROOT / "notebooks").glob("*.ipynb")]
        if re.search(r"truth\.parquet", p.read_text(encoding="utf-8")) and _part_or_notebook(p) not in ("evaluation", "district")
    }
    allowed = {p for p in readers if p.startswith("workbench/pipeline/")}  # hands the path on to evaluation, reads nothing
    assert readers <= allowed
    for name in allowed:
        assert "read_parquet" not in (ROOT / name).read_text(encoding="utf-8"), f"{name} reads a table and names the truth file"


def _part_or_notebook(path: Path) -> str:
    return _part(path) if path.is_relative_to(PACKAGE) else "notebooks"


def test_no_module_called_utils_and_no_long_module() -> None:
    assert not [p for p in MODULES if p.stem in ("utils", "util", "helpers", "common", "misc")]
    long = {str(p.relative_to(ROOT)): n for p in MODULES if (n := p.read_text(encoding="utf-8").count("\n")) > 400}
    assert not long, "a module over 400 lines does two jobs"


@pytest.mark.parametrize("path", MODULES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_no_assert_pickle_global_seed_or_stub(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    tree = ast.parse(text)
    assert not [n.lineno for n in ast.walk(tree) if isinstance(n, ast.Assert)], "assert is no validation"
    assert not re.search(r"raise NotImplementedError|\bTODO\b|\bFIXME\b", text)
    names = {name.split(".")[0] for name, _ in _imports(path)}
    assert not names & {"pickle", "dill", "cloudpickle", "joblib", "shelve"}
    assert not re.search(r"np\.random\.(seed|rand|randn|normal|uniform|choice|shuffle)\b|allow_pickle=True", text)


def test_importing_the_package_loads_nothing_heavy() -> None:
    code = "import sys, workbench; print([m for m in ('pandas','intake','pymc','panel','shap','dask','lightgbm') if m in sys.modules])"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT).stdout
    assert out.strip() == "[]"


def _direct(project: dict[str, list[str]]) -> set[str]:
    return {re.split(r"[\[<>=!~ ]", d)[0].lower() for d in project["dependencies"]}


def test_lock_environment_and_project_agree() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    lock = (ROOT / "requirements.lock").read_text(encoding="utf-8")
    versions = dict(re.findall(r"^([a-z0-9][a-z0-9._-]*)==(\S+)", lock, flags=re.MULTILINE))
    conda = yaml.safe_load((ROOT / "environment.yml").read_text(encoding="utf-8"))
    rows = next(d["pip"] for d in conda["dependencies"] if isinstance(d, dict))
    door = {re.split(r"[\[=]", r)[0]: r.rpartition("==")[2] for r in rows if "==" in r}
    assert set(door) == _direct(project)
    assert {n: versions[n] for n in door} == door
    assert "://" not in lock, "the lock names no index address"
    blocks = re.split(r"^(?=[a-z0-9])", lock, flags=re.MULTILINE)
    assert all("--hash=sha256:" in b for b in blocks if b.strip() and not b.startswith(("#", "--")))


def test_every_locked_direct_dependency_is_in_its_range() -> None:
    from packaging.requirements import Requirement

    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    lock = (ROOT / "requirements.lock").read_text(encoding="utf-8")
    versions = dict(re.findall(r"^([a-z0-9][a-z0-9._-]*)==(\S+)", lock, flags=re.MULTILINE))
    groups = project["optional-dependencies"]
    wanted = [Requirement(d) for d in [*project["dependencies"], *groups["test"], *groups["bench"]]]
    assert not [str(r) for r in wanted if not r.specifier.contains(versions[r.name], prereleases=True)]


@pytest.mark.parametrize("path", sorted((ROOT / "notebooks").glob("*.ipynb")), ids=lambda p: p.stem)
def test_notebooks_are_thin(path: Path) -> None:
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    code = [c for c in cells if c["cell_type"] == "code"]
    lines = [line for c in code for line in "".join(c["source"]).splitlines() if line.strip()]
    assert len(lines) <= 150
    assert not [line for line in lines if re.match(r"\s*(def|class) ", line)]
    assert not [c for c in code if c["outputs"] or c["execution_count"]]
    assert sum("parameters" in c["metadata"].get("tags", []) for c in cells) == 1
