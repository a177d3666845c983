"""Rule rows: the numbers of a rule with their units, severity and basis, kept in YAML beside their owner."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from workbench.contracts.errors import ParameterError, unknown_name
from workbench.contracts.vocabulary import Severity


class Words(BaseModel):
    """A text in Chinese and English."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    zh: str = Field(min_length=1)
    en: str = Field(min_length=1)


class Threshold(BaseModel):
    """A number with its unit (``1`` for none)."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    value: float
    unit: str


class RuleRow(BaseModel):
    """The row of one rule or detector.

    Parameters
    ----------
    title : Words
        Name shown to reviewers.
    thresholds : mapping of str to Threshold
        The numbers the rule function receives as keyword arguments.
    severity : Severity
        How much a breach matters by itself.
    basis : str
        Article, standard or measurement the rule and its numbers rest on.
    checked : date
        When the basis was last read.
    mark : {"V", "C", "R"}
        V read in a source, C computed, R recalled and still to be checked.
    effective_from, effective_to : date, optional
        Days on which the rule is in force; missing means without bound.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    title: Words
    thresholds: dict[str, Threshold] = Field(default_factory=dict)
    severity: Severity
    basis: str = Field(min_length=3)
    checked: dt.date
    mark: Literal["V", "C", "R"]
    effective_from: dt.date | None = None
    effective_to: dt.date | None = None

    def numbers(self) -> dict[str, float]:
        """Return the thresholds as keyword arguments."""
        return {name: t.value for name, t in self.thresholds.items()}


def load_rules(file: Path | Traversable, overrides: Mapping[str, float] | None = None) -> dict[str, RuleRow]:
    """Read a file of rule rows, keyed by rule name.

    Parameters
    ----------
    file : path
        YAML file ``rules: {name: row}``.
    overrides : mapping, optional
        ``{"rule.threshold": value}`` from an experiment.

    Raises
    ------
    ParameterError
        If the file breaks the schema, or an override names no known threshold.
    """
    try:
        raw = yaml.safe_load(file.read_text(encoding="utf-8"))["rules"]
        rows = {str(name): RuleRow.model_validate(row) for name, row in raw.items()}
    except (yaml.YAMLError, ValidationError, KeyError, TypeError, AttributeError) as error:
        raise ParameterError(
            "cannot read a rule file",
            got=str(error),
            allowed="rules: {name: {title, thresholds, severity, basis, checked, mark}}",
            where=str(file),
        ) from error
    known = {f"{rule}.{name}" for rule, row in rows.items() for name in row.thresholds}
    for key, value in (overrides or {}).items():
        if key not in known:
            raise unknown_name("rule threshold", key, known, where=str(file))
        rule, name = key.rsplit(".", 1)
        row = rows[rule]
        changed = {**row.thresholds, name: Threshold(value=float(value), unit=row.thresholds[name].unit)}
        rows[rule] = row.model_copy(update={"thresholds": changed})
    return rows
