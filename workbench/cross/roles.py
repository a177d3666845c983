"""Vocabulary of channel roles and expert priors, read from ``roles.yml`` and ``priors.yml``."""

from __future__ import annotations

import datetime as dt
from functools import cache
from importlib.resources import files
from typing import Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, model_validator

from workbench.cross.states import PARTS


class Role(BaseModel):
    """One role of ``roles.yml``."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    source: str
    levels: list[str] = Field(min_length=2)
    tells: list[Literal["M", "T", "X", "C", "H", "none"]]
    alert: list[str]
    zh: str
    en: str
    duty: str = ""

    @model_validator(mode="after")
    def _alerts_are_levels(self) -> Role:
        if unknown := set(self.alert) - set(self.levels):
            raise ValueError(f"alert levels {sorted(unknown)} are no levels")
        return self


class Alias(BaseModel):
    """What a channel without a role says, in the vocabulary of a role; an empty level says nothing."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    role: str
    levels: dict[str, str]


class Row(BaseModel):
    """Distribution over levels where the conditions on the state hold."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    when: dict[str, str]
    p: dict[str, float]

    @model_validator(mode="after")
    def _is_a_distribution(self) -> Row:
        for part, value in self.when.items():
            if part not in PARTS or value not in PARTS[part]:
                raise ValueError(f"{part}: {value} is no part of the state")
        if abs(sum(self.p.values()) - 1) > 1e-6 or min(self.p.values()) <= 0:
            raise ValueError(f"{self.p} is no distribution with every level possible")
        return self


class Emission(BaseModel):
    """Expert prior of one role's levels."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    basis: str
    rows: list[Row] = Field(min_length=1)
    worth: float = Field(default=40.0, gt=0, description="how many observed hours the prior is worth in a fit")

    @model_validator(mode="after")
    def _covers_every_state(self) -> Emission:
        if self.rows[-1].when:
            raise ValueError("the last row must hold for every state")
        return self


class Spell(BaseModel):
    """Share of time and mean length of one trouble; ``delta``: log-odds added while there is a motive."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    share: float = Field(gt=0, lt=1)
    days: float = Field(gt=0)
    delta: float = 0.0


class Beta(BaseModel):
    """A Beta prior by mean and worth (pseudo-observations)."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    mean: float = Field(gt=0, lt=1)
    worth: float = Field(gt=0)


class Priors(BaseModel):
    """All of ``priors.yml``."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    checked: dt.date
    mark: Literal["V", "C", "R"]
    operation: dict[str, Any]
    context: dict[str, Any]
    treatment_off: dict[str, Any]
    over_limit: dict[str, Any]
    regimes: dict[str, Any]
    inspection: dict[str, Any]
    record: dict[str, Any]
    silent: dict[str, Any]
    nuisance: dict[str, Any]
    generic: dict[str, Any]
    findings: dict[str, Any]
    doubts: dict[str, Any]
    emissions: dict[str, Emission]
    duties: dict[str, dict[str, Any]]

    def spell(self, name: str) -> Spell:
        """Return the spell of ``z_T``, ``z_X``, ``monitor``, ``power`` or ``declaration``."""
        return Spell.model_validate(self.regimes[name])


@cache
def roles() -> dict[str, Role]:
    """Return the roles by name."""
    raw = yaml.safe_load(files("workbench.cross").joinpath("roles.yml").read_text(encoding="utf-8"))
    return {name: Role.model_validate(row) for name, row in raw["roles"].items()}


@cache
def level_words() -> dict[str, str]:
    """Return how each level of the vocabulary reads in Chinese."""
    raw = yaml.safe_load(files("workbench.cross").joinpath("roles.yml").read_text(encoding="utf-8"))
    return {str(k): str(v) for k, v in raw["levels"].items()}


@cache
def priors() -> Priors:
    """Return the expert priors."""
    return Priors.model_validate(yaml.safe_load(files("workbench.cross").joinpath("priors.yml").read_text(encoding="utf-8")))


@cache
def aliases() -> dict[str, Alias]:
    """Return, by channel name, what channels without a role of their own say."""
    raw = yaml.safe_load(files("workbench.cross").joinpath("aliases.yml").read_text(encoding="utf-8"))
    return {name: Alias.model_validate(row) for name, row in raw["aliases"].items()}
