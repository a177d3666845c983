"""Do the intervals of the fit cover what was drawn, as often as they say?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.stats import binom

from workbench.cross.collapse import collapse
from workbench.cross.fit import Fit, sampler
from workbench.cross.scoring import expert_emissions
from workbench.cross.simulate import Drawn, draw_words, prior_truth

ROLES = ("treatment_power", "monitor_limit", "monitor_integrity")


@dataclass(frozen=True)
class Coverage:
    """How often central intervals held the known parameter.

    Parameters
    ----------
    level : float
        Nominal.
    inside, n : dict of str to int
        Intervals that did, and intervals looked at, by kind of parameter (``ordinary``, ``trouble`` rows, ``shares``, ``motives``).
    by_replication : float array, shape (replication,)
        Share that did.
    seconds : float array, shape (replication,)
        Sampling time of each fit, without compiling.
    passed : int
        Replications that passed the gate.
    """

    level: float
    inside: dict[str, int]
    n: dict[str, int]
    by_replication: np.ndarray
    seconds: np.ndarray
    passed: int

    @property
    def share(self) -> float:
        """Covered share over all parameters and replications."""
        return sum(self.inside.values()) / max(1, sum(self.n.values()))

    def interval(self, kind: str | None = None, z: float = 1.96) -> tuple[float, float, float]:
        """Return the covered share and its 95 % interval.

        Over all parameters the replications are resampled as wholes (parameters of one replication are not independent):
        mean ± z·sd/√K; of one kind the Wilson interval.
        """
        if kind is None:
            x = self.by_replication
            half = z * float(x.std(ddof=1)) / np.sqrt(len(x)) if len(x) > 1 else float("nan")
            return float(x.mean()), float(x.mean()) - half, float(x.mean()) + half
        k, n = self.inside[kind], max(1, self.n[kind])
        p, w = k / n, 1 + z**2 / n
        half = z * np.sqrt(p * (1 - p) / n + z**2 / (4 * n**2)) / w
        return p, (p + z**2 / (2 * n)) / w - half, (p + z**2 / (2 * n)) / w + half

    def allowed(self, kind: str, chance: float = 0.001) -> tuple[int, int]:
        """Return the fewest and the most covered intervals that chance allows at the nominal level."""
        low, high = binom.ppf([chance / 2, 1 - chance / 2], self.n[kind], self.level)
        return int(low), int(high)


def coverage(
    replications: int,
    *,
    words: int = 2000,
    channel_roles: Sequence[str] = ROLES,
    level: float = 0.9,
    draws: int = 300,
    tune: int = 300,
    seed: int = 0,
) -> Coverage:
    """Draw parameters from the prior and words from them, fit, and count; the model is compiled once.

    Parameters
    ----------
    replications : int
    words : int
        Independent words in each (see :func:`workbench.cross.simulate.draw_words`).
    channel_roles : sequence of str
    level : float
        Nominal level of the central intervals.
    draws, tune : int
        Of each of two chains.
    seed : int
    """
    kinds = ("ordinary", "trouble", "shares", "motives")
    inside, n = dict.fromkeys(kinds, 0), dict.fromkeys(kinds, 0)
    by, seconds, passed = np.empty(replications), np.empty(replications), 0
    run = None
    for r in range(replications):
        rng = np.random.default_rng((seed, r))
        emissions, prior, known = prior_truth(channel_roles, rng)
        drawn = draw_words(words, rng, channel_roles=channel_roles, prior=prior, emissions=emissions)
        data = collapse(drawn.evidence, None, None, rows=10_000)
        run = run or sampler(drawn.evidence, data, expert_emissions(drawn.evidence.channels))
        result = run(data, seed=r, draws=draws, tune=tune, chains=2)
        hit, of = 0, 0
        for kind, ok in _covered(result, drawn, known, level):
            inside[kind] += int(ok.sum())
            n[kind] += ok.size
            hit, of = hit + int(ok.sum()), of + ok.size
        by[r], seconds[r] = hit / of, result.diagnostics["seconds"] - result.diagnostics["compile_seconds"]
        passed += int(result.passed)
    return Coverage(level, inside, n, by, seconds, passed)


def _covered(result: Fit, drawn: Drawn, known: dict[str, np.ndarray], level: float) -> list[tuple[str, np.ndarray]]:
    from workbench.cross.learn import ordinary_rows

    q = [0.5 - level / 2, 0.5 + level / 2]
    out = []
    for c, part in zip(drawn.evidence.channels, drawn.emissions, strict=True):
        low, high = np.quantile(result.draws[f"theta_{c.name}"], q, axis=0)
        ok = (part.rows >= low) & (part.rows <= high)
        ordinary = ordinary_rows(part, c.source)
        out += [("ordinary", ok[ordinary]), ("trouble", ok[~ordinary])]
    for kind, name in (("shares", "logit_share"), ("motives", "delta")):
        low, high = np.quantile(result.draws[name], q, axis=0)
        out.append((kind, (known[name] >= low) & (known[name] <= high)))
    return out
