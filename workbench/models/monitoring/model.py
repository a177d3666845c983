"""Model 1, verification of online monitoring data: features, fit, findings, evidence, explanation."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from importlib.resources import files

import numpy as np
import pandas as pd
import xarray as xr

from workbench.contracts import CatalogView, Period, RuleRow, load_rules, result_frame
from workbench.models.monitoring import evidence as channels
from workbench.models.monitoring.analysis import Analysis, analyse
from workbench.models.monitoring.candidates import CIRCUMSTANCES, load_scoring
from workbench.models.monitoring.features import build
from workbench.models.monitoring.findings import make_findings
from workbench.models.monitoring.fine_score import fine_score
from workbench.models.monitoring.inputs import read_inputs
from workbench.models.monitoring.rehearsing import rehearsed_score, with_measured_null
from workbench.models.monitoring.scoring import Scorer, fit_scorer, label_candidates
from workbench.models.monitoring.suppressions import Suppression, read_suppressions


class MonitoringModel:
    """Verifier of the values of CEMS, wastewater, ambient, dust and surface-water points.

    Parameters
    ----------
    overrides : mapping of str to float, optional
        ``{"detector.threshold": value}``, see ``params.yml``.
    suppressions : str, optional
        YAML or parquet file of signed suppressions, see :mod:`workbench.models.monitoring.suppressions`.

    Examples
    --------
    >>> from workbench.models import load
    >>> model = load("monitoring", overrides={"values_stay_constant.min_hours": 6})
    >>> sorted(model.inputs)
    ['points']
    """

    name = "monitoring"
    inputs = frozenset({"points"})

    def __init__(self, overrides: Mapping[str, float] | None = None, suppressions: str | None = None) -> None:
        self.rules: dict[str, RuleRow] = load_rules(files(__package__).joinpath("params.yml"), overrides)
        self.suppressions: list[Suppression] = read_suppressions(suppressions) if suppressions else []

    def features(self, catalog: CatalogView, period: Period) -> xr.Dataset:
        """Return features by (point, day) and (point, hour), lazy over blocks of points.

        Raises
        ------
        EntryMissing
            If ``points`` is absent.
        """
        return build(read_inputs(catalog, period))

    def fit(self, features: xr.Dataset, labels: pd.DataFrame, *, seed: int) -> FittedMonitoring:
        """Fit the score: hourly and fine points on their own edited history (see ``rehearsal.py``), all by labels where they suffice.

        Labels suffice from 60 labelled candidates with 15 of each outcome on.
        """
        analysis = analyse(features, self.rules)
        scoring = load_scoring()
        c = analysis.candidates
        owners = analysis.owners(c)
        kinds = c["detector"].map({k: f.kind for k, f in scoring.detectors.items()}).to_numpy(dtype=object)
        y = np.where(kinds != "", label_candidates(c, owners, kinds, labels), np.nan)
        rehearsed = rehearsed_score(analysis.panel, self.rules, scoring, seed) if analysis.panel.shape[0] else None
        fine, said = fine_score(analysis, y, self.rules, scoring, seed)
        scorer = fit_scorer(c, y, owners, scoring, seed, rehearsed, fine, said)
        return FittedMonitoring(self, scorer, with_measured_null(analysis, scorer))


class FittedMonitoring:
    """The model after fitting.

    Parameters
    ----------
    model : MonitoringModel
    scorer : Scorer
    analysis : Analysis, optional
        Analysis of the feature set it was fitted on, so that assessing the same set does not repeat it.
    """

    def __init__(self, model: MonitoringModel, scorer: Scorer, analysis: Analysis | None = None) -> None:
        self.model, self.scorer, self._last = model, scorer, analysis

    def analysis(self, features: xr.Dataset) -> Analysis:
        """Return the analysis of a feature set; that of the last one is kept."""
        if self._last is None or self._last.source is not features:
            self._last = with_measured_null(analyse(features, self.model.rules), self.scorer)
        return self._last

    def assess(self, features: xr.Dataset) -> pd.DataFrame:
        """Return findings: breaches, faults and unfit points as abstentions, weak candidates as compliant rows with their p."""
        return make_findings(self.analysis(features), self.scorer, self.model.rules, self.model.suppressions)

    def evidence(self, features: xr.Dataset) -> xr.Dataset:
        """Return the hourly channels of the monitors, see :mod:`workbench.models.monitoring.evidence`."""
        return channels.make_evidence(self.analysis(features), self.assess(features), self.model.rules)

    def explain(self, features: xr.Dataset, finding_ids: Iterable[str]) -> pd.DataFrame:
        """Return the terms of each finding's score in named units; base and contributions sum to the score.

        Abstentions for unfit input carry no score and no rows.
        """
        analysis = self.analysis(features)
        wanted = set(finding_ids)
        table = self.assess(features)
        table = table[table["finding_id"].isin(wanted) & (table["candidate"] >= 0)]
        c = analysis.candidates.iloc[table["candidate"].to_numpy(dtype=int)]
        terms = self.scorer.terms(c)
        scores = terms.sum(axis=1).to_numpy()
        rows = []
        for k, finding in enumerate(table["finding_id"]):
            for name in CIRCUMSTANCES:
                words = self.scorer.scoring.circumstances[name]
                rows.append(
                    {
                        "finding_id": finding,
                        "feature": name,
                        "label_zh": words.zh,
                        "label_en": words.en,
                        "unit": words.unit,
                        "value": float(c[name].iloc[k]),
                        "contribution": float(terms[name].iloc[k]),
                        "base": float(terms["base"].iloc[k]),
                        "score": float(scores[k]),
                    }
                )
        return result_frame("attributions", rows)
