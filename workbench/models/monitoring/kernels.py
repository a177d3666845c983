"""The hot loops: one pass over the raw values, compiled by numba, free of the GIL and of global state.

A block holds the rows of a few points over all its times, so a run of equal values is carried across days and
storage chunks by the loop itself; ``carry`` brings it over the seam when a day is appended. Functions release the
GIL: dask runs one block per thread, which keeps two cores busy without numba's own thread pool.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from workbench.models.monitoring.no_value import HIGHEST, is_code

DAY_STATISTICS: dict[str, tuple[str, str]] = {
    "n_valid": ("1", "ordinary values: finite, not negative beyond the tolerance, no lawful mark"),
    "n_missing": ("1", "nothing arrived"),
    "n_marked": ("1", "values or gaps under a mark other than normal"),
    "n_impossible": ("1", "infinite or beyond 1e9, negative beyond the tolerance, or a device's code for no value"),
    "mean": ("unit of the point", "mean of the ordinary values"),
    "sd": ("unit of the point", "standard deviation of the ordinary values"),
    "low": ("unit of the point", "smallest ordinary value"),
    "high": ("unit of the point", "largest ordinary value"),
    "n_at_high": ("1", "ordinary values equal to the largest"),
    "tie_rate": ("1", "share of neighbouring ordinary values that are equal"),
    "run": ("1", "longest run of equal ordinary values that reaches into the day; a gap breaks no run"),
    "run_value": ("unit of the point", "value of that run"),
    "run_start": ("1", "index of the first sample of that run"),
    "run_end": ("1", "index of the last sample of that run so far"),
    "lag1": ("1", "1 − von Neumann ratio / 2: lag-1 autocorrelation of the ordinary values"),
    "rough": ("unit of the point", "mean absolute step between neighbouring ordinary values"),
    "n_below_limit": ("1", "ordinary values in (0.95 L, L]"),
    "n_over_limit": ("1", "ordinary values over L"),
    "n_saturated": ("1", "values at the upper end of the measuring range, or marked over range"),
    "n_dips": ("1", "short unmarked dips to under a third of the level, one to three samples long"),
    "run_before": ("unit of the point", "ordinary value from which that run was entered, at most an hour before it"),
}
"""Per-point-day statistics in the order of the kernel's first axis: name -> (unit, meaning)."""
HOUR_STATISTICS: dict[str, tuple[str, str]] = {
    "hour_mean": ("unit of the point", "hourly mean of the ordinary values"),
    "hour_any": ("unit of the point", "hourly mean of all finite values, marked ones included"),
    "hour_mark": ("1", "mark that covers most of the hour; 255 none"),
    "hour_missing": ("1", "share of the hour in which nothing arrived"),
    "gas_low": ("unit of the point", "smallest possible value under a calibration mark"),
    "gas_high": ("unit of the point", "largest possible value under a calibration mark"),
    "hour_step": ("unit of the point", "median absolute step between neighbouring ordinary readings of the hour; fine data only"),
    "jump": ("ln", "largest sharp lasting jump between two readings of the hour, 0 without one; fine data only, see jumps.py"),
    "jump_at": ("1", "sample of the period at which that jump begins, -1 without one"),
}
"""Per-point-hour statistics in the order of the kernel's second output; the last three are not the kernel's own."""
N_DAY, N_HOUR, SKETCH = len(DAY_STATISTICS), len(HOUR_STATISTICS), 12
CARRY = 6
"""State between calls, per point: run value, run length, run start, run end, last ordinary value, value before the run."""
_OTHER, _CALIBRATION = 11, 5


@njit(cache=True, nogil=True)
def overlay_marks(mark: np.ndarray, first: np.ndarray, last: np.ndarray, code: np.ndarray, row: np.ndarray) -> None:
    """Write outlet marks into the value marks, where the values carry none of their own.

    Parameters
    ----------
    mark : uint8 array, shape (point, time)
        Changed in place.
    first, last : int64 arrays
        Sample span of each mark, last not included.
    code : uint8 array
        Mark code of each.
    row : int64 array
        Row of ``mark`` each belongs to.
    """
    n = mark.shape[1]
    for k in range(first.size):
        i = row[k]
        for t in range(max(0, first[k]), min(n, last[k])):
            if mark[i, t] == 0 or mark[i, t] == 255:
                mark[i, t] = code[k]


@njit(cache=True, nogil=True)
def scan(
    value: np.ndarray,
    mark: np.ndarray,
    per_point: np.ndarray,
    offset: int,
    per_day: int,
    day: np.ndarray,
    hour: np.ndarray,
    carry: np.ndarray,
) -> None:
    """Reduce raw values to the statistics of every day and hour, in one pass.

    Parameters
    ----------
    value : float32 array, shape (point, time)
        NaN where nothing arrived.
    mark : uint8 array, shape (point, time)
        0 normal, 255 none, 6 over range; every other code makes a value not ordinary.
    per_point : float32 array, shape (point, 3 or 4)
        Limit (NaN: none), upper end of the range (NaN: unknown), tolerance below zero (NaN: may be negative), largest size
        that a reading can have, from which on a device's code for "no value" is taken as one (infinite: never).
    offset : int
        Samples of the first day that lie before the first column.
    per_day : int
        Samples per day.
    day : float32 array, shape (N_DAY, point, day)
        Output, see :data:`DAY_STATISTICS`.
    hour : float32 array, shape (N_HOUR, point, hour)
        Output, see :data:`HOUR_STATISTICS`.
    carry : float64 array, shape (point, CARRY)
        Run at the seam; read and updated. NaN value: no run yet.
    """
    n_point, n_time = value.shape
    n_day, n_hour = day.shape[2], hour.shape[2]
    nan = np.float32(np.nan)
    per_hour = per_day // 24 if per_day >= 24 else 1
    step_hours = 1 if per_day >= 24 else 24 // per_day
    counts = np.zeros(12, np.int64)
    for i in range(n_point):
        limit, top, tolerance = per_point[i, 0], per_point[i, 1], per_point[i, 2]
        reach = per_point[i, 3] if per_point.shape[1] > 3 else np.float32(np.inf)
        has_limit, has_top, has_floor = not np.isnan(limit), not np.isnan(top), not np.isnan(tolerance)
        band = np.float32(0.95) * limit
        run_value, run_length = np.float32(carry[i, 0]), int(carry[i, 1])
        run_start, run_end = carry[i, 2], carry[i, 3]
        previous, run_before = np.float32(carry[i, 4]), np.float32(carry[i, 5])
        t = 0
        for d in range(n_day):
            stop = min(n_time, (d + 1) * per_day - offset)
            n_valid = n_missing = n_marked = n_bad = n_at = pairs = ties = n_below = n_over = n_top = dips = low_run = 0
            base = np.float32(0.0)
            total = square = steps = rough = 0.0
            low, high = np.float32(np.inf), np.float32(-np.inf)
            best, best_value, best_start, best_end = 0, nan, 0.0, 0.0
            best_before, level = nan, nan
            while t < stop:
                h = ((t + offset) // per_hour) * step_hours
                hour_stop = min(stop, ((t + offset) // per_hour + 1) * per_hour - offset)
                sum_ok = sum_any = 0.0
                n_ok = n_any = n_gap = n_mark = 0
                gas_low, gas_high = np.float32(np.inf), np.float32(-np.inf)
                span = hour_stop - t
                while t < hour_stop:
                    x, m = value[i, t], mark[i, t]
                    ordinary = m == 0 or m == 255 or m == 6
                    if not ordinary:
                        n_marked += 1
                        counts[min(m, _OTHER)] += 1
                        n_mark += 1
                    if np.isnan(x):
                        n_gap += 1
                    elif abs(x) >= HIGHEST or (has_floor and x < tolerance) or (abs(x) > reach and is_code(x)):
                        n_bad += 1
                    else:
                        sum_any += x
                        n_any += 1
                        if m == _CALIBRATION:
                            gas_low, gas_high = min(gas_low, x), max(gas_high, x)
                        if m == 6 or (has_top and x >= top):
                            n_top += 1
                        if ordinary:
                            if n_valid == 0:
                                base = x
                            sum_ok += x
                            n_ok += 1
                            n_valid += 1
                            shifted = np.float64(x - base)
                            total += shifted
                            square += shifted * shifted
                            if x < low:
                                low = x
                            if x > high:
                                high = x
                                n_at = 1
                            elif x == high:
                                n_at += 1
                            if not np.isnan(previous):
                                step = np.float64(x - previous)
                                pairs += 1
                                steps += step * step
                                rough += abs(step)
                                if step == 0.0:
                                    ties += 1
                                if low_run == 0:
                                    if previous > 0 and x < np.float32(0.33) * previous:
                                        low_run = 1
                                        level = previous
                                elif x > np.float32(0.67) * level:
                                    dips += 1
                                    low_run = 0
                                elif low_run > 2:
                                    low_run = 0
                                else:
                                    low_run += 1
                            previous = x
                            if x == run_value:
                                run_length += 1
                            else:
                                run_before = run_value if t - run_end <= per_hour else nan
                                run_value, run_length, run_start = x, 1, np.float64(t)
                            run_end = np.float64(t)
                            if run_length > best:
                                best, best_value, best_start, best_end = run_length, run_value, run_start, run_end
                                best_before = run_before
                            if has_limit:
                                if x > limit:
                                    n_over += 1
                                elif x > band:
                                    n_below += 1
                    t += 1
                if h < n_hour:
                    hour[0, i, h] = sum_ok / n_ok if n_ok > 0 and 2 * n_ok >= span else nan
                    hour[1, i, h] = sum_any / n_any if n_any > 0 else nan
                    code = 255
                    if 2 * n_mark >= span and n_mark > 0:
                        code, most = 0, 0
                        for k in range(12):
                            if counts[k] > most:
                                code, most = k, counts[k]
                    hour[2, i, h] = code
                    hour[3, i, h] = n_gap / span
                    if gas_low <= gas_high:
                        hour[4, i, h], hour[5, i, h] = gas_low, gas_high
                    if n_mark:
                        counts[:] = 0
                n_missing += n_gap
            day[0, i, d], day[1, i, d], day[2, i, d], day[3, i, d] = n_valid, n_missing, n_marked, n_bad
            if n_valid > 0:
                mean = total / n_valid
                spread = square / n_valid - mean * mean
                spread = max(spread, 0.0)
                day[4, i, d], day[5, i, d], day[6, i, d], day[7, i, d] = base + mean, np.sqrt(spread), low, high
                day[8, i, d] = n_at
                day[9, i, d] = ties / pairs if pairs > 0 else nan
                day[10, i, d], day[11, i, d], day[12, i, d], day[13, i, d] = best, best_value, best_start, best_end
                day[14, i, d] = 1.0 - steps / pairs / (2.0 * spread) if pairs > 2 and spread > 0 else nan
                day[15, i, d] = rough / pairs if pairs > 0 else nan
                day[16, i, d] = n_below if has_limit else nan
                day[17, i, d] = n_over if has_limit else nan
            else:
                for k in range(4, 18):
                    day[k, i, d] = nan
            day[18, i, d] = n_top if has_top else nan
            day[19, i, d] = dips
            day[20, i, d] = best_before
        # samples are counted from the first of the next call
        carry[i, 0], carry[i, 1], carry[i, 2], carry[i, 3] = run_value, run_length, run_start - n_time, run_end - n_time
        carry[i, 4], carry[i, 5] = previous, run_before


@njit(cache=True, nogil=True)
def sketch_grams(value: np.ndarray, mark: np.ndarray, offset: int, per_day: int, gram: int, sketch: np.ndarray, where: np.ndarray) -> None:
    """Keep the smallest rolling hashes of value n-grams of each day: equal spans leave equal hashes, in linear time.

    Parameters
    ----------
    value, mark, offset, per_day
        As for :func:`scan`.
    gram : int
        Ordinary values in one gram; grams in which less than half of the steps change a value are left out, since a
        plateau repeats honestly.
    sketch : uint64 array, shape (point, day, SKETCH)
        Output: the smallest hashes of the grams that end in the day, ascending; the largest integer fills up.
    where : int32 array, shape (point, day, SKETCH)
        Output: index of the sample at which the gram ends; -1 fills up.
    """
    n_point, n_time = value.shape
    n_day = sketch.shape[1]
    prime = np.uint64(1099511628211)
    power = np.uint64(1)
    for _ in range(gram - 1):
        power *= prime
    empty = np.uint64(0xFFFFFFFFFFFFFFFF)
    ring = np.zeros(gram, np.uint64)
    changed = np.zeros(gram, np.int64)
    bits = np.zeros(1, np.float32)
    word = bits.view(np.uint32)
    for i in range(n_point):
        filled = changes = head = 0
        rolling = np.uint64(0)
        last = np.float32(np.nan)
        t = 0
        for d in range(n_day):
            stop = min(n_time, (d + 1) * per_day - offset)
            for k in range(sketch.shape[2]):
                sketch[i, d, k], where[i, d, k] = empty, -1
            while t < stop:
                x, m = value[i, t], mark[i, t]
                if np.isfinite(x) and (m == 0 or m == 255):
                    bits[0] = x
                    key = np.uint64(word[0]) * np.uint64(0x9E3779B97F4A7C15)
                    key ^= key >> np.uint64(29)
                    moved = 0 if x == last else 1
                    if filled == gram:
                        rolling -= ring[head] * power
                        changes -= changed[head]
                    else:
                        filled += 1
                    rolling = rolling * prime + key
                    ring[head], changed[head] = key, moved
                    changes += moved
                    head = head + 1 if head + 1 < gram else 0
                    last = x
                    if filled == gram and 2 * changes >= gram:
                        mixed = rolling ^ (rolling >> np.uint64(31))
                        mixed *= np.uint64(0xBF58476D1CE4E5B9)
                        mixed ^= mixed >> np.uint64(27)
                        k = sketch.shape[2] - 1
                        if mixed < sketch[i, d, k]:
                            while k > 0 and sketch[i, d, k - 1] > mixed:
                                sketch[i, d, k], where[i, d, k] = sketch[i, d, k - 1], where[i, d, k - 1]
                                k -= 1
                            sketch[i, d, k], where[i, d, k] = mixed, t
                t += 1


@njit(cache=True, nogil=True)
def detail_of_days(value: np.ndarray, mark: np.ndarray, offset: int, per_day: int, window: int, out: np.ndarray) -> None:
    """Return each day's fast detail (value less its running mean), normalised, for the bounded search of noisy copies.

    Parameters
    ----------
    window : int
        Samples of the running mean, odd.
    out : float32 array, shape (day, per_day)
        Output for **one** row of values; zero where not ordinary; a day with under half of its samples, or
        with few changes of value (a coarse series matches itself honestly), is all zero.
    """
    n_time = value.size
    half = window // 2
    for d in range(out.shape[0]):
        n = changes = 0
        norm = 0.0
        last = np.float32(np.nan)
        for s in range(per_day):
            t = d * per_day + s - offset
            out[d, s] = 0.0
            if t < 0 or t >= n_time or not np.isfinite(value[t]) or not (mark[t] == 0 or mark[t] == 255):
                continue
            total, seen = 0.0, 0
            for u in range(max(0, t - half), min(n_time, t + half + 1)):
                if np.isfinite(value[u]) and (mark[u] == 0 or mark[u] == 255):
                    total += value[u]
                    seen += 1
            x = value[t] - total / seen
            out[d, s] = x
            norm += x * x
            n += 1
            if value[t] != last:
                changes += 1
            last = value[t]
        if 2 * n < per_day or 4 * changes < per_day or norm <= 0.0:
            out[d, :] = 0.0
        else:
            out[d, :] /= np.float32(np.sqrt(norm))


@njit(cache=True, nogil=True)
def earlier_twins(gram: np.ndarray, rank: int, best: np.ndarray, corr: np.ndarray, habit: np.ndarray) -> None:
    """Find the best match of each day among earlier days, and what the ``rank``-th best match among all others reaches.

    Parameters
    ----------
    gram : float32 array, shape (day, day)
        Symmetric correlations; only those under the diagonal are read.
    rank : int
        At least 1.
    best : int64 array, shape (day,)
        Output: the earlier day, the first of equals; 0 where none is over −1.
    corr : float32 array, shape (day,)
        Output: its correlation, −1 where there is none.
    habit : float32 array, shape (day,)
        Output: the ``rank``-th largest correlation with any other day, 0 at least.
    """
    top = np.zeros(rank, np.float32)
    for d in range(gram.shape[0]):
        best[d], corr[d] = 0, np.float32(-1.0)
        top[:] = 0.0
        for e in range(gram.shape[0]):
            if e == d:
                continue
            g = gram[d, e] if e < d else gram[e, d]
            if e < d and g > corr[d]:
                best[d], corr[d] = e, g
            if g > top[0]:
                k = 0
                while k + 1 < rank and top[k + 1] < g:
                    top[k] = top[k + 1]
                    k += 1
                top[k] = g
        habit[d] = top[0]
