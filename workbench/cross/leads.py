"""From findings and evidence to ranked leads in words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from workbench.contracts import KIND_WORDS, Kind, ParameterError, Queue, result_frame, stable_id
from workbench.cross.episodes import Episode, breaches, episodes
from workbench.cross.kinds import articles, kind_row
from workbench.cross.pooling import Pooled, pool

DEFAULT_BUDGETS = {"main": 70, "silent": 20}


def build_leads(
    findings: pd.DataFrame,
    evidence: Sequence[xr.Dataset] | None = None,
    inspections: pd.DataFrame | None = None,
    enterprises: pd.DataFrame | None = None,
    *,
    seed: int = 0,
    budgets: Mapping[str, int] | Sequence[int] | None = None,
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

    Returns
    -------
    leads, conflicts, attributions : DataFrame
        Contract tables. Attributions of a lead sum to its log-odds.

    Raises
    ------
    ParameterError
        If a budget is negative or of an unknown queue.
    """
    quota(budgets)
    found = breaches(findings)
    scored = [(e, pool(found.loc[list(e.rows)])) for e in episodes(found)]
    names = (
        dict(zip(enterprises["enterprise_id"], enterprises["name"], strict=True)) if enterprises is not None and len(enterprises) else {}
    )
    rows, parts = [], []
    for episode, pooled in scored:
        row = _lead(episode, pooled, found, names)
        rows.append(row)
        parts += _attributions(row["lead_id"], pooled, found)
    leads = ranked(pd.DataFrame(rows))
    return result_frame("leads", leads), result_frame("conflicts"), result_frame("attributions", parts)


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


def _lead(e: Episode, pooled: Pooled, found: pd.DataFrame, names: Mapping[str, str]) -> dict[str, Any]:
    g = found.loc[list(e.rows)]
    top = found.loc[pooled.parts[0][2]]
    kind = Kind(str(top["kind"]))
    p, low, high = pooled.interval()
    rule = kind_row(kind)
    outlets = sorted(set(g["outlet_id"].fillna("")) - {""})
    start, end = e.start, max(e.end, e.start + pd.Timedelta(hours=1))
    models = sorted(set(g["model"]))
    zh, en = KIND_WORDS[kind]
    name = names.get(e.enterprise_id, e.enterprise_id)
    more_zh = f"另有{len(g) - 1}条发现，" if len(g) > 1 else ""
    more_en = f"{len(g) - 1} more finding(s); " if len(g) > 1 else ""
    return {
        "lead_id": stable_id("L", e.enterprise_id, e.track, start.isoformat(), end.isoformat()),
        "rank": 1,
        "queue": Queue.MAIN.value,
        "enterprise_id": e.enterprise_id,
        "outlet_id": outlets[0] if len(outlets) == 1 else "",
        "start": start,
        "end": end,
        "kind": kind.value,
        "p_violation": p,
        "p_low": low,
        "p_high": high,
        "reason_zh": f"{name}：疑似{zh}（线索，非结论）。{top['reason_zh']}；{more_zh}来自模型：{'、'.join(models)}",
        "reason_en": f"{name}: possible {en} (a lead, not a finding of law). {top['reason_en']}; {more_en}models: {', '.join(models)}",
        "innocent_alternative": f"{rule.innocent_zh} / {rule.innocent_en}",
        "next_check": f"{rule.check_zh} / {rule.check_en}",
        "findings": sorted(g["finding_id"]),
        "articles": articles(kind, start),
    }


def _attributions(lead_id: str, pooled: Pooled, found: pd.DataFrame) -> list[dict[str, Any]]:
    return [
        {
            "finding_id": lead_id,
            "feature": f"{model}:{detector}",
            "label_zh": f"{model} 模型的 {detector} 检测",
            "label_en": f"detector {detector} of model {model}",
            "unit": "1",
            "value": float(found["p"].loc[row]),
            "contribution": value,
            "base": pooled.base,
            "score": pooled.logit,
        }
        for model, detector, row, value in pooled.parts
    ]
