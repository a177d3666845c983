"""Prior and posterior predictive checks: evidence drawn from the model beside the evidence that came."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from workbench.cross.evidence import Evidence
from workbench.cross.fit import Fit
from workbench.cross.fusion import Reliability, drawn, expert
from workbench.cross.learn import learn_ordinary
from workbench.cross.scoring import collect

WORDS = 3000
DRAWS = 30
TOGETHER = ("no channel", "one channel", "two channels", "three or more")


def predictive_checks(e: Evidence, enterprises: pd.DataFrame | None = None, fitted: Fit | None = None, *, seed: int = 0) -> pd.DataFrame:
    """Hold what the parameters foresee against what came, before and after learning.

    Parameters
    ----------
    e : Evidence
        From :func:`workbench.cross.spoken.as_spoken`.
    enterprises : DataFrame, optional
        Contract table, for the industries and streets of a fit.
    fitted : Fit, optional
        An accepted fit: its draws are the posterior. Otherwise draws around the expert priors with ordinary hours learned.
    seed : int

    Returns
    -------
    DataFrame
        One row per statistic and stage (``prior``, ``posterior``): ``statistic, label_zh, label_en, stage, observed, low, middle,
        high`` with the central 90 % of what is foreseen. Statistics: share of hours in which each channel stands at an alert
        level, and in which no, one, two, three or more channels do so together (what the shared states must explain). Empty
        where there is no evidence.
    """
    names = statistics(e)
    if not e.shape[0] or not e.shape[1] or not e.channels:
        return names.head(0)
    rng = np.random.default_rng(seed)
    base = expert(e)
    counter, _ = collect(e)
    counts = counter.counts.astype(float)
    posterior: Sequence[Reliability] = fitted.samples(e, enterprises, DRAWS) if fitted is not None else ()
    if not posterior:
        learned = learn_ordinary(e, base)
        posterior = [drawn(learned, rng) for _ in range(DRAWS)]
    observed = _of_levels(e, counter.rows, counts)
    out = []
    for stage, parameters in (("prior", [drawn(base, rng) for _ in range(DRAWS)]), ("posterior", posterior)):
        seen = np.array([_of_levels(e, *_foreseen(counter.rows, r, counts, rng)) for r in parameters])
        low, middle, high = np.nanquantile(seen, [0.05, 0.5, 0.95], axis=0)
        out.append(names.assign(stage=stage, observed=observed, low=low, middle=middle, high=high))
    return pd.concat(out, ignore_index=True)


def statistics(e: Evidence) -> pd.DataFrame:
    """Return the names of the statistics: alert share of each channel that can alert, then how many do so at once."""
    rows = [(c.name, c.label_zh, c.label_en) for c in e.channels if c.llr is None and c.alert]
    zh = ("无通道报警", "一路报警", "两路同时报警", "三路及以上")
    rows += [(f"together: {en}", z, f"{en} at an alert level") for z, en in zip(zh, TOGETHER, strict=True)]
    return pd.DataFrame(rows, columns=["statistic", "label_zh", "label_en"])


def _of_levels(e: Evidence, levels: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """Return the statistics of weighted rows of levels; nan where a channel is nowhere installed."""
    out, at_once = [], np.zeros(len(levels), dtype=int)
    for k, c in enumerate(e.channels):
        if c.llr is None and c.alert:
            alert, seen = np.isin(levels[:, k], c.alert), weight @ (levels[:, k] >= 0)
            at_once += alert
            out.append(float(weight @ alert / seen) if seen > 0 else np.nan)
    share = np.bincount(np.minimum(at_once, len(TOGETHER) - 1), weights=weight, minlength=len(TOGETHER)) / max(weight.sum(), 1e-9)
    return np.array([*out, *share])


def _foreseen(patterns: np.ndarray, r: Reliability, counts: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Draw states and levels of as many hours as are compared, installed where the real ones are."""
    like = patterns[rng.choice(len(counts), WORDS, p=counts / counts.sum())]
    offset = r.offsets[rng.integers(0, len(r.offsets), WORDS)] if len(r.offsets) else np.zeros(WORDS)
    of, which = np.unique(np.round(offset, 1), return_inverse=True)
    state = np.empty(WORDS, dtype=np.int64)
    for i, value in enumerate(of):
        here = np.asarray(which).ravel() == i
        p = r.regime.shifted(float(value)) @ r.regime.state_given_regime
        state[here] = rng.choice(len(p), size=int(here.sum()), p=p / p.sum())
    out = np.full(like.shape, -1, dtype=np.int8)
    for k, part in enumerate(r.emissions):
        if part is None:
            continue
        row = part.rows[part.row_of_state[state]].cumsum(1)
        level = (rng.random((WORDS, 1)) > row).sum(1).clip(max=part.rows.shape[1] - 1)
        out[:, k] = np.where(like[:, k] >= 0, level, -1)
    return out, np.ones(WORDS)
