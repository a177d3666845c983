"""Random streams keyed by name, and the autocorrelated residuals of everything that fluctuates.

A stream depends on the seed and its own name only, so that neither the order of work nor the size of a block
changes a single value.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field

import numpy as np
from scipy.signal import lfilter

Floats = np.ndarray
STEPS_PER_HOUR = 10
FAMILIES = {"stack": (2.4, 2.5, 0.4), "power": (3.0, 4.0, 0.3), "ambient": (18.0, 4.0, 0.25), "water": (7.0, 4.0, 0.2)}
"""Memory (h), degrees of freedom of the innovations and daily swing by family [C: stack set so that windows of hourly
means resemble those of a gas turbine's NOx and CO; tests/recovery reports how well they can still be told apart]."""


def stream(seed: int, *names: object) -> np.random.Generator:
    """Return the generator of the stream called ``names``."""
    text = "\x1f".join(map(str, names))
    key = int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "little")
    return np.random.default_rng(np.random.SeedSequence([seed, key]))


def ar1(rng: np.random.Generator, n: int, tau: float, *, heavy: bool = False) -> Floats:
    """Return a unit-variance AR(1) series of ``n`` steps with correlation time ``tau`` (steps); heavy: Student t, 5 df."""
    a = float(np.exp(-1.0 / tau))
    e = rng.standard_t(5, n) * np.sqrt(3 / 5) if heavy else rng.standard_normal(n)
    e *= np.sqrt(1 - a * a)
    start = rng.standard_normal()
    out: Floats = lfilter([1.0], [1.0, -a], e, zi=[a * start])[0]
    return out


def lag(x: Floats, tau: float) -> Floats:
    """Return ``x`` behind a first-order lag of ``tau`` steps, started in balance."""
    a = float(np.exp(-1.0 / max(tau, 1e-9)))
    out: Floats = lfilter([1 - a], [1.0, -a], x, zi=[a * x[0]])[0]
    return out


@dataclass(frozen=True)
class Residuals:
    """Where residuals come from: parametric, or blocks of real series where they were given.

    Parameters
    ----------
    pools : mapping of str to array
        Unit-variance hourly residual series by family (``stack``, ``power``, ``ambient``); an absent family is
        parametric.
    """

    pools: dict[str, list[Floats]] = field(default_factory=dict)

    def draw(self, rng: np.random.Generator, n: int, family: str) -> Floats:
        """Return ``n`` six-minute steps of unit-variance residual of a family."""
        fast = ar1(rng, n, 3.0)
        pool = self.pools.get(family)
        if not pool:
            return _within_hours(_hourly(rng, n // STEPS_PER_HOUR + 2, family), fast)
        hours = _blocks(rng, pool, n // STEPS_PER_HOUR + 2)
        return _within_hours(hours, fast)


def _hourly(rng: np.random.Generator, hours: int, family: str) -> Floats:
    """Return hourly residuals of about unit variance: jumps that decay, restless spells, and a day's swing."""
    memory, freedom, swing = FAMILIES[family]
    a = float(np.exp(-1.0 / (memory * np.exp(rng.normal(0, 0.35)))))
    jumps = np.clip(rng.standard_t(freedom, hours), -9, 9) * np.exp(0.35 * ar1(rng, hours, 30.0))
    x: Floats = lfilter([1.0], [1.0, -a], jumps)
    x = x / max(float(x.std()), 1e-9)
    day = np.arange(hours) * (2 * np.pi / 24)
    daily = np.sin(day + rng.uniform(0, 2 * np.pi)) + 0.5 * np.sin(2 * day + rng.uniform(0, 2 * np.pi))
    x = x + swing * daily * np.exp(0.5 * ar1(rng, hours, 48.0))
    return np.asarray(np.clip(x / np.sqrt(1 + 0.75 * swing**2), -6, 6))


def _within_hours(hours: Floats, fast: Floats) -> Floats:
    """Return six-minute values whose hourly means are ``hours``: a line between hour centres, and ``fast`` around it."""
    n = len(fast)
    step = (np.arange(n) + 0.5) / STEPS_PER_HOUR - 0.5
    shape = np.interp(step, np.arange(len(hours)), hours) + 0.3 * fast
    size = -(-n // STEPS_PER_HOUR) * STEPS_PER_HOUR
    padded = np.concatenate([shape, np.full(size - n, shape[-1])]).reshape(-1, STEPS_PER_HOUR)
    padded = padded - padded.mean(axis=1, keepdims=True) + hours[: len(padded), None]
    return np.asarray(padded.reshape(-1)[:n])


def _blocks(rng: np.random.Generator, pool: list[Floats], hours: int) -> Floats:
    """Return ``hours`` values glued from random blocks of one to three days, each end faded into the next over 3 h."""
    out, filled, fade = np.empty(hours + 80), 0, np.array([0.25, 0.5, 0.75])
    while filled < hours:
        series = pool[int(rng.integers(len(pool)))]
        size = int(rng.integers(24, 73))
        first = int(rng.integers(0, len(series) - size))
        block = series[first : first + size].copy()
        if filled:
            tail = out[filled - 3 : filled]
            out[filled - 3 : filled] = tail * (1 - fade) + block[:3] * fade
            block = block[3:]
        take = min(len(block), len(out) - filled)
        out[filled : filled + take] = block[:take]
        filled += take
    return out[:hours]
