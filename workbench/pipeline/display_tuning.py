"""What ``workbench tune`` shows: one bar over the trials, a line per trial, then what the study says."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Any

from rich import box
from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

from workbench.contracts import StepRecord
from workbench.pipeline.steps import Silent
from workbench.pipeline.tuning import Study, Trial


class LiveTrials(Silent):
    """Observer that draws one bar over the whole study and prints each trial as it ends.

    Use as a context manager around :func:`workbench.pipeline.tuning.tune`.

    Parameters
    ----------
    trials : int
        Trials of the study, the values as stated not counted.
    """

    def __init__(self, console: Console, trials: int) -> None:
        self.console = console
        self.progress = Progress(
            SpinnerColumn(),
            TextColumn("{task.description}"),
            BarColumn(bar_width=28),
            TextColumn("{task.completed}/{task.total}"),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            console=console,
            disable=not console.is_terminal,
        )
        self.task = self.progress.add_task("调参 tuning", total=trials + 1)

    def __enter__(self) -> LiveTrials:
        self.progress.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.progress.stop()

    def trial_started(self, number: int, settings: Mapping[str, Any]) -> None:
        """Say which trial runs; trials of an earlier call are counted as done."""
        self.progress.update(self.task, completed=number, description=_name(number))

    def step_started(self, name: str, cells: int) -> None:
        """Show the step within the trial."""
        self.progress.update(self.task, description=f"{self.progress.tasks[0].description.split(' · ')[0]} · {name}")

    def step_finished(self, record: StepRecord) -> None:
        """Do nothing: the next step speaks for itself."""

    def trial_finished(self, trial: Trial) -> None:
        """Print the trial's figure or why it has none."""
        self.progress.update(self.task, completed=trial.number + 1)
        figure = Text(str(trial.metric)) if trial.metric else Text(f"搁置 set aside: {trial.reason}", style="yellow")
        self.console.print(Text(f"{_name(trial.number):<18} "), figure, Text(words_of(trial.settings), style="dim"), soft_wrap=True)


def words_of(settings: Mapping[str, Any]) -> str:
    """Return settings as they are typed after ``--set``."""
    return " ".join(f"{name}={value}" for name, value in settings.items())


def closing_words(study: Study, console: Console, typed: Sequence[str] = ()) -> None:
    """Print the best trials beside the stated values, what the difference is worth, and the command that runs the best.

    Parameters
    ----------
    typed : sequence of str
        Further options of that command, as they were given to ``tune``.
    """
    objective = study.tuning.objective
    table = Table(box=box.SIMPLE, title=f"{objective.metric}, {objective.direction} (against {objective.against})", title_justify="left")
    for heading in ("trial", "value", "interval", "n", "iteration"):
        table.add_column(heading)
    sign = -1 if objective.direction == "maximize" else 1
    measured = [t for t in study.trials if t.metric is not None]
    ranked = sorted(measured, key=lambda t: (sign * t.value, t.number))[:5]
    for t in [study.stated, *[r for r in ranked if r.number]]:
        if t.metric is None:
            continue
        interval = "" if t.metric.low is None or t.metric.high is None else f"[{t.metric.low:.3f}, {t.metric.high:.3f}]"
        table.add_row(_name(t.number), f"{t.value:.4f}", Text(interval), str(t.metric.n), t.iteration)
    console.print(table)
    aside = sum(t.metric is None for t in study.trials)
    if aside:
        console.print(f"[yellow]{aside} 次试验搁置 trials set aside[/]; their reasons stand above")
    if study.best.number == 0:
        console.print("没有一次优于现行数值。No trial is better than the values as stated.")
    elif study.told_apart:
        console.print("最优试验超出现行数值的区间。The best trial lies outside the interval of the stated values.")
    else:
        console.print(
            "最优试验仍在现行数值的区间内：差别尚不能与偶然区分。The best lies inside the interval of the stated values: no evidence yet."
        )
    console.print(
        f"[dim]最优值由 {len(measured)} 次中选出，偏乐观；请用此后的决定复核。"
        f"The best of {len(measured)} is optimistic by choice: confirm it on decisions made later.[/]"
    )
    if study.best.number:
        options = [*typed, *(f"--set {shlex.quote(f'{name}={value}')}" for name, value in study.best.settings.items())]
        console.print(
            f"再运行 run it: workbench run {study.experiment.name} {' '.join(options)}", soft_wrap=True, markup=False, highlight=False
        )
    console.print(f"study  [bold]{study.folder}[/]", soft_wrap=True)


def _name(number: int) -> str:
    return f"试验 trial {number}" if number else "现行 as stated"
