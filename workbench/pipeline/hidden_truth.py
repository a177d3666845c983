"""Where a simulated district keeps its hidden truth; the path is handed to ``workbench.evaluation``, which alone opens it."""

from __future__ import annotations

from pathlib import Path


def truth_beside(catalog_location: str) -> Path | None:
    """Return the truth file beside a catalog file, or None where there is none (every real district)."""
    if "://" in catalog_location:
        return None
    file = Path(catalog_location).parent / "truth.parquet"
    return file if file.is_file() else None
