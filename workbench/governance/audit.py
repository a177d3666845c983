"""Append-only log of events, each chained to the one before by its hash.

One JSON line per event: ``sequence, at, actor, action, subject, details, previous, hash``, where ``hash`` is the
sha256 of the line without it. Changing, removing, adding or moving a line breaks the chain. A chain by itself cannot
show that its end was cut off, so the last hash is kept in a second file beside it, and a hash noted elsewhere (on paper,
in another office's log) can be given to :meth:`AuditLog.verify`.
"""

from __future__ import annotations

import datetime as dt
import fcntl
import hashlib
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from pydantic import BaseModel, ConfigDict, ValidationError

from workbench.contracts import IntegrityError

GENESIS = "0" * 64
_ZONE = ZoneInfo("Asia/Shanghai")


class AuditEvent(BaseModel):
    """One line of the log."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    sequence: int
    at: str
    actor: str
    action: str
    subject: str
    details: dict[str, Any]
    previous: str
    hash: str = ""

    def expected_hash(self) -> str:
        """Return the sha256 this event must carry."""
        text = json.dumps(self.model_dump(exclude={"hash"}), sort_keys=True, ensure_ascii=False, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()


class AuditLog:
    """Append-only, hash-chained log in one file.

    Parameters
    ----------
    file : Path
        The log, for example ``reports/audit.jsonl``; created at the first event.
    """

    def __init__(self, file: Path) -> None:
        self.file = file
        self.head_file = file.with_suffix(".head")

    def append(self, action: str, *, actor: str, subject: str, details: dict[str, Any] | None = None) -> AuditEvent:
        """Append one event and return it; it is on disk when this returns.

        Raises
        ------
        IntegrityError
            If the log was changed before; nothing is appended to a broken log.
        """
        with self._locked():
            events = self._read()
            self._check(events)
            at = dt.datetime.now(_ZONE).replace(tzinfo=None, microsecond=0).isoformat()
            event = AuditEvent(
                sequence=len(events),
                at=at,
                actor=actor,
                action=action,
                subject=subject,
                details=details or {},
                previous=events[-1].hash if events else GENESIS,
            )
            event = event.model_copy(update={"hash": event.expected_hash()})
            line = json.dumps(event.model_dump(), ensure_ascii=False, separators=(",", ":")) + "\n"
            with self.file.open("ab") as stream:
                stream.write(line.encode())
                stream.flush()
                os.fsync(stream.fileno())
            temporary = self.head_file.with_suffix(".head.tmp")
            temporary.write_text(f"{event.sequence} {event.hash}\n", encoding="ascii")
            temporary.replace(self.head_file)
            return event

    def events(self) -> list[AuditEvent]:
        """Return all events, oldest first, without verifying them."""
        return self._read()

    def verify(self, head: str | None = None) -> int:
        """Check the whole chain; return the number of events.

        Parameters
        ----------
        head : str, optional
            A hash noted elsewhere: the log must contain it.

        Raises
        ------
        IntegrityError
            Naming the first line that does not hold.
        """
        events = self._read()
        self._check(events)
        if head is not None and head not in {e.hash for e in events}:
            raise IntegrityError(
                "the log does not contain the noted hash: it was cut or rewritten since",
                got=head,
                where=str(self.file),
                next_step="compare with a backup; treat the log as broken",
            )
        return len(events)

    def _check(self, events: list[AuditEvent]) -> None:
        previous = GENESIS
        for i, event in enumerate(events):
            if event.sequence != i or event.previous != previous or event.hash != event.expected_hash():
                raise IntegrityError(
                    "the audit log was changed",
                    got=f"line {i + 1}: {event.action} of {event.subject} at {event.at}",
                    allowed=f"sequence {i}, previous hash {previous[:12]}…, and the hash of its own content",
                    where=f"{self.file}, line {i + 1}",
                    next_step="compare with a backup; events from this line on prove nothing",
                )
            previous = event.hash
        if self.head_file.is_file():
            # written after the line itself: it may lag behind a killed append, never run ahead
            last, _, digest = self.head_file.read_text(encoding="ascii").strip().partition(" ")
            if not last.isdigit() or int(last) >= len(events) or events[int(last)].hash != digest:
                raise IntegrityError(
                    "the end of the audit log was cut off or replaced",
                    got=f"{len(events)} events",
                    allowed=f"at least {int(last) + 1 if last.isdigit() else '?'} events",
                    where=str(self.file),
                    next_step="compare with a backup; treat the log as broken",
                )

    def _read(self) -> list[AuditEvent]:
        if not self.file.is_file():
            return []
        events = []
        for i, line in enumerate(self.file.read_text(encoding="utf-8").splitlines()):
            try:
                events.append(AuditEvent.model_validate_json(line))
            except ValidationError as error:
                raise IntegrityError(
                    "a line of the audit log cannot be read",
                    got=line[:120],
                    where=f"{self.file}, line {i + 1}",
                    next_step="compare with a backup; events from this line on prove nothing",
                ) from error
        return events

    @contextmanager
    def _locked(self) -> Iterator[None]:
        self.file.parent.mkdir(parents=True, exist_ok=True)
        with self.file.with_suffix(".lock").open("w") as stream:
            fcntl.flock(stream, fcntl.LOCK_EX)
            yield
