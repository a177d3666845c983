"""A small reports folder over a tiny catalog, written by hand so that every figure of the page is known."""

from __future__ import annotations

import json
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import xarray as xr

from workbench.contracts import Metric, RunRecord, StepRecord, result_frame
from workbench.contracts.catalog_yaml import catalog_yaml

START, DAYS, STEP_MIN = pd.Timestamp("2026-01-01"), 40, 10
NAMES = ["青川热电有限公司", "恒泰<b>印染</b>厂 & 分厂", "东渡污水处理厂", "华源家具有限公司", "新安铸造厂", "云岭化工有限公司"]


def _points() -> pd.DataFrame:
    rows = []
    for i in range(len(NAMES)):
        e, o = f"E{i:04d}", f"E{i:04d}-DA001"
        for k, (system, factor, role, unit) in enumerate(
            [
                ("cems", "a21026", "", "mg/m³"),
                ("cems", "a21002", "", "mg/m³"),
                ("cems", "a19001", "", "%"),
                ("cems", "a00000", "", "m³/h"),
                ("power", "power", "production", "kW"),
                ("power", "power", "treatment", "kW"),
            ]
        ):
            rows.append((f"{e}-P{k:02d}", system, e, o if system == "cems" else "", factor, role, unit))
    frame = pd.DataFrame(rows, columns=["point_id", "system", "enterprise_id", "outlet_id", "factor", "role", "unit"])
    return frame.assign(
        range_low=np.nan,
        range_high=np.nan,
        resolution=0.1,
        interval_s=600.0,
        lon=118.4,
        lat=31.7,
        street_town="东渡镇",
        installed_on=pd.NaT,
        removed_on=pd.NaT,
    )


def _series(factor: str, role: str, rng: np.random.Generator, n: int) -> np.ndarray:
    hour = np.arange(n) * STEP_MIN / 60 % 24
    day = (hour > 6) & (hour < 20)
    level = {"a21026": 22, "a21002": 38, "a19001": 9, "a00000": 42000, "power": 180 if role == "production" else 45}[factor]
    noise = np.zeros(n)
    for i in range(1, n):
        noise[i] = 0.92 * noise[i - 1] + rng.normal(0, 0.06)
    return level * (0.75 + 0.35 * day + noise)


def write_catalog(folder: Path) -> Path:
    rng, points = np.random.default_rng(3), _points()
    n = DAYS * 24 * 60 // STEP_MIN
    time = pd.date_range(START, periods=n, freq=f"{STEP_MIN}min")
    (folder / "data").mkdir(parents=True)
    for system in ("cems", "power"):
        mine = points[points["system"] == system]
        value = np.array([_series(f, r, rng, n) for f, r in zip(mine["factor"], mine["role"], strict=True)], dtype=np.float32)
        mark = np.zeros(value.shape, dtype=np.uint8)
        if system == "cems":
            value[0, 2000:2900] = 18.4  # the constant value of the first lead
            value[1, 3100:3250] = np.nan
            mark[0, 1200:1290] = 5
        else:
            value[1, 2000:2900] = 1.2
        cube = xr.Dataset(
            {"value": (("point", "time"), value), "mark": (("point", "time"), mark)},
            coords={"point": mine["point_id"].to_numpy(object), "time": time.to_numpy()},
        )
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # consolidated metadata is not in the zarr 3 specification yet
            cube.to_zarr(folder / "data" / f"obs_{system}.zarr", mode="w", consolidated=True)
    ids = [f"E{i:04d}" for i in range(len(NAMES))]
    tables = {
        "enterprises": pd.DataFrame({"enterprise_id": ids, "name": NAMES}).assign(
            industry="4411",
            street_town="东渡镇",
            lon=118.4,
            lat=31.7,
            key_polluter=True,
            permit_class="key",
            legal_person_id=ids,
            operator="",
        ),
        "outlets": pd.DataFrame({"outlet_id": [f"{i}-DA001" for i in ids], "enterprise_id": ids}).assign(
            code="DA001", medium="air", kind="stack", lon=118.4, lat=31.7, o2_ref=6.0, receiving="大气"
        ),
        "points": points,
        "permit_limits": pd.DataFrame({"permit_id": [f"{i}-PWX" for i in ids], "outlet_id": [f"{i}-DA001" for i in ids]}).assign(
            factor="a21026", limit=35.0, basis="hour", annual_t=np.nan
        ),
        "marks": pd.DataFrame(
            {
                "outlet_id": ["E0000-DA001"],
                "start": [START + pd.Timedelta(days=15)],
                "end": [START + pd.Timedelta(days=15, hours=9)],
                "kind": ["maintenance"],
                "declared_at": [START + pd.Timedelta(days=15)],
                "declared_by": ["discharger"],
            }
        ),
    }
    for name, frame in tables.items():
        frame.to_parquet(folder / "data" / f"{name}.parquet")
    (folder / "catalog.yml").write_text(catalog_yaml(list(tables), ["obs_cems", "obs_power"]), encoding="utf-8")
    return folder / "catalog.yml"


def _leads() -> pd.DataFrame:
    day = pd.Timedelta(days=1)
    first = START + 2000 * pd.Timedelta(minutes=STEP_MIN)
    rows = []
    kinds = ["fabrication", "treatment_off", "exceedance", "permit_breach", "fugitive", "false_report"]
    for k in range(24):
        e = k % len(NAMES)
        p = round(0.97 - 0.035 * k, 3)
        rows.append(
            {
                "lead_id": f"L-{k:04d}",
                "rank": k + 1,
                "queue": "silent" if k % 5 == 3 else "main",
                "enterprise_id": f"E{e:04d}",
                "outlet_id": f"E{e:04d}-DA001",
                "start": first + (k // 6) * 4 * day,
                "end": first + (k // 6) * 4 * day + 900 * pd.Timedelta(minutes=STEP_MIN),
                "kind": kinds[k % 6],
                "p_violation": p,
                "p_low": max(0.0, p - 0.2),
                "p_high": min(1.0, p + 0.02),
                "best_state": "生产中、治污停运、监测不实 / producing, treatment off, monitor dishonest",
                "runner_up": "生产中、治污正常 / producing, treatment on",
                "bayes_factor": 3000.0 / (k + 1),
                "reason_zh": f"{NAMES[e]}：二氧化硫连续 150 小时恒为 18.4 mg/m³，同期治污设施功率仅 1.2 kW，而生产功率正常。",
                "reason_en": "SO₂ stood at 18.4 mg/m³ for 150 hours while the treatment drew 1.2 kW and production ran as usual.",
                "innocent_alternative": "仪器故障或检出限附近的平稳值 / an instrument fault, or honest values near the detection limit",
                "next_check": "调取仪器参数修改日志，现场通标气比对 / read the parameter log and test on site with standard gas",
                "findings": [f"F-{k:04d}"] if k % 5 != 3 else [],
                "articles": ["生态环境法典 第1088条"],
            }
        )
    return result_frame("leads", rows)


def _findings(leads: pd.DataFrame) -> pd.DataFrame:
    rows = [
        {
            "finding_id": f,
            "model": "monitoring",
            "detector": "values_stay_constant",
            "enterprise_id": r["enterprise_id"],
            "outlet_id": r["outlet_id"],
            "point_id": f"{r['enterprise_id']}-P00",
            "start": r["start"],
            "end": r["end"],
            "kind": r["kind"],
            "outcome": "fabrication",
            "verdict": "breach",
            "p_breach": r["p_violation"],
            "severity": "high",
            "reason_zh": "二氧化硫恒值 150 小时，远超该点诚实月份的最长平稳段（4 小时）。",
            "reason_en": "SO₂ constant for 150 hours; the longest flat run of the point's honest months is 4 hours.",
            "evidence": ["w-17"],
        }
        for r in leads.to_dict("records")
        for f in r["findings"]
    ]
    return result_frame("findings", rows)


FEATURES = [
    ("longest_run", "最长恒值时长", "longest constant run", "h", 150.0, 2.1),
    ("difference_entropy", "差分熵", "entropy of differences", "bit", 0.08, 1.3),
    ("treatment_power_ratio", "治污功率与自身历史之比", "treatment power against its own past", "%", 3.0, 0.9),
    ("o2_correlation", "与含氧量的相关系数", "correlation with oxygen", "1", 0.02, 0.4),
    ("mean_concentration", "平均浓度", "mean concentration", "mg/m³", 18.4, -0.2),
    ("marked_share", "已标记时长占比", "share of marked hours", "%", 12.0, -0.45),
]


def _attributions(leads: pd.DataFrame, findings: pd.DataFrame) -> pd.DataFrame:
    rows = []
    for target, features in [(f, FEATURES) for f in findings["finding_id"]] + [(i, FEATURES[:3]) for i in leads["lead_id"]]:
        score = -2.0 + sum(f[5] for f in features)
        rows += [
            {
                "finding_id": target,
                "feature": f[0],
                "label_zh": f[1],
                "label_en": f[2],
                "unit": f[3],
                "value": f[4],
                "contribution": f[5],
                "base": -2.0,
                "score": score,
            }
            for f in features
        ]
    return result_frame("attributions", rows)


def write_report(reports: Path, name: str, catalog: Path, created: str, shift: float = 0.0) -> Path:
    folder = reports / name
    folder.mkdir(parents=True)
    leads = _leads()
    findings = _findings(leads)
    leads.to_parquet(folder / "leads.parquet")
    findings.to_parquet(folder / "findings.parquet")
    _attributions(leads, findings).to_parquet(folder / "attributions.parquet")
    first = leads.iloc[0]
    result_frame(
        "conflicts",
        [
            {
                "conflict_id": "C-1",
                "rule": "clean_while_untreated",
                "enterprise_id": "E0000",
                "start": first["start"],
                "end": first["end"],
                "channels": ["so2_level", "treatment_power"],
                "strength": 3.2,
                "reason_zh": "监测显示低浓度，而治污设施停运且生产照常：三者不能同时成立。",
                "reason_en": "Low readings, treatment off and production as usual cannot all be true.",
            }
        ],
    ).to_parquet(folder / "conflicts.parquet")
    metrics = [
        Metric(
            name=f"precision@{b}",
            value=v + shift,
            low=v + shift - 0.14,
            high=v + shift + 0.13,
            n=n,
            method="cluster bootstrap by enterprise, 1000 draws, 95%",
            subject="leads",
            against="inspections",
            note=f"{n} of the first {b} leads carry a label",
        )
        for b, v, n in ((20, 0.55, 14), (70, 0.42, 41))
    ]
    metrics += [
        Metric(name="ece", value=0.07, low=0.04, high=0.12, n=41, method="cluster bootstrap", subject="leads", against="inspections"),
        Metric(
            name="recall@70", value=None, low=None, high=None, n=0, method="not evaluated", against="inspections", note="no random draw"
        ),
    ]
    (folder / "metrics.json").write_text(json.dumps([m.model_dump() for m in metrics], ensure_ascii=False), encoding="utf-8")
    record = RunRecord(
        iteration_id=name,
        experiment="first_iteration",
        author="wang",
        params={},
        seed=2026,
        period=f"{START.isoformat()}/{(START + pd.Timedelta(days=DAYS)).isoformat()}",
        catalog="district",
        catalog_location=str(catalog),
        code_version="0.1.0+abcdef",
        environment_hash="e",
        snapshot={},
        created_at=created,
        status="done",
        steps=[StepRecord(name="10_monitoring", status="done", inputs_hash="h", wall_s=95.0)],
    )
    (folder / "run.json").write_text(record.model_dump_json(), encoding="utf-8")
    return folder


@pytest.fixture(scope="session")
def small_catalog(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Catalog file of six enterprises, 40 days at ten minutes."""
    return write_catalog(tmp_path_factory.mktemp("catalog"))


@pytest.fixture(scope="session")
def small_reports(tmp_path_factory: pytest.TempPathFactory, small_catalog: Path) -> Path:
    """Two iterations over :func:`small_catalog`, and a folder that is no iteration."""
    reports = tmp_path_factory.mktemp("reports")
    write_report(reports, "first-1a2b3c4d", small_catalog, "2026-02-20T09:00:00")
    write_report(reports, "first-9f8e7d6c", small_catalog, "2026-02-21T09:00:00", shift=0.06)
    (reports / "broken").mkdir()
    (reports / "broken" / "run.json").write_text("{", encoding="utf-8")
    return reports
