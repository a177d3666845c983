"""Simulated districts: the fusion beside its baselines on pooled seeds, and what inspections teach it. Used by ``fusion.py``.

Everything here that reads the truth is evaluation; models and fusion never see it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
import xarray as xr

from workbench.contracts import Queue
from workbench.cross import build_leads
from workbench.cross.baselines import NAMES, rerank
from workbench.evaluation import pairs_with_truth, read_truth
from workbench.evaluation.precision import by_rank, precision_at
from workbench.evaluation.ranking import brier, false_removed, fused_score

BUDGETS = {"main": 70, "silent": 20}
DRAWS = 1000
BEST = "best order of the same leads"
Statistics = dict[str, np.ndarray]


@dataclass(frozen=True)
class World:
    """A district with its models' results."""

    name: str
    findings: pd.DataFrame
    evidence: list[xr.Dataset]
    labels: pd.DataFrame
    enterprises: pd.DataFrame
    truth: pd.DataFrame

    @property
    def ids(self) -> pd.Index:
        """Enterprises, sorted: the clusters that are resampled."""
        return pd.Index(sorted(self.enterprises["enterprise_id"].astype(str)))


def worlds(catalog_file: Path) -> tuple[World, World]:
    """Run every model on a district: taught by its inspections, and by none."""
    from workbench import models
    from workbench.catalog import open_catalog

    catalog = open_catalog(str(catalog_file))
    labels = catalog.labels()
    known = (labels, labels.iloc[:0])
    findings: tuple[list[pd.DataFrame], ...] = ([], [])
    evidence: tuple[list[xr.Dataset], ...] = ([], [])
    for name in sorted(models.available()):
        model = models.load(name)
        features = model.features(catalog, catalog.period)
        for k, visits in enumerate(known):
            fitted = model.fit(features, visits, seed=7)
            findings[k].append(fitted.assess(features))
            evidence[k].append(fitted.evidence(features).load())
    truth = read_truth(catalog_file.with_name("truth.parquet"))
    table, name = catalog.table("enterprises"), catalog_file.parent.name
    taught, untaught = (
        World(name, pd.concat(f, ignore_index=True), e, labels, table, truth) for f, e in zip(findings, evidence, strict=True)
    )
    return taught, untaught


def right_of(rows: pd.DataFrame, truth: pd.DataFrame) -> np.ndarray:
    """Return 1.0 for rows that match a violation, 0.0 for others."""
    out = np.zeros(len(rows))
    out[pairs_with_truth(rows, truth)["row"].to_numpy(int)] = 1.0
    return out


def statistics(leads: pd.DataFrame, w: World, weight: np.ndarray) -> Statistics:
    """Return each metric for every row of enterprise weights, shape (draw, enterprise)."""
    ordered = by_rank(leads)
    right = right_of(ordered, w.truth)
    of = weight[:, w.ids.get_indexer(ordered["enterprise_id"].astype(str))]
    alerts = w.findings[w.findings["verdict"] == "breach"].reset_index(drop=True)
    true = right_of(alerts, w.truth) == 1
    of_alerts = weight[:, w.ids.get_indexer(alerts["enterprise_id"].astype(str))]
    silent = (ordered["queue"] == Queue.SILENT.value).to_numpy()
    with np.errstate(invalid="ignore"):
        return {
            "precision@20": precision_at(20, right)(of),
            "precision@70": precision_at(70, right)(of),
            "silent queue": (of[:, silent] @ right[silent]) / of[:, silent].sum(1),
            "false alerts removed@90": false_removed(fused_score(alerts, ordered), true)(of_alerts),
            "average precision": average_precision(right)(of),
            "brier": brier(ordered["p_violation"].to_numpy(float), right)(of),
        }


def average_precision(right: np.ndarray) -> Callable[[np.ndarray], np.ndarray]:
    """Return average precision over ordered rows as a function of their weights, shape (draw, row)."""

    def value(of: np.ndarray) -> np.ndarray:
        true = of * right
        with np.errstate(invalid="ignore", divide="ignore"):
            return np.asarray((true * np.nan_to_num(true.cumsum(1) / of.cumsum(1))).sum(1) / true.sum(1))

    return value


def visits_loss(leads: pd.DataFrame, visits: pd.DataFrame) -> np.ndarray:
    """Return the log-loss of each visit's outcome, foreseen from the leads that its period meets.

    A visit finds a violation where one is (``priors.yml``: three times in four), or by error; without a lead the chance of one
    is that of a blind visit. Visits that the fusion has seen are no test of it.
    """
    from workbench.cross.roles import priors

    i, base = priors().inspection, float(priors().silent["share"])
    se, fp = float(i["sensitivity"]["mean"]), float(i["false_positive"]["mean"])
    by = dict(iter(leads.groupby("enterprise_id")))
    out = np.empty(len(visits))
    for k, v in enumerate(visits.itertuples()):
        none = 1 - base
        if v.enterprise_id in by:
            g = by[v.enterprise_id]
            met = g.loc[(g["start"] <= v.period_end) & (g["end"] >= v.period_start), "p_violation"]
            none *= float(np.prod(1 - met.to_numpy(float)))
        q = fp + (se - fp) * (1 - none)
        out[k] = -np.log(q if v.finding == "violation" else 1 - q)
    return out


def crowd_kit(main: pd.DataFrame, findings: pd.DataFrame) -> pd.DataFrame | None:
    """Return the main leads by crowd-kit's Dawid–Skene over models as workers; None where it is not installed."""
    try:
        from crowdkit.aggregation import DawidSkene
    except ImportError:
        return None
    of = findings.set_index("finding_id")["model"]
    models = sorted(set(findings["model"]))
    rows = [(i, m, int(m in set(of.reindex(ids).dropna()))) for i, ids in enumerate(main["findings"]) for m in models]
    p = DawidSkene(n_iter=50).fit_predict_proba(pd.DataFrame(rows, columns=["task", "worker", "label"]))
    score = p.reindex(columns=[0, 1]).fillna(0.0)[1].reindex(range(len(main))).to_numpy()
    out = main.assign(p_violation=score).iloc[np.argsort(-score, kind="stable")].reset_index(drop=True)
    return out.assign(rank=np.arange(1, len(out) + 1))


def random_silent(silent: pd.DataFrame, w: World, rng: np.random.Generator, times: int = 20) -> pd.DataFrame:
    """Return windows as long as the silent leads, anywhere in the pool where every model is silent."""
    alerts = w.findings[w.findings["verdict"] == "breach"]
    first, last = w.findings["start"].min(), w.findings["end"].max()
    day = pd.Timedelta(days=1)
    rows = []
    spans = {k: g[["start", "end"]].to_numpy() for k, g in alerts.groupby("enterprise_id")}
    for lead in silent.itertuples():
        length = lead.end - lead.start
        for _ in range(times):
            who = str(w.ids[rng.integers(len(w.ids))])
            start = first + (last - first - length) * rng.random()
            if who in spans and ((spans[who][:, 0] <= start + length + day) & (spans[who][:, 1] >= start - day)).any():
                continue
            rows.append((who, start, start + length, lead.kind))
    return pd.DataFrame(rows, columns=["enterprise_id", "start", "end", "kind"])


def beside_baselines(worlds: Sequence[World], fuse: Callable[[World], pd.DataFrame] | None = None) -> pd.DataFrame:
    """Return metrics of the fusion and its baselines, means over districts, and paired differences.

    Enterprises of each district are resampled, with the same draws for all methods.
    """
    pooled: dict[str, list[Statistics]] = {}
    for k, w in enumerate(worlds):
        rng = np.random.default_rng(k)
        n = len(w.ids)
        weight = np.vstack([np.ones(n), rng.multinomial(n, np.full(n, 1 / n), DRAWS)]).astype(float)
        begun = time.perf_counter()
        leads = fuse(w) if fuse else build_leads(w.findings, w.evidence, w.labels, w.enterprises, seed=7, budgets=BUDGETS)[0]
        print(f"  {w.name}: {n} enterprises, {len(w.findings)} findings → {len(leads)} leads in {time.perf_counter() - begun:.1f} s")
        main, silent = (leads[leads["queue"] == q.value].reset_index(drop=True) for q in (Queue.MAIN, Queue.SILENT))
        pooled.setdefault("fusion", []).append(statistics(leads, w, weight))
        for name in NAMES:
            pooled.setdefault(name, []).append(statistics(rerank(leads, w.findings, w.labels, name), w, weight))
        kit = crowd_kit(main, w.findings)
        if kit is not None:
            pooled.setdefault("dawid_skene, crowd-kit", []).append(statistics(kit, w, weight))
        by_chance = random_silent(silent, w, rng)
        of = weight[:, w.ids.get_indexer(by_chance["enterprise_id"])]
        pooled.setdefault("random silent windows", []).append({"silent queue": of @ right_of(by_chance, w.truth) / of.sum(1)})
    return _table(pooled)


def _table(pooled: Mapping[str, list[Statistics]]) -> pd.DataFrame:
    mean = {m: {k: np.mean([s[k] for s in all_], axis=0) for k in all_[0]} for m, all_ in pooled.items()}
    out = pd.DataFrame({m: {k: shown(v) for k, v in s.items()} for m, s in mean.items()}).T
    for m, s in mean.items():
        if m != "fusion":
            for k, v in s.items():
                if np.isfinite(v[0]):
                    out.loc[f"fusion − {m}", k] = shown(mean["fusion"][k] - v)
    return out.fillna("–")


def shown(v: np.ndarray) -> str:
    """Return the first value (all enterprises once) with the central 95 % of the others."""
    if not np.isfinite(v[0]):
        return "–"
    low, high = np.nanquantile(v[1:], [0.025, 0.975])
    return f"{v[0]:.2f} [{low:.2f}, {high:.2f}]"


def joined(worlds: Sequence[World]) -> World:
    """Return several districts as one, their enterprises, streets and findings named apart."""
    parts = []
    for w in worlds:
        mark = f"{w.name}:"
        named = {}
        for key in ("findings", "labels", "enterprises", "truth"):
            table = getattr(w, key).copy()
            for column in {"enterprise_id", "finding_id", "inspection_id", "street_town"} & set(table):
                table[column] = mark + table[column].astype(str)
            named[key] = table
        ev = [d.assign_coords(enterprise=np.array([mark + str(x) for x in d["enterprise"].to_numpy()], dtype=object)) for d in w.evidence]
        parts.append(replace(w, evidence=ev, **named))
    keys = ("findings", "labels", "enterprises", "truth")
    tables = {k: pd.concat([getattr(p, k) for p in parts], ignore_index=True) for k in keys}
    evidence = []
    for sets in zip(*(p.evidence for p in parts), strict=True):
        common = set.intersection(*(set(d.data_vars) for d in sets))
        one = xr.concat([d[sorted(common)] for d in sets], dim="enterprise", join="outer", fill_value=-1, combine_attrs="override")
        for name in common:
            one[name].attrs = sets[0][name].attrs
        evidence.append(one.astype("int8"))
    return World("joined", evidence=evidence, **tables)


def inspected(w: World, pool: Sequence[str], units: int, rng: np.random.Generator, *, days: int = 30) -> pd.DataFrame:
    """Return simulated inspections of (enterprise, month) units, in the order in which they are made.

    Drawn with probability ∝ √(strongest alert of the unit) plus a floor, as audits are; a visit finds a violation that overlaps
    its month three times in four, and reports one that is not there once in twenty (the stated priors of the layer).
    """
    first, last = w.findings["start"].min().normalize(), w.findings["end"].max()
    months = pd.date_range(first, max(first, last - pd.Timedelta(days=days)), freq=f"{days}D")
    table = pd.DataFrame([(e, m, m + pd.Timedelta(days=days)) for e in pool for m in months], columns=["enterprise_id", "start", "end"])
    alerts = w.findings[(w.findings["verdict"] == "breach") & w.findings["enterprise_id"].isin(list(pool))]
    best = np.zeros(len(table))
    both = table.reset_index(names="unit").merge(alerts, on="enterprise_id", suffixes=("", "_f"))
    both = both[(both["start_f"] <= both["end"]) & (both["end_f"] >= both["start"])]
    np.maximum.at(best, both["unit"].to_numpy(int), both["p_breach"].fillna(0.5).to_numpy(float))
    weight = np.sqrt(best) + 0.15
    order = np.argsort(-np.log(rng.random(len(table))) / -weight, kind="stable")[:units]  # without replacement, chance ∝ weight
    rows = []
    for i, u in enumerate(table.iloc[order].itertuples()):
        acts = w.truth[(w.truth["enterprise_id"] == u.enterprise_id) & (w.truth["start"] <= u.end) & (w.truth["end"] >= u.start)]
        kinds = sorted({str(k) for k in acts["kind"] if rng.random() < 0.75})
        false = not len(acts) and rng.random() < 0.05
        seen = u.end + pd.Timedelta(days=1)
        rows.append(
            {
                "inspection_id": f"V{i:04d}",
                "enterprise_id": u.enterprise_id,
                "inspected_on": seen,
                "decided_on": seen,
                "origin": "random",
                "selection_probability": float(weight[order[i]] / weight.sum()),
                "period_start": u.start,
                "period_end": u.end,
                "finding": "violation" if kinds or false else "none",
                "kinds": kinds or (["exceedance"] if false else []),
            }
        )
    return pd.DataFrame(rows)


def learning_curve(w: World, points: Sequence[int], seeds: Sequence[int] = (0, 1), *, later: bool = False) -> pd.DataFrame:
    """Return metrics by the number of inspected units known.

    Parameters
    ----------
    w : World
        Models untaught, so that labels teach the fusion alone.
    points : sequence of int
    seeds : sequence of int
        Each splits and inspects anew; means over seeds are shown, with enterprises resampled within each.
    later : bool
        False: visits go to every second enterprise, and leads on the others, which are never inspected, are judged: what
        labels say of channels, detectors and models. True: visits of the first three fifths of the time, to any enterprise, and
        leads on the rest of the time are judged: what they say of the works as well.

    Returns
    -------
    DataFrame
        One row per point; the difference of the last and the first; ``best order of the same leads``: no ranking of the leads at
        the last point could do better.
    """
    rows: dict[str, list[Statistics]] = {}
    quota = {"main": 140, "silent": 10 * max(1, len(w.ids) // 60)}
    first, last = w.findings["start"].min(), w.findings["end"].max()
    cut = first + 0.6 * (last - first)
    for seed in seeds:
        rng = np.random.default_rng(seed)
        order = rng.permutation(np.asarray(w.ids, dtype=object))
        judged, pool = (order, order) if later else (order[: len(order) // 2], order[len(order) // 2 :])
        seen = replace(w, findings=w.findings[w.findings["end"] <= cut]) if later else w
        visits = inspected(seen, list(pool), max(points), rng)
        held = replace(
            w,
            enterprises=w.enterprises[w.enterprises["enterprise_id"].isin(judged)],
            truth=w.truth[w.truth["enterprise_id"].isin(judged) & (w.truth["end"] >= cut if later else True)],
            findings=w.findings[w.findings["enterprise_id"].isin(judged) & (w.findings["start"] >= cut if later else True)],
        )
        n = len(held.ids)
        weight = np.vstack([np.ones(n), rng.multinomial(n, np.full(n, 1 / n), DRAWS)]).astype(float)
        for k in points:
            leads = build_leads(w.findings, w.evidence, visits.head(k) if k else None, w.enterprises, seed=7, budgets=quota)[0]
            mine = leads[leads["enterprise_id"].isin(judged) & (leads["start"] >= cut if later else True)]
            rows.setdefault(f"{k} units", []).append(statistics(mine, held, weight))
        right = right_of(mine.reset_index(drop=True), held.truth)
        best = mine.iloc[np.argsort(-right, kind="stable")].assign(rank=np.arange(1, len(mine) + 1))
        rows.setdefault(BEST, []).append(statistics(best, held, weight))
    mean = {k: {m: np.mean([s[m] for s in all_], axis=0) for m in all_[0]} for k, all_ in rows.items()}
    out = pd.DataFrame({k: {m: shown(v) for m, v in s.items()} for k, s in mean.items()}).T
    last_, first_ = f"{max(points)} units", f"{min(points)} units"
    out.loc[f"{last_} − {first_}"] = {m: shown(mean[last_][m] - mean[first_][m]) for m in mean[last_]}
    out.loc[BEST, ["silent queue", "false alerts removed@90", "brier"]] = "–"
    return out
