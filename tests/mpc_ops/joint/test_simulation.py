"""Views of products, gates, comparisons and sorting can be simulated from shares and output."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from mpc_ops.joint import comparing, gates, ordering
from mpc_ops.randomness import Stream
from mpc_ops.rings import BITS, F61, Z64, Bits
from mpc_ops.rounds import Array, Interactive
from tests.mpc_ops.joint.common import AdditiveDealt, Replicated3, Shamir5
from tests.mpc_ops.joint.counting import LIMIT
from tests.mpc_ops.joint.simulating import COUNT, Case, farthest, simple


def product(side: Any, x: Array, y: Array) -> Interactive[Array]:
    return side.multiply(x, y)


def _sorted(side: Any, x: Array) -> Interactive[Array]:
    result = yield from ordering.order(side, x, 20)
    values = yield from side.open(result.values)
    return values


def _random_order(draws: Stream, output: Array) -> Iterator[Array]:
    """The comparisons of a list in an order drawn at random, whatever is in it."""
    keys = draws.words(output.size).reshape(output.shape)
    left, right = np.triu_indices(output.shape[-1], 1)
    yield (keys[..., left] < keys[..., right]).astype(np.uint64)
    yield output


CASES = {
    "product": simple(Replicated3(Z64), product, (3, -5), -15),
    "product in a field": simple(Replicated3(F61), product, (3, -5), -15),
    "product, Shamir 3": simple(Shamir5(3, 1), product, (3, -5), -15),
    "product, Shamir 5": simple(Shamir5(5, 2), product, (3, -5), -15),
    "product, additive": simple(AdditiveDealt(3), product, (3, -5), -15),
    "AND": simple(Replicated3(BITS), gates.conjunction, (6, 3), 2),
    "OR": simple(Replicated3(BITS), gates.disjunction, (6, 3), 7),
    "multiplexer": simple(Replicated3(BITS), gates.choose, (-1, 6, 3), 6),
    "adder": simple(Replicated3(BITS), gates.add, (6, 3), 9),
    "to bits": simple(Replicated3(Z64), gates.to_bits, (-6,), -6, BITS),
    "less": simple(Replicated3(Z64), comparing.less, (6, 3), 0, Bits(1)),
    "equal": simple(Replicated3(Z64), comparing.equal, (6, 6), 1, Bits(1)),
    "inside": simple(Replicated3(Z64), comparing.inside, (6, 3, 7), 1, Bits(1)),
    "from bit": simple(Replicated3(Bits(1)), lambda side, x, y: gates.from_bit(side, x ^ y, F61), (1, 0), 1, F61),
    "sort": Case(
        scheme=Replicated3(Z64),
        body=_sorted,
        inputs=(Z64.element([[7, -1, 7]] * COUNT),),
        output=Z64.element([[-1, 7, 7]] * COUNT),
        script=_random_order,
    ),
}


@pytest.mark.parametrize("party", range(3))
@pytest.mark.parametrize("name", CASES)
def test_a_view_is_simulated_from_shares_and_output(name: str, party: int) -> None:
    """The simulated party ends with the output; counting does not tell its view from a real one."""
    assert farthest(CASES[name], party) < LIMIT


def test_the_test_finds_an_order_that_is_always_the_same() -> None:
    """What a list shows that was not shuffled."""

    def sorted_already(draws: Stream, output: Array) -> Iterator[Array]:
        yield np.ones_like(output)
        yield output

    assert farthest(CASES["sort"], 0, sorted_already) > 3 * LIMIT
