"""The cross-model layer: recover what every model missed, drop what one model imagined.

``build_leads`` fuses findings and hourly evidence into two review queues; ``prepare`` gives what lies between, for a
notebook to look at. Nothing it returns is proof or a verdict.
"""

from workbench.cross.evidence import coverage_report
from workbench.cross.leads import Prepared, build_leads, prepare

__all__ = ["Prepared", "build_leads", "coverage_report", "prepare"]
