"""Per-rule precision and recall of the permit model on the simulated district and, beside it, on the practice district.

The own district is generated (``--seeds``, scale small; ``--quick``: one tiny one). The practice district, made by
others, is read where it is (``--practice``, or the shared folder beside the project); without it its columns are left
out. Truth is read by ``workbench.evaluation`` only. The last line is JSON.
"""

from __future__ import annotations

import argparse
import json

import numpy as np
import pandas as pd
from _reviews import Reviewed, add_districts, both_sides, by_enterprise, reliability

from workbench.contracts import limit_threads
from workbench.evaluation import wilson


def main() -> None:
    """Run the comparison and print its tables and its line of JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true")
    add_districts(parser, [11, 12, 13])
    options = parser.parse_args()
    limit_threads()
    sides = both_sides("permit", options, quick=options.quick)
    paper = {name: by_enterprise(side.raised[side.raised["detector"].isin(PAPER)]) for name, side in sides.items()}
    pd.set_option("display.width", 200, "display.max_columns", 30, "display.max_rows", 200)
    print("\nby rule: findings raised, enterprises, precision by enterprise [95 % Wilson], mean p_breach; those too thin to raise")
    print(pd.concat({name: by_rule(side) for name, side in sides.items()}, axis=1).fillna("–").to_string())
    print("\nrecall by mechanism of violation: how many this model's findings reach, and by which rules")
    for name, side in sides.items():
        print(f"-- {name}")
        print(by_mechanism(side).to_string(index=False))
    for name, side in sides.items():
        print(f"-- {name}", *reliability(side.findings), sep="\n")
    print(
        json.dumps(
            {
                "name": "permit_precision_of_paper_rules",
                "value": _or_none(paper["own"][0]),
                "unit": "1",
                "low": _or_none(paper["own"][1]),
                "high": _or_none(paper["own"][2]),
                "n": paper["own"][3],
                "peers": {name: _or_none(p[0]) for name, p in paper.items() if name != "own"},
                "ratios": {},
            }
        )
    )


def by_rule(side: Reviewed) -> pd.DataFrame:
    """One enterprise is one trial: the share of its findings of a rule that are right."""
    rows = {}
    for rule, g in side.findings.groupby("detector"):
        raised = g[g["verdict"] == "breach"]
        thin = g[g["verdict"] != "breach"]
        rows[rule] = (len(raised), *_share(raised), f"{raised['p_breach'].mean():.2f}", len(thin), *_share(thin))
    columns = ["raised", "ent", "precision", "p", "thin", "ent_thin", "precision_thin"]
    return pd.DataFrame.from_dict(rows, orient="index", columns=columns)


def by_mechanism(side: Reviewed) -> pd.DataFrame:
    """Recall of each mechanism by findings raised, and with those too thin to raise; the rules that reach it."""
    found = side.findings.loc[side.pairs["row"]]
    reached = side.pairs.assign(rule=found["detector"].to_numpy(), raised=(found["verdict"] == "breach").to_numpy())
    rows = []
    for (kind, mechanism), g in side.truth.groupby(["kind", "mechanism"]):
        mine = reached[reached["violation"].isin(g.index)]
        k = mine["violation"].nunique()
        raised = mine.loc[mine["raised"], "violation"].nunique()
        by = mine.drop_duplicates(["violation", "rule"])["rule"].value_counts().head(3)
        rules = ", ".join(f"{r} {n}" for r, n in by.items())
        rows.append((kind, mechanism, len(g), _recall(raised, len(g)), _recall(k, len(g)), rules))
    return pd.DataFrame(rows, columns=["kind", "mechanism", "n", "recall_raised", "with_thin", "rules"])


def _share(g: pd.DataFrame) -> tuple[int, str]:
    share, low, high, n = by_enterprise(g)
    return n, f"{share:.2f} [{low:.2f}, {high:.2f}]" if n else "–"


def _or_none(x: float) -> float | None:
    return round(x, 3) if np.isfinite(x) else None


def _recall(k: int, n: int) -> str:
    low, high = wilson(k, n)
    return f"{k / n:.2f} [{low:.2f}, {high:.2f}]"


PAPER = ("self_monitoring_missed", "execution_report_late_or_missing", "declared_amount_below_measured", "tax_below_reported")

if __name__ == "__main__":
    main()
