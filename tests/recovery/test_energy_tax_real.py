"""Operating states on the real steel-works series (UCI 851, CC BY 4.0; visible first half of 2018)."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from workbench.models.energy_tax.load_state import causal_features, fit_load_states, macro_f1
from workbench.models.energy_tax.states import State, learn_meter, meter_states
from workbench.models.rule_settings import read_settings

pytestmark = pytest.mark.real


@pytest.fixture(scope="module")
def steel(shared: Path) -> pd.DataFrame:
    file = shared / "data" / "steel" / "steel_2018H1.csv"
    if not file.is_file():
        pytest.skip(f"no file {file}")
    raw = pd.read_csv(file)
    return raw.set_index(pd.date_range("2018-01-01 00:15", periods=len(raw), freq="15min"))


def test_states_named_until_march_are_named_again_in_spring(steel: pd.DataFrame) -> None:
    x = causal_features(steel.index, steel["Usage_kWh"].to_numpy(float))
    train = np.asarray(steel.index <= "2018-04-01")
    fitted = fit_load_states(x[train], steel["Load_Type"][train].tolist(), seed=1, rounds=80)
    said = fitted.predict(x[~train])
    kinds = list(fitted.states)
    truth, answer = (np.array([kinds.index(s) for s in names]) for names in (steel["Load_Type"][~train], said))
    assert macro_f1(truth, answer, len(kinds)) > 0.9


def test_the_works_stand_at_night_and_on_new_year(steel: pd.DataFrame) -> None:
    levels = read_settings("workbench.models.energy_tax").prep("meter_levels")
    levels.pop("values_min")
    power = (4 * steel["Usage_kWh"].to_numpy(float)).astype(np.float32)
    model = learn_meter(power, values_min=500, **levels)
    states = meter_states(power, model)
    assert (states[:96] == State.OFF).mean() > 0.95  # 1 January
    noon = (steel.index.hour == 11) & (steel.index.dayofweek < 5)
    night = (steel.index.hour >= 2) & (steel.index.hour < 5)
    assert (states[noon] == State.ON).mean() > 0.8
    assert (states[night] == State.OFF).mean() > 0.8


def test_rolling_forward_by_a_month_beats_the_calendar(steel: pd.DataFrame) -> None:
    x = causal_features(steel.index, steel["Usage_kWh"].to_numpy(float))
    kinds = sorted(set(steel["Load_Type"]))
    y = np.array([kinds.index(s) for s in steel["Load_Type"]])
    start = steel.index - pd.Timedelta("15min")
    key = (96 * start.dayofweek + 4 * start.hour + start.minute // 15).to_numpy()
    train = np.asarray(steel.index <= "2018-05-01")
    test = np.asarray((steel.index > "2018-05-01") & (steel.index <= "2018-06-01"))
    counts = np.zeros((7 * 96, len(kinds)))
    np.add.at(counts, (key[train], y[train]), 1)
    by_calendar = macro_f1(y[test], counts.argmax(axis=1)[key[test]], len(kinds))
    fitted = fit_load_states(x[train], steel["Load_Type"][train].tolist(), seed=1, rounds=60)
    said = np.array([kinds.index(s) for s in fitted.predict(x[test])])
    assert macro_f1(y[test], said, len(kinds)) > by_calendar + 0.02


def test_nothing_hangs_on_the_year_or_on_where_the_series_begins(steel: pd.DataFrame) -> None:
    power = steel["Usage_kWh"].to_numpy(float)
    whole = causal_features(steel.index, power)
    later = causal_features(steel.index + pd.Timedelta(days=7 * 365 + 1), power)
    shifted = [c for c in whole if c not in ("season", "weekday")]
    pd.testing.assert_frame_equal(whole[shifted], later[shifted])
    late = causal_features(steel.index[60 * 96 :], power[60 * 96 :])  # a fresh start: after four weeks all is as if known before
    pd.testing.assert_frame_equal(whole.iloc[95 * 96 :].reset_index(drop=True), late.iloc[35 * 96 :].reset_index(drop=True), atol=1e-9)
