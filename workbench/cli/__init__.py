"""The command line: ``workbench``. Every command imports what it needs when it runs, so that help is quick."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated

import typer

from workbench.cli.data import bring, data, ingest, listen
from workbench.cli.iterations import audit, iterations
from workbench.cli.shared import FAILURE, OK, USAGE, err, out

if TYPE_CHECKING:
    from workbench.contracts import WorkbenchError

app = typer.Typer(
    name="workbench",
    help="监管科学工作台 · Research and model-governance workbench for environmental regulators.",
    epilog="A lead is a reason to look, not proof. 线索是查看的理由，不是证据。",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.add_typer(iterations)
app.add_typer(data)
app.add_typer(ingest, name="ingest")
app.add_typer(listen, name="listen")
app.add_typer(bring, name="import")
app.add_typer(audit, name="audit")


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
        if isinstance(error, OSError) and error.filename is not None:  # no such folder, no permission, no space left …
            err.print("[bold red]错误 error[/]  cannot read or write a file", highlight=False)
            err.print(f"       got  {error.strerror}", markup=False, highlight=False, soft_wrap=True)
            err.print(f"     where  {error.filename}", markup=False, highlight=False, soft_wrap=True)
            err.print("      next  check the path, its permissions and the free space", markup=False, highlight=False)
            sys.exit(FAILURE)
        err.print("[bold red]错误 error[/]  something that should not happen", highlight=False)
        err.print(f"       got  {type(error).__name__}: {error}", markup=False, highlight=False, soft_wrap=True)
        err.print("      next  run the same command with --debug and report what it prints", markup=False, highlight=False)
        sys.exit(FAILURE)
