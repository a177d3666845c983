"""From detectors to candidates: one row per point, detector family and episode, with the circumstances that weigh on it."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.resources import files
from typing import Any

import numpy as np
import pandas as pd
import yaml
from pydantic import BaseModel, ConfigDict

from workbench.contracts import RuleRow
from workbench.models.monitoring.detectors import DETECTORS
from workbench.models.monitoring.held import FINE, entry_nats
from workbench.models.monitoring.null import tail_of
from workbench.models.monitoring.panel import Panel
from workbench.models.monitoring.verdicts import Verdicts
from workbench.models.monitoring.windows import FEATURES, describe

CIRCUMSTANCES = (
    "strength", "second_channel", "running", "duration", "repeats", "elsewhere", "pays", "whole_device", "shared", "serviced",
    "saturated", "starting", "jump", "below", "abrupt", "replay", "standing", "device_fault", "low_level", "entry", *FEATURES,
)  # fmt: skip
"""Features of a candidate, in the order of ``scoring.yml``."""
PAYS_DETECTORS = frozenset(
    {
        "values_clipped_below_limit",
        "values_bunch_at_limit",
        "values_scaled_down",
        "values_shifted_down",
        "clean_water_replaces_sample",
        "sampling_line_diluted",
    }
)
PER_HISTORY = frozenset({"outage_when_exceedance_predicted"})
"""Detectors whose strength is the chance over the whole history of a point; that of one of its days is so much smaller."""
MERGE = pd.Timedelta(days=1)


class Family(BaseModel):
    """How candidates of one detector are counted."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    family: str
    kind: str
    outcome: str
    prior: float
    cap: float


class Circumstance(BaseModel):
    """Weight, unit and words of one circumstance."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    weight: float
    unit: str
    zh: str
    en: str


class Scoring(BaseModel):
    """``scoring.yml``: priors and caps by detector, weights by circumstance."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    detectors: dict[str, Family]
    circumstances: dict[str, Circumstance]


def load_scoring() -> Scoring:
    """Read ``scoring.yml``."""
    return Scoring.model_validate(_read("scoring.yml"))


def load_sentences() -> dict[str, dict[str, str]]:
    """Read ``sentences.yml``: detector -> {zh, en}."""
    return {str(k): dict(v) for k, v in _read("sentences.yml").items()}


def _read(name: str) -> Any:
    return yaml.safe_load(files(__package__).joinpath(name).read_text(encoding="utf-8"))


def run_detectors(panel: Panel, rules: Mapping[str, RuleRow]) -> dict[str, Verdicts]:
    """Run every detector with the numbers of its row."""
    return {name: detector(panel, **rules[name].numbers()) for name, detector in DETECTORS.items()}


def candidates(panel: Panel, found: Mapping[str, Verdicts], scoring: Scoring) -> pd.DataFrame:
    """Return one row per point, family and episode with its circumstances.

    Columns: row, detector, family, start, end, nats (raw), log_p (under the empirical null), sentence numbers in ``numbers``, place,
    hourly and fine (whether the score rehearsed on hourly readings, or at full rate, may judge it), and :data:`CIRCUMSTANCES`. Sorted
    by row, start, detector.
    """
    parts = []
    for name, verdict in found.items():
        spans = verdict.spans
        if not len(spans):
            continue
        numbers = spans.drop(columns=["row", "start", "end", "nats"]).to_dict("records")
        log_p = tail_of(verdict, spans, panel.first_day)
        if name in PER_HISTORY:
            log_p = log_p - np.log(max(panel.shape[1], 1))
        frame = pd.DataFrame(
            {
                "row": spans["row"].astype(int),
                "detector": name,
                "family": scoring.detectors[name].family,
                "start": spans["start"],
                "end": spans["end"],
                "nats": spans["nats"].astype(float),
                "log_p": log_p,
                "numbers": numbers,
            }
        )
        parts.append(frame)
    if not parts:
        return pd.DataFrame(
            {
                c: []
                for c in (
                    "row",
                    "detector",
                    "family",
                    "start",
                    "end",
                    "nats",
                    "log_p",
                    "numbers",
                    "place",
                    "hourly",
                    "fine",
                    *CIRCUMSTANCES,
                )
            }
        )
    spans = pd.concat(parts, ignore_index=True)
    c = _with_circumstances(panel, _merge(spans, scoring), scoring)
    return pd.concat([c, describe(panel, c, spans)], axis=1)


def _merge(spans: pd.DataFrame, scoring: Scoring) -> pd.DataFrame:
    """Join spans of one family at one point that touch or lie within a day; the strongest names detector and numbers."""
    spans = spans.sort_values(["row", "family", "start", "end", "detector"], kind="stable").reset_index(drop=True)
    group = np.zeros(len(spans), dtype=int)
    current, reach, key = -1, pd.Timestamp.min, None
    for i, (row, family, start, end) in enumerate(zip(spans["row"], spans["family"], spans["start"], spans["end"], strict=True)):
        if (row, family) != key or start > reach + MERGE:
            current, reach, key = current + 1, end, (row, family)
        reach = max(reach, end)
        group[i] = current
    spans["group"] = group
    lead = (
        spans.sort_values(["group", "nats", "start"], ascending=[True, False, True], kind="stable")
        .drop_duplicates("group")
        .set_index("group")
    )
    merged = spans.groupby("group").agg(
        start=("start", "min"), end=("end", "max"), log_p=("log_p", "min"), total=("nats", "sum"), parts=("nats", "size")
    )
    out = lead.drop(columns=["start", "end", "log_p"]).join(merged)
    return out.sort_values(["row", "start", "detector"], kind="stable").reset_index(drop=True)


def _with_circumstances(panel: Panel, c: pd.DataFrame, scoring: Scoring) -> pd.DataFrame:
    c = c.copy()
    days = (c["end"] - c["start"]).dt.total_seconds().to_numpy() / 86400
    caps = c["detector"].map({k: f.cap for k, f in scoring.detectors.items()}).to_numpy(dtype=float)
    # neither the detector's own physics nor the empirical null of all points may be overruled: the weaker claim counts
    claim = np.minimum(c["nats"].to_numpy(dtype=float), -c["log_p"].to_numpy(dtype=float))
    # over the cap the claim counts by its logarithm only: the order is kept, certainty is not
    c["strength"] = np.minimum(claim, caps) + np.log1p(np.maximum(claim - caps, 0.0))
    c["duration"] = np.log1p(np.minimum(days, 60.0))
    sibling = _by_place(panel, c)
    c["whole_device"] = sibling["whole_device"]
    c["elsewhere"], c["device_fault"] = sibling["elsewhere"], sibling["device_fault"]
    c["shared"] = np.log1p(_shared(panel, c))
    c["running"], c["second_channel"], c["serviced"] = _surroundings(panel, c)
    same = c.groupby(["row", "family"])["start"].transform("size")
    c["repeats"] = np.log(np.minimum(same, 20).astype(float))
    c["pays"] = _pays(panel, c)
    c["saturated"] = [float(n.get("saturated", 0.0)) for n in c["numbers"]]
    c["entry"] = entry_nats(panel, c)
    c["jump"], c["below"] = _entry(panel, c)
    c["abrupt"] = [float(n.get("abrupt", 0.5)) - 0.5 for n in c["numbers"]]
    c["replay"] = [float(n.get("replay", 0.0)) for n in c["numbers"]]
    c["standing"] = ((c["running"] < 0.25) & ~c["family"].isin(("mark", "exceedance", "outage"))).astype(float)
    c["low_level"] = _low_level(panel, c)
    c["starting"] = [float(n.get("starting", 0.0)) for n in c["numbers"]]
    rows = c["row"].to_numpy(dtype=int)
    c["place"], c["hourly"] = panel.station[rows], panel.hourly[rows] & panel.pollutant[rows]
    c["fine"] = panel.fine[rows] & panel.pollutant[rows]
    return c


def _by_place(panel: Panel, c: pd.DataFrame) -> pd.DataFrame:
    """Return, per candidate, the share of its place's other channels in the same family then, and whether another family hits."""
    place = panel.station[c["row"].to_numpy(dtype=int)]
    size = {k: len(v) for k, v in panel.members.items()}
    start, end, family, row = (c[k].to_numpy() for k in ("start", "end", "family", "row"))
    whole, elsewhere, failing = np.zeros(len(c)), np.zeros(len(c)), np.zeros(len(c))
    faulty = np.isin(family, ("range", "drift", "missing", "late", "impossible"))
    short = c["end"].to_numpy() - c["start"].to_numpy() <= np.timedelta64(2, "D")
    for key, index in pd.Series(place).groupby(place).indices.items():
        over = (start[index][:, None] < end[index][None]) & (end[index][:, None] > start[index][None])
        same = family[index][:, None] == family[index][None]
        other = row[index][:, None] != row[index][None]
        for k, i in enumerate(index):
            hit = {int(r) for r in row[index][over[k] & same[k] & other[k]]}
            whole[i] = len(hit) / max(size.get(str(key), 1) - 1, 1)
            elsewhere[i] = float((over[k] & ~same[k] & ~faulty[index]).any())
            failing[i] = float(short[i] and (over[k] & other[k] & (family[index] == "range")).any())
    return pd.DataFrame({"whole_device": whole, "elsewhere": elsewhere, "device_fault": failing})


def _shared(panel: Panel, c: pd.DataFrame) -> np.ndarray:
    """Return how many other owners have the same family beginning within an hour, or ending within it: one cause for all."""
    owner = np.where(panel.roster["enterprise_id"] != "", panel.roster["enterprise_id"], panel.station)[c["row"].to_numpy(dtype=int)]
    out = np.zeros(len(c))
    hourly = ~c["family"].isin(("scale", "dilution", "clean", "generated", "clipping", "drift", "outage", "exceedance")).to_numpy()
    for index in c.groupby("family").indices.values():
        if not hourly[index].all():
            continue
        start = c["start"].to_numpy()[index].astype("datetime64[s]").astype(np.int64)
        order = np.argsort(start, kind="stable")
        sorted_start, owners = start[order], owner[index][order]
        lo = np.searchsorted(sorted_start, sorted_start - 3600, "left")
        hi = np.searchsorted(sorted_start, sorted_start + 3600, "right")
        for k, i in enumerate(np.asarray(index)[order].tolist()):
            out[i] = len(set(owners[lo[k] : hi[k]]) - {owners[k]})
    return np.asarray(np.maximum(np.where(out >= 2, out, 0.0), _network(panel, c, owner)))


def _network(panel: Panel, c: pd.DataFrame, owner: np.ndarray) -> np.ndarray:
    """Return, for stations without an enterprise, how many others stand still or stop short in the same factor at the time.

    Air over a city is one air: where three stations go flat together, the network or the weather is the cause.
    """
    flat = c["family"].isin(("plateau", "clipping")).to_numpy()
    rows = c["row"].to_numpy(dtype=int)
    public = flat & (panel.roster["enterprise_id"].to_numpy(dtype=object)[rows] == "")
    start, end = c["start"].to_numpy(), c["end"].to_numpy()
    out = np.zeros(len(c))
    for i in np.flatnonzero(public):
        near = public & (panel.peers[rows] == panel.peers[rows[i]]) & (start < end[i]) & (end > start[i])
        others = len(set(owner[near]) - {owner[i]})
        out[i] = others if others >= 2 else 0.0
    return out


def _surroundings(panel: Panel, c: pd.DataFrame) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return, per candidate, the running share, the share of other channels that move as usual, and whether service follows."""
    _n, hours = panel.running.shape
    value, code = panel.hour("hour_any"), panel.hour("hour_mark")
    running, second, serviced = np.zeros(len(c)), np.zeros(len(c)), np.zeros(len(c))
    a = np.floor(np.asarray((c["start"] - panel.first_day) / pd.Timedelta(hours=1))).astype(int).clip(0, hours - 1)
    b = np.ceil(np.asarray((c["end"] - panel.first_day) / pd.Timedelta(hours=1))).astype(int).clip(1, hours)
    usual: dict[int, float] = {}
    hit: dict[tuple[int, str], list[tuple[int, int]]] = {}
    for r, f, lo, hi in zip(c["row"].astype(int), c["family"], a, b, strict=True):
        hit.setdefault((r, f), []).append((lo, hi))
    for i, row in enumerate(c["row"].to_numpy(dtype=int)):
        lo, hi = a[i], max(b[i], a[i] + 1)
        running[i] = panel.running[row, lo:hi].mean()
        after = code[row, max(lo, hi - 1) : min(hours, hi + 6)]
        serviced[i] = float(np.isin(after, (2, 4)).any())
        enterprise = str(panel.roster["enterprise_id"].iloc[row])
        process = panel.process_rows.get(enterprise, {}) if enterprise else {}
        others = np.concatenate([panel.siblings(row), *process.values()]).astype(int)
        moving, known = 0, 0
        for o in others[:10]:
            if any(x < hi and y > lo for x, y in hit.get((int(o), c["family"].iloc[i]), ())):
                continue
            steps = np.abs(np.diff(value[o, lo:hi]))
            if np.isfinite(steps).sum() < 3:
                continue
            if int(o) not in usual:
                all_steps = np.abs(np.diff(value[o]))
                usual[int(o)] = float(np.nanmedian(all_steps)) if np.isfinite(all_steps).any() else np.nan
            known += 1
            moving += bool(usual[int(o)] > 0 and np.nanmedian(steps) >= 0.4 * usual[int(o)])
        second[i] = moving / known if known else 0.0
    return running, second, serviced


def _entry(panel: Panel, c: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
    """Return, per candidate, whether the level jumps where it begins, and how far the readings lie under their expectation.

    A stuck instrument freezes at its last true value; an entered value need not. Only plateaus have a jump. The second is in
    units of three robust standard deviations of the residual from the process, 0 to 1.
    """
    z, logarithmic = panel.transformed
    hours = z.shape[1]
    jump, below = np.zeros(len(c)), np.zeros(len(c))
    residual, scale = panel.process_expectation.residual, panel.process_expectation.scale
    a = np.floor(np.asarray((c["start"] - panel.first_day) / pd.Timedelta(hours=1))).astype(int).clip(0, hours - 1)
    b = np.ceil(np.asarray((c["end"] - panel.first_day) / pd.Timedelta(hours=1))).astype(int).clip(1, hours)
    for i, (row, family) in enumerate(zip(c["row"].to_numpy(dtype=int), c["family"], strict=True)):
        inside = residual[row, a[i] : max(b[i], a[i] + 1)]
        if np.isfinite(inside).any() and scale[row] > 0:
            below[i] = float(np.clip(-np.nanmedian(inside) / max(3 * scale[row], 0.1), 0, 1))
        # finer data show the step into the run itself, see held.py
        if family == "plateau" and logarithmic[row] and panel.per_day[row] < FINE:
            before, within = z[row, max(0, a[i] - 4) : a[i]], z[row, a[i] + 1 : max(b[i], a[i] + 2)]
            if np.isfinite(before).any() and np.isfinite(within).any():
                jump[i] = 1.0 if abs(np.nanmedian(within) - before[np.isfinite(before)][-1]) > 0.2 else -0.8
    return jump, below


def _low_level(panel: Panel, c: pd.DataFrame) -> np.ndarray:
    """Return 1 where a plateau or cap lies in the lowest tenth of the point's own hours, where rounding and detection limits tie values."""
    hourly = panel.hour("hour_mean")
    out = np.zeros(len(c))
    for i, (row, family, numbers) in enumerate(zip(c["row"].to_numpy(dtype=int), c["family"], c["numbers"], strict=True)):
        if family in ("plateau", "clipping") and np.isfinite(numbers.get("value", np.nan)):
            known = hourly[row][np.isfinite(hourly[row])]
            out[i] = float(known.size > 0 and np.mean(known < numbers["value"] * (1 - 1e-6)) < 0.1)
    return out


def _pays(panel: Panel, c: pd.DataFrame) -> np.ndarray:
    """Return whether the change helps to stay under the limit: the expected level is within 30 % of the limit or over it."""
    limit = panel.roster["limit"].to_numpy(dtype=float)
    out = np.zeros(len(c))
    for i, (row, detector, start, end, numbers) in enumerate(zip(c["row"], c["detector"], c["start"], c["end"], c["numbers"], strict=True)):
        if "near_limit" in numbers:
            out[i] = float(numbers["near_limit"])
        elif np.isfinite(limit[row]) and detector in PAYS_DETECTORS and panel.expectation.logarithmic[row]:
            lo = int((start - panel.first_day) / pd.Timedelta(hours=1))
            hi = max(int((end - panel.first_day) / pd.Timedelta(hours=1)), lo + 1)
            e = panel.process_expectation.expected[row, max(lo, 0) : hi]
            e = e[np.isfinite(e)]
            out[i] = float(e.size > 0 and np.quantile(e, 0.8) > np.log(0.7 * limit[row]))
    return out
