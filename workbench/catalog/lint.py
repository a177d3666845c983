"""A lint of catalog files: form, references, and what a foreign file may make this process do.

intake's own errors are obscure (a missing block is a ``KeyError``), some mistakes are silent (a user parameter named
like a reader argument leaves data unfiltered; an entry without alias is not listed), and some files are dangerous
(any class, ``{func(…)}``, ``{import(…)}``, ``{pickle64(…)}``). Every issue says what, got, allowed, where (with its
line) and what to do next.
"""

from __future__ import annotations

import os
from typing import Any

from workbench.catalog.document import CatalogDocument, read_document
from workbench.catalog.rules import RULES
from workbench.catalog.structure import structure_issues
from workbench.contracts import CatalogError

MAX_NODES = 200_000


class LintError(CatalogError):
    """A catalog file with faults; ``issues`` holds every one of them."""

    def __init__(self, what: str, *, issues: list[CatalogError] | None = None, **fields: Any) -> None:
        super().__init__(what, **fields)
        self.issues = issues or []

    def payload(self) -> dict[str, Any]:
        """Return the five fields, and every fault in full."""
        faults = {"faults": "\n" + "\n\n".join(map(str, self.issues))} if self.issues else {}
        return super().payload() | faults

    def __str__(self) -> str:
        return "\n".join(str(v) if k == "what" else f"{k}: {v}" for k, v in self.payload().items())

    def __reduce__(self) -> tuple[Any, ...]:
        return _rebuild, (super().payload(), self.issues)


def _rebuild(payload: dict[str, Any], issues: list[CatalogError]) -> LintError:
    fields = dict(payload)
    return LintError(fields.pop("what"), issues=issues, next_step=fields.pop("next", None), **fields)


def lint_catalog(path: str | os.PathLike[str] | CatalogDocument) -> list[CatalogError]:
    """Return every fault of a catalog file; an empty list means that it can be opened.

    Raises
    ------
    CatalogError
        If the file cannot be read at all, or is not YAML.
    """
    document = path if isinstance(path, CatalogDocument) else read_document(path)
    if _unfolds_too_far(document.values):
        return [CatalogError("the catalog file unfolds to too many values", allowed=f"fewer than {MAX_NODES:,}", where=document.location)]
    found = document.duplicate_keys() + structure_issues(document)
    for rule in RULES:
        found += list(rule(document))
    return sorted(found, key=_line)


def refuse_faults(document: CatalogDocument) -> None:
    """Raise for a catalog file with faults, all of them at once.

    Raises
    ------
    LintError
        If there is at least one fault.
    """
    if issues := lint_catalog(document):
        raise LintError(
            f"the catalog file has {len(issues)} fault{'s' if len(issues) > 1 else ''}",
            where=document.location,
            next_step="mend what follows; nothing of it was opened",
            issues=issues,
        )


def _line(issue: CatalogError) -> tuple[int, str]:
    tail = (issue.where or "").rpartition(":")[2]
    return (int(tail) if tail.isdigit() else 0, issue.what)


def _unfolds_too_far(value: Any) -> bool:
    """Return whether a value has too many parts: a few YAML aliases can unfold without end."""
    stack, count = [value], 0
    while stack and count <= MAX_NODES:
        node = stack.pop()
        count += 1
        stack.extend(node.values() if isinstance(node, dict) else node if isinstance(node, list) else ())
    return count > MAX_NODES
