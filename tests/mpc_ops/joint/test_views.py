"""What one party sees does not depend on the inputs: two inputs with one output give views of one distribution.

A protocol that forgets a mask is found by it, which is tested too.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from mpc_ops.joint import comparing, gates, ordering, polynomials
from mpc_ops.joint.base import image, inner, pass_on, sums_by_label
from mpc_ops.joint.netlist import evaluate, parse
from mpc_ops.joint.replicated import Replicated
from mpc_ops.joint.shuffling import shuffle
from mpc_ops.rings import BITS, F61, Z64, Bits
from mpc_ops.rounds import Interactive
from tests.mpc_ops.joint.common import AdditiveDealt, Checked3, Replicated3, Shamir5
from tests.mpc_ops.joint.counting import LIMIT
from tests.mpc_ops.joint.viewing import all_equal, farthest, opened


def product(side: Any, x: Any, y: Any) -> Interactive[Any]:
    return side.multiply(x, y)


CIRCUIT = parse("3 5\n2 1 1\n1 1\n2 1 0 1 2 AND\n2 1 0 1 3 XOR\n2 1 2 3 4 XOR\n")


def circuit(side: Any, x: Any, y: Any) -> Interactive[Any]:
    (result,) = yield from evaluate(side, CIRCUIT, [x[:, None], y[:, None]])
    return result[:, 0]


def polynomial(side: Any, c: Any, x: Any) -> Interactive[Any]:
    """c + c x + c x^2."""
    return polynomials.evaluate_shared(side, c[:, :3], x)


def dot(side: Any, x: Any, y: Any) -> Interactive[Any]:
    """Twice the product, as an inner product."""
    return inner(side, np.stack([x, y], axis=-1), np.stack([y, x], axis=-1))


def weighed(side: Any, x: Any, y: Any) -> Interactive[Any]:
    """x + 2 y."""
    return image(side, side.ring.element([[1, 2]]), np.stack([x, y], axis=-1))[..., 0]
    yield


def totals(side: Any, x: Any, y: Any) -> Interactive[Any]:
    """x + y, as the sums of what bears one label."""
    return sums_by_label(side, np.stack([x, y], axis=-1), np.zeros(2, dtype=np.intp), 1)[..., 0]
    yield


CASES = {
    "product, replicated": (Replicated3(Z64), opened(product), (0, 12345), (-77, 0)),
    "product, in a field": (Replicated3(F61), opened(product), (6, 2), (-3, -4)),
    "product, Shamir": (Shamir5(3, 1), opened(product), (6, 2), (-3, -4)),
    "product, additive": (AdditiveDealt(3), opened(product), (6, 2), (-3, -4)),
    "product, checked": (Checked3(F61), opened(product), (6, 2), (-3, -4)),
    "AND": (Replicated3(BITS), opened(product), (0, -1), (1 << 40, 0)),
    "AND, checked": (Checked3(BITS), opened(product), (0, -1), (1 << 40, 0)),
    "sum of bits": (Replicated3(BITS), opened(gates.add), (5, 6), (10, 1)),
    "less": (Replicated3(Z64), opened(comparing.less, Bits(1)), (-5, 5), (0, 1 << 40)),
    "less, checked": (Checked3(Z64), opened(comparing.less, Bits(1)), (-5, 5), (0, 1 << 40)),
    "equal": (Replicated3(Z64), opened(comparing.equal, Bits(1)), (3, 4), (0, -1)),
    "from bits": (
        Replicated3(Bits(1)),
        opened(lambda side, x, y: gates.from_bit(side, x ^ y, F61), F61),
        (1, 1),
        (0, 0),
    ),
    "OR": (Replicated3(BITS), opened(gates.disjunction), (1, 2), (3, 0)),
    "OR, checked": (Checked3(BITS), opened(gates.disjunction), (1, 2), (3, 0)),
    "multiplexer": (Replicated3(BITS), opened(gates.choose), (-1, 5, 9), (0, 7, 5)),
    "difference of bits": (Replicated3(BITS), opened(gates.subtract), (5, 6), (10, 11)),
    "circuit": (Replicated3(BITS), opened(circuit), (1, 2), (2, 1)),
    "circuit, checked": (Checked3(BITS), opened(circuit), (1, 2), (2, 1)),
    "inside": (Replicated3(Z64), opened(comparing.inside, Bits(1)), (5, 1, 9), (-3, -3, 0)),
    "to bits": (Replicated3(Z64), gates.to_bits, (0,), (-9999,)),
    "from bits, many": (Replicated3(BITS), lambda side, x: gates.from_bits(side, x, F61, 8), (0,), (255,)),
    "shuffle": (
        Replicated3(Z64),
        lambda side, x, y: shuffle(side, np.stack([x, y], axis=1).reshape(2, 1, -1, 2)),
        (1, 2),
        (900, 0),
    ),
    "polynomial": (
        Replicated3(F61),
        opened(lambda side, x: polynomials.evaluate(side, F61.element([7, 0, 1]), x)),
        (3,),
        (-3,),
    ),
    "polynomial, shared, replicated": (Replicated3(Z64), opened(polynomial), (2, 1), (2, -2)),
    "polynomial, shared, Shamir": (Shamir5(3, 1), opened(polynomial), (2, 1), (2, -2)),
    "polynomial, shared, additive": (AdditiveDealt(3), opened(polynomial), (2, 1), (6, 0)),
    "polynomial, shared, checked": (Checked3(F61), opened(polynomial), (2, 1), (6, 0)),
    "inner product, replicated": (Replicated3(Z64), opened(dot), (6, 2), (-3, -4)),
    "inner product, Shamir": (Shamir5(3, 1), opened(dot), (6, 2), (-3, -4)),
    "inner product, additive": (AdditiveDealt(3), opened(dot), (6, 2), (-3, -4)),
    "inner product, checked": (Checked3(F61), opened(dot), (6, 2), (-3, -4)),
    "image under a public matrix": (AdditiveDealt(3), opened(weighed), (6, 2), (2, 4)),
    "sums by label": (Shamir5(3, 1), opened(totals), (6, 2), (2, 6)),
}


@pytest.mark.parametrize("name", CASES)
def test_views_do_not_depend_on_the_inputs(name: str) -> None:
    """Two inputs, one output: no difference that counting shows."""
    scheme, program, one, other = CASES[name]
    assert farthest(scheme, program, all_equal(scheme.ring, *one), all_equal(scheme.ring, *other)) < LIMIT


def test_the_test_finds_a_product_without_its_mask() -> None:
    """A party that passes on its summand as it is, is found."""

    def naked(side: Replicated, x: Any, y: Any) -> Interactive[Any]:
        ring = side.ring
        summand = ring.add(ring.mul(x[0], ring.add(y[0], y[1])), ring.mul(x[1], y[0]))
        result = yield from pass_on(ring, to=side.before, values=summand, source=side.after)
        return result

    scheme = Replicated3(BITS)
    assert farthest(scheme, naked, all_equal(BITS, 0, 0), all_equal(BITS, -1, 0)) > 3 * LIMIT


def test_the_test_finds_a_value_in_clear() -> None:
    """And one that opens what it must not."""
    scheme = Replicated3(F61)
    shown = lambda side, x: side.open(x)  # noqa: E731
    assert farthest(scheme, shown, all_equal(F61, 1), all_equal(F61, 2)) > 3 * LIMIT


@pytest.mark.parametrize("kind", [Replicated3, Checked3])
@pytest.mark.parametrize(
    ("what", "first", "second"),
    [
        ("values", [1, 2, 3], [3, 1, 2]),
        ("indices", [7, -1, 3], [90, 20, 21]),
        ("median", [1, 2, 3], [2, -900, 900]),
        ("maximum", [0, 0, 5], [5, 5, 5]),
    ],
)
def test_views_of_a_sort(kind: Any, what: str, first: list[int], second: list[int]) -> None:
    """Two lists of one output, whether that is all values, their order, or one of them; many lists side by side."""

    def program(side: Any, x: Any) -> Interactive[Any]:
        result = yield from ordering.order(side, x, 20)
        share = {
            "values": result.values,
            "indices": result.indices,
            "median": result.twice_median(),
            "maximum": result.maximum(),
        }[what]
        values = yield from side.open(share)
        return values

    count = 1024 if kind is Replicated3 else 256
    one, other = (Z64.element(np.tile(Z64.element(row), (count, 1))) for row in (first, second))
    assert farthest(kind(Z64), program, [one], [other]) < LIMIT
