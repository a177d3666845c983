"""Model 4 behind the common interface: power, carbon, tax and output, judged, scored and explained."""

from __future__ import annotations

import pandas as pd
import xarray as xr

from workbench.contracts import CatalogView, Period
from workbench.models.additive_model import AdditiveModel, FittedAdditive, Identity
from workbench.models.energy_tax.channels import evidence_of
from workbench.models.energy_tax.features import build_features, intensity_months, works_of
from workbench.models.energy_tax.meters import Works
from workbench.models.energy_tax.scoring import LABELS
from workbench.models.energy_tax.surroundings import surroundings_of
from workbench.models.hourly import Grid


class FittedEnergyTax(FittedAdditive):
    """The model after fitting."""

    identity = Identity("energy_tax", prefix="energy", subject="outlet_id", labels=LABELS)

    def evidence(self, features: xr.Dataset) -> xr.Dataset:
        """Return hourly channels with dims (enterprise, hour) and the roles of ``docs/evidence-roles.md``."""
        return evidence_of(features, self.scored(features))


class EnergyTaxModel(AdditiveModel[FittedEnergyTax]):
    """Works that run with the treatment off, and books that do not fit the chimney.

    Parameters
    ----------
    overrides : mapping, optional
        ``{"rule.threshold": value}`` for ``params.yml`` and ``preparation.yml``.
    """

    fitted = FittedEnergyTax

    def features(self, catalog: CatalogView, period: Period) -> xr.Dataset:
        """Return hourly states, rule results and the parts of their scores.

        Returns
        -------
        Dataset
            Dims ``(enterprise, hour)``: int8 variables of :data:`~workbench.models.energy_tax.features.HOURLY`. Dim
            ``result``: one entry per judgement. Dim ``part``: contributions in log-odds, ``part_result`` naming their
            result. What the catalog lacks ends in ``not evaluable`` results with their reason.
        """
        return build_features(catalog, period, self.settings)

    def works(self, catalog: CatalogView, period: Period, enterprise_id: str) -> Works | None:
        """Return the power side of one enterprise on the cube's own grid, for pictures; None without a meter."""
        return works_of(catalog, period, enterprise_id, self.settings)

    def surroundings(self, catalog: CatalogView, period: Period, enterprise_id: str) -> xr.Dataset | None:
        """Return hourly production power beside stack flow and temperatures of one enterprise, for pictures; None without a meter."""
        works = self.works(catalog, period, enterprise_id)
        return None if works is None else surroundings_of(catalog, Grid.over(period), works)

    def intensities(self, catalog: CatalogView, period: Period) -> pd.DataFrame:
        """Return the months behind the rules on output and reagent, for pictures (``rule`` names which); may be empty."""
        return intensity_months(catalog, period, self.settings)
