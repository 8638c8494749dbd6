"""Gates, adders, conversions and comparisons on replicated bits, against numpy; rounds and bytes asserted."""

from __future__ import annotations

from itertools import product
from typing import Any

import numpy as np
import pytest

from mpc_ops.joint import comparing, gates
from mpc_ops.rings import BITS, F61, F127, Z64, Bits
from tests.mpc_ops.joint.common import EXTREMES, Replicated3, assert_uniform, stream, words

BOOLEAN = Replicated3(BITS)
ARITHMETIC = Replicated3(Z64)
COUNT = 100_000


def pairs(label: str, count: int = COUNT) -> tuple[Any, Any]:
    """All pairs of extreme words, then random ones."""
    some = Z64.element(EXTREMES)
    a, b = (grid.reshape(-1) for grid in np.meshgrid(some, some))
    return np.concatenate([a, words((label, "a"), count)]), np.concatenate([b, words((label, "b"), count)])


def boolean(result: Any, width: int = 64) -> Any:
    return Replicated3(Bits(width)).reveal(result.results)


def test_gates() -> None:
    """AND, OR, NOT and the multiplexer, in one round and 8 bytes a word, NOT for nothing."""
    x, y = pairs("gates")
    cases = [
        (gates.conjunction, x & y, 1),
        (gates.disjunction, x | y, 1),
        (lambda side, a, b: gates.choose(side, a, b, a ^ b), (x & y) | (~x & (x ^ y)), 1),
    ]
    for gate, expected, rounds in cases:
        result = BOOLEAN.run(gate, x, y)
        assert np.array_equal(boolean(result), expected)
        assert result.rounds == rounds
        assert result.sent == (8 * len(x),) * 3

    def negation(side: Any, a: Any) -> Any:
        return gates.negation(side, a)
        yield

    assert np.array_equal(BOOLEAN(negation, x), ~x)


@pytest.mark.parametrize("width", [1, 2, 4, 8, 16, 32, 64])
def test_gates_on_narrow_words(width: int) -> None:
    """n words of w bits take n w / 8 bytes, whatever memory holds."""
    scheme = Replicated3(Bits(width))
    x, y = (scheme.ring.draw(stream((name, width)), (13, 3)) for name in "xy")
    result = scheme.run(lambda side, a, b: gates.disjunction(side, a, b, width), x, y)
    assert np.array_equal(boolean(result, width), x | y)
    assert result.sent == (-(-39 * width // 8),) * 3
    ones = scheme.run(lambda side, a: gates.all_bits(side, a | gates.negation(side, a & a, width) * 0, width), x)
    assert np.array_equal(boolean(ones, 1), (x == scheme.ring.ones).astype(np.uint64))
    chosen = scheme(lambda side, a, b: gates.choose(side, gates.spread(a & np.uint64(1), width), a, b, width), x, y)
    assert np.array_equal(chosen, np.where(x & np.uint64(1) == 1, x, y))


def test_and_along_an_axis() -> None:
    """A tree over any number of operands, in as many rounds as its depth."""
    for count in (1, 2, 3, 7, 8):
        x = words(count, 20 * count).reshape(20, count) | words("more", 20 * count).reshape(20, count)
        result = BOOLEAN.run(gates.all_along, x)
        assert np.array_equal(boolean(result), np.bitwise_and.reduce(x, axis=1))
        assert result.rounds == (count - 1).bit_length()
    with pytest.raises(ValueError, match="of nothing"):
        BOOLEAN.run(gates.all_along, np.zeros((2, 0), dtype=np.uint64))


def test_adders() -> None:
    """Sums and differences of Boolean words, modulo 2^64, in 7 rounds."""
    x, y = pairs("adders")
    total = BOOLEAN.run(gates.add, x, y)
    assert np.array_equal(boolean(total), x + y)
    assert total.rounds == 7
    assert np.array_equal(BOOLEAN(gates.subtract, x, y), x - y)


def test_to_bits() -> None:
    """An arithmetic share becomes the bits of its value, in 8 rounds."""
    x, _ = pairs("bits")
    result = ARITHMETIC.run(gates.to_bits, x)
    assert np.array_equal(boolean(result), x)
    assert result.rounds == 8


@pytest.mark.parametrize("ring", [Z64, F61, F127], ids=lambda ring: ring.name)
def test_from_bits(ring: Any) -> None:
    """Bits become arithmetic shares over any ring, in 2 rounds and two elements for each bit."""
    x = words("x", 30)
    result = BOOLEAN.run(lambda side, a: gates.from_bits(side, a, ring), x)
    assert ring.integers(Replicated3(ring).reveal(result.results)).tolist() == [v % ring.order for v in x.tolist()]
    assert result.rounds == 2
    assert result.sent == (2 * ring.size(64 * 30),) * 3
    bits = np.array([0, 1, 1, 0], dtype=np.uint64)
    single = Replicated3(Bits(1)).run(lambda side, a: gates.from_bit(side, a, ring), bits)
    assert ring.integers(Replicated3(ring).reveal(single.results)).tolist() == bits.tolist()
    with pytest.raises(ValueError, match="single bits"):
        BOOLEAN.run(lambda side, a: gates.from_bit(side, a, ring), words("wide", 3))


def test_there_and_back() -> None:
    """To bits and back is the identity."""
    x, _ = pairs("round trip", 100)

    def program(side: Any, a: Any) -> Any:
        bits = yield from gates.to_bits(side, a)
        back = yield from gates.from_bits(side, bits, Z64)
        return back

    assert np.array_equal(ARITHMETIC(program, x), x)


def test_sign() -> None:
    """The sign of all extreme and 10^5 random values; 8 rounds, 253 ANDs, so 32 bytes from each party."""
    x, _ = pairs("sign", 100_000)
    result = ARITHMETIC.run(comparing.sign, x)
    assert np.array_equal(boolean(result, 1), x >> np.uint64(63))
    assert result.rounds == comparing.rounds() == 8
    one = ARITHMETIC.run(comparing.sign, x[:64])
    assert one.sent == (64 * 253 // 8,) * 3


@pytest.mark.parametrize("width", range(1, 65))
def test_the_sign_of_short_words(width: int) -> None:
    """Right for every number that fits, both ends among them, in at most 8 rounds and four ANDs for each of the bits
    that are compared, which are at most a third more than those declared, or one.
    """
    x = words(("short", width), 500).view(np.int64) >> np.int64(64 - width)
    x[:4] = (-1 << (width - 1), (1 << (width - 1)) - 1, 0, -1)
    result = ARITHMETIC.run(lambda side, share: comparing.sign(side, share, width), x.view(np.uint64))
    assert np.array_equal(boolean(result, 1), x < 0)
    assert result.rounds == comparing.rounds(width) <= comparing.rounds() == 8
    compared = sum(part.width for part in comparing.parts(width))
    assert width <= compared <= max(width + 1, width * 4 / 3)
    assert result.sent[0] <= 500 * 4 * compared // 8 + result.rounds


@pytest.mark.parametrize("width", [0, 65])
def test_words_of_other_lengths_are_refused(width: int) -> None:
    """Of 1 to 64 bits."""
    with pytest.raises(ValueError, match="1 to 64 bits"):
        comparing.parts(width)


def test_less() -> None:
    """Comparisons of 10^5 signed numbers whose differences stay below 2^63, and of neighbours."""
    a, b = (words(name, 100_000) >> np.uint64(2) for name in "ab")
    a, b = a - np.uint64(1 << 61), b - np.uint64(1 << 61)
    near = np.arange(-3, 4, dtype=np.int64).astype(np.uint64)
    a, b = np.concatenate([a, b[:7] + near, a[:7]]), np.concatenate([b, b[:7], a[:7]])
    result = ARITHMETIC.run(comparing.less, a, b)
    assert np.array_equal(boolean(result, 1), (a.view(np.int64) < b.view(np.int64)).astype(np.uint64))


def test_equal() -> None:
    """Equality over the whole ring, also where the difference is 2^63 or one bit, in 8 rounds."""
    a, b = pairs("equal")
    b[-500:] = a[-500:]
    b[-300:-200] ^= np.uint64(1) << np.arange(100, dtype=np.uint64) % np.uint64(64)
    result = ARITHMETIC.run(comparing.equal, a, b)
    assert np.array_equal(boolean(result, 1), (a == b).astype(np.uint64))
    assert result.rounds == 8
    assert ARITHMETIC.run(comparing.equal, a[:64], b[:64]).sent == (64 * (64 + 64 + 63) // 8,) * 3


def test_inside() -> None:
    """Both bounds belong to the range; an empty range holds nothing. 9 rounds."""
    x, low, high = (
        np.array(column, dtype=np.int64).astype(np.uint64)
        for column in zip(*product((-9, -1, 0, 1, 5), repeat=3), strict=True)
    )
    result = ARITHMETIC.run(comparing.inside, x, low, high)
    signed = [v.view(np.int64) for v in (x, low, high)]
    assert np.array_equal(boolean(result, 1), ((signed[1] <= signed[0]) & (signed[0] <= signed[2])).astype(np.uint64))
    assert result.rounds == 9


def test_a_comparison_looks_alike_whatever_is_compared() -> None:
    """The words that a party receives for 0 < 0 and for -5 < 5 are uniform both."""
    for a, b in ((0, 0), (-5, 5)):
        seen: dict[tuple[int, int], list[Any]] = {}

        def observe(number: int, sender: int, receiver: int, message: bytes) -> None:
            if len(message) == 16 + 8 * 3000:
                seen.setdefault((number, receiver), []).append(np.frombuffer(message[16:], dtype="<u8"))  # noqa: B023

        ARITHMETIC.run(comparing.less, *(Z64.element([v] * 3000) for v in (a, b)), observe=observe)
        assert len(seen) == 9
        for messages in seen.values():
            for shift in (0, 20, 40):
                assert_uniform(np.concatenate(messages) << np.uint64(shift))
