"""A model on own simulated districts and, beside them, on the practice district: shared by the ``quality_`` benchmarks.

Truth is read by ``workbench.evaluation`` only.
"""

from __future__ import annotations

import argparse
import os
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from workbench.catalog import open_catalog
from workbench.district import generate
from workbench.evaluation import pairs_with_truth, read_truth, wilson
from workbench.models import load

ROOT = Path(__file__).resolve().parents[1]
SHARED = Path(os.environ.get("WORKBENCH_SHARED", ROOT.parent / "shared"))


def add_districts(parser: argparse.ArgumentParser, seeds: list[int]) -> None:
    """Add ``--seeds`` of own districts and ``--practice``, a catalog made by others (left out where it is not a file)."""
    parser.add_argument("--seeds", type=int, nargs="+", default=seeds, help="own districts, scale small")
    parser.add_argument("--practice", type=Path, default=SHARED / "data" / "district" / "catalog.yml")


@dataclass(frozen=True)
class Reviewed:
    """Findings with a probability, and the truth, of one or several districts.

    Parameters
    ----------
    findings : DataFrame
        Raised, and too thin to raise; ``right`` says whether one meets a violation.
    truth : DataFrame
    pairs : DataFrame
        ``row`` of the findings and ``violation`` of the truth that meet.
    """

    findings: pd.DataFrame
    truth: pd.DataFrame
    pairs: pd.DataFrame

    @property
    def raised(self) -> pd.DataFrame:
        """Findings raised as a breach."""
        return self.findings[self.findings["verdict"] == "breach"]

    def reached(self, violations: pd.Index, findings: pd.Index) -> np.ndarray:
        """Return which violations are met by some of the findings."""
        return np.asarray(violations.isin(self.pairs.loc[self.pairs["row"].isin(findings), "violation"]))


def reviewed(findings: pd.DataFrame, truth: pd.DataFrame) -> Reviewed:
    """Hold findings against the truth."""
    findings = findings.reset_index(drop=True)
    pairs = pairs_with_truth(findings, truth)
    return Reviewed(findings.assign(right=findings.index.isin(pairs["row"])), truth, pairs)


def both_sides(model: str, options: argparse.Namespace, *, quick: bool) -> dict[str, Reviewed]:
    """Return ``own`` (all seeds together; quick: one tiny district) and, where it is at hand and not quick, ``practice``."""
    parts = []
    with tempfile.TemporaryDirectory() as folder:
        for seed in options.seeds[:1] if quick else options.seeds:
            file = generate(Path(folder) / str(seed), scale="tiny" if quick else "small", seed=seed, progress=False)
            parts.append(_review(model, file, f"s{seed}:"))
    sides = {"own": reviewed(*(pd.concat(tables, ignore_index=True) for tables in zip(*parts, strict=True)))}
    if options.practice.is_file() and not quick:
        sides["practice"] = reviewed(*_review(model, options.practice, ""))
    return sides


def _review(model: str, catalog_file: Path, prefix: str) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return findings that carry a probability, and truth, of one district, enterprise ids prefixed."""
    catalog = open_catalog(catalog_file)
    loaded = load(model)
    features = loaded.features(catalog, catalog.period)
    findings = loaded.fit(features, catalog.labels(), seed=7).assess(features)
    findings = findings[findings["p_breach"].notna()].copy()
    truth = read_truth(catalog_file.parent / "truth.parquet").copy()
    for frame in (findings, truth):
        frame["enterprise_id"] = prefix + frame["enterprise_id"]
    return findings.reset_index(drop=True), truth.reset_index(drop=True)


def by_enterprise(findings: pd.DataFrame) -> tuple[float, float, float, int]:
    """Return the precision of findings with its 95 % Wilson interval and n: one enterprise is one trial, its share that is right."""
    share = findings.groupby("enterprise_id")["right"].mean()
    low, high = wilson(float(share.sum()), len(share))
    return float(share.mean()) if len(share) else float("nan"), low, high, len(share)


def headline(name: str, side: Reviewed) -> str:
    """Return the line above the figures of one side."""
    violators, n = side.truth["enterprise_id"].nunique(), len(side.findings)
    return f"\n-- {name} district(s): {violators} enterprises with violations, {n} findings with a p"


def precision_lines(raised: pd.DataFrame) -> list[str]:
    """Return precision of raised findings by rule and of all, with the mean probability that was said."""
    lines = []
    for rule, g in [*raised.groupby("detector"), ("all rules", raised)]:
        share, low, high, n = by_enterprise(g)
        lines.append(f"precision {rule:34s} {share:.2f} [{low:.2f}, {high:.2f}] n={n}, mean p {g['p_breach'].mean():.2f}")
    return lines


def clustered(hit: pd.Series, who: pd.Series, *, draws: int = 2000, seed: int = 5) -> tuple[float, float, float]:
    """Return a share and its 95 % interval, enterprises resampled; Wilson over enterprises where all or none are hit."""
    each = pd.DataFrame({"hit": hit.to_numpy(float), "of": 1.0}).groupby(who.to_numpy()).sum()
    k, n = each["hit"].to_numpy(), each["of"].to_numpy()
    if k.sum() in (0, n.sum()):
        low, high = wilson(float(len(n)) if k.sum() else 0.0, float(len(n)))
    else:
        drawn = np.random.default_rng(seed).integers(0, len(n), (draws, len(n)))
        low, high = (float(x) for x in np.quantile(k[drawn].sum(axis=1) / n[drawn].sum(axis=1), [0.025, 0.975]))
    return float(k.sum() / n.sum()), low, high


def reliability(findings: pd.DataFrame) -> list[str]:
    """Return Brier score and mean probability against the observed share by bins, findings too thin to raise included."""
    p, y = findings["p_breach"].to_numpy(), findings["right"].to_numpy(float)
    if not len(p):
        return ["no findings"]
    brier, alone = np.mean((p - y) ** 2), y.mean() * (1 - y.mean())
    lines = [f"reliability of p_breach (95 % Wilson; n={len(p)}): Brier {brier:.3f}, the base rate alone {alone:.3f}"]
    for name in ("all", *sorted(set(findings["kind"]) - {""})):
        mine = np.ones(len(p), bool) if name == "all" else (findings["kind"] == name).to_numpy()
        words = []
        for low_p, high_p in ((0.0, 0.1), (0.1, 0.25), (0.25, 0.5), (0.5, 0.75), (0.75, 1.01)):
            at = mine & (p >= low_p) & (p < high_p)
            if at.any():
                low, high = wilson(float(y[at].sum()), float(at.sum()))
                words.append(f"{p[at].mean():.2f} → {y[at].mean():.2f} [{low:.2f}, {high:.2f}] n={at.sum()}")
        lines.append(f"  {name:15s} " + "; ".join(words))
    return lines
