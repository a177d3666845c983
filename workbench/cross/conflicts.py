"""Logical conflicts between channels: found by a catalogue kept as data, measured by Jensen's measure.

The measure flags and words a conflict; it does not rank leads (ranking by it alone finds far less than the posterior).
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache, partial
from importlib.resources import files
from typing import Any, Literal

import numpy as np
import pandas as pd
import yaml
from pydantic import BaseModel, ConfigDict, Field, model_validator

from workbench.contracts import KIND_WORDS, Kind, result_frame, stable_id
from workbench.cross.duties import duty_conflict, duty_of
from workbench.cross.evidence import Channel, Evidence
from workbench.cross.fusion import Fused
from workbench.cross.roles import roles
from workbench.cross.states import regime_words

JOIN = 24
"""Hours between two runs of one conflict that make them one."""


class ConflictRule(BaseModel):
    """One row of ``conflicts.yml``."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    all: dict[str, list[str]] = Field(min_length=2)
    hours: int = Field(ge=1)
    basis: str
    mark: Literal["V", "C", "R"]
    zh: str
    en: str

    @model_validator(mode="after")
    def _names_roles_and_levels(self) -> ConflictRule:
        for role, levels in self.all.items():
            if role not in roles() or set(levels) - set(roles()[role].levels):
                raise ValueError(f"{role}: {levels} are no levels of a role")
        return self


@cache
def catalogue() -> dict[str, ConflictRule]:
    """Return the catalogue of logical conflicts, by name."""
    raw = yaml.safe_load(files("workbench.cross").joinpath("conflicts.yml").read_text(encoding="utf-8"))
    return {name: ConflictRule.model_validate(row) for name, row in raw["rules"].items()}


def detect_conflicts(fused: Fused, raw: Evidence | None = None) -> pd.DataFrame:
    """Return the conflicts (contract table) of all enterprises.

    Parameters
    ----------
    fused : Fused
        For rules about the physical state.
    raw : Evidence, optional
        The channels as the models gave them: for rules about a duty outside that state, such as covering a pile.

    Notes
    -----

    A run of hours in which every condition of a rule holds, at least ``hours`` long, is one conflict; it is kept where
    Jensen's measure of the channels involved is positive, that is, where the model agrees that they do not go together.
    """
    rows: list[dict[str, Any]] = []
    for name, rule in catalogue().items():
        duty = duty_of(list(rule.all))
        e = raw if duty and raw is not None else fused.evidence
        parties = {role: [i for i, c in enumerate(e.channels) if c.role == role] for role in rule.all}
        if not all(parties.values()):
            continue
        shows = {role: {i: _at(e.channels[i], rule.all[role]) for i in ids} for role, ids in parties.items()}
        holds = np.logical_and.reduce([np.logical_or.reduce(list(by.values())) for by in shows.values()])
        measured = partial(_duty, e, duty) if duty else partial(_physical, fused)
        for i in np.flatnonzero(holds.any(1)):
            rows += _runs(e, name, rule, int(i), holds[i], parties, shows, measured)
    frame = pd.DataFrame(rows)
    return result_frame("conflicts", frame.sort_values(["enterprise_id", "start", "rule"], kind="stable") if len(frame) else frame)


def _at(c: Channel, levels: list[str]) -> np.ndarray:
    return np.isin(c.values, [c.levels.index(x) for x in levels if x in c.levels])


def _physical(fused: Fused, i: int, hours: np.ndarray, channels: list[int]) -> tuple[float, tuple[str, str], tuple[str, str]]:
    best, second, _ = best_regimes(fused, i, hours)
    return float(np.mean(jensen(fused, i, hours, channels))), regime_words(best), regime_words(second)


def _duty(e: Evidence, duty: str, i: int, hours: np.ndarray, channels: list[int]) -> tuple[float, tuple[str, str], tuple[str, str]]:
    measure, breached = duty_conflict(e, i, hours, channels, duty)
    zh, en = KIND_WORDS[Kind(duty)]
    states = (f"{zh}，监测未见", f"{en}, unseen by its monitor"), ("义务已履行，所见有误", "the duty is kept and what was seen is mistaken")
    return float(measure.mean()), *(states if breached >= 0.5 else states[::-1])


def _runs(
    e: Evidence,
    name: str,
    rule: ConflictRule,
    i: int,
    holds: np.ndarray,
    parties: dict[str, list[int]],
    shows: dict[str, dict[int, np.ndarray]],
    measured: Callable[[int, np.ndarray, list[int]], tuple[float, tuple[str, str], tuple[str, str]]],
) -> list[dict[str, Any]]:
    edge = np.flatnonzero(np.diff(np.r_[False, holds, False].astype(np.int8)))
    runs = [(a, b) for a, b in zip(edge[::2], edge[1::2], strict=True) if b - a >= rule.hours]
    joined: list[list[tuple[int, int]]] = []
    for run in runs:
        if joined and run[0] - joined[-1][-1][1] <= JOIN:
            joined[-1].append(run)
        else:
            joined.append([run])
    out = []
    for group in joined:
        hours = np.concatenate([np.arange(a, b) for a, b in group])
        a, b = group[0][0], group[-1][1]
        channels = [next(k for k in ids if shows[role][k][i, hours].any()) for role, ids in parties.items()]
        strength, (best_zh, best_en), (second_zh, second_en) = measured(i, hours, channels)
        if strength <= 0:
            continue
        out.append(
            {
                "conflict_id": stable_id("C", name, e.enterprises[i], e.hours[a].isoformat()),
                "rule": name,
                "enterprise_id": str(e.enterprises[i]),
                "start": e.hours[a],
                "end": e.hours[b - 1] + pd.Timedelta(hours=1),
                "channels": [e.channels[k].name for k in channels],
                "strength": strength,
                "best_state": f"{best_zh} / {best_en}",
                "runner_up": f"{second_zh} / {second_en}",
                "reason_zh": f"{rule.zh}，共{len(hours)}小时；最可能：{best_zh}，其次：{second_zh}",
                "reason_en": f"{rule.en}, {len(hours)} hours; most likely: {best_en}; next: {second_en}",
            }
        )
    return out


def jensen(fused: Fused, row: int, hours: np.ndarray, channels: list[int]) -> np.ndarray:
    """Return Jensen's conflict measure log(∏ P(e_k) / P(e)) of some channels, per hour.

    Parameters
    ----------
    channels : list of int
        Channel numbers; each not installed leaves the hour's measure unchanged.
    """
    local, inverse = np.unique(fused.index[row, hours], return_inverse=True)
    prior = fused.prior(row) @ fused.reliability.regime.state_given_regime
    together = np.tile(prior, (len(local), 1))
    apart = np.zeros(len(local))
    for k in channels:
        part = fused.reliability.emissions[k]
        if part is None:
            continue
        level = fused.patterns[local, k]
        like = np.where(level[:, None] >= 0, np.exp(part.log_table())[np.maximum(level, 0)], 1.0)
        apart += np.log(like @ prior)
        together *= like
    return np.asarray((apart - np.log(together.sum(1)))[inverse])


def best_regimes(fused: Fused, row: int, hours: np.ndarray) -> tuple[int, int, np.ndarray]:
    """Return the best regime, the runner-up, and the posterior (32,) if one regime held over all these hours."""
    score = np.log(fused.prior(row)) + fused.log_like[fused.index[row, hours]].sum(0)
    p = np.exp(score - score.max())
    p /= p.sum()
    order = np.argsort(-p, kind="stable")
    return int(order[0]), int(order[1]), p
