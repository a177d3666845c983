"""Rules on labelled clips: what a person or the platform saw, at that place and time. Unlabelled clips say nothing.

Clips of one label are one matter as long as no clip of the opposite label lies between them. A label can be wrong and a
sight can be lawful, so one label alone decides nothing; more clips, more days and the fence monitor move it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypedDict, Unpack

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from workbench.contracts import Kind, Outcome, Ruling
from workbench.models.additive import Judgement, logit, not_evaluable
from workbench.models.dust.parts import parts_of
from workbench.models.hourly import Grid

OPPOSITE = {
    "dust": ("clean", "covered"),
    "uncovered": ("covered",),
    "black_smoke": ("clean", "white_steam"),
    "open_burning": ("clean",),
}
"""Labels that speak against a label when seen near by."""


@dataclass(frozen=True)
class Watched:
    """The labelled clips of one enterprise.

    Parameters
    ----------
    enterprise_id : str
    clips : DataFrame
        ``clip_id, point_id, outlet_id, start, label``, by start.
    grid : Grid
    fence : float array, shape (hour,), optional
        Highest standardised excess of the enterprise's fence monitors; None without one.
    """

    enterprise_id: str
    clips: pd.DataFrame
    grid: Grid
    fence: NDArray[np.floating] | None = None


class Numbers(TypedDict):
    """Numbers of a rule on clips (``params.yml``)."""

    prior: float
    join_days: float
    hold_h: float


def clip_shows_dust(watched: Watched, **numbers: Unpack[Numbers]) -> list[Judgement]:
    """Judge clips labelled as dust."""
    words = ("视频标注见扬尘", "clips labelled as dust")
    return _judge("clip_shows_dust", watched, "dust", words, Kind.FUGITIVE, **numbers)


def clip_shows_uncovered_pile(watched: Watched, **numbers: Unpack[Numbers]) -> list[Judgement]:
    """Judge clips labelled as an uncovered pile."""
    words = ("视频标注物料裸露未覆盖", "clips labelled as an uncovered pile")
    return _judge("clip_shows_uncovered_pile", watched, "uncovered", words, Kind.FUGITIVE, **numbers)


def clip_shows_black_smoke(watched: Watched, **numbers: Unpack[Numbers]) -> list[Judgement]:
    """Judge clips labelled as black smoke; a screening, not a Ringelmann reading."""
    words = ("视频标注见黑烟（仅为初筛）", "clips labelled as black smoke (screening only)")
    return _judge("clip_shows_black_smoke", watched, "black_smoke", words, Kind.EXCEEDANCE, **numbers)


def clip_shows_open_burning(watched: Watched, **numbers: Unpack[Numbers]) -> list[Judgement]:
    """Judge clips labelled as open burning; the lead is handed over to the authority it belongs to."""
    words = ("视频标注见露天焚烧（归其他部门，移送线索）", "clips labelled as open burning (other authorities: hand the lead over)")
    return _judge("clip_shows_open_burning", watched, "open_burning", words, Kind.FUGITIVE, **numbers)


def clips_not_labelled(watched: Watched, span: tuple[pd.Timestamp, pd.Timestamp]) -> list[Judgement]:
    """Return what could not be evaluated: clips without a label."""
    blank = watched.clips[watched.clips["label"] == ""]
    if not len(blank):
        return []
    zh = f"{len(watched.clips)}段视频中{len(blank)}段没有标注，未评价"
    en = f"{len(blank)} of {len(watched.clips)} clips carry no label and were not evaluated"
    return [not_evaluable("clip_shows_dust", watched.enterprise_id, span, Kind.FUGITIVE, zh, en, point_id=str(blank["point_id"].iloc[0]))]


def _judge(
    rule: str, watched: Watched, label: str, words: tuple[str, str], kind: Kind, *, prior: float, join_days: float, hold_h: float
) -> list[Judgement]:
    return [_one(rule, watched, g, label, words, kind, prior, hold_h) for g in _matters(watched.clips, label, join_days)]


def _matters(clips: pd.DataFrame, label: str, join_days: float) -> list[pd.DataFrame]:
    """Return groups of clips of one label, close enough in time and with no opposite label in between."""
    said = clips[clips["label"].isin((label, *OPPOSITE[label]))]
    groups: list[list[int]] = []
    open_since: pd.Timestamp | None = None
    for ident, start, seen in zip(said.index, said["start"], said["label"], strict=True):
        if seen != label:
            open_since = None
        elif open_since is not None and start - open_since <= pd.Timedelta(days=join_days):
            groups[-1].append(ident)
            open_since = start
        else:
            groups.append([ident])
            open_since = start
    return [clips.loc[g] for g in groups]


def _one(
    rule: str, watched: Watched, mine: pd.DataFrame, label: str, words: tuple[str, str], kind: Kind, prior: float, hold_h: float
) -> Judgement:
    start, end = mine["start"].iloc[0], mine["start"].iloc[-1] + pd.Timedelta(hours=hold_h)
    days = float(mine["start"].dt.normalize().nunique())
    pad = pd.Timedelta(hours=6)
    near = watched.clips[(watched.clips["start"] >= start - pad) & (watched.clips["start"] <= mine["start"].iloc[-1] + pad)]
    against = int(near["label"].isin(OPPOSITE[label]).sum())
    fence = _fence(watched, mine["start"]) if kind == Kind.FUGITIVE else float("nan")
    parts = parts_of(
        clips=(float(len(mine)), 0.5 * np.log(len(mine))),
        clip_days=(days, 0.8 * np.log(days)),
        against=(float(against) if against else float("nan"), -0.7 * against),
        # a fence far below its usual ratio while dust is seen does not acquit: its monitor is in doubt
        fence=(fence, 0.5 * (fence - 0.6) if fence > -2.0 else 0.3),
    )
    seen_zh = f"；当时厂界扬尘超出{fence:.1f}倍标准差" if np.isfinite(fence) else ""
    seen_en = f"; the fence stood {fence:.1f} sd above its usual ratio" if np.isfinite(fence) else ""
    zh = f"{start:%m-%d %H:%M}起{words[0]}，共{len(mine)}段，涉及{days:.0f}天，附近相反标注{against}段{seen_zh}"
    en = f"from {start:%Y-%m-%d %H:%M}: {len(mine)} {words[1]} on {days:.0f} days, {against} near by say the opposite{seen_en}"
    return Judgement(
        rule, Ruling.VIOLATED, watched.enterprise_id, start, end, zh, en, kind,
        outlet_id=str(mine["outlet_id"].iloc[0]), point_id=str(mine["point_id"].iloc[0]),
        outcome=Outcome.EXCEEDANCE if kind == Kind.EXCEEDANCE else Outcome.OTHER,
        value=float(len(mine)), threshold=1.0, unit="1", base=logit(prior), parts=parts, evidence=tuple(mine["clip_id"].astype(str)),
    )  # fmt: skip


def _fence(watched: Watched, starts: pd.Series) -> float:
    """Return the mean standardised excess within an hour of the clips; NaN where not known."""
    if watched.fence is None:
        return float("nan")
    at = np.floor(watched.grid.index(starts)).astype(int)
    hours = np.unique(np.clip(np.concatenate([at - 1, at, at + 1]), 0, watched.grid.n - 1))
    seen = watched.fence[hours]
    seen = seen[np.isfinite(seen)]
    return float(seen.mean()) if seen.size else float("nan")
