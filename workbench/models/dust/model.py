"""The dust model behind the common interface: fence monitors and labelled clips, judged, scored and explained."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from workbench.contracts import CatalogView, Outcome, Period, Ruling, result_frame, stable_id
from workbench.models.dust.channels import evidence_of
from workbench.models.dust.features import JOIN, build_features, parts_frame, results_frame
from workbench.models.dust.judgement import probability
from workbench.models.dust.scoring import GROUPS, Calibration, calibrate, labelled
from workbench.models.dust.settings import Settings, load_settings

NAME = "dust"


class DustModel:
    """Sites whose fence shows more dust than the air around them brings, and what labelled clips show.

    Parameters
    ----------
    overrides : mapping, optional
        ``{"rule.threshold": value}`` for ``params.yml`` and ``preparation.yml``.
    """

    name = NAME
    inputs = frozenset({"enterprises", "outlets", "points"})

    def __init__(self, overrides: Mapping[str, float] | None = None) -> None:
        self.settings = load_settings(overrides)

    def features(self, catalog: CatalogView, period: Period) -> xr.Dataset:
        """Return hourly air of the sites, rule results and the parts of their scores.

        Returns
        -------
        Dataset
            Dims ``(site, hour)``: ``value``, ``background`` (µg/m³), ``excess`` (log ratio), ``z``. Dim ``result``: one
            entry per judgement. Dim ``part``: contributions in log-odds, ``part_result`` naming their result. Dim
            ``clip``: the clips of the period. What the catalog lacks ends in ``not evaluable`` results with the reason.
        """
        return build_features(catalog, period, self.settings)

    def fit(self, features: xr.Dataset, labels: pd.DataFrame, *, seed: int) -> FittedDust:
        """Calibrate the additive scores by inspection labels, group by group (:mod:`~workbench.models.dust.scoring`).

        Parameters
        ----------
        labels : DataFrame
            Rows of ``inspections`` that were decided in time; may be empty: the stated priors stand.
        seed : int
            Not used: nothing here is random.
        """
        results = results_frame(features)
        results = results[results["ruling"] == Ruling.VIOLATED.value]
        y, numbers = labelled(results, labels), self.settings.prep("calibration")
        alert = numbers.pop("alert")
        group = results["rule"].map(GROUPS).to_numpy()
        score = results["score"].to_numpy(float)
        calibrations = {g: calibrate(score[group == g], y[group == g], **numbers) for g in sorted(set(GROUPS.values()))}
        return FittedDust(self.settings, calibrations, alert)


@dataclass(frozen=True)
class FittedDust:
    """The model after fitting.

    Parameters
    ----------
    calibrations : mapping of str to Calibration
        By group of rules.
    alert : float
        Probability from which a violated rule is raised as a breach.
    """

    settings: Settings
    calibrations: Mapping[str, Calibration]
    alert: float

    def scored(self, features: xr.Dataset) -> pd.DataFrame:
        """Return all rule results with ``finding_id``, calibrated ``log_odds``, ``p`` and whether they are a ``breach``."""
        frame = results_frame(features)
        violated = frame["ruling"].to_numpy() == Ruling.VIOLATED.value
        maps = [self.calibrations[GROUPS[r]] for r in frame["rule"]]
        shift, slope = (np.array([getattr(m, n) for m in maps], float) for n in ("shift", "slope"))
        frame["shift"], frame["slope"] = shift, slope
        frame["log_odds"] = np.where(violated, shift + slope * frame["score"].to_numpy(float), np.nan)
        frame["p"] = probability(frame["log_odds"].to_numpy())
        fault = frame["outcome"].to_numpy() == Outcome.FAULT.value  # one channel alone is no fraud
        frame["breach"] = violated & ~fault & (frame["p"].to_numpy() >= self.alert)
        keys = zip(*(frame[c] for c in ("rule", "enterprise_id", "point_id", "start", "end", "reason_en")), strict=True)
        frame["finding_id"] = [stable_id("dust", *k) for k in keys]
        return frame

    def assess(self, features: xr.Dataset) -> pd.DataFrame:
        """Return findings: breaches, runs too thin to raise (abstain), and what could not be evaluated (abstain).

        Extra columns: ``rule_value``, ``rule_threshold``, ``rule_unit``.
        """
        frame = self.scored(features)
        rows: list[dict[str, Any]] = []
        for r in frame[frame["ruling"] != Ruling.COMPLIANT.value].to_dict("records"):
            violated = r["ruling"] == Ruling.VIOLATED.value
            thin = violated and not r["breach"]
            rows.append(
                {
                    "finding_id": r["finding_id"],
                    "model": NAME,
                    "detector": r["rule"],
                    "enterprise_id": r["enterprise_id"],
                    "outlet_id": r["outlet_id"],
                    "point_id": r["point_id"],
                    "start": r["start"],
                    "end": r["end"],
                    "kind": r["kind"] if violated else "",
                    "outcome": r["outcome"] if violated else "",
                    "verdict": "breach" if r["breach"] else "abstain",
                    "p_breach": float(r["p"]) if violated else float("nan"),
                    "severity": self.settings.rules[r["rule"]].severity.value,
                    "reason_zh": ("依据不足，暂不提出：" if thin else "" if violated else "无法评估：") + r["reason_zh"],
                    "reason_en": ("Too thin to raise: " if thin else "" if violated else "Not evaluable: ") + r["reason_en"],
                    "evidence": [e for e in r["evidence"].split(JOIN) if e],
                    "rule_value": r["value"],
                    "rule_threshold": r["threshold"],
                    "rule_unit": r["unit"],
                }
            )
        if not rows:
            return result_frame("findings")
        table = pd.DataFrame(rows).drop_duplicates("finding_id")
        return result_frame("findings", table.sort_values(["enterprise_id", "detector", "start", "finding_id"], kind="stable"))

    def evidence(self, features: xr.Dataset) -> xr.Dataset:
        """Return hourly channels with dims (enterprise, hour) and the roles of ``docs/evidence-roles.md``."""
        cover, smoke = (self.settings.of(r)["hold_h"] for r in ("clip_shows_uncovered_pile", "clip_shows_black_smoke"))
        return evidence_of(features, self.scored(features), cover_hold_h=cover, smoke_hold_h=smoke)

    def explain(self, features: xr.Dataset, finding_ids: Iterable[str]) -> pd.DataFrame:
        """Return contributions in log-odds; base and contributions sum to the score of the finding exactly."""
        frame, parts, wanted = self.scored(features), parts_frame(features), set(finding_ids)
        mine = frame[frame["finding_id"].isin(wanted) & (frame["ruling"] == Ruling.VIOLATED.value)].drop_duplicates("finding_id")
        rows = parts[parts["result"].isin(mine.index)].copy()
        of = mine.loc[rows["result"].to_numpy()]
        rows["finding_id"] = of["finding_id"].to_numpy()
        rows["contribution"] = rows["contribution"].to_numpy() * of["slope"].to_numpy()
        rows["base"] = of["shift"].to_numpy() + of["slope"].to_numpy() * of["base"].to_numpy()
        rows["score"] = of["log_odds"].to_numpy()
        columns = ["finding_id", "feature", "label_zh", "label_en", "unit", "value", "contribution", "base", "score"]
        return result_frame("attributions", rows[columns].reset_index(drop=True))
