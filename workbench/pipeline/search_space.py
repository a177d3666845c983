"""What a tuning may change, and what it is judged by: the ``tuning`` block of an experiment."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Discriminator, Field, Tag, model_validator

Scalar = bool | int | float | str


class Range(BaseModel):
    """Numbers from ``low`` to ``high``, both included.

    Parameters
    ----------
    low, high : float
        In the parameter's own unit; whole numbers on both sides make a whole number.
    log : bool
        Search the logarithm, as suits probabilities and rates.
    step : float, optional
        Only low, low + step, ...
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    low: int | float
    high: int | float
    log: bool = False
    step: int | float | None = Field(default=None, gt=0)

    @model_validator(mode="after")
    def _reads(self) -> Self:
        if not self.low < self.high:
            raise ValueError("low is below high")
        if self.log and self.low <= 0:
            raise ValueError("log needs low above 0")
        if self.log and self.step is not None:
            raise ValueError("log and step exclude each other")
        return self

    @property
    def whole(self) -> bool:
        """Whether the parameter is a whole number."""
        return all(isinstance(v, int) for v in (self.low, self.high, self.step) if v is not None)


class Choice(BaseModel):
    """One of a few values."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    choices: list[Scalar] = Field(min_length=2)


def _which(raw: Any) -> str:
    return "choice" if isinstance(raw, Choice) or (isinstance(raw, dict) and "choices" in raw) else "range"


Dimension = Annotated[Annotated[Range, Tag("range")] | Annotated[Choice, Tag("choice")], Discriminator(_which)]


class Objective(BaseModel):
    """The one figure that is to become better.

    Parameters
    ----------
    metric : str
        Name of a metric that the experiment's last step writes, such as ``brier`` or ``precision@70``.
    against : {"inspections"}
        Decided inspections only. The truth of a simulated district is not offered: a model tuned on it would have
        read it.
    direction : {"maximize", "minimize"}
    min_n : int
        A trial measured on fewer independent units says nothing and is set aside.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    metric: str = Field(min_length=1)
    subject: str = ""
    against: Literal["inspections"] = "inspections"
    direction: Literal["maximize", "minimize"]
    min_n: int = Field(default=10, ge=1)


class Tuning(BaseModel):
    """``tuning`` in ``experiment.yml``.

    Parameters
    ----------
    objective : Objective
    search : mapping of setting to Range or Choice
        Keys as for ``--set``: ``NOTEBOOK.PARAMETER``, ``NOTEBOOK.overrides.RULE.PARAMETER``.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    objective: Objective
    search: dict[str, Dimension] = Field(min_length=1)
