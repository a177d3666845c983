"""Which point a device's factor is: by a mapping table, by the store's points table, or by default."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import pandas as pd

from workbench.catalog.hj212.codes import CodeTable, protocol_words, statistics
from workbench.catalog.hj212.parse import Fault
from workbench.contracts import TABLES, ParameterError, System, unknown_name
from workbench.contracts.units import factor_between

REQUIRED = ("mn", "factor", "point_id")
DEVICE_COLUMNS = ("mn", "sent_factor")
"""Extra columns of a store's points table: the device and the code it sends."""


class Key(NamedTuple):
    """What tells one series from another: device, system, command, today's factor code, kind of value."""

    mn: str
    st: str
    cn: str
    factor: str
    kind: str


@dataclass(frozen=True)
class Target:
    """Where the values of a key go: point, system, statistic and kind, and the factor to the point's unit."""

    point_id: str
    system: str
    statistic: str
    kind: str
    scale: float
    row: Mapping[str, object]

    @property
    def main(self) -> bool:
        """Whether this is the plain value of its statistic, not a minimum, a sum or a converted one."""
        return self.kind == ("Rtd" if self.statistic == "realtime" else "Avg")


def read_mapping(path: Path | None) -> pd.DataFrame:
    """Read a mapping table (CSV).

    Columns ``mn``, ``factor`` (today's code), ``point_id``; optional ``system``, ``point_factor`` (factor name of the
    catalog where it differs, such as ``power``), ``sent_unit`` (where the device does not send the code's unit), and
    any column of ``points``.

    Raises
    ------
    ParameterError
        If the file is not there, a column is missing, a pair stands twice, or a system is not known.
    """
    if path is None:
        return pd.DataFrame(columns=list(REQUIRED))
    if not path.is_file():
        raise ParameterError("mapping table not found", got=str(path), next_step="give the path of a CSV with columns mn, factor, point_id")
    frame = pd.read_csv(path, dtype=str, keep_default_na=False)
    if missing := [c for c in REQUIRED if c not in frame]:
        raise ParameterError(
            "the mapping table lacks columns", got=list(frame), allowed=REQUIRED, where=str(path), next_step=f"add {missing}"
        )
    if twice := frame[frame.duplicated(["mn", "factor"])].to_dict("records"):
        raise ParameterError("a device and factor stand twice in the mapping table", got=twice[0], where=str(path))
    for name in frame.get("system", pd.Series(dtype=object)).unique():
        if name and name not in set(System):
            raise unknown_name("system", name, set(System), where=str(path))
    return frame


class Router:
    """Resolve keys to points.

    Parameters
    ----------
    codes : CodeTable
        Known factor codes.
    mapping : DataFrame
        From :func:`read_mapping`.
    points : DataFrame
        The store's points table; a column ``mn`` there serves as a mapping too.
    """

    def __init__(self, codes: CodeTable, mapping: pd.DataFrame, points: pd.DataFrame) -> None:
        self._codes = codes
        self._known = {str(r["point_id"]): r for r in points.to_dict("records")}
        self._by_device = {(str(r["mn"]), str(r.get("sent_factor") or r["factor"])): r for r in points.to_dict("records") if r.get("mn")}
        self._by_device |= {(r["mn"], r["factor"]): {k: v for k, v in r.items() if v != ""} for r in mapping.to_dict("records")}
        self._targets: dict[Key, Target | Fault] = {}

    def target(self, key: Key) -> Target | Fault:
        """Return where the values of ``key`` go, or why they are set aside."""
        found = self._targets.get(key)
        if found is None:
            found = self._targets[key] = self._resolve(key)
        return found

    def _resolve(self, key: Key) -> Target | Fault:
        given = dict(self._by_device.get((key.mn, key.factor), {}))
        point_id = str(given.get("point_id") or f"{key.mn}-{key.factor}")
        known = self._known.get(point_id, {})
        system = str(given.get("system") or known.get("system") or _system(key))
        text = f"{key.factor}-{key.kind}"
        if system in ("", System.VIDEO.value):
            return Fault("no_system", text, f"ST={key.st}, code {key.factor}")
        sent = str(given.get("sent_unit") or self._codes.unit(key.factor, system))
        unit = str(given.get("unit") or known.get("unit") or sent)
        scale = 1.0
        if unit != sent and key.kind != "Cou":  # a cumulated amount has a unit of its own
            try:
                scale = factor_between(sent, unit)
            except ParameterError as error:
                return Fault("unit_mismatch", text, f"{sent} to {unit}: {error.what}")
        row = {c: given[c] for c in TABLES["points"].columns if c in given}
        row |= {"point_id": point_id, "system": system, "factor": given.get("point_factor") or key.factor, "unit": unit}
        row |= {"mn": key.mn, "sent_factor": key.factor}
        statistic = statistics()[key.cn]
        return Target(point_id, system, statistic, key.kind, scale, row)


def _system(key: Key) -> str:
    if key.factor[0] in "egi":
        return System.CONDITION.value
    if key.factor[0] == "L":
        return ""
    return protocol_words().systems.get(key.st, {}).get("system", "")
