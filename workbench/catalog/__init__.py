"""Catalogs: from an entry's name to a validated dataset. The only importer of intake.

One intake catalog file is one district. ``open_catalog`` lints the file, so that a foreign one runs no code, and
returns a :class:`Catalog`: tables are validated at first read, cubes stay lazy, ``snapshot`` hashes the content.
"""

from workbench.catalog.document import CatalogDocument
from workbench.catalog.lint import LintError, lint_catalog
from workbench.catalog.memory import MemoryCatalog
from workbench.catalog.opening import GenerationSpec, needs_generation, open_catalog
from workbench.catalog.report import CheckReport, check_report
from workbench.catalog.view import Catalog

__all__ = [
    "Catalog",
    "CatalogDocument",
    "CheckReport",
    "GenerationSpec",
    "LintError",
    "MemoryCatalog",
    "check_report",
    "lint_catalog",
    "needs_generation",
    "open_catalog",
]
