"""``index.html``: the one page of an iteration, for a manager and a reviewer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any

import pandas as pd

from workbench.contracts import Breach, Metric, RunRecord
from workbench.pipeline.experiment import Experiment
from workbench.pipeline.report.pages import stylesheet
from workbench.pipeline.report.view import page_view
from workbench.pipeline.step import write_text


def write_index(
    file: Path,
    record: RunRecord,
    experiment: Experiment,
    tables: Mapping[str, pd.DataFrame],
    metrics: Sequence[Metric],
    catalog: Any,
    warnings: Sequence[Breach] = (),
) -> None:
    """Write the page.

    Parameters
    ----------
    tables : mapping
        ``findings``, ``leads``, ``attributions``, ``conflicts``.
    catalog : Catalog
        For names and places of enterprises, inspections and cases; entries it lacks are left out of the page.
    """
    from jinja2 import Environment, StrictUndefined
    from markupsafe import Markup

    source = files(__package__).joinpath("templates", "index.html.j2").read_text(encoding="utf-8")
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    environment.filters["chance"] = chance
    page = environment.from_string(source).render(
        css=Markup(stylesheet()),  # noqa: S704 - our own file
        **page_view(record, experiment, tables, metrics, catalog, warnings),
    )
    write_text(file, page)


def chance(p: float) -> str:
    """Return a probability in two digits; nothing is certain, so nothing is shown as 1 or 0.

    Examples
    --------
    >>> chance(0.684), chance(0.998), chance(0.001)
    ('0.68', '> 0.99', '< 0.01')
    """
    return "> 0.99" if p >= 0.995 else "< 0.01" if p < 0.005 else f"{p:.2f}"
