"""The list of devices that may send: one MN a line."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

from workbench.contracts import ParameterError

_MN = re.compile(r"[0-9A-Za-z_\-]{1,64}")


def allowed_devices(file: Path | None, named: Iterable[str] = ()) -> frozenset[str] | None:
    """Return the devices of a list and those named beside it; None where neither is given: everybody may send.

    Parameters
    ----------
    file : path, optional
        One MN a line; empty lines, and what follows ``#``, are ignored.
    named : iterable of str
        Further MN.

    Raises
    ------
    ParameterError
        If the file cannot be read, something in it is no MN, or nothing is left: such a list would refuse everybody.
    """
    lines = [(str(file), k, text) for k, text in enumerate(_lines(file), 1)] if file is not None else []
    lines += [("--allow", 0, mn) for mn in named]
    if not lines and file is None:
        return None
    given = [(place, k, mn) for place, k, text in lines if (mn := text.partition("#")[0].strip())]
    bad = [f"{place} line {k}: {mn!r}" if k else f"{place} {mn!r}" for place, k, mn in given if not _MN.fullmatch(mn)]
    if bad:
        allowed = "1 to 64 letters, digits, - or _"
        raise ParameterError("a list of devices holds something that is no MN", got="; ".join(bad[:5]), allowed=allowed)
    if not given:
        raise ParameterError("a list of devices names none", where=str(file), next_step="write one MN a line, or leave the list out")
    return frozenset(mn for _, _, mn in given)


def _lines(file: Path) -> list[str]:
    try:
        return Path(file).read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise ParameterError("cannot read the list of devices", got=str(error), where=str(file), allowed="a UTF-8 text file") from error
