"""Units of measurement, read with pint; Chinese spellings and the field's own names included.

``UREG`` is the one registry. Nothing is converted silently: callers ask for a unit by name.
"""

from __future__ import annotations

from functools import cache

import pint

from workbench.contracts.errors import ParameterError

_SPELLINGS = {
    "毫克/升": "mg/L",
    "毫克/立方米": "mg/m^3",
    "微克/立方米": "ug/m^3",
    "毫克/标立方米": "mg/m^3",
    "立方米/小时": "m^3/h",
    "升/秒": "L/s",
    "立方米/秒": "m^3/s",
    "摄氏度": "degC",
    "℃": "degC",
    "°C": "degC",
    "千克": "kg",
    "吨": "t",
    "千瓦": "kW",
    "千瓦时": "kWh",
    "帕": "Pa",
    "千帕": "kPa",
    "百帕": "hPa",
    "兆帕": "MPa",
    "米/秒": "m/s",
    "毫米": "mm",
    "%": "percent",
    "百分比": "percent",
    "%vol": "percent",
    "% vol": "percent",
    "无量纲": "1",
    "pH": "1",
    "": "1",
    "个/升": "1/L",
    "微西[门子]/厘米": "uS/cm",
    "kWh": "kW*h",
    "m/s2": "m/s^2",
    "度": "deg",
    "伏": "V",
    "安": "A",
    "赫兹": "Hz",
    "米": "m",
}


@cache
def registry() -> pint.UnitRegistry[float]:
    """Return the unit registry (built on first use)."""
    units: pint.UnitRegistry[float] = pint.UnitRegistry(autoconvert_offset_to_baseunit=True)
    units.define("nephelometric_turbidity_unit = [turbidity] = NTU")  # of no other dimension, so never converted
    return units


@cache
def known_unit(text: str) -> str | None:
    """Return the canonical pint spelling of a unit, or None where it is not a unit."""
    spelled = _SPELLINGS.get(text.strip(), text.strip()).replace("³", "^3").replace("²", "^2").replace("µ", "u").replace("μ", "u")
    try:
        return str(registry().parse_units(spelled)) if spelled != "1" else "dimensionless"
    except (pint.errors.PintError, AttributeError, TypeError, ValueError, AssertionError):
        return None


@cache
def factor_between(source: str, target: str) -> float:
    """Return the factor that turns ``source`` into ``target`` (linear units only).

    Raises
    ------
    ParameterError
        If a unit is not known, or the two measure different things.
    """
    a, b = known_unit(source), known_unit(target)
    if a is None or b is None:
        raise ParameterError("not a known unit", got=source if a is None else target, allowed="a unit such as mg/m³, mg/L, m³/h, kW, t, %")
    try:
        return float(registry().Quantity(1.0, a).to(b).magnitude)
    except pint.errors.PintError as error:
        raise ParameterError("units do not measure the same thing", got=f"{source} → {target}") from error
