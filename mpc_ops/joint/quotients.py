"""Quotients of shared integers, rounded to the nearest whole number, exactly, over a large field F_P.

q = floor(N / D + 1/2) for every N of a list and one D != 0, and nothing but q: D's size and sign stay secret too.

    first: is |N| <= (2^50 - 1) |D| for all N (at the limit itself: either)? This bit is opened, the rest left if not
    bits of D, its sign and highest bit; v = 2^(K - bits of D), so that |D| v lies in [2^(K-1), 2^K)
    d = 64 leading bits of |D| v;  w = 1 / d by a linear guess and two steps that quadruple its digits,
        w (1 + e)(1 + e^2) with e = 1 - d w                       errors 2^-4, 2^-16, 2^-64
    q0 = N v sign(D) w, which is within 3 of q
    q  = q0 - 4 + the number of j in -3..3 for which 2 N >= (2 (q0 + j) - 1) D: all comparisons at once

Truncations on the way are statistical and off by a few units (`mpc_ops.joint.rounding.shorten`); the last step makes
the result exact all the same. The test of the range comes first because N v is only masked as far as |N / D| allows.
"""

from __future__ import annotations

import numpy as np

from mpc_ops.joint.base import plus
from mpc_ops.joint.gates import all_along, from_bit, negation
from mpc_ops.joint.planes import Lanes, absolute, large, leading, negative, to_field, to_planes
from mpc_ops.joint.replicated import Replicated
from mpc_ops.joint.rounding import STATISTICAL_BITS, lift, shorten
from mpc_ops.rings import F521, F1279, Bits, PrimeField
from mpc_ops.rounds import Array, Interactive, together

QUOTIENT_BITS = 50
LARGEST = (1 << QUOTIENT_BITS) - 1

_T = 64
_NEAR = np.arange(-3, 4)
_LONGEST = _T + 4 + 3 * (2 * _T + 4) + 2
"""Bits of the longest number that is truncated on the way to 1 / d."""


class QuotientError(ValueError):
    """A quotient of 2^50 or more, or a denominator 0: that there is one is all that was revealed."""


def field_for(denominator_bits: int, numerator_bits: int) -> PrimeField:
    """The smallest field for |D| < 2^denominator_bits and |N| < 2^numerator_bits. Raises ValueError for too many."""
    hidden = max(denominator_bits, _T + 1) + QUOTIENT_BITS
    need = max(hidden + STATISTICAL_BITS + 3, _LONGEST + STATISTICAL_BITS + 3, numerator_bits + 3)
    for field in (F521, F1279):
        if need < field.bits:
            return field
    raise ValueError(f"numbers of {numerator_bits} and {denominator_bits} bits need more than {F1279.bits}")


def rounds(field: PrimeField, denominator_bits: int) -> int:
    """How many rounds `nearest` takes."""
    sign = 2 + (field.bits - 1).bit_length()
    return 2 * sign + (max(denominator_bits, _T + 1) - 1).bit_length() + 2 + 2 + 1 + 8 + 2 + 1 + 2


DIVISION = field_for(64, 128)
DIVISION_ROUNDS = 10 + rounds(DIVISION, 64)


def nearest(side: Replicated, numerators: Array, denominators: Array, bits: int) -> Interactive[Array]:
    """floor(N / D + 1/2) for shares (2, g, n) and (2, g), 0 < |D| < 2^bits, over the field of `field_for`: (2, g, n).

    Rounds: 51 for 352 bits (`rounds`). Raises QuotientError where one is above 2^50 - 1 or a D is 0, at all parties
    alike.
    """
    ring = large(side)
    bits = max(bits, _T + 1)
    (scale, sign), fits = yield from together(
        _normaliser(side, denominators, bits), _in_range(side, numerators, denominators)
    )
    if not fits:
        raise QuotientError(f"a quotient is not below 2^{QUOTIENT_BITS}, or a denominator is 0")
    signed_scale = yield from side.multiply(scale, sign)
    # N v sign(D) and |D| v, then N sign(D) and |D|
    both = np.concatenate([numerators, denominators[..., None]], axis=-1)
    count = both.shape[-1]
    factors = np.repeat(np.stack([signed_scale, sign], axis=-1), count, axis=-1)
    products = yield from side.multiply(np.concatenate([both, both], axis=-1), factors)
    exact, size = products[..., count:-1], products[..., -1]
    short = yield from shorten(side, products[..., :count], bits - _T, bits + QUOTIENT_BITS)
    inverse = yield from _reciprocal(side, short[..., -1])
    guess = yield from side.multiply(short[..., :-1], np.repeat(inverse[..., None], count - 1, axis=-1))
    guess = yield from shorten(side, guess, 2 * _T, QUOTIENT_BITS + 2 * _T + 2)
    # 2 (N - q0 D) - (2 j - 1) D is negative just for the j that are too large
    rest = yield from side.multiply(guess, np.repeat(size[..., None], count - 1, axis=-1))
    rest = ring.sub(exact, rest)
    steps = ring.mul(size[..., None, None], ring.element(1 - 2 * _NEAR))
    tests = ring.add(ring.add(rest, rest)[..., None], steps)
    below = yield from negative(side, tests.reshape(2, -1))
    too_large = yield from from_bit(side, below, ring)
    result = ring.sub(guess, ring.total(too_large.reshape(tests.shape), -1))
    return plus(side, result, np.broadcast_to(ring.element(int(_NEAR[-1])), result.shape[1:]))


def divide(side: Replicated, numerators: Array, denominators: Array, *, scale: int = 1) -> Interactive[Array]:
    """floor(scale N / D + 1/2) for signed shares (2, n) over Z/2^64: a share (2, n) over `DIVISION`.

    Rounds: `DIVISION_ROUNDS`. Raises QuotientError as `nearest`, ValueError for a scale outside 1..2^64.
    """
    if not 1 <= scale <= 1 << 64:
        raise ValueError("a scale lies between 1 and 2^64")
    lifted = yield from lift(side, np.stack([numerators, denominators], axis=1), DIVISION)
    scaled = DIVISION.mul(lifted[:, 0], DIVISION.element(scale))
    result = yield from nearest(side.over(DIVISION), scaled[..., None], lifted[:, 1], 64)
    return result[..., 0]


def reciprocal(side: Replicated, denominators: Array, *, scale: int) -> Interactive[Array]:
    """floor(scale / D + 1/2) for signed shares (2, n) over Z/2^64: a share (2, n) over `DIVISION`. As `divide`."""
    ones = side.public(np.ones(denominators.shape[1:], dtype=np.uint64))
    result = yield from divide(side, ones, denominators, scale=scale)
    return result


def _in_range(side: Replicated, numerators: Array, denominators: Array) -> Interactive[bool]:
    """Whether |N| <= (2^50 - 1) |D| and D != 0, for all.

    (2^50 - 1) D - N and + N then have the sign of D, and -D has not.
    """
    ring, divisors = large(side), denominators[..., None]
    limit = ring.mul(divisors, ring.element(LARGEST))
    minus = ring.sub(side.zero(divisors.shape[1:]), divisors)
    tests = np.concatenate([ring.sub(limit, numerators), ring.add(limit, numerators), minus, divisors], axis=-1)
    signs = yield from negative(side, tests.reshape(2, -1))
    signs = signs.reshape(tests.shape)
    differ = signs[..., :-1] ^ signs[..., -1:]
    right = np.concatenate([negation(side, differ[..., :-1], 1), differ[..., -1:]], axis=-1)
    every = yield from all_along(side, right.reshape(2, -1), 1)
    opened = yield from side.over(Bits(1)).open(every[:, None])
    return bool(opened[0])


def _normaliser(side: Replicated, x: Array, bits: int) -> Interactive[tuple[Array, Array]]:
    """v = 2^(bits - length of x), and the sign of x as 1 or -1: shares (2, g)."""
    ring, count = large(side), x.shape[1]
    planes = yield from to_planes(side, x)
    sign, magnitude = absolute(planes)
    highest = yield from leading(side, magnitude[:, :bits], Lanes(count).width)
    digits = yield from to_field(side, np.concatenate([highest, sign], axis=1), count)
    weights = ring.element([[1 << (bits - 1 - place)] for place in range(bits)])
    scale = ring.total(ring.mul(digits[:, :-1], weights), 1)
    return scale, plus(side, ring.mul(digits[:, -1], ring.element(-2)), ring.element([1] * count))


def _reciprocal(side: Replicated, d: Array) -> Interactive[Array]:
    """2^128 / d for a share (2,) of d in [2^63, 2^64], to 60 digits. Rounds: 8.

    The guess 45/16 - 30/16 d is within 1/16 of 1 / d relative to it, for d in [1/2, 1].
    """
    ring, count = large(side), d.shape[1]
    w = plus(side, ring.mul(d, ring.element(-30)), ring.element([45 << _T] * count))
    places = _T + 4  # after the point, in w
    for _ in range(2):
        both = _T + places
        one = ring.element([1 << both] * count)
        product = yield from side.multiply(d, w)
        e = plus(side, ring.sub(side.zero((count,)), product), one)
        next_two = yield from side.multiply(np.stack([e, w], axis=1), np.stack([e, plus(side, e, one)], axis=1))
        first = plus(side, next_two[:, 0], ring.element([1 << (2 * both)] * count))
        product = yield from side.multiply(first, next_two[:, 1])
        w = yield from shorten(side, product, places + 3 * both - _T, places + 3 * both + 2)
        places = _T
    return w
