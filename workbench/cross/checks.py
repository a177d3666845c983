"""The next check that would tell most, and the innocent alternative with its Bayes factor."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from importlib.resources import files

import numpy as np
import yaml
from pydantic import BaseModel, ConfigDict, Field

from workbench.cross.fusion import Fused
from workbench.cross.scoring import WORD
from workbench.cross.states import C_NAMES, C_WORDS, N_REGIMES, space


class Check(BaseModel):
    """One row of ``checks.yml``."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    answers: list[str] = Field(min_length=1)
    sensitivity: float = Field(gt=0, lt=1)
    specificity: float = Field(gt=0, lt=1)
    basis: str
    zh: str
    en: str

    def finds(self) -> np.ndarray:
        """Return the probability that the check finds something, in each regime (32,)."""
        s = space()
        bits = {"z_T": s.z_T, "z_X": s.z_X, **s.z_H}
        there = np.logical_or.reduce([bits[a] for a in self.answers])
        return np.where(there, self.sensitivity, 1 - self.specificity)


@cache
def checks() -> dict[str, Check]:
    """Return the known checks by name."""
    raw = yaml.safe_load(files("workbench.cross").joinpath("checks.yml").read_text(encoding="utf-8"))
    return {name: Check.model_validate(row) for name, row in raw["checks"].items()}


def information_gain(p: np.ndarray, finds: np.ndarray) -> float:
    """Return the mutual information, in nats, between the regime (posterior ``p``) and the outcome of a check.

    Examples
    --------
    >>> import numpy as np
    >>> round(information_gain(np.array([0.5, 0.5]), np.array([0.0, 1.0])), 4)  # a perfect check of an even guess: log 2
    0.6931
    >>> information_gain(np.array([0.5, 0.5]), np.array([0.3, 0.3]))
    0.0
    """
    gain = 0.0
    for q in (finds, 1 - finds):
        mass = float(p @ q)
        ratio = np.divide(q, mass, out=np.ones_like(q), where=mass > 0)
        gain += float(p @ (q * np.log(np.where(ratio > 0, ratio, 1.0))))
    return max(0.0, gain) if abs(gain) > 1e-15 else 0.0


def next_check(p: np.ndarray) -> tuple[str, float]:
    """Return the name of the most informative check under a regime posterior, and its expected gain in nats."""
    gains = {name: information_gain(p, c.finds()) for name, c in checks().items()}
    best = max(gains, key=lambda n: (gains[n], n))
    return best, gains[best]


@dataclass(frozen=True)
class Innocent:
    """The best lawful explanation of the same hours.

    Parameters
    ----------
    context : str
        One of ``C_NAMES``.
    bayes_factor : float
        Violation against this explanation; below one the innocent one explains the hours better.
    zh, en : str
    """

    context: str
    bayes_factor: float
    zh: str
    en: str


CONTEXT_ROLES = {
    "zone_outage": ("outage", "片区性断数", "an outage of the whole zone"),
    "vendor_artefact": ("artefact", "运维商共性异常", "an artefact shared by one operator's monitors"),
    "meter_swap": ("swap", "换表", "a changed meter"),
    "regional_episode": ("episode", "区域性污染过程", "a regional episode"),
}


def innocent(fused: Fused, row: int, hours: np.ndarray, best: int) -> Innocent:
    """Return the lawful explanation that fits these hours best: honest, and in one context throughout.

    Parameters
    ----------
    best : int
        Best violating regime, to hold it against.
    """
    s = space()
    local, counts = np.unique(fused.index[row, hours], return_counts=True)
    f = fused.factors
    product = np.ones((len(local), f.state.shape[1]))
    for g in range(f.state_codes.shape[1]):
        product *= f.state[f.state_codes[local, g]]
    calm = fused.reliability.regime.state_given_regime[0]
    spoken = np.zeros((len(local), N_REGIMES))
    for g in range(f.regime_codes.shape[1]):
        spoken += f.regime[f.regime_codes[local, g]]
    violating = float(counts @ fused.log_like[local, best])
    scores = {}
    for i, name in enumerate(C_NAMES):
        weight = np.where(i == s.C, calm, 0.0)
        weight = weight / weight.sum()
        scores[name] = float(counts @ (np.log(np.maximum(product @ weight, 1e-300)) / WORD + spoken[:, 0]))
    context = max(scores, key=lambda n: (scores[n], n))
    factor = float(np.exp(np.clip(violating - scores[context], -50, 50)))
    zh, en = C_WORDS[context]
    for k, c in enumerate(fused.evidence.channels):
        if c.role in CONTEXT_ROLES:
            level, more_zh, more_en = CONTEXT_ROLES[c.role]
            if level in c.levels and (fused.patterns[local, k] == c.levels.index(level)) @ counts >= 0.25 * counts.sum():
                return Innocent(context, factor, more_zh, more_en)
    return Innocent(context, factor, zh, en)
