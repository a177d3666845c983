"""Serving the desk: on this machine by default, elsewhere only behind a sign-in."""

from __future__ import annotations

import os
import secrets
import socket
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

ADDRESS = {"language": "lang", "tab": "tab", "iteration_id": "iteration", "lead_id": "lead"}
"""Choices kept in the page's address, so that a lead can be sent to a colleague as a link."""
REPORTS_VARIABLE, CATALOG_VARIABLE = "WORKBENCH_REPORTS", "WORKBENCH_CATALOG"


def app(reports: Path | str | None = None, *, catalog: str = "") -> Any:
    """Return the reviewer's desk as a Panel page, for one session.

    Parameters
    ----------
    reports : path, optional
        Folder of iterations; default ``WORKBENCH_REPORTS``, else ``reports`` in the working directory.
    catalog : str
        Catalog to open instead of the one each report names; default ``WORKBENCH_CATALOG``, else the report's.
    """
    import panel as pn

    from workbench.apps.pictures import figure_theme
    from workbench.apps.state import Desk
    from workbench.apps.view import desk_page

    pn.extension("tabulator", notifications=False, sizing_mode=None)
    folder = Path(reports if reports is not None else os.environ.get(REPORTS_VARIABLE, "reports"))
    if pn.state.curdoc is not None:  # left to itself the page restyles every figure, fonts and all
        pn.state.curdoc.theme = figure_theme()
    desk = Desk(folder.resolve(), catalog or os.environ.get(CATALOG_VARIABLE, ""), **asked(pn.state.session_args))
    location = pn.state.location
    if location is not None:
        desk.param.watch(lambda _event: location.update_query(**{s: getattr(desk, n) for n, s in ADDRESS.items()}), list(ADDRESS))
    return desk_page(desk, served=location is not None)


def asked(arguments: Mapping[str, Sequence[bytes]]) -> dict[str, str]:
    """Return the choices that a page's address names; anything else in it is left alone.

    Parameters
    ----------
    arguments : mapping
        Query of the address, as the server hands it over.
    """
    allowed = {"language": ("zh", "en"), "tab": ("iterations", "leads")}
    out = {}
    for name, short in ADDRESS.items():
        text = arguments.get(short, [b""])[0].decode("utf-8", "replace")
        if text and (text in allowed[name] if name in allowed else len(text) <= 200):
            out[name] = text
    return out


def serve(
    reports: Path,
    port: int = 5006,
    address: str = "127.0.0.1",
    show: bool = False,
    *,
    catalog: str = "",
    users: Path | None = None,
    origins: Sequence[str] = (),
    start: bool = True,
    threaded: bool = False,
) -> Any:
    """Serve the desk until interrupted.

    Parameters
    ----------
    reports : Path
        Folder of iterations; read, never written.
    port : int
        0 takes any free one.
    address : str
        Only this machine by default.
    show : bool
        Open a browser.
    catalog : str
        Catalog to open instead of the one each report names.
    users : Path, optional
        File of users (see :mod:`workbench.apps.access`); default ``WORKBENCH_USERS``. Needed for any other address.
    origins : sequence of str
        Further ``host:port`` under which browsers reach the server, such as that of a proxy.
    start, threaded : bool
        For tests: return the server instead of blocking.

    Raises
    ------
    PermissionDenied
        If others could reach the address and there is no file of users.
    ParameterError
        If the file of users cannot be used.
    """
    import panel as pn

    from workbench.apps.access import check_binding, provider

    file = check_binding(address, users)
    options: dict[str, Any] = {}
    if file is not None:
        options |= {"auth_provider": provider(file), "cookie_secret": secrets.token_hex(32)}
    port = port or _free_port(address)  # known beforehand: only pages of this very server may open its websocket
    hosts = {address, "localhost"} if address else {"localhost"}
    allowed = sorted({f"{h}:{port}" for h in hosts} | set(origins))
    folder = Path(reports)
    return pn.serve(
        lambda: app(folder, catalog=catalog),
        port=port,
        address=address or None,
        show=show,
        start=start,
        threaded=threaded,
        title="环境监管模型工作台",
        verbose=start,  # says where it can be reached
        websocket_origin=allowed,
        **options,
    )


def _free_port(address: str) -> int:
    with socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET) as probe:
        probe.bind((address, 0))
        return int(probe.getsockname()[1])
