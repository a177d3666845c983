"""Make ``requirements.lock``, ``bootstrap.lock`` and ``environment.yml`` from ``pyproject.toml``: ``make lock``."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
UV = Path(sys.executable).with_name("uv")
OPTIONS = ["--generate-hashes", "--no-header", "--no-annotate", "--no-emit-index-url", "--python-version", "3.11", "--quiet"]
CARD = ("jupyterlab", "panel", "xarray", "pymc", "shap", "optuna", "papermill", "intake")


def compile_lock(source: str, target: str, *extras: str) -> None:
    """Resolve ``source`` into a lock with hashes and no index address."""
    wanted = [word for extra in extras for word in ("--extra", extra)]
    subprocess.run([UV, "pip", "compile", source, *wanted, *OPTIONS, "-o", target], cwd=ROOT, check=True, stdout=subprocess.DEVNULL)


def locked(text: str) -> dict[str, str]:
    """Return name -> version of a lock."""
    return dict(re.findall(r"^([a-z0-9][a-z0-9._-]*)==(\S+)", text, flags=re.MULTILINE))


def environment(dependencies: list[str], versions: dict[str, str]) -> str:
    """Return the conda door: the direct dependencies at the locked versions, those of the design card first."""
    named = [(re.split(r"[\[<>=!~ ]", d)[0], re.search(r"\[.*?\]", d)) for d in dependencies]
    rank = {name: k for k, name in enumerate(CARD)}
    named.sort(key=lambda item: (rank.get(item[0], len(CARD)), item[0]))
    rows = [f"      - {name}{extras.group(0) if extras else ''}=={versions[name]}" for name, extras in named]
    return "\n".join(
        [
            "# The conda door to the versions of requirements.lock (made by: make lock; a test holds them together).",
            "# conda env create -f environment.yml && conda activate eco-workbench",
            "name: eco-workbench",
            "channels: [conda-forge]",
            "dependencies:",
            "  - python=3.11",
            "  - pip",
            "  - pip:",
            *rows,
            "      - -e .",
            "",
        ]
    )


def main() -> None:
    """Write the three files."""
    (ROOT / "requirements.lock").unlink(missing_ok=True)
    compile_lock("pyproject.toml", "requirements.lock", "test", "bench")
    source = ROOT / "bootstrap.in"
    source.write_text("uv\n", encoding="utf-8")
    try:
        compile_lock("bootstrap.in", "bootstrap.lock")
    finally:
        source.unlink()
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    versions = locked((ROOT / "requirements.lock").read_text(encoding="utf-8"))
    (ROOT / "environment.yml").write_text(environment(project["dependencies"], versions), encoding="utf-8")


if __name__ == "__main__":
    main()
