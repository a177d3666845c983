"""Splits that do not leak: by group, forward in time with an embargo, by decision date, one street held out."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components

from workbench.contracts import ParameterError

LINKS = ("legal_person", "operator", "outlet")


@dataclass(frozen=True)
class Split:
    """Labels to learn from and labels to measure on.

    Parameters
    ----------
    train, test : DataFrame
        Rows of the table that was split, in their order.
    note : str
        How they were parted and what was left out.
    """

    train: pd.DataFrame
    test: pd.DataFrame
    note: str


def connected_groups(
    enterprises: pd.DataFrame,
    outlets: pd.DataFrame | None = None,
    points: pd.DataFrame | None = None,
    *,
    links: tuple[str, ...] = LINKS,
) -> pd.Series:
    """Return the group of each enterprise: everything joined by a legal person, an O&M vendor or a shared outlet.

    An outlet is shared where points of several enterprises measure at it, or where stacks of several enterprises
    stand at the same place. With few vendors the groups grow large; leave ``operator`` out of ``links`` then, and
    hold out whole vendors apart.

    Returns
    -------
    Series
        Group number by ``enterprise_id``, in order of first appearance.
    """
    if lost := set(links) - set(LINKS):
        raise ParameterError("unknown link between enterprises", got=sorted(lost), allowed=LINKS)
    ids = pd.Index(enterprises["enterprise_id"].astype(object))
    edges = []
    if "legal_person" in links:
        edges.append(_shared(enterprises["enterprise_id"], enterprises["legal_person_id"]))
    if "operator" in links:
        edges.append(_shared(enterprises["enterprise_id"], enterprises["operator"]))
    if "outlet" in links and outlets is not None:
        stacks = outlets[outlets["kind"] == "stack"]
        place = stacks["lon"].round(5).astype(str) + "," + stacks["lat"].round(5).astype(str)
        edges.append(_shared(stacks["enterprise_id"], place))
        if points is not None:
            used = pd.concat([outlets[["outlet_id", "enterprise_id"]], points[["outlet_id", "enterprise_id"]]], ignore_index=True)
            edges.append(_shared(used["enterprise_id"], used["outlet_id"]))
    pairs = pd.concat(edges, ignore_index=True) if edges else pd.DataFrame({"a": [], "b": []})
    a, b = ids.get_indexer(pd.Index(pairs["a"])), ids.get_indexer(pd.Index(pairs["b"]))
    ok = (a >= 0) & (b >= 0)
    graph = coo_matrix((np.ones(int(ok.sum())), (a[ok], b[ok])), shape=(len(ids), len(ids)))
    found = connected_components(graph, directed=False)[1] if len(ids) else np.zeros(0, int)
    return pd.Series(pd.factorize(found)[0], index=ids, name="group")


def group_folds(groups: pd.Series, folds: int, *, seed: int) -> pd.Series:
    """Return a fold number per enterprise, whole groups together, folds as even as whole groups allow.

    Raises
    ------
    ParameterError
        If there are fewer groups than folds.
    """
    sizes = groups.value_counts()
    if folds < 2 or len(sizes) < folds:
        raise ParameterError("not enough groups for the folds", got=f"{len(sizes)} groups, {folds} folds", allowed="2 ≤ folds ≤ groups")
    shuffled = sizes.sample(frac=1, random_state=np.random.default_rng(seed)).sort_values(ascending=False, kind="stable")
    load, fold = np.zeros(folds), {}
    for group, size in shuffled.items():
        at = int(np.argmin(load))
        fold[group], load[at] = at, load[at] + size
    return groups.map(fold).rename("fold")


def forward(inspections: pd.DataFrame, cut: pd.Timestamp, *, embargo_days: float, longest_window_days: float) -> Split:
    """Split labels in time: learn from what was *decided* before ``cut``, measure on periods after it and the embargo.

    Parameters
    ----------
    embargo_days : float
        Gap between the two sides; a feature window that reaches over the cut must not see both.
    longest_window_days : float
        Longest window any feature looks back.

    Raises
    ------
    ParameterError
        If the embargo is shorter than the longest window.
    """
    if embargo_days < longest_window_days:
        raise ParameterError("the embargo is shorter than the longest window", got=embargo_days, allowed=f"≥ {longest_window_days:g} days")
    known = inspections["decided_on"] < cut
    train = inspections[known & (inspections["period_end"] <= cut)]
    after = cut + pd.Timedelta(days=embargo_days)
    test = inspections[inspections["decided_on"].notna() & (inspections["period_start"] >= after)]
    left = len(inspections) - len(train) - len(test)
    return Split(
        train, test, f"decided before {cut:%Y-%m-%d}; measured from {after:%Y-%m-%d}; {left} of {len(inspections)} labels left out"
    )


def hold_out_street(rows: pd.DataFrame, enterprises: pd.DataFrame, street: str, groups: pd.Series | None = None) -> Split:
    """Measure on one street or town, learn from the others; with ``groups``, kin of that street leave the training side.

    Raises
    ------
    ParameterError
        If no enterprise stands in this street.
    """
    there = enterprises.loc[enterprises["street_town"] == street, "enterprise_id"]
    if there.empty:
        raise ParameterError("no enterprise in this street", got=street, allowed=sorted(enterprises["street_town"].unique()))
    kin = set(there) if groups is None else set(groups.index[groups.isin(groups.reindex(there).dropna())])
    here = rows["enterprise_id"].isin(set(there))
    train = rows[~rows["enterprise_id"].isin(kin)]
    return Split(train, rows[here], f"held out {street}: {len(there)} enterprises, {len(kin) - len(there)} of their kin left out")


def _shared(who: pd.Series, what: pd.Series) -> pd.DataFrame:
    """Return a chain of enterprises for each thing they share (a chain connects as well as all pairs)."""
    table = pd.DataFrame({"who": who.to_numpy(object), "what": what.to_numpy(object)})
    table = table[table["what"].notna() & (table["what"] != "") & table["who"].notna() & (table["who"] != "")].drop_duplicates()
    table = table.sort_values(["what", "who"])
    before = table.groupby("what")["who"].shift()
    return pd.DataFrame({"a": before[before.notna()], "b": table.loc[before.notna(), "who"]})
