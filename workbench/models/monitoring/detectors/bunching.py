"""Bunching under the limit: hours that the related channels put over the limit and that read just under it."""

from __future__ import annotations

import numpy as np
import pandas as pd

from workbench.models.monitoring.panel import Panel
from workbench.models.monitoring.verdicts import Verdicts, no_spans, verdicts

WEEK = 14


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
