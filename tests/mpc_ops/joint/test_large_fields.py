"""Large prime fields: their arrays of words compute what Python's integers do, for few elements and for many."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mpc_ops.rings import F127, F521, F1279, PrimeField
from tests.mpc_ops.joint.common import stream

FIELDS = [F127, F521, F1279]
MANY = 600
"""More than what is computed in Python's integers."""

fields = pytest.mark.parametrize("field", FIELDS, ids=lambda field: field.name)


def extremes(field: PrimeField) -> st.SearchStrategy[int]:
    """0, the ends, powers of 2 and what is next to them: carries run through all words, or stop at one."""
    power = st.integers(0, field.bits - 1).map(lambda place: 1 << place)
    near = st.builds(lambda value, by: (value + by) % field.order, power, st.integers(-2, 2))
    ends = st.sampled_from([0, 1, 2, field.order - 1, field.order - 2, field.order // 2, field.order // 2 + 1])
    return near | near.map(lambda value: field.order - 1 - value) | ends | st.integers(0, field.order - 1)


def some(field: PrimeField) -> st.SearchStrategy[list[int]]:
    return st.lists(extremes(field), min_size=1, max_size=30)


def many(values: list[int], count: int = MANY) -> list[int]:
    return [values[index % len(values)] for index in range(count)]


@fields
@given(data=st.data())
@settings(max_examples=40, deadline=None)
def test_arithmetic_of_extreme_values(field: PrimeField, data: st.DataObject) -> None:
    """Sums, differences and products of few elements and of many, which take another way, and by one factor."""
    left, right = data.draw(some(field)), data.draw(some(field))
    operations: list[tuple[Callable[..., Any], Callable[[int, int], int]]] = [
        (field.add, lambda x, y: x + y),
        (field.sub, lambda x, y: x - y),
        (field.mul, lambda x, y: x * y),
    ]
    for count in (len(left), MANY):
        a, b = many(left, count), many(right, count)
        x, y = field.element(a), field.element(b)
        for of, exact in operations:
            assert field.integers(of(x, y)).tolist() == [exact(p, q) % field.order for p, q in zip(a, b, strict=True)]
            assert field.integers(of(x, y[:1])).tolist() == [exact(p, b[0]) % field.order for p in a]
        assert field.integers(field.total(x, 0)) == sum(a) % field.order
        assert field.is_zero(x).tolist() == [value == 0 for value in a]


@fields
@given(data=st.data())
@settings(max_examples=40, deadline=None)
def test_parts_of_numbers(field: PrimeField, data: st.DataObject) -> None:
    """Low bits, what is above them, and bytes are those of the integer."""
    values, places = data.draw(some(field)), data.draw(st.integers(0, field.bits + 70))
    x = field.element(values)
    assert field.integers(field.shift_right(x, places)).tolist() == [value >> places for value in values]
    assert field.integers(field.low_bits(x, places)).tolist() == [value % (1 << places) for value in values]
    assert [int.from_bytes(row.tobytes(), "little") for row in field.octets(x)] == values
    assert field.octets(x).tobytes() == field.encode(x)
    assert np.array_equal(field.decode(field.encode(x), x.shape), x)
    assert field.element(field.signed(x)).tolist() == x.tolist()


@fields
@given(st.lists(st.integers(-(1 << 63), (1 << 63) - 1), max_size=20))
@settings(max_examples=40, deadline=None)
def test_elements_of_machine_integers(field: PrimeField, values: list[int]) -> None:
    """Arrays with and without sign become the same elements as Python's integers."""
    assert field.signed(field.element(np.array(values, dtype=np.int64))) == values
    words = [value % (1 << 64) for value in values]
    assert field.signed(field.element(np.array(words, dtype=np.uint64))) == words
    bits = np.array([[value < 0 for value in values]], dtype=bool)
    assert field.integers(field.element(bits)).tolist() == bits.astype(int).tolist()


@fields
@given(data=st.data())
@settings(max_examples=20, deadline=None)
def test_shapes(field: PrimeField, data: st.DataObject) -> None:
    """Arrays are broadcast and may be views of every other element, backwards and turned; 0-d and empty ones too."""
    x = field.element(many(data.draw(some(field)), 40 * 24)).reshape(40, 24)
    one = field.element(data.draw(extremes(field)))
    views = [(x[::2, ::-3], x[1::2, 0, None]), (x[5], x), (x.T[:, :, None], x[0, :3]), (one, x), (one, one)]
    views += [(x[:0], one), (x[:, :0], x[:, :1]), (x[3, 4], one)]
    for a, b in views:
        p, q = field.integers(a), field.integers(b)
        for got, want in ((field.add(a, b), p + q), (field.sub(a, b), p - q), (field.mul(a, b), p * q)):
            assert got.dtype == field.dtype
            assert field.integers(got).tolist() == np.asarray(want % field.order).tolist()
    for axis in (0, 1, -1):
        assert (
            field.integers(field.total(x[::3], axis)).tolist()
            == (field.integers(x[::3]).sum(axis=axis) % field.order).tolist()
        )


@fields
@pytest.mark.parametrize(
    ("left", "right"),
    [
        ((9, 9), (9, 9)),
        ((30, 20), (20, 2)),
        ((2, 300), (300, 2)),
        ((1, 700), (700, 1)),
        ((700, 1), (1, 1)),
        ((3, 9, 9), (3, 9, 9)),
        ((2, 3, 9, 9), (9, 9)),
        ((9, 9), (5, 9, 1)),
        ((200, 2, 2), (200, 2, 2)),
        ((1, 9, 9), (4, 9, 1)),
        ((20, 30), (30,)),
        ((30,), (30, 40)),
        ((700,), (700,)),
        ((3, 0), (0, 2)),
        ((0, 3), (3, 2)),
    ],
)
def test_matrix_products(field: PrimeField, left: tuple[int, ...], right: tuple[int, ...]) -> None:
    """Of large and small matrices, stacks of them and one with a stack, of vectors; of largest elements too."""
    for a, b in (
        (field.draw(stream("a"), left), field.draw(stream("b"), right)),
        (np.full(left, field.element(-1)), np.full(right, field.element(-2))),
    ):
        expected = np.asarray(np.matmul(field.integers(a), field.integers(b)) % field.order)
        assert field.integers(field.matmul(a, b)).tolist() == expected.tolist()
    with pytest.raises(ValueError, match="do not match"):
        field.matmul(field.draw(stream("a"), (3, 4)), field.draw(stream("b"), (5, 3)))


def test_matrix_products_of_many_largest_elements() -> None:
    """So many terms that sums of products of limbs would not be exact any more."""
    terms = 1200
    ones, rows = np.full((terms, 2), F521.element(-1)), np.full((5, terms), F521.element(-1))
    assert F521.integers(F521.matmul(rows, ones)).tolist() == [[terms] * 2] * 5


@fields
@pytest.mark.parametrize("count", [0, 1, 2, 3, MANY, MANY + 1])
def test_inverses(field: PrimeField, count: int) -> None:
    """Each times its element is 1; one 0 among them is refused."""
    x = field.element(many([1, 2, 3, field.order - 1, 1 << 64, field.order // 2], count))
    assert field.integers(field.mul(field.inverse(x), x)).tolist() == [1] * count
    with pytest.raises(ValueError, match="no inverse"):
        field.inverse(np.concatenate([x, field.element([0])]))


@fields
def test_draws_are_words_of_the_stream(field: PrimeField) -> None:
    """Each takes bits // 64 + 1 words, of which the highest bits are left out."""
    size = field.bits // 64 + 1
    words = stream("d").words(50 * size).reshape(50, size)
    expected = [int.from_bytes(row.tobytes(), "little") % (1 << field.bits) for row in words]
    assert field.integers(field.draw(stream("d"), (5, 10))).reshape(-1).tolist() == expected


@fields
def test_what_are_no_elements_of_the_field_is_refused(field: PrimeField) -> None:
    """Numbers, and elements of another field: numpy would take their bytes."""
    other = F521 if field is not F521 else F127
    for wrong in (np.zeros(3, dtype=np.uint64), np.zeros(3, dtype=object), other.element([1, 2, 3])):
        for of in (field.encode, field.integers, field.inverse, lambda x, to=field: to.add(x, x)):
            with pytest.raises(ValueError, match="not elements"):
                of(wrong)
    with pytest.raises(TypeError, match="not integers"):
        field.element(field.element([1]))
