"""What one rule of model 4 says about one enterprise: a ruling, its figure, and a score made of named parts.

The score is additive on the log-odds, so its explanation is exact: the parts are the SHAP values of an additive model
against its base. :func:`probability` is the calibrated reading of the score.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cache
from importlib.resources import files
from typing import Any

import numpy as np
import pandas as pd
import yaml

from workbench.contracts import Kind, Outcome, Ruling


@dataclass(frozen=True)
class Part:
    """One named contribution to a score.

    Parameters
    ----------
    zh, en : str
        What is measured.
    value : float
        In ``unit``; NaN where it could not be measured, and then the contribution is 0.
    unit : str
    contribution : float
        Log-odds.
    """

    zh: str
    en: str
    value: float
    unit: str
    contribution: float


@dataclass(frozen=True)
class Judgement:
    """The result of one rule for one enterprise, outlet or unit over one span."""

    rule: str
    ruling: Ruling
    enterprise_id: str
    start: pd.Timestamp
    end: pd.Timestamp
    reason_zh: str
    reason_en: str
    kind: Kind
    outlet_id: str = ""
    point_id: str = ""
    outcome: Outcome = Outcome.OTHER
    value: float = float("nan")
    threshold: float = float("nan")
    unit: str = "1"
    base: float = 0.0
    parts: dict[str, Part] = field(default_factory=dict)
    evidence: tuple[str, ...] = ()

    @property
    def score(self) -> float:
        """Log-odds that this is a violation, before calibration by labels."""
        return self.base + sum(p.contribution for p in self.parts.values())


@cache
def _known() -> dict[str, dict[str, Any]]:
    text = files("workbench.models.energy_tax").joinpath("parts.yml").read_text(encoding="utf-8")
    loaded: dict[str, dict[str, Any]] = yaml.safe_load(text)["parts"]
    return loaded


def parts_of(**spoken: tuple[float, float]) -> dict[str, Part]:
    """Return named parts, each kept inside its bounds of ``parts.yml``; a missing value contributes nothing.

    Parameters
    ----------
    **spoken : (value, contribution)
        By the part's name.
    """
    parts = {}
    for name, (value, contribution) in spoken.items():
        row = _known()[name]
        known = np.isfinite(value) and np.isfinite(contribution)
        bounded = float(np.clip(contribution, row["low"], row["high"])) if known else 0.0
        parts[name] = Part(row["zh"], row["en"], float(value), row["unit"], bounded)
    return parts


def probability(score: float | np.ndarray) -> np.ndarray:
    """Return the probability of a log-odds score."""
    return np.asarray(1.0 / (1.0 + np.exp(-np.asarray(score, dtype=float))))


def not_evaluable(rule: str, enterprise_id: str, span: tuple[pd.Timestamp, pd.Timestamp], kind: Kind, zh: str, en: str) -> Judgement:
    """Return a judgement that says why nothing could be judged."""
    return Judgement(rule, Ruling.NOT_EVALUABLE, enterprise_id, span[0], span[1], zh, en, kind)
