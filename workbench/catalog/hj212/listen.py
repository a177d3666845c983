"""Receive HJ 212 from devices over TCP and write it into a store.

A device that asks for an answer (Flag bit A) gets it when its values are stored, not before: an answer means that the
data are safe. Devices that send broken frames get none and send again. One process writes in a store at a time.
"""

from __future__ import annotations

import asyncio
import signal
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from zoneinfo import ZoneInfo

from workbench.catalog.hj212.encode import encode_frame
from workbench.catalog.hj212.frame import Framer
from workbench.catalog.hj212.ingest import Ingestor, IngestReport
from workbench.catalog.hj212.parse import Packet
from workbench.catalog.hj212.store import Store

NOTICES = frozenset({"1013", "2072", "9015"})
"""Commands answered as a notice (9013); data and the start of a logger are answered with 9014."""
ANSWERS = frozenset({"9011", "9012", "9013", "9014"})
READ_SIZE = 1 << 16
MOST_BROKEN = 1000
"""Broken frames in a row after which a connection is closed: whatever sends them is not a device."""


def answer_to(packet: Packet) -> bytes | None:
    """Return the answer that the protocol asks for, None where it asks for none."""
    if not packet.answer or packet.cn in ANSWERS or not packet.mn:
        return None
    command = "9013" if packet.cn in NOTICES else "9014"
    version_bits = (packet.flag or 0) & ~0b11
    head = {"QN": packet.qn, "ST": "91", "CN": command, "PW": packet.pw, "MN": packet.mn, "Flag": str(version_bits)}
    return encode_frame((";".join(f"{k}={v}" for k, v in head.items() if v) + ";CP=&&&&").encode("latin-1"))


class Listener:
    """A server in front of one store.

    Parameters
    ----------
    store : Store
        An open store.
    flush_s : float
        Seconds between writes; also the longest a device waits for its answer, write time apart.
    idle_s : float
        A connection silent for so long is closed.
    max_connections : int
        Further connections are refused.
    allowed : set of str, optional
        Devices (MN) that may send; what others send is set aside and gets no answer.
    """

    def __init__(
        self,
        store: Store,
        *,
        flush_s: float = 2.0,
        idle_s: float = 900.0,
        max_connections: int = 4096,
        allowed: frozenset[str] | None = None,
    ) -> None:
        self._ingestor = Ingestor(store, allowed=allowed)
        self._flush_s, self._idle_s, self._max = flush_s, idle_s, max_connections
        self._answers: list[tuple[asyncio.StreamWriter, bytes]] = []
        self._writers: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._writing = asyncio.Lock()
        self._last = 0

    @property
    def report(self) -> IngestReport:
        """Counts so far."""
        return self._ingestor.report

    async def serve(self, host: str, port: int, stop: asyncio.Event, *, ready: asyncio.Future[int] | None = None) -> IngestReport:
        """Serve until ``stop`` is set; then close the connections, write what is left and return the counts.

        ``ready`` receives the port that is listened on (for port 0).
        """
        server = await asyncio.start_server(self._connection, host, port, limit=READ_SIZE)
        if ready is not None:
            ready.set_result(server.sockets[0].getsockname()[1])
        try:
            while not stop.is_set():
                with suppress(asyncio.TimeoutError):
                    await asyncio.wait_for(stop.wait(), self._flush_s)
                await self.flush()
        finally:
            server.close()
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)
            self._ingestor.end_of_source()
            await self.flush()
            for writer in list(self._writers):
                writer.close()
            for writer in list(self._writers):
                with suppress(TimeoutError, ConnectionError):
                    await asyncio.wait_for(writer.wait_closed(), 1.0)
        return self.report

    async def flush(self) -> None:
        """Write what came, then answer the devices that asked."""
        async with self._writing:
            answers, self._answers = self._answers, []
            if len(self._ingestor):
                self._ingestor.latest()
                await asyncio.to_thread(self._ingestor.flush)
            for writer, answer in answers:
                if not writer.is_closing():
                    writer.write(answer)

    async def _connection(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        if len(self._writers) >= self._max or task is None:
            writer.close()
            return
        self._writers.add(writer)
        self._tasks.add(task)
        framer, peer = Framer(), str((writer.get_extra_info("peername") or ("?",))[0])
        try:
            await self._read(framer, reader, writer, peer)
            await self._take(framer, None, peer, writer)
        except (TimeoutError, ConnectionError):
            await self._take(framer, None, peer, writer)  # silent or gone: what it sent is kept
        except asyncio.CancelledError:
            return  # closing down: the last answers go out before the connection is closed
        finally:
            self._tasks.discard(task)
        await self.flush()
        self._writers.discard(writer)
        writer.close()

    async def _read(self, framer: Framer, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, peer: str) -> None:
        broken = 0
        while broken < MOST_BROKEN:
            data = await asyncio.wait_for(reader.read(READ_SIZE), self._idle_s)
            if not data:
                return
            sound, bad = await self._take(framer, data, peer, writer)
            broken = bad if sound else broken + bad

    async def _take(self, framer: Framer, data: bytes | None, peer: str, writer: asyncio.StreamWriter) -> tuple[int, int]:
        """Take the frames that ``data`` completes; return how many were sound and how many broken."""
        count = [0, 0]
        async with self._writing:  # not while the gathered values are being written
            for frame in framer.feed(data) if data is not None else framer.finish():
                # a stream has no offsets that last: the time of arrival stands for them, in microseconds
                now = datetime.now(ZoneInfo("Asia/Shanghai"))
                self._last = max(self._last + 1, int(now.timestamp() * 1e6))
                packet = self._ingestor.take(frame._replace(offset=self._last), f"tcp:{peer}/{now:%Y-%m-%d}")
                count[packet is None] += 1
                answer = answer_to(packet) if packet is not None else None
                if answer is not None:
                    self._answers.append((writer, answer))
        return count[0], count[1]


def listen(
    host: str,
    port: int,
    into: Path,
    *,
    mapping: Path | None = None,
    allowed: frozenset[str] | None = None,
    flush_s: float = 2.0,
    idle_s: float = 900.0,
    native: str = "realtime",
) -> IngestReport:
    """Receive packets on ``host:port`` and append them to the store ``into`` until interrupted (SIGINT or SIGTERM).

    Parameters
    ----------
    host, port : str, int
        Where to listen.
    into, mapping
        As for :func:`~workbench.catalog.hj212.ingest.ingest_files`.
    allowed : set of str, optional
        Devices (MN) that may send (:func:`~workbench.catalog.hj212.devices.allowed_devices`); everybody by default.
    flush_s : float
        Seconds between writes.
    idle_s : float
        A connection silent for so long is closed.
    native : str
        Statistic of a new ``obs_<system>``; not ``auto``, since the first packet to arrive would decide.

    Returns
    -------
    IngestReport
        What came in.

    Raises
    ------
    RunError
        If another process writes in the store.
    """

    async def run() -> IngestReport:
        stop, loop = asyncio.Event(), asyncio.get_running_loop()
        for name in (signal.SIGINT, signal.SIGTERM):
            with suppress(NotImplementedError, RuntimeError):  # not in the main thread: the caller ends it
                loop.add_signal_handler(name, stop.set)
        return await Listener(store, flush_s=flush_s, idle_s=idle_s, allowed=allowed).serve(host, port, stop)

    with Store(Path(into), mapping=mapping, native=native) as store:
        return asyncio.run(run())
