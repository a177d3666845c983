"""Runs an experiment by the calendar and tells the result: a log line, a file, and where asked a webhook or mail."""

from __future__ import annotations

import datetime as dt
import json
import os
import smtplib
import ssl
import subprocess
import sys
import urllib.parse
import urllib.request
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from email.message import EmailMessage
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from workbench.contracts import ParameterError
from workbench.pipeline.step import write_text

ZONE = ZoneInfo("Asia/Shanghai")
LOG, LAST = "schedule.jsonl", "last_run.json"
Tell = Callable[[dict[str, Any]], None]


def trigger(cron: str) -> Any:
    """Return the trigger for five cron fields, in Asia/Shanghai.

    Raises
    ------
    ParameterError
        If the expression cannot be read.
    """
    from apscheduler.triggers.cron import CronTrigger

    try:
        return CronTrigger.from_crontab(cron, timezone=ZONE)
    except ValueError as error:
        raise ParameterError(
            "cannot read a cron expression", got=cron, allowed="five fields, such as '0 6 * * mon' (Mondays at six)", where=str(error)
        ) from error


def run_and_tell(arguments: Sequence[str], reports: Path) -> dict[str, Any]:
    """Run ``workbench run`` in a process of its own, note the result in ``reports`` and send it; return it.

    Parameters
    ----------
    arguments : sequence of str
        Of ``workbench run``.
    reports : Path
        Gets one line in ``schedule.jsonl`` and the newest result as ``last_run.json``.
    """
    started = dt.datetime.now(ZONE).replace(tzinfo=None, microsecond=0).isoformat()
    done = subprocess.run([sys.executable, "-m", "workbench.cli", "run", *arguments], capture_output=True, text=True, check=False)
    lines = [line.strip() for line in done.stdout.splitlines() if line.strip()]
    report = next((line.removeprefix("report").strip() for line in reversed(lines) if line.startswith("report ")), "")
    result = {
        "started_at": started,
        "finished_at": dt.datetime.now(ZONE).replace(tzinfo=None, microsecond=0).isoformat(),
        "ok": done.returncode == 0,
        "exit_code": done.returncode,
        "report": report if report.endswith(".html") else "",
        "closing": lines[-25:] if done.returncode == 0 else done.stderr.strip().splitlines()[-12:],
    }
    result["notified"] = [name for name, tell in channels().items() if _told(tell, result)]
    reports.mkdir(parents=True, exist_ok=True)
    with (reports / LOG).open("a", encoding="utf-8") as stream:
        stream.write(json.dumps(result, ensure_ascii=False) + "\n")
    write_text(reports / LAST, json.dumps(result, ensure_ascii=False, indent=1) + "\n")
    return result


def serve_schedule(cron: str, arguments: Sequence[str], reports: Path, say: Callable[[str], None]) -> None:
    """Run by the calendar until interrupted; a run that is still going when the next is due is not doubled."""
    from apscheduler.schedulers.blocking import BlockingScheduler

    def once() -> None:
        result = run_and_tell(arguments, reports)
        say(f"{result['finished_at']}  {'ok' if result['ok'] else 'FAILED'}  {result['report']}")

    scheduler = BlockingScheduler(timezone=ZONE)
    scheduler.add_job(once, trigger(cron), max_instances=1, coalesce=True, misfire_grace_time=3600)
    scheduler.start()


def channels() -> dict[str, Tell]:
    """Return the channels that the environment asks for: ``WORKBENCH_WEBHOOK``; ``WORKBENCH_SMTP`` with ``WORKBENCH_MAIL_TO``."""
    found: dict[str, Tell] = {}
    if os.environ.get("WORKBENCH_WEBHOOK"):
        found["webhook"] = _post
    if os.environ.get("WORKBENCH_SMTP") and os.environ.get("WORKBENCH_MAIL_TO"):
        found["mail"] = _mail
    return found


def _told(tell: Tell, result: dict[str, Any]) -> bool:
    try:
        tell(result)
    except (OSError, ValueError, smtplib.SMTPException) as error:
        result.setdefault("not_notified", []).append(f"{type(error).__name__}: {error}")
        return False
    return True


def _post(result: dict[str, Any]) -> None:
    address = os.environ["WORKBENCH_WEBHOOK"]
    if not address.startswith(("http://", "https://")):
        raise ValueError("WORKBENCH_WEBHOOK must be an http address")
    body = json.dumps(result, ensure_ascii=False).encode()
    request = urllib.request.Request(address, body, {"Content-Type": "application/json; charset=utf-8"})  # noqa: S310 - checked above
    with urllib.request.urlopen(request, timeout=20):  # noqa: S310
        pass


def _mail(result: dict[str, Any]) -> None:
    server = mail_server(os.environ["WORKBENCH_SMTP"])
    message = EmailMessage()
    message["Subject"] = f"监管迭代 iteration {'ok' if result['ok'] else 'FAILED'} {result['finished_at']}"
    message["From"] = os.environ.get("WORKBENCH_MAIL_FROM", "workbench@localhost")
    message["To"] = os.environ["WORKBENCH_MAIL_TO"]
    message.set_content(
        "\n".join([result["report"], "", *result["closing"], "", "线索是查看的理由，不是证据。A lead is a reason to look, not proof."])
    )
    context = ssl.create_default_context()
    opened = (
        smtplib.SMTP_SSL(server.host, server.port, timeout=20, context=context)
        if server.encrypted
        else smtplib.SMTP(server.host, server.port, timeout=20)
    )
    with opened as connection:
        connection.ehlo()
        if not server.encrypted and (server.user or connection.has_extn("starttls")):
            connection.starttls(context=context)  # always before a password: a server that cannot is refused
        if server.user:
            connection.login(server.user, os.environ.get("WORKBENCH_SMTP_PASSWORD", ""))
        connection.send_message(message)


@dataclass(frozen=True)
class MailServer:
    """Where mail is handed in: ``smtp`` (STARTTLS where offered, always before a password) or ``smtps``."""

    host: str
    port: int
    encrypted: bool
    user: str = ""


def mail_server(address: str) -> MailServer:
    """Read ``HOST[:PORT]``, ``smtp://[USER@]HOST[:PORT]`` or ``smtps://[USER@]HOST[:PORT]``.

    A user's ``@`` is written ``%40``; the password comes from ``WORKBENCH_SMTP_PASSWORD`` and never stands in an address.

    Raises
    ------
    ValueError
        If the address is none of these, or holds a password.
    """
    parts = urllib.parse.urlsplit(address if "://" in address else f"smtp://{address}")
    if parts.scheme not in ("smtp", "smtps") or not parts.hostname:
        raise ValueError("WORKBENCH_SMTP is HOST:PORT, smtp://USER@HOST:PORT or smtps://USER@HOST:PORT")
    if parts.password is not None:
        raise ValueError("the mail password belongs in WORKBENCH_SMTP_PASSWORD, not in WORKBENCH_SMTP")
    user, encrypted = urllib.parse.unquote(parts.username or ""), parts.scheme == "smtps"
    return MailServer(parts.hostname, parts.port or (465 if encrypted else 587 if user else 25), encrypted, user)
