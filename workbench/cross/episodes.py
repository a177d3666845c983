"""From findings to episodes: what one visit would look into.

An episode is one enterprise, one track (kinds that are looked into together) and a span no longer than
``longest_days``. Findings that overlap, or follow each other within a gap, share an episode; a span that is too long
is cut at its widest gap, or into windows where it has none.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pandas as pd

from workbench.contracts import Verdict
from workbench.cross.kinds import track_of

GAP = pd.Timedelta(days=3)
LONGEST = pd.Timedelta(days=30)
SEVERITY_P = {"low": 0.10, "medium": 0.20, "high": 0.35}
"""Stand-in for a breach finding that carries no calibrated probability: weak, so that it never leads the queue."""
UNKNOWN_P = 0.15


@dataclass(frozen=True)
class Episode:
    """One enterprise, track and span, with the row numbers of its findings."""

    enterprise_id: str
    track: str
    start: pd.Timestamp
    end: pd.Timestamp
    rows: tuple[int, ...]


FAINTEST = 0.03
"""Probability under which what a model weighed is no doubt."""


def breaches(findings: pd.DataFrame) -> pd.DataFrame:
    """Return the findings that claim a breach of a named enterprise and kind, sorted, with ``p`` in (0, 1) filled.

    Abstentions say nothing here: not evaluated never counts as compliant, nor as a breach.
    """
    return _named(findings, findings["verdict"] == Verdict.BREACH)


def doubts(findings: pd.DataFrame) -> pd.DataFrame:
    """Return what a model weighed, gave a probability, and did not raise, in the form of :func:`breaches`.

    Evidence, but no alert. Some models keep it as a compliant row, some as an abstention with a probability.
    """
    return _named(findings, findings["verdict"].ne(Verdict.BREACH) & (findings["p_breach"].astype(float) >= FAINTEST))


def _named(findings: pd.DataFrame, chosen: pd.Series) -> pd.DataFrame:
    keep = (
        chosen
        & findings["enterprise_id"].fillna("").ne("")
        & findings["kind"].fillna("").ne("")
        & (findings["start"].notna() & findings["end"].notna())
    )
    out = findings.loc[keep].copy()
    stand_in = out["severity"].map(SEVERITY_P).fillna(UNKNOWN_P)
    out["p"] = out["p_breach"].astype(float).fillna(stand_in).clip(0.001, 0.995)
    out["track"] = [track_of(k) for k in out["kind"]]
    return out.sort_values(["enterprise_id", "track", "start", "end", "finding_id"], kind="stable").reset_index(drop=True)


def episodes(found: pd.DataFrame, *, gap: pd.Timedelta = GAP, longest: pd.Timedelta = LONGEST) -> list[Episode]:
    """Group sorted breaches (from :func:`breaches`) into episodes.

    Parameters
    ----------
    found : DataFrame
        With a clean ``0…n-1`` index.
    gap : Timedelta
        Largest silence between findings of one episode.
    longest : Timedelta
        Longest episode.
    """
    out: list[Episode] = []
    for (enterprise, track), g in found.groupby(["enterprise_id", "track"], sort=True):
        for rows in _joined(g, gap):
            out += _cut(str(enterprise), str(track), found.loc[rows], longest)
    return out


def _joined(g: pd.DataFrame, gap: pd.Timedelta) -> Iterator[np.ndarray]:
    """Yield row labels of findings that overlap or follow within the gap (rows sorted by start)."""
    reach = g["end"].cummax().shift()
    new = (g["start"] - reach > gap).fillna(False).cumsum()
    for _, part in g.groupby(new.to_numpy(), sort=True):
        yield part.index.to_numpy()


def _cut(enterprise: str, track: str, g: pd.DataFrame, longest: pd.Timedelta) -> list[Episode]:
    """Cut a group into windows of at most ``longest``; every finding lands in one window, the one of its strongest part.

    Windows are laid greedily: the one with the largest summed evidence first, so that a year-long paper finding joins
    the month in which something else speaks too instead of making twelve leads of the same words.
    """
    out: list[Episode] = []
    left = g
    while len(left):
        span = left["end"].max() - left["start"].min()
        if span <= longest:
            out.append(_episode(enterprise, track, left, left["start"].min(), left["end"].max()))
            break
        starts = left["start"].to_numpy()
        ends = np.minimum(left["end"].to_numpy(), starts + longest.to_timedelta64())
        weight = -np.log1p(-left["p"].to_numpy())
        # candidate windows begin where a finding begins; a finding belongs to a window that holds all of it, or its first 30 days
        mass = np.array([weight[(starts >= s) & (ends <= s + longest.to_timedelta64())].sum() for s in starts])
        s = starts[int(np.argmax(mass))]
        inside = (starts >= s) & (ends <= s + longest.to_timedelta64())
        part = left.loc[inside]
        out.append(_episode(enterprise, track, part, pd.Timestamp(s), pd.Timestamp(ends[inside].max())))
        left = left.loc[~inside]
    return out


def _episode(enterprise: str, track: str, g: pd.DataFrame, start: pd.Timestamp, end: pd.Timestamp) -> Episode:
    return Episode(enterprise, track, start, end, tuple(int(i) for i in g.index))
