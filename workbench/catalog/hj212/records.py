"""From packets to records: one row per value."""

from __future__ import annotations

from array import array
from collections.abc import Iterable

import numpy as np
import pandas as pd

from workbench.catalog.hj212.codes import protocol_words
from workbench.catalog.hj212.mapping import Key
from workbench.catalog.hj212.parse import Packet, seconds_of
from workbench.catalog.hj212.store import Batch

COLUMNS = ("mn", "time", "factor", "value", "mark", "st", "cn", "qn", "statistic", "kind", "sampled_at", "version")


def records(packets: Iterable[Packet]) -> pd.DataFrame:
    """Return the readings of packets as a table.

    Returns
    -------
    DataFrame
        ``mn``, ``time`` (DataTime, local), ``factor`` (today's code), ``value`` (float64, in the unit of the code
        table), ``mark`` (uint8, 255: none), ``st``, ``cn``, ``qn``, ``statistic`` (realtime, minute, hour, day),
        ``kind`` (Rtd, Avg …), ``sampled_at`` (SampleTime, NaT where not sent), ``version``.
    """
    rows = []
    for p in packets:
        if p.time is None:
            continue
        for r in p.readings:
            sampled = seconds_of(p.extras.get((r.factor, "SampleTime"), ""))
            rows.append((p.mn, p.time, r.factor, r.value, r.mark, p.st, p.cn, p.qn, p.statistic, r.kind, sampled, p.version))
    frame = pd.DataFrame(rows, columns=list(COLUMNS))
    for column in ("time", "sampled_at"):
        frame[column] = pd.to_datetime(pd.to_numeric(frame[column], errors="coerce"), unit="s")
    return frame.astype({"value": "float64", "mark": "uint8", "version": "int64"})


def batch_of(frame: pd.DataFrame, *, source: str = "records") -> Batch:
    """Return a table of records as a batch for :meth:`Store.append`; the row number stands as offset."""
    keyed = frame[["mn", "st", "cn", "factor", "kind"]].astype(str)
    which, unique = pd.factorize(pd.MultiIndex.from_frame(keyed))
    known = protocol_words().commands
    keys = [Key(*map(str, k)) for k in unique if str(k[2]) in known]
    return Batch(
        keys=keys,
        which=which.astype(np.int64),
        times=frame["time"].to_numpy().astype("datetime64[s]").astype("int64"),
        values=frame["value"].to_numpy(dtype=np.float64),
        marks=frame["mark"].to_numpy(dtype=np.uint8),
        origin=np.zeros(len(frame), dtype=np.int64),
        offsets=np.arange(len(frame), dtype=np.int64),
        sources=[source],
    )


class Collector:
    """Gather values packet by packet into plain arrays, without an object per value."""

    def __init__(self) -> None:
        self._keys: dict[Key, int] = {}
        self._sources: dict[str, int] = {}
        self.clear()

    def clear(self) -> None:
        """Forget the values; keys and sources keep their numbers."""
        self._which, self._times, self._offsets = array("q"), array("q"), array("q")
        self._values, self._marks, self._origin = array("d"), array("B"), array("q")

    def __len__(self) -> int:
        return len(self._which)

    def number(self, key: Key) -> int:
        """Return the number of a key."""
        return self._keys.setdefault(key, len(self._keys))

    def source(self, name: str) -> int:
        """Return the number of a source."""
        return self._sources.setdefault(name, len(self._sources))

    def add(self, key: int, time: int, value: float, mark: int, origin: int, offset: int) -> None:
        """Add one value."""
        self._which.append(key)
        self._times.append(time)
        self._values.append(value)
        self._marks.append(mark)
        self._origin.append(origin)
        self._offsets.append(offset)

    def take(self) -> Batch:
        """Return what was gathered and start afresh."""
        batch = Batch(
            keys=list(self._keys),
            which=np.array(self._which, dtype=np.int64),
            times=np.array(self._times, dtype=np.int64),
            values=np.array(self._values, dtype=np.float64),
            marks=np.array(self._marks, dtype=np.uint8),
            origin=np.array(self._origin, dtype=np.int64),
            offsets=np.array(self._offsets, dtype=np.int64),
            sources=list(self._sources),
        )
        self.clear()
        return batch
