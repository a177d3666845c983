"""Where to look: one candidate lead per episode of findings (for the others see :mod:`workbench.cross.silent`)."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from workbench.contracts import Kind, Queue
from workbench.cross.episodes import Episode
from workbench.cross.explain import local_logits
from workbench.cross.fusion import Fused
from workbench.cross.pooling import Pooled, pool
from workbench.cross.states import MECHANISMS

CORE = 0.5
"""A lead's core hours: around the peak, where the posterior keeps at least this share of it."""
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
    known : float
        Log-odds that the enterprise's other times add, after recalibration (silent queue; in the main queue they are part of
        the prior).
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
    known: float = 0.0


def from_episodes(eps: list[Episode], found: pd.DataFrame, fused: Fused, *, offsets: dict[str, float]) -> list[Candidate]:
    """Return one candidate per episode: physical ones by the fused posterior, the others by pooling."""
    out = []
    for e in eps:
        g = found.loc[list(e.rows)]
        row = fused.evidence.row(e.enterprise_id)
        span = hours_of(fused, e.start, e.end)
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
    core = core_of(fused.posterior["violation"][row], peak, int(span[0]), int(span[-1]) + 1)
    named = {str(k): 1.25 for k in g["kind"]}
    kind = kind_of(fused, row, core, named)
    return Candidate(e, Queue.MAIN, kind, float(local_logits(fused, row, peak, None)[0]), 0.0, row, peak, core)


def hours_of(fused: Fused, start: pd.Timestamp, end: pd.Timestamp) -> np.ndarray:
    """Return the hours of the grid that a span touches."""
    hours = fused.evidence.hours
    if not len(hours):
        return np.zeros(0, dtype=int)
    a = int(np.floor((start - hours[0]) / pd.Timedelta(hours=1)))
    b = max(a + 1, int(np.ceil((end - hours[0]) / pd.Timedelta(hours=1))))
    return np.arange(max(0, a), min(len(hours), b))


def core_of(p: np.ndarray, peak: int, low: int, high: int, longest: int = LONGEST_CORE) -> np.ndarray:
    """Return the hours around a peak, within a span, that keep at least :data:`CORE` of it."""
    cut = CORE * p[peak]
    a = peak
    while a > low and p[a - 1] >= cut and peak - a < longest // 2:
        a -= 1
    b = peak + 1
    while b < high and p[b] >= cut and b - peak < longest // 2:
        b += 1
    return np.arange(a, b)


def kind_of(fused: Fused, row: int, core: np.ndarray, named: dict[str, float]) -> Kind:
    """Return the mechanism with the largest posterior over the core; one that a finding names is preferred when close."""
    mean = {k: float(fused.posterior[k][row, core].mean()) * named.get(k, 1.0) for k in MECHANISMS}
    return Kind(max(MECHANISMS, key=lambda k: (mean[k], k)))
