"""What devices write where they have no value: words for "nothing" such as 9999 or 65535, and numbers no point can read."""

from __future__ import annotations

import numba
import numpy as np

HIGHEST = 1e9
"""No point of the contract reads as much in its unit: such a number is some device's word for "nothing"."""
CODES = (9999.0, 99999.0, 999999.0, 9999.9, 999.9, 65535.0, 65534.0, 32767.0, 32768.0, 4294967295.0)
"""Words of devices for "nothing" (counters at their stop, nines); all recalled from practice, none is a value by itself."""
_CODES = np.sort(np.array(CODES, np.float32))


@numba.njit(cache=True, nogil=True)
def _codes_in(x: np.ndarray, codes: np.ndarray) -> int:
    n = 0
    for v in x:
        if v >= codes[0]:
            for code in codes:
                n += v == code
    return n


def drop_codes(value: np.ndarray, range_high: np.ndarray | None = None) -> None:
    """Replace words for "nothing" by NaN, in place.

    A number is such a word where it is one of :data:`CODES` and stands twice above everything else that the point reads,
    or above its range.

    Parameters
    ----------
    value : float32 array, shape (point, time)
    range_high : float array, shape (point,), optional
        End of the range in the unit of the values; NaN: unknown.
    """
    for k, x in enumerate(value):
        if not _codes_in(x, _CODES):
            continue
        coded = np.isin(x, _CODES)
        rest = x[np.isfinite(x) & ~coded]
        top = float(np.quantile(rest, 0.999)) if rest.size else 0.0
        end = np.nan if range_high is None else float(range_high[k])
        x[coded & ((x > 2.0 * top) | (x > (end if end > 0 else np.inf)))] = np.nan
