"""Jobs over aggregate shares, checked and not: their results, and what they refuse at once."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from mpc_ops.joint.jobs import Circuit, LinearSolve, Polynomial, Product, Rank, Threshold
from mpc_ops.joint.linear import SingularError, System
from mpc_ops.joint.netlist import parse
from mpc_ops.rings import Z64
from tests.mpc_ops.joint.common import Checked3, Replicated3

FULL_ADDER = "5 8\n1 3\n2 1 1\n\n2 1 0 1 3 XOR\n2 1 3 2 6 XOR\n2 1 0 1 4 AND\n2 1 3 2 5 AND\n2 1 4 5 7 XOR\n"
SYSTEM = System(size=2, matrix=100, right=300, scale=1000)
GOOD = [
    (Threshold(limits=(5, 5, -7), largest=10**6), [5, 6, -6], [0, 1, 1]),
    (Rank(columns=5, largest=10**6, places=(0, -1, 2), what="values"), [3, -9, 10**6, 3, 0], [10**6, -9, 3]),
    (Rank(columns=3, largest=100, places=(0,), what="indices"), [7, 99, -3], [1]),
    (Product(pairs=3, first=10**9, second=1 << 62), [10**9, -2, 3, 1 << 62, 5, 7], [(10**9 << 62) - 10 + 21]),
    (Polynomial(coefficients=(7, -3, 0, 1), largest=10**6), [0, 2, -(10**6)], [7, 9, 7 + 3 * 10**6 - 10**18]),
    (LinearSolve(system=SYSTEM), [2, 3, 4, -1, 8, 1], [786, 2143]),
    (LinearSolve(system=SYSTEM, ridge=1), [1, 1, 1, 1, 3, 3], [1000, 1000]),
    (Circuit(netlist=parse(FULL_ADDER)), [7], [1, 1]),
    (Circuit(netlist=parse(FULL_ADDER)), [3], [0, 1]),
]


@pytest.mark.parametrize("kind", [Replicated3, Checked3])
@pytest.mark.parametrize(("job", "columns", "expected"), GOOD, ids=[type(case[0]).__name__ for case in GOOD])
def test_jobs(kind: Any, job: Any, columns: list[int], expected: list[int]) -> None:
    """All parties get the same whole numbers."""
    result = kind(Z64).run(job.run, Z64.element(columns))
    assert result.results == (expected,) * 3


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (lambda: Threshold(limits=(1 << 62,), largest=1 << 62), "distance"),
        (lambda: Rank(columns=3, largest=1, places=(3,), what="values"), "none of 3"),
        (lambda: Rank(columns=200, largest=1 << 56, places=(0,), what="values"), "bits of a value"),
        (lambda: Product(pairs=4, first=1 << 62, second=1 << 62), "sum of products"),
        (lambda: Polynomial(coefficients=(0, 0, 0, 1), largest=1 << 42), "polynomial"),
        (lambda: Circuit(netlist=parse("1 67\n1 66\n1 1\n2 1 0 1 66 AND\n")), "bits of an input"),
    ],
)
def test_what_could_overflow_is_refused_at_once(make: Any, reason: str) -> None:
    """When the job is made, before any window."""
    with pytest.raises(ValueError, match=reason):
        make()


def test_another_number_of_columns_is_refused() -> None:
    """Every job with a fixed number of columns."""
    for job, columns, _ in GOOD:
        if not isinstance(job, Polynomial):
            with pytest.raises(ValueError, match="columns"):
                Replicated3(Z64).run(job.run, Z64.element([*columns, 1]))


def test_a_singular_system_is_no_result() -> None:
    """It is said by its error, at all parties."""
    with pytest.raises(SingularError):
        Checked3(Z64).run(LinearSolve(system=SYSTEM).run, Z64.element([1, 2, 2, 4, 1, 1]))


def test_the_highest_of_equal_ones_is_the_last() -> None:
    """Ties are in the order of the index, also where they come first."""
    job = Rank(columns=4, largest=9, places=(0, 1, 2, 3), what="indices")
    assert Replicated3(Z64).run(job.run, np.array([4, 9, 9, 4], dtype=np.uint64)).results[0] == [2, 1, 3, 0]
