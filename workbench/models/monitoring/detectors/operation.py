"""Limits and outages: exceedance, exceedance hidden by a gap, missing and impossible data."""

from __future__ import annotations

import numpy as np
import pandas as pd
from scipy.special import log_ndtr

from workbench.models.monitoring.detectors.checks import hours_under_test_gas
from workbench.models.monitoring.detectors.plateau import hours_standing_still
from workbench.models.monitoring.panel import Panel
from workbench.models.monitoring.scan import middle
from workbench.models.monitoring.verdicts import Verdicts, no_spans, runs_of, verdicts
from workbench.models.monitoring.vocabulary import OXYGEN

O2_MAX = 19.0
"""Above this oxygen the conversion to reference oxygen blows up; the plant is not burning and the hour is not judged."""


def reference_concentration(panel: Panel, name: str = "hour_mean") -> np.ndarray:
    """Return hourly concentrations at reference oxygen, c·(21−O2ref)/(21−O2), shape (point, hour).

    Points without a reference oxygen, or without an oxygen channel, keep their measured value; hours whose oxygen is
    unknown or over 19 % are NaN for those that have one.
    """
    value = panel.hour(name).copy()
    factors = panel.roster["factor"].to_numpy(dtype=object)
    reference = panel.roster["o2_ref"].to_numpy(dtype=float)
    for rows in panel.members.values():
        gas = rows[(factors[rows] == OXYGEN) & panel.judged[rows]]
        if not len(gas):
            continue
        o2 = panel.hour("hour_any")[gas[0]]
        o2 = np.where((o2 > 0) & (o2 <= O2_MAX), o2, np.nan)
        for row in rows[panel.pollutant[rows]]:
            if np.isfinite(reference[row]):
                value[row] *= (21 - reference[row]) / (21 - o2)
    return value


def exceedance_after_lawful_marks(
    panel: Panel, *, hours_min: float, margin: float, daily_hours: float, error: float, still_p: float
) -> Verdicts:
    """Find hours (or days, where the limit is daily) over the permitted limit after taking off lawfully marked hours.

    A reading that stands still while honest ones never do (test gas without its mark, an instrument that holds) tells nothing of the
    stack: such hours are not evaluable here, and :func:`values_stay_constant` judges them. Nor are the hours of a check that nobody
    marked, see :func:`hours_under_test_gas`.

    Parameters
    ----------
    hours_min : float
        Fewest hours over an hourly limit that make a finding.
    margin : float
        Share over the limit that the reading must pass: instrument error.
    daily_hours : float
        Fewest ordinary running hours that make a daily mean.
    error : float
        Relative error of one monitor, shared by all hours of an episode.
    still_p : float
        Largest honest probability of a run of equal values that is taken for a reading that stands still.
    """
    n, days = panel.shape
    limit = panel.roster["limit"].to_numpy(dtype=float)
    able_row = panel.pollutant & np.isfinite(limit) & (panel.notice == "")
    value = np.where(able_row[:, None], reference_concentration(panel), np.nan)
    value = np.where(panel.lawful | hours_standing_still(panel, still_p) | hours_under_test_gas(panel), np.nan, value)
    daily = panel.roster["limit_basis"].to_numpy(dtype=object) == "day"
    ratio = value / limit[:, None]
    known = np.isfinite(ratio)
    counts = known.reshape(n, days, 24).sum(axis=2)
    able = able_row[:, None] & np.where(daily[:, None], counts >= daily_hours, counts > 0)
    strength = np.zeros((n, days))
    rows = []
    over = known & (ratio > 1 + margin) & ~daily[:, None]
    still = panel.idle | (panel.hour("hour_mark") == 1) | (panel.hour("hour_mark") == 8)
    started = np.zeros_like(over)
    for back in (1, 2, 3):
        started[:, back:] |= still[:, :-back]
    started[:, :-1] |= still[:, 1:]  # the hour that ends in a stop: oxygen climbs, and with it the figure at reference oxygen
    for row, a, b in runs_of(over, bridge=48):
        hit = over[row, a:b]
        if hit.sum() < hours_min:
            continue
        start, end = _hours(panel, a), _hours(panel, b)
        excess = float(np.nanmean(ratio[row, a:b][hit]))
        saturated = float(
            np.nan_to_num(panel.day("n_saturated")[row, a // 24 : (b - 1) // 24 + 1]).sum() > 0.5 * hit.sum() * panel.per_day[row] / 24
        )
        beside = started[row, a:b][hit]
        # what is over only while abatement warms up or the plant runs down says little, however often it starts and stops
        settled = ratio[row, a:b][hit][~beside]
        sure = float(np.nanmean(settled)) if len(settled) else 1.0
        numbers = _exceedance(
            row, start, end, excess, int(hit.sum()), limit[row], saturated, hourly=1.0, sure=(sure, len(settled)), error=error
        )
        numbers["starting"] = float(beside.mean())
        rows.append(numbers)
    mean = np.where(counts >= daily_hours, np.nan_to_num(ratio).reshape(n, days, 24).sum(axis=2) / np.maximum(counts, 1), np.nan)
    over_day = np.isfinite(mean) & (mean > 1 + margin) & daily[:, None] & able
    for row, a, b in runs_of(over_day, bridge=2):
        excess = float(np.nanmean(mean[row, a:b][over_day[row, a:b]]))
        start, end = _hours(panel, a * 24), _hours(panel, b * 24)
        saturated = float(np.nan_to_num(panel.day("n_saturated")[row, a:b]).sum() > 0.5 * (b - a) * panel.per_day[row])
        hours = int(over_day[row, a:b].sum()) * 24
        rows.append(_exceedance(row, start, end, excess, hours, limit[row], saturated, hourly=0.0, sure=(excess, hours), error=error))
    spans = pd.DataFrame(rows) if rows else no_spans(["ratio", "hours", "limit", "saturated", "hourly", "starting"])
    return verdicts(panel.shape, able, strength, spans, panel.first_day)


def _exceedance(
    row: int,
    start: pd.Timestamp,
    end: pd.Timestamp,
    ratio: float,
    hours: int,
    limit: float,
    saturated: float,
    *,
    hourly: float,
    sure: tuple[float, int],
    error: float,
) -> dict[str, object]:
    # each hour over the limit is a reading, not an inference; what stands against it is the error of one monitor, which
    # all its hours share: a hundred hours a few percent over are no surer than their mean
    over, settled = sure
    reading = np.log1p(settled) * 1.5 + min(4.0, 12 * max(over - 1, 0.0))
    instrument = 2.0 * float(log_ndtr(z := np.log(max(over, 1.0)) / error) - log_ndtr(-z))
    nats = float(min(reading, instrument))
    return {
        "row": row,
        "start": start,
        "end": end,
        "nats": nats,
        "ratio": ratio,
        "hours": float(hours),
        "limit": float(limit),
        "saturated": saturated,
        "hourly": hourly,
        "starting": 0.0,
    }


def _hours(panel: Panel, index: int) -> pd.Timestamp:
    return panel.first_day + pd.Timedelta(hours=int(index))


def gaps(panel: Panel) -> pd.DataFrame:
    """Return unmarked outages of at least one hour of pollutant channels, with the level before and who else was silent.

    Columns: row, first, last (hours), level (share of the limit or of the own 99 % value, highest of the three hours before and the two
    after), rank (of that level among those that gaps of the same length begun at the point's other running hours would have), alone (1
    where neither zone nor vendor was out at the time). A recorder that is switched on again while the exceedance lasts shows it too.
    """
    sources = panel.roster["system"].isin(("cems", "wastewater")).to_numpy()
    missing = (panel.hour("hour_missing") >= 0.9) & (panel.pollutant & sources)[:, None] & ~panel.lawful
    value = reference_concentration(panel)
    limit = panel.roster["limit"].to_numpy(dtype=float)
    silent = (panel.hour("hour_missing") >= 0.9) & panel.monitored[:, None]
    shared = {k: _share(silent, panel, k) for k in ("street_town", "operator", "system")}
    rows = []
    for row, a, b in runs_of(missing):
        if a < 6 or b - a > 240:
            continue
        known = np.where(panel.running[row], value[row], np.nan)
        if not panel.running[row, a - 1] or not np.isfinite(known[a - 3 : a]).any():
            continue
        around = _around(known, b - a)
        history = np.delete(around, slice(a - 2, b + 3))
        history = history[np.isfinite(history)]
        if history.size < 100:
            continue
        level = float(around[a])
        out = max(float(share[row, a:b].mean()) for share in shared.values())
        scale = limit[row] if np.isfinite(limit[row]) else np.quantile(history, 0.99)
        rank = float((history < level).mean())
        rows.append({"row": row, "first": a, "last": b, "level": level / scale, "rank": rank, "alone": float(out < 0.3)})
    return pd.DataFrame(rows, columns=["row", "first", "last", "level", "rank", "alone"])


def _around(known: np.ndarray, length: int) -> np.ndarray:
    """Return, per hour, the highest reading of the three hours before and the two after a gap of some hours that begins there."""
    padded = np.concatenate([np.full(3, np.nan), known, np.full(length + 2, np.nan)])
    n = known.size
    return np.asarray(np.fmax.reduce([padded[k : k + n] for k in (0, 1, 2, length + 3, length + 4)]))


def _share(silent: np.ndarray, panel: Panel, column: str) -> np.ndarray:
    """Return, per point and hour, the share of *other places* of its zone (vendor, system) that are silent."""
    groups = panel.roster[column].to_numpy(dtype=object)
    out = np.zeros(silent.shape, dtype=np.float32)
    for g in np.unique(groups[groups != ""]):
        rows = np.flatnonzero((groups == g) & panel.monitored)
        places = panel.station[rows]
        owners = np.where(
            panel.roster["enterprise_id"].to_numpy(dtype=object)[rows] != "",
            panel.roster["enterprise_id"].to_numpy(dtype=object)[rows],
            places,
        )
        names = np.unique(owners)
        if len(names) < 4:
            continue
        by_owner = np.stack([silent[rows[owners == o]].all(axis=0) for o in names])
        total = by_owner.sum(axis=0)
        for k, o in enumerate(names):
            out[rows[owners == o]] = (total - by_owner[k]) / (len(names) - 1)
    return out


def outage_when_exceedance_predicted(panel: Panel, *, gaps_min: float, nats_min: float, level_min: float, window_days: float) -> Verdicts:
    """Find outages that begin when the reading nears the limit, again and again, while zone and vendor are up.

    Each gap contributes ln(4·u³), with u the rank of the level before it among the point's own running hours: 1.4 nats at the
    top, negative below .63; gaps shared with the zone or the vendor contribute nothing.

    Parameters
    ----------
    gaps_min : float
        Fewest such gaps within the window.
    nats_min : float
        Smallest sum.
    level_min : float
        Smallest share of the limit before a gap that counts as an exceedance in sight.
    window_days : float
        Gaps further apart than this belong to different findings.
    """
    found = gaps(panel)
    able = (panel.pollutant & panel.roster["system"].isin(("cems", "wastewater")).to_numpy())[:, None] & np.ones(panel.shape, dtype=bool)
    rows = []
    for row, mine in (
        (int(r), found[(found["row"] == r) & (found["alone"] > 0)]) for r in sorted(set(found.loc[found["alone"] > 0, "row"]))
    ):
        mine = mine.sort_values("first")
        score = np.log(4 * np.maximum(mine["rank"], 0.05) ** 3) + np.where(mine["level"] >= level_min, 0.7, -0.7)
        cut = np.cumsum(np.r_[0, np.diff(mine["first"]) > window_days * 24])
        for k in np.unique(cut):
            part, s = mine[cut == k], score[cut == k]
            best = _best_stretch(s.to_numpy())
            best = (best[0], best[1], best[2] - float(np.log(len(part)))) if best else None  # any stretch could have been chosen
            if best is None or best[1] - best[0] < gaps_min or best[2] < nats_min:
                continue
            chosen = part.iloc[best[0] : best[1]]
            numbers = {"gaps": float(len(chosen)), "level": float(chosen["level"].mean()), "rank": float(chosen["rank"].mean())}
            start, end = _hours(panel, int(chosen["first"].iloc[0])), _hours(panel, int(chosen["last"].iloc[-1]))
            rows.append({"row": row, "start": start, "end": end, "nats": best[2], **numbers})
    spans = pd.DataFrame(rows) if rows else no_spans(["gaps", "level", "rank"])
    return verdicts(panel.shape, able, np.zeros(panel.shape), spans, panel.first_day)


def _best_stretch(score: np.ndarray) -> tuple[int, int, float] | None:
    """Return (first, last + 1, sum) of the contiguous stretch with the largest sum."""
    best: tuple[int, int, float] | None = None
    start, total = 0, 0.0
    for i, s in enumerate(score):
        if total <= 0:
            start, total = i, 0.0
        total += float(s)
        if best is None or total > best[2]:
            best = (start, i + 1, total)
    return best if best and best[2] > 0 else None


def data_missing_or_late(panel: Panel, *, share_min: float, days_min: float) -> Verdicts:
    """Find spans in which most of the data did not arrive and no mark says why.

    Parameters
    ----------
    share_min : float
        Smallest missing share of a day.
    days_min : float
        Fewest such days.
    """
    share = panel.day("n_missing") / panel.per_day[:, None]
    able = panel.monitored[:, None] & (panel.notice != "not_in_cube")[:, None] & np.isfinite(share)
    unmarked = panel.day("n_marked") < 0.5 * panel.per_day[:, None]
    hit = able & (share >= share_min) & unmarked
    rows = []
    for row, a, b in runs_of(hit, bridge=1):
        if b - a < days_min:
            continue
        days = float(hit[row, a:b].sum())
        rows.append(
            {
                "row": row,
                "start": _hours(panel, a * 24),
                "end": _hours(panel, b * 24),
                "nats": 1.0,
                "share": float(share[row, a:b].mean()),
                "days": days,
            }
        )
    spans = pd.DataFrame(rows) if rows else no_spans(["share", "days"])
    return verdicts(panel.shape, able, np.zeros(panel.shape), spans, panel.first_day)


def data_arrive_late(panel: Panel, *, hours_min: float, days_min: float) -> Verdicts:
    """Find spans whose readings arrived long after they were measured; not evaluable where the store does not know when they arrived.

    Parameters
    ----------
    hours_min : float
        Smallest median delay of a day, hours.
    days_min : float
        Fewest such days.
    """
    delay = panel.day("delay").astype(float) if "delay" in panel.data else np.full(panel.shape, np.nan)
    able = panel.monitored[:, None] & np.isfinite(delay)
    hit = able & (np.nan_to_num(delay) >= hours_min)
    rows = []
    for row, a, b in runs_of(hit, bridge=1):
        if hit[row, a:b].sum() < days_min:
            continue
        numbers = {"hours": float(np.nanmedian(delay[row, a:b])), "days": float(hit[row, a:b].sum())}
        rows.append({"row": row, "start": _hours(panel, a * 24), "end": _hours(panel, b * 24), "nats": 1.0, **numbers})
    spans = pd.DataFrame(rows) if rows else no_spans(["hours", "days"])
    return verdicts(panel.shape, able, np.zeros(panel.shape), spans, panel.first_day)


def values_impossible(panel: Panel, *, share_min: float) -> Verdicts:
    """Find days with infinite values, a device's codes for no value, or concentrations and flows negative beyond the zero tolerance.

    Parameters
    ----------
    share_min : float
        Smallest share of a day's values.
    """
    bad = panel.day("n_impossible")
    able = panel.monitored[:, None] & np.isfinite(bad)
    share = bad / panel.per_day[:, None]
    hit = able & (share >= share_min)
    rows = []
    for row, a, b in runs_of(hit, bridge=1):
        rows.append(
            {
                "row": row,
                "start": _hours(panel, a * 24),
                "end": _hours(panel, b * 24),
                "nats": 2.0,
                "share": float(share[row, a:b].max()),
                "count": float(bad[row, a:b].sum()),
            }
        )
    spans = pd.DataFrame(rows) if rows else no_spans(["share", "count"])
    return verdicts(panel.shape, able, np.zeros(panel.shape), spans, panel.first_day)


def values_saturate_at_range(panel: Panel, *, share_min: float, days_min: float) -> Verdicts:
    """Find days that stand at the end of the measuring range: genuine saturation, or a range set too low.

    Parameters
    ----------
    share_min : float
        Smallest share of the day's values at the end of the range.
    days_min : float
        Fewest such days in a row.
    """
    share = panel.day("n_saturated") / panel.per_day[:, None]
    able = panel.judged[:, None] & np.isfinite(share) & (panel.notice == "")[:, None]
    hit = able & (share >= share_min) & (panel.day("n_marked") < 0.5 * panel.per_day[:, None])
    usual = middle(panel.day("high"))
    rows = []
    for row, a, b in runs_of(hit, bridge=2):
        if hit[row, a:b].sum() < days_min:
            continue
        mean_share = float(share[row, a:b].mean())
        rows.append(
            {
                "row": row,
                "start": _hours(panel, a * 24),
                "end": _hours(panel, b * 24),
                "nats": 1.5,
                "share": mean_share,
                "usual_top": float(usual[row]),
                "days": float(b - a),
            }
        )
    spans = pd.DataFrame(rows) if rows else no_spans(["share", "usual_top", "days"])
    return verdicts(panel.shape, able, np.zeros(panel.shape), spans, panel.first_day)
