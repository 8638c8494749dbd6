"""Quotients of shared integers, rounded to the nearest whole number, exactly, over a large field F_P.

q = floor(s N / D + 1/2) for every N of a list and one D != 0, and nothing but q: D's size and sign stay secret too.

    D's sign, and a power v of 2, so that 2^(K-1) <= |D| v <= 2^K, by `mpc_ops.joint.normal`
    is |s N| <= (2^50 - 1) |D| for all N (at the limit itself: either) and D != 0? This bit is opened, the rest left if
        not
    d = 60 leading bits of |D| v, w = 1 / d by `mpc_ops.joint.inverses`
    q0 = s N v sign(D) w, which after its truncation is q - 1, q, q + 1, q + 2 or q + 3
    q = q0 + 1 - the number of i in -1..2 for which q < q0 - i, which is the sign of 2 (s N - q0 D) + (2 i + 1) D

Truncations on the way are statistical and off by a few units (`mpc_ops.joint.rounding.shorten`); the last step makes
the result exact all the same. The test of the range comes first because s N v is only masked as far as |s N / D|
allows. Where N and D have room in a smaller field than s N v, they live there and are moved by masked openings.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from mpc_ops.joint.base import plus
from mpc_ops.joint.gates import all_along, from_bit, negation
from mpc_ops.joint.inverses import COARSE_BITS, COARSE_SHIFT, DIGITS, PLACES, coarse, refined
from mpc_ops.joint.normal import Normal, Places, normal, places, places_of_words
from mpc_ops.joint.planes import large, negative, sign_rounds
from mpc_ops.joint.replicated import Replicated, needed
from mpc_ops.joint.rounding import STATISTICAL_BITS, lift, lift_rounds, lift_with_bits, shorten, shorten_all
from mpc_ops.rings import F127, F521, F1279, Z64, Bits, PrimeField
from mpc_ops.rounds import Array, Interactive, together

QUOTIENT_BITS = 50
LARGEST = (1 << QUOTIENT_BITS) - 1

_ROOM = STATISTICAL_BITS + 3
_GUARD = 10
"""Bits of s N v that are kept below the point of s N / D."""
_GUESSES = 5
"""A guess is 1 too low, right, or 1, 2 or 3 too high."""


class QuotientError(ValueError):
    """A quotient of 2^50 or more, or a denominator 0: that there is one is all that was revealed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Quotients:
    """The ranges of s N / D: -2^numerator <= N < 2^numerator, -2^denominator <= D < 2^denominator; s = `scale`.

    Raises ValueError for a scale below 1, and where even 1279 bits are too few.
    """

    numerator: int
    denominator: int
    scale: int = 1

    def __post_init__(self) -> None:
        if self.scale < 1:
            raise ValueError("a scale is at least 1")
        _ = self.wide

    @property
    def normal(self) -> int:
        """K, the bits of |D| v."""
        return max(self.denominator, DIGITS)

    @property
    def field(self) -> PrimeField:
        """The smallest field that N, D and q can live in."""
        tested = max(self.denominator + QUOTIENT_BITS, self.numerator + (self.scale - 1).bit_length()) + 2
        moving = max(self.normal + 1, self.numerator) + _ROOM
        return _smallest(tested, min(moving, self._widest))

    @property
    def wide(self) -> PrimeField:
        """The smallest field for what is computed on the way to a guess: `field`, or a larger one."""
        return _smallest(self._widest, self.field.bits - 1)

    @property
    def _widest(self) -> int:
        return max(self.normal + QUOTIENT_BITS, COARSE_BITS) + _ROOM

    def rounds(self, count: int) -> int:
        """How many rounds `nearest` takes for so many quotients."""
        return sign_rounds(self.field) + self.denominator.bit_length() + self.later_rounds(count)

    def later_rounds(self, count: int) -> int:
        """How many of these are left when the highest bits are known. That all are in range is found in a tree."""
        return max(5, (2 * count - 1).bit_length() + 1) + sign_rounds(self.field) + 13


def _smallest(*needs: int) -> PrimeField:
    """Of more bits than any of these. Raises ValueError where there is none."""
    for smallest in (F127, F521, F1279):
        if max(needs) < smallest.bits:
            return smallest
    raise ValueError(f"quotients of {max(needs)} bits need more than {F1279.bits}")


WORDS = Quotients(numerator=63, denominator=63)
DIVISION = WORDS.field
LARGEST_SCALE = 1 << (DIVISION.bits - 3 - WORDS.numerator)


def division_rounds(count: int) -> int:
    """How many rounds so many quotients of words take."""
    return lift_rounds(63) + sign_rounds(DIVISION) + WORDS.later_rounds(count)


def nearest(side: Replicated, numerators: Array, denominators: Array, ranges: Quotients) -> Interactive[Array]:
    """floor(s N / D + 1/2) for shares (2, g, n) and (2, g) over `ranges.field`: (2, g, n).

    Rounds: `ranges.rounds`. Raises QuotientError where one is above 2^50 - 1 or a D is 0, at all parties alike;
    ValueError for shares over another field.
    """
    if large(side) != ranges.field:
        raise ValueError(f"these quotients are computed over {ranges.field.name}")
    highest = places(side, denominators, ranges.denominator)
    result = yield from _rounded(side, numerators, denominators, highest, ranges)
    return result


def divide(side: Replicated, numerators: Array, denominators: Array, *, scale: int = 1) -> Interactive[Array]:
    """floor(scale N / D + 1/2) for signed shares (2, n) over Z/2^64: a share (2, n) over `DIVISION`.

    Rounds: `division_rounds`. Raises QuotientError as `nearest`, ValueError for a scale outside 1..`LARGEST_SCALE`.
    """
    needed(side, Z64)
    result = yield from _divided(side, lift(side, numerators, DIVISION), denominators, scale)
    return result


def reciprocal(side: Replicated, denominators: Array, *, scale: int) -> Interactive[Array]:
    """floor(scale / D + 1/2) for signed shares (2, n) over Z/2^64: a share (2, n) over `DIVISION`. As `divide`."""
    needed(side, Z64)

    def ones() -> Interactive[Array]:
        return side.over(DIVISION).public(DIVISION.element(np.ones(denominators.shape[1:], dtype=np.uint64)))
        yield

    result = yield from _divided(side, ones(), denominators, scale)
    return result


def _divided(side: Replicated, lifted: Interactive[Array], denominators: Array, scale: int) -> Interactive[Array]:
    """With a protocol that gives the numerators over `DIVISION`."""
    if not 1 <= scale <= LARGEST_SCALE:
        raise ValueError(f"a scale lies between 1 and {LARGEST_SCALE}")
    over, ranges = side.over(DIVISION), replace(WORDS, scale=scale)
    numerators, (divisors, words) = yield from together(lifted, lift_with_bits(side, denominators, DIVISION))
    result = yield from _rounded(over, numerators[..., None], divisors, places_of_words(over, words), ranges)
    return result[..., 0]


def _rounded(
    side: Replicated, numerators: Array, denominators: Array, highest: Interactive[Places], ranges: Quotients
) -> Interactive[Array]:
    """`nearest`, with a protocol that finds the highest places of the denominators."""
    ring, wide = ranges.field, ranges.wide
    scaled = ring.mul(numerators, ring.element(ranges.scale))
    of, limits = yield from together(highest, _limits(side, scaled, denominators))
    normed, fits = yield from together(
        normal(side, denominators, of, ranges.normal), _equal(side, limits, of.sign[..., None])
    )
    if not fits:
        raise QuotientError(f"a quotient is not below 2^{QUOTIENT_BITS}, or a denominator is 0")
    parts = [(normed.size, ranges.normal - DIGITS, ranges.normal)]
    if wide != ring:
        parts += [(normed.factor, 0, ranges.normal + 1), (numerators, 0, ranges.numerator)]
    d, *moved = yield from shorten_all(side, parts, wide)
    factor, whole = moved or (normed.factor, numerators)
    guess = yield from _guess(side.over(wide), whole, factor, d, ranges)
    result = yield from _corrected(side, scaled, denominators, guess, normed)
    return result


def _limits(side: Replicated, numerators: Array, denominators: Array) -> Interactive[Array]:
    """Single bits (2, g, 2 n): whether (2^50 - 1) D - N and + N are 0 or less. All are as the sign of D says, where |N|
    is in range. Where D = 0 that sign is +, and one of each two is not.
    """
    ring, divisors = large(side), denominators[..., None]
    limit = plus(side, ring.mul(divisors, ring.element(LARGEST)), ring.element(-1))
    tests = np.concatenate([ring.sub(limit, numerators), ring.add(limit, numerators)], axis=-1)
    bits = yield from negative(side, tests.reshape(2, -1))
    return bits.reshape(tests.shape)


def _equal(side: Replicated, bits: Array, sign: Array) -> Interactive[bool]:
    """Whether all bits (2, g, n) are as those (2, g, 1): opened. Rounds: 1 and log2 of how many they are."""
    right = negation(side, bits ^ sign, 1)
    every = yield from all_along(side, right.reshape(2, -1), 1)
    opened = yield from side.over(Bits(1)).open(every[:, None])
    return bool(opened[0])


def _guess(side: Replicated, numerators: Array, factor: Array, d: Array, ranges: Quotients) -> Interactive[Array]:
    """s N v sign(D) / d, rounded, or up to 1 less or 3 more: a share (2, g, n) over `ranges.field`. Rounds: 9."""
    ring = large(side)
    scaled = ring.mul(factor, ring.element(ranges.scale))[..., None]
    w, whole = yield from together(
        coarse(side, d), side.multiply(numerators, np.broadcast_to(scaled, numerators.shape))
    )
    w, short = yield from shorten_all(
        side,
        [(w, COARSE_SHIFT, COARSE_BITS), (whole, ranges.normal - _GUARD, ranges.normal + QUOTIENT_BITS)],
        ring,
    )
    w = yield from refined(side, d, w)
    product = yield from side.multiply(short, np.broadcast_to(w[..., None], short.shape))
    # what all these steps are off by is less than 1/32
    places = _GUARD + PLACES
    half = plus(side, product, ring.element((1 << (places - 1)) + (1 << (places - 5))))
    result = yield from shorten(side, half, places, QUOTIENT_BITS + places + 2, ranges.field)
    return result


def _corrected(
    side: Replicated, numerators: Array, denominators: Array, guess: Array, normed: Normal
) -> Interactive[Array]:
    """From a guess that is up to 1 too low or 3 too high to the quotient. Rounds: 3 and those of `negative`.

    z = 2 (N - q0 D) + (2 i + 1) D has not the sign of D just where q < q0 - i. To tell so also where z is 0, it is made
    1 less where D is below 0.
    """
    ring, divisors = large(side), denominators[..., None]
    product = yield from side.multiply(guess, np.broadcast_to(divisors, guess.shape))
    rest = ring.sub(numerators, product)
    tests = [ring.sub(ring.add(rest, rest), ring.add(divisors, normed.below[..., None]))]
    while len(tests) < _GUESSES - 1:
        tests.append(ring.add(tests[-1], ring.add(divisors, divisors)))
    signs = yield from negative(side, np.stack(tests, axis=-1).reshape(2, -1))
    bits = signs.reshape(*rest.shape, -1) ^ normed.sign[..., None, None]
    # only the first of them are 1: so the binary digits of their number are sums of them
    digits = np.stack([np.bitwise_xor.reduce(bits, axis=-1), bits[..., 1] ^ bits[..., 3], bits[..., 3]], axis=1)
    shares = yield from from_bit(side, digits, ring)
    number = shares[:, 2]
    for digit in (1, 0):
        number = ring.add(ring.add(number, number), shares[:, digit])
    return plus(side, ring.sub(guess, number), ring.element(1))
