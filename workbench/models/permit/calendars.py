"""Natural periods of recurring duties: which windows a duty has, and when each falls due."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import pandas as pd

from workbench.contracts import unknown_name

_ALIAS = {"day": "D", "week": "W-SUN", "month": "M", "quarter": "Q-DEC", "year": "Y-DEC"}
FREQUENCIES = (*_ALIAS, "half_year")
FREQUENCY_WORDS = {
    "day": ("日", "day"),
    "week": ("周", "week"),
    "month": ("月", "month"),
    "quarter": ("季度", "quarter"),
    "half_year": ("半年", "half-year"),
    "year": ("年", "year"),
}
"""Chinese and English word of each frequency."""


@lru_cache(maxsize=4096)
def windows(frequency: str, since: pd.Timestamp, until: pd.Timestamp) -> tuple[pd.DatetimeIndex, pd.DatetimeIndex]:
    """Return starts and (excluded) ends of the whole natural periods inside ``[since, until]``.

    A period that began before ``since`` is left out: whether it was kept cannot be known.

    Raises
    ------
    ParameterError
        If the frequency is not one of the contract's.
    """
    if frequency == "half_year":
        quarters = pd.period_range(since, until, freq="Q-DEC")
        first = quarters[quarters.quarter % 2 == 1]
        starts = first.to_timestamp()
        ends = starts + pd.DateOffset(months=6)
    elif frequency in _ALIAS:
        periods = pd.period_range(since, until, freq=_ALIAS[frequency])
        starts, ends = periods.to_timestamp(), periods.shift(1).to_timestamp()
    else:
        raise unknown_name("frequency", frequency, FREQUENCIES)
    whole = (starts >= since) & (ends <= until)
    return pd.DatetimeIndex(starts[whole]), pd.DatetimeIndex(ends[whole])


def due_windows(
    frequency: str, due_days: float, *, since: pd.Timestamp, until: pd.Timestamp, due_after: pd.Timestamp
) -> tuple[pd.DatetimeIndex, pd.DatetimeIndex, pd.DatetimeIndex]:
    """Return starts, ends and deadlines of the windows whose deadline lies in ``(due_after, until]``.

    Parameters
    ----------
    due_days : float
        Days after the window's end, read from the permit.
    """
    starts, ends = windows(frequency, since, until)
    due = ends + pd.Timedelta(days=float(due_days))
    keep = (due <= until) & (due > due_after)
    return starts[keep], ends[keep], due[keep]


def report_span(start: pd.Series, end: pd.Series) -> pd.Series:
    """Return the excluded end of report periods: the day after the last day, or the end itself where it already is one.

    An end on the first of a month at midnight after a start on the first of a month is read as already excluded.
    """
    excluded = (end.dt.day == 1) & (start.dt.day == 1) & (end == end.dt.normalize()) & (end > start)
    return end.where(excluded, end.dt.normalize() + pd.Timedelta(days=1))


def counts_in(times: np.ndarray, starts: pd.DatetimeIndex, ends: pd.DatetimeIndex) -> np.ndarray:
    """Return how many of the sorted times fall into each half-open window."""
    lo = np.searchsorted(times, starts.to_numpy())
    hi = np.searchsorted(times, ends.to_numpy())
    return np.asarray(hi - lo)
