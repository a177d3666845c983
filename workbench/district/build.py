"""Composition of a district: simulate enterprise by enterprise, write as one goes, rename when all is there."""

from __future__ import annotations

import json
import os
import shutil
from collections import Counter, defaultdict
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from workbench.contracts import CUBES, TABLES, TRUTH, ParameterError, System, Table, check_table, conform
from workbench.contracts.catalog_yaml import catalog_yaml
from workbench.district import clips as video
from workbench.district.behaviour import choose_schemes, plan_visits
from workbench.district.climate import World, make_world
from workbench.district.cubes import CubeWriter
from workbench.district.noise import Residuals
from workbench.district.papers import write_papers
from workbench.district.population import Outlet, Point, Site, populate
from workbench.district.provenance import fingerprint, versions
from workbench.district.public import Station, Sums, observe, stations
from workbench.district.residuals import read_residuals
from workbench.district.settings import document, scale_named
from workbench.district.simulate import SiteResult, simulate
from workbench.district.visits import inspect

Rows = dict[str, list[dict[str, Any]]]


def generate(out: Path, *, scale: str, seed: int, progress: bool = True, residuals: Path | None = None) -> Path:
    """Write a simulated district and return its catalog file.

    Parameters
    ----------
    out : Path
        Folder to create. A district already there is replaced; a folder with anything else in it is refused.
    scale : {"tiny", "small", "full"}
        Size, see ``world.yml``.
    seed : int
        Same seed, scale and versions give the same values.
    progress : bool
        Show a progress bar.
    residuals : Path, optional
        Folder with ``gas_turbine``, ``steel``, ``prsa``: residual blocks are drawn from these real series.

    Returns
    -------
    Path
        ``out/catalog.yml``. Beside it: ``data/``, ``truth.parquet`` (never an entry), ``district.json``.

    Raises
    ------
    ParameterError
        If the scale is unknown, or ``out`` holds something that is not a district.
    """
    size = scale_named(scale)
    out = Path(out)
    if out.exists() and any(out.iterdir()) and not (out / "district.json").is_file():
        raise ParameterError(
            "will not replace a folder that is not a district",
            got=str(out),
            allowed="an empty, absent or district folder",
            where="generate",
        )
    pools = Residuals(read_residuals(residuals)) if residuals is not None else Residuals()
    temporary = out.parent / f".{out.name}.{os.getpid()}.part"
    shutil.rmtree(temporary, ignore_errors=True)
    (temporary / "data" / "clips").mkdir(parents=True)
    try:
        _write(temporary, make_world(size, seed, pools), progress=progress, real=residuals is not None)
        _put_in_place(temporary, out)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return out / "catalog.yml"


def _put_in_place(made: Path, out: Path) -> None:
    """Rename a whole district to its place; the one it replaces goes only when the new one stands."""
    old = out.with_name(f".{out.name}.{os.getpid()}.old")
    if out.exists():
        out.rename(old)
    try:
        made.rename(out)
    except OSError:
        if old.exists():
            old.rename(out)
        raise
    shutil.rmtree(old, ignore_errors=True)


def _write(folder: Path, world: World, *, progress: bool, real: bool) -> None:
    from tqdm import tqdm

    sites = populate(world)
    public = _public(world, sites)
    schemes = choose_schemes(world, sites)
    writers = _writers(folder, world, sites, public)
    rows: Rows = defaultdict(list)
    sums, oddities = Sums(), Counter[str]()
    _register(rows, world, sites, public)
    cameras = sum(bool(s.camera) for s in sites)
    per_camera = max(1, -(-world.scale.clips // max(1, cameras)))
    left = world.scale.clips
    for site in tqdm(sites, desc=f"district {world.scale.name}", unit="enterprise", disable=not progress):
        result = simulate(site, world, schemes.get(site.enterprise_id, []), plan_visits(site, world))
        for p in site.points:
            if p.point_id in result.series:
                writers[f"obs_{p.system}"].add(p.point_id, *result.series[p.point_id])
        _collect(rows, result, world)
        oddities.update(result.oddities)
        sums.add(site.street, *_hourly(result, world))
        for clip in video.plan(result, world, min(per_camera, left)):
            left -= 1
            video.render(clip, site, world, folder / str(clip["path"]))
            rows["clips"].append(clip)
    for station in public:
        for point_id, (value, mark) in observe(station, world, sums).items():
            writers[f"obs_{'ambient' if station.outlet is None else 'surface_water'}"].add(point_id, value, mark)
    for writer in writers.values():
        writer.close()
    _tables(folder, rows, world)
    (folder / "catalog.yml").write_text(
        catalog_yaml(TABLES, writers, metadata={"simulated": True, "scale": world.scale.name, "seed": world.seed}), encoding="utf-8"
    )
    _note(folder, world, sites, rows, writers, schemes, oddities, real)


def _public(world: World, sites: list[Site]) -> list[Station]:
    wanted = world.scale.points
    have = sum(p.system != "video" for s in sites for p in s.points) + sum(len(s.points) for s in stations(world))
    if wanted and have > wanted:
        raise ParameterError("the enterprises alone have more points than asked for", got=have, allowed=wanted, where="world.yml scales")
    return stations(world, wanted - have if wanted else 0)


def _writers(folder: Path, world: World, sites: list[Site], public: list[Station]) -> dict[str, CubeWriter]:
    ids: dict[str, list[str]] = {name: [] for name in CUBES}
    for p in [p for s in sites for p in s.points] + [p for s in public for p in s.points]:
        if p.system != System.VIDEO:
            ids[f"obs_{p.system}"].append(p.point_id)
    return {n: CubeWriter(folder / "data" / f"{n}.zarr", points, world.times) for n, points in ids.items() if points}


def _register(rows: Rows, world: World, sites: list[Site], public: list[Station]) -> None:
    since = world.start - pd.Timedelta(days=400)
    for s in sites:
        rows["enterprises"].append(
            {
                "enterprise_id": s.enterprise_id, "name": s.name, "industry": s.industry, "street_town": s.street, "lon": s.lon,
                "lat": s.lat, "key_polluter": s.key_polluter, "permit_class": s.permit_class, "legal_person_id": s.legal_person_id,
                "operator": s.operator,
            }
        )  # fmt: skip
        rows["outlets"] += [_outlet(o, s.enterprise_id) for o in s.outlets]
        rows["points"] += [_point(p, s.enterprise_id, s.lon, s.lat, s.street, since) for p in s.points]
    for st in public:
        if st.outlet is not None:
            rows["outlets"].append(_outlet(st.outlet, ""))
        rows["points"] += [_point(p, "", st.lon, st.lat, st.street, since) for p in st.points]
    for zone, w in world.weather.items():
        frame = pd.DataFrame({"time": pd.date_range(world.start, periods=world.days * 24, freq="h"), "zone": zone, **w})
        rows["weather"] += frame.to_dict("records")  # type: ignore[arg-type]


def _outlet(o: Outlet, enterprise_id: str) -> dict[str, Any]:
    return {
        "outlet_id": o.outlet_id, "enterprise_id": enterprise_id, "code": o.code, "medium": o.medium, "kind": o.kind, "lon": o.lon,
        "lat": o.lat, "o2_ref": o.o2_ref, "receiving": o.receiving,
    }  # fmt: skip


def _point(p: Point, enterprise_id: str, lon: float, lat: float, street: str, since: pd.Timestamp) -> dict[str, Any]:
    video_point = p.system == System.VIDEO
    return {
        "point_id": p.point_id, "system": p.system, "enterprise_id": enterprise_id, "outlet_id": p.outlet_id, "factor": p.factor,
        "role": p.role, "unit": p.unit, "range_low": float("nan") if video_point else p.low, "range_high": p.high,
        "resolution": p.resolution, "interval_s": float("nan") if video_point else float(document("world")["step_s"]),
        "lon": lon, "lat": lat, "street_town": street, "installed_on": since, "removed_on": pd.NaT,
    }  # fmt: skip


def _collect(rows: Rows, result: SiteResult, world: World) -> None:
    papers = write_papers(result, world)
    truth = result.truth + papers.pop("truth", [])
    for name, more in papers.items():
        rows[name] += more
    rows["marks"] += result.marks
    rows["truth"] += truth
    inspections, cases = inspect(result, world, truth)
    rows["inspections"] += inspections
    rows["cases"] += cases


def _hourly(result: SiteResult, world: World) -> tuple[np.ndarray, np.ndarray]:
    air, river = np.zeros(world.days * 24), np.zeros(world.days * 24)
    for (outlet_id, factor), d in result.discharges.items():
        share = np.nan_to_num(d.true_hour) / d.limit
        kg = np.repeat(d.true_kg / 24, 24) * share / max(float(share.mean()), 1e-9)
        if "DA" in outlet_id:
            air += kg
        elif factor == "w01018" and result.site.water is not None and result.site.water.receiving == "双河":
            river += kg
    return air, river


def _tables(folder: Path, rows: Rows, world: World) -> None:
    for name, table in [*TABLES.items(), ("truth", TRUTH)]:
        frame = _frame(name, table, rows.get(name, []))
        breaches = check_table(name, frame)
        if breaches:
            raise ParameterError("the simulated table breaks its contract", got="; ".join(map(str, breaches)), where=name)
        frame.to_parquet((folder if name == "truth" else folder / "data") / f"{name}.parquet", index=False, compression="zstd")


def _frame(name: str, table: Table, rows: list[dict[str, Any]]) -> pd.DataFrame:
    frame = pd.DataFrame(rows, columns=list(table.columns))
    frame = conform(name, frame)
    keys = [c for c, spec in table.columns.items() if spec.dtype != "list"]
    return frame.sort_values(keys, kind="stable", ignore_index=True)


def _note(
    folder: Path,
    world: World,
    sites: list[Site],
    rows: Rows,
    writers: dict[str, CubeWriter],
    schemes: dict[str, Any],
    oddities: Counter[str],
    real: bool,
) -> None:
    note = {
        "seed": world.seed,
        "scale": world.scale.name,
        "start": str(world.start.date()),
        "days": world.days,
        "step_s": document("world")["step_s"],
        "residuals": "blocks of real series" if real else "parametric",
        "enterprises": len(sites),
        "points": {n: len(w.points) for n, w in writers.items()},
        "values": sum(len(w.points) for w in writers.values()) * world.steps,
        "rows": {n: len(rows.get(n, [])) for n in TABLES},
        "versions": versions(),
        "fingerprint": fingerprint(world.scale.name, world.seed, real=real),
    }
    (folder / "district.json").write_text(json.dumps(note, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
