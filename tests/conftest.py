"""Fixtures that every test may use."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]


def _shared() -> Path:
    return Path(os.environ.get("WORKBENCH_SHARED", ROOT.parent / "shared"))


@pytest.fixture(scope="session")
def root() -> Path:
    """The project's folder."""
    return ROOT


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of real data; tests that use it are marked ``real``."""
    folder = _shared()
    if not (folder / "data").is_dir():
        pytest.skip(f"real data are not here: no folder {folder / 'data'} (set WORKBENCH_SHARED)")
    return folder


@pytest.fixture(scope="session")
def tiny_catalog(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Catalog file of a tiny simulated district, generated once per session."""
    from workbench.district import generate

    return generate(tmp_path_factory.mktemp("district"), scale="tiny", seed=7, progress=False)
