"""The text of a district's catalog file, in the one form that the catalog accepts.

Whoever writes a district (the simulator, the HJ 212 ingest, a user's script) calls :func:`catalog_yaml`; intake's
own writer is not used, since it pins absolute paths and tokens of one process.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import yaml

from workbench.contracts.cubes import CUBES
from workbench.contracts.errors import unknown_name
from workbench.contracts.tables import TABLES


def catalog_yaml(tables: Iterable[str], cubes: Iterable[str] = (), *, metadata: Mapping[str, Any] | None = None) -> str:
    """Return an intake v2 catalog of Parquet tables and Zarr cubes that lie in ``data/`` beside the catalog file.

    Parameters
    ----------
    tables : iterable of str
        Table entries, each read from ``data/<name>.parquet``; they are listed in the order of the contract.
    cubes : iterable of str
        Cube entries, each read lazily from ``data/<name>.zarr``.
    metadata : mapping, optional
        Plain values added to the catalog's ``metadata`` (such as scale and seed); ``timezone`` is always there.

    Returns
    -------
    str
        The whole YAML text. Every entry is aliased; no alias shares a key with a data block.

    Raises
    ------
    ParameterError
        If a name is not an entry of the contract (``truth`` is not one and cannot be listed).
    """
    wanted_tables, wanted_cubes = set(tables), set(cubes)
    for wanted, known, kind in ((wanted_tables, set(TABLES), "table entry"), (wanted_cubes, set(CUBES), "cube entry")):
        for name in sorted(wanted - known):
            raise unknown_name(kind, name, known)
    names = [n for n in TABLES if n in wanted_tables] + [n for n in CUBES if n in wanted_cubes]
    document = {
        "version": 2,
        "metadata": {"timezone": "Asia/Shanghai", **(metadata or {})},
        "user_parameters": {},
        "data": {f"file_{n}": _data(n, cube=n in wanted_cubes) for n in names},
        "entries": {f"read_{n}": _entry(n, cube=n in wanted_cubes) for n in names},
        "aliases": {n: f"read_{n}" for n in names},
    }
    return yaml.safe_dump(document, sort_keys=False, allow_unicode=True, width=140)


def _data(name: str, *, cube: bool) -> dict[str, Any]:
    kwargs: dict[str, Any] = {"url": f"{{CATALOG_DIR}}/data/{name}.{'zarr' if cube else 'parquet'}", "storage_options": None}
    if cube:
        kwargs["root"] = ""
    return {
        "datatype": f"intake.readers.datatypes:{'Zarr' if cube else 'Parquet'}",
        "kwargs": kwargs,
        "metadata": {},
        "user_parameters": {},
    }


def _entry(name: str, *, cube: bool) -> dict[str, Any]:
    kwargs: dict[str, Any] = {"args": [f"{{data(file_{name})}}"]}
    if cube:
        kwargs["chunks"] = {}
    return {
        "reader": f"intake.readers.readers:{'XArrayDatasetReader' if cube else 'PandasParquet'}",
        "kwargs": kwargs,
        "output_instance": "xarray:Dataset" if cube else "pandas:DataFrame",
        "metadata": {},
        "user_parameters": {},
    }
