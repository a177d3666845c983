"""Catalogs held in memory: models run on tables and cubes of one's own making, or on another catalog with something changed."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import xarray as xr

from workbench.catalog.labels import decided
from workbench.contracts import CatalogView, EntryMissing, Mark, Period


@dataclass(frozen=True)
class MemoryCatalog:
    """What models ask of a catalog (:class:`workbench.contracts.CatalogView`), from DataFrames and Datasets; nothing is checked.

    Parameters
    ----------
    tables : mapping of str to DataFrame
        By entry; ``inspections`` may be among them.
    cubes : mapping of str to Dataset
        By entry, dims (point, time); may be lazy.
    period : Period
        Span of the cubes.
    name : str
        For records.
    """

    tables: Mapping[str, pd.DataFrame]
    cubes: Mapping[str, xr.Dataset]
    period: Period
    name: str = "memory"

    def has(self, entry: str) -> bool:
        """Return whether the entry is in the catalog."""
        return entry in self.tables or entry in self.cubes

    def table(self, entry: str, columns: list[str] | None = None) -> pd.DataFrame:
        """Return a copy of a table; raises EntryMissing where absent."""
        if entry not in self.tables:
            raise EntryMissing("no such table in this catalog", got=entry, allowed=sorted(self.tables))
        return self.tables[entry].copy() if columns is None else self.tables[entry][columns].copy()

    def cube(self, entry: str) -> xr.Dataset:
        """Return a cube; raises EntryMissing where absent."""
        if entry not in self.cubes:
            raise EntryMissing("no such cube in this catalog", got=entry, allowed=sorted(self.cubes))
        return self.cubes[entry]

    def labels(self, decided_before: pd.Timestamp | None = None) -> pd.DataFrame:
        """Return inspections whose decision was known before a day (all decided ones where absent); empty where there are none."""
        return decided(self.tables.get("inspections"), decided_before)

    def path_of(self, relative: str) -> str:
        """Return the path unchanged: there is no catalog file to start from."""
        return relative


class Altered:
    """Another catalog, seen without some of its entries or with other tables in their place: what would a model lose?

    Parameters
    ----------
    catalog : CatalogView
    gone : collection of str
        Entries that it is to lack.
    tables : mapping of str to DataFrame
        Tables that stand in place of its own, or beside them.
    """

    def __init__(self, catalog: CatalogView, gone: Collection[str] = (), tables: Mapping[str, pd.DataFrame] | None = None) -> None:
        self._catalog, self._gone, self._tables = catalog, frozenset(gone), dict(tables or {})

    @property
    def name(self) -> str:
        """Name of the catalog."""
        return self._catalog.name

    @property
    def period(self) -> Period:
        """Span of the catalog."""
        return self._catalog.period

    def has(self, entry: str) -> bool:
        """Return whether the entry is there."""
        return entry not in self._gone and (entry in self._tables or self._catalog.has(entry))

    def table(self, entry: str, columns: list[str] | None = None) -> pd.DataFrame:
        """Return a table; raises EntryMissing where absent."""
        self._refuse(entry)
        if entry in self._tables:
            return self._tables[entry].copy() if columns is None else self._tables[entry][columns].copy()
        return self._catalog.table(entry, columns)

    def cube(self, entry: str) -> xr.Dataset:
        """Return a cube; raises EntryMissing where absent."""
        self._refuse(entry)
        return self._catalog.cube(entry)

    def labels(self, decided_before: pd.Timestamp | None = None) -> pd.DataFrame:
        """Return inspections whose decision was known before a day; empty where they are gone."""
        if "inspections" in self._tables and "inspections" not in self._gone:
            return decided(self._tables["inspections"], decided_before)
        labels = self._catalog.labels(decided_before)
        return labels.iloc[:0] if "inspections" in self._gone else labels

    def path_of(self, relative: str) -> str:
        """Return the full path that the catalog gives."""
        return self._catalog.path_of(relative)

    def _refuse(self, entry: str) -> None:
        if entry in self._gone:
            raise EntryMissing("this entry was taken out of the catalog", got=entry)


def cube_of(point_ids: Sequence[str], times: pd.DatetimeIndex, value: np.ndarray) -> xr.Dataset:
    """Return an observation cube of values of shape (point, time), marked normal wherever one arrived (is not NaN)."""
    mark = np.where(np.isfinite(value), int(Mark.NORMAL), int(Mark.NONE)).astype(np.uint8)
    return xr.Dataset(
        {"value": (("point", "time"), value.astype(np.float32)), "mark": (("point", "time"), mark)},
        coords={"point": np.asarray(point_ids, dtype=object), "time": times.to_numpy()},
    )
