"""Supervision models, one folder each.

``available()`` reads every ``card.yml`` without importing any model; ``load(name)`` imports one.
"""

from __future__ import annotations

from functools import cache
from importlib import import_module
from importlib.resources import files
from typing import Any

import yaml
from pydantic import ValidationError

from workbench.contracts import ModelCard, ParameterError, SupervisionModel, unknown_name

__all__ = ["available", "load"]


@cache
def available() -> dict[str, ModelCard]:
    """Return the validated cards of all supervision models, by name.

    Raises
    ------
    ParameterError
        If a ``card.yml`` breaks its schema.
    """
    cards = {}
    for folder in sorted(files(__name__).iterdir(), key=lambda f: f.name):
        card = folder.joinpath("card.yml")
        if not folder.is_dir() or not card.is_file():
            continue
        try:
            cards[folder.name] = ModelCard.model_validate(yaml.safe_load(card.read_text(encoding="utf-8")))
        except (yaml.YAMLError, ValidationError) as error:
            raise ParameterError("cannot read a model card", got=str(error), where=f"models/{folder.name}/card.yml") from error
    return cards


def load(name: str, **params: Any) -> SupervisionModel:
    """Import one model and return it.

    Parameters
    ----------
    name : str
        One of :func:`available`.
    **params
        Settings of the model, such as ``overrides={"constant_value.p_max": 1e-6}``.

    Raises
    ------
    ParameterError
        If no model has this name.
    """
    if name not in available():
        raise unknown_name("model", name, available())
    module, _, attribute = available()[name].entry_point.partition(":")
    model: SupervisionModel = getattr(import_module(module), attribute)(**params)
    return model
