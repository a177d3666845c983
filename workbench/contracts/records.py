"""What a run writes about itself: metrics and the run record."""

from __future__ import annotations

import math
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator


class Metric(BaseModel):
    """One honest number: a value never travels without its interval, n and method.

    Parameters
    ----------
    name : str
        For example ``precision@70``.
    value, low, high : float or None
        Point estimate and bounds; None means not evaluated, and ``note`` says why.
    n : int
        Number of independent units behind the value.
    method : str
        How the interval was made, for example ``cluster bootstrap by enterprise, 1000 draws, 95 %``.
    unit : str
        Unit of the value; ``1`` for shares.
    subject : str
        Model, queue or layer that is measured.
    against : str
        What it was held against: ``inspections``, ``truth (simulated)`` and so on.
    note : str
        Caveat or reason for a missing value.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    value: float | None
    low: float | None
    high: float | None
    n: int = Field(ge=0)
    method: str = Field(min_length=1)
    unit: str = "1"
    subject: str = ""
    against: str = ""
    note: str = ""

    @model_validator(mode="before")
    @classmethod
    def _nan_is_missing(cls, data: Any) -> Any:
        if isinstance(data, dict):
            for key in ("value", "low", "high"):
                x = data.get(key)
                if isinstance(x, float) and not math.isfinite(x):
                    data = {**data, key: None}
        return data

    def __str__(self) -> str:
        if self.value is None:
            return f"not evaluated ({self.note or 'no reason given'})"
        low = "–" if self.low is None else f"{self.low:.2f}"
        high = "–" if self.high is None else f"{self.high:.2f}"
        return f"{self.value:.2f} [{low}, {high}] n={self.n}"


class StepRecord(BaseModel):
    """One executed step (a notebook) of an iteration."""

    model_config = ConfigDict(extra="forbid")

    name: str
    status: Literal["done", "failed", "skipped"]
    inputs_hash: str
    outputs: dict[str, str] = Field(default_factory=dict, description="file name -> sha256")
    started_at: str = ""
    wall_s: float = 0.0
    peak_mib: float = 0.0
    reason: str = ""


class RunRecord(BaseModel):
    """Everything needed to repeat an iteration; written as ``run.json``."""

    model_config = ConfigDict(extra="forbid")

    iteration_id: str
    experiment: str
    author: str
    params: dict[str, Any]
    seed: int
    period: str
    catalog: str
    catalog_location: str = Field("", description="file or URL of the catalog")
    code_version: str
    environment_hash: str
    snapshot: dict[str, str] = Field(description="catalog entry -> content hash")
    created_at: str
    finished_at: str = ""
    status: Literal["running", "done", "failed"] = "running"
    steps: list[StepRecord] = Field(default_factory=list)
