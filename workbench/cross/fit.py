"""Fit shares, motives and emissions in PyMC, on unique evidence patterns with counts.

The likelihood is a log-sum-exp over the 384 states of each *distinct* pattern, weighted by how often it came: the cost
is that of the patterns, not of the history. Inspected enterprises carry their label as one more, imperfect, source
with sensitivity above one minus specificity. Hours repeat themselves, so that a word of three days counts once.
The result is gated: with divergences, a large r_hat or a small effective sample the expert priors stand, and say so.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pandas as pd

from workbench.contracts import threads
from workbench.cross.collapse import FitData, collapse, reduce_rows
from workbench.cross.emission import Emission
from workbench.cross.evidence import Channel, Evidence
from workbench.cross.fit_model import build_model, regime_of, row_data
from workbench.cross.fusion import Reliability, expert

MAX_R_HAT = 1.02
MIN_ESS = 200.0
MAX_DIVERGENT = 0.002
NEAR_R_HAT = 1.1
"""Up to here, and without divergences, chains that missed the gate are short, not lost: they are run once more, twice as long."""
SAMPLES = 50
LONGEST = 900.0
"""Seconds after which sampling is given up and the expert priors stand; on a machine at load eight it took six minutes."""


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
        ``divergences, r_hat, ess, draws, rows, hours, steps, compile_seconds, seconds``.
    data : FitData, optional
    convergence : DataFrame, optional
        One row per parameter: mean, sd, ess_bulk, ess_tail, r_hat.
    """

    passed: bool
    reason: str
    draws: dict[str, np.ndarray] = field(default_factory=dict)
    diagnostics: dict[str, float] = field(default_factory=dict)
    data: FitData | None = None
    convergence: pd.DataFrame | None = None

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
        regime = regime_of(at["logit_share"], at["delta"], base.regime)
        offsets = np.zeros(e.shape[0])
        for column, names, key in (
            ("industry", self.data.industries, "u_industry"),
            ("street_town", self.data.streets, "u_street"),
        ):
            if enterprises is not None and key in at:
                value = dict(zip(names, at[key], strict=True))
                of = dict(zip(enterprises["enterprise_id"], enterprises[column], strict=True))
                offsets += np.array([value.get(str(of.get(x, "")), 0.0) for x in e.enterprises])
        samples = self.samples(e, enterprises) if draw is None else ()
        return Reliability(parts, regime, offsets, "fitted", samples)

    def samples(self, e: Evidence, enterprises: pd.DataFrame | None, n: int = SAMPLES) -> tuple[Reliability, ...]:
        """Return ``n`` evenly spaced draws as parameters, for intervals; none where the gate refused."""
        if not self.passed or not self.draws:
            return ()
        total = len(self.draws["logit_share"])
        return tuple(self.reliability(e, enterprises, int(i)) for i in np.linspace(0, total - 1, min(n, total)).round())


def split_rows(draws: dict[str, np.ndarray], channels: Sequence[Channel], emissions: Sequence[Emission | None]) -> dict[str, np.ndarray]:
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


@dataclass(frozen=True)
class Sampler:
    """A compiled model: any history of the same channels, cells and kinds of label is one call.

    Parameters
    ----------
    compiled : nutpie model
    channels : tuple of Channel
    emissions : sequence of Emission or None
    seconds : float
        Spent on compiling.
    """

    compiled: Any
    channels: tuple[Channel, ...]
    emissions: Sequence[Emission | None]
    seconds: float

    def __call__(self, data: FitData, *, seed: int, draws: int, tune: int, chains: int) -> Fit:
        """Sample and gate."""
        import arviz as az
        import nutpie

        begun = time.perf_counter()
        running = nutpie.sample(
            self.compiled.with_data(**row_data(data, self.channels, self.emissions)),
            draws=draws,
            tune=tune,
            chains=chains,
            cores=min(chains, threads()),
            seed=seed,
            progress_bar=False,
            save_warmup=False,
            target_accept=0.8,
            blocking=False,
        )
        try:
            trace = running.wait(timeout=LONGEST)
        except TimeoutError:
            running.abort()
            spent = {"seconds": self.seconds + time.perf_counter() - begun, "rows": float(len(data.weight)), "hours": float(data.hours)}
            return Fit(False, f"fit refused: not done within {LONGEST:.0f} s", diagnostics=spent, data=data)
        names = [str(n) for n in trace.posterior.data_vars if not str(n).startswith(("raw_", "z_")) and "__" not in str(n)]
        table = az.summary(trace, var_names=names, round_to="none")[["mean", "sd", "ess_bulk", "ess_tail", "r_hat"]]
        diagnostics = {
            "divergences": float(trace.sample_stats["diverging"].sum()),
            "r_hat": float(table["r_hat"].max()),
            "ess": float(table["ess_bulk"].min()),
            "draws": float(draws * chains),
            "steps": float(trace.sample_stats["n_steps"].mean()),
            "rows": float(len(data.weight)),
            "hours": float(data.hours),
            "compile_seconds": self.seconds,
            "seconds": self.seconds + time.perf_counter() - begun,
        }
        passed, reason = gate(diagnostics)
        kept = {n: trace.posterior[n].to_numpy().reshape(draws * chains, *trace.posterior[n].shape[2:]) for n in names}
        return Fit(passed, reason, split_rows(kept, self.channels, self.emissions), diagnostics, data, table)


def sampler(e: Evidence, data: FitData, emissions: Sequence[Emission | None] | None = None) -> Sampler:
    """Compile the model of the evidence's channels (finding channels left out) for data like these.

    Parameters
    ----------
    emissions : sequence of Emission or None, optional
        Prior medians of the emission rows, one per channel; default the experts', whose graded channels are anchored to
        the levels of the evidence itself.

    Notes
    -----
    Chains begin at the experts' means, which give the latent labels their names; from scattered starts one may settle
    where two labels have changed places.
    """
    import nutpie

    begun = time.perf_counter()
    channels = fitted_channels(e)
    emissions = emissions or expert(Evidence(e.enterprises, e.hours, channels)).emissions
    model = build_model(data, channels, emissions)
    compiled = nutpie.compile_pymc_model(model, jitter_rvs=set(), default_initialization_strategy="support_point")
    return Sampler(compiled, channels, emissions, time.perf_counter() - begun)


def fitted_channels(e: Evidence) -> tuple[Channel, ...]:
    """Return the channels that the fit is about: not findings, whose reliability :mod:`workbench.cross.reliability` learns."""
    return tuple(c for c in e.channels if c.llr is None)


def fit(
    e: Evidence,
    inspections: pd.DataFrame | None = None,
    enterprises: pd.DataFrame | None = None,
    *,
    seed: int = 0,
    rows: int = 200,
    draws: int = 700,
    tune: int = 300,
    chains: int = 2,
    data: FitData | None = None,
) -> Fit:
    """Fit by NUTS (nutpie) and gate the result.

    Parameters
    ----------
    e : Evidence
        Finding channels are left out.
    inspections, enterprises : DataFrame, optional
        Labels that are clamped, and who belongs to which industry and street.
    rows : int
        Distinct rows kept; the wall time hangs on them, not on the hours behind them.
    draws, tune, chains : int
        Chains that agree but missed the gate are run once more with twice the draws and warm-up.
    data : FitData, optional
        Collapsed rows counted elsewhere, for instance block by block.
    """
    channels = fitted_channels(e)
    data = data or collapse(Evidence(e.enterprises, e.hours, channels), inspections, enterprises, rows=rows, seed=seed)
    if not channels or not len(data.weight):
        return Fit(False, "no channels to fit", data=data)
    run = sampler(e, data)
    first = run(data, seed=seed, draws=draws, tune=tune, chains=chains)
    if first.passed or not merely_short(first.diagnostics):
        return first
    longer = run(data, seed=seed, draws=2 * draws, tune=2 * tune, chains=chains)
    spent = first.diagnostics["seconds"] + longer.diagnostics["seconds"] - run.seconds
    return replace(longer, diagnostics={**longer.diagnostics, "seconds": spent})


def merely_short(diagnostics: dict[str, float]) -> bool:
    """Return whether chains that missed the gate would pass if they were longer: they agree, and nothing diverged.

    Examples
    --------
    >>> merely_short({"divergences": 0, "r_hat": 1.019, "ess": 180, "draws": 1400})
    True
    >>> merely_short({"divergences": 0, "r_hat": 1.84, "ess": 3, "draws": 1400})
    False
    """
    return (
        "r_hat" in diagnostics and diagnostics["divergences"] <= MAX_DIVERGENT * diagnostics["draws"] and diagnostics["r_hat"] <= NEAR_R_HAT
    )


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


__all__ = ["Fit", "FitData", "Sampler", "build_model", "collapse", "fit", "gate", "merely_short", "reduce_rows", "sampler"]
