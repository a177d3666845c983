"""The rehearsal: the catalog's own history with known edits, so that detectors can be weighed without a single inspection.

Edits follow the descriptions of handbook section A over wide ranges (``rehearsal.yml``). They are written apart from the faults of
``benchmarks/quality_monitoring.py``: another specification, so that a figure there is not a figure of having seen the test.
Only hourly points take part, since for them the features hold the readings. Everything follows from the seed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from importlib.resources import files

import numpy as np
import pandas as pd
import xarray as xr
import yaml
from pydantic import BaseModel, ConfigDict

from workbench.models.monitoring import kernels
from workbench.models.monitoring.features import reduce_block
from workbench.models.monitoring.inputs import limits_in
from workbench.models.monitoring.panel import Panel

Range = tuple[float, float]


class Amount(BaseModel):
    """A number with its unit."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    value: float
    unit: str


class Plan(BaseModel):
    """``rehearsal.yml``."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    edits: dict[str, dict[str, Range]]
    every_days: Amount
    most_edits: Amount
    most_hours: Amount
    fewest_days: Amount
    fewest_examples: Amount
    edits_per_point_year: Amount
    edits_per_hourly_point_year: Amount


def load_plan() -> Plan:
    """Read ``rehearsal.yml``."""
    return Plan.model_validate(yaml.safe_load(files(__package__).joinpath("rehearsal.yml").read_text(encoding="utf-8")))


def held(x: np.ndarray, a: int, b: int, rng: np.random.Generator, **ranges: Range) -> np.ndarray:
    """Return one value near the season's level, as long as the span is."""
    season = x[max(0, a - 360) : b + 360]
    return np.full(b - a, float(np.nanmedian(season)) * rng.uniform(*ranges["level"]))


def capped(x: np.ndarray, a: int, b: int, rng: np.random.Generator, **ranges: Range) -> np.ndarray:
    """Return the readings with everything over a cap put to the cap."""
    return np.asarray(np.minimum(x[a:b], np.nanquantile(x[a:b], 1 - rng.uniform(*ranges["share"]))))


def replayed(x: np.ndarray, a: int, b: int, rng: np.random.Generator, **ranges: Range) -> np.ndarray:
    """Return the readings of some days before."""
    back = max(int(24 * rng.uniform(*ranges["back_days"])), b - a)
    if rng.random() < 0.4:
        back = -(-back // 24) * 24  # people copy by the calendar
    return x[a - back : b - back].copy() if a >= back else np.full(b - a, np.nan)


def disguised(x: np.ndarray, a: int, b: int, rng: np.random.Generator, **ranges: Range) -> np.ndarray:
    """Return the readings of some days before under independent noise, in a third of the cases rescaled."""
    source = replayed(x, a, b, rng, **ranges)
    noise = rng.uniform(*ranges["noise"])
    shape = rng.standard_normal(b - a) if rng.random() < 0.5 else rng.uniform(-np.sqrt(3), np.sqrt(3), b - a)
    factor = rng.uniform(*ranges["scale"]) if rng.random() < 1 / 3 else 1.0
    return np.asarray(source * factor * np.exp(noise * shape))


def drawn(x: np.ndarray, a: int, b: int, rng: np.random.Generator, **ranges: Range) -> np.ndarray:
    """Return independent draws about the level of the days around."""
    around = x[max(0, a - 48) : b + 48]
    low, middle, high = np.nanquantile(around, (0.16, 0.5, 0.84))
    spread = 0.5 * (high - low) * rng.uniform(*ranges["spread"])
    shape = rng.standard_normal(b - a) if rng.random() < 0.6 else rng.uniform(-np.sqrt(3), np.sqrt(3), b - a)
    return np.asarray(np.maximum(middle + spread * shape, 0.05 * middle))


def scaled(x: np.ndarray, a: int, b: int, rng: np.random.Generator, **ranges: Range) -> np.ndarray:
    """Return the readings times one factor."""
    return np.asarray(x[a:b] * rng.uniform(*ranges["factor"]))


def lowered(x: np.ndarray, a: int, b: int, rng: np.random.Generator, **ranges: Range) -> np.ndarray:
    """Return the readings less one amount, never under a tenth of themselves."""
    off = rng.uniform(*ranges["amount"]) * np.nanmedian(x[max(0, a - 360) : b + 360])
    return np.asarray(np.maximum(x[a:b] - off, 0.1 * x[a:b]))


EDITS: dict[str, Callable[..., np.ndarray]] = {f.__name__: f for f in (held, capped, replayed, disguised, drawn, scaled, lowered)}
"""Every edit by its name, as ``rehearsal.yml`` lists them."""


@dataclass(frozen=True)
class Round:
    """One edited history.

    Parameters
    ----------
    panel : Panel
        The panel with the edits in it.
    edits : DataFrame
        Columns row, first, last (hours, last not included), kind.
    """

    panel: Panel
    edits: pd.DataFrame


def rehearse(panel: Panel, plan: Plan, seed: int) -> Iterator[Round]:
    """Yield edited histories of the hourly pollutants until the plan's bounds are met; nothing where the history is too short."""
    targets = np.flatnonzero(panel.hourly & panel.pollutant & (panel.arrived > 0.5))
    days = panel.shape[1]
    if not len(targets) or days < plan.fewest_days.value:
        return
    tried, looked, number = 0, 0.0, 0
    while tried < plan.most_edits.value and looked < plan.most_hours.value and number < 12:
        rng = np.random.default_rng([seed, number])
        rows = panel.hour("hour_any")
        values = rows.astype(float)
        done = []
        for place in sorted({str(panel.station[r]) for r in targets}):
            mine = np.array([r for r in targets if str(panel.station[r]) == place])
            done += _edit_place(values, rows.astype(float), mine, days, plan, rng)
        edits = pd.DataFrame(done, columns=["row", "first", "last", "kind"])
        tried, looked, number = tried + max(len(edits), 1), looked + panel.hourly.sum() * days * 24, number + 1
        if len(edits):
            changed = np.unique(edits["row"].to_numpy(dtype=int))
            mark = np.nan_to_num(panel.hour("hour_mark")[changed], nan=255).astype(np.uint8)
            made = edited(panel, changed, values[changed], mark, 24)
            made.__dict__["ahead"] = panel.ahead  # an edit of a week hardly moves the weights of the hours before either
            yield Round(made, edits)


def _edit_place(
    values: np.ndarray, clean: np.ndarray, rows: np.ndarray, days: int, plan: Plan, rng: np.random.Generator
) -> list[tuple[int, int, int, str]]:
    """Edit ``values`` at one place, one channel at a time; return what was done."""
    out, hours, at = [], days * 24, int(rng.integers(1, 15 * 24))
    kinds = list(plan.edits)
    while at < hours - 48:
        kind = kinds[int(rng.integers(len(kinds)))]
        ranges = dict(plan.edits[kind])
        shortest, longest = ranges.pop("hours")
        length = int(np.exp(rng.uniform(np.log(shortest), np.log(longest))))
        row, first = int(rng.choice(rows)), at
        last = min(first + length, hours - 24)
        at += int(max(24 * plan.every_days.value * rng.uniform(0.5, 1.5), length + 120))
        x = clean[row]
        if last - first < shortest or np.isfinite(x[first:last]).mean() < 0.8:
            continue
        new = EDITS[kind](x, first, last, rng, **ranges)
        if np.isfinite(new).mean() < 0.8:
            continue
        if kind != "replayed" and rng.random() < 0.75:
            new = np.round(new, places_at(x, first, last))
        values[row, first:last] = np.where(np.isfinite(x[first:last]), new, np.nan)
        out.append((row, first, last, kind))
    return out


def places_at(x: np.ndarray, first: int, last: int) -> int:
    """Return the decimal places of nearly all readings of the season around a span; negative for tens and hundreds."""
    near = x[max(0, first - 1000) : last + 1000]
    near = near[np.isfinite(near)]
    for places in range(-2, 4):
        # readings are stored in single precision
        if np.mean(np.abs(near - np.round(near, places)) <= 1e-6 * np.abs(near) + 1e-9) >= 0.95:
            return places
    return 4


def edited(panel: Panel, rows: np.ndarray, value: np.ndarray, mark: np.ndarray, per_day: int) -> Panel:
    """Return the panel with other readings in some rows.

    The statistics of those rows are made again; the expectation is kept and only the distance from it changes, since an edit of a
    week hardly moves a regression over a year.

    Parameters
    ----------
    rows : int array, shape (row,)
    value : float array, shape (row, sample)
        Readings of these rows.
    mark : uint8 array, shape (row, sample)
        Their marks, 255 for none.
    per_day : int
        Samples in a day.
    """
    nothing = np.array([], dtype=np.int64)
    spans = (nothing, nothing, nothing.astype(np.uint8), nothing)
    days = panel.shape[1]
    day, hour, sketch, where, twin, hazard = reduce_block(
        value.astype(np.float32), mark, limits_in(panel.roster.iloc[rows]), spans, (0, per_day, days), True
    )
    parts = {
        **dict(zip(kernels.DAY_STATISTICS, day, strict=True)),
        **dict(zip(kernels.HOUR_STATISTICS, hour, strict=True)),
        **{"sketch": sketch, "sketch_at": where, "twin_corr": twin[0], "twin_day": twin[1], "hazard": hazard},
    }
    changed = {}
    for name, part in parts.items():
        whole = panel.data[name].to_numpy().copy()
        whole[rows] = part
        changed[name] = xr.Variable(panel.data[name].dims, whole)
    made = Panel(panel.data.assign(changed))
    z = made.transformed[0]
    for name in ("expectation", "process_expectation"):
        e = getattr(panel, name)
        residual = e.residual.copy()
        residual[rows] = np.where(made.running[rows], z[rows], np.nan) - e.expected[rows]
        made.__dict__[name] = replace(e, residual=residual)  # where cached_property keeps it
    return made
