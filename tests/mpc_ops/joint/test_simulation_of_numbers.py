"""Views of truncation, lifting, quotients and linear systems can be simulated from shares and output."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

from mpc_ops.joint import rounding
from mpc_ops.joint.inverses import COARSE_BITS, PLACES
from mpc_ops.joint.linear import System, solve
from mpc_ops.joint.quotients import DIVISION, WORDS, Quotients, divide, nearest
from mpc_ops.randomness import Stream
from mpc_ops.rings import F127, F521, Z64, Bits, PrimeField
from mpc_ops.rounds import Array, Interactive
from tests.mpc_ops.joint.common import Replicated3
from tests.mpc_ops.joint.counting import LIMIT
from tests.mpc_ops.joint.simulating import COUNT, Case, farthest, opened, simple


def _masked(draws: Stream, output: Array) -> Iterator[Array]:
    """Truncation over words opens one uniform word for each value."""
    yield Z64.draw(draws, output.shape)
    yield output


def _masked_in_field(draws: Stream, output: Array) -> Iterator[Array]:
    """Over a field: the shift's low bits, and the sum of three numbers of 80 + 41 - 8 bits above them."""
    yield F127.element(
        _bounded(draws, output.shape, 80 + 41 - 8) * 256 + Bits(8).integers(Bits(8).draw(draws, output.shape))
    )
    yield output


def _bounded(draws: Stream, shape: tuple[int, ...], bits: int) -> Any:
    return (F521.integers(F521.draw(draws, (3, *shape))) & ((1 << bits) - 1)).sum(axis=0)


SMALL = Quotients(numerator=64, denominator=64)
LARGE = Quotients(numerator=150, denominator=100, scale=3)


def _divided(ranges: Quotients) -> Callable[..., Interactive[Array]]:
    def program(side: Any, n: Array, d: Array) -> Interactive[Array]:
        share = yield from nearest(side, n[..., None], d, ranges)
        values = yield from side.open(share[..., 0])
        return values

    return program


def _quotient(ranges: Quotients) -> Callable[[Stream, Array], Iterator[Array]]:
    def script(draws: Stream, output: Array) -> Iterator[Array]:
        yield from _on_the_way(draws, ranges, (len(output), 1))
        yield output

    return script


def _on_the_way(draws: Stream, ranges: Quotients, shape: tuple[int, ...]) -> Iterator[Array]:
    """What `nearest` opens: that all are in range, then masked numbers alone, longer than what they hide by 40 bits."""
    bits, field, wide = ranges.normal, ranges.field, ranges.wide
    yield np.ones(1, dtype=np.uint64)
    moved = (
        []
        if wide == field
        else [_noise(draws, field, shape[:1], bits + 1), _noise(draws, field, shape, ranges.numerator)]
    )
    # |D| v, and with it v sign(D) and N
    yield np.concatenate([part.reshape(-1) for part in (_noise(draws, field, shape[:1], bits), *moved)])
    guess, product = _noise(draws, wide, shape[:1], COARSE_BITS), _noise(draws, wide, shape, bits + 50)
    yield np.concatenate([guess.reshape(-1), product.reshape(-1)])  # w, and s N v sign(D)
    yield _noise(draws, wide, shape, 50 + 10 + PLACES + 2).reshape(-1)  # the guess


def _noise(draws: Stream, field: PrimeField, shape: tuple[int, ...], bits: int) -> Array:
    """x + 2^bits + three numbers of 41 bits more, in which x is lost."""
    return field.element((1 << bits) + _bounded(draws, shape, bits + 41))


SYSTEM = System(size=2, matrix=100, right=300, scale=10)
SYSTEMS = 32


def _solved(side: Any, matrices: Array, rights: Array) -> Interactive[Array]:
    share = yield from solve(side, matrices, rights, SYSTEM)
    values = yield from side.open(share)
    return values


def _systems(draws: Stream, output: Array) -> Iterator[Array]:
    """A product of random numbers, a random matrix, and then a quotient's openings."""
    for shape in ((1,), (2, 2)):
        yield SYSTEM.field.draw(draws, (len(output), *shape))
    yield from _on_the_way(draws, SYSTEM.quotients, output.shape)
    yield output


CASES = {
    "lift": simple(Replicated3(Z64), lambda side, x: rounding.lift(side, x, F127), (-6,), -6, F127),
    "truncation": Case(
        scheme=Replicated3(Z64),
        body=opened(lambda side, x: rounding.truncate(side, x, 30)),
        inputs=(Z64.element([-5 << 30] * COUNT),),
        output=Z64.element([-5] * COUNT),
        script=_masked,
    ),
    "truncation in a field": Case(
        scheme=Replicated3(F127),
        body=opened(lambda side, x: rounding.truncate_large(side, x, 8, 80)),
        inputs=(F127.element([-5 << 8] * COUNT),),
        output=F127.element([-5] * COUNT),
        script=_masked_in_field,
    ),
    "division of words": Case(
        scheme=Replicated3(Z64),
        body=opened(divide, DIVISION),
        inputs=(Z64.element([-7] * 128), Z64.element([2] * 128)),
        output=DIVISION.element([-3] * 128),
        script=_quotient(WORDS),
    ),
    "division": Case(
        scheme=Replicated3(SMALL.field),
        body=_divided(SMALL),
        inputs=(SMALL.field.element([-7] * 128), SMALL.field.element([2] * 128)),
        output=SMALL.field.element([-3] * 128),
        script=_quotient(SMALL),
    ),
    "division of large numbers": Case(
        scheme=Replicated3(LARGE.field),
        body=_divided(LARGE),
        inputs=(LARGE.field.element([-7 << 90] * 128), LARGE.field.element([-2 << 90] * 128)),
        output=LARGE.field.element([11] * 128),
        script=_quotient(LARGE),
    ),
    "linear system": Case(
        scheme=Replicated3(SYSTEM.field),
        body=_solved,
        inputs=(
            SYSTEM.field.element([[[99, -3], [50, 100]]] * SYSTEMS),
            SYSTEM.field.element([[93, 250]] * SYSTEMS),
        ),
        output=SYSTEM.field.element([[10, 20]] * SYSTEMS),
        script=_systems,
    ),
}


@pytest.mark.parametrize("party", range(3))
@pytest.mark.parametrize("name", CASES)
def test_a_view_is_simulated_from_shares_and_output(name: str, party: int) -> None:
    """The simulated party ends with the output; counting does not tell its view from a real one."""
    assert farthest(CASES[name], party) < LIMIT


def test_the_test_finds_zeros_where_noise_is_opened() -> None:
    """A truncation without a mask."""

    def zeros(draws: Stream, output: Array) -> Iterator[Array]:
        yield np.zeros_like(output)
        yield output

    assert farthest(CASES["truncation"], 0, zeros) > 3 * LIMIT
