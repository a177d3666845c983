"""A changed, removed, added, moved or cut line of the audit log is found."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from workbench.contracts import IntegrityError
from workbench.governance import AuditLog


def log_of(folder: Path, n: int = 5, actor: str = "张三") -> AuditLog:
    log = AuditLog(folder / "audit.jsonl")
    for i in range(n):
        log.append("run", actor=actor, subject=f"r-{i}", details={"k": i, "字": "值"})
    return log


def edit(log: AuditLog, change) -> None:
    lines = log.file.read_text(encoding="utf-8").splitlines()
    log.file.write_text("\n".join(change(lines)) + "\n", encoding="utf-8")


def test_an_untouched_log_verifies(tmp_path: Path) -> None:
    log = log_of(tmp_path)
    assert log.verify() == 5
    assert log.verify(head=log.events()[2].hash) == 5
    assert AuditLog(tmp_path / "none.jsonl").verify() == 0


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(lambda x: [*x[:2], x[2].replace("张三", "李四"), *x[3:]], id="an actor changed"),
        pytest.param(lambda x: [*x[:2], *x[3:]], id="a line removed from the middle"),
        pytest.param(lambda x: x[1:], id="the first line removed"),
        pytest.param(lambda x: x[:-1], id="the last line cut off"),
        pytest.param(lambda x: [], id="everything cut off"),
        pytest.param(lambda x: [x[1], x[0], *x[2:]], id="two lines swapped"),
        pytest.param(lambda x: [*x, x[-1]], id="a line repeated"),
        pytest.param(lambda x: [*x[:2], "{", *x[3:]], id="a line that is no JSON"),
    ],
)
def test_tampering_is_found_and_nothing_more_is_appended(tmp_path: Path, change) -> None:
    log = log_of(tmp_path)
    edit(log, change)
    with pytest.raises(IntegrityError):
        log.verify()
    with pytest.raises(IntegrityError):
        log.append("run", actor="a", subject="s")


def test_a_whole_rewritten_chain_is_found_by_a_hash_noted_elsewhere(tmp_path: Path) -> None:
    noted = log_of(tmp_path / "a").events()[-1].hash
    forged = log_of(tmp_path / "b", 6, actor="李四")
    assert forged.verify() == 6
    with pytest.raises(IntegrityError, match="noted"):
        forged.verify(head=noted)


def test_a_line_that_was_written_before_a_kill_is_still_good(tmp_path: Path) -> None:
    log = log_of(tmp_path, 3)
    head = log.head_file.read_text(encoding="ascii")
    log.append("run", actor="a", subject="late")
    log.head_file.write_text(head, encoding="ascii")  # as if killed between the line and the head
    assert log.verify() == 4
    assert log.append("run", actor="a", subject="next").sequence == 4


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(line=st.integers(0, 4), field=st.sampled_from(["actor", "action", "subject", "at", "details", "previous", "hash"]), data=st.data())
def test_any_single_field_change_is_found(tmp_path_factory, line: int, field: str, data) -> None:
    log = log_of(tmp_path_factory.mktemp("log"))
    rows = [json.loads(x) for x in log.file.read_text(encoding="utf-8").splitlines()]
    new = {"k": data.draw(st.integers(100, 200))} if field == "details" else data.draw(st.text(min_size=1, max_size=8))
    if rows[line][field] == new:
        return
    rows[line][field] = new
    log.file.write_text("".join(json.dumps(r, ensure_ascii=False) + "\n" for r in rows), encoding="utf-8")
    with pytest.raises(IntegrityError):
        log.verify()
