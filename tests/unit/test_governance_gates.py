"""Gates are three-valued; nobody signs for a run of their own."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from pydantic import ValidationError

from workbench.contracts import IntegrityError, Metric, ParameterError, PermissionDenied, RunRecord
from workbench.governance import Gate, Registry, Run, check_promotion, sign_off
from workbench.pipeline.promotion import audit_log, decide, promote


def metric(
    name: str = "precision@70", value: float | None = 0.6, low: float | None = 0.5, high: float | None = 0.7, n: int = 70, **more
) -> Metric:
    return Metric(name=name, value=value, low=low, high=high, n=n, method="bootstrap", **more)


def record(name: str, **fields) -> RunRecord:
    given = {
        "iteration_id": name,
        "experiment": "e",
        "author": "张三",
        "params": {},
        "seed": 1,
        "period": "",
        "catalog": "c",
        "code_version": "1",
        "environment_hash": "h",
        "snapshot": {},
        "created_at": "2026-01-01T00:00:00",
        "status": "done",
    }
    return RunRecord.model_validate({**given, **fields})


def run(*metrics: Metric, name: str = "e-1") -> Run:
    return Run(Path(name), record(name), metrics)


CASES = [
    ("above the limit", Gate(name="g", metric="precision@70", at_least=0.5), [metric()], None, "passed"),
    ("below the limit", Gate(name="g", metric="precision@70", at_least=0.65), [metric()], None, "failed"),
    ("the lower bound counts when asked", Gate(name="g", metric="precision@70", at_least=0.55, bound="low"), [metric()], None, "failed"),
    ("over the most allowed", Gate(name="g", metric="ece", at_most=0.05), [metric("ece", 0.1)], None, "failed"),
    ("no such metric", Gate(name="g", metric="recall", at_least=0.1), [metric()], None, "not_evaluated"),
    ("metric without value", Gate(name="g", metric="precision@70", at_least=0.1), [metric(value=None)], None, "not_evaluated"),
    ("too few units", Gate(name="g", metric="precision@70", at_least=0.1, min_n=100), [metric()], None, "not_evaluated"),
    (
        "other reference",
        Gate(name="g", metric="precision@70", against="truth", at_least=0.1),
        [metric(against="inspections")],
        None,
        "not_evaluated",
    ),
    ("no champion to compare with", Gate(name="g", metric="precision@70", champion_margin=0), [metric()], None, "not_evaluated"),
    ("no champion, but an own limit", Gate(name="g", metric="precision@70", at_least=0.5, champion_margin=0), [metric()], None, "passed"),
    (
        "not worse than the champion",
        Gate(name="g", metric="precision@70", champion_margin=0.05),
        [metric()],
        [metric(value=0.64)],
        "passed",
    ),
    ("worse than the champion", Gate(name="g", metric="precision@70", champion_margin=0.01), [metric()], [metric(value=0.64)], "failed"),
    (
        "smaller is better",
        Gate(name="g", metric="ece", champion_margin=0, smaller_is_better=True),
        [metric("ece", 0.1)],
        [metric("ece", 0.05)],
        "failed",
    ),
    ("champion without the metric", Gate(name="g", metric="precision@70", champion_margin=0), [metric()], [], "not_evaluated"),
]


@pytest.mark.parametrize(("gate", "mine", "theirs", "status"), [c[1:] for c in CASES], ids=[c[0] for c in CASES])
def test_gate(gate: Gate, mine, theirs, status: str) -> None:
    champion = None if theirs is None else run(*theirs, name="e-0")
    decision = check_promotion(run(*mine), champion, [gate])
    assert decision.results[0].status == status
    assert decision.promotable == (status == "passed")


def test_no_gate_promotes_nothing() -> None:
    assert not check_promotion(run(metric()), None, []).promotable


def test_a_gate_that_asks_nothing_is_refused() -> None:
    with pytest.raises(ValidationError, match="at_least"):
        Gate(name="g", metric="m")


@pytest.mark.parametrize("person", ["张三", "  张三 "])
def test_the_author_cannot_sign(person: str) -> None:
    decision = check_promotion(run(metric()), None, [Gate(name="g", metric="precision@70", at_least=0.5)])
    with pytest.raises(PermissionDenied, match="author"):
        sign_off(decision, person, "good")
    assert sign_off(decision, "李四", "good").person == "李四"


@pytest.mark.parametrize("gate", [Gate(name="g", metric="precision@70", at_least=0.9), Gate(name="g", metric="nothing", at_least=0.1)])
def test_what_did_not_pass_cannot_be_signed(gate: Gate) -> None:
    with pytest.raises(PermissionDenied, match="not every gate"):
        sign_off(check_promotion(run(metric()), None, [gate]), "李四", "good")


def test_a_signature_needs_a_reason() -> None:
    decision = check_promotion(run(metric()), None, [Gate(name="g", metric="precision@70", at_least=0.5)])
    with pytest.raises(ParameterError):
        sign_off(decision, "李四", " ")


@pytest.fixture
def reports(tmp_path: Path) -> Path:
    gate = Gate(name="precise", metric="precision@70", at_least=0.5, champion_margin=0).model_dump()
    for name, value, finished in (("e-1", 0.6, "2026-01-01T00:00:00"), ("e-2", 0.55, "2026-01-02T00:00:00")):
        folder = tmp_path / name
        folder.mkdir()
        (folder / "run.json").write_text(record(name, params={"gates": [gate]}, finished_at=finished).model_dump_json(), encoding="utf-8")
        (folder / "metrics.json").write_text(json.dumps([metric(value=value).model_dump()]), encoding="utf-8")
    return tmp_path


def test_promotion_is_signed_logged_and_names_the_champion(reports: Path) -> None:
    assert Registry(reports).champion() is None
    promote(reports, decide(reports, "e-1"), "李四", "beats nothing worse")
    assert Registry(reports).champion().id == "e-1"
    assert [(e.action, e.actor, e.subject) for e in audit_log(reports).events()] == [("promote", "李四", "e-1")]
    worse = decide(reports, "e-2")
    assert worse.champion == "e-1"
    assert not worse.promotable
    with pytest.raises(PermissionDenied):
        promote(reports, worse, "李四", "please")
    assert Registry(reports).champion().id == "e-1"


def test_nothing_is_promoted_over_a_broken_log(reports: Path) -> None:
    promote(reports, decide(reports, "e-1"), "李四", "first")
    log = audit_log(reports)
    log.file.write_text(log.file.read_text(encoding="utf-8").replace("first", "third"), encoding="utf-8")
    (reports / "champion.json").unlink()
    with pytest.raises(IntegrityError):
        promote(reports, decide(reports, "e-1"), "李四", "again")
    assert Registry(reports).champion() is None


def test_the_registry_lists_newest_first_and_sets_aside_what_it_cannot_read(reports: Path) -> None:
    (reports / "e-3").mkdir()
    (reports / "e-3" / "run.json").write_text("{", encoding="utf-8")
    (reports / ".e-4.work").mkdir()
    (reports / ".e-4.work" / "run.json").write_text("{}", encoding="utf-8")
    runs, set_aside = Registry(reports).runs()
    assert [r.id for r in runs] == ["e-2", "e-1"]
    assert len(set_aside) == 1
    assert "e-3" in set_aside[0]
    with pytest.raises(ParameterError) as caught:
        Registry(reports).get("e1")
    assert "e-1" in str(caught.value.next_step)
