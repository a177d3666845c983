"""Pictures for reviewers: a site's dust against its background, the wind rose of the excess, and the map of the sites."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import xarray as xr

from workbench.models.dust.inputs import PARTICLES

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_SITE, _GROUND, _SPAN = "#a32020", "#0b5c7a", "#d39a2c"
_CLIP = {
    "dust": ("扬尘 dust", "v", _SITE),
    "uncovered": ("裸露 uncovered", "s", _SITE),
    "black_smoke": ("黑烟 black smoke", "X", _SITE),
    "open_burning": ("焚烧 open burning", "P", _SITE),
    "covered": ("覆盖 covered", "o", _GROUND),
    "clean": ("清洁 clean", "^", _GROUND),
    "white_steam": ("水汽 steam", "d", _GROUND),
}
SECTORS = 16


def draw_site(features: xr.Dataset, finding: Mapping[str, Any], *, ax: Axes | None = None, title: str = "", days: float = 4) -> Axes:
    """Draw the hourly dust of a finding's site against the background, its span shaded, labelled clips marked.

    Parameters
    ----------
    features : Dataset
        Of :meth:`~workbench.models.dust.model.DustModel.features`.
    finding : mapping
        ``point_id`` (or ``enterprise_id``, where the finding rests on clips), ``start``, ``end``.
    days : float
        Shown before and after the span.
    """
    import matplotlib.pyplot as plt
    from matplotlib.dates import AutoDateLocator, ConciseDateFormatter, date2num

    ax = ax or plt.subplots(figsize=(11, 3.2))[1]
    k = _site_of(features, finding)
    start, end = pd.Timestamp(finding["start"]), pd.Timestamp(finding["end"])
    hours = pd.DatetimeIndex(features["hour"].to_numpy())
    seen = np.asarray((hours >= start - pd.Timedelta(days=days)) & (hours <= end + pd.Timedelta(days=days)))
    low, high = (float(date2num(t)) for t in (start, end))
    ax.axvspan(low, high, color=_SPAN, alpha=0.25, lw=0, label="预警时段 span")
    top = 1.0
    if k >= 0:
        value, ground = (features[n].to_numpy()[k, seen] for n in ("value", "background"))
        usual = value / np.exp(features["excess"].to_numpy()[k, seen])
        ax.plot(hours[seen], value, color=_SITE, lw=1, label=f"厂界 fence {PARTICLES[str(features['site_factor'].to_numpy()[k])]}")
        ax.plot(hours[seen], ground, color=_GROUND, lw=1, label="区域背景 background")
        ax.plot(hours[seen], usual, color=_GROUND, lw=0.7, ls=":", label="按自身常态 at its usual ratio")
        top = float(np.nanmax(np.r_[value, ground, 1.0])) * 1.05
        ax.set_ylabel("µg/m³")
    else:
        ax.set_yticks([])
        ax.set_ylabel("没有厂界监测\nno fence monitor")
    _clips(features, str(finding["enterprise_id"]), hours[seen], top, ax)
    ax.set(ylim=(0, top * 1.1), xlim=(low - days, high + days), title=title or str(finding["enterprise_id"]))
    ax.legend(loc="upper left", fontsize=8, ncols=3)
    locator = AutoDateLocator(maxticks=8)
    ax.xaxis.set_major_locator(locator)
    ax.xaxis.set_major_formatter(ConciseDateFormatter(locator))
    return ax


def draw_wind_rose(
    features: xr.Dataset, finding: Mapping[str, Any], wind_dir: np.ndarray, *, ax: Axes | None = None, title: str = ""
) -> Axes:
    """Draw what the site adds by wind direction, in the span and otherwise (mean log ratio beyond the usual one).

    Parameters
    ----------
    wind_dir : float array, shape (hour,)
        Where the wind comes from, ° from north.
    """
    import matplotlib.pyplot as plt

    ax = ax or plt.subplots(figsize=(3.4, 3.4), subplot_kw={"projection": "polar"})[1]
    k = _site_of(features, finding)
    ax.set_visible(k >= 0)
    hours = pd.DatetimeIndex(features["hour"].to_numpy())
    inside = np.asarray((hours >= pd.Timestamp(finding["start"])) & (hours < pd.Timestamp(finding["end"])))
    angle = np.arange(SECTORS) * 2 * np.pi / SECTORS
    if k >= 0:
        ratio = np.exp(features["excess"].to_numpy()[k].astype(float))
        known = np.isfinite(ratio) & np.isfinite(wind_dir)
        sector = np.round(np.nan_to_num(wind_dir) / (360 / SECTORS)).astype(int) % SECTORS
        for mask, inner in ((known & inside, True), (known & ~inside, False)):
            mean = [float(np.median(ratio[mask & (sector == s)])) if (mask & (sector == s)).any() else 0.0 for s in range(SECTORS)]
            if inner:
                ax.bar(angle, mean, width=2 * np.pi / SECTORS * 0.9, color=_SITE, alpha=0.6, label="时段内 span")
            else:
                ax.plot(np.r_[angle, angle[0]], [*mean, mean[0]], color="#20262e", lw=1.2, label="其余 otherwise")
    polar: Any = ax
    polar.set_theta_zero_location("N")
    polar.set_theta_direction(-1)
    ax.set_title(title or "浓度比 × 来风方向 ratio by wind direction", fontsize=9)
    if k >= 0:
        ax.legend(loc="lower left", fontsize=7, bbox_to_anchor=(-0.15, -0.15))
    return ax


def draw_map(features: xr.Dataset, findings: pd.DataFrame, *, ax: Axes | None = None) -> Axes:
    """Draw the sites by place; size by dusty hours, colour by the highest probability of a fugitive finding."""
    import matplotlib.pyplot as plt

    ax = ax or plt.subplots(figsize=(6, 5))[1]
    raised = findings[(findings["verdict"] == "breach") & (findings["kind"] == "fugitive")]
    p = raised.groupby("enterprise_id")["p_breach"].max()
    owner = features["site_enterprise_id"].to_numpy()
    with np.errstate(invalid="ignore"):
        dusty = (features["z"].to_numpy() > 2).sum(axis=1)
    colour = [float(p.get(e, 0.0)) for e in owner]
    dots = ax.scatter(
        features["site_lon"], features["site_lat"], s=20 + dusty, c=colour, cmap="OrRd", vmin=0, vmax=1, edgecolor="#20262e", lw=0.6
    )
    for e in p.sort_values(ascending=False).head(8).index:
        at = np.flatnonzero(owner == e)
        if at.size:
            ax.annotate(
                str(e),
                (float(features["site_lon"][at[0]]), float(features["site_lat"][at[0]])),
                fontsize=8,
                xytext=(4, 4),
                textcoords="offset points",
            )
    ax.figure.colorbar(dots, ax=ax, label="最高概率 highest p")
    ax.set(xlabel="经度 longitude °", ylabel="纬度 latitude °", title="厂界扬尘点位 fence monitors")
    return ax


def _site_of(features: xr.Dataset, finding: Mapping[str, Any]) -> int:
    at = np.flatnonzero(features["site"].to_numpy().astype(object) == finding.get("point_id", ""))
    if not at.size:
        at = np.flatnonzero(features["site_enterprise_id"].to_numpy() == finding["enterprise_id"])
    return int(at[0]) if at.size else -1


def _clips(features: xr.Dataset, enterprise: str, hours: pd.DatetimeIndex, top: float, ax: Axes) -> None:
    start = pd.DatetimeIndex(features["clip_start"].to_numpy())
    label, owner = features["clip_label"].to_numpy(), features["clip_enterprise_id"].to_numpy()
    if not len(hours):
        return
    for name, (words, marker, colour) in _CLIP.items():
        mine = np.asarray((owner == enterprise) & (label == name) & (start >= hours[0]) & (start <= hours[-1]))
        if mine.any():
            ax.plot(start[mine], np.full(mine.sum(), top), marker, ms=8, color=colour, label=words)
