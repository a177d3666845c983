"""From rule results to episodes: violations of one rule at one outlet, joined over factors and over short gaps."""

from __future__ import annotations

from math import log

import numpy as np
import pandas as pd
from scipy.stats import t as student

from workbench.contracts import Ruling, stable_id
from workbench.models.permit.results import split_evidence
from workbench.models.permit.settings import Settings

JOIN = pd.Timedelta(days=2)
DECLARED_RULES = ("declared_amount_below_measured", "declared_amount_below_ledger")
EPISODE_COLUMNS = (
    "finding_id",
    "rule",
    "enterprise_id",
    "outlet_id",
    "permit_id",
    "start",
    "end",
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
    violated = results[results["ruling"] == Ruling.VIOLATED.value]
    rows = []
    keys = ["enterprise_id", "rule", "outlet_id"]
    for names, group in violated.sort_values([*keys, "start", "end", "factor"], kind="stable").groupby(keys, sort=True):
        key = (str(names[0]), str(names[1]), str(names[2]))
        part: list[int] = []
        end = pd.NaT
        for i, (start, stop) in enumerate(zip(group["start"], group["end"], strict=True)):
            if part and start > end + JOIN:
                rows.append(_episode(key, group.iloc[part], settings))
                part, end = [], pd.NaT
            part.append(i)
            end = stop if pd.isna(end) else max(end, stop)
        rows.append(_episode(key, group.iloc[part], settings))
    frame = pd.DataFrame(rows, columns=list(EPISODE_COLUMNS))
    for column in ("start", "end"):
        frame[column] = pd.to_datetime(frame[column]).astype("datetime64[ns]")
    return frame


def _episode(key: tuple[str, str, str], group: pd.DataFrame, settings: Settings) -> dict[str, object]:
    enterprise, rule, outlet = key
    prior = settings.priors[rule]
    own = group["p"].fillna(-1.0).to_numpy()
    worst = group.iloc[int(np.lexsort((-group["strength"].to_numpy(), -own))[0])]
    more = len(group) - 1
    title = settings.rules[rule].title
    medium = "water" if str(worst["factor"]).startswith("w") else "air"
    cited = "；".join(settings.cite(rule, worst["start"], medium))
    field = f"（{worst['permit_field']}）" if worst["permit_field"] else ""
    zh = f"{title.zh}{field}：{worst['reason_zh']}" + (f"另有{more}项。" if more else "") + (f"依据：{cited}。" if cited else "")
    en = (
        f"{title.en} ({worst['permit_field']}): {worst['reason_en']}"
        + (f" {more} more." if more else "")
        + (f" Basis: {cited}." if cited else "")
    )
    evidence = list(dict.fromkeys(e for joined in group["evidence"] for e in split_evidence(joined)))
    return {
        "finding_id": stable_id("permit", rule, enterprise, outlet, group["start"].min().isoformat()),
        "rule": rule,
        "enterprise_id": enterprise,
        "outlet_id": outlet,
        "permit_id": worst["permit_id"],
        "start": group["start"].min(),
        "end": group["end"].max(),
        "factors": int(group["factor"].nunique()),
        "results": len(group),
        "strength": float(group["strength"].max()),
        "p": float(group["p"].max()) if group["p"].notna().any() else float("nan"),
        "value": float(worst["value"]),
        "threshold": float(worst["threshold"]),
        "unit": worst["unit"],
        "reason_zh": zh,
        "reason_en": en,
        "evidence": evidence[:20],
        "kind": prior.kind.value,
    }
