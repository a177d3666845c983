"""An iteration is atomic, resumable and repeatable; it refuses what it does not know and says what went wrong."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest

import workbench.catalog
from workbench.contracts import ContractBreach, ParameterError, RunError, RunRecord
from workbench.governance import AuditLog, Registry
from workbench.pipeline import fingerprints
from workbench.pipeline.experiment import apply_settings, load_experiment
from workbench.pipeline.iteration import Request, run_iteration
from workbench.pipeline.steps import plan

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))
import pipeline_stubs as stubs  # noqa: E402 - a helper beside the tests, which are no package

TABLES = ("findings", "leads", "attributions", "conflicts")


@pytest.fixture(autouse=True)
def _stub_catalog(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workbench.catalog, "open_catalog", stubs.StubCatalog)


def request_for(root: Path, file: Path | None = None, *, resume: bool = False, settings: tuple[str, ...] = (), **fields) -> Request:
    file = file or root / "experiments" / "stub" / "experiment.yml"
    experiment = apply_settings(load_experiment(file), settings)
    made = Request(
        experiment, file, root / "notebooks", str(root / "catalog.yml"), root / "reports", author="张三", scheduler="", resume=resume
    )
    return replace(made, **fields)


def table_hashes(folder: Path) -> dict[str, str]:
    return {n: hashlib.sha256((folder / f"{n}.parquet").read_bytes()).hexdigest() for n in TABLES}


def statuses(outcome) -> dict[str, str]:
    return {s.name: s.status for s in outcome.record.steps}


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory):
    """One finished iteration; tests that change anything copy it first."""
    root = tmp_path_factory.mktemp("project")
    stubs.write_project(root)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(workbench.catalog, "open_catalog", stubs.StubCatalog)
        return root, run_iteration(request_for(root))


@pytest.fixture
def copied(finished, tmp_path: Path):
    root, outcome = finished
    shutil.copytree(root, tmp_path / "p")
    return tmp_path / "p", outcome


def test_a_report_holds_what_design_section_5_lists(finished) -> None:
    root, outcome = finished
    there = {p.name for p in outcome.folder.iterdir()}
    wanted = {"run.json", "metrics.json", "cards", "index.html", "first.ipynb", "first.html", "second.ipynb", "second.html"}
    assert wanted | {f"{t}.parquet" for t in TABLES} <= there
    record = RunRecord.model_validate_json((outcome.folder / "run.json").read_text(encoding="utf-8"))
    assert (record.status, record.author, record.seed) == ("done", "张三", 3)
    assert [s.name for s in record.steps] == ["first", "second", "report"]
    assert all(s.wall_s > 0 for s in record.steps)
    assert all(s.peak_mib > 20 for s in record.steps[:2])
    assert len(pd.read_parquet(outcome.folder / "findings.parquet")) == 8
    assert pd.read_parquet(outcome.folder / "leads.parquet")["rank"].tolist() == [1, 2, 3, 4]
    assert not [p for p in (root / "reports").iterdir() if p.name.endswith(".work")]


def test_resume_over_a_finished_report_runs_nothing(copied) -> None:
    root, _ = copied
    before = {p: p.stat().st_mtime_ns for p in (root / "reports").rglob("*") if p.is_file() and ".locks" not in p.parts}
    outcome = run_iteration(request_for(root, resume=True))
    assert outcome.unchanged
    assert set(statuses(outcome).values()) == {"skipped"}
    assert {p: p.stat().st_mtime_ns for p in before} == before


def test_running_again_gives_the_same_bytes_and_replaces_the_report(copied) -> None:
    root, first = copied
    outcome = run_iteration(request_for(root))
    assert not outcome.unchanged
    assert outcome.record.iteration_id == first.record.iteration_id
    assert table_hashes(outcome.folder) == table_hashes(first.folder)
    assert outcome.record.created_at >= first.record.created_at
    assert Registry(root / "reports").ids() == [outcome.record.iteration_id]


def test_only_what_changed_runs_again(copied) -> None:
    root, first = copied
    stubs.write_notebook(root / "notebooks" / "second.ipynb", stubs.SECOND.replace("0.5", "0.6"), extra="budgets = [20]\n")
    outcome = run_iteration(request_for(root, resume=True))
    assert statuses(outcome) == {"first": "skipped", "second": "done", "report": "done"}
    assert outcome.record.iteration_id != first.record.iteration_id
    assert json.loads((outcome.folder / "metrics.json").read_text())[0]["value"] == 0.6


def test_a_changed_output_is_not_taken_over(copied) -> None:
    root, first = copied
    damaged = root / "reports" / first.record.iteration_id / "steps" / "first" / "findings.parquet"
    damaged.write_bytes(damaged.read_bytes() + b" ")
    outcome = run_iteration(request_for(root, resume=True))
    assert statuses(outcome)["first"] == "done"
    assert table_hashes(outcome.folder) == table_hashes(first.folder)


@pytest.mark.parametrize(
    ("change", "reruns"),
    [
        ({"settings": ("seed=4",)}, {"first", "second"}),
        ({"settings": ("second.overrides.flat.p=1e-3",)}, {"second"}),
    ],
    ids=["the seed reaches every step", "an override reaches its own step"],
)
def test_a_setting_reruns_the_steps_that_it_reaches(finished, change, reruns) -> None:
    root, _first = finished
    planned = {s.name: s for s in plan(request_for(root, **change).experiment, root / "notebooks", root)}
    before = {s.name: s for s in plan(request_for(root).experiment, root / "notebooks", root)}
    assert {n for n in planned if planned[n].parameters != before[n].parameters} == reruns


def test_a_failing_cell_is_named_and_earlier_steps_are_kept(tmp_path: Path) -> None:
    stubs.write_project(tmp_path, second="x = 1\n# %%\nraise ValueError('限值缺失 no limit')\n")
    with pytest.raises(RunError) as caught:
        run_iteration(request_for(tmp_path))
    error = caught.value
    assert "second.ipynb" in error.what
    assert "ValueError: 限值缺失 no limit" in str(error.got)
    assert "raise ValueError" in str(error.where)
    assert "--resume" in str(error.next_step)
    assert not Registry(tmp_path / "reports").ids()
    kept = next((tmp_path / "reports").glob(".*.work/failed/second.ipynb"))
    assert "限值缺失" in kept.read_text(encoding="utf-8")
    assert [e.action for e in AuditLog(tmp_path / "reports" / "audit.jsonl").events()] == ["run failed"]

    stubs.write_notebook(tmp_path / "notebooks" / "second.ipynb", stubs.SECOND, extra="budgets = [20]\n")
    outcome = run_iteration(request_for(tmp_path, resume=True))
    assert statuses(outcome)["first"] == "skipped"
    assert statuses(outcome)["second"] == "done"


SLOW = """
from pathlib import Path
(Path(out) / "half.parquet").write_bytes(b"half")
gate = Path(catalog).parent / "gate"
# %%
import time
(Path(catalog).parent / "reached").touch()
while not gate.exists():
    time.sleep(0.05)
(Path(out) / "half.parquet").unlink()
# %%
"""

RUNNER = """
import sys
sys.path.insert(0, {here!r})
import pipeline_stubs
pipeline_stubs.use_stub_catalog()
from workbench import cli
cli.main(["run", "stub", "--author", "张三", *sys.argv[1:]])
"""


def test_killed_in_the_middle_then_resumed_gives_the_same_bytes(tmp_path: Path) -> None:
    stubs.write_project(tmp_path, second=SLOW + stubs.SECOND)
    script = tmp_path / "runner.py"
    script.write_text(RUNNER.format(here=str(HERE)), encoding="utf-8")
    command = [sys.executable, str(script)]
    process = subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 120
    while not (tmp_path / "reached").exists():
        assert process.poll() is None, "the run ended before it was killed"
        assert time.monotonic() < deadline
        time.sleep(0.05)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert not Registry(tmp_path / "reports").ids(), "no report may stand there half-written"

    (tmp_path / "gate").touch()
    resumed = subprocess.run([*command, "--resume"], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert resumed.returncode == 0, resumed.stdout + resumed.stderr
    (name,) = Registry(tmp_path / "reports").ids()
    run = Registry(tmp_path / "reports").get(name)
    assert {s.name: s.status for s in run.record.steps} == {"first": "skipped", "second": "done", "report": "done"}
    hashes = table_hashes(run.folder)
    assert not list(run.folder.rglob("half.parquet"))
    assert not [p for p in run.folder.rglob("*") if p.name.endswith((".tmp", ".partial"))]

    whole = run_iteration(request_for(tmp_path))
    assert table_hashes(whole.folder) == hashes


def test_a_replacement_killed_between_its_renames_is_undone(copied) -> None:
    root, first = copied
    name = first.record.iteration_id
    (root / "reports" / name).replace(root / "reports" / f".{name}.old")
    outcome = run_iteration(request_for(root, resume=True))
    assert outcome.unchanged
    assert Registry(root / "reports").ids() == [name]


def test_two_runs_of_one_iteration_do_not_fight(copied) -> None:
    from workbench.pipeline import lock

    root, first = copied
    file = root / "reports" / ".locks" / f"{first.record.iteration_id}.lock"
    with lock.hold(file), pytest.raises(RunError, match="running already"):
        run_iteration(request_for(root))
    file.write_text("999999999", encoding="ascii")  # of a dead process
    assert run_iteration(request_for(root, resume=True)).unchanged


def test_errors_of_the_catalog_refuse_the_run_and_warnings_are_recorded(copied) -> None:
    root, first = copied
    noted = json.loads((first.folder / "catalog_check.json").read_text(encoding="utf-8"))
    assert [(b["entry"], b["rows"]) for b in noted] == [("marks", 1)]
    (root / "catalog.yml").write_text("broken", encoding="utf-8")
    with pytest.raises(ContractBreach) as caught:
        run_iteration(request_for(root))
    assert "points.unit" in str(caught.value.got)


@pytest.mark.parametrize(
    ("settings", "got", "hint"),
    [
        (("sede=3",), "sede", "seed"),
        (("first.levle=2",), "levle", "level"),
        (("frist.level=2",), "frist.level", "first"),
    ],
    ids=["experiment field", "notebook parameter", "notebook"],
)
def test_unknown_settings_are_refused_with_the_nearest_name(finished, settings, got, hint) -> None:
    root, _ = finished
    with pytest.raises(ParameterError) as caught:
        run_iteration(request_for(root, settings=settings))
    assert caught.value.got == got
    assert hint in str(caught.value.next_step)


def test_the_kernel_is_this_interpreter_whatever_the_user_has_installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from workbench.pipeline import kernel

    foreign = tmp_path / "foreign" / "kernels" / "python3"
    foreign.mkdir(parents=True)
    (foreign / "kernel.json").write_text(json.dumps({"argv": ["/bin/false"], "display_name": "x", "language": "python"}))
    monkeypatch.setenv("JUPYTER_PATH", str(tmp_path / "foreign"))
    monkeypatch.setenv("JUPYTER_PREFER_ENV_PATH", "1")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    stubs.write_notebook(tmp_path / "n.ipynb", "import sys, os\nprint(sys.executable)\nprint(os.environ['WORKBENCH_SCHEDULER'])")
    kernel.execute(tmp_path / "n.ipynb", tmp_path / "o.ipynb", {}, scratch=tmp_path / "scratch", scheduler="tcp://there:1")
    printed = "".join(
        "".join(o.get("text", "")) for c in json.loads((tmp_path / "o.ipynb").read_text())["cells"] for o in c.get("outputs", [])
    )
    assert printed.split() == [sys.executable, "tcp://there:1"]
    assert os.environ["JUPYTER_PATH"] == str(tmp_path / "foreign"), "the environment is put back"
    assert not (tmp_path / "home").exists(), "nothing is written to the user's home"


def test_pages_ask_nothing_of_the_outside(finished) -> None:
    _, outcome = finished
    for page in sorted(outcome.folder.glob("*.html")):
        text = page.read_text(encoding="utf-8")
        assert not re.findall(r"""(?:src|href|action|data|poster)\s*=\s*["']?\s*(?:https?:)?//""", text, re.I), page.name
        assert not re.findall(r"@import|url\(\s*[\"']?(?:https?:)?//", text, re.I), page.name
        assert "<script" not in text.lower(), page.name
        assert "default-src 'none'" in text


def test_text_from_data_cannot_become_markup(finished) -> None:
    _, outcome = finished
    text = (outcome.folder / "index.html").read_text(encoding="utf-8")
    assert "恒值 &lt;script&gt;" in text
    assert "&amp; &lt;i&gt;" in text
    assert "<i>" not in re.sub(r"<i [^>]*>", "", text)


def test_every_run_is_in_the_audit_log(finished) -> None:
    root, outcome = finished
    log = AuditLog(root / "reports" / "audit.jsonl")
    assert log.verify() >= 1
    event = log.events()[0]
    assert (event.action, event.actor, event.subject) == ("run", "张三", outcome.record.iteration_id)
    assert event.details["run.json"] == fingerprints.sha256_of(outcome.folder / "run.json")
