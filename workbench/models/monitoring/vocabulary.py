"""Words of this model: systems it judges, factors and their names, and the named states of unusual input."""

from __future__ import annotations

from workbench.contracts import Words

MONITOR_SYSTEMS = ("cems", "wastewater", "ambient", "dust", "surface_water")
"""Systems whose values are judged."""
PROCESS_SYSTEMS = ("power", "condition")
"""Systems that serve as the second channel; their own values are judged by other models."""
FINEST, SAMPLED = 96, ("cems", "wastewater")
"""Samples per day from which on readings count as fine, and the systems whose fine readings are rehearsed."""
FLOW, OXYGEN, STACK_TEMPERATURE, PH = ("a00000", "w00000"), "a19001", "a01012", "w01001"
AUXILIARY = frozenset({"a00000", "w00000", "a19001", "a01012", "a01011", "a01013", "a01014", "w01001", "w01010", "w01014"})
"""Factors that carry no limit of their own: flow, oxygen, temperature, velocity, pressure, humidity, pH, conductivity."""
FACTOR_WORDS: dict[str, tuple[str, str]] = {
    "a21026": ("二氧化硫", "SO2"),
    "a21002": ("氮氧化物", "NOx"),
    "a34013": ("烟尘", "particulates"),
    "a24088": ("非甲烷总烃", "NMHC"),
    "a19001": ("氧含量", "O2"),
    "a00000": ("废气流量", "flue-gas flow"),
    "a01012": ("烟气温度", "flue-gas temperature"),
    "a34002": ("PM10", "PM10"),
    "a34004": ("PM2.5", "PM2.5"),
    "a21004": ("二氧化氮", "NO2"),
    "a21005": ("一氧化碳", "CO"),
    "a05024": ("臭氧", "O3"),
    "w01018": ("化学需氧量", "COD"),
    "w21003": ("氨氮", "NH3-N"),
    "w01001": ("pH值", "pH"),
    "w00000": ("废水流量", "wastewater flow"),
    "w21011": ("总磷", "total phosphorus"),
    "w01009": ("溶解氧", "dissolved oxygen"),
    "w01019": ("高锰酸盐指数", "permanganate index"),
}
MARK_WORDS: dict[int, tuple[str, str]] = {
    1: ("停运", "stopped"),
    2: ("维护", "maintenance"),
    3: ("手工设定", "set manually"),
    4: ("故障", "fault"),
    5: ("校准", "calibration"),
    6: ("超量程", "over range"),
    7: ("通讯异常", "communication error"),
    8: ("启动", "start-up"),
    9: ("停机", "shut-down"),
    10: ("其他", "other"),
}
NOTICES: dict[str, Words] = {
    "unknown_unit": Words(zh="单位无法识别，不予判定", en="the unit is not known, so the point is not judged"),
    "empty_range": Words(zh="量程上限不大于下限，不予判定", en="the measuring range ends where it begins, so the point is not judged"),
    "time_backwards": Words(zh="时间序列倒退或重复，整个数据集不予判定", en="times run backwards or repeat, so the cube is not judged"),
    "irregular_times": Words(zh="时间间隔不规则，整个数据集不予判定", en="the time step is not regular, so the cube is not judged"),
    "too_few_times": Words(zh="时间点不足两个", en="fewer than two times"),
    "nothing_in_period": Words(zh="评估时段内没有数据", en="nothing inside the period"),
    "no_cube": Words(zh="目录中没有这类监测数据，不予判定", en="the catalog holds no data of this kind, so the point is not judged"),
    "no_monitors": Words(zh="目录中没有监测点位，无可判定", en="the catalog holds no monitor, so there is nothing to judge"),
    "not_in_cube": Words(zh="点位已登记但没有数据序列", en="the point is registered but has no series"),
    "all_missing": Words(zh="全部缺失，无法判定", en="every value is missing, so the point cannot be judged"),
    "few_values": Words(zh="有效数据过少，无法判定", en="too few ordinary values to judge"),
    "impossible_values": Words(
        zh="含无穷大、不可能的巨值、设备的无效代码（9999、65535、−9999、32767等）或超出零点允差的负值，已剔除",
        en="infinite or impossibly large values, a device's codes for no value (9999, 65535, -9999, 32767 and alike), or values negative "
        "beyond the zero tolerance, were set aside",
    ),
    "marks_unchecked": Words(
        zh="流量、生产用电、烟温、氧含量中能区分运行与停运的不足两项，标记未能与工况核对",
        en="fewer than two of flow, production power, stack temperature and oxygen tell running from standing here, so the marks were "
        "not held against operation",
    ),
    "gas_unchecked": Words(
        zh="校准标记时段内没有数值，或本点位及同类点位的校准从未出现零气、标气阶跃，校准标记未能核对",
        en="no value arrives under the calibration marks, or calibrations here and at the peers never step to zero or span gas, so the "
        "calibration marks were not checked",
    ),
    "lost_marks_lower": Words(
        zh="目录中没有标记表，停运、启停和维护时段只能凭数据自带标记扣除，严重程度下调一级",
        en="the catalog holds no marks, so lawful hours are known from the values' own marks only and the severity is lowered by a step",
    ),
    "lost_marks_abstain": Words(
        zh="目录中没有标记表，该时段可能已合法标记为停运、启停或维护，不予判定",
        en="the catalog holds no marks, and a mark of standstill, start-up or service may cover this span, so it is not judged",
    ),
    "arrival_unknown": Words(
        zh="数据只记测量时刻，不记到达时刻，迟到与否无法判定",
        en="the store keeps when a value was measured and not when it arrived, so late arrival is not evaluable",
    ),
    "no_limit": Words(
        zh="没有许可限值，超标与限幅不予判定", en="no permitted limit, so exceedance and clipping at the limit are not judged"
    ),
}
"""Code of an unusual input -> what it is called and what follows from it."""


def may_be_negative(unit: str) -> bool:
    """Return whether values under zero are possible in a unit; concentrations and flows cannot be negative."""
    return not any(part in unit for part in ("g/", "m³/h", "m3/h", "L/s", "毫克", "微克"))


def factor_words(factor: str) -> tuple[str, str]:
    """Return the Chinese and English name of a factor; the code itself where it is not listed."""
    return FACTOR_WORDS.get(factor, (factor, factor))
