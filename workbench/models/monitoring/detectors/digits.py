"""Readings that leave the point's own digits: computed, not measured."""

from __future__ import annotations

import numpy as np
import pandas as pd

from workbench.models.monitoring.panel import Panel
from workbench.models.monitoring.verdicts import Verdicts, no_spans, verdicts


def readings_leave_own_resolution(panel: Panel, *, nats_min: float, hours_min: float, hours_max: float) -> Verdicts:
    """Find spans of hourly readings written with other decimal places than the point's own at readings of that size.

    Finer readings count only where their value occurs neither at the peers nor at the point in another season: grids that honest
    meters and their conversions report do repeat. Source: the point's own history and its peers.

    Parameters
    ----------
    nats_min : float
        Smallest log likelihood ratio of a span.
    hours_min : float
        Shortest span.
    hours_max : float
        Longest span: what goes on longer is another instrument.
    """
    shape, hour = panel.shape, pd.Timedelta(hours=1)
    digits = panel.digits
    known = np.isfinite(panel.hour("hour_any")).reshape(*shape, 24).any(axis=2)
    able = known & (panel.hourly & panel.pollutant)[:, None]
    rows = []
    for row in np.flatnonzero(able.any(axis=1)).tolist():
        for d in digits.departures.get(row, []):
            if d.nats < nats_min or not hours_min <= d.last - d.first <= hours_max:
                continue
            span = slice(d.first, d.last)
            departing = digits.off[row, span] if d.finer else digits.places[row, span] < digits.usual[row, span]
            rows.append(
                {
                    "row": row,
                    "start": panel.first_day + d.first * hour,
                    "end": panel.first_day + d.last * hour,
                    "nats": d.nats,
                    "share": float(departing.mean()),
                    "places": float(np.median(digits.places[row, span][departing])),
                    "usual": float(np.median(digits.usual[row, span][departing])),
                    "hours": float(d.last - d.first),
                }
            )
    spans = pd.DataFrame(rows) if rows else no_spans(["share", "places", "usual", "hours"])
    return verdicts(shape, able, np.zeros(shape), spans, panel.first_day)
