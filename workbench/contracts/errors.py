"""Errors that say what, got, allowed, where and what to do next.

Every error the product raises on purpose is a :class:`WorkbenchError`; the command line prints it without a
traceback, the apps show it as a message, and notebooks keep it in the run record.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from typing import Any


class WorkbenchError(Exception):
    """Base of every deliberate error.

    Parameters
    ----------
    what : str
        One sentence: what went wrong.
    got : object, optional
        The value met.
    allowed : object, optional
        What would have been accepted.
    where : str, optional
        File, entry, column, row or packet.
    next_step : str, optional
        What the reader can do about it.
    """

    def __init__(self, what: str, *, got: Any = None, allowed: Any = None, where: str | None = None, next_step: str | None = None) -> None:
        self.what, self.got, self.allowed, self.where, self.next_step = what, got, allowed, where, next_step
        super().__init__(what)

    def payload(self) -> dict[str, Any]:
        """Return the five fields as a plain mapping, absent ones left out."""
        fields = {"what": self.what, "got": self.got, "allowed": self.allowed, "where": self.where, "next": self.next_step}
        return {k: v for k, v in fields.items() if v is not None}

    def __str__(self) -> str:
        return "\n".join(f"{k}: {_short(v)}" if k != "what" else str(v) for k, v in self.payload().items())

    def __reduce__(self) -> tuple[Any, ...]:  # travels between processes with its payload
        return _rebuild, (type(self), self.payload())


class CatalogError(WorkbenchError):
    """The catalog file, or an entry of it, cannot be used."""


class EntryMissing(CatalogError):
    """A catalog entry that was asked for is not in the catalog; models that need it abstain."""


class ContractBreach(WorkbenchError):
    """Data that do not meet their contract; ``breaches`` holds every one of them.

    Parameters
    ----------
    breaches : sequence of Breach
        All breaches found, not only the first.
    """

    def __init__(self, what: str, *, breaches: Iterable[Any] = (), **fields: Any) -> None:
        super().__init__(what, **fields)
        self.breaches = list(breaches)


class ParameterError(WorkbenchError):
    """A parameter, option or setting that is not known or not in range."""


class InsufficientData(WorkbenchError):
    """Too little data for an honest answer; the caller abstains with this reason."""


class PacketError(WorkbenchError):
    """A telemetry packet that cannot be read; the packet is set aside and the rest goes on."""


class RunError(WorkbenchError):
    """A step of an iteration failed."""


class IntegrityError(WorkbenchError):
    """A stored record does not hash to what was recorded."""


class PermissionDenied(WorkbenchError):
    """The person's role does not allow this act."""


def nearest(name: str, known: Iterable[str]) -> str | None:
    """Return the known name nearest to ``name``, or None where nothing is near."""
    hits = get_close_matches(name, list(known), n=1, cutoff=0.5)
    return hits[0] if hits else None


def unknown_name(kind: str, name: str, known: Iterable[str], *, where: str | None = None) -> ParameterError:
    """Return the error for an unknown name, with the nearest known one as the next step."""
    names = sorted(known)
    hint = nearest(name, names)
    return ParameterError(f"unknown {kind}", got=name, allowed=names, where=where, next_step=f"did you mean {hint!r}?" if hint else None)


def _short(value: Any, limit: int = 400) -> str:
    if isinstance(value, (list, tuple, set, frozenset)):
        value = ", ".join(map(str, value))
    text = str(value)
    return text if len(text) <= limit else text[: limit - 1] + "…"


def _rebuild(cls: type[WorkbenchError], payload: Mapping[str, Any]) -> WorkbenchError:
    fields = dict(payload)
    what = fields.pop("what")
    return cls(what, next_step=fields.pop("next", None), **fields)
