"""Where lazy work runs: threads of this process, or a Dask cluster named by address."""

from __future__ import annotations

from typing import Any

from workbench.contracts import ParameterError

SCHEDULER_VARIABLE = "WORKBENCH_SCHEDULER"
"""Environment variable through which ``workbench run --scheduler`` reaches the notebooks."""


def connect(address: str, *, timeout_s: float = 10) -> Any | None:
    """Connect to a Dask cluster and make it the default of this process; None (threads) where no address is given.

    Parameters
    ----------
    address : str
        For example ``tcp://10.0.0.5:8786``.
    timeout_s : float
        How long to wait for an answer.

    Raises
    ------
    ParameterError
        If nothing answers there.
    """
    if not address:
        return None
    from distributed import Client

    try:
        return Client(address, timeout=timeout_s, set_as_default=True)
    except (OSError, ValueError, TimeoutError) as error:
        raise ParameterError(
            "no Dask scheduler answers",
            got=address,
            allowed="tcp://HOST:PORT of a running scheduler",
            next_step="start one with: dask scheduler, then dask worker ADDRESS; or leave --scheduler out",
        ) from error
