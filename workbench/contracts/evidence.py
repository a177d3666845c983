"""The evidence contract: what every model hands to the cross-model layer.

One :class:`xarray.Dataset` with dims ``(enterprise, hour)``: one int8 variable per channel. A value is the index
of a level named in ``attrs["levels"]``; :data:`NOT_INSTALLED` means that the enterprise has no such source (its
factor in the fusion is 1). A source that exists and is down is a level of its own (``outage``), since an outage is
evidence.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
import pandas as pd
import xarray as xr

from workbench.contracts.errors import ContractBreach

NOT_INSTALLED = -1
"""Value of a channel where the source does not exist."""
Source = Literal["monitor", "power", "declaration", "video", "ambient", "condition"]


def channel(
    values: np.ndarray,
    *,
    enterprises: Sequence[str],
    hours: pd.DatetimeIndex,
    levels: Sequence[str],
    source: Source,
    group: str,
    label_zh: str,
    label_en: str,
    alert_levels: Sequence[str] = (),
    role: str = "",
    support_hours: int = 1,
) -> xr.DataArray:
    """Build one channel.

    Parameters
    ----------
    values : int8 array, shape (enterprise, hour)
        Level indices; -1 where not installed.
    levels : sequence of str
        Names of the levels, in the order of their index; ``outage`` where the source can be down.
    source : str
        Whose honesty the channel depends on.
    group : str
        Detector group that shares a nuisance (channels computed from the same raw data).
    alert_levels : sequence of str
        The levels at which the model by itself would have raised an alert; none: the channel is context.
    role : str
        What the channel says, in the vocabulary of ``docs/evidence-roles.md``; empty: unknown to the cross layer.
    support_hours : int
        Hours of raw data behind one value (24 for a daily verdict held over its day).

    Raises
    ------
    ContractBreach
        If values name no level or the shape is wrong.
    """
    array = xr.DataArray(
        np.asarray(values, dtype=np.int8),
        dims=("enterprise", "hour"),
        coords={"enterprise": np.asarray(list(enterprises), dtype=object), "hour": hours.to_numpy()},
        attrs={
            "levels": list(levels),
            "source": source,
            "group": group,
            "label_zh": label_zh,
            "label_en": label_en,
            "alert_levels": list(alert_levels),
            "role": role,
            "support_hours": int(support_hours),
        },
    )
    _check_channel("channel", array)
    return array


def check_evidence(evidence: xr.Dataset) -> None:
    """Raise :class:`ContractBreach` unless ``evidence`` keeps the contract above."""
    for name, array in evidence.data_vars.items():
        _check_channel(str(name), array)
    hours = evidence.indexes["hour"]
    if len(hours) > 1 and not (np.diff(hours.to_numpy()) == np.timedelta64(1, "h")).all():
        raise ContractBreach("evidence hours must be a regular hourly grid", got=f"{hours[0]} … {hours[-1]}, n={len(hours)}", where="hour")


def _check_channel(name: str, array: xr.DataArray) -> None:
    wanted = {"levels", "source", "group", "label_zh", "label_en", "alert_levels"}
    if array.dims != ("enterprise", "hour") or array.dtype != np.int8:
        raise ContractBreach("a channel is int8 over (enterprise, hour)", got=f"{array.dtype} over {array.dims}", where=name)
    if lost := wanted - set(array.attrs):
        raise ContractBreach(
            "a channel carries its meaning in attrs",
            got=sorted(array.attrs),
            allowed=sorted(wanted),
            where=f"{name}: {sorted(lost)} missing",
        )
    levels = array.attrs["levels"]
    if unknown := set(array.attrs["alert_levels"]) - set(levels):
        raise ContractBreach("alert levels must be levels", got=sorted(unknown), allowed=levels, where=name)
    if array.size and (array.min() < NOT_INSTALLED or array.max() >= len(levels)):
        raise ContractBreach(
            "a channel value names no level", got=[int(array.min()), int(array.max())], allowed=[NOT_INSTALLED, len(levels) - 1], where=name
        )
