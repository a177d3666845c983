"""What one rule says about one enterprise and span: a ruling, its figure, and a score made of named parts.

The score is additive on the log-odds: base and parts sum to it, so the explanation is exact.
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
    """One named contribution (log-odds) to a score; a value that could not be measured is NaN and contributes 0."""

    zh: str
    en: str
    value: float
    unit: str
    contribution: float


@dataclass(frozen=True)
class Judgement:
    """The result of one rule for one enterprise over one span."""

    rule: str
    ruling: Ruling
    enterprise_id: str
    start: pd.Timestamp
    end: pd.Timestamp
    reason_zh: str
    reason_en: str
    kind: Kind = Kind.FUGITIVE
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
        """Log-odds of a violation, before calibration by labels."""
        return self.base + sum(p.contribution for p in self.parts.values())


@cache
def known_parts() -> dict[str, dict[str, Any]]:
    """Return words, unit and bounds of every part (``parts.yml``)."""
    text = files("workbench.models.dust").joinpath("parts.yml").read_text(encoding="utf-8")
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
        row = known_parts()[name]
        known = np.isfinite(value) and np.isfinite(contribution)
        bounded = float(np.clip(contribution, row["low"], row["high"])) if known else 0.0
        parts[name] = Part(row["zh"], row["en"], float(value), row["unit"], bounded)
    return parts


def not_evaluable(
    rule: str, enterprise_id: str, span: tuple[pd.Timestamp, pd.Timestamp], zh: str, en: str, *, point_id: str = ""
) -> Judgement:
    """Return a judgement that says why nothing could be judged."""
    return Judgement(rule, Ruling.NOT_EVALUABLE, enterprise_id, span[0], span[1], zh, en, point_id=point_id)


def logit(p: float) -> float:
    """Return the log-odds of a probability."""
    return float(np.log(p / (1.0 - p)))


def probability(score: float | np.ndarray) -> np.ndarray:
    """Return the probability of a log-odds score."""
    return np.asarray(1.0 / (1.0 + np.exp(-np.asarray(score, dtype=float))))
