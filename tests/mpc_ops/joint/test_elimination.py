"""Elimination modulo a prime, also where the next row is no pivot, which random matrices never show."""

from __future__ import annotations

from itertools import product
from typing import Any

import numpy as np
import pytest

from mpc_ops.joint.elimination import eliminated, rank
from mpc_ops.rings import F127, F521, PrimeField
from tests.mpc_ops.joint.cases import determinant


def integers(field: PrimeField, values: Any) -> Any:
    return np.array(field.signed(values), dtype=object)


@pytest.mark.parametrize("field", [F127, F521])
@pytest.mark.parametrize("size", [1, 2, 3])
def test_every_pattern_of_zeros(field: PrimeField, size: int) -> None:
    """Of all matrices of 0, 1 and, on the diagonal, 2: determinants, and M X = C for the regular ones."""
    patterns = np.array(list(product([0, 1], repeat=size * size)), dtype=object).reshape(-1, size, size)
    matrices = field.element(patterns + patterns * np.eye(size, dtype=int))
    columns = field.element(np.arange(1, 2 * size + 1, dtype=object).reshape(size, 2))
    columns = np.broadcast_to(columns, (len(patterns), size, 2))
    solution, det = eliminated(matrices, columns, field)
    regular = ~field.is_zero(det)
    assert np.array_equal(integers(field, det), determinant(integers(field, matrices)))
    assert np.array_equal(field.matmul(matrices[regular], solution[regular]), columns[regular])
    assert all((rank(matrix, field) == size) == whole for matrix, whole in zip(matrices, regular, strict=True))


def test_stacks_of_any_shape() -> None:
    """No axis before the matrix's, or several."""
    matrices = F521.element([[[[2, 1], [7, 4]], [[0, 1], [1, 0]]]])
    columns = F521.element([[[[3], [11]], [[5], [6]]]])
    solution, det = eliminated(matrices, columns, F521)
    assert F521.signed(solution) == [[[[1], [1]], [[6], [5]]]]
    assert F521.signed(det) == [[1, -1]]
    alone, one = eliminated(matrices[0, 1], columns[0, 1], F521)
    assert (F521.signed(alone), F521.signed(one)) == ([[6], [5]], -1)


@pytest.mark.parametrize(
    ("matrix", "expected"),
    [([[0, 0], [0, 0]], 0), ([[1, 2], [2, 4]], 1), ([[0, 1], [0, 5]], 1), ([[1, 2, 3], [4, 5, 6], [7, 8, 9]], 2)],
)
def test_rank(matrix: Any, expected: int) -> None:
    """The number of independent rows."""
    assert rank(F521.element(matrix), F521) == expected
