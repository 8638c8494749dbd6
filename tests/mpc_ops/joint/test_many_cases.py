"""Every operation in every scheme that offers it, on many random cases with extreme ones among them; and in every other
scheme a refusal. `operations` and `replicated_operations` say which, on how many cases, and what must come out.
"""

from __future__ import annotations

from itertools import combinations, product
from typing import Any

import numpy as np
import pytest

from mpc_ops.joint.base import SchemeError
from mpc_ops.joint.linear import SingularError, System, solve
from mpc_ops.rounds import Interactive
from tests.mpc_ops.joint import cases
from tests.mpc_ops.joint.common import AdditiveDealt, Replicated3
from tests.mpc_ops.joint.operations import Operation
from tests.mpc_ops.joint.replicated_operations import OPERATIONS


def exact_rank(matrix: Any) -> int:
    """The size of the largest minor that is not 0."""
    places = range(len(matrix))
    return max(
        (
            size
            for size in range(1, len(matrix) + 1)
            for rows, columns in product(combinations(places, size), repeat=2)
            if cases.determinant(matrix[np.ix_(rows, columns)])
        ),
        default=0,
    )


def titled(operation: Operation, scheme: Any) -> str:
    return f"{operation.name}-{type(scheme).__name__}-{scheme.name}"


def pieces(inputs: list[Any], chunk: int | None) -> list[list[Any]]:
    """So many cases at a time; or all."""
    if chunk is None:
        return [inputs]
    return [[values[start : start + chunk] for values in inputs] for start in range(0, len(inputs[0]), chunk)]


OFFERED = [pytest.param(o, scheme, id=titled(o, scheme)) for o in OPERATIONS for scheme in o.schemes]
REFUSED = [pytest.param(o, scheme, id=titled(o, scheme)) for o in OPERATIONS for scheme in o.refused]


@pytest.mark.parametrize(("operation", "scheme"), OFFERED)
def test_many_cases(operation: Operation, scheme: Any) -> None:
    """Exact, or within the error that the operation states; and all holders of shares learn the same."""
    inputs = operation.inputs(scheme.ring, operation.schemes[scheme])
    ring = operation.result or scheme.ring
    for number, some in enumerate(pieces(inputs, operation.chunk)):
        want = operation.expected(scheme.ring, *map(scheme.ring.integers, some))
        got, *others = scheme.run(operation.program, *some, seed=b"%d" % number).results
        assert got.shape == want.shape
        assert set(((ring.integers(got) - want) % ring.order).reshape(-1).tolist()) <= set(operation.errors)
        holders = others[:-1] if isinstance(scheme, AdditiveDealt) else others  # a dealer holds no share
        assert all(np.array_equal(other, got) for other in holders)


@pytest.mark.parametrize(("operation", "scheme"), REFUSED)
def test_what_a_scheme_does_not_offer_it_refuses(operation: Operation, scheme: Any) -> None:
    """By an error that says so."""
    ring = next(iter(operation.schemes)).ring
    inputs = operation.inputs(ring, 20)
    with pytest.raises(SchemeError):
        scheme.run(operation.program, *(scheme.ring.element(ring.integers(values)) for values in inputs))


@pytest.mark.parametrize("size", [2, 3, 4])
def test_singular_systems(size: int) -> None:
    """Random ones of each rank: all parties say that it is singular, and its rank; there is no result."""
    system = System(size=size, matrix=1000, right=1000, scale=10)
    scheme, random = Replicated3(system.field), np.random.default_rng(size)
    for rank in [*range(size)] * 5:
        matrix = np.zeros((size, size), dtype=object)
        while exact_rank(matrix) < rank:
            matrix = (random.integers(-9, 10, (size, rank)) @ random.integers(-9, 10, (rank, size))).astype(object)
        right = random.integers(-1000, 1001, size).astype(object)

        def program(side: Any, a: Any, b: Any) -> Interactive[int]:
            try:
                yield from solve(side, a, b, system)
            except SingularError as error:
                return error.rank
            pytest.fail("a singular system was solved")

        result = scheme.run(program, system.field.element(matrix), system.field.element(right))
        assert result.results == (rank,) * 3
