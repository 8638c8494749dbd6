"""Numbers of any size and sign brought to one length: |x| v in [2^(K-1), 2^K], for a power v of 2 that nobody learns.

The highest place i of 2 x + 1 or -2 x - 1, whichever is above 0, is found in Boolean shares, as planes of which one is
1; then |x| is 2^i or less, and 2^(i-1) or more. v = 2^(K - i) is the product of three numbers, for the three digits of
i to the base of about the cube root of how many places there are: of each digit, planes of which one is 1 are sums of
the planes before, and all but the first of them become shares over the field.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from mpc_ops.joint.base import plus
from mpc_ops.joint.gates import from_bit, spread
from mpc_ops.joint.planes import Lanes, large, leading, to_planes, turned
from mpc_ops.joint.replicated import Replicated
from mpc_ops.rings import BITS
from mpc_ops.rounds import Array, Interactive


@dataclass(frozen=True, slots=True, kw_only=True)
class Places:
    """Boolean shares of signs, single bits (2, g), and of the highest places, planes (2, k, words); for 0 it is 0."""

    sign: Array = field(repr=False)
    highest: Array = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Normal:
    """Shares (2, g) of |x| v, of v with the sign of x, and of 1 where x is below 0: that as a Boolean share too."""

    size: Array = field(repr=False)
    factor: Array = field(repr=False)
    below: Array = field(repr=False)
    sign: Array = field(repr=False)


def places(side: Replicated, x: Array, bits: int) -> Interactive[Places]:
    """Of a share (2, g) of -2^bits <= x < 2^bits over a large field. Rounds: `sign_rounds` and log2 (bits + 1), up.

    The planes of -x are those of x, each inverted.
    """
    ring, lanes = large(side), Lanes(x.shape[1])
    planes = yield from to_planes(side, plus(side, ring.add(x, x), ring.element(1)))
    highest = yield from leading(side, (planes ^ planes[:, -1:])[:, : bits + 1], lanes.width)
    return Places(sign=lanes.unpack(planes[:, -1]), highest=highest)


def places_of_words(side: Replicated, words: Array) -> Interactive[Places]:
    """Of signed Boolean words (2, g). Rounds: 6.

    The bits of -x - 1 are those of x, each inverted.
    """
    sign = words >> np.uint64(63)
    odd = plus(side.over(BITS), (words ^ spread(sign)) << np.uint64(1), BITS.element(1))
    octets = np.ascontiguousarray(odd)[..., None].astype("<u8").view(np.uint8)
    highest = yield from leading(side, turned(octets, 64), Lanes(words.shape[1]).width)
    return Places(sign=sign, highest=highest)


def normal(side: Replicated, x: Array, of: Places, length: int) -> Interactive[Normal]:
    """For K = `length`. Rounds: 5."""
    ring, lanes, (_, number, words) = large(side), Lanes(x.shape[1]), of.highest.shape
    base = next(base for base in range(1, number + 1) if base**3 >= number)
    cube = np.zeros((2, base, base, base, words), dtype=np.uint64)
    cube.reshape(2, -1, words)[:, :number] = of.highest
    digits = [lanes.unpack(np.bitwise_xor.reduce(cube, axis=axes)[:, 1:]) for axes in ((1, 2), (1, 3), (2, 3))]
    shares = yield from from_bit(side, np.concatenate([*digits, of.sign[:, None]], axis=1), ring)
    *parts, below = np.split(shares, [(base - 1) * digit for digit in (1, 2, 3)], axis=1)
    low, middle, high = (
        _power(side, part, [start - base**digit * place for place in range(base)])
        for digit, (part, start) in enumerate(zip(parts, (length, 0, 0), strict=True))
    )
    below = below[:, 0]
    signed = plus(side, ring.sub(side.zero(below.shape[1:]), ring.add(below, below)), ring.element(1))
    products = yield from side.multiply(np.stack([low, x], axis=1), np.stack([middle, signed], axis=1))
    factor = yield from side.multiply(products[:, 0], high)
    both = np.stack([products[:, 1], signed], axis=1)
    products = yield from side.multiply(np.stack([factor, factor], axis=1), both)
    return Normal(size=products[:, 0], factor=products[:, 1], below=below, sign=of.sign)


def _power(side: Replicated, digits: Array, exponents: list[int]) -> Array:
    """2 to that exponent whose digit (2, base - 1, g) is 1, or to the first one if none is: a share (2, g)."""
    ring = large(side)
    first, *others = (pow(2, exponent, ring.order) for exponent in exponents)
    weighed = ring.mul(digits, ring.element([[other - first] for other in others]))
    return plus(side, ring.total(weighed, 1), ring.element(first))
