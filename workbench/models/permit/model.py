"""Model 3 behind the common interface: review every permit, rank what the rules found, explain it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from workbench.contracts import CatalogView, InsufficientData, Period, Ruling, channel, result_frame, stable_id
from workbench.models.permit.book import Book, open_book
from workbench.models.permit.channels import CHANNELS, THIN_LEVEL, channel_values
from workbench.models.permit.episodes import episodes_of, honest_scatter
from workbench.models.permit.ranking import FEATURES, Score, features_of, fit_score, labelled, learned_shares, past_violations, probability
from workbench.models.permit.results import COLUMNS, RuleResult, records, to_frame
from workbench.models.permit.review import results_of
from workbench.models.permit.settings import Settings, load_settings
from workbench.models.rulings import cells_of, frame_of

NAME = "permit"
ALERT = 0.25
"""Below this probability a violated rule is set aside as undecided: it holds by the letter, but is too thin for a lead."""


class PermitModel:
    """Compliance with the discharge permit (rules R1–R12).

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
        """Return rule results, hourly channels and enterprise attributes.

        Returns
        -------
        Dataset
            Dim ``result``: one entry per rule result, the columns of
            :class:`~workbench.models.permit.results.RuleResult`. Dims ``(enterprise, hour)``: int8 channels, −1 where
            there is no such source. Entries that the catalog lacks end in
            ``not evaluable`` results with their reason.
        """
        return self.review(self.open(catalog, period))

    def open(self, catalog: CatalogView, period: Period) -> Book:
        """Read what a review needs; ``book.dossier(row)`` gives the dossier of one enterprise, for pictures."""
        return open_book(catalog, period, self.settings)

    def review(self, book: Book) -> xr.Dataset:
        """Run every rule on every dossier of a book; return what :meth:`features` returns."""
        results: list[RuleResult] = []
        ids: list[str] = []
        levels: dict[str, list[np.ndarray]] = {name: [] for name in CHANNELS}
        for d in book.dossiers():
            mine = results_of(d, self.settings)
            for name, values in channel_values(d, mine).items():
                levels[name].append(values)
            results += mine
            ids.append(d.enterprise_id)
        return to_dataset(to_frame(results), ids, book.grid.hours, levels)

    def fit(self, features: xr.Dataset, labels: pd.DataFrame, *, seed: int) -> FittedPermit:
        """Update each rule's share by the labels and fit the ranking that they carry.

        Parameters
        ----------
        labels : DataFrame
            Rows of ``inspections`` that were decided in time; may be empty.
        """
        results = honest_scatter(results_frame(features), **self.settings.prep("honest_scatter"))
        episodes = episodes_of(results, self.settings)
        y = labelled(episodes, labels, self.settings)
        shares = learned_shares(episodes, y, self.settings)
        x = features_of(episodes, self.settings, shares, past_violations(episodes, labels))
        return FittedPermit(self.settings, shares, fit_score(x, y, seed=seed), labels)


@dataclass(frozen=True)
class FittedPermit:
    """The model after fitting: ``shares`` is how often each rule holds up, ``score`` the ranking."""

    settings: Settings
    shares: Mapping[str, float]
    score: Score
    labels: pd.DataFrame

    def assess(self, features: xr.Dataset) -> pd.DataFrame:
        """Return findings: an episode per violated rule, and abstentions with their reason.

        Extra columns: ``rule_value``, ``rule_threshold``, ``rule_unit``, ``articles`` (those in force at the act).
        """
        episodes, _, p = self._scored(features)
        rows: list[dict[str, Any]] = []
        for e, prob in zip(records(episodes), p, strict=True):
            prior = self.settings.priors[e["rule"]]
            alert = prob >= ALERT
            thin_zh, thin_en = ("", "") if alert else ("依据不足，暂不提出：", "Too thin to raise: ")
            rows.append(
                {
                    "finding_id": e["finding_id"],
                    "model": NAME,
                    "detector": e["rule"],
                    "enterprise_id": e["enterprise_id"],
                    "outlet_id": e["outlet_id"],
                    "start": e["start"],
                    "end": e["end"],
                    "kind": prior.kind.value,
                    "outcome": prior.outcome.value,
                    "verdict": "breach" if alert else "abstain",
                    "p_breach": float(prob),
                    "severity": self.settings.rules[e["rule"]].severity.value,
                    "reason_zh": thin_zh + e["reason_zh"],
                    "reason_en": thin_en + e["reason_en"],
                    "evidence": e["evidence"],
                    "rule_value": e["value"],
                    "rule_threshold": e["threshold"],
                    "rule_unit": e["unit"],
                    "articles": self.settings.cite(e["rule"], e["start"], e["medium"]),
                }
            )
        rows += _abstentions(results_frame(features), features)
        if not rows:
            return result_frame("findings")
        frame = pd.DataFrame(rows).sort_values(["enterprise_id", "detector", "start", "finding_id"], kind="stable")
        return result_frame("findings", frame.reset_index(drop=True))

    def evidence(self, features: xr.Dataset) -> xr.Dataset:
        """Return hourly channels with dims (enterprise, hour) and the roles of ``docs/evidence-roles.md``."""
        ids = [str(e) for e in features["enterprise"].to_numpy()]
        hours = pd.DatetimeIndex(features["hour"].to_numpy())
        episodes, _, p = self._scored(features)
        arrays = {}
        for name, attrs in CHANNELS.items():
            plain = {k: v for k, v in attrs.items() if k not in ("role", "support_hours")}
            values = features[name].to_numpy()
            if name in THIN_LEVEL:
                values = self._without_thin(name, values, ids, hours, episodes, p)
            arrays[name] = channel(values, enterprises=ids, hours=hours, **plain)
            arrays[name].attrs |= {"role": attrs["role"], "support_hours": attrs["support_hours"]}
        return xr.Dataset(arrays)

    def explain(self, features: xr.Dataset, finding_ids: Iterable[str]) -> pd.DataFrame:
        """Return contributions in log-odds; base and contributions sum to the score of the finding."""
        episodes, x, _ = self._scored(features)
        wanted = set(finding_ids)
        base, parts = self.score.contributions(x)
        rows = []
        for k, finding in enumerate(episodes["finding_id"]):
            if finding not in wanted:
                continue
            score = float(base[k] + parts[k].sum())
            for j, (name, (zh, en, unit)) in enumerate(FEATURES.items()):
                rows.append(
                    {
                        "finding_id": finding,
                        "feature": name,
                        "label_zh": zh,
                        "label_en": en,
                        "unit": unit,
                        "value": float(x.iloc[k][name]),
                        "contribution": float(parts[k, j]),
                        "base": float(base[k]),
                        "score": score,
                    }
                )
        return result_frame("attributions", rows)

    def ranking(self, features: xr.Dataset) -> pd.DataFrame:
        """Return enterprises by the probability that any of their episodes holds up, with the number of rules violated."""
        episodes, _, p = self._scored(features)
        frame = pd.DataFrame({"enterprise_id": episodes["enterprise_id"], "rule": episodes["rule"], "missed": 1.0 - p})
        # episodes of one rule are not independent: the best speaks for its rule
        best = frame.groupby(["enterprise_id", "rule"], as_index=False)["missed"].min()
        out = best.groupby("enterprise_id").agg(p_any=("missed", lambda m: 1.0 - float(np.prod(m))), rules=("rule", "nunique"))
        return out.reset_index().sort_values(["p_any", "enterprise_id"], ascending=[False, True], kind="stable").reset_index(drop=True)

    def _without_thin(
        self, name: str, values: np.ndarray, ids: list[str], hours: pd.DatetimeIndex, episodes: pd.DataFrame, p: np.ndarray
    ) -> np.ndarray:
        """Return a channel whose alert level is lowered where only episodes too thin to raise stand behind it."""
        rules, alert, lowered = THIN_LEVEL[name]
        out, row_of = values.copy(), {e: k for k, e in enumerate(ids)}
        mine = episodes["rule"].isin(rules).to_numpy()
        lo, hi = (np.searchsorted(hours, episodes[c]) for c in ("start", "end"))
        owner = episodes["enterprise_id"].tolist()
        raised = np.zeros(out.shape, bool)
        order = [*np.flatnonzero(mine & (p >= ALERT)), *np.flatnonzero(mine & (p < ALERT))]  # raised ones first
        for k in order:
            row = row_of[owner[k]]
            span = slice(int(lo[k]), int(hi[k]))
            if p[k] >= ALERT:
                raised[row, span] = True
            else:
                part = out[row, span]
                part[(part == alert) & ~raised[row, span]] = lowered
        return out

    def _scored(self, features: xr.Dataset) -> tuple[pd.DataFrame, pd.DataFrame, np.ndarray]:
        results = honest_scatter(results_frame(features), **self.settings.prep("honest_scatter"))
        episodes = episodes_of(results, self.settings)
        x = features_of(episodes, self.settings, self.shares, past_violations(episodes, self.labels))
        base, parts = self.score.contributions(x)
        return episodes, x, probability(base + parts.sum(axis=1))


def results_frame(features: xr.Dataset) -> pd.DataFrame:
    """Return the rule results held in a features Dataset as a table."""
    return frame_of("result", features, COLUMNS)


def to_dataset(frame: pd.DataFrame, ids: list[str], hours: pd.DatetimeIndex, levels: Mapping[str, list[np.ndarray]]) -> xr.Dataset:
    """Return results and channels as one Dataset (see :meth:`PermitModel.features`)."""
    if not ids:
        raise InsufficientData("the catalog holds no enterprise", where="enterprises", next_step="check the catalog")
    data = cells_of("result", frame[list(COLUMNS)])
    for channel_name, rows in levels.items():
        data[channel_name] = (("enterprise", "hour"), np.stack(rows), {"units": "1", **CHANNELS[channel_name]})
    coords = {"enterprise": np.asarray(ids, dtype=object), "hour": hours.to_numpy()}
    out = xr.Dataset(data, coords=coords, attrs={"units": "stated per result"})
    out["result_value"].attrs["units"] = out["result_threshold"].attrs["units"] = "see result_unit"
    return out


def _abstentions(results: pd.DataFrame, features: xr.Dataset) -> list[dict[str, Any]]:
    """One row per enterprise and rule that could not be evaluated, or one for all where the reason is the catalog's."""
    mine = results[results["ruling"] == Ruling.NOT_EVALUABLE.value]
    hours = pd.DatetimeIndex(features["hour"].to_numpy())
    everyone = features.sizes["enterprise"]
    rows = []
    for rule, group in mine.groupby("rule", sort=True):
        per = group.groupby("enterprise_id").agg(
            zh=("reason_zh", "first"), en=("reason_en", "first"), n=("rule", "size"), evidence=("permit_field", "first")
        )
        common = per["en"].value_counts()
        shared = {reason for reason, n in common.items() if n > 0.5 * everyone and everyone > 4}
        said: set[str] = set()
        for enterprise, zh, en, _, field in per.itertuples():
            if en in shared:
                if en in said:
                    continue
                said.add(en)
                n = int(common[en])
                enterprise, zh, en = "", f"{n}家企业{zh}", f"{n} enterprises. {en}"
            rows.append(
                {
                    "finding_id": stable_id("permit", "abstain", rule, enterprise, en, hours[0].isoformat()),
                    "model": NAME,
                    "detector": rule,
                    "enterprise_id": enterprise,
                    "outlet_id": "",
                    "start": hours[0],
                    "end": hours[-1] + pd.Timedelta(hours=1),
                    "verdict": "abstain",
                    "p_breach": float("nan"),
                    "reason_zh": zh,
                    "reason_en": en,
                    "evidence": [field] if field else [],
                    "articles": [],
                }
            )
    return rows
