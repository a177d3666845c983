"""The cross-model layer: speed, cost against length of history, coverage, real label sets, simulated districts, learning.

``--quick`` takes a tiny district and fewer windows; ``--only PART`` (may be repeated) runs some parts: speed, history,
coverage, real, districts, curve; ``--fit`` adds the PyMC fit to the history and the districts. ``--catalog`` takes
districts of one's own (a truth table beside the catalog is needed). Real data are looked for in ``../shared`` beside the
project (``--shared``). Every part says when it begins; none begins after ``--minutes`` (default 15), and one left out is named.
The last line is JSON: {name, value, unit, low, high, n, peers, ratios}.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from _districts import BUDGETS, World, beside_baselines, joined, learning_curve, visits_loss, worlds
from _label_sets import crowd, rise

from workbench.contracts import limit_threads
from workbench.cross.patterns import PatternCounter
from workbench.cross.scoring import window_posteriors
from workbench.cross.states import N_STATES

if TYPE_CHECKING:
    from workbench.cross.fit import Fit

ROOT = Path(__file__).resolve().parents[1]
PARTS = ("speed", "history", "coverage", "real", "districts", "curve")


def speed(windows: int, channels: int = 16) -> dict[str, float]:
    """Return windows per second by exact enumeration of 384 states, of the same sums in NumPy, and what the machine could do.

    The floor: every window needs states × channels multiplications; ``multiplications_per_s`` are those of a bare loop of
    the same length over tables that stay in the first cache, on as many threads.
    """
    rng = np.random.default_rng(0)
    levels = 5
    state = rng.random((levels * channels + 1, N_STATES)) + 0.01
    state /= state.max(1, keepdims=True)
    codes = (rng.integers(0, levels, (windows, channels)) + np.arange(channels) * levels + 1).astype(np.int32)
    prior, label = rng.dirichlet(np.ones(N_STATES)), rng.integers(0, 40, N_STATES)
    window_posteriors(state, codes[:10], prior, label, 40)
    laps = []
    for _ in range(5):
        t = time.perf_counter()
        got = window_posteriors(state, codes, prior, label, 40)
        laps.append(time.perf_counter() - t)
    few = codes[: max(1000, windows // 100)]
    t = time.perf_counter()
    joint = np.tile(prior, (len(few), 1))
    for k in range(channels):
        joint *= state[few[:, k]]
    want = (joint / joint.sum(1, keepdims=True)) @ np.eye(40)[label]
    plain = len(few) / (time.perf_counter() - t)
    if not np.allclose(want, got[: len(few)], atol=1e-9):
        raise SystemExit("enumeration and NumPy disagree")
    floor = multiplications(windows * channels) / (N_STATES * channels)
    return {"windows_per_s": windows / min(laps), "slowest": windows / max(laps), "numpy_windows_per_s": plain, "floor": floor}


def multiplications(rows: int) -> float:
    """Return multiplications per second of the bare product over rows of 384 numbers (all threads, first cache)."""
    import numba as nb

    @nb.njit(parallel=True)
    def product(table: np.ndarray, n: int) -> float:  # pragma: no cover - compiled
        total = 0.0
        for _ in nb.prange(64):
            acc = np.ones(table.shape[1])
            for i in range(n // 64):
                row = i % len(table)
                for s in range(table.shape[1]):
                    acc[s] *= table[row, s]
            total += acc[0]
        return total

    table = np.full((8, N_STATES), 1.0 - 1e-12)
    product(table, 64)
    t = time.perf_counter()
    product(table, rows)
    return rows * N_STATES / (time.perf_counter() - t)


def history(sizes: list[int], fit_rows: int) -> list[dict[str, float]]:
    """Return seconds to count, and to fit on what was counted, for growing histories made of one district repeated."""
    from workbench.cross.fit import reduce_rows, sampler
    from workbench.cross.simulate import draw

    drawn = draw(350, 2880, np.random.default_rng(1))
    e = drawn.evidence
    block = np.concatenate(
        [np.stack([c.values.ravel() for c in e.channels], axis=1), np.zeros((e.shape[0] * e.shape[1], 2), dtype=np.int8)], axis=1
    )
    block = np.concatenate([block, np.full((len(block), 1), -1, dtype=np.int8)], axis=1)
    out = []
    run = None
    for size in sizes:
        counter = PatternCounter(block.shape[1])
        t = time.perf_counter()
        left = size
        while left > 0:
            counter.add(block[: min(left, len(block))])
            left -= len(block)
        row = {"hours": float(size), "distinct": float(len(counter)), "count_s": time.perf_counter() - t}
        if fit_rows:
            data = reduce_rows(counter, len(e.channels), fit_rows, seed=0)
            run = run or sampler(e, data)
            result = run(data, seed=1, draws=1000, tune=400, chains=2)
            d = result.diagnostics
            row |= {"compile_s": d["compile_seconds"], "sample_s": d["seconds"] - d["compile_seconds"]}
            row |= {k: d[k] for k in ("r_hat", "ess", "divergences", "steps")} | {"passed": float(result.passed)}
        print("  " + ", ".join(f"{k} {v:,.4g}" for k, v in row.items()), flush=True)
        out.append(row)
    return out


def fitted_leads(w: World) -> pd.DataFrame:
    """Return leads fused with fitted parameters (expert priors where the gate refuses)."""
    from workbench.cross import build_leads

    result = fitted(w, w.labels)
    return build_leads(w.findings, w.evidence, w.labels, w.enterprises, seed=7, budgets=BUDGETS, reliability=result)[0]


def fitted(w: World, visits: pd.DataFrame) -> Fit:
    """Return the fit of a district's channels with these visits as labels."""
    from workbench.cross import prepare
    from workbench.cross.fit import fit
    from workbench.cross.spoken import as_spoken

    ready = prepare(w.findings, w.evidence, visits, w.enterprises)
    result = fit(as_spoken(ready.raw, w.enterprises), visits, w.enterprises, seed=7)
    print(f"  {w.name}: {result.reason}, {result.diagnostics.get('seconds', 0):.0f} s", flush=True)
    return result


def held_out(world: World) -> tuple[np.ndarray, np.ndarray]:
    """Return the log-loss of the latest two fifths of the visits, unseen, under expert and under fitted parameters.

    Visits are taken in order of decision; the models are taught by none.
    """
    from workbench.cross import build_leads

    visits = world.labels.sort_values(["decided_on", "inspection_id"], kind="stable")
    early, late = visits.iloc[: int(0.6 * len(visits))], visits.iloc[int(0.6 * len(visits)) :]
    losses = []
    for result in (None, fitted(world, early)):
        leads = build_leads(world.findings, world.evidence, early, world.enterprises, seed=7, budgets=BUDGETS, reliability=result)[0]
        losses.append(visits_loss(leads, late))
    return losses[0], losses[1]


def main() -> None:
    """Run and print; the last line is JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--only", choices=PARTS, action="append", help="parts to run; may be repeated")
    parser.add_argument("--fit", action="store_true", help="also fit in PyMC: histories, and districts beside the expert priors")
    parser.add_argument("--catalog", type=Path, action="append", help="district with truth.parquet beside it; may be repeated")
    parser.add_argument("--shared", type=Path, default=ROOT.parent / "shared")
    parser.add_argument("--minutes", type=float, default=15.0, help="no part begins later than this")
    a = parser.parse_args()
    limit_threads()
    begun = time.perf_counter()

    def wanted(part: str, title: str) -> bool:
        """Say that a part begins, or that it is left out for want of time."""
        if part not in parts:
            return False
        late = time.perf_counter() - begun
        print(f"[{late / 60:.1f} min] {title}" + (": left out, no time" if late > 60 * a.minutes else ""), flush=True)
        return late <= 60 * a.minutes

    parts = a.only or [p for p in PARTS if not (a.quick and p in ("coverage", "curve"))]

    s = speed(100_000 if a.quick else 600_000)
    print("exact enumeration, 384 states × 16 channels")
    print(
        f"  {s['windows_per_s']:,.0f} windows/s, NumPy {s['numpy_windows_per_s']:,.0f}, bare multiplications would allow {s['floor']:,.0f}"
    )
    if wanted("history", "cost against the length of the history"):
        history([1_000_000, 10_000_000] if a.quick else [1_000_000, 10_000_000, 100_000_000], 400 if a.fit else 0)
    if wanted("coverage", "coverage of the fit's intervals"):
        show_coverage(12)
    if wanted("real", "real label sets"):
        if (a.shared / "data/fusion").is_dir():
            for title, table in (
                ("rise, unseen views", rise(a.shared)),
                ("duck", crowd(a.shared, "duck")),
                ("dog", crowd(a.shared, "dog")),
            ):
                print(f"{title}\n{table.to_string(index=False)}", flush=True)
        else:
            print(f"real label sets are not here ({a.shared / 'data/fusion'}): skipped")
    if {"districts", "curve"} & set(parts):
        with tempfile.TemporaryDirectory() as folder:
            districts(wanted, a.catalog or generated(Path(folder), quick=a.quick), fit=a.fit)
    print(
        json.dumps(
            {
                "name": "fusion: exact enumeration of 384 states × 16 channels",
                "value": s["windows_per_s"],
                "unit": "windows/s",
                "low": s["slowest"],
                "high": s["windows_per_s"],
                "n": 5,
                "peers": {"numpy": s["numpy_windows_per_s"], "bare multiplications": s["floor"]},
                "ratios": {"numpy": s["windows_per_s"] / s["numpy_windows_per_s"], "bare multiplications": s["windows_per_s"] / s["floor"]},
            }
        )
    )


def show_coverage(replications: int) -> None:
    """Print how often 90 % intervals of the fit hold parameters drawn from its prior."""
    from workbench.cross.recovery import coverage

    c = coverage(replications)
    print(f"coverage of 90 % intervals, {replications} simulated truths, {c.seconds.mean():.1f} s of sampling each")
    print("  all: {:.3f} [{:.3f}, {:.3f}]".format(*c.interval()))
    for kind in c.n:
        print("  {}: {:.3f} [{:.3f}, {:.3f}], n {}".format(kind, *c.interval(kind), c.n[kind]))


def generated(folder: Path, *, quick: bool) -> list[Path]:
    """Return the catalogs of fresh districts."""
    from workbench.district import generate

    seeds = [31] if quick else [41, 42, 43, 44]
    return [generate(folder / f"seed{n}", scale="tiny" if quick else "small", seed=n, progress=False) for n in seeds]


def districts(wanted: Callable[[str, str], bool], files: list[Path], *, fit: bool) -> None:
    """Print the fusion beside its baselines, and the learning curve."""
    both = []
    for f in files:
        t = time.perf_counter()
        both.append(worlds(f))
        print(f"  {f.parent.name}: all models, with labels and without, {time.perf_counter() - t:.0f} s", flush=True)
    taught, untaught = [b[0] for b in both], [b[1] for b in both]
    if wanted("districts", "districts: the fusion beside its baselines, on the same candidate leads; means over districts"):
        print(beside_baselines(taught).to_string(), flush=True)
        if fit and wanted("districts", "the same with fitted parameters"):
            print(beside_baselines(taught, fitted_leads).iloc[:1].to_string(), flush=True)
        if fit and wanted("districts", "visits not seen: log-loss under expert and under fitted parameters"):
            show_held_out(untaught)
    if wanted("curve", f"learning curve on {sum(len(w.ids) for w in untaught)} enterprises"):
        one = joined(untaught)
        print("half of them judged and never inspected")
        print(learning_curve(one, [0, 30, 100, 300]).to_string(), flush=True)
        if wanted("curve", "the same works later: visits of the first three fifths of the time, leads of the rest judged"):
            print(learning_curve(one, [0, 30, 100, 300], later=True).to_string(), flush=True)


def show_held_out(worlds_: list[World]) -> None:
    """Print the mean log-loss of unseen visits, and the difference with its interval (visits resampled)."""
    losses = [held_out(w) for w in worlds_]
    expert, fit_ = (np.concatenate([x[k] for x in losses]) for k in (0, 1))
    draw = np.random.default_rng(0).integers(0, len(expert), (2000, len(expert)))
    gain = fit_ - expert
    low, high = np.quantile(gain[draw].mean(1), [0.025, 0.975])
    print(f"  expert {expert.mean():.3f}, fitted {fit_.mean():.3f}, difference {gain.mean():+.3f} [{low:+.3f}, {high:+.3f}], n {len(gain)}")


if __name__ == "__main__":
    main()
