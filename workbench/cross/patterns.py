"""Count distinct rows of a long int8 table, block by block, in memory that does not grow with the table."""

from __future__ import annotations

import numba as nb
import numpy as np


@nb.njit(cache=True)
def _hash(row: np.ndarray) -> np.uint64:  # pragma: no cover - compiled
    h = np.uint64(1469598103934665603)
    for x in row:
        h = (h ^ np.uint64(np.uint8(x))) * np.uint64(1099511628211)
    h ^= h >> np.uint64(29)
    h *= np.uint64(0xBF58476D1CE4E5B9)
    return h ^ (h >> np.uint64(32))


@nb.njit(cache=True)
def _add(
    block: np.ndarray, begin: int, slots: np.ndarray, rows: np.ndarray, counts: np.ndarray, n: int, inverse: np.ndarray
) -> tuple[int, int]:  # pragma: no cover - compiled
    """Add rows from ``begin`` on; stop where the store is full. Return (next row, number of distinct rows)."""
    mask = np.uint64(len(slots) - 1)
    width = block.shape[1]
    for i in range(begin, len(block)):
        at = _hash(block[i]) & mask
        while True:
            k = slots[at]
            if k < 0:
                if n == len(rows):
                    return i, n
                rows[n] = block[i]
                slots[at] = n
                k = n
                n += 1
                break
            same = True
            for j in range(width):
                if rows[k, j] != block[i, j]:
                    same = False
                    break
            if same:
                break
            at = (at + np.uint64(1)) & mask
        counts[k] += 1
        inverse[i] = k
    return len(block), n


class PatternCounter:
    """Distinct rows and how often each came, in the order in which they first came.

    Parameters
    ----------
    width : int
        Number of int8 columns.

    Examples
    --------
    >>> import numpy as np
    >>> counter = PatternCounter(2)
    >>> counter.add(np.array([[0, 1], [0, 1], [2, 1]], dtype=np.int8)).tolist()
    [0, 0, 1]
    >>> counter.counts.tolist()
    [2, 1]
    """

    def __init__(self, width: int) -> None:
        self._slots = np.full(1 << 12, -1, dtype=np.int32)
        self._rows = np.empty((1 << 11, width), dtype=np.int8)
        self._counts = np.zeros(1 << 11, dtype=np.int64)
        self._n = 0

    def add(self, block: np.ndarray) -> np.ndarray:
        """Count the rows of an int8 block, shape (row, width); return the index of each row's pattern (int32)."""
        block = np.ascontiguousarray(block, dtype=np.int8)
        inverse = np.empty(len(block), dtype=np.int32)
        begin = 0
        while begin < len(block):
            begin, self._n = _add(block, begin, self._slots, self._rows, self._counts, self._n, inverse)
            if self._n == len(self._rows):
                self._grow()
        return inverse

    def _grow(self) -> None:
        n = self._n
        rows, counts = self._rows, self._counts
        self._rows = np.empty((2 * n, rows.shape[1]), dtype=np.int8)
        self._counts = np.zeros(2 * n, dtype=np.int64)
        self._slots = np.full(4 * n, -1, dtype=np.int32)
        scratch = np.zeros(n, dtype=np.int32)
        _add(rows[:n], 0, self._slots, self._rows, self._counts, 0, scratch)
        self._counts[:n] = counts[:n]

    @property
    def rows(self) -> np.ndarray:
        """Distinct rows, shape (pattern, width)."""
        return self._rows[: self._n]

    @property
    def counts(self) -> np.ndarray:
        """How often each came."""
        return self._counts[: self._n]

    def __len__(self) -> int:
        return self._n
