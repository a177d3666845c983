"""Pictures and tables of the fit for the notebook."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from workbench.cross.fit import Fit

COLOURS = {"prior": "0.6", "posterior": "#0b5c7a"}


def predictive_picture(checks: pd.DataFrame) -> Any:
    """Draw what is foreseen (central 90 %, before and after learning) beside what came (dots); return the figure.

    Parameters
    ----------
    checks : DataFrame
        From :func:`workbench.cross.predictive.predictive_checks`.
    """
    import matplotlib.pyplot as plt

    names = checks.drop_duplicates("statistic")
    y = dict(zip(names["statistic"], np.arange(len(names))[::-1], strict=True))
    fig, ax = plt.subplots(figsize=(10, 0.9 + 0.3 * len(names)))
    words = {"prior": "先验预测 prior predictive", "posterior": "后验预测 posterior predictive"}
    for stage, shift in (("prior", 0.16), ("posterior", -0.16)):
        g = checks[checks["stage"] == stage]
        at = g["statistic"].map(y) + shift
        ax.hlines(at, g["low"].clip(lower=1e-4), g["high"].clip(lower=1e-4), color=COLOURS[stage], lw=4, label=words[stage])
    ax.plot(names["observed"].clip(lower=1e-4), names["statistic"].map(y), "o", color="#a32020", label="实际 observed")
    ax.set_xscale("log")
    ax.set_yticks(list(y.values()), [f"{zh} {en}" for zh, en in zip(names["label_zh"], names["label_en"], strict=True)])
    ax.set(xlabel="占小时数 share of hours", title="预测检验 predictive checks")
    ax.legend(loc="lower right", fontsize=8)
    return fig


def convergence_table(fitted: Fit | None, worst: int = 8) -> pd.DataFrame:
    """Return the worst-mixed parameters of a fit and its totals; one line that says so where nothing was fitted."""
    if fitted is None or fitted.convergence is None:
        return pd.DataFrame(
            {"parameter": ["not fitted"], "note": ["expert priors, ordinary hours learned" if fitted is None else fitted.reason]}
        )
    d = fitted.diagnostics
    table = fitted.convergence.sort_values("ess_bulk").head(worst).reset_index(names="parameter")
    total = {
        "parameter": f"all {len(fitted.convergence)}: {fitted.reason}",
        "ess_bulk": d["ess"],
        "r_hat": d["r_hat"],
        "ess_tail": float(fitted.convergence["ess_tail"].min()),
    }
    return pd.concat([pd.DataFrame([total]), table], ignore_index=True).round(3)
