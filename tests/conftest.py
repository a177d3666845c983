"""Fixtures that every test may use."""

from __future__ import annotations

import getpass
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
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


@pytest.fixture(scope="session")
def postgres() -> Iterator[str]:
    """SQLAlchemy address of a PostgreSQL server of this session's own, on a Unix socket only."""
    binaries = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb")) or [Path(p) for p in [shutil.which("initdb")] if p]
    if not binaries:
        pytest.skip("no PostgreSQL server is installed here (Debian: apt-get install postgresql)")
    folder = Path(tempfile.mkdtemp(prefix="workbench-pg-"))  # not below pytest's folder, which only this user may enter
    data, programs, user = folder / "data", binaries[-1].parent, getpass.getuser()
    as_user: list[str] = []
    if os.geteuid() == 0:  # the server refuses to run as root
        user, as_user = "postgres", ["runuser", "-u", "postgres", "--"]
        shutil.chown(folder, user)
    run = [*as_user, str(programs / "initdb"), "-D", str(data), "-A", "trust", "-U", user, "--no-sync"]
    subprocess.run(run, check=True, capture_output=True)
    control = [*as_user, str(programs / "pg_ctl"), "-D", str(data), "-w", "-l", str(folder / "log")]
    subprocess.run([*control, "-o", f"-k {folder} -c listen_addresses='' -c fsync=off", "start"], check=True, stdout=subprocess.DEVNULL)
    try:
        yield f"postgresql+psycopg://{user}@/postgres?host={folder}"
    finally:
        subprocess.run([*control, "-m", "immediate", "stop"], check=False, stdout=subprocess.DEVNULL)
        shutil.rmtree(folder, ignore_errors=True)
