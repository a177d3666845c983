"""SaQC as a method, in an interpreter of its own; what it has said of a channel is kept in a folder, so that a run can be taken up again.

A channel that no fault touches is asked once. SaQC's ``flagPatternByDTW`` is left out: it looks for a pattern that is given to it, and
nobody gives a verifier the original of a copy.
"""

from __future__ import annotations

import hashlib
import json
import subprocess
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from _real_series import Series

WORKER = Path(__file__).with_name("_saqc_worker.py")
FUNCTIONS = {
    "flagConstants": "constants", "flagPlateau": "plateau", "flagByVariance": "variance", "flagUniLOF": "univariate_outlier",
    "flagLOF": "multivariate_outlier", "flagJumps": "jumps",
}  # fmt: skip
"""SaQC's functions and what the worker calls them."""
OF_STATION = frozenset({"flagLOF"})
"""Functions that look at all channels of a station together and cannot name one."""


class UnfinishedError(Exception):
    """The minutes are over; what was done is kept."""


@dataclass
class Saqc:
    """SaQC behind a Python that has it.

    Parameters
    ----------
    python : str
    kept : Path
        Folder of what it has said.
    until : float
        ``time.monotonic()`` at which it stops.
    """

    python: str
    kept: Path
    until: float = float("inf")

    def there(self) -> bool:
        """Return whether that Python can import SaQC."""
        try:
            return subprocess.run([self.python, "-c", "import saqc"], capture_output=True, timeout=120, check=False).returncode == 0
        except (OSError, subprocess.TimeoutExpired):
            return False

    def alarms(self, function: str, series: Series, values: np.ndarray) -> pd.DataFrame:
        """Return what a function flags as (row, first, last, score); functions of a whole station name its first row.

        Raises
        ------
        UnfinishedError
            When the minutes are over.
        """
        blocks: dict[int, np.ndarray] = {}
        for station in dict.fromkeys(series.station):
            mine = np.flatnonzero(series.target & (np.array(series.station) == station))
            blocks |= {int(mine[0]): values[mine]} if function in OF_STATION else {int(r): values[r : r + 1] for r in mine}
        names = {r: f"{FUNCTIONS[function]}/{_digest(x)}" for r, x in blocks.items()}
        self._do({names[r]: x for r, x in blocks.items() if not self._file(names[r]).exists()})
        rows = [(r, *s) for r, name in names.items() for s in json.loads(self._file(name).read_text())]
        return pd.DataFrame(rows, columns=["row", "first", "last", "score"])

    def _file(self, name: str) -> Path:
        return self.kept / f"{name.replace('/', '-')}.json"

    def _do(self, jobs: dict[str, np.ndarray]) -> None:
        if not jobs:
            return
        if time.monotonic() > self.until:
            raise UnfinishedError
        self.kept.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory() as folder:
            np.savez(f"{folder}/jobs.npz", **jobs)
            command = [self.python, str(WORKER), f"{folder}/jobs.npz"]
            with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as worker:
                for line in worker.stdout or ():
                    done = json.loads(line)
                    part = self._file(done["job"]).with_suffix(".part")
                    part.write_text(json.dumps(done["spans"]))
                    part.replace(self._file(done["job"]))
                    if time.monotonic() > self.until:
                        worker.terminate()
                        raise UnfinishedError
                said = worker.stderr.read() if worker.stderr else ""
            if worker.returncode:
                raise RuntimeError(f"SaQC stopped: {said[-800:]}")


def _digest(values: np.ndarray) -> str:
    return hashlib.sha256(WORKER.read_bytes() + str(values.shape).encode() + np.ascontiguousarray(values).tobytes()).hexdigest()[:24]
