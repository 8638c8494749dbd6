"""Quotients and reciprocals, against Python integers and fractions."""

from __future__ import annotations

from fractions import Fraction
from math import floor
from typing import Any

import numpy as np
import pytest

from mpc_ops.joint import quotients
from mpc_ops.joint.quotients import Quotients
from mpc_ops.rings import F127, F521, F1279, Z64
from mpc_ops.rounds import Interactive
from tests.mpc_ops.joint.common import Replicated3, words

ARITHMETIC = Replicated3(Z64)


def divide(numerators: list[int], denominator: int, ranges: Quotients) -> tuple[list[int], int]:
    def program(side: Any, n: Any, d: Any) -> Interactive[Any]:
        return quotients.nearest(side, n[:, None], d, ranges)

    field = ranges.field
    result = Replicated3(field).run(program, field.element(numerators), field.element([denominator]))
    return field.signed(Replicated3(field).reveal(result.results)[0]), result.rounds


@pytest.mark.parametrize("bits", [1, 7, 33, 34, 64, 74, 82, 200, 352, 427, 428, 1185])
def test_quotients_are_rounded_exactly(bits: int) -> None:
    """Ties go up; extreme denominators, both signs, quotients from 0 to the largest, in all fields."""
    ranges = Quotients(numerator=bits + 50, denominator=bits)
    random = np.random.default_rng(bits)
    for denominator in {1, -1, (1 << bits) - 1, 1 - (1 << bits), 1 << (bits - 1), -1 << (bits - 1)}:
        numerators = [0, 1, -1, denominator, -denominator]
        numerators += [(quotients.LARGEST - 1) * denominator, (1 - quotients.LARGEST) * denominator]
        for size in (1, 5, 20, 49):
            q = int(random.integers(0, 1 << size)) - (1 << (size - 1))
            half = denominator // 2
            numerators += [q * denominator, q * denominator + half, q * denominator + half + 1, q * denominator - 1]
        numerators = [n for n in numerators if abs(n) < quotients.LARGEST * abs(denominator)]
        got, rounds = divide(numerators, denominator, ranges)
        assert got == [floor(Fraction(n, denominator) + Fraction(1, 2)) for n in numerators]
        assert rounds == ranges.rounds(len(numerators))


@pytest.mark.parametrize(
    ("ranges", "field", "wide"),
    [
        (Quotients(numerator=83, denominator=74), F127, F521),
        (Quotients(numerator=84, denominator=74), F521, F521),
        (Quotients(numerator=83, denominator=75), F521, F521),
        (Quotients(numerator=83, denominator=10, scale=1 << 41), F127, F521),
        (Quotients(numerator=83, denominator=10, scale=(1 << 41) + 1), F521, F521),
        (Quotients(numerator=477, denominator=427), F521, F521),
        (Quotients(numerator=477, denominator=428), F521, F1279),
        (Quotients(numerator=478, denominator=428), F1279, F1279),
        (Quotients(numerator=1276, denominator=1185), F1279, F1279),
    ],
    ids=str,
)
def test_fields_of_quotients(ranges: Quotients, field: Any, wide: Any) -> None:
    """Numbers live in the smallest field that has room for the test of their range and for their masks."""
    assert (ranges.field, ranges.wide) == (field, wide)


def test_numbers_without_a_field_are_refused() -> None:
    """Long denominators, long numerators, large scales; shares over another field."""
    for numerator, denominator, scale in ((1, 1186, 1), (1277, 1, 1), (1000, 1, (1 << 276) + 1)):
        with pytest.raises(ValueError, match="need more than"):
            Quotients(numerator=numerator, denominator=denominator, scale=scale)
    ranges = Quotients(numerator=8, denominator=8)
    with pytest.raises(ValueError, match="over f127"):
        Replicated3(F521).run(
            lambda side, n, d: quotients.nearest(side, n[:, None], d, ranges), F521.element([1]), F521.element([1])
        )


def test_quotients_that_are_too_large_are_refused() -> None:
    """Whatever their sign, before anything else is opened."""
    ranges = Quotients(numerator=83, denominator=8, scale=3)
    most = quotients.LARGEST
    for denominator in (3, -3):
        for numerator in (most + 1, -most - 1, 1 << 82):
            with pytest.raises(quotients.QuotientError):
                divide([1, numerator, 2], denominator, ranges)
        assert divide([most - 1, 1 - most], denominator, ranges)[0] == [
            floor(Fraction(3 * n, denominator) + Fraction(1, 2)) for n in (most - 1, 1 - most)
        ]
    for numerator in (0, 1, -1, 1 << 82):
        with pytest.raises(quotients.QuotientError, match="denominator is 0"):
            divide([numerator], 0, ranges)


def test_reciprocals() -> None:
    """1 / D at a scale, rounded half up, for small and large D of both signs."""
    d = [1, -1, 2, -2, 3, 7, -(1 << 63), (1 << 63) - 1, 1 << 40, 10**6]
    scale = (1 << 49) + 1

    def program(side: Any, x: Any) -> Interactive[Any]:
        return quotients.reciprocal(side, x, scale=scale)

    got = Replicated3(quotients.DIVISION).reveal(ARITHMETIC.run(program, Z64.element(d)).results)
    assert quotients.DIVISION.signed(got) == [floor(Fraction(scale, value) + Fraction(1, 2)) for value in d]
    for wrong in (0, quotients.LARGEST_SCALE + 1):
        with pytest.raises(ValueError, match="scale"):
            ARITHMETIC.run(lambda side, x, by=wrong: quotients.reciprocal(side, x, scale=by), Z64.element(d))


def test_division_of_shares_over_words() -> None:
    """Many numerators, each by its own denominator, at a scale, all in the same rounds."""
    n = words("n", 60).view(np.int64) >> np.arange(60, dtype=np.int64)
    d = words("d", 60).view(np.int64) >> np.arange(60, dtype=np.int64)[::-1]
    d[d == 0] = -1
    scale = 1000
    fits = [abs(scale * int(a)) < quotients.LARGEST * abs(int(b)) for a, b in zip(n, d, strict=True)]
    n[~np.array(fits)] = 0

    def program(side: Any, x: Any, y: Any) -> Interactive[Any]:
        return quotients.divide(side, x, y, scale=scale)

    result = ARITHMETIC.run(program, n.view(np.uint64), d.view(np.uint64))
    got = quotients.DIVISION.signed(Replicated3(quotients.DIVISION).reveal(result.results))
    expected = [floor(Fraction(scale * a, b) + Fraction(1, 2)) for a, b in zip(n.tolist(), d.tolist(), strict=True)]
    assert got == expected
    assert result.rounds == quotients.division_rounds(60) == 10 + 9 + 8 + 9 + 13
