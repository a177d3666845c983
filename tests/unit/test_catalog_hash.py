"""Content hashes: they follow the bytes, cost one pass, and then none."""

from __future__ import annotations

import os
import shutil
import time
from pathlib import Path

import pytest
import yaml
from catalog_builder import write_district

from workbench.catalog import hashing, open_catalog
from workbench.contracts import EntryMissing

OLD = time.time() - 3600


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORKBENCH_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The files whose bytes were read."""
    seen: list[str] = []
    digest = hashing._digest
    monkeypatch.setattr(hashing, "_digest", lambda f: (seen.append(f.path), digest(f))[1])
    return seen


def settled(folder: Path) -> Path:
    """A district whose files were written an hour ago."""
    file = write_district(folder)
    for f in folder.rglob("*"):
        os.utime(f, (OLD, OLD))
    return file


def flip_one_byte(file: Path) -> None:
    raw = bytearray(file.read_bytes())
    raw[len(raw) // 2] ^= 1
    file.write_bytes(bytes(raw))


def test_the_second_snapshot_reads_no_byte(tmp_path: Path, read: list[str]) -> None:
    catalog = open_catalog(settled(tmp_path / "d"))
    first = catalog.snapshot()
    assert len(read) == len(set(read)) == sum(1 for f in (tmp_path / "d" / "data").rglob("*") if f.is_file())
    read.clear()
    assert catalog.snapshot() == first
    assert open_catalog(tmp_path / "d").snapshot() == first
    assert read == []


def test_one_byte_changes_one_entry_and_one_file_is_read(tmp_path: Path, read: list[str]) -> None:
    catalog = open_catalog(settled(tmp_path / "d"))
    first = catalog.snapshot()
    chunk = sorted((tmp_path / "d" / "data" / "obs_cems.zarr" / "value" / "c").rglob("*"))[-1]
    read.clear()
    flip_one_byte(chunk)
    second = catalog.snapshot()
    assert {e for e in first if first[e] != second[e]} == {"obs_cems"}
    assert read == [str(chunk)]


def test_a_change_within_the_clock_s_grain_is_seen(tmp_path: Path) -> None:
    """Same size, same modification time, other bytes: a file just written is not remembered."""
    catalog = open_catalog(write_district(tmp_path / "d"))
    file = tmp_path / "d" / "data" / "points.parquet"
    stat = file.stat()
    first = catalog.snapshot(["points"])
    flip_one_byte(file)
    os.utime(file, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    assert catalog.snapshot(["points"]) != first


def test_the_place_does_not_matter(tmp_path: Path) -> None:
    first = open_catalog(settled(tmp_path / "d")).snapshot()
    shutil.copytree(tmp_path / "d", tmp_path / "elsewhere" / "other")
    assert open_catalog(tmp_path / "elsewhere" / "other").snapshot() == first


def test_a_chunk_that_moves_or_goes_changes_the_hash(tmp_path: Path) -> None:
    catalog = open_catalog(settled(tmp_path / "d"))
    first = catalog.snapshot(["obs_cems"])
    rows = tmp_path / "d" / "data" / "obs_cems.zarr" / "value" / "c"
    (rows / "0").rename(rows / "spare")
    (rows / "1").rename(rows / "0")
    (rows / "spare").rename(rows / "1")
    moved = catalog.snapshot(["obs_cems"])
    shutil.rmtree(rows / "2")
    assert len({first["obs_cems"], moved["obs_cems"], catalog.snapshot(["obs_cems"])["obs_cems"]}) == 3


def test_what_the_entry_says_is_part_of_it(tmp_path: Path) -> None:
    file = settled(tmp_path / "d")
    first = open_catalog(file).snapshot()
    document = yaml.safe_load(file.read_text(encoding="utf-8"))
    document["entries"]["read_points"]["kwargs"]["filters"] = [["system", "==", "cems"]]
    file.write_text(yaml.safe_dump(document, sort_keys=False), encoding="utf-8")
    second = open_catalog(file).snapshot()
    assert {e for e in first if first[e] != second[e]} == {"points"}


@pytest.mark.parametrize("broken", [b"not a database", None])
def test_a_lost_cache_costs_time_and_nothing_else(tmp_path: Path, broken: bytes | None) -> None:
    catalog = open_catalog(settled(tmp_path / "d"))
    first = catalog.snapshot()
    cache = tmp_path / "cache" / "digests.sqlite"
    assert cache.is_file()
    if broken is None:
        shutil.rmtree(cache.parent)
        cache.parent.write_bytes(b"a file where the folder should be")
    else:
        cache.write_bytes(broken)
    assert catalog.snapshot() == first


def test_an_absent_entry_is_missing(tmp_path: Path) -> None:
    with pytest.raises(EntryMissing):
        open_catalog(write_district(tmp_path / "d")).snapshot(["ledger"])


def test_clips_count_with_their_video_files(tmp_path: Path) -> None:
    import pandas as pd

    clips = pd.DataFrame(
        {"clip_id": ["K1"], "point_id": ["C0"], "start": [pd.Timestamp("2026-01-01")], "path": ["clips/a.mp4"], "fps": [5.0]}
    )
    clips["label"] = ""
    catalog = open_catalog(write_district(tmp_path / "d", {"clips": clips}))
    absent = catalog.snapshot(["clips"])
    video = tmp_path / "d" / "clips" / "a.mp4"
    video.parent.mkdir()
    video.write_bytes(b"1" * 100)
    first = catalog.snapshot(["clips"])
    video.write_bytes(b"2" + b"1" * 99)
    assert len({absent["clips"], first["clips"], catalog.snapshot(["clips"])["clips"]}) == 3
