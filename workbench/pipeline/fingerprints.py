"""Hashes that decide whether a step must run again, and that a run record keeps.

All are sha256. A folder is hashed over the sorted relative paths and contents of its files.
"""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from collections.abc import Mapping
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any

import workbench

_CHUNK = 1 << 20
_ABOVE = ("apps", "casework", "cli")
"""Parts of the package that no notebook step may import (imports point one way), so that they cannot change a result."""


def sha256_of(path: Path) -> str:
    """Return the sha256 of a file, or of a folder over its sorted relative paths and contents."""
    if path.is_dir():
        files = sorted((p for p in path.rglob("*") if p.is_file()), key=lambda p: p.relative_to(path).as_posix())
        return digest([[p.relative_to(path).as_posix(), sha256_of(p)] for p in files])
    h = hashlib.sha256()
    with path.open("rb") as stream:
        while block := stream.read(_CHUNK):
            h.update(block)
    return h.hexdigest()


def digest(value: Any) -> str:
    """Return the sha256 of a JSON-like value; the order of mapping keys does not matter."""
    text = json.dumps(value, sort_keys=True, ensure_ascii=False, separators=(",", ":"), default=str)
    return hashlib.sha256(text.encode()).hexdigest()


def notebook_hash(notebook: Path) -> str:
    """Return the hash of a notebook's cells; stored outputs, execution counts and cell identifiers do not count."""
    cells = json.loads(notebook.read_text(encoding="utf-8")).get("cells", [])
    kept = [[c["cell_type"], "".join(c["source"]), sorted(c.get("metadata", {}).get("tags", []))] for c in cells]
    return digest(kept)


@cache
def source_hash() -> str:
    """Return the hash of the package's own source and data files, as far as they can change a result."""
    root = Path(workbench.__file__).parent
    files = sorted(p for p in root.rglob("*") if p.is_file() and "__pycache__" not in p.parts and p.suffix != ".pyc")
    kept = [p for p in files if p.relative_to(root).parts[0] not in _ABOVE]
    return digest([[p.relative_to(root).as_posix(), sha256_of(p)] for p in kept])


@cache
def code_version() -> str:
    """Return what ran: package version, git commit where there is one, and the hash of the source.

    ``0.1.0+g1a2b3c4d5e6f.s9f8e7d6c`` is a clean checkout; ``.dirty`` marks a package that differs from its commit.
    """
    package = Path(workbench.__file__).parent
    version = f"{workbench.__version__}+"
    commit = _git(package, "rev-parse", "--short=12", "HEAD")
    if commit and _git(package, "ls-files", "__init__.py"):
        version += f"g{commit}."
        if _git(package, "status", "--porcelain", "--", "."):
            version += "dirty."
    return f"{version}s{source_hash()[:8]}"


def _git(folder: Path, *arguments: str) -> str:
    try:
        done = subprocess.run(["git", "-C", str(folder), *arguments], capture_output=True, text=True, timeout=20, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""


@cache
def installed() -> Mapping[str, str]:
    """Return the installed distributions, name to version."""
    found = {d.metadata["Name"].lower().replace("_", "-"): d.version for d in metadata.distributions() if d.metadata["Name"]}
    return dict(sorted(found.items()))


@cache
def environment_hash() -> str:
    """Return the hash of the Python version and every installed distribution (this package apart)."""
    others = {k: v for k, v in installed().items() if k != "eco-workbench"}
    return digest([list(sys.version_info[:3]), others])
