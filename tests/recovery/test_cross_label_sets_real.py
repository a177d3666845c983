"""Real label sets beside the project: the committee against its best source and Dawid–Skene, with one call and its own settings."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import LogisticRegression

from workbench.cross.consensus import fit_consensus, nearby
from workbench.cross.latent_class import fit_latent_class


def log_loss(y: np.ndarray, p: np.ndarray) -> float:
    return float(-np.log(np.clip(p[np.arange(len(y)), y], 1e-4, 1)).mean())


def calibration_error(y: np.ndarray, p: np.ndarray) -> float:
    sure, gap = p.max(1), (p.argmax(1) == y) - p.max(1)
    k = np.minimum((sure * 10).astype(int), 9)
    return float(np.abs(np.bincount(k, weights=gap, minlength=10)).sum() / len(y))


@pytest.mark.real
def test_smoke_clips_of_unseen_views(shared: Path) -> None:
    """RISE (CC0 labels): views in two halves, each predicted from the other; worse than by single views, since half is hidden."""
    d = pd.read_csv(shared / "data/fusion/rise_citizen_expert_detector.csv")
    y = d["label_state_admin"].map({16: 0, 23: 1}).fillna(-1).astype(int).to_numpy()
    citizen = pd.factorize(d["label_state"], sort=True)[0]
    at = d["k"].str.split("-").str[-2].astype(float).to_numpy()
    near = nearby(d["p"].to_numpy(), d["view"].to_numpy(), at, within=1200, fade=300, cuts=(0.1, 0.5, 0.9))
    said = np.c_[citizen, (d["p"] * 4).round().astype(int), near]
    logit = np.log((d["p"] + 0.01) / (1.01 - d["p"])).to_numpy()[:, None]
    views = d["view"].to_numpy()
    second = np.isin(views, np.unique(views)[::2])
    ours, detector, ds = (np.zeros((len(d), 2)) for _ in range(3))
    for te in (second, ~second):
        tr = ~te & (y >= 0)
        ours[te] = fit_consensus(said, 2, labels=np.where(te, -1, y), blocks=list(views), panels=[(0, 1), (0, 1, 2)]).posterior(said[te])
        detector[te] = LogisticRegression().fit(logit[tr], y[tr]).predict_proba(logit[te])
        ds[te] = fit_latent_class(said[tr][:, :2], 2, labels=y[tr], difficulties=1, groups=[0, 1], n_levels=8).posterior(said[te][:, :2])
    known = y >= 0
    y, ours, detector, ds = y[known], ours[known], detector[known], ds[known]
    assert log_loss(y, ours) < log_loss(y, detector) - 0.005
    assert log_loss(y, ours) < log_loss(y, ds) - 0.005
    # labels drawn from a method's own probabilities would show up to .011 on so many clips
    assert calibration_error(y, ours) < 0.015
    assert calibration_error(y, ours) < calibration_error(y, ds)


@pytest.mark.real
@pytest.mark.parametrize("name", ["duck", "dog"])
def test_crowds_without_any_truth(shared: Path, name: str) -> None:
    folder = shared / "data/fusion" / name
    answers, truth = pd.read_csv(folder / "answer.csv"), pd.read_csv(folder / "truth.csv").set_index("question")["truth"]
    said = answers.pivot(index="question", columns="worker", values="answer").fillna(-1).astype(int)
    y, votes = truth.loc[said.index].to_numpy(), said.to_numpy()
    k = int(truth.max()) + 1
    ours = fit_consensus(votes, k).posterior(votes)
    ds = fit_latent_class(votes, k, difficulties=1).posterior(votes)
    assert log_loss(y, ours) < 0.6 * log_loss(y, ds)
    assert calibration_error(y, ours) < calibration_error(y, ds)
