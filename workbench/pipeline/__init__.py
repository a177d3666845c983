"""Composition only: an experiment's notebooks run in order into one iteration's report folder.

Heavy parts are imported on first use, so that the command line starts quickly.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

_LAZY = {
    "Experiment": "workbench.pipeline.experiment",
    "apply_settings": "workbench.pipeline.experiment",
    "find_experiment": "workbench.pipeline.experiment",
    "list_experiments": "workbench.pipeline.experiment",
    "load_experiment": "workbench.pipeline.experiment",
    "project_root": "workbench.pipeline.experiment",
    "Outcome": "workbench.pipeline.iteration",
    "Request": "workbench.pipeline.iteration",
    "run_iteration": "workbench.pipeline.iteration",
    "Step": "workbench.pipeline.step",
    "use_house_style": "workbench.pipeline.style",
    "read_table": "workbench.pipeline.step",
    "require_upstream": "workbench.pipeline.step",
}
__all__ = [*_LAZY]


def __getattr__(name: str) -> Any:
    if name in _LAZY:
        return getattr(import_module(_LAZY[name]), name)
    raise AttributeError(f"module 'workbench.pipeline' has no attribute {name!r}")
