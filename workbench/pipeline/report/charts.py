"""Small drawings as inline SVG: no network, no script, colours from the page's stylesheet (light, dark and print)."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from markupsafe import Markup, escape

from workbench.contracts import Metric

_KM_PER_DEGREE = 111.32


@dataclass(frozen=True)
class Stage:
    """One bar of the funnel: words in both languages, a count (None: not known), a note."""

    zh: str
    en: str
    count: int | None
    note: str = ""


def funnel(stages: Sequence[Stage]) -> Markup:
    """Draw counts as bars, largest to smallest as they come; an unknown count is drawn as a dashed outline."""
    width, row, left = 640, 56, 190
    largest = max([s.count or 0 for s in stages] + [1])
    parts = []
    for i, s in enumerate(stages):
        y = i * row + 6
        long = 0 if s.count is None else max(3.0, (width - left - 80) * s.count / largest) if s.count else 0
        parts.append(f'<text class="zh" x="{left - 12}" y="{y + 14}" text-anchor="end">{escape(s.zh)}</text>')
        parts.append(f'<text class="en" x="{left - 12}" y="{y + 29}" text-anchor="end">{escape(s.en)}</text>')
        if s.count is None:
            parts.append(f'<rect class="unknown" x="{left}" y="{y + 2}" width="120" height="26" rx="3"/>')
            parts.append(f'<text class="en" x="{left + 130}" y="{y + 20}">未知 not known</text>')
        else:
            parts.append(f'<rect class="bar s{i}" x="{left}" y="{y + 2}" width="{long:.1f}" height="26" rx="3"/>')
            parts.append(f'<text class="count" x="{left + long + 8:.1f}" y="{y + 21}">{s.count:,}</text>')
            if s.note:
                parts.append(f'<text class="en" x="{left}" y="{y + 42}">{escape(s.note)}</text>')
    return _svg(width, len(stages) * row + 4, "漏斗 funnel", parts)


@dataclass(frozen=True)
class Curve:
    """One series: its name and, per review budget, the metric with its interval."""

    name: str
    points: Sequence[tuple[int, Metric]]


def precision_at_budget(curves: Sequence[Curve]) -> Markup:
    """Draw precision against review budget, each point with its interval; a metric without value is left out."""
    width, height, left, bottom, top = 640, 300, 44, 46, 14
    budgets = sorted({b for c in curves for b, _ in c.points})
    if not budgets:
        return Markup("")
    plot_w, plot_h = width - left - 14, height - bottom - top
    parts = []
    for tick in (0, 0.25, 0.5, 0.75, 1):
        y = top + plot_h * (1 - tick)
        parts.append(f'<line class="grid" x1="{left}" x2="{width - 14}" y1="{y:.1f}" y2="{y:.1f}"/>')
        parts.append(f'<text class="en" x="{left - 8}" y="{y + 4:.1f}" text-anchor="end">{tick:g}</text>')
    slot = plot_w / len(budgets)
    for k, budget in enumerate(budgets):
        x = left + slot * (k + 0.5)
        parts.append(f'<text class="en" x="{x:.1f}" y="{height - bottom + 18}" text-anchor="middle">{budget}</text>')
    middle = left + plot_w / 2
    parts.append(f'<text class="en" x="{middle:.1f}" y="{height - 8}" text-anchor="middle">核查名额（条线索） review budget (leads)</text>')
    step = min(26.0, slot * 0.7 / max(len(curves), 1))
    for i, curve in enumerate(curves):
        for budget, m in curve.points:
            if m.value is None:
                continue
            x = left + slot * (budgets.index(budget) + 0.5) + step * (i - (len(curves) - 1) / 2)
            high = 1.0 if m.high is None else m.high
            at = [top + plot_h * (1 - min(max(v, 0.0), 1.0)) for v in (m.value, m.low or 0.0, high)]
            tip = f"<title>{escape(curve.name)} · {budget}: {escape(str(m))}</title>"
            if m.low is not None and m.high is not None:
                parts.append(f'<line class="whisker c{i}" x1="{x:.1f}" x2="{x:.1f}" y1="{at[1]:.1f}" y2="{at[2]:.1f}">{tip}</line>')
                ends = [f'<line class="whisker c{i}" x1="{x - 4:.1f}" x2="{x + 4:.1f}" y1="{end:.1f}" y2="{end:.1f}"/>' for end in at[1:]]
                parts.extend(ends)
            parts.append(f'<circle class="dot c{i}" cx="{x:.1f}" cy="{at[0]:.1f}" r="5">{tip}</circle>')
    return _svg(width, height, "各核查名额下的命中率 precision at review budgets", parts)


def lead_map(enterprises: pd.DataFrame, leads: pd.DataFrame) -> Markup:
    """Draw enterprises and leads by longitude and latitude.

    Parameters
    ----------
    enterprises : DataFrame
        ``enterprise_id, name, street_town, lon, lat`` (°, WGS84); rows without a place are left out.
    leads : DataFrame
        The strongest lead of each enterprise is drawn, its size and colour by ``p_violation``.
    """
    known = enterprises[np.isfinite(enterprises["lon"]) & np.isfinite(enterprises["lat"])]
    if known.empty:
        return Markup("")
    width, height, margin = 640, 430, 26
    place = _projection(known, width, height, margin)
    parts: list[str] = []
    streets: list[str] = []
    for street, group in known.groupby("street_town", sort=True):
        x, y = place(group["lon"].median(), group["lat"].max())
        streets.append(f'<text class="street" x="{x:.1f}" y="{max(14.0, y - 16):.1f}" text-anchor="middle">{escape(street)}</text>')
    for e in known.to_dict("records"):
        x, y = place(e["lon"], e["lat"])
        parts.append(f'<circle class="place" cx="{x:.1f}" cy="{y:.1f}" r="2.2"><title>{escape(e["name"])}</title></circle>')
    best = leads.sort_values("rank").drop_duplicates("enterprise_id").merge(known, on="enterprise_id")
    for lead in best.sort_values("rank", ascending=False).to_dict("records"):
        x, y = place(lead["lon"], lead["lat"])
        p, rank = float(lead["p_violation"]), int(lead["rank"])
        look = f"lead p{min(4, int(p * 5))} {lead['queue']}"
        tip = f"{rank}. {lead['name']} · {lead['street_town']} · p = {p:.2f}"
        circle = f'<circle class="{escape(look)}" cx="{x:.1f}" cy="{y:.1f}" r="{4 + 7 * p:.1f}"><title>{escape(tip)}</title></circle>'
        parts.append(circle)
        if rank <= 10:
            parts.append(f'<text class="number" x="{x:.1f}" y="{y + 3.5:.1f}" text-anchor="middle">{rank}</text>')
    return _svg(width, height, "线索分布 where the leads are", [*parts, *streets, *_scale_bar(known, width, height, margin)])


def _projection(known: pd.DataFrame, width: int, height: int, margin: int) -> Callable[[float, float], tuple[float, float]]:
    lon0, lat0 = float(known["lon"].mean()), float(known["lat"].mean())
    squeeze = math.cos(math.radians(lat0))
    half_w = max(float((known["lon"] - lon0).abs().max()) * squeeze, 1e-4)
    half_h = max(float((known["lat"] - lat0).abs().max()), 1e-4)
    k = min((width / 2 - margin) / half_w, (height / 2 - margin) / half_h)

    def place(lon: float, lat: float) -> tuple[float, float]:
        return width / 2 + (lon - lon0) * squeeze * k, height / 2 - (lat - lat0) * k

    return place


def _scale_bar(known: pd.DataFrame, width: int, height: int, margin: int) -> list[str]:
    place = _projection(known, width, height, margin)
    lon, lat = float(known["lon"].mean()), float(known["lat"].mean())
    per_km = (place(lon, lat)[1] - place(lon, lat + 1)[1]) / _KM_PER_DEGREE
    km = max((n * 10.0**e for n in (1, 2, 5) for e in (-2, -1, 0, 1, 2) if n * 10.0**e * per_km <= 140), default=0.01)
    x, y = 14, height - 12
    return [
        f'<line class="axis" x1="{x}" x2="{x + km * per_km:.1f}" y1="{y}" y2="{y}"/>',
        f'<text class="en" x="{x}" y="{y - 5}">{km:g} km</text>',
        f'<text class="en" x="{width - 14}" y="{y}" text-anchor="end">北在上 north is up</text>',
    ]


def _svg(width: int, height: int, label: str, parts: Sequence[str | Markup]) -> Markup:
    body = "".join(parts)  # every text in it went through escape above
    return Markup(f'<svg class="chart" viewBox="0 0 {width} {height}" role="img" aria-label="{escape(label)}">{body}</svg>')  # noqa: S704
