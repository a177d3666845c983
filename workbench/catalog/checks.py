"""Every breach of every entry of a catalog, at once."""

from __future__ import annotations

import itertools
import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import xarray as xr

from workbench.contracts import (
    CUBES,
    REQUIRED_ENTRIES,
    TABLES,
    Breach,
    CatalogError,
    Kind,
    Mark,
    System,
    check_references,
    interval_s,
    nearest,
)
from workbench.contracts.units import known_unit

if TYPE_CHECKING:
    from workbench.catalog.view import Catalog

log = logging.getLogger(__name__)
EXAMPLES = 3
MARKS = np.array(sorted(Mark), dtype=np.uint8)


@dataclass
class Readings:
    """What a check read: tables and cubes that could be read, and the breaches so far."""

    tables: dict[str, pd.DataFrame] = field(default_factory=dict)
    cubes: dict[str, xr.Dataset] = field(default_factory=dict)
    breaches: list[Breach] = field(default_factory=list)


def check_catalog(catalog: Catalog, *, deep: bool = False, progress: bool = False) -> list[Breach]:
    """Return every breach of every entry, errors and warnings.

    Parameters
    ----------
    catalog : Catalog
        The opened catalog.
    deep : bool
        Also read the values of the cubes, chunk by chunk: infinite values, and marks outside the code list.
    progress : bool
        Draw a progress bar on a terminal.

    Returns
    -------
    list of Breach
        In the order of the contract. An error makes an entry unusable; a warning names rows that models abstain for.
    """
    return read_and_check(catalog, deep=deep, progress=progress).breaches


def read_and_check(catalog: Catalog, *, deep: bool = False, progress: bool = False) -> Readings:
    """Read everything once; return what was read and every breach."""
    from tqdm import tqdm

    seen = Readings()
    seen.breaches += list(_listing(catalog))
    for entry in tqdm(catalog.entries, desc="checking", unit="entry", disable=None if progress else True, leave=False):
        try:
            if catalog.gives(entry) == "table":
                seen.tables[entry], found = catalog.inspect_table(entry)
                if entry in CUBES:
                    found = [Breach(entry, "", "a cube with dims (point, time), not a table")]
            else:
                seen.cubes[entry], found = catalog.inspect_cube(entry)
                if entry in TABLES:
                    found = [Breach(entry, "", "a table, not a cube")]
                elif entry in CUBES and not any(b.level == "error" for b in found):
                    found += list(_rows_set_aside(entry, seen.cubes[entry]))
                    if deep:
                        found += check_values(entry, seen.cubes[entry], progress=progress)
        except CatalogError as error:
            found = [Breach(entry, "", "an entry that can be read", examples=[str(error.got or error.what)])]
        seen.breaches += found
    for entry, frame in seen.tables.items():
        if entry in TABLES:
            seen.breaches += check_references(entry, frame, seen.tables)
    for rule in SENSE:
        try:
            seen.breaches += list(rule(catalog, seen))
        except (KeyError, TypeError, ValueError) as error:  # a table without the column: already an error above
            log.debug("%s not evaluated: %s", rule.__name__, error)
    return seen


def _listing(catalog: Catalog) -> Iterator[Breach]:
    listed = catalog.listed()
    for entry in sorted(REQUIRED_ENTRIES - set(listed)):
        yield Breach(entry, "", "the entry, which everything needs")
    for entry in listed:
        if catalog.is_truth(entry):
            yield Breach(entry, "", "no such entry: hidden truth lies beside a catalog, never in it (it is not opened)")
        elif entry not in TABLES and entry not in CUBES:
            hint = nearest(entry, [*TABLES, *CUBES])
            tail = f"; did you mean {hint}?" if hint else ""
            yield Breach(entry, "", f"an entry of the contract (no model reads this one{tail})", level="warning")


def _rows_set_aside(entry: str, cube: xr.Dataset) -> Iterator[Breach]:
    for key, expected in (
        ("rows_without_time", "a time in every source row (these are set aside)"),
        ("rows_on_taken_slots", "one source row per time (the last one is kept)"),
    ):
        if cube.attrs.get(key):
            yield Breach(entry, "time", expected, int(cube.attrs[key]), level="warning")


def check_values(entry: str, cube: xr.Dataset, *, progress: bool = False) -> list[Breach]:
    """Return the breaches among the values of a cube; reads every chunk once, a few at a time."""
    import dask
    from tqdm import tqdm

    points = cube["point"].to_numpy()
    tallies = {name: np.zeros(len(points), dtype=np.int64) for name in ("value", "mark")}
    tests: dict[str, Callable[[np.ndarray], np.ndarray]] = {"value": np.isinf, "mark": lambda m: ~np.isin(m, MARKS)}
    rows = cube["value"].chunks[0] if cube["value"].chunks else (len(points),)
    starts = np.concatenate([[0], np.cumsum(rows)])
    for a, b in tqdm(list(itertools.pairwise(starts)), desc=entry, unit="chunk row", disable=None if progress else True, leave=False):
        part = cube[["value", "mark"]].isel(point=slice(a, b))
        value, mark = dask.compute(part["value"].data, part["mark"].data)
        for name, array in (("value", value), ("mark", mark)):
            tallies[name][a:b] = tests[name](np.asarray(array)).sum(axis=1)
    found = []
    for name, expected in (("value", "finite values or NaN"), ("mark", f"a mark of {', '.join(map(str, MARKS.tolist()))}")):
        bad = np.flatnonzero(tallies[name])
        if bad.size:
            examples = [f"point {points[i]}: {tallies[name][i]:,} values" for i in bad[:EXAMPLES]]
            found.append(Breach(entry, name, expected, int(tallies[name].sum()), examples, level="warning"))
    return found


def _warn(entry: str, column: str, expected: str, rows: pd.Series) -> Iterator[Breach]:
    if len(rows):
        examples = [f"row {i}: {v!r}" for i, v in rows.head(EXAMPLES).items()]
        yield Breach(entry, column, expected, len(rows), examples, level="warning")


def units_are_known(catalog: Catalog, seen: Readings) -> Iterator[Breach]:
    """A point's unit is one that the unit registry knows (or empty)."""
    if "points" in seen.tables:
        unit = seen.tables["points"]["unit"]
        unknown = [u for u in unit.unique() if isinstance(u, str) and known_unit(u) is None]
        yield from _warn("points", "unit", "a known unit, such as mg/m³, mg/L, m³/h, kW, t, %", unit[unit.isin(unknown)])


def ranges_are_in_order(catalog: Catalog, seen: Readings) -> Iterator[Breach]:
    """A point's measuring range starts below its end."""
    if "points" in seen.tables:
        p = seen.tables["points"]
        yield from _warn("points", "range_high", "more than range_low", p.loc[p["range_low"] >= p["range_high"], "range_high"])


def declared_intervals_match_the_grid(catalog: Catalog, seen: Readings) -> Iterator[Breach]:
    """A point's declared interval is a whole multiple of its cube's grid step."""
    if "points" not in seen.tables:
        return
    points = seen.tables["points"].drop_duplicates("point_id").set_index("point_id")
    for entry, cube in seen.cubes.items():
        if entry not in CUBES or "point" not in cube.coords or np.isnan(step := interval_s(cube)):
            continue
        declared = points["interval_s"].reindex(cube["point"].to_numpy()).dropna()
        off = declared[(declared < step) | (declared % step != 0)]
        if len(off):
            examples = [f"point {i}: {v:g} s" for i, v in off.head(EXAMPLES).items()]
            yield Breach("points", "interval_s", f"a whole multiple of the {step:g} s grid of {entry}", len(off), examples, level="warning")


def points_have_their_cube(catalog: Catalog, seen: Readings) -> Iterator[Breach]:
    """Every point of a system stands in the cube of that system."""
    if "points" not in seen.tables:
        return
    points = seen.tables["points"]
    for entry, system in CUBES.items():
        rows = points.loc[points["system"] == system.value, "point_id"]
        if entry not in seen.cubes:
            yield from _warn("points", "point_id", f"observations of its points in {entry} (the entry is absent or unreadable)", rows)
        elif "point" in seen.cubes[entry].coords:
            lost = rows[~rows.isin(seen.cubes[entry]["point"].to_numpy())]
            yield from _warn("points", "point_id", f"observations in {entry}", lost)


def cameras_have_clips(catalog: Catalog, seen: Readings) -> Iterator[Breach]:
    """A clip belongs to a video point."""
    if "points" in seen.tables and "clips" in seen.tables:
        points, clips = seen.tables["points"], seen.tables["clips"]
        others = points.loc[points["system"] != System.VIDEO.value, "point_id"]
        yield from _warn("clips", "point_id", "a point with system video", clips.loc[clips["point_id"].isin(others), "point_id"])


def clip_files_are_there(catalog: Catalog, seen: Readings) -> Iterator[Breach]:
    """A clip's file lies below the catalog's folder (looked for on this machine only)."""
    if "clips" not in seen.tables or "://" in catalog.path_of("x"):
        return

    def absent(path: str) -> bool:
        try:
            return not Path(catalog.path_of(path)).is_file()
        except CatalogError:
            return True

    path = seen.tables["clips"]["path"]
    yield from _warn("clips", "path", "a file below the catalog's folder", path[path.map(absent)])


def inspection_kinds_are_known(catalog: Catalog, seen: Readings) -> Iterator[Breach]:
    """The kinds of an inspection are words of the contract, and stand beside a violation only."""
    if "inspections" not in seen.tables:
        return
    frame, words = seen.tables["inspections"], {k.value for k in Kind}
    kinds = frame["kinds"].map(lambda v: list(v) if isinstance(v, (list, tuple, np.ndarray)) else [])
    yield from _warn(
        "inspections", "kinds", f"words of {', '.join(sorted(words))}", frame.loc[kinds.map(lambda v: not set(v) <= words), "kinds"]
    )
    yield from _warn(
        "inspections", "kinds", "no kinds where nothing was found", frame.loc[(frame["finding"] == "none") & kinds.map(bool), "kinds"]
    )


def decisions_follow_inspections(catalog: Catalog, seen: Readings) -> Iterator[Breach]:
    """A decision is not older than its inspection: such a label would leak into the past."""
    if "inspections" in seen.tables:
        frame = seen.tables["inspections"]
        early = frame.loc[frame["decided_on"] < frame["inspected_on"], "decided_on"]
        yield from _warn("inspections", "decided_on", "not before inspected_on", early)


SENSE: tuple[Callable[[Catalog, Readings], Iterator[Breach]], ...] = (
    units_are_known,
    ranges_are_in_order,
    declared_intervals_match_the_grid,
    points_have_their_cube,
    cameras_have_clips,
    clip_files_are_there,
    inspection_kinds_are_known,
    decisions_follow_inspections,
)
