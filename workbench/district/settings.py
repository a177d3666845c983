"""The numbers of the simulated world, read from the YAML files beside this module."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

import numpy as np
import yaml

from workbench.contracts import unknown_name


@cache
def document(name: str) -> dict[str, Any]:
    """Return a YAML file of this package, parsed once."""
    text = files("workbench.district").joinpath(f"{name}.yml").read_text(encoding="utf-8")
    parsed: dict[str, Any] = yaml.safe_load(text)
    return parsed


@cache
def _value(name: str) -> Any:
    section, key = name.split(".")
    return document("world")[section][key]["value"]


def number(name: str) -> float:
    """Return the number ``section.key`` of ``world.yml``, in the unit given there."""
    return float(_value(name))


def draw(rng: np.random.Generator, name: str) -> float:
    """Draw from the uniform range ``section.key`` of ``world.yml``."""
    low, high = _value(name)
    return float(rng.uniform(low, high))


@dataclass(frozen=True)
class Scale:
    """Size of a district: enterprises, days, public points, clips; ``points`` > 0 asks for that total exactly."""

    name: str
    enterprises: int
    days: int
    ambient: int
    surface_water: int
    streets: int
    clips: int
    points: int


def scale_named(name: str) -> Scale:
    """Return a scale by name.

    Raises
    ------
    ParameterError
        If there is no such scale.
    """
    known = document("world")["scales"]
    if name not in known:
        raise unknown_name("scale", name, known, where="workbench/district/world.yml")
    return Scale(name=name, **known[name])
