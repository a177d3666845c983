"""Bunching: hours that the related channels put over the limit and that read just under it; monthly means just under a tax notch."""

from __future__ import annotations

import numpy as np
import pandas as pd

from workbench.models.monitoring.detectors.operation import reference_concentration
from workbench.models.monitoring.panel import Panel
from workbench.models.monitoring.verdicts import Verdicts, no_spans, verdicts

WEEK = 14
NOTCHES = (0.7, 0.5)
"""Shares of the limit under which the environmental protection tax is reduced to 75 % and to 50 % (Tax Law Art. 13)."""
MONTH_DAYS, MONTH_HOURS = 20, 120
"""Fewest days inside the period, and ordinary hours, that make a monthly mean."""
SAME_POINT = 0.5
"""Weight of each further month of one point: neighbouring months of one works resemble each other; judged."""
DISTRICT = 10.0
"""Means near a notch that the symmetric expectation is worth against those of the other enterprises; judged."""


def values_bunch_at_limit(panel: Panel, *, score_min: float, expected_min: float) -> Verdicts:
    """Find fortnights in which the expectation from the process is over the limit and the reading stays just under it.

    Two channels are needed by construction: the process tells how many hours should be over (normal residual of the point's own
    past), the reading tells how many are. The score is (expected − seen)/√(variance), with a quarter of the hours
    counted as independent. Honest control close under the limit lowers the expectation with it and is not hit.

    Parameters
    ----------
    score_min : float
        Smallest score.
    expected_min : float
        Fewest expected hours over the limit.
    """
    from scipy.special import ndtr

    n, days = panel.shape
    limit = panel.roster["limit"].to_numpy(dtype=float)
    source = panel.process_expectation
    able_row = panel.pollutant & np.isfinite(limit) & source.logarithmic & (source.explained >= 0.2)
    able = np.zeros((n, days), dtype=bool)
    strength = np.zeros((n, days))
    rows = []
    for row in np.flatnonzero(able_row):
        expected, r = source.expected[row], source.residual[row]
        ok = np.isfinite(r)
        able[row] = ok.reshape(days, 24).sum(axis=1) >= 6
        if ok.sum() < 24 * WEEK:
            continue
        chance = np.where(ok, ndtr((expected - np.log(limit[row])) / max(float(source.scale[row]), 0.05)), 0.0)
        seen = ok & (expected + r > np.log(limit[row]))
        for a in range(0, days - WEEK + 1, WEEK // 2):
            hours = slice(a * 24, (a + WEEK) * 24)
            want, got = float(chance[hours].sum()), float(seen[hours].sum())
            spread = np.sqrt(max(float((chance[hours] * (1 - chance[hours])).sum()), 1.0) * 4)
            score = (want - got) / spread
            strength[row, a : a + WEEK] = np.maximum(strength[row, a : a + WEEK], max(score, 0))
            if score >= score_min and want >= expected_min and got <= 0.1 * want:
                rows.append(
                    {
                        "row": int(row),
                        "start": panel.first_day + pd.Timedelta(days=a),
                        "end": panel.first_day + pd.Timedelta(days=a + WEEK),
                        "nats": float(score),
                        "expected": want,
                        "seen": got,
                        "limit": float(limit[row]),
                    }
                )
    spans = pd.DataFrame(rows) if rows else no_spans(["expected", "seen", "limit"])
    return verdicts(panel.shape, able, strength, spans, panel.first_day)


def monthly_means_bunch_under_notch(panel: Panel, *, p_max: float, near: float, means_min: float) -> Verdicts:
    """Find enterprises whose monthly means lie under the tax notches (0.7 and 0.5 of the limit) far oftener than over them.

    Counted are monthly means within ``near`` of a notch, pooled over the outlets and factors of an enterprise: a smooth density leaves
    about as many over as under, and the other enterprises of the district tell how many more honest control leaves under. Months with an
    hour over the limit are left out, since they lose the reduction and so its motive.

    Parameters
    ----------
    p_max : float
        Largest binomial probability.
    near : float
        Half-width of the window, as a share of the limit.
    means_min : float
        Fewest means near a notch, each further month of a point counted half; with fewer the enterprise is not evaluable.
    """
    from scipy.stats import binom

    found = monthly_means(panel)
    found["notch"] = [min(NOTCHES, key=lambda c: abs(r - c)) for r in found["ratio"]]
    found = found[(found["ratio"] - found["notch"]).abs() <= near].sort_values(["enterprise", "row", "start"], kind="stable")
    found["under"] = found["ratio"] <= found["notch"]
    first = ~found.duplicated(["row", "notch"])
    found["weight"] = np.where(first, 1.0, SAME_POINT)
    able = np.zeros(panel.shape, dtype=bool)
    total, total_under = float(found["weight"].sum()), float(found["weight"][found["under"]].sum())
    rows = []
    for _, g in found.groupby("enterprise", sort=True):
        n, under = float(g["weight"].sum()), float(g["weight"][g["under"]].sum())
        if n < means_min:
            continue
        able[g["row"].unique()] = True
        usual = max(0.5, (total_under - under + 0.5 * DISTRICT) / (total - n + DISTRICT))
        log_p = float(binom.logsf(np.floor(under) - 1, np.floor(n), usual))
        if log_p > np.log(p_max):
            continue
        mine = g[g["under"]]
        row = int(mine["row"].mode().iloc[0])
        numbers = {
            "under": float(len(mine)),
            "over": float(len(g) - len(mine)),
            "usual": usual,
            "notch": float(mine["notch"].mode().iloc[0]),
        }
        rows.append({"row": row, "start": mine["start"].min(), "end": mine["end"].max(), "nats": -log_p, **numbers, "near_limit": 1.0})
    spans = pd.DataFrame(rows) if rows else no_spans(["under", "over", "usual", "notch", "near_limit"])
    return verdicts(panel.shape, able, np.zeros(panel.shape), spans, panel.first_day)


def monthly_means(panel: Panel) -> pd.DataFrame:
    """Return the monthly means of the ordinary hours at reference oxygen, as shares of the limit.

    Columns: row, enterprise, start, end (of the month inside the period), ratio. Months with an hour over an hourly limit, or with
    under :data:`MONTH_DAYS` days or :data:`MONTH_HOURS` ordinary hours, are left out.
    """
    limit = panel.roster["limit"].to_numpy(dtype=float)
    owner = panel.roster["enterprise_id"].to_numpy(dtype=object)
    hourly = panel.roster["limit_basis"].to_numpy(dtype=object) == "hour"
    ratio = np.where(panel.running, reference_concentration(panel), np.nan) / limit[:, None]
    hours = pd.DatetimeIndex(panel.data["hour"].to_numpy())
    month = hours.year * 12 + hours.month
    rows = []
    for row in np.flatnonzero(panel.pollutant & np.isfinite(limit) & (owner != "")):
        for m in np.unique(month):
            inside = np.flatnonzero(month == m)
            part = ratio[row, inside]
            known = part[np.isfinite(part)]
            if inside.size < 24 * MONTH_DAYS or known.size < MONTH_HOURS or (hourly[row] and (known > 1).any()):
                continue
            rows.append((int(row), str(owner[row]), hours[inside[0]], hours[inside[-1]] + pd.Timedelta(hours=1), float(known.mean())))
    return pd.DataFrame(rows, columns=["row", "enterprise", "start", "end", "ratio"])
