"""The rings, against Python integers."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from mpc_ops.rings import BITS, F61, F127, F521, F1279, Z64, Bits
from mpc_ops.rounds import MessageError
from tests.mpc_ops.joint.common import EXTREMES, stream

RINGS = [Z64, F61, F127, F521, F1279]
WIDTHS = [Bits(width) for width in (1, 2, 4, 8, 16, 32, 64)]


def elements(ring: Any, count: int) -> Any:
    """Random elements after the extreme ones."""
    some = [*EXTREMES, ring.order - 1, ring.order - 2, ring.order // 2, ring.order // 2 + 1]
    return np.concatenate([ring.element(some), ring.draw(stream(ring.name), (count,))])


@pytest.mark.parametrize("ring", RINGS, ids=lambda ring: ring.name)
def test_arithmetic(ring: Any) -> None:
    """Sums, differences, products of all pairs of extreme and random elements are those of integers."""
    values = elements(ring, 100 if ring.dtype == np.uint64 else 20)
    a, b = (grid.reshape(-1) for grid in np.meshgrid(values, values))
    integers = list(zip(ring.integers(a), ring.integers(b), strict=True))
    assert ring.integers(ring.add(a, b)).tolist() == [(x + y) % ring.order for x, y in integers]
    assert ring.integers(ring.sub(a, b)).tolist() == [(x - y) % ring.order for x, y in integers]
    assert ring.integers(ring.mul(a, b)).tolist() == [x * y % ring.order for x, y in integers]
    assert ring.integers(ring.total(a, 0)).item() == sum(ring.integers(a)) % ring.order
    assert ring.signed(values) == [x - ring.order if x >= (ring.order + 1) // 2 else x for x in ring.integers(values)]
    assert np.array_equal(ring.element(ring.signed(values)), values)


@pytest.mark.parametrize("ring", RINGS, ids=lambda ring: ring.name)
@pytest.mark.parametrize("shape", [(1, 1, 1), (3, 5, 2), (4, 0, 3), (2, 17, 1)])
def test_matrix_products(ring: Any, shape: tuple[int, int, int]) -> None:
    """Products of matrices, also empty ones, are those of Python integers."""
    n, k, m = shape
    values = elements(ring, n * k + k * m)[-(n * k + k * m) :] if k else elements(ring, 0)[:0]
    a, b = values[: n * k].reshape(n, k), values[n * k :].reshape(k, m)
    left, right = ring.integers(a), ring.integers(b)
    expected = [[sum(left[i, x] * right[x, j] for x in range(k)) % ring.order for j in range(m)] for i in range(n)]
    assert ring.integers(ring.matmul(a, b)).tolist() == expected


def test_long_products_of_largest_elements() -> None:
    """5,000 products of p - 1 with itself, in float64's blocks, add up to 5,000."""
    ones = F61.element([-1] * 5000)
    assert F61.matmul(ones[None], ones[:, None]).tolist() == [[5000]]
    assert F61.matmul(np.stack([ones, ones]), ones).tolist() == [5000, 5000]
    assert F61.mul(np.tile(ones, 20), np.tile(ones, 20)).tolist() == [1] * 100000


def test_powers_and_inverses() -> None:
    """Powers are Python's, the inverse times the element is 1, and 0 has 0."""
    a = elements(F61, 20)
    assert F61.power(a, 12345).tolist() == [pow(x, 12345, F61.order) for x in a.tolist()]
    assert F61.mul(F61.inverse(a), a).tolist() == [int(x != 0) for x in a.tolist()]


@pytest.mark.parametrize("ring", [*RINGS, *WIDTHS], ids=lambda ring: ring.name)
@pytest.mark.parametrize("count", [0, 1, 3, 7, 8, 9, 64])
def test_wire(ring: Any, count: int) -> None:
    """Elements come back from the wire as they were, in exactly the declared number of bytes; no other size is read."""
    values = ring.draw(stream(count), (count,))
    data = ring.encode(values)
    assert len(data) == ring.size(count)
    assert np.array_equal(ring.decode(data, (count,)), values)
    for other in (data + b"\0", data[:-1] if data else b"\1"):
        with pytest.raises(MessageError, match="wrong size"):
            ring.decode(other, (count,))


@pytest.mark.parametrize("ring", [F61, F127, F521, F1279], ids=lambda ring: ring.name)
def test_an_element_that_is_not_reduced_is_refused(ring: Any) -> None:
    """p and what is larger are second names of elements, and no encoder gives them."""
    for value in (ring.order, (1 << (8 * ring.size(1))) - 1):
        with pytest.raises(MessageError, match="not an element"):
            ring.decode(value.to_bytes(ring.size(1), "little"), (1,))
    with pytest.raises(ValueError, match="not an element"):
        ring.encode(np.frombuffer(ring.order.to_bytes(ring.dtype.itemsize, "little"), dtype=ring.dtype))


def test_bits_after_the_last_element_are_refused() -> None:
    """Three elements of one bit leave five bits of the byte, which are 0."""
    assert Bits(1).decode(b"\x05", (3,)).tolist() == [1, 0, 1]
    with pytest.raises(MessageError, match="after the last"):
        Bits(1).decode(b"\x0d", (3,))
    with pytest.raises(ValueError, match="more than 4 bits"):
        Bits(4).encode(np.array([16], dtype=np.uint64))


def test_bits() -> None:
    """Words of bits add by XOR and multiply by AND, elementwise and as matrices."""
    a, b = BITS.draw(stream("a"), (4, 3)), BITS.draw(stream("b"), (3, 2))
    assert BITS.add(a, a).tolist() == BITS.sub(a, a).tolist() == np.zeros((4, 3)).tolist()
    assert BITS.mul(a, a).tolist() == a.tolist()
    expected = [[0] * 2 for _ in range(4)]
    for i in range(4):
        for j in range(2):
            for k in range(3):
                expected[i][j] ^= int(a[i, k]) & int(b[k, j])
    assert BITS.matmul(a, b).tolist() == expected


@pytest.mark.parametrize("bits", WIDTHS, ids=lambda bits: bits.name)
@pytest.mark.parametrize("count", [0, 1, 7, 64, 65])
def test_packed_words(bits: Bits, count: int) -> None:
    """Words of 64 bits hold what the wire does, zeros behind it; each row for itself."""
    rows = bits.draw(stream((bits.name, count)), (2, 3, count))
    packed = bits.packed(rows)
    assert packed.shape == (2, 3, -(-count * bits.width // 64))
    for row, found in zip(rows.reshape(6, count), packed.reshape(6, -1), strict=True):
        data = found.astype("<u8").tobytes()
        assert data == bits.encode(row).ljust(len(data), b"\0")


def test_floats_are_no_elements() -> None:
    """2.5 would become 2 in silence."""
    with pytest.raises(TypeError, match="not integers"):
        Z64.element([1, 2.5])
    with pytest.raises(TypeError, match="not integers"):
        F61.element(np.array([0.5]))
