"""An open catalog: validated tables, lazy cubes, labels, content hashes."""

from __future__ import annotations

import functools
import threading
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import xarray as xr

from workbench.catalog.allowed import READERS
from workbench.catalog.document import CatalogDocument
from workbench.catalog.labels import decided
from workbench.catalog.reading import TRUTH, lazily, names_truth, refuse, storage
from workbench.catalog.rules import REFERENCE
from workbench.contracts import (
    CUBES,
    TABLES,
    CatalogError,
    ContractBreach,
    EntryMissing,
    Period,
    check_cube,
    check_table,
    conform,
    interval_s,
    nearest,
    unknown_name,
)

if TYPE_CHECKING:
    from workbench.contracts import Breach


class Catalog:
    """One district: what models, notebooks and the apps see of it.

    Made by :func:`workbench.catalog.open_catalog`. Safe to share between threads; sent to another process it is opened
    there anew. Tables are read and validated once and kept; callers get copies and may change them.

    Parameters
    ----------
    document : CatalogDocument
        The linted catalog file.
    name : str
        Name for records.
    parameters : mapping
        A value for each user parameter of the file.
    given : mapping
        The parameters as given by the caller, to open it anew.
    opened_as : str
        The path as given by the caller.
    """

    def __init__(self, document: CatalogDocument, name: str, parameters: dict[str, Any], *, given: dict[str, Any], opened_as: str) -> None:
        self._document, self._name, self._parameters = document, name, parameters
        self._given, self._opened_as = given, opened_as
        self._aliases: dict[str, str] = {str(a): str(t) for a, t in document.values["aliases"].items() if not self.is_truth(a)}
        self._tables: dict[str, pd.DataFrame] = {}
        self._cubes: dict[str, xr.Dataset] = {}
        self._lock = threading.RLock()

    def __repr__(self) -> str:
        return f"Catalog {self.name!r} at {self.location}: {', '.join(self.entries)}"

    def __reduce__(self) -> tuple[Any, ...]:
        from workbench.catalog.opening import open_catalog

        return functools.partial(open_catalog, self._opened_as, **self._given), ()

    @property
    def name(self) -> str:
        """Name of the catalog, for records."""
        return self._name

    @property
    def location(self) -> str:
        """Absolute path, or URL, of the catalog file."""
        return self._document.location

    @property
    def metadata(self) -> dict[str, Any]:
        """The file's ``metadata``."""
        return dict(self._document.values["metadata"])

    @property
    def parameters(self) -> dict[str, Any]:
        """The value of each user parameter, for records."""
        return dict(self._parameters)

    @property
    def entries(self) -> list[str]:
        """Names of all entries: those of the contract in its order, then any others."""
        known = [n for n in (*TABLES, *CUBES) if n in self._aliases]
        return known + [n for n in self._aliases if n not in known]

    def listed(self) -> list[str]:
        """Return every alias of the file, ``truth`` included, for checks of the file itself."""
        return [str(a) for a in self._document.values["aliases"]]

    def is_truth(self, entry: str) -> bool:
        """Return whether an alias of the file is the hidden truth of a simulated district, under whatever name."""
        values = self._document.values
        block = values["entries"].get(values["aliases"].get(entry), {})
        given = [
            g
            for v in (block.get("kwargs", {}).get("args", []), block.get("kwargs", {}).get("data"))
            for g in (v if isinstance(v, list) else [v])
        ]
        names = [m[1] for g in given if isinstance(g, str) and (m := REFERENCE.fullmatch(g))]
        urls = [u for n in names for v in [values["data"][n]["kwargs"]["url"]] for u in (v if isinstance(v, list) else [v])]
        return entry == TRUTH or any(names_truth(u) for u in urls)

    def has(self, entry: str) -> bool:
        """Return whether the entry is in the catalog (``truth`` never is)."""
        return entry in self._aliases

    def table(self, entry: str, columns: list[str] | None = None) -> pd.DataFrame:
        """Return a validated table.

        Parameters
        ----------
        entry : str
            A table entry.
        columns : list of str, optional
            The columns wanted; all where absent.

        Returns
        -------
        DataFrame
            A copy, with the storage dtypes of the contract (see :func:`workbench.contracts.conform`). Rows whose
            identifiers are not in the tables they refer to are kept; :meth:`check` warns of them.

        Raises
        ------
        EntryMissing
            If the catalog has no such entry.
        ContractBreach
            If the table breaks its contract: all breaches at once. One broken column makes the whole table unusable,
            since every row of it was written by the same hand.
        CatalogError
            If the file cannot be read, or the entry is a cube or ``truth``.
        """
        frame = self._table(entry)
        if columns is None:
            return frame.copy()
        for column in columns:
            if column not in frame:
                raise unknown_name(f"column of {entry}", column, frame.columns)
        return frame[list(columns)].copy()

    def cube(self, entry: str) -> xr.Dataset:
        """Return a lazy cube with dims (point, time).

        Only coordinates are read and checked; ``value`` and ``mark`` are dask arrays with the chunks of the store.
        Infinite values and unknown marks are the models' to handle (``check(deep=True)`` counts them).

        Raises
        ------
        EntryMissing
            If the catalog has no such entry.
        ContractBreach
            If the cube breaks its contract: all breaches at once.
        CatalogError
            If the store cannot be read, or the entry is a table.
        """
        with self._lock:
            if entry not in self._cubes:
                cube, breaches = self.inspect_cube(entry)
                refuse(entry, breaches, self.location)
                self._cubes[entry] = cube
            return self._cubes[entry].copy(deep=False)

    def labels(self, decided_before: pd.Timestamp | None = None) -> pd.DataFrame:
        """Return inspections whose decision was known.

        Parameters
        ----------
        decided_before : Timestamp, optional
            Only decisions of earlier days count; all decided ones where absent.

        Returns
        -------
        DataFrame
            Rows of ``inspections`` with a decision day, in its order; an inspection without a decision is no label.
            Empty (with all columns) where the catalog has no inspections.
        """
        return decided(self.table("inspections") if self.has("inspections") else None, decided_before)

    @functools.cached_property
    def period(self) -> Period:
        """Span covered by the observation cubes: the first time to one step after the last.

        Raises
        ------
        CatalogError
            If the catalog has no cube with a time in it.
        """
        spans = []
        for entry in self.entries:
            if entry in CUBES and (cube := self.cube(entry)).sizes["time"]:
                time, step = cube["time"].to_numpy(), interval_s(cube)
                spans.append((time[0], time[-1] + (np.timedelta64(1, "h") if np.isnan(step) else np.timedelta64(round(step * 1e9), "ns"))))
        if not spans:
            raise CatalogError(
                "the catalog has no observations, so it covers no period",
                allowed=sorted(CUBES),
                where=self.location,
                next_step="add at least one obs_* entry",
            )
        return Period(pd.Timestamp(min(s for s, _ in spans)), pd.Timestamp(max(e for _, e in spans)))

    def path_of(self, relative: str) -> str:
        """Return the full path or URL of a file named relative to the catalog file.

        Raises
        ------
        CatalogError
            If ``relative`` is absolute, a URL, leads out of the catalog's folder, or names the hidden truth.
        """
        parts = relative.replace("\\", "/").split("/")
        if names_truth(relative):
            self.description(TRUTH)
        if not relative or "://" in relative or Path(relative).is_absolute() or ".." in parts:
            raise CatalogError(
                "not a path below the catalog's folder", got=relative, allowed="a relative path without ..", where=self.location
            )
        return f"{self._document.folder.rstrip('/')}/{'/'.join(p for p in parts if p not in ('', '.'))}"

    def snapshot(self, entries: Iterable[str] | None = None, *, progress: bool = False) -> dict[str, str]:
        """Return a content hash per entry (see :mod:`workbench.catalog.hashing`).

        Parameters
        ----------
        entries : iterable of str, optional
            The entries wanted; all where absent.
        progress : bool
            Draw a progress bar on a terminal.

        Raises
        ------
        EntryMissing
            If the catalog lacks one of ``entries``.
        """
        from workbench.catalog.hashing import hash_entries

        wanted = self.entries if entries is None else list(entries)
        return hash_entries(self, wanted, progress=progress)

    def check(self, *, deep: bool = False, progress: bool = False) -> list[Breach]:
        """Return every breach of every entry (see :mod:`workbench.catalog.checks`)."""
        from workbench.catalog.checks import check_catalog

        return check_catalog(self, deep=deep, progress=progress)

    def gives(self, entry: str) -> str:
        """Return ``table`` or ``cube``: what the entry's reader makes.

        Raises
        ------
        EntryMissing
            If the catalog has no such entry.
        """
        return READERS[self.description(entry)["reader"]].gives

    def description(self, entry: str) -> dict[str, Any]:
        """Return the entry's block as it stands in the file (reader, kwargs …).

        Raises
        ------
        EntryMissing
            If the catalog has no such entry.
        CatalogError
            If the entry is ``truth``.
        """
        if entry == TRUTH or (entry in self.listed() and self.is_truth(entry)):
            raise CatalogError(
                "the hidden truth of a simulated district is never opened through a catalog",
                got=entry,
                where=self.location,
                next_step="only workbench.evaluation scores against it, from its own file",
            )
        if entry not in self._aliases:
            hint = nearest(entry, self._aliases)
            raise EntryMissing(
                "the catalog has no such entry",
                got=entry,
                allowed=self.entries,
                where=self.location,
                next_step=f"did you mean {hint!r}?" if hint else "add the entry, or leave out what needs it",
            )
        block: dict[str, Any] = self._document.values["entries"][self._aliases[entry]]
        return block

    def reader(self, entry: str) -> Any:
        """Return the intake reader of an entry, its parameters filled in."""
        self.description(entry)
        return self._intake[self._aliases[entry]]

    def inspect_table(self, entry: str) -> tuple[pd.DataFrame, list[Breach]]:
        """Read a table and return it with its breaches, without raising for them."""
        frame = self._read(entry, "table")
        if entry not in TABLES:
            return frame, []
        frame = conform(entry, frame.reset_index(drop=True))
        return frame, check_table(entry, frame)

    def inspect_cube(self, entry: str) -> tuple[xr.Dataset, list[Breach]]:
        """Open a cube and return it with its breaches, without raising for them."""
        cube = storage(self._read(entry, "cube"))
        if entry not in CUBES:
            return cube, []
        try:
            points = self._table("points")
        except (ContractBreach, CatalogError):  # reported where points itself is checked
            points = None
        return cube, check_cube(entry, cube, points)

    @functools.cached_property
    def _intake(self) -> Any:
        from intake.readers.entry import Catalog as IntakeCatalog

        opened = IntakeCatalog.from_dict(self._document.values | {"user_parameters": {}})
        opened.user_parameters.update(self._parameters)  # plain values: intake neither templates nor evaluates them again
        opened.user_parameters["CATALOG_DIR"] = self._document.folder
        return opened

    def _table(self, entry: str) -> pd.DataFrame:
        with self._lock:
            if entry not in self._tables:
                frame, breaches = self.inspect_table(entry)
                refuse(entry, breaches, self.location)
                self._tables[entry] = frame
            return self._tables[entry]

    def _read(self, entry: str, kind: str) -> Any:
        if self.gives(entry) != kind:
            raise CatalogError(
                f"the entry is not a {kind}", got=entry, where=self.location, next_step=f"ask for it as a {self.gives(entry)}"
            )
        try:
            reader = self.reader(entry)
            lazy = lazily(reader.kwargs) if type(reader).__name__ == "XArrayDatasetReader" else {}
            return reader.read(**lazy)
        except (CatalogError, ContractBreach):
            raise
        except Exception as error:  # readers fail in as many ways as there are formats
            raise CatalogError(
                f"cannot read the entry {entry}",
                got=f"{type(error).__name__}: {error}",
                where=self.location,
                next_step="check the file it names, and the arguments of its reader",
            ) from error
