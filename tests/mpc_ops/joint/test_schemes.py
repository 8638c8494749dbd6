"""Openings, products and matrix products in every scheme, against Python integers."""

from __future__ import annotations

from itertools import combinations
from typing import Any

import numpy as np
import pytest

from mpc_ops.joint import shamir
from mpc_ops.joint.additive import Additive
from mpc_ops.joint.base import inner, negated, plus
from mpc_ops.joint.replicated import Replicated
from mpc_ops.rings import BITS, F61, F127, F521, Z64, Bits, PrimeField
from mpc_ops.rounds import CheckFailedError, Interactive
from mpc_ops.sessions import Party, run
from tests.mpc_ops.joint.common import (
    EXTREMES,
    AdditiveDealt,
    Replicated3,
    Shamir5,
    assert_uniform,
    stream,
)

SCHEMES = [
    Replicated3(Z64),
    Replicated3(BITS),
    Replicated3(F61),
    Replicated3(F127),
    Shamir5(3, 1),
    Shamir5(4, 1),
    Shamir5(5, 2),
    AdditiveDealt(2),
    AdditiveDealt(3),
    AdditiveDealt(5),
]
every = pytest.mark.parametrize("scheme", SCHEMES, ids=repr)


def values(scheme: Any, label: str, shape: tuple[int, ...]) -> Any:
    """Random elements, the extreme ones first."""
    drawn = scheme.ring.draw(stream((label, scheme.name)), shape)
    some = scheme.ring.element(EXTREMES)
    flat = drawn.reshape(-1)
    flat[: len(some)] = some[: flat.size]
    return drawn


@every
def test_open(scheme: Any) -> None:
    """Every party that holds shares learns the values, in one round."""
    x = values(scheme, "x", (40,))
    result = scheme.run(lambda side, share: side.open(share), x)
    assert result.rounds == 1
    holders = scheme.parties - isinstance(scheme, AdditiveDealt)
    assert all(np.array_equal(got, x) for got in result.results[:holders])


@every
def test_products(scheme: Any) -> None:
    """Elementwise products of 10^5 random and all pairs of extreme values are exact, in one round."""
    some = scheme.ring.element(EXTREMES)
    a, b = (
        np.concatenate([grid.reshape(-1), values(scheme, name, (size(scheme),))])
        for name, grid in zip("ab", np.meshgrid(some, some), strict=True)
    )
    result = scheme.run(lambda side, x, y: side.multiply(x, y), a, b)
    assert result.rounds == 1
    assert np.array_equal(scheme.reveal(result.results), scheme.ring.mul(a, b))
    element = scheme.ring.size(len(a))
    if isinstance(scheme, Shamir5):
        assert result.sent == (element * (scheme.parties - 1 - scheme.threshold),) * scheme.parties
    elif isinstance(scheme, AdditiveDealt):
        assert result.sent == (*[2 * element * (scheme.parties - 2)] * (scheme.parties - 1), element)
    else:
        assert result.sent == (element,) * 3


def size(scheme: Any) -> int:
    return 20_000 if isinstance(scheme.ring, PrimeField) else 100_000


@every
def test_matrix_products(scheme: Any) -> None:
    """A matrix product costs one element for each result, also for stacks; inner products are a special case."""
    a, b = values(scheme, "a", (2, 3, 7)), values(scheme, "b", (2, 7, 4))
    result = scheme.run(lambda side, x, y: side.matmul(x, y), a, b)
    assert result.rounds == 1
    assert np.array_equal(scheme.reveal(result.results), scheme.ring.matmul(a, b))
    if isinstance(scheme, Replicated3) and type(scheme) is Replicated3:
        assert result.sent == (scheme.ring.size(2 * 3 * 4),) * 3
    dots = scheme(inner, a, a)
    assert np.array_equal(dots, scheme.ring.total(scheme.ring.mul(a, a), 2))


@every
def test_linear_operations(scheme: Any) -> None:
    """Sums, differences, public factors, public matrices and constants cost no round."""
    ring = scheme.ring
    x, y, c = values(scheme, "x", (30,)), values(scheme, "y", (30,)), values(scheme, "c", (30,))
    matrix = values(scheme, "m", (4, 30))

    def program(side: Any, a: Any, b: Any) -> Interactive[Any]:
        total = ring.add(plus(side, ring.sub(a, b), c), ring.mul(a, c))
        image = ring.matmul(matrix[None], a[..., None])[..., 0]
        return np.concatenate([total, negated(side, b), image], axis=1)
        yield

    result = scheme.run(program, x, y)
    assert result.rounds == 0
    expected = ring.add(ring.add(ring.sub(x, y), c), ring.mul(x, c))
    image = ring.matmul(matrix, x[:, None])[:, 0]
    want = np.concatenate([expected, ring.sub(ring.element([0] * 30), y), image])
    assert np.array_equal(scheme.reveal(result.results), want)


@every
def test_shapes_that_do_not_match_are_errors(scheme: Any) -> None:
    """Nothing is broadcast in silence."""
    a, b = values(scheme, "a", (2, 3)), values(scheme, "b", (1, 3))
    with pytest.raises(ValueError, match="do not match"):
        scheme.run(lambda side, x, y: side.multiply(x, y), a, b)
    with pytest.raises(ValueError, match="do not match"):
        scheme.run(lambda side, x, y: side.matmul(x, y), a, b)


def test_schemes_refuse_parties_they_are_not_for() -> None:
    """Two of replicated's parties, a Shamir threshold of n, products without a majority or without a dealer."""

    def refused(make: Any, parties: int, reason: str) -> None:
        def program(party: Party) -> Interactive[Any]:
            side = make(party)
            return side.multiply(side.zero((1,)), side.zero((1,)))

        with pytest.raises(ValueError, match=reason):
            run(program, parties=parties)

    refused(lambda party: Replicated(party, Z64), 2, "exactly 3")
    refused(lambda party: Shamir5(3, 3).side(party), 3, "threshold 3")
    refused(lambda party: Shamir5(4, 2).side(party), 4, "2t < n")
    refused(Additive, 3, "only with a dealer")
    refused(lambda party: Additive(party, dealer=True), 2, "at least 2")


@every
def test_what_a_party_receives_does_not_depend_on_the_inputs(scheme: Any) -> None:
    """A product of zeros and one of large values give each party messages that are uniform all the same.

    All keys but the inputs differ between runs; so each message is one sample for each run.
    """
    if isinstance(scheme.ring, PrimeField):
        scheme = type(scheme)(F61)
    for factor in (0, -1):
        seen: dict[tuple[int, int], list[Any]] = {}

        def observe(number: int, sender: int, receiver: int, message: bytes) -> None:
            seen.setdefault((sender, receiver), []).append(np.frombuffer(message[16:], dtype="<u8"))  # noqa: B023

        x = scheme.ring.element([factor] * 2000)
        for attempt in range(2):
            scheme.run(lambda side, a, b: side.multiply(a, b), x, x, observe=observe, seed=bytes([attempt]))
        for messages in seen.values():
            assert_uniform(np.concatenate(messages))


@every
def test_two_products_of_the_same_have_different_masks(scheme: Any) -> None:
    """Also side by side in one round, and in another context: messages never repeat."""
    x = values(scheme, "x", (20,))

    def program(side: Any, a: Any) -> Interactive[Any]:
        first = yield from side.multiply(a, a)
        second = yield from side.multiply(a, a)
        return first, second

    seen: dict[tuple[bytes, int, int], set[bytes]] = {}
    for context in (bytes(32), b"\1" * 32):

        def observe(number: int, sender: int, receiver: int, message: bytes) -> None:
            seen.setdefault((context, number, sender), set()).add(message[16:])  # noqa: B023  # run at once

        scheme.run(program, x, observe=observe, context=context)
    assert len(set().union(*seen.values())) == sum(map(len, seen.values()))


def test_replicated_opening_notices_a_lie() -> None:
    """A flipped bit in any message of a checked opening ends it, at every place of the message."""
    scheme = Replicated3(Bits(8))
    x = Bits(8).draw(stream("x"), (5,))
    assert all(np.array_equal(got, x) for got in scheme.run(lambda side, share: side.open_checked(share), x).results)
    for liar, victim in ((0, 1), (0, 2), (1, 2), (2, 1)):
        forward = (victim - liar) % 3 == 1  # this way goes the component, the other way the hash
        for bit in range(0, 8 * (5 if forward else 32), 7):

            def tamper(number: int, sender: int, receiver: int, message: bytes) -> bytes:
                if (sender, receiver) != (liar, victim):  # noqa: B023
                    return message
                body = int.from_bytes(message[16:], "little") ^ (1 << bit)  # noqa: B023
                return message[:16] + body.to_bytes(len(message) - 16, "little")

            with pytest.raises(CheckFailedError, match="one of them lies"):
                scheme.run(lambda side, share: side.open_checked(share), x, tamper=tamper)


@pytest.mark.parametrize(("parties", "threshold"), [(3, 1), (5, 2), (5, 1), (7, 2)])
def test_shamir_reveals_from_any_enough_parties(parties: int, threshold: int) -> None:
    """Every t + 1 parties reveal; t of them are told that they are too few."""
    x = F61.element(EXTREMES)
    shares = shamir.share(x, stream("x"), parties, threshold)
    for some in combinations(range(parties), threshold + 1):
        got, liars = shamir.reveal({party: shares[party] for party in some}, threshold)
        assert np.array_equal(got, x)
        assert not liars
    with pytest.raises(ValueError, match="are needed"):
        shamir.reveal({party: shares[party] for party in range(threshold)}, threshold)


@pytest.mark.parametrize(("parties", "threshold"), [(4, 1), (5, 1), (7, 2), (7, 1), (3, 1), (5, 2)])
def test_shamir_finds_and_corrects_lies(parties: int, threshold: int) -> None:
    """Up to c = min(t, (n - t - 1) // 2) lies are corrected and named; from there to n - t - 1 - c they are noticed."""
    x = F61.draw(stream("x"), (3, 4))
    corrected = min(threshold, (parties - threshold - 1) // 2)
    for lies in range(parties - threshold - corrected):
        for liars in combinations(range(parties), lies):
            shares = [share.copy() for share in shamir.share(x, stream("y"), parties, threshold)]
            for liar in liars:
                shares[liar][0, 1, 2] = F61.add(shares[liar][0, 1, 2], F61.element(1 + liar * liar))
            if lies <= corrected:
                got, found = shamir.reveal(dict(enumerate(shares)), threshold)
                assert np.array_equal(got, x)
                assert found == set(liars)
            else:
                with pytest.raises(CheckFailedError, match="do not agree"):
                    shamir.reveal(dict(enumerate(shares)), threshold)


@pytest.mark.parametrize(("parties", "threshold"), [(5, 1), (7, 2)])
def test_shamir_opens_in_spite_of_a_liar(parties: int, threshold: int) -> None:
    """Where n allows, honest parties open the right values although one sends others."""
    scheme = Shamir5(parties, threshold)
    x = F61.draw(stream("x"), (10,))

    def tamper(number: int, sender: int, receiver: int, message: bytes) -> bytes:
        return message[:16] + F61.encode(F61.draw(stream(receiver), (10,))) if sender == 2 else message

    result = scheme.run(lambda side, share: side.open(share), x, tamper=tamper)
    assert all(np.array_equal(got, x) for got in result.results)


def test_fewer_shares_say_nothing() -> None:
    """What t, 1 or n - 1 parties hold is uniform, for zeros as for anything else."""
    zeros = np.zeros(4000, dtype=np.uint64)
    for scheme in (Replicated3(Z64), Shamir5(5, 2), AdditiveDealt(3)):
        for share in scheme.share(zeros)[:3]:
            for held in share:
                assert_uniform(held)


def test_replicated_randomness() -> None:
    """Random shares are consistent, differ each time, and zero sharings add up to zero."""
    for ring in (Z64, F61, F521, BITS):
        scheme = Replicated3(ring)

        def program(side: Replicated) -> Interactive[Any]:
            first, second, zero = side.random((6,)), side.random((6,)), side.zero_sharing((6,))
            return first, second, zero
            yield

        results = scheme.run(program).results
        first, second = (scheme.reveal([result[k] for result in results]) for k in range(2))
        assert not np.array_equal(first, second)
        zeros = ring.add(ring.add(results[0][2], results[1][2]), results[2][2])
        assert not zeros.any()
