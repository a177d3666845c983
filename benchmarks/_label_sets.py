"""Real label sets beside the project: smoke clips (citizens, detector, expert) and two crowds. Used by ``fusion.py``."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from workbench.cross.consensus import fit_consensus, nearby
from workbench.cross.latent_class import choose_power, fit_latent_class

BOOTSTRAP = 1000
CALIBRATION_DRAWS = 200
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


def calibration_loss(y: np.ndarray, p: np.ndarray, weight: np.ndarray, blocks: np.ndarray | None = None) -> np.ndarray:
    """Return the log-loss per item that a recalibration in hindsight would save, for each row of item weights.

    The recalibration is a slope and a shift per class (Platt's, for two classes) fitted to the judged items of each block
    themselves, with a weak pull towards no change: what the probabilities cost by being too bold, too shy or shifted there.
    Unlike a binned error it needs no bins, and a perfect forecaster shows about ``classes / 2`` nats per block, the same for
    all methods, so that differences between methods are not biased by it.

    Parameters
    ----------
    y : int array, shape (item,)
    p : float array, shape (item, class)
    weight : float array, shape (draw, item)
    blocks : array, shape (item,), optional
        Default: one block.
    """
    of = np.zeros(len(y), dtype=int) if blocks is None else pd.factorize(blocks)[0]
    saved = np.zeros(len(weight))
    for b in range(of.max() + 1):
        at = of == b
        q = _moved(p[at], recalibration(y[at], p[at], weight[:, at]))
        right = q[:, np.arange(at.sum()), y[at]]
        saved += (weight[:, at] * (np.log(np.clip(right, 1e-4, 1)) + log_loss(y[at], p[at]))).sum(1)
    return np.asarray(saved / weight.sum(1))


def recalibration(y: np.ndarray, p: np.ndarray, weight: np.ndarray, steps: int = 8) -> np.ndarray:
    """Return slope and shifts (of all classes but the first) that fit the labels best, shape (draw, class); Newton's method."""
    k = p.shape[1]
    design, hit = _design(p), np.eye(k)[y]
    start, pull = np.r_[1.0, np.zeros(k - 1)], np.r_[1.0, np.full(k - 1, 0.25)]
    both = np.einsum("nci,ncj->ncij", design, design).reshape(len(y) * k, k * k)
    flat = design.reshape(len(y) * k, k)
    beta = np.tile(start, (len(weight), 1))
    for _ in range(steps):
        q = _moved(p, beta)
        slope = (weight[:, :, None] * (hit - q)).reshape(len(weight), -1) @ flat - pull * (beta - start)
        second = ((weight[:, :, None] * q).reshape(len(weight), -1) @ both).reshape(-1, k, k)
        mean = np.einsum("dnc,ncj->dnj", q, design)
        curve = second - (weight[:, :, None] * mean).transpose(0, 2, 1) @ mean + np.diag(pull)
        beta = beta + np.clip(np.linalg.solve(curve, slope[:, :, None])[:, :, 0], -1, 1)
    return beta


def _design(p: np.ndarray) -> np.ndarray:
    """Return what slope and shifts multiply, shape (item, class, parameter)."""
    n, k = p.shape
    out = np.zeros((n, k, k))
    out[:, :, 0] = np.log(np.clip(p, 1e-4, 1))
    out[:, 1:, 1:] = np.eye(k - 1)
    return out


def _moved(p: np.ndarray, beta: np.ndarray) -> np.ndarray:
    """Return recalibrated probabilities for each row of ``beta``, shape (draw, item, class)."""
    x = np.einsum("ncj,dj->dnc", _design(p), beta)
    e = np.exp(x - x.max(-1, keepdims=True))
    return np.asarray(e / e.sum(-1, keepdims=True))


def debiased_error(y: np.ndarray, p: np.ndarray, bins: int = 15) -> float:
    """Return the root of the squared calibration error over bins of equal size, less what chance alone puts into it (0 where less).

    After Kumar, Liang and Ma (2019), over the probabilities of every class.
    """
    total = 0.0
    for c in range(p.shape[1]):
        order = np.argsort(p[:, c], kind="stable")
        for part in np.array_split(order, min(bins, max(1, len(order) // 5))):
            gap = (y[part] == c) - p[part, c]
            total += len(part) * (gap.mean() ** 2 - gap.var() / max(1, len(part) - 1))
    return float(np.sqrt(max(0.0, total / (len(y) * p.shape[1]))))


def dempster_shafer(masses: Sequence[np.ndarray]) -> np.ndarray:
    """Return pignistic probabilities after Dempster's rule.

    Parameters
    ----------
    masses : sequence of float arrays, shape (item, class)
        What each source commits to single classes; the rest of one is its ignorance.
    """
    ignorance = [1 - m.sum(1, keepdims=True) for m in masses]
    nothing = np.prod(ignorance, axis=0)
    single = np.prod([m + u for m, u in zip(masses, ignorance, strict=True)], axis=0) - nothing
    total = single.sum(1, keepdims=True) + nothing
    return np.asarray((single + nothing / single.shape[1]) / total)


def compared(
    y: np.ndarray, methods: dict[str, np.ndarray], ours: str, clusters: np.ndarray, blocks: np.ndarray | None = None
) -> pd.DataFrame:
    """Return one row per method: log-loss and calibration, their intervals and those of the difference to ``ours``.

    Clusters are resampled as wholes, the same for all methods. ``calibration loss`` is :func:`calibration_loss` by block;
    ``debiased`` :func:`debiased_error`; ``ece`` the plain error of ten bins, with what a perfect forecaster of the same
    probabilities would show in brackets: what lies under that cannot be told from none.
    """
    rng = np.random.default_rng(0)
    code = pd.factorize(clusters)[0]
    n = code.max() + 1
    weight = np.vstack([np.ones(len(y)), rng.multinomial(n, np.full(n, 1 / n), BOOTSTRAP)[:, code]]).astype(float)
    loss, off = {}, {}
    for name, raw in methods.items():
        p = np.clip(raw, 1e-6, None)
        p = methods[name] = p / p.sum(1, keepdims=True)
        loss[name] = weight @ log_loss(y, p) / weight.sum(1)
        off[name] = calibration_loss(y, p, weight[: CALIBRATION_DRAWS + 1], blocks)
    rows = []
    for name, p in methods.items():
        drawn = (rng.random((200, len(y), 1)) > p.cumsum(1)[None]).sum(2).clip(max=p.shape[1] - 1)
        rows.append(
            {
                "method": name,
                "log_loss": interval(loss[name]),
                "minus ours": "–" if name == ours else interval(loss[name] - loss[ours]),
                "calibration loss": interval(off[name]),
                "minus ours ": "–" if name == ours else interval(off[name] - off[ours]),
                "debiased": f"{debiased_error(y, p):.3f}",
                "ece": f"{calibration_error(y, p)[0]:.3f} ({np.mean([calibration_error(d, p)[0] for d in drawn]):.3f})",
                "brier": f"{((np.eye(p.shape[1])[y] - p) ** 2).sum(1).mean():.3f}",
                "n": len(y),
            }
        )
    return pd.DataFrame(rows)


def interval(v: np.ndarray) -> str:
    """Return the first value (every item once) with the central 95 % of the others (its bootstrap)."""
    low, high = np.quantile(v[1:], [0.025, 0.975])
    return f"{v[0]:.4f} [{low:.4f}, {high:.4f}]"


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
    """Smoke clips: each view predicted from the others; intervals resample days of a view, calibration is judged view by view."""
    from sklearn.linear_model import LogisticRegression

    d = pd.read_csv(shared / "data/fusion/rise_citizen_expert_detector.csv").sort_values(["view", "k"]).reset_index(drop=True)
    said = clip_sources(d)
    y = d["label_state_admin"].map({16: 0, 23: 1}).fillna(-1).astype(int).to_numpy()
    views = d["view"].to_numpy()
    logit = np.log((d["p"] + 0.01) / (1.01 - d["p"])).to_numpy()[:, None]
    onehot = np.eye(said[:, 0].max() + 1)[said[:, 0]]
    nearby = np.eye(5)[said[:, 2]][:, :4]
    names = (
        "detector, Platt",
        "citizens, rates",
        "stacking",
        "stacking with neighbours",
        "Dempster–Shafer",
        "Dawid–Skene form, labelled",
        OURS,
    )
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
        sources = (p["detector, Platt"][te], p["citizens, rates"][te], _rates(said[tr, 2], y[tr], said[te, 2]))
        taught = (p_of(logit, tr, y), p_of(onehot, tr, y), _rates(said[tr, 2], y[tr], said[tr, 2]))
        sure = [(q.argmax(1) == y[tr]).mean() for q in taught]
        p["Dempster–Shafer"][te] = dempster_shafer([r * q for r, q in zip(sure, sources, strict=True)])
        ds = fit_latent_class(said[tr][:, :2], 2, labels=y[tr], difficulties=1, groups=[0, 1], n_levels=10)
        p["Dawid–Skene form, labelled"][te] = ds.posterior(said[te][:, :2])
        model = fit_consensus(said, 2, labels=np.where(te, -1, y), blocks=list(views), panels=[(0, 1), (0, 1, 2)])
        p[OURS][te] = model.posterior(said[te])
    known = y >= 0
    day = d["view"] + d["k"].str.extract(r"(\d{4}-\d\d-\d\d)")[0].fillna("")
    return compared(y[known], {n: q[known] for n, q in p.items()}, OURS, day[known].to_numpy(), views[known])


def p_of(x: np.ndarray, train: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Return what a logistic regression taught on ``train`` says of ``train``."""
    from sklearn.linear_model import LogisticRegression

    return np.asarray(LogisticRegression(max_iter=500).fit(x[train], y[train]).predict_proba(x[train]))


def _rates(level: np.ndarray, y: np.ndarray, of: np.ndarray) -> np.ndarray:
    """Return the share of each of two classes among taught items of the same level, one item of each class added."""
    size = int(max(level.max(), of.max())) + 2
    count = np.ones((size, 2))
    np.add.at(count, (level + 1, y), 1.0)
    return np.asarray((count / count.sum(1, keepdims=True))[of + 1])


def taught(p: np.ndarray, y: np.ndarray, train: np.ndarray) -> np.ndarray:
    """Return p recalibrated by the slope and shifts that fit the labels of ``train`` best: the same for every method."""
    p = np.clip(p, 1e-6, None)
    return np.asarray(_moved(p, recalibration(y[train], p[train], np.ones((1, train.sum()))))[0])


def crowd(shared: Path, name: str) -> pd.DataFrame:
    """Crowd labels, fitted without truth; below, every method recalibrated (slope and shifts) on four fifths of the truth."""
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
    agree = [((votes - (said[:, [w]] == np.arange(k))).argmax(1) == said[:, w])[said[:, w] >= 0] for w in range(len(workers))]
    trust = np.array([(a.sum() + 1) / (len(a) + 2) for a in agree])  # with the majority of the others, one of each added
    peers["Dempster–Shafer"] = dempster_shafer([(said[:, [w]] == np.arange(k)) * trust[w] for w in range(len(workers))])
    ours = fit_consensus(said, k).posterior(said)
    model = fit_latent_class(said, k, difficulties=2)
    judged = {f"{n}, recalibrated": np.zeros((len(y), k)) for n in (*peers, OURS)}
    fold = np.random.default_rng(0).permutation(len(y)) % 5
    for f in range(5):
        te, tr = fold == f, fold != f
        for n, p in peers.items():
            judged[f"{n}, recalibrated"][te] = taught(p, y, tr)[te]
        power = choose_power(model, said, np.where(tr, y, -1))
        judged[f"{OURS}, recalibrated"][te] = taught(model.posterior(said, power), y, tr)[te]
    blind = compared(y, {**peers, OURS: ours}, OURS, np.array(questions))
    return pd.concat([blind, compared(y, judged, f"{OURS}, recalibrated", np.array(questions))], ignore_index=True)
