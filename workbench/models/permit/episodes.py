"""From rule results to episodes: violations of one rule at one outlet, joined over factors and over short gaps."""

from __future__ import annotations

from math import isnan, log
from typing import Any

import numpy as np
import pandas as pd
from scipy.stats import t as student

from workbench.contracts import Ruling, stable_id
from workbench.models.permit.results import records
from workbench.models.permit.settings import Settings
from workbench.models.rulings import split

JOIN = pd.Timedelta(days=2)
DECLARED_RULES = ("declared_amount_below_measured",)
EPISODE_COLUMNS = (
    "finding_id",
    "rule",
    "enterprise_id",
    "outlet_id",
    "permit_id",
    "start",
    "end",
    "medium",
    "factors",
    "results",
    "strength",
    "p",
    "value",
    "threshold",
    "unit",
    "reason_zh",
    "reason_en",
    "evidence",
)


def honest_scatter(
    results: pd.DataFrame, *, items_lowest: float, scatter_lowest: float, share_low: float, factor_lowest: float
) -> pd.DataFrame:
    """Return results whose probability of a too low declaration is held against the scatter of all declarations.

    Most declarations are honest, so the median and the MAD of ln(declared/threshold) over all evaluated ones are the
    null (Student t, 4 degrees of freedom, since its tails are heavy); the alternative is uniform in ln from the median
    down to ``factor_lowest``. With fewer than ``items_lowest`` declarations the rule's own probability stays.
    """
    out = results.copy()
    for rule in DECLARED_RULES:
        mine = (out["rule"] == rule) & (out["ruling"] != Ruling.NOT_EVALUABLE.value) & (out["threshold"] > 0)
        if mine.sum() < items_lowest:
            continue
        x = np.log(np.maximum(out.loc[mine, "value"].to_numpy(), 1e-12) / out.loc[mine, "threshold"].to_numpy())
        centre = float(np.median(x))
        scatter = max(scatter_lowest, 1.4826 * float(np.median(np.abs(x - centre))))
        null = student.pdf((x - centre) / scatter, 4) / scatter
        other = np.where(x < centre, 1.0 / -log(factor_lowest), 0.0)
        posterior = share_low * other / (share_low * other + (1.0 - share_low) * null)
        violated = out.loc[mine, "ruling"].to_numpy() == Ruling.VIOLATED.value
        out.loc[mine, "p"] = np.where(violated, np.clip(posterior, 0.001, 0.995), out.loc[mine, "p"])
    return out


def episodes_of(results: pd.DataFrame, settings: Settings) -> pd.DataFrame:
    """Return one row per episode of violated results, sorted by enterprise, rule and start."""
    keys = ["enterprise_id", "rule", "outlet_id"]
    violated = results[results["ruling"] == Ruling.VIOLATED.value].sort_values([*keys, "start", "end", "factor"], kind="stable")
    rows = records(violated)
    episodes: list[list[dict[str, Any]]] = []
    key, end = None, pd.Timestamp.min
    for row in rows:
        mine = (row["enterprise_id"], row["rule"], row["outlet_id"])
        if mine != key or row["start"] > end + JOIN:
            episodes.append([])
            key, end = mine, row["end"]
        episodes[-1].append(row)
        end = max(end, row["end"])
    frame = pd.DataFrame([_episode(group, settings) for group in episodes], columns=list(EPISODE_COLUMNS))
    for column in ("start", "end"):
        frame[column] = pd.to_datetime(frame[column]).astype("datetime64[ns]")
    return frame


def _episode(group: list[dict[str, Any]], settings: Settings) -> dict[str, Any]:
    worst = max(group, key=lambda r: (-1.0 if isnan(r["p"]) else r["p"], r["strength"]))
    own = [r["p"] for r in group if not isnan(r["p"])]
    start, end = group[0]["start"], max(r["end"] for r in group)
    rule, outlet = worst["rule"], worst["outlet_id"]
    title, more = settings.rules[rule].title, len(group) - 1
    medium = {"w": "water", "a": "air"}.get(worst["factor"][:1], "")
    cited = "；".join(settings.cite(rule, start, medium))
    field = f"（{worst['permit_field']}）" if worst["permit_field"] else ""
    zh = f"{title.zh}{field}：{worst['reason_zh']}" + (f"另有{more}项。" if more else "") + (f"依据：{cited}。" if cited else "")
    en = (
        f"{title.en} ({worst['permit_field']}): {worst['reason_en']}"
        + (f" {more} more." if more else "")
        + (f" Basis: {cited}." if cited else "")
    )
    evidence = list(dict.fromkeys(e for r in group[:200] for e in split(r["evidence"])))
    return {
        "finding_id": stable_id("permit", rule, worst["enterprise_id"], outlet, start.isoformat()),
        "rule": rule,
        "enterprise_id": worst["enterprise_id"],
        "outlet_id": outlet,
        "permit_id": worst["permit_id"],
        "start": start,
        "end": end,
        "medium": medium,
        "factors": len({r["factor"] for r in group}),
        "results": len(group),
        "strength": max(r["strength"] for r in group),
        "p": max(own) if own else float("nan"),
        "value": worst["value"],
        "threshold": worst["threshold"],
        "unit": worst["unit"],
        "reason_zh": zh,
        "reason_en": en,
        "evidence": evidence[:20],
    }
