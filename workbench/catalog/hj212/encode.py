"""Build packets: for tests, the walk-through and a simulator of devices."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from workbench.catalog.hj212.crc import crc16
from workbench.contracts import MARK_LETTERS, Mark, ParameterError

VERSION_BITS = {2005: 0, 2017: 1, 2025: 2}
LETTERS = {mark: letter for letter, mark in MARK_LETTERS.items()}


def encode_frame(body: bytes) -> bytes:
    """Return ``body`` as a frame: ``##``, length, body, CRC, CRLF.

    Raises
    ------
    ParameterError
        If the body is longer than 9,999 bytes; split it into sub-packets.
    """
    if len(body) > 9999:
        raise ParameterError(
            "body too long for one frame", got=len(body), allowed="at most 9999 bytes", next_step="split it into sub-packets"
        )
    return b"##%04d%s%04X\r\n" % (len(body), body, crc16(body))


def encode_packet(
    mn: str,
    time: datetime | None,
    values: Mapping[str, float | Mapping[str, object]] | None = None,
    *,
    cn: str = "2011",
    st: str = "31",
    qn: str | None = None,
    pw: str = "123456",
    version: int = 2017,
    answer: bool = True,
    mark: Mark | str | None = Mark.NORMAL,
    pnum: int = 0,
    pno: int = 0,
    control: Mapping[str, str] | None = None,
) -> bytes:
    """Return a whole frame.

    Parameters
    ----------
    mn : str
        Device identifier.
    time : datetime or None
        DataTime, local; None leaves it out.
    values : mapping, optional
        Factor code → number (kind ``Rtd`` for CN 2011, else ``Avg``) or → mapping of kind → number or text, such as
        ``{"a21026": {"Avg": 12.5, "ZsAvg": 13.1, "Flag": "C"}}``.
    cn, st, qn, pw : str
        Header fields; ``qn`` defaults to ``time``; an empty text leaves a field out.
    version : {2005, 2017, 2025}
        2005 packets carry no Flag.
    answer : bool
        Ask for an answer.
    mark : Mark, str or None
        Flag of every factor that brings none of its own; None leaves it out.
    pnum, pno : int
        Sub-packet numbers; 0 leaves them out.
    control : mapping, optional
        Fields of the data area that belong to no factor.
    """
    if version not in VERSION_BITS:
        raise ParameterError("unknown version of HJ 212", got=version, allowed=sorted(VERSION_BITS))
    stamp = f"{time:%Y%m%d%H%M%S}" if time is not None else ""
    head = {"QN": stamp + "000" if qn is None and stamp else qn or "", "ST": st, "CN": cn, "PW": pw, "MN": mn}
    if version != 2005:
        head["Flag"] = str(VERSION_BITS[version] << 2 | (2 if pnum else 0) | int(answer))
    if pnum:
        head |= {"PNUM": str(pnum), "PNO": str(pno)}
    letter = "" if mark is None else mark if isinstance(mark, str) else LETTERS[mark]
    area = [f"DataTime={stamp}"] if stamp else []
    area += [f"{key}={text}" for key, text in (control or {}).items()]
    for code, given in (values or {}).items():
        kinds: dict[str, object] = dict(given) if isinstance(given, Mapping) else {"Rtd" if cn == "2011" else "Avg": given}
        if letter:
            kinds.setdefault("Flag", letter)
        area.append(",".join(f"{code}-{kind}={value}" for kind, value in kinds.items()))
    text = ";".join(f"{key}={value}" for key, value in head.items() if value) + f";CP=&&{';'.join(area)}&&"
    return encode_frame(text.encode("utf-8"))
