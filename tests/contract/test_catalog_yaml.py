"""The catalog text that districts are written with."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from workbench.contracts import CUBES, TABLES, ParameterError
from workbench.contracts.catalog_yaml import catalog_yaml


def test_every_listed_entry_is_aliased_and_no_alias_shares_a_key() -> None:
    document = yaml.safe_load(catalog_yaml(TABLES, CUBES))
    assert list(document) == ["version", "metadata", "user_parameters", "data", "entries", "aliases"]
    assert set(document["aliases"]) == set(TABLES) | set(CUBES)
    assert set(document["aliases"].values()) == set(document["entries"])
    assert not set(document["aliases"]) & (set(document["data"]) | set(document["entries"]))


def test_order_of_the_names_does_not_change_the_text() -> None:
    names = ["points", "outlets", "enterprises"]
    assert catalog_yaml(names, ["obs_power", "obs_cems"]) == catalog_yaml(names[::-1], ["obs_cems", "obs_power"])


def test_metadata_is_kept_beside_the_timezone() -> None:
    assert yaml.safe_load(catalog_yaml(["points"], metadata={"seed": 7}))["metadata"] == {"timezone": "Asia/Shanghai", "seed": 7}


@pytest.mark.parametrize(("tables", "cubes"), [(["truth"], []), (["obs_cems"], []), ([], ["obs_video"]), (["findings"], [])])
def test_names_outside_the_contract_are_refused(tables: list[str], cubes: list[str]) -> None:
    with pytest.raises(ParameterError, match="unknown"):
        catalog_yaml(tables, cubes)


@pytest.mark.real
def test_it_is_the_form_of_the_practice_district(shared: Path) -> None:
    reference = yaml.safe_load((shared / "data" / "district" / "catalog.yml").read_text(encoding="utf-8"))
    cubes = [a for a in reference["aliases"] if a.startswith("obs_")]
    assert yaml.safe_load(catalog_yaml(set(reference["aliases"]) - set(cubes), cubes)) == reference
