"""A day taken out of a simulated store and sent again as HJ 212 packets: the store is what it was, and only that day is new."""

from __future__ import annotations

import datetime as dt
import shutil
import sys

import numpy as np
import pytest

from workbench.catalog import open_catalog
from workbench.catalog.hj212 import ingest_files
from workbench.contracts import CUBES


@pytest.fixture
def iteration(monkeypatch, root):
    monkeypatch.syspath_prepend(str(root / "benchmarks"))
    monkeypatch.delitem(sys.modules, "iteration", raising=False)
    import iteration as module

    return module


def cubes(catalog):
    opened = open_catalog(str(catalog))
    return {e: opened.cube(e).load() for e in CUBES if opened.has(e)}


def test_a_day_of_packets_makes_the_store_what_it_was(iteration, tiny_catalog, tmp_path):
    catalog = shutil.copytree(tiny_catalog.parent, tmp_path / "district") / tiny_catalog.name
    before = cubes(catalog)
    day = iteration.take_out_last_day(catalog, tmp_path)
    history = cubes(catalog)
    for entry, cube in history.items():
        assert cube.sizes["time"] == before[entry].sizes["time"] - 240, entry
        assert cube["value"].equals(before[entry]["value"].isel(time=slice(0, -240))), entry

    report = ingest_files([day.file], catalog.parent, mapping=day.mapping, progress=False, now=day.end + dt.timedelta(days=1))

    arrived = sum(int(np.isfinite(cube["value"].to_numpy()[:, -240:]).sum()) for cube in before.values())
    assert (report.stored.new, report.stored.same, report.stored.conflicts) == (arrived, 0, 0) == (day.values, 0, 0)
    assert (report.packets, report.set_aside, dict(report.fields_aside)) == (day.packets, 0, {})
    assert report.stored.new_points == 0
    for entry, cube in cubes(catalog).items():
        assert cube.sizes["time"] == before[entry].sizes["time"], entry
        for name in ("value", "mark"):
            there = np.isfinite(before[entry]["value"].to_numpy())
            assert np.array_equal(cube[name].to_numpy()[there], before[entry][name].to_numpy()[there]), (entry, name)
        assert np.array_equal(np.isfinite(cube["value"].to_numpy()), there), entry
    assert not [b for b in open_catalog(str(catalog)).check() if b.level == "error"]
