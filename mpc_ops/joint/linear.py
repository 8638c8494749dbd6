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
from mpc_ops.joint.elimination import eliminated, rank
from mpc_ops.joint.planes import large
from mpc_ops.joint.quotients import Quotients, nearest
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
    def quotients(self) -> Quotients:
        """The ranges of determinants and numerators (Cramer's rule)."""
        bits = self.determinant_bits
        return Quotients(numerator=bits + self.right.bit_length(), denominator=bits, scale=self.scale)

    @property
    def field(self) -> PrimeField:
        """The smallest field in which neither determinants nor scaled numerators wrap."""
        return self.quotients.field

    def rounds(self, systems: int = 1) -> int:
        """How many rounds `solve` takes for a stack of so many systems, without the opening of its result."""
        return max(4, self.size.bit_length() + 1) + 2 + self.quotients.rounds(systems * self.size)


def solve(side: Replicated, matrix: Array, right: Array, system: System) -> Interactive[Array]:
    """floor(scale x + 1/2) for shares A (2, ..., d, d) and b (2, ..., d) over `system.field`: a share (2, ..., d).

    A whole stack of systems shares its rounds: `system.rounds`, 60 for one of d = 16 with 20 bits. That all solutions
    are in range is found in a tree: with more than a few of them each doubling adds a round, nothing else does.
    Raises SingularError where any is singular, for the first that is; QuotientError (an |x| scale of 2^50 or more); at
    all parties alike. All learn of every system of the stack whether it is singular, and its rank. Entries outside
    the declared ranges are the caller's to exclude, by `mpc_ops.joint.ranges`: masks are too short for what they give.
    """
    ring, d = large(side), system.size
    if ring != system.field or matrix.shape[-2:] != (d, d) or matrix.shape[:-1] != right.shape:
        raise ValueError(f"the system is {d} x {d} over {system.field.name}")
    (masked, hidden, s), inverse_det = yield from together(*_masking(side, matrix, right))
    image, det = eliminated(masked, np.concatenate(list(hidden), axis=-1), ring)
    singular = ring.is_zero(det).reshape(-1)
    if singular.any():
        raise SingularError(rank(masked.reshape(-1, d, d)[singular.argmax()], ring), d)
    solution = yield from side.matmul(s, np.stack(np.split(image, side.held, axis=-1)))
    size = ring.mul(inverse_det, det)
    repeated = np.repeat(size[..., None], d, axis=-1)
    numerators = yield from side.multiply(solution[..., 0], repeated)
    held = side.held
    result = yield from nearest(side, numerators.reshape(held, -1, d), size.reshape(held, -1), system.quotients)
    return result.reshape(right.shape)


def least_squares(side: Replicated, rows: Array, right: Array, system: System, *, ridge: int = 0) -> Interactive[Array]:
    """The x that minimises |X x - y|^2 + ridge |x|^2, for shares X (2, ..., n, d), y (2, ..., n): floor(scale x + 1/2).

    A share (2, ..., d); stacks, errors as for `solve`, and one round more. `system` holds the ranges of X'X + ridge and
    X'y (`normal_equations`).
    """
    turned = np.swapaxes(rows, -1, -2)
    gram, image = yield from together(side.matmul(turned, rows), side.matmul(turned, right[..., None]))
    diagonal = side.ring.element(ridge * np.eye(system.size, dtype=object))
    result = yield from solve(side, plus(side, gram, diagonal), image[..., 0], system)
    return result


def normal_equations(*, rows: int, columns: int, matrix: int, right: int, scale: int, ridge: int = 0) -> System:
    """The ranges of X'X + ridge and X'y for n x d entries |x| <= matrix and n values |y| <= right."""
    return System(size=columns, matrix=rows * matrix**2 + ridge, right=rows * matrix * right, scale=scale)


def _masking(
    side: Replicated, matrix: Array, right: Array
) -> tuple[Interactive[tuple[Array, Array, Array]], Interactive[Array]]:
    """Two protocols side by side: (M opened, R b, S), and shares of 1 / det R."""
    ring, stack, d = large(side), matrix.shape[1:-2], matrix.shape[-1]
    drawn = side.random((2, *stack, d, d))  # of R and of S: L below the diagonal, U from it on
    below, above = np.tri(d, k=-1, dtype=bool), np.tri(d, k=-1, dtype=bool).T
    unit = side.public(np.broadcast_to(ring.element(np.eye(d, dtype=int)), drawn.shape[1:]))
    lower = np.where(below, drawn, unit)
    upper_r = np.where(below, np.zeros((), dtype=ring.dtype), drawn[:, 0])
    upper_s = np.where(above, drawn[:, 1], unit[:, 1])
    diagonal = drawn[:, 0][..., range(d), range(d)]

    def masked() -> Interactive[tuple[Array, Array, Array]]:
        product = yield from side.matmul(lower, np.stack([upper_r, upper_s], axis=1))
        r, s = product[:, 0], product[:, 1]
        left = yield from side.matmul(r, np.concatenate([matrix, right[..., None]], axis=-1))
        product = yield from side.matmul(left[..., :d], s)
        opened = yield from side.open(product)
        return opened, left[..., d:], s

    def inverse_determinant() -> Interactive[Array]:
        mask = side.random((*stack, 1))
        product = np.concatenate([diagonal, mask], axis=-1)
        while product.shape[-1] > 1:
            half = product.shape[-1] // 2
            joined = yield from side.multiply(product[..., :half], product[..., half : 2 * half])
            product = np.concatenate([joined, product[..., 2 * half :]], axis=-1)
        opened = yield from side.open(product)
        return ring.mul(mask, ring.inverse(opened))[..., 0]

    return masked(), inverse_determinant()
