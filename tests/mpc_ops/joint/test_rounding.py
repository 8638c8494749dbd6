"""Truncation and lifting, and the bits of numbers over large fields, against Python integers."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from mpc_ops.joint import comparing, ordering, planes, rounding
from mpc_ops.joint.base import SchemeError
from mpc_ops.rings import F61, F127, F521, F1279, Z64, Bits
from mpc_ops.rounds import Interactive
from tests.mpc_ops.joint.common import EXTREMES, Checked3, Replicated3, assert_uniform, stream, words

ARITHMETIC = Replicated3(Z64)


@pytest.mark.parametrize("shift", [0, 1, 8, 20, 33, 61, 62])
def test_truncation_is_exact_or_one_too_high(shift: int) -> None:
    """For random values of all sizes and both ends of the range, in 3 rounds. Small errors only, and both occur."""
    x = words(shift, 17_000).view(np.int64) >> np.int64(2)
    x[500:] >>= np.arange(16_500, dtype=np.int64) % 50
    x[:4] = (-(1 << 62), (1 << 62) - 1, 0, -1)
    result = ARITHMETIC.run(lambda side, share: rounding.truncate(side, share, shift), x.view(np.uint64))
    error = ARITHMETIC.reveal(result.results).view(np.int64) - (x >> np.int64(shift))
    if shift == 0:
        assert not error.any()
    else:
        assert set(error.tolist()) == {0, 1}
        assert result.rounds == 3
        assert result.sent == ((2 * 64 * 8 + 8) * len(x),) * 3


def test_a_shift_out_of_range_is_refused() -> None:
    """Nothing is left of 63 bits after 63 places."""
    for shift in (-1, 63):
        with pytest.raises(ValueError, match="shift"):
            ARITHMETIC.run(lambda side, x: rounding.truncate(side, x, shift), words("x", 3))  # noqa: B023


@pytest.mark.parametrize("shift", [0, 1, 20, 83])
def test_truncation_in_a_field_is_exact_or_one_too_high(shift: int) -> None:
    """Signed values of up to 83 bits over F_127, both ends among them, in 3 rounds."""
    scheme = Replicated3(F127)
    random = [(value >> 43) - (1 << 83) for value in F127.integers(F127.draw(stream(shift), (300,))).tolist()]
    x = [0, 1, -1, (1 << 83) - 1, -(1 << 83), *random, *(value >> 60 for value in random)]
    result = scheme.run(lambda side, share: rounding.truncate_large(side, share, shift, 83), F127.element(x))
    got = F127.signed(scheme.reveal(result.results))
    errors = {a - (b >> shift) for a, b in zip(got, x, strict=True)}
    assert errors == ({0, 1} if shift else {0})
    assert result.rounds == (3 if shift else 0)
    for wrong in (-1, 84):
        with pytest.raises(ValueError, match="shift"):
            scheme.run(lambda side, share, by=wrong: rounding.truncate_large(side, share, by, 83), F127.element(x))


def test_shares_over_another_ring_are_refused() -> None:
    """Residues of a field are no words: comparing them so would give wrong numbers."""
    x = F61.element([1, 2, 3])
    for program in (
        comparing.sign,
        comparing.is_zero,
        lambda side, share: rounding.truncate(side, share, 3),
        lambda side, share: rounding.lift(side, share, F127),
        lambda side, share: ordering.order(side, share, 10),
    ):
        with pytest.raises(SchemeError, match="not over z64"):
            Replicated3(F61).run(program, x)
    with pytest.raises(SchemeError, match="no large field"):
        Replicated3(F61).run(planes.negative, x)


def test_nothing_is_computed_of_nothing() -> None:
    """Empty batches pass through, checked or not."""
    nothing = np.zeros(0, dtype=np.uint64)
    for scheme in (ARITHMETIC, Checked3(Z64)):
        for program in (comparing.sign, comparing.is_zero, lambda side, x: rounding.lift(side, x, F127)):

            def opened(side: Any, x: Any) -> Interactive[Any]:
                share = yield from program(side, x)  # noqa: B023
                over = side.over(F127 if share.dtype == F127.dtype else Bits(1))
                values = yield from over.open(share)
                return values

            assert scheme.run(opened, nothing).results[0].shape == (0,)


def test_truncation_opens_noise() -> None:
    """What is opened is uniform for 0 as for the largest values: what a party adds up from what it holds and gets."""
    for value in (0, (1 << 62) - 1):
        opened: list[Any] = []

        def observe(number: int, sender: int, receiver: int, message: bytes) -> None:
            if number == 2:
                opened.append(np.frombuffer(message[16:], dtype="<u8"))  # noqa: B023

        x = Z64.element([value] * 3000)
        ARITHMETIC.run(lambda side, share: rounding.truncate(side, share, 20), x, observe=observe)
        assert_uniform(sum(opened))


@pytest.mark.parametrize("ring", [F61, F127, F521], ids=lambda ring: ring.name)
def test_lifting(ring: Any) -> None:
    """Signed numbers keep their value in another ring, also the extreme ones, in 10 rounds."""
    x = np.concatenate([Z64.element(EXTREMES), words("lift", 500)])
    result = ARITHMETIC.run(lambda side, share: rounding.lift(side, share, ring), x)
    assert np.array_equal(Replicated3(ring).reveal(result.results), ring.element(x.view(np.int64)))
    assert result.rounds == 10


@pytest.mark.parametrize("ring", [F61, F127, F521], ids=lambda ring: ring.name)
def test_lifting_what_has_room(ring: Any) -> None:
    """Numbers of up to 61 bits and a sign keep their value in another ring, in 3 rounds and with one AND for each."""
    least, most = -(1 << 61), (1 << 61) - 1
    some = words("near", 2000) >> np.uint64(2)
    x = np.concatenate([Z64.element([least, least + 1, -1, 0, 1, most - 1, most]), some - np.uint64(1 << 61)])
    result = ARITHMETIC.run(lambda side, share: rounding.lift(side, share, ring, bits=61), x)
    assert np.array_equal(Replicated3(ring).reveal(result.results), ring.element(x.view(np.int64)))
    assert result.rounds == rounding.lift_rounds(61) == 3
    single = -(-len(x) // 8)
    assert result.sent == (single + 4 * ring.size(len(x)),) * 3


def test_lifting_what_has_no_room_keeps_it_apart() -> None:
    """Out of its range the short way is off by a multiple of 2^64: two words that differ stay different."""
    x = np.concatenate([Z64.element(EXTREMES), words("far", 500)])
    result = ARITHMETIC.run(lambda side, share: rounding.lift(side, share, F127, bits=61), x)
    lifted = F127.signed(Replicated3(F127).reveal(result.results))
    assert [value % 2**64 for value in lifted] == x.tolist()
    assert max(map(abs, lifted)) < 1 << 66


@pytest.mark.parametrize("field", [F127, F521, F1279], ids=lambda field: field.name)
def test_signs_and_bits_over_large_fields(field: Any) -> None:
    """The sign also of 0 and of values next to it; the bits of all but 0."""
    scheme = Replicated3(field)
    quarter = field.order // 4
    some = [0, 1, -1, 2, -2, quarter, -quarter, 1 << 64, -(1 << 64)]
    x = np.concatenate(
        [field.element(some), field.element((field.integers(field.draw(stream("x"), (60,))) >> 2) - quarter // 2)]
    )
    result = scheme.run(planes.negative, x)
    signs = result.results[0][0] ^ result.results[1][0] ^ result.results[2][0]
    assert signs.tolist() == [int(value < 0) for value in field.signed(x)]
    assert result.rounds == 2 + (field.bits - 1).bit_length()
    nonzero = x[1:]
    result = scheme.run(planes.to_planes, nonzero)
    bits = planes.Lanes(len(nonzero)).unpack(result.results[0][0] ^ result.results[1][0] ^ result.results[2][0])
    assert [sum(int(bit) << i for i, bit in enumerate(column)) for column in bits.T] == field.integers(nonzero).tolist()


def test_the_highest_bit() -> None:
    """Of each lane only its highest 1 is left, of 0 nothing."""
    numbers = [0, 1, 2, 3, 40, 127, 64, 99]
    bits = np.array([[number >> place & 1 for number in numbers] for place in range(7)], dtype=np.uint64)
    lanes = planes.Lanes(len(numbers))
    scheme = Replicated3(Bits(8))
    shares = scheme.run(lambda side, x: planes.leading(side, x, 8), lanes.pack(bits))
    got = lanes.unpack(scheme.reveal(shares.results))
    assert [sum(int(b) << i for i, b in enumerate(column)) for column in got.T] == [
        1 << (n.bit_length() - 1) if n else 0 for n in numbers
    ]


def test_shortening() -> None:
    """Over a large field x / 2^f is between one below its floor and two above, in 1 round."""
    random = (F521.integers(F521.draw(stream("s"), (200,))) >> 220) - (1 << 300)
    x = F521.element([0, 1, -1, (1 << 300) - 1, -(1 << 300), *random])
    result = Replicated3(F521).run(lambda side, share: rounding.shorten(side, share, 100, 301), x)
    got = F521.signed(Replicated3(F521).reveal(result.results))
    error = {a - (b >> 100) for a, b in zip(got, F521.signed(x), strict=True)}
    assert error <= {-1, 0, 1, 2}
    assert result.rounds == 1
    with pytest.raises(ValueError, match="do not fit"):
        Replicated3(F521).run(lambda side, share: rounding.shorten(side, share, 100, 478), x)
