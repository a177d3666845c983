"""The contracts catch what they are for, report everything at once, and change no value."""

from __future__ import annotations

import pickle

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from hypothesis import given
from hypothesis import strategies as st

from workbench.contracts import (
    NOT_INSTALLED,
    TABLES,
    ContractBreach,
    Metric,
    ParameterError,
    Period,
    RuleRow,
    WorkbenchError,
    channel,
    check_cube,
    check_evidence,
    check_references,
    check_table,
    conform,
    load_rules,
    result_frame,
    stable_id,
    unknown_name,
)
from workbench.contracts.units import factor_between, known_unit


def _outlets(**change: object) -> pd.DataFrame:
    row: dict[str, object] = {
        "outlet_id": "O1",
        "enterprise_id": "E1",
        "code": "DA001",
        "medium": "air",
        "kind": "stack",
        "lon": 118.0,
        "lat": 31.0,
        "o2_ref": 6,
        "receiving": None,
        "extra": "kept",
    }
    return pd.DataFrame([row | change])


def test_a_good_table_passes_and_extra_columns_are_kept() -> None:
    frame = conform("outlets", _outlets())
    assert check_table("outlets", frame) == []
    assert frame["extra"].tolist() == ["kept"]
    assert frame["o2_ref"].dtype == np.float64
    assert frame["receiving"].tolist() == [""]


@pytest.mark.parametrize(
    ("change", "column", "what"),
    [
        ({"medium": "soil"}, "medium", "a value outside the list"),
        ({"lat": 131.0}, "lat", "a latitude over 90"),
        ({"o2_ref": 21.5}, "o2_ref", "a reference oxygen over that of air"),
        ({"outlet_id": None}, "outlet_id", "a missing identifier"),
        ({"outlet_id": ""}, "outlet_id", "an empty identifier"),
        ({"lon": "east"}, "lon", "text where a number belongs"),
        ({"code": 7}, "code", "a number where text belongs"),
    ],
    ids=lambda v: v if isinstance(v, str) and " " in v else "",
)
def test_each_breach_names_its_column(change: dict[str, object], column: str, what: str) -> None:
    found = check_table("outlets", conform("outlets", _outlets(**change)))
    assert [b.column for b in found] == [column], what


def test_all_breaches_are_reported_at_once_with_row_and_value() -> None:
    frame = pd.concat([_outlets(), _outlets(medium="soil", lat=200.0), _outlets(kind="pipe")], ignore_index=True).drop(columns="code")
    found = {b.column: b for b in check_table("outlets", conform("outlets", frame))}
    assert set(found) == {"code", "medium", "lat", "kind", "outlet_id"}
    assert "row 1" in found["medium"].examples[0]
    assert "soil" in found["medium"].examples[0]
    assert found["outlet_id"].rows == 2


def test_lost_references_are_warnings_with_their_rows() -> None:
    others = {"enterprises": pd.DataFrame({"enterprise_id": ["E9"]})}
    (breach,) = check_references("outlets", conform("outlets", _outlets()), others)
    assert (breach.level, breach.column, breach.rows) == ("warning", "enterprise_id", 1)


def test_every_reference_names_a_table_and_a_key_column() -> None:
    for table in TABLES.values():
        for column, (other, key) in table.refers.items():
            assert column in table.columns
            assert key in TABLES[other].columns


@given(st.lists(st.sampled_from(["air", "water", "soil", "", "AIR"]), min_size=1, max_size=20))
def test_conform_never_changes_a_value(media: list[str]) -> None:
    frame = pd.concat([_outlets(outlet_id=f"O{i}", medium=m) for i, m in enumerate(media)], ignore_index=True)
    assert conform("outlets", frame)["medium"].tolist() == media


def _cube(times: pd.DatetimeIndex | None = None, **change: object) -> xr.Dataset:
    times = pd.date_range("2026-01-01", periods=4, freq="6min") if times is None else times
    shape = (2, len(times))
    data = {"value": (("point", "time"), np.zeros(shape, "float32")), "mark": (("point", "time"), np.zeros(shape, "uint8"))}
    return xr.Dataset(data | change, coords={"point": np.array(["P1", "P2"], dtype=object), "time": times})


@pytest.mark.parametrize(
    ("cube", "column"),
    [
        (_cube(value=(("point", "time"), np.zeros((2, 4)))), "value"),
        (_cube().drop_vars("mark"), "mark"),
        (_cube().transpose("time", "point"), "value"),
        (_cube(times=pd.DatetimeIndex(["2026-01-01", "2026-01-02", "2026-01-04", "2026-01-05"])), "time"),
        (_cube(times=pd.DatetimeIndex(["2026-01-02", "2026-01-01", "2026-01-03", "2026-01-04"])), "time"),
    ],
    ids=["float64 values", "no marks", "dims the other way round", "a gap in the grid", "time going backwards"],
)
def test_cube_breaches(cube: xr.Dataset, column: str) -> None:
    assert column in {b.column for b in check_cube("obs_cems", cube)}


def test_cube_points_must_be_known_to_the_points_table() -> None:
    points = pd.DataFrame({"point_id": ["P1", "P2"], "system": ["cems", "power"]})
    (breach,) = check_cube("obs_cems", _cube(), points)
    assert (breach.column, breach.level, list(breach.examples)) == ("point", "warning", ["P2"])


def test_empty_result_tables_keep_their_columns_and_dtypes() -> None:
    frame = result_frame("leads")
    assert list(frame.columns) == list(result_frame("leads", []).columns)
    assert frame["start"].dtype == "datetime64[ns]"
    assert frame["rank"].dtype == "int64"


def test_a_finding_with_an_impossible_probability_is_refused() -> None:
    row = {
        "finding_id": "f",
        "model": "m",
        "detector": "d",
        "start": "2026-01-01",
        "end": "2026-01-02",
        "verdict": "breach",
        "p_breach": 1.2,
        "reason_zh": "值",
        "reason_en": "value",
    }
    with pytest.raises(ContractBreach) as error:
        result_frame("findings", [row])
    assert [b.column for b in error.value.breaches] == ["p_breach"]


def test_stable_ids_depend_on_every_part_and_on_nothing_else() -> None:
    assert stable_id("F", "a", 1) == stable_id("F", "a", 1)
    assert stable_id("F", "ab", "c") != stable_id("F", "a", "bc")


def _channel(values: list[list[int]], **change: object) -> xr.DataArray:
    settings: dict[str, object] = {
        "enterprises": ["E1"],
        "hours": pd.date_range("2026-01-01", periods=len(values[0]), freq="h"),
        "levels": ["off", "on", "outage"],
        "source": "power",
        "group": "meter",
        "label_zh": "生产用电",
        "label_en": "production power",
        "alert_levels": ["on"],
    }
    return channel(np.array(values), **(settings | change))  # type: ignore[arg-type]


def test_evidence_keeps_not_installed_apart_from_outage() -> None:
    array = _channel([[0, 1, 2, NOT_INSTALLED]])
    check_evidence(xr.Dataset({"power_production": array}))
    assert array.attrs["levels"][array.values[0, 2]] == "outage"


@pytest.mark.parametrize(
    ("values", "change"), [([[0, 3]], {}), ([[-2, 0]], {}), ([[0]], {"alert_levels": ["loud"]})], ids=["no such level", "below -1", "alert"]
)
def test_evidence_that_names_no_level_is_refused(values: list[list[int]], change: dict[str, object]) -> None:
    with pytest.raises(ContractBreach):
        _channel(values, **change)


def test_a_metric_needs_its_method_and_turns_nan_into_not_evaluated() -> None:
    metric = Metric(name="precision@20", value=float("nan"), low=None, high=None, n=0, method="Wilson", note="no inspected lead")
    assert metric.value is None
    assert "no inspected lead" in str(metric)
    with pytest.raises(ValueError, match="method"):
        Metric(name="x", value=1.0, low=0.5, high=1.0, n=3, method="")


def test_errors_carry_their_payload_between_processes() -> None:
    error = unknown_name("parameter", "sed", ["seed", "period"], where="experiment.yml")
    back = pickle.loads(pickle.dumps(error))
    assert isinstance(back, ParameterError)
    assert back.payload() == error.payload()
    assert "did you mean 'seed'?" in str(back)
    assert isinstance(back, WorkbenchError)


@pytest.mark.parametrize("text", ["2026-01-01", "2026-02-01/2026-01-01", "x/y", ""])
def test_unreadable_periods_say_what_is_allowed(text: str) -> None:
    with pytest.raises(ParameterError):
        Period.parse(text)


def test_a_period_is_half_open_and_round_trips() -> None:
    period = Period.parse("2026-01-01/2026-05-01")
    assert period.days == 120
    assert Period.parse(str(period)) == period


@pytest.mark.parametrize(
    ("source", "target", "factor"),
    [("毫克/升", "mg/L", 1.0), ("µg/m³", "mg/m³", 1e-3), ("升/秒", "m³/h", 3.6), ("kWh", "MJ", 3.6), ("吨", "kg", 1e3)],
)
def test_unit_factors(source: str, target: str, factor: float) -> None:
    assert factor_between(source, target) == pytest.approx(factor)


def test_unknown_or_unlike_units_are_refused() -> None:
    assert known_unit("furlong per mg of nonsense") is None
    with pytest.raises(ParameterError):
        factor_between("mg/L", "kW")


def test_rule_overrides_change_one_number_and_refuse_unknown_names(tmp_path: object) -> None:
    from pathlib import Path

    file = Path(str(tmp_path)) / "params.yml"
    file.write_text(
        "rules:\n  late: {title: {zh: 迟报, en: late}, thresholds: {days: {value: 3, unit: d}}, severity: low,"
        " basis: permit regulation Art. 22, checked: 2026-11-20, mark: V}\n",
        encoding="utf-8",
    )
    rows = load_rules(file, {"late.days": 5})
    assert isinstance(rows["late"], RuleRow)
    assert rows["late"].numbers() == {"days": 5.0}
    with pytest.raises(ParameterError, match="unknown rule threshold"):
        load_rules(file, {"late.day": 5})
