"""Jobs: what a task asks for of the aggregate shares of a window, from shares over Z/2^64 to opened whole numbers.

A job knows the range of every column, and refuses at once what could leave it: the overflow rule counts products
too. Its `run` is one protocol for any replicated side, checked or not; what it opens is its result, and nothing else
(docs/joint-computation.md). All results are whole numbers, in units that the caller knows.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol

import numpy as np

from mpc_ops.joint import ordering
from mpc_ops.joint.base import inner, plus
from mpc_ops.joint.comparing import less
from mpc_ops.joint.gates import to_bits
from mpc_ops.joint.linear import System, solve
from mpc_ops.joint.netlist import Netlist, evaluate
from mpc_ops.joint.polynomials import evaluate as polynomial
from mpc_ops.joint.replicated import Replicated
from mpc_ops.joint.rounding import lift
from mpc_ops.rings import F127, Bits
from mpc_ops.rounds import Array, Interactive

_LIMIT = 1 << 63


class Job(Protocol):
    """What a job offers: it is made for n columns, and run on a share (2, n) of them."""

    def run(self, side: Replicated, columns: Array) -> Interactive[list[int]]:
        """The opened result. Raises what the protocols raise: CheckFailedError, SingularError, QuotientError."""
        ...


def _bounded(largest: int, most: int, what: str) -> None:
    if largest >= most:
        raise ValueError(f"{what} may reach {largest}, which is not below {most}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Threshold:
    """For each column, whether it is above its limit. |column| <= `largest`. Opens a bit for each."""

    limits: tuple[int, ...]
    largest: int

    def __post_init__(self) -> None:
        _bounded(self.largest + max(map(abs, self.limits), default=0), _LIMIT, "the distance from a limit")

    def run(self, side: Replicated, columns: Array) -> Interactive[list[int]]:
        """1 where the column is above its limit."""
        limits = side.public(side.ring.element(list(self.limits)))
        bits = yield from less(side, limits, _exactly(columns, len(self.limits)))
        opened = yield from side.over(Bits(1)).open(bits)
        return _integers(opened.tolist())


@dataclass(frozen=True, slots=True, kw_only=True)
class Rank:
    """The columns in order. |column| <= `largest`. Opens the values or the indices asked for, from the highest on.

    `places`: which, 0 the highest, -1 the lowest; the median of an odd number n is n // 2.
    """

    columns: int
    largest: int
    places: tuple[int, ...]
    what: Literal["values", "indices"]

    def __post_init__(self) -> None:
        if any(not -self.columns <= place < self.columns for place in self.places):
            raise ValueError(f"a place is none of {self.columns}")
        bits, index = self.largest.bit_length() + 1, (self.columns - 1).bit_length()
        _bounded(bits + index, 64, "the bits of a value and its index")

    def run(self, side: Replicated, columns: Array) -> Interactive[list[int]]:
        """The values, or the indices, at the places."""
        bits = self.largest.bit_length() + 1
        result = yield from ordering.order(side, _exactly(columns, self.columns), bits)
        share = (result.values if self.what == "values" else result.indices)[:, ::-1][:, list(self.places)]
        opened = yield from side.open(share)
        return _integers(side.ring.signed(opened))


@dataclass(frozen=True, slots=True, kw_only=True)
class Product:
    """The sum of the products of the first half of the columns with the second: what it all costs.

    |first| <= `first`, |second| <= `second`.
    """

    pairs: int
    first: int
    second: int

    def __post_init__(self) -> None:
        _bounded(self.pairs * self.first * self.second, 1 << 126, "the sum of products")

    def run(self, side: Replicated, columns: Array) -> Interactive[list[int]]:
        """One number."""
        lifted = yield from lift(side, _exactly(columns, 2 * self.pairs), F127)
        over = side.over(F127)
        total = yield from inner(over, lifted[:, : self.pairs], lifted[:, self.pairs :])
        opened = yield from over.open(total[:, None])
        return _integers(F127.signed(opened))


@dataclass(frozen=True, slots=True, kw_only=True)
class Polynomial:
    """c0 + c1 x + .. at each column, |x| <= `largest`, for public whole coefficients."""

    coefficients: tuple[int, ...]
    largest: int

    def __post_init__(self) -> None:
        most = sum(abs(c) * self.largest**power for power, c in enumerate(self.coefficients))
        _bounded(most, 1 << 126, "a value of the polynomial")

    def run(self, side: Replicated, columns: Array) -> Interactive[list[int]]:
        """One number for each column."""
        lifted = yield from lift(side, columns, F127)
        values = yield from polynomial(side.over(F127), F127.element(list(self.coefficients)), lifted)
        opened = yield from side.over(F127).open(values)
        return _integers(F127.signed(opened))


@dataclass(frozen=True, slots=True, kw_only=True)
class LinearSolve:
    """A x = b: the columns are the rows of A, d times d, and then b. Ridge on top: `ridge` is added to A's diagonal.

    With A = X'X and b = X'y, which are sums, this is least squares.
    """

    system: System
    ridge: int = 0

    def run(self, side: Replicated, columns: Array) -> Interactive[list[int]]:
        """floor(scale x + 1/2), d numbers."""
        d, field = self.system.size, self.system.field
        lifted = yield from lift(side, _exactly(columns, d * d + d), field)
        over = side.over(field)
        matrix = plus(over, lifted[:, : d * d].reshape(2, d, d), field.element(self.ridge * np.eye(d, dtype=object)))
        share = yield from solve(over, matrix, lifted[:, d * d :], self.system)
        opened = yield from over.open(share)
        return _integers(field.signed(opened))


@dataclass(frozen=True, slots=True, kw_only=True)
class Circuit:
    """A netlist whose inputs are the columns' bits: input k takes the lowest bits of column k. Opens all outputs."""

    netlist: Netlist

    def __post_init__(self) -> None:
        _bounded(max(self.netlist.inputs, default=0), 65, "the bits of an input")

    def run(self, side: Replicated, columns: Array) -> Interactive[list[int]]:
        """Each output as a number without sign, its first wire the lowest bit."""
        words = yield from to_bits(side, _exactly(columns, len(self.netlist.inputs)))
        inputs = [
            (words[:, index, None] >> np.arange(wires, dtype=np.uint64)) & np.uint64(1)
            for index, wires in enumerate(self.netlist.inputs)
        ]
        outputs = yield from evaluate(side, self.netlist, [bits[..., None] for bits in inputs], 1)
        opened = yield from side.over(Bits(1)).open(np.concatenate(outputs, axis=1))
        bits, start, result = opened[:, 0].tolist(), 0, []
        for wires in self.netlist.outputs:
            result.append(sum(bit << place for place, bit in enumerate(bits[start : start + wires])))
            start += wires
        return result


def _exactly(columns: Array, count: int) -> Array:
    if columns.shape != (2, count):
        raise ValueError(f"the job takes {count} columns, not {columns.shape[1:]}")
    return columns


def _integers(values: Sequence[Any]) -> list[int]:
    return [int(value) for value in values]
