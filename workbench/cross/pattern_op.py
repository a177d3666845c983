"""The log-sum-exp over states of every distinct pattern, with its gradient, as one compiled operation for PyMC.

Built from elementary operations the graph takes minutes to compile and tens of milliseconds a gradient; written out,
it is one pass over (row, state class) and well under a millisecond for hundreds of rows.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numba as nb
import numpy as np
import pytensor.tensor as pt
from pytensor.graph.basic import Apply
from pytensor.graph.op import Op
from pytensor.link.numba.dispatch import numba_funcify


@dataclass(frozen=True)
class Layout:
    """Where everything is.

    Parameters
    ----------
    cell : int array, shape (row,)
        Which prior row holds for each data row.
    label : int array, shape (row,)
        0 not inspected, 1 none found, 2 violation found.
    weight : float array, shape (row,)
    start : int array, shape (row, channel)
        Place in the flat table of log θ of (channel, first row, level); -1 not installed.
    row_of_class : int array, shape (channel, class)
        Emission row of each state class.
    stride : int array, shape (channel,)
        Levels of each channel: distance between two emission rows in the flat table.
    group : int array, shape (channel,)
        Detector group; channels are sorted by it.
    power : float array, shape (group,)
        Words per value.
    odd : float array, shape (row, group)
        Log probability of the row's levels when the group is out of order.
    log_in, log_out : float array, shape (group,)
        log(1-ρ), log ρ; a group of one channel has ρ = 0.
    """

    cell: np.ndarray
    label: np.ndarray
    weight: np.ndarray
    start: np.ndarray
    row_of_class: np.ndarray
    stride: np.ndarray
    group: np.ndarray
    power: np.ndarray
    odd: np.ndarray
    log_in: np.ndarray
    log_out: np.ndarray


@nb.njit(cache=True)
def value_and_gradient(  # pragma: no cover - compiled
    log_theta: np.ndarray,
    log_prior: np.ndarray,
    log_label: np.ndarray,
    cell: np.ndarray,
    label: np.ndarray,
    weight: np.ndarray,
    start: np.ndarray,
    row_of_class: np.ndarray,
    stride: np.ndarray,
    group: np.ndarray,
    power: np.ndarray,
    odd: np.ndarray,
    log_in: np.ndarray,
    log_out: np.ndarray,
) -> tuple[float, np.ndarray, np.ndarray, np.ndarray]:
    """Return Σ w·log Σ_c exp(…) and its gradient in log θ, log prior (cell, class) and log label (3, class)."""
    n, C = len(cell), log_prior.shape[1]
    K, G = start.shape[1], len(power)
    d_theta, d_prior, d_label = np.zeros_like(log_theta), np.zeros_like(log_prior), np.zeros_like(log_label)
    total = 0.0
    score = np.empty(C)
    inside = np.empty((G, C))
    believed = np.empty((G, C))
    for i in range(n):
        inside[:] = 0.0
        for k in range(K):
            if start[i, k] >= 0:
                g = group[k]
                for c in range(C):
                    inside[g, c] += log_theta[start[i, k] + row_of_class[k, c] * stride[k]]
        top = -1e300
        for c in range(C):
            x = log_prior[cell[i], c] + log_label[label[i], c]
            for g in range(G):
                a = log_in[g] + inside[g, c]
                if log_out[g] > -1e100:
                    b = log_out[g] + odd[i, g]
                    m = max(a, b)
                    both = m + np.log(np.exp(a - m) + np.exp(b - m))
                    believed[g, c] = np.exp(a - both)
                    x += power[g] * both
                else:
                    believed[g, c] = 1.0
                    x += power[g] * a
            score[c] = x
            top = max(top, x)
        mass = 0.0
        for c in range(C):
            score[c] = np.exp(score[c] - top)
            mass += score[c]
        total += weight[i] * (top + np.log(mass))
        for c in range(C):
            p = weight[i] * score[c] / mass
            d_prior[cell[i], c] += p
            d_label[label[i], c] += p
            for k in range(K):
                if start[i, k] >= 0:
                    g = group[k]
                    d_theta[start[i, k] + row_of_class[k, c] * stride[k]] += p * power[g] * believed[g, c]
    return total, d_theta, d_prior, d_label


class PatternLogLike(Op):  # type: ignore[misc]
    """``(log_theta, log_prior, log_label) -> (value, d_theta, d_prior, d_label)``; only the value is differentiated."""

    __props__ = ()

    def __init__(self, layout: Layout) -> None:
        self.layout = layout

    def make_node(self, log_theta: Any, log_prior: Any, log_label: Any) -> Apply:
        """Build the node (vector, matrix, matrix)."""
        inputs = [pt.as_tensor(log_theta), pt.as_tensor(log_prior), pt.as_tensor(log_label)]
        return Apply(self, inputs, [pt.dscalar(), pt.dvector(), pt.dmatrix(), pt.dmatrix()])

    def perform(self, node: Any, inputs: Any, outputs: Any) -> None:
        """Compute in Python's stead (used where the graph is not compiled by numba)."""
        value, *slopes = value_and_gradient(*(np.ascontiguousarray(x) for x in inputs), *arrays(self.layout))
        outputs[0][0] = np.asarray(value)
        for out, slope in zip(outputs[1:], slopes, strict=True):
            out[0] = slope

    def pullback(self, inputs: Any, outputs: Any, cotangents: Any) -> list[Any]:
        """Return the gradient, which the forward pass has computed already."""
        return [cotangents[0] * slope for slope in outputs[1:]]

    L_op = pullback

    def grad(self, inputs: Any, output_grads: Any) -> list[Any]:
        """Return the gradient (the older name of the same thing)."""
        return self.pullback(inputs, self(*inputs, return_list=True), output_grads)


def arrays(layout: Layout) -> tuple[np.ndarray, ...]:
    """Return the fields of a layout in the order of the kernel."""
    x = layout
    return (x.cell, x.label, x.weight, x.start, x.row_of_class, x.stride, x.group, x.power, x.odd, x.log_in, x.log_out)


@numba_funcify.register(PatternLogLike)  # type: ignore[untyped-decorator,unused-ignore]
def _compiled(op: PatternLogLike, node: Any = None, **kwargs: Any) -> Any:
    cell, label, weight, start, rows, stride, group, power, odd, log_in, log_out = arrays(op.layout)

    @nb.njit
    def pattern_log_like(log_theta, log_prior, log_label):  # type: ignore[no-untyped-def] # pragma: no cover - compiled
        value, a, b, c = value_and_gradient(
            log_theta, log_prior, log_label, cell, label, weight, start, rows, stride, group, power, odd, log_in, log_out
        )
        return np.asarray(value), a, b, c

    return pattern_log_like
