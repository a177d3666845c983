"""Model 4 behind the common interface: power, carbon, tax and output, judged, scored and explained."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from workbench.contracts import CatalogView, Period, Ruling, result_frame, stable_id
from workbench.models.energy_tax.channels import evidence_of
from workbench.models.energy_tax.features import (
    JOIN,
    build_features,
    intensity_months,
    parts_frame,
    results_frame,
    works_of,
)
from workbench.models.energy_tax.judgement import probability
from workbench.models.energy_tax.meters import Works
from workbench.models.energy_tax.scoring import GROUPS, Calibration, calibrate, labelled
from workbench.models.energy_tax.settings import Settings, load_settings
from workbench.models.energy_tax.surroundings import surroundings_of
from workbench.models.hourly import Grid

NAME = "energy_tax"


class EnergyTaxModel:
    """Works that run with the treatment off, and books that do not fit the chimney.

    Parameters
    ----------
    overrides : mapping, optional
        ``{"rule.threshold": value}`` for ``params.yml`` and ``preparation.yml``.
    """

    name = NAME
    inputs = frozenset({"enterprises", "outlets", "points"})

    def __init__(self, overrides: Mapping[str, float] | None = None) -> None:
        self.settings = load_settings(overrides)

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

    def fit(self, features: xr.Dataset, labels: pd.DataFrame, *, seed: int) -> FittedEnergyTax:
        """Calibrate the additive scores by inspection labels, group by group (:mod:`~workbench.models.energy_tax.scoring`).

        Parameters
        ----------
        labels : DataFrame
            Rows of ``inspections`` that were decided in time; may be empty: the stated priors stand.
        seed : int
            Not used: nothing here is random.
        """
        results = results_frame(features)
        results = results[results["ruling"] == Ruling.VIOLATED.value]
        y, numbers = labelled(results, labels), self.settings.prep("calibration")
        alert = numbers.pop("alert")
        group = results["rule"].map(GROUPS).to_numpy()
        score = results["score"].to_numpy(float)
        calibrations = {g: calibrate(score[group == g], y[group == g], **numbers) for g in sorted(set(GROUPS.values()))}
        return FittedEnergyTax(self.settings, calibrations, alert)


@dataclass(frozen=True)
class FittedEnergyTax:
    """The model after fitting.

    Parameters
    ----------
    calibrations : mapping of str to Calibration
        By group of rules.
    alert : float
        Probability from which a violated rule is raised as a breach.
    """

    settings: Settings
    calibrations: Mapping[str, Calibration]
    alert: float

    def scored(self, features: xr.Dataset) -> pd.DataFrame:
        """Return all rule results with ``finding_id``, calibrated ``log_odds``, ``p`` and whether they are a ``breach``."""
        frame = results_frame(features)
        violated = frame["ruling"].to_numpy() == Ruling.VIOLATED.value
        maps = [self.calibrations[GROUPS[r]] for r in frame["rule"]]
        shift, slope = (np.array([getattr(m, n) for m in maps], float) for n in ("shift", "slope"))
        frame["shift"], frame["slope"] = shift, slope
        frame["log_odds"] = np.where(violated, shift + slope * frame["score"].to_numpy(), np.nan)
        frame["p"] = probability(frame["log_odds"].to_numpy())
        frame["breach"] = violated & (frame["p"].to_numpy() >= self.alert)
        keys = zip(*(frame[c] for c in ("rule", "enterprise_id", "outlet_id", "start", "end", "reason_en")), strict=True)
        frame["finding_id"] = [stable_id("energy", *k) for k in keys]
        return frame

    def assess(self, features: xr.Dataset) -> pd.DataFrame:
        """Return findings: breaches, violated rules too thin to raise (abstain), and what could not be evaluated (abstain).

        Extra columns: ``rule_value``, ``rule_threshold``, ``rule_unit``.
        """
        frame = self.scored(features)
        frame = frame[frame["ruling"] != Ruling.COMPLIANT.value]
        rows: list[dict[str, Any]] = []
        for r in frame.to_dict("records"):
            violated = r["ruling"] == Ruling.VIOLATED.value
            thin = violated and not r["breach"]
            rows.append(
                {
                    "finding_id": r["finding_id"],
                    "model": NAME,
                    "detector": r["rule"],
                    "enterprise_id": r["enterprise_id"],
                    "outlet_id": r["outlet_id"],
                    "point_id": r["point_id"],
                    "start": r["start"],
                    "end": r["end"],
                    "kind": r["kind"] if violated else "",
                    "outcome": r["outcome"] if violated else "",
                    "verdict": "breach" if r["breach"] else "abstain",
                    "p_breach": float(r["p"]) if violated else float("nan"),
                    "severity": self.settings.rules[r["rule"]].severity.value,
                    "reason_zh": ("依据不足，暂不提出：" if thin else "" if violated else "无法评估：") + r["reason_zh"],
                    "reason_en": ("Too thin to raise: " if thin else "" if violated else "Not evaluable: ") + r["reason_en"],
                    "evidence": [e for e in r["evidence"].split(JOIN) if e],
                    "rule_value": r["value"],
                    "rule_threshold": r["threshold"],
                    "rule_unit": r["unit"],
                }
            )
        if not rows:
            return result_frame("findings")
        table = pd.DataFrame(rows).drop_duplicates("finding_id")
        return result_frame("findings", table.sort_values(["enterprise_id", "detector", "start", "finding_id"], kind="stable"))

    def evidence(self, features: xr.Dataset) -> xr.Dataset:
        """Return hourly channels with dims (enterprise, hour) and the roles of ``docs/evidence-roles.md``."""
        return evidence_of(features, self.scored(features))

    def explain(self, features: xr.Dataset, finding_ids: Iterable[str]) -> pd.DataFrame:
        """Return contributions in log-odds; base and contributions sum to the score of the finding exactly."""
        frame, parts, wanted = self.scored(features), parts_frame(features), set(finding_ids)
        mine = frame[frame["finding_id"].isin(wanted) & (frame["ruling"] == Ruling.VIOLATED.value)].drop_duplicates("finding_id")
        rows = parts[parts["result"].isin(mine.index)].copy()
        of = mine.loc[rows["result"].to_numpy()]
        rows["finding_id"] = of["finding_id"].to_numpy()
        rows["contribution"] = rows["contribution"].to_numpy() * of["slope"].to_numpy()
        rows["base"] = of["shift"].to_numpy() + of["slope"].to_numpy() * of["base"].to_numpy()
        rows["score"] = of["log_odds"].to_numpy()
        columns = ["finding_id", "feature", "label_zh", "label_en", "unit", "value", "contribution", "base", "score"]
        return result_frame("attributions", rows[columns].reset_index(drop=True))
