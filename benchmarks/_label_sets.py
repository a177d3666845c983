"""Real label sets beside the project: smoke clips (citizens, detector, expert) and two crowds. Used by ``fusion.py``."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from workbench.cross.consensus import fit_consensus, nearby
from workbench.cross.latent_class import POWERS, choose_power, fit_latent_class

BOOTSTRAP = 1000
OURS = "latent class, committee"


def log_loss(y: np.ndarray, p: np.ndarray) -> np.ndarray:
    """Return the loss of each item, in nats."""
    return np.asarray(-np.log(np.clip(p[np.arange(len(y)), y], 1e-4, 1)))


def calibration_error(y: np.ndarray, p: np.ndarray, weight: np.ndarray | None = None, bins: int = 10) -> np.ndarray:
    """Return the expected calibration error of the most likely class, for each row of item weights (default: one of ones)."""
    w = np.ones((1, len(y))) if weight is None else weight
    sure, gap = p.max(1), (p.argmax(1) == y) - p.max(1)
    k = np.minimum((sure * bins).astype(int), bins - 1)
    by_bin = w @ (np.eye(bins)[k] * gap[:, None])
    return np.asarray(np.abs(by_bin).sum(1) / w.sum(1))


def compared(y: np.ndarray, methods: dict[str, np.ndarray], ours: str, clusters: np.ndarray) -> pd.DataFrame:
    """Return one row per method: log-loss and calibration error, their intervals and those of the difference to ``ours``.

    Clusters are resampled as wholes, the same for all methods. ``if_perfect`` is the mean calibration error that labels
    drawn from the method's own probabilities would show: what lies under it cannot be told from none.
    """
    rng = np.random.default_rng(0)
    code = pd.factorize(clusters)[0]
    n = code.max() + 1
    weight = rng.multinomial(n, np.full(n, 1 / n), BOOTSTRAP)[:, code].astype(float)
    loss, error, boot = {}, {}, {}
    for name, raw in methods.items():
        p = np.clip(raw, 1e-6, None)
        p = methods[name] = p / p.sum(1, keepdims=True)
        loss[name], error[name] = log_loss(y, p), calibration_error(y, p)[0]
        boot[name] = (weight @ loss[name] / weight.sum(1), calibration_error(y, p, weight))
    rows = []
    for name, p in methods.items():
        drawn = (rng.random((200, len(y), 1)) > p.cumsum(1)[None]).sum(2).clip(max=p.shape[1] - 1)
        rows.append(
            {
                "method": name,
                "log_loss": interval(loss[name].mean(), boot[name][0]),
                "minus ours": "–" if name == ours else interval(loss[name].mean() - loss[ours].mean(), boot[name][0] - boot[ours][0]),
                "calibration error": interval(error[name], boot[name][1]),
                "minus ours ": "–" if name == ours else interval(error[name] - error[ours], boot[name][1] - boot[ours][1]),
                "if_perfect": f"{np.mean([calibration_error(d, p)[0] for d in drawn]):.3f}",
                "brier": f"{((np.eye(p.shape[1])[y] - p) ** 2).sum(1).mean():.3f}",
                "n": len(y),
            }
        )
    return pd.DataFrame(rows)


def interval(value: float, boot: np.ndarray) -> str:
    """Return a value with the central 95 % of its bootstrap."""
    low, high = np.quantile(boot, [0.025, 0.975])
    return f"{value:.3f} [{low:.3f}, {high:.3f}]"


def clip_sources(d: pd.DataFrame) -> np.ndarray:
    """Return what is said about each clip: citizens' state, detector's score of five steps, its score on clips within minutes.

    Neighbours are clips of the same view up to twenty minutes away, weighted by exp(-minutes / 5); none near: -1. No answer of a
    citizen is a level, since that nobody was asked, or nobody agreed, tells something.
    """
    states = [-1, 3, 4, 5, 16, 19, 20, 23, 32, 47]
    citizen = d["label_state"].map({s: i for i, s in enumerate(states)}).fillna(-1).astype(int).to_numpy()
    score = d["p"].to_numpy()
    at = d["k"].str.split("-").str[-2].astype(float).to_numpy() if "k" in d else np.full(len(d), np.nan)
    near = nearby(score, d["view"].to_numpy(), at, within=1200, fade=300, cuts=(0.1, 0.5, 0.9))
    return np.c_[citizen, (score * 4).round().astype(int), near]


def rise(shared: Path) -> pd.DataFrame:
    """Smoke clips: each view predicted from the others; intervals resample days of a view."""
    from sklearn.linear_model import LogisticRegression

    d = pd.read_csv(shared / "data/fusion/rise_citizen_expert_detector.csv").sort_values(["view", "k"]).reset_index(drop=True)
    said = clip_sources(d)
    y = d["label_state_admin"].map({16: 0, 23: 1}).fillna(-1).astype(int).to_numpy()
    views = d["view"].to_numpy()
    logit = np.log((d["p"] + 0.01) / (1.01 - d["p"])).to_numpy()[:, None]
    onehot = np.eye(said[:, 0].max() + 1)[said[:, 0]]
    nearby = np.eye(5)[said[:, 2]][:, :4]
    names = ("detector, Platt", "citizens, rates", "stacking", "stacking with neighbours", "Dawid–Skene form, labelled", OURS)
    p = {n: np.zeros((len(d), 2)) for n in names}
    for v in np.unique(views):
        te = views == v
        tr = ~te & (y >= 0)
        for name, x in (
            ("detector, Platt", logit),
            ("citizens, rates", onehot),
            ("stacking", np.hstack([logit, onehot])),
            ("stacking with neighbours", np.hstack([logit, onehot, nearby])),
        ):
            p[name][te] = LogisticRegression(max_iter=500).fit(x[tr], y[tr]).predict_proba(x[te])
        ds = fit_latent_class(said[tr][:, :2], 2, labels=y[tr], difficulties=1, groups=[0, 1], n_levels=10)
        p["Dawid–Skene form, labelled"][te] = ds.posterior(said[te][:, :2])
        model = fit_consensus(said, 2, labels=np.where(te, -1, y), blocks=list(views), panels=[(0, 1), (0, 1, 2)])
        p[OURS][te] = model.posterior(said[te])
    known = y >= 0
    day = d["view"] + d["k"].str.extract(r"(\d{4}-\d\d-\d\d)")[0].fillna("")
    return compared(y[known], {n: q[known] for n, q in p.items()}, OURS, day[known].to_numpy())


def tempered(p: np.ndarray, y: np.ndarray, train: np.ndarray) -> np.ndarray:
    """Return p to the power that fits the labels of ``train`` best: what peers are allowed too."""
    log = np.log(np.clip(p, 1e-6, None))
    options = []
    for power in (3.0, 2.0, 1.5, *POWERS):
        q = np.exp(power * (log - log.max(1, keepdims=True)))
        options.append(q / q.sum(1, keepdims=True))
    return options[int(np.argmin([log_loss(y[train], q[train]).mean() for q in options]))]


def crowd(shared: Path, name: str) -> pd.DataFrame:
    """Crowd labels, fitted without truth; below, one number (how far words are their own) chosen on four fifths of the truth."""
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
    ours = fit_consensus(said, k).posterior(said)
    model = fit_latent_class(said, k, difficulties=2)
    judged = {f"{n}, power from labels": np.zeros((len(y), k)) for n in (*peers, OURS)}
    fold = np.random.default_rng(0).permutation(len(y)) % 5
    for f in range(5):
        te, tr = fold == f, fold != f
        for n, p in peers.items():
            judged[f"{n}, power from labels"][te] = tempered(p, y, tr)[te]
        power = choose_power(model, said, np.where(tr, y, -1))
        judged[f"{OURS}, power from labels"][te] = model.posterior(said[te], power)
    blind = compared(y, {**peers, OURS: ours}, OURS, np.array(questions))
    return pd.concat([blind, compared(y, judged, f"{OURS}, power from labels", np.array(questions))], ignore_index=True)
