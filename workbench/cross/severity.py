"""Channels that grade suspicion: take the worst of a role's detectors, and learn how often honest hours trip them.

Each detector of a model sees its own kind of offence only, so the silence of twelve detectors is not twelve words of
innocence: they are merged into one channel that holds the worst level. How often honest hours reach a level is read
from the data (offences are rare, so the marginal is the honest rate); what an offence adds is the expert's excess,
as a noisy-or.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from workbench.contracts import NOT_INSTALLED
from workbench.cross.emission import Emission
from workbench.cross.evidence import Channel, Evidence
from workbench.cross.roles import roles

LADDER = ("ordinary", "suspect", "strong")


def graded(role: str) -> bool:
    """Return whether a role grades suspicion (ordinary, suspect, strong)."""
    return role in roles() and set(LADDER) <= set(roles()[role].levels)


def merge_graded(e: Evidence) -> Evidence:
    """Return the evidence with the channels of one graded role and group merged into their worst."""
    kept = [c for c in e.channels if not graded(c.role) or c.llr is not None]
    keys = sorted({(c.role, c.group) for c in e.channels if graded(c.role) and c.llr is None})
    for role, group in keys:
        members = [c for c in e.channels if (c.role, c.group) == (role, group) and c.llr is None]
        kept.append(_worst(role, members))
    return Evidence(e.enterprises, e.hours, tuple(sorted(kept, key=lambda c: c.name)))


def _worst(role: str, members: list[Channel]) -> Channel:
    grade = np.full(members[0].values.shape, NOT_INSTALLED, dtype=np.int8)
    for c in members:
        # outage ranks below every word of a detector that works, and above not installed
        rank = np.array([LADDER.index(x) + 1 if x in LADDER else 0 if x == "outage" else -1 for x in c.levels] + [-1], dtype=np.int8)
        grade = np.maximum(grade, rank[c.values])
    levels = (*LADDER, "outage")
    values = np.where(grade > 0, grade - 1, np.where(grade == 0, 3, NOT_INSTALLED)).astype(np.int8)
    spoken = {members[0].levels[i] for i in members[0].alert} if members[0].alert else set(roles()[role].alert)
    words = roles()[role]
    return Channel(
        name=f"{role}:{members[0].group}" if len(members) > 1 else members[0].name,
        values=values,
        levels=levels,
        role=role,
        source=members[0].source,
        group=members[0].group,
        alert=tuple(i for i, x in enumerate(levels) if x in spoken),
        support_hours=float(np.median([c.support_hours for c in members])),
        label_zh=words.zh if len(members) > 1 else members[0].label_zh,
        label_en=words.en if len(members) > 1 else members[0].label_en,
        members=tuple(members),
    )


def anchored(emission: Emission, c: Channel) -> Emission:
    """Return a graded channel's emission with honest rates read from the data, and the experts' excess kept.

    Parameters
    ----------
    emission : Emission
        Expert rows; the last is the ordinary one.
    c : Channel
        A graded channel (others are returned as they are).

    Notes
    -----
    With tail ``q_l`` (chance to reach level ``l`` or worse) in the ordinary row and ``e_l`` in another row, the excess
    is ``(e_l - q_l) / (1 - q_l)``; the new tail is ``1 - (1 - q'_l)(1 - excess)`` with ``q'`` from the data, worth at
    least the expert's prior hours.
    """
    if not graded(c.role) or c.llr is not None or tuple(c.levels[:3]) != LADDER:
        return emission
    seen = c.values[c.values >= 0]
    counts = np.bincount(seen, minlength=len(c.levels)).astype(float)[: len(c.levels)] / max(1.0, c.support_hours)
    honest = emission.rows[-1]
    fresh = counts + emission.worth * honest
    fresh /= fresh.sum()
    rows = np.empty_like(emission.rows)
    down = fresh[3:]
    for i, row in enumerate(emission.rows):
        up = row[:3] / row[:3].sum()
        ordinary = honest[:3] / honest[:3].sum()
        base = fresh[:3] / fresh[:3].sum()
        tail = []
        for cut in (1, 2):
            excess = (up[cut:].sum() - ordinary[cut:].sum()) / (1 - ordinary[cut:].sum())
            tail.append(float(np.clip(1 - (1 - base[cut:].sum()) * (1 - excess), 1e-4, 1 - 1e-4)))
        tail[1] = min(tail[1], tail[0])
        split = np.maximum(np.array([1 - tail[0], tail[0] - tail[1], tail[1]]), 1e-4)
        # how often the channel is down is left to the expert's ratio between the rows
        ratio = row[3:] / honest[3:]
        out = np.clip(down * ratio, 1e-4, 0.5)
        rows[i] = np.r_[split / split.sum() * (1 - out.sum()), out]
    return replace(emission, rows=rows)
