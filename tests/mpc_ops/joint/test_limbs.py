"""Products in large fields whose shape or size chooses another way of computing, against Python's integers."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from mpc_ops.rings import F127, F521, F1279
from tests.mpc_ops.joint.cases import some

FIELDS = [F127, F521, F1279]


@pytest.mark.parametrize("field", FIELDS, ids=lambda field: field.name)
@pytest.mark.parametrize("shape", [(1, 3, 1), (2, 2, 1), (3, 3, 2), (1, 9, 8), (9, 2, 9)])
def test_stacks_of_matrices(field: Any, shape: tuple[int, int, int]) -> None:
    """Both stacked, one matrix for all, and stacks that are spread over each other."""
    lines, terms, columns = shape
    for first, second in (((50,), (50,)), ((), (50,)), ((50,), ()), ((5, 1), (10,))):
        a, b = some(field, "a", (*first, lines, terms)), some(field, "b", (*second, terms, columns))
        want = np.matmul(field.integers(a), field.integers(b)) % field.order
        assert np.array_equal(field.integers(field.matmul(a, b)), want)


@pytest.mark.parametrize("field", FIELDS, ids=lambda field: field.name)
def test_factors_of_few_words(field: Any) -> None:
    """On either side: 0, words, and halves of all sizes."""
    long = some(field, "long", (600,))
    for bits in (0, 1, 32, 33, 64, 65, field.bits // 2):
        short = field.low_bits(some(field, "short", (600,)), bits)
        want = field.integers(long) * field.integers(short) % field.order
        assert np.array_equal(field.integers(field.mul(long, short)), want)
        assert np.array_equal(field.integers(field.mul(short, long)), want)
