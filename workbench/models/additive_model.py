"""What every model of additive judgements does after its features: calibrate the scores, raise findings, explain them.

A model states its rules, its features and its evidence channels; the rest stands here once.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Generic, TypeVar

import numpy as np
import pandas as pd
import xarray as xr

from workbench.contracts import Outcome, Ruling, result_frame, stable_id
from workbench.models.additive import parts_frame, probability, results_frame
from workbench.models.label_calibration import Calibration, LabelPlan, calibrate
from workbench.models.rule_settings import Settings, read_settings
from workbench.models.rulings import split

ATTRIBUTION_COLUMNS = ["finding_id", "feature", "label_zh", "label_en", "unit", "value", "contribution", "base", "score"]


@dataclass(frozen=True)
class Identity:
    """By what a model and its findings are known.

    Parameters
    ----------
    name : str
        The model, and its folder under ``workbench.models``.
    prefix : str
        Of its finding ids.
    subject : {"outlet_id", "point_id"}
        What its judgements of one enterprise and span tell apart.
    labels : LabelPlan
        How inspections speak about its judgements.
    """

    name: str
    prefix: str
    subject: str
    labels: LabelPlan


@dataclass(frozen=True)
class FittedAdditive:
    """A model of additive judgements after fitting.

    Parameters
    ----------
    calibrations : mapping of str to Calibration
        By group of rules.
    alert : float
        Probability from which a violated rule is raised as a breach.
    """

    identity: ClassVar[Identity]
    settings: Settings
    calibrations: Mapping[str, Calibration]
    alert: float

    def scored(self, features: xr.Dataset) -> pd.DataFrame:
        """Return all rule results with ``finding_id``, calibrated ``log_odds``, ``p`` and whether they are a ``breach``.

        A run that reads as a fault is no breach: one channel alone is no fraud.
        """
        frame, me = results_frame(features), self.identity
        violated = frame["ruling"].to_numpy() == Ruling.VIOLATED.value
        maps = [self.calibrations[me.labels.groups[r]] for r in frame["rule"]]
        shift, slope = (np.array([getattr(m, n) for m in maps], float) for n in ("shift", "slope"))
        frame["shift"], frame["slope"] = shift, slope
        frame["log_odds"] = np.where(violated, shift + slope * frame["score"].to_numpy(float), np.nan)
        frame["p"] = probability(frame["log_odds"].to_numpy())
        fault = frame["outcome"].to_numpy() == Outcome.FAULT.value
        frame["breach"] = violated & ~fault & (frame["p"].to_numpy() >= self.alert)
        keys = zip(*(frame[c] for c in ("rule", "enterprise_id", me.subject, "start", "end", "reason_en")), strict=True)
        frame["finding_id"] = [stable_id(me.prefix, *k) for k in keys]
        return frame

    def assess(self, features: xr.Dataset) -> pd.DataFrame:
        """Return findings: breaches, violated rules too thin to raise (abstain), and what could not be evaluated (abstain).

        Extra columns: ``rule_value``, ``rule_threshold``, ``rule_unit``.
        """
        frame = self.scored(features)
        rows = [self._finding(r) for r in frame[frame["ruling"] != Ruling.COMPLIANT.value].to_dict("records")]
        if not rows:
            return result_frame("findings")
        table = pd.DataFrame(rows).drop_duplicates("finding_id")
        return result_frame("findings", table.sort_values(["enterprise_id", "detector", "start", "finding_id"], kind="stable"))

    def _finding(self, r: Mapping[Any, Any]) -> dict[str, Any]:
        violated = r["ruling"] == Ruling.VIOLATED.value
        thin = violated and not r["breach"]
        return {
            "finding_id": r["finding_id"],
            "model": self.identity.name,
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
            "evidence": split(r["evidence"]),
            "rule_value": r["value"],
            "rule_threshold": r["threshold"],
            "rule_unit": r["unit"],
        }

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
        return result_frame("attributions", rows[ATTRIBUTION_COLUMNS].reset_index(drop=True))


F = TypeVar("F", bound=FittedAdditive)


class AdditiveModel(Generic[F]):
    """A model of additive judgements before fitting; ``fitted`` names what it becomes.

    Parameters
    ----------
    overrides : mapping, optional
        ``{"rule.threshold": value}`` for ``params.yml`` and ``preparation.yml``.
    """

    inputs = frozenset({"enterprises", "outlets", "points"})
    fitted: type[F]

    @property
    def name(self) -> str:
        """Name of the model."""
        return self.fitted.identity.name

    def __init__(self, overrides: Mapping[str, float] | None = None) -> None:
        self.settings = read_settings(f"workbench.models.{self.name}", overrides)

    def fit(self, features: xr.Dataset, labels: pd.DataFrame, *, seed: int) -> F:
        """Calibrate the additive scores by inspection labels, group by group.

        Parameters
        ----------
        labels : DataFrame
            Rows of ``inspections`` that were decided in time; may be empty: the stated priors stand.
        seed : int
            Not used: nothing here is random.
        """
        plan, numbers = self.fitted.identity.labels, self.settings.prep("calibration")
        alert = numbers.pop("alert")
        results = results_frame(features)
        results = results[results["ruling"] == Ruling.VIOLATED.value]
        y, score = plan.confirmed(results, labels), results["score"].to_numpy(float)
        group = results["rule"].map(plan.groups).to_numpy()
        calibrations = {g: calibrate(score[group == g], y[group == g], **numbers) for g in sorted(set(plan.groups.values()))}
        return self.fitted(self.settings, calibrations, alert)
