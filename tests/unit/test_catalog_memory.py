"""A catalog in memory answers models as one on disk does."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from workbench.catalog import MemoryCatalog
from workbench.catalog.memory import Altered, cube_of
from workbench.contracts import TABLES, CatalogView, EntryMissing, Period, check_table

T = pd.Timestamp


def catalog(**tables: pd.DataFrame) -> MemoryCatalog:
    cube = cube_of(["P"], pd.date_range("2026-01-01", periods=2, freq="h"), np.array([[1.5, np.nan]]))
    return MemoryCatalog(tables, {"obs_power": cube}, Period(T("2026-01-01"), T("2026-01-02")))


def test_it_is_what_models_ask_of_a_catalog() -> None:
    assert isinstance(catalog(), CatalogView)


def test_an_absent_entry_is_named_and_a_table_is_a_copy() -> None:
    c = catalog(points=pd.DataFrame({"point_id": ["P"], "unit": ["kW"]}))
    assert (c.has("points"), c.has("obs_power"), c.has("outlets")) == (True, True, False)
    for read in (c.table, c.cube):
        with pytest.raises(EntryMissing, match="outlets"):
            read("outlets")
    c.table("points").loc[0, "unit"] = "changed"
    c.table("points", ["unit"]).loc[0, "unit"] = "changed"
    assert c.table("points")["unit"].tolist() == ["kW"]


def test_only_what_was_decided_by_then_is_a_label() -> None:
    days = [T("2026-01-03"), T("2026-01-05"), pd.NaT]
    c = catalog(inspections=pd.DataFrame({"inspection_id": ["a", "b", "c"], "decided_on": days}))
    assert c.labels()["inspection_id"].tolist() == ["a", "b"]
    assert c.labels(T("2026-01-05"))["inspection_id"].tolist() == ["a"]
    none = catalog().labels()
    assert list(none) == list(TABLES["inspections"].columns)
    assert not check_table("inspections", none)


def test_a_missing_value_carries_no_mark() -> None:
    cube = catalog().cube("obs_power")
    assert cube["mark"].to_numpy().tolist() == [[0, 255]]
    assert cube["value"].dtype == np.float32


def test_an_altered_catalog_lacks_what_is_gone_and_shows_what_stands_in_its_place() -> None:
    visits = pd.DataFrame({"inspection_id": ["a"], "decided_on": [T("2026-01-03")]})
    whole = catalog(points=pd.DataFrame({"point_id": ["P"]}), inspections=visits)
    bare = Altered(whole, {"inspections", "obs_power"}, {"points": pd.DataFrame({"point_id": ["Q"]}), "permits": pd.DataFrame({"a": [1]})})
    assert isinstance(bare, CatalogView)
    assert [bare.has(e) for e in ("points", "permits", "inspections", "obs_power")] == [True, True, False, False]
    assert bare.table("points", ["point_id"])["point_id"].tolist() == ["Q"]
    assert (len(bare.labels()), len(whole.labels())) == (0, 1)
    for read, entry in ((bare.table, "inspections"), (bare.cube, "obs_power")):
        with pytest.raises(EntryMissing, match=entry):
            read(entry)
    assert Altered(whole).table("points").equals(whole.table("points"))
