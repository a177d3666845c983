"""False marks: what power, flow, temperature, oxygen and the calibration gas say of the hours that a mark excuses."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from workbench.models.monitoring.detectors.operation import reference_concentration
from workbench.models.monitoring.panel import Panel
from workbench.models.monitoring.verdicts import Verdicts, no_spans, runs_of, verdicts
from workbench.models.monitoring.vocabulary import FLOW, OXYGEN, STACK_TEMPERATURE

STOPPED, SERVICE, CALIBRATION, STARTUP, SHUTDOWN = 1, (2, 3, 10), 5, 8, 9
AIR, AMBIENT = 20.9, 30.0
"""What a standing stack reads: oxygen of air (% vol), and at most this temperature (℃) [R]."""
O2_CONTRAST, HEAT_CONTRAST = 4.0, 30.0
"""Least distance between running and standing for oxygen (% vol) and temperature (℃) to tell them apart; judged."""
LONG_AGO = 6
"""Hours before a start-up, or after a shutdown, in which a plant cannot have run all along."""


def mark_contradicts_operation(panel: Panel, *, hours_min: float, power_min: float, others_min: float) -> Verdicts:
    """Find marks that physics denies: "stopped" while the plant runs, service, start-up or shutdown over an exceedance as it runs on.

    The channels are flow, production power, stack temperature and oxygen. With fewer than ``others_min`` of them that can tell running
    from standing the marks are not evaluable.

    Parameters
    ----------
    hours_min : float
        Fewest contradicted hours.
    power_min : float
        Share of the way from standing to running that a channel must keep to count as running.
    others_min : float
        Fewest independent channels that must deny a mark.
    """
    n, days = panel.shape
    code, value = panel.hour("hour_mark"), panel.hour("hour_any")
    limit = panel.roster["limit"].to_numpy(dtype=float)[:, None]
    concentration = reference_concentration(panel, "hour_any")
    able = np.zeros((n, days), dtype=bool)
    rows: list[dict[str, object]] = []
    for members in panel.members.values():
        head = members[panel.pollutant[members]]
        if not len(head) or not str(panel.roster["enterprise_id"].iloc[members[0]]):
            continue
        votes, channels = running_votes(panel, members, value, power_min)
        if channels < others_min:
            continue
        able[head] = True
        runs = votes >= others_min
        stopped = (code[head] == STOPPED).all(axis=0)
        rows += _denied(panel, head, stopped & runs, stopped, hours_min, 1, channels)
        ran_before, runs_after = _all_of_the_last(runs, LONG_AGO), _all_of_the_last(runs[::-1], LONG_AGO)[::-1]
        for row in head:
            over = (concentration[row] > limit[row]) & runs
            top = panel.roster["range_high"].iloc[row]
            over &= ~(value[row] >= 0.95 * top) if np.isfinite(top) else True
            one = np.array([row])
            service = np.isin(code[row], SERVICE)
            rows += _denied(panel, one, service & over, service, hours_min, 2, channels)
            for mark, all_along, kind in ((STARTUP, ran_before, 4), (SHUTDOWN, runs_after, 5)):
                marked = code[row] == mark
                rows += _denied(panel, one, marked & over & _whole(marked, all_along), marked, hours_min, kind, channels)
    spans = pd.DataFrame(rows) if rows else no_spans(["hours", "marked_hours", "code", "channels"])
    return verdicts(panel.shape, able, np.zeros((n, days)), spans, panel.first_day)


def running_votes(panel: Panel, members: np.ndarray, value: np.ndarray, power_min: float) -> tuple[np.ndarray, int]:
    """Return how many channels say that the plant runs, per hour, and how many can tell.

    Flow and power must have been seen low in the point's own unmarked past, since a fan or a base load may never stop. A
    standing stack is known without having been seen: it reads air and the temperature outside.
    """
    factors = panel.roster["factor"].to_numpy(dtype=object)
    enterprise = str(panel.roster["enterprise_id"].iloc[members[0]])
    made = panel.process_rows.get(enterprise, {}).get("production", np.array([], dtype=int))
    free = ~panel.lawful[members].any(axis=0)
    series = [(value[i], "seen") for i in members if factors[i] in FLOW]
    if len(made):
        total = value[made]
        series.append((np.where(np.isfinite(total).all(axis=0), np.nan_to_num(total).sum(axis=0), np.nan), "seen"))
    series += [(value[i], "heat") for i in members if factors[i] == STACK_TEMPERATURE]
    series += [(AIR - value[i], "air") for i in members if factors[i] == OXYGEN and panel.judged[i]]
    votes, channels = np.zeros(value.shape[1]), 0
    for s, how in series:
        usual = s[np.isfinite(s) & free]
        if usual.size < 48:
            continue
        low, high = np.quantile(usual, 0.02), np.quantile(usual, 0.6)
        if how == "seen":
            tells = high > 0 and high - low >= 0.3 * high
            low = 0.0
        else:
            low = min(low, AMBIENT) if how == "heat" else 0.0
            tells = high - low >= (HEAT_CONTRAST if how == "heat" else O2_CONTRAST)
        if tells:
            channels += 1
            votes += np.nan_to_num(s, nan=-np.inf) >= low + power_min * (high - low)
    return votes, channels


def _all_of_the_last(mask: np.ndarray, hours: int) -> np.ndarray:
    """Return, per hour, whether the mask held in every one of the hours before it."""
    total = np.r_[0, np.cumsum(mask)]
    out = np.zeros(mask.size, dtype=bool)
    out[hours:] = (total[hours : mask.size] - total[: mask.size - hours]) == hours
    return out


def _whole(marked: np.ndarray, at_edge: np.ndarray) -> np.ndarray:
    """Return the marked runs of whose hours at least one has the property."""
    out = np.zeros(marked.size, dtype=bool)
    for _, a, b in runs_of(marked[None, :]):
        out[a:b] = at_edge[a:b].any()
    return out


def _denied(
    panel: Panel, head: np.ndarray, denied: np.ndarray, marked: np.ndarray, hours_min: float, kind: int, channels: int
) -> list[dict[str, object]]:
    rows: list[dict[str, object]] = []
    for _, a, b in runs_of(marked[None, :], bridge=1):
        hours = int(denied[a:b].sum())
        if hours < max(hours_min, 0.3 * (b - a)):
            continue
        # every further denied hour is not independent of the one before: logarithmic growth
        nats = 1.5 * float(np.log1p(hours)) * min(channels, 2)
        for row in head:
            numbers = {"hours": float(hours), "marked_hours": float(b - a), "code": float(kind), "channels": float(channels)}
            rows.append({"row": int(row), "start": _at(panel, a), "end": _at(panel, b), "nats": nats, **numbers})
    return rows


def _at(panel: Panel, hour: int) -> pd.Timestamp:
    return panel.first_day + pd.Timedelta(hours=int(hour))


@dataclass(frozen=True)
class GasSpans:
    """Calibration marks of single points under which values arrived.

    Parameters
    ----------
    table : DataFrame
        ``row, first, last`` (hours), ``low, high`` (of the values under the mark), ``before_low, before_high`` (hourly means beside
        it), ``stepped`` (to zero or span gas), ``decidable`` (a step to zero gas would be seen), ``over`` (over the limit throughout).
    usual : float array, shape (span,)
        Share of the *other* calibrations of the point, pulled to its peers' share, that step.
    hours : float
        Mean length of the calibrations that step, over all points, in hours.
    """

    table: pd.DataFrame
    usual: np.ndarray
    hours: float


BESIDE, PULL = 12, 4.0
"""Hours beside a mark that tell the ordinary readings, and the marks that the peers' share is worth."""


def gas_spans(panel: Panel) -> GasSpans:
    """Return every calibration mark with values, and what calibrations usually look like there.

    A step: down to under half of the lowest reading beside the mark, or up over half as much again as the highest and by a tenth of the
    range. Zero gas is told apart only where the readings beside it stand clear of zero, two percent of the range.
    """
    low, high, ordinary = panel.hour("gas_low"), panel.hour("gas_high"), panel.hour("hour_mean")
    factors = panel.roster["factor"].to_numpy(dtype=object)
    wanted = panel.pollutant | (panel.judged & (factors == OXYGEN))
    limit, top = panel.roster["limit"].to_numpy(dtype=float), panel.roster["range_high"].to_numpy(dtype=float)
    rows = []
    for row, a, b in runs_of(np.isfinite(low) & wanted[:, None], bridge=1):
        beside = np.r_[ordinary[row, max(0, a - BESIDE) : a], ordinary[row, b : b + BESIDE]]
        beside = beside[np.isfinite(beside)]
        if beside.size < 3:
            continue
        least, most = float(np.quantile(beside, 0.1)), float(np.quantile(beside, 0.9))
        end = top[row] if np.isfinite(top[row]) else 4 * float(np.nanquantile(ordinary[row], 0.95))
        lo, hi = float(np.nanmin(low[row, a:b])), float(np.nanmax(high[row, a:b]))
        zero = lo < 0.5 * least and least > 0.02 * end
        span = hi > 1.5 * most and hi > most + 0.1 * end
        over = bool(np.isfinite(limit[row]) and np.nanmedian(low[row, a:b]) > limit[row])
        rows.append((row, a, b, lo, hi, least, most, bool(zero or span), least > 0.02 * end, over))
    columns = ["row", "first", "last", "low", "high", "before_low", "before_high", "stepped", "decidable", "over"]
    table = pd.DataFrame(rows, columns=columns).astype(
        {"row": int, "first": int, "last": int, "stepped": bool, "decidable": bool, "over": bool}
    )
    told = table[table["decidable"]]
    # leave the span itself out of the habit it is held against
    step = told["stepped"].astype(float)
    own_n, own_k = (told.groupby("row")["stepped"].transform(f).astype(float) for f in ("size", "sum"))
    peer = pd.Series(panel.peers[told["row"].to_numpy(dtype=int)], index=told.index)
    peer_n, peer_k = (told.groupby(peer)["stepped"].transform(f).astype(float) for f in ("size", "sum"))
    share = ((peer_k - own_k) + 0.5) / ((peer_n - own_n) + 1.0)
    usual = pd.Series(np.nan, index=table.index)
    usual.loc[told.index] = (own_k - step + PULL * share) / (own_n - 1 + PULL)
    stepping = told[told["stepped"]]
    hours = float((stepping["last"] - stepping["first"]).mean()) if len(stepping) else np.nan
    return GasSpans(table, usual.to_numpy(), hours)


def calibration_shows_no_gas_step(panel: Panel, *, hours_min: float, usual_min: float) -> Verdicts:
    """Find calibration marks under which the readings go on as before, where calibrations otherwise step to zero or span gas.

    The strength is the log-likelihood ratio of a mark without a step, at most 4 nats, and what the mark lasts beyond the usual calibration
    (exponential, in units of its mean). Where neither the point's nor its peers' calibrations step, or no value arrives under the mark, it
    is not evaluable.

    Parameters
    ----------
    hours_min : float
        Fewest hours under the mark: an honest calibration that is broken off is short.
    usual_min : float
        Smallest share of the other calibrations that step.
    """
    found = gas_spans(panel)
    t = found.table
    able = np.zeros(panel.shape, dtype=bool)
    usual = found.usual
    told = t["decidable"].to_numpy(dtype=bool) & (np.nan_to_num(usual) >= usual_min)
    for row, a, b in t.loc[told, ["row", "first", "last"]].to_numpy():
        able[row, a // 24 : (b - 1) // 24 + 1] = True
    rows = []
    for k in np.flatnonzero(told & ~t["stepped"].to_numpy(dtype=bool)):
        s = t.iloc[k]
        hours = float(s["last"] - s["first"])
        if hours < hours_min:
            continue
        nats = min(4.0, float(np.log(0.95 / (1.02 - usual[k])))) + min(10.0, max(0.0, hours / max(found.hours, 1.0) - 2.0))
        numbers = {"hours": hours, "low": s["low"], "high": s["high"], "before": s["before_high"], "usual": float(usual[k])}
        numbers |= {"near_limit": float(s["over"])}
        rows.append({"row": int(s["row"]), "start": _at(panel, s["first"]), "end": _at(panel, s["last"]), "nats": nats, **numbers})
    spans = pd.DataFrame(rows) if rows else no_spans(["hours", "low", "high", "before", "usual", "near_limit"])
    return verdicts(panel.shape, able, np.zeros(panel.shape), spans, panel.first_day)
