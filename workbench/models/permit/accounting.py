"""Emission accounting three ways, each an estimate with its log-normal error.

Measured: Σ c·Q over the hours. Coefficient: P·G·(1 − η·k). Balance of volatile organic compounds: Σ m·w − recovered
− in waste − in product. An estimate is a median with a standard deviation of its logarithm, so that "declared too
low" is a probability and not a guess.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import erf, exp, isfinite, log, sqrt

import numpy as np

from workbench.contracts.units import factor_between

Z95 = 1.959964


def share_below(z: float) -> float:
    """Return the standard normal distribution function."""
    return 0.5 * (1.0 + erf(z / sqrt(2.0)))


@dataclass(frozen=True)
class Estimate:
    """An amount in tonnes: median ``value`` and standard deviation ``sigma`` of its logarithm.

    ``value`` is NaN where the way could not be gone; ``reason`` then says why.
    """

    value: float
    sigma: float
    method: str
    reason: str = ""
    filled_share: float = 0.0

    @property
    def known(self) -> bool:
        """Whether there is a figure."""
        return isfinite(self.value) and isfinite(self.sigma)

    def interval(self, z: float = Z95) -> tuple[float, float]:
        """Return the central interval of ``±z`` standard deviations."""
        if not self.known:
            return float("nan"), float("nan")
        return self.value * exp(-z * self.sigma), self.value * exp(z * self.sigma)


def unknown(method: str, reason: str) -> Estimate:
    """Return an estimate that could not be made, with its reason."""
    return Estimate(float("nan"), float("nan"), method, reason)


@dataclass(frozen=True)
class Masses:
    """Running sums of one outlet and factor, from which the mass of any span follows.

    Parameters
    ----------
    mass : float64 array, shape (hour + 1,)
        Cumulative measured mass, t.
    valid : float64 array, shape (hour + 1,)
        Cumulative number of hours with concentration and flow.
    gap : float64 array, shape (hour + 1,)
        Cumulative number of hours without them that are not marked stopped.
    """

    mass: np.ndarray
    valid: np.ndarray
    gap: np.ndarray


def hourly_mass(concentration: np.ndarray, flow: np.ndarray, *, water: bool) -> np.ndarray:
    """Return the mass of each hour in tonnes, NaN where either is missing.

    ``concentration`` in mg/m³ (air) or mg/L (water), ``flow`` in m³/h.
    """
    return np.asarray(concentration, np.float64) * np.asarray(flow, np.float64) * (1e-6 if water else 1e-9)


def running_masses(mass: np.ndarray, stopped: np.ndarray) -> Masses:
    """Return the running sums of hourly masses; hours marked stopped that have no value carry no mass and are no gap."""
    valid = np.isfinite(mass)
    gap = ~valid & ~stopped
    sums = (np.concatenate([[0.0], np.cumsum(x)]) for x in (np.where(valid, mass, 0.0), valid, gap))
    return Masses(*sums)


def measured_mass(
    masses: Masses, lo: np.ndarray, hi: np.ndarray, *, sigma_instrument: float, sigma_fill: float, valid_share: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return mass (t), log standard deviation and filled share of spans of hours ``[lo, hi)``.

    Gaps are filled with the mean of the span's own measured hours; the filled part carries ``sigma_fill``. A span
    with fewer than ``valid_share`` of its hours measured is NaN.
    """
    lo, hi = np.asarray(lo, int), np.asarray(hi, int)
    mass, valid, gap = (x[hi] - x[lo] for x in (masses.mass, masses.valid, masses.gap))
    hours = np.maximum(hi - lo, 1)
    with np.errstate(invalid="ignore", divide="ignore"):
        filled = np.where(valid > 0, gap / (valid + gap), 1.0)
        total = mass * (1.0 + np.where(valid > 0, gap / valid, 0.0))
    known = (valid / hours >= valid_share) & (hi > lo)
    sigma = np.sqrt(sigma_instrument**2 + (filled * sigma_fill) ** 2)
    return np.where(known, total, np.nan), np.where(known, sigma, np.nan), np.where(known, filled, np.nan)


def coefficient_mass(
    product: float, generated: float, removal: float, running: float, *, sigma_coefficient: float, sigma_product: float
) -> Estimate:
    """Return P·G·(1 − η·k) in tonnes.

    Parameters
    ----------
    product : float
        P, product made in the span (t, or the unit G refers to).
    generated : float
        G, kg generated per unit of product.
    removal : float
        η, removal efficiency of the treatment, 0 to 1.
    running : float
        k, share of production time with the treatment running, 0 to 1.
    """
    figures = (product, generated, removal, running)
    if not all(isfinite(x) for x in figures):
        return unknown("coefficient", "product, coefficient, removal or running share is missing")
    if product <= 0 or generated < 0 or not 0 <= removal <= 1 or not 0 <= running <= 1:
        return unknown("coefficient", f"out of range: P {product:g}, G {generated:g}, η {removal:g}, k {running:g}")
    value = product * generated * (1.0 - removal * running) / 1000.0
    return Estimate(value, sqrt(sigma_coefficient**2 + sigma_product**2), "coefficient")


def balance_mass(
    used: Sequence[float],
    share: Sequence[float],
    *,
    recovered: float,
    in_waste: float,
    in_product: float,
    sigma_used: float,
    sigma_out: float,
) -> Estimate:
    """Return Σ m·w − recovered − in waste − in product in tonnes of volatile organic compounds.

    The error is propagated absolutely and then expressed as a logarithm; a balance that is not clearly above 0
    (less than two standard deviations) says nothing and is unknown.
    """
    m, w = np.asarray(used, float), np.asarray(share, float)
    outs = np.array([recovered, in_waste, in_product], float)
    if not m.size or m.shape != w.shape or not np.isfinite(np.r_[m, w, outs]).all():
        return unknown("balance", "masses, contents or outflows are missing")
    if (m < 0).any() or (w < 0).any() or (w > 1).any() or (outs < 0).any():
        return unknown("balance", "a mass is negative or a content is not between 0 and 1")
    value = float((m * w).sum() - outs.sum())
    spread = sqrt(float(((m * w * sigma_used) ** 2).sum() + ((outs * sigma_out) ** 2).sum()))
    if value <= 2.0 * spread:
        return unknown("balance", f"balance {value:.3g} t is within its own error {spread:.3g} t")
    return Estimate(value, sqrt(log(1.0 + (spread / value) ** 2)), "balance")


def combined(estimates: Sequence[Estimate]) -> Estimate:
    """Return the inverse-variance mean of the known estimates, in logarithms."""
    known = [e for e in estimates if e.known and e.value > 0 and e.sigma > 0]
    if not known:
        return unknown("combined", "; ".join(e.reason for e in estimates if e.reason) or "no estimate")
    weight = np.array([e.sigma**-2 for e in known])
    mean = float((weight * np.log([e.value for e in known])).sum() / weight.sum())
    return Estimate(exp(mean), float(weight.sum() ** -0.5), "combined")


def declared_too_low(declared: float, computed: Estimate, *, sigma_declared: float) -> tuple[float, float]:
    """Return z = ln(declared/computed)/√(σ₁²+σ₂²) and the probability that the declared figure is too low.

    Both NaN where either figure is missing; z is −inf (probability 1) where nothing is declared against a computed mass.
    """
    if not computed.known or not isfinite(declared) or computed.value <= 0 or declared < 0:
        return float("nan"), float("nan")
    if declared == 0:
        return -float("inf"), 1.0
    z = log(declared / computed.value) / sqrt(sigma_declared**2 + computed.sigma**2)
    return z, share_below(-z)


def understated_factor(declared: float, computed: Estimate, *, sigma_declared: float, z: float = Z95) -> tuple[float, float, float]:
    """Return declared/true with its interval: how large the declared share of the true amount is."""
    if not computed.known or not isfinite(declared) or computed.value <= 0 or declared <= 0:
        return float("nan"), float("nan"), float("nan")
    ratio, s = declared / computed.value, sqrt(sigma_declared**2 + computed.sigma**2)
    return ratio, ratio * exp(-z * s), ratio * exp(z * s)


def exhaustion_day(daily_t: np.ndarray, used_t: float, permitted_t: float, *, sigma: float, days_left: int) -> tuple[float, float, float]:
    """Return in how many days the permitted amount runs out: median, early and late bound (95 %), inf beyond ``days_left``.

    Parameters
    ----------
    daily_t : float array
        Daily masses of the recent past, t; NaN days are left out.
    used_t : float
        Amount used since the year's start, t.
    permitted_t : float
        Permitted annual amount, t.
    sigma : float
        Log standard deviation of the accounting (common to past and future).
    days_left : int
        Days until the year ends; later exhaustion is none.

    Notes
    -----
    The sum of n days is n·mean ± √n·sd; the accounting error scales both used and future alike.
    """
    x = daily_t[np.isfinite(daily_t)]
    if x.size < 2 or not isfinite(used_t) or not isfinite(permitted_t) or days_left <= 0:
        return float("nan"), float("nan"), float("nan")
    n = np.arange(days_left + 1, dtype=float)
    mean, spread = x.mean() * n, x.std(ddof=1) * np.sqrt(n * (1.0 + n / x.size))

    def first(z: float) -> float:
        path = (used_t + np.maximum(mean + z * spread, 0.0)) * exp(z * sigma)
        over = np.flatnonzero(path >= permitted_t)
        return float(over[0]) if over.size else float("inf")

    return first(0.0), first(Z95), first(-Z95)


def to_unit(unit: str, target: str) -> float:
    """Return the factor from a point's unit to ``target``; an empty unit is taken as the target itself."""
    return 1.0 if not unit.strip() else factor_between(unit, target)
