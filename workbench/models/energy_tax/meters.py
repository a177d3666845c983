"""Meters of each enterprise: read in blocks, states learned, pairs found, minutes of treatment off per hour."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray

from workbench.contracts import ParameterError, interval_s
from workbench.contracts.units import factor_between
from workbench.models.energy_tax.episodes import Episode, episodes_of, idle_while_on, off_while_on
from workbench.models.energy_tax.pairing import Pair, alternating, pair_up
from workbench.models.energy_tax.readings import dead, usable
from workbench.models.energy_tax.states import Drive, MeterModel, State, learn_meter, meter_states
from workbench.models.energy_tax.swaps import Swap, find_swap, stuck, tie_rate
from workbench.models.hourly import Grid
from workbench.models.rule_settings import Settings

BLOCK = 48
"""Enterprises read at a time: it bounds the memory that raw power takes."""
EXCUSES = ("startup", "shutdown", "maintenance", "fault")
"""Marks under which a stopped treatment is excused; ``stopped`` is not among them: it denies the production."""


@dataclass
class Works:
    """The power side of one enterprise on the cube's own grid.

    Parameters
    ----------
    step_s : float
        Grid step, s.
    time : datetime64 array, shape (time,)
    power, states : arrays, shape (meter, time)
        kW and :class:`State`; frozen readings are unknown states.
    arrived : bool array, shape (meter, time)
        Whether a usable value arrived.
    off, idle : bool arrays, shape (time,)
        Some production runs and the treatment that serves it is off, or idles; lawful spans are already out.
    excused, denied : bool arrays, shape (time,)
        Off or idle steps inside marks that excuse, or inside ``stopped`` marks, which the power contradicts.
    frozen : bool array, shape (time,)
        Some meter repeats one reading.
    swaps : list of Swap or None
        By meter; the power before a swap is brought to the scale after it.
    silent : bool array, shape (meter,)
        The meter reads nothing at all: dead, or of a load that never ran.
    """

    enterprise_id: str
    point_ids: list[str]
    roles: list[str]
    meters: list[MeterModel]
    pairs: list[Pair]
    step_s: float
    time: NDArray[np.datetime64]
    power: NDArray[np.float32]
    states: NDArray[np.int8]
    arrived: NDArray[np.bool_]
    off: NDArray[np.bool_]
    idle: NDArray[np.bool_]
    excused: NDArray[np.bool_]
    denied: NDArray[np.bool_]
    frozen: NDArray[np.bool_]
    swaps: list[Swap | None]
    silent: NDArray[np.bool_]
    episodes: list[Episode] = field(default_factory=list)

    def rows(self, role: str) -> list[int]:
        """Return the rows of meters with a role."""
        return [k for k, r in enumerate(self.roles) if r == role]

    @property
    def producing(self) -> NDArray[np.bool_]:
        """Whether some paired (else any) production meter is on, shape (time,)."""
        rows = sorted({p.production for p in self.pairs}) or self.rows("production")
        return np.asarray((self.states[rows] == State.ON).any(axis=0)) if rows else np.zeros(len(self.time), bool)

    @property
    def span(self) -> tuple[pd.Timestamp, pd.Timestamp]:
        """First time and end of the last step."""
        return pd.Timestamp(self.time[0]), pd.Timestamp(self.time[-1]) + pd.Timedelta(seconds=self.step_s)

    def stamp(self, step: int) -> pd.Timestamp:
        """Return the time at which a step begins (one past the last: the end)."""
        return pd.Timestamp(self.time[0]) + pd.Timedelta(seconds=self.step_s * int(step))


def settings_in_steps(settings: Settings, step_s: float) -> dict[str, int]:
    """Return the preparation's times as numbers of grid steps, at least one."""
    pairing, episodes = settings.prep("pairing"), settings.prep("episodes")
    seconds = {
        "reach": pairing["reach_h"] * 3600,
        "tolerance": pairing["tolerance_min"] * 60,
        "grace": pairing["grace_min"] * 60,
        "join": episodes["join_h"] * 3600,
        "shortest": episodes["minutes_min"] * 60,
        "smooth": episodes["smooth_min"] * 60,
        "stuck": settings.prep("stuck_readings")["hours_min"] * 3600,
    }
    return {name: max(1, round(s / step_s)) for name, s in seconds.items()}


def read_works(cube: xr.Dataset, points: pd.DataFrame, marks: pd.DataFrame, grid: Grid, settings: Settings) -> Iterator[list[Works]]:
    """Yield the power side of enterprises that have meters in the cube, block by block, in order of enterprise.

    Parameters
    ----------
    cube : Dataset
        ``obs_power``, dims (point, time).
    points : DataFrame
        Rows of ``points`` with system power.
    marks : DataFrame
        ``enterprise_id, outlet_id, start, end, kind``; may be empty.
    grid : Grid
        Hours of the period.
    """
    index = pd.Index(cube["point"].to_numpy().astype(object))
    known = points.assign(row=index.get_indexer(pd.Index(points["point_id"])), scale=[_to_kw(u) for u in points["unit"]])
    known = known[(known["row"] >= 0) & (known["enterprise_id"] != "") & known["scale"].notna()]
    known = known.sort_values(["enterprise_id", "point_id"])
    time = cube["time"].to_numpy().astype("datetime64[ns]")
    lo, hi = (int(x) for x in np.searchsorted(time, [grid.start.to_datetime64(), grid.end.to_datetime64()]))
    groups = list(known.groupby("enterprise_id", sort=True)) if hi > lo + 1 else []
    said = dict(list(marks.groupby("enterprise_id"))) if len(marks) else {}
    for first in range(0, len(groups), BLOCK):
        block = groups[first : first + BLOCK]
        rows = np.concatenate([g["row"].to_numpy() for _, g in block])
        order = np.argsort(rows, kind="stable")
        part = cube[["value", "mark"]].isel(point=rows[order], time=slice(lo, hi)).compute()
        value, mark = part["value"].to_numpy(), part["mark"].to_numpy()
        there = pd.concat([g for _, g in block]).iloc[order]
        high = there["range_high"] if "range_high" in there else pd.Series(np.nan, index=there.index)
        value = usable(value, mark, resolution=np.asarray(there["resolution"], dtype=float), range_high=np.asarray(high, dtype=float))
        back = np.empty_like(order)
        back[order] = np.arange(order.size)
        at, works = 0, []
        for enterprise, g in block:
            mine = value[back[at : at + len(g)]] * g["scale"].to_numpy(np.float32)[:, None]
            at += len(g)
            works.append(learn_works(str(enterprise), g, mine, time[lo:hi], interval_s(cube), said.get(enterprise), settings))
        yield works


def _to_kw(unit: object) -> float:
    try:
        return factor_between(str(unit or "kW"), "kW")
    except ParameterError:
        return float("nan")


def learn_works(
    enterprise: str, g: pd.DataFrame, power: NDArray[np.float32], time: NDArray[np.datetime64], step_s: float,
    marks: pd.DataFrame | None, settings: Settings,
) -> Works:  # fmt: skip
    """Learn the meters of one enterprise and where its treatment is off or idling while it produces.

    Parameters
    ----------
    g : DataFrame
        ``point_id, role, resolution, scale`` (factor to kW) of its meters, and ``outlet_id`` where they name one.
    power : float32 array, shape (meter, time)
        kW; NaN where nothing arrived.
    marks : DataFrame or None
        ``start, end, kind``, and ``outlet_id``: a mark excuses the meters of its own outlet, and those that name none.
    """
    steps, per_day = settings_in_steps(settings, step_s), max(1, round(86400 / step_s))
    resolution = (g["resolution"].fillna(0.0) * g["scale"]).to_numpy(float)
    power, swaps = power.copy(), []
    numbers = settings.prep("meter_swap")
    for x, r in zip(power, resolution, strict=True):
        swap = find_swap(x, per_day, resolution=float(r), **numbers)
        swaps.append(swap)
        if swap is not None:
            x[: swap.at] *= np.float32(swap.factor)
    levels = settings.prep("meter_levels")
    values_min = int(levels.pop("values_min"))
    meters = [learn_meter(x, resolution=float(r), values_min=values_min, **levels) for x, r in zip(power, resolution, strict=True)]
    states = np.stack([meter_states(x, m) for x, m in zip(power, meters, strict=True)])
    frozen = np.zeros(power.shape, bool)
    for k, (x, m) in enumerate(zip(power, meters, strict=True)):
        floor = m.on_above if np.isfinite(m.on_above) else np.inf
        if not tie_rate(x, floor) > settings.prep("stuck_readings")["ties_max"]:
            frozen[k] = stuck(x, floor, steps["stuck"])
    states[frozen] = State.UNKNOWN
    roles = g["role"].astype(object).fillna("").tolist()
    usable = [k for k, m in enumerate(meters) if m.drive is not Drive.NOT_EVALUABLE]
    production, treatment = ([k for k in usable if roles[k] == r] for r in ("production", "treatment"))
    pairing = settings.prep("pairing")
    pairs = pair_up(
        power, states, production, treatment, reach=steps["reach"], tolerance=steps["tolerance"], starts_min=int(pairing["starts_min"]),
        weak=pairing["weak"],
    )  # fmt: skip
    outlets = g["outlet_id"].astype(object).fillna("").tolist() if "outlet_id" in g else [""] * len(g)
    excused_at, denied_at = ([_covered(time, marks, kinds, o) for o in outlets] for kinds in (EXCUSES, ("stopped",)))
    off, idle, excuse, deny = (np.zeros(power.shape[1], bool) for _ in range(4))
    for treatment_row, stopped, idling in _missing_treatment(power, states, meters, pairs, treatment, settings, steps):
        free = ~excused_at[treatment_row]
        off, idle = off | (stopped & free), idle | (idling & free)
        excuse, deny = excuse | ((stopped | idling) & ~free), deny | ((stopped | idling) & free & denied_at[treatment_row])
    idle &= ~off
    silent = np.array([dead(x, float(r)) for x, r in zip(power, resolution, strict=True)], dtype=bool)
    works = Works(
        enterprise, g["point_id"].tolist(), roles, meters, pairs, step_s, time, power, states, np.isfinite(power), off, idle, excuse, deny,
        np.asarray(frozen.any(axis=0)), swaps, silent,
    )  # fmt: skip
    works.episodes = episodes_of(works.off, works.idle, join_steps=steps["join"], steps_min=steps["shortest"])
    return works


def _missing_treatment(
    power: NDArray[np.float32], states: NDArray[np.int8], meters: list[MeterModel], pairs: list[Pair], treatment: list[int],
    settings: Settings, steps: dict[str, int],
) -> Iterator[tuple[int, NDArray[np.bool_], NDArray[np.bool_]]]:  # fmt: skip
    """Yield by pair the treatment's row and where it is off, or idles, while the production it serves runs."""
    share_max = settings.of("treatment_idling_while_producing")["share_max"]
    rows = sorted({p.production for p in pairs})
    producing = (states[rows] == State.ON).any(axis=0) if rows else np.zeros(power.shape[1], bool)
    turns = alternating(states, producing, treatment, both_max=0.2, union_min=0.6)
    for pair in pairs:
        serving = states[treatment].max(axis=0) if turns else states[pair.treatment]
        if turns:  # one of two unknown and the other off: not known
            serving = np.where((states[treatment] == State.UNKNOWN).any(axis=0) & (serving < State.IDLE), State.UNKNOWN, serving)
        off = off_while_on(states[pair.production], serving, max(pair.lag_steps, 0) + steps["grace"])
        idle = np.zeros_like(off)
        if not turns:
            typical = meters[pair.treatment].typical
            idle = idle_while_on(power, states, pair, share_max=share_max, typical=typical, smooth_steps=steps["smooth"])
        yield pair.treatment, off, idle & ~off


def _covered(time: NDArray[np.datetime64], marks: pd.DataFrame | None, kinds: tuple[str, ...], outlet: str) -> NDArray[np.bool_]:
    spans = None if marks is None else marks[marks["kind"].isin(kinds)]
    if spans is not None and outlet and "outlet_id" in spans:
        spans = spans[spans["outlet_id"] == outlet]
    if spans is None or not len(spans):
        return np.zeros(len(time), bool)
    delta = np.zeros(len(time) + 1, np.int64)
    np.add.at(delta, np.searchsorted(time, spans["start"].to_numpy()), 1)
    np.add.at(delta, np.searchsorted(time, spans["end"].to_numpy()), -1)
    return np.asarray(np.cumsum(delta)[:-1] > 0)


def hour_of(works: Works, grid: Grid) -> NDArray[np.int64]:
    """Return the grid hour of each step."""
    return ((works.time - grid.start.to_datetime64()) // np.timedelta64(1, "h")).astype(np.int64)


def hourly_minutes(works: Works, flags: NDArray[np.bool_], grid: Grid) -> NDArray[np.float32]:
    """Return the minutes of ``flags`` in each hour of the grid, float32 of shape (hour,)."""
    counts = np.bincount(hour_of(works, grid)[flags], minlength=grid.n)[: grid.n]
    return (counts * works.step_s / 60).astype(np.float32)


def hourly_state(works: Works, role: str, grid: Grid) -> NDArray[np.int8]:
    """Return the most common running state of a role in each hour: -1 unknown, 0 off, 1 idle, 2 on.

    Several meters of a role count by the highest state among them.
    """
    rows = works.rows(role)
    if not rows:
        return np.full(grid.n, State.UNKNOWN, np.int8)
    top = works.states[rows].max(axis=0)
    hour = hour_of(works, grid)
    counts = np.stack([np.bincount(hour[top == s], minlength=grid.n)[: grid.n] for s in (State.OFF, State.IDLE, State.ON)])
    return np.where(counts.sum(axis=0) > 0, counts.argmax(axis=0), State.UNKNOWN).astype(np.int8)
