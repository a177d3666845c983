"""Runs in an interpreter that has SaQC (GPL, never in the lock), started by ``_saqc.py``: python _saqc_worker.py FILE.npz

The file holds one array per job, named FUNCTION/KEY, of shape (channel, hour). Each finished job prints one line of JSON: its name and
the spans (first hour, hour after the last, score) that the function flags. Every function is run over a ladder of its own threshold;
the score of a span is the sharpest step of the ladder at which it is flagged.
"""

import json
import sys
import warnings

import numpy as np
import pandas as pd
import saqc

WINDOWS = (6, 8, 12, 16, 24, 36, 48, 72)
JUMPS = (0.5, 1.0, 2.0, 4.0)
SHARES = (0.1, 0.01, 0.0001)
OUTLYING = (1.5, 2.0, 3.0, 5.0, 10.0)


def spread(x):
    """Return the robust spread of a series, or its standard deviation where most of it is one value."""
    robust = 1.4826 * float((x - x.median()).abs().median())
    return robust if robust > 0 else float(x.std())


def constants(frame):
    """flagConstants, nothing moving within a window: the score is the longest window, hours."""
    data = saqc.SaQC(frame[["0"]].dropna())
    for hours in WINDOWS:
        yield data.flagConstants("0", thresh=0.0, window=f"{hours}h"), "0", hours


def plateau(frame):
    """flagPlateau, half a day to thirty days (gaps interpolated, it asks for a unitary rate): the score is the jump, spreads."""
    filled = frame[["0"]].interpolate(limit_direction="both")
    for jump in JUMPS:
        try:
            yield saqc.SaQC(filled).flagPlateau("0", min_length="12h", max_length="720h", min_jump=jump * spread(filled["0"])), "0", jump
        except ValueError:  # it stops where it finds no anomaly at all
            continue


def variance(frame):
    """flagByVariance over a day (gaps interpolated): the score is minus the logarithm of the variance under which it flags."""
    filled = frame[["0"]].interpolate(limit_direction="both")
    for share in SHARES:
        yield saqc.SaQC(filled).flagByVariance("0", window="24h", thresh=share * spread(filled["0"]) ** 2), "0", -np.log(share)


def univariate_outlier(frame):
    """flagUniLOF with its own defaults but the threshold, which is the score."""
    filled = frame[["0"]].interpolate(limit_direction="both")
    for thresh in OUTLYING:
        yield saqc.SaQC(filled).flagUniLOF("0", thresh=thresh), "0", thresh


def multivariate_outlier(frame):
    """flagLOF over all channels of the station, each in its own spreads: the score is the threshold."""
    filled = frame.interpolate(limit_direction="both")
    scaled = filled / [spread(filled[c]) or 1.0 for c in filled]
    for thresh in OUTLYING:
        yield saqc.SaQC(scaled).flagLOF(list(scaled), thresh=thresh), "0", thresh


def jumps(frame):
    """flagJumps between the means of three days before and after: the score is the jump, spreads."""
    known = frame[["0"]].dropna()
    for jump in JUMPS:
        yield saqc.SaQC(known).flagJumps("0", thresh=jump * spread(known["0"]), window="72h"), "0", jump


FUNCTIONS = {f.__name__: f for f in (constants, plateau, variance, univariate_outlier, multivariate_outlier, jumps)}


def main():
    """Do the jobs of the file."""
    warnings.simplefilter("ignore")
    with np.load(sys.argv[1]) as jobs:
        for name in jobs.files:
            values = jobs[name]
            hours = pd.date_range("2013-01-01", periods=values.shape[1], freq="h")
            frame = pd.DataFrame(values.T, index=hours, columns=[str(k) for k in range(len(values))])
            spans = []
            for found, field, score in FUNCTIONS[name.split("/")[0]](frame):
                flagged = (found.flags[field] > 0).reindex(hours, fill_value=False).to_numpy()
                edge = np.flatnonzero(np.diff(np.r_[0, flagged.astype(int), 0]))
                spans += [(int(a), int(b), float(score)) for a, b in zip(edge[::2], edge[1::2], strict=True)]
            print(json.dumps({"job": name, "spans": spans}), flush=True)


if __name__ == "__main__":
    main()
