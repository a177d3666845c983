"""The closed word lists of the catalog contract and of results.

The values are what is written in files; the names are what code uses.
"""

from __future__ import annotations

from enum import IntEnum, StrEnum


class System(StrEnum):
    """Sensing system of a point."""

    CEMS = "cems"
    WASTEWATER = "wastewater"
    POWER = "power"
    CONDITION = "condition"
    AMBIENT = "ambient"
    DUST = "dust"
    SURFACE_WATER = "surface_water"
    VIDEO = "video"


class Role(StrEnum):
    """What a power or condition point measures."""

    PRODUCTION = "production"
    TREATMENT = "treatment"
    TOTAL = "total"
    STANDBY = "standby"


class Mark(IntEnum):
    """Data mark of one value (HJ 212-2017, table of data marks)."""

    NORMAL = 0
    STOPPED = 1
    MAINTENANCE = 2
    SET_MANUALLY = 3
    FAULT = 4
    CALIBRATION = 5
    OVER_RANGE = 6
    COMM_ERROR = 7
    NONE = 255


MARK_LETTERS: dict[str, Mark] = {
    "N": Mark.NORMAL,
    "F": Mark.STOPPED,
    "M": Mark.MAINTENANCE,
    "S": Mark.SET_MANUALLY,
    "D": Mark.FAULT,
    "C": Mark.CALIBRATION,
    "T": Mark.OVER_RANGE,
    "B": Mark.COMM_ERROR,
}


class Verdict(StrEnum):
    """Three-valued result of a model; ``abstain`` never counts as compliant."""

    BREACH = "breach"
    COMPLIANT = "compliant"
    ABSTAIN = "abstain"


class Ruling(StrEnum):
    """Three-valued result of one rule or detector; ``not evaluable`` never counts as compliant."""

    VIOLATED = "violated"
    COMPLIANT = "compliant"
    NOT_EVALUABLE = "not evaluable"


class Outcome(StrEnum):
    """What a breach most likely is: an instrument fault, a true exceedance, or falsified data."""

    FAULT = "fault"
    EXCEEDANCE = "exceedance"
    FABRICATION = "fabrication"
    OTHER = "other"


class Kind(StrEnum):
    """Offence kinds, shared by findings, leads, inspections and cases."""

    FABRICATION = "fabrication"
    EXCEEDANCE = "exceedance"
    TREATMENT_OFF = "treatment_off"
    PERMIT_BREACH = "permit_breach"
    FALSE_REPORT = "false_report"
    CARBON_OVERDUE = "carbon_overdue"
    FUGITIVE = "fugitive"


KIND_WORDS: dict[Kind, tuple[str, str]] = {
    Kind.FABRICATION: ("监测数据弄虚作假", "falsified monitoring data"),
    Kind.EXCEEDANCE: ("超标排放", "emission over the limit"),
    Kind.TREATMENT_OFF: ("治污设施不正常运行", "treatment off or idling while producing"),
    Kind.PERMIT_BREACH: ("违反排污许可", "breach of the discharge permit"),
    Kind.FALSE_REPORT: ("虚假申报", "false report or declaration"),
    Kind.CARBON_OVERDUE: ("活性炭超期未更换", "activated carbon overdue"),
    Kind.FUGITIVE: ("无组织排放", "fugitive emission"),
}
"""Chinese and English words of each kind, for what reviewers see."""


class Severity(StrEnum):
    """How much a rule matters by itself."""

    LOW = "low"
    MEDIUM = "medium"
    HIGH = "high"


class Queue(StrEnum):
    """Review queue of a lead: ``main`` by posterior, ``silent`` where every single model stayed silent."""

    MAIN = "main"
    SILENT = "silent"


def values(words: type[StrEnum]) -> list[str]:
    """Return the written values of a word list."""
    return [w.value for w in words]
