"""Meters of each enterprise: read in blocks, states learned, pairs found, minutes of treatment off per hour."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray

from workbench.contracts import Mark, RuleRow, interval_s
from workbench.models.energy_tax.episodes import Episode, episodes_of, idle_while_on, off_while_on
from workbench.models.energy_tax.pairing import Pair, pair_up
from workbench.models.energy_tax.states import Drive, MeterModel, State, learn_meter, meter_states
from workbench.models.hourly import Grid

BLOCK = 64
"""Enterprises read at a time: it bounds the memory that raw power takes."""


@dataclass
class Works:
    """The power side of one enterprise on the cube's own grid.

    Parameters
    ----------
    step_s : float
        Grid step, s.
    time : datetime64 array, shape (time,)
    power, states : arrays, shape (meter, time)
        kW and :class:`State`.
    off, idle : bool arrays, shape (time,)
        Some production runs and the treatment that serves it is off, or idles; lawful spans are already out.
    excused : bool array, shape (time,)
        Off or idle steps inside marked start-up, shut-down, maintenance or fault.
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
    off: NDArray[np.bool_]
    idle: NDArray[np.bool_]
    excused: NDArray[np.bool_]
    episodes: list[Episode] = field(default_factory=list)

    def rows(self, role: str) -> list[int]:
        """Return the rows of meters with a role."""
        return [k for k, r in enumerate(self.roles) if r == role]

    @property
    def producing(self) -> NDArray[np.bool_]:
        """Whether some production meter is on, shape (time,)."""
        rows = self.rows("production")
        return (self.states[rows] == State.ON).any(axis=0) if rows else np.zeros(len(self.time), bool)


def settings_in_steps(rules: dict[str, RuleRow], step_s: float) -> dict[str, int]:
    """Return the preparation's times as numbers of grid steps, at least one."""
    pairing, episodes = rules["pairing"].numbers(), rules["episodes"].numbers()
    seconds = {
        "reach": pairing["reach_h"] * 3600,
        "tolerance": pairing["tolerance_min"] * 60,
        "grace": pairing["grace_min"] * 60,
        "join": episodes["join_h"] * 3600,
        "shortest": episodes["minutes_min"] * 60,
        "smooth": episodes["smooth_min"] * 60,
    }
    return {name: max(1, round(s / step_s)) for name, s in seconds.items()}


def read_works(
    cube: xr.Dataset, points: pd.DataFrame, marks: pd.DataFrame, grid: Grid, rules: dict[str, RuleRow], share_max: float
) -> list[Works]:
    """Return the power side of every enterprise that has meters in the cube, in order of enterprise.

    Parameters
    ----------
    cube : Dataset
        ``obs_power``, dims (point, time).
    points : DataFrame
        Rows of ``points`` with system power.
    marks : DataFrame
        ``enterprise_id, start, end, kind`` of marked conditions that excuse a stopped treatment; may be empty.
    grid : Grid
        Hours of the period.
    rules : mapping
        ``preparation.yml``.
    share_max : float
        See :func:`~workbench.models.energy_tax.episodes.idle_while_on`.
    """
    index = pd.Index(cube["point"].to_numpy().astype(object))
    known = points.assign(row=index.get_indexer(points["point_id"]))
    known = known[(known["row"] >= 0) & (known["enterprise_id"] != "")].sort_values(["enterprise_id", "point_id"])
    time = cube["time"].to_numpy().astype("datetime64[ns]")
    lo, hi = (int(x) for x in np.searchsorted(time, [grid.start.to_datetime64(), grid.end.to_datetime64()]))
    groups = list(known.groupby("enterprise_id", sort=True))
    excuses = dict(list(marks.groupby("enterprise_id"))) if len(marks) else {}
    works = []
    for first in range(0, len(groups) if hi > lo else 0, BLOCK):
        block = groups[first : first + BLOCK]
        rows = np.concatenate([g["row"].to_numpy() for _, g in block])
        order = np.argsort(rows, kind="stable")
        part = cube[["value", "mark"]].isel(point=rows[order], time=slice(lo, hi)).compute()
        value, mark = part["value"].to_numpy(), part["mark"].to_numpy()
        value = np.where(
            (mark == Mark.COMM_ERROR) | (mark == Mark.FAULT) | ~np.isfinite(value), np.float32(np.nan), np.maximum(value, np.float32(0))
        )
        back = np.empty_like(order)
        back[order] = np.arange(order.size)
        at = 0
        for enterprise, g in block:
            mine = value[back[at : at + len(g)]]
            at += len(g)
            works.append(_works(str(enterprise), g, mine, time[lo:hi], interval_s(cube), excuses.get(enterprise), rules, share_max))
    return works


def _works(
    enterprise: str, g: pd.DataFrame, power: NDArray[np.float32], time: NDArray[np.datetime64], step_s: float, excuses: pd.DataFrame | None,
    rules: dict[str, RuleRow], share_max: float,
) -> Works:  # fmt: skip
    levels, steps = rules["meter_levels"].numbers(), settings_in_steps(rules, step_s)
    numbers = {"low_ratio": levels["low_ratio"], "gap_ratio": levels["gap_ratio"], "wide_sd": levels["wide_sd"]}
    resolutions = g["resolution"].fillna(0.0).to_numpy()
    meters = [
        learn_meter(x, resolution=float(r), values_min=int(levels["values_min"]), **numbers)
        for x, r in zip(power, resolutions, strict=True)
    ]
    states = np.stack([meter_states(x, m) for x, m in zip(power, meters, strict=True)])
    roles = g["role"].tolist()
    production = [k for k, r in enumerate(roles) if r == "production" and meters[k].drive is not Drive.NOT_EVALUABLE]
    treatment = [k for k, r in enumerate(roles) if r == "treatment" and meters[k].drive is not Drive.NOT_EVALUABLE]
    starts_min = int(rules["pairing"].numbers()["starts_min"])
    pairs = pair_up(power, states, production, treatment, reach=steps["reach"], tolerance=steps["tolerance"], starts_min=starts_min)
    off, idle = np.zeros(len(time), bool), np.zeros(len(time), bool)
    for pair in pairs:
        off |= off_while_on(states[pair.production], states[pair.treatment], max(pair.lag_steps, 0) + steps["grace"])
        typical = meters[pair.treatment].typical
        idle |= idle_while_on(power, states, pair, share_max=share_max, typical=typical, smooth_steps=steps["smooth"])
    idle &= ~off
    excused = (off | idle) & _covered(time, excuses)
    works = Works(
        enterprise, g["point_id"].tolist(), roles, meters, pairs, step_s, time, power, states, off & ~excused, idle & ~excused, excused
    )
    works.episodes = episodes_of(works.off, works.idle, join_steps=steps["join"], steps_min=steps["shortest"])
    return works


def _covered(time: NDArray[np.datetime64], spans: pd.DataFrame | None) -> NDArray[np.bool_]:
    if spans is None or not len(spans):
        return np.zeros(len(time), bool)
    delta = np.zeros(len(time) + 1, np.int64)
    np.add.at(delta, np.searchsorted(time, spans["start"].to_numpy()), 1)
    np.add.at(delta, np.searchsorted(time, spans["end"].to_numpy()), -1)
    return np.asarray(np.cumsum(delta)[:-1] > 0)


def hourly_minutes(works: Works, flags: NDArray[np.bool_], grid: Grid) -> NDArray[np.float32]:
    """Return the minutes of ``flags`` in each hour of the grid, float32 of shape (hour,)."""
    hour = ((works.time - grid.start.to_datetime64()) // np.timedelta64(1, "h")).astype(np.int64)
    return (np.bincount(hour[flags], minlength=grid.n)[: grid.n] * works.step_s / 60).astype(np.float32)


def hourly_state(works: Works, role: str, grid: Grid) -> NDArray[np.int8]:
    """Return the most common running state of a role in each hour: -1 unknown, 0 off, 1 idle, 2 on.

    Several meters of a role count by the highest state among them.
    """
    rows = works.rows(role)
    if not rows:
        return np.full(grid.n, State.UNKNOWN, np.int8)
    top = works.states[rows].max(axis=0)
    hour = ((works.time - grid.start.to_datetime64()) // np.timedelta64(1, "h")).astype(np.int64)
    counts = np.stack([np.bincount(hour[top == s], minlength=grid.n)[: grid.n] for s in (State.OFF, State.IDLE, State.ON)])
    return np.where(counts.sum(axis=0) > 0, counts.argmax(axis=0), State.UNKNOWN).astype(np.int8)
