"""A scheduled run is noted and told, whether it went well or not; what cannot be told does not stop it."""

from __future__ import annotations

import datetime as dt
import json
import socketserver
import subprocess
import threading
from email import message_from_bytes, policy
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import ClassVar
from zoneinfo import ZoneInfo

import pytest

from workbench.contracts import ParameterError
from workbench.pipeline import schedule


@pytest.fixture
def process(monkeypatch: pytest.MonkeyPatch):
    """Stands in for the process of ``workbench run``; the real one is tested with the iteration."""

    def become(code: int, out: str = "", err: str = "") -> list[list[str]]:
        called: list[list[str]] = []

        def run(command, **_):
            called.append(command)
            return subprocess.CompletedProcess(command, code, out, err)

        monkeypatch.setattr(schedule.subprocess, "run", run)
        return called

    return become


@pytest.fixture
def webhook(monkeypatch: pytest.MonkeyPatch):
    got: list[dict] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            got.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(204)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    monkeypatch.setenv("WORKBENCH_WEBHOOK", f"http://127.0.0.1:{server.server_port}/")
    yield got
    server.shutdown()
    server.server_close()


def test_a_good_run_is_noted_and_told(tmp_path: Path, process, webhook) -> None:
    called = process(0, "table\nreport  /r/reference-1/index.html\n线索\n")
    result = schedule.run_and_tell(["reference", "--resume"], tmp_path)
    assert called[0][-3:] == ["run", "reference", "--resume"]
    assert (result["ok"], result["report"], result["notified"]) == (True, "/r/reference-1/index.html", ["webhook"])
    assert webhook[0]["report"] == "/r/reference-1/index.html"
    assert json.loads((tmp_path / "last_run.json").read_text(encoding="utf-8"))["ok"]
    schedule.run_and_tell(["reference"], tmp_path)
    assert len((tmp_path / "schedule.jsonl").read_text(encoding="utf-8").splitlines()) == 2


def test_a_failed_run_is_told_as_failed(tmp_path: Path, process, webhook) -> None:
    process(1, err="错误 error  cell 3 failed\n")
    result = schedule.run_and_tell([], tmp_path)
    assert not result["ok"]
    assert "cell 3 failed" in webhook[0]["closing"][0]


def test_a_dead_webhook_is_noted_and_does_not_lose_the_result(tmp_path: Path, process, monkeypatch) -> None:
    monkeypatch.setenv("WORKBENCH_WEBHOOK", "http://127.0.0.1:9/")
    process(0, "report  /r/index.html\n")
    result = schedule.run_and_tell([], tmp_path)
    assert result["ok"]
    assert result["notified"] == []
    assert result["not_notified"]
    assert (tmp_path / "last_run.json").is_file()


class MailBox(socketserver.StreamRequestHandler):
    """As much of a mail server as one message needs; offers no encryption."""

    got: ClassVar[list[str]] = []

    def handle(self) -> None:
        self.wfile.write(b"220 there\r\n")
        while line := self.rfile.readline().strip().upper():
            if line == b"DATA":
                self.wfile.write(b"354 go on\r\n")
                text = b"".join(iter(self.rfile.readline, b".\r\n"))
                self.got.append(message_from_bytes(text, policy=policy.default).get_content())
            answer = {b"DATA": b"250 kept", b"QUIT": b"221 bye"}.get(line, b"250 there")
            self.wfile.write(answer + b"\r\n")


@pytest.fixture
def mail_box(monkeypatch: pytest.MonkeyPatch):
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), MailBox) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        monkeypatch.setattr(MailBox, "got", [])
        monkeypatch.setenv("WORKBENCH_MAIL_TO", "bureau@example.org")
        monkeypatch.setenv("WORKBENCH_SMTP", f"127.0.0.1:{server.server_address[1]}")
        yield f"127.0.0.1:{server.server_address[1]}"
        server.shutdown()


def test_the_result_is_mailed(tmp_path: Path, process, mail_box) -> None:
    process(0, "table\nreport  /r/reference-1/index.html\n线索\n")
    assert schedule.run_and_tell([], tmp_path)["notified"] == ["mail"]
    assert len(MailBox.got) == 1
    assert "/r/reference-1/index.html" in MailBox.got[0]
    assert "not proof" in MailBox.got[0]


def test_a_password_is_never_sent_in_the_clear(tmp_path: Path, process, mail_box, monkeypatch) -> None:
    monkeypatch.setenv("WORKBENCH_SMTP", f"smtp://bureau@{mail_box}")
    monkeypatch.setenv("WORKBENCH_SMTP_PASSWORD", "secret")
    process(0, "report  /r/index.html\n")
    result = schedule.run_and_tell([], tmp_path)
    assert result["notified"] == []
    assert "STARTTLS" in result["not_notified"][0]
    assert MailBox.got == []


@pytest.mark.parametrize(
    ("address", "read"),
    [
        pytest.param("mail.example", ("mail.example", 25, False, ""), id="a host"),
        pytest.param("mail.example:2525", ("mail.example", 2525, False, ""), id="host and port"),
        pytest.param("smtp://a%40b.cn@mail.example", ("mail.example", 587, False, "a@b.cn"), id="a user: the submission port"),
        pytest.param("smtps://a@mail.example", ("mail.example", 465, True, "a"), id="encrypted from the start"),
    ],
)
def test_mail_servers_are_read(address: str, read: tuple) -> None:
    server = schedule.mail_server(address)
    assert (server.host, server.port, server.encrypted, server.user) == read


@pytest.mark.parametrize("address", ["", "http://mail.example", "smtp://a:secret@mail.example"])
def test_bad_mail_servers_are_refused(address: str) -> None:
    with pytest.raises(ValueError, match="WORKBENCH_SMTP"):
        schedule.mail_server(address)


def test_cron_means_local_time() -> None:
    zone = ZoneInfo("Asia/Shanghai")
    after = dt.datetime(2026, 11, 24, 12, 0, tzinfo=zone)  # a Tuesday
    assert schedule.trigger("0 6 * * mon").get_next_fire_time(None, after) == dt.datetime(2026, 11, 30, 6, 0, tzinfo=zone)


@pytest.mark.parametrize("cron", ["", "* * *", "61 * * * *", "each monday at six"])
def test_a_bad_cron_expression_is_refused(cron: str) -> None:
    with pytest.raises(ParameterError):
        schedule.trigger(cron)
