"""Who tends to: log-odds of an enterprise, its industry and its street, from the spells already believed in.

``b_i ~ N(industry + street, τ²)``. Spells of trouble come at a rate that is ``exp(b_i)`` times the average; the number
believed in (posterior hours over a spell's length) against the number expected gives a Gaussian approximation of the
Poisson posterior, first for industries and streets, then for the enterprise itself. An enterprise that is never seen
keeps the average.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd

from workbench.cross.evidence import Evidence
from workbench.cross.fusion import Fused, Reliability, expert, fuse
from workbench.cross.learn import learn_ordinary
from workbench.cross.roles import priors

SPELL_HOURS = 24 * 6
ROUNDS = 1
LARGEST = 1.0


def shrunk(believed: np.ndarray, expected: np.ndarray, sd: float) -> np.ndarray:
    """Return the posterior mode of the log rate ratio of counts, under a normal prior of mean zero.

    Parameters
    ----------
    believed, expected : float arrays
        Spells believed in and expected at the average rate.
    sd : float
        Prior standard deviation of the log rate ratio.

    Examples
    --------
    >>> import numpy as np
    >>> shrunk(np.array([0.0, 1.0, 4.0]), np.array([1.0, 1.0, 1.0]), 0.7).round(2).tolist()
    [-0.35, 0.0, 0.83]
    """
    b = np.zeros(len(believed))
    for _ in range(25):  # Newton on believed·b - expected·exp(b) - b²/2sd²
        slope = believed - expected * np.exp(b) - b / sd**2
        b = b + slope / (expected * np.exp(b) + 1 / sd**2)
        b = np.clip(b, -LARGEST, LARGEST)
    return np.asarray(b)


def believed_spells(fused: Fused) -> tuple[np.ndarray, float]:
    """Return the number of spells believed in, per enterprise, and the share of hours believed in overall."""
    p = fused.posterior["violation"].astype(float)
    return p.sum(1) / SPELL_HOURS, float(p.mean()) if p.size else 0.0


def habits(fused: Fused, enterprises: pd.DataFrame | None) -> np.ndarray:
    """Return the log-odds of each enterprise around the average, from the fused posterior itself."""
    spells, share = believed_spells(fused)
    n, hours = fused.evidence.shape
    if not hours or share <= 0:
        return np.zeros(n)
    r = priors().regimes
    expected = np.full(n, share * hours / SPELL_HOURS)
    cell = np.zeros(n)
    if enterprises is not None and len(enterprises):
        table = enterprises.drop_duplicates("enterprise_id").set_index("enterprise_id").reindex(fused.evidence.enterprises)
        for column in ("industry", "street_town"):
            codes = pd.factorize(table[column].fillna("").astype(str), sort=True)[0]
            total = np.bincount(codes, weights=np.minimum(spells, 3.0))
            base = np.bincount(codes, weights=expected * np.exp(cell))
            cell = cell + shrunk(total, base, float(r["cell_sd"]))[codes]
    return np.asarray(cell + shrunk(np.minimum(spells, 3.0), expected * np.exp(cell), float(r["enterprise_sd"])))


def fuse_with_habits(e: Evidence, past: np.ndarray, enterprises: pd.DataFrame | None, reliability: Reliability | None = None) -> Fused:
    """Fuse, learn who tends to, and fuse again.

    Parameters
    ----------
    past : float array, shape (enterprise,)
        Log-odds from the inspected past.
    enterprises : DataFrame, optional
        Contract table; gives industry and street.
    reliability : Reliability, optional
        Fitted parameters; default the expert priors.
    """
    start = learn_ordinary(e, expert(e)) if reliability is None else reliability
    own = start.offsets + past
    fused = fuse(e, replace(start, offsets=own))
    for _ in range(ROUNDS):
        offsets = np.clip(own + habits(fused, enterprises), -LARGEST, LARGEST)
        fused = fuse(e, replace(start, offsets=offsets))
    return fused
