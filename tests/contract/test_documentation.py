"""What the documentation says can be done, can be done."""

from __future__ import annotations

import re
import runpy
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]


def test_the_data_contract_page_is_that_of_the_code() -> None:
    made = runpy.run_path(str(ROOT / "tools/data_contract.py"))["text"]()
    assert (ROOT / "docs/data-contract.md").read_text(encoding="utf-8") == made


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.name)
def test_links_and_pictures_of_the_pages_exist(page: Path) -> None:
    targets = re.findall(r"\]\(([^)#]+)", page.read_text(encoding="utf-8"))
    lost = [t for t in targets if "://" not in t and not (page.parent / t).exists()]
    assert not lost


def _commands() -> list[list[str]]:
    lines = [
        line.split("#")[0].strip() for block in re.findall(r"```bash\n(.*?)```", README, flags=re.DOTALL) for line in block.splitlines()
    ]
    words = [re.sub(r"<[^>]*>", "X", line) for line in lines if "workbench " in line]
    return [w[w.index("workbench") + 1 :] for w in map(shlex.split, words)]


def test_every_command_and_option_of_the_readme_exists() -> None:
    code = "from typer.main import get_command; from workbench.cli import app; import json, sys\n" + _WALK
    out = subprocess.run([sys.executable, "-c", code], input=repr(_commands()), capture_output=True, text=True, cwd=ROOT)
    assert out.returncode == 0, out.stderr
    assert _commands()


_WALK = """
for words in eval(sys.stdin.read()):
    command = get_command(app)
    while words and hasattr(command, "commands") and words[0] in command.commands:
        command, words = command.commands[words[0]], words[1:]
    assert not hasattr(command, "commands"), words
    known = {o for p in command.params for o in [*p.opts, *p.secondary_opts]}
    lost = [w for w in words if w.startswith("--") and w not in known]
    assert not lost, (command.name, lost)
"""


def test_make_targets_of_the_readme_exist() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    for target in set(re.findall(r"`?make (\w+)`?", README)) - {"do", "PYTHON"}:
        assert re.search(rf"^{target}:", makefile, flags=re.MULTILINE), target


def test_the_ten_lines_of_the_readme_run(tiny_catalog: Path, tmp_path: Path) -> None:
    code = re.search(r"```python\n(.*?)```", README, flags=re.DOTALL)
    assert code is not None
    script = code.group(1).replace("catalogs/.generated/small-2026/catalog.yml", str(tiny_catalog))
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "point_id" in done.stdout
