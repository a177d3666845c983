"""The cross-model layer: recover what every model missed, drop what one model imagined.

``build_leads`` fuses findings and hourly evidence into two review queues. Nothing it returns is proof or a verdict.
"""

from workbench.cross.leads import build_leads

__all__ = ["build_leads"]
