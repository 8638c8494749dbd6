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
from mpc_ops.joint.planes import absolute, large, leading, negative, to_field, to_planes
from mpc_ops.joint.replicated import Replicated
from mpc_ops.joint.rounding import STATISTICAL_BITS, shorten
from mpc_ops.rings import F521, F1279, Bits, PrimeField
from mpc_ops.rounds import Array, Interactive, together

QUOTIENT_BITS = 50
LARGEST = (1 << QUOTIENT_BITS) - 1

_T = 64
_NEAR = np.arange(-3, 4)
_LONGEST = _T + 4 + 3 * (2 * _T + 4) + 2
"""Bits of the longest number that is truncated on the way to 1 / d."""


class QuotientError(ValueError):
    """A quotient of 2^50 or more: that it is one is all that was revealed."""


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


def nearest(side: Replicated, numerators: Array, denominator: Array, bits: int) -> Interactive[Array]:
    """floor(N / D + 1/2) for shares (2, n) and (2,), 0 < |D| < 2^bits, over the field that `field_for` gives: (2, n).

    Rounds: 51 for 352 bits (`rounds`). Raises QuotientError where one is above 2^50 - 1 (all parties raise it).
    """
    ring, count = large(side), numerators.shape[1]
    bits = max(bits, _T + 1)
    (scale, sign), fits = yield from together(
        _normaliser(side, denominator, bits), _in_range(side, numerators, denominator)
    )
    if not fits:
        raise QuotientError(f"a quotient is not below 2^{QUOTIENT_BITS}")
    signed_scale = yield from side.multiply(scale, sign)
    # N v sign(D) and |D| v, then N sign(D) and |D|
    both = np.concatenate([numerators, denominator[:, None]], axis=1)
    factors = np.repeat(np.stack([signed_scale, sign], axis=1), count + 1, axis=1)
    products = yield from side.multiply(np.concatenate([both, both], axis=1), factors)
    exact, size = products[:, count + 1 : -1], products[:, -1]
    short = yield from shorten(side, products[:, : count + 1], bits - _T, bits + QUOTIENT_BITS)
    inverse = yield from _reciprocal(side, short[:, -1])
    guess = yield from side.multiply(short[:, :-1], np.repeat(inverse[:, None], count, axis=1))
    guess = yield from shorten(side, guess, 2 * _T, QUOTIENT_BITS + 2 * _T + 2)
    # 2 (N - q0 D) - (2 j - 1) D is negative just for the j that are too large
    wide = np.repeat(size[:, None], count, axis=1)
    rest = yield from side.multiply(guess, wide)
    rest = ring.sub(exact, rest)
    steps = ring.mul(size[:, None, None], ring.element(1 - 2 * _NEAR))
    tests = ring.add(ring.add(rest, rest)[..., None], steps)
    below = yield from negative(side, tests.reshape(2, -1))
    too_large = yield from from_bit(side, below, ring)
    result = ring.sub(guess, ring.total(too_large.reshape(tests.shape), -1))
    return plus(side, result, ring.element(np.full(count, int(_NEAR[-1]), dtype=object)))


def _in_range(side: Replicated, numerators: Array, denominator: Array) -> Interactive[bool]:
    """Whether |N| <= (2^50 - 1) |D| for all: (2^50 - 1) D - N and + N then have the sign of D."""
    ring = large(side)
    limit = ring.mul(denominator, ring.element(LARGEST))[:, None]
    tests = np.concatenate([ring.sub(limit, numerators), ring.add(limit, numerators), denominator[:, None]], axis=1)
    signs = yield from negative(side, tests)
    same = negation(side, signs[:, :-1] ^ signs[:, -1:], 1)
    every = yield from all_along(side, same, 1)
    opened = yield from side.over(Bits(1)).open(every[:, None])
    return bool(opened[0])


def _normaliser(side: Replicated, x: Array, bits: int) -> Interactive[tuple[Array, Array]]:
    """v = 2^(bits - length of x), and the sign of x as 1 or -1: shares (2,)."""
    ring = large(side)
    planes = yield from to_planes(side, x[:, None])
    sign, magnitude = absolute(planes)
    highest = yield from leading(side, magnitude[:, :bits], 1)
    digits = yield from to_field(side, np.concatenate([highest, sign], axis=1), 1)
    weights = ring.element([[1 << (bits - 1 - place)] for place in range(bits)])
    scale = ring.total(ring.total(ring.mul(digits[:, :-1], weights), -1), -1)
    negative_sign = ring.mul(digits[:, -1, 0], ring.element(-2))
    return scale, plus(side, negative_sign, ring.element(1))


def _reciprocal(side: Replicated, d: Array) -> Interactive[Array]:
    """2^128 / d for a share (2,) of d in [2^63, 2^64], to 60 digits. Rounds: 8.

    The guess 45/16 - 30/16 d is within 1/16 of 1 / d relative to it, for d in [1/2, 1].
    """
    ring = large(side)
    w = plus(side, ring.mul(d, ring.element(-30)), ring.element(45 << _T))
    places = _T + 4  # after the point, in w
    for _ in range(2):
        both = _T + places
        product = yield from side.multiply(d[:, None], w[:, None])
        e = plus(side, ring.sub(side.zero((1,)), product), ring.element([1 << both]))
        squares = yield from side.multiply(
            np.concatenate([e, w[:, None]], axis=1),
            np.concatenate([e, plus(side, e, ring.element([1 << both]))], axis=1),
        )
        first = plus(side, squares[:, 0], ring.element(1 << (2 * both)))
        product = yield from side.multiply(first[:, None], squares[:, 1:])
        w_wide = yield from shorten(side, product, places + 3 * both - _T, places + 3 * both + 2)
        w, places = w_wide[:, 0], _T
    return w
