"""Channels of several models on one grid, and the files that say what they mean."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import xarray as xr
import yaml

from workbench.contracts import ContractBreach, Kind, channel
from workbench.cross.checks import checks
from workbench.cross.conflicts import catalogue
from workbench.cross.context import context_channels
from workbench.cross.emission import emission
from workbench.cross.evidence import coverage_report, merge
from workbench.cross.kinds import kind_row
from workbench.cross.roles import aliases, priors, roles
from workbench.cross.severity import merge_graded
from workbench.cross.simulate import blank_channel
from workbench.cross.states import C_NAMES, N_REGIMES, N_STATES, regime_words, space


def made(
    name: str, values: list[list[int]], *, role: str = "", levels: tuple[str, ...] = ("ordinary", "suspect", "strong"), **over: object
) -> xr.Dataset:
    hours = pd.date_range(str(over.pop("start", "2026-01-01")), periods=len(values[0]), freq="h")
    ids = over.pop("ids", [f"E{i}" for i in range(len(values))])
    fields = {
        "source": "monitor",
        "group": f"g:{name}",
        "label_zh": "名",
        "label_en": "name",
        "alert_levels": ["strong"] if "strong" in levels else [],
    }
    return xr.Dataset(
        {name: channel(np.array(values, dtype=np.int8), enterprises=ids, hours=hours, levels=levels, role=role, **{**fields, **over})}
    )


def test_merge_takes_the_union_and_leaves_the_rest_not_installed() -> None:
    e = merge([made("a_x", [[0, 1]], ids=["E1"]), made("b_y", [[2, 2]], ids=["E2"], start="2026-01-01 01:00")])
    assert list(e.enterprises) == ["E1", "E2"]
    assert e.shape == (2, 3)
    assert e.channels[0].values.tolist() == [[0, 1, -1], [-1, -1, -1]]
    assert e.channels[1].values.tolist() == [[-1, -1, -1], [-1, 2, 2]]


def test_two_channels_of_one_name_are_refused() -> None:
    with pytest.raises(ContractBreach, match="same name"):
        merge([made("a_x", [[0]]), made("a_x", [[0]])])


def test_merge_does_not_touch_its_input() -> None:
    d = made("a_x", [[0, 1]])
    before = d.copy(deep=True)
    merge([d])
    xr.testing.assert_identical(d, before)


def test_an_alias_puts_a_channel_into_the_words_of_its_role() -> None:
    levels = ("outage", "clean", "weak", "suspect", "strong")
    c = merge([made("monitor_integrity", [[0, 1, 2, 3, 4]], levels=levels)]).channels[0]
    assert c.role == "monitor_integrity"
    assert [c.level(v) for v in c.values[0]] == ["outage", "ordinary", "suspect", "suspect", "strong"]
    assert [c.levels[i] for i in c.alert] == ["strong"]


def test_the_report_counts_coverage_overlap_and_conflict_before_fusing() -> None:
    a = made("a_x", [[2, 2, 0, -1]], role="monitor_integrity")
    b = made("b_y", [[2, 0, 0, 0]], role="off_while_on", source="power")
    report = coverage_report(merge([a, b])).set_index("channel")
    assert report.loc["a_x", "installed"] == 0.75
    assert report.loc["a_x", "overlap"] == 0.5
    assert report.loc["a_x", "conflict"] == 0.5
    assert "role unknown" in coverage_report(merge([made("c_z", [[0]])]))["note"].iloc[0]


def test_detectors_of_one_role_are_merged_into_their_worst() -> None:
    one = made("m_a", [[0, 1, -1, 0]], role="monitor_integrity", group="m")
    two = made("m_b", [[0, 0, 2, -1]], role="monitor_integrity", group="m")
    e = merge_graded(merge([one, two]))
    assert len(e.channels) == 1
    assert e.channels[0].values.tolist() == [[0, 1, 2, 0]]


def test_a_zone_is_out_only_where_the_enterprise_and_its_neighbours_are() -> None:
    levels = ("off", "low", "full", "outage")
    values = [[3]] * 6 + [[2]]
    e = merge([made("p_x", values, levels=levels, role="production_power", source="power")])
    table = pd.DataFrame({"enterprise_id": e.enterprises, "street_town": "S", "operator": ""})
    (zone,) = [c for c in context_channels(e, table) if c.role == "zone_outage"]
    assert zone.values[:, 0].tolist() == [1] * 6 + [0]


def test_there_are_384_states_in_32_regimes_and_the_violation_is_the_handbooks() -> None:
    s = space()
    assert (N_STATES, N_REGIMES) == (384, 32)
    keys = np.stack([s.M, s.T, s.X, s.C, *s.H.values()])
    assert len(np.unique(keys, axis=1).T) == 384
    normal = C_NAMES.index("normal") == s.C
    wanted = ((s.M > 0) & (s.T == 1) & normal) | ((s.X == 1) & normal) | (s.H["monitor"] == 1)
    assert (s.violation == wanted).all()
    assert len({regime_words(z) for z in range(N_REGIMES)}) == N_REGIMES


def test_every_role_has_emissions_or_is_a_duty_and_they_agree() -> None:
    for name, role in roles().items():
        if role.duty:
            assert role.duty in {k.value for k in Kind}
            continue
        rows = priors().emissions[name].rows
        assert {x for r in rows for x in r.p} <= set(role.levels), name
        assert {x for r in rows for x in r.when} == set(role.tells) - {"none"}, name
    assert set(priors().emissions) <= set(roles())
    assert all(len(p.basis) > 5 for p in priors().emissions.values())


@pytest.mark.parametrize("role", sorted(r for r, x in roles().items() if not x.duty))
def test_every_emission_is_a_distribution_in_every_state(role: str) -> None:
    part = emission(blank_channel(role, (1, 1)))
    assert np.allclose(part.rows.sum(1), 1)
    assert np.allclose(np.exp(part.log_table()).sum(0), 1)
    assert part.rows.min() > 0


def test_catalogues_are_whole() -> None:
    assert len(catalogue()) >= 12
    assert {a.role for a in aliases().values()} <= set(roles())
    assert all(set(a.levels.values()) - {""} <= set(roles()[a.role].levels) for a in aliases().values())
    assert {x for c in checks().values() for x in c.answers} == {"monitor", "power", "declaration", "z_T", "z_X"}
    assert all(kind_row(k).innocent_zh for k in Kind)


def test_data_files_hold_no_unknown_key(root) -> None:
    raw = yaml.safe_load((root / "workbench/cross/roles.yml").read_text(encoding="utf-8"))
    assert set(raw) == {"roles", "levels"}


def test_an_unknown_channel_is_weak_evidence() -> None:
    c = merge([made("z_q", [[0, 2]])]).channels[0]
    table = emission(c).log_table()
    gap = table[2].max() - table[2].min()
    assert 0.5 < gap < 1.5
