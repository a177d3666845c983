"""What the enterprise hands in: permit, self-monitoring, reports, ledger, invoices, tax, carbon records.

Papers follow the truth through what the enterprise knows and wishes to show: declared amounts start from its own
(perhaps falsified) monitor, invoices and carbon purchases from what was truly used.
"""

from __future__ import annotations

from collections import defaultdict
from functools import cache
from typing import Any

import numpy as np
import pandas as pd

from workbench.district.behaviour import Scheme
from workbench.district.climate import STEPS_PER_DAY, World
from workbench.district.noise import stream
from workbench.district.population import Outlet, Site
from workbench.district.records import Rows, invoices, ledger
from workbench.district.settings import document
from workbench.district.simulate import Discharge, SiteResult

FILING_DAYS = 20
"""Papers filed up to this many days after the last reading are in the catalog."""
LABS = ("中检检测", "华测江城实验室", "企业自测实验室", "绿标检测")


def write_papers(result: SiteResult, world: World) -> Rows:
    """Return the document rows of one enterprise by table, and the truth rows of its paper offences under ``truth``."""
    rows: Rows = defaultdict(list)
    rng = stream(world.seed, "papers", result.site.enterprise_id)
    schemes = {e.scheme.mechanism: e.scheme for e in result.episodes}
    _permit(rows, result, world, rng, schemes)
    _samples(rows, result, world, rng, schemes)
    _reports(rows, result, world, rng, schemes)
    ledger(rows, result, world, rng, schemes)
    invoices(rows, result, world, rng)
    _tax(rows, result, world, rng, schemes)
    _carbon(rows, result, world, rng, schemes)
    return rows


def _truth(rows: Rows, world: World, scheme: Scheme, outlet_id: str, site: Site, start: pd.Timestamp, end: pd.Timestamp) -> None:
    a, b = max(start, world.start), min(end, world.at(world.steps))
    if b <= a:
        return
    rows["truth"].append(
        {
            "enterprise_id": site.enterprise_id, "outlet_id": outlet_id, "point_id": "", "start": a, "end": b,
            "kind": document("mechanisms")[scheme.mechanism]["kind"], "mechanism": scheme.mechanism,
            "silent_by_design": scheme.silent,
        }
    )  # fmt: skip


def _of(result: SiteResult, outlet: Outlet) -> list[tuple[str, Discharge]]:
    return [(f, d) for (o, f), d in result.discharges.items() if o == outlet.outlet_id]


def _known_kg(d: Discharge) -> np.ndarray:
    """Return kg per day as the enterprise knows it: its monitor where it has one."""
    return d.true_kg if d.reported_kg is None else d.reported_kg


def _permit(rows: Rows, result: SiteResult, world: World, rng: np.random.Generator, schemes: dict[str, Scheme]) -> None:
    site = result.site
    if site.permit_class == "registered" and rng.random() < 0.3:
        return
    years = int(rng.integers(0, 4))
    issued = world.start - pd.Timedelta(days=int(rng.integers(40, 330)) + 365 * years)
    rows["permits"].append(
        {
            "permit_id": site.permit_id, "enterprise_id": site.enterprise_id, "class": site.permit_class,
            "issued_on": issued.normalize(), "valid_from": issued.normalize(), "valid_to": issued.normalize() + pd.DateOffset(years=5),
        }
    )  # fmt: skip
    for outlet in (site.air, site.water):
        if outlet is None:
            continue
        over = schemes.get("over_permit_annual")
        worst = max(_of(result, outlet), key=lambda fd: float(_known_kg(fd[1]).sum()) / fd[1].limit)[0]
        for f, d in _of(result, outlet):
            known = _known_kg(d) / 1000
            annual = float(known.mean()) * 365 * float(rng.uniform(1.12, 2.2)) + 1e-4
            if over is not None and over.medium == outlet.medium and f == worst:
                annual = float(known.sum()) * float(rng.uniform(0.55, 0.85)) + 1e-4
                crossed = int(np.searchsorted(np.cumsum(known), round(annual, 4), side="right"))
                _truth(rows, world, over, outlet.outlet_id, site, world.at(crossed * STEPS_PER_DAY), world.at(world.steps))
            rows["permit_limits"].append(
                {
                    "permit_id": site.permit_id, "outlet_id": outlet.outlet_id, "factor": f, "limit": d.limit,
                    "basis": "hour" if outlet.medium == "air" else "day", "annual_t": round(annual, 4),
                }
            )  # fmt: skip


def _spans(frequency: str, world: World) -> list[tuple[pd.Timestamp, pd.Timestamp]]:
    """Return the calendar spans of a duty that touch the period and end before the papers' last day."""
    return _calendar(frequency, world.start, world.at(world.steps) + pd.Timedelta(days=FILING_DAYS))


@cache
def _calendar(frequency: str, start: pd.Timestamp, last: pd.Timestamp) -> list[tuple[pd.Timestamp, pd.Timestamp]]:
    freq = {"week": "W-SUN", "month": "M", "quarter": "Q"}[frequency]
    spans = pd.period_range(start - pd.Timedelta(days=100), last, freq=freq)
    out = [(p.start_time.normalize(), (p.end_time + pd.Timedelta(1, "ns")).normalize()) for p in spans]
    return [(a, b) for a, b in out if b <= last]


def _samples(rows: Rows, result: SiteResult, world: World, rng: np.random.Generator, schemes: dict[str, Scheme]) -> None:
    site = result.site
    if site.permit_class == "registered":
        return
    missing = schemes.get("missing_self_monitoring")
    skipped = False
    for outlet in (site.air, site.water):
        if outlet is None:
            continue
        for f, d in _of(result, outlet):
            options = ["week", "month"] if missing else (["month", "month", "week"] if site.permit_class == "key" else ["month", "quarter"])
            frequency = options[int(rng.integers(len(options)))]
            due = int(rng.integers(5, 20))
            rows["permit_duties"].append(
                {
                    "permit_id": site.permit_id, "duty": "self_monitoring", "outlet_id": outlet.outlet_id, "factor": f,
                    "frequency": frequency, "due_days": due,
                }
            )  # fmt: skip
            lab = LABS[int(rng.integers(len(LABS)))]
            dressed = bool(result.truth) and rng.random() < 0.5
            unit = document("streams")["factors"][f]["unit"]
            hours = _sampling_hours(result, world, d)
            for a, b in _spans(frequency, world):
                inside = a >= world.start and b <= world.at(world.steps) + pd.Timedelta(days=2)
                if missing and inside and (not skipped or rng.random() < 0.5):
                    skipped = True
                    _truth(rows, world, missing, outlet.outlet_id, site, a, b)
                    continue
                if row := _sample(result, world, rng, outlet, f, d, a, b, dressed, hours):
                    rows["self_monitoring"].append({**row, "unit": unit, "lab": lab})


def _sampling_hours(result: SiteResult, world: World, d: Discharge) -> np.ndarray:
    """Return the hours (from the start of the period) in which a sampler would come: at work, line running."""
    hour = np.arange(len(d.true_hour)) % 24
    running = (result.on_hour > 0.9) & np.isfinite(d.true_hour)
    by_day = running & (hour >= 9) & (hour < 17)
    return np.flatnonzero(by_day if by_day.sum() > 0.1 * running.sum() else running)


def _sample(
    result: SiteResult,
    world: World,
    rng: np.random.Generator,
    outlet: Outlet,
    f: str,
    d: Discharge,
    a: pd.Timestamp,
    b: pd.Timestamp,
    dressed: bool,
    hours: np.ndarray,
) -> dict[str, Any] | None:
    low, high = ((t - world.start) / pd.Timedelta(hours=1) for t in (a, b))
    fits = hours[np.searchsorted(hours, low) : np.searchsorted(hours, high)]
    error = float(np.exp(rng.normal(0, 0.08)))
    if fits.size:
        h = int(fits[int(rng.integers(fits.size))])
        value = d.true_hour[h]
        if dressed and d.reported_hour is not None and np.isfinite(d.reported_hour[h]):
            value = d.reported_hour[h]
        elif dressed:
            value = min(value, 0.8 * d.limit)
        at = world.at(10 * h) + pd.Timedelta(minutes=int(rng.integers(0, 60)))
        load = 100 * min(1.0, float(result.on_hour[h]) * 0.85 + float(rng.normal(0, 0.04)))
    elif _covered(world, a, b)[0] > 0.5:
        return None  # stopped throughout: nothing to sample, lawfully
    else:  # before the readings begin: an ordinary day
        value, load = outlet.levels[f], float(rng.uniform(70, 95))
        at = a + (b - a) * float(rng.uniform(0.1, 0.9))
        at = at.normalize() + pd.Timedelta(hours=int(rng.integers(9, 17)))
    return {
        "outlet_id": outlet.outlet_id,
        "factor": f,
        "sampled_at": at,
        "value": round(float(value) * error, 2),
        "load_pct": round(load, 0),
    }


def _reports(rows: Rows, result: SiteResult, world: World, rng: np.random.Generator, schemes: dict[str, Scheme]) -> None:
    site = result.site
    if site.permit_class == "registered":
        return
    late, low = schemes.get("late_report"), schemes.get("declared_low")
    last = world.at(world.steps) + pd.Timedelta(days=FILING_DAYS)
    for frequency in ("month", "quarter") if site.permit_class == "key" or late or low else ("quarter",):
        due_days = int(rng.choice([10, 15, 15]))
        rows["permit_duties"].append(
            {
                "permit_id": site.permit_id,
                "duty": "execution_report",
                "outlet_id": "",
                "factor": "",
                "frequency": frequency,
                "due_days": due_days,
            }
        )
        for a, b in _spans(frequency, world):
            due = b + pd.Timedelta(days=due_days)
            if due >= last or due < world.start - pd.Timedelta(days=60):
                continue
            submitted: Any = b + pd.Timedelta(hours=float(rng.uniform(24, due_days * 24 - 1)))
            if late and world.start <= due and due + pd.Timedelta(days=2) < world.at(world.steps):
                submitted = due + pd.Timedelta(days=float(rng.uniform(2, 22)))
                _truth(rows, world, late, "", site, due, submitted)
                if submitted >= last:
                    submitted = pd.NaT
            report = f"R{site.enterprise_id[1:]}-{a:%Y%m}{frequency[0]}"
            rows["execution_reports"].append(
                {
                    "report_id": report,
                    "permit_id": site.permit_id,
                    "period_start": a,
                    "period_end": b,
                    "submitted_at": submitted.floor("min"),
                }
            )
            for outlet in (site.air, site.water):
                if outlet is not None:
                    _items(rows, result, world, rng, outlet, report, a, b, low)
    rows["permit_duties"].append(
        {"permit_id": site.permit_id, "duty": "ledger", "outlet_id": "", "factor": "", "frequency": "day", "due_days": 3}
    )


def _items(
    rows: Rows,
    result: SiteResult,
    world: World,
    rng: np.random.Generator,
    outlet: Outlet,
    report: str,
    a: pd.Timestamp,
    b: pd.Timestamp,
    low: Scheme | None,
) -> None:
    lowered = False
    for f, d in _of(result, outlet):
        share, inside = _covered(world, a, b)
        kg = float(_known_kg(d)[inside].sum()) / share if share > 0.2 else float(_known_kg(d).mean()) * (b - a).days
        kg *= float(np.exp(rng.normal(0, 0.03 if d.reported_kg is not None else 0.1)))
        if low is not None and low.medium == outlet.medium and share > 0.8:
            kg *= float(rng.uniform(0.74, 0.86) if low.silent else rng.uniform(0.3, 0.6))
            lowered = True
        hours = 0.0
        if d.reported_hour is not None and share > 0:
            window = d.reported_hour.reshape(-1, 24)[inside]
            hours = float(np.nansum(window > d.limit))
        rows["execution_report_items"].append(
            {"report_id": report, "outlet_id": outlet.outlet_id, "factor": f, "declared_t": round(kg / 1000, 5), "exceed_hours": hours}
        )
    if lowered and low is not None:
        _truth(rows, world, low, outlet.outlet_id, result.site, a, b)


def _covered(world: World, a: pd.Timestamp, b: pd.Timestamp) -> tuple[float, np.ndarray]:
    """Return which share of ``[a, b)`` was measured, and the measured days as a mask."""
    days = pd.date_range(world.start, periods=world.days, freq="D")
    inside = np.asarray((days >= a) & (days < b))
    return float(inside.sum()) / max(1, (b - a).days), inside


def _tax(rows: Rows, result: SiteResult, world: World, rng: np.random.Generator, schemes: dict[str, Scheme]) -> None:
    site, under = result.site, schemes.get("tax_under")
    for outlet in (site.air, site.water):
        if outlet is None or not (outlet.monitored or site.permit_class == "key"):
            continue
        for a, b in _spans("quarter", world):
            share, inside = _covered(world, a, b)
            if b + pd.Timedelta(days=15) > world.at(world.steps) + pd.Timedelta(days=FILING_DAYS):
                continue
            cheats = under is not None and under.medium == outlet.medium and share > 0.8
            for f, d in _of(result, outlet):
                kg = float(_known_kg(d)[inside].sum()) / share if share > 0.2 else float(_known_kg(d).mean()) * (b - a).days
                kg *= float(np.exp(rng.normal(0, 0.025)))
                reduction = _reduction(d, inside) if share > 0.2 else 0.0
                if cheats and under is not None:
                    kg *= float(rng.uniform(0.72, 0.85) if under.silent else rng.uniform(0.3, 0.6))
                    reduction = 0.5 if not under.silent and rng.random() < 0.5 else reduction
                rows["tax_declarations"].append(
                    {
                        "enterprise_id": site.enterprise_id, "outlet_id": outlet.outlet_id, "factor": f, "quarter": f"{a.year}Q{a.quarter}",
                        "declared_kg": round(kg, 3), "reduction": reduction,
                    }
                )  # fmt: skip
            if cheats and under is not None:
                _truth(rows, world, under, outlet.outlet_id, site, a, b)


def _reduction(d: Discharge, inside: np.ndarray) -> float:
    """Return the lawful reduction: 25% when 30% below the limit, 50% when 50% below, none if any hour exceeds."""
    hours = d.true_hour if d.reported_hour is None else d.reported_hour
    window = hours.reshape(-1, 24)[inside]
    if not np.isfinite(window).any() or np.nanmax(window) > d.limit:
        return 0.0
    mean = float(np.nanmean(window)) / d.limit
    return 0.5 if mean <= 0.5 else 0.25 if mean <= 0.7 else 0.0


def _carbon(rows: Rows, result: SiteResult, world: World, rng: np.random.Generator, schemes: dict[str, Scheme]) -> None:
    site, bed = result.site, result.bed
    if bed is None or site.air is None:
        return
    unit = f"C{site.enterprise_id[1:]}-1"
    rows["carbon_units"].append(
        {
            "unit_id": unit, "enterprise_id": site.enterprise_id, "outlet_id": site.air.outlet_id, "capacity_kg": site.carbon_kg,
            "iodine_mg_g": float(rng.integers(650, 920)), "airflow_m3_h": round(site.carbon_flow, 0), "hours_per_day": bed.hours,
            "inlet_mg_m3": round(bed.inlet * float(np.exp(rng.normal(0, 0.05))), 1),
        }
    )  # fmt: skip

    def add(at: pd.Timestamp, event: str, mass: float, kind: str) -> None:
        number_ = f"{kind}{at:%y%m%d}{int(rng.integers(100, 999))}"
        rows["carbon_events"].append(
            {"unit_id": unit, "at": at.floor("min"), "event": event, "mass_kg": round(mass, 1), "document": number_}
        )

    for change in bed.changes:
        at = world.at(change) + pd.Timedelta(hours=float(rng.uniform(8, 12)))
        add(at - pd.Timedelta(days=float(rng.uniform(1, 12))), "purchase", site.carbon_kg * float(rng.uniform(1.0, 1.06)), "FP")
        add(at, "remove", site.carbon_kg * float(rng.uniform(1.02, 1.1)), "TZ")
        add(at + pd.Timedelta(hours=2), "fill", site.carbon_kg * float(rng.uniform(0.97, 1.0)), "TZ")
        add(at + pd.Timedelta(days=float(rng.uniform(2, 40))), "dispose", site.carbon_kg * float(rng.uniform(1.03, 1.1)), "LD")
    for change in bed.papered:
        at = world.at(change) + pd.Timedelta(hours=10)
        add(at, "fill", site.carbon_kg * float(rng.uniform(0.97, 1.0)), "TZ")
    overdue = schemes.get("carbon_overdue")
    if overdue is not None:
        high = np.concatenate([[0], (bed.use > 1.0).view(np.int8), [0]])
        edges = np.flatnonzero(np.diff(high))
        for a, b in zip(edges[::2], edges[1::2], strict=True):
            _truth(rows, world, overdue, site.air.outlet_id, site, world.at(int(a)), world.at(int(b)))
