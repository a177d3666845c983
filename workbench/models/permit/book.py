"""What one review reads: the catalog's tables split by enterprise, and hourly means of what its outlets emit."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pandas as pd

from workbench.contracts import CUBES, CatalogView, InsufficientData, ParameterError, Period
from workbench.models.hourly import Grid, HourMeans, hour_means, referenced
from workbench.models.permit.accounting import Masses, hourly_mass, running_masses, to_unit
from workbench.models.permit.dossier import Coefficient, Dossier, Power, Series
from workbench.models.permit.results import records
from workbench.models.permit.settings import Settings

TABLES = ("permits", "permit_limits", "permit_duties", "self_monitoring", "execution_reports", "execution_report_items", "ledger", "marks")
OPTIONAL = ("tax_declarations", "permit_outlets", "permit_materials", "solvents")
_STAMPS = {"self_monitoring": "sampled_at", "execution_reports": "submitted_at", "ledger": "date"}
_STARTS = {"self_monitoring": "sampled_at", "execution_reports": "period_start", "ledger": "date"}
_FLOW = {"a00000", "w00000"}
_OXYGEN = "a19001"


@dataclass(frozen=True)
class Monitored:
    """Where the hourly means of one outlet and factor lie: row of ``hours``, and rows of its oxygen and flow (−1: none)."""

    outlet_id: str
    factor: str
    point_id: str
    hours: HourMeans
    row: int
    scale: float
    oxygen: int
    flow: int
    flow_scale: float
    o2_ref: float


@dataclass(frozen=True)
class Book:
    """Everything one review reads, tables split by enterprise."""

    grid: Grid
    settings: Settings
    enterprises: pd.DataFrame
    outlets: Mapping[str, pd.DataFrame]
    tables: Mapping[str, Mapping[str, pd.DataFrame] | None]
    blank: Mapping[str, pd.DataFrame]
    as_of: Mapping[str, pd.Timestamp]
    from_when: Mapping[str, pd.Timestamp]
    monitored: Mapping[str, tuple[Monitored, ...]] = field(default_factory=dict)
    power: Mapping[str, tuple[Power, ...]] = field(default_factory=dict)
    unusable: Mapping[tuple[str, str], str] = field(default_factory=dict)
    zone_outage: np.ndarray | None = None
    coefficients: Mapping[str, Mapping[tuple[str, str], Coefficient]] = field(default_factory=dict)

    def dossier(self, row: Mapping[str, Any]) -> Dossier:
        """Return the dossier of one enterprise."""
        e = str(row["enterprise_id"])

        def part(name: str) -> pd.DataFrame | None:
            groups = self.tables.get(name)
            return None if groups is None else groups.get(e, self.blank[name])

        permits = part("permits")
        permit = _current(permits, self.grid) if permits is not None and len(permits) else None
        marks = part("marks")
        series, masses, flow_share = series_of(self.monitored.get(e, ()), marks, self.grid, self.settings)
        limits, duties = part("permit_limits"), part("permit_duties")
        if permit is not None:
            limits, duties = (None if t is None else t[t["permit_id"] == permit["permit_id"]] for t in (limits, duties))
        return Dossier(
            enterprise=row,
            grid=self.grid,
            permit=permit,
            permits_known=permits is not None,
            limits=limits,
            duties=duties,
            outlets=self.outlets.get(e, self.blank["outlets"]),
            samples=part("self_monitoring"),
            reports=part("execution_reports"),
            items=part("execution_report_items"),
            ledger=part("ledger"),
            marks=marks,
            tax=part("tax_declarations"),
            permit_outlets=part("permit_outlets"),
            permit_materials=part("permit_materials"),
            solvents=part("solvents"),
            series=series,
            masses=masses,
            flow_share=flow_share,
            power=self.power.get(e, ()),
            zone_outage=self.zone_outage,
            unusable=self.unusable,
            accounting=self.settings.prep("measured_mass"),
            coefficients=self.coefficients.get(e, {}),
            caps=self.settings.caps_of(str(row["industry"])),
            as_of=self.as_of,
            from_when=self.from_when,
        )

    def dossiers(self) -> Iterator[Dossier]:
        """Return the dossiers in order of enterprise_id."""
        for row in records(self.enterprises.sort_values("enterprise_id", kind="stable")):
            yield self.dossier(row)


def open_book(catalog: CatalogView, period: Period, settings: Settings) -> Book:
    """Read what a review needs; raw values are read block by block, hourly means are kept (4 bytes per point and hour)."""
    grid = Grid.over(period)
    enterprises, outlets, points = (catalog.table(t) for t in ("enterprises", "outlets", "points"))
    owner = dict(zip(outlets["outlet_id"], outlets["enterprise_id"], strict=True))
    # a table without any row says nothing of anybody: as if it were absent, never "nobody has one"
    frames = {t: f for t in (*TABLES, *OPTIONAL) if catalog.has(t) and (len(f := catalog.table(t)) or t == "marks")}
    if "permits" in frames:
        by_permit = dict(zip(frames["permits"]["permit_id"], frames["permits"]["enterprise_id"], strict=True))
        for t in ("permit_limits", "permit_duties", "execution_reports", "permit_outlets", "permit_materials"):
            if t in frames and "enterprise_id" not in frames[t]:
                frames[t] = frames[t].assign(enterprise_id=frames[t]["permit_id"].map(by_permit))
        if {"execution_reports", "execution_report_items"} <= set(frames):
            by_report = dict(zip(frames["execution_reports"]["report_id"], frames["execution_reports"]["enterprise_id"], strict=True))
            items = frames["execution_report_items"]
            frames["execution_report_items"] = items.assign(enterprise_id=items["report_id"].map(by_report)).drop_duplicates(
                ["report_id", "outlet_id", "factor"]
            )
    for t in ("self_monitoring", "marks", "solvents"):
        if t in frames and "enterprise_id" not in frames[t]:
            frames[t] = frames[t].assign(enterprise_id=frames[t]["outlet_id"].map(owner))
    whole = not any(catalog.has(entry) for entry in CUBES) or period.end >= catalog.period.end
    as_of, from_when = _horizons(frames, period, settings, whole=whole)
    book = Book(
        grid=grid,
        settings=settings,
        enterprises=enterprises,
        outlets=_split(outlets),
        tables={t: _split(f) if "enterprise_id" in f else None for t, f in frames.items()},
        blank={t: f.iloc[:0] for t, f in (*frames.items(), ("outlets", outlets))},
        as_of=as_of,
        from_when=from_when,
    )
    return _with_series(book, catalog, points, frames)


def peer_coefficients(book: Book, *, peers_lowest: float, sigma_lowest: float) -> dict[str, dict[tuple[str, str], Coefficient]]:
    """Return emission coefficients (kg per tonne of product) by enterprise, outlet and factor.

    A row of ``coefficients.yml`` comes first. Otherwise the median of the other enterprises of the industry, measured
    mass over ledger product, with their spread; none where fewer than ``peers_lowest`` peers have both.
    """
    groups = book.tables.get("ledger")
    industry = dict(zip(book.enterprises["enterprise_id"], book.enterprises["industry"], strict=True))
    accounting = book.settings.prep("measured_mass")
    seen: dict[tuple[str, str], list[tuple[str, str, float]]] = {}
    for e, monitored in sorted(book.monitored.items()):
        frame = groups.get(e) if groups is not None else None
        made = float(frame.loc[(frame["field"] == "output_t"), "value"].sum()) if frame is not None else 0.0
        if made <= 0:
            continue
        for m in monitored:
            if m.flow < 0:
                continue
            c, q = m.hours.mean[m.row], m.hours.mean[m.flow]
            known = np.isfinite(c) & np.isfinite(q)
            if known.mean() < accounting["valid_share"]:
                continue
            total = float(
                hourly_mass(c[known] * np.float32(m.scale), q[known] * np.float32(m.flow_scale), water=m.factor.startswith("w")).sum()
            )
            if total > 0:
                seen.setdefault((industry[e], m.factor), []).append((e, m.outlet_id, float(np.log(1000.0 * total / known.mean() / made))))
    out: dict[str, dict[tuple[str, str], Coefficient]] = {}
    items = book.tables.get("execution_report_items") or {}
    for e, frame in sorted(items.items()):
        for outlet, factor in sorted(set(zip(frame["outlet_id"], frame["factor"], strict=True))):
            code = industry.get(e, "")
            stated = book.settings.coefficients.get((code, factor))
            others = np.array([x for owner, _, x in seen.get((code, factor), ()) if owner != e])
            peers = {owner for owner, _, _ in seen.get((code, factor), ()) if owner != e}
            if stated is not None:
                out.setdefault(e, {})[(outlet, factor)] = stated
            elif len(peers) >= peers_lowest:
                centre = float(np.median(others))
                sigma = max(sigma_lowest, 1.4826 * float(np.median(np.abs(others - centre))))
                out.setdefault(e, {})[(outlet, factor)] = Coefficient(
                    float(np.exp(centre)), 0.0, 0.0, sigma, f"median of {len(others)} peers"
                )
    return out


def meter_states(mean: np.ndarray, *, on_share: float, on_floor: float, high_quantile: float) -> np.ndarray:
    """Return the state of meters by hour: 1 runs, 0 does not, NaN not known; float32 of shape (point, hour).

    A meter that reads 0 all along is dead, or of something that never ran: it tells nothing.

    The threshold is the geometric mean of standby and high load, so that a fan at low speed still runs, kept between
    ``on_floor`` and ``on_share`` of the high load (a meter that never rests has no standby to tell).
    """
    out = np.full(mean.shape, np.nan, np.float32)
    for p, row in enumerate(mean):
        high, low = _high(row, high_quantile), _high(row, 1.0 - high_quantile)
        if high > 0:
            threshold = np.clip(np.sqrt(max(low, 0.0) * high), on_floor * high, max(on_share * high, 1e-9))
            out[p] = np.where(np.isfinite(row), row > threshold, np.float32(np.nan))
    return out


def zone_outages(means: list[HourMeans], *, silent_share: float) -> np.ndarray | None:
    """Return the hours in which at least this share of all monitors sent nothing; None without monitors."""
    silent: np.ndarray | None = None
    n = 0
    for block in means:
        for row in block.mean:
            known = np.isfinite(row)
            if known.any():  # a monitor that never sent anything says nothing about the network
                silent = (~known).astype(np.int32) if silent is None else silent + ~known
                n += 1
    return None if silent is None else np.asarray(silent >= silent_share * n)


def series_of(
    monitored: tuple[Monitored, ...], marks: pd.DataFrame | None, grid: Grid, settings: Settings
) -> tuple[dict[tuple[str, str], Series], dict[tuple[str, str], Masses], dict[str, np.ndarray]]:
    """Return series, running masses and flow shares of one enterprise, by (outlet_id, factor) and outlet_id."""
    series: dict[tuple[str, str], Series] = {}
    masses: dict[tuple[str, str], Masses] = {}
    flow_share: dict[str, np.ndarray] = {}
    numbers = settings.prep("referenced")
    for m in monitored:
        water = m.factor.startswith("w")
        measured = m.hours.mean[m.row] * np.float32(m.scale)
        compared = measured
        if np.isfinite(m.o2_ref):
            air = m.hours.mean[m.oxygen] if m.oxygen >= 0 else np.full(grid.n, np.nan, np.float32)
            compared = referenced(measured, air, m.o2_ref, **numbers)
        off = m.hours.stopped[m.row]
        still = m.hours.still[m.row]
        aside = off | still
        if aside.any():
            compared = np.where(aside, np.float32(np.nan), compared)
        flow = m.hours.mean[m.flow] * np.float32(m.flow_scale) if m.flow >= 0 else None
        series[m.outlet_id, m.factor] = Series(m.point_id, measured, compared, flow, int(still.sum()))
        if flow is None:
            continue
        if marks is not None and len(marks):
            stops = marks[(marks["outlet_id"] == m.outlet_id) & (marks["kind"] == "stopped")]
            off = off | grid.mask(stops["start"], stops["end"])
        masses[m.outlet_id, m.factor] = running_masses(hourly_mass(measured, flow, water=water), off)
        if m.outlet_id not in flow_share:
            high = _high(flow, 0.95)
            flow_share[m.outlet_id] = flow / np.float32(high) if high > 0 else np.full(grid.n, np.nan, np.float32)
    return series, masses, flow_share


def _high(values: np.ndarray, quantile: float) -> float:
    """Return a high quantile of the known values (NaN where none), from at most some 5,000 of them."""
    known = values[np.isfinite(values)]
    return float(np.quantile(known[:: max(1, known.size // 5000)], quantile)) if known.size else float("nan")


def _current(permits: pd.DataFrame, grid: Grid) -> dict[str, Any]:
    """Return the permit in force at the end of the review, its start moved back over seamless predecessors."""
    rows = records(permits.sort_values(["valid_from", "permit_id"], kind="stable"))
    begun = [r for r in rows if r["valid_from"] <= grid.end] or rows
    current = dict(begun[-1])
    for row in reversed(begun[:-1]):
        if row["valid_to"] + pd.Timedelta(days=1) >= current["valid_from"]:
            current["valid_from"] = min(current["valid_from"], row["valid_from"])
    return current


def _horizons(
    frames: dict[str, pd.DataFrame], period: Period, settings: Settings, *, whole: bool
) -> tuple[dict[str, pd.Timestamp], dict[str, pd.Timestamp]]:
    """Return until and from when each table is known; a review that ends early knows nothing later than its end."""
    until, since = {}, {}
    for t, column in _STAMPS.items():
        last = frames[t][column].max() if t in frames else pd.NaT
        until[t] = max(period.end, last) if whole and pd.notna(last) else period.end
        if pd.notna(last) and last < period.end:
            until[t] = table_end(frames[t][column], frames[t]["enterprise_id"], period.end, **settings.prep("table_end"))
    for t, column in _STARTS.items():
        first = frames[t][column].min() if t in frames else pd.NaT
        since[t] = min(period.start, first) if pd.notna(first) else period.start
    return until, since


def table_end(stamps: pd.Series, owners: pd.Series, end: pd.Timestamp, *, gap_factor: float, owners_lowest: float) -> pd.Timestamp:
    """Return until when a table is known: the end of the review, or its last row where the table itself seems to stop there.

    It stops where nobody has a row for much longer than it ever was without one before: many enterprises do not all fall
    silent at once. What a few enterprises keep cannot be told from what they fail to keep, and what never had a gap to
    measure by neither: such a table is taken as complete.
    """
    known = stamps.dropna()
    days = np.unique(known.to_numpy().astype("datetime64[ns]"))
    if len(days) < 3 or owners[known.index].nunique() < owners_lowest:
        return end
    longest, last = np.diff(days).max(), pd.Timestamp(days[-1])
    return last if end - last > max(gap_factor * pd.Timedelta(longest), pd.Timedelta(days=2)) else end


def _split(frame: pd.DataFrame) -> dict[str, pd.DataFrame]:
    frame = frame[frame["enterprise_id"].notna() & (frame["enterprise_id"] != "")]
    codes, names = pd.factorize(frame["enterprise_id"], sort=True)
    order = np.argsort(codes, kind="stable")
    edges = np.searchsorted(codes[order], np.arange(len(names) + 1))
    ordered = frame.iloc[order]
    return {str(name): ordered.iloc[a:b] for name, a, b in zip(names, edges[:-1], edges[1:], strict=True)}


def _with_series(book: Book, catalog: CatalogView, points: pd.DataFrame, frames: dict[str, pd.DataFrame]) -> Book:
    grid, settings = book.grid, book.settings
    cover_lowest = settings.prep("hour_means")["cover_lowest"]
    wanted: set[tuple[str, str]] = set()
    for t in ("permit_limits", "execution_report_items"):
        if t in frames:
            wanted |= set(zip(frames[t]["outlet_id"], frames[t]["factor"], strict=True))
    at_outlets = {o for o, _ in wanted}
    monitored: dict[str, list[Monitored]] = {}
    unusable: dict[tuple[str, str], str] = {}
    every: list[HourMeans] = []
    oxygen_ref = {o: float(v) for g in book.outlets.values() for o, v in zip(g["outlet_id"], g["o2_ref"], strict=True) if pd.notna(v)}
    for entry, system in (("obs_cems", "cems"), ("obs_wastewater", "wastewater"), ("obs_dust", "dust")):
        if not catalog.has(entry):
            continue
        mine = points[(points["system"] == system) & points["outlet_id"].isin(at_outlets)].sort_values("point_id", kind="stable")
        keys = list(zip(mine["outlet_id"], mine["factor"], strict=True))
        mine = mine[[k in wanted or k[1] in _FLOW or k[1] == _OXYGEN for k in keys]].drop_duplicates(["outlet_id", "factor"])
        if not len(mine):
            continue
        try:
            hours = hour_means(catalog.cube(entry), mine["point_id"].tolist(), grid, cover_lowest=cover_lowest)
        except InsufficientData as error:
            unusable |= dict.fromkeys(zip(mine["outlet_id"], mine["factor"], strict=True), f"{entry}: {error.what}")
            continue
        every.append(hours)
        at = {(o, f): k for k, (o, f) in enumerate(zip(mine["outlet_id"], mine["factor"], strict=True))}
        units, owner, ids = mine["unit"].fillna("").tolist(), mine["enterprise_id"].tolist(), mine["point_id"].tolist()
        for (outlet, factor), k in at.items():
            if factor in _FLOW or (outlet, factor) not in wanted:
                continue
            water = factor.startswith("w")
            flow = at.get((outlet, "w00000" if water else "a00000"), -1)
            try:
                scale = to_unit(units[k], "mg/L" if water else "mg/m³")
                flow_scale = to_unit(units[flow], "m³/h") if flow >= 0 else 1.0
            except ParameterError as error:
                unusable[outlet, factor] = f"{ids[k]}: {error.what} ({error.got})"
                continue
            monitored.setdefault(owner[k], []).append(
                Monitored(
                    outlet,
                    factor,
                    ids[k],
                    hours,
                    k,
                    scale,
                    at.get((outlet, _OXYGEN), -1),
                    flow,
                    flow_scale,
                    oxygen_ref.get(outlet, float("nan")) if system == "cems" else float("nan"),
                )
            )
    power = _power(book, catalog, points)
    zone = zone_outages(every, **settings.prep("zone_outages"))
    book = replace(book, monitored={e: tuple(m) for e, m in monitored.items()}, power=power, unusable=unusable, zone_outage=zone)
    return replace(book, coefficients=peer_coefficients(book, **settings.prep("peer_coefficients")))


def _power(book: Book, catalog: CatalogView, points: pd.DataFrame) -> dict[str, tuple[Power, ...]]:
    """Return the meters of production and treatment, and the treatment's own conditions (role ``condition``), by enterprise."""
    system, role = points["system"], points["role"]
    metered = points[(system == "power") & role.isin(("production", "treatment"))]
    sensed = points[(system == "condition") & (role == "treatment")].assign(role="condition")
    out: dict[str, list[Power]] = {}
    for entry, chosen in (("obs_power", metered), ("obs_condition", sensed)):
        mine = chosen.sort_values("point_id", kind="stable")
        if not catalog.has(entry) or not len(mine):
            continue
        try:
            hours = hour_means(catalog.cube(entry), mine["point_id"].tolist(), book.grid, cover_lowest=0.0)
        except InsufficientData:  # coarser than hourly: no running hours can be told from it
            continue
        state = meter_states(hours.mean, **book.settings.prep("meter_states"))
        for k, (e, p, r) in enumerate(zip(mine["enterprise_id"], mine["point_id"], mine["role"], strict=True)):
            if np.isfinite(state[k]).any():
                out.setdefault(e, []).append(Power(p, r, state[k]))
    return {e: tuple(meters) for e, meters in out.items()}
