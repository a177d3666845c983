"""Where to look: one candidate lead per episode of findings, and per silent run of the posterior."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace

import numpy as np
import pandas as pd

from workbench.contracts import Kind, Queue
from workbench.cross.conflicts import best_regimes
from workbench.cross.episodes import Episode, episodes
from workbench.cross.explain import local_logits
from workbench.cross.fusion import QUANTITIES, Fused, carried, drawn, fuse
from workbench.cross.pooling import Pooled, pool
from workbench.cross.regimes import regime_prior
from workbench.cross.roles import priors
from workbench.cross.scoring import running
from workbench.cross.states import MECHANISMS, space

CORE = 0.5
"""A lead's core hours: around the peak, where the posterior keeps at least this share of it."""
MARGIN = pd.Timedelta(days=1)
"""Silence is looked for at least this far from any breach finding of the physical kinds."""
SILENT_FLOOR = 0.02
LONGEST_CORE = 24 * 10
VISIT = 24 * 21
"""Hours of the past that one visit looks into: three weeks. A silent lead asks for one, so it is ranked by the chance that
the visit finds something."""
OUTSIDE, UNSEEN = 0.1, 0.2
"""Chance that a lead's evidence stands for something the states do not hold (a wiring, a contract, a late file), and of a
violation then: no fusion of hourly channels is surer of one enterprise than this leaves it (judged)."""
SPELL = 24 * 6
"""Hours that a spell of trouble holds on average."""


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


def silent(quiet: Fused, said: pd.DataFrame, quota: int, known: Callable[[Episode], float] = lambda e: 0.0) -> list[Candidate]:
    """Return the silent candidates: visits worth making where no model raised anything of the track.

    Parameters
    ----------
    quiet : Fused
        Fused as if no model had raised anything and all enterprises were alike: channels and doubts.
    said : DataFrame
        Findings (``raised``) and doubts.
    quota : int
        Candidates wanted; the likeliest are returned, at most two per enterprise and track.
    known : callable, optional
        Log-odds that the enterprise's other times add to those of a span (visits, what was raised elsewhere).
    """
    if not quota:
        return []
    found = [*_silent_spells(quiet, said[said["raised"]]), *_silent_papers(said)]
    out = [replace(c, known=known(c.episode)) for c in found]

    def order(c: Candidate) -> tuple[float, str, str, int]:
        weighed = c.logit if c.row < 0 else float(in_a_visit(_p(c.logit), _length(c)))
        return -(weighed + c.known), c.episode.enterprise_id, c.episode.track, c.peak

    out.sort(key=order)
    return out[:quota]


def in_a_visit(chance: np.ndarray | float, hours: np.ndarray | float) -> np.ndarray:
    """Return the log-odds that a visit to an average enterprise finds a violation, given what the channels make of its hours.

    Parameters
    ----------
    chance : float or array
        Posterior chance of a violation in the hours looked at, at an average enterprise.
    hours : float or array
        How many they are.

    Notes
    -----
    The channels' Bayes factor against the regime prior is bounded: with probability ε (``silent.odd``) evidence as odd as
    this comes from something that the states do not hold, so that ``B' = B / (1 - ε + ε·B)`` never passes ``1/ε``.

    Examples
    --------
    >>> bool(in_a_visit(0.999, 504.0) < in_a_visit(0.5, 504.0) + 2)
    True
    """
    p = priors().silent
    base = float(regime_prior().shifted(0.0) @ space().z_violation)
    before = 1 - (1 - base) * np.exp(-base * np.maximum(np.asarray(hours, dtype=float) - SPELL, 0.0) / SPELL)
    after = np.clip(np.asarray(chance, dtype=float), 1e-7, 1 - 1e-7)
    factor = after / (1 - after) * (1 - before) / before
    bounded = factor / (1 - p["odd"] + p["odd"] * factor)
    return np.asarray(np.log(p["share"] / (1 - p["share"])) + np.log(bounded))


def _silent_spells(quiet: Fused, found: pd.DataFrame) -> list[Candidate]:
    n, hours = quiet.evidence.shape
    if not hours or not quiet.evidence.channels:
        return []
    p = quiet.posterior["violation"].copy()
    on = running(quiet.factors, quiet.reliability.regime).astype(np.float32)[quiet.index]
    loud = found[found["track"] == "physical"]
    for enterprise, start, end in zip(loud["enterprise_id"], loud["start"], loud["end"], strict=True):
        row = quiet.evidence.row(str(enterprise))
        if row >= 0:
            p[row, _hours(quiet, start - MARGIN, end + MARGIN)] = 0.0
    out: list[Candidate] = []
    for _ in range(2):
        peaks = (p * on).argmax(1)  # a works at rest keeps its prior, and offends little
        for row in range(n):
            peak = int(peaks[row])
            if p[row, peak] < SILENT_FLOOR:
                continue
            a, b = _visit(p[row], peak)
            chance = in_visit(p[row, a:b], peak - a)
            core = _core(p[row], peak, a, b)
            p[row, max(0, a - 48) : b + 48] = 0.0
            stamps = quiet.evidence.hours
            episode = Episode(str(quiet.evidence.enterprises[row]), "physical", stamps[a], stamps[b - 1] + pd.Timedelta(hours=1), ())
            kind = _kind(quiet, row, core, _ways(quiet, row))
            out.append(Candidate(episode, Queue.SILENT, kind, _logit(chance), 0.0, row, peak, core))
    return out


def _silent_papers(said: pd.DataFrame) -> list[Candidate]:
    """Return doubts about documents, carbon and dust that no raised finding of the enterprise and track comes near."""
    loud = {k: (g["start"].to_numpy(), g["end"].to_numpy()) for k, g in said[said["raised"]].groupby(["enterprise_id", "track"])}
    margin = MARGIN.to_timedelta64()
    out = []
    for e in episodes(said[~said["raised"] & (said["track"] != "physical")]):
        start, end = loud.get((e.enterprise_id, e.track), (np.zeros(0, "M8[ns]"), np.zeros(0, "M8[ns]")))
        if ((start <= e.end.to_datetime64() + margin) & (end >= e.start.to_datetime64() - margin)).any():
            continue
        pooled = pool(said.loc[list(e.rows)])
        kind = Kind(str(said["kind"].loc[pooled.parts[0][2]]))
        out.append(Candidate(e, Queue.SILENT, kind, pooled.logit, pooled.sd, pooled=pooled))
    return out


def _visit(p: np.ndarray, peak: int) -> tuple[int, int]:
    """Return the three weeks around the peak that hold most of the posterior, ends included in no raised span."""
    low, high = max(0, peak - VISIT + 1), min(len(p), peak + VISIT)
    silent_from = np.flatnonzero(p[low:peak] == 0)
    silent_to = np.flatnonzero(p[peak:high] == 0)
    a = low + int(silent_from[-1]) + 1 if len(silent_from) else low
    b = peak + int(silent_to[0]) if len(silent_to) else high
    if b - a <= VISIT:
        return a, b
    total = np.concatenate([[0.0], np.cumsum(p[a:b], dtype=float)])
    starts = np.arange(max(a, peak - VISIT + 1), min(peak, b - VISIT) + 1)
    mass = total[starts - a + VISIT] - total[starts - a]
    first = int(starts[int(np.argmax(mass))])
    return first, first + VISIT


def in_visit(p: np.ndarray, peak: int) -> float:
    """Return the chance that a visit finds a violation: at the peak's own spell, or in one of the others it looks at.

    Parameters
    ----------
    p : float array, shape (hour,)
        Posterior of a violation in the hours looked at.
    peak : int

    Examples
    --------
    >>> import numpy as np
    >>> round(in_visit(np.full(144, 0.2), 72), 2)
    0.2
    """
    others = float(p[: max(0, peak - SPELL // 2)].sum() + p[peak + SPELL // 2 :].sum()) / SPELL
    return float(1 - (1 - p[peak]) * np.exp(-others))


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
        samples[d] = [_logit(_chance(candidates[i], hushed if candidates[i].queue == Queue.SILENT else p, fused)) for i in at]
    quiet_ones = np.array([candidates[i].queue == Queue.SILENT for i in at])
    mean = (1 / (1 + np.exp(-samples))).mean(0)
    whole = ((1 - OUTSIDE) * mean + OUTSIDE * UNSEEN).clip(1e-7, 1 - 1e-7)
    logits = np.where(quiet_ones, in_a_visit(mean, np.array([_length(candidates[i]) for i in at])), np.log(whole / (1 - whole)))
    out = list(candidates)
    for k, i in enumerate(at):
        logit = float(logits[k])
        spread = float(np.hypot(samples[:, k].std(ddof=1), 0.3))
        out[i] = replace(candidates[i], logit=logit, sd=spread, plug_in=candidates[i].logit)
    return out


def _chance(c: Candidate, p: np.ndarray, fused: Fused) -> float:
    if c.queue != Queue.SILENT:
        return float(p[c.row, c.peak])
    span = _hours(fused, c.episode.start, c.episode.end)
    return in_visit(p[c.row, span].astype(float), c.peak - int(span[0]))


def _p(logit: float) -> float:
    return float(1 / (1 + np.exp(-logit)))


def _length(c: Candidate) -> float:
    return float((c.episode.end - c.episode.start) / pd.Timedelta(hours=1))


def _logit(p: float) -> float:
    q = min(max(p, 1e-7), 1 - 1e-7)
    return float(np.log(q / (1 - q)))


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


__all__ = ["QUANTITIES", "Candidate", "best_regimes", "from_episodes", "in_visit", "silent", "with_uncertainty"]
