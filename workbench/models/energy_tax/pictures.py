"""Pictures for reviewers: the pair of power curves, the intensity against its industry, the life of a carbon fill."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import xarray as xr

from workbench.models.energy_tax.meters import Works

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_ROLE = {
    "production": ("生产 production", "#0b5c7a"),
    "treatment": ("治污 treatment", "#3a7d44"),
    "total": ("总表 total", "#9aa3ad"),
    "standby": ("备用 standby", "#b48a3c"),
}
_OFF, _IDLE, _EXCUSED = "#a32020", "#d39a2c", "#5d4a9c"
_EVENT = {"purchase": ("购买 purchase", "^"), "fill": ("填充 fill", "o"), "remove": ("卸出 remove", "v"), "dispose": ("处置 dispose", "s")}


def draw_pair(works: Works, start: pd.Timestamp, end: pd.Timestamp, *, ax: Axes | None = None, title: str = "") -> Axes:
    """Draw the meters of one enterprise with the spans shaded in which treatment was off, idling, or excused by a mark.

    Parameters
    ----------
    works : Works
        See :meth:`~workbench.models.energy_tax.model.EnergyTaxModel.works`.
    start, end : Timestamp
        What to show.
    """
    import matplotlib.pyplot as plt

    ax = ax or plt.subplots(figsize=(11, 3.2))[1]
    seen = (works.time >= np.datetime64(start)) & (works.time < np.datetime64(end))
    time, power = works.time[seen], works.power[:, seen]
    with np.errstate(invalid="ignore"):
        top = float(np.nanmax(power)) * 1.05 if np.isfinite(power).any() else 1.0
    said: set[str] = set()
    for k, role in enumerate(works.roles):
        label, colour = _ROLE.get(role, (role, "#20262e"))
        ax.plot(time, power[k], color=colour, lw=0.9, label=None if label in said else label)
        said.add(label)
    for flags, colour, label in (
        (works.off, _OFF, "治污停运 treatment off"),
        (works.idle, _IDLE, "低负荷空转 idling"),
        (works.excused, _EXCUSED, "标记免责 excused by a mark"),
    ):
        if flags[seen].any():
            ax.fill_between(time, 0, 1.3 * top, where=flags[seen].tolist(), color=colour, alpha=0.22, lw=0, step="post", label=label)
    ax.set(ylabel="kW", ylim=(0, 1.3 * top), title=title or works.enterprise_id)  # room for the legend
    ax.legend(loc="upper left", fontsize=8, ncols=3)
    _dates(ax)
    return ax


def draw_surroundings(seen: xr.Dataset, start: pd.Timestamp, end: pd.Timestamp, *, ax: Axes | None = None, title: str = "") -> Axes:
    """Draw production power beside what the stack shows of it: flow over its running level, and temperatures.

    Parameters
    ----------
    seen : Dataset
        See :meth:`~workbench.models.energy_tax.model.EnergyTaxModel.surroundings`.
    """
    import matplotlib.pyplot as plt

    ax = ax or plt.subplots(figsize=(11, 3.2))[1]
    part = seen.sel(hour=slice(start, end))
    hour = part["hour"].to_numpy()
    ax.fill_between(hour, 0, part["production"], color="#0b5c7a", alpha=0.35, lw=0, step="post", label="生产用电 production, kW")
    ax.set(ylabel="kW", title=title)
    right = ax.twinx()
    for k in range(part.sizes["sensor"]):
        label = "温度 temperature, °C" if k == 0 else None
        right.plot(hour, part["temperature"][k], color="#a32020", lw=1.0, alpha=0.9 if k == 0 else 0.5, label=label)
    if np.isfinite(part["flow"]).any():
        scale = float(np.nanmax(part["temperature"])) if np.isfinite(part["temperature"]).any() else 100.0
        right.plot(hour, part["flow"] * scale, color="#3a7d44", lw=1.0, ls="--", label="烟气流量 stack flow, scaled")
    right.set_ylabel("°C")
    handles = [h for a in (ax, right) for h in a.get_legend_handles_labels()[0]]
    ax.legend(handles, [str(h.get_label()) for h in handles], loc="upper left", fontsize=8, ncols=3)
    _dates(ax)
    return ax


def draw_reasons(parts: pd.DataFrame, *, ax: Axes | None = None, most: int = 8) -> Axes:
    """Draw the contributions to one finding's score as bars in named units, the strongest on top.

    Parameters
    ----------
    parts : DataFrame
        Rows of ``explain`` for one finding: ``label_zh, label_en, unit, value, contribution`` (log-odds).
    """
    import matplotlib.pyplot as plt

    ax = ax or plt.subplots(figsize=(5, 3.2))[1]
    rows = parts.dropna(subset=["value"]).sort_values("contribution", key=abs).tail(most)
    units = ["" if u == "1" else f" {u}" for u in rows["unit"]]
    words = [f"{zh} {value:.3g}{unit}" for zh, value, unit in zip(rows["label_zh"], rows["value"], units, strict=True)]
    ax.barh(words, rows["contribution"], color=np.where(rows["contribution"] > 0, "#a32020", "#0b5c7a").tolist())
    ax.axvline(0, color="#20262e", lw=0.8)
    ax.set(xlabel="对数几率 log-odds")
    return ax


def draw_intensity(months: pd.DataFrame, enterprise_id: str, *, ax: Axes | None = None, title: str = "") -> Axes:
    """Draw the monthly output per energy of one enterprise against the band of its industry.

    Parameters
    ----------
    months : DataFrame
        ``enterprise_id, industry, month, log_intensity, expected, sd`` of
        :func:`~workbench.models.energy_tax.rules_books.pooled_intensity`.
    """
    import matplotlib.pyplot as plt

    ax = ax or plt.subplots(figsize=(6, 3.2))[1]
    mine = months[months["enterprise_id"] == enterprise_id].sort_values("month")
    peers = months[months["industry"].isin(mine["industry"])]
    by_month = peers.groupby("month")["log_intensity"]
    lowest, middle, highest = (np.exp(by_month.quantile(q)) for q in (0.1, 0.5, 0.9))
    ax.fill_between(lowest.index, lowest, highest, color="#9aa3ad", alpha=0.35, lw=0, label="同行业 industry, 10–90 %")
    ax.plot(middle.index, middle, color="#6b7480", lw=1, ls="--", label="同行业中位 median")
    low, high = (np.exp(mine["expected"] + s * 1.96 * mine["sd"]) for s in (-1, 1))
    ax.fill_between(mine["month"], low, high, color="#0b5c7a", alpha=0.15, lw=0, label="自身预期 own expectation, 95 %")
    ax.plot(mine["month"], np.exp(mine["log_intensity"]), "o-", color="#a32020", label=enterprise_id)
    ax.set(yscale="log", ylabel="单位用电 per kWh", title=title or f"{enterprise_id} 单位用电产出 output per energy")
    ax.legend(fontsize=7)
    _dates(ax)
    return ax


def draw_carbon(events: pd.DataFrame, fills: pd.DataFrame, end: pd.Timestamp, *, ax: Axes | None = None, title: str = "") -> Axes:
    """Draw the life of each fill of an adsorber: within its replacement period, and past it.

    Parameters
    ----------
    events : DataFrame
        Rows of ``carbon_events`` of one unit.
    fills : DataFrame
        Rule results on its fills: ``start, end, value`` (days in use), ``threshold`` (replacement period, d), ``ruling``.
    end : Timestamp
        End of the review.
    """
    import matplotlib.pyplot as plt

    ax = ax or plt.subplots(figsize=(9, 2.2))[1]
    day = pd.Timedelta(days=1)
    for ruling, until, used, period in zip(fills["ruling"], fills["end"], fills["value"], fills["threshold"], strict=True):
        begin, due = until - used * day, until - used * day + period * day
        ax.barh(0, min(due, until) - begin, left=begin, height=0.5, color="#3a7d44", alpha=0.7, lw=0)
        if ruling == "violated":
            ax.barh(0, until - due, left=due, height=0.5, color=_OFF, alpha=0.8, lw=0)
        ax.plot([due, due], [-0.35, 0.35], color="#20262e", lw=1)
    for name, (label, marker) in _EVENT.items():
        at = events.loc[(events["event"] == name) & (events["at"] <= end), "at"]
        ax.plot(at, np.full(len(at), 0.55), marker, ms=5, ls="none", label=label)
    ax.set(yticks=[], ylim=(-0.5, 1.0), title=title or "活性炭 activated carbon: 绿在期内 within its period, 红超期 past it")
    ax.legend(fontsize=7, ncols=4, loc="upper left")
    _dates(ax)
    return ax


def _dates(ax: Any) -> None:
    from matplotlib.dates import AutoDateLocator, ConciseDateFormatter

    locator = AutoDateLocator(maxticks=9)
    ax.xaxis.set_major_locator(locator)
    ax.xaxis.set_major_formatter(ConciseDateFormatter(locator))
