"""Golden cases of the permit rules: described permits with their expected verdicts, every rule in all three values."""

from __future__ import annotations

from importlib.resources import files
from typing import Any

import numpy as np
import pandas as pd
import pytest
import yaml

from workbench.contracts import Ruling
from workbench.models.hourly import Grid
from workbench.models.permit.accounting import hourly_mass, running_masses
from workbench.models.permit.dossier import Cap, Coefficient, Dossier, Power, Series
from workbench.models.permit.rules import GROUPS, RULES
from workbench.models.permit.rules.concentration import _strength, after_start
from workbench.models.permit.settings import load_settings

FOLDER = files("workbench.models.permit")
CASES = yaml.safe_load((FOLDER / "cases.yml").read_text(encoding="utf-8"))["cases"]
START, HOURS = pd.Timestamp("2026-01-01"), 2160
SETTINGS = load_settings()


def hour(n: float) -> pd.Timestamp:
    return START + pd.Timedelta(hours=n)


def series(spec: dict[str, Any], level: float, flow: float | None) -> tuple[np.ndarray, np.ndarray | None]:
    c = np.full(HOURS, spec.get("level", level), np.float32)
    for a, b, v in spec.get("set", ()):
        c[a:b] = v
    for a, b in spec.get("missing", ()):
        c[a:b] = np.nan
    if n := spec.get("every_day_missing"):
        c.reshape(-1, 24)[:, :n] = np.nan
    high = spec.get("flow", flow)
    if high is None:
        return c, None
    q = np.full(HOURS, high, np.float32)
    for a, b in spec.get("low_flow", ()):
        q[a:b] = 0.0
    return c, q


def ledger(spec: Any) -> pd.DataFrame | None:
    if spec == "absent":
        return None
    spec = spec or {}
    rng = np.random.default_rng(3)
    days = np.arange(90)
    output = 100.0 + rng.normal(0, 5, 90).round(2)
    reagent = 30.0 + rng.normal(0, 2, 90).round(2)
    hours = np.full(90, 24.0)
    if "copy" in spec:
        a, b = spec["copy"]
        output[a:b], reagent[a:b] = output[a], reagent[a]
    if "zero" in spec:
        a, b = spec["zero"]
        output[a:b] = reagent[a:b] = 0.0
    lag = np.full(90, 1.4)
    if "rewritten" in spec:
        a, b, day = spec["rewritten"]
        lag[a:b] = day - days[a:b]
    keep = ~np.isin(days, spec.get("drop", []))
    if n := spec.get("drop_every"):
        keep &= days % n != 0
    rows = []
    for k in days[keep]:
        date = START + pd.Timedelta(days=int(k))
        edited = date + pd.Timedelta(days=float(lag[k])) if spec.get("edited", True) else pd.NaT
        for facility, name, value in (
            ("线", "output_t", output[k]),
            ("治理", "reagent_kg", reagent[k]),
            ("治理", "treatment_hours", hours[k]),
        ):
            rows.append(("E1", date, facility, name, float(value), edited))
    return pd.DataFrame(rows, columns=["enterprise_id", "date", "facility", "field", "value", "edited_at"])


def reports(given: dict[str, Any], monthly_t: float) -> tuple[pd.DataFrame | None, pd.DataFrame | None]:
    spec = given.get("reports") or {}
    if spec == "absent":
        return None, None
    rows, items = [], []
    for month in ("2026-01", "2026-02", "2026-03") if spec.get("through_march") else ("2026-01", "2026-02"):
        if month in spec.get("drop", []):
            continue
        period = pd.Period(month, freq="M")
        due = (period + 1).start_time + pd.Timedelta(days=15)
        handed = due - pd.Timedelta(days=5) if month != "2026-03" else hour(HOURS - 1)
        if month in spec.get("late", {}):
            handed = due + pd.Timedelta(days=spec["late"][month])
        if month in spec.get("never", []):
            handed = pd.NaT
        rows.append((f"R{month}", "P1", period.start_time, period.end_time.normalize(), handed))
        hours = period.days_in_month * 24
        items.append((f"R{month}", "DA001", "a21026", monthly_t * hours * given.get("declared", 1.0), given.get("exceed_hours", 0.0)))
    frame = pd.DataFrame(rows, columns=["report_id", "permit_id", "period_start", "period_end", "submitted_at"])
    frame["submitted_at"] = pd.to_datetime(frame["submitted_at"])
    columns = ["report_id", "outlet_id", "factor", "declared_t", "exceed_hours"]
    return frame, pd.DataFrame(items, columns=columns).astype({"declared_t": float, "exceed_hours": float})


def power(spec: Any) -> tuple[Power, ...]:
    if spec == "absent":
        return ()
    out = []
    for role in ("production", "treatment", "condition"):
        mine = (spec or {}).get(role, None if role == "condition" else {})
        if mine is None:
            continue
        running = np.ones(HOURS, np.float32)
        for a, b in (mine or {}).get("down", ()):
            running[a:b] = 0.0
        out.append(Power(f"P-{role}", role, running))
    return tuple(out)


def build(given: dict[str, Any] | None) -> Dossier:
    """Return the base dossier with what ``given`` changes."""
    given = given or {}
    outlets = [("DA001", "air", "stack", "大气"), ("DW001", "water", "wastewater", "清溪")]
    limits = [("P1", "DA001", "a21026", 50.0, "hour", given.get("annual_t", 30.0)), ("P1", "DW001", "w01018", 80.0, "day", np.nan)]
    if "extra_outlet" in given:
        outlets.append((given["extra_outlet"], "air", "stack", "大气"))
    if "fugitive" in given:
        outlets.append(("MF001", "air", "fugitive", "大气"))
        limits.append(("P1", "MF001", "a34001", 1.0, "hour", np.nan))
    register = pd.DataFrame(outlets, columns=["outlet_id", "medium", "kind", "receiving"]).assign(enterprise_id="E1", lon=118.0, lat=31.0)
    limit_frame = pd.DataFrame(limits, columns=["permit_id", "outlet_id", "factor", "limit", "basis", "annual_t"]).astype(
        {"annual_t": float}
    )
    if "special" in given:
        a, b, t = given["special"]
        limit_frame = limit_frame.iloc[:1].assign(special_from=pd.Timestamp(a), special_to=pd.Timestamp(b), special_t=float(t))
    due = {"self_monitoring": 10.0, "execution_report": 15.0, "ledger": 3.0} | given.get("due", {})
    duties = [
        ("P1", duty, "DA001" if duty == "self_monitoring" else "", "a21026" if duty == "self_monitoring" else "", frequency, due[duty])
        for duty, frequency in (("self_monitoring", "month"), ("execution_report", "month"), ("ledger", "day"))
        if due[duty] != "none"
    ]
    duty_frame = pd.DataFrame(duties, columns=["permit_id", "duty", "outlet_id", "factor", "frequency", "due_days"]).astype(
        {"due_days": float}
    )
    taken = given.get("samples", [["DA001", "a21026", "2026-01-12", 21, "mg/m³"], ["DA001", "a21026", "2026-02-12", 21, "mg/m³"]])
    samples = None
    if taken != "absent":
        samples = pd.DataFrame(taken, columns=["outlet_id", "factor", "sampled_at", "value", "unit"]).astype({"value": float})
        samples["sampled_at"] = pd.to_datetime(samples["sampled_at"])
    marks = pd.DataFrame(
        [(o, k, hour(a), hour(b)) for o, k, a, b in given.get("marks", [])], columns=["outlet_id", "kind", "start", "end"]
    ).astype({"start": "datetime64[ns]", "end": "datetime64[ns]"})
    all_series, masses, flow_share = {}, {}, {}
    specs = given.get("series", {})
    if specs != "absent":
        for key, level, flow in (("DA001/a21026", 20.0, 1e5), ("DW001/w01018", 40.0, 50.0)):
            outlet, factor = key.split("/")
            c, q = series(specs.get(key, {}), level, flow)
            all_series[outlet, factor] = Series(f"p-{key}", c, c, q)
            if q is not None:
                masses[outlet, factor] = running_masses(hourly_mass(c, q, water=factor[0] == "w"), np.zeros(HOURS, bool))
                flow_share[outlet] = q / np.float32(flow)
    if given.get("fugitive"):
        c, _ = series(given["fugitive"], 0.5, None)
        all_series["MF001", "a34001"] = Series("p-mf", c, c)
    report_frame, items = reports(given, 20.0 * 1e5 * 1e-9)
    permit = None
    if given.get("permit") != "absent":
        permit = {"permit_id": "P1", "valid_from": pd.Timestamp("2024-01-01"), "valid_to": pd.Timestamp("2028-12-31")}
        permit |= {k: pd.Timestamp(v) for k, v in given.get("permit", {}).items()}
    tax = None
    if given.get("tax", 1.0) != "absent":
        kg = 20.0 * 1e5 * 1e-9 * HOURS * 1000 * given.get("tax", 1.0)
        tax = pd.DataFrame(
            [("E1", "DA001", "a21026", "2026Q1", kg)], columns=["enterprise_id", "outlet_id", "factor", "quarter", "declared_kg"]
        )
    zone = None
    if "zone_outage" in given:
        zone = np.zeros(HOURS, bool)
        for a, b in given["zone_outage"]:
            zone[a:b] = True
    return Dossier(
        enterprise={"enterprise_id": "E1", "industry": "3011", "permit_class": given.get("permit_class", "key")},
        grid=Grid(START, HOURS),
        permit=permit,
        permits_known=given.get("permits_known", True),
        limits=None if given.get("limits") == "absent" else limit_frame,
        duties=duty_frame,
        outlets=register,
        samples=samples,
        reports=report_frame,
        items=items,
        ledger=ledger(given.get("ledger")),
        marks=marks,
        tax=tax,
        permit_outlets=pd.DataFrame(given["permit_outlets"]) if "permit_outlets" in given else None,
        permit_materials=pd.DataFrame(given["permit_materials"]) if "permit_materials" in given else None,
        series=all_series,
        power=power(given.get("power")),
        flow_share=flow_share,
        zone_outage=zone,
        masses=masses,
        accounting=SETTINGS.prep("measured_mass"),
        coefficients={("DA001", "a21026"): Coefficient(given["coefficient"], 0.0, 0.0, 0.3, "test")} if "coefficient" in given else {},
        caps=(Cap(("startup", "shutdown", "fault"), float(given["cap"]), "test"),) if "cap" in given else (),
    )


def verdict(rulings: set[Ruling]) -> Ruling:
    """A rule that says several things says the gravest: violated, then compliant, then not evaluable."""
    return next(r for r in (Ruling.VIOLATED, Ruling.COMPLIANT, Ruling.NOT_EVALUABLE) if r in rulings)


def said(rule: str, d: Dossier) -> list[Any]:
    return RULES[rule](d, **SETTINGS.rules[rule].numbers())


@pytest.mark.parametrize("case", CASES, ids=[f"{c['rule']}: {c['why']}" for c in CASES])
def test_rule_says_what_the_case_expects(case: dict[str, Any]) -> None:
    results = said(case["rule"], build(case.get("given")))
    got = verdict({r.ruling for r in results})
    assert got == Ruling(case["ruling"]), [r.reason_en for r in results]
    if "value" in case:
        values = [r.value for r in results if r.ruling == got]
        assert any(np.isclose(v, case["value"], rtol=0.02) for v in values), values
    for r in results:
        assert r.rule == case["rule"]
        assert r.reason_zh
        assert r.reason_en
        assert r.permit_field
        assert r.end >= r.start
        if r.ruling is Ruling.VIOLATED:
            assert r.evidence, "a violation names what it rests on"


def test_every_rule_has_cases_in_all_three_values() -> None:
    seen = {rule: {c["ruling"] for c in CASES if c["rule"] == rule} for rule in RULES}
    assert {rule: v for rule, v in seen.items() if v != {"violated", "compliant", "not evaluable"}} == {}
    assert len(CASES) >= 40


def test_rows_and_functions_name_each_other() -> None:
    assert set(SETTINGS.rules) == set(RULES) == set(SETTINGS.priors) == set(SETTINGS.articles)
    assert list(GROUPS) == [f"R{k}" for k in range(1, 13)]
    assert all(rule.__doc__ for rule in RULES.values())


def test_preparation_rows_name_functions() -> None:
    from workbench.models import hourly
    from workbench.models.permit import accounting, book, episodes

    homes = (hourly, accounting, book, episodes)
    assert {name for name in SETTINGS.preparation if not any(hasattr(m, name) for m in homes)} == set()


def test_lawful_marks_are_named_in_the_result() -> None:
    d = build({"series": {"DA001/a21026": {"set": [[100, 106, 80]]}}, "marks": [["DA001", "startup", 103, 106]]})
    worst = [r for r in said("hourly_concentration_over_permitted", d) if r.ruling is Ruling.VIOLATED]
    assert worst[0].subtracted == (("startup", 3.0),)
    assert (worst[0].start, worst[0].end) == (hour(100), hour(103))


def test_forecast_names_the_day_the_amount_runs_out() -> None:
    result = said("annual_amount_over_permitted", build({"annual_t": 5.99}))[0]
    # 0.048 t a day: 4.32 t by 1 April, 5.99 t after 35 more days, 6 May
    assert "2026-05-06" in result.reason_en
    assert "2026-05-06" in result.reason_zh


def test_articles_follow_the_day_of_the_act() -> None:
    before = SETTINGS.cite("hourly_concentration_over_permitted", pd.Timestamp("2026-08-14"), "air")
    after = SETTINGS.cite("hourly_concentration_over_permitted", pd.Timestamp("2026-08-15"), "air")
    assert any(a.startswith("大气污染防治法") for a in before)
    assert not any(a.startswith("生态环境法典") for a in before)
    assert any(a.startswith("生态环境法典 Art. 1103") for a in after)
    assert not any(a.startswith("大气污染防治法") for a in after)
    assert any(a.startswith("排污许可管理条例") for a in after), "the regulation stays in force beside the Code"


def test_a_rule_not_in_force_is_not_applied() -> None:
    assert not SETTINGS.in_force("marked_hours_over_cap", pd.Timestamp("2022-12-31"))
    assert SETTINGS.in_force("marked_hours_over_cap", pd.Timestamp("2023-01-01"))


def test_hours_after_a_start_weigh_a_tenth_and_many_hours_just_over_are_no_surer_than_their_mean() -> None:
    over = np.full(10, 1.5)
    settled, starting = _strength(over, 0.1, np.zeros(10, bool)), _strength(over, 0.1, np.ones(10, bool))
    assert starting < _strength(over[:2], 0.1, np.zeros(2, bool)) < settled
    assert _strength(np.full(500, 1.04), 0.1) < settled
    flow = np.tile(np.r_[np.full(14, 0.2), np.full(10, 5.0)], 5)
    assert after_start(flow, hours=3).reshape(5, 24).sum(axis=1).tolist() == [3] * 5
    assert not after_start(None, hours=3)
