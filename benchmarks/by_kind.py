"""Recall and precision of the monitoring findings at 70, by kind and mechanism: own districts beside the practice district.

    python benchmarks/by_kind.py [--quick] [--seeds 81 82] [--budget 70] [--practice CATALOG]
                                 [--run TRUTH=REPORT …] [--practice-run REPORT]

Own districts are generated (scale small, one per seed; ``--quick``: one tiny one); the practice district, made by others, is read where it
is and left out where it is not. ``--run`` and ``--practice-run`` take the findings of finished iterations (``reports/<id>``) instead.
The findings of one district are ranked by ``p_breach`` and cut at the budget. Intervals: 95 %, enterprises resampled (cluster bootstrap);
Wilson over enterprises where that has no spread.
Truth is read by ``workbench.evaluation`` only. The last line is JSON.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd

from workbench.catalog import open_catalog
from workbench.contracts import limit_threads
from workbench.evaluation import pairs_with_truth, read_truth, wilson
from workbench.models import load

ROOT = Path(__file__).resolve().parents[1]
KINDS = ("fabrication", "exceedance")
NOT_MONITORED = frozenset({"black_smoke"})
"""Mechanisms of these kinds that no automatic monitor shows."""
DRAWS = 1000


def findings_of(catalog_file: Path) -> pd.DataFrame:
    """Return what the monitoring model finds in a catalog with the labels it carries."""
    catalog = open_catalog(catalog_file)
    model = load("monitoring")
    features = model.features(catalog, catalog.period).compute()
    return model.fit(features, catalog.labels(), seed=7).assess(features)


class Side:
    """Findings of one or several districts, the best ``budget`` of each, held against their truth.

    Parameters
    ----------
    parts : list of (findings, truth, prefix)
        The prefix keeps the enterprises of the districts apart.
    """

    def __init__(self, parts: list[tuple[pd.DataFrame, pd.DataFrame, str]], budget: int, seed: int) -> None:
        found, truth, right, reached = [], [], [], []
        for f, t, prefix in parts:
            mine = f[f["kind"].isin(KINDS) & f["p_breach"].notna() & (f["verdict"] != "abstain") & (f["enterprise_id"] != "")]
            order = mine.sort_values(["p_breach", "finding_id"], ascending=[False, True], kind="stable").head(budget).reset_index(drop=True)
            violations = t[t["kind"].isin(KINDS) & ~t["mechanism"].isin(NOT_MONITORED)].reset_index(drop=True)
            everything = t.reset_index(drop=True)
            right.append(order.index.isin(pairs_with_truth(order, everything)["row"]))
            reached.append(violations.index.isin(pairs_with_truth(order, violations)["violation"]))
            found.append(order.assign(enterprise_id=prefix + order["enterprise_id"].astype(str)))
            truth.append(violations.assign(enterprise_id=prefix + violations["enterprise_id"].astype(str)))
        self.found = pd.concat(found, ignore_index=True).assign(right=np.concatenate(right))
        self.truth = pd.concat(truth, ignore_index=True).assign(right=np.concatenate(reached))
        self.seed = seed

    def share(self, table: pd.DataFrame) -> tuple[float, float, float, int, int]:
        """Return the share that is right, its interval, the rows and the enterprises behind it."""
        if not len(table):
            return float("nan"), float("nan"), float("nan"), 0, 0
        by = table.groupby("enterprise_id")["right"].agg(["sum", "size"]).to_numpy(dtype=float)
        rng = np.random.default_rng(self.seed)
        pick = rng.integers(0, len(by), size=(DRAWS, len(by)))
        drawn = by[pick, 0].sum(axis=1) / by[pick, 1].sum(axis=1)
        low, high = np.quantile(drawn, [0.025, 0.975])
        if low == high:  # all right or all wrong: resampling shows no spread, Wilson over enterprises does
            low, high = wilson(float(table["right"].mean()) * len(by), len(by))
        return float(table["right"].mean()), float(low), float(high), len(table), len(by)

    def lines(self) -> Iterator[tuple[tuple[str, str, str], str]]:
        """Yield one line per table row: (table, kind, what), and its words."""
        for kind in KINDS:
            yield ("precision", kind, "all"), _words(self.share(self.found[self.found["kind"] == kind]))
            for detector, g in self.found[self.found["kind"] == kind].groupby("detector", sort=True):
                yield ("precision", kind, str(detector)), _words(self.share(g))
            yield ("recall", kind, "all"), _words(self.share(self.truth[self.truth["kind"] == kind]))
            for mechanism, g in self.truth[self.truth["kind"] == kind].groupby("mechanism", sort=True):
                yield ("recall", kind, str(mechanism)), _words(self.share(g))


def _words(share: tuple[float, float, float, int, int]) -> str:
    value, low, high, n, enterprises = share
    # a bootstrap over one or two enterprises has no spread to show
    spread = f"[{low:.2f}, {high:.2f}]" if enterprises > 2 else "[too few]"
    return f"{value:.2f} {spread} n={n} ({enterprises} ent.)" if n else "–"


def own_side(options: argparse.Namespace) -> Side:
    """Return the own districts, generated or from finished iterations."""
    parts = []
    for k, pair in enumerate(options.run):
        truth, _, report = pair.partition("=")
        found = pd.read_parquet(Path(report) / "findings.parquet")
        parts.append((found[found["model"] == "monitoring"], read_truth(Path(truth)), f"r{k}:"))
    if parts:
        return Side(parts, options.budget, 0)
    from workbench.district import generate

    with tempfile.TemporaryDirectory() as folder:
        for seed in options.seeds[:1] if options.quick else options.seeds:
            file = generate(Path(folder) / str(seed), scale="tiny" if options.quick else "small", seed=seed, progress=False)
            parts.append((findings_of(file), read_truth(Path(file).parent / "truth.parquet"), f"s{seed}:"))
    return Side(parts, options.budget, 0)


def practice_side(options: argparse.Namespace) -> Side | None:
    """Return the practice district, or None where it is absent."""
    if options.quick or not options.practice.is_file():
        return None
    if options.practice_run:
        found = pd.read_parquet(Path(options.practice_run) / "findings.parquet")
        found = found[found["model"] == "monitoring"]
    else:
        found = findings_of(options.practice)
    return Side([(found, read_truth(options.practice.parent / "truth.parquet"), "")], options.budget, 0)


def main() -> None:
    """Run the comparison and print its table and its line of JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--seeds", type=int, nargs="+", default=[81, 82])
    parser.add_argument("--budget", type=int, default=70)
    shared = Path(os.environ.get("WORKBENCH_SHARED", ROOT.parent / "shared"))
    parser.add_argument("--practice", type=Path, default=shared / "data" / "district" / "catalog.yml")
    parser.add_argument("--run", action="append", default=[], metavar="TRUTH=REPORT", help="a finished iteration of an own district")
    parser.add_argument("--practice-run", default="", metavar="REPORT", help="a finished iteration of the practice district")
    options = parser.parse_args()
    limit_threads()
    sides = {"own": own_side(options)}
    if (practice := practice_side(options)) is not None:
        sides["practice"] = practice
    table = pd.DataFrame({name: dict(side.lines()) for name, side in sides.items()}).fillna("–")
    table.index = pd.MultiIndex.from_tuples(table.index, names=["figure", "kind", "detector or mechanism"])
    table = table.loc[sorted(table.index, key=lambda i: (i[0], KINDS.index(i[1]), i[2] != "all", i[2]))]
    districts = len(options.run) or (1 if options.quick else len(options.seeds))
    print(f"at the {options.budget} findings of highest p_breach of each district; own: {districts} district(s)")
    with pd.option_context("display.width", 220, "display.max_rows", 200, "display.max_colwidth", 60):
        print(table.to_string())
    value, low, high, n, _ = sides["own"].share(sides["own"].found)
    peers = {name: round(side.share(side.found)[0], 3) for name, side in sides.items() if name != "own"}
    line = {"name": f"monitoring_precision@{options.budget}", "value": round(value, 3), "unit": "1", "low": round(low, 3)}
    print(json.dumps(line | {"high": round(high, 3), "n": n, "peers": peers, "ratios": {}}))


if __name__ == "__main__":
    main()
