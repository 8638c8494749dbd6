"""Gauss's elimination of public matrices modulo P, a whole stack of them at once.

The next row is the pivot but with probability 1 / P where a matrix is random, so rows are looked for only where needed.
"""

from __future__ import annotations

import numpy as np

from mpc_ops.rings import PrimeField
from mpc_ops.rounds import Array


def eliminated(matrices: Array, columns: Array, ring: PrimeField) -> tuple[Array, Array]:
    """M^-1 C and det M for matrices (..., d, d) and columns (..., d, n): (..., d, n) and (...).

    Where the determinant is 0, what stands for M^-1 C means nothing.
    """
    d = matrices.shape[-1]
    work = np.concatenate([matrices, columns], axis=-1)
    det, inverses = np.broadcast_to(ring.element(1), work.shape[:-2]), []
    for k in range(d):
        usable = ~ring.is_zero(work[..., k:, k])
        if not usable[..., 0].all():
            first = np.argmax(usable, axis=-1)
            work = _exchanged(work, k, k + first)
            det = np.where(first > 0, ring.sub(np.zeros_like(det), det), det)
        pivot, below = work[..., k, k], work[..., k + 1 :, :]
        det = ring.mul(det, pivot)
        inverses.append(ring.inverse(np.where(usable.any(axis=-1), pivot, ring.element(1)))[..., None])
        factors = ring.mul(below[..., k], inverses[k])
        products = ring.mul(factors[..., None], work[..., k, None, k + 1 :])
        below[..., k + 1 :] = ring.sub(below[..., k + 1 :], products)
    solution = work[..., d:]
    for k in range(d - 1, -1, -1):
        solution[..., k, :] = ring.mul(solution[..., k, :], inverses[k])
        products = ring.mul(work[..., :k, k, None], solution[..., k, None, :])
        solution[..., :k, :] = ring.sub(solution[..., :k, :], products)
    return solution, det


def rank(matrix: Array, ring: PrimeField) -> int:
    """How many rows of one matrix (n, m) are independent."""
    rows, found = ring.integers(matrix).tolist(), 0
    for column in range(matrix.shape[1]):
        pivots = [row for row in rows if row[column]]
        if not pivots:
            continue
        found += 1
        rows.remove(pivots[0])
        rows = [_without(row, pivots[0], column, ring.order) for row in rows]
    return found


def _without(row: list[int], pivot: list[int], column: int, order: int) -> list[int]:
    """The row less so many times the pivot's that nothing is left in one column."""
    factor = row[column] * pow(pivot[column], -1, order)
    return [(value - factor * other) % order for value, other in zip(row, pivot, strict=True)]


def _exchanged(work: Array, one: int, others: Array) -> Array:
    """Each matrix (..., d, m) with its rows `one` and `others` (...) exchanged."""
    order = np.broadcast_to(np.arange(work.shape[-2]), work.shape[:-1]).copy()
    np.put_along_axis(order, others[..., None], one, axis=-1)
    order[..., one] = others
    return np.take_along_axis(work, order[..., None], axis=-2)
