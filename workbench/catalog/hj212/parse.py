"""From the body of a frame to a typed packet; what cannot be read is set aside at the smallest unit possible."""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Any, NamedTuple

from workbench.catalog.hj212.codes import CodeTable, protocol_words, statistics
from workbench.catalog.hj212.frame import iter_frames
from workbench.contracts import MARK_LETTERS, Mark, PacketError

VERSIONS = {0: 2005, 1: 2017, 2: 2025}
"""Version of the standard by the six version bits of Flag."""
NUMERIC = frozenset({"Rtd", "Avg", "Min", "Max", "Cou", "ZsRtd", "ZsAvg", "ZsMin", "ZsMax"})
"""Kinds of value that are stored."""
TEXTUAL = frozenset({"Flag", "EFlag", "SampleTime", "Info", "SN", "Ala", "RS", "RT", "UpValue", "LowValue", "Data", "DayData", "NightData"})
"""Kinds that are kept in ``Packet.extras`` and not stored."""
MARKS: dict[str, int] = {letter: int(mark) for letter, mark in MARK_LETTERS.items()}
MARKS_2005: dict[str, int] = {**MARKS, "P": int(Mark.FAULT), "3": int(Mark.NORMAL), "0": int(Mark.CALIBRATION)}
"""Marks of the 2005 version: P power failure, 3 normal and 0 calibration at air stations (recalled: R)."""
EPOCH = datetime(1970, 1, 1)
OLDEST = int((datetime(2006, 1, 1) - EPOCH).total_seconds())
"""HJ/T 212-2005 came into force in 2006; an earlier time is the clock of a device that was reset (often 2000-01-01)."""
NUMBER = re.compile(r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d{1,3})?", re.ASCII)
LARGEST = 3.4e38


class Reading(NamedTuple):
    """One value of one factor: today's code, kind (Rtd, Avg …), value, mark (255: none sent)."""

    factor: str
    kind: str
    value: float
    mark: int


class Fault(NamedTuple):
    """Something set aside: a code of ``reasons.yml``, the text it concerns, and what exactly is wrong."""

    reason: str
    text: str
    detail: str = ""


class Packet:
    """One packet, or several sub-packets put together.

    Attributes
    ----------
    qn, st, cn, pw, mn : str
        Header fields; empty where the packet has none (2005 packets often have no QN).
    flag : int or None
        As sent; None where absent.
    version : int
        2005, 2017 or 2025 by the version bits; 2005 without a Flag; 0 for bits that no version uses.
    answer, numbered : bool
        Flag bits: an answer is asked for; the packet carries PNUM and PNO.
    pnum, pno : int
        Number of sub-packets and number of this one; 0 where absent.
    cp : str
        The data area, without ``&&``.
    time : int or None
        DataTime in seconds since 1970 of local time; None where absent or unreadable.
    control : dict
        Fields of the data area that belong to no factor (DataTime, QnRtn, …).
    readings : list of Reading
        Values that could be read.
    extras : dict
        ``(factor, kind)`` → text of what is not stored: SampleTime, EFlag, Info …
    faults : list of Fault
        Fields that were set aside; ``problem`` is the reason why the packet as a whole cannot be used, or None.
    """

    __slots__ = (
        "answer", "cn", "control", "cp", "extras", "faults", "flag", "mn", "numbered",
        "pno", "pnum", "problem", "pw", "qn", "readings", "st", "time", "version",
    )  # fmt: skip

    def __init__(self, head: dict[str, str], cp: str) -> None:
        get = head.get
        self.qn, self.st, self.cn = get("QN", ""), get("ST", ""), get("CN", "")
        self.pw, self.mn = get("PW", ""), get("MN", "")
        flag = get("Flag", "")
        self.flag: int | None = int(flag) if flag.isdecimal() and len(flag) <= 3 else None
        bits = self.flag or 0
        self.version = VERSIONS.get(bits >> 2, 0)
        self.answer, self.numbered = bool(bits & 1), bool(bits & 2)
        self.pnum, self.pno = _small(get("PNUM", "")), _small(get("PNO", ""))
        self.cp = cp
        self.time: int | None = None
        self.control: dict[str, str] = {}
        self.readings: list[Reading] = []
        self.extras: dict[tuple[str, str], str] = {}
        self.faults: list[Fault] = []
        self.problem: Fault | None = None

    @property
    def statistic(self) -> str:
        """``realtime``, ``minute``, ``hour``, ``day``, or empty for commands that carry no data to store."""
        return statistics().get(self.cn, "")

    @property
    def data_time(self) -> datetime | None:
        """DataTime, local, without zone."""
        return None if self.time is None else EPOCH + timedelta(seconds=self.time)

    def __repr__(self) -> str:
        return f"Packet(mn={self.mn!r}, cn={self.cn!r}, time={self.data_time}, {len(self.readings)} readings, {len(self.faults)} faults)"


def _small(text: str) -> int:
    return int(text) if text.isdecimal() and len(text) <= 8 else 0


@lru_cache(maxsize=65536)
def seconds_of(text: str) -> int | None:
    """Return YYYYMMDDhhmmss (or more digits, or only YYYYMMDD) as seconds since 1970, None where it is no time."""
    if not (text.isascii() and text.isdecimal() and len(text) in (8, 12, 14, 17)):
        return None
    try:
        stamp = datetime(int(text[:4]), int(text[4:6]), int(text[6:8]), int(text[8:10] or 0), int(text[10:12] or 0), int(text[12:14] or 0))
    except ValueError:
        return None
    return int((stamp - EPOCH).total_seconds())


def read_body(body: bytes) -> Packet:
    """Return the packet of one body with header and raw data area; fields are not read yet.

    ``problem`` is set where the header or the data area cannot be used.
    """
    text = body.decode("ascii") if body.isascii() else body.decode("latin-1")
    start = text.find("CP=&&")
    head_text = text if start < 0 else text[:start]
    head: dict[str, str] = {}
    twice = ""
    for item in head_text.split(";"):
        if item:
            key, _, value = item.partition("=")
            if head.setdefault(key, value) != value:
                twice = key
    end = text.rfind("&&")
    packet = Packet(head, text[start + 5 : end] if start >= 0 and end >= start + 5 else "")
    if not body.isascii() and not head_text.isascii():
        packet.problem = Fault("non_ascii", "", "in the header fields")
    elif not packet.cn:
        packet.problem = Fault("missing_cn", "")
    elif packet.cn not in protocol_words().commands:
        packet.problem = Fault("unknown_command", packet.cn, f"CN={packet.cn}")
    elif packet.cn not in statistics():
        return packet
    elif not packet.mn:
        packet.problem = Fault("missing_mn", "")
    elif twice:
        packet.problem = Fault("duplicate_field", twice, f"{twice} twice in the header")
    elif start < 0 or end < start + 5 or text[end + 2 :].strip("; "):
        packet.problem = Fault("malformed", "", "the data area is not CP=&&…&&")
    return packet


def read_fields(packet: Packet, codes: CodeTable, *, latest: int | None = None) -> Packet:
    """Read the data area of ``packet``: DataTime into ``time``, factors into ``readings``, the rest into ``faults``.

    Parameters
    ----------
    packet : Packet
        From :func:`read_body` or :class:`Assembler`, without ``problem``.
    codes : CodeTable
        Known factor codes.
    latest : int, optional
        Latest time, in seconds since 1970, that is not absurd.
    """
    groups, faults = _groups(packet)
    resolve, marks = codes.resolve, MARKS if packet.version != 2005 else MARKS_2005
    merged: dict[str, dict[str, str]] = {}
    for sent, kinds in groups.items():
        code = resolve(sent)
        if code is None:
            faults.append(Fault("unknown_factor", _text(sent, kinds), f"code {sent}"))
        elif code not in merged:
            merged[code] = kinds
        else:  # the same factor by its old and its new code
            _merge(merged[code], kinds, sent, faults)
    readings = packet.readings
    for code, kinds in merged.items():
        letter = kinds.get("Flag")
        mark = 255 if letter is None else marks.get(letter, -1)
        if mark < 0:
            faults.append(Fault("unknown_mark", f"{code}-Flag={letter}", f"mark {letter!r}"))
            mark = 255
        for kind, text in kinds.items():
            if kind == "Flag":
                continue
            if kind in NUMERIC:
                if NUMBER.fullmatch(text) and -LARGEST < (value := float(text)) < LARGEST:
                    readings.append(Reading(code, kind, value, mark))
                else:
                    faults.append(Fault("unparsable_value", f"{code}-{kind}={text}", f"value {text!r}"))
            elif kind in TEXTUAL:
                packet.extras[code, kind] = text
            else:
                faults.append(Fault("unknown_kind", f"{code}-{kind}={text}", f"kind {kind}"))
    _check_time(packet, latest)
    return packet


def _groups(packet: Packet) -> tuple[dict[str, dict[str, str]], list[Fault]]:
    groups: dict[str, dict[str, str]] = {}
    control, faults, plain = packet.control, packet.faults, packet.cp.isascii()
    for item in packet.cp.replace(",", ";").split(";"):
        if not item:
            continue
        key, equals, value = item.partition("=")
        factor, dash, kind = key.rpartition("-")
        if not equals or (dash and not factor):
            faults.append(Fault("malformed_field", item))
        elif not plain and not item.isascii() and kind != "Info":  # logs are UTF-8 by the standard
            faults.append(Fault("non_ascii", item, "in one field"))
        elif not dash:
            if control.setdefault(key, value) != value:
                faults.append(Fault("duplicate_field", item, f"{key} was {control[key]}"))
        else:
            kinds = groups.get(factor)
            if kinds is None:
                groups[factor] = {kind: value}
            elif kinds.setdefault(kind, value) != value:
                faults.append(Fault("duplicate_field", item, f"{key} was {kinds[kind]}"))
    return groups, faults


def _merge(into: dict[str, str], kinds: dict[str, str], sent: str, faults: list[Fault]) -> None:
    for kind, value in kinds.items():
        if into.setdefault(kind, value) != value:
            faults.append(Fault("duplicate_field", f"{sent}-{kind}={value}", f"was {into[kind]} under the other code"))


def _text(sent: str, kinds: dict[str, str]) -> str:
    return ",".join(f"{sent}-{kind}={value}" for kind, value in kinds.items())


def _check_time(packet: Packet, latest: int | None) -> None:
    text = packet.control.get("DataTime")
    if not text:
        packet.problem = Fault("missing_datatime", "")
        return
    time = seconds_of(text)
    if time is None:
        packet.problem = Fault("bad_time", f"DataTime={text}", f"DataTime {text!r}")
    elif time < OLDEST:
        packet.problem = Fault("time_too_old", f"DataTime={text}", f"DataTime {text}")
    elif latest is not None and time > latest:
        packet.problem = Fault("time_in_future", f"DataTime={text}", f"DataTime {text}, now is at most {EPOCH + timedelta(seconds=latest)}")
    else:
        packet.time = time


def parse_packet(packet: bytes | str, *, codes: CodeTable | None = None, now: datetime | None = None) -> Packet:
    """Read one frame (``##…``) and return its packet.

    Parameters
    ----------
    packet : bytes or str
        A whole frame; line end optional.
    codes : CodeTable, optional
        Known factor codes; the shipped table by default.
    now : datetime, optional
        Local time after which DataTime is absurd; not checked by default.

    Returns
    -------
    Packet
        Fields that could not be read are in ``faults``; commands without data have no ``readings``.

    Raises
    ------
    PacketError
        If the frame is broken or the packet as a whole cannot be used; ``got`` is the reason's code.
    """
    from workbench.catalog.hj212.quarantine import reasons

    raw = packet.encode("utf-8") if isinstance(packet, str) else packet
    frames = list(iter_frames(raw))
    if len(frames) != 1 or frames[0].reason:
        reason = frames[0].reason if frames else "no_header"
        if len(frames) > 1 and not reason:
            raise PacketError("more than one frame", got=f"{len(frames)} frames", allowed="one frame", next_step="use iter_frames")
        detail = frames[0].detail if frames else "no bytes"
        raise PacketError(reasons()[reason].en, got=reason, where=detail)
    result = read_body(frames[0].body)
    if result.problem is None and result.statistic:
        latest = None if now is None else int((now - EPOCH).total_seconds())
        read_fields(result, codes or CodeTable(), latest=latest)
    if result.problem is not None:
        raise PacketError(
            reasons()[result.problem.reason].en, got=result.problem.reason, where=f"MN={result.mn} QN={result.qn} {result.problem.detail}"
        )
    return result


class Assembler:
    """Put sub-packets together, in whatever order they come.

    The parts of one message share MN, ST, CN and QN. Fields are never cut between parts, so the data areas are
    joined with a semicolon. At most ``limit`` messages wait; the oldest is handed on incomplete.
    """

    def __init__(self, limit: int = 2000) -> None:
        self._waiting: dict[tuple[str, str, str, str, int], dict[int, tuple[Packet, Any]]] = {}
        self._limit = limit

    def add(self, packet: Packet, place: Any = None) -> Iterable[tuple[Packet, Any, bool]]:
        """Add a packet; return what is ready as ``(packet, place of its first part, complete)``.

        A packet that is not a sub-packet is handed straight back. A part that came before replaces nothing.
        """
        if packet.pnum <= 1 or not 1 <= packet.pno <= packet.pnum:
            return ((packet, place, True),)
        key = (packet.mn, packet.st, packet.cn, packet.qn, packet.pnum)
        parts = self._waiting.setdefault(key, {})
        parts.setdefault(packet.pno, (packet, place))
        if len(parts) == packet.pnum:
            del self._waiting[key]
            return (_joined(parts, complete=True),)
        if len(self._waiting) > self._limit:
            oldest = next(iter(self._waiting))
            return (_joined(self._waiting.pop(oldest), complete=False),)
        return ()

    def rest(self) -> list[tuple[Packet, Any, bool]]:
        """Return every message that is still incomplete, joined from the parts that came."""
        left = [_joined(parts, complete=False) for parts in self._waiting.values()]
        self._waiting.clear()
        return left


def _joined(parts: dict[int, tuple[Packet, Any]], *, complete: bool) -> tuple[Packet, Any, bool]:
    first, place = parts[min(parts)]
    first.cp = ";".join(parts[number][0].cp for number in sorted(parts))
    return first, place, complete
