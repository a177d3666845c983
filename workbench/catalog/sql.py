"""Tables of a SQL database, read whole through SQLAlchemy.

Nothing of a catalog file becomes SQL text: the table is found by reflection and selected as an object. The address of
the database, with its password, comes from an environment variable and is never printed.
"""

from __future__ import annotations

import os

import pandas as pd

from workbench.catalog.specs import SqlTableSpec
from workbench.contracts import CatalogError, unknown_name


def read_sql_table(spec: SqlTableSpec) -> pd.DataFrame:
    """Return the rows of a table or view, in the order of its primary key where it has one.

    Raises
    ------
    CatalogError
        If the environment variable is not set, or the database cannot be reached.
    ParameterError
        If the database has no such table or view.
    """
    import sqlalchemy as sa

    address = os.environ.get(spec.database)
    if not address:
        raise CatalogError(
            "the address of the database is not set",
            got=f"no environment variable {spec.database}",
            allowed="postgresql+psycopg://user:password@host/name, or sqlite:///file",
            where=spec.source,
            next_step=f"export {spec.database}=…",
        )
    try:
        engine = sa.create_engine(address)
        with engine.connect() as connection:
            inspector = sa.inspect(connection)
            known = [*inspector.get_table_names(spec.namespace), *inspector.get_view_names(spec.namespace)]
            if spec.source not in known:
                raise unknown_name("table or view of the database", spec.source, known, where=spec.database)
            table = sa.Table(spec.source, sa.MetaData(), schema=spec.namespace, autoload_with=connection)
            return pd.read_sql(sa.select(table).order_by(*table.primary_key.columns), connection)
    except (sa.exc.SQLAlchemyError, ImportError) as error:
        reason = str(getattr(error, "orig", None) or error).splitlines()[0]
        raise CatalogError(
            "cannot read from the database",
            got=f"{type(error).__name__}: {reason}",
            where=f"{spec.source} of {spec.database}",
            next_step="check the address; PostgreSQL needs the extra: pip install eco-workbench[postgres]",
        ) from error
