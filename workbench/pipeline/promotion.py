"""Promotion of an iteration: gates, signature, audit event, and the file that names the champion."""

from __future__ import annotations

from pathlib import Path

from workbench.governance import AuditLog, Decision, Gate, Registry, SignedDecision, check_promotion, sign_off
from workbench.governance.registry import CHAMPION
from workbench.pipeline.iteration import AUDIT
from workbench.pipeline.step import write_text


def audit_log(reports: Path) -> AuditLog:
    """Return the audit log of a reports folder."""
    return AuditLog(reports / AUDIT)


def decide(reports: Path, iteration_id: str) -> Decision:
    """Hold an iteration against the gates of its own experiment and the champion in force."""
    registry = Registry(reports)
    run = registry.get(iteration_id)
    gates = [Gate.model_validate(g) for g in run.record.params.get("gates", [])]
    return check_promotion(run, registry.champion(), gates)


def promote(reports: Path, decision: Decision, person: str, reason: str) -> SignedDecision:
    """Sign a decision, log it, and make its run the champion.

    Raises
    ------
    PermissionDenied
        If the person is the run's author or a gate did not pass; the refusal is logged nowhere, nothing changes.
    IntegrityError
        If the audit log does not verify; nothing changes.
    """
    signed = sign_off(decision, person, reason)
    audit_log(reports).append("promote", actor=signed.person, subject=decision.run, details=signed.model_dump(mode="json"))
    text = signed.model_dump_json(indent=1)
    write_text(reports / CHAMPION, f'{{"run": "{decision.run}", "signed": {text}}}\n')
    return signed
