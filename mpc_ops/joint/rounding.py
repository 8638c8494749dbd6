"""Fixed point on replicated shares: truncation that is exact or one unit too high, always; and the way into large
fields.

Local truncation of the shares would be wildly wrong with probability 1/4 on three components (a carry
of 2^64 lost), so it is not offered. Here x is masked by r whose bits are shared, and opened (Escudero et al.,
"Improved primitives for MPC over mixed arithmetic-binary circuits", CRYPTO 2020). With x in [0, 2^63), c = x + r mod
2^64:

    x + r leaves 2^64 just where r has its top bit and c has not      (x lacks it)
    floor(x / 2^f) = floor(c / 2^f) - floor(r / 2^f) + 2^(64-f) [wrapped] - [c mod 2^f < r mod 2^f]

and leaving out the last term makes the result one too high at times, and never anything else. c is uniform: it says
nothing.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from mpc_ops.joint.base import plus
from mpc_ops.joint.comparing import carry_out
from mpc_ops.joint.gates import carries, from_bit, majority, negation, words_of
from mpc_ops.joint.planes import large
from mpc_ops.joint.replicated import PARTIES, Replicated, needed
from mpc_ops.rings import BITS, Z64, Bits, PrimeField, Ring
from mpc_ops.rounds import Array, Interactive

TRUNCATION_BITS = 62
STATISTICAL_BITS = 40
"""A mask longer than what it hides by so many bits shows it with probability 2^-40."""

NEAR_BITS = 61
"""Of numbers that are lifted in 3 rounds."""

_ONE = np.uint64(1)
_HALF = np.asarray(np.uint64(1 << 63))
_TOP = np.uint64(63)
_NEAR = np.uint64(NEAR_BITS)
_LOW_BITS = np.uint64(62)
_LOW = np.uint64((1 << 62) - 1)


def truncate(side: Replicated, x: Array, shift: int) -> Interactive[Array]:
    """floor(x / 2^shift) or one more, for signed x in [-2^62, 2^62), over Z/2^64. Rounds: 3, 1032 bytes for each.

    Raises ValueError for a shift that is not 0 to 62, SchemeError for a checked side.
    """
    needed(side, Z64)
    if not 0 <= shift <= TRUNCATION_BITS:
        raise ValueError(f"a shift by {shift} is not one by 0 to {TRUNCATION_BITS}")
    if shift == 0:
        return x
    ring, shape = side.ring, x.shape[1:]
    bits = side.over(Bits(1)).random((*shape, 64))
    shares = yield from from_bit(side, bits, ring)
    weights = ring.element([1 << place for place in range(64)])
    mask = ring.total(ring.mul(shares, weights), -1)
    mask_high = ring.total(ring.mul(shares[..., shift:], weights[: 64 - shift]), -1)
    offset = np.full(shape, 1 << TRUNCATION_BITS, dtype=np.uint64)
    opened = yield from side.open(plus(side, ring.add(x, mask), offset))
    wrapped = ring.mul(shares[..., 63], ring.mul(_ONE - (opened >> _TOP), ring.element(1 << (64 - shift))))
    known = (opened >> np.uint64(shift)) - np.uint64(1 << (TRUNCATION_BITS - shift))
    return plus(side, ring.sub(wrapped, mask_high), known)


def truncate_large(side: Replicated, x: Array, shift: int, bits: int) -> Interactive[Array]:
    """floor(x / 2^shift) or one more over a large field, for x in [-2^bits, 2^bits). Rounds: 3; can be checked.

    The mask is statistical above, and its `shift` low bits are shared bits. Raises ValueError where field or range
    are too small.
    """
    needed(side)
    if not 0 <= shift <= bits:
        raise ValueError(f"a shift by {shift} is not one by 0 to {bits}")
    ring, shape = _field(side, bits), x.shape[1:]
    if shift == 0:
        return x
    shares = yield from from_bit(side, side.over(Bits(1)).random((*shape, shift)), ring)
    low = ring.total(ring.mul(shares, ring.element([1 << place for place in range(shift)])), -1)
    high = _bounded(side, shape, bits + STATISTICAL_BITS + 1 - shift)
    masked = ring.add(ring.add(x, low), ring.mul(high, ring.element(1 << shift)))
    opened = yield from side.open(_lifted(side, masked, bits))
    return _unmasked(side, opened, high, shift=shift, bits=bits, into=ring)


def shorten(side: Replicated, x: Array, shift: int, bits: int, into: PrimeField | None = None) -> Interactive[Array]:
    """x / 2^shift over a large field, between one below its floor and two above: over `into`, if given. Rounds: 1.

    x lies in [-2^bits, 2^bits); `bits` + 43 must be less than the field's. The mask is statistical: one component of it
    alone is longer than x by 40 bits. By 0 places the result is exact. Raises ValueError where the field is too small.
    """
    (result,) = yield from shorten_all(side, [(x, shift, bits)], into or large(side))
    return result


def shorten_all(
    side: Replicated, parts: Sequence[tuple[Array, int, int]], into: PrimeField
) -> Interactive[list[Array]]:
    """`shorten` for several (x, shift, bits), in one opening: so that what is checked before it is checked once."""
    ring = large(side)
    masks = [_bounded(side, x.shape[1:], bits + STATISTICAL_BITS + 1) for x, _, bits in parts]
    hidden = [_lifted(side, ring.add(x, mask), bits) for (x, _, bits), mask in zip(parts, masks, strict=True)]
    opened = yield from side.open(np.concatenate([share.reshape(2, -1) for share in hidden], axis=1))
    ends = np.cumsum([share[0].size for share in hidden])[:-1]
    results = []
    for (x, shift, bits), mask, known in zip(parts, masks, np.split(opened, ends), strict=True):
        high = ring.shift_right(mask, shift)
        whole = _unmasked(side, known.reshape(x.shape[1:]), high, shift=shift, bits=bits, into=into)
        results.append(plus(side.over(into), whole, into.element(-1)) if shift else whole)
    return results


def _field(side: Replicated, bits: int) -> PrimeField:
    """What a side works over, if numbers of so many bits and their mask fit. Raises SchemeError, ValueError."""
    ring = large(side)
    if bits + STATISTICAL_BITS + 3 >= ring.bits:
        raise ValueError(f"{bits} bits and their mask do not fit {ring.name}")
    return ring


def _lifted(side: Replicated, masked: Array, bits: int) -> Array:
    """What is opened, for x in [-2^bits, 2^bits) and its mask: no less than 0, and without a wrap."""
    ring = _field(side, bits)
    return plus(side, masked, ring.element(1 << bits))


def _unmasked(side: Replicated, opened: Array, high: Array, *, shift: int, bits: int, into: PrimeField) -> Array:
    """floor((x + mask) / 2^shift) - high: whole numbers, so it holds in any field that has room for them."""
    ring, over = large(side), side.over(into)
    known = into.sub(_same(ring.shift_right(opened, shift), ring, into), into.element(1 << (bits - shift)))
    return plus(over, into.sub(over.zero(high.shape[1:]), _same(high, ring, into)), known)


def _same(values: Array, ring: PrimeField, into: PrimeField) -> Array:
    """Small whole numbers, as elements of another field."""
    if into == ring:
        return values
    octets = ring.octets(values)
    width = min(octets.shape[-1], into.size(1))
    padded = np.zeros((*values.shape, into.size(1)), dtype=np.uint8)
    padded[..., :width] = octets[..., :width]
    return into.decode(padded.tobytes(), values.shape)


def _bounded(side: Replicated, shape: tuple[int, ...], bits: int) -> Array:
    """A shared number that is the sum, as an integer, of three components of so many bits."""
    return large(side).low_bits(side.random(shape), bits)


def lift(side: Replicated, x: Array, ring: Ring, *, bits: int = 63) -> Interactive[Array]:
    """From signed x over Z/2^64, with -2^bits <= x < 2^bits, to the same number over another ring.

    Rounds: `lift_rounds`, 3 for up to 61 bits and 10 for more. Over a prime field beyond 2^66 two numbers that differ
    modulo 2^64 stay different, even outside of the range.
    """
    needed(side, Z64)
    if not 0 <= bits <= 63:
        raise ValueError(f"signed words have up to 63 bits and a sign, not {bits}")
    result = yield from (_lift_near(side, x, ring) if bits <= NEAR_BITS else _lift_any(side, x, ring))
    return result


def lift_rounds(bits: int) -> int:
    """How many rounds `lift` takes."""
    return 3 if bits <= NEAR_BITS else 10


def _lift_near(side: Replicated, x: Array, ring: Ring) -> Interactive[Array]:
    """With y = x + 2^61 in [0, 2^62), y is the sum of the components' low 62 bits, less 0, 1, 2 or 3 times 2^62: which
    of these, the two top bits of all three say, added modulo 4. One AND.
    """
    over = side.over(ring)
    y = plus(side, x, np.asarray(_ONE << _NEAR))
    low = [over.only(j, ring.element((side.component(y, j) & _LOW).max(axis=0))) for j in range(PARTIES)]
    first, second, third = (word >> _LOW_BITS for word in words_of(side, y))
    carry = yield from majority(side, first & _ONE, second & _ONE, third & _ONE, 1)
    tops = first ^ second ^ third
    # the sum of all tops less 1, modulo 4: so 3 stands for no 2^62 to take away
    last = negation(side, tops & _ONE, 1)
    wraps = yield from from_bit(side, np.stack([last, (tops >> _ONE) ^ carry ^ last], axis=1), ring)
    above = ring.add(wraps[:, 0], ring.add(wraps[:, 1], wraps[:, 1]))
    total = ring.add(ring.add(low[0], low[1]), low[2])
    total = ring.add(total, ring.mul(above, ring.element(1 << 62)))
    return plus(over, total, ring.element(-(3 << 62) - (1 << 61)))


def lift_with_bits(side: Replicated, x: Array, ring: Ring) -> Interactive[tuple[Array, Array]]:
    """As `lift`, and the words of x as Boolean shares: both take the same adder. Rounds: 10."""
    needed(side, Z64)
    y = plus(side, x, _HALF)
    both = yield from majority(side, *words_of(side, y))
    carry = yield from carries(side, y, both << _ONE)
    words = plus(side.over(BITS), y ^ ((both ^ carry) << _ONE), _HALF)
    result = yield from _unwrapped(side, y, np.stack([both >> _TOP, carry >> _TOP], axis=1), ring)
    return result, words


def _lift_any(side: Replicated, x: Array, ring: Ring) -> Interactive[Array]:
    y = plus(side, x, _HALF)
    both = yield from majority(side, *words_of(side, y))
    carry = yield from carry_out(side, y, both << _ONE)
    result = yield from _unwrapped(side, y, np.stack([both >> _TOP, carry], axis=1), ring)
    return result


def _unwrapped(side: Replicated, y: Array, wraps: Array, ring: Ring) -> Interactive[Array]:
    """With y = x + 2^63, as an integer y = y0 + y1 + y2 - 2^64 w, where w in {0, 1, 2} counts how often the sum of the
    three components leaves 2^64: once in the carry-save adder's top bit, once in the carry out of the adder that
    follows. Rounds: 2.
    """
    over = side.over(ring)
    components = [over.only(j, ring.element(side.component(y, j).max(axis=0))) for j in range(PARTIES)]
    shares = yield from from_bit(side, wraps, ring)
    total = ring.add(ring.add(components[0], components[1]), components[2])
    total = ring.sub(total, ring.mul(ring.add(shares[:, 0], shares[:, 1]), ring.element(1 << 64)))
    return plus(over, total, ring.element(-(1 << 63)))
