"""Names of models and detectors as people read them, from the cards and rule files beside the models."""

from __future__ import annotations

from functools import cache
from importlib.resources import files

from workbench.apps.words import Language
from workbench.contracts import ParameterError, RuleRow, load_rules


def model_title(model: str, language: Language) -> str:
    """Return the title on a model's card; its id where it has none."""
    from workbench.models import available

    try:
        card = available().get(model)
    except ParameterError:  # a broken card stops no page
        card = None
    return model if card is None else str(getattr(card.title, language))


def detector_title(model: str, detector: str, language: Language) -> str:
    """Return the title of a detector's rule row; its id where it has none."""
    row = _rules(model).get(detector)
    return detector if row is None else str(getattr(row.title, language))


@cache
def _rules(model: str) -> dict[str, RuleRow]:
    file = files("workbench.models").joinpath(model, "params.yml")
    try:
        return load_rules(file) if model.isidentifier() and file.is_file() else {}
    except ParameterError:
        return {}
