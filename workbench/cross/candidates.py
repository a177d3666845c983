"""Where to look: one candidate lead per episode of findings, and per silent run of the posterior."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np
import pandas as pd

from workbench.contracts import Kind, Queue
from workbench.cross.conflicts import best_regimes
from workbench.cross.episodes import LONGEST, Episode
from workbench.cross.explain import local_logits
from workbench.cross.fusion import QUANTITIES, Fused, drawn, fuse, without_findings
from workbench.cross.pooling import Pooled, pool
from workbench.cross.scoring import running
from workbench.cross.states import MECHANISMS

CORE = 0.5
"""A lead's core hours: around the peak, where the posterior keeps at least this share of it."""
MARGIN = pd.Timedelta(days=1)
"""Silence is looked for at least this far from any breach finding of the physical kinds."""
SILENT_FLOOR = 0.02
LONGEST_CORE = 24 * 10


@dataclass(frozen=True)
class Candidate:
    """One possible lead.

    Parameters
    ----------
    episode : Episode
        Enterprise, track, span, findings (none in the silent queue).
    queue : Queue
    kind : Kind
    logit, sd : float
        Log-odds of a violation before recalibration, and their standard deviation over parameter draws.
    row, peak : int
        Enterprise row and peak hour in the evidence; -1 where the lead rests on pooled findings alone.
    core : int array
        Hours the words are about.
    pooled : Pooled or None
    plug_in : float
        Log-odds at the mean parameters, before averaging over draws.
    inspected : float
        Log-odds that inspections of the same span add, after recalibration.
    """

    episode: Episode
    queue: Queue
    kind: Kind
    logit: float
    sd: float
    row: int = -1
    peak: int = -1
    core: np.ndarray = field(default_factory=lambda: np.zeros(0, dtype=int))
    pooled: Pooled | None = None
    plug_in: float = float("nan")
    inspected: float = 0.0


def from_episodes(eps: list[Episode], found: pd.DataFrame, fused: Fused, *, offsets: dict[str, float]) -> list[Candidate]:
    """Return one candidate per episode: physical ones by the fused posterior, the others by pooling."""
    out = []
    for e in eps:
        g = found.loc[list(e.rows)]
        row = fused.evidence.row(e.enterprise_id)
        span = _hours(fused, e.start, e.end)
        if e.track == "physical" and row >= 0 and len(span):
            out.append(_physical(e, g, fused, row, span))
        else:
            pooled = pool(g, offset=offsets.get(e.enterprise_id, 0.0))
            kind = Kind(str(found["kind"].loc[pooled.parts[0][2]]))
            out.append(Candidate(e, Queue.MAIN, kind, pooled.logit, pooled.sd, pooled=pooled))
    return out


def _physical(e: Episode, g: pd.DataFrame, fused: Fused, row: int, span: np.ndarray) -> Candidate:
    p = fused.posterior["violation"][row, span]
    peak = int(span[int(np.argmax(p))])
    core = _core(fused.posterior["violation"][row], peak, int(span[0]), int(span[-1]) + 1)
    named = {str(k): 1.25 for k in g["kind"]}
    kind = _kind(fused, row, core, named)
    return Candidate(e, Queue.MAIN, kind, float(local_logits(fused, row, peak, None)[0]), 0.0, row, peak, core)


def silent(fused: Fused, found: pd.DataFrame, quota: int) -> list[Candidate]:
    """Return the silent candidates: runs of the findings-free posterior where no breach finding of the track overlaps.

    Parameters
    ----------
    quota : int
        Reviews the queue may ask for; the best are returned, at most two per enterprise.
    """
    n, hours = fused.evidence.shape
    if not hours or not quota or not any(c.llr is None for c in fused.evidence.channels):
        return []
    p = without_findings(fused)
    on = running(fused.factors, fused.reliability.regime).astype(np.float32)[fused.index]
    loud = found[found["track"] == "physical"]
    for enterprise, start, end in zip(loud["enterprise_id"], loud["start"], loud["end"], strict=True):
        row = fused.evidence.row(str(enterprise))
        if row >= 0:
            p[row, _hours(fused, start - MARGIN, end + MARGIN)] = 0.0
    out: list[Candidate] = []
    quiet = p
    for _ in range(2):
        peaks = (quiet * on).argmax(1)  # a works at rest keeps its prior, and offends little
        for row in range(n):
            peak = int(peaks[row])
            if quiet[row, peak] < SILENT_FLOOR:
                continue
            core = _core(quiet[row], peak, 0, hours, longest=int(LONGEST / pd.Timedelta(hours=1)))
            quiet[row, max(0, core[0] - 48) : core[-1] + 49] = 0.0
            stamps = fused.evidence.hours
            episode = Episode(
                str(fused.evidence.enterprises[row]), "physical", stamps[core[0]], stamps[core[-1]] + pd.Timedelta(hours=1), ()
            )
            logit = float(local_logits(fused, row, peak, [channels_alone(fused)])[0])
            out.append(Candidate(episode, Queue.SILENT, _kind(fused, row, core, _ways(fused, row)), logit, 0.0, row, peak, core))
    out.sort(key=lambda c: (-c.logit, c.episode.enterprise_id, c.peak))
    return out[:quota]


def channels_alone(fused: Fused) -> list[int]:
    """Return the numbers of the channels that are no findings: what a silent lead rests on."""
    return [k for k, c in enumerate(fused.evidence.channels) if c.llr is None]


def with_uncertainty(candidates: list[Candidate], fused: Fused, draws: int, seed: int) -> list[Candidate]:
    """Return the candidates with their posterior averaged, and their log-odds spread, over parameter draws.

    What hangs on one parameter value is thereby worth less than what holds under all of them.
    """
    at = [i for i, c in enumerate(candidates) if c.row >= 0]
    if not at or not draws:
        return candidates
    rng = np.random.default_rng(seed)
    samples = np.empty((draws + 1, len(at)))
    samples[draws] = [candidates[i].logit for i in at]
    for d in range(draws):
        other = fuse(fused.evidence, drawn(fused.reliability, rng))
        quiet = without_findings(other)
        p = np.array(
            [
                (quiet if candidates[i].queue == Queue.SILENT else other.posterior["violation"])[candidates[i].row, candidates[i].peak]
                for i in at
            ],
            dtype=float,
        )
        p = np.clip(p, 1e-7, 1 - 1e-7)
        samples[d] = np.log(p / (1 - p))
    mean = (1 / (1 + np.exp(-samples))).mean(0).clip(1e-7, 1 - 1e-7)
    out = list(candidates)
    for k, i in enumerate(at):
        logit = float(np.log(mean[k] / (1 - mean[k])))
        spread = float(np.hypot(samples[:, k].std(ddof=1), 0.3))
        out[i] = replace(candidates[i], logit=logit, sd=spread, plug_in=candidates[i].logit)
    return out


def _hours(fused: Fused, start: pd.Timestamp, end: pd.Timestamp) -> np.ndarray:
    hours = fused.evidence.hours
    if not len(hours):
        return np.zeros(0, dtype=int)
    a = int(np.floor((start - hours[0]) / pd.Timedelta(hours=1)))
    b = max(a + 1, int(np.ceil((end - hours[0]) / pd.Timedelta(hours=1))))
    return np.arange(max(0, a), min(len(hours), b))


def _core(p: np.ndarray, peak: int, low: int, high: int, longest: int = LONGEST_CORE) -> np.ndarray:
    cut = CORE * p[peak]
    a = peak
    while a > low and p[a - 1] >= cut and peak - a < longest // 2:
        a -= 1
    b = peak + 1
    while b < high and p[b] >= cut and b - peak < longest // 2:
        b += 1
    return np.arange(a, b)


def _kind(fused: Fused, row: int, core: np.ndarray, named: dict[str, float]) -> Kind:
    """Return the mechanism with the largest posterior over the core; one that a finding names is preferred when close."""
    mean = {k: float(fused.posterior[k][row, core].mean()) * named.get(k, 1.0) for k in MECHANISMS}
    return Kind(max(MECHANISMS, key=lambda k: (mean[k], k)))


def _ways(fused: Fused, row: int) -> dict[str, float]:
    """Return how much more each mechanism is expected of an enterprise for what is believed of its other hours."""
    total = {k: float(fused.posterior[k][row].sum()) for k in MECHANISMS}
    whole = max(sum(total.values()), 1e-9)
    return {k: 1.0 + 2.0 * v / whole for k, v in total.items()}


__all__ = ["QUANTITIES", "Candidate", "best_regimes", "from_episodes", "silent", "with_uncertainty"]
