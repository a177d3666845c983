"""A whole iteration on the district made by others, scored by their scorer beside the baselines and aims they state.

    python benchmarks/practice.py [--catalog CATALOG --truth TRUTH --scorer SCORER] [--report REPORT] [--boot 300] [--quick]

The iteration is run as ``workbench run --catalog CATALOG`` (two to three minutes); ``--report`` scores a finished one instead, and
``--quick`` draws 50 times. The scorer is a script of others and reads the truth; nothing else here does. District and scorer are looked for
in ``../shared`` beside the project (or ``WORKBENCH_SHARED``); without them the benchmark says so and measures nothing. Intervals: 95 %,
enterprises resampled. The last line is JSON: {name, value, unit, low, high, n, peers, ratios}.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import pandas as pd

ROOT = Path(__file__).resolve().parents[1]
SHARED = Path(os.environ.get("WORKBENCH_SHARED", ROOT.parent / "shared"))
STATED: dict[str, tuple[str, float | None, float | None]] = {
    "precision@20": ("P@20", 0.60, 0.85),
    "precision@50": ("P@50", None, None),
    "precision@70": ("P@70", 0.40, 0.70),
    "silent_queue_precision": ("silent queue", 0.08, 0.35),
    "false_alerts_removed_at_90_fused": ("false alerts removed at 90 % kept", 0.30, 0.40),
    "false_alerts_removed_at_90_own_p": ("  the same by the models' own p", None, None),
    "alert_precision": ("precision of single models' warnings", None, None),
    "recall@70": ("violations reached by 70 leads", None, None),
    "brier": ("Brier score of leads", None, None),
    "ece": ("calibration error of leads", None, None),
}
"""Figure of the scorer → its name here, the baseline its makers state, and the aim."""


def iterate(catalog: Path, out: Path) -> Path:
    """Run a whole iteration in a process of its own; return the folder of its report."""
    subprocess.run([sys.executable, "-m", "workbench.cli", "run", "--catalog", str(catalog), "--out", str(out)], check=True, cwd=ROOT)
    return next(p.parent for p in out.glob("*/leads.parquet"))


def score(scorer: Path, truth: Path, report: Path, *, draws: int, enterprises: int) -> dict[str, Any]:
    """Return what the scorer of others prints about one report."""
    command = [sys.executable, str(scorer), str(truth), str(report), "--boot", str(draws), "--enterprises", str(enterprises)]
    scored: dict[str, Any] = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    return scored


def table(metrics: dict[str, dict[str, float | None]]) -> pd.DataFrame:
    """Return one row per figure: measured with its interval, the stated baseline, the aim and whether it is reached."""
    rows = []
    for key, (name, baseline, aim) in STATED.items():
        m = metrics[key]
        value = m["value"]
        reached = "" if aim is None or value is None else "yes" if value >= aim else "no"
        rows.append((name, value, m["low"], m["high"], baseline, aim, reached))
    return pd.DataFrame(rows, columns=["figure", "value", "low", "high", "baseline", "aim", "reached"]).set_index("figure")


def main() -> int:
    """Run, score and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--catalog", type=Path, default=SHARED / "data" / "district" / "catalog.yml")
    parser.add_argument("--truth", type=Path, help="default: truth.parquet beside the catalog")
    parser.add_argument("--scorer", type=Path, default=SHARED / "tools" / "score_district.py")
    parser.add_argument("--report", type=Path, help="a finished iteration instead of a new one")
    parser.add_argument("--boot", type=int, default=300)
    parser.add_argument("--quick", action="store_true")
    a = parser.parse_args()
    truth = a.truth or a.catalog.parent / "truth.parquet"
    for what, path in (("catalog", a.catalog), ("truth", truth), ("scorer", a.scorer)):
        if not path.is_file():
            print(f"nothing measured: {what} {path} is not there")
            print(json.dumps({"name": "practice", "value": None, "unit": "P@70", "skipped": f"{what} {path.name} is not there"}))
            return 0

    from workbench.catalog import open_catalog

    n = len(open_catalog(str(a.catalog)).table("enterprises"))
    with tempfile.TemporaryDirectory() as scratch:
        report = a.report or iterate(a.catalog, Path(scratch))
        scored = score(a.scorer, truth, report, draws=50 if a.quick else a.boot, enterprises=n)
    print(table(scored["metrics"]).to_string(float_format=lambda x: f"{x:.2f}", na_rep="–"), flush=True)
    print(f"n: {', '.join(f'{k} {v}' for k, v in scored['n'].items())}; 95 % from resampling {n} enterprises")
    m = scored["metrics"]["precision@70"]
    ratio = {"stated baseline": m["value"] / 0.40}
    result = {"name": "practice", "value": m["value"], "unit": "P@70", "low": m["low"], "high": m["high"], "n": n}
    print(json.dumps(result | {"peers": {"stated baseline": 0.40}, "ratios": ratio}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
