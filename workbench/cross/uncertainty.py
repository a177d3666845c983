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
violation then: no fusion of hourly channels is surer of one enterprise than this leaves it (judged)."""


def with_uncertainty(candidates: list[Candidate], fused: Fused, quiet: Fused, draws: int, seed: int) -> list[Candidate]:
    """Return the candidates with their posterior averaged, and their log-odds spread, over parameter draws.

    What hangs on one parameter value is thereby worth less than what holds under all of them.
    """
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
    whole = ((1 - OUTSIDE) * mean + OUTSIDE * UNSEEN).clip(1e-7, 1 - 1e-7)
    logits = np.where(quiet_ones, in_a_visit(mean, np.array([length_of(candidates[i]) for i in at])), np.log(whole / (1 - whole)))
    out = list(candidates)
    for k, i in enumerate(at):
        logit = float(logits[k])
        spread = float(np.hypot(samples[:, k].std(ddof=1), 0.3))
        out[i] = replace(candidates[i], logit=logit, sd=spread, plug_in=candidates[i].logit)
    return out


def _chance(c: Candidate, p: np.ndarray, fused: Fused) -> float:
    if c.queue != Queue.SILENT:
        return float(p[c.row, c.peak])
    span = hours_of(fused, c.episode.start, c.episode.end)
    return in_visit(p[c.row, span].astype(float), c.peak - int(span[0]))
