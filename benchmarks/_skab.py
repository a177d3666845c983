"""SKAB valve1 by its own protocol: the model's expectation of each channel by the others beside Hotelling's T² and an isolation forest."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd


def skab_f1(folder: Path) -> dict[str, object]:
    """SKAB valve1 by its own protocol: fit on the first 400 rows of each file, score the whole, F1 of outliers over all files.

    Returns the closing figures; intervals: files resampled, 1,000 draws, 95 %.
    """
    from sklearn.ensemble import IsolationForest

    truth: list[np.ndarray] = []
    guess: dict[str, list[np.ndarray]] = {"workbench": [], "Hotelling's T²": [], "isolation forest": [], "always anomaly": []}
    for file in sorted(folder.glob("*.csv")):
        t = pd.read_csv(file, sep=";", index_col="datetime", parse_dates=True)
        x = t.drop(columns=["anomaly", "changepoint"]).to_numpy(dtype=float)
        truth.append(t["anomaly"].to_numpy())
        guess["workbench"].append(against_the_others(x, 400))
        guess["Hotelling's T²"].append(hotelling(x, 400))
        forest = IsolationForest(random_state=0, contamination=0.0005, n_jobs=1).fit(x[:400])
        guess["isolation forest"].append((forest.predict(x) == -1).astype(float))
        guess["always anomaly"].append(np.ones(len(x)))
    rng = np.random.default_rng(1)
    draws = rng.integers(len(truth), size=(1000, len(truth)))
    figures: dict[str, tuple[float, float, float]] = {}
    for name, parts in guess.items():
        counts = np.array(
            [[((g == 1) & (y == v)).sum() for v in (1, 0)] + [((g == 0) & (y == 1)).sum()] for g, y in zip(parts, truth, strict=True)]
        )
        tp, fp, fn = counts.sum(axis=0)
        f1 = [float(2 * c[0] / (2 * c[0] + c[1] + c[2])) for c in (counts[d].sum(axis=0) for d in draws)]
        figures[name] = (float(2 * tp / (2 * tp + fp + fn)), *(float(q) for q in np.quantile(f1, (0.025, 0.975))))
        value, low, high = figures[name]
        honest = sum(int((y == 0).sum()) for y in truth)
        print(
            f"  SKAB valve1 F1 {name}: {value:.2f} [{low:.2f}, {high:.2f}] "
            f"(false alarm rate {fp / max(honest, 1):.2%}, missed {fn / max(tp + fn, 1):.2%}; {len(truth)} files)"
        )
    value, low, high = figures.pop("workbench")
    peers = {m: round(f[0], 3) for m, f in figures.items()}
    ratios = {m: round(value / f[0], 2) for m, f in figures.items() if f[0]}
    return {
        "name": "SKAB valve1 F1", "unit": "1", "value": round(value, 3), "low": round(low, 3), "high": round(high, 3), "n": len(truth),
        "peers": peers, "ratios": ratios,
    }  # fmt: skip


def against_the_others(x: np.ndarray, train: int, window: int = 20, quantile: float = 0.999) -> np.ndarray:
    """Return 1 where the channels leave what the others lead one to expect: the model's expectation, fitted on the training part.

    Window, quantile and margin are those of :func:`hotelling`; nothing was chosen on this set.
    """
    from workbench.models.monitoring.expectation import robust_ridge

    z = x.T
    centre, wide = np.median(z[:, :train], axis=1, keepdims=True), z[:, :train].std(axis=1, keepdims=True)
    narrow = 1.4826 * np.median(np.abs(z[:, :train] - centre), axis=1, keepdims=True)
    z = (z - centre) / np.where(narrow > 0.1 * wide, narrow, np.where(wide > 0, wide, 1.0))
    unit = np.clip(z, -6, 6).astype(np.float32)
    total = np.zeros(len(x))
    for k in range(len(z)):
        others = np.delete(unit, k, axis=0)
        made = robust_ridge(np.where(np.arange(len(x)) < train, unit[k], np.nan), others, np.ones(others.shape, bool))
        if made is not None:
            error = z[k] - made[0]
            total += (error / max(1.4826 * float(np.median(np.abs(error[:train] - np.median(error[:train])))), 0.05)) ** 2
    smooth = pd.Series(total).rolling(window, min_periods=1).median().to_numpy()
    return (smooth > 2 * np.quantile(smooth[:train], quantile)).astype(float)


def hotelling(x: np.ndarray, train: int, window: int = 20, quantile: float = 0.999) -> np.ndarray:
    """Return 1 where the smoothed Hotelling T² of standardised channels passes the quantile of its training part, with a margin of two."""
    centre, spread = x[:train].mean(axis=0), x[:train].std(axis=0)
    z = (x - centre) / np.where(spread > 0, spread, 1.0)
    covariance = np.cov(z[:train].T) + 1e-2 * np.eye(z.shape[1])
    t2 = np.einsum("ij,jk,ik->i", z, np.linalg.inv(covariance), z)
    smooth = pd.Series(t2).rolling(window, min_periods=1).median().to_numpy()
    return (smooth > 2 * np.quantile(smooth[:train], quantile)).astype(float)
