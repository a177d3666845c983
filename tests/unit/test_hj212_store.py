"""The store of HJ 212: idempotent, order-free, conflicts and quarantine kept, statistics never mixed."""

from __future__ import annotations

import hashlib
import io
import itertools
import os
import random
import signal
import subprocess
import sys
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from rich.console import Console

from workbench.catalog.hj212 import (
    Ingestor,
    Store,
    append_records,
    encode_frame,
    encode_packet,
    ingest_files,
    iter_frames,
    parse_packet,
    print_report,
    records,
)
from workbench.catalog.hj212.crc import modbus_crc16, swapped
from workbench.catalog.hj212.quarantine import Quarantine
from workbench.catalog.hj212.store import choose_interval
from workbench.contracts import CUBES, TABLES, ParameterError, RunError, check_cube, check_table

T = datetime(2026, 3, 1)


def minute(i: float) -> datetime:
    return T + timedelta(minutes=i)


def write(path: Path, *frames: bytes) -> Path:
    path.write_bytes(b"".join(frames))
    return path


def ingest(into: Path, *frames: bytes, name: str = "packets.txt", **options):
    file = write(into.parent / name, *frames)
    return ingest_files([file], into, progress=False, now=datetime(2026, 6, 1), **options)


def values(into: Path, cube: str = "obs_cems") -> pd.DataFrame:
    """Filled cells as a sorted table of point, time, value, mark."""
    with xr.open_zarr(into / "data" / f"{cube}.zarr") as ds:
        frame = ds.load().to_dataframe().reset_index().dropna(subset="value")
    frame["point"] = frame["point"].astype(object).map(str)
    return frame.sort_values(["point", "time"], ignore_index=True)[["point", "time", "value", "mark"]]


def fingerprint(into: Path) -> dict[str, str]:
    return {str(p.relative_to(into)): hashlib.sha256(p.read_bytes()).hexdigest() for p in sorted(into.rglob("*")) if p.is_file()}


def series(n: int = 20, mn: str = "M1") -> list[bytes]:
    return [encode_packet(mn, minute(6 * i), {"a21026": 10.0 + i, "a19001": 8.0}) for i in range(n)]


def test_a_new_store_opens_as_a_catalog_in_the_contract(tmp_path):
    into = tmp_path / "store"
    report = ingest(into, *series(), encode_packet("W1", T, {"w01018": 40.0}, st="32"))
    assert (report.packets, report.readings, report.stored.new, report.stored.new_points) == (21, 41, 41, 3)
    for name in ("enterprises", "outlets", "points"):
        assert check_table(name, pd.read_parquet(into / "data" / f"{name}.parquet")) == []
    points = pd.read_parquet(into / "data" / "points.parquet")
    assert points["point_id"].tolist() == ["M1-a19001", "M1-a21026", "W1-w01018"]
    assert points["unit"].tolist() == ["%", "mg/m³", "mg/L"]
    for name in ("obs_cems", "obs_wastewater"):
        with xr.open_zarr(into / "data" / f"{name}.zarr") as cube:
            assert check_cube(name, cube, points) == []
            assert cube.attrs["system"] == CUBES[name].value
    got = values(into)
    assert got.loc[got["point"] == "M1-a21026", "value"].tolist() == [10.0 + i for i in range(20)]
    assert set(got["mark"]) == {0}
    assert np.diff(got.loc[got["point"] == "M1-a21026", "time"]).astype("timedelta64[s]").astype(int).tolist() == [360] * 19


def test_the_store_opens_through_the_catalog(tmp_path):
    from workbench.catalog import open_catalog

    into = tmp_path / "store"
    ingest(into, *series())
    catalog = open_catalog(into / "catalog.yml")
    assert {"enterprises", "outlets", "points", "obs_cems"} <= set(catalog.entries)
    assert [b for b in catalog.check() if b.level == "error"] == []


def test_the_same_packets_again_change_no_byte(tmp_path):
    into = tmp_path / "store"
    frames = [*series(), encode_packet("M1", minute(0), {"a21026": 99.0}), b"junk\r\n", encode_packet("M1", minute(6), {"zz1": 1.0})]
    first = ingest(into, *frames)
    before = fingerprint(into)
    second = ingest(into, *frames)
    assert fingerprint(into) == before
    assert (first.stored.new, first.stored.conflicts) == (40, 1)
    assert (second.stored.new, second.stored.same, second.stored.conflicts, second.stored.new_points) == (0, 40, 0, 0)
    ingest(into, *frames[:20], name="the_same_under_another_name.txt")
    assert fingerprint(into) == before


@pytest.mark.parametrize("seed", range(6))
def test_late_and_out_of_order_data_land_in_place(tmp_path, seed):
    frames = series(15) + series(15, "M2") + [encode_packet("M1", minute(6 * 3000), {"a21026": 5.0})]
    ingest(tmp_path / "in_order", *frames)
    mixed = frames[:]
    random.Random(seed).shuffle(mixed)
    step = -(-len(mixed) // (1 + seed % 4))
    for i in range(0, len(mixed), step):
        ingest(tmp_path / "mixed", *mixed[i : i + step])
    pd.testing.assert_frame_equal(values(tmp_path / "mixed"), values(tmp_path / "in_order"))


def test_data_before_the_first_time_and_new_points_across_chunks(tmp_path):
    into = tmp_path / "store"
    ingest(into, *series(3))
    for k in range(40):  # more points than one chunk holds
        ingest(into, encode_packet(f"N{k:02d}", minute(6 * k), {"a21026": float(k)}))
    ingest(into, encode_packet("M1", minute(-6 * 8000), {"a21026": -1.0}))  # more times than one chunk holds
    got = values(into)
    assert got.loc[got["point"] == "M1-a21026", "value"].tolist() == [-1.0, 10.0, 11.0, 12.0]
    assert got.loc[got["point"].str.startswith("N"), "value"].tolist() == [float(k) for k in range(40)]
    assert got["time"].min() == pd.Timestamp(minute(-6 * 8000))
    with xr.open_zarr(into / "data" / "obs_cems.zarr") as cube:
        assert check_cube("obs_cems", cube) == []
    assert sorted(p.name for p in (into / "data").iterdir() if p.name.endswith((".old", ".new", ".building"))) == []


def test_another_value_for_the_same_cell_is_kept_aside(tmp_path):
    into = tmp_path / "store"
    report = ingest(
        into, *series(3), encode_packet("M1", minute(6), {"a21026": 77.0}), encode_packet("M1", minute(12), {"a21026": 12.0}, mark="C")
    )
    assert report.stored.conflicts == 2
    with Store(into) as store:
        table = store.conflicts()
    assert table["kind"].tolist() == ["other value", "other mark"]
    first = table.iloc[0]
    assert (first["point_id"], first["kept_value"], first["other_value"]) == ("M1-a21026", 11.0, 77.0)
    assert first["source"] == "packets.txt"
    assert first["offset"] > 0
    assert values(into)["value"].max() == 12.0  # the first stays


def test_more_values_than_the_grid_holds_are_kept_aside(tmp_path):
    into = tmp_path / "store"
    ingest(into, *series(4))
    ingest(into, encode_packet("M1", minute(3), {"a21026": 10.5}), name="finer.txt")
    with Store(into) as store:
        table = store.conflicts()
    assert table["kind"].tolist() == ["several in one step"]
    assert table["sent_time"].tolist() == [pd.Timestamp(minute(3))]


def test_a_mark_that_comes_later_completes_the_value(tmp_path):
    into = tmp_path / "store"
    for mark in (None, "C", None):
        report = ingest(into, encode_packet("M1", T, {"a21026": 5.0}, mark=mark))
        assert report.stored.conflicts == 0
    assert values(into)["mark"].tolist() == [5]


def test_statistics_and_kinds_are_never_mixed(tmp_path):
    into = tmp_path / "store"
    hour = {"a21026": {"Avg": 12.0, "Min": 9.0, "Max": 15.0, "ZsAvg": 13.0}}
    ingest(
        into,
        *series(3),
        encode_packet("M1", T, hour, cn="2061"),
        encode_packet("M1", T, {"a21026": 11.0}, cn="2031"),
        encode_packet("M1", T, {"a21026": {"Rtd": 1.5, "ZsRtd": 2.5}}, cn="2011"),
    )
    assert values(into, "hour_cems")["value"].tolist() == [12.0]
    assert values(into, "hour_cems_min")["value"].tolist() == [9.0]
    assert values(into, "hour_cems_zsavg")["value"].tolist() == [13.0]
    assert values(into, "day_cems")["value"].tolist() == [11.0]
    assert values(into, "realtime_cems_zsrtd")["value"].tolist() == [2.5]
    assert values(into)["value"].max() == 12.0
    assert "hour_cems" not in (into / "catalog.yml").read_text(encoding="utf-8")


def test_an_existing_cube_decides_what_it_holds(tmp_path):
    into = tmp_path / "store"
    ingest(into, encode_packet("A1", T, {"a34004": 30.0}, cn="2061", st="22"))
    ingest(into, encode_packet("A1", T, {"a34004": 33.0}, st="22"))
    assert values(into, "obs_ambient")["value"].tolist() == [30.0]
    assert values(into, "realtime_ambient")["value"].tolist() == [33.0]


def test_a_cube_written_by_others_is_appended_to_with_its_own_grid_and_units(tmp_path):
    into, data = tmp_path / "store", tmp_path / "store" / "data"
    data.mkdir(parents=True)
    time = pd.date_range(T, periods=10, freq="6min")
    cube = xr.Dataset(
        {
            "value": (("point", "time"), np.full((2, 10), np.nan, np.float32), {"unit": "see points"}),
            "mark": (("point", "time"), np.full((2, 10), 255, np.uint8)),
        },
        coords={"point": ["P1", "P2"], "time": time},
    )
    cube.to_zarr(
        data / "obs_cems.zarr", encoding={"time": {"units": "minutes since 2026-01-01", "dtype": "int64"}}, zarr_format=3, consolidated=True
    )
    row = {c: "" if s.dtype == "str" else None for c, s in TABLES["points"].columns.items()}
    pd.DataFrame([{**row, "point_id": "P1", "system": "cems", "factor": "a00000", "unit": "m³/h"}]).to_parquet(data / "points.parquet")
    mapping = tmp_path / "map.csv"
    mapping.write_text("mn,factor,point_id\nM1,a00000,P1\n", encoding="utf-8")
    report = ingest(into, *[encode_packet("M1", minute(6 * i), {"a00000": 2.0}) for i in (0, 5, 20)], mapping=mapping)
    got = values(into)
    assert report.stored.new_points == 0
    assert got["point"].unique().tolist() == ["P1"]
    assert got["value"].tolist() == [7200.0] * 3  # m³/s sent, m³/h kept
    assert got["time"].tolist() == [pd.Timestamp(minute(6 * i)) for i in (0, 5, 20)]


def test_a_mapping_names_points_and_systems(tmp_path):
    into, mapping = tmp_path / "store", tmp_path / "map.csv"
    mapping.write_text(
        "mn,factor,point_id,system,point_factor,enterprise_id,lon\nM1,i33200,E1-P1,power,power,E1,118.4\nM1,a21026,E1-P2,,,E1,\n",
        encoding="utf-8",
    )
    ingest(into, encode_packet("M1", T, {"i33200": 30.0, "a21026": 5.0}), mapping=mapping)
    assert values(into, "obs_power")["point"].tolist() == ["E1-P1"]
    points = pd.read_parquet(into / "data" / "points.parquet").set_index("point_id")
    assert points.loc["E1-P1", ["factor", "enterprise_id", "lon"]].tolist() == ["power", "E1", 118.4]
    assert points.loc["E1-P2", "factor"] == "a21026"
    ingest(into, encode_packet("M1", minute(1), {"i33200": 31.0}))  # the points table remembers the device
    assert len(pd.read_parquet(into / "data" / "points.parquet")) == 2


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("mn,factor\nM1,a21026\n", "lacks columns"),
        ("mn,factor,point_id\nM1,a,P\nM1,a,Q\n", "twice"),
        ("mn,factor,point_id,system\nM1,a,P,cem\n", "unknown system"),
    ],
)
def test_a_bad_mapping_is_refused_before_anything_is_written(tmp_path, text, what):
    (tmp_path / "map.csv").write_text(text, encoding="utf-8")
    with pytest.raises(ParameterError, match=what):
        ingest(tmp_path / "store", *series(1), mapping=tmp_path / "map.csv")
    assert not (tmp_path / "store").exists()


def test_what_is_set_aside_is_counted_kept_and_kept_once(tmp_path):
    into = tmp_path / "store"
    body = encode_packet("M7", T, {"a21026": 1.0})[6:-6]
    swapped_crc = b"##%04d%s%04X\r\n" % (len(body), body, swapped(modbus_crc16(body)))
    frames = [
        *series(2),
        swapped_crc,
        b"junk\xff\r\n",
        encode_packet("M1", datetime(2027, 1, 1), {"a21026": 1.0}),
        encode_packet("M1", minute(6), {"zz1": 1.0}),
        encode_packet("M1", minute(6), {"LA": 60.0}, st="23"),
        encode_packet("M1", T, cn="9014"),
    ]
    report = ingest(into, *frames)
    assert report.frames_aside == {"byte_swapped_modbus_crc": 1, "no_header": 1, "time_in_future": 1}
    assert report.fields_aside == {"unknown_factor": 1, "no_system": 1}
    assert report.crc_devices == {("byte_swapped_modbus_crc", "M7"): 1}
    assert (report.accepted, report.set_aside, report.no_data["9014"]) == (5, 3, 1)
    table = Quarantine(into / "quarantine").read()
    assert len(table) == 5
    bad = table.set_index("reason").loc["byte_swapped_modbus_crc"]
    assert (bad["mn"], bad["source"], bad["raw"]) == ("M7", "packets.txt", swapped_crc[:-2].decode())
    assert bytes.fromhex(table.set_index("reason").loc["no_header", "raw_hex"]) == b"junk\xff"
    assert (table[["reason_zh", "reason_en"]] != "").all(axis=None)
    ingest(into, *frames)
    pd.testing.assert_frame_equal(Quarantine(into / "quarantine").read(), table)
    out = Console(file=io.StringIO(), width=120)
    print_report(report, out)
    text = out.file.getvalue()
    assert "byte-swapped Modbus CRC" in text
    assert "M7" in text


def test_sub_packets_are_put_together_and_a_lost_part_costs_only_itself(tmp_path):
    into = tmp_path / "store"
    whole = [
        encode_packet("M1", T if i == 1 else None, {c: 1.0}, qn="20260301000000001", pnum=2, pno=i)
        for i, c in ((2, "a19001"), (1, "a21026"))
    ]
    part = encode_packet("M2", T, {"a21026": 2.0}, qn="20260301000000002", pnum=2, pno=1)
    lone = encode_packet("M3", None, {"a21026": 3.0}, qn="20260301000000003", pnum=2, pno=2)
    report = ingest(into, *whole, part, lone)
    assert values(into)["point"].tolist() == ["M1-a19001", "M1-a21026", "M2-a21026"]
    assert report.partial_messages == 1
    assert report.frames_aside == {"incomplete_subpackets": 1}


def test_records_can_be_appended_from_a_notebook(tmp_path):
    table = records(parse_packet(f) for f in series(4))
    report = append_records(table, tmp_path / "store")
    assert report.new == 8
    assert values(tmp_path / "store")["value"].max() == 13.0


def test_batches_of_one_run_may_hold_different_systems(tmp_path):
    with Store(tmp_path / "store") as store:
        ingestor = Ingestor(store, now=datetime(2026, 6, 1))
        for frame in (*series(2), encode_packet("W1", T, {"w01018": 40.0}, st="32"), *series(4)):
            ingestor.take(next(iter_frames(frame)), "stream")
            ingestor.flush()
    assert values(tmp_path / "store")["value"].max() == 13.0
    assert values(tmp_path / "store", "obs_wastewater")["value"].tolist() == [40.0]


def test_two_writers_are_refused(tmp_path):
    with Store(tmp_path / "store"), pytest.raises(RunError, match="another process"):
        Store(tmp_path / "store")


def test_a_catalog_of_the_users_own_is_left_alone(tmp_path):
    into = tmp_path / "store"
    into.mkdir()
    (into / "catalog.yml").write_text("version: 2\n", encoding="utf-8")
    ingest(into, *series(1))
    assert (into / "catalog.yml").read_text(encoding="utf-8") == "version: 2\n"


def test_the_grid_follows_the_commonest_step():
    rows = np.repeat([0, 1], 6)
    times = np.array([0, 360, 720, 1085, 1440, 1800, 0, 360, 720, 1080, 1440, 1800], dtype=np.int64)
    assert choose_interval(rows, times, "realtime") == 360
    gappy = np.array([0, 720, 1080, 2160, 2880, 3960, 0, 1080, 1800, 2160, 2880, 3600], dtype=np.int64)
    assert choose_interval(rows, gappy, "realtime") == 360
    assert choose_interval(rows[:1], times[:1], "realtime") == 60
    assert choose_interval(rows, times, "hour") == 3600


KILL = """
import os, signal, sys
from pathlib import Path
from workbench.catalog.hj212 import ingest_files
from workbench.catalog.hj212 import cube, store
owner = {"_fill_block": cube.Cube, "_commit": cube.Cube, "_rebuild": cube.Cube, "_keep_conflicts": store.Store}[sys.argv[3]]
real, count = getattr(owner, sys.argv[3]), [int(sys.argv[4])]
def dying(self, *args, **kw):
    count[0] -= 1
    if count[0] == 0:
        os.kill(os.getpid(), signal.SIGKILL)
    return real(self, *args, **kw)
setattr(owner, sys.argv[3], dying)
ingest_files([Path(sys.argv[1])], Path(sys.argv[2]), progress=False)
"""


@pytest.mark.parametrize(("step", "nth"), [("_fill_block", 2), ("_commit", 1), ("_rebuild", 1), ("_keep_conflicts", 1)])
def test_a_killed_ingest_leaves_a_consistent_store_and_repeating_completes_it(tmp_path, step, nth):
    killed, clean = tmp_path / "killed", tmp_path / "clean"
    for into in (killed, clean):
        ingest(into, *series(5))
    before = values(killed)
    later = [encode_packet(f"K{k:02d}", minute(6 * i), {"a21026": 100.0 + k}) for k, i in itertools.product(range(40), (7, 2, -3, 7000))]
    other = write(tmp_path / "later.txt", *later, encode_packet("M1", minute(6), {"a21026": 0.5}))
    run = subprocess.run(
        [sys.executable, "-c", KILL, str(other), str(killed), step, str(nth)], check=False, env={**os.environ}, timeout=120
    )
    assert run.returncode == -signal.SIGKILL
    seen = values(killed)  # opens, and holds at least what was there
    old = seen[seen["point"].isin(before["point"])].reset_index(drop=True)
    pd.testing.assert_frame_equal(old, before)
    # another file first: nothing of the killed one may shine through under another name
    third = [encode_packet(f"Z{k:02d}", minute(6 * 9), {"a21026": float(k)}) for k in range(30)]
    ingest(killed, *third, name="third.txt")
    z = values(killed)
    z = z[z["point"].str.startswith("Z")]
    assert z["value"].tolist() == [float(k) for k in range(30)]
    for into in (killed, clean):
        ingest_files([other, tmp_path / "third.txt"], into, progress=False, now=datetime(2026, 6, 1))
    pd.testing.assert_frame_equal(values(killed), values(clean))
    with Store(killed) as a, Store(clean) as b:
        pd.testing.assert_frame_equal(a.conflicts(), b.conflicts())


@pytest.mark.real
def test_the_real_packets(shared, tmp_path):
    into = tmp_path / "store"
    report = ingest_files([shared / "data" / "hj212" / "packets.txt"], into, progress=False)
    assert (report.packets, report.no_data) == (306, {"9014": 299, "2081": 1, "9011": 1})
    assert report.frames_aside == {"wrong_crc": 2, "byte_swapped_modbus_crc": 1}
    assert report.crc_devices == {("byte_swapped_modbus_crc", "88888880000001"): 1}
    assert report.fields_aside == {"unknown_factor": 10}
    assert report.readings == report.stored.new + report.stored.same + report.stored.conflicts == 1524
    before = fingerprint(into)
    ingest_files([shared / "data" / "hj212" / "packets.txt"], into, progress=False)
    assert fingerprint(into) == before


@pytest.mark.real
def test_the_real_packets_with_one_changed_byte_are_never_accepted(shared):
    rng = random.Random(11)
    for frame in iter_frames(shared / "data" / "hj212" / "packets.txt"):
        if not frame.reason:
            at = rng.randrange(6, len(frame.raw) - 4)
            broken = frame.raw[:at] + bytes([frame.raw[at] ^ rng.randrange(1, 256)]) + frame.raw[at + 1 :]
            assert [f for f in iter_frames(broken) if not f.reason] == []
            assert encode_frame(frame.body)[:-2].upper() == frame.raw.upper()
