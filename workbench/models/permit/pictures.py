"""Pictures for reviewers: the calendar of duties, the emission curve against the permitted amount."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from workbench.models.permit.accounting import exhaustion_day
from workbench.models.permit.amounts import amounts, coefficient_amount
from workbench.models.permit.dossier import Dossier
from workbench.models.permit.duties import STATES, duty_calendar

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_COLOURS = {"kept": "#3a7d44", "late": "#d39a2c", "missed": "#a32020", "unknown": "#d5d9df"}
_STATE_WORDS = {
    "kept": "已履行 kept",
    "late": "逾期 late",
    "missed": "未履行 missed",
    "unknown": "未到期或不可评估 not due or not evaluable",
}
_PAPER = {"facecolor": "white", "edgecolor": "none", "alpha": 0.8, "pad": 1.5}
_METHOD_WORDS = {"measured": "自动监测 measured", "coefficient": "系数 coefficient", "balance": "物料衡算 balance"}


def draw_duties(d: Dossier, *, title: str = "") -> Figure:
    """Draw one bar per window and duty, coloured by its state; the due date is a tick."""
    import matplotlib.pyplot as plt
    from matplotlib.patches import Patch

    calendar = duty_calendar(d)
    labels = list(dict.fromkeys(calendar["label"]))
    fig, ax = plt.subplots(figsize=(9, 1.1 + 0.3 * max(1, len(labels))))
    for state in STATES:
        mine = calendar[calendar["state"] == state]
        narrow = mine["frequency"].isin(["day", "week"])
        width = (mine["end"] - mine["start"]) * np.where(narrow, 1.0, 0.97)
        rows = [labels.index(x) for x in mine["label"]]
        ax.barh(rows, width, left=mine["start"], height=0.7, color=_COLOURS[state], lw=0)
    due = calendar[calendar["due"].notna() & calendar["frequency"].isin(["month", "quarter", "half_year", "year"])]
    ax.plot(due["due"], [labels.index(x) for x in due["label"]], "|", color="#20262e", ms=9)
    ax.set_yticks(range(len(labels)), labels)
    ax.invert_yaxis()
    ax.set_xlim(d.grid.start, d.grid.end + pd.Timedelta(days=2))
    _dates(ax)
    ax.grid(axis="y", visible=False)
    ax.set_title(title or f"{d.enterprise_id} 许可义务日历 calendar of duties ({d.permit_id or '无许可证 no permit'})")
    handles = [Patch(color=_COLOURS[s], label=_STATE_WORDS[s]) for s in STATES]
    fig.legend(handles=handles, loc="outside lower center", ncols=4)
    figure: Figure = fig
    if not labels:
        ax.text(0.5, 0.5, "没有许可义务 no duties on file", transform=ax.transAxes, ha="center")
    return figure


def draw_emission(d: Dossier, outlet_id: str, factor: str, *, recent_days: int = 90) -> Figure:
    """Draw the cumulative amount with its band, the other two estimates, what was declared, the permitted amount and when it runs out."""
    import matplotlib.pyplot as plt

    fig, ax = plt.subplots(figsize=(9, 3.6))
    start = d.grid.start
    days = np.arange(d.grid.n // 24 + 1)
    when = start + pd.to_timedelta(days, unit="D")
    end = when[-1]
    found = amounts(d, outlet_id, factor, start, end)
    masses = d.masses.get((outlet_id, factor))
    if masses is not None and found["measured"].known:
        at = 24 * days
        with np.errstate(invalid="ignore", divide="ignore"):
            filled = np.where(masses.valid[at] > 0, masses.gap[at] / masses.valid[at], 0.0)
        path, s = masses.mass[at] * (1.0 + filled), found["measured"].sigma
        ax.plot(when, path, color="#0b5c7a", label=_METHOD_WORDS["measured"])
        ax.fill_between(when, path * np.exp(-1.96 * s), path * np.exp(1.96 * s), color="#0b5c7a", alpha=0.18, lw=0)
    if found["coefficient"].known:
        months = pd.date_range(start, end, freq="MS").union(pd.DatetimeIndex([start, end]))
        steps = [coefficient_amount(d, outlet_id, factor, start, m).value if m > start else 0.0 for m in months]
        s = found["coefficient"].sigma
        ax.plot(months, steps, color="#b4581a", ls="--", marker="o", ms=3, label=_METHOD_WORDS["coefficient"])
        ax.fill_between(months, np.array(steps) * np.exp(-1.96 * s), np.array(steps) * np.exp(1.96 * s), color="#b4581a", alpha=0.12, lw=0)
    if found["balance"].known:
        low, high = found["balance"].interval()
        v = found["balance"].value
        ax.errorbar([end], [v], yerr=[[v - low], [high - v]], fmt="s", color="#5d4a9c", capsize=3, label=_METHOD_WORDS["balance"])
    _declared(d, outlet_id, factor, ax)
    _permitted(d, outlet_id, factor, ax, found["measured"].value, found["measured"].sigma, end, recent_days)
    ax.set_title(f"{outlet_id} {factor} 累计排放与年许可量 cumulative amount against the permitted one")
    ax.set_ylabel("t")
    ax.set_ylim(bottom=0)
    _dates(ax)
    missing = [f"{_METHOD_WORDS[k]}: {e.reason}" for k, e in found.items() if not e.known]
    if missing:
        said = "不可评估 not evaluable — " + "；".join(missing)
        ax.text(0.01, 0.88, said, transform=ax.transAxes, va="top", fontsize=7.5, color="#6b7480", bbox=_PAPER)
    figure: Figure = fig
    if ax.get_legend_handles_labels()[0]:
        fig.legend(loc="outside lower center", ncols=5)
    return figure


def _dates(ax: Any) -> None:
    from matplotlib.dates import AutoDateLocator, ConciseDateFormatter

    locator = AutoDateLocator(maxticks=10)
    ax.xaxis.set_major_locator(locator)
    ax.xaxis.set_major_formatter(ConciseDateFormatter(locator))


def _declared(d: Dossier, outlet_id: str, factor: str, ax: Any) -> None:
    said = d.declared.get((outlet_id, factor))
    if said is None:
        return
    mine = [k for k in said.tiling(0, d.grid.n).tolist() if np.isfinite(said.amount_t[k])]
    if mine:
        total = np.r_[0.0, np.cumsum(said.amount_t[mine])]
        times = pd.DatetimeIndex([said.start[mine[0]], *(said.end[k] for k in mine)])
        ax.plot(times, total, color="#a32020", ls=":", marker="D", ms=4, label="申报 declared")


def _permitted(d: Dossier, outlet_id: str, factor: str, ax: Any, used: float, sigma: float, end: pd.Timestamp, recent: int) -> None:
    if d.limits is None:
        return
    mine = d.limits[(d.limits["outlet_id"] == outlet_id) & (d.limits["factor"] == factor) & d.limits["annual_t"].notna()]
    if not len(mine):
        return
    permitted = float(mine["annual_t"].iloc[0])
    ax.axhline(permitted, color="#20262e", lw=1.4, label=f"年许可 permitted {permitted:.3g} t")
    masses = d.masses.get((outlet_id, factor))
    close = pd.Timestamp(end.year + 1, 1, 1)
    if masses is None or not np.isfinite(used) or d.grid.start > pd.Timestamp(end.year, 1, 1):
        return
    hi = 24 * (d.grid.n // 24)
    daily = np.diff(masses.mass[hi - 24 * np.arange(min(recent, hi // 24), -1, -1)])
    left = int((close - end) / pd.Timedelta(days=1))
    median, early, late = exhaustion_day(daily, used, permitted, sigma=sigma, days_left=left)
    if not np.isfinite(early):
        return
    span = [end + pd.Timedelta(days=x if np.isfinite(x) else left) for x in (early, late)]
    ax.axvspan(*span, color="#a32020", alpha=0.10, lw=0, label="预计用尽（95%）runs out (95 %)")
    if np.isfinite(median):
        ax.axvline(end + pd.Timedelta(days=median), color="#a32020", ls=":")
