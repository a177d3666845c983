"""Write ``docs/data-contract.md`` from the table contracts: ``python tools/data_contract.py``."""

from __future__ import annotations

from pathlib import Path

from workbench.contracts import CUBES, RESULTS, TABLES, Table

TARGET = Path(__file__).resolve().parents[1] / "docs" / "data-contract.md"
HEAD = """# The data contract

Made from `workbench/contracts/tables.yml` by `python tools/data_contract.py`; a test holds the two together.

One intake catalog is one district. Times are local (Asia/Shanghai), stored without zone. Entries marked * are needed by
everything; any other may be absent, and the models that need it abstain and say so. Extra columns are kept.
`workbench check CATALOG` prints every breach at once.
"""
CUBE_TEXT = """## Cubes

{names}: Zarr, dims `(point, time)` on a regular grid. `value` float32 in the unit of `points.unit` (NaN: nothing
arrived); `mark` uint8: 0 N normal, 1 F stopped, 2 M maintenance, 3 S set manually, 4 D fault, 5 C calibration,
6 T over range, 7 B communication error, 255 none. The coordinate `point` holds `point_id`.
"""


def section(table: Table) -> str:
    """Return the Markdown of one table."""
    key = f" Key: {', '.join(f'`{k}`' for k in table.key)}." if table.key else ""
    rows = [f"| `{name}` | {c.expectation()} | {c.doc} |" for name, c in table.columns.items()]
    star = "*" if table.required else ""
    return "\n".join([f"### {table.name}{star}", "", f"{table.doc}{key}", "", "| column | holds | note |", "|---|---|---|", *rows, ""])


def text() -> str:
    """Return the whole page."""
    parts = [HEAD, "## Tables\n", *(section(t) for t in TABLES.values()), CUBE_TEXT.format(names=", ".join(f"`{c}`" for c in CUBES))]
    return "\n".join([*parts, "## Results\n", *(section(t) for t in RESULTS.values())])


if __name__ == "__main__":
    TARGET.write_text(text(), encoding="utf-8")
