"""What a simulated district depends on, as one hash: a kept one that carries another was made by another generator."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from importlib.metadata import version
from importlib.resources import files

READ = (("workbench.contracts", "tables.yml"), ("workbench.contracts", "catalog_yaml.py"))
"""Files outside this package that decide what is written."""
LIBRARIES = ("numpy", "pandas", "scipy", "xarray", "zarr")
"""Packages whose versions may change the values or the bytes."""


def fingerprint(scale: str, seed: int, *, real: bool = False) -> str:
    """Return a hash of sources, YAML files, versions and parameters.

    Parameters
    ----------
    scale, seed
        As for :func:`~workbench.district.generate`.
    real : bool
        Whether residual blocks come from real series.
    """
    h = hashlib.blake2b(digest_size=16)
    for name, content in _sources():
        h.update(f"{name}\0{len(content)}\0".encode() + content)
    h.update(repr((versions(), scale, seed, real)).encode())
    return h.hexdigest()


def versions() -> dict[str, str]:
    """Return the versions of :data:`LIBRARIES`."""
    return {name: version(name) for name in LIBRARIES}


def _sources() -> Iterator[tuple[str, bytes]]:
    own = [f for f in files("workbench.district").iterdir() if f.name.endswith((".py", ".yml"))]
    read = [files(package) / name for package, name in READ]
    for f in [*sorted(own, key=lambda f: f.name), *read]:
        yield f.name, f.read_bytes()
