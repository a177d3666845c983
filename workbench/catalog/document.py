"""A catalog file as text, as plain values, and as lines to point at."""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import fsspec
import yaml
from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap, CommentedSeq
from ruamel.yaml.error import YAMLError as RuamelError

from workbench.contracts import CatalogError

MAX_BYTES = 4_000_000
"""A catalog file is short; a larger one is data or an attack."""


@dataclass(frozen=True)
class CatalogDocument:
    """The text of a catalog file and where it came from.

    Parameters
    ----------
    location : str
        Absolute path, or URL, of the file.
    folder : str
        Absolute path, or URL, of the folder it lies in; ``{CATALOG_DIR}`` stands for it.
    text : str
        The YAML text.
    """

    location: str
    folder: str
    text: str

    @cached_property
    def values(self) -> dict[str, Any]:
        """Return the plain values, read as intake reads them (YAML 1.1, no tags).

        Raises
        ------
        CatalogError
            If the text is not YAML, or not a mapping.
        """
        try:
            values = yaml.load(self.text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))  # noqa: S506  both are safe loaders
        except yaml.YAMLError as error:
            mark = getattr(error, "problem_mark", None)
            where = f"{self.location}:{mark.line + 1}" if mark else self.location
            raise CatalogError(
                "the catalog file is not YAML", got=getattr(error, "problem", None) or str(error), where=where, next_step="mend this line"
            ) from error
        if not isinstance(values, dict):
            raise CatalogError(
                "the catalog file is not a mapping",
                got=type(values).__name__,
                allowed="the blocks version, metadata, user_parameters, data, entries, aliases",
                where=self.location,
                next_step="start from catalogs/examples/your_own.yml",
            )
        return values

    @cached_property
    def _marked(self) -> Any:
        try:
            return YAML().load(self.text)
        except (RuamelError, ValueError):
            return None

    def where(self, path: tuple[Any, ...]) -> str:
        """Return ``file:line`` of the deepest part of ``path`` that stands in the file."""
        node, line = self._marked, None
        for step in path:
            try:
                if isinstance(node, CommentedMap) and step in node:
                    line = node.lc.key(step)[0]
                elif isinstance(node, CommentedSeq) and isinstance(step, int) and step < len(node):
                    line = node.lc.item(step)[0]
                else:
                    break
            except (KeyError, TypeError, AttributeError):  # merged keys carry no line
                break
            node = node[step]
        return self.location if line is None else f"{self.location}:{line + 1}"

    def duplicate_keys(self) -> list[CatalogError]:
        """Return the keys that stand twice in one mapping (plain YAML would keep the last, silently)."""
        try:
            root = yaml.compose(self.text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))
        except yaml.YAMLError:
            return []
        found: list[CatalogError] = []
        stack, seen = [root], set()
        while stack:
            node = stack.pop()
            if node is None or id(node) in seen:
                continue
            seen.add(id(node))
            if isinstance(node, yaml.MappingNode):
                keys: set[str] = set()
                for key, value in node.value:
                    if isinstance(key, yaml.ScalarNode) and key.value in keys:
                        found.append(
                            CatalogError(
                                "a key stands twice in one block",
                                got=key.value,
                                where=f"{self.location}:{key.start_mark.line + 1}",
                                next_step="keep one of the two",
                            )
                        )
                    elif isinstance(key, yaml.ScalarNode):
                        keys.add(key.value)
                    stack.append(value)
            elif isinstance(node, yaml.SequenceNode):
                stack.extend(node.value)
        return found


def read_document(path: str | os.PathLike[str], storage_options: dict[str, Any] | None = None) -> CatalogDocument:
    """Read a catalog file from a path or URL (a local folder stands for its ``catalog.yml``).

    Raises
    ------
    CatalogError
        If the file is absent, unreadable, too large or not UTF-8.
    """
    given = os.fspath(path)
    if "://" not in given and Path(given).is_dir():
        given = str(Path(given) / "catalog.yml")
    try:
        fs, inner = fsspec.core.url_to_fs(given, **(storage_options or {}))
        with fs.open(inner, "rb") as stream:
            raw = stream.read(MAX_BYTES + 1)
    except FileNotFoundError as error:
        raise CatalogError(
            "there is no such catalog file", got=given, next_step="check the path; `workbench generate` makes one"
        ) from error
    except ImportError as error:
        raise CatalogError(
            "this kind of URL needs a package that is not installed",
            got=f"{given}: {error}",
            next_step="pip install 'fsspec[http]' or s3fs",
        ) from error
    except (OSError, ValueError) as error:
        raise CatalogError(
            "cannot read the catalog file", got=str(error), where=given, next_step="check the path and its rights"
        ) from error
    if len(raw) > MAX_BYTES:
        raise CatalogError("the catalog file is too large", got=f"more than {MAX_BYTES:,} bytes", allowed="entries, not data", where=given)
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise CatalogError("the catalog file is not UTF-8", got=str(error), where=given, next_step="save it as UTF-8") from error
    local = "file" in ((fs.protocol,) if isinstance(fs.protocol, str) else fs.protocol)
    if local:
        return CatalogDocument(str(inner), str(Path(inner).parent), text)
    return CatalogDocument(given, fs.unstrip_protocol(fs._parent(inner)), text)
