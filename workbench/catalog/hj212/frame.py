"""From a stream of bytes to frames: ``##`` + four-digit length + body + four hex digits of CRC + CRLF.

The reader finds its way again after garbage: a broken frame is handed on with its reason, and the search goes on
inside it, so that only the bad frame is lost. CRLF may be LF or missing. Nothing is held but one frame and one block.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, NamedTuple

from workbench.catalog.hj212.crc import crc16, diagnose

HEADER = re.compile(rb"##\d{4}")
BLOCK = 1 << 20
HEAD, TAIL = 6, 4
LONGEST = HEAD + 9999 + TAIL + 2
_HEX = re.compile(rb"[0-9A-Fa-f]{4}")


class Frame(NamedTuple):
    """One frame, or one stretch of bytes that is not a frame.

    Attributes
    ----------
    offset : int
        Position of the first byte in the stream.
    body : bytes
        What the length counts; the whole stretch where there is no header.
    raw : bytes
        The bytes as they stood, without line end.
    reason : str
        Empty for a sound frame, else a code of ``reasons.yml``.
    detail : str
        What exactly is wrong, in English, for the quarantine table.
    """

    offset: int
    body: bytes
    raw: bytes
    reason: str = ""
    detail: str = ""


class Framer:
    """Incremental frame reader: :meth:`feed` bytes as they come, :meth:`finish` at the end of the stream."""

    def __init__(self) -> None:
        self._buffer = b""
        self._offset = 0

    @property
    def pending(self) -> int:
        """Number of bytes held back because the frame they belong to is not complete yet."""
        return len(self._buffer)

    def feed(self, data: bytes) -> Iterator[Frame]:
        """Yield every frame that ``data`` completes."""
        self._buffer += data
        yield from self._scan(final=False)

    def finish(self) -> Iterator[Frame]:
        """Yield what is left, a truncated frame included."""
        yield from self._scan(final=True)

    def _scan(self, *, final: bool) -> Iterator[Frame]:
        buffer, at, end = self._buffer, 0, len(self._buffer)
        try:
            while at < end:
                found = HEADER.match(buffer, at) or HEADER.search(buffer, at)
                if found is None:
                    keep = at if final else max(at, end - HEAD + 1)
                    junk_end = end if final else keep
                    if junk_end > at:
                        yield from self._junk(buffer, at, junk_end)
                        at = junk_end
                    return
                start = found.start()
                if start > at:
                    yield from self._junk(buffer, at, start)
                    at = start
                stop = start + HEAD + int(buffer[start + 2 : start + HEAD])
                if not final and end - start < LONGEST and _wants_more(buffer, start, stop):
                    return
                frame, at = _cut(buffer, start, stop, self._offset)
                yield frame
        finally:
            self._buffer = buffer[at:]
            self._offset += at

    def _junk(self, buffer: bytes, start: int, stop: int) -> Iterator[Frame]:
        junk = buffer[start:stop]
        if junk.strip(b"\r\n\t \x00\x1a\xef\xbb\xbf"):
            lead = len(junk) - len(junk.lstrip(b"\r\n\t "))
            text = junk.strip(b"\r\n\t ")
            yield Frame(self._offset + start + lead, text, text, "no_header", "bytes without a ## header and a four-digit length")


def _wants_more(buffer: bytes, start: int, stop: int) -> bool:
    """Tell whether the frame at ``start`` may still become sound, or its end be found, with bytes yet to come."""
    if buffer.find(b"\n", start) >= 0:
        return False
    if stop + TAIL > len(buffer):
        return True
    return crc16(buffer[start + HEAD : stop]) != _hex(buffer[stop : stop + TAIL]) and len(buffer) > stop + TAIL


def _hex(text: bytes) -> int:
    return int(text, 16) if _HEX.fullmatch(text) else -1


def _cut(buffer: bytes, start: int, stop: int, base: int) -> tuple[Frame, int]:
    """Return the frame that starts at ``start`` and the position where the search goes on."""
    body, check = buffer[start + HEAD : stop], buffer[stop : stop + TAIL]
    fits = len(check) == TAIL and _HEX.fullmatch(check) is not None and b"\n" not in body
    if fits and crc16(body) == int(check, 16):
        after = stop + TAIL
        raw = buffer[start:after]
        if buffer[after : after + 2] == b"\r\n":
            after += 2
        elif buffer[after : after + 1] in (b"\n", b"\r"):
            after += 1
        return Frame(base + start, body, raw), after
    end = _line_end(buffer, start)
    raw = buffer[start:end].rstrip(b"\r\n ")
    if fits and len(raw) == stop + TAIL - start:
        reason = "non_ascii" if not body.isascii() else diagnose(body, int(check, 16))
        detail = f"CRC sent {check.decode().upper()}, computed {crc16(body):04X}"
        return Frame(base + start, body, raw, reason, detail), end
    declared, got = stop - start - HEAD, len(raw) - HEAD - TAIL
    body = raw[HEAD:-TAIL] if got > 0 else raw[HEAD:]
    reason = "non_ascii" if not raw.isascii() else "wrong_length"
    return Frame(base + start, body, raw, reason, f"length says {declared}, the frame holds {max(got, 0)}"), end


def _line_end(buffer: bytes, start: int) -> int:
    """Return where a broken frame ends: at its line end, or where the next header begins."""
    following = HEADER.search(buffer, start + 2)
    newline = buffer.find(b"\n", start)
    ends = [start + LONGEST, len(buffer)]
    if following is not None:
        ends.append(following.start())
    if newline >= 0:
        ends.append(newline + 1)
    return min(ends)


def iter_frames(source: bytes | str | Path | BinaryIO, *, block: int = BLOCK) -> Iterator[Frame]:
    """Yield the frames of a byte string, a file or a binary stream, sound and broken ones, in order.

    Parameters
    ----------
    source : bytes, path or binary file
        A byte stream or a text file, one frame per line or not. A ``str`` is a path.
    block : int
        Bytes read at a time; never more than one block and one frame is held.

    Yields
    ------
    Frame
        ``reason`` is empty for a sound frame.
    """
    if isinstance(source, (str, Path)):
        with Path(source).open("rb") as stream:
            yield from iter_frames(stream, block=block)
        return
    framer = Framer()
    if isinstance(source, bytes):
        yield from framer.feed(source)
    else:
        while data := source.read(block):
            yield from framer.feed(data)
    yield from framer.finish()
