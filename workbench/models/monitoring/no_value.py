"""What devices write where they have no value: infinities, impossible sizes, and codes such as 9999 or 65535."""

from __future__ import annotations

import numpy as np
from numba import njit

HIGHEST = np.float32(1e9)  # no point of the contract reads as much: some device's word for "nothing"
NO_VALUE_CODES = (999.0, 9999.0, 99999.0, 999999.0, 32767.0, 32768.0, 65535.0)
"""What devices write, with either sign, where they have no value [R]; taken so only beyond what the point can read."""


@njit(cache=True, nogil=True)
def is_code(x: float) -> bool:
    """Return whether a value is one of :data:`NO_VALUE_CODES`, with either sign."""
    size = abs(x)
    for code in NO_VALUE_CODES:  # noqa: SIM110 - numba compiles a plain loop
        if size == code:
            return True
    return False


@njit(cache=True, nogil=True)
def drop_impossible(value: np.ndarray, per_point: np.ndarray) -> None:
    """Replace impossible values by NaN in place, so that no search for copies meets them; ``per_point`` as for :func:`kernels.scan`."""
    for i in range(value.shape[0]):
        floor = per_point[i, 2]
        reach = per_point[i, 3] if per_point.shape[1] > 3 else np.float32(np.inf)
        for t in range(value.shape[1]):
            x = value[i, t]
            if abs(x) >= HIGHEST or x < floor or (abs(x) > reach and is_code(x)):
                value[i, t] = np.nan
