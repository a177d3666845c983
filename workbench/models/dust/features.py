"""Everything the model reads, brought to one Dataset: hourly air of the sites, and rule results with their parts."""

from __future__ import annotations

from collections.abc import Mapping
from types import ModuleType
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray

from workbench.contracts import CatalogView, Kind, Period
from workbench.models.additive import Judgement, judgements_of, not_evaluable, state_units
from workbench.models.dust import rules_clips, rules_series
from workbench.models.dust.inputs import PARTICLES, Inputs, producing_hours, read_inputs
from workbench.models.dust.rules_clips import Watched, clips_not_labelled
from workbench.models.dust.rules_series import Candidate, hot_hours
from workbench.models.dust.scan import SCANS, Found, scan
from workbench.models.dust.scene import Scene, look
from workbench.models.dust.witnesses import witnesses
from workbench.models.hourly import Grid
from workbench.models.rule_settings import Settings

CLIP_RULES = ("clip_shows_dust", "clip_shows_uncovered_pile", "clip_shows_black_smoke", "clip_shows_open_burning")
SITE_VARIABLES: Mapping[str, tuple[str, str]] = {
    "value": ("ug/m^3", "hourly value at the fence"),
    "background": ("ug/m^3", "what the neighbours imply for the same hour, at the site's usual ratio"),
    "excess": ("1", "log ratio beyond the usual one"),
    "z": ("1", "excess in robust standard deviations"),
}


def build_features(catalog: CatalogView, period: Period, settings: Settings) -> xr.Dataset:
    """Read, compare and judge; see :meth:`~workbench.models.dust.model.DustModel.features`."""
    grid = Grid.over(Period(period.start.floor("D"), period.end))  # days begin at midnight
    inputs = read_inputs(catalog, grid, settings)
    enterprises = catalog.table("enterprises").sort_values("enterprise_id")
    street = dict(zip(enterprises["enterprise_id"], enterprises["street_town"].fillna(""), strict=True))
    scenes = [look(inputs, a, _zones(a.points.iloc[: a.sites], street), settings) for a in inputs.air]
    industry = dict(zip(enterprises["enterprise_id"], enterprises["industry"].fillna("").astype(str), strict=True))
    span = (grid.start, grid.end)
    found = _judge_series(catalog, inputs, scenes, industry, settings) + _judge_clips(inputs, scenes, settings, span)
    found += _not_evaluable(catalog, inputs, scenes, span)
    out = to_dataset(found, enterprises["enterprise_id"].astype(str).tolist(), inputs, scenes)
    return out.sel(hour=slice(period.start.floor("h"), None))


def _zones(sites: pd.DataFrame, street: dict[str, str]) -> list[str]:
    own = sites["street_town"].fillna("")
    return [str(z or street.get(e, "")) for z, e in zip(own, sites["enterprise_id"], strict=True)]


def _judge_series(
    catalog: CatalogView, inputs: Inputs, scenes: list[Scene], industry: dict[str, str], settings: Settings
) -> list[Judgement]:
    owners = sorted({str(e) for s in scenes for e in s.sites["enterprise_id"] if e})
    producing = producing_hours(catalog, owners, inputs.grid)
    numbers, context = settings.prep("runs"), settings.prep("context")
    humid, clip_days = settings.prep("noise")["humid"], context.pop("clip_days")
    clips = {str(e): g for e, g in inputs.clips.groupby("enterprise_id")}
    found: list[Judgement] = []
    for scene in scenes:
        for f in scan(scene, settings):
            thresholds = settings.of(f.rule)
            if f.null.base(thresholds["per_site_month"]) + f.null.stands_out(f.honest) < numbers["log_odds_min"]:
                continue  # an ordinary run
            row = scene.sites.iloc[f.site]
            hot = hot_hours(scene.z[f.site], f.start, f.stop, sign=f.sign, hot_z=numbers["hot"])
            around = witnesses(
                scene, f.site, hot, _other(scenes, scene, row), producing.get(str(row["enterprise_id"])),
                sign=f.sign, humid=humid, **context,
            )  # fmt: skip
            at = np.flatnonzero(hot)
            site = {k: str(row[k] or "") for k in ("enterprise_id", "outlet_id", "point_id", "factor")}
            candidate = Candidate(
                site, inputs.grid.hours[at[0]], inputs.grid.hours[at[-1]] + pd.Timedelta(hours=1), f.score, f.null, f.honest, around,
                clips.get(site["enterprise_id"], inputs.clips.iloc[:0]), clip_days, industry.get(site["enterprise_id"], ""),
            )  # fmt: skip
            found.append(_rule(rules_series, f.rule)(candidate, **thresholds))
    return _strongest(found)


def _rule(module: ModuleType, name: str) -> Any:
    return getattr(module, name)


def _other(scenes: list[Scene], scene: Scene, row: pd.Series) -> tuple[Scene, int] | None:
    """Return another particle size of the same enterprise and outlet, if it is measured."""
    for theirs in scenes:
        if theirs is scene:
            continue
        same = (theirs.sites["enterprise_id"] == row["enterprise_id"]) & (theirs.sites["outlet_id"] == row["outlet_id"])
        at = np.flatnonzero(same.to_numpy())
        if len(at):
            return theirs, int(at[0])
    return None


def _strongest(found: list[Judgement]) -> list[Judgement]:
    """Return the judgements without those that a stronger one of the same enterprise and kind mostly covers."""
    kept: dict[tuple[str, str], list[Judgement]] = {}
    for j in sorted(found, key=lambda j: (-j.score, j.enterprise_id, j.rule, j.point_id, j.start)):
        mine = kept.setdefault((j.enterprise_id, j.kind), [])
        half = 0.5 * (j.end - j.start)
        if not any(min(j.end, k.end) - max(j.start, k.start) >= half for k in mine):
            mine.append(j)
    return [j for group in kept.values() for j in group]


def fence_excess(scenes: list[Scene]) -> dict[str, NDArray[np.float64]]:
    """Return by enterprise the highest standardised excess of its fence monitors, shape (hour,)."""
    out: dict[str, NDArray[np.float64]] = {}
    for scene in scenes:
        for e, z in zip(scene.sites["enterprise_id"].astype(str), scene.z.astype(np.float64), strict=True):
            out[e] = np.fmax(out[e], z) if e in out else z
    return out


def _judge_clips(inputs: Inputs, scenes: list[Scene], settings: Settings, span: tuple[pd.Timestamp, pd.Timestamp]) -> list[Judgement]:
    fence = fence_excess(scenes)
    found: list[Judgement] = []
    for e, clips in inputs.clips.groupby("enterprise_id"):
        watched = Watched(str(e), clips, inputs.grid, fence.get(str(e)))
        for name in CLIP_RULES:
            found += _rule(rules_clips, name)(watched, **settings.of(name))
        found += clips_not_labelled(watched, span)
    return found


def _not_evaluable(catalog: CatalogView, inputs: Inputs, scenes: list[Scene], span: tuple[pd.Timestamp, pd.Timestamp]) -> list[Judgement]:
    """Return what could not be judged, and why: no monitor, no usable values, no background, a stuck instrument."""
    found, rule = [], next(iter(SCANS))
    points, outlets = catalog.table("points"), catalog.table("outlets")
    fence = points[points["system"] == "dust"]
    for ident, e in zip(fence["point_id"].astype(str), fence["enterprise_id"].fillna("").astype(str), strict=True):
        if ident in inputs.unused:
            found.append(not_evaluable(rule, e, span, Kind.FUGITIVE, *inputs.unused[ident], point_id=ident))
    for scene in scenes:
        for k, (ident, e) in enumerate(zip(scene.sites["point_id"].astype(str), scene.sites["enterprise_id"].astype(str), strict=True)):
            if ident in inputs.unused:
                continue
            arrived, known = np.isfinite(scene.air.value[k]), np.isfinite(scene.z[k])
            name, stuck = PARTICLES[scene.air.factor], int(scene.air.stuck[k].sum())
            if not arrived.any():
                found.append(
                    not_evaluable(rule, e, span, Kind.FUGITIVE, f"{name}没有可用的小时值", f"no usable hour of {name}", point_id=ident)
                )
            elif not known.any():
                zh, en = f"{name}的其他点位太少，没有区域背景", f"too few other points of {name}: no regional background"
                found.append(not_evaluable(rule, e, span, Kind.FUGITIVE, zh, en, point_id=ident))
            elif stuck:
                zh, en = f"{name}有{stuck}小时读数恒定，已剔除", f"{stuck} h of {name} repeated one reading and were set aside"
                found.append(not_evaluable(rule, e, span, Kind.FUGITIVE, zh, en, point_id=ident))
    watched = set(fence["enterprise_id"]) | set(inputs.clips["enterprise_id"])
    open_air = outlets[(outlets["kind"] == "fugitive") & ~outlets["enterprise_id"].isin(watched)]["enterprise_id"].dropna()
    for e in sorted(set(open_air.astype(str)) - {""}):
        zh, en = "有无组织排放源，但没有厂界扬尘监测或视频", "an open source without a fence monitor or a camera"
        found.append(not_evaluable(rule, e, span, Kind.FUGITIVE, zh, en))
    if not found and not len(fence) and not len(inputs.clips):
        zh, en = "目录中没有厂界扬尘监测，也没有视频", "the catalog has neither fence monitors nor clips"
        found.append(not_evaluable(rule, "", span, Kind.FUGITIVE, zh, en))
    return found


def to_dataset(found: list[Judgement], ids: list[str], inputs: Inputs, scenes: list[Scene]) -> xr.Dataset:
    """Return hourly arrays and judgements as one Dataset; results sorted, their parts in a table of their own."""
    found = sorted(found, key=lambda j: (j.enterprise_id, j.rule, j.point_id, j.start, j.end, j.reason_en))
    n = inputs.grid.n
    tables = [s.sites for s in scenes]
    sites = pd.concat(tables, ignore_index=True) if tables else pd.DataFrame(columns=["point_id", "enterprise_id", "factor", "lon", "lat"])
    arrays = {
        "value": [s.excess.value for s in scenes],
        "background": [s.excess.background for s in scenes],
        "excess": [s.standard.excess for s in scenes],
        "z": [s.z for s in scenes],
    }
    data: dict[str, Any] = {}
    for name, (unit, words) in SITE_VARIABLES.items():
        block = np.vstack(arrays[name]) if arrays[name] else np.empty((0, n), np.float32)
        data[name] = (("site", "hour"), block.astype(np.float32), {"units": unit, "long_name": words})
    for column in ("enterprise_id", "factor"):
        data[f"site_{column}"] = ("site", sites[column].fillna("").astype(str).to_numpy(dtype=object))
    for column in ("lon", "lat"):
        data[f"site_{column}"] = ("site", sites[column].to_numpy(dtype=float), {"units": "degree"})
    for column in ("clip_id", "enterprise_id", "label"):
        data[f"clip_{column}"] = ("clip", inputs.clips[column].astype(str).to_numpy(dtype=object))
    data["clip_start"] = ("clip", pd.to_datetime(inputs.clips["start"]).to_numpy("datetime64[ns]"))
    data |= judgements_of(found)
    coords = {
        "enterprise": np.asarray(ids, dtype=object),
        "hour": inputs.grid.hours.to_numpy(),
        "site": sites["point_id"].astype(str).to_numpy(dtype=object),
    }
    return state_units(xr.Dataset(data, coords=coords))


__all__ = ["Found", "build_features", "fence_excess"]
