"""The digits of hourly readings: what a meter reports lies on its own grid of values, what software computes need not.

A multiplied, averaged or drawn value is written with the digits of the program that made it. Two things are asked of every reading,
against the point's own history at readings of that size: does it need more decimal places (*finer*) or fewer (*coarser*) than usual,
and does its exact value occur anywhere else, at this point in another season or at its peers. Honest grids repeat (a conversion from ppb
gives the same few hundred values at every station), a factor's grid does not. Nothing is assumed about the resolution on file.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numba import njit

COARSEST, FINEST = -3, 5
"""Decimal places told apart; −3 is thousands, and readings that five places do not write get six."""
USUAL, FEWEST = 0.5, 30
"""Share of the readings of one size that the point's own places write (a quarter of a history may be falsified), and the fewest readings
of that size that tell."""
SEASON = 60 * 24
"""A value that occurs within one span of so many hours only, and at no peer, occurs nowhere else, hours."""
ROUNDING = 1e-7
"""Relative error of a reading stored in single precision."""
INSIDE, MOST, TIED = 0.9, 3.0, 2.0
"""Share of a departing span's readings that depart, the most that one reading may add, and what a repeat of a departing one adds, nats:
a meter that stands still stands on its own grid (of the honest departing readings of four Beijing stations one in eighty is repeated)."""
RARE_FINER, RARE_COARSER = 1e-3, 0.05
"""Least chance of a departure that the point's history may claim: round numbers are honest more often than fine ones."""
GIVEN_UP = 15.0
"""A span ends where so many nats are lost again."""


@dataclass(frozen=True)
class Departure:
    """A span of one row whose readings leave the row's own digits.

    Parameters
    ----------
    first, last : int
        Hours, last not included.
    nats : float
        Log likelihood ratio of departing readings against the row's own history.
    finer : bool
        More decimal places than usual; else fewer.
    """

    first: int
    last: int
    nats: float
    finer: bool


@dataclass(frozen=True)
class Digits:
    """Digits of the hourly rows.

    Parameters
    ----------
    places : int8 array, shape (row, hour)
        Decimal places that a reading needs.
    usual : int8 array, shape (row, hour)
        Decimal places usual at readings of that size; that of the reading itself where nothing is known.
    off : bool array, shape (row, hour)
        Readings finer than usual whose value occurs nowhere else.
    departures : dict of int to list of Departure
        Spans of each row, in order of time.
    """

    places: np.ndarray
    usual: np.ndarray
    off: np.ndarray
    departures: dict[int, list[Departure]]


def digits_of(value: np.ndarray, rows: np.ndarray, group: np.ndarray, least: float) -> Digits:
    """Return the digits of ``rows`` and the spans that depart by at least ``least`` nats.

    Parameters
    ----------
    value : float32 array, shape (row, hour)
        Readings, NaN where unknown.
    rows : int array
        Rows asked about; all others are empty.
    group : int array, shape (row,)
        Peer group of each row.
    """
    places, usual = np.zeros(value.shape, np.int8), np.zeros(value.shape, np.int8)
    off = np.zeros(value.shape, dtype=bool)
    departures: dict[int, list[Departure]] = {}
    fresh = occurs_nowhere_else(value, rows, group)
    for row in rows.tolist():
        x = value[row]
        known = np.isfinite(x) & (x > 0)
        places[row] = places_of(np.where(known, x, 0.0))
        usual[row] = np.where(known, usual_places(x, places[row], known), places[row])
        off[row] = known & (places[row] > usual[row]) & fresh[row]
        # what repeats the reading before says nothing new about the digits, unless it stands off them
        told = known & np.r_[True, x[1:] != x[:-1]]
        found = [
            Departure(a, b, nats, finer)
            for finer, out, rare, tied in (
                (True, off[row], RARE_FINER, TIED),
                (False, known & (places[row] < usual[row]), RARE_COARSER, 0.0),
            )
            for a, b, nats in _departing(out, told, rare, tied, least)
        ]
        departures[row] = sorted(found, key=lambda d: (d.first, d.last))
    return Digits(places, usual, off, departures)


def places_of(x: np.ndarray) -> np.ndarray:
    """Return the fewest decimal places that write each reading within single precision, int8; thousands are −3.

    Examples
    --------
    >>> import numpy as np
    >>> places_of(np.array([900.0, 65.0, 8.5059], np.float32)).tolist()
    [-2, 0, 4]
    """
    wide = np.asarray(x, dtype=float)
    out = np.full(wide.shape, FINEST + 1, np.int8)
    going = np.ones(wide.shape, dtype=bool)
    for k in range(FINEST, COARSEST - 1, -1):
        scale = 10.0**k
        going &= np.abs(wide - np.round(wide * scale) / scale) <= ROUNDING * np.abs(wide)
        out[going] = k
    return out


def usual_places(x: np.ndarray, places: np.ndarray, known: np.ndarray) -> np.ndarray:
    """Return the places that write :data:`USUAL` of one row's readings of each decade, int8; a reading's own in a decade with few."""
    out = places.copy()
    decade = np.full(x.shape, np.iinfo(np.int16).min, dtype=np.int16)
    decade[known] = np.floor(np.log10(x[known].astype(float)))
    for d in np.unique(decade[known]):
        mine = decade == d
        if mine.sum() >= FEWEST:
            out[mine] = int(np.sort(places[mine])[int(np.ceil(USUAL * mine.sum())) - 1])
    return out


def occurs_nowhere_else(value: np.ndarray, rows: np.ndarray, group: np.ndarray) -> np.ndarray:
    """Return which readings have a value that no peer reads and the row itself only within one season, shape (row, hour) bool."""
    out = np.zeros(value.shape, dtype=bool)
    for members in pd.Series(rows).groupby(group[rows]).indices.values():
        mine = rows[members]
        at, hour = np.nonzero(np.isfinite(value[mine]))
        x = value[mine][at, hour]
        order = np.argsort(x, kind="stable")  # rows and hours stay in order within one value
        x, at, hour = x[order], at[order], hour[order]
        if not x.size:
            continue
        first = np.flatnonzero(np.r_[True, x[1:] != x[:-1]])
        last = np.r_[first[1:], x.size] - 1
        alone = (at[first] == at[last]) & (hour[last] - hour[first] < SEASON)
        out[mine[at], hour] = np.repeat(alone, last - first + 1)
    return out


def _departing(out: np.ndarray, told: np.ndarray, rare: float, tied: float, least: float) -> list[tuple[int, int, float]]:
    """Return the spans of one row in which nearly all readings depart."""
    if not out.any():
        return []
    share = max((int(out[told].sum()) + 1) / (int(told.sum()) + 2), rare)
    if share >= INSIDE:
        return []
    gain, loss = min(np.log(INSIDE / share), MOST), np.log((1 - INSIDE) / (1 - share))
    a, b, nats = _spans(np.where(told, np.where(out, gain, loss), np.where(out, tied, 0.0)), least, GIVEN_UP)
    return list(zip(a.tolist(), b.tolist(), nats.tolist(), strict=True))


@njit(cache=True, nogil=True)
def _spans(score: np.ndarray, least: float, given_up: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return first hour, hour after the last and sum of the spans whose running sum reaches ``least`` before it falls off."""
    n = score.size
    firsts, lasts, sums = np.empty(n, np.int64), np.empty(n, np.int64), np.empty(n)
    found, running, best, begun, ended = 0, 0.0, 0.0, 0, 0
    for t in range(n + 1):
        if t == n or running <= 0.0 or best - running > given_up:
            if best >= least:
                firsts[found], lasts[found], sums[found] = begun, ended, best
                found += 1
            running, best, begun = 0.0, 0.0, t
        if t < n:
            running += score[t]
            if running > best:
                best, ended = running, t + 1
    return firsts[:found], lasts[:found], sums[:found]
