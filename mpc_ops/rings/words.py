"""Z/2^64, and words of bits (vectors over GF(2)), both in uint64.

Bits travel packed: `Bits(width)` has elements below 2^width, and n of them take ceil(n * width / 8) bytes. In
memory each is a uint64, so that all widths share the code.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mpc_ops.randomness import Stream
from mpc_ops.rings.base import Integers, Ring, reduced, signed_integers
from mpc_ops.rounds import Array, MessageError

_LITTLE = {8: "<u1", 16: "<u2", 32: "<u4", 64: "<u8"}
_WIDTHS = (1, 2, 4, 8, 16, 32, 64)


class _Words:
    """Z/2^64: numpy's own arithmetic on uint64. Ufuncs by name: operators on scalars warn when they wrap."""

    name = "z64"
    dtype: np.dtype[Any] = np.dtype(np.uint64)
    order = 1 << 64
    field = False

    def size(self, count: int) -> int:
        return 8 * count

    def encode(self, values: Array) -> bytes:
        if values.dtype != np.uint64:
            raise ValueError("words are uint64")
        return values.astype("<u8", copy=False).tobytes()

    def decode(self, data: bytes, shape: tuple[int, ...]) -> Array:
        if len(data) != 8 * prod(shape):
            raise MessageError("wrong size")
        return np.frombuffer(data, dtype="<u8").astype(np.uint64).reshape(shape)

    def element(self, values: Integers) -> Array:
        return reduced(values, self.order, self.dtype)

    def signed(self, values: Array) -> list[Any]:
        return signed_integers(values, self.order)

    def integers(self, values: Array) -> NDArray[np.object_]:
        return np.asarray(values).astype(object)

    def add(self, a: Array, b: Array) -> Array:
        return np.asarray(np.add(a, b))

    def sub(self, a: Array, b: Array) -> Array:
        return np.asarray(np.subtract(a, b))

    def mul(self, a: Array, b: Array) -> Array:
        return np.asarray(np.multiply(a, b))

    def matmul(self, a: Array, b: Array) -> Array:
        return np.asarray(np.matmul(a, b))

    def total(self, a: Array, axis: int) -> Array:
        return np.asarray(np.add.reduce(a, axis=axis))

    def is_zero(self, a: Array) -> NDArray[np.bool_]:
        return np.asarray(a == 0)

    def draw(self, stream: Stream, shape: tuple[int, ...]) -> Array:
        return stream.words(prod(shape)).reshape(shape)


@dataclass(frozen=True, slots=True)
class Bits:
    """Vectors of `width` bits: + and - are XOR, * is AND. Raises ValueError unless width is 1, 2, 4 .. 64."""

    width: int

    def __post_init__(self) -> None:
        if self.width not in _WIDTHS:
            raise ValueError(f"width {self.width} is not one of {_WIDTHS}")

    @property
    def name(self) -> str:
        return f"bits{self.width}"

    @property
    def dtype(self) -> np.dtype[Any]:
        return np.dtype(np.uint64)

    @property
    def order(self) -> int:
        return 1 << self.width

    @property
    def field(self) -> bool:
        return False

    @property
    def ones(self) -> np.uint64:
        """All bits set."""
        return np.uint64(self.order - 1)

    def size(self, count: int) -> int:
        return -(-count * self.width // 8)

    def encode(self, values: Array) -> bytes:
        if values.dtype != np.uint64 or (self.width < 64 and values.size and int(values.max()) >= self.order):
            raise ValueError(f"an element has more than {self.width} bits")
        if self.width >= 8:
            return values.astype(_LITTLE[self.width], copy=False).tobytes()
        per_byte = 8 // self.width
        flat = np.zeros(-(-values.size // per_byte) * per_byte, dtype=np.uint8)
        flat[: values.size] = values.reshape(-1)
        return _joined(flat, self.width).tobytes()

    def decode(self, data: bytes, shape: tuple[int, ...]) -> Array:
        count = prod(shape)
        if len(data) != self.size(count):
            raise MessageError("wrong size")
        if self.width >= 8:
            return np.frombuffer(data, dtype=_LITTLE[self.width]).astype(np.uint64).reshape(shape)
        flat = _parted(np.frombuffer(data, dtype=np.uint8), self.width)
        if flat[count:].any():
            raise MessageError("bits after the last element")
        return flat[:count].astype(np.uint64).reshape(shape)

    def packed(self, values: Array) -> Array:
        """Elements along the last axis in words of 64 bits, lowest first, the last one filled with 0."""
        count = values.shape[-1]
        words = -(-count * self.width // 64)
        dtype = np.dtype(_LITTLE[max(8, self.width)])
        flat = np.zeros((*values.shape[:-1], words * (64 // self.width)), dtype=dtype)
        flat[..., :count] = values
        return (flat if self.width >= 8 else _joined(flat, self.width)).view("<u8").astype(np.uint64, copy=False)

    def element(self, values: Integers) -> Array:
        return reduced(values, self.order, self.dtype)

    def signed(self, values: Array) -> list[Any]:
        return signed_integers(values, self.order)

    def integers(self, values: Array) -> NDArray[np.object_]:
        return np.asarray(values).astype(object)

    def add(self, a: Array, b: Array) -> Array:
        return np.asarray(a ^ b)

    def sub(self, a: Array, b: Array) -> Array:
        return np.asarray(a ^ b)

    def mul(self, a: Array, b: Array) -> Array:
        return np.asarray(a & b)

    def matmul(self, a: Array, b: Array) -> Array:
        if a.ndim < 2 or b.ndim < 2:
            raise ValueError("matrices of bits have two axes at least")
        return np.asarray(np.bitwise_xor.reduce(a[..., :, :, None] & b[..., None, :, :], axis=-2))

    def total(self, a: Array, axis: int) -> Array:
        return np.asarray(np.bitwise_xor.reduce(a, axis=axis))

    def is_zero(self, a: Array) -> NDArray[np.bool_]:
        return np.asarray(a == 0)

    def draw(self, stream: Stream, shape: tuple[int, ...]) -> Array:
        words = stream.words(prod(shape)).reshape(shape)
        return words if self.width == 64 else words & self.ones


def _joined(elements: Array, width: int) -> Array:
    """Elements of 1, 2 or 4 bits along the last axis, one in a byte, whole bytes of them: packed, the lowest first."""
    if width == 1:
        return np.packbits(elements, axis=-1, bitorder="little")
    per_byte = 8 // width
    result: Array = elements[..., ::per_byte].copy()
    for place in range(1, per_byte):
        result |= elements[..., place::per_byte] << np.uint8(place * width)
    return result


def _parted(data: Array, width: int) -> Array:
    """Bytes to their elements of 1, 2 or 4 bits, one in a byte."""
    if width == 1:
        return np.unpackbits(data, bitorder="little")
    per_byte, ones = 8 // width, np.uint8((1 << width) - 1)
    result = np.empty((len(data), per_byte), dtype=np.uint8)
    for place in range(per_byte):
        result[:, place] = (data >> np.uint8(place * width)) & ones
    return result.reshape(-1)


Z64: Ring = _Words()
BITS: Ring = Bits(64)
