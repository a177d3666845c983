"""The cross-model layer: speed, cost against length of history, real label sets, simulated districts beside baselines.

``--quick`` takes a tiny district and fewer windows; ``--fit`` adds the PyMC fit at 1, 10 and 100 million hours;
``--catalog`` takes districts of one's own (a truth table beside the catalog is needed). Real data are looked for in
``../shared`` beside the project (``--shared``). The last line is JSON: {name, value, unit, low, high, n, peers, ratios}.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd
import xarray as xr

from workbench.contracts import limit_threads
from workbench.cross import build_leads
from workbench.cross.baselines import NAMES, rerank
from workbench.cross.latent_class import POWERS, choose_power, fit_latent_class
from workbench.cross.patterns import PatternCounter
from workbench.cross.scoring import window_posteriors
from workbench.cross.states import N_STATES

ROOT = Path(__file__).resolve().parents[1]
MODELS = ("monitoring", "permit", "energy_tax")
METRICS = ("precision@20", "precision@70", "silent_queue_precision", "false_alerts_removed@90", "brier")


def speed(windows: int, channels: int = 16) -> dict[str, float]:
    """Return windows per second by exact enumeration of 384 states, and of the same sums in NumPy."""
    rng = np.random.default_rng(0)
    levels = 5
    state = rng.random((levels * channels + 1, N_STATES)) + 0.01
    state /= state.max(1, keepdims=True)
    codes = (rng.integers(0, levels, (windows, channels)) + np.arange(channels) * levels + 1).astype(np.int32)
    prior, label = rng.dirichlet(np.ones(N_STATES)), rng.integers(0, 40, N_STATES)
    window_posteriors(state, codes[:10], prior, label, 40)
    laps = []
    for _ in range(3):
        t = time.perf_counter()
        got = window_posteriors(state, codes, prior, label, 40)
        laps.append(time.perf_counter() - t)
    few = codes[: max(1000, windows // 100)]
    t = time.perf_counter()
    joint = np.tile(prior, (len(few), 1))
    for k in range(channels):
        joint *= state[few[:, k]]
    want = (joint / joint.sum(1, keepdims=True)) @ np.eye(40)[label]
    plain = len(few) / (time.perf_counter() - t)
    if not np.allclose(want, got[: len(few)], atol=1e-9):
        raise SystemExit("enumeration and NumPy disagree")
    return {"windows_per_s": windows / min(laps), "slowest": windows / max(laps), "numpy_windows_per_s": plain}


def history(sizes: list[int], fit_rows: int) -> list[dict[str, float]]:
    """Return seconds to count, and to fit on what was counted, for growing histories made of one district repeated."""
    from workbench.cross.fit import fit, reduce_rows
    from workbench.cross.simulate import draw

    drawn = draw(350, 2880, np.random.default_rng(1))
    e = drawn.evidence
    block = np.concatenate(
        [np.stack([c.values.ravel() for c in e.channels], axis=1), np.zeros((e.shape[0] * e.shape[1], 2), dtype=np.int8)], axis=1
    )
    block = np.concatenate([block, np.full((len(block), 1), -1, dtype=np.int8)], axis=1)
    out = []
    for size in sizes:
        counter = PatternCounter(block.shape[1])
        t = time.perf_counter()
        left = size
        while left > 0:
            counter.add(block[: min(left, len(block))])
            left -= len(block)
        row = {"hours": float(size), "distinct": float(len(counter)), "count_s": time.perf_counter() - t}
        if fit_rows:
            data = reduce_rows(counter, len(e.channels), fit_rows, seed=0)
            result = fit(e, data=data, seed=1, draws=1000, tune=500)
            row |= {
                "fit_s": result.diagnostics["seconds"],
                "r_hat": result.diagnostics["r_hat"],
                "ess": result.diagnostics["ess"],
                "divergences": result.diagnostics["divergences"],
                "passed": float(result.passed),
            }
        print("  " + ", ".join(f"{k} {v:,.3g}" for k, v in row.items()))
        out.append(row)
    return out


def log_loss(y: np.ndarray, p: np.ndarray) -> np.ndarray:
    """Return the loss of each item, in nats."""
    return np.asarray(-np.log(np.clip(p[np.arange(len(y)), y], 1e-4, 1)))


def calibration_error(y: np.ndarray, p: np.ndarray, bins: int = 10) -> float:
    """Return the expected calibration error of the most likely class."""
    sure, right = p.max(1), p.argmax(1) == y
    k = np.minimum((sure * bins).astype(int), bins - 1)
    return float(sum(abs((right - sure)[k == b].sum()) for b in range(bins)) / len(y))


def table_row(name: str, y: np.ndarray, p: np.ndarray, groups: np.ndarray) -> dict[str, object]:
    """Return log-loss with a bootstrap interval over groups, and calibration error."""
    p = np.clip(p, 1e-6, None)
    p = p / p.sum(1, keepdims=True)
    loss = log_loss(y, p)
    codes = pd.factorize(groups)[0]
    total, n = np.bincount(codes, weights=loss), np.bincount(codes)
    rng = np.random.default_rng(0)
    pick = rng.integers(0, len(n), (1000, len(n)))
    low, high = np.quantile(total[pick].sum(1) / n[pick].sum(1), [0.025, 0.975])
    return {"method": name, "log_loss": loss.mean(), "low": low, "high": high, "calibration_error": calibration_error(y, p), "n": len(y)}


def rise(shared: Path) -> pd.DataFrame:
    """Smoke clips: citizens and a detector against the expert, each view predicted from the others."""
    from sklearn.linear_model import LogisticRegression

    d = pd.read_csv(shared / "data/fusion/rise_citizen_expert_detector.csv")
    d = d[d["label_state_admin"].isin([16, 23])].reset_index(drop=True)
    y = (d["label_state_admin"] == 23).astype(int).to_numpy()
    views = d["view"].to_numpy()
    states = sorted(set(d["label_state"]))
    citizen = d["label_state"].map({s: i for i, s in enumerate(states)}).to_numpy()  # no answer is a level: that nobody said is evidence
    detector = (d["p"] * 4).round().astype(int).to_numpy()
    said = np.c_[citizen, detector]
    logit = np.log((d["p"] + 0.01) / (1.01 - d["p"])).to_numpy()[:, None]
    onehot = np.eye(len(states))[citizen]
    methods = {n: np.zeros((len(d), 2)) for n in ("detector, Platt", "stacking", "Dawid–Skene form, labelled", "latent class")}
    for v in np.unique(views):
        te = views == v
        known = np.where(te, -1, y)
        for name, x in (("detector, Platt", logit), ("stacking", np.hstack([logit, onehot]))):
            methods[name][te] = LogisticRegression().fit(x[~te], y[~te]).predict_proba(x[te])
        for name, difficulties in (("Dawid–Skene form, labelled", 1), ("latent class", 2)):
            model = fit_latent_class(said, 2, labels=known, difficulties=difficulties, groups=[0, 1], pooling=20)
            methods[name][te] = model.posterior(said[te])
    return pd.DataFrame([table_row(n, y, p, views) for n, p in methods.items()])


def tempered(p: np.ndarray, y: np.ndarray, train: np.ndarray) -> np.ndarray:
    """Return p to the power that fits the labels of ``train`` best: what peers are allowed too."""
    log = np.log(np.clip(p, 1e-6, None))
    options = []
    for power in (3.0, 2.0, 1.5, *POWERS):
        q = np.exp(power * (log - log.max(1, keepdims=True)))
        options.append(q / q.sum(1, keepdims=True))
    return options[int(np.argmin([log_loss(y[train], q[train]).mean() for q in options]))]


def crowd(shared: Path, name: str) -> pd.DataFrame:
    """Crowd labels: fitted without truth; one number, how far words are their own, on four fifths, judged on the last fifth."""
    folder = shared / "data/fusion" / name
    answers, truth = pd.read_csv(folder / "answer.csv"), pd.read_csv(folder / "truth.csv").set_index("question")["truth"]
    questions, workers = sorted(set(answers["question"])), sorted(set(answers["worker"]))
    said = np.full((len(questions), len(workers)), -1)
    at = {q: i for i, q in enumerate(questions)}, {w: i for i, w in enumerate(workers)}
    said[answers["question"].map(at[0]), answers["worker"].map(at[1])] = answers["answer"]
    y = truth.loc[questions].to_numpy()
    k = int(truth.max()) + 1
    votes = np.stack([(said == c).sum(1) for c in range(k)], axis=1) + 0.5
    peers = {"majority": votes / votes.sum(1, keepdims=True)}
    try:
        from crowdkit.aggregation import DawidSkene

        p = DawidSkene(n_iter=100).fit_predict_proba(answers.set_axis(["task", "worker", "label"], axis=1))
        p = p.reindex(questions).reindex(columns=range(k)).fillna(0).to_numpy() + 1e-9
        peers["Dawid–Skene (crowd-kit)"] = p / p.sum(1, keepdims=True)
    except ImportError:
        print("  crowd-kit is not installed (pip install '.[bench]'): its peer is left out")
    model = fit_latent_class(said, k, difficulties=2)
    plain = {**peers, "latent class": model.posterior(said)}
    judged = {f"{n}, power from labels": np.zeros((len(y), k)) for n in plain}
    fold = np.random.default_rng(0).permutation(len(y)) % 5
    for f in range(5):
        te, tr = fold == f, fold != f
        for n, p in peers.items():
            judged[f"{n}, power from labels"][te] = tempered(p, y, tr)[te]
        judged["latent class, power from labels"][te] = model.posterior(said[te], choose_power(model, said, np.where(tr, y, -1)))
    return pd.DataFrame([table_row(n, y, p, np.array(questions)) for n, p in {**plain, **judged}.items()])


def district(catalog_file: Path) -> tuple[pd.DataFrame, list[xr.Dataset], pd.DataFrame, pd.DataFrame]:
    """Return findings, evidence, inspections and enterprises of a district, from every model."""
    from workbench import models
    from workbench.catalog import open_catalog

    catalog = open_catalog(str(catalog_file))
    labels = catalog.labels()
    findings, evidence = [], []
    for name in MODELS:
        if name not in models.available():
            continue
        model = models.load(name)
        features = model.features(catalog, catalog.period)
        fitted = model.fit(features, labels, seed=7)
        findings.append(fitted.assess(features))
        evidence.append(fitted.evidence(features))
    return pd.concat(findings, ignore_index=True), evidence, labels, catalog.table("enterprises")


def beside_baselines(catalog_file: Path, curve: list[int]) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return metrics of the fusion and of each baseline on one district, and the learning curve."""
    from workbench.evaluation import against_truth

    findings, evidence, labels, enterprises = district(catalog_file)
    truth = catalog_file.with_name("truth.parquet")
    known = {"seed": 7, "budgets": {"main": 70, "silent": 20}}

    def measured(leads: pd.DataFrame) -> dict[str, tuple[float | None, float | None, float | None]]:
        found = against_truth(leads, findings, truth, enterprises, [20, 70], 7)
        return {m.name: (m.value, m.low, m.high) for m in found}

    t = time.perf_counter()
    leads, conflicts, _ = build_leads(findings, evidence, labels, enterprises, **known)
    print(
        f"  {catalog_file.parent.name}: {len(findings)} findings → {len(leads)} leads, {len(conflicts)} conflicts"
        f" in {time.perf_counter() - t:.1f} s"
    )
    rows = {"fusion": measured(leads)} | {n: measured(rerank(leads, findings, labels, n)) for n in NAMES}
    table = pd.DataFrame(rows).T
    order = np.random.default_rng(0).permutation(sorted(set(labels["enterprise_id"])))
    points = {}
    for n in curve:
        some = labels[labels["enterprise_id"].isin(order[:n])]
        part, _, _ = build_leads(findings, evidence, some, enterprises, **known)
        points[min(n, len(order))] = measured(part)
    return table, pd.DataFrame(points).T


def shown(value: object) -> str:
    """Return a metric with its interval."""
    if not isinstance(value, tuple) or value[0] is None:
        return "–"
    return f"{value[0]:.2f} [{value[1]:.2f}, {value[2]:.2f}]" if value[1] is not None else f"{value[0]:.2f}"


def main() -> None:
    """Run and print; the last line is JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--fit", action="store_true", help="also fit in PyMC (minutes)")
    parser.add_argument("--catalog", type=Path, action="append", help="district with truth.parquet beside it; may be repeated")
    parser.add_argument("--shared", type=Path, default=ROOT.parent / "shared")
    a = parser.parse_args()
    limit_threads()

    print("exact enumeration, 384 states × 16 channels")
    s = speed(100_000 if a.quick else 600_000)
    print(f"  {s['windows_per_s']:,.0f} windows/s, NumPy {s['numpy_windows_per_s']:,.0f}")
    print("cost against the length of the history")
    history([1_000_000, 10_000_000] if a.quick else [1_000_000, 10_000_000, 100_000_000], 120 if a.fit else 0)
    if (a.shared / "data/fusion").is_dir():
        for title, table in (("rise, unseen views", rise(a.shared)), ("duck", crowd(a.shared, "duck")), ("dog", crowd(a.shared, "dog"))):
            print(f"{title}\n{table.round(3).to_string(index=False)}")
    else:
        print(f"real label sets are not here ({a.shared / 'data/fusion'}): skipped")
    print("districts: the fusion beside its baselines, on the same candidate leads")
    with tempfile.TemporaryDirectory() as folder:
        files = a.catalog or []
        if not files:
            from workbench.district import generate

            seeds = [31] if a.quick else [31, 32]
            files = [generate(Path(folder) / f"seed{n}", scale="tiny" if a.quick else "small", seed=n, progress=False) for n in seeds]
        for file in files:
            table, curve = beside_baselines(file, [0, 30] if a.quick else [0, 25, 75, 150, 300])
            keep = [m for m in METRICS if m in table.columns] or list(table.columns)
            print(table[keep].map(shown).to_string())
            print("  learning curve, by number of inspected enterprises whose labels are known to the fusion")
            print(curve[keep].map(shown).to_string())
    print(
        json.dumps(
            {
                "name": "fusion: exact enumeration of 384 states × 16 channels",
                "value": s["windows_per_s"],
                "unit": "windows/s",
                "low": s["slowest"],
                "high": s["windows_per_s"],
                "n": 3,
                "peers": {"numpy": s["numpy_windows_per_s"]},
                "ratios": {"numpy": s["windows_per_s"] / s["numpy_windows_per_s"]},
            }
        )
    )


if __name__ == "__main__":
    main()
