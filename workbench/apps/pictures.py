"""Bokeh figures: precision with intervals, SHAP bars in named units, series with span, limit and marks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from bokeh.core.properties import value
from bokeh.layouts import column
from bokeh.models import (
    BoxAnnotation,
    ColumnDataSource,
    CrosshairTool,
    DatetimeTickFormatter,
    HoverTool,
    Label,
    Legend,
    LegendItem,
    NumeralTickFormatter,
    Range1d,
    Span,
    Whisker,
)
from bokeh.plotting import figure
from bokeh.themes import Theme

from workbench.apps.series import Trace, limit_text, point_label, unit_of
from workbench.apps.words import Language, say, say_or

FONT = "Noto Sans CJK SC, Noto Sans SC, PingFang SC, Microsoft YaHei, Roboto, sans-serif"
INK, MUTED, GRID = "#1f2933", "#667380", "#e6eaee"
MORE, LESS, SHADE, LIMIT = "#c2410c", "#0f766e", "#f59e0b", "#b91c1c"
SERIES = "#1d4f91"
PALETTE = ("#1d4f91", "#0f766e", "#c2410c", "#7c3aed", "#a16207", "#be185d", "#475569", "#0e7490")
MARK_COLOURS = {
    "stopped": "#64748b",
    "startup": "#0ea5e9",
    "shutdown": "#0ea5e9",
    "calibration": "#7c3aed",
    "maintenance": "#a16207",
    "fault": "#be185d",
    "set_manually": "#be185d",
    "over_range": "#c2410c",
    "comm_error": "#94a3b8",
    "other": "#94a3b8",
}
MAX_BARS = 12


def precision_figure(points: pd.DataFrame, order: Sequence[str], language: Language) -> Any:
    """Draw precision@budget of each iteration with its interval.

    Parameters
    ----------
    points : DataFrame
        As :meth:`workbench.apps.state.Desk.precision_points`, of one yardstick.
    order : sequence of str
        Iteration ids, newest first; drawn with the newest on top.
    """
    shown = [i for i in order if i in set(points["iteration"])][::-1]
    budgets = sorted(points["budget"].unique())
    fig = _figure(
        height=max(170, 96 + 26 * len(budgets) * max(1, len(shown))), y_range=Range1d(-0.6, len(shown) - 0.4), x_range=Range1d(0, 1)
    )
    items = []
    for i, budget in enumerate(budgets):
        rows = points[points["budget"] == budget]
        shift = 0.4 * ((len(budgets) - 1) / 2 - i) / max(1, len(budgets) - 1)
        y = [shown.index(r) + shift for r in rows["iteration"]]
        source = ColumnDataSource(
            rows.assign(y=y, text=[f"{v:.2f}  [{a:.2f}, {b:.2f}]" for v, a, b in rows[["value", "low", "high"]].to_numpy(float)])
        )
        colour = PALETTE[i % len(PALETTE)]
        whisker = Whisker(source=source, base="y", lower="low", upper="high", dimension="width", line_color=colour, line_width=2)
        whisker.upper_head.size = whisker.lower_head.size = 7
        whisker.upper_head.line_color = whisker.lower_head.line_color = colour
        fig.add_layout(whisker)
        dots = fig.scatter("value", "y", source=source, size=9, color=colour)
        items.append(LegendItem(label=f"@{budget}", renderers=[dots]))
        fig.add_tools(
            HoverTool(
                renderers=[dots],
                tooltips=[
                    ("", "@iteration"),
                    ("@name", "@text"),
                    ("n", "@n"),
                    (say("held_against", language), "@against"),
                    ("", "@method"),
                ],
            )
        )
    fig.yaxis.ticker = list(range(len(shown)))
    fig.yaxis.major_label_overrides = dict(enumerate(shown))
    fig.xaxis.axis_label = say("precision_axis", language)
    fig.xaxis.formatter = NumeralTickFormatter(format="0 %")
    fig.ygrid.visible = False
    _legend(fig, items)
    return fig


def shap_figure(rows: pd.DataFrame, language: Language) -> Any:
    """Draw contributions as bars, each named with its value and unit.

    Parameters
    ----------
    rows : DataFrame
        Contract table ``attributions`` of one finding or lead, largest first; those beyond :data:`MAX_BARS`, and those
        that would be written as 0.00, are summed in one bar (none where the sum is 0.00 too).
    """
    label = "label_zh" if language == "zh" else "label_en"
    seen = rows["contribution"].abs() >= 0.005
    top = rows[seen].head(MAX_BARS) if seen.any() else rows.head(1)
    names = [_named(r[label] or r["feature"], r["value"], r["unit"]) for r in top.to_dict("records")]
    values = top["contribution"].to_numpy(float)
    rest = rows["contribution"].sum() - top["contribution"].sum()
    if abs(rest) >= 0.005:
        names.append(say("shap_rest", language, n=len(rows) - len(top)))
        values = np.r_[values, rest]
    names = [_wrapped(n) for n in names]
    y = np.arange(len(values))[::-1].astype(float)
    reach = float(np.abs(values).max()) if len(values) else 1.0
    low, high = min(0.0, float(values.min())), max(0.0, float(values.max()))
    pad = 0.16 * max(high - low, 0.2 * reach, 1e-6)
    lines = sum(n.count("\n") for n in names)
    fig = _figure(
        height=92 + 30 * len(values) + 12 * lines,
        y_range=Range1d(-0.7, len(values) - 0.3),
        x_range=Range1d(low - (pad if low < 0 else pad / 4), high + (pad if high > 0 else pad / 4)),
    )
    colours = [MORE if v > 0 else LESS for v in values]
    text = [f"{v:+.2f}" for v in values]
    source = ColumnDataSource({"y": y, "v": values, "colour": colours, "name": names, "text": text})
    bars = fig.hbar(y="y", right="v", left=0, height=0.62, color="colour", source=source)
    for positive in (True, False):
        part = values > 0 if positive else values <= 0
        fig.text(
            x=values[part],
            y=y[part],
            text=[t for t, k in zip(text, part, strict=True) if k],
            x_offset=5 if positive else -5,
            text_align="left" if positive else "right",
            text_baseline="middle",
            text_font=value(FONT),
            text_font_size="11px",
            text_color=INK,
        )
    fig.add_layout(Span(location=0, dimension="height", line_color=MUTED, line_width=1))
    fig.add_tools(HoverTool(renderers=[bars], tooltips=[("", "@name"), ("Δ log-odds", "@text")]))
    fig.yaxis.ticker = list(y)
    fig.yaxis.major_label_overrides = {int(k): n for k, n in zip(y, names, strict=True)}
    fig.yaxis.major_label_text_align = "right"
    fig.xaxis.axis_label = say("shap_axis", language)
    fig.ygrid.visible = False
    return fig


def series_figures(
    traces: Sequence[Trace], span: tuple[pd.Timestamp, pd.Timestamp], bounds: tuple[pd.Timestamp, pd.Timestamp], language: Language
) -> Any:
    """Draw the series one above the other over one time axis; the lead's span shaded, limits and marks drawn."""
    x_range = Range1d(bounds[0], bounds[1])
    crosshair = Span(dimension="height", line_color=MUTED, line_width=1, line_dash="dotted")
    first_marked = next((i for i, t in enumerate(traces) if len(t.marks)), -1)
    figures = []
    for i, trace in enumerate(traces):
        last = i == len(traces) - 1
        fig = _series(
            trace,
            span,
            x_range,
            language,
            PALETTE[0] if i == 0 else PALETTE[6],
            height=210 if i == 0 else 150,
            time_axis=last,
            legend=i == first_marked,
        )
        fig.add_tools(CrosshairTool(overlay=crosshair))
        figures.append(fig)
    return column(*figures, sizing_mode="stretch_width", spacing=4)


def _series(
    trace: Trace,
    span: tuple[pd.Timestamp, pd.Timestamp],
    x_range: Range1d,
    language: Language,
    colour: str,
    *,
    height: int,
    time_axis: bool,
    legend: bool,
) -> Any:
    unit = unit_of(trace.point)
    known = trace.value[np.isfinite(trace.value)]
    tops = [v for v, _ in trace.limits]
    top, bottom = max([*tops, float(known.max()) if known.size else 1.0]), min(0.0, float(known.min()) if known.size else 0.0)
    room = max(top - bottom, 1e-9)
    strip = bottom - 0.10 * room
    fig = _figure(
        height=height + (32 if time_axis else 0),
        x_range=x_range,
        y_range=Range1d(strip, top + 0.18 * room),
        x_axis_type="datetime",
        tools="xpan,xwheel_zoom,xbox_zoom,reset,save",
    )
    fig.title.text = point_label(trace.point, language) + (f"　{unit}" if unit else "")
    fig.yaxis.axis_label = unit or point_label(trace.point, language).split(" · ")[0]
    fig.add_layout(BoxAnnotation(left=span[0], right=span[1], fill_color=SHADE, fill_alpha=0.14, line_color=SHADE, line_alpha=0.6))
    _marks(fig, trace, strip, bottom - 0.02 * room, language, legend=legend)
    source = ColumnDataSource({"t": trace.time, "v": trace.value})
    line = fig.line("t", "v", source=source, color=colour, line_width=1.3)
    dots = fig.scatter("t", "v", source=source, color=colour, size=2.2) if len(trace.time) < 600 else line
    for limit, basis in trace.limits:
        fig.add_layout(Span(location=limit, dimension="width", line_color=LIMIT, line_dash="dashed", line_width=1.4))
        fig.add_layout(
            Label(
                x=6,
                x_units="screen",
                y=limit,
                y_offset=2,
                text=limit_text(limit, basis, unit, language),
                text_color=LIMIT,
                text_font=FONT,
                text_font_size="11px",
            )
        )
    if not known.size:
        fig.add_layout(
            Label(x=12, y=20, x_units="screen", y_units="screen", text=say("series_empty", language), text_color=MUTED, text_font=FONT)
        )
    fig.add_tools(
        HoverTool(
            renderers=[dots], tooltips=[("", "@t{%F %H:%M}"), (unit or "", "@v{0.[000]}")], formatters={"@t": "datetime"}, mode="vline"
        )
    )
    fig.xaxis.visible = time_axis
    fig.xaxis.formatter = DatetimeTickFormatter(hours="%m-%d %H:%M", days="%m-%d", months="%Y-%m", hourmin="%m-%d %H:%M", minutes="%H:%M")
    fig.min_border_left = 74
    return fig


def _marks(fig: Any, trace: Trace, low: float, high: float, language: Language, *, legend: bool) -> None:
    """Draw marked stretches as a strip under the line, one colour per kind, with a legend."""
    items = []
    for kind, rows in trace.marks.groupby("kind", sort=True) if len(trace.marks) else []:
        bars = fig.quad(
            left=rows["start"],
            right=rows["end"],
            bottom=low,
            top=high,
            fill_color=MARK_COLOURS.get(str(kind), MUTED),
            line_color=None,
            fill_alpha=0.9,
        )
        items.append(LegendItem(label=f"{say('marked', language)}: {say_or(f'mark_{kind}', language, str(kind))}", renderers=[bars]))
    if items and legend:
        _legend(fig, items)


def _figure(**options: Any) -> Any:
    fig = figure(**{"sizing_mode": "stretch_width", "tools": "", "toolbar_location": "right", "min_width": 260} | options)
    fig.toolbar.logo = None
    fig.toolbar.autohide = True
    return fig


def _legend(fig: Any, items: Sequence[LegendItem]) -> None:
    fig.add_layout(Legend(items=list(items), orientation="horizontal", location="right"), "above")


def figure_theme() -> Theme:
    """Return the look of all figures: one font that holds Chinese, quiet lines."""
    text = {"text_font": FONT, "text_color": INK}
    axis = {
        f"{part}_text_{k}": v
        for part in ("major_label", "axis_label")
        for k, v in (("font", FONT), ("font_size", "12px"), ("font_style", "normal"))
    }
    lines = {"axis_line_color": MUTED, "major_tick_line_color": MUTED, "minor_tick_line_color": None}
    colours = {"major_label_text_color": INK, "axis_label_text_color": MUTED, "axis_label_standoff": 8}
    legend = {
        "label_text_font": FONT,
        "label_text_font_size": "12px",
        "label_text_color": INK,
        "border_line_color": None,
        "background_fill_alpha": 0.0,
    }
    return Theme(
        json={
            "attrs": {
                "Plot": {"outline_line_color": GRID, "background_fill_color": "#ffffff", "border_fill_color": "#ffffff"},
                "Axis": axis | lines | colours,
                "Grid": {"grid_line_color": GRID},
                "Title": text | {"text_font_size": "13px", "text_font_style": "normal"},
                "Legend": legend | {"padding": 0, "margin": 4, "glyph_height": 12, "glyph_width": 12},
            }
        }
    )


def _named(name: str, amount: float, unit: str) -> str:
    states_its_level = unit in ("", "1") and ("：" in name or ": " in name)
    if states_its_level or not np.isfinite(amount):
        return name
    shown = f"{amount:,.0f}" if abs(amount) >= 1000 else f"{amount:.3g}"
    return f"{name} = {shown}" + (f" {unit}" if unit and unit != "1" else "")


def _wrapped(text: str, width: int = 34) -> str:
    """Break a label over two lines by its width on screen (a Chinese character counts two)."""
    wide = [2 if ord(c) > 0x2E80 else 1 for c in text]
    if sum(wide) <= width:
        return text
    half, seen, best = sum(wide) / 2, 0, None
    for i, (c, w) in enumerate(zip(text, wide, strict=True)):
        seen += w
        breakable = (c in " ，、；：-_/" or w == 2) and text[i + 1 : i + 2] not in tuple("，、；：。）)=")
        if breakable and (best is None or abs(seen - half) < abs(best[1] - half)):
            best = (i + 1, seen)
    at = best[0] if best else len(text) // 2
    return text[:at].rstrip() + "\n" + text[at:].lstrip()
