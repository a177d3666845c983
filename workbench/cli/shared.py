"""What every command uses: the console, exit codes, examples under the help."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

OK, FAILURE, USAGE = 0, 1, 2
"""Exit codes: all well; the work failed or breaches were found; the command was not understood."""
out, err = Console(), Console(stderr=True)
Reports = Annotated[Path, typer.Option("--reports", help="Folder that holds the iterations.", envvar="WORKBENCH_REPORTS")]


def examples(*lines: str) -> str:
    """Return an epilog with one example a line."""
    return "\n\n".join(["例 examples", *(f"  {line}" for line in lines)])
