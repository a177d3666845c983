"""R3: hourly and daily concentration within the permitted one, less lawfully marked hours; manual samples too."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import pandas as pd

from workbench.contracts import ParameterError, Ruling
from workbench.models.hourly import runs
from workbench.models.permit.accounting import to_unit
from workbench.models.permit.dossier import LAWFUL_KINDS, Dossier, Series
from workbench.models.permit.results import RuleResult, log_excess

BESIDE = 0.1
"""What an hour beside a mark or a start counts for."""


def hourly_concentration_over_permitted(d: Dossier, *, join_h: float, tolerance: float, start_h: float) -> list[RuleResult]:
    """A valid, unmarked hourly mean lies above the permitted hourly concentration.

    Hours whose reading stands still are left out: what does not move is the instrument or its test gas, not the outlet.
    """
    name = "hourly_concentration_over_permitted"
    results: list[RuleResult] = []
    for row in _limits(d, "hour"):
        s = d.series.get((row["outlet_id"], row["factor"]))
        facts = _facts(d, row, s)
        if s is None:
            results += _unseen(d, name, facts)
            continue
        marked = d.mark_hours(row["outlet_id"], LAWFUL_KINDS)
        verdict = hour_rulings(s.compared, marked, row["limit"])
        if not (verdict >= 0).any():
            results += d.cannot(name, "没有可评价的小时均值", "no hour could be evaluated", **facts)
            continue
        over = verdict == 1
        if not over.any():
            worst = float(np.nanmax(np.where(verdict >= 0, s.compared, np.nan)))
            zh = f"{int((verdict >= 0).sum())}个有效小时均不超过{row['limit']:g} {facts['unit']}，最高{worst:.3g}。"
            en = f"All {int((verdict >= 0).sum())} valid hours within {row['limit']:g} {facts['unit']}; highest {worst:.3g}."
            results.append(d.say(name, Ruling.COMPLIANT, zh, en, value=worst, **facts))
            continue
        near = _near(marked, hours=2) | after_start(s.flow, hours=int(start_h))
        for a, b in runs(over, join=int(join_h)):
            part = s.compared[a:b][over[a:b]].astype(float)
            worst, n = float(part.max()), int(part.size)
            limit, times = f"{row['limit']:g} {facts['unit']}", _times(worst, row["limit"])
            zh = f"{n}个小时均值超过许可{limit}，最高{worst:.4g}（{times}倍），已扣除合法标记时段。"
            en = f"{n} hourly means over the permitted {limit}, highest {worst:.4g} ({times}×); lawfully marked hours left out."
            if s.stood_still:
                zh += f"另有{s.stood_still}小时读数静止不动，不作评价。"
                en += f" {s.stood_still} hours in which the reading stood still are not judged."
            beside = near[a:b][over[a:b]]
            if beside.all():
                zh += "均紧接启动或标记时段，未见标记。"
                en += " All of them follow a start or stand beside a mark, unmarked themselves."
            strength = _strength(part / max(row["limit"], 1e-9), tolerance, beside)
            span = {"start": _time(d, a), "end": _time(d, b)}
            results.append(d.say(name, Ruling.VIOLATED, zh, en, value=worst, strength=strength, **{**facts, **span}))
    return results or d.cannot(name, "许可证没有小时浓度限值", "the permit holds no hourly limit", permit_field="permit_limits.limit")


def daily_concentration_over_permitted(d: Dossier, *, hours_needed: float, tolerance: float) -> list[RuleResult]:
    """A daily mean lies above the permitted daily concentration, however marked hours are counted."""
    name = "daily_concentration_over_permitted"
    results: list[RuleResult] = []
    for row in _limits(d, "day"):
        s = d.series.get((row["outlet_id"], row["factor"]))
        facts = _facts(d, row, s)
        if s is None:
            results += _unseen(d, name, facts)
            continue
        first, daily = daily_means(d, s, row["outlet_id"], int(hours_needed), by_flow=row["factor"].startswith("w"))
        if not np.isfinite(daily).any():
            zh = f"没有满{hours_needed:.0f}个有效小时的日"
            results += d.cannot(name, zh, f"no day has {hours_needed:.0f} valid hours", **facts)
            continue
        over = daily > row["limit"]  # NaN compares false
        if not over.any():
            worst, n = float(np.nanmax(daily)), int(np.isfinite(daily).sum())
            zh = f"{n}个有效日均值均不超过{row['limit']:g} {facts['unit']}，最高{worst:.3g}。"
            en = f"All {n} valid daily means within {row['limit']:g} {facts['unit']}; highest {worst:.3g}."
            results.append(d.say(name, Ruling.COMPLIANT, zh, en, value=worst, **facts))
            continue
        for a, b in runs(over, join=1):
            part = daily[a:b][over[a:b]]
            worst, n = float(part.max()), int(part.size)
            limit, times = f"{row['limit']:g} {facts['unit']}", _times(worst, row["limit"])
            zh = f"{n}个日均值超过许可{limit}，最高{worst:.4g}（{times}倍）。"
            en = f"{n} daily means over the permitted {limit}, highest {worst:.4g} ({times}×)."
            strength = _strength(part / max(row["limit"], 1e-9), tolerance)
            span = {"start": first + pd.Timedelta(days=a), "end": first + pd.Timedelta(days=b)}
            results.append(d.say(name, Ruling.VIOLATED, zh, en, value=worst, strength=strength, **{**facts, **span}))
    return results or d.cannot(name, "许可证没有日均浓度限值", "the permit holds no daily limit", permit_field="permit_limits.limit")


def sample_over_permitted(d: Dossier, *, tolerance: float) -> list[RuleResult]:
    """A manual self-monitoring sample lies above the permitted concentration."""
    name = "sample_over_permitted"
    if d.samples is None:
        return d.cannot(name, "目录中没有自行监测数据", "the catalog holds no self-monitoring", permit_field="permit_limits.limit")
    results: list[RuleResult] = []
    for row in [*_limits(d, "hour"), *_limits(d, "day")]:
        facts = _facts(d, row, None)
        mine = d.samples_of.get((row["outlet_id"], row["factor"]))
        last = d.until("self_monitoring").to_datetime64()
        keep = (
            (mine.sampled_at >= d.grid.start.to_datetime64()) & (mine.sampled_at < last) & np.isfinite(mine.value)
            if mine is not None
            else np.zeros(0, bool)
        )
        if mine is None or not keep.any():
            results += d.cannot(name, "期内没有样品", "no sample in the period", **facts)
            continue
        scale = np.array([_scale(u if isinstance(u, str) else "", facts["unit"]) for u in mine.unit])
        if np.isnan(scale[keep]).any():
            odd = "、".join(sorted({str(u) for u in mine.unit[keep & np.isnan(scale)]}))
            results += d.cannot(name, f"样品单位不明：{odd}", f"unit of a sample is not one of concentration: {odd}", **facts)
            keep &= np.isfinite(scale)
            if not keep.any():
                continue
        value, times, n = (mine.value * scale)[keep], mine.sampled_at[keep], int(keep.sum())
        over = value > row["limit"]
        if not over.any():
            zh, en = f"{n}个样品均达标。", f"All {n} samples within the limit."
            results.append(d.say(name, Ruling.COMPLIANT, zh, en, value=float(value.max()), **facts))
        for v, at in zip(value[over], times[over], strict=True):
            at = pd.Timestamp(at)
            zh = f"{at:%Y-%m-%d}手工监测{v:.4g} {facts['unit']}，许可{row['limit']:g}。"
            en = f"Manual sample of {at:%Y-%m-%d}: {v:.4g} {facts['unit']}, permitted {row['limit']:g}."
            more = {
                "value": float(v),
                "start": at.floor("D"),
                "end": at.floor("D") + pd.Timedelta(days=1),
                "evidence": (f"sample:{row['outlet_id']}/{row['factor']}@{at:%Y-%m-%dT%H:%M}",),
                "strength": min(log_excess(v, row["limit"]) / tolerance, 6.0),
            }
            results.append(d.say(name, Ruling.VIOLATED, zh, en, **{**facts, **more}))
    return results or d.cannot(name, "许可证没有浓度限值", "the permit holds no concentration limit", permit_field="permit_limits.limit")


def hour_rulings(compared: np.ndarray, marked: np.ndarray, limit: float) -> np.ndarray:
    """Return 1 over, 0 within, −1 not evaluable for each hour; marked hours and hours without a valid mean are −1."""
    out = np.where(compared > limit, np.int8(1), np.int8(0))
    out[marked | ~np.isfinite(compared)] = -1
    return np.asarray(out)


def daily_means(d: Dossier, s: Series, outlet_id: str, hours_needed: int, *, by_flow: bool) -> tuple[pd.Timestamp, np.ndarray]:
    """Return the first day and the daily means, weighted by flow for water where flow is known.

    Marked hours count only in the discharger's favour: one below the day's mean stays in, one above is left out.
    So a further lawful mark can lower a day's figure or make the day not evaluable, never raise it.
    """
    first = d.grid.start.ceil("D")
    skip = int((first - d.grid.start) / pd.Timedelta(hours=1))
    days = (d.grid.n - skip) // 24
    if days < 1:
        return first, np.empty(0)
    cut = slice(skip, skip + 24 * days)
    c = s.compared[cut].astype(float).reshape(days, 24)
    marked = d.mark_hours(outlet_id, LAWFUL_KINDS)[cut].reshape(days, 24)
    weight = np.ones_like(c)
    if by_flow and s.flow is not None:
        f = s.flow[cut].astype(float).reshape(days, 24)
        usable = np.isfinite(f).any(axis=1)
        weight[usable] = np.where(np.isfinite(f[usable]), f[usable], 0.0)
    valid = np.isfinite(c)
    free = valid & ~marked
    w = np.where(free, weight, 0.0)
    top, bottom = (w * np.where(free, c, 0.0)).sum(1), w.sum(1)
    held = np.where(valid & marked, c, np.inf)
    order = np.argsort(held, axis=1)
    for k in np.flatnonzero(np.isfinite(held).any(axis=1)):  # only days that have marked hours with a value
        for j in order[k]:
            if not np.isfinite(held[k, j]) or (bottom[k] > 0 and held[k, j] * bottom[k] >= top[k]):
                break
            if bottom[k] > 0:
                top[k] += weight[k, j] * held[k, j]
                bottom[k] += weight[k, j]
    with np.errstate(invalid="ignore", divide="ignore"):
        mean = np.where((bottom > 0) & (free.sum(1) >= hours_needed), top / bottom, np.nan)
    return first, mean


def _strength(ratio: np.ndarray, tolerance: float, near: np.ndarray | None = None) -> float:
    """Return ln(1 + hours over the limit), each weighed by how sure it is to be over given the instrument's error.

    An hour next to a lawful mark, or just after a start, weighs less: start-up reaches the monitor before or after the
    minute it is marked, and abatement needs its time at every start, marked or not. The error is one instrument's, so it
    is shared by all hours: many hours a little over the limit are not surer than their mean is.
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        excess = np.nan_to_num(np.log(np.maximum(ratio, 1.0)), nan=6.0, posinf=6.0)
    weight = np.tanh(excess / (2 * tolerance))
    if near is not None:
        weight = np.where(near, BESIDE * weight, weight)
    total = float(weight.sum())
    if not total > 0:
        return 0.0
    shared = float(np.tanh((weight @ excess) / total / (2 * tolerance)))
    return float(np.log1p(total) * shared)


def after_start(flow: np.ndarray | None, *, hours: int) -> np.ndarray | np.bool_:
    """Return the hours within ``hours`` after the flow rose from idle to running; False where there is no flow meter.

    Idle: under a quarter of the outlet's own 90 % level. Hours without a flow start nothing.

    Examples
    --------
    >>> import numpy as np
    >>> after_start(np.array([1.0, 1.0, 9.0, 9.0, 9.0, 9.0]), hours=2).tolist()
    [False, False, True, True, False, False]
    """
    if flow is None or not np.isfinite(flow).any():
        return np.False_
    level = float(np.nanquantile(flow, 0.9))
    idle = flow < 0.25 * level  # NaN compares false
    out = np.zeros(len(flow), bool)
    for back in range(1, hours + 1):
        out[back:] |= idle[:-back]
    return np.asarray(out & ~idle)


def _times(value: float, limit: float) -> str:
    return f"{value / limit:.2f}" if limit > 0 else "∞"


def _near(marked: np.ndarray, *, hours: int) -> np.ndarray:
    edges = np.convolve(marked.astype(np.int8), np.ones(2 * hours + 1, np.int8), mode="same")
    return np.asarray(edges > 0)


def _limits(d: Dossier, basis: str) -> list[dict[str, Any]]:
    return [r for r in d.limit_rows if r["basis"] == basis and pd.notna(r["limit"]) and r["kind"] != "fugitive"]


def _facts(d: Dossier, row: dict[str, Any], s: Series | None) -> dict[str, Any]:
    limit = f"limit:{d.permit_id}/{row['outlet_id']}/{row['factor']}"
    return {
        "permit_field": "permit_limits.limit",
        "outlet_id": row["outlet_id"],
        "factor": row["factor"],
        "threshold": float(row["limit"]),
        "unit": "mg/L" if str(row["factor"]).startswith("w") else "mg/m³",
        "evidence": (limit,) if s is None else (limit, f"series:{s.point_id}"),
        "subtracted": d.subtracted(row["outlet_id"], LAWFUL_KINDS) if s is not None else (),
    }


def _unseen(d: Dossier, name: str, facts: dict[str, Any]) -> list[RuleResult]:
    """Return why a limit has no monitored series to be held against."""
    why = d.unusable.get((facts["outlet_id"], facts["factor"]))
    zh, en = ("没有该因子的自动监测数据", "no automatic data for this factor") if why is None else ("监测数据不可用：" + why, why)
    return d.cannot(name, zh, en, **facts)


def _time(d: Dossier, hour: int) -> pd.Timestamp:
    return d.grid.start + pd.Timedelta(hours=hour)


@cache
def _scale(unit: str, target: str) -> float:
    try:
        return to_unit(unit, target)
    except ParameterError:
        return float("nan")
