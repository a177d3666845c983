"""The only shared vocabulary: schemas, results, records, units and errors. Imports nothing internal."""

from workbench.contracts.breaches import Breach
from workbench.contracts.compute import limit_threads, threads
from workbench.contracts.cubes import CUBES, REQUIRED_ENTRIES, check_cube, interval_s
from workbench.contracts.errors import (
    CatalogError,
    ContractBreach,
    EntryMissing,
    InsufficientData,
    IntegrityError,
    PacketError,
    ParameterError,
    PermissionDenied,
    RunError,
    WorkbenchError,
    nearest,
    unknown_name,
)
from workbench.contracts.evidence import NOT_INSTALLED, channel, check_evidence
from workbench.contracts.models import CatalogView, FittedModel, ModelCard, SupervisionModel
from workbench.contracts.params import RuleRow, Threshold, Words, load_rules
from workbench.contracts.periods import Period
from workbench.contracts.records import Metric, RunRecord, StepRecord
from workbench.contracts.results import result_frame, stable_id
from workbench.contracts.tables import RESULTS, TABLES, TRUTH, Column, Table, check_references, check_table, conform
from workbench.contracts.vocabulary import (
    KIND_WORDS,
    MARK_LETTERS,
    Kind,
    Mark,
    Outcome,
    Queue,
    Role,
    Ruling,
    Severity,
    System,
    Verdict,
)

__all__ = [
    "CUBES",
    "KIND_WORDS",
    "MARK_LETTERS",
    "NOT_INSTALLED",
    "REQUIRED_ENTRIES",
    "RESULTS",
    "TABLES",
    "TRUTH",
    "Breach",
    "CatalogError",
    "CatalogView",
    "Column",
    "ContractBreach",
    "EntryMissing",
    "FittedModel",
    "InsufficientData",
    "IntegrityError",
    "Kind",
    "Mark",
    "Metric",
    "ModelCard",
    "Outcome",
    "PacketError",
    "ParameterError",
    "Period",
    "PermissionDenied",
    "Queue",
    "Role",
    "RuleRow",
    "Ruling",
    "RunError",
    "RunRecord",
    "Severity",
    "StepRecord",
    "SupervisionModel",
    "System",
    "Table",
    "Threshold",
    "Verdict",
    "Words",
    "WorkbenchError",
    "channel",
    "check_cube",
    "check_evidence",
    "check_references",
    "check_table",
    "conform",
    "interval_s",
    "limit_threads",
    "load_rules",
    "nearest",
    "result_frame",
    "stable_id",
    "threads",
    "unknown_name",
]
