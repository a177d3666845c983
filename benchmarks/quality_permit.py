"""Per-rule precision and recall of the permit model on the simulated district and, beside it, on the practice district.

The own district is generated (``--seeds``, scale small; ``--quick``: one tiny one). The practice district, made by
others, is read where it is (``--practice``, or the shared folder beside the project); without it its columns are left
out. Truth is read by ``workbench.evaluation`` only. The last line is JSON.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
from pathlib import Path

import numpy as np
import pandas as pd

from workbench.catalog import open_catalog
from workbench.contracts import limit_threads
from workbench.evaluation import pairs_with_truth, read_truth, wilson
from workbench.models import load

ROOT = Path(__file__).resolve().parents[1]


def main() -> None:
    """Run the comparison and print its tables and its line of JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--seeds", type=int, nargs="+", default=[11, 12, 13])
    shared = Path(os.environ.get("WORKBENCH_SHARED", ROOT.parent / "shared"))
    parser.add_argument("--practice", type=Path, default=shared / "data" / "district" / "catalog.yml")
    options = parser.parse_args()
    limit_threads()
    findings, truths = [], []
    with tempfile.TemporaryDirectory() as folder:
        for seed in options.seeds[:1] if options.quick else options.seeds:
            from workbench.district import generate

            scale = "tiny" if options.quick else "small"
            f, t = review(generate(Path(folder) / str(seed), scale=scale, seed=seed, progress=False), f"s{seed}:")
            findings.append(f)
            truths.append(t)
    own = Scored(pd.concat(findings, ignore_index=True), pd.concat(truths, ignore_index=True))
    sides = {"own": own}
    if options.practice.is_file() and not options.quick:
        sides["practice"] = Scored(*review(options.practice, ""))
    pd.set_option("display.width", 200, "display.max_columns", 30, "display.max_rows", 200)
    print("\nby rule: findings raised, enterprises, precision by enterprise [95 % Wilson], mean p_breach; those too thin to raise")
    print(pd.concat({k: s.by_rule() for k, s in sides.items()}, axis=1).fillna("–").to_string())
    print("\nrecall by mechanism of violation: how many this model's findings reach, and by which rules")
    for name, side in sides.items():
        print(f"-- {name}")
        print(side.by_mechanism().to_string(index=False))
    for name, side in sides.items():
        print(f"{name}: {side.calibration()}")
    paper = own.paper_precision()
    print(
        json.dumps(
            {
                "name": "permit_precision_of_paper_rules",
                "value": _or_none(paper[0]),
                "unit": "1",
                "low": _or_none(paper[1]),
                "high": _or_none(paper[2]),
                "n": paper[3],
                "peers": {k: _or_none(s.paper_precision()[0]) for k, s in sides.items() if k != "own"},
                "ratios": {},
            }
        )
    )


def review(catalog_file: Path, prefix: str) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return findings of violated rules (raised, and those too thin to raise) and truth, enterprise ids prefixed."""
    catalog = open_catalog(catalog_file)
    model = load("permit")
    features = model.features(catalog, catalog.period)
    findings = model.fit(features, catalog.labels(), seed=7).assess(features)
    breach = findings[findings["p_breach"].notna()].copy()
    truth = read_truth(Path(catalog_file).parent / "truth.parquet").copy()
    for frame in (breach, truth):
        frame["enterprise_id"] = prefix + frame["enterprise_id"]
    return breach, truth


class Scored:
    """Findings held against truth."""

    def __init__(self, findings: pd.DataFrame, truth: pd.DataFrame) -> None:
        self.findings, self.truth = findings.reset_index(drop=True), truth.reset_index(drop=True)
        self.pairs = pairs_with_truth(self.findings, self.truth)
        self.findings["right"] = False
        self.findings.loc[self.pairs["row"].unique(), "right"] = True

    def by_rule(self) -> pd.DataFrame:
        """One enterprise is one trial: the share of its findings of a rule that are right."""
        rows = {}
        for rule, g in self.findings.groupby("detector"):
            raised = g[g["verdict"] == "breach"]
            thin = g[g["verdict"] != "breach"]
            rows[rule] = (len(raised), *_share(raised), f"{raised['p_breach'].mean():.2f}", len(thin), *_share(thin))
        columns = ["raised", "ent", "precision", "p", "thin", "ent_thin", "precision_thin"]
        return pd.DataFrame.from_dict(rows, orient="index", columns=columns)

    def by_mechanism(self) -> pd.DataFrame:
        """Recall of each mechanism by findings raised, and with those too thin to raise; the rules that reach it."""
        found = self.findings.loc[self.pairs["row"]]
        reached = self.pairs.assign(rule=found["detector"].to_numpy(), raised=(found["verdict"] == "breach").to_numpy())
        rows = []
        for (kind, mechanism), g in self.truth.groupby(["kind", "mechanism"]):
            mine = reached[reached["violation"].isin(g.index)]
            k = mine["violation"].nunique()
            raised = mine.loc[mine["raised"], "violation"].nunique()
            by = mine.drop_duplicates(["violation", "rule"])["rule"].value_counts().head(3)
            rules = ", ".join(f"{r} {n}" for r, n in by.items())
            rows.append((kind, mechanism, len(g), _recall(raised, len(g)), _recall(k, len(g)), rules))
        return pd.DataFrame(rows, columns=["kind", "mechanism", "n", "recall_raised", "with_thin", "rules"])

    def calibration(self) -> str:
        """Brier score and expected calibration error of p_breach, bins of 0.2."""
        p, y = self.findings["p_breach"].to_numpy(), self.findings["right"].to_numpy(float)
        if not len(p):
            return "no findings"
        bins = np.minimum((p * 5).astype(int), 4)
        parts = [(b, (bins == b).sum(), p[bins == b].mean(), y[bins == b].mean()) for b in range(5) if (bins == b).any()]
        ece = sum(n * abs(said - was) for _, n, said, was in parts) / len(p)
        words = "; ".join(f"p {said:.2f} → {was:.2f} (n={n})" for _, n, said, was in parts)
        return f"Brier {np.mean((p - y) ** 2):.3f}, ECE {ece:.3f}: {words}"

    def paper_precision(self) -> tuple[float, float, float, int]:
        """Precision by enterprise of what stands in the papers alone."""
        g = self.findings[self.findings["detector"].isin(PAPER) & (self.findings["verdict"] == "breach")]
        share = g.groupby("enterprise_id")["right"].mean()
        low, high = wilson(float(share.sum()), len(share))
        return float(share.mean()) if len(share) else float("nan"), low, high, len(share)


def _share(g: pd.DataFrame) -> tuple[int, str]:
    share = g.groupby("enterprise_id")["right"].mean()
    if not len(share):
        return 0, "–"
    low, high = wilson(float(share.sum()), len(share))
    return len(share), f"{share.mean():.2f} [{low:.2f}, {high:.2f}]"


def _or_none(x: float) -> float | None:
    return round(x, 3) if np.isfinite(x) else None


def _recall(k: int, n: int) -> str:
    low, high = wilson(k, n)
    return f"{k / n:.2f} [{low:.2f}, {high:.2f}]"


PAPER = ("self_monitoring_missed", "execution_report_late_or_missing", "declared_amount_below_measured", "tax_below_reported")

if __name__ == "__main__":
    main()
