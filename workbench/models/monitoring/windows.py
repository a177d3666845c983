"""What a candidate's span looks like against the point's own past and its peers: the features that a rehearsed score weighs.

Only hourly points are described (for them the hourly means are the readings); other candidates carry zeros, which their score
does not weigh. Every feature is a number with a unit that a reviewer can read, see ``scoring.yml``.
"""

from __future__ import annotations

from functools import cache

import numpy as np
import pandas as pd

from workbench.models.monitoring.held import of_samples
from workbench.models.monitoring.matching import LEAST
from workbench.models.monitoring.panel import Panel
from workbench.models.monitoring.segments import (
    Sums,
    contrast,
    generator_gain,
    jumps,
    spread_about,
    steps_against_past,
    sums_of,
    weighted_residual,
)

FAMILIES = ("plateau", "clipping", "scale", "copy", "generated", "digits")
"""Families of detectors that the rehearsal covers."""
STRENGTHS = {
    "plateau_nats": ("values_stay_constant",),
    "clipping_nats": ("values_clipped_below_limit", "values_bunch_at_limit"),
    "scale_nats": ("values_scaled_down", "values_shifted_down"),
    "exact_nats": ("history_copied_exactly",),
    "noisy_nats": ("history_copied_with_noise",),
    "generated_nats": ("values_generated",),
    "digit_nats": ("readings_leave_own_resolution",),
}
"""Strength of the detectors over the same span, one feature each."""
FEATURES = (
    *STRENGTHS, "copy_gain", "drawn_gain", "lag_lost", "step_ratio", "at_top", "cut_off", "level_drop",
    "level_score", "edge_score", "scatter", "surprise", "uncoupled", "others_lower", "level_rank", "explained", "off_share", "switch_nats",
    "switch_margin", "comb_nats", "calm_lost", "step_change",
)  # fmt: skip
"""Features of a described candidate, in the order of ``scoring.yml``."""
NULL_DAYS = (1, 2, 4, 7, 14, 30)
"""Lengths at which the spread of a point's own spans is measured, days."""
MOST = 12
"""Largest number of related rows whose movement is asked."""


class _Row:
    """Sums of one row, made when first asked for."""

    def __init__(self, panel: Panel, row: int) -> None:
        e = panel.expectation
        self.y = np.where(panel.running[row], panel.transformed[0][row], np.nan).astype(float)
        self.residual = e.residual[row].astype(float)
        noise = e.noise[row].astype(float)
        self.level: Sums = weighted_residual(self.residual, noise)
        with np.errstate(all="ignore"):
            self.apart = np.minimum((self.residual / noise) ** 2, 25.0)
            self.over = np.clip(self.residual / noise, -4, 4)
        self.surprise = sums_of(self.apart)
        self.square = sums_of(np.clip(self.residual, -1.5, 1.5) ** 2)
        self.plain = sums_of(np.clip(self.residual, -1.5, 1.5))
        self.steps = sums_of(np.minimum(steps_against_past(self.y).ratio, 8.0))
        known = np.sort(self.y[np.isfinite(self.y)])
        self.sorted = known if known.size else np.zeros(1)
        hours = len(self.y)
        self.spreads = np.full((2, len(NULL_DAYS)), np.nan)
        self.usual_lag, self.usual_scatter = np.full(len(NULL_DAYS), np.nan), np.full(len(NULL_DAYS), np.nan)
        self.usual_fit = np.nan
        for k, days in enumerate(NULL_DAYS):
            a = np.arange(0, hours - 24 * days + 1, 12)
            if len(a) < 12:
                continue
            b = a + 24 * days
            into, out = jumps(self.level, a, b)
            self.spreads[:, k] = spread_about(contrast(self.level, a, b)), spread_about(0.5 * (into + out))
            self.usual_lag[k] = _median(generator_gain(self.y, a, b)[1])
            self.usual_scatter[k] = _median(self.scatter(a, b))
        self.usual_fit = self.fit(0, hours)

    def scatter(self, a: np.ndarray, b: np.ndarray) -> np.ndarray:
        """Return the log standard deviation of the residual in spans."""
        return np.asarray(0.5 * np.log(np.maximum(self.square.mean(a, b) - self.plain.mean(a, b) ** 2, 1e-8)))

    def at(self, table: np.ndarray, hours: np.ndarray) -> np.ndarray:
        """Return what a table by length says at other lengths, between the lengths by the logarithm."""
        ok = np.isfinite(table)
        if not ok.any():
            return np.full(len(hours), np.nan)
        return np.asarray(np.interp(np.log(hours), np.log(24.0 * np.array(NULL_DAYS))[ok], table[ok]))

    def fit(self, a: int, b: int) -> float:
        """Return the correlation of the readings with their expectation over hours a to b."""
        y, r = self.y[a:b], self.residual[a:b]
        ok = np.isfinite(y) & np.isfinite(r)
        if ok.sum() < 12:
            return float("nan")
        y, e = y[ok], (y - r)[ok]
        spread = float(np.std(y) * np.std(e))
        return float(np.mean((y - y.mean()) * (e - e.mean())) / spread) if spread > 1e-9 else 0.0

    def level_score(self, a: np.ndarray, b: np.ndarray) -> np.ndarray:
        """Return how far spans lie under what is beside them, in spreads of the row's own spans of that length."""
        return np.asarray(-contrast(self.level, a, b) / np.maximum(self.at(self.spreads[0], b - a), 1e-6))


def describe(panel: Panel, c: pd.DataFrame, spans: pd.DataFrame) -> pd.DataFrame:
    """Return the features of every candidate, columns :data:`FEATURES`, index as ``c``; NaN where something is not known.

    Parameters
    ----------
    c : DataFrame
        Candidates: row, start, end.
    spans : DataFrame
        Spans of all detectors before they were merged: row, detector, start, end, nats.
    """
    out = pd.DataFrame(0.0, index=c.index, columns=list(FEATURES))
    rows = c["row"].to_numpy(dtype=int)
    rehearsed_finely = (panel.fine & panel.pollutant)[rows] & c["family"].isin(FAMILIES).to_numpy() if len(c) else False
    mine = np.flatnonzero(panel.hourly[rows] | rehearsed_finely) if len(c) else np.array([], dtype=int)
    if not len(mine):
        return out
    a, b = hours_of(panel, c)
    row_of = cache(lambda row: _Row(panel, row))
    table = out.to_numpy(copy=True)
    column = {name: k for k, name in enumerate(FEATURES)}
    strong = {d: name for name, detectors in STRENGTHS.items() for d in detectors}
    told = spans[spans["detector"].isin(strong) & spans["row"].isin(rows[mine])]
    first, last = hours_of(panel, told)
    whose, nats = told["row"].to_numpy(dtype=int), np.log1p(np.maximum(told["nats"].to_numpy(dtype=float), 0))
    feature = np.array([column[strong[d]] for d in told["detector"]], dtype=int)
    value = panel.hour("hour_mean")
    for row in np.unique(rows[mine]).tolist():
        index = mine[rows[mine] == row]
        r, lo, hi = row_of(row), a[index], b[index]
        length = hi - lo
        for k in np.flatnonzero(whose == row).tolist():
            hit = index[(lo < last[k]) & (hi > first[k])]
            table[hit, feature[k]] = np.maximum(table[hit, feature[k]], nats[k])
        table[index, column["copy_gain"]] = _overlap_gain(panel, row, lo, hi)
        gain, lag = generator_gain(r.y, lo, hi)
        switched = _switched(panel, row, lo, hi)
        into, out_of = jumps(r.level, lo, hi)
        edge = 0.5 * (np.where(np.isfinite(into), into, out_of) + np.where(np.isfinite(out_of), out_of, into))
        for name, x in (
            ("drawn_gain", np.clip(gain, -60, 120)),
            ("lag_lost", r.at(r.usual_lag, length) - np.clip(lag, -1, 1)),
            ("step_ratio", np.log(np.maximum(r.steps.mean(lo, hi), 0.05))),
            ("level_drop", -contrast(r.level, lo, hi)),
            ("level_score", r.level_score(lo, hi)),
            ("edge_score", -edge / np.maximum(r.at(r.spreads[1], length), 1e-6)),
            ("scatter", r.scatter(lo, hi) - r.at(r.usual_scatter, length)),
            ("surprise", np.log(np.maximum(r.surprise.mean(lo, hi), 0.05))),
            ("others_lower", _others(panel, row, lo, hi, row_of)),
            ("switch_nats", switched[0]),
            ("switch_margin", switched[1]),
            ("comb_nats", switched[2]),
            ("explained", np.full(len(index), float(panel.expectation.explained[row]))),
        ):
            table[index, column[name]] = x
        for i, p, q in zip(index.tolist(), lo.tolist(), hi.tolist(), strict=True):
            inside = value[row, p:q]
            known = inside[np.isfinite(inside)]
            if not known.size:
                continue
            table[i, column["off_share"]] = panel.digits.off[row, p:q].sum() / known.size
            at_top = inside == known.max()
            table[i, column["at_top"]] = at_top.sum() / known.size
            over = r.over[p:q][at_top]
            over = over[np.isfinite(over)]
            # where readings stop at a cap the expectation goes on over it: the residual is negative there
            table[i, column["cut_off"]] = -float(np.mean(over)) * np.sqrt(min(over.size, 100)) if over.size else 0.0
            level = r.y[p:q]
            level = level[np.isfinite(level)]
            if level.size:
                table[i, column["level_rank"]] = np.searchsorted(r.sorted, np.median(level)) / r.sorted.size
            table[i, column["uncoupled"]] = r.usual_fit - r.fit(p, q)
    table[mine, column["calm_lost"]], table[mine, column["step_change"]] = of_samples(panel, rows[mine], a[mine], b[mine])
    return pd.DataFrame(table, index=c.index, columns=list(FEATURES))


def hours_of(panel: Panel, c: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
    """Return the first hour of each candidate and the hour after its last."""
    hours = panel.shape[1] * 24
    a = np.floor(np.asarray((c["start"] - panel.first_day) / pd.Timedelta(hours=1), dtype=float)).astype(int).clip(0, hours - 1)
    b = np.ceil(np.asarray((c["end"] - panel.first_day) / pd.Timedelta(hours=1), dtype=float)).astype(int).clip(1, hours)
    return a, np.maximum(b, a + 1)


def _overlap_gain(panel: Panel, row: int, a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Return the largest gain of a match that overlaps each span, less the least one, as a logarithm."""
    out = np.zeros(len(a))
    for m in panel.matches.get(row, []):
        out = np.where((a < m.last) & (b > m.first), np.maximum(out, np.log1p(m.gain - LEAST)), out)
    return out


def _switched(panel: Panel, row: int, a: np.ndarray, b: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return what the edges of a factor over most of each span explain, as a logarithm, that over the row's own, and what its comb does."""
    edges, comb = np.zeros(len(a)), np.zeros(len(a))
    spans, usual = panel.switched.get(row, ([], 1.0))
    for s in spans:
        common = np.minimum(b, s.last) - np.maximum(a, s.first)
        mostly = common >= 0.5 * np.minimum(b - a, s.last - s.first)
        edges, comb = np.where(mostly, np.maximum(edges, s.edges), edges), np.where(mostly, np.maximum(comb, s.comb), comb)
    margin = np.where(edges > 0, np.log(np.maximum(edges, 1e-9) / usual), -3.0).clip(-3.0)
    return np.log1p(edges), margin, np.log1p(comb)


def _others(panel: Panel, row: int, a: np.ndarray, b: np.ndarray, row_of: object) -> np.ndarray:
    """Return how far the same factor at other places, and the other channels here, lie under what is beside the span, on average."""
    alike = np.flatnonzero((panel.peers == panel.peers[row]) & panel.hourly & (np.arange(len(panel.peers)) != row))
    beside = np.array([r for r in panel.siblings(row) if panel.hourly[r]], dtype=int)
    chosen = np.concatenate([alike[:MOST], beside[:MOST]]).astype(int)
    if not len(chosen):
        return np.zeros(len(a))
    scores = np.stack([np.nan_to_num(row_of(int(r)).level_score(a, b)) for r in chosen])  # type: ignore[operator]
    return np.asarray(np.clip(scores, -4, 4).mean(axis=0))


def _median(x: np.ndarray) -> float:
    known = x[np.isfinite(x)]
    return float(np.median(known)) if known.size else float("nan")
