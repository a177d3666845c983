"""The numbers of this model (see :mod:`workbench.models.rule_settings`)."""

from __future__ import annotations

from collections.abc import Mapping

from workbench.models.rule_settings import Settings, read_settings


def load_settings(overrides: Mapping[str, float] | None = None) -> Settings:
    """Read ``params.yml`` and ``preparation.yml`` of this folder, with overrides ``{"rule.threshold": value}``."""
    return read_settings("workbench.models.energy_tax", overrides)


__all__ = ["Settings", "load_settings"]
