"""Texts of the apps in both languages."""

from __future__ import annotations

import re
from functools import cache
from importlib.resources import files
from typing import Literal

import yaml

from workbench.contracts import KIND_WORDS, Kind, Words, unknown_name

Language = Literal["zh", "en"]
_CJK = re.compile(r"[\u4e00-\u9fff]")


@cache
def words() -> dict[str, Words]:
    """Return every text of ``words.yml`` by name."""
    raw = yaml.safe_load(files("workbench.apps").joinpath("words.yml").read_text(encoding="utf-8"))
    return {str(name): Words.model_validate(pair) for name, pair in raw.items()}


def say(name: str, language: Language, /, **values: object) -> str:
    """Return a text, its ``{names}`` filled in (plain text: the caller escapes).

    Raises
    ------
    ParameterError
        If there is no such text.
    """
    if name not in words():
        raise unknown_name("text", name, words(), where="apps/words.yml")
    text: str = getattr(words()[name], language)
    return text.format(**values) if values else text


def say_or(name: str, language: Language, otherwise: str, /) -> str:
    """Return a text where there is one by this name, else ``otherwise``."""
    return say(name, language) if name in words() else otherwise


def kind_word(kind: str, language: Language) -> str:
    """Return the words of an offence kind; an unknown kind as it is written."""
    try:
        zh, en = KIND_WORDS[Kind(kind)]
    except ValueError:
        return kind
    return zh if language == "zh" else en


def half(text: str, language: Language) -> str:
    """Return the wanted half of a text written ``Chinese / English``; any other text whole."""
    left, slash, right = text.partition(" / ")
    if not slash or " / " in right or not _CJK.search(left) or _CJK.search(right):
        return text
    return left if language == "zh" else right
