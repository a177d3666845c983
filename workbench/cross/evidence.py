"""Align and merge the hourly channels of several models, and say what they cover before anything is fused."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import pandas as pd
import xarray as xr

from workbench.contracts import NOT_INSTALLED, ContractBreach, check_evidence
from workbench.cross.roles import Alias, aliases, roles

ONE_WORD = 24.0
"""Hours that one word holds at least: an hour's evidence is combined at full strength within the hour, and then counts
one twenty-fourth, since sources repeat themselves within a day; a channel with longer support counts less again."""
LONGEST_WORD = 720.0


@dataclass(frozen=True)
class Channel:
    """One channel on the common grid.

    Parameters
    ----------
    name : str
    values : int8 array, shape (enterprise, hour)
        Level index; -1 where the source does not exist, was not evaluated, or does not reach.
    levels : tuple of str
    role : str
        A name of ``roles.yml``, or empty.
    source, group : str
    alert : tuple of int
        Level indices at which its model alone would have spoken.
    support_hours : float
        Hours of raw data behind one value; repeated words of one value count once.
    label_zh, label_en : str
    llr : float array, shape (level, regime), optional
        Finding channels only: the log Bayes factor of one *finding*, already spread over its hours.
    members : tuple of Channel
        The detectors' channels it is the worst of, if any.
    """

    name: str
    values: np.ndarray
    levels: tuple[str, ...]
    role: str
    source: str
    group: str
    alert: tuple[int, ...]
    support_hours: float
    label_zh: str
    label_en: str
    llr: np.ndarray | None = None
    members: tuple[Channel, ...] = ()

    def level(self, index: int) -> str:
        """Return the name of a level, or ``not installed``."""
        return self.levels[index] if index >= 0 else "not installed"


@dataclass(frozen=True)
class Evidence:
    """All channels on one grid of enterprises and hours."""

    enterprises: np.ndarray
    hours: pd.DatetimeIndex
    channels: tuple[Channel, ...] = field(default_factory=tuple)

    @property
    def shape(self) -> tuple[int, int]:
        """Number of enterprises and hours."""
        return len(self.enterprises), len(self.hours)

    def with_channels(self, *more: Channel) -> Evidence:
        """Return a copy with more channels, kept in order of name (so that nothing hangs on who came first)."""
        return replace(self, channels=tuple(sorted((*self.channels, *more), key=lambda c: c.name)))

    def row(self, enterprise_id: str) -> int:
        """Return the row of an enterprise, or -1."""
        hit = np.flatnonzero(self.enterprises == enterprise_id)
        return int(hit[0]) if len(hit) else -1


def merge(datasets: Sequence[xr.Dataset], *, enterprises: Sequence[str] = (), hours: pd.DatetimeIndex | None = None) -> Evidence:
    """Lay the channels of several models on the union of their enterprises and hours.

    Parameters
    ----------
    datasets : sequence of Dataset
        Contract ``evidence``; checked.
    enterprises : sequence of str
        More enterprises to hold rows for.
    hours : DatetimeIndex, optional
        More hours to hold columns for.

    Raises
    ------
    ContractBreach
        If a dataset breaks the contract, or two datasets carry a channel of one name.
    """
    for d in datasets:
        check_evidence(d)
    names = [str(n) for d in datasets for n in d.data_vars]
    if twice := sorted({n for n in names if names.count(n) > 1}):
        raise ContractBreach(
            "two models emit a channel of the same name", got=twice, where="evidence", next_step="begin channel names with the model's name"
        )
    ids = sorted({*map(str, enterprises), *(str(e) for d in datasets for e in d["enterprise"].to_numpy().astype(object))})
    stamps = [d.indexes["hour"] for d in datasets if d.sizes.get("hour", 0)] + ([hours] if hours is not None and len(hours) else [])
    grid = pd.date_range(min(s.min() for s in stamps), max(s.max() for s in stamps), freq="h") if stamps else pd.DatetimeIndex([])
    out = [_placed(str(name), array, np.asarray(ids, dtype=object), grid) for d in datasets for name, array in d.data_vars.items()]
    return Evidence(np.asarray(ids, dtype=object), grid, tuple(sorted(out, key=lambda c: c.name)))


def _placed(name: str, array: xr.DataArray, ids: np.ndarray, grid: pd.DatetimeIndex) -> Channel:
    a = array.attrs
    values = np.full((len(ids), len(grid)), NOT_INSTALLED, dtype=np.int8)
    row = pd.Index(ids).get_indexer(pd.Index(array["enterprise"].to_numpy().astype(object)))
    column = grid.get_indexer(pd.DatetimeIndex(array["hour"].to_numpy()))
    if (column < 0).any():
        raise ContractBreach("evidence hours must be full hours", got=str(array["hour"].to_numpy()[column < 0][0]), where=name)
    values[np.ix_(row, column)] = array.to_numpy()
    levels = tuple(map(str, a["levels"]))
    role = str(a.get("role", ""))
    known = roles().get(role)
    alert = [str(x) for x in a["alert_levels"]]
    alias = aliases().get(name)
    if known is None and alias is not None and set(levels) <= set(alias.levels):
        role, known = alias.role, roles()[alias.role]
        values, levels, alert = _renamed(values, levels, alert, alias)
    return Channel(
        name=name,
        values=values,
        levels=levels,
        role=role if known else "",
        source=str(a["source"]),
        group=str(a["group"]),
        alert=tuple(levels.index(x) for x in alert),
        support_hours=max(float(a.get("support_hours", 1) or 1), persistence(values), ONE_WORD),
        label_zh=str(a["label_zh"]),
        label_en=str(a["label_en"]),
    )


def _renamed(values: np.ndarray, levels: tuple[str, ...], alert: list[str], alias: Alias) -> tuple[np.ndarray, tuple[str, ...], list[str]]:
    """Return values, levels and alert levels in the words of the role; levels that say nothing become -1."""
    new = tuple(x for x in roles()[alias.role].levels if x in set(alias.levels.values()))
    table = np.array([new.index(alias.levels[x]) if alias.levels[x] else NOT_INSTALLED for x in levels] + [NOT_INSTALLED], dtype=np.int8)
    return table[values], new, sorted({alias.levels[x] for x in alert if alias.levels[x]})


def persistence(values: np.ndarray) -> float:
    """Return the mean length, in hours, of a run of one value other than the commonest.

    What a channel repeats hour after hour is one word, not many: its evidence is divided by this length.
    """
    seen = values[values >= 0]
    if not seen.size:
        return 1.0
    common = int(np.bincount(seen).argmax())
    odd = (values >= 0) & (values != common)
    total = int(odd.sum())
    if not total:
        return 24.0
    starts = odd.copy()
    starts[:, 1:] &= ~(odd[:, :-1] & (values[:, 1:] == values[:, :-1]))
    return float(np.clip(total / max(1, int(starts.sum())), 1.0, LONGEST_WORD))


def coverage_report(e: Evidence) -> pd.DataFrame:
    """Return, per channel, what it covers and how it agrees, before anything is fused.

    Returns
    -------
    DataFrame
        ``channel, role, source, group``; ``enterprises`` and ``installed`` (share of enterprise-hours with a value);
        ``outage``, ``alert`` (shares of the installed hours); ``overlap`` (share of its alert hours in which another
        source also alerts); ``conflict`` (share of its alert hours in which another source is installed, and none of
        the others alerts); ``note``.
    """
    table = []
    alerting = {c.name: np.isin(c.values, c.alert) if c.alert else np.zeros(e.shape, dtype=bool) for c in e.channels}
    for c in e.channels:
        installed = c.values >= 0
        n = int(installed.sum())
        mine = alerting[c.name]
        others = [o for o in e.channels if o.source != c.source and o.alert]
        theirs = np.logical_or.reduce([alerting[o.name] for o in others]) if others else np.zeros(e.shape, dtype=bool)
        present = np.logical_or.reduce([o.values >= 0 for o in others]) if others else np.zeros(e.shape, dtype=bool)
        alerts = int(mine.sum())
        table.append(
            {
                "channel": c.name,
                "role": c.role or "unknown",
                "source": c.source,
                "group": c.group,
                "enterprises": int(installed.any(1).sum()) if e.shape[1] else 0,
                "installed": n / max(1, installed.size),
                "outage": float((c.values == c.levels.index("outage")).sum() / max(1, n)) if "outage" in c.levels else 0.0,
                "alert": alerts / max(1, n),
                "overlap": float((mine & theirs).sum() / alerts) if alerts else float("nan"),
                "conflict": float((mine & present & ~theirs).sum() / alerts) if alerts else float("nan"),
                "support_hours": c.support_hours,
                "note": _note(c),
            }
        )
    return pd.DataFrame(table)


def _note(c: Channel) -> str:
    if c.llr is not None:
        return "findings of a model"
    if not c.role:
        return "role unknown: weak generic prior of its source"
    lost = [x for x in c.levels if x not in roles()[c.role].levels]
    return f"levels that say nothing here: {', '.join(lost)}" if lost else ""
