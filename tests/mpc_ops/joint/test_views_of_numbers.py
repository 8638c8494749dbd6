"""What one party sees of truncation, lifting, quotients and linear systems does not depend on the inputs."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from mpc_ops.joint import rounding
from mpc_ops.joint.linear import SingularError, System, least_squares, normal_equations, solve
from mpc_ops.joint.quotients import Quotients, divide, nearest, reciprocal
from mpc_ops.rings import F127, Z64
from mpc_ops.rounds import Interactive
from tests.mpc_ops.joint.common import Checked3, Replicated3
from tests.mpc_ops.joint.counting import LIMIT
from tests.mpc_ops.joint.viewing import all_equal, farthest, opened

SOME = 256

CASES = {
    "truncation": (Replicated3(Z64), lambda side, x: rounding.truncate(side, x, 30), (0,), (-(1 << 62) + 1,)),
    "truncation in a field": (
        Replicated3(F127),
        lambda side, x: rounding.truncate_large(side, x, 8, 80),
        (0,),
        (-(1 << 80) + 1,),
    ),
    "truncation in a field, checked": (
        Checked3(F127),
        lambda side, x: rounding.truncate_large(side, x, 8, 80),
        (0,),
        (-(1 << 80) + 1,),
    ),
    "lift": (Replicated3(Z64), lambda side, x: rounding.lift(side, x, F127), (0,), (-9999,)),
    "lift, checked": (
        Checked3(Z64),
        opened(lambda side, x, y: rounding.lift(side, x - y, F127), F127),
        (5, 2),
        (-900, -903),
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_views_of_truncation_and_lifting(name: str) -> None:
    """Two inputs, and no output or one: no difference that counting shows."""
    scheme, program, one, other = CASES[name]
    assert farthest(scheme, program, all_equal(scheme.ring, *one), all_equal(scheme.ring, *other)) < LIMIT


@pytest.mark.parametrize("kind", [Replicated3, Checked3])
def test_views_of_a_division(kind: Any) -> None:
    """7 / 2 and 700 / 200 are 4 both."""

    def program(side: Any, x: Any, y: Any) -> Interactive[Any]:
        share = yield from divide(side, x, y)
        return share

    one, other = ([Z64.element([v] * SOME) for v in pair] for pair in ((7, 2), (700, 200)))
    assert farthest(kind(Z64), program, one, other) < LIMIT


def test_views_of_a_division_over_a_large_field() -> None:
    """(7, 20) / 2 and (-700, -1999) / -200 are 4 and 10 both; the second numbers are 90 bits longer."""
    ranges = Quotients(numerator=150, denominator=100)

    def program(side: Any, x: Any, y: Any) -> Interactive[Any]:
        share = yield from nearest(side, x, y, ranges)
        return share

    element = ranges.field.element
    one = [element([[7, 20]] * SOME), element([2] * SOME)]
    other = [element([[-700 << 90, -1999 << 90]] * SOME), element([-200 << 90] * SOME)]
    assert farthest(Replicated3(ranges.field), program, one, other) < LIMIT


def test_views_of_a_reciprocal() -> None:
    """10 / 7 and 10 / 9 are 1 both, rounded."""

    def program(side: Any, x: Any) -> Interactive[Any]:
        share = yield from reciprocal(side, x, scale=10)
        return share

    one, other = ([Z64.element([v] * SOME)] for v in (7, 9))
    assert farthest(Replicated3(Z64), program, one, other) < LIMIT


SYSTEM = System(size=2, matrix=100, right=300, scale=10)
FIT = normal_equations(rows=3, columns=2, matrix=100, right=300, scale=10, ridge=5)
PAIRS = {
    "solution (1, 2)": (SYSTEM, [[1, 0], [0, 1]], [1, 2], [[99, -3], [50, 100]], [93, 250]),
    "rank 1": (SYSTEM, [[1, 2], [2, 4]], [1, 2], [[30, 0], [0, 0]], [-7, 5]),
    "rank 0 cannot be told from itself": (SYSTEM, [[0, 0], [0, 0]], [1, 2], [[0, 0], [0, 0]], [-7, 300]),
    "ridge": (FIT, [[0, 0], [0, 0], [0, 0]], [1, 2, 3], [[1, 2], [2, 4], [-1, -2]], [2, 0, 2]),
}


@pytest.mark.parametrize("name", PAIRS)
def test_views_of_linear_systems(name: str) -> None:
    """Two systems of one output, also where that is only the rank: of each a stack of equal ones."""
    system, *values = PAIRS[name]

    def program(side: Any, a: Any, b: Any) -> Interactive[Any]:
        try:
            if system is FIT:
                share = yield from least_squares(side, a, b, system, ridge=5)
            else:
                share = yield from solve(side, a, b, system)
        except SingularError as error:
            return error.rank
        result = yield from side.open(share)
        return result

    stacks = [system.field.element(np.array([part] * SOME, dtype=object)) for part in values]
    assert farthest(Replicated3(system.field), program, stacks[:2], stacks[2:]) < LIMIT
