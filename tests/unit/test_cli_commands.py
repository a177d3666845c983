"""The command line: quick help with examples for every command, plain errors, honest exit codes."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path

import click
import pytest
import typer

from workbench import cli

ROOT = Path(__file__).resolve().parents[2]


def commands(group: click.Group, path: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
    found = []
    for name, command in group.commands.items():
        found += commands(command, (*path, name)) if hasattr(command, "commands") else [(*path, name)]
    return found


ALL = commands(typer.main.get_command(cli.app))


def call(*arguments: str, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-m", "workbench.cli", *arguments], capture_output=True, text=True, cwd=cwd or ROOT, check=False)


def run_main(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as left:
        cli.main(list(arguments))
    told = capsys.readouterr()
    return int(left.value.code or 0), told.out, told.err


@pytest.fixture(autouse=True)
def _plain_consoles(monkeypatch: pytest.MonkeyPatch) -> None:
    from rich.console import Console

    class Late:
        """A console bound to the stream of the moment, so that capsys sees it."""

        def __init__(self, stderr: bool) -> None:
            self.stderr = stderr

        def __getattr__(self, name: str):
            return getattr(Console(stderr=self.stderr, width=200), name)

    monkeypatch.setattr(cli, "out", Late(False))
    monkeypatch.setattr(cli, "err", Late(True))


def test_every_command_of_the_design_is_there() -> None:
    wanted = {"run", "serve", "generate", "check", "promote", "runs", "models", "bench"}
    assert wanted <= {c[0] for c in ALL if len(c) == 1}
    assert {("ingest", "hj212"), ("listen", "hj212"), ("audit", "verify")} <= set(ALL)


@pytest.mark.parametrize("path", ALL, ids=" ".join)
def test_help_has_examples(path: tuple[str, ...], capsys) -> None:
    code, out, _ = run_main(capsys, *path, "--help")
    assert code == cli.OK
    assert "examples" in out
    assert f"workbench {' '.join(path)}" in out


def test_help_is_quick() -> None:
    call("--help")  # warm the disk cache
    best = 9.0
    for _ in range(3):
        started = time.perf_counter()
        assert call("--help").returncode == cli.OK
        best = min(best, time.perf_counter() - started)
    assert best < 1.0


def test_help_imports_nothing_heavy() -> None:
    code = "import sys, workbench.cli; print(sorted({m.split('.')[0] for m in sys.modules}))"
    there = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT).stdout
    for heavy in ("pandas", "numpy", "xarray", "dask", "lightgbm", "pymc", "panel", "papermill", "matplotlib"):
        assert f"'{heavy}'" not in there, heavy


def test_an_error_says_what_got_allowed_next_without_traceback(capsys, monkeypatch) -> None:
    monkeypatch.chdir(ROOT)
    code, _, err = run_main(capsys, "run", "--set", "sede=3", "refrence")
    assert code == cli.USAGE
    assert "unknown experiment" in err
    assert "refrence" in err
    assert "did you mean 'reference'?" in err
    assert "Traceback" not in err


def test_debug_raises_the_error_itself(monkeypatch) -> None:
    from workbench.contracts import ParameterError

    monkeypatch.chdir(ROOT)
    with pytest.raises(ParameterError):
        cli.main(["run", "refrence", "--debug"])


@pytest.mark.parametrize("arguments", [("rum",), ("run", "--catalogue", "x"), ("generate",), ("serve", "--port", "0")])
def test_usage_errors_exit_with_2(capsys, arguments) -> None:
    code, _, err = run_main(capsys, *arguments)
    assert code == cli.USAGE
    assert err.strip()


def test_a_missing_catalog_is_named(capsys, monkeypatch) -> None:
    monkeypatch.chdir(ROOT)
    code, _, err = run_main(capsys, "run", "--catalog", "nowhere.yml")
    assert code == cli.USAGE
    assert "nowhere.yml" in err


def test_an_address_without_scheme_is_refused(capsys, monkeypatch) -> None:
    monkeypatch.chdir(ROOT)
    code, _, err = run_main(capsys, "run", "--scheduler", "localhost:8786")
    assert code == cli.USAGE
    assert "tcp://HOST:PORT" in err


def test_models_are_listed_by_card(capsys) -> None:
    from workbench import models

    code, out, _ = run_main(capsys, "models")
    assert code == cli.OK
    for name in models.available():
        assert name in out


def test_runs_of_an_empty_folder(capsys, tmp_path: Path) -> None:
    code, out, _ = run_main(capsys, "runs", "--reports", str(tmp_path))
    assert code == cli.OK
    assert "no iteration" in out


def test_audit_verify_names_the_changed_line_and_fails(capsys, tmp_path: Path) -> None:
    from workbench.governance import AuditLog

    log = AuditLog(tmp_path / "audit.jsonl")
    for i in range(3):
        log.append("run", actor="张三", subject=f"r{i}")
    code, out, _ = run_main(capsys, "audit", "verify", "--reports", str(tmp_path))
    assert (code, "3 events" in out) == (cli.OK, True)
    lines = log.file.read_text(encoding="utf-8").splitlines()
    changed = json.loads(lines[1]) | {"actor": "李四"}
    log.file.write_text("\n".join([lines[0], json.dumps(changed), lines[2]]) + "\n", encoding="utf-8")
    code, _, err = run_main(capsys, "audit", "verify", "--reports", str(tmp_path))
    assert code == cli.FAILURE
    assert "line 2" in err


def test_bench_runs_scripts_and_writes_results(tmp_path: Path) -> None:
    from workbench.pipeline.bench import run_benchmarks

    for folder in ("experiments", "notebooks", "benchmarks"):
        (tmp_path / folder).mkdir()
    good = {
        "name": "copy",
        "value": 3.5,
        "unit": "GB/s",
        "low": 3.0,
        "high": 4.0,
        "n": 5,
        "peers": {"duckdb": 1.0},
        "ratios": {"duckdb": 3.5},
    }
    (tmp_path / "benchmarks" / "copy_speed.py").write_text(f"print('noise')\nprint({json.dumps(json.dumps(good))})\n", encoding="utf-8")
    told: list[str] = []
    assert run_benchmarks([], quick=False, say=told.append, root=tmp_path) == []
    page = (tmp_path / "benchmarks" / "RESULTS.md").read_text(encoding="utf-8")
    assert "| copy | 3.5 | GB/s | 3 – 4 | 5 | duckdb 1 | duckdb 3.5× |" in page
    (tmp_path / "benchmarks" / "bad.py").write_text("raise SystemExit('no disk')\n", encoding="utf-8")
    assert run_benchmarks([], quick=True, say=told.append, root=tmp_path) == ["bad"]
    assert any("no disk" in t for t in told)
