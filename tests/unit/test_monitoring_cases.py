"""Every detector on described histories: violated, compliant and not evaluable."""

from __future__ import annotations

from importlib.resources import files

import pytest
import yaml
from monitoring_world import edit, honest

from workbench.contracts import load_rules
from workbench.models.monitoring.candidates import load_scoring, load_sentences
from workbench.models.monitoring.detectors import DETECTORS
from workbench.models.monitoring.features import build
from workbench.models.monitoring.inputs import read_inputs
from workbench.models.monitoring.panel import Panel

FOLDER = files("workbench.models.monitoring")
CASES = yaml.safe_load(FOLDER.joinpath("cases.yml").read_text(encoding="utf-8"))["cases"]
RULES = load_rules(FOLDER.joinpath("params.yml"))
_panels: dict[str, Panel] = {}


def panel_of(given: list[dict]) -> Panel:
    key = repr(given)
    if key not in _panels:
        world = honest()
        for step in given:
            edit(world, step)
        _panels[key] = Panel(build(read_inputs(world, world.period)).compute())
    return _panels[key]


@pytest.mark.parametrize("case", CASES, ids=lambda c: f"{c['detector']}: {c['why']}")
def test_case(case: dict) -> None:
    panel = panel_of(case.get("given", []))
    verdict = DETECTORS[case["detector"]](panel, **RULES[case["detector"]].numbers())
    row = panel.roster.index[panel.roster["point_id"] == case["point"]][0]
    assert verdict.at(int(row)) == case["ruling"]
    assert ((verdict.strength >= 0) | (verdict.ruling < 0)).all()


def test_every_detector_has_all_three_rulings_among_the_cases() -> None:
    seen = {(c["detector"], c["ruling"]) for c in CASES}
    assert seen == {(d, r) for d in DETECTORS for r in ("violated", "compliant", "not evaluable")}


def test_names_in_yaml_are_the_functions_names_both_ways() -> None:
    assert set(RULES) == set(DETECTORS) == set(load_scoring().detectors) == set(load_sentences())
    assert all(name == f.__name__ for name, f in DETECTORS.items())
    for name, detector in DETECTORS.items():
        wanted = set(detector.__kwdefaults__ or {}) | {a for a in detector.__annotations__ if a not in ("panel", "return")}
        assert set(RULES[name].thresholds) == wanted
