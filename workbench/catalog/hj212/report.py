"""The closing table of an ingest: what was accepted, and what was set aside by reason."""

from __future__ import annotations

from rich.console import Console
from rich.table import Table

from workbench.catalog.hj212.codes import protocol_words
from workbench.catalog.hj212.ingest import IngestReport, reason_words


def print_report(report: IngestReport, console: Console | None = None) -> None:
    """Print the closing tables of an ingest to ``console`` (standard output by default)."""
    out = console or Console()
    out.print(accepted_table(report))
    if report.frames_aside or report.fields_aside:
        out.print(set_aside_table(report))
    for (reason, mn), n in sorted(report.crc_devices.items()):
        zh, en = reason_words(reason)
        out.print(f"[bold]{mn or '?'}[/bold] ({n:,}): {en} · {zh}")
    for line in notes(report):
        out.print(line)


def accepted_table(report: IngestReport) -> Table:
    """Return the table of what was read and stored."""
    table = Table(title=f"HJ 212 → {report.into}")
    table.add_column("accepted · 接收")
    table.add_column("count", justify="right")
    stored = report.stored
    table.add_row("packets with data · 数据包", f"{report.packets:,}")
    for cn, n in sorted(report.no_data.items()):
        words = protocol_words().commands[cn]
        table.add_row(f"packets without data to store · 无数据: {cn} {words['en']} · {words['zh']}", f"{n:,}")
    table.add_row("values read · 读出数值", f"{report.readings:,}", end_section=True)
    table.add_row("new in the store · 新增", f"{stored.new:,}")
    table.add_row("there already · 已存在", f"{stored.same:,}")
    table.add_row("in conflict, newly noted · 冲突", f"{stored.conflicts:,}", end_section=True)
    for name, n in sorted(stored.cubes.items()):
        table.add_row(f"new in {name}", f"{n:,}")
    table.add_row("new points · 新增测点", f"{stored.new_points:,}")
    return table


def set_aside_table(report: IngestReport) -> Table:
    """Return the table of what was set aside, by reason."""
    table = Table(title="set aside · 搁置")
    table.add_column("code", no_wrap=True)
    table.add_column("reason · 原因", ratio=1)
    table.add_column("packets", justify="right")
    table.add_column("fields", justify="right")
    for code in sorted(report.frames_aside.keys() | report.fields_aside.keys()):
        zh, en = reason_words(code)
        packets, fields = report.frames_aside[code], report.fields_aside[code]
        table.add_row(code, f"{en} · {zh}", f"{packets:,}" if packets else "", f"{fields:,}" if fields else "")
    return table


def notes(report: IngestReport) -> list[str]:
    """Return what the reader should know besides the counts."""
    lines = []
    side = sorted(n for n in report.stored.cubes if not n.startswith("obs_"))
    if side:
        lines.append(f"side cubes, not entries of the catalog: {', '.join(side)}")
    if report.frames_aside or report.fields_aside:
        lines.append(f"each one with its bytes: {report.into / 'quarantine'}")
    if report.stored.conflicts:
        lines.append(f"values that met another value (the first stays): {report.into / 'conflicts'}")
    if report.partial_messages:
        lines.append(f"{report.partial_messages:,} messages lacked sub-packets; the parts that came were used")
    if report.stored.new_points:
        lines.append("new points belong to no enterprise yet: give a mapping table (--map), or fill in points.parquet")
    rate = report.readings / report.seconds if report.seconds else 0.0
    lines.append(f"{report.files:,} files, {report.size / 1e6:,.1f} MB in {report.seconds:.1f} s ({rate:,.0f} values/s)")
    return lines
