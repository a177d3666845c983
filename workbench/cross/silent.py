"""The silent queue: visits worth making where no model raised anything.

Channels are fused as if no model had spoken and all works were alike; the evidence of a visit's hours is bounded, and what
the works' other times say is added (:meth:`workbench.cross.record.Record.unraised`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pandas as pd

from workbench.contracts import Kind, Queue
from workbench.cross.candidates import Candidate, core_of, hours_of, kind_of
from workbench.cross.episodes import Episode, episodes
from workbench.cross.fusion import Fused
from workbench.cross.pooling import pool
from workbench.cross.regimes import regime_prior
from workbench.cross.roles import priors
from workbench.cross.scoring import running
from workbench.cross.states import MECHANISMS, space

MARGIN = pd.Timedelta(days=1)
"""Silence is looked for at least this far from any breach finding of the physical kinds."""
SILENT_FLOOR = 0.02
VISIT = 24 * 21
"""Hours of the past that one visit looks into: three weeks. A silent lead asks for one, so it is ranked by the chance that
the visit finds something."""
LEAST = 24 * 7
"""Hours under which a window beside a raised span is no visit of its own: who goes for what was raised there looks at three
weeks, these hours among them."""
SPELL = 24 * 6
"""Hours that a spell of trouble holds on average."""


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
        weighed = c.logit if c.row < 0 else float(in_a_visit(_p(c.logit), length_of(c)))
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
            p[row, hours_of(quiet, start - MARGIN, end + MARGIN)] = 0.0
            without_leftovers(p[row])
    out: list[Candidate] = []
    for _ in range(2):
        peaks = (p * on).argmax(1)  # a works at rest keeps its prior, and offends little
        for row in range(n):
            peak = int(peaks[row])
            if p[row, peak] < SILENT_FLOOR:
                continue
            a, b = _visit(p[row], peak)
            chance = in_visit(p[row, a:b], peak - a)
            core = core_of(p[row], peak, a, b)
            p[row, max(0, a - 48) : b + 48] = 0.0
            stamps = quiet.evidence.hours
            episode = Episode(str(quiet.evidence.enterprises[row]), "physical", stamps[a], stamps[b - 1] + pd.Timedelta(hours=1), ())
            kind = kind_of(quiet, row, core, _ways(quiet, row))
            out.append(Candidate(episode, Queue.SILENT, kind, log_odds(chance), 0.0, row, peak, core))
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


def without_leftovers(p: np.ndarray, least: int = LEAST) -> None:
    """Set stretches shorter than ``least`` that lie against a raised span (zeros) to zero, in place.

    Examples
    --------
    >>> import numpy as np
    >>> p = np.array([0.1, 0.1, 0.1, 0.0, 0.2, 0.0, 0.3, 0.3])
    >>> without_leftovers(p, 3)
    >>> p.tolist()
    [0.1, 0.1, 0.1, 0.0, 0.0, 0.0, 0.0, 0.0]
    """
    edges = np.diff(np.r_[0, (p > 0).astype(np.int8), 0])
    for a, b in zip(np.flatnonzero(edges == 1), np.flatnonzero(edges == -1), strict=True):
        if b - a < min(least, len(p)):
            p[a:b] = 0.0


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


def length_of(c: Candidate) -> float:
    """Return the hours of a candidate's span."""
    return float((c.episode.end - c.episode.start) / pd.Timedelta(hours=1))


def log_odds(p: float) -> float:
    """Return the log-odds of a probability, cut where nothing is that sure."""
    q = min(max(p, 1e-7), 1 - 1e-7)
    return float(np.log(q / (1 - q)))


def _p(logit: float) -> float:
    return float(1 / (1 + np.exp(-logit)))


def _ways(fused: Fused, row: int) -> dict[str, float]:
    """Return how much more each mechanism is expected of an enterprise for what is believed of its other hours."""
    total = {k: float(fused.posterior[k][row].sum()) for k in MECHANISMS}
    whole = max(sum(total.values()), 1e-9)
    return {k: 1.0 + 2.0 * v / whole for k, v in total.items()}
