"""Tax arithmetic against cases worked by hand from the law's text, and the laws any tax must keep."""

from __future__ import annotations

from importlib.resources import files
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from workbench.contracts import ParameterError
from workbench.models.energy_tax.tax import MonthlyAmount, OutletTax, month_of_outlet, schedule

CASES = yaml.safe_load(files("workbench.models.energy_tax").joinpath("tax_cases.yml").read_text(encoding="utf-8"))


def _tax(case: dict[str, Any]) -> OutletTax:
    amounts = [MonthlyAmount(**a) for a in case["amounts"]]
    return month_of_outlet(
        amounts, medium=case["medium"], rate_cny=case["rate"], falsified=case.get("falsified", False), extra_items=case.get("extra")
    )


@pytest.mark.parametrize("case", CASES["cases"], ids=lambda c: c["what"][:60])
def test_worked_case(case: dict[str, Any]) -> None:
    result = _tax(case)
    assert result.tax_cny == pytest.approx(case["tax"], abs=0.005)
    assert sorted(result.not_evaluable) == sorted(case.get("lost", []))
    if "taxed" in case:
        assert {i.factor for i in result.items if i.taxed} == set(case["taxed"])


def test_there_are_at_least_25_worked_cases() -> None:
    assert len(CASES["cases"]) >= 25


@pytest.mark.parametrize("case", CASES["refused"], ids=lambda c: c["what"])
def test_impossible_input_is_refused(case: dict[str, Any]) -> None:
    with pytest.raises(ParameterError):
        _tax(case)


AMOUNT = st.builds(
    MonthlyAmount,
    factor=st.sampled_from(sorted(schedule()["factors"])),
    kg=st.floats(0, 1e6),
    mean=st.one_of(st.none(), st.floats(0, 200)),
    limit=st.one_of(st.none(), st.floats(1, 200)),
    any_over=st.sampled_from([True, False, None]),
    generated_kg=st.floats(0, 1e6),
)


@given(st.lists(AMOUNT, max_size=8, unique_by=lambda a: a.factor), st.randoms())
def test_order_of_pollutants_does_not_matter(amounts: list[MonthlyAmount], random: Any) -> None:
    shuffled = list(amounts)
    random.shuffle(shuffled)
    assert month_of_outlet(amounts, medium="air", rate_cny=2).tax_cny == pytest.approx(
        month_of_outlet(shuffled, medium="air", rate_cny=2).tax_cny
    )


@given(st.lists(AMOUNT, max_size=8, unique_by=lambda a: a.factor))
def test_falsifying_never_lowers_the_tax(amounts: list[MonthlyAmount]) -> None:
    honest = month_of_outlet(amounts, medium="air", rate_cny=2).tax_cny
    assert month_of_outlet(amounts, medium="air", rate_cny=2, falsified=True).tax_cny >= honest - 1e-6


@given(st.lists(AMOUNT, min_size=1, max_size=8, unique_by=lambda a: a.factor))
def test_an_exceedance_never_lowers_the_tax(amounts: list[MonthlyAmount]) -> None:
    over = [MonthlyAmount(a.factor, a.kg, a.mean, a.limit, True, a.generated_kg) for a in amounts]
    assert month_of_outlet(over, medium="water", rate_cny=2).tax_cny >= month_of_outlet(amounts, medium="water", rate_cny=2).tax_cny - 1e-6
