"""Pictures for a finding: the series, the span, the limit, the related channels and the marks; and its explanation as bars.

matplotlib only, so that a notebook's page opens offline. Chinese text is drawn with a CJK font where the machine has one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import xarray as xr

from workbench.contracts import ParameterError
from workbench.models.monitoring.vocabulary import MARK_WORDS, factor_words

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

CJK_FONTS = ("Noto Sans CJK SC", "Noto Sans CJK JP", "Source Han Sans SC", "WenQuanYi Zen Hei", "SimHei", "Microsoft YaHei")
SPAN_COLOUR, LIMIT_COLOUR, SERIES_COLOUR, RELATED_COLOUR = "#d95f0244", "#c1121f", "#1d3557", "#6b7a8f"
MARK_COLOURS = {
    1: "#c1121f",
    2: "#e09f3e",
    3: "#7b2cbf",
    4: "#222222",
    5: "#2a9d8f",
    6: "#f77f00",
    7: "#b5179e",
    8: "#577590",
    9: "#4d908e",
    10: "#999999",
}


def cjk_font() -> str | None:
    """Return the name of an installed font with Chinese glyphs, or None."""
    from matplotlib import font_manager

    known = {f.name for f in font_manager.fontManager.ttflist}
    return next((f for f in CJK_FONTS if f in known), None)


def draw_finding(
    features: xr.Dataset,
    finding: pd.Series,
    *,
    raw: xr.DataArray | None = None,
    days_around: float = 4.0,
    related: int = 4,
    language: str = "zh",
) -> Figure:
    """Draw one finding: its point's series with span, limit and marks, and up to ``related`` related channels below.

    The height of each panel is that of its unmarked hours, so that calibration gas does not flatten the readings; what lies over it is cut.

    Parameters
    ----------
    features : Dataset
        What ``MonitoringModel.features`` returned, lazy or loaded; only the rows drawn are computed.
    finding : Series
        A row of the findings.
    raw : DataArray, optional
        Values of the point over time as they came; drawn instead of the hourly means.
    days_around : float
        Days shown before and after the span.
    related : int
        Most related channels shown.
    language : {"zh", "en"}

    Raises
    ------
    ParameterError
        If the point of the finding is not in the features.
    """
    from matplotlib.dates import AutoDateLocator, ConciseDateFormatter
    from matplotlib.figure import Figure

    ids = pd.Index(features["point"].to_numpy().astype(object))
    if finding["point_id"] not in ids:
        raise ParameterError(
            "the finding's point is not in these features", got=finding["point_id"], next_step="use the features it was assessed on"
        )
    row = int(np.flatnonzero(ids == finding["point_id"])[0])
    rows = [row, *_related(features, row, related)]
    pad = pd.Timedelta(days=days_around)
    part = features[["hour_any", "hour_mark"]].isel(point=rows).sel(hour=slice(finding["start"] - pad, finding["end"] + pad)).compute()
    figure = Figure(figsize=(11, 2.2 + 1.25 * (len(rows) - 1)), layout="constrained")
    heights = [2.2, *[1.0] * (len(rows) - 1)]
    axes = np.atleast_1d(figure.subplots(len(rows), 1, sharex=True, height_ratios=heights))
    font = cjk_font() if language == "zh" else None
    text: dict[str, Any] = {"fontfamily": font} if font else {}
    chinese = language == "zh" and font is not None
    for k, axis in enumerate(axes):
        _draw_series(axis, part.isel(point=k), features, rows[k], finding, raw if k == 0 else None, chinese=chinese, text=text)
    _legend(figure, axes, text)
    reason = str(finding["reason_zh"] if chinese else finding["reason_en"])
    axes[0].set_title(_wrapped(reason, 72 if chinese else 140), fontsize=9, loc="left", pad=12, **text)
    dates = AutoDateLocator()
    axes[-1].xaxis.set_major_locator(dates)
    axes[-1].xaxis.set_major_formatter(ConciseDateFormatter(dates))
    axes[-1].tick_params(axis="x", labelsize=8)
    return figure


def _draw_series(
    axis: Axes,
    part: xr.Dataset,
    features: xr.Dataset,
    row: int,
    finding: pd.Series,
    raw: xr.DataArray | None,
    *,
    chinese: bool,
    text: dict[str, Any],
) -> None:
    hours, value, code = (part[k].to_numpy() for k in ("hour", "hour_any", "hour_mark"))
    main = features["point"].to_numpy()[row] == finding["point_id"]
    colour = SERIES_COLOUR if main else RELATED_COLOUR
    if raw is None:
        axis.plot(hours, value, color=colour, lw=1.2 if main else 0.9)
    else:
        shown = raw.sel(time=slice(hours[0], hours[-1] + np.timedelta64(1, "h")))
        axis.plot(shown["time"].to_numpy(), shown.to_numpy(), color=colour, lw=0.9)
    axis.axvspan(finding["start"], finding["end"], color=SPAN_COLOUR, lw=0, label="时段 span" if chinese else "span")
    limit = float(features["limit"].to_numpy()[row])
    bottom, top = _height(value, code, limit)
    axis.set_ylim(bottom, top)
    if np.isfinite(limit) and limit <= top:
        axis.axhline(limit, color=LIMIT_COLOUR, lw=0.9, ls="--")
        axis.annotate(
            f"{'限值' if chinese else 'limit'} {limit:g}",
            (0.995, limit),
            xycoords=("axes fraction", "data"),
            ha="right",
            va="bottom",
            fontsize=7,
            color=LIMIT_COLOUR,
            **text,
        )
    for mark, colour in MARK_COLOURS.items():
        at = code == mark
        if at.any():
            words = MARK_WORDS[mark][0 if chinese else 1]
            axis.plot(
                hours[at],
                np.full(at.sum(), 1.02),
                "|",
                color=colour,
                ms=5,
                transform=axis.get_xaxis_transform(),
                clip_on=False,
                label=words,
            )
    zh, en = factor_words(str(features["factor"].to_numpy()[row]) or str(features["role"].to_numpy()[row]))
    role = str(features["role"].to_numpy()[row])
    name = (zh if chinese else en) if features["factor"].to_numpy()[row] not in ("", "power") else ""
    name = f"{name} {_role(role, chinese)}".strip()
    axis.set_ylabel(f"{name}\n{features['unit'].to_numpy()[row]}", fontsize=7, **text)
    axis.tick_params(labelsize=7)
    axis.spines[["top", "right"]].set_visible(False)


def _height(value: np.ndarray, code: np.ndarray, limit: float) -> tuple[float, float]:
    """Return the span of values to show: unmarked hours, and the limit where it lies within three times of them."""
    ordinary = value[np.isfinite(value) & ~np.isin(code, (2, 3, 4, 5, 7))]
    if not ordinary.size:
        ordinary = value[np.isfinite(value)]
    if not ordinary.size:
        return 0.0, 1.0
    low, high = float(ordinary.min()), float(ordinary.max())
    if np.isfinite(limit) and limit <= 3 * max(high, 1e-9):
        high = max(high, limit)
    room = 0.08 * max(high - low, 1e-3 * abs(high), 1e-6)
    return low - room, high + 2 * room


ROLES = {"production": ("生产用电", "production power"), "treatment": ("治污用电", "treatment power"), "total": ("总用电", "total power")}


def _role(role: str, chinese: bool) -> str:
    words = ROLES.get(role)
    return words[0 if chinese else 1] if words else role


def _legend(figure: Figure, axes: np.ndarray, text: dict[str, Any]) -> None:
    """Name the span and the marks of all panels once, under the picture."""
    named = {label: handle for axis in axes for handle, label in zip(*axis.get_legend_handles_labels(), strict=True)}
    if named:
        legend = figure.legend(list(named.values()), list(named), fontsize=7, ncols=8, loc="outside lower center", frameon=False)
        for label in legend.get_texts():
            label.set(**text)


def _related(features: xr.Dataset, row: int, most: int) -> list[int]:
    """Return rows of the same outlet first, then power and conditions of the same enterprise."""
    outlet, enterprise = features["outlet_id"].to_numpy(), features["enterprise_id"].to_numpy()
    system = features["system"].to_numpy()
    same = [i for i in np.flatnonzero(outlet == outlet[row]) if i != row and outlet[row]]
    process = [
        i
        for i in np.flatnonzero((enterprise == enterprise[row]) & np.isin(system, ("power", "condition")))
        if enterprise[row] and i not in same
    ]
    kept = most - min(len(process), max(most // 2, 1))
    return [int(i) for i in (same[:kept] + process)[:most]]


def draw_explanation(attributions: pd.DataFrame, *, language: str = "zh", most: int = 10) -> Figure:
    """Draw the contributions to one finding's score in log-odds, largest first, with value and unit of each.

    Parameters
    ----------
    attributions : DataFrame
        Rows of one finding, as ``explain`` returns them.
    """
    from matplotlib.figure import Figure

    if attributions["finding_id"].nunique() != 1:
        raise ParameterError("one finding at a time", got=attributions["finding_id"].nunique(), allowed=1)
    order = attributions["contribution"].abs().sort_values(ascending=False, kind="stable").index[:most]
    rows = attributions.loc[order][::-1]
    rows = rows[rows["contribution"] != 0]
    font = cjk_font() if language == "zh" else None
    text: dict[str, Any] = {"fontfamily": font} if font else {}
    labels = rows["label_zh"] if font else rows["label_en"]
    figure = Figure(figsize=(8, 0.9 + 0.32 * max(len(rows), 1)), layout="constrained")
    axis = figure.subplots()
    axis.barh(np.arange(len(rows)), rows["contribution"], color=np.where(rows["contribution"] > 0, LIMIT_COLOUR, SERIES_COLOUR))
    named = [
        f"{name} = {value:.3g} {'' if unit == '1' else unit}".rstrip()
        for name, value, unit in zip(labels, rows["value"], rows["unit"], strict=True)
    ]
    axis.set_yticks(np.arange(len(rows)), named, fontsize=8, **text)
    axis.axvline(0, color="#444444", lw=0.8)
    base, score = float(attributions["base"].iloc[0]), float(attributions["score"].iloc[0])
    words = f"对数几率：起点 {base:.2f}，合计 {score:.2f}" if font else f"log-odds: base {base:.2f}, score {score:.2f}"
    axis.set_xlabel(words, fontsize=8, **text)
    axis.tick_params(axis="x", labelsize=8)
    axis.spines[["top", "right", "left"]].set_visible(False)
    return figure


def _wrapped(text: str, width: int) -> str:
    import textwrap

    return "\n".join(textwrap.wrap(text, width))
