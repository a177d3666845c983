"""The pages of a report. They open offline: no script, no font and no picture comes from elsewhere."""

from workbench.pipeline.report.index import write_index
from workbench.pipeline.report.pages import write_notebook_page

__all__ = ["write_index", "write_notebook_page"]
