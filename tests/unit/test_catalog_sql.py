"""Tables of a database: SQLite and PostgreSQL."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest
import sqlalchemy as sa

from workbench.catalog.readers import SqlTable
from workbench.catalog.specs import SqlTableSpec
from workbench.contracts import CatalogError, ParameterError, check_table, conform

ROWS = pd.DataFrame(
    {
        "编号": ["O2", "O1"], "企业": ["E1", "E1"], "代码": ["DA002", "DA001"], "介质": ["气", "气"], "kind": ["stack", "stack"],
        "lon": [118.0, 118.1], "lat": [31.0, 31.1], "o2_ref": [6.0, None],
    }
)  # fmt: skip
SETTINGS = {
    "table": "outlets",
    "source": "outlet_register",
    "columns": {"outlet_id": "编号", "enterprise_id": "企业", "code": "代码", "medium": "介质"},
    "values": {"medium": {"气": "air", "水": "water"}},
}


@pytest.fixture(params=["sqlite", "postgresql"])
def database(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    address: str = f"sqlite:///{tmp_path / 'bureau.db'}" if request.param == "sqlite" else request.getfixturevalue("postgres")
    ROWS.to_sql("outlet_register", sa.create_engine(address), index=False, if_exists="replace")
    monkeypatch.setenv("WORKBENCH_DATABASE_URL", address)
    return address


def test_a_table_of_the_database_becomes_a_contract_table(database: str) -> None:
    frame = conform("outlets", SqlTable(**SETTINGS).read())
    assert check_table("outlets", frame) == []
    assert sorted(frame["outlet_id"]) == ["O1", "O2"]
    assert set(frame["medium"]) == {"air"}


def test_a_name_that_is_sql_stays_a_name(database: str) -> None:
    with pytest.raises(ParameterError, match="unknown table or view"):
        SqlTable(**SETTINGS | {"source": "outlet_register; DROP TABLE outlet_register"}).read()
    assert len(SqlTable(**SETTINGS).read()) == 2


def test_a_table_that_is_not_there_says_which_are(database: str) -> None:
    with pytest.raises(ParameterError) as error:
        SqlTable(**SETTINGS | {"source": "outlet_registry"}).read()
    assert "outlet_register" in str(error.value)


def test_without_an_address_the_error_says_what_to_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("WORKBENCH_DATABASE_URL", raising=False)
    with pytest.raises(CatalogError, match="address of the database"):
        SqlTable(**SETTINGS).read()


def test_a_wrong_password_is_not_printed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORKBENCH_DATABASE_URL", "postgresql+psycopg://bureau:s3cret@127.0.0.1:1/none?connect_timeout=1")
    with pytest.raises(CatalogError) as error:
        SqlTable(**SETTINGS).read()
    assert "s3cret" not in str(error.value)


def test_the_address_may_come_from_workbench_variables_only() -> None:
    with pytest.raises(ValueError, match="database"):
        SqlTableSpec(table="outlets", source="x", database="AWS_SECRET_ACCESS_KEY")


def test_the_hash_follows_the_rows_and_not_their_order(database: str, tmp_path: Path) -> None:
    import yaml

    from workbench.catalog import open_catalog

    entry = {"reader": "workbench.catalog.readers:SqlTable", "kwargs": SETTINGS, "output_instance": "pandas:DataFrame"}
    entry |= {"metadata": {}, "user_parameters": {}}
    document = {
        "version": 2, "metadata": {"timezone": "Asia/Shanghai"}, "user_parameters": {}, "data": {},
        "entries": {"read_outlets": entry},
        "aliases": {"outlets": "read_outlets"},
    }  # fmt: skip
    file = tmp_path / "catalog.yml"
    file.write_text(yaml.safe_dump(document, allow_unicode=True), encoding="utf-8")
    first = open_catalog(file).snapshot(["outlets"])
    ROWS.iloc[::-1].to_sql("outlet_register", sa.create_engine(database), index=False, if_exists="replace")
    assert open_catalog(file).snapshot(["outlets"]) == first
    ROWS.assign(lon=119.0).to_sql("outlet_register", sa.create_engine(database), index=False, if_exists="replace")
    assert open_catalog(file).snapshot(["outlets"]) != first
