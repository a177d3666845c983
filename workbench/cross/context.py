"""Context that no single model can see: what many enterprises share is seldom one enterprise's offence."""

from __future__ import annotations

import numpy as np
import pandas as pd

from workbench.contracts import NOT_INSTALLED
from workbench.cross.evidence import Channel, Evidence

SHARED_OUTAGE = 0.5
SHARED_ODDITY = 0.34
FEWEST = 4
"""Half of a street silent in one hour is an outage of the zone; a third of one operator's monitors odd on one day is the
operator's artefact; both need at least four others. The enterprise itself is left out of the count."""


def context_channels(e: Evidence, enterprises: pd.DataFrame | None) -> tuple[Channel, ...]:
    """Return ``zone_outage`` and ``vendor_artefact`` channels, where the enterprises' street and operator are known.

    Parameters
    ----------
    e : Evidence
    enterprises : DataFrame, optional
        Contract table.
    """
    if enterprises is None or not len(enterprises) or not len(e.channels) or not e.shape[1]:
        return ()
    table = enterprises.drop_duplicates("enterprise_id").set_index("enterprise_id").reindex(e.enterprises)
    out = []
    down, has = _any_level(e, "outage", sources={"monitor", "power", "condition"})
    if has.any():
        out.append(
            _shared("zone_outage", "片区性断数", "outage of the whole zone", down, has, table["street_town"], SHARED_OUTAGE, "ambient", 1.0)
        )
    odd, has = _odd_monitors(e)
    if has.any():
        out.append(
            _shared(
                "vendor_artefact",
                "运维商共性异常",
                "artefact shared by one operator's monitors",
                odd,
                has,
                table["operator"],
                SHARED_ODDITY,
                "monitor",
                24.0,
            )
        )
    return tuple(c for c in out if c is not None)


def _any_level(e: Evidence, level: str, sources: set[str]) -> tuple[np.ndarray, np.ndarray]:
    hit = np.zeros(e.shape, dtype=bool)
    has = np.zeros(e.shape, dtype=bool)
    for c in e.channels:
        if c.source in sources and level in c.levels:
            hit |= c.values == c.levels.index(level)
            has |= c.values >= 0
    return hit, has


def _odd_monitors(e: Evidence) -> tuple[np.ndarray, np.ndarray]:
    hit = np.zeros(e.shape, dtype=bool)
    has = np.zeros(e.shape, dtype=bool)
    for c in e.channels:
        if c.role in {"monitor_integrity", "monitor_fault"}:
            hit |= np.isin(c.values, [c.levels.index(x) for x in ("suspect", "strong") if x in c.levels])
            has |= c.values >= 0
    return hit, has


def _shared(
    name: str, zh: str, en: str, hit: np.ndarray, has: np.ndarray, member_of: pd.Series, share: float, source: str, support: float
) -> Channel | None:
    """Return 1 where the enterprise is hit and, of the *other* members of its group, at least ``share`` are hit too."""
    values = np.full(hit.shape, NOT_INSTALLED, dtype=np.int8)
    for member, rows in sorted(member_of.fillna("").reset_index(drop=True).groupby(member_of.fillna("").to_numpy()).indices.items()):
        if not member or len(rows) <= FEWEST:
            continue
        n_has, n_hit = has[rows].sum(0), (hit & has)[rows].sum(0)
        others = n_has[None, :] - has[rows]
        shared = (n_hit[None, :] - (hit & has)[rows]) >= share * np.maximum(others, 1)
        shared &= (hit & has)[rows]
        values[rows] = np.where(others >= FEWEST, shared, NOT_INSTALLED)
    if not (values >= 0).any():
        return None
    level = "outage" if name == "zone_outage" else "artefact"
    return Channel(f"context_{name}", values, ("none", level), name, source, f"context:{name}", (), support, zh, en)
