"""What a meter really read: codes that devices send for "nothing", impossible values, and meters that read nothing at all."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from workbench.contracts import Mark
from workbench.models.hourly import HIGHEST

CODES = (9999.0, 99999.0, 999999.0, 9999.9, 999.9, 65535.0, 65534.0, 32767.0, 32768.0, 4294967295.0)
"""Words of devices for "nothing" (counters at their stop, nines); all recalled from practice, none is a value by itself."""
BAD_MARKS = (Mark.COMM_ERROR, Mark.FAULT, Mark.CALIBRATION)


def usable(
    value: NDArray[np.float32], mark: NDArray[np.uint8], *, resolution: NDArray[np.float64], range_high: NDArray[np.float64]
) -> NDArray[np.float32]:
    """Return the readings of meters with everything that is no reading as NaN.

    Parameters
    ----------
    value, mark : arrays, shape (meter, time)
    resolution, range_high : float arrays, shape (meter,)
        Unit of the meter; NaN unknown.

    Returns
    -------
    float32 array, shape (meter, time)
        NaN for bad marks, for numbers no power can have, for codes that stand twice above everything else the meter
        reads or above its range, and for negatives beyond its noise. Small negatives are nothing: 0.
    """
    bad = ~(np.abs(value) < HIGHEST)
    for m in BAD_MARKS:
        bad |= mark == m
    out = np.where(bad, np.float32(np.nan), value)
    for k, x in enumerate(out):
        coded = np.zeros(len(x), bool)
        for code in CODES:
            coded |= x == np.float32(code)
        if coded.any():
            rest = x[np.isfinite(x) & ~coded]
            top = float(np.quantile(rest, 0.999)) if rest.size else 0.0
            limit = range_high[k] if np.isfinite(range_high[k]) and range_high[k] > 0 else np.inf
            x[coded & ((x > 2.0 * top) | (x > limit))] = np.nan
        negative = x < 0
        if negative.any():
            rest = x[x >= 0]
            step = resolution[k] if np.isfinite(resolution[k]) else 0.0
            noise = max(3.0 * step, 0.005 * float(np.quantile(rest, 0.99)) if rest.size else 0.0)
            x[x < -noise] = np.nan
            x[x < 0] = 0.0
    return out


def dead(power: NDArray[np.float32], resolution: float) -> bool:
    """Return whether a meter reads nothing at all: no reading above its smallest step, so nothing shows that it is alive."""
    known = power[np.isfinite(power)]
    return bool(known.size) and not float(np.quantile(known, 0.999)) > max(2.0 * resolution, 1e-6)
