"""Commands on iterations: run, tune, serve, runs, models, promote, schedule, audit, bench."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Annotated

import typer

from workbench.cli.shared import FAILURE, OK, Reports, err, examples, out

iterations = typer.Typer()
audit = typer.Typer(help="核验审计链。The hash-chained audit log.", no_args_is_help=True)


@iterations.command(
    epilog=examples(
        "workbench run",
        "workbench run reference --catalog my/catalog.yml --set seed=3 --set budgets=[20,70]",
        "workbench run --set 10_monitoring.overrides.constant_value.p_max=1e-9 --resume",
    )
)
def run(
    experiment: Annotated[str, typer.Argument(help="Name in experiments/, or an experiment file.")] = "reference",
    catalog: Annotated[str, typer.Option("--catalog", help="Catalog file or URL instead of the experiment's.")] = "",
    settings: Annotated[
        list[str] | None, typer.Option("--set", help="KEY=VALUE; KEY is a field or NOTEBOOK.PARAMETER. Repeatable.")
    ] = None,
    folder: Annotated[Path | None, typer.Option("--out", help="Reports folder (default: reports/ of the project).")] = None,
    scheduler: Annotated[str, typer.Option("--scheduler", help="Address of a Dask cluster, tcp://HOST:PORT.")] = "",
    resume: Annotated[bool, typer.Option("--resume", help="Skip steps whose inputs have not changed.")] = False,
    author: Annotated[str, typer.Option("--author", help="Who answers for this run (default: WORKBENCH_AUTHOR, else the user).")] = "",
) -> None:
    """执行一次完整迭代。Run one whole iteration: data checked, models, leads, metrics, report."""
    from workbench.contracts import limit_threads
    from workbench.pipeline.display import LiveSteps, closing_table
    from workbench.pipeline.generation import generate_if_needed
    from workbench.pipeline.iteration import run_iteration
    from workbench.pipeline.request import request

    limit_threads()
    wanted = request(experiment, catalog=catalog, settings=settings or [], out=folder, scheduler=scheduler, resume=resume, author=author)
    if (made := generate_if_needed(wanted.catalog, progress=True)) is not None:
        out.print(str(made), soft_wrap=True)
    with LiveSteps(out) as live:
        outcome = run_iteration(wanted, live)
    closing_table(outcome, out)


@iterations.command(
    epilog=examples(
        "workbench tune",
        "workbench tune backtest --trials 40 --catalog my/catalog.yml",
        "workbench tune backtest --trials 80        # goes on from the 40",
    )
)
def tune(
    experiment: Annotated[str, typer.Argument(help="Experiment with a `tuning` block.")] = "backtest",
    trials: Annotated[int, typer.Option("--trials", help="Trials of the study, those of earlier calls included.", min=1)] = 20,
    catalog: Annotated[str, typer.Option("--catalog", help="Catalog file or URL instead of the experiment's.")] = "",
    settings: Annotated[list[str] | None, typer.Option("--set", help="KEY=VALUE for every trial, as for run. Repeatable.")] = None,
    folder: Annotated[Path | None, typer.Option("--out", help="Reports folder (default: reports/ of the project).")] = None,
    scheduler: Annotated[str, typer.Option("--scheduler", help="Address of a Dask cluster, tcp://HOST:PORT.")] = "",
) -> None:
    """调参。Search an experiment's settings with Optuna, each trial a whole iteration judged on held-out decisions."""
    from workbench.contracts import limit_threads
    from workbench.pipeline.display_tuning import LiveTrials, closing_words
    from workbench.pipeline.generation import generate_if_needed
    from workbench.pipeline.request import request
    from workbench.pipeline.tuning import tune as tune_experiment

    limit_threads()
    wanted = request(experiment, catalog=catalog, settings=settings or [], out=folder, scheduler=scheduler)
    if (made := generate_if_needed(wanted.catalog, progress=True)) is not None:
        out.print(str(made), soft_wrap=True)
    with LiveTrials(out, trials) as live:
        study = tune_experiment(wanted, trials, live)
    typed = [f"--catalog {shlex.quote(catalog)}"] if catalog else []
    closing_words(study, out, [*typed, *(f"--set {shlex.quote(s)}" for s in settings or [])])


@iterations.command(
    epilog=examples(
        "workbench serve",
        "workbench serve --port 5007 --reports /data/reports",
    )
)
def serve(
    reports: Reports = Path("reports"),
    port: Annotated[int, typer.Option(help="Port.", min=1, max=65535)] = 5006,
    address: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    show: Annotated[bool, typer.Option("--show/--no-show", help="Open a browser.")] = False,
    catalog: Annotated[str, typer.Option("--catalog", help="Catalog to open instead of the one each report names.")] = "",
    users: Annotated[Path | None, typer.Option("--users", help="File of users; needed for any address but this machine's.")] = None,
    origins: Annotated[list[str] | None, typer.Option("--origin", help="Further HOST:PORT under which browsers reach it.")] = None,
) -> None:
    """打开界面。Serve the apps over the reports."""
    from workbench.apps import serve as serve_apps

    serve_apps(reports, port, address, show, catalog=catalog, users=users, origins=origins or [])


@iterations.command(
    epilog=examples(
        "workbench runs",
        "workbench runs --reports /data/reports",
    )
)
def runs(reports: Reports = Path("reports")) -> None:
    """列出各次迭代。List the iterations of a reports folder, newest first."""
    from rich.table import Table
    from rich.text import Text

    from workbench.governance import Registry
    from workbench.pipeline.report.view import headline

    registry = Registry(reports)
    found, set_aside = registry.runs()
    champion = registry.champion() if found else None
    table = Table(box=None, pad_edge=False)
    for heading in ("iteration", "finished", "author", "data"):
        table.add_column(heading, no_wrap=True)
    table.add_column("main metric")
    for r in found:
        name = f"[bold]{r.id}[/]" + (" ★" if champion and champion.id == r.id else "")
        shown = headline(r.metrics, r.record.params.get("budgets") or [70])[:1]
        words = "; ".join(f"{m.name} {m} ({m.against})" for m in shown) or "none"
        table.add_row(name, r.record.finished_at[:16].replace("T", " "), r.record.author, r.record.catalog, Text(words))
    out.print(table if found else f"no iteration in {reports}")
    for sentence in set_aside:
        err.print(f"[yellow]set aside[/] {sentence}")


@iterations.command(
    epilog=examples(
        "workbench models",
    )
)
def models() -> None:
    """列出模型卡。List the supervision models by their cards."""
    from workbench import models as registry

    for name, card in registry.available().items():
        out.print(f"[bold]{name}[/] {card.version}  {card.title.zh} {card.title.en}", highlight=False)
        out.print(f"  needs {', '.join(card.inputs)}; may use {', '.join(card.optional_inputs) or 'nothing more'}", highlight=False)
        out.print(f"  finds {', '.join(card.kinds)}; notebook {card.notebook}", highlight=False)


@iterations.command(
    epilog=examples(
        "workbench promote reference-1a2b3c4d",
        "workbench promote reference-1a2b3c4d --by '李四' --reason 'better at 70 leads, nothing worse'",
    )
)
def promote(
    iteration: Annotated[str, typer.Argument(help="Iteration to promote.")],
    person: Annotated[str, typer.Option("--by", help="Who signs; not the author of the run. Without it the gates are only shown.")] = "",
    reason: Annotated[str, typer.Option("--reason", help="Why.")] = "",
    reports: Reports = Path("reports"),
) -> None:
    """签发。Hold an iteration against its gates and, signed by a second person, make it the champion."""
    from workbench.pipeline.promotion import decide
    from workbench.pipeline.promotion import promote as promote_run

    decision = decide(reports, iteration)
    colours = {"passed": "green", "failed": "red", "not_evaluated": "yellow"}
    for r in decision.results:
        out.print(f"[{colours[r.status]}]{r.status:>13}[/]  {r.gate}: {r.reason}")
    if not decision.results:
        out.print("[yellow]no gate[/]: the experiment declares none, so nothing can be promoted")
    if person:
        signed = promote_run(reports, decision, person, reason)
        out.print(f"[green]promoted[/] {iteration}, signed by {signed.person} at {signed.signed_at}")
    elif not decision.promotable:
        raise typer.Exit(FAILURE)


@iterations.command(
    epilog=examples(
        "workbench schedule '0 6 * * mon'",
        "workbench schedule '30 2 * * *' reference --catalog my/catalog.yml",
        "workbench schedule '0 6 * * mon' --once",
    )
)
def schedule(
    cron: Annotated[str, typer.Argument(help="Five cron fields, Asia/Shanghai.")],
    experiment: Annotated[str, typer.Argument(help="Name in experiments/, or an experiment file.")] = "reference",
    catalog: Annotated[str, typer.Option("--catalog", help="Catalog file or URL instead of the experiment's.")] = "",
    settings: Annotated[list[str] | None, typer.Option("--set", help="KEY=VALUE, as for run. Repeatable.")] = None,
    folder: Annotated[Path | None, typer.Option("--out", help="Reports folder (default: reports/ of the project).")] = None,
    once: Annotated[bool, typer.Option("--once", help="Run now, tell, and end.")] = False,
) -> None:
    """按日历执行。Run an experiment by the calendar; tell the result by file and log, WORKBENCH_WEBHOOK, WORKBENCH_SMTP."""
    from workbench.pipeline.request import request
    from workbench.pipeline.schedule import run_and_tell, serve_schedule, trigger

    trigger(cron)
    wanted = request(experiment, catalog=catalog, settings=settings or [], out=folder)  # refuses now what would fail at night
    arguments = [str(wanted.file), "--resume", "--catalog", wanted.catalog, "--out", str(wanted.reports)]
    arguments += [part for setting in settings or [] for part in ("--set", setting)]
    if once:
        result = run_and_tell(arguments, wanted.reports)
        out.print("\n".join(result["closing"]), markup=False, highlight=False)
        raise typer.Exit(OK if result["ok"] else FAILURE)
    out.print(f"等待 waiting for {cron}; end with Ctrl-C")
    serve_schedule(cron, arguments, wanted.reports, lambda text: out.print(text, markup=False, highlight=False, soft_wrap=True))


@audit.command(
    "verify",
    epilog=examples(
        "workbench audit verify",
        "workbench audit verify --head 3f9a…",
    ),
)
def audit_verify(
    reports: Reports = Path("reports"),
    head: Annotated[str, typer.Option("--head", help="A hash noted elsewhere that the log must contain.")] = "",
) -> None:
    """核验审计链。Verify the audit log offline; a changed, removed or added line is named."""
    from workbench.pipeline.promotion import audit_log

    log = audit_log(reports)
    n = log.verify(head or None)
    last = log.events()[-1].hash if n else "-"
    out.print(f"[green]intact[/] {n} events; last hash {last}", soft_wrap=True, highlight=False)


@iterations.command(
    epilog=examples(
        "workbench bench --quick",
        "workbench bench monitoring",
    )
)
def bench(
    names: Annotated[list[str] | None, typer.Argument(help="Benchmarks (default: all).")] = None,
    quick: Annotated[bool, typer.Option("--quick", help="Smaller sizes; nothing is written.")] = False,
    minutes: Annotated[float, typer.Option("--minutes", help="A benchmark that takes longer is ended and named.", min=0.1)] = 20.0,
) -> None:
    """性能与规模。Run the benchmarks of a checkout, each result written to benchmarks/RESULTS.md as it comes."""
    from workbench.pipeline.bench import run_benchmarks

    def say(text: str) -> None:
        out.print(text, soft_wrap=True, highlight=False, markup=False)

    failed = run_benchmarks(names or [], quick=quick, say=say, limit_minutes=minutes)
    if failed:
        raise typer.Exit(FAILURE)
