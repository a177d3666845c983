"""HJ 212 telemetry (2005, 2017 and 2025): packets from files or connections into the cubes of a catalog."""

from workbench.catalog.hj212.codes import CodeTable, factor_codes
from workbench.catalog.hj212.devices import allowed_devices
from workbench.catalog.hj212.encode import encode_frame, encode_packet
from workbench.catalog.hj212.frame import Frame, Framer, iter_frames
from workbench.catalog.hj212.ingest import Ingestor, IngestReport, append_records, ingest_files
from workbench.catalog.hj212.listen import listen
from workbench.catalog.hj212.parse import Assembler, Packet, Reading, parse_packet
from workbench.catalog.hj212.quarantine import reasons
from workbench.catalog.hj212.records import records
from workbench.catalog.hj212.report import print_report
from workbench.catalog.hj212.store import Store

__all__ = [
    "Assembler",
    "CodeTable",
    "Frame",
    "Framer",
    "IngestReport",
    "Ingestor",
    "Packet",
    "Reading",
    "Store",
    "allowed_devices",
    "append_records",
    "encode_frame",
    "encode_packet",
    "factor_codes",
    "ingest_files",
    "iter_frames",
    "listen",
    "parse_packet",
    "print_report",
    "reasons",
    "records",
]
