"""What a notebook writes is checked, atomic and the same bytes every time."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import xarray as xr

from workbench.contracts import ContractBreach, Metric, ParameterError, Period, channel, result_frame
from workbench.pipeline.step import Step, gather, latest_leads, read_table

PERIOD = Period.parse("2026-01-01/2026-02-01")


class Labels:
    """A catalog with ten decided inspections, one a day."""

    def labels(self, before: pd.Timestamp | None = None) -> pd.DataFrame:
        days = pd.date_range("2026-01-01", periods=10)
        frame = pd.DataFrame({"inspection_id": [f"I{i}" for i in range(10)], "decided_on": days})
        return frame if before is None else frame[frame["decided_on"] < before]


def step_at(folder: Path | None, upstream: Path | None = None, held_out: float = 0.0) -> Step:
    return Step(Labels(), PERIOD, folder, upstream, seed=1, overrides={}, threads=1, held_out=held_out)


def findings(*ids: str, p: float = 0.5) -> pd.DataFrame:
    start, end = pd.Timestamp("2026-01-02"), pd.Timestamp("2026-01-03")
    rows = [
        {
            "finding_id": i,
            "model": "m",
            "detector": "d",
            "start": start,
            "end": end,
            "verdict": "breach",
            "p_breach": p,
            "reason_zh": "因",
            "reason_en": "why",
            "evidence": ["a", "b"],
        }
        for i in ids
    ]
    return result_frame("findings", rows)


def leads(*ranks: int) -> pd.DataFrame:
    start, end = pd.Timestamp("2026-01-02"), pd.Timestamp("2026-01-03")
    rows = [
        {
            "lead_id": f"L{r}-{k}",
            "rank": r,
            "queue": "main",
            "enterprise_id": "E",
            "start": start,
            "end": end,
            "kind": "fabrication",
            "p_violation": 0.5,
            "p_low": 0.1,
            "p_high": 0.9,
            "reason_zh": "因",
            "reason_en": "why",
        }
        for k, r in enumerate(ranks)
    ]
    return result_frame("leads", rows)


def evidence(value: int = 1) -> xr.Dataset:
    hours = pd.date_range("2026-01-01", periods=4, freq="h")
    one = channel(
        np.full((2, 4), value),
        enterprises=["E1", "E2"],
        hours=hours,
        levels=["quiet", "alert"],
        source="monitor",
        group="g",
        label_zh="甲",
        label_en="a",
        alert_levels=["alert"],
    )
    return xr.Dataset({"a": one})


METRIC = Metric(name="precision@20", value=0.5, low=0.1, high=0.9, n=3, method="x")


def test_row_order_does_not_change_the_bytes(tmp_path: Path) -> None:
    step_at(tmp_path / "a").write(findings=findings("F1", "F2", "F3"))
    step_at(tmp_path / "b").write(findings=findings("F3", "F1", "F2"))
    assert (tmp_path / "a" / "findings.parquet").read_bytes() == (tmp_path / "b" / "findings.parquet").read_bytes()


def test_everything_comes_back_as_it_was(tmp_path: Path) -> None:
    step_at(tmp_path / "10_a").write(findings=findings("F1"), evidence=evidence(), metrics=[METRIC], leads=leads(1))
    later = step_at(None, tmp_path)
    assert later.findings()["evidence"].tolist() == [["a", "b"]]
    xr.testing.assert_identical(later.evidence()[0].load(), evidence())
    assert later.metrics() == [METRIC]
    assert later.leads()["lead_id"].tolist() == ["L1-0"]
    assert not list(tmp_path.rglob("*.tmp"))


def test_without_an_output_folder_results_are_checked_and_not_written() -> None:
    assert step_at(None).write(findings=findings("F1")) == []
    with pytest.raises(ContractBreach):
        step_at(None).write(findings=findings("F1").assign(p_breach=2.0))


@pytest.mark.parametrize(
    "bad",
    [
        pytest.param({"findings": pd.concat([findings("F1"), findings("F1")])}, id="a finding twice"),
        pytest.param({"leads": leads(1, 1)}, id="a rank twice"),
        pytest.param({"evidence": evidence().assign(b=("enterprise", [1, 2]))}, id="evidence without hours"),
        pytest.param({"metrics": [{"name": "x", "value": 1}]}, id="a bare number as metric"),
    ],
)
def test_a_breach_writes_nothing(tmp_path: Path, bad: dict) -> None:
    with pytest.raises(ContractBreach):
        step_at(tmp_path / "s").write(**{"attributions": result_frame("attributions"), **bad})
    assert not (tmp_path / "s").exists()


def test_later_steps_replace_rows_and_leads(tmp_path: Path) -> None:
    step_at(tmp_path / "a").write(findings=findings("F1", "F2", p=0.1), leads=leads(1, 2))
    step_at(tmp_path / "b").write(findings=findings("F2", p=0.9), leads=leads(1))
    whole = gather("findings", [tmp_path / "a", tmp_path / "b"]).set_index("finding_id")["p_breach"]
    assert whole.to_dict() == {"F1": 0.1, "F2": 0.9}
    assert len(latest_leads([tmp_path / "a", tmp_path / "b"])) == 1
    assert len(latest_leads([tmp_path / "b", tmp_path / "a"])) == 2


def test_steps_come_in_the_order_in_which_they_ran(tmp_path: Path) -> None:
    for name in ("z_first", "a_second"):
        step_at(tmp_path / name).write(findings=findings(name))
    (tmp_path / ".order.json").write_text('["z_first", "a_second"]', encoding="utf-8")
    assert [f.name for f in step_at(None, tmp_path).step_folders()] == ["z_first", "a_second"]


def test_nothing_upstream_gives_empty_tables_that_keep_the_contract() -> None:
    step = step_at(None)
    assert step.findings().empty
    assert step.leads().empty
    assert {"finding_id", "p_breach"} <= set(step.findings())
    assert step.evidence() == []


@pytest.mark.parametrize(("share", "kept"), [(0.0, 10), (0.3, 7), (0.5, 5), (0.99, 0)])
def test_the_latest_decisions_are_held_out(share: float, kept: int) -> None:
    step = step_at(None, held_out=share)
    assert len(step.labels()) == kept
    assert (step.labels_end is None) == (share == 0)
    if kept and share:
        assert step.labels()["decided_on"].max() < step.labels_end


def test_a_table_that_was_cut_is_not_read(tmp_path: Path) -> None:
    step_at(tmp_path).write(findings=findings("F1"))
    file = tmp_path / "findings.parquet"
    file.write_bytes(file.read_bytes()[:100])
    with pytest.raises(Exception, match=r"(?i)parquet"):
        read_table(file)


def test_a_named_cluster_takes_over_from_threads() -> None:
    import dask
    import dask.array as da
    from distributed import LocalCluster

    from workbench.contracts import limit_threads
    from workbench.pipeline.executor import connect

    with LocalCluster(n_workers=1, threads_per_worker=1, processes=False, dashboard_address=None) as cluster, dask.config.set():
        limit_threads()
        client = connect(cluster.scheduler_address)
        try:
            before = client.run_on_scheduler(lambda dask_scheduler: dask_scheduler.transition_counter)
            assert int(da.ones(10, chunks=5).sum().compute()) == 10
            assert client.run_on_scheduler(lambda dask_scheduler: dask_scheduler.transition_counter) > before
        finally:
            client.close()
            dask.config.set(scheduler="threads")
    assert connect("") is None


def test_a_cluster_that_does_not_answer_is_named() -> None:
    from workbench.pipeline.executor import connect

    with pytest.raises(ParameterError) as caught:
        connect("tcp://127.0.0.1:9", timeout_s=0.5)
    assert caught.value.got == "tcp://127.0.0.1:9"
