"""The lint of catalog files: every trap is named, with its line, and nothing foreign is run."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from workbench.catalog import LintError, lint_catalog, open_catalog
from workbench.catalog.rules import RULES
from workbench.contracts import CatalogError
from workbench.contracts.catalog_yaml import catalog_yaml

Change = Callable[[dict[str, Any]], Any]


def document() -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load(catalog_yaml(["enterprises", "points"], ["obs_cems"]))
    return loaded


def written(folder: Path, change: Change) -> Path:
    doc = document()
    change(doc)
    file = folder / "catalog.yml"
    file.write_text(yaml.safe_dump(doc, sort_keys=False, allow_unicode=True), encoding="utf-8")
    return file


def setting(*path: Any, to: Any) -> Change:
    def change(doc: dict[str, Any]) -> None:
        node: Any = doc
        for step in path[:-1]:
            node = node[step]
        node[path[-1]] = to

    return change


def without(*path: Any) -> Change:
    def change(doc: dict[str, Any]) -> None:
        node: Any = doc
        for step in path[:-1]:
            node = node[step]
        del node[path[-1]]

    return change


def both(*changes: Change) -> Change:
    def change(doc: dict[str, Any]) -> None:
        for c in changes:
            c(doc)

    return change


def parameter(name: str, used_as: str | None = None, **item: Any) -> Change:
    simple = {"cls": "intake.readers.user_parameters:SimpleUserParameter", "dtype": "str", "default": "x", "description": ""}
    return both(
        setting("user_parameters", name, to=simple | item),
        setting("data", "file_points", "kwargs", "url", to=f"{{CATALOG_DIR}}/{used_as or '{' + name + '}'}"),
    )


ENTRY, DATA = ("entries", "read_points"), ("data", "file_points")
SPEC = {"args": ["{data(file_points)}"], "table": "points"}


def own(reader: str, kwargs: dict[str, Any]) -> Change:
    return both(setting(*ENTRY, "reader", to=f"workbench.catalog.readers:{reader}"), setting(*ENTRY, "kwargs", to=kwargs))


FAULTS: list[tuple[str, Change, str]] = [
    ("a block left out, even if empty", without("user_parameters"), "user_parameters is missing"),
    ("a part of an entry left out", without(*ENTRY, "user_parameters"), "user_parameters is missing"),
    ("another version", setting("version", to=1), "version"),
    ("a block that is not one", setting("sources", to={}), "sources is not a part"),
    ("an entry nothing lists", without("aliases", "points"), "has no alias"),
    ("an alias to nowhere", setting("aliases", "points", to="read_pionts"), "names no entry"),
    ("an alias with the name of its entry",
        both(setting("entries", "points", to={}), setting("aliases", "points", to="points")), "key of entries"),
    ("an alias with the name of a data block", setting("data", "points", to=document()["data"]["file_points"]), "key of data"),
    ("a reader of the standard library", setting(*ENTRY, "reader", to="os:system"), "reader is not allowed"),
    ("intake's own converter", setting(*ENTRY, "reader", to="intake.readers.convert:Pipeline"), "reader is not allowed"),
    ("a reader that is not text", setting(*ENTRY, "reader", to=["a"]), "reader is not allowed"),
    ("a class smuggled into an entry", setting(*ENTRY, "cls", to="subprocess:Popen"), "cls is not a part"),
    ("a class smuggled into data", setting(*DATA, "cls", to="subprocess:Popen"), "cls is not a part"),
    ("an unknown data type", setting(*DATA, "datatype", to="intake.readers.datatypes:PickleFile"), "data type is not allowed"),
    ("a data argument", setting(*DATA, "kwargs", "magic", to="x"), "argument not allowed"),
    ("data without url", without(*DATA, "kwargs", "url"), "has no url"),
    ("a reader argument that does not exist", setting(*ENTRY, "kwargs", "colums", to=["a"]), "argument not allowed"),
    ("an engine that would be imported", setting("entries", "read_obs_cems", "kwargs", "engine", to="evil"), "value of engine not allowed"),
    ("a function to call", setting(*ENTRY, "kwargs", "columns", to="{func(os:system)}"), "braces"),
    ("an import", setting(*ENTRY, "kwargs", "filters", to=[["a", "==", "{import(os:environ)}"]]), "braces"),
    ("a pickle", setting(*ENTRY, "kwargs", "columns", to="{pickle64(gASVAAAA)}"), "braces"),
    ("an attribute of a template", setting(*DATA, "kwargs", "url", to="{CATALOG_DIR.__class__}/x"), "braces"),
    ("an environment variable in a url", setting(*DATA, "kwargs", "url", to="https://example.org/{env(WORKBENCH_X)}"), "braces"),
    ("another program's secret", setting(*DATA, "kwargs", "storage_options", to={"key": "{env(AWS_SECRET_ACCESS_KEY)}"}), "braces"),
    ("a secret in the file", setting(*DATA, "kwargs", "storage_options", to={"client": {"token": "abc"}}), "secret must not stand"),
    ("a password in a url", setting(*DATA, "kwargs", "url", to="https://me:pw@example.org/x.parquet"), "password must not stand"),
    ("an unknown template", setting(*DATA, "kwargs", "url", to="{CATALOG_DIR}/{year}.parquet"), "braces"),
    ("a lone brace", setting(*DATA, "kwargs", "url", to="{CATALOG_DIR}/}x"), "braces"),
    ("data of another block", setting(*ENTRY, "kwargs", "args", to=["{data(file_pionts)}"]), "no such data block"),
    ("two data blocks", setting(*ENTRY, "kwargs", "args", to=["{data(file_points)}", "{data(file_enterprises)}"]), "exactly one"),
    ("no data block", setting(*ENTRY, "kwargs", "args", to=[]), "exactly one"),
    ("data of another type", setting(*ENTRY, "kwargs", "args", to=["{data(file_obs_cems)}"]), "cannot read"),
    ("a chained url", setting(*DATA, "kwargs", "url", to="simplecache::s3://b/x"), "kind of url"),
    ("another protocol", setting(*DATA, "kwargs", "url", to="ftp://example.org/x"), "kind of url"),
    ("a pattern", setting(*DATA, "kwargs", "url", to="{CATALOG_DIR}/*.parquet"), "kind of url"),
    ("a path relative to nowhere", setting(*DATA, "kwargs", "url", to="data/points.parquet"), "relative url"),
    ("a user parameter in an entry", setting(*ENTRY, "user_parameters", to={"year": 1}), "catalog level only"),
    ("a parameter named like an argument of pandas", parameter("columns"), "named like an argument"),
    ("a parameter named like an argument in use", parameter("chunks"), "named like an argument"),
    ("a parameter named like one of intake", parameter("metadata"), "named like an argument"),
    ("a parameter used nowhere", parameter("year", used_as="points.parquet"), "used nowhere"),
    ("a parameter class outside the list", parameter("year", cls="os:system"), "class not allowed"),
    ("a parameter type that evaluates", parameter("year", dtype="eval"), "dtype not allowed"),
    ("a parameter default that imports", parameter("year", default="import(os:environ)"), "default not allowed"),
    ("a parameter default that calls", parameter("year", default="{func(os:getcwd)}"), "default not allowed"),
    ("a parameter default of a foreign secret", parameter("year", default="env(HOME)"), "default not allowed"),
    ("a setting of our reader misspelt", own("MappedTable", SPEC | {"colums": {}}), "colums is not a part"),
    ("a required setting of our reader left out", own("MappedTable", {"args": SPEC["args"]}), "table is missing"),
    ("data for an inline table", own("InlineTable", {"args": SPEC["args"], "rows": []}), "takes no data"),
    ("a scale that does not exist", setting("metadata", "generate", to={"scale": "huge", "seed": 1}), "generate.scale"),
]  # fmt: skip


@pytest.mark.parametrize(("description", "change", "words"), FAULTS, ids=[f[0] for f in FAULTS])
def test_a_fault_is_named_with_its_line(tmp_path: Path, description: str, change: Change, words: str) -> None:
    issues = lint_catalog(written(tmp_path, change))
    named = [i for i in issues if words in i.what]
    assert named, [i.what for i in issues]
    if "missing" not in words:
        assert named[0].where is not None
        assert named[0].where.rpartition(":")[2].isdigit(), named[0].where


def test_the_clean_file_has_no_fault(tmp_path: Path) -> None:
    assert lint_catalog(written(tmp_path, lambda doc: None)) == []


@pytest.mark.parametrize("file", ["reference.yml", "examples/gas_turbine.yml", "examples/beijing_stations.yml", "examples/your_own.yml"])
def test_the_catalogs_of_the_project_are_clean(root: Path, file: str) -> None:
    assert lint_catalog(root / "catalogs" / file) == []


def test_the_line_is_the_one_of_the_fault(tmp_path: Path) -> None:
    file = written(tmp_path, setting(*ENTRY, "kwargs", "colums", to=["a"]))
    (issue,) = lint_catalog(file)
    line = int(str(issue.where).rpartition(":")[2])
    assert file.read_text(encoding="utf-8").splitlines()[line - 1].strip() == "colums:"
    assert issue.next_step == "did you mean 'columns'?"


def test_all_faults_come_at_once_and_open_refuses_them(tmp_path: Path) -> None:
    changes = [
        setting("aliases", "points", to="x"),
        setting(*ENTRY, "reader", to="os:system"),
        setting(*DATA, "kwargs", "url", to="data/p"),
    ]
    file = written(tmp_path, both(*changes))
    with pytest.raises(LintError) as caught:
        open_catalog(file)
    assert len(caught.value.issues) >= len(changes)
    assert all(str(i.what) in str(caught.value) for i in caught.value.issues)
    again = pickle.loads(pickle.dumps(caught.value))
    assert str(again) == str(caught.value)


def test_no_hostile_value_reaches_python(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file that would touch a marker through any of intake's doors opens none of them."""
    marker = tmp_path / "touched"
    (tmp_path / "hostile_reader_module.py").write_text(f"open({str(marker)!r}, 'w').close()\nclass R: pass\n", encoding="utf-8")
    monkeypatch.syspath_prepend(str(tmp_path))
    name = "hostile_reader_module:R"
    doors: list[Change] = [
        setting(*ENTRY, "reader", to=name),
        setting(*ENTRY, "cls", to=name),
        setting(*DATA, "datatype", to=name),
        setting(*DATA, "cls", to=name),
        setting(*ENTRY, "kwargs", "columns", to=f"{{func({name})}}"),
        setting(*DATA, "kwargs", "url", to=f"{{import({name})}}"),
        parameter("year", cls=name),
        parameter("year", default=f"func({name})"),
    ]
    for door in doors:
        with pytest.raises(CatalogError):
            open_catalog(written(tmp_path, door)).table("points")
        assert not marker.exists()


def test_yaml_tags_are_not_constructed(tmp_path: Path) -> None:
    file = tmp_path / "catalog.yml"
    file.write_text("version: 2\nmetadata: !!python/object/apply:os.getcwd []\n", encoding="utf-8")
    with pytest.raises(CatalogError, match="not YAML") as caught:
        open_catalog(file)
    assert str(caught.value.where).endswith(":2")


def test_a_bomb_of_aliases_is_refused_quickly(tmp_path: Path) -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]" for i in range(1, 12)]
    file = tmp_path / "catalog.yml"
    file.write_text("\n".join(lines), encoding="utf-8")
    assert "too many values" in lint_catalog(file)[0].what


def test_a_key_given_twice_is_named(tmp_path: Path) -> None:
    file = tmp_path / "catalog.yml"
    file.write_text(catalog_yaml(["points"]) + "  points: read_points\n", encoding="utf-8")
    (issue,) = lint_catalog(file)
    assert (issue.what, issue.got) == ("a key stands twice in one block", "points")


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "not a mapping"),
        (b"- a\n", "not a mapping"),
        (b"a: [", "not YAML"),
        ("名: 值".encode("gbk"), "not UTF-8"),
        (b"x" * 4_000_001, "too large"),
    ],
)
def test_a_file_that_is_no_catalog_is_named(tmp_path: Path, content: bytes, words: str) -> None:
    file = tmp_path / "catalog.yml"
    file.write_bytes(content)
    with pytest.raises(CatalogError, match=words):
        open_catalog(file)


def test_an_absent_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(CatalogError, match="no such catalog file"):
        open_catalog(tmp_path / "none.yml")


def test_every_rule_is_a_sentence() -> None:
    assert all(rule.__name__.startswith("every_") and rule.__doc__ for rule in RULES)
