"""The work that joint computation is measured on: the same numbers, in memory, over Kafka and in MPyC."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from math import floor

import numpy as np
from numpy.typing import NDArray

from mpc_ops.joint import comparing, ordering, replicated
from mpc_ops.joint.linear import System, solve
from mpc_ops.joint.replicated import Replicated
from mpc_ops.randomness import Stream
from mpc_ops.rings import F61, Z64, Bits, Ring
from mpc_ops.rounds import Array, Interactive

BITS = 20
"""Of each number. MPyC computes with 32, ours with 64 and, where it sorts, 32."""
SIZE = 16
SCALE = 1000
SYSTEM = System(size=SIZE, matrix=(1 << BITS) - 1, right=(1 << BITS) - 1, scale=SCALE)

SUM, PRODUCTS, COMPARISONS = "sum of 1,000", "1,000 products", "1,000 comparisons"
MAXIMUM, MEDIAN, LINEAR = "maximum of 100", "median of 100", "16 x 16 linear system"


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """A program on shares over a ring, that opens its result; `expected`: what it must open."""

    name: str
    ring: Ring
    program: Callable[..., Interactive[Array]]
    inputs: Sequence[Array]
    expected: tuple[int, ...]

    def shares(self) -> list[list[Array]]:
        """Shares of the inputs by party, the same in each process."""
        stream = Stream(b"\1" * 32)
        by_input = [replicated.share(self.ring, values, stream) for values in self.inputs]
        return [[share[party] for share in by_input] for party in range(replicated.PARTIES)]


def numbers() -> tuple[NDArray[np.uint64], NDArray[np.uint64], NDArray[np.uint64]]:
    """Two lists of 1,000 numbers, and the 16 x 17 of a linear system and its right side, all below 2^20."""
    stream = Stream(bytes(32))
    x, y, entries = (stream.words(count) >> np.uint64(64 - BITS) for count in (1000, 1000, SIZE * SIZE + SIZE))
    return x, y, np.column_stack([entries[: SIZE * SIZE].reshape(SIZE, SIZE), entries[SIZE * SIZE :]])


def operations() -> list[Operation]:
    """What is measured, in order."""
    x, y, system = numbers()
    some = np.sort(x[:100])
    entries, right = (SYSTEM.field.element(part) for part in (system[:, :SIZE], system[:, SIZE]))
    return [
        Operation(name=SUM, ring=Z64, program=_total, inputs=[x], expected=(int(x.sum()),)),
        Operation(
            name=PRODUCTS,
            ring=F61,
            program=_products,
            inputs=[F61.element(x), F61.element(y)],
            expected=tuple((x * y).tolist()),
        ),
        Operation(
            name=COMPARISONS,
            ring=Z64,
            program=_comparisons,
            inputs=[x, y],
            expected=tuple((x < y).astype(int).tolist()),
        ),
        Operation(name=MAXIMUM, ring=Z64, program=_maximum, inputs=[x[:100]], expected=(int(some[-1]),)),
        Operation(name=MEDIAN, ring=Z64, program=_median, inputs=[x[:100]], expected=(int(some[49] + some[50]),)),
        Operation(name=LINEAR, ring=SYSTEM.field, program=_solution, inputs=[entries, right], expected=_solved(system)),
    ]


def _solved(system: NDArray[np.uint64]) -> tuple[int, ...]:
    """floor(scale x + 1/2), by elimination in fractions."""
    rows = [[Fraction(value) for value in row] for row in system.tolist()]
    for column in range(SIZE):
        pivot = next(row for row in range(column, SIZE) if rows[row][column])
        rows[column], rows[pivot] = rows[pivot], rows[column]
        rows[column] = [value / rows[column][column] for value in rows[column]]
        for row in range(SIZE):
            if row != column and (factor := rows[row][column]):
                rows[row] = [a - factor * b for a, b in zip(rows[row], rows[column], strict=True)]
    return tuple(floor(SCALE * row[SIZE] + Fraction(1, 2)) for row in rows)


def _total(side: Replicated, x: Array) -> Interactive[Array]:
    result = yield from side.open(side.ring.total(x, 1)[:, None])
    return result


def _products(side: Replicated, x: Array, y: Array) -> Interactive[Array]:
    share = yield from side.multiply(x, y)
    result = yield from side.open(share)
    return result


def _comparisons(side: Replicated, x: Array, y: Array) -> Interactive[Array]:
    bits = yield from comparing.less(side, x, y)
    result = yield from side.over(Bits(1)).open(bits)
    return result


def _maximum(side: Replicated, x: Array) -> Interactive[Array]:
    found = yield from ordering.order(side, x, 32)
    result = yield from side.open(found.maximum()[:, None])
    return result


def _median(side: Replicated, x: Array) -> Interactive[Array]:
    found = yield from ordering.order(side, x, 32)
    result = yield from side.open(found.twice_median()[:, None])
    return result


def _solution(side: Replicated, a: Array, b: Array) -> Interactive[Array]:
    share = yield from solve(side, a, b, SYSTEM)
    result = yield from side.open(share)
    return result


def opened(operation: Operation, result: Array) -> tuple[int, ...]:
    """The result as whole numbers with sign; bits have none."""
    if operation.name == COMPARISONS:
        return tuple(int(bit) for bit in result)
    return tuple(operation.ring.signed(result))
