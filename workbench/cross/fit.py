"""Fit shares, motives and emissions in PyMC, on unique evidence patterns with counts.

The likelihood is a log-sum-exp over the 384 states of each *distinct* pattern, weighted by how often it came: the cost
is that of the patterns, not of the history. Inspected enterprises carry their label as one more, imperfect, source
with sensitivity above one minus specificity. Hours repeat themselves, so that a day counts as one observation.
The result is gated: with divergences, a large r_hat or a small effective sample the expert priors stand, and say so.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from workbench.contracts import threads
from workbench.cross.emission import Emission
from workbench.cross.evidence import ONE_WORD, Channel, Evidence
from workbench.cross.fusion import Reliability, expert
from workbench.cross.patterns import PatternCounter
from workbench.cross.regimes import CALM_DAYS, RegimePrior, regime_prior
from workbench.cross.roles import priors
from workbench.cross.scoring import groups_of
from workbench.cross.states import N_REGIMES, N_STATES, SOURCES, space

MAX_R_HAT = 1.05
MIN_ESS = 100.0
MAX_DIVERGENT = 0.01
BITS = ("z_T", "z_X", *SOURCES)


@dataclass(frozen=True)
class FitData:
    """What the likelihood sees: distinct rows with weights.

    Parameters
    ----------
    levels : int8 array, shape (row, channel)
    industry, street : int array, shape (row,)
    label : int array, shape (row,)
        1 inspected and found in violation, 0 inspected and none found, -1 not inspected.
    weight : float array, shape (row,)
        Observed days behind each row.
    hours : int
        Enterprise-hours counted.
    distinct : int
        Distinct rows before the rare ones were drawn.
    """

    levels: np.ndarray
    industry: np.ndarray
    street: np.ndarray
    label: np.ndarray
    weight: np.ndarray
    hours: int
    distinct: int
    industries: tuple[str, ...] = ()
    streets: tuple[str, ...] = ()


@dataclass(frozen=True)
class Fit:
    """Posterior of the parameters.

    Parameters
    ----------
    passed : bool
        Whether the gate lets the fit be used.
    reason : str
        What the gate says.
    draws : dict of arrays
        First axis: draw.
    diagnostics : dict
        ``divergences, r_hat, ess, draws, rows, hours, seconds``.
    """

    passed: bool
    reason: str
    draws: dict[str, np.ndarray] = field(default_factory=dict)
    diagnostics: dict[str, float] = field(default_factory=dict)
    data: FitData | None = None

    def reliability(self, e: Evidence, enterprises: pd.DataFrame | None, draw: int | None = None) -> Reliability:
        """Return the parameters of one draw (None: posterior mean), or the expert priors where the gate refused."""
        base = expert(e)
        if not self.passed or self.data is None:
            return Reliability(base.emissions, base.regime, base.offsets, f"expert priors ({self.reason})")
        at = {k: (v.mean(0) if draw is None else v[draw]) for k, v in self.draws.items()}
        parts: list[Emission | None] = []
        for c, part in zip(e.channels, base.emissions, strict=True):
            theta = at.get(f"theta_{c.name}")
            parts.append(part if part is None or theta is None else Emission(theta, part.row_of_state, part.nuisance, part.worth))
        regime = _regime(np.array([at["logit_share"][i] for i in range(len(BITS))]), at["delta"], base.regime)
        offsets = np.zeros(e.shape[0])
        for column, names, key in (
            ("industry", self.data.industries, "u_industry"),
            ("street_town", self.data.streets, "u_street"),
        ):
            if enterprises is not None and key in at:
                value = dict(zip(names, at[key], strict=True))
                of = dict(zip(enterprises["enterprise_id"], enterprises[column], strict=True))
                offsets += np.array([value.get(str(of.get(x, "")), 0.0) for x in e.enterprises])
        return Reliability(parts, regime, offsets, "fitted")


def _regime(logit_share: np.ndarray, delta: np.ndarray, base: RegimePrior) -> RegimePrior:
    s = space()
    motive = s.z_T | s.z_X
    log_share = np.zeros(N_REGIMES)
    for i, bit in enumerate((s.z_T, s.z_X, *(s.z_H[x] for x in SOURCES))):
        logit = logit_share[i] + (delta[i - 2] * motive if i >= 2 else 0.0)
        log_share += np.where(bit, -np.log1p(np.exp(-logit)), -np.log1p(np.exp(logit)))
    return RegimePrior(log_share, base.hazard, base.state_given_regime)


def collapse(
    e: Evidence,
    inspections: pd.DataFrame | None,
    enterprises: pd.DataFrame | None,
    *,
    rows: int = 300,
    seed: int = 0,
) -> FitData:
    """Count distinct (pattern, industry, street, label) rows, enterprise by enterprise, and keep at most ``rows``.

    The commonest two thirds are kept; the rest stand for all others: drawn with probability by count and weighted to
    their total, so that rare patterns, where offences are, stay represented without bias.
    """
    n, hours = e.shape
    table = None
    if enterprises is not None and len(enterprises):
        table = enterprises.drop_duplicates("enterprise_id").set_index("enterprise_id").reindex(e.enterprises)
    industry, industries = _codes(table, "industry", n)
    street, streets = _codes(table, "street_town", n)
    label = _labels(e, inspections)
    counter = PatternCounter(len(e.channels) + 3)
    for i in range(n):
        block = np.empty((hours, len(e.channels) + 3), dtype=np.int8)
        for k, c in enumerate(e.channels):
            block[:, k] = c.values[i]
        block[:, -3], block[:, -2], block[:, -1] = industry[i], street[i], label[i]
        counter.add(block)
    return reduce_rows(counter, len(e.channels), rows, seed, industries, streets)


def reduce_rows(
    counter: PatternCounter, width: int, rows: int, seed: int, industries: Sequence[str] = ("",), streets: Sequence[str] = ("",)
) -> FitData:
    """Return at most ``rows`` weighted rows of a filled counter (see :func:`collapse`)."""
    order = np.lexsort((*counter.rows.T[::-1], -counter.counts))
    kept, counts = counter.rows[order], counter.counts[order].astype(float)
    head = min(len(kept), rows if len(kept) <= rows else 2 * rows // 3)
    weight = counts[:head].copy()
    chosen = kept[:head]
    if len(kept) > head:
        rest = counts[head:]
        # systematic draw: as many picks as rows left, each worth the same share of the total
        picks = rows - head
        step = rest.sum() / picks
        at = np.random.default_rng(seed).uniform(0, step) + step * np.arange(picks)
        which, times = np.unique(np.searchsorted(rest.cumsum(), at), return_counts=True)
        chosen = np.vstack([chosen, kept[head:][which]])
        weight = np.r_[weight, times * step]
    return FitData(
        chosen[:, :width].copy(),
        chosen[:, width].astype(np.int64),
        chosen[:, width + 1].astype(np.int64),
        chosen[:, width + 2].astype(np.int64),
        weight / ONE_WORD,
        int(counter.counts.sum()),
        len(counter),
        tuple(industries),
        tuple(streets),
    )


def _codes(table: pd.DataFrame | None, column: str, n: int) -> tuple[np.ndarray, list[str]]:
    if table is None:
        return np.zeros(n, dtype=np.int8), [""]
    codes, names = pd.factorize(table[column].fillna("").astype(str), sort=True)
    return codes.astype(np.int8), [str(x) for x in names]


def _labels(e: Evidence, inspections: pd.DataFrame | None) -> np.ndarray:
    out = np.full(e.shape, -1, dtype=np.int8)
    if inspections is None or not e.shape[1]:
        return out
    hours = e.hours.to_numpy()
    for enterprise, start, end, finding in inspections[["enterprise_id", "period_start", "period_end", "finding"]].itertuples(index=False):
        row = e.row(str(enterprise))
        if row >= 0:
            inside = (hours >= np.datetime64(start)) & (hours <= np.datetime64(end))
            out[row, inside] = np.maximum(out[row, inside], np.int8(finding == "violation"))
    return out


def build_model(data: FitData, channels: Sequence[Channel], emissions: Sequence[Emission | None]) -> Any:
    """Return the PyMC model of the collapsed rows."""
    import pymc as pm
    import pytensor.tensor as pt

    p, s = priors(), space()
    base = regime_prior()
    spells = {b: p.spell(b) for b in BITS}
    mean = np.array([np.log(spells[b].share / (1 - spells[b].share)) for b in BITS])
    rho = float(p.nuisance["share"])
    with pm.Model() as model:
        logit_share = pm.Normal("logit_share", mean, 0.7, shape=len(BITS))
        delta = pm.Normal("delta", np.array([spells[x].delta for x in SOURCES]), 0.5, shape=len(SOURCES))
        cell: Any = pt.zeros(len(data.weight))
        for name, index, size in (("industry", data.industry, len(data.industries)), ("street", data.street, len(data.streets))):
            if size > 1:
                tau = pm.HalfNormal(f"tau_{name}", float(p.regimes["cell_sd"]))
                raw = pm.Normal(f"raw_{name}", 0.0, 1.0, shape=size)
                cell = cell + pt.dot(pt.as_tensor(np.eye(size)[index]), pm.Deterministic(f"u_{name}", tau * raw))
        motive = (s.z_T | s.z_X).astype(float)
        log_share: Any = 0.0
        for i, bit in enumerate((s.z_T, s.z_X, *(s.z_H[x] for x in SOURCES))):
            logit = logit_share[i] + (delta[i - 2] * motive if i >= 2 else np.zeros(N_REGIMES)) + cell[:, None]
            log_share = log_share + pt.switch(bit[None, :], -pt.softplus(-logit), -pt.softplus(logit))
        classes, of_class = _state_classes(channels, emissions)
        weights = base.state_given_regime @ np.eye(classes.shape[1])[of_class]
        total: Any = pt.log(pt.dot(pt.exp(log_share), weights) + 1e-300)
        theta = _thetas(channels, emissions)
        for g in groups_of(channels):
            plain: Any = 0.0
            odd = np.zeros((len(data.weight), 1))
            for k in g.columns:
                part = emissions[k]
                if part is None:
                    continue
                seen = data.levels[:, k] >= 0
                onehot = np.zeros((len(seen), part.rows.shape[1]))
                onehot[np.flatnonzero(seen), data.levels[seen, k]] = 1.0
                # dots with constant indicators: their gradient is a dot too, where that of a gather is a slow scatter
                holds = (classes[k][None, :] == np.arange(len(part.rows))[:, None]).astype(float)
                plain = plain + pt.dot(pt.dot(pt.as_tensor(onehot), pt.log(theta[k]).T), pt.as_tensor(holds))
                odd[seen, 0] += np.log(part.nuisance)[data.levels[seen, k]]
            if len(g.columns) > 1:
                plain = pt.logaddexp(np.log1p(-rho) + plain, np.log(rho) + odd)
            total = total + plain * (ONE_WORD / g.support_hours)
        se_mean, se_worth = p.inspection["sensitivity"]["mean"], p.inspection["sensitivity"]["worth"]
        se = pm.Beta("sensitivity", se_mean * se_worth, (1 - se_mean) * se_worth)
        ratio = pm.Beta("false_ratio", 2.0, 14.0)  # a clean hour inside a period found in violation: 1 - sp = se · ratio < se
        found = pt.switch(classes[-1] == 1, se, se * ratio)
        y = data.label[:, None]
        total = total + pt.switch(y == 1, pt.log(found)[None, :], pt.switch(y == 0, pt.log1p(-found)[None, :], 0.0))
        top = pt.max(total, axis=1, keepdims=True)
        log_like = top[:, 0] + pt.log(pt.sum(pt.exp(total - top), axis=1))
        pm.Potential("evidence", pt.dot(pt.as_tensor(data.weight), log_like))
    return model


def _state_classes(channels: Sequence[Channel], emissions: Sequence[Emission | None]) -> tuple[np.ndarray, np.ndarray]:
    """Return states that no channel and no label tells apart as one class: (row of each channel and V per class, class of state).

    Their prior masses are added, so that the likelihood is exactly that of the 384 states.
    """
    parts = [p.row_of_state if p is not None else np.zeros(N_STATES, dtype=np.int64) for p in emissions]
    keys = np.vstack([*parts, space().violation.astype(np.int64)])
    classes, of_class = np.unique(keys, axis=1, return_inverse=True)
    return classes, np.asarray(of_class).ravel()


def _thetas(channels: Sequence[Channel], emissions: Sequence[Emission | None]) -> dict[int, Any]:
    """Return the emission rows of every channel; channels of as many levels share one Dirichlet, so that the graph is small."""
    import pymc as pm

    out: dict[int, Any] = {}
    for width in sorted({p.rows.shape[1] for p in emissions if p is not None}):
        mine = [(k, p) for k, p in enumerate(emissions) if p is not None and p.rows.shape[1] == width]
        alpha = np.vstack([p.worth * p.rows + 0.05 for _, p in mine])
        stacked = pm.Dirichlet(f"rows_{width}", alpha, shape=alpha.shape)
        at = 0
        for k, p in mine:
            out[k] = stacked[at : at + len(p.rows)]
            at += len(p.rows)
    return out


def _split(draws: dict[str, np.ndarray], channels: Sequence[Channel], emissions: Sequence[Emission | None]) -> dict[str, np.ndarray]:
    """Return the draws with the stacked emission rows given back to their channels, as ``theta_<channel>``."""
    out = {n: v for n, v in draws.items() if not n.startswith("rows_")}
    at: dict[int, int] = {}
    for c, p in zip(channels, emissions, strict=True):
        if p is not None:
            width = p.rows.shape[1]
            first = at.get(width, 0)
            out[f"theta_{c.name}"] = draws[f"rows_{width}"][:, first : first + len(p.rows)]
            at[width] = first + len(p.rows)
    return out


def fit(
    e: Evidence,
    inspections: pd.DataFrame | None = None,
    enterprises: pd.DataFrame | None = None,
    *,
    seed: int = 0,
    rows: int = 300,
    draws: int = 300,
    tune: int = 300,
    chains: int = 2,
    data: FitData | None = None,
) -> Fit:
    """Fit by NUTS (nutpie) and gate the result.

    Parameters
    ----------
    e : Evidence
        Finding channels are left out: their reliability is learned by :mod:`workbench.cross.reliability`.
    rows : int
        Distinct rows kept; the wall time hangs on them, not on the hours behind them.
    data : FitData, optional
        Collapsed rows counted elsewhere, for instance block by block.
    """
    import time

    import arviz as az
    import nutpie

    begun = time.perf_counter()
    channels = tuple(c for c in e.channels if c.llr is None)
    quiet = Evidence(e.enterprises, e.hours, channels)
    data = data or collapse(quiet, inspections, enterprises, rows=rows, seed=seed)
    if not channels or not len(data.weight):
        return Fit(False, "no channels to fit", data=data)
    emissions = expert(quiet).emissions
    model = build_model(data, channels, emissions)
    compiled = nutpie.compile_pymc_model(model)
    trace = nutpie.sample(
        compiled, draws=draws, tune=tune, chains=chains, cores=min(chains, threads()), seed=seed, progress_bar=False, save_warmup=False
    )
    names = [n for n in trace.posterior.data_vars if not str(n).startswith(("raw_",)) and "__" not in str(n)]
    summary = az.summary(trace, var_names=[str(n) for n in names], kind="diagnostics")
    diagnostics = {
        "divergences": float(trace.sample_stats["diverging"].sum()),
        "r_hat": float(summary["r_hat"].max()),
        "ess": float(summary["ess_bulk"].min()),
        "draws": float(draws * chains),
        "rows": float(len(data.weight)),
        "hours": float(data.hours),
        "seconds": time.perf_counter() - begun,
    }
    passed, reason = gate(diagnostics)
    kept = {str(n): trace.posterior[n].to_numpy().reshape(draws * chains, *trace.posterior[n].shape[2:]) for n in names}
    return Fit(passed, reason, _split(kept, channels, emissions), diagnostics, data)


def gate(diagnostics: dict[str, float]) -> tuple[bool, str]:
    """Return whether a fit may be used, and why not.

    Examples
    --------
    >>> gate({"divergences": 0, "r_hat": 1.01, "ess": 240, "draws": 600})
    (True, 'divergences 0, r_hat 1.010, effective sample 240')
    >>> gate({"divergences": 0, "r_hat": 1.30, "ess": 20, "draws": 600})[0]
    False
    """
    text = f"divergences {diagnostics['divergences']:.0f}, r_hat {diagnostics['r_hat']:.3f}, effective sample {diagnostics['ess']:.0f}"
    ok = (
        diagnostics["divergences"] <= MAX_DIVERGENT * diagnostics["draws"]
        and diagnostics["r_hat"] <= MAX_R_HAT
        and diagnostics["ess"] >= MIN_ESS
    )
    return ok, text if ok else f"fit refused: {text}"


__all__ = ["CALM_DAYS", "Fit", "FitData", "build_model", "collapse", "fit", "gate", "reduce_rows"]
