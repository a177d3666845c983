"""Inspection history: biased in whom it visits, imperfect in what it finds, late in what it decides."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from workbench.district.behaviour import Visit
from workbench.district.climate import STEPS_PER_DAY, World
from workbench.district.noise import stream
from workbench.district.papers import FILING_DAYS
from workbench.district.settings import draw, number
from workbench.district.simulate import SiteResult

CODE_FROM = pd.Timestamp("2026-08-15")
ARTICLES = {
    "fabrication": ("大气污染防治法第九十九条", "生态环境法典第一千零八十八条", 2e5, 1e6),
    "exceedance": ("大气污染防治法第九十九条", "生态环境法典第一千一百零七条", 1e5, 1e6),
    "treatment_off": ("大气污染防治法第九十九条", "生态环境法典第一千一百零八条", 1e5, 1e6),
    "permit_breach": ("排污许可管理条例第三十六条", "排污许可管理条例第三十六条", 2e4, 2e5),
    "false_report": ("排污许可管理条例第三十七条", "排污许可管理条例第三十七条", 5e3, 2e4),
    "carbon_overdue": ("大气污染防治法第一百零八条", "生态环境法典第一千一百二十条", 2e4, 2e5),
    "fugitive": ("大气污染防治法第一百一十七条", "生态环境法典第一千一百三十条", 1e4, 1e5),
}


def inspect(result: SiteResult, world: World, truth: list[dict[str, Any]]) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Return inspections and cases of one enterprise."""
    site = result.site
    rng = stream(world.seed, "inspect", site.enterprise_id)
    visits = sorted([*result.visits, *_drawn_by_signs(result, world, truth, rng)], key=lambda v: (v.step, v.origin))
    inspections: list[dict[str, Any]] = []
    cases: list[dict[str, Any]] = []
    last = world.at(world.steps) + pd.Timedelta(days=FILING_DAYS)
    for k, v in enumerate(visits):
        at = world.at(v.step).normalize()
        start = max(world.start, at - pd.Timedelta(days=int(rng.integers(14, 36))))
        if at <= start:
            continue
        there = sorted({str(t["kind"]) for t in truth if t["start"] < at and t["end"] > start})
        found = [kind for kind in there if rng.random() < number("inspection.sensitivity")]
        if not there and rng.random() < number("inspection.false_finding"):
            found = [str(rng.choice(["permit_breach", "exceedance", "false_report"]))]
        decided = at + pd.Timedelta(days=round(draw(rng, "inspection.decision_days")))
        row = {
            "inspection_id": f"I{site.enterprise_id[1:]}-{k + 1:02d}",
            "enterprise_id": site.enterprise_id,
            "inspected_on": at,
            "decided_on": decided if decided <= last else pd.NaT,
            "origin": v.origin,
            "selection_probability": v.probability if rng.random() < number("inspection.probability_logged") else float("nan"),
            "period_start": start,
            "period_end": at,
            "finding": "violation" if found else "none",
            "kinds": found,
        }
        inspections.append(row)
        if found and decided <= last and rng.random() < 0.7:
            cases.append(_case(row, found[0], len(cases), last, rng))
    return inspections, cases


def _drawn_by_signs(result: SiteResult, world: World, truth: list[dict[str, Any]], rng: np.random.Generator) -> list[Visit]:
    """Leads follow what an attentive officer sees: reported exceedances, outages, loud offences; complaints follow nuisance."""
    months = world.days / 30
    exceed = sum(int(np.nansum(d.reported_hour > d.limit)) for d in result.discharges.values() if d.reported_hour is not None)
    loud = [t for t in truth if not t["silent_by_design"]]
    signs = 0.12 + 0.05 * min(exceed, 12) + 0.02 * min(len(result.oddities), 10) + 0.25 * bool(loud) + 0.05 * bool(truth)
    nuisance = 0.06 + 0.25 * any(t["kind"] in ("fugitive", "exceedance") for t in truth) + 0.08 * (result.site.yard is not None)
    out = []
    for origin, rate in (("lead", signs * 0.6), ("complaint", nuisance * 0.5)):
        for _ in range(int(rng.poisson(rate * months))):
            day = int(rng.integers(4, world.days))
            if truth and rng.random() < 0.6:  # signs are seen while something goes on
                t = truth[int(rng.integers(len(truth)))]
                span = (t["end"] - world.start) / pd.Timedelta(days=1)
                day = int(np.clip(span + rng.uniform(0, 6), 4, world.days - 1))
            out.append(Visit(day * STEPS_PER_DAY + 100, origin, round(min(1.0, rate), 4)))
    return out


def _case(row: dict[str, Any], kind: str, k: int, last: pd.Timestamp, rng: np.random.Generator) -> dict[str, Any]:
    before, after, low, high = ARTICLES[kind]
    closed = row["decided_on"] + pd.Timedelta(days=int(rng.integers(15, 120)))
    return {
        "case_id": f"K{row['inspection_id'][1:]}-{k + 1}",
        "inspection_id": row["inspection_id"],
        "enterprise_id": row["enterprise_id"],
        "opened_on": row["decided_on"],
        "closed_on": closed if closed <= last else pd.NaT,
        "kind": kind,
        "article": after if row["inspected_on"] >= CODE_FROM else before,
        "fine_cny": float(round(low + (high - low) * float(rng.beta(1.2, 5)), -2)) if closed <= last else float("nan"),
    }
