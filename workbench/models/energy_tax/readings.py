"""What a meter really read: codes that devices send for "nothing", impossible values, and meters that read nothing at all."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from workbench.contracts import Mark
from workbench.models.no_value import HIGHEST, drop_codes

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
    drop_codes(out, range_high)
    for k, x in enumerate(out):
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
