"""Who ran what, whether it may replace the champion, and who signed for it.

Run records are read back from ``reports/*/run.json``; gates give three-valued results; a promotion is signed by a
person who is not the run's author; every event goes into a hash-chained log that can be verified offline.
"""

from workbench.governance.audit import AuditEvent, AuditLog
from workbench.governance.gates import Decision, Gate, GateResult, SignedDecision, check_promotion, sign_off
from workbench.governance.registry import Registry, Run

__all__ = [
    "AuditEvent",
    "AuditLog",
    "Decision",
    "Gate",
    "GateResult",
    "Registry",
    "Run",
    "SignedDecision",
    "check_promotion",
    "sign_off",
]
