"""Findings as hourly channels: a believed probability is evidence too, and counts once, however long its span."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from itertools import pairwise

import numpy as np
import pandas as pd

from workbench.contracts import KIND_WORDS, NOT_INSTALLED, Kind, Outcome
from workbench.cross.evidence import Channel, Evidence
from workbench.cross.regimes import regime_prior, smooth
from workbench.cross.roles import priors
from workbench.cross.states import MECHANISMS, N_REGIMES, space

P_EDGES = (0.0, 0.1, 0.2, 0.35, 0.5, 0.65, 0.8, 0.9, 1.0)
HOURS = (3.0, 6.0, 9.0, 12.0, 18.0, 24.0, 36.0, 48.0, 72.0, 96.0, 144.0, 216.0, 336.0, 504.0, 720.0)
"""Classes of p_breach and of span length; a level is one of each, level 0 is silence."""
STEPS = 11
"""Halvings that find the factor per hour of a finding: to a hundredth of a nat."""
SAME_WORD = {
    Kind.TREATMENT_OFF: frozenset({"off_while_on"}),
    Kind.EXCEEDANCE: frozenset({"monitor_limit", "smoke"}),
    Kind.FABRICATION: frozenset({"monitor_integrity", "monitor_gap", "mark_integrity"}),
    Kind.FALSE_REPORT: frozenset({"report_integrity", "tax_integrity"}),
}
"""Roles whose alert levels say, hour by hour and from the same raw data, what a finding of the kind says as a whole."""
SOURCE = {Kind.TREATMENT_OFF: "power", Kind.EXCEEDANCE: "monitor", Kind.FABRICATION: "monitor", Kind.FALSE_REPORT: "declaration"}


def levels() -> tuple[str, ...]:
    """Return the names of the levels: ``silent`` and one per class of probability and length."""
    p = [f"{a:g}–{b:g}" for a, b in pairwise(P_EDGES)]
    return ("silent", *(f"p {x}, {h:g} h" for x in p for h in HOURS))


@cache
def table(kind: Kind) -> np.ndarray:
    """Return the log Bayes factors per hour of every level, shape (level, regime).

    A finding standing alone moves its mechanism from the prior share to its believed probability: the factor per hour is
    solved for, since spells begin and end, and one that is shorter than the finding cannot fill it. Silence of a model that
    could have spoken moves it down a little.
    """
    mids = np.array([0.5 * (a + b) for a, b in pairwise(P_EDGES)])
    at_work = space().z_mechanism(kind.value)
    gain = np.stack([_per_hour(mids, round(h), at_work) for h in HOURS], axis=1)
    per_hour = np.concatenate([[-priors().findings["silence"] / 168.0], gain.ravel()])
    return np.where(at_work[None, :], per_hour[:, None], 0.0)


def _per_hour(wanted: np.ndarray, hours: int, at_work: np.ndarray) -> np.ndarray:
    """Return the log factor per hour that makes the mechanism's posterior, amid ``hours`` such hours, ``wanted``."""
    r = regime_prior()
    pad = 24 * 15
    pattern = np.zeros((len(wanted), hours + 2 * pad), dtype=np.int32)
    pattern[:, pad : pad + hours] = 1 + np.arange(len(wanted))[:, None]
    prior = np.tile(r.shifted(0.0), (len(wanted), 1))
    aim = np.log(wanted / (1 - wanted))
    low, high = np.full(len(wanted), -12.0), np.full(len(wanted), 24.0)
    for _ in range(STEPS):
        middle = 0.5 * (low + high)
        like = np.vstack([np.zeros(len(at_work)), np.where(at_work[None, :], middle[:, None] / hours, 0.0)])
        p = smooth(pattern, like, prior, r.hazard, at_work[None, :])[0, :, pad + hours // 2].astype(float)
        reached = np.log(np.maximum(p, 1e-12) / np.maximum(1 - p, 1e-12)) >= aim
        low, high = np.where(reached, low, middle), np.where(reached, middle, high)
    return np.asarray(0.5 * (low + high) / hours)


def finding_channels(found: pd.DataFrame, findings: pd.DataFrame, e: Evidence) -> tuple[Channel, ...]:
    """Return one channel per physical kind, over all models.

    Two models that find an exceedance in the same monitor's series, or a low declaration in the same books, say one
    thing: the better calibrated claim stands, and the second adds as a further detector does (see ``_paint``).

    Parameters
    ----------
    found : DataFrame
        Breaches, from :func:`workbench.cross.episodes.breaches`.
    findings : DataFrame
        Everything the models returned; an enterprise no such model ever names is not covered (-1, not silence).
    e : Evidence
        Gives the grid, and which model's channels cover which enterprise.
    """
    out = []
    n, hours = e.shape
    if not hours:
        return ()
    row_of = {x: i for i, x in enumerate(e.enterprises)}
    for kind in (Kind(k) for k in MECHANISMS):
        g = found[(found["kind"] == kind) & (found["outcome"].fillna("") != Outcome.FAULT)]
        if not len(g):
            continue
        models = sorted(set(g["model"]))
        values = np.full((n, hours), NOT_INSTALLED, dtype=np.int8)
        values[_reach(models, findings, row_of, e)] = 0
        _paint(values, g, row_of, e.hours)
        zh, en = KIND_WORDS[kind]
        out.append(
            Channel(
                name=f"finding_{kind}",
                values=values,
                levels=levels(),
                role="",
                source=SOURCE[kind],
                group=f"finding:{kind}",
                alert=tuple(range(1, len(levels()))),
                support_hours=1.0,
                label_zh=f"模型发现：{zh}",
                label_en=f"model findings: {en}",
                llr=table(kind),
            )
        )
    return tuple(out)


def _reach(models: list[str], findings: pd.DataFrame, row_of: dict[str, int], e: Evidence) -> np.ndarray:
    """Return the enterprises that at least one of the models covers, bool of shape (enterprise,)."""
    reach = np.zeros(e.shape[0], dtype=bool)
    named = findings.loc[findings["model"].isin(models), "enterprise_id"].map(row_of).dropna().astype(int)
    reach[named.to_numpy()] = True
    for c in e.channels:
        if owner_of(c.name, models):
            reach |= (c.values >= 0).any(1)
    return reach


def _paint(values: np.ndarray, g: pd.DataFrame, row_of: dict[str, int], hours: pd.DatetimeIndex) -> None:
    """Write each finding's level over its hours.

    Where findings overlap the highest probability stands, one class higher per further detector that speaks (two at
    most): detectors on the same data agree easily, so that the second adds something, and the tenth nothing.
    """
    first, hour = np.datetime64(hours[0]), np.timedelta64(1, "h")
    start, end = g["start"].to_numpy(dtype="datetime64[ns]"), g["end"].to_numpy(dtype="datetime64[ns]")
    length = np.maximum((end - start) / hour, 1.0)
    p_class = np.clip(np.searchsorted(P_EDGES, g["p"].to_numpy(dtype=float), side="right") - 1, 0, len(P_EDGES) - 2)
    h_class = np.abs(np.log(np.array(HOURS))[None, :] - np.log(length)[:, None]).argmin(1)
    begin = np.floor((start - first) / hour).astype(int)
    stop = np.maximum(np.ceil((end - first) / hour).astype(int), begin + 1)
    voices = np.zeros(values.shape, dtype=np.int8)
    detectors = g["detector"].to_numpy(dtype=object)
    rows = [row_of.get(str(x), -1) for x in g["enterprise_id"]]
    spoken: dict[tuple[int, str], np.ndarray] = {}
    for i in np.lexsort((h_class, p_class)):
        a, b = max(0, int(begin[i])), min(len(hours), int(stop[i]))
        if rows[i] < 0 or b <= a:
            continue
        values[rows[i], a:b] = 1 + p_class[i] * len(HOURS) + h_class[i]
        heard = spoken.setdefault((rows[i], str(detectors[i])), np.zeros(len(hours), dtype=bool))
        heard[a:b] = True
    for (row, _), heard in spoken.items():
        voices[row] += heard
    top = 1 + (len(P_EDGES) - 2) * len(HOURS)
    for _ in range(2):
        raised = (voices > 1) & (values > 0) & (values < top)
        values[raised] += len(HOURS)
        voices[raised] -= 1


def owner_of(channel: str, models: list[str]) -> str:
    """Return the model whose channel this is, by its name's beginning (``monitor_flow`` belongs to ``monitoring``); or empty."""
    fits = [m for m in models if channel.startswith(f"{m}_") or m.startswith(channel.split("_", 1)[0])]
    return max(fits, key=lambda m: (channel.startswith(f"{m}_"), len(m), m), default="")


def mask_spoken(e: Evidence) -> Evidence:
    """Return ``e`` with the words of a channel set to -1 where a finding already says what its model makes of the same raw data.

    The finding carries its model's own calibration, of all that the model saw in that span; counting the hourly levels as
    well, the calm ones too, would count it twice, whichever model the channel came from (``SAME_WORD``). Outages stay.
    """
    spoken = {kind: c.values > 0 for kind in SAME_WORD for c in e.channels if c.llr is not None and c.name == f"finding_{kind}"}
    out = []
    for c in e.channels:
        words = [i for i, x in enumerate(c.levels) if x != "outage"]
        for kind, hours in spoken.items():
            if c.llr is None and c.role in SAME_WORD[kind]:
                values = np.where(hours & np.isin(c.values, words), NOT_INSTALLED, c.values).astype(np.int8)
                c = replace(c, values=values)
        out.append(c)
    return Evidence(e.enterprises, e.hours, tuple(out))


__all__ = ["N_REGIMES", "finding_channels", "levels", "mask_spoken", "table"]
