"""From files or connections into a store: read, set aside, gather, append."""

from __future__ import annotations

import re
import time as clock
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pandas as pd

from workbench.catalog.hj212.frame import BLOCK, Frame, Framer
from workbench.catalog.hj212.mapping import Key
from workbench.catalog.hj212.parse import EPOCH, Assembler, Fault, Packet, read_body, read_fields
from workbench.catalog.hj212.quarantine import SetAside, reasons
from workbench.catalog.hj212.records import Collector, batch_of
from workbench.catalog.hj212.store import AppendReport, Store
from workbench.contracts import ParameterError

BATCH = 500_000
ASIDE_BATCH = 20_000
FUTURE = timedelta(hours=1)
"""How far DataTime may lie ahead of the clock before it is absurd."""
_MN = re.compile(rb"MN=([0-9A-Za-z_\-]{1,64})")
_CN = re.compile(rb"CN=(\d{4})")


@dataclass
class IngestReport:
    """What an ingest did.

    Attributes
    ----------
    into : Path
        The store.
    files, size : int
        Files read and their bytes.
    packets : int
        Sound packets with data, sub-packets put together counted as one.
    no_data : Counter
        Sound packets that carry no data to store, by command.
    readings : int
        Values read from the packets.
    stored : AppendReport
        New values, values that were there already, values in conflict, by cube.
    frames_aside, fields_aside : Counter
        Set aside as whole frames or packets, and as single fields, by reason.
    crc_devices : Counter
        Packets by (reason, MN) of devices that compute another CRC; the MN is read from an unverified body.
    partial_messages : int
        Messages whose sub-packets did not all come and of which the rest was used.
    seconds : float
        Wall time.
    """

    into: Path
    files: int = 0
    size: int = 0
    packets: int = 0
    no_data: Counter[str] = field(default_factory=Counter)
    readings: int = 0
    stored: AppendReport = field(default_factory=AppendReport)
    frames_aside: Counter[str] = field(default_factory=Counter)
    fields_aside: Counter[str] = field(default_factory=Counter)
    crc_devices: Counter[tuple[str, str]] = field(default_factory=Counter)
    partial_messages: int = 0
    seconds: float = 0.0

    @property
    def accepted(self) -> int:
        """Packets accepted: with data and without."""
        return self.packets + sum(self.no_data.values())

    @property
    def set_aside(self) -> int:
        """Frames and packets set aside as a whole."""
        return sum(self.frames_aside.values())


class Ingestor:
    """The one way into a store, for files and connections alike; :meth:`flush` writes what was gathered.

    Parameters
    ----------
    store : Store
        An open store.
    now : datetime, optional
        Local time; DataTime more than an hour after it is absurd. The clock of Asia/Shanghai by default.
    allowed : set of str, optional
        Devices (MN) whose packets are taken; those of others are set aside. Everybody's by default.
    """

    def __init__(self, store: Store, *, now: datetime | None = None, allowed: frozenset[str] | None = None) -> None:
        self.store, self.report, self._now, self._allowed = store, IngestReport(store.into), now, allowed
        self._values, self._aside, self._assembler = Collector(), list[SetAside](), Assembler()
        self._numbers: dict[tuple[str, str, str], dict[tuple[str, str], int | Fault]] = {}
        self._latest = self.latest()

    def latest(self) -> int:
        """Return the latest time that is not absurd, in seconds since 1970, and keep it."""
        now = self._now or datetime.now(ZoneInfo("Asia/Shanghai")).replace(tzinfo=None)
        self._latest = int((now + FUTURE - EPOCH).total_seconds())
        return self._latest

    def __len__(self) -> int:
        return len(self._values) + len(self._aside)

    @property
    def full(self) -> bool:
        """Whether enough is gathered to be worth writing."""
        return len(self._values) >= BATCH or len(self._aside) >= ASIDE_BATCH

    def take(self, frame: Frame, source: str) -> Packet | None:
        """Take one frame; return its packet where the frame itself is sound and its device may send."""
        if frame.reason:
            self._set_aside_frame(frame, source)
            return None
        packet = read_body(frame.body)
        if packet.problem is None and self._allowed is not None and packet.mn not in self._allowed:
            packet.problem = Fault("device_not_allowed", packet.mn)
        if packet.problem is not None:
            self._set_aside_packet(packet, frame.offset, frame.raw, source)
            return None
        if not packet.statistic:
            self.report.no_data[packet.cn] += 1
            return packet
        for whole, place, complete in self._assembler.add(packet, (frame.offset, frame.raw, source)):
            self._take_packet(whole, *place, complete=complete)
        return packet

    def end_of_source(self) -> None:
        """Use what came of messages whose other sub-packets will not come any more."""
        for whole, place, complete in self._assembler.rest():
            self._take_packet(whole, *place, complete=complete)

    def flush(self) -> None:
        """Append what was gathered to the store, and what was set aside to its table."""
        if len(self._values):
            self.report.stored.add(self.store.append(self._values.take()))
        if self._aside:
            self.store.quarantine.add(self._aside)
            self._aside = []

    def _take_packet(self, packet: Packet, offset: int, raw: bytes, source: str, *, complete: bool) -> None:
        read_fields(packet, self.store.codes, latest=self._latest)
        if packet.problem is not None:
            if not complete and packet.problem.reason == "missing_datatime":
                packet.problem = Fault("incomplete_subpackets", "", f"{packet.pnum} parts announced")
            self._set_aside_packet(packet, offset, raw, source)
            return
        self.report.packets += 1
        self.report.partial_messages += not complete
        for fault in packet.faults:
            self._set_aside_field(packet, fault, offset, source)
        numbers = self._numbers.setdefault((packet.mn, packet.st, packet.cn), {})
        origin, add, time = self._values.source(source), self._values.add, packet.time or 0
        self.report.readings += len(packet.readings)
        for factor, kind, value, mark in packet.readings:
            number = numbers.get((factor, kind))
            if number is None:
                key = Key(packet.mn, packet.st, packet.cn, factor, kind)
                target = self.store.router.target(key)
                number = numbers[factor, kind] = target if isinstance(target, Fault) else self._values.number(key)
            if isinstance(number, Fault):
                self._set_aside_field(packet, Fault(number.reason, f"{number.text}={value}", number.detail), offset, source)
            else:
                add(number, time, value, mark, origin, offset)

    def _set_aside_frame(self, frame: Frame, source: str) -> None:
        mn, cn = (m.group(1).decode() if (m := find.search(frame.body)) else "" for find in (_MN, _CN))
        self.report.frames_aside[frame.reason] += 1
        if frame.reason in ("byte_swapped_modbus_crc", "modbus_crc", "byte_swapped_crc"):
            self.report.crc_devices[frame.reason, mn] += 1
        self._aside.append(SetAside(source, frame.offset, frame.reason, frame.detail, mn, cn, raw=frame.raw))

    def _set_aside_packet(self, packet: Packet, offset: int, raw: bytes, source: str) -> None:
        reason, text, detail = packet.problem or Fault("malformed", "")
        self.report.frames_aside[reason] += 1
        row = SetAside(source, offset, reason, detail, packet.mn, packet.cn, packet.control.get("DataTime", ""), text, raw, "packet")
        self._aside.append(row)

    def _set_aside_field(self, packet: Packet, fault: Fault, offset: int, source: str) -> None:
        self.report.fields_aside[fault.reason] += 1
        when = packet.control.get("DataTime", "")
        self._aside.append(SetAside(source, offset, fault.reason, fault.detail, packet.mn, packet.cn, when, fault.text, unit="field"))


def ingest_files(
    files: Sequence[Path],
    into: Path,
    *,
    mapping: Path | None = None,
    progress: bool = True,
    native: str = "auto",
    now: datetime | None = None,
) -> IngestReport:
    """Read HJ 212 files and append their values to a store, idempotently.

    Parameters
    ----------
    files : sequence of path
        Byte streams or text files of packets, read block by block, in this order.
    into : path
        The store, see :mod:`workbench.catalog.hj212.store`; created where absent.
    mapping : path, optional
        CSV of device and factor to point; by default a point is named ``<MN>-<factor>``.
    progress : bool
        Show a progress bar.
    native : str
        Statistic that a new ``obs_<system>`` holds, see :class:`Store`.
    now : datetime, optional
        Local time after which, with an hour's tolerance, DataTime is absurd; the clock by default.

    Returns
    -------
    IngestReport
        Print it with :func:`print_report`.

    Raises
    ------
    ParameterError
        If a file is not there, or the mapping table cannot be used.
    RunError
        If another process writes in the store.
    """
    for path in files:
        if not Path(path).is_file():
            raise ParameterError("file not found", got=str(path), next_step="give HJ 212 packet files")
    started = clock.perf_counter()
    with Store(Path(into), mapping=mapping, native=native) as store:
        ingestor = Ingestor(store, now=now)
        for path in _with_progress([Path(f) for f in files], ingestor, show=progress):
            ingestor.report.files += 1
            ingestor.report.size += path.stat().st_size
        ingestor.end_of_source()
        ingestor.flush()
    ingestor.report.seconds = clock.perf_counter() - started
    return ingestor.report


def append_records(records: pd.DataFrame, into: Path, *, mapping: Path | None = None, native: str = "auto") -> AppendReport:
    """Append a table of records to a store.

    Parameters
    ----------
    records : DataFrame
        As :func:`~workbench.catalog.hj212.records.records` returns it.
    into, mapping, native
        As for :func:`ingest_files`.

    Raises
    ------
    RunError
        If another process writes in the store.
    """
    with Store(Path(into), mapping=mapping, native=native) as store:
        return store.append(batch_of(records))


def _with_progress(files: list[Path], ingestor: Ingestor, *, show: bool) -> Iterable[Path]:
    from tqdm import tqdm

    total = sum(f.stat().st_size for f in files)
    with tqdm(total=total, unit="B", unit_scale=True, desc="HJ 212", disable=not show) as bar:
        for path in files:
            framer, source = Framer(), path.name
            with path.open("rb") as stream:
                while data := stream.read(BLOCK):
                    for frame in framer.feed(data):
                        ingestor.take(frame, source)
                    if ingestor.full:
                        ingestor.flush()
                    bar.update(len(data))
            for frame in framer.finish():
                ingestor.take(frame, source)
            yield path


def reason_words(code: str) -> tuple[str, str]:
    """Return the Chinese and English words of a reason."""
    reason = reasons()[code]
    return reason.zh, reason.en
