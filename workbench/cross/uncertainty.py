"""Candidates under parameter draws: what hangs on one parameter value is worth less than what holds under all of them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from workbench.contracts import Queue
from workbench.cross.candidates import Candidate, hours_of
from workbench.cross.fusion import Fused, carried, drawn, fuse
from workbench.cross.silent import in_a_visit, in_visit, length_of, log_odds

OUTSIDE, UNSEEN = 0.1, 0.2
"""Chance that a lead's evidence stands for something the states do not hold (a wiring, a contract, a late file), and of a
violation then: nothing that is fused is surer of one enterprise than this leaves it (judged)."""
FILED = 0.03
"""The same chance where the matter is read off documents: a date or an amount needs no inference, but a file can be late or
an extension granted elsewhere (judged; such leads over .8 were right in every case on three simulated districts)."""


def bounded(p: np.ndarray | float, outside: float = OUTSIDE) -> np.ndarray:
    """Return the log-odds of a chance once the evidence may stand for something the states do not hold.

    Examples
    --------
    >>> round(float(1 / (1 + np.exp(-bounded(1.0)))), 2)
    0.92
    """
    whole = ((1 - outside) * np.asarray(p, dtype=float) + outside * UNSEEN).clip(1e-7, 1 - 1e-7)
    return np.asarray(np.log(whole / (1 - whole)))


def with_uncertainty(candidates: list[Candidate], fused: Fused, quiet: Fused, draws: int, seed: int) -> list[Candidate]:
    """Return the candidates with their posterior averaged, and their log-odds spread, over parameter draws.

    What hangs on one parameter value is thereby worth less than what holds under all of them. Leads of the main queue that
    rest on documents have no draws; they are bounded alike.
    """
    candidates = [_on_documents(c) if c.row < 0 and c.queue == Queue.MAIN else c for c in candidates]
    at = [i for i, c in enumerate(candidates) if c.row >= 0]
    if not at or not draws:
        return candidates
    rng = np.random.default_rng(seed)
    samples = np.empty((draws + 1, len(at)))
    samples[draws] = [candidates[i].logit for i in at]
    any_silent = any(candidates[i].queue == Queue.SILENT for i in at)
    for d in range(draws):
        taken = drawn(fused.reliability, rng)
        p = fuse(fused.evidence, taken).posterior["violation"]
        hushed = fuse(quiet.evidence, carried(taken, fused.evidence, quiet.evidence)).posterior["violation"] if any_silent else p
        samples[d] = [log_odds(_chance(candidates[i], hushed if candidates[i].queue == Queue.SILENT else p, fused)) for i in at]
    quiet_ones = np.array([candidates[i].queue == Queue.SILENT for i in at])
    mean = (1 / (1 + np.exp(-samples))).mean(0)
    logits = np.where(quiet_ones, in_a_visit(mean, np.array([length_of(candidates[i]) for i in at])), bounded(mean))
    out = list(candidates)
    for k, i in enumerate(at):
        logit = float(logits[k])
        spread = float(np.hypot(samples[:, k].std(ddof=1), 0.3))
        out[i] = replace(candidates[i], logit=logit, sd=spread, plug_in=candidates[i].logit)
    return out


def _on_documents(c: Candidate) -> Candidate:
    outside = FILED if c.episode.track in ("paper", "carbon") else OUTSIDE
    return replace(c, logit=float(bounded(1 / (1 + np.exp(-c.logit)), outside)), plug_in=c.logit)


def _chance(c: Candidate, p: np.ndarray, fused: Fused) -> float:
    if c.queue != Queue.SILENT:
        return float(p[c.row, c.peak])
    span = hours_of(fused, c.episode.start, c.episode.end)
    return in_visit(p[c.row, span].astype(float), c.peak - int(span[0]))
