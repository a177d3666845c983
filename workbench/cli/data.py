"""Commands on data: generate, check, ingest, listen, import."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from workbench.cli.shared import FAILURE, USAGE, examples, out

data = typer.Typer()
ingest = typer.Typer(help="把报文读入库。Read telemetry into a store.", no_args_is_help=True)
listen = typer.Typer(help="接收联网报文。Listen for telemetry.", no_args_is_help=True)
bring = typer.Typer(help="导入表格。Bring spreadsheets into catalog tables.", no_args_is_help=True)


class Scale(StrEnum):
    """Size of a simulated district."""

    TINY = "tiny"
    SMALL = "small"
    FULL = "full"


@data.command(
    epilog=examples("workbench generate --scale small --seed 7 districts/small", "workbench generate --scale full --seed 1 districts/full")
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


@data.command(
    epilog=examples(
        "workbench check catalogs/reference.yml",
        "workbench check my_district.yml --deep --param data_dir=/data/2026",
    )
)
def check(
    catalog: Annotated[str, typer.Argument(help="Catalog file, folder or URL.")],
    deep: Annotated[bool, typer.Option("--deep", help="Read the values of the cubes too, chunk by chunk.")] = False,
    parameters: Annotated[list[str] | None, typer.Option("--param", help="NAME=VALUE of a catalog's user parameter. Repeatable.")] = None,
) -> None:
    """检查目录。Check a catalog against its contract and print every breach at once."""
    from workbench.catalog import check_report
    from workbench.pipeline.generation import generate_if_needed

    if (made := generate_if_needed(catalog, progress=True)) is not None:
        out.print(str(made), soft_wrap=True)
    report = check_report(catalog, deep=deep, progress=True, parameters=dict(_pair(p) for p in parameters or []))
    report.render(out)
    raise typer.Exit(report.exit_code)


def _pair(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals or not name:
        raise typer.BadParameter(f"{text!r} is not NAME=VALUE")
    return name, value


@ingest.command(
    "hj212",
    epilog=examples(
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
    epilog=examples(
        "workbench listen hj212 --port 9212 --into store",
        "workbench listen hj212 --address 0.0.0.0 --into store --map points.csv --devices devices.txt",
        "workbench listen hj212 --into store --allow 51052216080301 --allow 51052216080302",
    ),
)
def listen_hj212(
    into: Annotated[Path, typer.Option("--into", help="Store to append to; created when absent.")],
    port: Annotated[int, typer.Option(help="TCP port.", min=1, max=65535)] = 9212,
    address: Annotated[str, typer.Option(help="Address to listen on; data loggers outside reach 0.0.0.0 only.")] = "127.0.0.1",
    mapping: Annotated[
        Path | None, typer.Option("--map", help="CSV that maps MN and factor to point_id.", exists=True, dir_okay=False)
    ] = None,
    devices: Annotated[
        Path | None, typer.Option("--devices", help="Text file of the devices that may send, one MN a line.", exists=True, dir_okay=False)
    ] = None,
    allow: Annotated[list[str] | None, typer.Option("--allow", help="MN of a device that may send. Repeatable.")] = None,
) -> None:
    """接收 HJ 212 报文。Listen for HJ 212 packets until interrupted, and append them to a store."""
    from workbench.catalog.hj212 import allowed_devices, print_report
    from workbench.catalog.hj212 import listen as listen_on

    allowed = allowed_devices(devices, allow or ())
    who = "所有设备 every device" if allowed is None else f"{len(allowed)} 台设备 devices"
    out.print(f"监听 listening on {address}:{port} for {who}; end with Ctrl-C")
    print_report(listen_on(address, port, into, mapping=mapping, allowed=allowed), out)


@bring.command(
    "permits",
    epilog=examples("workbench import permits permits.xlsx --into my/data", "workbench import permits --template permits.xlsx"),
)
def import_permits(
    file: Annotated[Path | None, typer.Argument(help="Workbook (.xlsx) or CSV file.")] = None,
    into: Annotated[Path | None, typer.Option("--into", help="Folder for the tables; existing files of the tables are replaced.")] = None,
    template: Annotated[Path | None, typer.Option("--template", help="Write an empty workbook in the documented layout, and end.")] = None,
) -> None:
    """导入许可证。Read permits, limits, duties and reports from a spreadsheet; a row that cannot be read is set aside with its reason."""
    from rich.table import Table
    from rich.text import Text

    from workbench.models.permit.importing import import_permits as read_permits
    from workbench.models.permit.importing import write_template

    if template is not None:
        out.print(f"template  {write_template(template)}", soft_wrap=True, markup=False)
        return
    if file is None or into is None:
        out.print("name a FILE and --into FOLDER, or --template FILE (see --help)")
        raise typer.Exit(USAGE)
    report = read_permits(file, into)
    table = Table("table", "rows", box=None, pad_edge=False)
    for name, rows in report.accepted.items():
        table.add_row(name, f"{rows:,}")
    table.add_row("set aside 未接收", f"{report.set_aside:,}", style="yellow" if report.set_aside else "")
    out.print(table)
    for error in report.errors:
        out.print(Text(str(error)))
    for note in report.notes:
        out.print(Text(note))
    if report.errors:
        raise typer.Exit(FAILURE)
