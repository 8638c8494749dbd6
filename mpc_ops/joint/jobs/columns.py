"""Jobs on columns: which are above a limit, their order, sums of products, polynomials."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from mpc_ops.joint import ordering
from mpc_ops.joint.base import inner
from mpc_ops.joint.comparing import less
from mpc_ops.joint.jobs.base import LARGEST, Shared, bounded, checked, exactly
from mpc_ops.joint.polynomials import evaluate
from mpc_ops.joint.replicated import Replicated
from mpc_ops.joint.rounding import lift
from mpc_ops.rings import F127, Z64, Bits, Ring
from mpc_ops.rounds import Array, Interactive


@dataclass(frozen=True, slots=True, kw_only=True)
class Threshold:
    """For each column, whether it is above its limit. |column| <= `largest`."""

    limits: tuple[int, ...]
    largest: int

    def __post_init__(self) -> None:
        bounded(self._distance, LARGEST, "the distance from a limit")

    @property
    def _distance(self) -> int:
        return self.largest + max(map(abs, self.limits), default=0)

    @property
    def ring(self) -> Ring:
        return Bits(1)

    @property
    def elements(self) -> int:
        return len(self.limits)

    @property
    def results(self) -> int:
        return len(self.limits)

    def shares(self, side: Replicated, columns: Array) -> Interactive[Shared]:
        """1 where the column is above its limit."""
        limits = side.public(side.ring.element(list(self.limits)))
        bits = yield from less(side, limits, exactly(columns, len(self.limits)), self._distance.bit_length() + 1)
        result = yield from checked(side, self.ring, bits)
        return result

    def read(self, values: Array) -> list[int]:
        return [int(value) for value in values]


@dataclass(frozen=True, slots=True, kw_only=True)
class Rank:
    """The columns in order. |column| <= `largest`. Gives the values or the indices asked for, from the highest on.

    `places`: which, 0 the highest, -1 the lowest; n // 2 is the median, of an even number the lower of the two in the
    middle. Of equal ones the last counts as the higher.
    """

    columns: int
    largest: int
    places: tuple[int, ...]
    what: Literal["values", "indices"]

    def __post_init__(self) -> None:
        if not 1 <= self.columns <= ordering.MOST:
            raise ValueError(f"{self.columns} columns: 1 to {ordering.MOST} can be put in order")
        if any(not -self.columns <= place < self.columns for place in self.places):
            raise ValueError(f"a place is none of {self.columns}")
        bits, index = self.largest.bit_length() + 1, (self.columns - 1).bit_length()
        bounded(bits + index, 64, "the bits of a value and its index")

    @property
    def ring(self) -> Ring:
        return Z64

    @property
    def elements(self) -> int:
        return len(self.places)

    @property
    def results(self) -> int:
        return len(self.places)

    def shares(self, side: Replicated, columns: Array) -> Interactive[Shared]:
        """The values, or the indices, at the places. Tests the range of all columns before it opens their order."""
        bits = self.largest.bit_length() + 1
        result = yield from ordering.order(side, exactly(columns, self.columns), bits, largest=self.largest)
        share = (result.values if self.what == "values" else result.indices)[:, ::-1][:, list(self.places)]
        shared = yield from checked(side, self.ring, share)
        return shared

    def read(self, values: Array) -> list[int]:
        return Z64.signed(values)


@dataclass(frozen=True, slots=True, kw_only=True)
class Product:
    """The sum of the products of the first half of the columns with the second: what it all costs.

    |first| <= `first`, |second| <= `second`. One number.
    """

    pairs: int
    first: int
    second: int

    def __post_init__(self) -> None:
        bounded(max(self.first, self.second), LARGEST, "a column")
        bounded(self.pairs * self.first * self.second, 1 << 126, "the sum of products")

    @property
    def ring(self) -> Ring:
        return F127

    @property
    def elements(self) -> int:
        return 1

    @property
    def results(self) -> int:
        return 1

    def shares(self, side: Replicated, columns: Array) -> Interactive[Shared]:
        """The sum."""
        bits = max(self.first, self.second).bit_length()
        lifted = yield from lift(side, exactly(columns, 2 * self.pairs), F127, bits=bits)
        total = yield from inner(side.over(F127), lifted[:, : self.pairs], lifted[:, self.pairs :])
        result = yield from checked(side, self.ring, total[:, None])
        return result

    def read(self, values: Array) -> list[int]:
        return F127.signed(values)


@dataclass(frozen=True, slots=True, kw_only=True)
class Polynomial:
    """c0 + c1 x + .. at each of `points` columns, |x| <= `largest`, for public whole coefficients."""

    coefficients: tuple[int, ...]
    largest: int
    points: int

    def __post_init__(self) -> None:
        if not self.coefficients:
            raise ValueError("a polynomial has a coefficient at least")
        bounded(self.largest, LARGEST, "a column")
        most = sum(abs(c) * self.largest**power for power, c in enumerate(self.coefficients))
        bounded(most, 1 << 126, "a value of the polynomial")

    @property
    def ring(self) -> Ring:
        return F127

    @property
    def elements(self) -> int:
        return self.points

    @property
    def results(self) -> int:
        return self.points

    def shares(self, side: Replicated, columns: Array) -> Interactive[Shared]:
        """One number for each column."""
        lifted = yield from lift(side, exactly(columns, self.points), F127, bits=self.largest.bit_length())
        values = yield from evaluate(side.over(F127), F127.element(list(self.coefficients)), lifted)
        result = yield from checked(side, self.ring, values)
        return result

    def read(self, values: Array) -> list[int]:
        return F127.signed(values)
