"""The log-sum-exp over states of every distinct pattern, with its gradient, as one compiled operation for PyMC.

Built from elementary operations the graph takes minutes to compile and tens of milliseconds a gradient; written out,
it is one pass over (part pattern, state class) and one over (row, state class).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numba as nb
import numpy as np
import pytensor.tensor as pt
from pytensor.gradient import DisconnectedType
from pytensor.graph.basic import Apply
from pytensor.graph.op import Op
from pytensor.link.numba.dispatch import numba_funcify


@dataclass(frozen=True)
class Layout:
    """What hangs on the channels alone.

    Parameters
    ----------
    row_of_class : int array, shape (channel, class)
        Emission row of each state class.
    stride : int array, shape (channel,)
        Levels of each channel: distance between two emission rows in the flat table.
    group : int array, shape (channel,)
        Detector group; channels are sorted by it.
    power : float array, shape (group,)
        Words per value.
    log_in, log_out : float array, shape (group,)
        log(1-ρ), log ρ; a group of one channel has ρ = 0.
    """

    row_of_class: np.ndarray
    stride: np.ndarray
    group: np.ndarray
    power: np.ndarray
    log_in: np.ndarray
    log_out: np.ndarray


@nb.njit(cache=True)
def _inside(
    u: int,
    log_theta: np.ndarray,
    start: np.ndarray,
    row_of_class: np.ndarray,
    stride: np.ndarray,
    group: np.ndarray,
    out: np.ndarray,
    here: np.ndarray,
) -> None:  # pragma: no cover - compiled
    """Fill ``out`` (group, class) with Σ log θ of each group's installed channels in part pattern ``u``; ``here``: has any."""
    here[:] = False
    for k in range(start.shape[1]):
        if start[u, k] >= 0:
            g = group[k]
            if not here[g]:
                here[g] = True
                out[g] = 0.0
            for c in range(out.shape[1]):
                out[g, c] += log_theta[start[u, k] + row_of_class[k, c] * stride[k]]


@nb.njit(cache=True)
def value_and_gradient(  # pragma: no cover - compiled
    log_theta: np.ndarray,
    log_prior: np.ndarray,
    log_label: np.ndarray,
    cell: np.ndarray,
    label: np.ndarray,
    weight: np.ndarray,
    parts: np.ndarray,
    start: np.ndarray,
    odd: np.ndarray,
    row_of_class: np.ndarray,
    stride: np.ndarray,
    group: np.ndarray,
    power: np.ndarray,
    log_in: np.ndarray,
    log_out: np.ndarray,
) -> tuple[float, np.ndarray, np.ndarray, np.ndarray]:
    """Return Σ w·log Σ_c exp(…) and its gradient in log θ, log prior (cell, class) and log label (3, class).

    A row is made of part patterns (``parts``: places in ``start`` and ``odd``), of which there are far fewer than rows: their
    factors are computed once, so that a row costs a product of a few numbers per class. Per row, ``cell`` and ``label`` say
    which prior and label row holds (label 0 not inspected, 1 none found, 2 violation found). Per part pattern, ``start`` is
    where each channel's level stands in the flat table of log θ of (channel, first emission row, level; -1 not installed or in
    another part), ``odd`` the log probability of each group's levels when the group is out of order.
    """
    n, C, U = len(cell), log_prior.shape[1], len(start)
    G = len(power)
    d_theta, d_prior, d_label = np.zeros_like(log_theta), np.zeros_like(log_prior), np.zeros_like(log_label)
    factor, slope = np.empty((U, C)), np.zeros((U, C))
    inside, here = np.zeros((G, C)), np.zeros(G, dtype=np.bool_)
    for u in range(U):
        _inside(u, log_theta, start, row_of_class, stride, group, inside, here)
        factor[u] = 0.0
        for g in range(G):
            if not here[g]:
                continue
            b = log_out[g] + odd[u, g]
            for c in range(C):
                a = log_in[g] + inside[g, c]
                if log_out[g] > -1e100:
                    m = max(a, b)
                    a = m + np.log1p(np.exp(min(a, b) - m))
                factor[u, c] += power[g] * a
        factor[u] = np.exp(factor[u])
    prior, said = np.exp(log_prior), np.exp(log_label)
    total = 0.0
    score = np.empty(C)
    for i in range(n):
        p, y = prior[cell[i]], said[label[i]]
        for c in range(C):
            score[c] = p[c] * y[c]
        for q in range(parts.shape[1]):
            f = factor[parts[i, q]]
            for c in range(C):
                score[c] *= f[c]
        mass = 1e-290 + score.sum()
        total += weight[i] * np.log(mass)
        scale = weight[i] / mass
        dp, dy = d_prior[cell[i]], d_label[label[i]]
        for c in range(C):
            score[c] *= scale
            dp[c] += score[c]
            dy[c] += score[c]
        for q in range(parts.shape[1]):
            d = slope[parts[i, q]]
            for c in range(C):
                d[c] += score[c]
    for u in range(U):
        _inside(u, log_theta, start, row_of_class, stride, group, inside, here)
        for k in range(start.shape[1]):
            if start[u, k] < 0:
                continue
            g = group[k]
            for c in range(C):
                believed = power[g]
                if log_out[g] > -1e100:
                    believed /= 1.0 + np.exp(log_out[g] + odd[u, g] - log_in[g] - inside[g, c])
                d_theta[start[u, k] + row_of_class[k, c] * stride[k]] += slope[u, c] * believed
    return total, d_theta, d_prior, d_label


class PatternLogLike(Op):  # type: ignore[misc]
    """``(log_theta, log_prior, log_label, *rows) -> (value, d_theta, d_prior, d_label)``; only the value is differentiated.

    ``rows`` are cell, label, weight, parts, start and odd of :func:`value_and_gradient`; nothing is differentiated in them.
    """

    __props__ = ()

    def __init__(self, layout: Layout) -> None:
        self.layout = layout

    def make_node(self, *inputs: Any) -> Apply:
        """Build the node."""
        return Apply(self, [pt.as_tensor(x) for x in inputs], [pt.dscalar(), pt.dvector(), pt.dmatrix(), pt.dmatrix()])

    def perform(self, node: Any, inputs: Any, outputs: Any) -> None:
        """Compute in Python's stead (used where the graph is not compiled by numba)."""
        value, *slopes = value_and_gradient(*(np.ascontiguousarray(x) for x in inputs), *arrays(self.layout))
        outputs[0][0] = np.asarray(value)
        for out, slope in zip(outputs[1:], slopes, strict=True):
            out[0] = slope

    def connection_pattern(self, node: Any) -> list[list[bool]]:
        """Say that the rows are data."""
        return [[i < 3] * 4 for i in range(len(node.inputs))]

    def pullback(self, inputs: Any, outputs: Any, cotangents: Any) -> list[Any]:
        """Return the gradient, which the forward pass has computed already."""
        slopes = [cotangents[0] * slope for slope in outputs[1:]]
        return slopes + [DisconnectedType()() for _ in inputs[3:]]

    L_op = pullback

    def grad(self, inputs: Any, output_grads: Any) -> list[Any]:
        """Return the gradient (the older name of the same thing)."""
        return self.pullback(inputs, self(*inputs, return_list=True), output_grads)


def arrays(layout: Layout) -> tuple[np.ndarray, ...]:
    """Return the fields of a layout in the order of the kernel."""
    x = layout
    return (x.row_of_class, x.stride, x.group, x.power, x.log_in, x.log_out)


@numba_funcify.register(PatternLogLike)  # type: ignore[untyped-decorator,unused-ignore]
def _compiled(op: PatternLogLike, node: Any = None, **kwargs: Any) -> Any:
    rows, stride, group, power, log_in, log_out = arrays(op.layout)

    @nb.njit
    def pattern_log_like(log_theta, log_prior, log_label, cell, label, weight, parts, start, odd):  # type: ignore[no-untyped-def] # pragma: no cover
        value, a, b, c = value_and_gradient(
            log_theta, log_prior, log_label, cell, label, weight, parts, start, odd, rows, stride, group, power, log_in, log_out
        )
        return np.asarray(value), a, b, c

    return pattern_log_like
