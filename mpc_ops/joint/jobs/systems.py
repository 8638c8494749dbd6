"""Jobs that are linear systems: unknowns rounded to a resolution."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mpc_ops.joint.base import plus
from mpc_ops.joint.jobs.base import LARGEST, Shared, bounded, checked, exactly
from mpc_ops.joint.linear import System, least_squares, normal_equations, solve
from mpc_ops.joint.ranges import within
from mpc_ops.joint.replicated import Replicated
from mpc_ops.joint.rounding import lift
from mpc_ops.rings import PrimeField, Ring
from mpc_ops.rounds import Array, Interactive, together


@dataclass(frozen=True, slots=True, kw_only=True)
class LinearSolve:
    """A x = b: the columns are the rows of A, d times d, and then b. Ridge on top: `ridge` is added to A's diagonal."""

    system: System
    ridge: int = 0

    def __post_init__(self) -> None:
        bounded(max(self.system.matrix, self.system.right), LARGEST, "a column")

    @property
    def ring(self) -> Ring:
        return self.system.field

    @property
    def elements(self) -> int:
        return self.system.size

    @property
    def results(self) -> int:
        return self.system.size

    def shares(self, side: Replicated, columns: Array) -> Interactive[Shared]:
        """floor(scale x + 1/2), d numbers."""
        d, prime = self.system.size, self.system.field
        largest = [self.system.matrix] * (d * d) + [self.system.right] * d
        lifted = yield from _lifted(side, exactly(columns, d * d + d), prime, largest)
        over = side.over(prime)
        matrix = plus(over, lifted[:, : d * d].reshape(2, d, d), prime.element(self.ridge * np.eye(d, dtype=object)))
        solution = yield from solve(over, matrix, lifted[:, d * d :], self.system)
        result = yield from checked(side, self.ring, solution)
        return result

    def read(self, values: Array) -> list[int]:
        return self.ring.signed(values)


@dataclass(frozen=True, slots=True, kw_only=True)
class LeastSquares:
    """The x that minimises |X x - y|^2 + ridge |x|^2: the columns are the rows of X, `rows` times `size`, and then y.

    All |X| <= `matrix`, |y| <= `right`. Raises ValueError where the normal equations do not fit any field.
    """

    rows: int
    size: int
    matrix: int
    right: int
    scale: int
    ridge: int = 0

    def __post_init__(self) -> None:
        if self.rows < 1 or self.ridge < 0:
            raise ValueError("there is a row at least, and the ridge is not below 0")
        bounded(max(self.matrix, self.right), LARGEST, "a column")
        _ = self.system

    @property
    def system(self) -> System:
        """The normal equations' ranges."""
        return normal_equations(
            rows=self.rows,
            columns=self.size,
            matrix=self.matrix,
            right=self.right,
            scale=self.scale,
            ridge=self.ridge,
        )

    @property
    def ring(self) -> Ring:
        return self.system.field

    @property
    def elements(self) -> int:
        return self.size

    @property
    def results(self) -> int:
        return self.size

    def shares(self, side: Replicated, columns: Array) -> Interactive[Shared]:
        """floor(scale x + 1/2), `size` numbers."""
        system, entries = self.system, self.rows * self.size
        largest = [self.matrix] * entries + [self.right] * self.rows
        lifted = yield from _lifted(side, exactly(columns, entries + self.rows), system.field, largest)
        rows = lifted[:, :entries].reshape(2, self.rows, self.size)
        solution = yield from least_squares(
            side.over(system.field), rows, lifted[:, entries:], system, ridge=self.ridge
        )
        result = yield from checked(side, self.ring, solution)
        return result

    def read(self, values: Array) -> list[int]:
        return self.ring.signed(values)


def _lifted(side: Replicated, columns: Array, prime: PrimeField, largest: list[int]) -> Interactive[Array]:
    """The columns over the system's field, once they are known to be in range: what follows opens masked numbers."""
    bits = max(largest).bit_length()
    result: Array
    _, result = yield from together(within(side, columns, largest), lift(side, columns, prime, bits=bits))
    return result
