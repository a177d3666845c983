"""HTML of the desk, rendered by templates that escape everything they are given."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from importlib.resources import files
from typing import Any

import numpy as np
import pandas as pd

from workbench.apps.state import Desk
from workbench.apps.titles import detector_title, model_title
from workbench.apps.words import Language, half, kind_word, say, say_or, words
from workbench.contracts import Metric


@cache
def stylesheet(name: str = "desk.css") -> str:
    """Return a style sheet of the desk."""
    return files("workbench.apps").joinpath("templates", name).read_text(encoding="utf-8")


@cache
def _templates() -> Any:
    from jinja2 import Environment, FunctionLoader, StrictUndefined

    def load(name: str) -> str:
        return files("workbench.apps").joinpath("templates", name).read_text(encoding="utf-8")

    return Environment(loader=FunctionLoader(load), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)


def render(template: str, language: Language, **values: Any) -> str:
    """Return a rendered template; ``t`` holds every text in ``language``."""
    texts = {name: getattr(pair, language) for name, pair in words().items()}
    html: str = _templates().get_template(template).render(t=texts, zh=language == "zh", **values)
    return html


def notice(text: str, language: Language, items: Sequence[str] = (), level: str = "") -> str:
    """Return a boxed message."""
    return render("notice.html.j2", language, text=text, items=list(items), level=level)


def empty_page(desk: Desk) -> str:
    """Return what to run where there is no iteration yet."""
    return render("empty.html.j2", desk.lang, folder=say("empty_folder", desk.lang, folder=str(desk.reports)))


def lead_card(desk: Desk) -> str:
    """Return the words and numbers of the chosen lead."""
    lead, lang = desk.lead(), desk.lang
    if lead is None:
        return notice(say("no_lead_chosen" if desk.lead_total() else "no_leads", lang), lang)
    p, low, high = (float(lead[c]) for c in ("p_violation", "p_low", "p_high"))
    factor = float(lead["bayes_factor"])
    days = (lead["end"] - lead["start"]) / pd.Timedelta(days=1)
    first, second = ("reason_zh", "reason_en") if lang == "zh" else ("reason_en", "reason_zh")
    rivals = say("bayes_text", lang, best=half(lead["best_state"], lang), second=half(lead["runner_up"], lang))
    return render(
        "lead.html.j2",
        lang,
        kind=kind_word(lead["kind"], lang),
        queue=lead["queue"],
        queue_word=say(f"queue_{lead['queue']}", lang),
        queue_help=say("queue_silent_help", lang) if lead["queue"] == "silent" else "",
        rank=int(lead["rank"]),
        lead_id=lead["lead_id"],
        enterprise=lead["enterprise"],
        enterprise_id=lead["enterprise_id"],
        outlet=lead["outlet_id"],
        p=percent(p),
        interval=say("interval", lang, low=percent(low), high=percent(high)),
        p_pct=f"{100 * p:.1f}",
        low_pct=f"{100 * low:.1f}",
        width_pct=f"{max(0.8, 100 * (high - low)):.1f}",
        bayes=bayes_text(factor),
        rivals=rivals if lead["best_state"] and lead["runner_up"] else "",
        start=f"{lead['start']:%Y-%m-%d %H:%M}",
        end=f"{lead['end']:%Y-%m-%d %H:%M}",
        days=say("days", lang, n=f"{days:.1f}"),
        reason=lead[first],
        reason_other=lead[second],
        innocent=half(lead["innocent_alternative"], lang),
        next_check=half(lead["next_check"], lang),
        articles=list(lead["articles"]),
    )


def percent(p: float) -> str:
    """Return a probability as people read it: never 0 % or 100 %, which nothing here is."""
    if p > 0.999:
        return ">99.9%"
    if p < 0.001:
        return "<0.1%"
    return f"{p:.0%}" if 0.01 <= p <= 0.99 else f"{p:.1%}"


def bayes_text(factor: float) -> str:
    """Return a Bayes factor as people read it; empty where there is none."""
    if not np.isfinite(factor):
        return ""
    if factor >= 1000:
        return f"{factor:,.0f} : 1" if factor < 1e6 else f"10^{np.log10(factor):.0f} : 1"
    return f"{factor:.3g} : 1"


def basis(desk: Desk) -> str:
    """Return the findings and conflicts that the chosen lead rests on."""
    lang = desk.lang
    reason = "reason_zh" if lang == "zh" else "reason_en"
    findings = [
        {
            "model": model_title(f["model"], lang),
            "detector": detector_title(f["model"], f["detector"], lang),
            "id": f"{f['model']}: {f['detector']} · {f['finding_id']}",
            "span": span_text(f["start"], f["end"]),
            "outcome": say_or(f"outcome_{f['outcome']}", lang, f["outcome"] or "—"),
            "p": f"{f['p_breach']:.2f}" if np.isfinite(f["p_breach"]) else "—",
            "reason": f[reason],
        }
        for f in desk.lead_findings().sort_values(["p_breach", "finding_id"], ascending=[False, True]).to_dict("records")
    ]
    conflicts = [
        {"reason": c[reason], "channels": " × ".join(map(str, c["channels"])), "span": span_text(c["start"], c["end"])}
        for c in desk.lead_conflicts().to_dict("records")
    ]
    return render("basis.html.j2", lang, findings=findings, conflicts=conflicts)


def metrics_table(desk: Desk) -> str:
    """Return the metrics of all iterations side by side."""
    ids = [i.id for i in desk.shelf.iterations]
    groups: dict[str, list[dict[str, Any]]] = {}
    for (against, subject, name, unit), by_iteration in desk.metric_rows():
        shown = metric_word(name, desk.lang)
        row = {
            "name": shown,
            "code": name,
            "unit": "" if unit == "1" else unit,
            "subject": say_or(f"subject_{subject.replace(' ', '_')}", desk.lang, subject),
            "cells": [_cell(by_iteration.get(i), desk.lang) for i in ids],
        }
        groups.setdefault(against or "—", []).append(row)
    listed = [{"against": yardstick(a, desk.lang), "rows": rows} for a, rows in groups.items()]
    return render("metrics.html.j2", desk.lang, iterations=ids, groups=listed)


def yardstick(against: str, language: Language) -> str:
    """Return what a metric was held against, in words."""
    return say_or(f"against_{against.split(' (')[0].replace(' ', '_')}", language, against)


def metric_word(name: str, language: Language) -> str:
    """Return the words of a metric such as ``precision@70``; an unknown one as it is written."""
    stem, _, budget = name.partition("@")
    return say(f"metric_{stem}", language, b=budget) if f"metric_{stem}" in words() else name


def _cell(m: Metric | None, language: Language) -> dict[str, Any]:
    if m is None:
        return {"value": None, "text": "", "hover": ""}
    hover = " · ".join(filter(None, (m.method, m.note)))
    if m.value is None:
        return {"value": None, "text": "—", "hover": f"{say('not_evaluated', language)}: {m.note or m.method}"}
    low, high = ("–" if x is None else f"{x:.2f}" for x in (m.low, m.high))
    return {"value": f"{m.value:.2f}", "range": f"[{low}, {high}] n={m.n}", "text": "", "hover": hover}


def span_text(start: pd.Timestamp, end: pd.Timestamp) -> str:
    """Return a span as ``2026-01-05 10:00 – 01-07 12:00``."""
    return f"{start:%Y-%m-%d %H:%M} – {end:%m-%d %H:%M}" if start.year == end.year else f"{start:%Y-%m-%d} – {end:%Y-%m-%d}"
