"""The listener: answers when the data are safe, survives garbage, stops clean."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
import sys
import time
from datetime import datetime, timedelta
from pathlib import Path

import pandas as pd
import pytest
import xarray as xr

from workbench.catalog.hj212 import Store, allowed_devices, encode_packet, parse_packet
from workbench.catalog.hj212.listen import Listener, answer_to
from workbench.catalog.hj212.quarantine import Quarantine
from workbench.contracts import ParameterError

T = datetime(2026, 3, 1)


def packet(i: int, mn: str = "M1", **options) -> bytes:
    return encode_packet(mn, T + timedelta(minutes=i), {"a21026": 1.0 + i}, **options)


def talk(into: Path, client, **options):
    """Run a listener and ``client(port, listener)`` against it; return the report."""

    async def run():
        with Store(into, native="realtime") as store:
            listener, stop = Listener(store, flush_s=0.05, **options), asyncio.Event()
            ready = asyncio.get_running_loop().create_future()
            serving = asyncio.create_task(listener.serve("127.0.0.1", 0, stop, ready=ready))
            await client(await ready, listener)
            stop.set()
            return await asyncio.wait_for(serving, 20)

    return asyncio.run(run())


def stored(into: Path) -> list[float]:
    with xr.open_zarr(into / "data" / "obs_cems.zarr") as cube:
        return cube["value"].to_numpy().ravel().tolist()


def test_an_answer_means_that_the_data_are_stored(tmp_path):
    into = tmp_path / "store"

    async def client(port, listener):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        for i in range(5):
            writer.write(packet(i))
            answer = parse_packet(await asyncio.wait_for(reader.readuntil(b"\r\n"), 10))
            assert (answer.cn, answer.mn, answer.qn, answer.answer) == ("9014", "M1", f"{T + timedelta(minutes=i):%Y%m%d%H%M%S}000", False)
            assert 1.0 + i in stored(into)
        writer.close()

    report = talk(into, client)
    assert (report.packets, report.stored.new) == (5, 5)


def test_garbage_and_broken_frames_get_no_answer_and_cost_no_other(tmp_path):
    into = tmp_path / "store"

    async def client(port, listener):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        bad = packet(1).replace(b"Rtd=2.0", b"Rtd=9.0")
        writer.write(b"GET / HTTP/1.1\r\n\r\n" + bad + packet(2)[:40])
        await writer.drain()
        await asyncio.sleep(0.1)
        writer.write(packet(2)[40:] + packet(3, answer=False))
        answer = parse_packet(await asyncio.wait_for(reader.readuntil(b"\r\n"), 10))
        assert answer.qn == f"{T + timedelta(minutes=2):%Y%m%d%H%M%S}000"
        writer.write_eof()
        assert await asyncio.wait_for(reader.read(), 10) == b""

    report = talk(into, client)
    assert report.frames_aside["wrong_crc"] == 1
    assert report.frames_aside["no_header"] >= 1
    assert sorted(v for v in stored(into) if v == v) == [3.0, 4.0]
    table = Quarantine(into / "quarantine").read()
    assert table["source"].str.startswith("tcp:127.0.0.1/").all()


def test_a_device_that_is_not_on_the_list_is_set_aside_and_gets_no_answer(tmp_path):
    into = tmp_path / "store"

    async def client(port, listener):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(packet(0, "STRANGER") + packet(1, "M1") + packet(2, "STRANGER"))
        answer = parse_packet(await asyncio.wait_for(reader.readuntil(b"\r\n"), 10))
        assert (answer.mn, answer.cn) == ("M1", "9014")
        writer.write_eof()
        assert await asyncio.wait_for(reader.read(), 10) == b""

    report = talk(into, client, allowed=frozenset({"M1", "M2"}))
    assert (report.packets, report.stored.new) == (1, 1)
    assert report.frames_aside == {"device_not_allowed": 2}
    aside = Quarantine(into / "quarantine").read()
    assert aside["reason"].tolist() == ["device_not_allowed"] * 2
    assert aside["mn"].tolist() == ["STRANGER"] * 2
    assert all("MN=STRANGER" in raw for raw in aside["raw"]), "what was refused is kept, so that it can be read later"
    assert pd.read_parquet(into / "data" / "points.parquet")["point_id"].str.startswith("M1").all()


def test_a_list_of_devices_reads_one_a_line_and_says_what_is_wrong(tmp_path):
    file = tmp_path / "devices.txt"
    file.write_text("\ufeff# town\n51052216080301  # north stack\n\nM-2\n", encoding="utf-8")
    assert allowed_devices(None) is None
    assert allowed_devices(None, ["M9"]) == {"M9"}
    assert allowed_devices(file, ["M9"]) == {"51052216080301", "M-2", "M9"}
    file.write_text("M1\nM1;ST=32\n", encoding="utf-8")
    with pytest.raises(ParameterError, match="line 2"):
        allowed_devices(file)
    file.write_text("# nobody yet\n", encoding="utf-8")
    with pytest.raises(ParameterError, match="names none"):
        allowed_devices(file)
    with pytest.raises(ParameterError, match="cannot read"):
        allowed_devices(tmp_path / "absent.txt")
    with pytest.raises(ParameterError, match="--allow"):
        allowed_devices(None, ["a b"])


def test_silent_and_excess_connections_are_closed(tmp_path):
    async def client(port, listener):
        first, w1 = await asyncio.open_connection("127.0.0.1", port)
        await asyncio.sleep(0.05)
        second, w2 = await asyncio.open_connection("127.0.0.1", port)
        assert await asyncio.wait_for(second.read(), 5) == b""  # one too many
        assert await asyncio.wait_for(first.read(), 5) == b""  # silent for too long
        w1.close()
        w2.close()

    talk(tmp_path / "store", client, idle_s=0.4, max_connections=1)


def test_many_devices_at_once(tmp_path):
    into = tmp_path / "store"

    async def device(port, mn):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        for i in range(5):
            writer.write(packet(i, mn))
        for _ in range(5):
            await asyncio.wait_for(reader.readuntil(b"\r\n"), 20)
        writer.close()

    async def client(port, listener):
        await asyncio.gather(*(device(port, f"M{k:03d}") for k in range(40)))

    report = talk(into, client)
    assert report.stored.new == 200
    assert len(pd.read_parquet(into / "data" / "points.parquet")) == 40


def test_what_protocol_asks_for_an_answer():
    assert b"CN=9013" in answer_to(parse_packet(packet(0, cn="9015")))
    assert b"CN=9014" in answer_to(parse_packet(packet(0, cn="2081")))
    assert b"Flag=8;" in answer_to(parse_packet(packet(0, version=2025)))
    assert answer_to(parse_packet(packet(0, cn="9014"))) is None
    assert answer_to(parse_packet(packet(0, answer=False))) is None
    assert answer_to(parse_packet(packet(0, version=2005))) is None


def test_a_termination_signal_stops_it_clean(tmp_path):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    call = f"listen('127.0.0.1', {port}, Path({str(tmp_path / 'store')!r}), flush_s=30)"
    code = f"from pathlib import Path; from workbench.catalog.hj212 import listen; {call}"
    process = subprocess.Popen([sys.executable, "-c", code], stderr=subprocess.PIPE, env={**os.environ})
    try:
        for _ in range(100):
            try:
                with socket.create_connection(("127.0.0.1", port), timeout=1) as client:
                    client.sendall(packet(7))
                    time.sleep(0.5)
                    process.send_signal(signal.SIGTERM)
                    client.settimeout(20)
                    assert b"CN=9014" in client.recv(4096)  # written and answered on the way out
                break
            except ConnectionRefusedError:
                time.sleep(0.1)
        assert process.wait(20) == 0
        assert process.stderr.read() == b""
    finally:
        process.kill()
        process.stderr.close()
    assert stored(tmp_path / "store") == [8.0]
