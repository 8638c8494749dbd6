"""1 / d for shared numbers d of 60 bits with the highest of them set, over a large field, to 56 bits.

With y = 4 d - 3 in [-1, 1], where d is read as a fraction in [1/2, 1], and Chebyshev's polynomials T2 = 2 y^2 - 1,
T4 = 2 T2^2 - 1, T8 = 2 T4^2 - 1:

    T8(-3) - T8(y) = 128 d (3 - y) (y^2 + 8) (T2^2 + 288)

so w = 128 (3 - y) (y^2 + 8) (T2^2 + 288) / T8(3) has d w = 1 - T8(y) / T8(3), which is within 1 / 665857 of 1: no other
polynomial of degree 7 comes closer. One step makes that three times as many digits: w (1 + e + e^2) with e = 1 - d w.
"""

from __future__ import annotations

import numpy as np

from mpc_ops.joint.base import negated, plus
from mpc_ops.joint.planes import large
from mpc_ops.joint.replicated import Replicated
from mpc_ops.rounds import Array, Interactive

DIGITS = 60
_Y = DIGITS - 2  # bits of y after its point
_FACTOR = 36
_W = 24  # of the first guess
_E = DIGITS + _W
PLACES = _W + 2 * _E
"""Bits of w after its point."""
COARSE_BITS = 7 * _Y + _FACTOR + 2
COARSE_SHIFT = 7 * _Y + _FACTOR - _W


def coarse(side: Replicated, d: Array) -> Interactive[Array]:
    """A first guess times 2^COARSE_SHIFT, of COARSE_BITS bits, for a share (2, ...) of d in [2^59, 2^60] or just beside
    it. Rounds: 3.
    """
    ring = large(side)
    y = plus(side, d, ring.element(-3 << _Y))
    square = yield from side.multiply(y, y)
    t2 = plus(side, ring.add(square, square), ring.element(-1 << 2 * _Y))
    left = np.stack([t2, plus(side, negated(side, y), ring.element(3 << _Y))], axis=1)
    right = np.stack([t2, plus(side, square, ring.element(8 << 2 * _Y))], axis=1)
    both = yield from side.multiply(left, right)
    product = yield from side.multiply(plus(side, both[:, 0], ring.element(288 << 4 * _Y)), both[:, 1])
    return ring.mul(product, ring.element((128 << _FACTOR) // 665857))


def refined(side: Replicated, d: Array, w: Array) -> Interactive[Array]:
    """2^(DIGITS + PLACES) / d, from the first guess: within 2^-57 of it, relative to it. Rounds: 3."""
    ring = large(side)
    product = yield from side.multiply(d, w)
    e = plus(side, negated(side, product), ring.element(1 << _E))
    more = yield from side.multiply(e, plus(side, e, ring.element(1 << _E)))
    result: Array = yield from side.multiply(w, plus(side, more, ring.element(1 << 2 * _E)))
    return result
