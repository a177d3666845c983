"""From findings and evidence to ranked leads in words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from workbench.contracts import ParameterError, Queue, result_frame
from workbench.cross.assemble import assemble, past_offsets
from workbench.cross.calibration import Calibration, apart_from, calibrate, labelled
from workbench.cross.candidates import Candidate, from_episodes
from workbench.cross.clamp import inspected_shift
from workbench.cross.conflicts import detect_conflicts
from workbench.cross.episodes import Episode, breaches, doubts, episodes
from workbench.cross.evidence import Evidence
from workbench.cross.fit import Fit
from workbench.cross.fusion import Fused, carried, expert, fuse
from workbench.cross.habits import fuse_with_habits, habits
from workbench.cross.learn import learn_ordinary
from workbench.cross.record import Record, record_of
from workbench.cross.reliability import FindingReliability, fit_reliability
from workbench.cross.silent import silent
from workbench.cross.spoken import as_spoken
from workbench.cross.uncertainty import with_uncertainty
from workbench.cross.words import attributions, lead_row

DEFAULT_BUDGETS = {"main": 70, "silent": 20}
DRAWS = 8
SILENT_POOL = 4
"""Silent candidates looked at per review the queue may ask for: those inspected among them calibrate it."""
EXPLAINED = 1.5
"""Leads explained channel by channel: this many times the budget."""


def build_leads(
    findings: pd.DataFrame,
    evidence: Sequence[xr.Dataset] | None = None,
    inspections: pd.DataFrame | None = None,
    enterprises: pd.DataFrame | None = None,
    *,
    seed: int = 0,
    budgets: Mapping[str, int] | Sequence[int] | None = None,
    draws: int = DRAWS,
    reliability: Fit | None = None,
) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """Fuse findings and evidence into ranked leads.

    Parameters
    ----------
    findings : DataFrame
        Contract table ``findings`` of every model, concatenated.
    evidence : sequence of Dataset, optional
        Hourly channels of every model (contract ``evidence``); absent: leads rest on the findings alone.
    inspections : DataFrame, optional
        Labels known so far; absent or empty: expert priors only.
    enterprises : DataFrame, optional
        Contract table; gives names, industry, street and operator.
    seed : int
        Seed of everything drawn.
    budgets : mapping or sequence, optional
        ``{"main": 70, "silent": 20}``: reviews each queue may ask for; a sequence gives the main budgets and the
        silent quota keeps its default. Main leads beyond the budget are kept, ranked behind.
    draws : int
        Parameter draws behind each interval.
    reliability : Fit, optional
        A fit of :mod:`workbench.cross.fit`, used where its gate passed; default the expert priors, with ordinary hours
        learned from the evidence.

    Returns
    -------
    leads, conflicts, attributions : DataFrame
        Contract tables. Attributions of a lead sum to its log-odds.

    Raises
    ------
    ParameterError
        If a budget is negative or of an unknown queue.
    """
    asked = quota(budgets)
    p = prepare(findings, evidence, inspections, enterprises, reliability=reliability)
    return leads_of(p, inspections, enterprises, asked, seed=seed, draws=draws)


@dataclass(frozen=True)
class Prepared:
    """Everything between the models' results and the leads, for a notebook to look at.

    Parameters
    ----------
    raw : Evidence
        Channels as the models gave them, aligned; ``coverage_report(raw)`` says what they cover.
    fused : Fused
        Posterior of every enterprise and hour.
    quiet : Fused
        The same had no model raised anything, and were all enterprises alike: where the silent queue comes from.
    said : DataFrame
        What the models raised (``raised``) and what they only weighed, with ``p`` as far as it is believed.
    trust : FindingReliability
        How far each detector is believed.
    record : Record
        What visits say of each enterprise at other times.
    inclined : dict of str to float
        Log-odds by enterprise from the spells of trouble believed in at any time.
    """

    raw: Evidence
    fused: Fused
    quiet: Fused
    said: pd.DataFrame
    trust: FindingReliability
    record: Record
    inclined: dict[str, float]

    def known(self, e: Episode) -> float:
        """Return the log-odds that an enterprise's other times add to those of a silent span."""
        return self.record.unraised(e.enterprise_id, e.start, e.end, lean=self.inclined.get(e.enterprise_id, 0.0))


def prepare(
    findings: pd.DataFrame,
    evidence: Sequence[xr.Dataset] | None = None,
    inspections: pd.DataFrame | None = None,
    enterprises: pd.DataFrame | None = None,
    *,
    reliability: Fit | None = None,
) -> Prepared:
    """Align, weigh and fuse; arguments as in :func:`build_leads`."""
    found = breaches(findings)
    trust = fit_reliability(found, inspections)
    weighed = doubts(findings)
    weighed = believed(weighed, fit_reliability(weighed, inspections, raised=False))
    found = believed(found, trust)
    raw, ready, hushed = assemble(findings, found, weighed, evidence, enterprises)
    if reliability is not None and reliability.passed:
        start = reliability.reliability(ready, enterprises)
    else:
        spoken = as_spoken(raw, enterprises)
        start = carried(learn_ordinary(spoken, expert(spoken)), spoken, ready)
    fused = fuse_with_habits(ready, past_offsets(inspections, ready.enterprises), enterprises, start)
    alike = replace(carried(fused.reliability, ready, hushed), offsets=np.zeros(len(hushed.enterprises)))
    quiet = fuse(hushed, alike)
    said = pd.concat([found.assign(raised=True), weighed.assign(raised=False)], ignore_index=True)
    inclined = dict(zip(map(str, ready.enterprises), habits(fused, enterprises), strict=True))
    return Prepared(raw, fused, quiet, said.astype({"raised": bool}), trust, record_of(inspections), inclined)


def believed(found: pd.DataFrame, trust: FindingReliability) -> pd.DataFrame:
    """Return findings with ``p`` as far as it is believed (see :mod:`workbench.cross.reliability`)."""
    return found.assign(p=np.clip(trust.believed(found), 0.005, 0.98)) if len(found) else found


def leads_of(
    ready: Prepared,
    inspections: pd.DataFrame | None,
    enterprises: pd.DataFrame | None,
    asked: Mapping[str, int],
    *,
    seed: int,
    draws: int = DRAWS,
) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """Return leads, conflicts and attributions of fused evidence (see :func:`build_leads`)."""
    fused, quiet, said = ready.fused, ready.quiet, ready.said
    found = said[said["raised"]]
    offset_of = dict(zip(fused.evidence.enterprises, fused.reliability.offsets, strict=True))
    candidates = from_episodes(episodes(found), found, fused, offsets=offset_of)
    candidates += silent(quiet, said, SILENT_POOL * asked["silent"], ready.known)
    candidates = with_uncertainty(candidates, fused, quiet, draws, seed)
    maps = _calibrations(candidates, inspections, found)
    candidates = within_quota(_clamped(candidates, inspections), maps, asked["silent"])
    name = dict(zip(enterprises["enterprise_id"], enterprises["name"], strict=True)) if enterprises is not None else {}
    rows = []
    for c in candidates:
        ident = c.episode.enterprise_id
        rows.append(lead_row(c, _of(c, fused, quiet), said, maps[(c.queue, c.episode.track)], name.get(ident, ident)))
    leads = ranked(pd.DataFrame(rows))
    parts = _explained(leads, candidates, rows, maps, ready, asked)
    return result_frame("leads", leads), detect_conflicts(fused, ready.raw), result_frame("attributions", parts)


def _of(c: Candidate, fused: Fused, quiet: Fused) -> Fused:
    return quiet if c.queue == Queue.SILENT else fused


def _clamped(candidates: list[Candidate], inspections: pd.DataFrame | None) -> list[Candidate]:
    """Return the candidates with what inspections of the same span already answered.

    What a visit has found is no longer silent: in that queue only its *none* counts.
    """
    e = [c.episode for c in candidates]
    shift = inspected_shift(
        [x.enterprise_id for x in e], [x.start for x in e], [x.end for x in e], [c.kind.value for c in candidates], inspections
    )
    return [replace(c, inspected=float(min(s, 0.0) if c.queue == Queue.SILENT else s)) for c, s in zip(candidates, shift, strict=True)]


def _calibrations(
    candidates: list[Candidate], inspections: pd.DataFrame | None, found: pd.DataFrame
) -> dict[tuple[Queue, str], Calibration]:
    """Return one recalibration per queue and track, from the candidates that were inspected.

    Of a silent lead a visit tells only where no model raised anything in the time it looked at: else it may have found that.
    """
    out = {}
    quiet = apart_from(inspections, found)
    for key in sorted({(c.queue, c.episode.track) for c in candidates}):
        mine = [c for c in candidates if (c.queue, c.episode.track) == key]
        spans = pd.DataFrame([{"enterprise_id": c.episode.enterprise_id, "start": c.episode.start, "end": c.episode.end} for c in mine])
        at, label, weight = labelled(spans, quiet if key[0] == Queue.SILENT else inspections)
        logit, known = (np.array([getattr(mine[i], name) for i in at], dtype=float) for name in ("logit", "known"))
        out[key] = calibrate(logit, label, weight, key[0], documents=key[1] != "physical", known=known)
    return out


def _explained(
    leads: pd.DataFrame,
    candidates: list[Candidate],
    rows: list[dict[str, Any]],
    maps: Mapping[tuple[Queue, str], Calibration],
    ready: Prepared,
    asked: Mapping[str, int],
) -> list[dict[str, Any]]:
    """Return the attributions of the leads within reach of a review, and put their main evidence into their words."""
    if not len(leads):
        return []
    by_id = {r["lead_id"]: c for r, c in zip(rows, candidates, strict=True)}
    limit = int(EXPLAINED * sum(asked.values()))
    within = leads[(leads["rank"] <= limit) | (leads["queue"] == Queue.SILENT.value)]
    parts: list[dict[str, Any]] = []
    for i, ident in zip(within.index, within["lead_id"], strict=True):
        c = by_id[ident]
        mine, zh, en = attributions(c, _of(c, ready.fused, ready.quiet), ready.said, maps[(c.queue, c.episode.track)])
        parts += mine
        leads.at[i, "reason_zh"] = str(leads["reason_zh"].loc[i]) + zh
        leads.at[i, "reason_en"] = str(leads["reason_en"].loc[i]) + en
    return parts


def within_quota(candidates: list[Candidate], maps: Mapping[tuple[Queue, str], Calibration], silent_quota: int) -> list[Candidate]:
    """Return the candidates with the silent ones cut to their quota, the likeliest first."""

    def order(c: Candidate) -> tuple[float, str, str, int]:
        likely = float(maps[(c.queue, c.episode.track)](c.logit)) + c.known + c.inspected
        return -likely, c.episode.enterprise_id, c.episode.track, c.peak

    quiet = sorted((c for c in candidates if c.queue == Queue.SILENT), key=order)
    return [c for c in candidates if c.queue != Queue.SILENT] + quiet[:silent_quota]


def quota(budgets: Mapping[str, int] | Sequence[int] | None) -> dict[str, int]:
    """Return the review quota of each queue.

    Raises
    ------
    ParameterError
        If a budget is negative or of an unknown queue.
    """
    if budgets is None:
        return dict(DEFAULT_BUDGETS)
    if not isinstance(budgets, Mapping):
        budgets = {"main": max((int(b) for b in budgets), default=DEFAULT_BUDGETS["main"])}
    out = {**DEFAULT_BUDGETS, **{str(k): int(v) for k, v in budgets.items()}}
    if set(out) != set(DEFAULT_BUDGETS) or min(out.values()) < 0:
        raise ParameterError("budgets name the queues main and silent, each not negative", got=dict(budgets), allowed=dict(DEFAULT_BUDGETS))
    return out


def ranked(leads: pd.DataFrame) -> pd.DataFrame:
    """Return leads with ``rank`` unique over both queues: by posterior, ties by identifier."""
    if not len(leads):
        return leads
    out = leads.sort_values(["p_violation", "lead_id"], ascending=[False, True], kind="stable").reset_index(drop=True)
    out["rank"] = np.arange(1, len(out) + 1)
    return out
