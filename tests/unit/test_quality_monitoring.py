"""How the quality benchmark counts: separate alarms, the threshold of a rate, and SaQC's answers kept from one run to the next."""

from __future__ import annotations

import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "benchmarks"))

import _saqc
from _real_series import Series
from quality_monitoring import episodes, recall, threshold_for

ROWS = np.array([0, 1])


def alarms(*rows: tuple[int, int, int, float]) -> pd.DataFrame:
    return pd.DataFrame(rows, columns=["row", "first", "last", "score"])


@pytest.mark.parametrize(
    ("hits", "count"),
    [
        ([(0, 0, 24, 1.0), (0, 24, 48, 1.0)], 1),
        ([(0, 0, 24, 1.0), (0, 60, 84, 1.0)], 2),
        ([(0, 0, 24, 1.0), (1, 0, 24, 1.0)], 2),
        ([(0, 0, 200, 1.0), (0, 10, 20, 1.0), (0, 150, 210, 1.0)], 1),
        ([(0, 0, 8760, 1.0)], 7),
        ([], 0),
    ],
    ids=["two days in a row", "a day between", "two channels", "one inside another", "a year without end", "none"],
)
def test_separate_alarms_are_counted(hits: list[tuple[int, int, int, float]], count: int) -> None:
    assert episodes(alarms(*hits), 0.5, ROWS) == count


def test_the_threshold_lies_just_over_the_score_that_would_be_one_too_many() -> None:
    honest = alarms(*[(0, 100 * k, 100 * k + 5, float(k)) for k in range(10)])
    threshold = threshold_for(honest, ROWS, years=3.0)
    assert 6 < threshold < 6.001
    assert episodes(honest, threshold, ROWS) == 3
    assert recall(alarms((0, 0, 10, 6.5)), pd.DataFrame({"row": [0], "first": [5], "last": [9]}), threshold, ROWS) == (1, 1)


def test_a_method_that_never_alarms_on_honest_series_keeps_all_of_its_alarms() -> None:
    assert threshold_for(alarms(), ROWS, years=1.0) == -np.inf


def test_what_saqc_said_is_kept_and_the_minutes_end_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    worker = tmp_path / "worker.py"
    worker.write_text(
        "import json, sys, numpy\n"
        "for name in (jobs := numpy.load(sys.argv[1])).files:\n"
        "    print(json.dumps({'job': name, 'spans': [[0, int(jobs[name][0, 0]), 1.5]]}), flush=True)\n"
    )
    monkeypatch.setattr(_saqc, "WORKER", worker)
    hours = pd.date_range("2020-01-01", periods=4, freq="h")
    values = np.array([[2.0] * 4, [3.0] * 4])
    series = Series("one", "ambient", values, hours, ["a", "a"], ["x", "y"], ["1", "1"], np.ones(2, bool))
    kept = _saqc.Saqc(sys.executable, tmp_path / "kept")
    assert kept.alarms("flagConstants", series, values)[["row", "last"]].to_numpy().tolist() == [[0, 2], [1, 3]]
    nobody = _saqc.Saqc("no such python", tmp_path / "kept", until=time.monotonic() - 1)
    assert len(nobody.alarms("flagConstants", series, values)) == 2
    with pytest.raises(_saqc.UnfinishedError):
        nobody.alarms("flagConstants", series, values + 1)
    station = kept.alarms("flagLOF", series, values)
    assert station["row"].tolist() == [0]
