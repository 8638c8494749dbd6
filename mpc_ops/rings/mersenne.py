"""The field of p = 2^61 - 1, vectorised in uint64.

A product of two elements has 122 bits. With a = a1 2^32 + a0 and b alike (a1, b1 below 2^29) it is

    a1 b1 2^64 + (a1 b0 + a0 b1) 2^32 + a0 b0

and modulo p 2^61 = 1, so 2^64 = 8 and m 2^32 = (m >> 29) + (m mod 2^29) 2^32; all sums stay below 2^64. Matrix
products go through float64 and so through the machine's BLAS: three limbs of 21, 21 and 19 bits, whose products of
42 bits add up exactly over 2^11 terms.
"""

from __future__ import annotations

from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mpc_ops.randomness import Stream
from mpc_ops.rings.base import Integers, Ring, reduced, signed_integers
from mpc_ops.rounds import Array, MessageError

P61 = (1 << 61) - 1
_P = np.uint64(P61)
_ONE = np.uint64(1)
_LOW29, _LOW32, _LOW21 = (np.uint64((1 << bits) - 1) for bits in (29, 32, 21))
_S3, _S21, _S29, _S32, _S42, _S61 = (np.uint64(bits) for bits in (3, 21, 29, 32, 42, 61))
_TERMS = 1 << 11
_BLOCK = 1 << 14


def _fold(x: Array) -> Array:
    """Any uint64 to its residue below p."""
    y = (x & _P) + (x >> _S61)
    return np.asarray(np.minimum(y, np.subtract(y, _P)))  # y - p wraps to a large number where y < p


def _product(a: Array, b: Array) -> Array:
    a1, a0, b1, b0 = a >> _S32, a & _LOW32, b >> _S32, b & _LOW32
    middle = a1 * b0 + a0 * b1
    low = a0 * b0
    total = ((a1 * b1) << _S3) + (middle >> _S29) + ((middle & _LOW29) << _S32)
    return _fold(total + (low & _P) + (low >> _S61))


class _Mersenne61:
    """GF(2^61 - 1)."""

    name = "f61"
    dtype: np.dtype[Any] = np.dtype(np.uint64)
    order = P61
    field = True

    def size(self, count: int) -> int:
        return 8 * count

    def encode(self, values: Array) -> bytes:
        if values.dtype != np.uint64 or (values.size and int(values.max()) >= P61):
            raise ValueError("not an element of the field")
        return values.astype("<u8", copy=False).tobytes()

    def decode(self, data: bytes, shape: tuple[int, ...]) -> Array:
        if len(data) != 8 * prod(shape):
            raise MessageError("wrong size")
        values = np.frombuffer(data, dtype="<u8").astype(np.uint64).reshape(shape)
        if values.size and int(values.max()) >= P61:
            raise MessageError("not an element of the field")
        return values

    def element(self, values: Integers) -> Array:
        if isinstance(values, np.ndarray) and values.dtype == np.uint64:
            return _fold(values)
        return reduced(values, P61, self.dtype)

    def signed(self, values: Array) -> list[Any]:
        return signed_integers(values, P61)

    def integers(self, values: Array) -> NDArray[np.object_]:
        return np.asarray(values).astype(object)

    def add(self, a: Array, b: Array) -> Array:
        x = a + b
        return np.asarray(np.minimum(x, np.subtract(x, _P)))

    def sub(self, a: Array, b: Array) -> Array:
        x = np.subtract(a, b)
        return np.asarray(np.minimum(x, np.add(x, _P)))

    def mul(self, a: Array, b: Array) -> Array:
        shape = np.broadcast_shapes(a.shape, b.shape)
        size = prod(shape)
        if size <= 2 * _BLOCK:
            return _product(a, b).reshape(shape)
        left, right = (np.ascontiguousarray(np.broadcast_to(x, shape)).reshape(-1) for x in (a, b))
        result = np.empty(size, dtype=np.uint64)
        for start in range(0, size, _BLOCK):  # a dozen intermediate arrays that stay in the cache
            block = slice(start, start + _BLOCK)
            result[block] = _product(left[block], right[block])
        return result.reshape(shape)

    def matmul(self, a: Array, b: Array) -> Array:
        if a.shape[-1] != b.shape[-2 if b.ndim > 1 else -1]:
            raise ValueError("the shapes do not match")
        result: Array | None = None
        for start in range(0, max(a.shape[-1], 1), _TERMS):
            terms = slice(start, start + _TERMS)
            part = self._block_product(a[..., terms], b[..., terms, :] if b.ndim > 1 else b[terms])
            result = part if result is None else self.add(result, part)
        assert result is not None, "internal error: no block"
        return result

    def _block_product(self, a: Array, b: Array) -> Array:
        limbs_a, limbs_b = (
            [(x & _LOW21).astype(np.float64), ((x >> _S21) & _LOW21).astype(np.float64), (x >> _S42).astype(np.float64)]
            for x in (a, b)
        )
        result: Array | None = None
        for power in range(5):
            exact = [
                np.matmul(limbs_a[i], limbs_b[power - i]).astype(np.uint64) for i in range(3) if 0 <= power - i <= 2
            ]  # each at most 2^11 * 2^42 = 2^53: exact in float64
            weight = np.asarray(np.uint64(pow(2, 21 * power, P61)))
            part = self.mul(_fold(np.asarray(sum(exact))), weight)
            result = part if result is None else self.add(result, part)
        assert result is not None, "internal error: no limb"
        return result

    def total(self, a: Array, axis: int) -> Array:
        low = np.add.reduce(a & _LOW32, axis=axis)  # below 2^64 for up to 2^32 terms
        high = _fold(np.asarray(np.add.reduce(a >> _S32, axis=axis)))
        return self.add(_fold(np.asarray(low)), self.mul(high, np.asarray(np.uint64(1 << 32))))

    def is_zero(self, a: Array) -> NDArray[np.bool_]:
        return np.asarray(a == 0)

    def draw(self, stream: Stream, shape: tuple[int, ...]) -> Array:
        values = stream.words(prod(shape)) & _P
        while (again := values == _P).any():  # 61 bits all set: drawn again, so that no element is more likely
            values[again] = stream.words(int(again.sum())) & _P
        return values.reshape(shape)

    def power(self, a: Array, exponent: int) -> Array:
        """a^exponent for a public exponent >= 0, by squaring."""
        result = np.ones_like(a)
        for bit in bin(exponent)[2:]:
            result = self.mul(result, result)
            if bit == "1":
                result = self.mul(result, a)
        return result

    def inverse(self, a: Array) -> Array:
        """1 / a; 0 for 0."""
        return self.power(a, P61 - 2)


F61 = _Mersenne61()
_: Ring = F61
