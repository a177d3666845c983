"""The model's numbers, read from its YAML files: rules, preparation, priors, articles, caps and coefficients."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources import files
from typing import Any

import pandas as pd
import yaml

from workbench.contracts import Kind, Outcome, ParameterError
from workbench.models.permit.dossier import Cap, Coefficient
from workbench.models.rule_settings import Settings as RuleSettings
from workbench.models.rule_settings import read_settings

_PACKAGE = "workbench.models.permit"
_FOLDER = files(_PACKAGE)
_MEDIUM = {"大气污染防治法": "air", "水污染防治法": "water"}


@dataclass(frozen=True)
class Prior:
    """What a violated rule says by itself: kind, outcome, share that holds up, and how much that share is worth."""

    kind: Kind
    outcome: Outcome
    share: float
    weight: float
    slope: float


@dataclass(frozen=True)
class Settings(RuleSettings):
    """Every number the model uses.

    Parameters
    ----------
    priors : mapping of str to Prior
        ``priors.yml``.
    """

    priors: Mapping[str, Prior]
    laws: Mapping[str, Mapping[str, Any]]
    articles: Mapping[str, Mapping[str, str]]
    caps: tuple[tuple[frozenset[str], Cap], ...]
    coefficients: Mapping[tuple[str, str], Coefficient]

    def caps_of(self, industry: str) -> tuple[Cap, ...]:
        """Return the marking caps on record for an industry."""
        return tuple(cap for industries, cap in self.caps if industry in industries)

    def in_force(self, rule: str, day: pd.Timestamp) -> bool:
        """Return whether a rule is in force on a day."""
        row, date = self.rules[rule], pd.Timestamp(day).date()
        return not ((row.effective_from and date < row.effective_from) or (row.effective_to and date > row.effective_to))

    def cite(self, rule: str, act: pd.Timestamp, medium: str = "") -> list[str]:
        """Return the articles that may be cited for an act of this day, as ``生态环境法典 Art. 1103``.

        Parameters
        ----------
        rule : str
            Rule name.
        act : Timestamp
            Day of the act: the law of the time of the act (Code Art. 1057).
        medium : {"", "air", "water"}
            The Air and Water Laws are cited for their own medium only.
        """
        day, found = act.date(), []
        for law, article in self.articles[rule].items():
            row = self.laws[law]
            if day < row["from"] or day > row.get("to", dt.date.max) or (law in _MEDIUM and _MEDIUM[law] != medium):
                continue
            found.append(f"{law} Art. {article}")
        return found


def load_settings(overrides: Mapping[str, float] | None = None) -> Settings:
    """Read the model's files.

    Parameters
    ----------
    overrides : mapping, optional
        ``{"rule.threshold": value}``, for rules and preparation alike.

    Raises
    ------
    ParameterError
        If a file breaks its schema or an override names nothing.
    """
    rows = read_settings(_PACKAGE, overrides)
    law, caps, coefficients = _read("articles.yml"), _read("marking_caps.yml"), _read("coefficients.yml")
    try:
        priors = {
            name: Prior(Kind(p["kind"]), Outcome(p["outcome"]), float(p["share"]), float(p["weight"]), float(p["slope"]))
            for name, p in _read("priors.yml")["rules"].items()
        }
        return Settings(
            rules=rows.rules,
            preparation=rows.preparation,
            priors=priors,
            laws=law["laws"],
            articles={r: {k: str(v) for k, v in a.items()} for r, a in law["rules"].items()},
            caps=tuple((frozenset(c["industries"]), Cap(tuple(c["kinds"]), float(c["hours"]), c["basis"])) for c in caps["caps"]),
            coefficients={
                (str(c["industry"]), str(c["factor"])): Coefficient(
                    float(c["generated_kg_t"]), float(c["removal"]), float(c["running"]), float(c["sigma"]), str(c["source"])
                )
                for c in coefficients["coefficients"]
            },
        )
    except (KeyError, TypeError, ValueError) as error:
        raise ParameterError("a parameter file of the permit model breaks its schema", got=repr(error), where="models/permit") from error


def _read(name: str) -> Any:
    return yaml.safe_load((_FOLDER / name).read_text(encoding="utf-8"))
