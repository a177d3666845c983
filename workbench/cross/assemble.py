"""Everything the models say, on one grid, ready to be fused."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pandas as pd
import xarray as xr

from workbench.contracts import Kind
from workbench.cross.context import context_channels
from workbench.cross.evidence import Evidence, merge
from workbench.cross.finding_channels import finding_channels, mask_spoken
from workbench.cross.roles import priors, roles
from workbench.cross.severity import merge_graded
from workbench.cross.states import MECHANISMS

LONGEST_GRID = pd.Timedelta(days=3 * 366)


def assemble(
    findings: pd.DataFrame,
    found: pd.DataFrame,
    doubted: pd.DataFrame,
    evidence: Sequence[xr.Dataset] | None,
    enterprises: pd.DataFrame | None,
) -> tuple[Evidence, Evidence, Evidence]:
    """Merge the models' channels and findings.

    Parameters
    ----------
    findings : DataFrame
        Everything the models returned.
    found, doubted : DataFrame
        What they raised, and what they weighed and did not raise, with ``p`` as far as it is believed.
    evidence : sequence of Dataset, optional
    enterprises : DataFrame, optional

    Returns
    -------
    raw : Evidence
        The models' channels as they came, aligned: what the coverage report is about.
    ready : Evidence
        What is fused: graded roles merged to their worst, context added, findings as channels, levels a finding already
        speaks for set aside, duty channels left out (they are not part of the physical state).
    quiet : Evidence
        The same had no model raised anything: doubts only as findings, and what a raised finding speaks for set aside.
    """
    said = pd.concat([found, doubted], ignore_index=True)
    ids = sorted({*said["enterprise_id"], *([] if enterprises is None else enterprises["enterprise_id"])} - {""})
    raw = merge(evidence or (), enterprises=ids, hours=None if evidence else span_of(found))
    physical = Evidence(raw.enterprises, raw.hours, tuple(c for c in raw.channels if not (c.role and roles()[c.role].duty)))
    context = context_channels(physical, enterprises)
    spoken = physical.with_channels(*finding_channels(said, findings, physical))
    ready = shared_word(merge_graded(mask_spoken(spoken)))
    unsaid = mask_spoken(physical.with_channels(*finding_channels(found, findings, physical)))
    unsaid = Evidence(raw.enterprises, raw.hours, tuple(c for c in unsaid.channels if c.llr is None))
    unsaid = mask_spoken(unsaid.with_channels(*finding_channels(doubted, findings, physical)))
    quiet = shared_word(merge_graded(unsaid))
    if not quiet.channels:  # findings alone: where no model spoke nothing is known
        return raw, ready.with_channels(*context), Evidence(raw.enterprises, raw.hours[:0])
    return raw, ready.with_channels(*context), quiet.with_channels(*context)


def shared_word(e: Evidence) -> Evidence:
    """Return the evidence with channels of one role and source sharing one word.

    Two models that read the same marks or the same limit say one thing twice: each gets its share of the weight.
    """
    keys = [(c.role, c.source) if c.role and c.llr is None else (c.name, "") for c in e.channels]
    shared = [replace(c, support_hours=c.support_hours * keys.count(k)) for c, k in zip(e.channels, keys, strict=True)]
    return Evidence(e.enterprises, e.hours, tuple(shared))


def span_of(found: pd.DataFrame) -> pd.DatetimeIndex | None:
    """Return the hours that physical findings span (None where there are none)."""
    g = found[found["kind"].isin([Kind(k) for k in MECHANISMS[:3]])]
    if not len(g):
        return None
    start, end = g["start"].min().floor("h"), g["end"].max().ceil("h")
    return pd.date_range(max(start, end - LONGEST_GRID), max(end, start + pd.Timedelta(hours=1)), freq="h")


def past_offsets(inspections: pd.DataFrame | None, enterprises: np.ndarray) -> np.ndarray:
    """Return each enterprise's log-odds from its inspected past: found in violation more, found clean a little less."""
    out = np.zeros(len(enterprises))
    if inspections is None or not len(inspections):
        return out
    p = priors().inspection
    bad = inspections["finding"].eq("violation").groupby(inspections["enterprise_id"]).sum()
    n = inspections.groupby("enterprise_id").size()
    for i, e in enumerate(enterprises):
        if e in n.index:
            clean = min(3, int(n[e] - bad[e]))
            out[i] = (p["past_violation"] if bad[e] else 0.0) + p["past_clean"] * clean
    return out
