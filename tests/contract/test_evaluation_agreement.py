"""A second scorer, written by others from the same words, must read the same leads the same way."""

from __future__ import annotations

import json
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest

from workbench.contracts import Kind, result_frame
from workbench.evaluation import against_truth, mechanism_table

pytestmark = pytest.mark.real
BUDGETS = (20, 50, 70, 100)
SAME = {
    **{f"precision@{b}": f"precision@{b}" for b in BUDGETS},
    **{f"recall@{b}": f"recall@{b}" for b in BUDGETS},
    "silent_queue_precision": "silent_queue_precision",
    "false_alerts_removed@90": "false_alerts_removed_at_90_fused",
    "alert_precision": "alert_precision",
    "average_precision": "ap_leads",
    "brier": "brier",
    "ece": "ece",
}


def _spans(truth, rng, n, ids):
    """Half near violations (shifted, stretched, some of another kind), half anywhere; some over 45 days."""
    near = truth.iloc[rng.integers(0, len(truth), n)].reset_index(drop=True)
    shift = pd.to_timedelta(rng.normal(0, 5, n), unit="D").floor("min")
    length = pd.to_timedelta(rng.choice([0.1, 2, 10, 44, 46, 80], n), unit="D")
    there = rng.random(n) < 0.5
    kinds = [k.value for k in Kind]
    start = near["start"].astype("datetime64[ns]") + shift
    return pd.DataFrame(
        {
            "enterprise_id": np.where(there, near["enterprise_id"], rng.choice(ids, n)),
            "start": start,
            "end": start + length,
            "kind": np.where(rng.random(n) < 0.6, near["kind"], rng.choice(kinds, n)),
            "reason_zh": "理由",
            "reason_en": "reason",
        }
    )


def _leads(truth, rng, ids, n=400):
    rows = _spans(truth, rng, n, ids).assign(p_violation=np.round(rng.random(n), 2), p_low=0.0, p_high=1.0)
    order = rng.permutation(n) + 1
    rows = rows.assign(lead_id=[f"L{i:04d}" for i in range(n)], rank=order, queue=np.where(rng.random(n) < 0.2, "silent", "main"))
    return result_frame("leads", rows)


def _findings(truth, rng, ids, n=900):
    rows = _spans(truth, rng, n, ids).assign(finding_id=[f"F{i:04d}" for i in range(n)], model="m", detector="d")
    return result_frame("findings", rows.assign(verdict=rng.choice(["breach", "abstain"], n, p=[0.8, 0.2]), p_breach=rng.random(n)))


@pytest.mark.parametrize("seed", [1, 2])
def test_the_outside_scorer_agrees(shared, tmp_path, seed):
    truth_file = shared / "data" / "district" / "truth.parquet"
    scorer = shared / "tools" / "score_district.py"
    if not truth_file.is_file() or not scorer.is_file():
        pytest.skip(f"no {truth_file} or {scorer}")
    truth, rng = pd.read_parquet(truth_file), np.random.default_rng(seed)
    enterprises = pd.read_parquet(shared / "data" / "district" / "data" / "enterprises.parquet")
    ids = enterprises["enterprise_id"].to_numpy()
    leads, findings = _leads(truth, rng, ids), _findings(truth, rng, ids)
    leads.to_parquet(tmp_path / "leads.parquet")
    findings.to_parquet(tmp_path / "findings.parquet")
    done = subprocess.run(
        [sys.executable, str(scorer), str(truth_file), str(tmp_path), "--enterprises", str(len(ids)), "--boot", "300"],
        capture_output=True,
        text=True,
        check=True,
    )
    theirs = json.loads(done.stdout)
    ours = {(m.name, m.subject): m for m in against_truth(leads, findings, truth_file, enterprises, BUDGETS, 0)}
    by_name = {name: m for (name, _), m in ours.items()}
    for name, their_name in SAME.items():
        other, own = theirs["metrics"][their_name], by_name[name]
        assert own.value == pytest.approx(other["value"], abs=2e-4), name
        if name.startswith("false_alerts"):
            continue  # its cut falls off a cliff on random scores: the bounds are a matter of luck in both
        # two bootstraps of 300 and 1000 draws: bounds agree to about one lead in twenty
        assert own.low == pytest.approx(other["low"], abs=0.06), name
        assert own.high == pytest.approx(other["high"], abs=0.06), name
    assert by_name["days_to_detect"].value == pytest.approx(theirs["days_onset_to_lead"]["median"], abs=1e-3)
    table = mechanism_table(leads, truth_file, BUDGETS).set_index("mechanism")
    for mechanism, row in theirs["by_mechanism"].items():
        assert table.loc[mechanism, "n"] == row["n"]
        assert table.loc[mechanism, "recall@70"] == pytest.approx(row["recall@70"], abs=1e-3)
        assert table.loc[mechanism, "recall@all"] == pytest.approx(row["recall_all_leads"], abs=1e-3)
