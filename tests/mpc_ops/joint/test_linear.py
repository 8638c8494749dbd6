"""Linear systems, least squares and ridge, alone and in stacks, against exact elimination and numpy."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from mpc_ops.joint.linear import SingularError, System, least_squares, normal_equations, solve
from mpc_ops.joint.quotients import QuotientError
from mpc_ops.rings import F521
from mpc_ops.rounds import Interactive
from tests.mpc_ops.joint.cases import solutions, systems
from tests.mpc_ops.joint.common import Replicated3


def solved(matrix: Any, right: Any, system: System) -> tuple[Any, int]:
    """The numbers that come out, of one system or of a stack, and the rounds."""
    field = system.field

    def program(side: Any, a: Any, b: Any) -> Interactive[Any]:
        return solve(side, a, b, system)

    result = Replicated3(field).run(program, field.element(matrix.astype(object)), field.element(right.astype(object)))
    return np.array(field.signed(Replicated3(field).reveal(result.results)), dtype=object), result.rounds


def fitted(rows: Any, right: Any, system: System, ridge: int = 0) -> Any:
    """As `solved`, for least squares."""
    field = system.field

    def program(side: Any, a: Any, b: Any) -> Interactive[Any]:
        return least_squares(side, a, b, system, ridge=ridge)

    result = Replicated3(field).run(program, field.element(rows.astype(object)), field.element(right.astype(object)))
    return np.array(field.signed(Replicated3(field).reveal(result.results)), dtype=object)


def exact(matrix: Any, right: Any, scale: int) -> Any:
    """The rounded rational solution of one system."""
    return solutions(matrix.astype(object)[None], right.astype(object)[None], scale)[0]


@pytest.mark.parametrize(("size", "bits"), [(1, 20), (2, 3), (3, 30), (5, 20), (16, 20)])
def test_systems_are_solved_exactly(size: int, bits: int) -> None:
    """The rational solution, rounded to the declared scale, to the last unit."""
    random = np.random.default_rng(size)
    largest = (1 << bits) - 1
    system = System(size=size, matrix=largest, right=largest, scale=1000)
    matrix = random.integers(-largest, largest + 1, (size, size))
    right = random.integers(-largest, largest + 1, size)
    got, rounds = solved(matrix, right, system)
    assert np.array_equal(got, exact(matrix, right, 1000))
    assert rounds == system.rounds()


SMALL = System(size=2, matrix=9, right=9, scale=10)


def test_a_stack_gives_what_its_systems_give() -> None:
    """50 systems, in one row or in rows of ten, and one of them alone. Of 50 only the tree is deeper."""
    field = SMALL.field
    matrices, rights = (np.array(field.signed(x)) for x in systems(2, 9)(field, 50))
    row, rounds = solved(matrices, rights, SMALL)
    folded, _ = solved(matrices.reshape(5, 10, 2, 2), rights.reshape(5, 10, 2), SMALL)
    single, rounds_of_one = solved(matrices[7], rights[7], SMALL)
    assert (rounds, rounds_of_one) == (SMALL.rounds(50), SMALL.rounds())
    assert SMALL.rounds(50) - SMALL.rounds() <= 6  # log2
    assert row.shape == (50, 2)
    assert np.array_equal(row, solutions(matrices.astype(object), rights.astype(object), 10))
    assert np.array_equal(folded, row.reshape(5, 10, 2))
    assert np.array_equal(single, row[7])


def test_a_system_of_16_takes_60_rounds() -> None:
    """And 521 bits, at 20 bits an entry."""
    system = System(size=16, matrix=(1 << 20) - 1, right=(1 << 20) - 1, scale=1000)
    assert (system.field, system.rounds()) == (F521, 60)


def test_the_three_equations_of_the_documents() -> None:
    """2x + 3y = 8, 4x - y = 1, 6x + 2y = 10: no exact solution, so least squares; as numpy's, to six decimals."""
    x, y = np.array([[2, 3], [4, -1], [6, 2]]), np.array([8, 1, 10])
    system = normal_equations(rows=3, columns=2, matrix=6, right=10, scale=10**6)
    got = fitted(x, y, system)
    assert np.array_equal(got, exact(x.T @ x, x.T @ y, 10**6))
    assert np.allclose(got.astype(float) / 10**6, np.linalg.lstsq(x, y)[0], atol=1e-6)


def test_ridge() -> None:
    """A ridge makes a singular system solvable, beside others in a stack too."""
    x, y = np.array([[1, 2], [2, 4], [3, 6]]), np.array([1, 2, 4])
    system = normal_equations(rows=3, columns=2, matrix=6, right=4, scale=10**4, ridge=5)
    expected = exact(x.T @ x + 5 * np.eye(2, dtype=int), x.T @ y, 10**4)
    assert np.array_equal(fitted(x, y, system, ridge=5), expected)
    assert np.array_equal(fitted(np.stack([x, x]), np.stack([y, -y]), system, ridge=5)[0], expected)


@pytest.mark.parametrize(
    ("matrix", "rank"), [([[1, 2], [2, 4]], 1), ([[0, 0], [0, 0]], 0), ([[1, 2, 3], [4, 5, 6], [7, 8, 9]], 2)]
)
def test_a_singular_system_is_said_to_be_one(matrix: Any, rank: int) -> None:
    """With its rank, and no solution."""
    system = System(size=len(matrix), matrix=9, right=9, scale=10)
    with pytest.raises(SingularError) as caught:
        solved(np.array(matrix), np.arange(len(matrix)), system)
    assert (caught.value.rank, caught.value.size) == (rank, len(matrix))


def test_a_singular_system_in_a_stack_ends_all_of_it() -> None:
    """The error tells the rank of the first that is singular."""
    regular, rank_1, rank_2 = np.diag([1, 2, 3]), np.diag([5, 0, 0]), np.diag([0, 1, 1])
    system = System(size=3, matrix=9, right=9, scale=10)
    for stack, rank in (([regular, rank_2, rank_1], 2), ([regular, regular, rank_1], 1), ([regular * 0, rank_2], 0)):
        with pytest.raises(SingularError) as caught:
            solved(np.array(stack), np.ones((len(stack), 3), dtype=int), system)
        assert (caught.value.rank, caught.value.size) == (rank, 3)


def test_a_solution_that_is_too_large_is_refused() -> None:
    """1 / 10^-15 at a scale of 1,000 has more than 50 bits."""
    system = System(size=1, matrix=10, right=10**15, scale=1000)
    with pytest.raises(QuotientError):
        solved(np.array([[1]]), np.array([10**15]), system)


def test_shapes_and_fields_that_do_not_fit_are_errors() -> None:
    """A system of another size, stacks that do not match, and a system that no field holds."""
    with pytest.raises(ValueError, match="is 3 x 3"):
        solved(np.ones((2, 2)).astype(int), np.ones(2).astype(int), System(size=3, matrix=9, right=9, scale=1))
    two = np.ones((2, 2, 2)).astype(int)
    for matrix, right in ((two, two), (two, two[0, 0]), (two[0], two[0]), (two[..., :1], two[0]), (two[:1], two[0])):
        with pytest.raises(ValueError, match="is 2 x 2"):
            solved(matrix, right, SMALL)
    with pytest.raises(ValueError, match="need more"):
        System(size=64, matrix=1 << 30, right=1, scale=1)
    with pytest.raises(ValueError, match="at least 1"):
        System(size=0, matrix=1, right=1, scale=1)


def test_the_opened_matrix_hides_the_kernel() -> None:
    """Of two singular matrices with other kernels and images, the opened matrices' kernels are random alike.

    The kernel of a 2 x 2 matrix is a line (1, s); its slope has random top bits for both.
    """
    system = System(size=2, matrix=9, right=9, scale=1)
    field = system.field
    for matrix in ([[1, 2], [2, 4]], [[3, 0], [0, 0]]):
        tops = []
        for attempt in range(40):
            messages: dict[tuple[int, int], bytes] = {}

            def observe(number: int, sender: int, receiver: int, message: bytes) -> None:
                messages[number, sender] = message[16:]  # noqa: B023

            def program(side: Any, a: Any) -> Interactive[Any]:
                return solve(side, a, a[..., 0], system)

            with pytest.raises(SingularError):
                Replicated3(field).run(
                    program, field.element(np.array(matrix, dtype=object)), observe=observe, seed=bytes([attempt])
                )
            width = field.size(4)
            shares = np.stack([field.decode(messages[3, sender][:width], (2, 2)) for sender in range(3)])
            first, second = field.total(shares, 0)[0]
            slope = field.mul(field.sub(field.element(0), first), field.inverse(second))
            tops.append(int(field.integers(slope)) >> (field.bits - 3))
        assert len(set(tops)) >= 5
