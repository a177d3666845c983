"""Judgements whose score is a sum of named parts, and their place in a features Dataset.

A score is additive on the log-odds: base and parts sum to it, so that its explanation is exact (the parts are the SHAP
values of an additive model against its base).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from importlib.resources import files
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr
import yaml

from workbench.contracts import Kind, Outcome, Ruling
from workbench.models.rulings import Statement, cells_of, columns_of, frame_of, statements_frame

PART_COLUMNS = {
    "result": np.int64, "feature": object, "label_zh": object, "label_en": object, "unit": object, "value": float, "contribution": float,
}  # fmt: skip
"""Columns of the table of parts; ``result`` is the row of the judgement they belong to."""


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
class Judgement(Statement):
    """A statement with the kind of offence it is about, and a score made of parts."""

    kind: Kind
    point_id: str = ""
    outcome: Outcome = Outcome.OTHER
    base: float = 0.0
    parts: dict[str, Part] = field(default_factory=dict)

    @property
    def score(self) -> float:
        """Log-odds that this is a violation, before calibration by labels."""
        return self.base + sum(p.contribution for p in self.parts.values())


class PartBook:
    """The parts that a model's rules may speak of: ``parts.yml`` of its package (words, unit, bounds)."""

    def __init__(self, package: str) -> None:
        self._package = package

    @cached_property
    def known(self) -> Mapping[str, Mapping[str, Any]]:
        """Rows of the file by the part's name: ``zh, en, unit, low, high`` (log-odds)."""
        rows: dict[str, dict[str, Any]] = yaml.safe_load(files(self._package).joinpath("parts.yml").read_text(encoding="utf-8"))["parts"]
        return rows

    def of(self, **spoken: tuple[float, float]) -> dict[str, Part]:
        """Return named parts, each kept inside its bounds; a missing value contributes nothing.

        Parameters
        ----------
        **spoken : (value, contribution)
            By the part's name.
        """
        parts = {}
        for name, (value, contribution) in spoken.items():
            row = self.known[name]
            known = np.isfinite(value) and np.isfinite(contribution)
            bounded = float(np.clip(contribution, row["low"], row["high"])) if known else 0.0
            parts[name] = Part(row["zh"], row["en"], float(value), row["unit"], bounded)
        return parts


def not_evaluable(
    rule: str, enterprise_id: str, span: tuple[pd.Timestamp, pd.Timestamp], kind: Kind, zh: str, en: str, *, point_id: str = ""
) -> Judgement:
    """Return a judgement that says why nothing could be judged."""
    return Judgement(rule, Ruling.NOT_EVALUABLE, enterprise_id, span[0], span[1], zh, en, kind, point_id=point_id)


def logit(p: float) -> float:
    """Return the log-odds of a probability."""
    return float(np.log(p / (1.0 - p)))


def probability(score: float | np.ndarray) -> np.ndarray:
    """Return the probability of a log-odds score."""
    return np.asarray(1.0 / (1.0 + np.exp(-np.asarray(score, dtype=float))))


def judgements_of(found: list[Judgement]) -> dict[str, Any]:
    """Return judgements as variables of a Dataset: dim ``result``, and dim ``part`` for what their scores are made of."""
    parts = [(k, name, p.zh, p.en, p.unit, p.value, p.contribution) for k, j in enumerate(found) for name, p in j.parts.items()]
    table = pd.DataFrame.from_records(parts, columns=list(PART_COLUMNS)).astype(PART_COLUMNS)
    return cells_of("result", statements_frame(Judgement, found)) | cells_of("part", table)


def state_units(features: xr.Dataset) -> xr.Dataset:
    """Return a Dataset that holds :func:`judgements_of`, with the units of its numbers in their attributes."""
    features["result_value"].attrs["units"] = features["result_threshold"].attrs["units"] = "see result_unit"
    features["result_base"].attrs["units"] = features["part_contribution"].attrs["units"] = "log-odds"
    features["part_value"].attrs["units"] = "see part_unit"
    return features.assign_attrs(units="stated per variable; results in result_unit, parts in part_unit")


def results_frame(features: xr.Dataset) -> pd.DataFrame:
    """Return the judgements of a features Dataset as a table, with their stated ``score`` (log-odds)."""
    frame = frame_of("result", features, columns_of(Judgement))
    sums = np.bincount(features["part_result"].to_numpy(), features["part_contribution"].to_numpy(), minlength=len(frame))
    frame["score"] = frame["base"] + sums[: len(frame)]
    return frame


def parts_frame(features: xr.Dataset) -> pd.DataFrame:
    """Return the parts of all scores as a table (``result`` is the row of :func:`results_frame`)."""
    return frame_of("part", features, tuple(PART_COLUMNS))
