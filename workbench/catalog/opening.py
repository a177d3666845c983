"""Opening a catalog file: lint, parameters, and the simulated district that is generated on first use."""

from __future__ import annotations

import json
import os
import re
import shlex
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from workbench.catalog.document import CatalogDocument, read_document
from workbench.catalog.lint import refuse_faults
from workbench.catalog.structure import Generate
from workbench.catalog.view import Catalog
from workbench.contracts import CatalogError, ParameterError, unknown_name

GENERATED = ".generated"
NOTE = "district.json"
"""What the generator writes beside the catalog file about itself."""


@dataclass(frozen=True)
class GenerationSpec:
    """The simulated district that a catalog points at, and that is not there yet or that another generator made.

    Parameters
    ----------
    scale : {"tiny", "small", "full"}
        Size of the district.
    seed : int
        Its seed.
    folder : Path
        Folder it must be generated into, as a whole (into a temporary folder beside it, then renamed).
    catalog : Path
        Catalog file inside ``folder``; that it exists says that the district is complete.
    """

    scale: str
    seed: int
    folder: Path
    catalog: Path

    def made_by(self) -> str | None:
        """Return the fingerprint of the generator that made the kept district; None where none is recorded or kept."""
        try:
            return str(json.loads((self.folder / NOTE).read_text(encoding="utf-8")).get("fingerprint", ""))
        except (OSError, ValueError, AttributeError):
            return None

    def command(self) -> str:
        """Return the command that makes the district."""
        return f"workbench generate --scale {self.scale} --seed {self.seed} {shlex.quote(str(self.folder))}"


def needs_generation(path: str | os.PathLike[str], fingerprint: Callable[[str, int], str] | None = None) -> GenerationSpec | None:
    """Return what must be generated before ``path`` can be opened, or None.

    A catalog file with ``metadata: {generate: {scale: small, seed: 2026}}`` holds no entries of its own: it stands for
    the district in ``.generated/<scale>-<seed>/`` beside it. The catalog package does not simulate, so the pipeline
    and the command line ask this first, generate into ``spec.folder`` and then call :func:`open_catalog`.

    Parameters
    ----------
    path : str or path
        Catalog file, folder or URL.
    fingerprint : callable, optional
        What a district of a scale and seed would carry if made now. A kept one that its generator signed otherwise
        (``district.json``) must be made anew; one put there by hand, without that file, stands.

    Raises
    ------
    CatalogError
        If the file cannot be read, or its ``generate`` block has another form.
    """
    document = read_document(path)
    spec = _generation(document)
    if spec is None or not spec.catalog.is_file():
        return spec
    made_by = spec.made_by()
    changed = fingerprint is not None and made_by is not None and made_by != fingerprint(spec.scale, spec.seed)
    return spec if changed else None


def open_catalog(path: str | os.PathLike[str], **parameters: Any) -> Catalog:
    """Open a catalog file.

    Reads the file only; tables are read, and cubes opened lazily, when they are asked for.

    Parameters
    ----------
    path : str or path
        Catalog file, the folder that holds ``catalog.yml``, or a URL (``https://``, ``s3://``).
    **parameters
        Values of the catalog's user parameters. One whose default is ``env(WORKBENCH_…)`` is taken from that
        environment variable where it is not given.

    Returns
    -------
    Catalog

    Raises
    ------
    LintError
        If the file has faults (all of them at once); nothing of it is opened.
    CatalogError
        If the file cannot be read, or its simulated district has not been generated.
    ParameterError
        If a parameter is not one of the catalog's, or a required one has no value.
    """
    document = read_document(path)
    refuse_faults(document)
    name = _name(document)
    if (spec := _generation(document)) is not None:
        if not spec.catalog.is_file():
            raise CatalogError(
                "the simulated district of this catalog has not been generated yet",
                where=str(spec.catalog),
                next_step=f"`{spec.command()}` (`workbench run` does it by itself on first use)",
            )
        document = read_document(spec.catalog)
        refuse_faults(document)
    return Catalog(document, name, _parameters(document, parameters), given=dict(parameters), opened_as=os.fspath(path))


def _name(document: CatalogDocument) -> str:
    named = document.values["metadata"].get("name")
    if named:
        return str(named)
    stem = document.location.rstrip("/").rsplit("/", 1)[-1].rsplit(".", 1)[0]
    return document.folder.rstrip("/").rsplit("/", 1)[-1] if stem == "catalog" else stem


def _generation(document: CatalogDocument) -> GenerationSpec | None:
    metadata = document.values.get("metadata")
    raw = metadata.get("generate") if isinstance(metadata, dict) else None
    if raw is None:
        return None
    try:
        wanted = Generate.model_validate(raw)
    except ValueError as error:
        raise CatalogError(
            "metadata.generate has another form",
            got=raw,
            allowed="{scale: tiny | small | full, seed: <whole number>}",
            where=document.where(("metadata", "generate")),
        ) from error
    if "://" in document.folder:
        raise CatalogError("only a catalog file on this machine can ask for a simulated district", where=document.location)
    folder = Path(document.folder) / GENERATED / f"{wanted.scale}-{wanted.seed}"
    return GenerationSpec(wanted.scale, wanted.seed, folder, folder / "catalog.yml")


def _parameters(document: CatalogDocument, given: dict[str, Any]) -> dict[str, Any]:
    declared: dict[str, Any] = document.values["user_parameters"]
    for name in given:
        if name not in declared:
            raise unknown_name("user parameter of this catalog", name, declared, where=document.location)
    return {name: _value(document, name, item, given) for name, item in declared.items()}


def _value(document: CatalogDocument, name: str, item: Any, given: dict[str, Any]) -> Any:
    item = item if isinstance(item, dict) else {"default": item}
    default, variable = item.get("default"), None
    if isinstance(default, str) and (m := re.fullmatch(r"env\((\w+)\)", default)):
        variable, default = m[1], os.environ.get(m[1])
    value = given.get(name, default)
    what, where = item.get("description", ""), document.where(("user_parameters", name))
    if value is None or value == "":
        doors = f"pass {name}=… to open_catalog" + (f", or set the environment variable {variable}" if variable else "")
        raise ParameterError(f"the catalog needs a value of {name}", allowed=what or None, where=where, next_step=doors)
    if isinstance(value, os.PathLike):
        value = os.fspath(value)
    dtype = {"str": str, "int": int, "float": float, "bool": bool}.get(item.get("dtype", ""))
    try:
        value = value if dtype is None or isinstance(value, dtype) else _cast(dtype, value)
    except (TypeError, ValueError) as error:
        raise ParameterError(f"user parameter {name} has another type", got=value, allowed=item["dtype"], where=where) from error
    options, low, high = item.get("options"), item.get("min"), item.get("max")
    if options is not None and value not in options:
        raise ParameterError(f"user parameter {name} is not one of its options", got=value, allowed=list(options), where=where)
    if (low is not None and value < low) or (high is not None and value > high):
        raise ParameterError(f"user parameter {name} is out of range", got=value, allowed=f"{low} … {high}", where=where)
    return value


def _cast(dtype: type, value: Any) -> Any:
    if dtype is bool:
        words = {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}
        if str(value).lower() not in words:
            raise ValueError(value)
        return words[str(value).lower()]
    return dtype(value)
