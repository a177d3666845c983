"""The dossier of one enterprise: its permit beside everything that can be held against it.

A table that the catalog does not have is ``None``: a rule that needs it is then not evaluable. A table that is
there and holds no row for this enterprise is empty: for a duty to file, that is the breach.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd

from workbench.contracts import Ruling
from workbench.models.hourly import Grid
from workbench.models.permit.accounting import Masses
from workbench.models.permit.calendars import report_span
from workbench.models.permit.results import RuleResult, records


@dataclass(frozen=True)
class Series:
    """Hourly series of one outlet and factor.

    Parameters
    ----------
    point_id : str
        Monitor point of the concentration.
    measured : float32 array, shape (hour,)
        Concentration as measured, mg/m³ or mg/L; NaN: not enough valid values in the hour.
    compared : float32 array, shape (hour,)
        The figure that is held against the limit: at reference oxygen where the outlet has one; NaN too where the device
        says stopped or the reading stands still.
    flow : float32 array or None
        m³/h; None where the outlet has no flow meter.
    stood_still : int
        Hours whose reading stands still (test gas without its mark, an instrument that holds): they tell nothing of the outlet.
    """

    point_id: str
    measured: np.ndarray
    compared: np.ndarray
    flow: np.ndarray | None = None
    stood_still: int = 0


@dataclass(frozen=True)
class Power:
    """Hourly state of one electricity meter, or of one sensor of the treatment (role ``condition``: pressure drop, oxygen,
    temperature): share of the hour it ran, NaN: nothing arrived."""

    point_id: str
    role: str
    running: np.ndarray


@dataclass(frozen=True)
class Declared:
    """What the submitted reports declare for one outlet and factor, by time: arrays and lists of equal length.

    Parameters
    ----------
    start, end : list of Timestamp
        Period of each report, its end not included.
    lo, hi : int array
        The same in hours of the grid, not clipped.
    amount_t, exceed_hours : float array
        Declared amount and hours over the limit; NaN where left empty.
    """

    start: list[pd.Timestamp]
    end: list[pd.Timestamp]
    lo: np.ndarray
    hi: np.ndarray
    amount_t: np.ndarray
    exceed_hours: np.ndarray
    report_id: list[str]

    def tiling(self, first: float, last: float) -> np.ndarray:
        """Return positions of reports inside ``[first, last]`` (hours) that do not overlap, in order of time.

        Where both monthly and quarterly reports are filed, the shorter ones are taken if they fill the span at least as
        well as the longer ones do; the same hours are never counted twice.
        """
        inside = np.flatnonzero((self.lo >= first) & (self.hi <= last) & (self.hi > self.lo))
        best: list[int] = []
        most = -1
        for sign in (1, -1):
            taken: list[int] = []
            for k in inside[np.argsort(sign * (self.hi - self.lo)[inside], kind="stable")].tolist():
                if all(self.hi[k] <= self.lo[j] or self.lo[k] >= self.hi[j] for j in taken):
                    taken.append(k)
            covered = int(sum(self.hi[k] - self.lo[k] for k in taken))
            if covered > most:
                best, most = taken, covered
        return np.array(sorted(best, key=lambda k: int(self.lo[k])), int)


@dataclass(frozen=True)
class Samples:
    """Manual samples of one outlet and factor, by time: arrays of equal length."""

    sampled_at: np.ndarray
    value: np.ndarray
    unit: np.ndarray


@dataclass(frozen=True)
class Coefficient:
    """An emission coefficient: kg generated per tonne of product, removal η, running share k, and its log error."""

    generated: float
    removal: float
    running: float
    sigma: float
    source: str


@dataclass(frozen=True)
class Cap:
    """A cap on the hours that may be marked with these kinds in a calendar year."""

    kinds: tuple[str, ...]
    hours: float
    basis: str


@dataclass(frozen=True)
class Dossier:
    """Everything about one enterprise that the rules may read.

    Parameters
    ----------
    enterprise : mapping
        Row of ``enterprises``.
    permit : mapping or None
        Row of ``permits``; None where none is on file.
    grid : Grid
        Hours under review.
    series, masses : mapping of (outlet_id, factor)
        Hourly concentration, and the running sums of its mass where the outlet has a flow meter.
    accounting : mapping of str to float
        Keyword numbers of :func:`~workbench.models.permit.accounting.measured_mass`.
    unusable : mapping of (outlet_id, factor)
        Why a monitor that is there cannot be used, such as an unknown unit.
    flow_share : mapping of outlet_id to float32 array, shape (hour,)
        Flow as a share of the outlet's own high flow.
    zone_outage : bool array or None
        Hours in which the telemetry of the whole district was silent.
    as_of : mapping of str to Timestamp
        Until when each table is known to be complete; what falls due later is not yet evaluable.
    from_when : mapping of str to Timestamp
        From when each table is known to be complete.
    """

    enterprise: Mapping[str, Any]
    grid: Grid
    permit: Mapping[str, Any] | None = None
    permits_known: bool = True
    limits: pd.DataFrame | None = None
    duties: pd.DataFrame | None = None
    outlets: pd.DataFrame = field(default_factory=pd.DataFrame)
    samples: pd.DataFrame | None = None
    reports: pd.DataFrame | None = None
    items: pd.DataFrame | None = None
    ledger: pd.DataFrame | None = None
    marks: pd.DataFrame | None = None
    tax: pd.DataFrame | None = None
    permit_outlets: pd.DataFrame | None = None
    permit_materials: pd.DataFrame | None = None
    solvents: pd.DataFrame | None = None
    series: Mapping[tuple[str, str], Series] = field(default_factory=dict)
    power: tuple[Power, ...] = ()
    flow_share: Mapping[str, np.ndarray] = field(default_factory=dict)
    zone_outage: np.ndarray | None = None
    masses: Mapping[tuple[str, str], Masses] = field(default_factory=dict)
    accounting: Mapping[str, float] = field(default_factory=dict)
    coefficients: Mapping[tuple[str, str], Coefficient] = field(default_factory=dict)
    caps: tuple[Cap, ...] = ()
    unusable: Mapping[tuple[str, str], str] = field(default_factory=dict)
    as_of: Mapping[str, pd.Timestamp] = field(default_factory=dict)
    from_when: Mapping[str, pd.Timestamp] = field(default_factory=dict)

    @cached_property
    def _marked(self) -> dict[tuple[str, str], np.ndarray]:
        if self.marks is None or not len(self.marks):
            return {}
        groups = self.marks.groupby(["outlet_id", "kind"], sort=False)
        return {(str(o), str(k)): self.grid.mask(g["start"], g["end"]) for (o, k), g in groups}

    @property
    def enterprise_id(self) -> str:
        """Identifier of the enterprise."""
        return str(self.enterprise["enterprise_id"])

    @property
    def permit_id(self) -> str:
        """Identifier of its permit; empty where none is on file."""
        return str(self.permit["permit_id"]) if self.permit is not None else ""

    def until(self, table: str) -> pd.Timestamp:
        """Return until when a table is complete (the end of the review where not said otherwise)."""
        return self.as_of.get(table, self.grid.end)

    def ended(self, table: str) -> bool:
        """Return whether a table stops before the end of the review, so that what falls due later cannot be judged."""
        return self.until(table) < self.grid.end

    def since(self, table: str) -> pd.Timestamp:
        """Return from when a table is complete (the start of the review where not said otherwise)."""
        return self.from_when.get(table, self.grid.start)

    def mark_hours(self, outlet_id: str, kinds: tuple[str, ...]) -> np.ndarray:
        """Return the hours of an outlet touched by marks of these kinds, bool of shape (hour,)."""
        out = np.zeros(self.grid.n, bool)
        for kind in kinds:
            if (outlet_id, kind) in self._marked:
                out |= self._marked[outlet_id, kind]
        return out

    def subtracted(self, outlet_id: str, kinds: tuple[str, ...]) -> tuple[tuple[str, float], ...]:
        """Return the marked hours of an outlet by kind, for the record."""
        hours = ((k, float(self._marked[outlet_id, k].sum())) for k in kinds if (outlet_id, k) in self._marked)
        return tuple((k, h) for k, h in hours if h > 0)

    def say(self, rule: str, ruling: Ruling, zh: str, en: str, **more: Any) -> RuleResult:
        """Return a result of this dossier; the span is the whole review where not given."""
        more = {"start": self.grid.start, "end": self.grid.end, **more}
        return RuleResult(
            rule=rule, ruling=ruling, enterprise_id=self.enterprise_id, permit_id=self.permit_id, reason_zh=zh, reason_en=en, **more
        )

    def cannot(self, rule: str, zh: str, en: str, **more: Any) -> list[RuleResult]:
        """Return one ``not evaluable`` result with its reason."""
        return [self.say(rule, Ruling.NOT_EVALUABLE, f"无法评估：{zh}。", f"Not evaluable: {en}.", **more)]

    @cached_property
    def _ledger_fields(self) -> dict[str, tuple[np.ndarray, np.ndarray]]:
        if self.ledger is None or not len(self.ledger):
            return {}
        value = self.ledger["value"].to_numpy(float)
        days = self.ledger["date"].to_numpy().astype("datetime64[D]")
        codes, names = pd.factorize(self.ledger["field"])
        known = np.isfinite(value)
        return {str(name): (days[at], value[at]) for k, name in enumerate(names) for at in [np.flatnonzero((codes == k) & known)]}

    def ledger_of(self, field: str) -> tuple[np.ndarray, np.ndarray]:
        """Return days (datetime64[D]) and values of a ledger field, one entry per row with a value, as written."""
        return self._ledger_fields.get(field, (np.empty(0, "datetime64[D]"), np.empty(0)))

    @cached_property
    def production_hours(self) -> tuple[np.ndarray, np.ndarray]:
        """Days (datetime64[D], sorted) and the ledger's longest production hours on each; empty without a ledger."""
        days, hours = self.ledger_of("production_hours")
        unique, at = np.unique(days, return_inverse=True)
        longest = np.zeros(len(unique))
        np.maximum.at(longest, at, hours)
        return unique, longest

    @cached_property
    def declared_items(self) -> pd.DataFrame:
        """Items of submitted reports with span and hours (start, end, lo, hi); may be empty."""
        if self.items is None or self.reports is None or not len(self.items) or not len(self.reports):
            return pd.DataFrame()
        handed = self.reports["submitted_at"]
        reports = self.reports[handed.notna() & (handed <= self.until("execution_reports"))]
        at = pd.Index(reports["report_id"]).get_indexer(pd.Index(self.items["report_id"]))
        joined = self.items[at >= 0].reset_index(drop=True)
        end = report_span(reports["period_start"], reports["period_end"])
        spans = {"start": reports["period_start"], "end": end}
        for column, hour in (("start", "lo"), ("end", "hi")):
            joined[column] = spans[column].to_numpy()[at[at >= 0]]
            joined[hour] = np.round(self.grid.index(joined[column])).astype(int)
        ordered: pd.DataFrame = joined.sort_values(["outlet_id", "factor", "start"], kind="stable")
        return ordered

    @cached_property
    def declared(self) -> dict[tuple[str, str], Declared]:
        """The declared items by (outlet_id, factor), sorted."""
        items, out = self.declared_items, {}
        if not len(items):
            return {}
        columns = {c: items[c].to_numpy() for c in ("lo", "hi", "declared_t", "exceed_hours")}
        times = [_boxed(items[c].to_numpy()) for c in ("start", "end")]
        report = items["report_id"].to_numpy(object)
        for key, at in _positions(items, ("outlet_id", "factor")):
            out[key] = Declared(
                start=times[0][at].tolist(),
                end=times[1][at].tolist(),
                lo=columns["lo"][at],
                hi=columns["hi"][at],
                amount_t=columns["declared_t"][at],
                exceed_hours=columns["exceed_hours"][at],
                report_id=report[at].tolist(),
            )
        return out

    @cached_property
    def samples_of(self) -> dict[tuple[str, str], Samples]:
        """The manual samples by (outlet_id, factor), sorted by time."""
        if self.samples is None:
            return {}
        frame = self.samples
        at_all, value, unit = (frame[c].to_numpy() for c in ("sampled_at", "value", "unit"))
        out = {}
        for key, at in _positions(frame, ("outlet_id", "factor")):
            order = at[np.argsort(at_all[at], kind="stable")]
            out[key] = Samples(at_all[order], value[order].astype(float), unit[order])
        return out

    @cached_property
    def limit_rows(self) -> list[dict[str, Any]]:
        """Rows of the permitted limits as mappings, with the ``kind`` of their outlet (empty where not registered)."""
        if self.limits is None or not len(self.limits):
            return []
        kinds = dict(zip(self.outlets["outlet_id"], self.outlets["kind"], strict=True)) if len(self.outlets) else {}
        return [{**row, "kind": kinds.get(row["outlet_id"], "")} for row in records(self.limits)]

    def without(self, **fields: Any) -> Dossier:
        """Return a copy with some fields replaced (``None``: the source is absent)."""
        return replace(self, **fields)


def _boxed(times: np.ndarray) -> np.ndarray:
    """Return datetime64 as an object array of Timestamps; equal times are boxed once."""
    unique, at = np.unique(times, return_inverse=True)
    return np.array([*pd.DatetimeIndex(unique), None], dtype=object)[at]


def _positions(frame: pd.DataFrame, keys: tuple[str, str]) -> list[tuple[tuple[str, str], np.ndarray]]:
    """Return the row positions of each pair of keys, sorted by key; much quicker than groupby on a small table."""
    if not len(frame):
        return []
    where: dict[tuple[str, str], list[int]] = {}
    for k, key in enumerate(zip(frame[keys[0]].tolist(), frame[keys[1]].tolist(), strict=True)):
        where.setdefault(key, []).append(k)
    return [(key, np.array(where[key])) for key in sorted(where)]


LAWFUL_KINDS = ("stopped", "startup", "shutdown", "calibration", "maintenance", "fault")
"""Kinds of marks whose hours are not held against the concentration limit."""
