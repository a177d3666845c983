"""How soon a violation is pointed at, and how many alarms an enterprise must bear."""

from __future__ import annotations

import numpy as np
import pandas as pd

from workbench.contracts import Metric, Period
from workbench.evaluation.intervals import LEVEL, Clusters, bootstrap, interval, unevaluated


def days_to_detect(
    leads: pd.DataFrame, truth: pd.DataFrame, pairs: pd.DataFrame, *, seed: int, population: pd.Index, against: str
) -> Metric:
    """Return the median days from the onset of a violation to the end of the first lead that reaches it.

    A lead can be written when its span is over; a violation that no lead reaches is left out, so read it with recall.
    """
    if not len(pairs):
        return unevaluated("days_to_detect", "no violation is reached by a lead", subject="leads", against=against, unit="d")
    written = leads["end"].to_numpy()[pairs["row"].to_numpy(int)]
    first = pd.Series(written).groupby(pairs["violation"].to_numpy(int)).min()
    onset = truth["start"].to_numpy()[first.index.to_numpy(int)]
    delay = np.maximum(0.0, (first.to_numpy() - onset) / np.timedelta64(1, "D"))
    who = truth["enterprise_id"].iloc[first.index.to_numpy(int)].reset_index(drop=True)
    order = np.argsort(delay, kind="stable")

    def median(w: np.ndarray) -> np.ndarray:
        cum = np.cumsum(w[:, order], axis=1)
        total = cum[:, -1]
        middle = delay[order][np.argmax(cum >= total[:, None] / 2, axis=1)]
        return np.where(total > 0, middle, np.nan)

    low, high = interval(bootstrap(median, Clusters.of(who, population), seed=seed))
    return Metric(
        name="days_to_detect",
        value=float(np.median(delay)),
        low=low,
        high=high,
        n=int(who.nunique()),
        unit="d",
        method=f"median; cluster bootstrap by enterprise, 1000 draws, {LEVEL:.0%}",
        subject="leads",
        against=against,
        note=f"over the {len(delay)} of {len(truth)} violations that a lead reaches",
    )


def alarms_per_enterprise_month(
    alerts: pd.DataFrame, wrong: np.ndarray, period: Period, *, name: str, seed: int, population: pd.Index, subject: str, against: str
) -> Metric:
    """Return the number of rows flagged in ``wrong`` per enterprise and month of 30.44 days.

    Parameters
    ----------
    alerts : DataFrame
        With ``enterprise_id``.
    wrong : bool array
        Rows that count (all of them: alarms; the false ones: false alarms).
    """
    months = period.days / 30.4375
    per = alerts.loc[wrong, "enterprise_id"].value_counts().reindex(population, fill_value=0).to_numpy(float) / months
    if not len(per):
        return unevaluated(name, "no enterprise", subject=subject, against=against, unit="1/month")
    everyone = pd.Series(population.to_numpy(object))

    def mean(w: np.ndarray) -> np.ndarray:
        return np.asarray(w @ per / np.maximum(w.sum(axis=1), 1))

    low, high = interval(bootstrap(mean, Clusters.of(everyone, population), seed=seed))
    return Metric(
        name=name,
        value=float(per.mean()),
        low=low,
        high=high,
        n=len(per),
        unit="1/month",
        method=f"cluster bootstrap by enterprise, 1000 draws, {LEVEL:.0%}",
        subject=subject,
        against=against,
        note=f"{int(wrong.sum())} alarms over {len(per)} enterprises and {months:.1f} months",
    )
