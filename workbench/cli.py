"""The command line: ``workbench``. Every command imports what it needs when it runs, so that help is quick."""

from __future__ import annotations

import sys
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

if TYPE_CHECKING:
    from workbench.contracts import WorkbenchError


OK, FAILURE, USAGE = 0, 1, 2
"""Exit codes: all well; the work failed or breaches were found; the command was not understood."""


def _examples(*lines: str) -> str:
    """Return an epilog with one example a line."""
    return "\n\n".join(["例 examples", *(f"  {line}" for line in lines)])


app = typer.Typer(
    name="workbench",
    help="监管科学工作台 · Research and model-governance workbench for environmental regulators.",
    epilog="A lead is a reason to look, not proof. 线索是查看的理由，不是证据。",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
)
ingest = typer.Typer(help="把报文读入库。Read telemetry into a store.", no_args_is_help=True)
listen = typer.Typer(help="接收联网报文。Listen for telemetry.", no_args_is_help=True)
audit = typer.Typer(help="核验审计链。The hash-chained audit log.", no_args_is_help=True)
app.add_typer(ingest, name="ingest")
app.add_typer(listen, name="listen")
app.add_typer(audit, name="audit")

out, err = Console(), Console(stderr=True)
Reports = Annotated[Path, typer.Option("--reports", help="Folder that holds the iterations.", envvar="WORKBENCH_REPORTS")]


class Scale(StrEnum):
    """Size of a simulated district."""

    TINY = "tiny"
    SMALL = "small"
    FULL = "full"


def _version(wanted: bool) -> None:
    if wanted:
        from workbench.pipeline.fingerprints import code_version

        out.print(code_version(), highlight=False)
        raise typer.Exit(OK)


@app.callback()
def _common(
    debug: Annotated[bool, typer.Option("--debug", help="Print the traceback of an error.")] = False,
    version: Annotated[
        bool, typer.Option("--version", help="Print version, commit and source hash.", callback=_version, is_eager=True)
    ] = False,
) -> None:
    pass


@app.command(
    epilog=_examples(
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
        out.print(f"模拟区已生成 simulated district: {made}", soft_wrap=True)
    with LiveSteps(out) as live:
        outcome = run_iteration(wanted, live)
    closing_table(outcome, out)


@app.command(
    epilog=_examples(
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


@app.command(
    epilog=_examples("workbench generate --scale small --seed 7 districts/small", "workbench generate --scale full --seed 1 districts/full")
)
def generate(
    folder: Annotated[Path, typer.Argument(metavar="OUT", help="Folder to write; a district already there is replaced.")],
    scale: Annotated[Scale, typer.Option(help="Size.")] = Scale.SMALL,
    seed: Annotated[int, typer.Option(help="Seed.", min=0)] = 0,
    residuals: Annotated[Path | None, typer.Option(help="Folder of real series to draw noise from (default: parametric).")] = None,
) -> None:
    """生成模拟区。Write a simulated district as a catalog, with its hidden truth beside it."""
    from workbench.district import generate as generate_district

    file = generate_district(folder, scale=scale.value, seed=seed, progress=True, residuals=residuals)
    out.print(f"catalog  [bold]{file}[/]", soft_wrap=True)


@app.command(
    epilog=_examples(
        "workbench check catalogs/reference.yml",
    )
)
def check(catalog: Annotated[str, typer.Argument(help="Catalog file or URL.")]) -> None:
    """检查目录。Check a catalog against its contract and print every breach at once."""
    from rich.table import Table

    from workbench.catalog import open_catalog
    from workbench.pipeline.generation import generate_if_needed

    generate_if_needed(catalog, progress=True)
    breaches = list(open_catalog(catalog).check())
    errors = sum(b.level == "error" for b in breaches)
    if breaches:
        table = Table("level", "entry", "column", "rows", "expected", "first offending", box=None, pad_edge=False)
        for b in sorted(breaches, key=lambda b: (b.level != "error", b.entry, b.column)):
            level = "[red]error[/]" if b.level == "error" else "[yellow]warning[/]"
            table.add_row(level, b.entry, b.column, f"{b.rows:,}" if b.rows else "", b.expected, "; ".join(b.examples))
        out.print(table)
    out.print(f"{errors} errors, {len(breaches) - errors} warnings" if breaches else "[green]no breach[/] 未发现问题")
    if errors:
        raise typer.Exit(FAILURE)


@ingest.command(
    "hj212",
    epilog=_examples(
        "workbench ingest hj212 packets.txt --into store",
        "workbench ingest hj212 *.txt --into store --map points.csv",
    ),
)
def ingest_hj212(
    files: Annotated[list[Path], typer.Argument(help="Files of packets.", exists=True, dir_okay=False)],
    into: Annotated[Path, typer.Option("--into", help="Store to append to; created when absent.")],
    mapping: Annotated[
        Path | None, typer.Option("--map", help="CSV that maps MN and factor to point_id.", exists=True, dir_okay=False)
    ] = None,
) -> None:
    """读入 HJ 212 报文。Append HJ 212 packets (2005, 2017, 2025) to a store; what cannot be read is set aside with its reason."""
    from workbench.catalog.hj212 import ingest_files, print_report

    print_report(ingest_files(files, into, mapping=mapping), out)


@listen.command(
    "hj212",
    epilog=_examples(
        "workbench listen hj212 --port 9212 --into store",
    ),
)
def listen_hj212(
    into: Annotated[Path, typer.Option("--into", help="Store to append to; created when absent.")],
    port: Annotated[int, typer.Option(help="TCP port.", min=1, max=65535)] = 9212,
    address: Annotated[str, typer.Option(help="Address to listen on.")] = "0.0.0.0",  # noqa: S104 - data loggers call in from outside
    mapping: Annotated[
        Path | None, typer.Option("--map", help="CSV that maps MN and factor to point_id.", exists=True, dir_okay=False)
    ] = None,
) -> None:
    """接收 HJ 212 报文。Listen for HJ 212 packets until interrupted, and append them to a store."""
    from workbench.catalog.hj212 import listen as listen_on
    from workbench.catalog.hj212 import print_report

    out.print(f"监听 listening on {address}:{port}; end with Ctrl-C")
    print_report(listen_on(address, port, into, mapping=mapping), out)


@app.command(
    epilog=_examples(
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


@app.command(
    epilog=_examples(
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


@app.command(
    epilog=_examples(
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


@app.command(
    epilog=_examples(
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
    epilog=_examples(
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


@app.command(
    epilog=_examples(
        "workbench bench --quick",
        "workbench bench monitoring",
    )
)
def bench(
    names: Annotated[list[str] | None, typer.Argument(help="Benchmarks (default: all).")] = None,
    quick: Annotated[bool, typer.Option("--quick", help="Smaller sizes.")] = False,
) -> None:
    """性能与规模。Run the benchmarks of a checkout and write benchmarks/RESULTS.md."""
    from workbench.pipeline.bench import run_benchmarks

    failed = run_benchmarks(names or [], quick=quick, say=lambda text: out.print(text, soft_wrap=True, highlight=False, markup=False))
    if failed:
        raise typer.Exit(FAILURE)


def print_error(error: WorkbenchError) -> None:
    """Print what, got, allowed, where, next; nothing else."""
    err.print(f"[bold red]错误 error[/]  {error.what}", highlight=False)
    for name, value in error.payload().items():
        if name != "what":
            text = ", ".join(map(str, value)) if isinstance(value, (list, tuple, set, frozenset)) else str(value)
            err.print(f"  [dim]{name:>8}[/]  ", end="")
            err.print(text, markup=False, highlight=False, soft_wrap=True)


def main(argv: list[str] | None = None) -> None:
    """Run the command line and exit with 0 (well), 1 (failure or breaches) or 2 (not understood).

    Parameters
    ----------
    argv : list of str, optional
        Arguments; default those of the process.
    """
    arguments = sys.argv[1:] if argv is None else argv
    debug = "--debug" in arguments  # anywhere on the line
    arguments = [a for a in arguments if a != "--debug"]
    try:
        app(args=arguments, prog_name="workbench")
    except Exception as error:
        if debug:
            raise
        known = sys.modules.get("workbench.contracts.errors")  # imported by whatever raised it; not before, for quick help
        if known is not None and isinstance(error, known.WorkbenchError):
            print_error(error)
            sys.exit(USAGE if isinstance(error, known.ParameterError) else FAILURE)
        err.print("[bold red]错误 error[/]  something that should not happen", highlight=False)
        err.print(f"       got  {type(error).__name__}: {error}", markup=False, highlight=False, soft_wrap=True)
        err.print("      next  run the same command with --debug and report what it prints", markup=False, highlight=False)
        sys.exit(FAILURE)


if __name__ == "__main__":
    main()
