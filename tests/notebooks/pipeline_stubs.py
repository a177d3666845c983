"""Stub projects for the pipeline's tests: small notebooks, one experiment, a catalog that opens at once."""

from __future__ import annotations

import json
import textwrap
from pathlib import Path

import nbformat
import pandas as pd
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

PARAMETERS = 'catalog = ""\nperiod = ""\nout = ""\nupstream = ""\nseed = 0\noverrides = {}\n'

FIRST = """
import numpy as np
import pandas as pd
from pathlib import Path
from workbench.contracts import result_frame
from workbench.pipeline.step import write_table
rng = np.random.default_rng(seed)
rows = [dict(finding_id=f"F{i}", model="stub", detector="flat", enterprise_id=f"E{i % 5}", start=pd.Timestamp("2026-01-01"),
             end=pd.Timestamp("2026-01-02"), kind="fabrication", outcome="fabrication", verdict="breach", p_breach=float(rng.random()),
             severity="high", reason_zh="恒值 <b>", reason_en="constant <b>", evidence=["x"]) for i in range(8)]
write_table(Path(out) / "findings.parquet", result_frame("findings", rows))
"""

SECOND = """
import json
import pandas as pd
from pathlib import Path
from workbench.contracts import Metric, result_frame
from workbench.pipeline.step import read_table, write_metrics, write_table
findings = read_table(Path(upstream) / "first" / "findings.parquet").sort_values("p_breach", ascending=False)
rows = [dict(lead_id=f"L{i}", rank=i + 1, queue="silent" if i == 3 else "main", enterprise_id=f.enterprise_id, start=f.start, end=f.end,
             kind=f.kind, p_violation=f.p_breach, p_low=0.0, p_high=1.0, reason_zh="恒值 <script>", reason_en="flat <script>",
             innocent_alternative="检出限 detection floor", next_check="查校准记录 calibration log", findings=[f.finding_id])
        for i, f in enumerate(findings.head(4).itertuples())]
write_table(Path(out) / "leads.parquet", result_frame("leads", rows))
write_metrics(Path(out) / "metrics.json", [Metric(name="precision@20", value=0.5, low=0.2, high=0.8, n=4, method="stub", subject="leads",
              against="inspections")])
"""


def write_notebook(file: Path, code: str, *, parameters: str = PARAMETERS, extra: str = "") -> None:
    cells = [
        new_markdown_cell(f"# {file.stem}"),
        new_code_cell(parameters + extra, metadata={"tags": ["parameters"]}),
        *(new_code_cell(part.strip("\n")) for part in textwrap.dedent(code).split("\n# %%\n")),
    ]
    nb = new_notebook(cells=cells, metadata={"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}})
    for i, cell in enumerate(nb.cells):
        cell["id"] = f"c{i}"
    file.parent.mkdir(parents=True, exist_ok=True)
    nbformat.write(nb, file)


def write_project(root: Path, *, first: str = FIRST, second: str = SECOND, fields: str = "") -> Path:
    """Write a project of two steps; return its experiment file."""
    write_notebook(root / "notebooks" / "first.ipynb", first, extra="level = 1.0\n")
    write_notebook(root / "notebooks" / "second.ipynb", second, extra="budgets = [20]\n")
    (root / "catalog.yml").write_text("stub: true\n", encoding="utf-8")
    file = root / "experiments" / "stub" / "experiment.yml"
    file.parent.mkdir(parents=True)
    words = "{zh: 试, en: stub}"
    file.write_text(
        f"name: stub\ntitle: {words}\nhypothesis: {words}\ncatalog: catalog.yml\nseed: 3\nsteps: [first, second]\n{fields}",
        encoding="utf-8",
    )
    return file


class StubCatalog:
    """The part of a catalog that the pipeline itself asks for."""

    name = "stub"

    def __init__(self, location: str) -> None:
        from workbench.contracts import Period

        self.location = location
        self.period = Period.parse("2026-01-01/2026-02-01")
        lines = Path(location).read_text(encoding="utf-8")
        self.state = json.dumps(lines)

    def check(self) -> list:
        from workbench.contracts import Breach

        if "broken" in self.state:
            return [Breach("points", "unit", "a unit", 2, ["row 1: 'x'"])]
        return [Breach("marks", "kind", "one of fault", 1, level="warning")]

    def snapshot(self) -> dict[str, str]:
        return {"enterprises": self.state}

    def has(self, entry: str) -> bool:
        return entry == "enterprises"

    def table(self, entry: str, columns: list[str] | None = None) -> pd.DataFrame:
        rows = [
            {"enterprise_id": f"E{i}", "name": f"厂{i} & <i>", "street_town": "东镇", "lon": 121 + i / 50, "lat": 31 + i / 70}
            for i in range(5)
        ]
        return pd.DataFrame(rows)


def use_stub_catalog() -> None:
    """Make ``open_catalog`` return a :class:`StubCatalog` in this process."""
    import workbench.catalog

    workbench.catalog.open_catalog = StubCatalog
    workbench.catalog.needs_generation = lambda *_: None
