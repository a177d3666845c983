"""Laws that every supervision model keeps, whatever it does inside."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import xarray as xr

from workbench import models
from workbench.catalog import open_catalog
from workbench.catalog.memory import Altered
from workbench.contracts import Period, check_evidence, check_table
from workbench.contracts.models import CatalogView, FittedModel

NAMES = sorted(models.available())


class Run:
    """One model once through, kept for all laws."""

    def __init__(self, name: str, catalog: CatalogView) -> None:
        self.name, self.catalog = name, catalog
        self.model = models.load(name)
        self.features = self.model.features(catalog, catalog.period)
        self.fitted: FittedModel = self.model.fit(self.features, catalog.labels(), seed=3)
        self.findings = self.fitted.assess(self.features)


@pytest.fixture(scope="module")
def runs(tiny_catalog: Path) -> Callable[[str], Run]:
    catalog, done = open_catalog(tiny_catalog), {}

    def get(name: str) -> Run:
        if name not in done:
            done[name] = Run(name, catalog)
        return done[name]

    return get


@pytest.mark.parametrize("name", NAMES)
def test_card_names_its_folder_notebook_and_entry_point(name: str, root: Path) -> None:
    card = models.available()[name]
    assert card.name == name
    assert (root / "notebooks" / f"{card.notebook.removesuffix('.ipynb')}.ipynb").is_file()
    assert set(card.inputs) <= models.load(name).inputs


@pytest.mark.parametrize("name", NAMES)
def test_findings_keep_their_contract_and_say_why_in_both_languages(name: str, runs: Callable[[str], Run]) -> None:
    findings = runs(name).findings
    assert check_table("findings", findings) == []
    assert len(findings)
    assert set(findings["model"]) == {name}
    breach = findings[findings["verdict"] == "breach"]
    assert breach["p_breach"].notna().all()
    assert breach["reason_zh"].str.contains("[一-鿿]").all()
    assert breach["reason_en"].str.len().gt(10).all()


@pytest.mark.parametrize("name", NAMES)
def test_same_seed_same_findings(name: str, runs: Callable[[str], Run]) -> None:
    run = runs(name)
    again = run.model.fit(run.features, run.catalog.labels(), seed=3).assess(run.features)
    pd.testing.assert_frame_equal(again, run.findings)


@pytest.mark.parametrize("name", NAMES)
def test_assessing_leaves_the_features_untouched(name: str, runs: Callable[[str], Run]) -> None:
    run = runs(name)
    before = run.features.copy(deep=True)
    run.fitted.assess(run.features)
    run.fitted.evidence(run.features)
    xr.testing.assert_identical(before, run.features)


@pytest.mark.parametrize("name", NAMES)
def test_evidence_keeps_its_contract_and_its_roles_are_known(name: str, runs: Callable[[str], Run], root: Path) -> None:
    import yaml

    evidence = runs(name).fitted.evidence(runs(name).features)
    check_evidence(evidence)
    roles = yaml.safe_load((root / "workbench/cross/roles.yml").read_text(encoding="utf-8"))["roles"]
    aliases = yaml.safe_load((root / "workbench/cross/aliases.yml").read_text(encoding="utf-8"))["aliases"]
    for channel, array in evidence.data_vars.items():
        assert name.startswith(str(channel).split("_")[0]), "channel names begin with the model's name, or its stem"
        assert array.attrs["role"] in roles or channel in aliases
    assert len(evidence.data_vars)


@pytest.mark.parametrize("name", NAMES)
def test_explanations_sum_to_the_score_in_named_units(name: str, runs: Callable[[str], Run]) -> None:
    run = runs(name)
    scored = run.findings[run.findings["p_breach"].notna()].sort_values(["verdict", "finding_id"])  # breaches before doubts
    breach = scored["finding_id"].head(5)
    assert len(breach)
    parts = run.fitted.explain(run.features, breach)
    assert check_table("attributions", parts) == []
    assert set(parts["finding_id"]) == set(breach)
    for _, rows in parts.groupby("finding_id"):
        assert rows["base"].iloc[0] + rows["contribution"].sum() == pytest.approx(rows["score"].iloc[0], abs=1e-6)
    assert parts["label_zh"].str.contains("[一-鿿]").all()


@pytest.mark.parametrize("name", NAMES)
def test_without_its_inputs_a_model_abstains_and_says_so(name: str, runs: Callable[[str], Run]) -> None:
    run = runs(name)
    gone = {e for e in run.catalog.entries if e not in ("enterprises", "outlets", "points")}  # type: ignore[attr-defined]
    bare = Altered(run.catalog, gone)
    features = run.model.features(bare, Period.parse("2026-01-01/2026-01-08"))
    fitted = run.model.fit(features, bare.labels(), seed=3)
    findings = fitted.assess(features)
    assert (findings["verdict"] == "abstain").all()
    assert len(findings)
    assert findings["reason_en"].str.len().gt(10).all()


@pytest.mark.parametrize("name", NAMES)
def test_without_labels_a_model_still_works(name: str, runs: Callable[[str], Run]) -> None:
    run = runs(name)
    findings = run.model.fit(run.features, run.catalog.labels().iloc[:0], seed=3).assess(run.features)
    assert check_table("findings", findings) == []
    assert np.isfinite(findings.loc[findings["verdict"] == "breach", "p_breach"]).all()
