"""What ``workbench run`` shows: live steps with cells and elapsed time, then the closing table."""

from __future__ import annotations

from collections.abc import Sequence
from types import TracebackType

from rich import box
from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TaskID, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

from workbench.contracts import Metric, StepRecord, Verdict
from workbench.pipeline.iteration import Outcome
from workbench.pipeline.report.words import metric_words
from workbench.pipeline.step import read_table

_SAID = {"catalog": "目录检查 checking the catalog", "report": "生成报告 making the report"}
_STATUS = {"done": ("done", "green"), "skipped": ("unchanged", "dim"), "failed": ("failed", "red")}
MAIN_METRICS = ("precision", "silent_queue_precision", "false_alerts_removed")
"""Metrics shown in the closing table, without their budget; all of them are in the report."""


class LiveSteps:
    """Observer that draws one line per step; on a screen that cannot be redrawn, plain lines.

    Use as a context manager around ``run_iteration``.
    """

    def __init__(self, console: Console) -> None:
        self.console = console
        self.live = console.is_terminal
        self.progress = Progress(
            SpinnerColumn(finished_text="[green]✓[/]"),
            TextColumn("{task.description}"),
            BarColumn(bar_width=28),
            TextColumn("{task.fields[cells]}", style="dim"),
            TimeElapsedColumn(),
            console=console,
            disable=not self.live,
        )
        self.tasks: dict[str, TaskID] = {}

    def __enter__(self) -> LiveSteps:
        self.progress.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.progress.stop()

    def step_started(self, name: str, cells: int) -> None:
        """Open the line of a step."""
        self._finish_said()
        self.tasks[name] = self.progress.add_task(name, total=cells, cells=f"0/{cells} cells")
        if not self.live:
            self.console.print(f"{name} …")

    def step_advanced(self, name: str, done: int, cells: int) -> None:
        """Move the bar of a step."""
        self.progress.update(self.tasks[name], completed=done, cells=f"{done}/{cells} cells")

    def step_finished(self, record: StepRecord) -> None:
        """Close the line of a step."""
        word, _ = _STATUS[record.status]
        told = f"{word}  {record.wall_s:.1f} s  {record.peak_mib:.0f} MiB" if record.status == "done" else word
        if record.name not in self.tasks:
            self._finish_said()
            self.tasks[record.name] = self.progress.add_task(record.name, total=1, cells=told)
        task = self.tasks[record.name]
        total = next(t.total for t in self.progress.tasks if t.id == task)
        self.progress.update(task, completed=total if record.status != "failed" else None, cells=told)
        self.progress.stop_task(task)
        if not self.live:
            self.console.print(f"{record.name}: {told}")

    def said(self, text: str) -> None:
        """Show what goes on outside the steps."""
        self._finish_said()
        label = _SAID.get(text, text)
        self.tasks[f"said {text}"] = self.progress.add_task(label, total=None, cells="")
        if not self.live:
            self.console.print(label)

    def _finish_said(self) -> None:
        for key, task in self.tasks.items():
            if key.startswith("said "):
                self.progress.update(task, total=1, completed=1)


def closing_table(outcome: Outcome, console: Console) -> None:
    """Print warnings → leads, each step's time and memory, the main metrics, and where the report lies."""
    record = outcome.record
    findings, leads = (read_table(outcome.folder / f"{name}.parquet") for name in ("findings", "leads"))
    breaches = int((findings["verdict"] == Verdict.BREACH.value).sum())
    abstained = int((findings["verdict"] == Verdict.ABSTAIN.value).sum())
    silent = int((leads["queue"] == "silent").sum())
    if outcome.unchanged:
        console.print("[green]没有变化，各步骤全部沿用。[/] nothing changed, all steps skipped")
    table = Table(box=box.SIMPLE, title=Text(record.iteration_id, style="bold"), title_justify="left", pad_edge=False)
    for heading in ("step", "status", "time", "memory"):
        table.add_column(heading, justify="right" if heading in ("time", "memory") else "left")
    for s in record.steps:
        word, style = _STATUS[s.status]
        table.add_row(s.name, Text(word, style=style), f"{s.wall_s:.1f} s", f"{s.peak_mib:.0f} MiB" if s.peak_mib else "")
    console.print(table)
    console.print(
        f"预警 warnings [bold]{breaches:,}[/] → 线索 leads [bold]{len(leads):,}[/] (main {len(leads) - silent}, silent {silent})"
        f"   未能判定 abstained {abstained:,}"
    )
    for (against, method), rows in _by_method(main_metrics(outcome.metrics)).items():
        numbers = Table(
            box=None, pad_edge=False, show_header=False, title=f"对照 against {against}", title_justify="left", title_style="bold"
        )
        for justify in ("left", "right", "left", "right"):
            numbers.add_column(justify=justify)
        for m in rows:
            interval = "" if m.low is None or m.high is None else f"[{m.low:.2f}, {m.high:.2f}]"
            numbers.add_row("  " + " ".join(metric_words(m.name)), f"{m.value:.2f}", Text(interval), f"n={m.n}")
        console.print(numbers)
        console.print(Text(f"  {method}", style="dim"))
    for m in main_metrics(outcome.metrics):
        if m.value is None:
            console.print(Text(f"未评估 not evaluated: {m.name} against {m.against} ({m.note or 'no reason given'})", style="dim"))
    if outcome.warnings:
        console.print(f"[yellow]{len(outcome.warnings)} catalog warnings[/], listed in the report")
    console.print(f"report  [bold]{outcome.folder / 'index.html'}[/]", soft_wrap=True)
    console.print("[dim]线索是查看的理由，不是证据。A lead is a reason to look, not proof.[/]")


def main_metrics(metrics: Sequence[Metric]) -> list[Metric]:
    """Return the few metrics for the closing table."""
    return [m for m in metrics if m.name.split("@")[0] in MAIN_METRICS]


def _by_method(metrics: Sequence[Metric]) -> dict[tuple[str, str], list[Metric]]:
    groups: dict[tuple[str, str], list[Metric]] = {}
    for m in metrics:
        if m.value is not None:
            groups.setdefault((m.against, m.method), []).append(m)
    return groups
