"""The rules a catalog file is held to, each a sentence; :mod:`workbench.catalog.lint` runs them all."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any

from workbench.catalog.allowed import (
    DATATYPES,
    ENVIRONMENT,
    PARAMETER_CLASSES,
    PARAMETER_DTYPES,
    PROTOCOLS,
    READERS,
    RESERVED_PARAMETERS,
    reader_arguments,
)
from workbench.catalog.document import CatalogDocument
from workbench.catalog.structure import spec_issues
from workbench.contracts import CatalogError, nearest

Path = tuple[Any, ...]
SECRET = re.compile(r"secret|token|passw|credential|private|(^|_)key|(^|_)sas|auth", re.IGNORECASE)
REFERENCE = re.compile(r"\{data\(([^(),{}]+)\)\}")


def _walk(value: Any, path: Path) -> Iterator[tuple[Path, Any]]:
    """Yield every leaf with its path."""
    stack = [(path, value)]
    while stack:
        here, node = stack.pop()
        if isinstance(node, dict):
            stack.extend(((*here, k), v) for k, v in node.items())
            if not node:
                yield here, node
        elif isinstance(node, list):
            stack.extend(((*here, i), v) for i, v in enumerate(node))
        else:
            yield here, node


def _block(document: CatalogDocument, name: str) -> dict[str, Any]:
    block = document.values.get(name)
    return block if isinstance(block, dict) else {}


def _items(document: CatalogDocument, name: str) -> Iterator[tuple[str, dict[str, Any], dict[str, Any]]]:
    for key, item in _block(document, name).items():
        if isinstance(item, dict):
            kwargs = item.get("kwargs")
            yield str(key), item, kwargs if isinstance(kwargs, dict) else {}


def every_entry_is_aliased(document: CatalogDocument) -> Iterator[CatalogError]:
    """Intake lists aliases only: an entry without one is invisible."""
    targets = {str(v) for v in _block(document, "aliases").values()}
    for key in _block(document, "entries"):
        if key not in targets:
            yield CatalogError(
                f"entry {key} has no alias, so nothing lists it",
                where=document.where(("entries", key)),
                next_step=f"add a line `<entry name>: {key}` to aliases",
            )


def every_alias_names_an_entry(document: CatalogDocument) -> Iterator[CatalogError]:
    """An alias points at an entry, and shares its own name with no block."""
    entries, data = _block(document, "entries"), _block(document, "data")
    for alias, target in _block(document, "aliases").items():
        where = document.where(("aliases", alias))
        if target not in entries:
            hint = nearest(str(target), map(str, entries))
            next_step = f"did you mean {hint!r}?" if hint else "name a key of the block entries"
            yield CatalogError(
                f"alias {alias} names no entry", got=target, allowed=sorted(map(str, entries)), where=where, next_step=next_step
            )
        for block, name in ((entries, "entries"), (data, "data")):
            if alias in block:
                yield CatalogError(
                    f"alias {alias} has the name of a key of {name}; intake would open the wrong one",
                    got=alias,
                    where=where,
                    next_step=f"rename the key in {name}, for example {'read' if name == 'entries' else 'file'}_{alias}",
                )


def every_reader_is_allowed(document: CatalogDocument) -> Iterator[CatalogError]:
    """Only readers and arguments of the allow-list are opened: a catalog file must not run code of its choice."""
    for key, item, kwargs in _items(document, "entries"):
        reader, path = item.get("reader"), ("entries", key, "reader")
        rule = READERS.get(reader) if isinstance(reader, str) else None
        if rule is None:
            yield CatalogError(
                f"entry {key}: this reader is not allowed",
                got=reader,
                allowed=sorted(READERS),
                where=document.where(path),
                next_step="use one of the allowed readers; a new kind of source needs a reader in workbench.catalog",
            )
            continue
        settings = {k: v for k, v in kwargs.items() if k not in ("args", "data")}
        if rule.spec is not None:
            yield from spec_issues(document, rule.spec, settings, ("entries", key, "kwargs"))
        for name, value in settings.items() if rule.spec is None else ():
            where = document.where(("entries", key, "kwargs", name))
            if name not in rule.arguments:
                hint = nearest(str(name), rule.arguments)
                next_step = f"did you mean {hint!r}?" if hint else "leave it out"
                yield CatalogError(
                    f"entry {key}: argument not allowed", got=name, allowed=sorted(rule.arguments), where=where, next_step=next_step
                )
            elif name in rule.choices and (not isinstance(value, str) or value not in rule.choices[name]):
                yield CatalogError(
                    f"entry {key}: value of {name} not allowed", got=value, allowed=sorted(map(str, rule.choices[name])), where=where
                )


def every_datatype_is_allowed(document: CatalogDocument) -> Iterator[CatalogError]:
    """Only data types and arguments of the allow-list are opened."""
    for key, item, kwargs in _items(document, "data"):
        datatype = item.get("datatype")
        allowed = DATATYPES.get(datatype) if isinstance(datatype, str) else None
        if allowed is None:
            where = document.where(("data", key, "datatype"))
            yield CatalogError(f"data {key}: this data type is not allowed", got=datatype, allowed=sorted(DATATYPES), where=where)
            continue
        for name in sorted(set(map(str, kwargs)) - allowed):
            where = document.where(("data", key, "kwargs", name))
            yield CatalogError(
                f"data {key}: argument not allowed", got=name, allowed=sorted(allowed), where=where, next_step="leave it out"
            )
        if "url" not in kwargs:
            yield CatalogError(f"data {key} has no url", where=document.where(("data", key)), next_step="add `url: '{CATALOG_DIR}/…'`")


def every_reference_exists(document: CatalogDocument) -> Iterator[CatalogError]:
    """A reader of files is given one data block that exists and that it can read; an inline table none."""
    data = _block(document, "data")
    for key, item, kwargs in _items(document, "entries"):
        rule = READERS.get(item["reader"]) if isinstance(item.get("reader"), str) else None
        if rule is None:
            continue
        path, given = ("entries", key, "kwargs"), list(_given(kwargs))
        where = document.where((*path, "args" if "args" in kwargs else "data"))
        if not rule.datatypes and given:
            yield CatalogError(f"entry {key}: this reader takes no data block", got=given, where=where, next_step="leave out args")
        if not rule.datatypes:
            continue
        names = [m[1] for g in given if isinstance(g, str) and (m := REFERENCE.fullmatch(g))]
        if len(given) != 1 or len(names) != 1:
            yield CatalogError(
                f"entry {key}: not given exactly one data block",
                got=given,
                allowed="args: ['{data(<key of data>)}']",
                where=where,
                next_step="list several files in the url of one data block",
            )
        elif names[0] not in data:
            hint = nearest(names[0], map(str, data))
            next_step = f"did you mean {hint!r}?" if hint else "add it to the block data"
            yield CatalogError(
                f"entry {key}: no such data block", got=names[0], allowed=sorted(map(str, data)), where=where, next_step=next_step
            )
        elif isinstance(data[names[0]], dict) and (kind := data[names[0]].get("datatype")) in DATATYPES and kind not in rule.datatypes:
            yield CatalogError(
                f"entry {key}: this reader cannot read data block {names[0]}", got=kind, allowed=sorted(rule.datatypes), where=where
            )


def _given(kwargs: dict[str, Any]) -> Iterator[Any]:
    args = kwargs.get("args", [])
    yield from args if isinstance(args, list) else [args]
    if "data" in kwargs:
        yield kwargs["data"]


def every_template_is_known(document: CatalogDocument) -> Iterator[CatalogError]:
    """Braces hold a user parameter, the catalog's folder, a data block or an allowed environment variable, and no code."""
    parameters = set(map(str, _block(document, "user_parameters")))
    used: set[str] = set()
    for block in ("data", "entries"):
        for key, _, kwargs in _items(document, block):
            for path, leaf in _walk(kwargs, (block, key, "kwargs")):
                if not isinstance(leaf, str):
                    continue
                reference = block == "entries" and len(path) > 3 and path[3] in ("args", "data") and REFERENCE.fullmatch(leaf)
                inner = [] if reference else re.findall(r"\{([^{}]*)\}", leaf)
                used |= set(inner)
                bad = [t for t in inner if not _template_allowed(t, parameters, path)]
                if bad or (not reference and re.search(r"[{}]", re.sub(r"\{[^{}]*\}", "", leaf))) or re.match(r"data\(", leaf):
                    yield CatalogError(
                        f"{block} {key}: what stands in braces is not allowed here",
                        got=leaf,
                        allowed=["{CATALOG_DIR}", *(f"{{{p}}}" for p in sorted(parameters)), "{env(WORKBENCH_…)} in storage_options"],
                        where=document.where(path),
                        next_step="functions, imports and pickles are never run from a catalog file",
                    )
    for name in sorted(parameters - used):
        yield CatalogError(
            f"user parameter {name} is used nowhere",
            where=document.where(("user_parameters", name)),
            next_step=f"write {{{name}}} where it is meant, or leave it out (given values would change nothing)",
        )


def _template_allowed(text: str, parameters: set[str], path: Path) -> bool:
    if text == "CATALOG_DIR" or text in parameters:
        return True
    return bool(re.fullmatch(rf"env\({ENVIRONMENT}\)", text)) and len(path) > 3 and path[3] == "storage_options"


def every_parameter_is_plain(document: CatalogDocument) -> Iterator[CatalogError]:
    """A user parameter is a plain value, and never named like an argument of a reader (intake would swallow that argument)."""
    taken = reader_arguments() | {str(k) for b in ("data", "entries") for _, _, kwargs in _items(document, b) for k in kwargs}
    for name, item in _block(document, "user_parameters").items():
        where = document.where(("user_parameters", name))
        if not re.fullmatch(r"[A-Za-z_]\w*", str(name)):
            yield CatalogError("a user parameter's name is not an identifier", got=name, allowed="letters, digits, _", where=where)
        if name in RESERVED_PARAMETERS or name in taken:
            yield CatalogError(
                f"user parameter {name} is named like an argument of a reader or of intake",
                got=name,
                allowed="any other name",
                where=where,
                next_step=f"rename it, for example wanted_{name}: intake would take the reader's argument away, silently",
            )
        if not isinstance(item, dict):
            item = {"default": item, "cls": next(iter(PARAMETER_CLASSES))}
        if item.get("cls") not in PARAMETER_CLASSES:
            yield CatalogError(
                f"user parameter {name}: class not allowed", got=item.get("cls"), allowed=sorted(PARAMETER_CLASSES), where=where
            )
        if "default" not in item:
            yield CatalogError(f"user parameter {name} has no default", where=where, next_step="write `default: ''` for a required one")
        if "dtype" in item and item["dtype"] not in PARAMETER_DTYPES:
            yield CatalogError(
                f"user parameter {name}: dtype not allowed", got=item["dtype"], allowed=sorted(PARAMETER_DTYPES), where=where
            )
        default = item.get("default")
        if isinstance(default, (dict, list)) or (
            isinstance(default, str) and re.search(r"[{}]|^\w+\(", default) and not re.fullmatch(rf"env\({ENVIRONMENT}\)", default)
        ):
            yield CatalogError(
                f"user parameter {name}: default not allowed",
                got=default,
                allowed="a plain value, or env(WORKBENCH_…)",
                where=where,
                next_step="functions and imports are never run from a catalog file",
            )


def every_url_is_placed(document: CatalogDocument) -> Iterator[CatalogError]:
    """A URL starts at the catalog's folder, a user parameter, an absolute path or an allowed protocol; secrets stand elsewhere."""
    for key, _, kwargs in _items(document, "data"):
        url = kwargs.get("url")
        for one in url if isinstance(url, list) else [url] if url is not None else []:
            where = document.where(("data", key, "kwargs", "url"))
            if not isinstance(one, str) or not one:
                yield CatalogError(f"data {key}: a url is not text", got=one, where=where)
                continue
            protocol = re.match(r"([A-Za-z][\w+.-]*)://", one)
            if "::" in one or "*" in one or (protocol and protocol[1].lower() not in PROTOCOLS):
                yield CatalogError(
                    f"data {key}: this kind of url is not allowed", got=one, allowed=[f"{p}://" for p in sorted(PROTOCOLS)], where=where
                )
            elif re.search(r"://[^/@]*:[^/@]*@", one):
                yield CatalogError(
                    f"data {key}: a password must not stand in a url",
                    got=one.split("://")[0] + "://…@…",
                    where=where,
                    next_step="use storage_options with {env(WORKBENCH_…)}",
                )
            elif not protocol and not one.startswith(("{", "/")):
                yield CatalogError(
                    f"data {key}: a relative url depends on where the program was started",
                    got=one,
                    where=where,
                    next_step=f"write {{CATALOG_DIR}}/{one}",
                )
        for path, value in _walk(kwargs.get("storage_options") or {}, ("data", key, "kwargs", "storage_options")):
            secret = any(SECRET.search(str(p)) for p in path[4:])
            if secret and value is not None and not (isinstance(value, str) and re.fullmatch(rf"\{{env\({ENVIRONMENT}\)\}}", value)):
                yield CatalogError(
                    f"data {key}: a secret must not stand in a catalog file",
                    got=f"{path[-1]}: …",
                    allowed="{env(WORKBENCH_…)}",
                    where=document.where(path),
                    next_step="put the value into an environment variable and change it where it was seen",
                )


RULES: tuple[Callable[[CatalogDocument], Iterator[CatalogError]], ...] = (
    every_entry_is_aliased,
    every_alias_names_an_entry,
    every_reader_is_allowed,
    every_datatype_is_allowed,
    every_reference_exists,
    every_template_is_known,
    every_parameter_is_plain,
    every_url_is_placed,
)
