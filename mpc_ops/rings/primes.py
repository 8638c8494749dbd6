"""Fields of large primes: numpy arrays of Python integers, for linear systems whose determinants have hundreds of bits.

Python's own integers are fast enough here (a 16 x 16 product at 521 bits takes 2 ms): such jobs are few, and their
rounds cost more.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mpc_ops.randomness import Stream
from mpc_ops.rings.base import Integers, reduced, signed_integers
from mpc_ops.rounds import Array, MessageError


@dataclass(frozen=True, slots=True)
class PrimeField:
    """GF(2^bits - 1) for a Mersenne prime. Raises ValueError for another exponent than 127, 521 or 1279."""

    bits: int

    def __post_init__(self) -> None:
        if self.bits not in (127, 521, 1279):
            raise ValueError("a large field has 127, 521 or 1279 bits")

    @property
    def name(self) -> str:
        return f"f{self.bits}"

    @property
    def dtype(self) -> np.dtype[Any]:
        return np.dtype(object)

    @property
    def order(self) -> int:
        return (1 << self.bits) - 1

    @property
    def field(self) -> bool:
        return True

    @property
    def _width(self) -> int:
        return -(-self.bits // 8)

    def size(self, count: int) -> int:
        return self._width * count

    def encode(self, values: Array) -> bytes:
        width, integers = self._width, values.ravel().tolist()
        if integers and not 0 <= min(integers) <= max(integers) < self.order:
            raise ValueError("not an element of the field")
        return b"".join([value.to_bytes(width, "little") for value in integers])

    def decode(self, data: bytes, shape: tuple[int, ...]) -> Array:
        count = prod(shape)
        if len(data) != self._width * count:
            raise MessageError("wrong size")
        integers = _integers(data, self._width)
        if integers and max(integers) >= self.order:
            raise MessageError("not an element of the field")
        return self._array(integers, shape)

    def element(self, values: Integers) -> Array:
        if isinstance(values, np.ndarray) and values.dtype == np.uint64:
            return values.astype(object)  # all of them below the order
        return reduced(values, self.order, self.dtype)

    def signed(self, values: Array) -> list[Any]:
        return signed_integers(values, self.order)

    def add(self, a: Array, b: Array) -> Array:
        return np.asarray((a + b) % self.order, dtype=object)

    def sub(self, a: Array, b: Array) -> Array:
        return np.asarray((a - b) % self.order, dtype=object)

    def mul(self, a: Array, b: Array) -> Array:
        return self._folded(a * b)

    def matmul(self, a: Array, b: Array) -> Array:
        return self._folded(np.matmul(a, b))

    def total(self, a: Array, axis: int) -> Array:
        return np.asarray(np.add.reduce(a, axis=axis) % self.order, dtype=object)

    def draw(self, stream: Stream, shape: tuple[int, ...]) -> Array:
        count, top = prod(shape), self.bits // 64
        words = stream.words(count * (top + 1)).reshape(count, top + 1)
        words[:, top] &= np.uint64((1 << (self.bits - 64 * top)) - 1)
        integers = _integers(words.astype("<u8").tobytes(), 8 * (top + 1))
        # 2^bits - 1 stands for 0 a second time: with 127 bits or more nobody will ever see that one
        if integers and max(integers) == self.order:
            integers = [integer % self.order for integer in integers]
        return self._array(integers, shape)

    def inverse(self, a: Array) -> Array:
        """1 / a. Raises ValueError for a 0."""
        return self.element(np.array(_inverted(a.ravel().tolist(), self.order), dtype=object).reshape(a.shape))

    def is_zero(self, a: Array) -> NDArray[np.bool_]:
        return np.asarray(a == 0, dtype=np.bool_)

    def integers(self, values: Array) -> NDArray[np.object_]:
        return np.asarray(values).astype(object)

    def shift_right(self, a: Array, places: int) -> Array:
        """floor(a / 2^places), of the integer in [0, P)."""
        return np.asarray(a >> places, dtype=object)

    def low_bits(self, a: Array, bits: int) -> Array:
        """a modulo 2^bits, of the integer in [0, P)."""
        return np.asarray(a & ((1 << bits) - 1), dtype=object)

    def octets(self, a: Array) -> NDArray[np.uint8]:
        """The bytes of each element as on the wire, along a new last axis."""
        return np.frombuffer(self.encode(a), dtype=np.uint8).reshape(*a.shape, self._width)

    def _folded(self, x: Array) -> Array:
        """Modulo the order, where 2^bits = 1: much less work than to divide what is twice as long."""
        return np.asarray(((x & self.order) + (x >> self.bits)) % self.order, dtype=object)

    def _array(self, integers: list[int], shape: tuple[int, ...]) -> Array:
        result = np.empty(shape, dtype=object)
        result.reshape(-1)[:] = integers
        return result


def _integers(data: bytes, size: int) -> list[int]:
    """Little-endian integers of `size` bytes each."""
    return [int.from_bytes(piece, "little") for piece in np.frombuffer(data, dtype=f"V{size}").tolist()]


def _inverted(values: list[int], prime: int) -> list[int]:
    """Their inverses, with a single inversion: that of all of them multiplied (Montgomery's trick)."""
    before, product = [], 1
    for value in values:
        before.append(product)
        product = product * value % prime
    inverse, result = pow(product, -1, prime), []
    for value, others in zip(reversed(values), reversed(before), strict=True):
        result.append(inverse * others % prime)
        inverse = inverse * value % prime
    return result[::-1]


F127, F521, F1279 = PrimeField(127), PrimeField(521), PrimeField(1279)
