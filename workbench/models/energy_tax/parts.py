"""The parts that this model's rules may speak of (``parts.yml``)."""

from __future__ import annotations

from workbench.models.additive import PartBook

PARTS = PartBook("workbench.models.energy_tax")
parts_of = PARTS.of

__all__ = ["PARTS", "parts_of"]
