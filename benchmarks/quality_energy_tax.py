"""How well model 4 sees: operating states, injected stops, and findings on the own and the practice district.

1. Steel works (UCI 851, CC BY 4.0; the visible first half of 2018): macro-F1 of the operating state on a forward split,
   beside a threshold, a Gaussian mixture, a hidden Markov model, the calendar alone and boosting. Intervals resample days.
   Then by rolling origin: named up to the end of each month from February to May, tested on the next one.
2. Treatment-off episodes injected into quarters of the same load: recall of episodes and error of their minutes at one
   false alarm per enterprise and quarter, beside a fixed threshold and a two-way three-sigma rule. Intervals resample
   enterprises.
3. Treatment-off and carbon-overdue findings on own simulated districts and on the practice district, made by others.
   Truth is read by ``workbench.evaluation`` only. Several rows of one enterprise are one habit: recall resamples
   enterprises. The default seeds were not looked at while the model was built (41 to 64 were).

Parts whose data are absent are left out, with the reason. ``--quick``: fewer replicates, a tiny district. The last line
is JSON.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
from _reviews import SHARED, Reviewed, add_districts, both_sides, clustered, headline, precision_lines, reliability

from workbench.contracts import limit_threads
from workbench.evaluation import wilson
from workbench.models.energy_tax.episodes import episodes_of
from workbench.models.energy_tax.load_state import causal_features, fit_load_states, macro_f1
from workbench.models.energy_tax.meters import learn_works
from workbench.models.rule_settings import read_settings

STEP = pd.Timedelta("15min")
SPLIT = pd.Timestamp("2018-05-01")


def main() -> None:
    """Run the three parts and print their tables and the line of JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--only", choices=["steel", "rolling", "injected", "districts"], help="one part instead of all")
    add_districts(parser, [71, 72, 73, 74])
    parser.add_argument("--steel", type=Path, default=SHARED / "data" / "steel" / "steel_2018H1.csv")
    options = parser.parse_args()
    limit_threads()
    value, low, high, n, peers = None, None, None, 0, {}
    parts = {options.only} if options.only else {"steel", "rolling", "injected", "districts"}
    if not options.steel.is_file():
        print(f"steel works: not evaluated, no file {options.steel}")
        parts &= {"districts"}
    if parts - {"districts"}:
        steel = read_steel(options.steel)
    if "steel" in parts:
        table = steel_states(steel, options.quick)
        value, low, high = (round(float(x), 3) for x in table.loc["this model", ["macro_f1", "low", "high"]])
        n = int(table.attrs["days"])
        peers = {k: round(float(v), 3) for k, v in table["macro_f1"].items() if k in PEERS}
    if "rolling" in parts:
        rolling(steel, [4] if options.quick else [3, 4, 5, 6])
    if "injected" in parts:
        injected(steel, 8 if options.quick else 60)
    if "districts" in parts:
        for name, side in both_sides("energy_tax", options, quick=options.quick).items():
            districts(name, side)
    best = max(peers.values(), default=None)
    ratios = {"best_peer": round(value / best, 3)} if value and best else {}
    line = {"name": "steel_state_macro_f1", "value": value, "unit": "1", "low": low, "high": high, "n": n, "peers": peers, "ratios": ratios}
    print(json.dumps(line if value is not None else line | {"skipped": f"{options.steel.name} is not here, or its part was not asked for"}))


def read_steel(file: Path) -> pd.DataFrame:
    """Return the series on a regular grid; the stamps in the file end their interval and put midnight on the day before."""
    raw = pd.read_csv(file)
    time = pd.date_range("2018-01-01 00:15", periods=len(raw), freq=STEP)
    names = {"Usage_kWh": "kwh", "Load_Type": "state"}
    others = [c for c in raw.columns if "Reactive" in c or "Factor" in c]
    return raw.rename(columns=names)[["kwh", "state", *others]].set_index(time)


# ---- operating states ------------------------------------------------------------------------------------------------


def steel_states(steel: pd.DataFrame, quick: bool) -> pd.DataFrame:
    """Print and return macro-F1 of every method on the forward split."""
    train, test = np.flatnonzero(steel.index <= SPLIT), np.flatnonzero(steel.index > SPLIT)
    table = states_table(steel, train, test, 100 if quick else 500)
    first, last = steel.index[train[0]], steel.index[test[-1]]
    print(f"\nSteel works (UCI 851, CC BY 4.0): states named {first:%Y-%m-%d} to {SPLIT:%Y-%m-%d}, tested to {last:%Y-%m-%d}")
    print("(features use readings up to their own time; 95 % over days)")
    print(table.round(3).to_string())
    print(
        f"season that comes back (fitted on 15 February to 2 July, tested on 1 January to 14 February; not forward): {_season(steel):.3f}"
    )
    return table


def states_table(steel: pd.DataFrame, train: np.ndarray, test: np.ndarray, draws: int) -> pd.DataFrame:
    """Return macro-F1 of every method, fitted on ``train`` and scored on ``test``, with 95 % intervals over days."""
    kinds = sorted(set(steel["state"]))
    y = np.array([kinds.index(s) for s in steel["state"]])
    said = {name: method(steel, y, train, test) for name, method in PEERS.items()}
    others = {c: steel[c].to_numpy(float) for c in steel.columns if c not in ("kwh", "state")}
    features = causal_features(steel.index, steel["kwh"].to_numpy(float), others=others)
    fitted = fit_load_states(features.iloc[train], steel["state"].iloc[train].tolist(), seed=1)
    look_up = {s: k for k, s in enumerate(kinds)}
    for name, smoothing in (("this model", "filter"), ("this model, in hindsight (Viterbi)", "viterbi")):
        said[name] = np.array([look_up[s] for s in fitted.predict(features.iloc[test], smoothing=smoothing)])  # type: ignore[arg-type]
    days = (steel.index[test] - STEP).normalize()
    rng = np.random.default_rng(1)
    _, day = np.unique(days, return_inverse=True)
    blocks = [np.flatnonzero(day == d) for d in range(day.max() + 1)]
    rows = {}
    for name, s in said.items():
        drawn = []
        for _ in range(draws):
            at = np.concatenate([blocks[k] for k in rng.integers(0, len(blocks), len(blocks))])
            drawn.append(macro_f1(y[test][at], s[at], len(kinds)))
        rows[name] = (macro_f1(y[test], s, len(kinds)), *np.quantile(drawn, [0.025, 0.975]))
    table = pd.DataFrame.from_dict(rows, orient="index", columns=["macro_f1", "low", "high"])
    table.attrs["days"] = len(blocks)
    return table


def rolling(steel: pd.DataFrame, months: list[int]) -> None:
    """Print macro-F1 with the states named up to the end of a month and tested on the next one."""
    columns = {}
    for month in months:
        begin, end = pd.Timestamp(2018, month, 1), pd.Timestamp(2018, month, 1) + pd.offsets.MonthBegin(1)
        train, test = np.flatnonzero(steel.index <= begin), np.flatnonzero((steel.index > begin) & (steel.index <= end))
        table = states_table(steel, train, test, 200)
        columns[f"{begin:%b}"] = [f"{r.macro_f1:.3f} [{r.low:.3f}, {r.high:.3f}]" for r in table.itertuples()]
    print("\nRolling origin: macro-F1 of the month named above, states named in all the months before it (95 % over days)")
    print(pd.DataFrame(columns, index=table.index).to_string())


def _season(steel: pd.DataFrame) -> float:
    kinds = sorted(set(steel["state"]))
    others = {c: steel[c].to_numpy(float) for c in steel.columns if c not in ("kwh", "state")}
    features = causal_features(steel.index, steel["kwh"].to_numpy(float), others=others)
    train = np.flatnonzero(steel.index > pd.Timestamp("2018-02-15"))
    test = np.flatnonzero(steel.index <= pd.Timestamp("2018-02-15"))
    fitted = fit_load_states(features.iloc[train], steel["state"].iloc[train].tolist(), seed=1)
    said = np.array([kinds.index(s) for s in fitted.predict(features.iloc[test])])
    return macro_f1(np.array([kinds.index(s) for s in steel["state"].iloc[test]]), said, len(kinds))


Method = Callable[[pd.DataFrame, np.ndarray, np.ndarray, np.ndarray], np.ndarray]


def by_threshold(steel: pd.DataFrame, y: np.ndarray, train: np.ndarray, test: np.ndarray) -> np.ndarray:
    """Two thresholds on power, the best pair on the training span."""
    x, order = steel["kwh"].to_numpy(float), _by_power(steel["kwh"].to_numpy(float)[train], y[train])
    grid = np.quantile(x[train], np.linspace(0.05, 0.95, 30))
    pairs = [(a, b) for i, a in enumerate(grid) for b in grid[i + 1 :]]
    a, b = max(pairs, key=lambda p: macro_f1(y[train], order[np.digitize(x[train], p)], 3))
    return order[np.digitize(x[test], (a, b))]


def by_mixture(steel: pd.DataFrame, y: np.ndarray, train: np.ndarray, test: np.ndarray) -> np.ndarray:
    """Three Gaussians on log power, named by their level."""
    from sklearn.mixture import GaussianMixture

    x = np.log(steel["kwh"].to_numpy(float) + 1.0)[:, None]
    model = GaussianMixture(3, n_init=5, random_state=1).fit(x[train])
    place = np.argsort(np.argsort(model.means_[:, 0]))
    return _by_power(steel["kwh"].to_numpy(float)[train], y[train])[place[model.predict(x[test])]]


def by_hidden_markov(steel: pd.DataFrame, y: np.ndarray, train: np.ndarray, test: np.ndarray) -> np.ndarray:
    """A hidden Markov model of three Gaussian states on log power."""
    from hmmlearn.hmm import GaussianHMM

    x = np.log(steel["kwh"].to_numpy(float) + 1.0)[:, None]
    model = GaussianHMM(3, covariance_type="full", n_iter=60, random_state=1).fit(x[train])
    place = np.argsort(np.argsort(model.means_[:, 0]))
    return _by_power(steel["kwh"].to_numpy(float)[train], y[train])[place[model.predict(x[test])]]


def by_calendar(steel: pd.DataFrame, y: np.ndarray, train: np.ndarray, test: np.ndarray) -> np.ndarray:
    """The most common state of the quarter hour and weekday."""
    start = steel.index - STEP
    key = (start.hour * 4 + start.minute // 15).to_numpy() + 96 * start.dayofweek.to_numpy()
    counts = np.zeros((7 * 96, 3))
    np.add.at(counts, (key[train], y[train]), 1)
    return counts.argmax(axis=1)[key[test]]


def by_boosting(steel: pd.DataFrame, y: np.ndarray, train: np.ndarray, test: np.ndarray, *, calendar: bool = False) -> np.ndarray:
    """LightGBM on causal lags and rolling means of power, as a plain peer would set it up; with hour, weekday and month."""
    import lightgbm as lgb

    x = steel["kwh"]
    columns = {f"lag{k}": x.shift(k) for k in (0, 1, 2, 3, 4, 8, 96)}
    columns |= {f"mean{w}": x.rolling(w, min_periods=1).mean() for w in (4, 16, 96)} | {
        f"sd{w}": x.rolling(w, min_periods=2).std() for w in (4, 16)
    }
    if calendar:
        start = steel.index - STEP
        clock = start.hour + start.minute / 60
        columns |= {
            "clock": pd.Series(clock, x.index),
            "weekday": pd.Series(start.dayofweek, x.index),
            "month": pd.Series(start.month, x.index),
        }
    frame = pd.DataFrame(columns)
    model = lgb.LGBMClassifier(n_estimators=300, learning_rate=0.05, num_leaves=31, random_state=1, verbosity=-1)
    return np.asarray(model.fit(frame.iloc[train], y[train]).predict(frame.iloc[test]))


def by_boosting_with_calendar(steel: pd.DataFrame, y: np.ndarray, train: np.ndarray, test: np.ndarray) -> np.ndarray:
    """The same with the calendar."""
    return by_boosting(steel, y, train, test, calendar=True)


def _by_power(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Return the states in the order of their median power."""
    return np.argsort([np.median(x[y == k]) for k in range(3)])


PEERS: dict[str, Method] = {
    "threshold": by_threshold,
    "Gaussian mixture": by_mixture,
    "hidden Markov model": by_hidden_markov,
    "calendar alone": by_calendar,
    "boosting on power": by_boosting,
    "boosting with calendar": by_boosting_with_calendar,
}

# ---- injected stops --------------------------------------------------------------------------------------------------


def injected(steel: pd.DataFrame, enterprises: int) -> None:
    """Print recall and minutes error of injected stops at one false alarm per enterprise and quarter."""
    settings = read_settings("workbench.models.energy_tax")
    quarters = [virtual(steel, seed) for seed in range(enterprises)]
    alarms = {name: [alarm(q, settings) for q in quarters] for name, alarm in ALARMS.items()}
    print(f"\nInjected stops of the treatment on real load (steel works), {enterprises} enterprise-quarters, at ≤ 1 false alarm each")
    total = sum(len(q["stops"]) for q in quarters)
    hours = [len(s) / 4 for q in quarters for s in q["stops"]]
    print(f"{total} stops of {min(hours):.1f} to {max(hours):.1f} h (median {np.median(hours):.1f}); unmarked repairs, gaps, zeros too")
    for repairs in (False, True):
        print(f"an alarm on the unmarked repair counts as {'false' if repairs else 'neither: the treatment was off'}:")
        for name, mine in alarms.items():
            print(f"  {name:32s} {_at_one_false_alarm(quarters, mine, repairs=repairs)}")


def _at_one_false_alarm(quarters: list[dict[str, object]], alarms: list[list[Alarm]], *, repairs: bool) -> str:
    def rate(bar: float) -> float:
        return float(np.mean([_false(q, a, bar, repairs=repairs) for q, a in zip(quarters, alarms, strict=True)]))

    bars = sorted({score for a in alarms for score, _ in a})
    bar = next((b for b in [0.0, *bars] if rate(b) <= 1.0), np.inf)
    found = [_found(q, a, bar) for q, a in zip(quarters, alarms, strict=True)]
    hit, of = (np.array([f[k] for f in found], float) for k in (0, 1))
    minutes, rng = np.array([m for f in found for m in f[2]]), np.random.default_rng(3)
    draws = []
    for _ in range(1000):
        w = rng.integers(0, len(hit), len(hit))
        draws.append(hit[w].sum() / max(of[w].sum(), 1))
    low, high = np.quantile(draws, [0.025, 0.975]) if hit.sum() < of.sum() else wilson(float(hit.sum()), float(of.sum()))
    median, most = np.quantile(np.abs(minutes), [0.5, 0.9]) if len(minutes) else (np.nan, np.nan)
    bias = minutes.sum() / max(sum(f[3] for f in found), 1)
    return (
        f"recall {hit.sum() / of.sum():.3f} [{low:.3f}, {high:.3f}] at {rate(bar):.2f} false alarms; minutes error of what is found: "
        f"median {median:.0f}, 90 % {most:.0f}, in all {bias:+.1%}"
    )


def virtual(steel: pd.DataFrame, seed: int) -> dict[str, object]:
    """Return one enterprise-quarter: real production power, a treatment that follows it, and its injected stops.

    The fan follows the load by the cube law, starts and stops late, rests at a standby load, and is noisy. Honest
    oddities beside the stops: one repair that is not marked, gaps, an hour of
    readings of zero.
    """
    rng = np.random.default_rng([11, seed])
    n, first = 91 * 96, int(rng.integers(0, len(steel) - 91 * 96))
    load_kw = 4.0 * steel["kwh"].to_numpy(float)[first : first + n] * rng.uniform(0.5, 5.0)
    top = np.quantile(load_kw, 0.95)
    run = load_kw > 0.12 * top
    late = int(rng.integers(0, 3))
    follow = np.convolve(run, np.ones(late + 1))[:n] > 0 if rng.random() < 0.5 else np.roll(run, late)
    speed = np.sqrt(np.clip(load_kw / top, 0.2, 1.1)) if seed % 2 else np.ones(n)
    speed = np.convolve(np.pad(speed, (3, 0), mode="edge"), np.full(4, 0.25), mode="valid")
    rated = top * rng.uniform(0.05, 0.25)
    fan = np.where(follow, rated * speed**3, 0.02 * rated) * np.exp(0.05 * rng.standard_normal(n))
    starts = np.flatnonzero(run[:-64] & (np.convolve(run, np.ones(8), "full")[7 : n + 7][:-64] >= 7))
    stops: list[np.ndarray] = []
    taken, repair = np.zeros(n, bool), np.empty(0, int)
    for k in range(int(rng.integers(2, 7)) + 1):
        a, length = int(rng.choice(starts)), int(rng.integers(3, 40))
        span = np.arange(a, min(a + length, n))
        if taken[max(0, a - 40) : a + length + 40].any():
            continue
        taken[span] = True
        fan[span] = 0.02 * rated * np.exp(0.05 * rng.standard_normal(len(span)))
        mine = span[run[span]]
        if k == 0:
            repair = mine
        elif len(mine) >= 2:
            stops.append(mine)
    fan[int(rng.integers(0, n - 4)) :][:4] = 0.0
    power = np.stack([load_kw, fan]).astype(np.float32)
    power[rng.random(power.shape) < 0.005] = np.nan
    time = pd.date_range("2026-01-01", periods=n, freq=STEP).to_numpy()
    return {"power": power, "time": time, "stops": stops, "repair": repair, "rated": rated, "top": top}


Alarm = tuple[float, np.ndarray]


def by_states(q: dict[str, object], settings: object) -> list[Alarm]:
    """This model: learned states, pairing, grace; the score of an episode is its steps."""
    meters = pd.DataFrame({"point_id": ["P", "T"], "role": ["production", "treatment"], "resolution": 0.01, "scale": 1.0})
    works = learn_works("E", meters, q["power"], q["time"], 900.0, None, settings)  # type: ignore[arg-type]
    hit = works.off | works.idle
    return [(float(hit[e.start : e.stop].sum()), e.start + np.flatnonzero(hit[e.start : e.stop])) for e in _episodes(hit)]


def by_fixed_threshold(q: dict[str, object], settings: object) -> list[Alarm]:
    """Treatment under a tenth of its rated power while production is over a tenth of its own."""
    p, t = q["power"]  # type: ignore[misc]
    hit = (p > 0.1 * q["top"]) & (t < 0.1 * q["rated"])  # type: ignore[operator]
    return [(float(hit[e.start : e.stop].sum()), e.start + np.flatnonzero(hit[e.start : e.stop])) for e in _episodes(hit)]


def by_three_sigma(q: dict[str, object], settings: object) -> list[Alarm]:
    """The treatment's share of power against its mean by hour of the week and by day (two-way); the score is the deviation."""
    p, t = (np.asarray(x, float) for x in q["power"])  # type: ignore[attr-defined]
    share = np.log((t + 0.01 * q["rated"]) / (p + 0.05 * q["top"]))  # type: ignore[operator]
    frame = pd.DataFrame({"x": share, "week": (np.arange(len(p)) // 4) % 168, "day": np.arange(len(p)) // 96})
    left = frame["x"] - frame.groupby("week")["x"].transform("mean")
    left = left - left.groupby(frame["day"]).transform("mean")
    z = (left / left.std()).to_numpy()
    hit = (z < -2.0) & (p > 0.1 * q["top"])  # type: ignore[operator]
    return [(float(-np.nanmin(z[e.start : e.stop])), e.start + np.flatnonzero(hit[e.start : e.stop])) for e in _episodes(hit)]


def _episodes(hit: np.ndarray) -> list:  # type: ignore[type-arg]
    return episodes_of(np.asarray(hit), np.zeros(len(hit), bool), join_steps=4, steps_min=2)


ALARMS: dict[str, Callable[[dict[str, object], object], list[Alarm]]] = {
    "this model": by_states,
    "fixed threshold (knows ratings)": by_fixed_threshold,
    "two-way three sigma": by_three_sigma,
}


def _false(q: dict[str, object], alarms: list[Alarm], bar: float, *, repairs: bool) -> int:
    real = np.concatenate([np.empty(0, int), *q["stops"], *([] if repairs else [q["repair"]])])  # type: ignore[misc, list-item]
    return sum(score >= bar and not np.isin(at, real).any() for score, at in alarms)


def _found(q: dict[str, object], alarms: list[Alarm], bar: float) -> tuple[int, int, list[float], float]:
    """Return stops found, stops, minutes error of each found one, and their minutes."""
    raised = [at for score, at in alarms if score >= bar]
    hit, error, minutes = 0, [], 0.0
    for stop in q["stops"]:  # type: ignore[attr-defined]
        mine = [at for at in raised if np.isin(at, stop).any()]
        if mine:
            hit += 1
            minutes += 15.0 * len(stop)
            error.append(15.0 * (sum(len(at) for at in mine) - len(stop)))
    return hit, len(q["stops"]), error, minutes  # type: ignore[arg-type]


# ---- districts -------------------------------------------------------------------------------------------------------


def districts(name: str, side: Reviewed) -> None:
    """Print one side's precision by rule, recall by kind and mechanism, and reliability; 95 % intervals."""
    print(headline(name, side))
    raised = side.raised
    print("\n".join(precision_lines(raised)))
    for kind in ("treatment_off", "carbon_overdue", "false_report"):
        own = raised.index[raised["kind"] == kind]
        for mechanism, g in side.truth[side.truth["kind"] == kind].groupby("mechanism"):
            hit = pd.Series(side.reached(g.index, own))
            share, low, high = clustered(hit, g["enterprise_id"])
            some = hit.groupby(g["enterprise_id"].to_numpy()).any()
            low_e, high_e = wilson(float(some.sum()), len(some))
            print(
                f"recall    {kind + ' / ' + str(mechanism):34s} rows {share:.2f} [{low:.2f}, {high:.2f}] n={len(g)}; "
                f"enterprises {some.mean():.2f} [{low_e:.2f}, {high_e:.2f}] n={len(some)}"
            )
    print("\n".join(reliability(side.findings)))


if __name__ == "__main__":
    main()
