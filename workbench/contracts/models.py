"""What a supervision model is, and what it may ask of a catalog."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol, runtime_checkable

import pandas as pd
import xarray as xr
from pydantic import BaseModel, ConfigDict, Field

from workbench.contracts.params import Words
from workbench.contracts.periods import Period


@runtime_checkable
class CatalogView(Protocol):
    """The part of a catalog that models see; implemented by :class:`workbench.catalog.Catalog`."""

    @property
    def name(self) -> str:
        """Name of the catalog, for records."""
        ...

    @property
    def period(self) -> Period:
        """Span covered by the observation cubes."""
        ...

    def has(self, entry: str) -> bool:
        """Return whether the entry is in the catalog."""
        ...

    def table(self, entry: str, columns: list[str] | None = None) -> pd.DataFrame:
        """Return a validated table; raises EntryMissing where absent."""
        ...

    def cube(self, entry: str) -> xr.Dataset:
        """Return a lazy cube with dims (point, time); raises EntryMissing where absent."""
        ...

    def labels(self, decided_before: pd.Timestamp | None = None) -> pd.DataFrame:
        """Return inspections whose decision was known before a day (empty table where there are none)."""
        ...

    def path_of(self, relative: str) -> str:
        """Return the full path or URL of a file named relative to the catalog file."""
        ...


class FittedModel(Protocol):
    """A model after fitting."""

    def assess(self, features: xr.Dataset) -> pd.DataFrame:
        """Return findings (contract table ``findings``)."""
        ...

    def evidence(self, features: xr.Dataset) -> xr.Dataset:
        """Return hourly evidence channels (see :mod:`workbench.contracts.evidence`)."""
        ...

    def explain(self, features: xr.Dataset, finding_ids: Iterable[str]) -> pd.DataFrame:
        """Return attributions (contract table ``attributions``)."""
        ...


class SupervisionModel(Protocol):
    """One supervision model; ``inputs`` names the catalog entries it needs, absent ones make it abstain."""

    name: str
    inputs: frozenset[str]

    def features(self, catalog: CatalogView, period: Period) -> xr.Dataset:
        """Return named features with units in attrs, lazy over chunks."""
        ...

    def fit(self, features: xr.Dataset, labels: pd.DataFrame, *, seed: int) -> FittedModel:
        """Fit on features and inspection labels (which may be empty)."""
        ...


class ModelCard(BaseModel):
    """``card.yml`` of a model: what it is for, what it reads, and where it must not be trusted."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    version: str
    title: Words
    purpose: Words
    entry_point: str = Field(pattern=r"^[\w.]+:\w+$", description="module:class")
    inputs: list[str]
    optional_inputs: list[str] = Field(default_factory=list)
    kinds: list[str]
    notebook: str
    method: str
    limits: list[Words] = Field(min_length=1)
    measured_by: list[str] = Field(description="commands that print its figures")
    owner: str
