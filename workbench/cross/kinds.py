"""What a lead of each kind says and suggests, read from ``kinds.yml``."""

from __future__ import annotations

import datetime as dt
from functools import cache
from importlib.resources import files
from typing import Literal

import pandas as pd
import yaml
from pydantic import BaseModel, ConfigDict

from workbench.contracts import Kind

Track = Literal["physical", "paper", "carbon", "fugitive"]


class KindRow(BaseModel):
    """Words, next check and articles of one kind of lead."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    track: Track
    check_zh: str
    check_en: str
    innocent_zh: str
    innocent_en: str
    articles_new: list[str]
    articles_old: list[str]


@cache
def _file() -> tuple[dt.date, dict[Kind, KindRow]]:
    raw = yaml.safe_load(files("workbench.cross").joinpath("kinds.yml").read_text(encoding="utf-8"))
    return raw["code_in_force"], {Kind(k): KindRow.model_validate(v) for k, v in raw["kinds"].items()}


def kind_row(kind: str) -> KindRow:
    """Return the row of a kind (every :class:`~workbench.contracts.Kind` has one)."""
    return _file()[1][Kind(kind)]


def track_of(kind: str) -> Track:
    """Return which kinds are looked into together: their findings may form one episode."""
    return kind_row(kind).track


def articles(kind: str, on: pd.Timestamp) -> list[str]:
    """Return the articles to open first for an act on a day: the old laws before the Code came into force."""
    row = kind_row(kind)
    return list(row.articles_new if on.date() >= _file()[0] else row.articles_old)
