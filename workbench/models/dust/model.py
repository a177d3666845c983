"""The dust model behind the common interface: fence monitors and labelled clips, judged, scored and explained."""

from __future__ import annotations

import xarray as xr

from workbench.contracts import CatalogView, Period
from workbench.models.additive_model import AdditiveModel, FittedAdditive, Identity
from workbench.models.dust.channels import evidence_of
from workbench.models.dust.features import build_features
from workbench.models.dust.scoring import LABELS


class FittedDust(FittedAdditive):
    """The model after fitting."""

    identity = Identity("dust", prefix="dust", subject="point_id", labels=LABELS)

    def evidence(self, features: xr.Dataset) -> xr.Dataset:
        """Return hourly channels with dims (enterprise, hour) and the roles of ``docs/evidence-roles.md``."""
        cover, smoke = (self.settings.of(r)["hold_h"] for r in ("clip_shows_uncovered_pile", "clip_shows_black_smoke"))
        return evidence_of(features, self.scored(features), cover_hold_h=cover, smoke_hold_h=smoke)


class DustModel(AdditiveModel[FittedDust]):
    """Sites whose fence shows more dust than the air around them brings, and what labelled clips show.

    Parameters
    ----------
    overrides : mapping, optional
        ``{"rule.threshold": value}`` for ``params.yml`` and ``preparation.yml``.
    """

    fitted = FittedDust

    def features(self, catalog: CatalogView, period: Period) -> xr.Dataset:
        """Return hourly air of the sites, rule results and the parts of their scores.

        Returns
        -------
        Dataset
            Dims ``(site, hour)``: ``value``, ``background`` (µg/m³), ``excess`` (log ratio), ``z``. Dim ``result``: one
            entry per judgement. Dim ``part``: contributions in log-odds, ``part_result`` naming their result. Dim
            ``clip``: the clips of the period. What the catalog lacks ends in ``not evaluable`` results with the reason.
        """
        return build_features(catalog, period, self.settings)
