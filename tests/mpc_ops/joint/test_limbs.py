"""Matrix products in large fields, whose shape chooses how they are computed, against Python's integers."""

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
