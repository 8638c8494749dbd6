"""What a ring offers to the protocols: arithmetic on arrays, uniform elements, and its form on the wire."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mpc_ops.randomness import Stream
from mpc_ops.rounds import Array, Kind, MessageError

Integers: TypeAlias = "int | Sequence[Any] | ArrayLike"


class Ring(Kind, Protocol):
    """Elements are arrays of one dtype in canonical form; operations work elementwise, broadcast, return new arrays."""

    @property
    def dtype(self) -> np.dtype[Any]: ...
    @property
    def order(self) -> int:
        """The number of elements."""
        ...

    @property
    def field(self) -> bool:
        """Whether every element but 0 has an inverse: checks of products need it (SPDZ2k, CRYPTO 2018)."""
        ...

    def element(self, values: Integers) -> Array:
        """The elements of integers of any sign and size, reduced."""
        ...

    def signed(self, values: Array) -> list[Any]:
        """Python integers in [-order/2, order/2), nested as the array is."""
        ...

    def integers(self, values: Array) -> NDArray[np.object_]:
        """Python integers in [0, order), in the same shape."""
        ...

    def add(self, a: Array, b: Array) -> Array: ...
    def sub(self, a: Array, b: Array) -> Array: ...
    def mul(self, a: Array, b: Array) -> Array: ...
    def matmul(self, a: Array, b: Array) -> Array:
        """As numpy's: (..., n, k) and (..., k, m), or vectors."""
        ...

    def total(self, a: Array, axis: int) -> Array:
        """The sum along an axis, which goes away."""
        ...

    def is_zero(self, a: Array) -> NDArray[np.bool_]:
        """Where an element is 0."""
        ...

    def draw(self, stream: Stream, shape: tuple[int, ...]) -> Array:
        """Uniform elements from a stream."""
        ...


def reduced(values: Integers, order: int, dtype: np.dtype[Any]) -> Array:
    """Integers modulo `order`, as `dtype`. Raises TypeError for what is no integer: a float would be cut in silence."""
    exact = np.asarray(values) if isinstance(values, np.ndarray) else np.array(values, dtype=object)
    if exact.dtype == dtype and dtype == np.uint64 and order == 1 << 64:
        return exact.copy()
    if exact.dtype == np.int64 and order == 1 << 64:
        return exact.astype(np.uint64)
    exact = exact.astype(object)
    flat = exact.ravel().tolist()
    if not all(issubclass(kind, int | np.integer) for kind in set(map(type, flat))):
        raise TypeError("not integers")
    result = np.empty(exact.shape, dtype=dtype)
    result.reshape(-1)[:] = [int(value) % order for value in flat]
    return result


def signed_integers(values: Array, order: int) -> list[Any]:
    """Elements as Python integers in [-order/2, order/2)."""
    half = (order + 1) // 2
    flat = np.empty(values.shape, dtype=object)
    flat.reshape(-1)[:] = [int(value) - (order if int(value) >= half else 0) for value in values.flat]
    result: list[Any] = flat.tolist()
    return result


class _Digest:
    """32 bytes of a hash: uint8[32]."""

    name = "digest"

    def size(self, count: int) -> int:
        return count

    def encode(self, values: NDArray[np.uint8]) -> bytes:
        return values.astype(np.uint8).tobytes()

    def decode(self, data: bytes, shape: tuple[int, ...]) -> Array:
        if len(data) != int(np.prod(shape)):
            raise MessageError("wrong size")
        return np.frombuffer(data, dtype=np.uint8).reshape(shape).copy()


DIGEST: Kind = _Digest()
