"""Linear systems A x = b for shared A and b: the solution rounded to a declared resolution, and nothing else.

Over F_P, with P large enough that determinants do not wrap. (After Bar-Ilan and Beaver, PODC 1989, and Cramer and
Damgard, CRYPTO 2001.)

    R = L U and S = L' U' random, S of determinant 1, det R known as a share
    M = R A S is opened: uniform among invertible matrices, or among those of A's rank
    x = S M^-1 (R b) as residues: they stand for fractions, which would reveal more than the solution
    D = det A = det M / det R;   N = D x, whole numbers;   q = floor(scale N / D + 1/2) by `mpc_ops.joint.quotients`

Masked on both sides: R A alone shows the kernel of a singular A. A singular system is said to be one: this and its rank
are then revealed, nothing else. The rational solution and the determinant never are.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import isqrt

import numpy as np

from mpc_ops.joint.base import plus
from mpc_ops.joint.planes import large
from mpc_ops.joint.quotients import field_for, nearest
from mpc_ops.joint.quotients import rounds as quotient_rounds
from mpc_ops.joint.replicated import Replicated
from mpc_ops.rings import PrimeField
from mpc_ops.rounds import Array, Interactive, together


class SingularError(ValueError):
    """The system has no solution or many: `rank` of its `size` equations are independent."""

    def __init__(self, rank: int, size: int) -> None:
        super().__init__(f"the system is singular: rank {rank} of {size}")
        self.rank, self.size = rank, size


@dataclass(frozen=True, slots=True, kw_only=True)
class System:
    """The shape of a system and its ranges: all entries |a| <= `matrix`, right sides |b| <= `right`; q = scale x.

    `field` is what its shares live in. Raises ValueError where even 1279 bits are too few.
    """

    size: int
    matrix: int
    right: int
    scale: int

    def __post_init__(self) -> None:
        if min(self.size, self.matrix, self.right, self.scale) < 1:
            raise ValueError("size, ranges and scale are at least 1")
        _ = self.field

    @property
    def determinant_bits(self) -> int:
        """Hadamard: |det A| <= (sqrt(d) max |a|)^d."""
        return (isqrt(self.size**self.size) + 1).bit_length() + self.size * self.matrix.bit_length()

    @property
    def field(self) -> PrimeField:
        """The smallest field in which neither determinants nor scaled numerators wrap."""
        numerator = self.determinant_bits + self.right.bit_length() + self.scale.bit_length()
        return field_for(self.determinant_bits, numerator)

    @property
    def rounds(self) -> int:
        """How many rounds `solve` takes, without the opening of its result."""
        return max(4, self.size.bit_length() + 1) + 2 + quotient_rounds(self.field, self.determinant_bits)


def solve(side: Replicated, matrix: Array, right: Array, system: System) -> Interactive[Array]:
    """floor(scale x + 1/2) for shares A (2, d, d) and b (2, d) over `system.field`: a share (2, d).

    Raises SingularError, QuotientError (an |x| scale of 2^50 or more) at all parties alike. Entries outside the
    declared ranges are the caller's to exclude, by `mpc_ops.joint.ranges`: masks are too short for what they give.
    Rounds: `system.rounds`, 59 for d = 16 with 20 bits.
    """
    ring, d = large(side), system.size
    if ring != system.field or matrix.shape != (2, d, d) or right.shape != (2, d):
        raise ValueError(f"the system is {d} x {d} over {system.field.name}")
    (masked, hidden, s), inverse_det = yield from together(*_masking(side, matrix, right))
    image, det = _eliminated(masked, np.concatenate(hidden, axis=1), ring)
    solution = yield from side.matmul(s, np.stack(np.hsplit(image, side.held)))
    size = ring.mul(inverse_det, ring.element(det))
    repeated = np.repeat(size, d, axis=1)
    numerators = yield from side.multiply(solution[..., 0], repeated)
    scaled = ring.mul(numerators, ring.element(system.scale))
    result = yield from nearest(side, scaled[:, None], size, system.determinant_bits)
    return result[:, 0]


def least_squares(side: Replicated, rows: Array, right: Array, system: System, *, ridge: int = 0) -> Interactive[Array]:
    """The x that minimises |X x - y|^2 + ridge |x|^2, for shares X (2, n, d) and y (2, n): floor(scale x + 1/2).

    `system` holds the ranges of X'X + ridge and X'y (`normal_equations`). Raises as `solve`. One round more than it.
    """
    gram, image = yield from together(
        side.matmul(np.swapaxes(rows, 1, 2), rows), side.matmul(np.swapaxes(rows, 1, 2), right[..., None])
    )
    diagonal = side.ring.element(ridge * np.eye(system.size, dtype=object))
    result = yield from solve(side, plus(side, gram, diagonal), image[..., 0], system)
    return result


def normal_equations(*, rows: int, columns: int, matrix: int, right: int, scale: int, ridge: int = 0) -> System:
    """The ranges of X'X + ridge and X'y for n x d entries |x| <= matrix and n values |y| <= right."""
    return System(size=columns, matrix=rows * matrix**2 + ridge, right=rows * matrix * right, scale=scale)


def _masking(
    side: Replicated, matrix: Array, right: Array
) -> tuple[Interactive[tuple[Array, Array, Array]], Interactive[Array]]:
    """Two protocols side by side: (M opened, R b, S), and a share of 1 / det R."""
    ring, d = large(side), matrix.shape[1]
    lower, upper = (side.random((2, d, d)) for _ in range(2))  # of R and of S
    below, above = np.tri(d, k=-1, dtype=int), np.tri(d, k=-1, dtype=int).T
    unit = ring.element(np.eye(d, dtype=int))
    lower = plus(side, ring.mul(lower, ring.element(below)), np.stack([unit, unit]))
    diagonal = upper[:, 0][:, range(d), range(d)]
    upper_r = ring.mul(upper[:, 0], ring.element(above + np.eye(d, dtype=int)))
    upper_s = plus(side, ring.mul(upper[:, 1], ring.element(above)), unit)

    def masked() -> Interactive[tuple[Array, Array, Array]]:
        product = yield from side.matmul(lower, np.stack([upper_r, upper_s], axis=1))
        r, s = product[:, 0], product[:, 1]
        left = yield from side.matmul(r, np.concatenate([matrix, right[..., None]], axis=2))
        product = yield from side.matmul(left[..., :d], s)
        opened = yield from side.open(product)
        return opened, left[..., d:], s

    def inverse_determinant() -> Interactive[Array]:
        mask = side.random((1,))
        product = np.concatenate([diagonal, mask], axis=1)
        while product.shape[1] > 1:
            half = product.shape[1] // 2
            joined = yield from side.multiply(product[:, :half], product[:, half : 2 * half])
            product = np.concatenate([joined, product[:, 2 * half :]], axis=1)
        opened = yield from side.open(product)
        return ring.mul(mask, ring.element(pow(int(opened[0]), -1, ring.order)))

    return masked(), inverse_determinant()


def _eliminated(matrix: Array, columns: Array, ring: PrimeField) -> tuple[Array, int]:
    """M^-1 applied to columns (d, n), and det M, for a public matrix (d, d) modulo P. Raises SingularError."""
    d = len(matrix)
    work, det, rank = np.concatenate([matrix, columns], axis=1), 1, 0
    for column in range(d):
        pivots = [row for row in range(rank, d) if work[row, column]]
        if not pivots:
            continue
        if pivots[0] != rank:
            work[[rank, pivots[0]]] = work[[pivots[0], rank]]
            det = -det
        pivot = int(work[rank, column])
        det = det * pivot % ring.order
        rest = slice(column, None)  # what is further left is 0 by now
        work[rank, rest] = ring.mul(work[rank, rest], ring.element(pow(pivot, -1, ring.order)))
        below = ring.mul(work[rank + 1 :, column, None], work[rank, rest])
        work[rank + 1 :, rest] = ring.sub(work[rank + 1 :, rest], below)
        rank += 1
    if rank < d:
        raise SingularError(rank, d)
    solution = work[:, d:]
    for row in range(d - 2, -1, -1):
        solution[row] = ring.sub(solution[row], ring.matmul(work[row, row + 1 : d], solution[row + 1 :]))
    return solution, det
