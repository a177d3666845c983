"""The model on real series in catalogs of their own: it runs, names what is lost, and hardly ever alarms."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "benchmarks"))


@pytest.mark.real
def test_beijing_stations_alone_raise_few_alarms(shared: Path) -> None:
    from _alarms import model_alarms
    from _real_series import read_air
    from quality_monitoring import episodes

    series = read_air(shared / "data" / "prsa", quick=True)
    alarms = model_alarms(series, series.values)
    rows = series.target.nonzero()[0]
    assert episodes(alarms, 7.5, rows) <= 2 * series.years(set(series.station))


@pytest.mark.real
def test_a_copied_day_in_the_gas_turbine_is_found(shared: Path) -> None:
    from _alarms import model_alarms
    from _faults import inject
    from _real_series import read_turbine
    from quality_monitoring import recall

    series = read_turbine(shared / "data" / "gas_turbine", quick=True)
    values, faults = inject(series, "exact_copy", 1)
    hit, n = recall(model_alarms(series, values), faults, 3.0, series.target.nonzero()[0])
    assert n >= 2
    assert hit >= 0.5 * n
