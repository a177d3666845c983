"""The loaded features with what detectors ask of them: groups of related channels, running state, expectation.

A :class:`Panel` is made once per feature set and never changed. All arrays have the roster's rows first.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import pandas as pd
import xarray as xr

from workbench.contracts import threads
from workbench.models.monitoring.combs import edits_by_edge_and_comb, steps_of
from workbench.models.monitoring.digits import Digits, digits_of
from workbench.models.monitoring.edges import Ahead, Edited, errors_of, predict_ahead, reached_by_itself
from workbench.models.monitoring.expectation import Expectation, expect, standardise, transform
from workbench.models.monitoring.matching import Match, matches_of
from workbench.models.monitoring.segments import EDITED, LOWEST, lower_spans, weighted_residual
from workbench.models.monitoring.ties import tie_rates
from workbench.models.monitoring.vocabulary import AUXILIARY, FINEST, FLOW, MONITOR_SYSTEMS, SAMPLED

DEPARTS = 6.0
"""Smallest departure from the own digits that is kept, nats."""
IDLE_SHARE = 0.15
"""Below this share of its own 90 % level a flow or a power counts as idle (a load floor, not a legal number)."""


@dataclass(frozen=True)
class Panel:
    """Loaded features and derived context.

    Parameters
    ----------
    data : xarray.Dataset
        What :func:`workbench.models.monitoring.features.build` returns, loaded.
    """

    data: xr.Dataset
    roster: pd.DataFrame = field(init=False)

    def __post_init__(self) -> None:
        columns = [c for c in self.data.coords if self.data[c].dims == ("point",) and c != "point"]
        frame = pd.DataFrame({str(c): self.data[c].to_numpy() for c in columns})
        frame.insert(0, "point_id", self.data["point"].to_numpy().astype(object))
        object.__setattr__(self, "roster", frame)

    def day(self, name: str) -> np.ndarray:
        """Return a per-point-day statistic as a plain array, shape (point, day)."""
        return np.asarray(self.data[name].to_numpy())

    def hour(self, name: str) -> np.ndarray:
        """Return a per-point-hour statistic as a plain array, shape (point, hour)."""
        return np.asarray(self.data[name].to_numpy())

    @property
    def shape(self) -> tuple[int, int]:
        """Points and days."""
        return self.data.sizes["point"], self.data.sizes["day"]

    @cached_property
    def first_day(self) -> pd.Timestamp:
        """First day of the period."""
        return pd.Timestamp(self.data["day"].to_numpy()[0])

    @cached_property
    def per_day(self) -> np.ndarray:
        """Samples per day of each point, shape (point,)."""
        return self.roster["per_day"].to_numpy(dtype=float)

    @cached_property
    def monitored(self) -> np.ndarray:
        """Points whose own values are judged."""
        return self.roster["system"].isin(MONITOR_SYSTEMS).to_numpy()

    @cached_property
    def notice(self) -> np.ndarray:
        """Code of the unusual input that makes a point unfit for judging; empty where it is fit."""
        code = self.roster["input"].to_numpy(dtype=object).copy()
        valid = np.nansum(self.day("n_valid"), axis=1)
        missing = np.nansum(self.day("n_missing"), axis=1)
        marked = np.nansum(self.day("n_marked"), axis=1)
        impossible = np.nansum(self.day("n_impossible"), axis=1)
        silent = (valid == 0) & (impossible == 0) & (missing > 0) & (marked == 0)
        few = valid < np.maximum(24, 0.5 * self.per_day)
        code[(code == "") & silent] = "all_missing"
        code[(code == "") & few] = "few_values"
        return code

    @cached_property
    def judged(self) -> np.ndarray:
        """Monitored points fit for judging, shape (point,)."""
        return self.monitored & np.isin(self.notice, ("", "empty_range"))

    @cached_property
    def pollutant(self) -> np.ndarray:
        """Judged points whose factor is a pollutant rather than flow, oxygen, temperature or pH."""
        return self.judged & ~self.roster["factor"].isin(AUXILIARY).to_numpy()

    @cached_property
    def station(self) -> np.ndarray:
        """Key of the sampling place: the outlet, or the position where there is no outlet."""
        r = self.roster
        place = r["system"].astype(str) + "@" + r["lon"].round(5).astype(str) + "," + r["lat"].round(5).astype(str)
        named = r["system"].astype(str) + "@" + r["street_town"].astype(str)
        located = r["lon"].notna() & r["lat"].notna()
        return np.where(r["outlet_id"] != "", r["outlet_id"], np.where(located, place, named)).astype(object)

    @cached_property
    def members(self) -> dict[str, np.ndarray]:
        """Rows of the monitored points of each station."""
        rows = np.flatnonzero(self.monitored)
        return {str(k): rows[g] for k, g in pd.Series(self.station[rows]).groupby(self.station[rows]).indices.items()}

    def siblings(self, row: int) -> np.ndarray:
        """Return the other monitored rows of the same station."""
        rows = self.members[self.station[row]]
        return np.asarray(rows[rows != row])

    @cached_property
    def process_rows(self) -> dict[str, dict[str, np.ndarray]]:
        """Rows of the production, treatment and condition channels of each enterprise."""
        r = self.roster
        out: dict[str, dict[str, np.ndarray]] = {}
        for what, chosen in (
            ("production", (r["system"] == "power") & (r["role"] == "production")),
            ("treatment", (r["system"] == "power") & (r["role"] == "treatment")),
            ("condition", r["system"] == "condition"),
        ):
            rows = np.flatnonzero(chosen.to_numpy())
            for e, i in r.iloc[rows].groupby("enterprise_id").indices.items():
                out.setdefault(str(e), {})[what] = rows[i]
        return out

    @cached_property
    def idle(self) -> np.ndarray:
        """Hours in which the plant behind a point is idle by flow or production power, shape (point, hour) bool.

        Both must be idle where both are known; where neither is known nothing is idle.
        """
        value = self.hour("hour_any")
        out = np.zeros(value.shape, dtype=bool)
        low = {int(i): _idle(value[i]) for i in np.flatnonzero(self.roster["factor"].isin(FLOW).to_numpy() & self.monitored)}
        for rows in self.members.values():
            flows = [low[int(i)] for i in rows if int(i) in low]
            enterprise = str(self.roster["enterprise_id"].iloc[rows[0]])
            made = self.process_rows.get(enterprise, {}).get("production", np.array([], dtype=int))
            powers = [_idle(_total(value[made]))] if len(made) and enterprise else []
            if flows or powers:
                out[rows] = np.all([*flows, *powers], axis=0)
        return out

    @cached_property
    def lawful(self) -> np.ndarray:
        """Hours mostly under a mark other than normal or over range, shape (point, hour) bool."""
        code = self.hour("hour_mark")
        return np.asarray((code < 255) & (code != 0) & (code != 6))

    @cached_property
    def running(self) -> np.ndarray:
        """Hours neither idle nor marked, shape (point, hour) bool."""
        return np.asarray(~self.idle & ~self.lawful)

    @cached_property
    def running_share(self) -> np.ndarray:
        """Share of each day's hours that are running, shape (point, day)."""
        n, d = self.shape
        return np.asarray(self.running.reshape(n, d, 24).mean(axis=2))

    @cached_property
    def peers(self) -> np.ndarray:
        """Number of the peer group of each point: same system, factor and sampling rate."""
        keys = self.roster["system"].astype(str) + "/" + self.roster["factor"].astype(str) + "/" + self.roster["per_day"].astype(str)
        return np.asarray(pd.factorize(keys, sort=True)[0])

    @cached_property
    def transformed(self) -> tuple[np.ndarray, np.ndarray]:
        """Hourly means on the scale of the regressions, and which rows are logarithmic."""
        return transform(self)

    @cached_property
    def standardised(self) -> tuple[np.ndarray, np.ndarray]:
        """Every transformed row standardised, and where it was known."""
        return standardise(self.transformed[0])

    @cached_property
    def arrived(self) -> np.ndarray:
        """Share of hours with an ordinary mean, shape (point,)."""
        return np.asarray(np.isfinite(self.hour("hour_mean")).mean(axis=1))

    @cached_property
    def expectation(self) -> Expectation:
        """What the related channels lead one to expect of each judged point, hour by hour."""
        return expect(self)

    @cached_property
    def ties(self) -> tuple[np.ndarray, np.ndarray]:
        """How likely a run of equal values goes on, early and later, by value level: two arrays, shape (point, level)."""
        return tie_rates(self.hour("hazard"), self.peers)

    @cached_property
    def hourly(self) -> np.ndarray:
        """Judged points whose values are hourly and logarithmic: for these the hourly means are the readings themselves."""
        return np.asarray(self.judged & (self.per_day == 24) & self.transformed[1])

    @cached_property
    def digits(self) -> Digits:
        """Decimal places of the hourly readings against those usual at the point, and the spans that depart from them."""
        return digits_of(self.hour("hour_any"), np.flatnonzero(self.hourly), self.peers, DEPARTS)

    @cached_property
    def fine(self) -> np.ndarray:
        """Judged logarithmic points of cems and wastewater at 15 minutes or finer: a rehearsal at full rate may judge these."""
        fast = self.roster["system"].isin(SAMPLED).to_numpy() & (self.per_day >= FINEST)
        return np.asarray(self.judged & fast & self.transformed[1])

    @cached_property
    def matches(self) -> dict[int, list[Match]]:
        """Spans of each hourly point that an earlier span explains better than the present does."""
        e = self.expectation
        return matches_of(np.flatnonzero(self.hourly), self.transformed[0], e.residual, e.noise, self.ties[1])

    @cached_property
    def lowered(self) -> dict[int, list[tuple[int, int, float]]]:
        """Spans of each hourly point that lie lower than what is beside them, abruptly: first hour, hour after the last, score."""
        e, days = self.expectation, self.shape[1]
        ladder = tuple(w for w in EDITED if w <= max(2, days // 3))
        rows = np.flatnonzero(self.hourly & np.isfinite(e.scale))
        return {
            int(r): lower_spans(weighted_residual(e.residual[r].astype(float), e.noise[r].astype(float)), days * 24, ladder, LOWEST)
            for r in rows
        }

    @cached_property
    def ahead(self) -> Ahead:
        """What the hours before and the related channels lead one to expect of the next hour of each hourly point."""
        return predict_ahead(self, np.flatnonzero(self.hourly))

    @cached_property
    def switched(self) -> dict[int, tuple[list[Edited], float]]:
        """Spans of each hourly point that a factor explains, by its edges and its comb; and what the row's edges reach by themselves."""
        ahead, z, digits, value = self.ahead, self.transformed[0], self.digits, self.hour("hour_any")
        rows = np.flatnonzero(self.hourly & np.isfinite(ahead.spread).any(axis=1)).tolist()

        def one(row: int) -> tuple[list[Edited], float]:
            error = errors_of(np.where(self.running[row], z[row], np.nan).astype(float), ahead, row)
            steps = steps_of(value[row], digits.places[row], digits.usual[row])
            return edits_by_edge_and_comb(error, ahead, row, steps), reached_by_itself(error, ahead, row)

        # one task per row, so the result does not depend on the threads
        with ThreadPoolExecutor(threads()) as pool:
            return dict(zip(rows, pool.map(one, rows), strict=True))

    @cached_property
    def process_expectation(self) -> Expectation:
        """The same from flow, temperature, power and conditions only, without pollutants and oxygen."""
        return expect(self, process_only=True)


def _idle(series: np.ndarray) -> np.ndarray:
    finite = series[np.isfinite(series)]
    if finite.size < 48:
        return np.zeros(series.shape, dtype=bool)
    level = np.quantile(finite, 0.9)
    if level <= 0:
        return np.zeros(series.shape, dtype=bool)
    return np.asarray(series < IDLE_SHARE * level)


def _total(series: np.ndarray) -> np.ndarray:
    return np.where(np.isfinite(series).any(axis=0), np.nansum(series, axis=0), np.nan)
