"""Rules and parts of the dust model, case by case."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from importlib.resources import files
from typing import get_args

import numpy as np
import pandas as pd
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from workbench.catalog.memory import cube_of
from workbench.contracts import Kind, Ruling
from workbench.models.additive import probability
from workbench.models.dust import rules_clips, rules_series
from workbench.models.dust.background import excess_over_background
from workbench.models.dust.features import CLIP_RULES
from workbench.models.dust.hourly_dust import robust_hours
from workbench.models.dust.noise import memory_of
from workbench.models.dust.null import Null, honest_rate, learn_null
from workbench.models.dust.parts import PARTS
from workbench.models.dust.rules_clips import Watched
from workbench.models.dust.rules_series import Candidate
from workbench.models.dust.scan import SCANS
from workbench.models.dust.scoring import LABELS
from workbench.models.dust.segments import daily, maximal_segments, runs_of
from workbench.models.dust.witnesses import Around
from workbench.models.hourly import Grid
from workbench.models.rule_settings import read_settings

CASES = yaml.safe_load(files("workbench.models.dust").joinpath("cases.yml").read_text(encoding="utf-8"))
SETTINGS = read_settings("workbench.models.dust")
NULL = Null(threshold=2.0, rate=1.0, scale=1.0, shape=1.0, runs=100, mirrored=80)
ORDINARY = {
    "ratio": 1.5, "hours": 12.0, "days": 2.0, "working": 0.5, "rain": 0.0, "humid": 0.0, "wind": 1.0, "shared": 0.1,
    "upwind": 0.0, "other": float("nan"), "coarse": float("nan"), "producing": float("nan"), "added": 60.0,
}  # fmt: skip
NO_CLIPS = pd.DataFrame({"start": pd.Series(dtype="datetime64[ns]"), "label": pd.Series(dtype=object)})


def candidate(score: float, industry: str = "3011", clips: pd.DataFrame = NO_CLIPS, **around: float) -> Candidate:
    site = {"enterprise_id": "E1", "outlet_id": "O1", "point_id": "D1", "factor": "a34002"}
    start = pd.Timestamp("2026-01-10 08:00")
    honest = float(NULL.noise(score))
    return Candidate(site, start, start + pd.Timedelta("10h"), score, NULL, honest, Around(**{**ORDINARY, **around}), clips, 1.0, industry)


def numbers_asked(function: Callable[..., object]) -> set[str]:
    """Return the names of a rule's numbers: its keyword arguments, or the keys of the typed mapping that stands for them."""
    asked = set()
    for p in inspect.signature(function, eval_str=True).parameters.values():
        if p.kind is p.VAR_KEYWORD:
            (numbers,) = get_args(p.annotation)
            asked |= set(numbers.__annotations__)
        elif p.kind is p.KEYWORD_ONLY:
            asked.add(p.name)
    return asked


def test_every_rule_has_its_row_and_every_row_its_function() -> None:
    functions = {n for m in (rules_series, rules_clips) for n, f in vars(m).items() if inspect.isfunction(f) and n in SETTINGS.rules}
    assert functions == set(SETTINGS.rules) == set(LABELS.groups) == {*SCANS, *CLIP_RULES}
    for name in functions:
        function = getattr(rules_series, name, None) or getattr(rules_clips, name)
        assert numbers_asked(function) == set(SETTINGS.of(name))


def test_bounds_of_parts_hold_zero() -> None:
    for name, row in PARTS.known.items():
        assert row["low"] <= 0 <= row["high"], name


@pytest.mark.parametrize("case", CASES["series"], ids=lambda c: c["why"])
def test_golden_cases_of_series(case: dict) -> None:
    rule = case["rule"]
    found = getattr(rules_series, rule)(candidate(case["score"], **case.get("around", {})), **SETTINGS.of(rule) | {"per_site_month": 0.05})
    low, high = case["p"]
    assert low <= float(probability(found.score)) <= high
    assert found.ruling is Ruling.VIOLATED
    assert found.kind is (Kind.FABRICATION if rule.startswith("fence") else Kind.FUGITIVE)


@pytest.mark.parametrize("case", CASES["clips"], ids=lambda c: c["why"])
def test_golden_cases_of_clips(case: dict) -> None:
    grid = Grid(pd.Timestamp("2026-01-01"), 24 * 30)
    rows = [{"clip_id": f"C{k}", "start": grid.start + pd.Timedelta(days=d), "label": x} for k, (d, x) in enumerate(case["clips"])]
    fence = np.full(grid.n, case["fence"]) if "fence" in case else None
    watched = Watched("E1", pd.DataFrame(rows).assign(point_id="V", outlet_id="O"), grid, fence)
    found = [j for name in CLIP_RULES for j in getattr(rules_clips, name)(watched, **SETTINGS.of(name))]
    assert [j.rule for j in found] == case["rules"]
    for j, (low, high) in zip(found, case["p"], strict=True):
        assert low <= float(probability(j.score)) <= high, (j.rule, float(probability(j.score)))


def test_witnesses_move_the_score_the_way_physics_says() -> None:
    judge, numbers = rules_series.dust_rises_over_background, SETTINGS.of("dust_rises_over_background")
    plain = judge(candidate(6.0), **numbers).score
    for around, sign in (
        ({"ratio": 3.0}, 1), ({"working": 0.9}, 1), ({"wind": 2.2}, -1), ({"wind": 0.5}, -1), ({"coarse": 0.5}, 1), ({"other": 3.0}, 1),
        ({"producing": 0.4}, 1), ({"rain": 0.5}, -1), ({"humid": 0.5}, -1), ({"shared": 0.4}, -1), ({"upwind": 0.8}, -1),
        ({"coarse": -0.5}, -1), ({"working": 0.1}, -1),
    ):  # fmt: skip
        assert sign * (judge(candidate(6.0, **around), **numbers).score - plain) > 0.1, around


def test_construction_dust_is_handed_over_and_says_so() -> None:
    rule = "dust_rises_over_background"
    said = rules_series.dust_rises_over_background(candidate(6.0, industry="4710"), **SETTINGS.of(rule))
    assert "1128" in said.reason_zh
    assert "other authorities" in said.reason_en
    assert "1128" not in rules_series.dust_rises_over_background(candidate(6.0), **SETTINGS.of(rule)).reason_zh


def test_a_clip_of_the_same_days_speaks_for_or_against() -> None:
    numbers = SETTINGS.of("dust_rises_over_background")
    at = pd.Timestamp("2026-01-10 12:00")
    seen = {x: candidate(6.0, clips=pd.DataFrame({"start": [at], "label": [x]})) for x in ("dust", "covered", "")}
    said = {x: rules_series.dust_rises_over_background(c, **numbers).score for x, c in seen.items()}
    assert said["dust"] > said[""] > said["covered"]


def test_maximal_segments_of_a_worked_example() -> None:
    """The example of Ruzzo and Tompa (1999)."""
    left, right, score = maximal_segments(np.array([4.0, -5, 3, -3, 1, 2, -2, 2, -2, 1, 5]))
    assert list(zip(left.tolist(), right.tolist(), score.tolist(), strict=True)) == [(0, 1, 4.0), (2, 3, 3.0), (4, 11, 7.0)]


def test_a_long_run_is_cut_into_pieces() -> None:
    found = runs_of(np.full((1, 100), 0.5), score_min=2.0, longest=30)
    assert [(r.start, r.stop) for r in found] == [(0, 25), (25, 50), (50, 75), (75, 100)]
    assert sum(r.score for r in found) == pytest.approx(50.0)


def test_the_null_is_learned_from_the_bulk_and_never_steeper_than_theory() -> None:
    rng = np.random.default_rng(0)
    honest, mirrored = 2 + rng.exponential(2.0, 400), 2 + rng.exponential(2.0, 400)
    numbers = {"threshold": 2.0, "honest_per_site_month": 1.0, "weight": 10.0, "bulk": 0.85, "shape": 1.0}
    clean = learn_null(honest, mirrored, 200.0, **numbers)
    assert clean.scale == pytest.approx(2.0, rel=0.15)
    assert clean.rate == pytest.approx(2.0, rel=0.1)
    dirty = learn_null(np.r_[honest, np.full(30, 80.0)], np.r_[mirrored, np.full(5, 150.0)], 200.0, **numbers)
    assert dirty.scale == pytest.approx(clean.scale, rel=0.25), "what stands far out does not widen the null"
    assert learn_null(np.array([]), np.array([]), 0.0, **numbers).scale == 1.0


def test_what_other_sites_do_is_ordinary_and_own_runs_never_speak_about_themselves() -> None:
    scores, alone = np.array([30.0, 30.0, 3.0]), np.array(["A", "A", "A"], dtype=object)
    np.testing.assert_allclose(honest_rate(NULL, scores, alone, {"A": 12.0}, others_weight=24), NULL.noise(scores))
    rare = honest_rate(NULL, np.array([30.0]), np.array(["A"], dtype=object), {"A": 3.0, "B": 117.0}, others_weight=24)
    gale = np.r_[30.0, np.full(20, 31.0)]
    owner = np.array(["A", *(f"B{k}" for k in range(20))], dtype=object)
    common = honest_rate(NULL, gale, owner, {str(e): 6.0 for e in owner}, others_weight=24)
    assert rare[0] == NULL.noise(30.0), "nobody else ever got that far"
    assert common[0] == pytest.approx(20 / (120 + 24), rel=0.01)
    assert NULL.stands_out(common[0]) < 2.0 < 20.0 < NULL.stands_out(rare[0])


@given(st.lists(st.tuples(st.floats(2, 60), st.sampled_from("ABC")), min_size=1, max_size=30))
def test_a_stronger_run_of_a_site_is_never_more_ordinary(runs: list[tuple[float, str]]) -> None:
    scores, owner = np.array([s for s, _ in runs]), np.array([o for _, o in runs], dtype=object)
    rate = honest_rate(NULL, scores, owner, {"A": 3.0, "B": 3.0, "C": 3.0}, others_weight=24)
    assert (rate >= NULL.noise(scores)).all()
    for o in set(owner):
        order = np.argsort(scores[owner == o], kind="stable")
        assert (np.diff(rate[owner == o][order]) <= 1e-12).all()


def test_one_neighbour_alone_never_is_the_background() -> None:
    rng = np.random.default_rng(1)
    hours = 400
    region = np.exp(4 + 0.5 * np.sin(np.arange(hours) / 20))
    value = region * np.exp(rng.normal(0, 0.1, (6, hours)))
    value[1] = value[0]  # a perfect follower
    value[1, 200:220] *= 4  # and its own plume
    owner, place = np.array(list("abcdef"), dtype=object), np.zeros((6, 2))
    numbers = SETTINGS.prep("background")
    found = excess_over_background(value.astype(np.float32), owner, place, 6, **numbers)
    assert np.abs(found.log_ratio[0, 200:220]).mean() < 0.3
    assert found.log_ratio[1, 200:220].mean() > 1.0
    lonely = excess_over_background(value[:3].astype(np.float32), owner[:3], place[:3], 3, **numbers)
    assert np.isnan(lonely.log_ratio).all(), "two others are no background"
    same = excess_over_background(value.astype(np.float32), np.array(["a"] * 6, dtype=object), place, 6, **numbers)
    assert np.isnan(same.log_ratio).all(), "points of one enterprise are no background of one another"


def test_a_lone_spike_and_a_stuck_stretch_leave_no_hour_of_dust() -> None:
    step = pd.date_range("2026-01-01", periods=48 * 10, freq="6min")
    value = np.tile(50.0 + np.arange(10.0), 48)[None]
    value[0, 105] = 1900.0  # one sample of hour 10
    value[0, 200:350] = 77.0  # fifteen hours of one reading
    grid = Grid(pd.Timestamp("2026-01-01"), 48)
    mean, stuck = robust_hours(cube_of(["D"], step, value), ["D", "gone"], grid, cover_lowest=0.3, stuck_hours=12)
    assert mean[0, 10] < 60
    assert stuck[0].sum() == 15
    assert np.isnan(mean[0, 20:35]).all()
    assert np.isnan(mean[1]).all()


def test_days_need_their_hours() -> None:
    z = np.zeros((1, 72), np.float32)
    z[0, 30:46] = np.nan
    day = daily(z, np.ones(72, bool), hours_min=10, z_low=-3, z_high=5)
    assert np.isnan(day[0, 1])
    assert np.isfinite(day[0, [0, 2]]).all()
    assert memory_of(np.zeros((1, 10))) == 1.0
