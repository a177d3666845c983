"""Fit shares, motives and emissions in PyMC, on unique evidence patterns with counts.

The likelihood is a log-sum-exp over the 384 states of each *distinct* pattern, weighted by how often it came: the cost
is that of the patterns, not of the history. Inspected enterprises carry their label as one more, imperfect, source
with sensitivity above one minus specificity. Hours repeat themselves, so that a word of three days counts once.
The result is gated: with divergences, a large r_hat or a small effective sample the expert priors stand, and say so.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from workbench.contracts import threads
from workbench.cross.collapse import FitData, collapse, reduce_rows
from workbench.cross.emission import Emission
from workbench.cross.evidence import ONE_WORD, Channel, Evidence
from workbench.cross.fusion import Reliability, expert
from workbench.cross.learn import ordinary_rows
from workbench.cross.regimes import RegimePrior, regime_prior
from workbench.cross.roles import priors
from workbench.cross.scoring import groups_of
from workbench.cross.states import N_REGIMES, N_STATES, SOURCES, space

HELD = 15.0
"""How much more a row of trouble (lying, untreated, over the limit, disturbed) is worth than an ordinary one."""
MAX_R_HAT = 1.05
MIN_ESS = 100.0
MAX_DIVERGENT = 0.01
if TYPE_CHECKING:
    from workbench.cross.pattern_op import Layout

BITS = ("z_T", "z_X", *SOURCES)


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


def build_model(data: FitData, channels: Sequence[Channel], emissions: Sequence[Emission | None]) -> Any:
    """Return the PyMC model of the collapsed rows."""
    import pymc as pm
    import pytensor.tensor as pt

    from workbench.cross.pattern_op import PatternLogLike

    p, s = priors(), space()
    base = regime_prior()
    spells = {b: p.spell(b) for b in BITS}
    mean = np.array([np.log(spells[b].share / (1 - spells[b].share)) for b in BITS])
    with pm.Model() as model:
        logit_share = pm.Normal("logit_share", mean, 0.7, shape=len(BITS))
        delta = pm.Normal("delta", np.array([spells[x].delta for x in SOURCES]), 0.5, shape=len(SOURCES))
        pairs, cells = np.unique(np.stack([data.industry, data.street], axis=1), axis=0, return_inverse=True)
        cell: Any = pt.zeros(len(pairs))
        for name, index, size in (("industry", pairs[:, 0], len(data.industries)), ("street", pairs[:, 1], len(data.streets))):
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
        log_prior = pt.log(pt.dot(pt.exp(log_share), pt.as_tensor(weights)) + 1e-300)
        se_mean, se_worth = p.inspection["sensitivity"]["mean"], p.inspection["sensitivity"]["worth"]
        se = pm.Beta("sensitivity", se_mean * se_worth, (1 - se_mean) * se_worth)
        ratio = pm.Beta("false_ratio", 2.0, 14.0)  # a clean hour inside a period found in violation: 1 - sp = se · ratio < se
        found = pt.switch(classes[-1] == 1, se, se * ratio)
        log_label = pt.stack([pt.zeros(classes.shape[1]), pt.log1p(-found), pt.log(found)])
        layout, order = _layout(data, channels, emissions, classes, cells)
        theta = _thetas(channels, emissions)
        log_theta = pt.concatenate([pt.log(theta[k]).ravel() for k in order])
        pm.Potential("evidence", PatternLogLike(layout)(log_theta, log_prior, log_label)[0])
    return model


def _state_classes(channels: Sequence[Channel], emissions: Sequence[Emission | None]) -> tuple[np.ndarray, np.ndarray]:
    """Return states that no channel and no label tells apart as one class: (row of each channel and V per class, class of state).

    Their prior masses are added, so that the likelihood is exactly that of the 384 states.
    """
    parts = [p.row_of_state if p is not None else np.zeros(N_STATES, dtype=np.int64) for p in emissions]
    keys = np.vstack([*parts, space().violation.astype(np.int64)])
    classes, of_class = np.unique(keys, axis=1, return_inverse=True)
    return classes, np.asarray(of_class).ravel()


def _layout(
    data: FitData, channels: Sequence[Channel], emissions: Sequence[Emission | None], classes: np.ndarray, cells: np.ndarray
) -> tuple[Layout, list[int]]:
    """Return the kernel's layout and the channels in the order of the flat table."""
    from workbench.cross.pattern_op import Layout

    rho = float(priors().nuisance["share"])
    order: list[int] = []
    group: list[int] = []
    power: list[float] = []
    log_in: list[float] = []
    log_out: list[float] = []
    odd: list[np.ndarray] = []
    for g in groups_of(channels):
        members = [k for k in g.columns if emissions[k] is not None]
        if not members:
            continue
        lone = len(members) == 1
        strange = np.zeros(len(data.weight))
        for k in members:
            part = emissions[k]
            if part is not None:
                seen = data.levels[:, k] >= 0
                strange[seen] += np.log(part.nuisance)[data.levels[seen, k]]
            order.append(k)
            group.append(len(power))
        power.append(ONE_WORD / g.support_hours)
        # alone, a nuisance cannot be told from the channel's own errors
        log_in.append(0.0 if lone else float(np.log1p(-rho)))
        log_out.append(-1e300 if lone else float(np.log(rho)))
        odd.append(strange)
    sizes = {k: part.rows.shape for k, part in enumerate(emissions) if part is not None}
    first = np.concatenate([[0], np.cumsum([sizes[k][0] * sizes[k][1] for k in order])])
    start = np.stack([np.where(data.levels[:, k] >= 0, first[j] + data.levels[:, k], -1) for j, k in enumerate(order)], axis=1)
    return (
        Layout(
            np.asarray(cells, dtype=np.int64).ravel(),
            (data.label + 1).astype(np.int64),
            data.weight.astype(np.float64),
            np.ascontiguousarray(start, dtype=np.int64),
            np.ascontiguousarray(classes[order], dtype=np.int64),
            np.array([sizes[k][1] for k in order], dtype=np.int64),
            np.array(group, dtype=np.int64),
            np.array(power, dtype=np.float64),
            np.ascontiguousarray(np.stack(odd, axis=1)),
            np.array(log_in, dtype=np.float64),
            np.array(log_out, dtype=np.float64),
        ),
        order,
    )


def _worth(part: Emission, source: str) -> np.ndarray:
    """Return the words each row's prior is worth: rows of trouble are held, since without labels nothing else names them."""
    return np.where(ordinary_rows(part, source), part.worth, HELD * part.worth)


def _thetas(channels: Sequence[Channel], emissions: Sequence[Emission | None]) -> dict[int, Any]:
    """Return the emission rows of every channel; channels of as many levels share one Dirichlet, so that the graph is small."""
    import pymc as pm

    out: dict[int, Any] = {}
    for width in sorted({p.rows.shape[1] for p in emissions if p is not None}):
        mine = [(k, p) for k, p in enumerate(emissions) if p is not None and p.rows.shape[1] == width]
        alpha = np.vstack([_worth(p, channels[k].source)[:, None] * p.rows + 0.05 for k, p in mine])
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
    draws: int = 1000,
    tune: int = 500,
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
    # chains begin at the experts' means, which give the latent labels their names; from scattered starts one may settle
    # where two labels have changed places
    free = {model["sensitivity"], model["false_ratio"]}  # where no label is known, their slope at the mean is exactly zero
    compiled = nutpie.compile_pymc_model(model, jitter_rvs=free, default_initialization_strategy="support_point")
    trace = nutpie.sample(
        compiled,
        draws=draws,
        tune=tune,
        chains=chains,
        cores=min(chains, threads()),
        seed=seed,
        progress_bar=False,
        save_warmup=False,
        target_accept=0.9,
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


__all__ = ["Fit", "FitData", "build_model", "collapse", "fit", "gate", "reduce_rows"]
