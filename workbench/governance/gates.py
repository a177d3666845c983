"""Gates between a challenger and the champion, and the signature that promotes it."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from typing import Literal
from zoneinfo import ZoneInfo

from pydantic import BaseModel, ConfigDict, Field, model_validator

from workbench.contracts import Metric, ParameterError, PermissionDenied
from workbench.governance.registry import Run

Status = Literal["passed", "failed", "not_evaluated"]


class Gate(BaseModel):
    """One condition on one metric of the challenger.

    Parameters
    ----------
    name : str
        Short name.
    metric, subject, against : str
        Which metric is meant; subject and against may be empty (the first of the name counts).
    bound : {"value", "low", "high"}
        The point estimate or an end of its interval.
    at_least, at_most : float, optional
        Limits, in the metric's unit.
    champion_margin : float, optional
        The challenger may fall behind the champion by at most this much (0: not worse). Higher is taken as better
        unless ``smaller_is_better``.
    min_n : int
        Fewer independent units than this: not evaluated.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = Field(min_length=1)
    metric: str = Field(min_length=1)
    subject: str = ""
    against: str = ""
    bound: Literal["value", "low", "high"] = "value"
    at_least: float | None = None
    at_most: float | None = None
    champion_margin: float | None = Field(default=None, ge=0)
    smaller_is_better: bool = False
    min_n: int = Field(default=1, ge=0)

    @model_validator(mode="after")
    def _asks_something(self) -> Gate:
        if self.at_least is None and self.at_most is None and self.champion_margin is None:
            raise ValueError("a gate needs at_least, at_most or champion_margin")
        return self


class GateResult(BaseModel):
    """What became of one gate; ``not_evaluated`` never counts as passed."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    gate: str
    status: Status
    reason: str


class Decision(BaseModel):
    """All gates of one challenger."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    run: str
    author: str
    champion: str = ""
    results: tuple[GateResult, ...]

    @property
    def promotable(self) -> bool:
        """Whether there is at least one gate and every one passed."""
        return bool(self.results) and all(r.status == "passed" for r in self.results)


class SignedDecision(BaseModel):
    """A decision with the person who answers for it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    decision: Decision
    person: str
    reason: str
    signed_at: str


def check_promotion(run: Run, champion: Run | None, gates: Sequence[Gate]) -> Decision:
    """Hold a challenger against every gate.

    Parameters
    ----------
    run : Run
        The challenger.
    champion : Run or None
        The iteration in force; without one, gates that compare with it are decided by their other limits, and where
        they have none they are not evaluated.
    gates : sequence of Gate
        Usually the experiment's.
    """
    return Decision(
        run=run.id,
        author=run.record.author,
        champion=champion.id if champion else "",
        results=tuple(_result(gate, run, champion) for gate in gates),
    )


def sign_off(decision: Decision, person: str, reason: str) -> SignedDecision:
    """Sign a decision to promote.

    Raises
    ------
    PermissionDenied
        If the person is the author of the run, or a gate did not pass.
    ParameterError
        If person or reason is empty.
    """
    if not person.strip() or not reason.strip():
        raise ParameterError("a signature needs a person and a reason", got=f"person={person!r}, reason={reason!r}")
    if _same_person(person, decision.author):
        raise PermissionDenied(
            "the author of a run cannot sign for it",
            got=person,
            allowed="anyone else who answers for the model",
            where=decision.run,
            next_step="ask a second person to run: workbench promote … --by NAME",
        )
    if not decision.promotable:
        open_gates = [f"{r.gate}: {r.status} ({r.reason})" for r in decision.results if r.status != "passed"]
        raise PermissionDenied(
            "not every gate passed",
            got=open_gates or "no gate at all",
            allowed="every gate passed; not evaluated never counts as passed",
            where=decision.run,
        )
    at = dt.datetime.now(ZoneInfo("Asia/Shanghai")).replace(tzinfo=None, microsecond=0).isoformat()
    return SignedDecision(decision=decision, person=person.strip(), reason=reason.strip(), signed_at=at)


def _same_person(a: str, b: str) -> bool:
    return " ".join(a.split()).casefold() == " ".join(b.split()).casefold()


def _result(gate: Gate, run: Run, champion: Run | None) -> GateResult:
    metric = run.metric(gate.metric, gate.subject or None, gate.against or None)
    value = _bound(metric, gate)
    if metric is None:
        return GateResult(gate=gate.name, status="not_evaluated", reason=f"the run has no metric {gate.metric}")
    if value is None:
        return GateResult(gate=gate.name, status="not_evaluated", reason=metric.note or f"{gate.metric} has no {gate.bound}")
    if metric.n < gate.min_n:
        return GateResult(gate=gate.name, status="not_evaluated", reason=f"n = {metric.n}, at least {gate.min_n} needed")
    said = f"{gate.metric} {gate.bound} {value:.3g}"
    if gate.at_least is not None and value < gate.at_least:
        return GateResult(gate=gate.name, status="failed", reason=f"{said} < {gate.at_least:g}")
    if gate.at_most is not None and value > gate.at_most:
        return GateResult(gate=gate.name, status="failed", reason=f"{said} > {gate.at_most:g}")
    if gate.champion_margin is None:
        return GateResult(gate=gate.name, status="passed", reason=said)
    return _against_champion(gate, value, said, champion)


def _against_champion(gate: Gate, value: float, said: str, champion: Run | None) -> GateResult:
    if champion is None:
        absolute = gate.at_least is not None or gate.at_most is not None
        status: Status = "passed" if absolute else "not_evaluated"
        return GateResult(gate=gate.name, status=status, reason=f"{said}; no champion yet to compare with")
    before = _bound(champion.metric(gate.metric, gate.subject or None, gate.against or None), gate)
    if before is None:
        return GateResult(gate=gate.name, status="not_evaluated", reason=f"the champion has no {gate.metric}")
    behind = (value - before) if gate.smaller_is_better else (before - value)
    ok = behind <= (gate.champion_margin or 0.0) + 1e-12
    return GateResult(gate=gate.name, status="passed" if ok else "failed", reason=f"{said}, champion {before:.3g}")


def _bound(metric: Metric | None, gate: Gate) -> float | None:
    return None if metric is None else {"value": metric.value, "low": metric.low, "high": metric.high}[gate.bound]
