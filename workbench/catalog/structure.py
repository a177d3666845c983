"""The form of a catalog file, as pydantic models; :mod:`workbench.catalog.lint` adds the rules across blocks."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from workbench.catalog.document import CatalogDocument
from workbench.contracts import CatalogError, nearest

NOTHING = Field(description="user parameters stand at catalog level only", max_length=0)


class _Block(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


class Generate(_Block):
    """``metadata.generate``: the district this catalog points at is simulated on first use."""

    scale: Literal["tiny", "small", "full"]
    seed: int = Field(ge=0)


class Metadata(BaseModel):
    """``metadata``: free, but for these."""

    model_config = ConfigDict(extra="allow", strict=True)

    name: str | None = None
    timezone: Literal["Asia/Shanghai"] | None = None
    generate: Generate | None = None


class DataBlock(_Block):
    """One item of ``data``."""

    datatype: str
    kwargs: dict[str, Any]
    metadata: dict[str, Any]
    user_parameters: dict[str, Any] = NOTHING


class EntryBlock(_Block):
    """One item of ``entries``."""

    reader: str
    kwargs: dict[str, Any]
    output_instance: str | None
    metadata: dict[str, Any]
    user_parameters: dict[str, Any] = NOTHING


class Structure(_Block):
    """The whole file."""

    version: Literal[2]
    metadata: Metadata
    user_parameters: dict[str, Any]
    data: dict[str, DataBlock]
    entries: dict[str, EntryBlock]
    aliases: dict[str, str]


_BLOCKS: dict[str, type[BaseModel]] = {"": Structure, "data": DataBlock, "entries": EntryBlock, "generate": Generate}
_EMPTY = {"version": "2", "output_instance": "null"}


def structure_issues(document: CatalogDocument) -> list[CatalogError]:
    """Return every departure from the form of a catalog file."""
    try:
        Structure.model_validate(document.values)
    except ValidationError as error:
        return [_issue(document, dict(e)) for e in error.errors(include_url=False)]
    return []


def spec_issues(document: CatalogDocument, spec: type[BaseModel], values: Any, path: tuple[Any, ...]) -> list[CatalogError]:
    """Return every departure of one of our readers' settings from their form."""
    try:
        spec.model_validate(values)
    except ValidationError as error:
        return [_issue(document, dict(e), path, spec) for e in error.errors(include_url=False)]
    return []


def _issue(
    document: CatalogDocument, error: dict[str, Any], above: tuple[Any, ...] = (), spec: type[BaseModel] | None = None
) -> CatalogError:
    path = above + tuple(error["loc"])
    name, place = str(path[-1]) if path else "", ".".join(map(str, path))
    where = document.where(path)
    known = sorted(spec.model_fields) if spec else sorted(_fields_of(path))
    if error["type"] == "missing":
        return CatalogError(
            f"{place} is missing", where=where, allowed=known or None, next_step=f"write `{name}: {_EMPTY.get(name, '{}')}` even when empty"
        )
    if error["type"] == "extra_forbidden":
        hint = nearest(name, known)
        return CatalogError(
            f"{place} is not a part of a catalog file",
            got=name,
            allowed=known,
            where=where,
            next_step=f"did you mean {hint!r}?" if hint else "leave it out",
        )
    if name == "user_parameters" and error["type"] == "too_long":
        return CatalogError(
            f"{place}: user parameters stand at catalog level only",
            got=sorted(error["input"]),
            allowed="{}",
            where=where,
            next_step="move them to the block user_parameters at the top",
        )
    return CatalogError(
        f"{place}: {error['msg']}", got=repr(error["input"])[:120], where=where, next_step="see catalogs/examples/your_own.yml"
    )


def _fields_of(path: tuple[Any, ...]) -> list[str]:
    if len(path) == 1:
        return list(Structure.model_fields)
    if len(path) == 3 and path[0] in _BLOCKS:
        return list(_BLOCKS[path[0]].model_fields)
    return list(Generate.model_fields) if path[:2] == ("metadata", "generate") else []
