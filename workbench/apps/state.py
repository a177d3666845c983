"""What the reviewer's desk shows: choices and what follows from them. Knows no widget and needs no browser."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import param

from workbench.apps.reports import Iteration, Shelf, read_shelf
from workbench.apps.series import Trace, first_drawn, points_of, read_trace
from workbench.apps.words import Language, kind_word, say
from workbench.contracts import CatalogView, Metric, WorkbenchError, result_frame

QUEUES = ("all", "main", "silent")
WINDOWS = {"close": 3.0, "wide": 14.0, "all": float("inf")}


class Desk(param.Parameterized):
    """State of one reviewer's session.

    Parameters
    ----------
    reports : Path
        Folder of iterations.
    catalog : str
        Catalog to open instead of the one the report names; empty: the report's.
    """

    reports: Any = param.ClassSelector(class_=Path, constant=True)
    catalog = param.String(default="", constant=True)
    language: Any = param.Selector(default="zh", objects=["zh", "en"])
    tab: Any = param.Selector(default="iterations", objects=["iterations", "leads"])
    iteration_id = param.String(default="")
    queue: Any = param.Selector(default="all", objects=list(QUEUES))
    kind = param.String(default="")  # empty: all
    search = param.String(default="")
    lead_id = param.String(default="")
    explained = param.String(default="")  # the lead or finding whose attributions are shown
    window: Any = param.Selector(default="close", objects=list(WINDOWS))
    channels = param.List(default=[], item_type=str)  # point ids drawn
    shelf = param.ClassSelector(class_=Shelf, default=Shelf())

    def __init__(self, reports: Path, catalog: str = "", **params: Any) -> None:
        self._hashes: dict[tuple[str, tuple[str, ...]], dict[str, str]] = {}
        super().__init__(reports=Path(reports), catalog=catalog, **params)  # type: ignore[no-untyped-call]
        self.read_again()
        self._iteration_changed()
        self._lead_changed()

    @property
    def lang(self) -> Language:
        """The language in use."""
        return "zh" if self.language == "zh" else "en"

    def read_again(self) -> None:
        """Look at the reports folder again; the chosen iteration stays where it still exists."""
        self._hashes.clear()
        self.shelf = read_shelf(self.reports)
        if self.shelf.get(self.iteration_id) is None:
            self.iteration_id = self.shelf.iterations[0].id if self.shelf.iterations else ""

    @property
    def iteration(self) -> Iteration | None:
        """The chosen iteration."""
        return self.shelf.get(self.iteration_id)

    @param.depends("iteration_id", watch=True)
    def _iteration_changed(self) -> None:
        if self.lead_id not in set(self._leads()["lead_id"]):
            self.lead_id = self._first_lead()

    @param.depends("lead_id", watch=True)
    def _lead_changed(self) -> None:
        with param.parameterized.batch_call_watchers(self):
            self.explained = next(iter(self.explainable()), "")
            self.channels = self.default_channels()

    @param.depends("queue", "kind", "search", watch=True)
    def _filter_changed(self) -> None:
        if self.lead_id not in set(self.leads()["lead_id"]):
            self.lead_id = self._first_lead()

    def _first_lead(self) -> str:
        shown = self.leads()
        return str(shown["lead_id"].iloc[0]) if len(shown) else ""

    # iterations side by side -----------------------------------------------------------------------------------

    def iteration_table(self) -> pd.DataFrame:
        """Return one row per iteration, newest first."""
        rows = [
            {
                "iteration": i.id,
                "experiment": i.record.experiment,
                "catalog": Path(i.record.catalog).name,
                "period": i.record.period.replace("T00:00:00", "").replace("/", " – "),
                "created": i.record.created_at.replace("T", " ")[:16],
                "minutes": round(i.minutes, 1),
                "leads": i.lead_count(),
                "seed": i.record.seed,
                "code": i.record.code_version[:12],
                "status": say(f"status_{i.record.status}", self.lang),
            }
            for i in self.shelf.iterations
        ]
        columns = ["iteration", "experiment", "catalog", "period", "created", "minutes", "leads", "seed", "code", "status"]
        return pd.DataFrame(rows, columns=columns)

    def yardsticks(self) -> list[str]:
        """Return what the metrics of all iterations are held against."""
        return sorted({m.against for i in self.shelf.iterations for m in i.metrics if m.against})

    def precision_points(self) -> pd.DataFrame:
        """Return evaluated precision metrics: ``iteration, name, budget, subject, against, value, low, high, n, method``."""
        rows = [
            (i.id, m.name, int(m.name.rpartition("@")[2]), m.subject, m.against, m.value, m.low, m.high, m.n, m.method)
            for i in self.shelf.iterations
            for m in i.metrics
            if m.name.startswith("precision@")
            and m.subject in ("", "leads")
            and m.name.rpartition("@")[2].isdigit()
            and m.value is not None
        ]
        columns = ["iteration", "name", "budget", "subject", "against", "value", "low", "high", "n", "method"]
        return pd.DataFrame(rows, columns=columns)

    def metric_rows(self) -> list[tuple[tuple[str, str, str, str], dict[str, Metric]]]:
        """Return metrics side by side: (against, subject, name, unit) in order of first appearance → metric by iteration."""
        out: dict[tuple[str, str, str, str], dict[str, Metric]] = {}
        for i in self.shelf.iterations:
            for m in i.metrics:
                out.setdefault((m.against, m.subject, m.name, m.unit), {})[i.id] = m
        return list(out.items())

    # leads of one iteration ------------------------------------------------------------------------------------

    def problem(self) -> str:
        """Return why the tables of the chosen iteration cannot be read; empty where they can."""
        for name in ("leads", "findings", "attributions", "conflicts"):
            try:
                if self.iteration is not None:
                    self.iteration.table(name)
            except WorkbenchError as error:
                return say("unreadable", self.lang, file=f"{name}.parquet", why=error.what)
        return ""

    def _table(self, name: str) -> pd.DataFrame:
        try:
            return self.iteration.table(name) if self.iteration else result_frame(name)
        except WorkbenchError:
            return result_frame(name)

    def _leads(self) -> pd.DataFrame:
        names = self.enterprise_names()
        leads = self._table("leads").sort_values("rank", kind="stable", ignore_index=True)
        return leads.assign(enterprise=[names.get(e, "") for e in leads["enterprise_id"]])

    def kinds(self) -> list[str]:
        """Return the offence kinds among the leads."""
        return sorted(set(self._table("leads")["kind"]))

    def lead_total(self) -> int:
        """Return the number of leads before filtering."""
        return len(self._table("leads"))

    def leads(self) -> pd.DataFrame:
        """Return the leads that meet queue, kind and search, in rank order, with ``enterprise`` (its name)."""
        leads = self._leads()
        keep = np.ones(len(leads), dtype=bool)
        if self.queue != "all":
            keep &= (leads["queue"] == self.queue).to_numpy()
        if self.kind:
            keep &= (leads["kind"] == self.kind).to_numpy()
        if wanted := self.search.strip().casefold():
            text = leads["lead_id"] + " " + leads["enterprise_id"] + " " + leads["outlet_id"] + " " + leads["enterprise"]
            text += " " + leads["reason_zh"] + " " + leads["reason_en"]
            keep &= text.str.casefold().str.contains(wanted, regex=False).to_numpy(bool)
        return leads[keep].reset_index(drop=True)

    def lead_table(self) -> pd.DataFrame:
        """Return the leads as the queue shows them."""
        leads = self.leads()
        return pd.DataFrame(
            {
                "lead_id": leads["lead_id"],
                "rank": leads["rank"],
                "p": leads["p_violation"].clip(0.001, 0.999),  # nothing is certain, so nothing is shown as 100 %
                "enterprise": [n or e for n, e in zip(leads["enterprise"], leads["enterprise_id"], strict=True)],
                "kind": [kind_word(k, self.lang) for k in leads["kind"]],
                "queue": [say(f"queue_{q}", self.lang) for q in leads["queue"]],
                "start": leads["start"].dt.strftime("%Y-%m-%d"),
            }
        )

    def lead(self) -> pd.Series | None:
        """Return the chosen lead, or None."""
        leads = self._leads()
        rows = leads[leads["lead_id"] == self.lead_id]
        return None if rows.empty else rows.iloc[0]

    def lead_findings(self) -> pd.DataFrame:
        """Return the findings that the chosen lead names."""
        lead = self.lead()
        findings = self._table("findings")
        return findings[findings["finding_id"].isin(list(lead["findings"]) if lead is not None else [])].reset_index(drop=True)

    def lead_conflicts(self) -> pd.DataFrame:
        """Return the conflicts of the lead's enterprise that overlap it."""
        lead, conflicts = self.lead(), self._table("conflicts")
        if lead is None:
            return conflicts.iloc[:0]
        over = (conflicts["start"] <= lead["end"]) & (conflicts["end"] >= lead["start"])
        mine: pd.DataFrame = conflicts[over & (conflicts["enterprise_id"] == lead["enterprise_id"])]
        return mine.reset_index(drop=True)

    def explainable(self) -> list[str]:
        """Return the ids of the lead and of its findings for which attributions are stored; findings in named units first."""
        lead = self.lead()
        if lead is None:
            return []
        stored = set(self._table("attributions")["finding_id"])
        own = self.lead_findings().sort_values("p_breach", ascending=False, kind="stable")["finding_id"]
        return [i for i in [*own, str(lead["lead_id"])] if i in stored]

    def attributions(self) -> pd.DataFrame:
        """Return the attributions shown, largest contribution first."""
        rows = self._table("attributions")
        rows = rows[rows["finding_id"] == self.explained]
        order = np.argsort(-rows["contribution"].abs().to_numpy(), kind="stable")
        ordered: pd.DataFrame = rows.iloc[order]
        return ordered.reset_index(drop=True)

    # series from the catalog -----------------------------------------------------------------------------------

    def opened(self) -> tuple[CatalogView | None, str]:
        """Return the catalog of the run, or None and the reason in words."""
        if self.iteration is None:
            return None, ""
        place = self.catalog or self.iteration.catalog_location()
        if place is None:
            return None, say("catalog_unknown", self.lang, name=self.iteration.record.catalog)
        try:
            return _open(place, _changed_at(place)), ""
        except WorkbenchError as error:
            why = " — ".join(filter(None, (error.what, str(error.got or ""), error.where, error.next_step)))
            return None, say("catalog_missing", self.lang, why=why)
        except OSError as error:
            return None, say("catalog_missing", self.lang, why=str(error))

    def enterprise_names(self) -> dict[str, str]:
        """Return the name of each enterprise, empty where the catalog cannot be read."""
        catalog, _ = self.opened()
        try:
            table = catalog.table("enterprises", ["enterprise_id", "name"]) if catalog else None
        except (WorkbenchError, OSError):
            table = None
        return {} if table is None else dict(zip(table["enterprise_id"], table["name"], strict=True))

    def points(self) -> pd.DataFrame:
        """Return the points that can be drawn for the chosen lead, nearest first (empty without catalog)."""
        lead = self.lead()
        catalog, _ = self.opened()
        if lead is None or catalog is None:
            return pd.DataFrame()
        try:
            return points_of(catalog, lead, self.lead_findings())
        except (WorkbenchError, OSError):
            return pd.DataFrame()

    def default_channels(self) -> list[str]:
        """Return the points drawn first: those the lead rests on, then its nearest kin."""
        return first_drawn(self.points())

    def window_bounds(self) -> tuple[pd.Timestamp, pd.Timestamp] | None:
        """Return the time window drawn."""
        lead = self.lead()
        if lead is None:
            return None
        margin = WINDOWS[self.window]
        if margin == float("inf"):
            catalog, _ = self.opened()
            return None if catalog is None else (catalog.period.start, catalog.period.end)
        return lead["start"] - pd.Timedelta(days=margin), lead["end"] + pd.Timedelta(days=margin)

    def traces(self) -> tuple[list[Trace], str]:
        """Return the chosen series in the window, and in words what could not be read."""
        catalog, why = self.opened()
        bounds, points = self.window_bounds(), self.points()
        if catalog is None or bounds is None or points.empty:
            return [], why or (say("series_none", self.lang) if self.lead() is not None else "")
        out, lost = [], []
        for point in points[points["point_id"].isin(self.channels)].to_dict("records"):
            try:
                out.append(read_trace(catalog, point, *bounds))
            except (WorkbenchError, OSError, ValueError) as error:
                lost.append(say("unreadable", self.lang, file=str(point["point_id"]), why=str(error).splitlines()[0]))
        return out, " ".join(lost)

    def changed_since(self) -> list[str]:
        """Return the catalog entries drawn here whose content is not what the run saw."""
        catalog, _ = self.opened()
        if catalog is None or self.iteration is None or not hasattr(catalog, "snapshot"):
            return []
        seen = self.iteration.record.snapshot
        drawn = tuple(sorted({"points", *self.points().get("entry", pd.Series(dtype=object))} & set(seen)))
        if (key := (self.iteration_id, drawn)) not in self._hashes:
            try:
                self._hashes[key] = catalog.snapshot(drawn)
            except (WorkbenchError, OSError):
                return []
        now = self._hashes[key]
        return [entry for entry in drawn if now.get(entry) != seen[entry]]


@lru_cache(maxsize=8)
def _open(place: str, changed_at: int) -> CatalogView:
    from workbench.catalog import open_catalog

    return open_catalog(place)


def _changed_at(place: str) -> int:
    """Return the modification time of a local catalog file, so that a catalog made anew is opened anew."""
    return Path(place).stat().st_mtime_ns if "://" not in place and Path(place).exists() else 0
