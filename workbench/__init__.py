"""Research and model-governance workbench for environmental regulators.

The ten lines most people need::

    import workbench as wb

    catalog = wb.open_catalog("catalogs/reference.yml")
    model = wb.load_model("monitoring")
    features = model.features(catalog, catalog.period)
    fitted = model.fit(features, catalog.labels(), seed=0)
    findings = fitted.assess(features)
    reasons = fitted.explain(features, findings["finding_id"].head(10))

Importing this package loads none of the heavy parts; each name is fetched on first use.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

__version__ = "0.1.0"

_LAZY = {
    "open_catalog": ("workbench.catalog", "open_catalog"),
    "available_models": ("workbench.models", "available"),
    "load_model": ("workbench.models", "load"),
}
__all__ = ["__version__", *_LAZY]


def __getattr__(name: str) -> Any:
    if name in _LAZY:
        module, attribute = _LAZY[name]
        return getattr(import_module(module), attribute)
    raise AttributeError(f"module 'workbench' has no attribute {name!r}; it offers {sorted(__all__)}")


def __dir__() -> list[str]:
    return sorted(__all__)
