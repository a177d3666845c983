"""Who is in the district: enterprises, their outlets, permits' limits, and measuring points.

Everything here is drawn once per enterprise from its own stream; nothing depends on behaviour, so a dishonest
enterprise looks on paper like any other.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from workbench.district.climate import World
from workbench.district.noise import stream
from workbench.district.settings import document, draw, number

PLACE = ("渝东", "江城", "宏远", "鑫盛", "华峰", "金水", "恒达", "瑞丰", "川江", "永兴", "嘉陵", "博源", "天和", "盛泰", "长平", "顺科")
CENTRE = (106.50, 29.55)
CONDITIONS = {"pressure_drop": ("Pa", 3000.0, 1.0), "process_temperature": ("℃", 1200.0, 0.1), "dissolved_oxygen": ("mg/L", 20.0, 0.01)}
"""Unit, end of the range and resolution of a treatment's sensors."""


@dataclass(frozen=True)
class Point:
    """One measuring point; ``channel`` tells the simulation what feeds it."""

    point_id: str
    system: str
    channel: str
    outlet_id: str = ""
    factor: str = ""
    role: str = ""
    unit: str = ""
    low: float = 0.0
    high: float = float("nan")
    resolution: float = float("nan")


@dataclass
class Outlet:
    """One outlet with the process behind it; ``levels`` is the usual reference concentration by factor."""

    outlet_id: str
    code: str
    medium: str
    kind: str
    lon: float
    lat: float
    o2_ref: float = float("nan")
    receiving: str = ""
    stream: str = ""
    flow: float = 0.0
    monitored: bool = False
    levels: dict[str, float] = field(default_factory=dict)

    @property
    def spec(self) -> dict[str, Any]:
        """Return its row of ``streams.yml``."""
        row: dict[str, Any] = document("streams")[self.medium][self.stream]
        return row

    @property
    def factors(self) -> dict[str, dict[str, float]]:
        """Return the factors of its stream."""
        rows: dict[str, dict[str, float]] = self.spec["factors"]
        return rows


@dataclass
class Site:
    """One enterprise with all that belongs to it."""

    index: int
    enterprise_id: str
    name: str
    industry: str
    street: str
    lon: float
    lat: float
    key_polluter: bool
    permit_class: str
    legal_person_id: str
    operator: str
    size: float
    power: bool
    invoices: bool
    condition: bool
    variable_speed: bool
    camera: str
    traits: dict[str, float]
    air: Outlet | None = None
    water: Outlet | None = None
    yard: Outlet | None = None
    storm: Outlet | None = None
    carbon_kg: float = 0.0
    carbon_flow: float = 0.0
    points: list[Point] = field(default_factory=list)

    @property
    def spec(self) -> dict[str, Any]:
        """Return its row of ``industries.yml``."""
        row: dict[str, Any] = document("industries")[self.industry]
        return row

    @property
    def outlets(self) -> list[Outlet]:
        """Return the outlets that exist."""
        return [o for o in (self.air, self.water, self.yard, self.storm) if o is not None]

    @property
    def permit_id(self) -> str:
        """Return the permit's identifier."""
        return f"P{self.enterprise_id[1:]}"

    @property
    def production_kw(self) -> float:
        """Production power at full load, kW."""
        return float(self.spec["kw"]) * self.size

    @property
    def treatment_kw(self) -> float:
        """Treatment power at full load, kW."""
        return self.production_kw * float(self.spec["treat"])


def populate(world: World) -> list[Site]:
    """Return the enterprises of a district."""
    codes = list(document("industries"))
    weights = np.array([document("industries")[c]["weight"] for c in codes], float)
    rng = stream(world.seed, "population")
    n = world.scale.enterprises
    # a full deck by weight first, so that even a tiny district has every industry it can
    deck = [c for c, w in zip(codes, weights / weights.sum(), strict=True) for _ in range(round(float(w) * n))]
    deck += [str(c) for c in rng.choice(codes, max(0, n - len(deck)), p=weights / weights.sum())]
    order = rng.permutation(len(deck))[:n]
    sites = [_site(world, i, deck[int(j)]) for i, j in enumerate(order)]
    return _fitting(sites, world) if world.scale.points else sites


def _fitting(sites: list[Site], world: World) -> list[Site]:
    """Return the first enterprises whose points leave room for the public stations in the wanted total."""
    room = world.scale.points - 4 * (world.scale.ambient + world.scale.surface_water)
    total = np.cumsum([sum(p.system != "video" for p in s.points) for s in sites])
    return sites[: int(np.searchsorted(total, room, side="right"))]


def _site(world: World, i: int, industry: str) -> Site:
    rng = stream(world.seed, "site", i)
    row = document("industries")[industry]
    zone = int(rng.integers(len(world.zones)))
    angle = 2 * np.pi * zone / len(world.zones)
    lon = CENTRE[0] + 0.11 * np.cos(angle) + rng.normal(0, 0.018)
    lat = CENTRE[1] + 0.09 * np.sin(angle) + rng.normal(0, 0.015)
    size = float(np.exp(rng.normal(-0.15, 0.5)))
    key = bool(rng.random() < (0.85 if row["air"] not in (None, "solvent", "gas_boiler") or row["water"] else 0.25))
    vendors = document("world")["vendors"]
    suffix = row["suffix"]
    name = f"{PLACE[int(rng.integers(len(PLACE)))]}{row['words'][int(rng.integers(len(row['words'])))]}{suffix}"
    site = Site(
        index=i,
        enterprise_id=f"E{i + 1:04d}",
        name=f"{name[: -len(suffix)]}{'一二三四五六七八九'[i % 9]}号{suffix}"
        if suffix == "项目部"
        else f"{name}（{world.zones[zone][:2]}）",
        industry=industry,
        street=world.zones[zone],
        lon=round(float(lon), 5),
        lat=round(float(lat), 5),
        key_polluter=key,
        permit_class="key" if key else ("registered" if row["air"] is None and row["water"] is None else "simplified"),
        legal_person_id=f"L{i + 1:04d}" if rng.random() > 0.08 or i == 0 else f"L{int(rng.integers(1, i + 1)):04d}",
        operator=str(vendors[int(rng.integers(len(vendors)))]),
        size=size,
        power=bool(rng.random() < number("observation.power_share")),
        invoices=bool(rng.random() < number("observation.invoice_share")),
        condition=bool(rng.random() < number("observation.condition_share")),
        variable_speed=bool(rng.random() < number("power.variable_speed_share")),
        camera="",
        traits={"tight": float(rng.random() < number("emission.tight_share")), "frailty": float(rng.normal())},
    )
    _outlets(site, rng)
    _points(site, rng)
    if not any(p.system in ("cems", "wastewater") for p in site.points):
        site.operator = ""
    return site


def _outlets(site: Site, rng: np.random.Generator) -> None:
    row, e = site.spec, site.enterprise_id[1:]

    def place(code: str, medium: str, kind: str) -> Outlet:
        lon, lat = site.lon + rng.normal(0, 0.0012), site.lat + rng.normal(0, 0.0012)
        return Outlet(f"O{e}-{code}", code, medium, kind, round(float(lon), 5), round(float(lat), 5))

    for medium, code, kind in (("air", "DA001", "stack"), ("water", "DW001", "wastewater")):
        name = row[medium]
        if name is None:
            continue
        o = place(code, medium, kind)
        spec = document("streams")[medium][name]
        share = number(f"observation.{medium}_monitor_share") * (0.55 if name == "solvent" else 1.0)
        o.stream, o.flow = name, float(spec["flow_m3_h"]) * site.size
        o.monitored = bool(rng.random() < share)
        if medium == "air":
            o.o2_ref = float("nan") if spec["o2_ref"] is None else float(spec["o2_ref"])
            site.air = o
        else:
            o.receiving = spec["receiving"]
            site.water = o
        headroom = "emission.tight_headroom" if site.traits["tight"] else "emission.headroom"
        o.levels = {f: float(s["limit"]) * draw(rng, headroom) for f, s in spec["factors"].items()}
        if rng.random() < number("oddities.floor_share"):  # one factor of a clean process sits at the detection limit
            f = sorted(o.levels)[int(rng.integers(len(o.levels)))]
            o.levels[f] = float(spec["factors"][f]["floor"]) * float(rng.uniform(0.7, 1.5))
    if row["dust"]:
        site.yard = place("MF001", "air", "fugitive")
    if site.water is not None and rng.random() < 0.4:
        site.storm = place("YS001", "water", "stormwater")
        site.storm.receiving = "双河"
    if row["carbon"] and site.air is not None:
        site.carbon_flow = site.air.flow
        # sized so that the carbon lasts two to six weeks at the design inlet
        inlet = float(site.air.spec["factors"]["a24088"]["limit"]) * 1.6
        days = float(rng.uniform(14, 45))
        hours = {"day": 9, "two": 16, "night": 11, "continuous": 23}[row["shift"]]
        site.carbon_kg = round(inlet * 1e-6 * site.carbon_flow * hours * days / number("treatment.carbon_capacity_share"), -1) + 50.0


def _points(site: Site, rng: np.random.Generator) -> None:
    units = document("streams")["factors"]

    def add(system: str, channel: str, **kw: Any) -> None:
        site.points.append(Point(f"{site.enterprise_id}-{len(site.points) + 1:02d}", system, channel, **kw))

    def sense(factor: str, outlet_id: str) -> None:
        unit, high, resolution = CONDITIONS[factor]
        add("condition", factor, outlet_id=outlet_id, factor=factor, role="treatment", unit=unit, high=high, resolution=resolution)

    small_range = rng.random() < number("oddities.saturation_share")
    if site.air is not None and site.air.monitored:
        o = site.air
        for f, s in o.factors.items():
            high = s["limit"] * 1.6 if small_range else s["range"]
            add("cems", f, outlet_id=o.outlet_id, factor=f, unit=units[f]["unit"], high=float(round(high, 1)), resolution=s["resolution"])
        if np.isfinite(o.o2_ref):
            add("cems", "a19001", outlet_id=o.outlet_id, factor="a19001", unit="%", high=25.0, resolution=0.01)
        add("cems", "a00000", outlet_id=o.outlet_id, factor="a00000", unit="m³/h", high=float(round(o.flow * 2, -2)), resolution=1.0)
        if rng.random() < 0.6:
            add("cems", "a01012", outlet_id=o.outlet_id, factor="a01012", unit="℃", high=300.0, resolution=0.1)
    if site.water is not None and site.water.monitored:
        o = site.water
        for f, s in o.factors.items():
            add("wastewater", f, outlet_id=o.outlet_id, factor=f, unit=units[f]["unit"], high=float(s["range"]), resolution=s["resolution"])
        if rng.random() < 0.75:
            add("wastewater", "w01001", outlet_id=o.outlet_id, factor="w01001", high=14.0, resolution=0.01, unit="1")
        high = float(round(o.flow * 3, 0)) + 1
        add("wastewater", "w00000", outlet_id=o.outlet_id, factor="w00000", unit="m³/h", high=high, resolution=0.1)
    if site.power:
        treated = site.air is not None or site.water is not None
        roles = ["production"] + (["treatment"] if treated or site.yard is not None else [])
        roles += ["total"] * (rng.random() < 0.3) + ["standby"] * (rng.random() < 0.12)
        for role in roles:
            high = round(site.production_kw * (3.0 if role == "total" else 2.0) + 5, 0)
            add("power", role, factor="power", role=role, unit="kW", high=float(high), resolution=number("power.resolution_kw"))
    if site.condition and site.air is not None:
        sense("pressure_drop" if site.air.stream == "solvent" or rng.random() < 0.6 else "process_temperature", site.air.outlet_id)
    if site.condition and site.water is not None:
        sense("dissolved_oxygen", site.water.outlet_id)
    if site.yard is not None:
        add("dust", "a34002", outlet_id=site.yard.outlet_id, factor="a34002", unit="µg/m³", high=2000.0, resolution=1.0)
        if rng.random() < 0.35:
            add("dust", "a34004", outlet_id=site.yard.outlet_id, factor="a34004", unit="µg/m³", high=1000.0, resolution=1.0)
    burns = site.air is not None and site.air.stream != "solvent"
    watches = "stack" if burns and (site.yard is None or rng.random() < 0.6) else ("yard" if site.yard is not None else "")
    if watches and rng.random() < number("observation.camera_share"):
        site.camera = watches
        outlet = site.yard if watches == "yard" else site.air
        add("video", "video", outlet_id=outlet.outlet_id if outlet else "")
