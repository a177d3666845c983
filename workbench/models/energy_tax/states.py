"""On, idle and off of every meter, learned from the meter alone.

Log power of a meter is a mixture of two or three components (off, standby or idle, on). It is fitted by EM on a
histogram, so the cost is one pass over the values whatever their number. Two boundaries with hysteresis turn power
into states; a variable-speed drive keeps one broad upper component and is told apart by its width.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum, StrEnum

import numba as nb
import numpy as np
from numpy.typing import NDArray

BINS = 240
DECADES = 4.0
"""Range of the histogram below the meter's high quantile; what is lower is counted in its first bin."""


class State(IntEnum):
    """State of a meter at one time."""

    UNKNOWN = -1
    OFF = 0
    IDLE = 1
    ON = 2


class Drive(StrEnum):
    """What kind of load a meter carries, told from the shape of its own history."""

    SWITCHED = "switched"
    VARIABLE = "variable speed"
    ALWAYS_ON = "always on"
    ALWAYS_OFF = "always off"
    NOT_EVALUABLE = "not evaluable"


@dataclass(frozen=True)
class MeterModel:
    """Learned levels of one meter.

    Parameters
    ----------
    drive : Drive
    off_below, on_above : float
        Hysteresis of on and off, kW: a running load stops below ``off_below``, a stopped one runs above ``on_above``.
    idle_below : float
        Running but under this power is idle, kW; 0 where the meter has no idle level.
    typical : float
        Median power while on, kW; NaN where never on.
    share_on : float
        Share of the weight of the on components.
    n : int
        Finite values the model rests on.
    """

    drive: Drive
    off_below: float
    on_above: float
    idle_below: float
    typical: float
    share_on: float
    n: int


@nb.njit(cache=True, nogil=True)
def _histogram(x: NDArray[np.float32], low: float, width: float, bins: int) -> NDArray[np.float64]:
    counts = np.zeros(bins, np.float64)
    for v in x:
        if np.isfinite(v):
            k = int((np.log10(v) - low) / width) if v > 0 else 0
            counts[min(max(k, 0), bins - 1)] += 1.0
    return counts


@nb.njit(cache=True, nogil=True)
def _em(  # type: ignore[no-untyped-def]
    centre: NDArray[np.float64], weight: NDArray[np.float64], mean: NDArray[np.float64], sd: NDArray[np.float64], floor: float, rounds: int
):
    """Fit a Gaussian mixture to a weighted histogram; return weights, means, sds and the log-likelihood per value."""
    k = len(mean)
    share, mean, sd = np.full(k, 1.0 / k), mean.copy(), sd.copy()
    resp, total = np.zeros((k, len(centre))), weight.sum()
    loglik = 0.0
    for _ in range(rounds):
        previous, loglik = loglik, 0.0
        for b in range(len(centre)):
            if weight[b] == 0.0:
                continue
            s = 0.0
            for j in range(k):
                z = (centre[b] - mean[j]) / sd[j]
                resp[j, b] = share[j] / sd[j] * np.exp(-0.5 * z * z) + 1e-300
                s += resp[j, b]
            for j in range(k):
                resp[j, b] /= s
            loglik += weight[b] * np.log(s)
        for j in range(k):
            w = 0.0
            m = 0.0
            for b in range(len(centre)):
                w += weight[b] * resp[j, b]
                m += weight[b] * resp[j, b] * centre[b]
            w = max(w, 1e-9)
            m /= w
            v = 0.0
            for b in range(len(centre)):
                v += weight[b] * resp[j, b] * (centre[b] - m) ** 2
            share[j], mean[j], sd[j] = w / total, m, max(np.sqrt(v / w), floor)
        if abs(loglik - previous) < 1e-7 * total:
            break
    return share, mean, sd, loglik / total


@nb.njit(cache=True, nogil=True)
def _apply(x: NDArray[np.float32], off_below: float, on_above: float, idle_below: float, out: NDArray[np.int8]) -> None:
    running = -1
    for t in range(len(x)):
        v = x[t]
        if not np.isfinite(v):
            out[t] = -1
            continue
        if running == -1:
            running = 1 if v > 0.5 * (off_below + on_above) else 0
        elif running == 1 and v < off_below:
            running = 0
        elif running == 0 and v > on_above:
            running = 1
        out[t] = 0 if running == 0 else (1 if v < idle_below else 2)


def learn_meter(
    power: NDArray[np.float32],
    *,
    resolution: float = 0.0,
    low_ratio: float,
    gap_ratio: float,
    wide_sd: float,
    values_min: int,
) -> MeterModel:
    """Learn the levels of one meter from its own history, without labels.

    Parameters
    ----------
    power : float32 array, shape (time,)
        Active power in kW; NaN where nothing arrived; negative readings count as zero.
    resolution : float
        Smallest step of the meter, kW.
    low_ratio : float
        A component is off or standby when its level is under this share of the top level.
    gap_ratio : float
        Two levels are different levels when their ratio is at least this.
    wide_sd : float
        Standard deviation of log10 power over which the running component is a variable-speed drive.
    values_min : int
        Fewer finite values: not evaluable.
    """
    finite = power[np.isfinite(power)]
    nothing = MeterModel(Drive.NOT_EVALUABLE, np.nan, np.nan, 0.0, np.nan, np.nan, int(finite.size))
    if finite.size < values_min:
        return nothing
    top = float(np.quantile(finite, 0.995))
    if not top > max(resolution, 1e-6) * 2:
        return MeterModel(Drive.ALWAYS_OFF, np.inf, np.inf, 0.0, np.nan, 0.0, int(finite.size))
    low = np.log10(top) + 0.15 - DECADES
    width = DECADES / BINS
    weight = _histogram(np.asarray(power, np.float32), low, width, BINS)
    centre = low + (np.arange(BINS) + 0.5) * width
    share, mean, sd = _mixture(centre, weight)
    levels = 10.0**mean
    from_top = np.cumsum(share[::-1])[::-1]
    top_row = int(np.flatnonzero(from_top >= 0.03)[-1])  # a few peaks (a furnace's charge) are not the running level
    lower = levels < low_ratio * levels[top_row]
    if not lower.any() or (levels[~lower].min() / levels[lower].max()) < gap_ratio:
        return _single_level(finite, sd[-1], levels[-1], wide_sd)
    a = int(np.flatnonzero(lower)[-1])
    gap = _gap(weight, *(int(np.clip((m - low) / width, 0, BINS - 1)) for m in (mean[0], mean[top_row])))
    if gap is not None:  # where nothing is ever read, off and running part, however the components fell
        middle, half = low + 0.5 * (gap[0] + gap[1]) * width, min(0.25 * (gap[1] - gap[0]) * width, 0.1)
        off_below, on_above = float(10.0 ** (middle - half)), float(10.0 ** (middle + half))
        a = int(np.flatnonzero(mean < middle)[-1])
    else:
        off_below, on_above = _band(share, mean, sd, a)
    share_on = float(share[a + 1 :].sum())
    upper = finite[finite > on_above]
    idle_below, spread = 0.0, sd[top_row]
    if top_row - 1 > a:
        distance = mean[top_row] - mean[top_row - 1]
        if distance >= np.log10(gap_ratio) and distance >= 2.0 * (sd[top_row] + sd[top_row - 1]):
            idle_below = float(10.0 ** (0.5 * (mean[top_row - 1] + mean[top_row])))
        else:  # two halves of one broad level
            mine = slice(a + 1, top_row + 1)
            centre_of = np.average(mean[mine], weights=share[mine])
            spread = float(np.sqrt(np.average(sd[mine] ** 2 + (mean[mine] - centre_of) ** 2, weights=share[mine])))
    drive = Drive.VARIABLE if spread > wide_sd else Drive.SWITCHED
    return MeterModel(drive, off_below, on_above, idle_below, float(np.median(upper)) if upper.size else np.nan, share_on, int(finite.size))


def _single_level(finite: NDArray[np.float32], sd: float, level: float, wide_sd: float) -> MeterModel:
    drive = Drive.VARIABLE if sd > wide_sd else Drive.ALWAYS_ON
    return MeterModel(drive, 0.1 * level, 0.2 * level, 0.0, float(np.median(finite)), 1.0, int(finite.size))


def _mixture(
    centre: NDArray[np.float64], weight: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Return shares, means and sds of the two- or three-component mixture that BIC prefers, ordered by mean."""
    cumulative = np.cumsum(weight) / weight.sum()
    best: tuple[float, NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]] | None = None
    effective = weight.sum() / 50.0  # neighbouring readings repeat one another; a plain n would always ask for more components
    for start, spread in _starts(centre, weight, cumulative):
        share, mean, sd, loglik = _em(centre, weight, start, spread, 1.5 * (centre[1] - centre[0]), 300)
        bic = -2 * loglik * effective + (3 * len(start) - 1) * np.log(max(effective, 2.0))
        keep = share > 0.002
        if best is None or bic < best[0]:
            order = np.argsort(mean[keep])
            best = (bic, share[keep][order], mean[keep][order], sd[keep][order])
    if best is None:  # cannot happen: the loop above runs
        raise RuntimeError("no mixture was fitted")
    return best[1], best[2], best[3]


def _starts(
    centre: NDArray[np.float64], weight: NDArray[np.float64], cumulative: NDArray[np.float64]
) -> list[tuple[NDArray[np.float64], NDArray[np.float64]]]:
    """Return means and sds to start from: quantiles, and the two sides of the best cut (Otsu), the upper one cut again."""
    starts = []
    for q in ((0.05, 0.9), (0.05, 0.5, 0.95), (0.3, 0.6, 0.9)):
        mean = centre[np.searchsorted(cumulative, q).clip(0, len(centre) - 1)] + 1e-3 * np.arange(len(q))
        starts.append((mean, np.full(len(q), 0.25)))
    cut = _otsu(centre, weight)
    low, high = _moments(centre[:cut], weight[:cut]), _moments(centre[cut:], weight[cut:])
    starts.append((np.array([low[0], high[0]]), np.array([low[1], high[1]])))
    again = cut + _otsu(centre[cut:], weight[cut:])
    if cut < again < len(centre) and weight[again:].sum() > 0:
        middle, top = _moments(centre[cut:again], weight[cut:again]), _moments(centre[again:], weight[again:])
        starts.append((np.array([low[0], middle[0], top[0]]), np.array([low[1], middle[1], top[1]])))
    return starts


def _otsu(centre: NDArray[np.float64], weight: NDArray[np.float64]) -> int:
    """Return the bin at which two classes differ most, at least one bin from either end."""
    w, m = np.cumsum(weight), np.cumsum(weight * centre)
    with np.errstate(invalid="ignore", divide="ignore"):
        between = w * (w[-1] - w) * (m / w - (m[-1] - m) / (w[-1] - w)) ** 2
    between = np.where(np.isfinite(between), between, -1.0)
    return int(np.clip(np.argmax(between) + 1, 1, max(len(centre) - 1, 1)))


def _moments(centre: NDArray[np.float64], weight: NDArray[np.float64]) -> tuple[float, float]:
    total = weight.sum()
    if not total > 0:
        return float(centre[0]), 0.1
    mean = float((weight * centre).sum() / total)
    return mean, max(0.03, float(np.sqrt((weight * (centre - mean) ** 2).sum() / total)))


def _gap(weight: NDArray[np.float64], bottom: int, top: int) -> tuple[int, int] | None:
    """Return the longest run of bins between two levels in which next to nothing is read; None where none is 1.5 in ratio.

    A drive that slows down under part load spreads its running level far down, and a mixture may put its lower end with
    the off level; the empty stretch between standby and the slowest run is where they part. Readings of exactly nothing
    lie in the first bin: where there is a standby level too, they are gaps of the meter and no level.
    """
    standby = np.flatnonzero(weight[1 : top + 1] > 3e-4 * weight.sum()) + 1
    if bottom == 0 and len(standby) and standby[0] < top + np.log10(0.25) * BINS / DECADES:
        bottom = int(standby[0])
    empty = weight[bottom : top + 1] <= 3e-4 * weight.sum()
    edges = np.flatnonzero(np.diff(np.r_[0, empty.astype(np.int8), 0]))
    runs = [(int(b - a), int(a), int(b)) for a, b in zip(edges[::2], edges[1::2], strict=True)]
    if not runs:
        return None
    length, a, b = max(runs, key=lambda r: (r[0], -r[1]))
    return (bottom + a, bottom + b) if length * DECADES / BINS >= np.log10(1.5) else None


def _band(share: NDArray[np.float64], mean: NDArray[np.float64], sd: NDArray[np.float64], a: int) -> tuple[float, float]:
    """Return the hysteresis band (kW) between component ``a`` and the next: where each holds a tenth of the density."""
    x = np.linspace(mean[a], mean[a + 1], 400)
    lower = share[a] / sd[a] * np.exp(-0.5 * ((x - mean[a]) / sd[a]) ** 2)
    upper = share[a + 1] / sd[a + 1] * np.exp(-0.5 * ((x - mean[a + 1]) / sd[a + 1]) ** 2)
    odds = upper / (lower + upper + 1e-300)
    off = float(x[min(int(np.searchsorted(odds, 0.1)), len(x) - 1)])
    on = float(x[min(int(np.searchsorted(odds, 0.9)), len(x) - 1)])
    if on - off < 0.04:  # a band narrower than a tenth of a bit of noise would chatter
        middle = 0.5 * (on + off)
        off, on = middle - 0.02, middle + 0.02
    return 10.0**off, 10.0**on


def meter_states(power: NDArray[np.float32], model: MeterModel) -> NDArray[np.int8]:
    """Return the state of a meter at each time.

    Parameters
    ----------
    power : float32 array, shape (time,)
        kW; NaN where nothing arrived.

    Returns
    -------
    int8 array, shape (time,)
        :class:`State`; ``UNKNOWN`` where nothing arrived or the meter is not evaluable.
    """
    out = np.full(len(power), State.UNKNOWN, np.int8)
    if model.drive is Drive.NOT_EVALUABLE:
        return out
    if model.drive is Drive.ALWAYS_OFF:
        out[np.isfinite(power)] = State.OFF
        return out
    _apply(np.asarray(power, np.float32), model.off_below, model.on_above, model.idle_below, out)
    return out
