"""Values that stand still or stop short: constant values, clipping and bunching, a range set too low."""

from __future__ import annotations

import numpy as np
import pandas as pd

from workbench.models.monitoring.levels import EARLY, levels_of
from workbench.models.monitoring.panel import Panel
from workbench.models.monitoring.scan import middle
from workbench.models.monitoring.verdicts import SPAN_COLUMNS, Verdicts, no_spans, verdicts

LEAST_RATE = 0.05
"""No tie at the top counts as rarer than this."""
COARSE = 3.0
"""Usual daily standard deviation, in steps of the resolution, from which on rounding ties few readings at a day's top: an honest series of
lag-1 correlation .97 ties 12 % on one day in ten at one step, 2.5 % at three [C]."""


def tie_rates(panel: Panel) -> tuple[np.ndarray, np.ndarray]:
    """Return how likely a run of equal values goes on, by value level: early and later, shape (point, level)."""
    return panel.ties


def values_stay_constant(panel: Panel, *, p_max: float, min_hours: float, floor_share: float) -> Verdicts:
    """Find runs of equal values longer than the point's own honest ties explain: p ≈ n·ρ^(r−1).

    ρ depends on the value level, since rounding ties low values more; a run at the detection floor (the lowest value, met in
    at least ``floor_share`` of the days) or at the end of the range is not evidence. A gap breaks no run by itself.

    Parameters
    ----------
    p_max : float
        Largest probability of such a run on one honest day.
    min_hours : float
        Shortest run, in hours of values.
    floor_share : float
        Share of days whose minimum equals the point's minimum from which that value counts as a detection floor.
    """
    early, _ = tie_rates(panel)
    run, value, n_valid = panel.day("run").astype(float), panel.day("run_value"), panel.day("n_valid")
    levels = levels_of(value)
    evaluable = panel.judged[:, None] & (n_valid >= 0.25 * panel.per_day[:, None])
    honest = at_floor(panel, value, floor_share) | at_top(panel, value)
    hours = run * 24 / panel.per_day[:, None]
    nats = np.where(evaluable & ~honest & (hours >= min_hours), run_nats(panel), 0.0)
    hit = nats >= -np.log(p_max)
    return verdicts(panel.shape, evaluable, nats, _run_spans(panel, hit, nats, early, levels), panel.first_day)


def run_nats(panel: Panel) -> np.ndarray:
    """Return how improbable the longest run of equal values of each day is by the point's own ties, nats, shape (point, day)."""
    early, late = tie_rates(panel)
    run, n_valid = panel.day("run").astype(float), panel.day("n_valid")
    levels, rows = levels_of(panel.day("run_value")), np.arange(len(run))[:, None]
    first = np.minimum(run - 1, EARLY - 1)
    rest = np.maximum(run - EARLY, 0)
    log_p = np.log(np.maximum(n_valid, 1)) + first * np.log(early[rows, levels]) + rest * np.log(late[rows, levels])
    return np.asarray(np.maximum(-log_p, 0))


def hours_standing_still(panel: Panel, p_max: float) -> np.ndarray:
    """Return the hours that mostly lie in a day's longest run of equal values, where honest ties explain it with less than ``p_max``.

    Points that report hourly never stand still within an hour.
    """
    out = np.zeros((len(panel.roster), panel.shape[1] * 24), dtype=bool)
    hit = (run_nats(panel) >= -np.log(p_max)) & (panel.day("run_value") > 0) & (panel.per_day[:, None] > 24)
    begin, end, offset = panel.day("run_start"), panel.day("run_end"), panel.roster["offset"].to_numpy(dtype=float)
    for row, day in zip(*np.nonzero(hit), strict=True):
        hours = np.array([offset[row] + begin[row, day], offset[row] + end[row, day] + 1], dtype=float) * 24 / panel.per_day[row]
        a, b = np.floor(hours + 0.5).astype(int)
        out[row, max(a, 0) : b] = True
    return out


def at_floor(panel: Panel, value: np.ndarray, floor_share: float) -> np.ndarray:
    """Return where a value is at the detection floor: zero, or no more than the lowest value that many days end on."""
    low = np.where(np.isfinite(panel.day("low")), panel.day("low"), np.nan)
    floor = np.full(len(low), -np.inf)
    for row in np.flatnonzero(panel.judged):
        seen = low[row][np.isfinite(low[row])]
        if seen.size:
            values, counts = np.unique(seen, return_counts=True)
            often = counts >= max(floor_share * seen.size, 3)
            # the lowest value that many days end on: everything up to it reads as "not detected"
            floor[row] = values[often][0] if often.any() and values[often][0] <= np.median(seen) else -np.inf
    return np.asarray((value <= floor[:, None]) | (value == 0))


def at_top(panel: Panel, value: np.ndarray) -> np.ndarray:
    """Return where a value is the upper end of the measuring range: genuine saturation."""
    top = panel.roster["range_high"].to_numpy(dtype=float)[:, None]
    return np.asarray(np.isfinite(top) & (value >= 0.999 * top))


def _run_spans(panel: Panel, hit: np.ndarray, nats: np.ndarray, early: np.ndarray, levels: np.ndarray) -> pd.DataFrame:
    value, run = panel.day("run_value"), panel.day("run")
    start, end = panel.day("run_start"), panel.day("run_end")
    offset = panel.roster["offset"].to_numpy(dtype=float)
    rows = []
    for row, day in zip(*np.nonzero(hit), strict=True):
        last = day + 1 < hit.shape[1] and hit[row, day + 1] and start[row, day + 1] == start[row, day]
        if last:
            continue
        step = pd.Timedelta(days=1) / panel.per_day[row]
        at = panel.first_day + (offset[row] + float(start[row, day])) * step
        until = panel.first_day + (offset[row] + float(end[row, day]) + 1) * step
        rows.append(
            {
                "row": int(row),
                "start": at.round("s"),
                "end": until.round("s"),
                "nats": float(nats[row, day]),
                "value": float(value[row, day]),
                "hours": float(run[row, day] * 24 / panel.per_day[row]),
                "tie_rate": float(early[row, levels[row, day]]),
            }
        )
    return pd.DataFrame(rows) if rows else no_spans(["value", "hours", "tie_rate"])


def values_clipped_below_limit(panel: Panel, *, p_max: float, min_share: float, near: float) -> Verdicts:
    """Find days whose top is cut off: many values equal to the largest one, day after day the same.

    The chance of k values tied at the top is ρ^(k−1) with the point's own tie rate at that level; days with the same top within
    four days of each other are counted together. The end of the measuring range is genuine saturation. Where a limit is known, a top
    within ``near`` under it (or under 0.7 or 0.5 of it, the tax notches) speaks more, any other less; and any other cap lies in the
    upper three quarters of the point's own hours: what cuts nothing off is no cap but a quiet day in coarse steps. Where finer readings
    usually scatter over a few steps of the resolution on file only, they come back to the same top by rounding.

    Parameters
    ----------
    p_max : float
        Largest probability of the ties at the top under honest operation.
    min_share : float
        Smallest share of the day's values at the top.
    near : float
        Distance under the limit or a notch, as a share of it, that counts as just under.
    """
    early, _ = tie_rates(panel)
    top, count, valid = panel.day("high"), panel.day("n_at_high").astype(float), panel.day("n_valid")
    levels = levels_of(top)
    rate = np.maximum(early[np.arange(len(top))[:, None], levels], LEAST_RATE)
    limit = panel.roster["limit"].to_numpy(dtype=float)
    evaluable = panel.judged[:, None] & (valid >= 0.5 * panel.per_day[:, None])
    # one plateau at the top is a constant value or a stuck instrument, not a cap: a day gets the returns to its top. Where other
    # days stop at the same value a part of the plateau counts, for a strong cap is met by long runs; alone it counts nothing
    plateau = np.where(panel.day("run_value") == top, panel.day("run") - 1, 0)
    returns = np.maximum(count - 1 - 0.7 * plateau, 0)
    alone = np.maximum(count - 1 - plateau, 0) * -np.log(rate)
    whole = panel.day("run") >= 0.8 * valid
    share = count / np.maximum(valid, 1)
    usable = evaluable & (panel.day("sd") > 0) & ~whole & ~at_floor(panel, top, 0.08) & ~at_top(panel, top)
    nats = np.where(usable, returns * -np.log(rate), 0.0)
    coarse = _coarse(panel)
    rows = []
    for row, days in _same_top(top, usable, nats, share, -np.log(p_max), min_share):
        evidence = nats if len(days) > 1 else alone
        total = evidence[row, days].sum() + (len(days) - 1) * -np.log(rate[row, days].max()) - np.log(max(valid[row, days].max(), 2))
        mean_share = float(share[row, days].mean())
        if total < -np.log(p_max) or mean_share < min_share:
            continue
        value = float(top[row, days[0]])
        place = max(float(1 - near <= value / (notch * limit[row]) <= 1 + 1e-6) for notch in (1.0, 0.7, 0.5))
        if not place and (value < _lower_quartile_hour(panel, row) or coarse[row]):
            continue
        rows.append(
            {
                "row": int(row),
                "start": panel.first_day + pd.Timedelta(days=int(days[0])),
                "end": panel.first_day + pd.Timedelta(days=int(days[-1]) + 1),
                "nats": float(total),
                "value": value,
                "share": mean_share,
                "limit": float(limit[row]),
                "near_limit": place,
                "days": float(len(days)),
            }
        )
    spans = pd.DataFrame(rows) if rows else no_spans(["value", "share", "limit", "near_limit", "days"])
    return verdicts(panel.shape, evaluable, np.zeros(panel.shape), spans, panel.first_day)


def _coarse(panel: Panel) -> np.ndarray:
    """Return the points finer than hourly whose readings scatter over fewer than :data:`COARSE` steps on the usual day, shape (point,)."""
    usual = middle(panel.day("sd").astype(float))
    return np.asarray((panel.per_day > 24) & (usual < COARSE * panel.roster["resolution"].to_numpy(dtype=float)))


def _lower_quartile_hour(panel: Panel, row: int) -> float:
    """Return the lower quartile of a point's own hourly means over zero, −inf where there is none."""
    hours = panel.hour("hour_mean")[row]
    known = hours[hours > 0]
    return float(np.quantile(known, 0.25)) if known.size else -np.inf


def _same_top(
    top: np.ndarray, usable: np.ndarray, nats: np.ndarray, share: np.ndarray, least: float, least_share: float, gap: int = 4
) -> list[tuple[int, np.ndarray]]:
    """Return (row, days) of the groups of days that share one top value, no more than ``gap`` days apart, in order of row and value.

    Groups that cannot reach ``least`` nats (at most −ln .05 for each further day) or the mean share are left out at once: nearly every
    day of a long history is a group of its own.
    """
    rows, days = np.nonzero(usable)
    if not len(rows):
        return []
    order = np.lexsort((days, top[rows, days], rows))
    rows, days = rows[order], days[order]
    values = top[rows, days]
    fresh = np.r_[True, (rows[1:] != rows[:-1]) | (values[1:] != values[:-1]) | (np.diff(days) > gap)]
    first = np.flatnonzero(fresh)
    size = np.diff(np.r_[first, len(rows)])
    most = np.add.reduceat(nats[rows, days], first) + (size - 1) * -np.log(LEAST_RATE)
    mean = np.add.reduceat(share[rows, days], first) / size
    likely = np.flatnonzero((most >= least - 1e-6 * (1 + np.abs(most))) & (mean >= least_share - 1e-6))
    return [(int(rows[first[k]]), days[first[k] : first[k] + size[k]]) for k in likely]


__all__ = ["SPAN_COLUMNS", "tie_rates", "values_clipped_below_limit", "values_stay_constant"]
