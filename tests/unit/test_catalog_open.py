"""An open catalog: validated tables, lazy cubes, labels, parameters, what is refused."""

from __future__ import annotations

import json
import pickle
import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import fsspec
import numpy as np
import pandas as pd
import pytest
import yaml
from catalog_builder import START, cube, tables, write_district

from workbench.catalog import Catalog, needs_generation, open_catalog
from workbench.contracts import CatalogError, CatalogView, ContractBreach, EntryMissing, ParameterError, Period


@pytest.fixture(scope="module")
def district(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_district(tmp_path_factory.mktemp("district"))


@pytest.fixture
def catalog(district: Path) -> Catalog:
    return open_catalog(district)


def test_it_is_what_models_see(catalog: Catalog) -> None:
    assert isinstance(catalog, CatalogView)
    assert catalog.entries == ["enterprises", "outlets", "points", "inspections", "obs_cems"]
    assert catalog.has("points")
    assert not catalog.has("ledger")
    assert catalog.period == Period(START, START + pd.Timedelta(hours=48))


def test_a_folder_stands_for_its_catalog_file(district: Path) -> None:
    assert open_catalog(district.parent).location == str(district)


def test_tables_are_conformed_and_callers_may_change_their_copy(catalog: Catalog) -> None:
    points = catalog.table("points")
    assert points["installed_on"].dtype == "datetime64[ns]"
    points.loc[:, "unit"] = "broken"
    assert catalog.table("points")["unit"].tolist() == ["mg/m³", "mg/m³", "%", ""]
    assert list(catalog.table("points", ["unit", "point_id"]).columns) == ["unit", "point_id"]


def test_a_table_is_read_once(district: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    catalog, reads = open_catalog(district), []
    inspect = Catalog.inspect_table
    monkeypatch.setattr(Catalog, "inspect_table", lambda self, entry: (reads.append(entry), inspect(self, entry))[1])
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(catalog.table, ["points"] * 8))
    assert reads == ["points"]


def test_a_misspelt_column_is_named(catalog: Catalog) -> None:
    with pytest.raises(ParameterError) as caught:
        catalog.table("points", ["pointid"])
    assert caught.value.next_step == "did you mean 'point_id'?"


def test_an_absent_entry_is_missing_and_a_misspelt_one_hinted(catalog: Catalog) -> None:
    with pytest.raises(EntryMissing):
        catalog.table("ledger")
    with pytest.raises(EntryMissing) as caught:
        catalog.cube("obs_cem")
    assert caught.value.next_step == "did you mean 'obs_cems'?"


def test_a_broken_table_is_refused_with_all_its_breaches(tmp_path: Path) -> None:
    broken = tables()["points"].assign(system=["cems", "cems", "cctv", "video"], interval_s=[3600.0, 0.0, 3600.0, np.nan])
    with pytest.raises(ContractBreach) as caught:
        open_catalog(write_district(tmp_path, {"points": broken})).table("points")
    assert {b.column for b in caught.value.breaches} == {"system", "interval_s"}


def test_rows_with_lost_references_pass_as_warnings(tmp_path: Path) -> None:
    outlets = tables()["outlets"].assign(enterprise_id=["E1", "gone"])
    catalog = open_catalog(write_district(tmp_path, {"outlets": outlets}))
    assert len(catalog.table("outlets")) == 2
    (breach,) = [b for b in catalog.check() if b.entry == "outlets"]
    assert (breach.level, breach.column, breach.rows) == ("warning", "enterprise_id", 1)


def test_an_unreadable_file_says_which(tmp_path: Path) -> None:
    file = write_district(tmp_path)
    (tmp_path / "data" / "points.parquet").write_bytes(b"not parquet")
    with pytest.raises(CatalogError, match="cannot read the entry points"):
        open_catalog(file).table("points")


def test_a_cube_opens_without_one_value_chunk(tmp_path: Path) -> None:
    catalog = open_catalog(write_district(tmp_path))
    shutil.rmtree(tmp_path / "data" / "obs_cems.zarr" / "value" / "c")
    shutil.rmtree(tmp_path / "data" / "obs_cems.zarr" / "mark" / "c", ignore_errors=True)
    opened = catalog.cube("obs_cems")
    assert opened["value"].chunks == ((1, 1, 1), (24, 24))
    assert opened["point"].dtype == object
    assert catalog.period.days == 2


def test_opening_gets_no_value_from_the_store_and_computing_gets_only_the_chunks_meant(
    district: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from zarr.storage import LocalStore

    asked: list[str] = []
    get = LocalStore.get

    async def counted(self: LocalStore, key: str, *args: object, **kwargs: object) -> object:
        asked.append(key)
        return await get(self, key, *args, **kwargs)

    monkeypatch.setattr(LocalStore, "get", counted)
    opened = open_catalog(district).cube("obs_cems")
    chunks = [k for k in asked if k.startswith(("value/c/", "mark/c/"))]
    assert asked, "the store is read through LocalStore"
    assert not chunks
    asked.clear()
    assert float(opened["value"].isel(point=1, time=slice(0, 24)).sum()) == float(np.arange(48, 72).sum())
    assert [k for k in asked if k.startswith(("value/c/", "mark/c/"))] == ["value/c/1/0"]


def test_a_cube_stays_lazy_where_the_file_forgets_chunks(tmp_path: Path) -> None:
    file = write_district(tmp_path)
    document = yaml.safe_load(file.read_text(encoding="utf-8"))
    del document["entries"]["read_obs_cems"]["kwargs"]["chunks"]
    file.write_text(yaml.safe_dump(document, sort_keys=False), encoding="utf-8")
    assert open_catalog(file).cube("obs_cems")["value"].chunks == ((1, 1, 1), (24, 24))


def test_a_zarr_2_store_keeps_its_marks(tmp_path: Path) -> None:
    file = write_district(tmp_path)
    shutil.rmtree(tmp_path / "data" / "obs_cems.zarr")
    marked = cube().assign(mark=cube()["mark"] + np.uint8(5))
    stored = marked.assign_coords(point=marked["point"].astype(str)).chunk({"point": 1})
    stored.to_zarr(tmp_path / "data" / "obs_cems.zarr", zarr_format=2, consolidated=False)
    array = tmp_path / "data" / "obs_cems.zarr" / "mark" / ".zarray"
    array.write_text(json.dumps(json.loads(array.read_text()) | {"fill_value": 255}))
    opened = open_catalog(file).cube("obs_cems")
    assert opened["mark"].dtype == np.uint8
    assert opened["point"].dtype == object
    assert opened.equals(marked)


def test_a_broken_cube_is_refused_with_all_its_breaches(tmp_path: Path) -> None:
    bad = cube().isel(time=[0, 1, 2, 4]).drop_vars("mark").astype("float64")
    with pytest.raises(ContractBreach) as caught:
        open_catalog(write_district(tmp_path, cubes={"obs_cems": bad})).cube("obs_cems")
    assert {b.column for b in caught.value.breaches} == {"value", "mark", "time"}


def test_a_store_with_pickled_values_runs_nothing(tmp_path: Path) -> None:
    """Zarr 2 knows a pickle codec; a foreign store must not reach it."""
    file = write_district(tmp_path)
    store, marker = tmp_path / "data" / "obs_cems.zarr", tmp_path / "touched"
    shutil.rmtree(store)
    (store / "point").mkdir(parents=True)
    (store / ".zgroup").write_text(json.dumps({"zarr_format": 2}))
    array = {"zarr_format": 2, "shape": [1], "chunks": [1], "dtype": "|O", "fill_value": None, "order": "C", "compressor": None}
    (store / "point" / ".zarray").write_text(json.dumps(array | {"filters": [{"id": "pickle", "protocol": 5}]}))
    (store / "point" / ".zattrs").write_text(json.dumps({"_ARRAY_DIMENSIONS": ["point"]}))

    class Hostile:
        def __reduce__(self) -> tuple[object, ...]:
            return open, (str(marker), "w")

    values = np.empty(1, dtype=object)
    values[0] = Hostile()
    (store / "point" / "0").write_bytes(pickle.dumps([values, (1,)]))
    with pytest.raises((CatalogError, ContractBreach)):
        open_catalog(file).cube("obs_cems").load()
    assert not marker.exists()


def test_labels_count_from_their_decision_day(catalog: Catalog) -> None:
    assert catalog.labels()["inspection_id"].tolist() == ["I1", "I2"]
    assert catalog.labels(pd.Timestamp("2026-01-05"))["inspection_id"].tolist() == ["I1"]
    assert catalog.labels(pd.Timestamp("2026-01-03")).empty


def test_no_inspections_give_no_labels_with_all_columns(tmp_path: Path) -> None:
    file = write_district(tmp_path)
    document = yaml.safe_load(file.read_text(encoding="utf-8"))
    del document["aliases"]["inspections"], document["entries"]["read_inspections"]
    file.write_text(yaml.safe_dump(document, sort_keys=False), encoding="utf-8")
    labels = open_catalog(file).labels(START)
    assert labels.empty
    assert {"enterprise_id", "finding", "kinds"} <= set(labels)
    assert labels["decided_on"].dtype == "datetime64[ns]"


def test_truth_is_refused_even_where_the_file_lists_it(tmp_path: Path) -> None:
    file = write_district(tmp_path)
    document = yaml.safe_load(file.read_text(encoding="utf-8"))
    for block, prefix in (("data", "file"), ("entries", "read")):
        document[block][f"{prefix}_truth"] = document[block][f"{prefix}_points"]
    document["aliases"]["truth"] = "read_truth"
    file.write_text(yaml.safe_dump(document, sort_keys=False), encoding="utf-8")
    catalog = open_catalog(file)
    assert not catalog.has("truth")
    assert "truth" not in catalog.entries
    for ask in (catalog.table, catalog.cube, catalog.reader, lambda e: catalog.snapshot([e])):
        with pytest.raises(CatalogError, match="hidden truth"):
            ask("truth")
    assert ("truth", "error") in {(b.entry, b.level) for b in catalog.check()}


def test_truth_is_refused_under_any_name(tmp_path: Path) -> None:
    file = write_district(tmp_path)
    shutil.copy(tmp_path / "data" / "outlets.parquet", tmp_path / "truth.parquet")
    document = yaml.safe_load(file.read_text(encoding="utf-8"))
    document["data"]["file_outlets"]["kwargs"]["url"] = "{CATALOG_DIR}/truth.parquet"
    file.write_text(yaml.safe_dump(document, sort_keys=False), encoding="utf-8")
    catalog = open_catalog(file)
    assert not catalog.has("outlets")
    for ask in (lambda: catalog.table("outlets"), lambda: catalog.path_of("truth.parquet"), lambda: catalog.path_of("./Truth.parquet")):
        with pytest.raises(CatalogError, match="hidden truth"):
            ask()
    assert ("outlets", "error") in {(b.entry, b.level) for b in catalog.check()}


def test_paths_stay_below_the_catalog(catalog: Catalog) -> None:
    assert catalog.path_of("clips/./a.mp4") == str(Path(catalog.location).parent / "clips" / "a.mp4")
    for path in ("../secret", "/etc/passwd", "https://example.org/x", "a/../../b", ""):
        with pytest.raises(CatalogError, match="below"):
            catalog.path_of(path)


def test_it_travels_between_processes(catalog: Catalog) -> None:
    again = pickle.loads(pickle.dumps(catalog))
    assert again.location == catalog.location
    assert again.table("points").equals(catalog.table("points"))


def with_parameter(file: Path, url: str, **item: object) -> Path:
    document = yaml.safe_load(file.read_text(encoding="utf-8"))
    document["user_parameters"] = {"wanted": {"cls": "intake.readers.user_parameters:SimpleUserParameter", "description": "", **item}}
    document["data"]["file_points"]["kwargs"]["url"] = url
    file.write_text(yaml.safe_dump(document, sort_keys=False), encoding="utf-8")
    return file


def test_a_user_parameter_is_filled_in_and_recorded(tmp_path: Path) -> None:
    file = with_parameter(write_district(tmp_path), "{CATALOG_DIR}/data/{wanted}.parquet", dtype="str", default="nothing")
    catalog = open_catalog(file, wanted="points")
    assert len(catalog.table("points")) == 4
    assert catalog.parameters == {"wanted": "points"}
    assert pickle.loads(pickle.dumps(catalog)).parameters == {"wanted": "points"}
    with pytest.raises(CatalogError, match="cannot read"):
        open_catalog(file).table("points")


def test_an_unknown_user_parameter_is_refused(tmp_path: Path) -> None:
    """Intake would hand it to the reader as an argument."""
    file = with_parameter(write_district(tmp_path), "{CATALOG_DIR}/data/{wanted}.parquet", dtype="str", default="points")
    with pytest.raises(ParameterError) as caught:
        open_catalog(file, wantd="points")
    assert caught.value.next_step == "did you mean 'wanted'?"


def test_a_required_parameter_comes_from_the_environment_or_is_asked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = with_parameter(write_district(tmp_path), "{wanted}/points.parquet", dtype="str", default="env(WORKBENCH_TEST_DIR)")
    monkeypatch.delenv("WORKBENCH_TEST_DIR", raising=False)
    with pytest.raises(ParameterError, match="needs a value") as caught:
        open_catalog(file)
    assert "WORKBENCH_TEST_DIR" in str(caught.value.next_step)
    monkeypatch.setenv("WORKBENCH_TEST_DIR", str(tmp_path / "data"))
    assert len(open_catalog(file).table("points")) == 4
    assert len(open_catalog(file, wanted=tmp_path / "data").table("points")) == 4


def test_a_value_is_never_evaluated(tmp_path: Path) -> None:
    file = with_parameter(write_district(tmp_path), "{CATALOG_DIR}/data/{wanted}.parquet", dtype="str", default="points")
    for value in ("{func(os:getcwd)}", "import(os:environ)", "{CATALOG_DIR}"):
        catalog = open_catalog(file, wanted=value)
        assert catalog.reader("points").kwargs["args"][0].url.endswith(f"/data/{value}.parquet")


@pytest.mark.parametrize(
    ("item", "value"),
    [({"dtype": "int", "default": 1}, "two"), ({"default": 1, "options": [1, 2]}, 3), ({"default": 1, "min": 0, "max": 5}, 9)],
)
def test_a_value_of_another_kind_is_refused(tmp_path: Path, item: dict[str, object], value: object) -> None:
    file = with_parameter(write_district(tmp_path), "{CATALOG_DIR}/data/{wanted}.parquet", **item)
    with pytest.raises(ParameterError):
        open_catalog(file, wanted=value)


def test_a_catalog_on_another_file_system_opens_whole(district: Path) -> None:
    fs = fsspec.filesystem("memory")
    for file in sorted(district.parent.rglob("*")):
        if file.is_file():
            fs.pipe_file(f"/district/{file.relative_to(district.parent).as_posix()}", file.read_bytes())
    remote, local = open_catalog("memory://district/catalog.yml"), open_catalog(district)
    assert remote.table("points").equals(local.table("points"))
    assert remote.cube("obs_cems").equals(local.cube("obs_cems"))
    assert remote.snapshot() == local.snapshot()
    assert remote.path_of("clips/a.mp4") == "memory:///district/clips/a.mp4"
    assert not [b for b in remote.check(deep=True) if b.level == "error"]
    before = remote.snapshot(["points"])
    fs.pipe_file("/district/data/points.parquet", fs.cat_file("/district/data/outlets.parquet"))
    assert remote.snapshot(["points"]) != before


def test_the_reference_asks_for_its_district_and_opens_once_it_is_there(tmp_path: Path, root: Path) -> None:
    reference = tmp_path / "reference.yml"
    shutil.copy(root / "catalogs" / "reference.yml", reference)
    spec = needs_generation(reference)
    assert spec is not None
    assert (spec.scale, spec.seed, spec.folder) == ("small", 2026, tmp_path / ".generated" / "small-2026")
    with pytest.raises(CatalogError, match="has not been generated") as caught:
        open_catalog(reference)
    assert spec.command() in str(caught.value.next_step)
    write_district(spec.folder)
    assert needs_generation(reference) is None
    catalog = open_catalog(reference)
    assert (catalog.name, catalog.location) == ("reference", str(spec.catalog))
    assert len(catalog.table("points")) == 4


def test_an_ordinary_catalog_needs_no_generation(district: Path) -> None:
    assert needs_generation(district) is None


def test_plain_intake_opens_the_same_file(district: Path, catalog: Catalog) -> None:
    """The form stays intake's own: nobody is tied to this package to read a district."""
    import intake

    plain = intake.open_catalog(str(district))
    assert sorted(plain) == sorted(catalog.entries)
    assert plain["points"].read()["point_id"].tolist() == catalog.table("points")["point_id"].tolist()
    assert plain["obs_cems"].read()["value"].chunks == catalog.cube("obs_cems")["value"].chunks


def test_storage_options_come_from_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = write_district(tmp_path)
    document = yaml.safe_load(file.read_text(encoding="utf-8"))
    document["data"]["file_points"]["kwargs"]["storage_options"] = {"client": {"token": "{env(WORKBENCH_TEST_TOKEN)}"}}
    file.write_text(yaml.safe_dump(document, sort_keys=False), encoding="utf-8")
    monkeypatch.setenv("WORKBENCH_TEST_TOKEN", "{func(os:getcwd)}")
    data = open_catalog(file).reader("points").kwargs["args"][0]
    assert data.storage_options == {"client": {"token": "{func(os:getcwd)}"}}


def test_a_protocol_whose_package_is_absent_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    def absent(*args: object, **kwargs: object) -> None:
        raise ImportError("Install s3fs to access S3")

    monkeypatch.setattr(fsspec.core, "url_to_fs", absent)
    with pytest.raises(CatalogError, match="needs a package") as caught:
        open_catalog("s3://bucket/catalog.yml")
    assert "s3fs" in str(caught.value.got)
