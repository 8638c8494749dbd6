"""What one party sees does not depend on the inputs: two inputs with one output give views of one distribution.

A view is a party's own shares and all messages that it receives, of a few thousand equal instances side by side.
Each message, and each pair of them (their XOR, sum and difference), is counted by its lowest and its highest bits,
and the counts for both inputs are compared. That finds what a party could find with a linear test of two values; a
protocol that forgets a mask is found, which is tested too.
"""

from __future__ import annotations

from itertools import combinations
from itertools import product as product_of
from typing import Any

import numpy as np
import pytest

from mpc_ops.joint import comparing, gates, ordering, polynomials, rounding
from mpc_ops.joint.base import image, inner, pass_on, sums_by_label
from mpc_ops.joint.linear import SingularError, System, least_squares, normal_equations, solve
from mpc_ops.joint.netlist import evaluate, parse
from mpc_ops.joint.quotients import divide, reciprocal
from mpc_ops.joint.replicated import Replicated
from mpc_ops.joint.shuffling import shuffle
from mpc_ops.rings import BITS, F61, F127, Z64, Bits
from mpc_ops.rounds import Interactive
from mpc_ops.sessions import HEADER_SIZE, run
from tests.mpc_ops.joint.common import AdditiveDealt, Checked3, Replicated3, Shamir5
from tests.mpc_ops.joint.counting import LIMIT, distance, words_of

COUNT = 2048


def views(scheme: Any, program: Any, inputs: Any, runs: int) -> list[dict[Any, Any]]:
    """For each party, by message and by share, the words that it sees: the first 8 bytes of each element, or bytes."""
    seen: list[dict[Any, list[Any]]] = [{} for _ in range(scheme.parties)]

    def observe(number: int, sender: int, receiver: int, message: bytes) -> None:
        if len(message) > HEADER_SIZE:
            seen[receiver].setdefault((number, sender), []).append(message[HEADER_SIZE:])

    for attempt in range(runs):
        shares = [scheme.share(values, (attempt, index)) for index, values in enumerate(inputs)]
        scheme_run(scheme, program, shares, observe, bytes([attempt]))
        for party, index in product_of(range(scheme.parties), range(len(shares))):
            parts = shares[index][party]
            for slot, part in enumerate([*parts, scheme.ring.total(parts, 0)]):
                seen[party].setdefault(("share", index, slot), []).append(scheme.ring.encode(part))
    count = len(inputs[0])
    return [{key: np.concatenate([words_of(data, count) for data in parts]) for key, parts in s.items()} for s in seen]


def scheme_run(scheme: Any, program: Any, shares: Any, observe: Any, seed: bytes) -> None:
    run(
        lambda party: program(scheme.side(party), *(share[party.index] for share in shares)),
        parties=scheme.parties,
        observe=observe,
        seed=seed,
    )


def farthest(scheme: Any, program: Any, one: Any, other: Any, runs: int = 1) -> float:
    """The largest distance over all parties, messages, shares and pairs of them."""
    worst = 0.0
    sides = [views(scheme, program, inputs, runs) for inputs in (one, other)]
    for first, second in list(zip(*sides, strict=True))[: scheme.parties - isinstance(scheme, AdditiveDealt)]:
        assert first.keys() == second.keys()
        worst = max(worst, *(distance(first[key], second[key]) for key in first))
        pairs = [(a, b) for a, b in combinations(first, 2) if len(first[a]) == len(first[b])]
        for a, b in pairs[:: 1 + len(pairs) // 300]:
            for combine in (np.bitwise_xor, np.subtract, np.add):
                worst = max(worst, distance(combine(first[a], first[b]), combine(second[a], second[b])))
    return worst


def opened(program: Any, ring: Any = None) -> Any:
    def whole(side: Any, *shares: Any) -> Interactive[Any]:
        result = yield from program(side, *shares)
        values = yield from (side if ring is None else side.over(ring)).open(result)
        return values

    return whole


def product(side: Any, x: Any, y: Any) -> Interactive[Any]:
    return side.multiply(x, y)


def all_equal(ring: Any, *values: int) -> list[Any]:
    return [ring.element(np.full(COUNT, value, dtype=object)) for value in values]


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


@pytest.mark.parametrize("kind", [Replicated3, Checked3])
def test_views_of_a_division(kind: Any) -> None:
    """7 / 2 and 700 / 200 are 4 both."""

    def program(side: Any, x: Any, y: Any) -> Interactive[Any]:
        share = yield from divide(side, x, y)
        return share

    one, other = ([Z64.element([v] * 24) for v in pair] for pair in ((7, 2), (700, 200)))
    assert farthest(kind(Z64), program, one, other) < LIMIT


def test_views_of_a_reciprocal() -> None:
    """10 / 7 and 10 / 9 are 1 both, rounded."""

    def program(side: Any, x: Any) -> Interactive[Any]:
        share = yield from reciprocal(side, x, scale=10)
        return share

    one, other = ([Z64.element([v] * 24)] for v in (7, 9))
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
    """Two systems of one output, also where that is only the rank."""
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

    first, first_right, second, second_right = (system.field.element(part) for part in values)
    assert farthest(Replicated3(system.field), program, [first, first_right], [second, second_right], runs=20) < LIMIT
