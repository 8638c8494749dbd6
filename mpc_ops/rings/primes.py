"""Fields of large Mersenne primes, for numbers that 61 bits cannot hold: products, quotients, determinants.

An element is one item of an array: 8 (bits // 64 + 1) bytes that hold its little-endian words. So arrays of elements
are cut, joined and put in order as any others, but numpy knows no arithmetic for them: that is the field's, in
`mpc_ops.rings.carries` and, for products, in `mpc_ops.rings.limbs`. Few products are faster with Python's integers.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mpc_ops.randomness import Stream
from mpc_ops.rings import carries, limbs
from mpc_ops.rings.base import Integers, reduced, signed_integers
from mpc_ops.rings.carries import WORD, Words
from mpc_ops.rounds import Array, MessageError

_FEW = {127: 64, 521: 128, 1279: 512}
"""Up to so many products are computed in Python's integers: what numpy does before the first takes as long."""

_ZERO = np.uint64(0)
_LINES = {127: 2, 521: 4, 1279: 8}
"""Matrices of fewer lines and columns are multiplied element by element."""


_DTYPES = {bits: np.dtype((np.void, 8 * carries.words_for(bits))) for bits in _FEW}


@dataclass(frozen=True, slots=True)
class PrimeField:
    """GF(2^bits - 1) for a Mersenne prime. Raises ValueError for another exponent than 127, 521 or 1279."""

    bits: int

    def __post_init__(self) -> None:
        if self.bits not in _FEW:
            raise ValueError("a large field has 127, 521 or 1279 bits")

    @property
    def name(self) -> str:
        return f"f{self.bits}"

    @property
    def dtype(self) -> np.dtype[Any]:
        return _DTYPES[self.bits]

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
        if not self._canonical(self._words(values)):
            raise ValueError("not an element of the field")
        return self.octets(values).tobytes()

    def decode(self, data: bytes, shape: tuple[int, ...]) -> Array:
        count = prod(shape)
        if len(data) != self._width * count:
            raise MessageError("wrong size")
        words = np.zeros((count, carries.words_for(self.bits)), dtype=WORD)
        words.view(np.uint8)[:, : self._width] = np.frombuffer(data, dtype=np.uint8).reshape(count, self._width)
        if not self._canonical(words):
            raise MessageError("not an element of the field")
        return self._elements(words, shape)

    def octets(self, a: Array) -> NDArray[np.uint8]:
        """The bytes of each element as on the wire, along a new last axis."""
        return self._words(a).view(np.uint8)[:, : self._width].reshape(*a.shape, self._width)

    def element(self, values: Integers) -> Array:
        if isinstance(values, np.ndarray) and values.dtype.kind in "bui":
            return self._of_words(values)
        exact = reduced(values, self.order, np.dtype(object))
        return self._of_integers(exact)

    def integers(self, values: Array) -> NDArray[np.object_]:
        result = np.empty(values.shape, dtype=object)
        result.reshape(-1)[:] = [int.from_bytes(value, "little") for value in self._own(values).reshape(-1).tolist()]
        return result

    def signed(self, values: Array) -> list[Any]:
        return signed_integers(self.integers(values), self.order)

    def add(self, a: Array, b: Array) -> Array:
        x, y, shape = self._both(a, b)
        return self._elements(carries.add(x, y, self.bits), shape)

    def sub(self, a: Array, b: Array) -> Array:
        x, y, shape = self._both(a, b)
        return self._elements(carries.subtract(x, y, self.bits), shape)

    def mul(self, a: Array, b: Array) -> Array:
        shape = np.broadcast_shapes(a.shape, b.shape)
        if prod(shape) <= _FEW[self.bits]:
            return self._folded(np.asarray(self.integers(a) * self.integers(b), dtype=object))
        if min(a.size, b.size) == 1:
            factor, others = (a, b) if a.size == 1 else (b, a)
            return self._matrices(others.reshape(-1, 1), factor.reshape(1, 1)).reshape(shape)
        x, y, shape = self._both(a, b)
        return self._elements(limbs.multiply(x, y, self.bits), shape)

    def matmul(self, a: Array, b: Array) -> Array:
        left = a[None] if a.ndim == 1 else a
        right = b[:, None] if b.ndim == 1 else b
        result = self._matrices(left, right)
        if b.ndim == 1:
            result = result[..., 0]
        return result[..., 0] if a.ndim == 1 and b.ndim == 1 else result[..., 0, :] if a.ndim == 1 else result

    def total(self, a: Array, axis: int) -> Array:
        places = 2 * carries.words_for(self.bits)
        halves = self._words(a).view("<u4").reshape(*a.shape, places)
        sums = np.add.reduce(halves, axis=axis % a.ndim, dtype=np.uint64)
        digits = sums.reshape(-1, places)[:, : -(-self.bits // 32)].T.copy()
        return self._elements(carries.joined(digits, 32, self.bits), sums.shape[:-1])

    def is_zero(self, a: Array) -> NDArray[np.bool_]:
        return np.asarray(self._own(a) == np.zeros((), dtype=self.dtype))

    def inverse(self, a: Array) -> Array:
        """1 / a. Raises ValueError for a 0."""
        if self.is_zero(a).any():
            raise ValueError("0 has no inverse")
        return self._inverse(a.reshape(-1)).reshape(a.shape)

    def shift_right(self, a: Array, places: int) -> Array:
        """floor(a / 2^places), of the integer in [0, P)."""
        words = self._words(a)
        result = np.zeros_like(words)
        (skipped, shift), kept = divmod(places, 64), words.shape[1] - places // 64
        if kept > 0:
            result[:, :kept] = words[:, skipped:] >> np.uint64(shift)
        if kept > 1 and shift:
            result[:, : kept - 1] |= words[:, skipped + 1 :] << np.uint64(64 - shift)
        return self._elements(result, a.shape)

    def low_bits(self, a: Array, bits: int) -> Array:
        """a modulo 2^bits, of the integer in [0, P)."""
        mask = carries.constant((1 << min(bits, self.bits)) - 1, self.bits)
        return self._elements(self._words(a) & mask, a.shape)

    def draw(self, stream: Stream, shape: tuple[int, ...]) -> Array:
        count, size = prod(shape), carries.words_for(self.bits)
        words = stream.words(count * size).reshape(count, size)
        words[:, -1] &= np.uint64((1 << self.bits % 64) - 1)
        # 2^bits - 1 stands for 0 a second time: with 127 bits or more nobody will ever see that one
        carries.fold(words, self.bits)
        return self._elements(words, shape)

    def _own(self, values: Array) -> Array:
        """The array. Raises ValueError for what are no elements of this field: numpy would take their bytes."""
        if values.dtype != self.dtype:
            raise ValueError(f"not elements of {self.name}")
        return np.asarray(values)

    def _words(self, values: Array) -> Words:
        """(n, words), contiguous."""
        return np.ascontiguousarray(self._own(values)).reshape(-1).view(WORD).reshape(-1, carries.words_for(self.bits))

    def _both(self, a: Array, b: Array) -> tuple[Words, Words, tuple[int, ...]]:
        """The words of both, as often as they are needed, and the shape of the result."""
        shape = np.broadcast_shapes(a.shape, b.shape)
        x, y = (self._words(one if one.shape == shape else np.broadcast_to(one, shape)) for one in (a, b))
        return x, y, shape

    def _elements(self, words: Words, shape: tuple[int, ...]) -> Array:
        return np.ascontiguousarray(words).view(self.dtype).reshape(shape)

    def _canonical(self, words: Words) -> bool:
        """Whether each is below the order."""
        modulus = carries.constant(self.order, self.bits)
        return not (
            (words[:, -1] > modulus[-1]).any() or (self._elements(words, (-1,)) == modulus.view(self.dtype)).any()
        )

    def _of_words(self, values: NDArray[Any]) -> Array:
        """Of integers of up to 64 bits: -x has the bits of x inverted, over all words."""
        words = np.zeros((values.size, carries.words_for(self.bits)), dtype=WORD)
        words[:, 0] = values.reshape(-1)
        if values.dtype.kind == "i":
            below = values.reshape(-1) < 0
            words[below] = ~_ZERO
            words[below, 0] = values.reshape(-1)[below] - 1
            words[below, -1] &= np.uint64((1 << self.bits % 64) - 1)
        return self._elements(words, values.shape)

    def _of_integers(self, values: NDArray[np.object_]) -> Array:
        """Of Python integers in [0, P)."""
        size = 8 * carries.words_for(self.bits)
        data = bytearray().join([value.to_bytes(size, "little") for value in values.reshape(-1).tolist()])
        return np.frombuffer(data, dtype=self.dtype).reshape(values.shape)

    def _folded(self, values: NDArray[np.object_]) -> Array:
        """Python integers modulo the order, where 2^bits = 1: much less work than to divide what is twice as long."""
        return self._of_integers(np.asarray(((values & self.order) + (values >> self.bits)) % self.order, dtype=object))

    def _matrices(self, a: Array, b: Array) -> Array:
        """(..., n, k) and (..., k, m) give (..., n, m)."""
        if a.shape[-1] != b.shape[-2]:
            raise ValueError("the shapes do not match")
        stack, terms = np.broadcast_shapes(a.shape[:-2], b.shape[:-2]), a.shape[-1]
        shape = (*stack, a.shape[-2], b.shape[-1])
        if prod(stack) * a.shape[-2] * terms * b.shape[-1] <= _FEW[self.bits]:
            return self._folded(np.matmul(self.integers(a), self.integers(b)))
        lines = a.size // terms if b.ndim == 2 else a.shape[-2]  # that meet the same columns
        columns = b.size // terms if a.ndim == 2 else b.shape[-1]
        if max(lines, columns) < _LINES[self.bits]:
            return self.total(self.mul(a[..., :, None, :], np.swapaxes(b, -1, -2)[..., None, :, :]), -1)
        if lines < columns:
            return np.swapaxes(self._matrices(np.swapaxes(b, -1, -2), np.swapaxes(a, -1, -2)), -1, -2)
        if b.ndim == 2:
            a, b = a.reshape(1, -1, terms), b[None]  # one matrix
        else:
            a, b = (np.broadcast_to(x, (*stack, *x.shape[-2:])).reshape(-1, *x.shape[-2:]) for x in (a, b))
        x, y = (self._words(m).reshape(*m.shape, -1) for m in (a, b))
        return self._elements(limbs.matrix_product(x, y, self.bits), shape)

    def _inverse(self, a: Array) -> Array:
        """Of a vector without 0: with a single inversion, that of all of them multiplied (Montgomery's trick)."""
        if len(a) <= _FEW[self.bits]:
            return self._of_integers(np.array(_inverted(self.integers(a).tolist(), self.order), dtype=object))
        half = len(a) // 2
        first, second, odd = np.split(a, [half, 2 * half])
        inverse = self._inverse(np.concatenate([self.mul(first, second), odd]))
        joint, odd = np.split(inverse, [half])
        return np.concatenate([self.mul(joint, second), self.mul(joint, first), odd])


def _inverted(values: list[int], prime: int) -> list[int]:
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
