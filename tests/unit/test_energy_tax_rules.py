"""Rules of model 4: golden cases, names in YAML and code, witnesses, scores, and what is lost without a source."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import replace
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from workbench.catalog import open_catalog
from workbench.catalog.memory import Altered
from workbench.contracts import ParameterError, Ruling
from workbench.models import load
from workbench.models.additive import results_frame
from workbench.models.energy_tax import rules_books, rules_carbon, rules_conflict, rules_power
from workbench.models.energy_tax.amounts import Quarter
from workbench.models.energy_tax.carbon_fills import Activity, replacement_period_days, usual_of_the_district
from workbench.models.energy_tax.generated import generated_amount, tax_on_generated
from workbench.models.energy_tax.load_state import causal_features, fit_load_states, forward_filter, viterbi
from workbench.models.energy_tax.meters import learn_works
from workbench.models.energy_tax.parts import parts_of
from workbench.models.energy_tax.rules_books import emission_out_of_line_with_output, pooled_intensity
from workbench.models.energy_tax.rules_conflict import flow_contradicts_power
from workbench.models.energy_tax.rules_power import treatment_off_while_producing
from workbench.models.energy_tax.scoring import LABELS
from workbench.models.energy_tax.witnesses import Witnesses
from workbench.models.hourly import Grid
from workbench.models.label_calibration import calibrate
from workbench.models.rule_settings import read_settings

FOLDER = files("workbench.models.energy_tax")
CASES = yaml.safe_load(FOLDER.joinpath("cases.yml").read_text(encoding="utf-8"))
SETTINGS = read_settings("workbench.models.energy_tax")
START, END = pd.Timestamp("2026-01-01"), pd.Timestamp("2026-05-01")
SPAN = (START, END)


def ids(rule: str) -> list[Any]:
    return [pytest.param(c, id=c["why"][:60]) for c in CASES[rule]]


# ---- names -----------------------------------------------------------------------------------------------------------


def test_every_rule_in_yaml_is_a_function_and_every_rule_function_is_in_yaml() -> None:
    functions = {
        name
        for module in (rules_power, rules_conflict, rules_carbon, rules_books)
        for name, f in vars(module).items()
        if inspect.isfunction(f) and f.__module__ == module.__name__ and "Judgement" in str(inspect.signature(f).return_annotation)
        if not name.startswith("_")
    }
    assert functions == set(SETTINGS.rules) == set(LABELS.groups)


def test_every_threshold_is_an_argument_of_its_rule() -> None:
    for name, row in SETTINGS.rules.items():
        function = next(getattr(m, name) for m in (rules_power, rules_conflict, rules_carbon, rules_books) if hasattr(m, name))
        assert set(row.thresholds) <= set(inspect.signature(function).parameters), name


def test_every_part_in_yaml_is_spoken_somewhere_and_the_other_way_round() -> None:
    text = "".join(p.read_text(encoding="utf-8") for p in FOLDER.iterdir() if p.name.startswith("rules_"))
    parts = yaml.safe_load(FOLDER.joinpath("parts.yml").read_text(encoding="utf-8"))["parts"]
    assert [p for p in parts if f"{p}=(" not in text and f'"{p}"' not in text] == []
    assert all(row["low"] <= 0.0 <= row["high"] for row in parts.values())


def test_an_unknown_override_is_refused_with_the_nearest_name() -> None:
    with pytest.raises(ParameterError, match=r"treatment_off_while_producing\.stops_half"):
        load("energy_tax", overrides={"treatment_off_while_producing.stop_half": 3.0})
    assert load("energy_tax", overrides={"pairing.weak": 0.5}).settings.prep("pairing")["weak"] == 0.5  # type: ignore[attr-defined]


# ---- carbon ----------------------------------------------------------------------------------------------------------


def adsorber(**more: Any) -> pd.Series:
    unit = {"unit_id": "C1", "enterprise_id": "E1", "outlet_id": "E1-DA001", "capacity_kg": 1000.0, "iodine_mg_g": 800.0}
    unit |= {"airflow_m3_h": 10_000.0, "hours_per_day": 10.0, "inlet_mg_m3": 40 / 0.85}
    return pd.Series(unit | {k: np.nan if v is None else v for k, v in more.items()})


def events_of(rows: list[list[Any]]) -> pd.DataFrame:
    frame = pd.DataFrame(rows, columns=["day", "event", "mass_kg"]).astype({"mass_kg": float})
    return frame.assign(at=START + pd.to_timedelta(frame["day"].astype(float), unit="D"))


def not_metered(start: pd.Timestamp, end: pd.Timestamp) -> Activity:
    return Activity()


@pytest.mark.parametrize("case", ids("carbon_replacement_overdue"))
def test_replacement_period(case: dict[str, Any]) -> None:
    events = events_of([[d, "fill", m] for d, m in case["fills"]])
    found = rules_carbon.carbon_replacement_overdue(
        adsorber(**case.get("unit", {})), events, SPAN, not_metered, **SETTINGS.of("carbon_replacement_overdue")
    )
    assert [j.ruling.value for j in found] == case["rulings"]
    if "period" in case:
        assert {round(j.threshold, 6) for j in found} == {case["period"]}
    if "value" in case:
        assert found[0].value == pytest.approx(case["value"])


def overdue(events: pd.DataFrame, share: float = 1.0, usual: float = 0.0, source: str = "metered") -> list[Any]:
    numbers = SETTINGS.of("carbon_replacement_overdue")
    return rules_carbon.carbon_replacement_overdue(adsorber(), events, SPAN, lambda a, b: Activity(share, source), usual, **numbers)


def test_a_works_that_stood_still_loaded_less_carbon() -> None:
    events = events_of([[0, "fill", 1000.0], [35, "fill", 1000.0]])
    full, half = overdue(events)[0], overdue(events, share=0.5)[0]
    assert full.ruling is Ruling.VIOLATED
    assert half.ruling is Ruling.COMPLIANT
    assert half.threshold == pytest.approx(50.0)


@pytest.mark.parametrize(
    ("days", "raised"), [(26, False), (29, False), (40, True), (75, True)], ids=["a day", "inside the interval", "60 % over", "thrice"]
)
def test_an_overrun_inside_the_interval_stays_under_the_alert(days: int, raised: bool) -> None:
    j = overdue(events_of([[0, "fill", 1000.0], [days, "fill", 1000.0]]))[0]
    assert j.ruling is Ruling.VIOLATED
    assert bool(1 / (1 + np.exp(-j.score)) >= SETTINGS.prep("calibration")["alert"]) is raised


def test_less_certain_hours_make_an_overrun_less_certain() -> None:
    events = events_of([[0, "fill", 1000.0], [45, "fill", 1000.0]])
    scores = [overdue(events, source=s)[0].score for s in ("metered", "ledger", "none")]
    assert scores[0] > scores[1] > scores[2]


def test_a_fill_that_is_taken_out_is_not_in_use_any_more() -> None:
    j = overdue(events_of([[0, "fill", 1000.0], [20, "remove", 1100.0]]))[0]
    assert j.ruling is Ruling.COMPLIANT
    assert j.value == pytest.approx(20.0)


def test_carbon_bought_for_a_fill_that_nobody_recorded_is_a_missing_paper_not_an_overrun() -> None:
    rows: list[list[Any]] = [[-5, "purchase", 1000.0], [0, "fill", 1000.0], [20, "purchase", 1000.0]]
    rows += [[45, "purchase", 1000.0], [50, "fill", 1000.0]]
    j = overdue(events_of(rows))[0]
    assert j.ruling is Ruling.NOT_EVALUABLE
    assert "missing from the papers" in j.reason_en
    assert overdue(events_of(rows[:2] + rows[3:]))[0].ruling is Ruling.VIOLATED


def test_a_fill_without_purchase_and_removal_is_paper_and_changes_nothing() -> None:
    rows: list[list[Any]] = [[-5, "purchase", 1000.0], [0, "fill", 1000.0], [24, "fill", 1000.0]]
    rows += [[46, "purchase", 1000.0], [48, "remove", 1100.0], [48.1, "fill", 1000.0]]
    found = overdue(events_of(rows))
    assert [j.value for j in found] == pytest.approx([48.0, 71.9])
    assert found[0].ruling is Ruling.VIOLATED
    assert "no carbon bought" in found[0].reason_en
    for one in ([23.9, "remove", 1100.0], [20, "purchase", 1000.0]):  # one kind of record is enough
        assert overdue(events_of([*rows, one]))[0].ruling is Ruling.COMPLIANT


def test_where_everybody_overruns_only_what_goes_beyond_counts() -> None:
    usual = usual_of_the_district(np.log(np.r_[np.full(30, 1.3), 2.6]), fills_min=20)
    assert usual == pytest.approx(np.log(1.3))
    assert overdue(events_of([[0, "fill", 1000.0], [32, "fill", 1000.0]]), usual=usual)[0].ruling is Ruling.COMPLIANT
    assert usual_of_the_district(np.log(np.full(5, 1.3)), fills_min=20) == 0.0
    assert usual_of_the_district(np.log(np.full(30, 0.8)), fills_min=20) == 0.0  # early changes grant nothing to the late


def test_invoices_are_held_against_fills_and_their_absence_is_said() -> None:
    events, numbers = events_of([[0, "purchase", 1000.0], [1, "fill", 1000.0]]), SETTINGS.of("carbon_mass_does_not_balance")
    balance = rules_carbon.carbon_mass_does_not_balance
    j = balance(adsorber(), events, SPAN, (1000.0, 3000.0), **numbers)
    assert j.ruling is Ruling.VIOLATED
    assert list(j.parts) == ["invoiced_over_filled"]
    assert balance(adsorber(), events, SPAN, (5000.0, 3000.0), **numbers).ruling is Ruling.COMPLIANT
    assert "no invoice names carbon" in balance(adsorber(), events, SPAN, None, **numbers).reason_en


@pytest.mark.parametrize("case", ids("carbon_mass_does_not_balance"))
def test_carbon_balance(case: dict[str, Any]) -> None:
    j = rules_carbon.carbon_mass_does_not_balance(
        adsorber(), events_of(case["events"]), SPAN, **SETTINGS.of("carbon_mass_does_not_balance")
    )
    assert j.ruling.value == case["ruling"]
    if "value" in case:
        assert j.value == pytest.approx(case["value"], abs=0.01)


@given(st.floats(100, 5000), st.floats(0.05, 0.3), st.floats(5, 200), st.floats(1e3, 1e5), st.floats(1, 24))
def test_the_period_empties_the_bed_exactly(mass: float, share: float, removed: float, flow: float, hours: float) -> None:
    days = replacement_period_days(mass, share, removed, flow, hours)
    assert days * removed * 1e-6 * flow * hours == pytest.approx(mass * share)


# ---- tax -------------------------------------------------------------------------------------------------------------


def quarter(missing: float = 0.0, whole: bool = True, peak: float | None = None) -> Quarter:
    hours = pd.date_range("2026-01-01", "2026-04-01", freq="h", inclusive="left")
    c, kg = np.full(len(hours), 20.0), np.full(len(hours), 1.0)
    if peak is not None:
        c[500] = peak
    gone = np.random.default_rng(1).random(len(hours)) < missing
    c[gone], kg[gone] = np.nan, np.nan
    good = np.isfinite(kg)
    return Quarter(
        "E1", "E1-DA001", "a21026", "air", "2026Q1", START, pd.Timestamp("2026-04-01"), float(kg[good].mean() * len(hours)),
        float(good.mean()), whole, c, hours.month.to_numpy(), kg,
    )  # fmt: skip


@pytest.mark.parametrize("case", ids("tax_declared_below_measured"))
def test_declared_against_measured(case: dict[str, Any]) -> None:
    declared = {} if case["declared"] is None else {"a21026": (float(case["declared"]), 0.0)}
    q = quarter(case.get("missing", 0.0), case.get("whole", True))
    j = rules_books.tax_declared_below_measured([q], declared, {"a21026": 50.0}, served(), **SETTINGS.of("tax_declared_below_measured"))
    assert j.ruling.value == case["ruling"]
    if "value" in case:
        assert j.value == pytest.approx(case["value"], abs=0.01)


@pytest.mark.parametrize("case", ids("tax_reduction_not_due"))
def test_reduction_claimed(case: dict[str, Any]) -> None:
    q = quarter(peak=case.get("peak"))
    limit = case.get("limit", 50.0)
    lawful = np.zeros(len(q.hourly), bool)
    lawful[500] = case.get("lawful", False)
    j = rules_books.tax_reduction_not_due(
        q, case["reduction"], np.nan if limit is None else limit, lawful, **SETTINGS.of("tax_reduction_not_due")
    )
    assert j.ruling.value == case["ruling"]


def test_tax_of_a_quarter_is_equivalents_times_rate_times_what_is_due() -> None:
    # 2160 kg / 0.95 kg × 4.8 CNY, mean 60 % below the limit: half is due; without a limit all of it
    assert rules_books.tax_due([quarter()], {"a21026": 50.0}, rate_cny=4.8) == pytest.approx(2160 / 0.95 * 4.8 * 0.5)
    assert rules_books.tax_due([quarter()], {}, rate_cny=4.8) == pytest.approx(2160 / 0.95 * 4.8)
    assert rules_books.tax_declared({"a21026": (2160.0, 0.5)}, rate_cny=4.8) == pytest.approx(2160 / 0.95 * 4.8 * 0.5)
    # a peak voids the reduction of its month (January: 744 of 2160 hours) only
    voided = rules_books.tax_due([quarter(peak=100.0)], {"a21026": 50.0}, rate_cny=4.8)
    assert voided == pytest.approx(4.8 / 0.95 * (744 + 0.5 * (2160 - 744)))


def served(untreated: int = 0, found_off: bool = False) -> rules_books.Served:
    hour = np.arange(2160)
    off = (hour >= 100) & (hour < 100 + untreated)
    return rules_books.Served(off, (hour % 24 >= 6) & ~off, found_off)


# 2160 h at 1 kg/h; 1620 of them treated. Untreated hours read 100 instead of 20 mg/m³ and emit 5 kg/h.
GENERATED = [
    {"why": "nobody measures before the treatment and it never stood: not evaluable", "untreated": 0, "kg": None},
    {"why": "five untreated hours are too few", "untreated": 5, "kg": None},
    # treated 1602 (6 am to midnight, less 18 untreated ones in the day), others 534 + 24 untreated at 5 kg/h
    {"why": "24 untreated hours at five times: 1602 × 5 + 534 + 24 × 5", "untreated": 24, "kg": 1602 * 5 + 534 + 24 * 5.0},
    {"why": "48 untreated hours: 1584 × 5 + 528 + 48 × 5", "untreated": 48, "kg": 1584 * 5 + 528 + 48 * 5.0},
    {"why": "the concentration did not rise: this treatment does not take it out", "untreated": 24, "rise": 1.0, "kg": None},
    {"why": "a monitor before the treatment: 2160 h × 8 kg/h, whatever else", "untreated": 24, "inlet": 8.0, "kg": 17280.0},
    {
        "why": "a monitor before it that is mostly down falls back on the hours",
        "untreated": 24,
        "inlet": np.nan,
        "kg": 1602 * 5 + 534 + 120.0,
    },
]


@pytest.mark.parametrize("case", GENERATED, ids=lambda c: c["why"][:60])
def test_generated_amount(case: dict[str, Any]) -> None:
    off, rise = served(case["untreated"]), case.get("rise", 5.0)
    q = quarter()
    c, kg = q.hourly.copy(), q.kg_hourly.copy()
    c[off.untreated] *= rise
    kg[off.untreated] *= rise
    inlet = np.full(2160, case["inlet"], np.float32) if "inlet" in case else None
    q = replace(q, hourly=c, kg_hourly=kg, inlet_kg_hourly=inlet)
    made = generated_amount(q, off.untreated, off.treated, hours_min=6, inlet_log_sd=0.15, ratio_log_sd=0.25)
    if case["kg"] is None:
        assert np.isnan(made.kg)
        assert made.basis_zh
        return
    assert made.kg == pytest.approx(case["kg"], rel=1e-5)
    assert made.interval[0] < made.kg < made.interval[1]
    # no reduction is granted on it: kg / 0.95 × 4.8
    assert tax_on_generated([made], [q], rate_cny=4.8) == pytest.approx(case["kg"] / 0.95 * 4.8, rel=1e-5)


def test_treatment_off_in_the_quarter_makes_the_generated_amount_the_base_and_says_what_is_missing() -> None:
    numbers, q = SETTINGS.of("tax_declared_below_measured"), quarter()
    judge = rules_books.tax_declared_below_measured
    j = judge([q], {"a21026": (900.0, 0.0)}, {}, served(found_off=True), **numbers)
    assert "第七条第四项" in j.reason_zh
    assert "not evaluable, no monitor before the treatment" in j.reason_en
    off = served(24, found_off=True)
    c = np.where(off.untreated, 100.0, q.hourly)
    kg = np.where(off.untreated, 5.0, q.kg_hourly)
    j = judge([replace(q, hourly=c, kg_hourly=kg)], {"a21026": (2160.0, 0.0)}, {}, off, **numbers)
    assert j.ruling is Ruling.COMPLIANT  # declared what was measured, and yet the base is another
    assert "a21026 8,664 kg [" in j.reason_en
    assert f"{8664 / 0.95 * 4.8:,.0f} CNY due" in j.reason_en
    assert "第七条第五项" in judge([q], {"a21026": (900.0, 0.0)}, {}, served(), **numbers).reason_zh
    assert "第七条" not in judge([q], {"a21026": (2160.0, 0.0)}, {}, served(), **numbers).reason_zh


# ---- power -----------------------------------------------------------------------------------------------------------


def stops(days: list[int], *, condition: float | None = None, ledger: str | None = None, standby: bool = False) -> float:
    """Return the score of the campaign of an enterprise whose treatment stood for 5 h on these days."""
    rng, n = np.random.default_rng(3), 60 * 96
    hour = (np.arange(n) % 96) / 4
    on, stop = (hour >= 7) & (hour < 21), np.zeros(n, bool)
    for d in days:
        stop[d * 96 + 44 : d * 96 + 64] = True
    production = np.where(on, 300.0, 10.0) * np.exp(0.1 * rng.standard_normal(n))
    treatment = np.where(on & ~stop, 40.0, 0.5) * np.exp(0.04 * rng.standard_normal(n))
    rows = [("P", "production", production), ("T", "treatment", treatment)]
    if standby:
        rows.append(("S", "standby", np.where(stop, 21.0, 1.0)))
    g = pd.DataFrame({"point_id": [r[0] for r in rows], "role": [r[1] for r in rows], "resolution": 0.01, "scale": 1.0})
    time = pd.date_range(START, periods=n, freq="15min")
    works = learn_works("E1", g, np.stack([r[2] for r in rows]).astype(np.float32), time.to_numpy(), 900.0, None, SETTINGS)
    grid = Grid(START, n // 4)
    seen = Witnesses(grid)
    if condition is not None:
        level = np.where(stop, condition, 1.0) * np.where(on, 900.0, 5.0)
        seen = replace(seen, condition=level.reshape(1, -1, 4).mean(axis=2).astype(np.float32))
    if ledger is not None:
        ran = (on & ~stop if ledger == "admits" else on).reshape(60, 96).sum(axis=1) / 4
        seen = replace(seen, ledger_hours=pd.Series(ran.astype(float), index=pd.date_range(START, periods=60)))
    shared = {"campaign_days": SETTINGS.prep("episodes")["campaign_days"], **SETTINGS.prep("treatment_context")}
    (found,) = treatment_off_while_producing(works, seen, **SETTINGS.of("treatment_off_while_producing"), **shared)
    assert found.ruling is Ruling.VIOLATED
    assert found.value == pytest.approx(300 * len(days), rel=0.05)
    return found.score


def test_one_stop_is_a_repair_and_a_pattern_is_a_habit() -> None:
    assert stops([20]) < -1.5
    assert stops(list(range(20, 40, 2))) > 0.5


def test_witnesses_move_the_score_the_way_they_should() -> None:
    days = list(range(20, 40, 3))
    plain = stops(days)
    assert stops(days, condition=1.0) < plain - 1.0
    assert stops(days, condition=0.05) > plain
    assert stops(days, standby=True) < plain - 1.0
    assert stops(days, ledger="admits") < plain < stops(days, ledger="hides")


def test_flow_and_power_that_agree_are_compliant_and_that_do_not_are_not() -> None:
    rng, n = np.random.default_rng(4), 24 * 60
    on = (np.arange(n) % 24 >= 7) & (np.arange(n) % 24 < 20)
    state, flow = np.where(on, 2, 0).astype(np.int8), (np.where(on, 1.0, 0.05) + 0.02 * rng.random(n)).astype(np.float32)
    numbers, start = SETTINGS.of("flow_contradicts_power"), START.to_datetime64()
    assert flow_contradicts_power("E", state, flow, start, **numbers)[0].ruling is Ruling.COMPLIANT
    ghost = flow.copy()
    ghost[~on & (np.arange(n) > 24 * 50)] = 1.0
    (found,) = flow_contradicts_power("E", state, ghost, start, **numbers)
    assert found.ruling is Ruling.VIOLATED
    assert found.value == pytest.approx((~on & (np.arange(n) > 24 * 50)).sum())
    always = np.ones(n, np.float32)  # a fan that never stops says nothing of production
    assert flow_contradicts_power("E", state, always, start, **numbers)[0].ruling is Ruling.NOT_EVALUABLE


# ---- scores ----------------------------------------------------------------------------------------------------------


@given(st.floats(allow_nan=True, allow_infinity=True), st.floats(allow_nan=True, allow_infinity=True))
def test_a_part_stays_inside_its_bounds_and_a_missing_one_says_nothing(value: float, contribution: float) -> None:
    part = parts_of(days=(value, contribution))["days"]
    assert -1.8 <= part.contribution <= 2.5
    if not np.isfinite(value):
        assert part.contribution == 0.0


def test_calibration_keeps_the_prior_without_labels_and_moves_toward_them_with() -> None:
    numbers = {k: v for k, v in SETTINGS.prep("calibration").items() if k != "alert"}
    rng = np.random.default_rng(5)
    score = rng.normal(0, 2, 400)
    y = (rng.random(400) < 1 / (1 + np.exp(-(score - 1.5)))).astype(float)
    few = np.where(np.arange(400) < 20, y, np.nan)
    assert not calibrate(score, few, **numbers).learned
    learned = calibrate(score, y, **numbers)
    assert learned.shift == pytest.approx(-1.5, abs=0.5)
    assert learned.slope == pytest.approx(1.0, abs=0.25)


def test_labels_count_where_inspection_and_span_meet() -> None:
    t = pd.Timestamp
    results = pd.DataFrame(
        {
            "enterprise_id": ["A", "A", "B"],
            "kind": "treatment_off",
            "start": [t("2026-02-01"), t("2026-04-01"), t("2026-02-01")],
            "end": [t("2026-02-05"), t("2026-04-05"), t("2026-02-05")],
        }
    )
    labels = pd.DataFrame(
        {
            "enterprise_id": ["A"],
            "period_start": [t("2026-01-20")],
            "period_end": [t("2026-02-03")],
            "finding": ["violation"],
            "kinds": [["treatment_off"]],
        }
    )
    y = LABELS.confirmed(results, labels)
    assert y[0] == 1.0
    assert np.isnan(y[1:]).all()


# ---- what is lost without a source -----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def whole(tiny_catalog: Path) -> Any:
    return open_catalog(tiny_catalog)


@pytest.fixture(scope="module")
def reviewed(whole: Any) -> Callable[[frozenset[str]], pd.DataFrame]:
    done: dict[frozenset[str], pd.DataFrame] = {}

    def get(gone: frozenset[str]) -> pd.DataFrame:
        if gone not in done:
            done[gone] = results_frame(load("energy_tax").features(Altered(whole, gone), whole.period))
        return done[gone]

    return get


LOST = {
    "obs_power": {
        "treatment_off_while_producing",
        "treatment_idling_while_producing",
        "flow_contradicts_power",
        "condition_low_while_treating",
    },
    "carbon_events": {"carbon_replacement_overdue", "carbon_mass_does_not_balance"},
    "tax_declarations": {"tax_declared_below_measured", "tax_reduction_not_due"},
}


@pytest.mark.parametrize("entry", sorted(LOST))
def test_removing_a_source_turns_its_rules_to_not_evaluable(entry: str, reviewed: Callable[[frozenset[str]], pd.DataFrame]) -> None:
    results = reviewed(frozenset({entry}))
    mine = results[results["rule"].isin(LOST[entry])]
    assert (mine["ruling"] == "not evaluable").all()
    before = reviewed(frozenset())
    assert set(results.loc[results["ruling"] == "violated", "rule"]) <= set(before.loc[before["ruling"] == "violated", "rule"])


def test_without_invoices_it_says_what_was_lost(reviewed: Callable[[frozenset[str]], pd.DataFrame]) -> None:
    results = reviewed(frozenset({"invoices"}))
    said = results[results["reason_en"].str.contains("no invoices")]
    assert set(said["rule"]) == {"output_out_of_line_with_energy", "reagent_out_of_line_with_energy"}
    assert said["reason_zh"].str.contains("发票").all()


def plants(months: int, low: tuple[int, int, float] | None) -> pd.DataFrame:
    """Emission per tonne of eight works of one industry; one month of one works at a share of what it should be."""
    rng = np.random.default_rng(5)
    rows = []
    for e in range(8):
        usual = 0.4 * rng.standard_normal()
        for m in range(months):
            share = low[2] if low and (e, m) == low[:2] else 1.0
            level = usual + np.log(share) + 0.08 * rng.standard_normal()
            rows.append((f"E{e}", "3011", pd.Timestamp(2026, 1 + m, 1), level, "ledger"))
    return pd.DataFrame(rows, columns=["enterprise_id", "industry", "month", "log_intensity", "source"])


@pytest.mark.parametrize(
    ("months", "low", "expected"),
    [(6, (3, 4, 0.4), {"E3"}), (6, None, set()), (6, (3, 4, 0.95), set()), (2, (3, 1, 0.4), set())],
    ids=["one month at 40 %", "nobody", "5 % less is scatter", "two months are too few"],
)
def test_emission_per_output_far_under_its_expectation_is_found(
    months: int, low: tuple[int, int, float] | None, expected: set[str]
) -> None:
    pooled, scatter = pooled_intensity(plants(months, low))
    numbers = {"z_limit": -3.3, "months_min": 3, "invoice_log_sd": 0.3}
    found = [j for _, g in pooled.groupby("enterprise_id") for j in emission_out_of_line_with_output(g, scatter, **numbers)]
    assert {j.enterprise_id for j in found if j.ruling.value == "violated"} == expected
    if months < 3:
        assert {j.ruling.value for j in found} == {"not evaluable"}
    if expected:
        hit = next(j for j in found if j.ruling.value == "violated")
        assert hit.value == pytest.approx(0.4, abs=0.12)
        assert hit.start == pd.Timestamp(2026, 5, 1)
        assert "per output" in hit.reason_en


def test_without_output_or_monitors_the_emission_is_not_held_against_anything(reviewed: Callable[[frozenset[str]], pd.DataFrame]) -> None:
    for gone in (frozenset({"ledger", "invoices"}), frozenset({"obs_cems", "obs_wastewater"})):
        mine = reviewed(gone)
        mine = mine[mine["rule"] == "emission_out_of_line_with_output"]
        assert set(mine["ruling"]) == {"not evaluable"}
    mine = reviewed(frozenset())
    assert "emission_out_of_line_with_output" in set(mine["rule"])


# ---- load states -----------------------------------------------------------------------------------------------------


def labelled_load(days: int = 30) -> tuple[pd.DatetimeIndex, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(6)
    time = pd.date_range("2026-01-01 00:15", periods=days * 96, freq="15min")
    hour = (time - pd.Timedelta("15min")).hour
    state = np.where((hour < 7) | (hour >= 20), "light", np.where((hour >= 10) & (hour < 15), "heavy", "medium")).astype(object)
    level = pd.Series(state).map({"light": 5.0, "medium": 60.0, "heavy": 110.0}).to_numpy(float)
    return time, level * np.exp(0.2 * rng.standard_normal(len(time))), state


def test_features_never_look_ahead() -> None:
    time, power, _ = labelled_load(30)
    cut = 20 * 96
    whole = causal_features(time, power, others={"pf": power})
    changed = power.copy()
    changed[cut:] = 1e6
    again = causal_features(time, changed, others={"pf": changed})
    pd.testing.assert_frame_equal(whole.iloc[:cut], again.iloc[:cut])
    pd.testing.assert_frame_equal(whole.iloc[:cut], causal_features(time[:cut], power[:cut], others={"pf": power[:cut]}))


def test_states_named_once_are_named_again() -> None:
    time, power, state = labelled_load()
    x = causal_features(time, power)
    cut = 20 * 96
    fitted = fit_load_states(x.iloc[:cut], state[:cut].tolist(), seed=1, rounds=30)
    for smoothing in ("none", "filter", "viterbi"):
        assert (fitted.predict(x.iloc[cut:], smoothing=smoothing) == state[cut:]).mean() > 0.97  # type: ignore[arg-type]
    again = fit_load_states(x.iloc[:cut], state[:cut].tolist(), seed=1, rounds=30)
    np.testing.assert_array_equal(fitted.probabilities(x.iloc[cut:]), again.probabilities(x.iloc[cut:]))


def test_smoothing_holds_a_state_through_one_doubtful_reading() -> None:
    emission = np.log(np.array([[0.9, 0.1]] * 5 + [[0.4, 0.6]] + [[0.9, 0.1]] * 5))
    stay = np.log(np.array([[0.95, 0.05], [0.05, 0.95]]))
    assert (viterbi(emission, stay) == 0).all()
    assert (forward_filter(emission, stay).argmax(axis=1) == 0).all()
    np.testing.assert_allclose(np.exp(forward_filter(emission, stay)).sum(axis=1), 1.0)
