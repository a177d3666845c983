"""Executed notebooks as HTML, through a template of our own (nbconvert's own ones point at two CDNs)."""

from __future__ import annotations

from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

from workbench.contracts import RunRecord
from workbench.pipeline.step import write_text

_HIDDEN = "hide"
"""Tag of cells whose code need not be shown even folded."""


def stylesheet() -> str:
    """Return the one stylesheet of all pages."""
    return files(__package__).joinpath("templates", "style.css").read_text(encoding="utf-8")


def write_notebook_page(notebook: Path, page: Path, record: RunRecord) -> None:
    """Render an executed notebook.

    Parameters
    ----------
    notebook : Path
        The executed notebook.
    page : Path
        HTML file to write.
    record : RunRecord
        For the heading and the links back.
    """
    import nbformat

    nb = nbformat.read(notebook, as_version=4)
    for cell in nb.cells:
        if cell.cell_type == "code":
            cell.outputs = [o for o in cell.outputs if not _only_script(o)]
    exporter = _exporter()
    body, _ = exporter.from_notebook_node(nb, resources={"metadata": {"name": notebook.stem}, "workbench": _heading(notebook, record)})
    write_text(page, body)


def _heading(notebook: Path, record: RunRecord) -> dict[str, Any]:
    steps = [s.name for s in record.steps]
    return {"step": notebook.stem, "steps": steps, "iteration": record.iteration_id, "css": stylesheet(), "code_css": _pygments_css()}


def _only_script(output: Any) -> bool:
    """Whether an output is nothing but JavaScript or a widget, which an offline page without scripts cannot show."""
    shown = set(output.get("data", {}))
    live = {"application/javascript", "application/vnd.jupyter.widget-view+json"}
    return bool(shown & live) and not shown & {"text/html", "image/png", "image/svg+xml"}


@cache
def _pygments_css() -> str:
    from pygments.formatters import HtmlFormatter  # type: ignore[import-untyped]

    light = HtmlFormatter(style="friendly").get_style_defs(".highlight")
    dark = HtmlFormatter(style="github-dark").get_style_defs(".highlight")
    return f"{light}\n@media screen and (prefers-color-scheme: dark) {{\n{dark}\n}}"


def _exporter() -> Any:
    from nbconvert import HTMLExporter
    from traitlets.config import Config

    templates = str(Path(str(files(__package__).joinpath("templates"))))
    config = Config()
    config.HTMLExporter.extra_template_basedirs = [templates]
    config.HTMLExporter.template_name = "offline"
    config.HTMLExporter.embed_images = True
    config.HTMLExporter.sanitize_html = False
    config.HTMLExporter.exclude_anchor_links = True
    return HTMLExporter(config=config)
