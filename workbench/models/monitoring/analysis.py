"""One analysis of one feature set: the panel, every detector's verdicts, and the candidates."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
import xarray as xr

from workbench.contracts import RuleRow
from workbench.models.monitoring.candidates import candidates, load_scoring, run_detectors
from workbench.models.monitoring.one_thread import one_blas_thread
from workbench.models.monitoring.panel import Panel
from workbench.models.monitoring.verdicts import Verdicts


@dataclass(frozen=True)
class Analysis:
    """Panel, verdicts by detector, and candidates.

    Parameters
    ----------
    source : xarray.Dataset
        The feature set as it was given, to recognise it again.
    """

    source: xr.Dataset
    panel: Panel
    verdicts: dict[str, Verdicts]
    candidates: pd.DataFrame

    def owners(self, c: pd.DataFrame) -> np.ndarray:
        """Return the enterprise of each candidate, or the place where there is none."""
        rows = c["row"].to_numpy(dtype=int)
        enterprise = self.panel.roster["enterprise_id"].to_numpy(dtype=object)[rows]
        return np.asarray(np.where(enterprise != "", enterprise, self.panel.station[rows]), dtype=object)


def analyse(features: xr.Dataset, rules: Mapping[str, RuleRow]) -> Analysis:
    """Load a feature set and run every detector on it."""
    with one_blas_thread():
        panel = Panel(features.compute())
        found = run_detectors(panel, rules) if panel.shape[0] else {}
        return Analysis(features, panel, found, candidates(panel, found, load_scoring()))
