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
from mpc_ops.joint.base import pass_on
from mpc_ops.joint.linear import System, solve
from mpc_ops.joint.quotients import divide
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
    "truncation's mask": (
        Replicated3(Z64),
        opened(lambda side, x: rounding.truncate(side, x, 30)),
        (5 << 30,),
        (5 << 30,),
    ),
    "lift": (Replicated3(Z64), lambda side, x: rounding.lift(side, x, F127), (0,), (-9999,)),
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


def test_views_of_a_sort() -> None:
    """Sorting (1, 2, 3) and (3, 1, 2) gives one output; 400 lists beside each other."""

    def program(side: Any, x: Any) -> Interactive[Any]:
        result = yield from ordering.order(side, x, 20)
        values = yield from side.open(result.values)
        return values

    one, other = (Z64.element(np.tile(row, (1024, 1))) for row in ([1, 2, 3], [3, 1, 2]))
    assert farthest(Replicated3(Z64), program, [one], [other]) < LIMIT


def test_views_of_a_division() -> None:
    """7 / 2 and 700 / 200 are 4 both."""

    def program(side: Any, x: Any, y: Any) -> Interactive[Any]:
        share = yield from divide(side, x, y)
        return share

    one, other = ([Z64.element([v] * 24) for v in pair] for pair in ((7, 2), (700, 200)))
    assert farthest(Replicated3(Z64), program, one, other) < LIMIT


def test_views_of_a_linear_system() -> None:
    """Two systems with the solution (1, 2)."""
    system = System(size=2, matrix=100, right=300, scale=10)
    element = system.field.element

    def program(side: Any, a: Any, b: Any) -> Interactive[Any]:
        share = yield from solve(side, a, b, system)
        return share

    one = [element([[1, 0], [0, 1]]), element([1, 2])]
    other = [element([[99, -3], [50, 100]]), element([93, 250])]
    assert farthest(Replicated3(system.field), program, one, other, runs=20) < LIMIT
