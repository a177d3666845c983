"""A kept simulated district: it stands while its generator is the same, and is made anew, as a whole, when it is not."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import yaml

from workbench.catalog import needs_generation, open_catalog
from workbench.district import build, fingerprint
from workbench.district.provenance import fingerprint as compute
from workbench.pipeline.generation import generate_if_needed


@pytest.fixture
def kept(tiny_catalog: Path, tmp_path: Path, root: Path) -> Path:
    """A catalog file that points at a district which is there already; returns the file."""
    shutil.copytree(tiny_catalog.parent, tmp_path / ".generated" / "tiny-7")
    file = tmp_path / "town.yml"
    reference = yaml.safe_load((root / "catalogs" / "reference.yml").read_text(encoding="utf-8"))
    reference["metadata"] |= {"name": "town", "generate": {"scale": "tiny", "seed": 7}}
    file.write_text(yaml.safe_dump(reference), encoding="utf-8")
    return file


def folder_of(file: Path) -> Path:
    return file.parent / ".generated" / "tiny-7"


def sign(file: Path, said: str | None) -> None:
    """Write another signature into the note of the kept district; None: as it was before there were any."""
    note = folder_of(file) / "district.json"
    content = {k: v for k, v in json.loads(note.read_text(encoding="utf-8")).items() if k != "fingerprint"}
    note.write_text(json.dumps(content if said is None else content | {"fingerprint": said}), encoding="utf-8")


def test_a_district_carries_what_it_was_made_with(tiny_catalog: Path) -> None:
    note = json.loads((tiny_catalog.parent / "district.json").read_text(encoding="utf-8"))
    assert note["fingerprint"] == fingerprint("tiny", 7)


def test_the_fingerprint_follows_parameters_sources_and_versions(monkeypatch: pytest.MonkeyPatch) -> None:
    from importlib import import_module

    module = import_module("workbench.district.provenance")
    today = compute("tiny", 7)
    assert today == fingerprint("tiny", 7)
    assert len({today, compute("small", 7), compute("tiny", 8), compute("tiny", 7, real=True)}) == 4
    names = [name for name, _ in module._sources()]
    assert {"build.py", "world.yml", "mechanisms.yml", "tables.yml"} <= set(names)
    with monkeypatch.context() as m:
        changed = [(n, c + b" " if n == "world.yml" else c) for n, c in module._sources()]
        m.setattr(module, "_sources", lambda: iter(changed))
        assert compute("tiny", 7) != today
    monkeypatch.setattr(module, "versions", lambda: {"numpy": "0"})
    assert compute("tiny", 7) != today


def test_a_kept_district_of_the_same_generator_stands(kept: Path) -> None:
    assert needs_generation(kept, fingerprint) is None
    assert generate_if_needed(str(kept), progress=False) is None


@pytest.mark.parametrize("signed", ["of another generator", None], ids=["another", "none, made before there were any"])
def test_a_kept_district_of_another_generator_is_made_anew(kept: Path, signed: str | None) -> None:
    sign(kept, signed)
    (folder_of(kept) / "data" / "leftover.txt").write_text("of the old one", encoding="utf-8")
    made = generate_if_needed(str(kept), progress=False)
    assert made is not None
    assert made.anew
    assert made.folder == folder_of(kept)
    assert "重新生成" in str(made)
    assert "made anew" in str(made)
    assert not (folder_of(kept) / "data" / "leftover.txt").exists()
    assert sorted(p.name for p in folder_of(kept).parent.iterdir()) == [".tiny-7.lock", "tiny-7"]
    assert generate_if_needed(str(kept), progress=False) is None
    assert open_catalog(kept).name == "town"


def test_the_old_one_stands_when_the_new_one_cannot_be_made(kept: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sign(kept, "of another generator")

    def killed(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(build, "_write", killed)
    with pytest.raises(KeyboardInterrupt):
        generate_if_needed(str(kept), progress=False)
    assert open_catalog(kept).table("enterprises").shape[0] > 0
    assert sorted(p.name for p in folder_of(kept).parent.iterdir()) == [".tiny-7.lock", "tiny-7"]


def test_the_old_one_stands_when_the_new_one_cannot_be_put_in_its_place(tmp_path: Path) -> None:
    (tmp_path / "d").mkdir()
    (tmp_path / "d" / "catalog.yml").write_text("old", encoding="utf-8")
    with pytest.raises(FileNotFoundError):
        build._put_in_place(tmp_path / "never made", tmp_path / "d")
    assert (tmp_path / "d" / "catalog.yml").read_text(encoding="utf-8") == "old"


def test_a_folder_put_there_by_hand_is_left_alone(kept: Path) -> None:
    (folder_of(kept) / "district.json").unlink()
    assert needs_generation(kept, fingerprint) is None
    assert needs_generation(kept) is None
