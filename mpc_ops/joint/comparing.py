"""Comparison of arithmetic shares over Z/2^64, as bits that nobody knows.

Numbers are signed. x < y is the sign of x - y, where that fits the words that are declared: as many low bits of all
three components are a sharing modulo 2^width, whose top bit is the sign. Shorter words take fewer ANDs. The top bit
of three added words needs their carries only at one place; for 64 bits:

    round 1      carry-save: three words become two, s and m << 1                          64 ANDs
    round 2      generate: where both have a bit                                           64
    rounds 3..8  (g, p) of neighbouring groups are joined, 64 groups, then 32, .. 1:
                 g = g_high XOR p_high g_low, p = p_high p_low                             64 + 32 + 16 + 8 + 4 + 1

253 ANDs, so 8 rounds and 32 bytes from each party for a comparison. Neighbours are joined as halves of a word: bit i
is first moved to the place whose number is i's binary digits read backwards. That is for powers of two, so other words
are split into two of these, the longer one below, and their carries are joined in the end: 156 ANDs for 32 + 8 bits.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mpc_ops.joint.base import plus
from mpc_ops.joint.gates import (
    all_bits,
    carry_save,
    conjunction,
    disjunction,
    majority,
    negation,
    words_of,
)
from mpc_ops.joint.replicated import Replicated, needed
from mpc_ops.rings import Z64, Bits
from mpc_ops.rounds import Array, Interactive, together

WORD = 64
_ONE = np.uint64(1)


@dataclass(frozen=True, slots=True)
class _Part:
    """`width` bits of a word from `place` on. Of the top part the highest bit is the sign."""

    place: int
    width: int
    top: bool

    @property
    def passes(self) -> bool:
        """Whether a carry comes in from below."""
        return self.place > 0

    def of(self, words: Array) -> Array:
        """These bits, moved for joining."""
        return apart((words >> np.uint64(self.place)) & Bits(self.width).ones, self.width)


def parts(width: int) -> tuple[_Part, ...]:
    """The shortest words of `width` bits or more, lowest bits first: a power of two, or two of them."""
    if not 1 <= width <= WORD:
        raise ValueError(f"words have 1 to {WORD} bits, not {width}")
    low = 1 << (width.bit_length() - 1)
    high = 0 if width == low else 1 << (width - low - 1).bit_length()
    if high in (0, low):
        return (_Part(0, low + high, top=True),)
    return _Part(0, low, top=False), _Part(low, high, top=True)


def rounds(width: int = WORD) -> int:
    """How many rounds `sign` takes."""
    lowest, *others = parts(width)
    return 2 + (lowest.width - 1).bit_length() + len(others)


def _swap(first: int, second: int, width: int) -> tuple[np.uint64, np.uint64]:
    places = [i for i in range(width) if i >> first & 1 and not i >> second & 1]
    return np.uint64((1 << second) - (1 << first)), np.uint64(sum(1 << i for i in places))


_SWAPS = {
    1 << digits: [_swap(digit, digits - 1 - digit, 1 << digits) for digit in range(digits // 2)] for digits in range(7)
}


def apart(words: Array, width: int = WORD) -> Array:
    """Each word of so many bits, a power of two, with neighbouring bits half a word apart, pairs of them a quarter, and
    so on. Rounds: 0.
    """
    result = words.copy()
    for distance, mask in _SWAPS[width]:
        moved = ((result >> distance) ^ result) & mask
        result ^= moved ^ (moved << distance)
    return result


def sign(side: Replicated, x: Array, width: int = WORD) -> Interactive[Array]:
    """1 where x, signed and of up to `width` bits with its sign, is negative: shares of single bits.

    Rounds: `rounds`, 8 and 32 bytes for each where words are whole. Then it is right for every element of Z/2^64.
    """
    shifted = [word << _ONE for word in words_of(side, x)]
    *below, (top, generate, propagate) = yield from together(
        *(_carried(side, part, x, shifted) for part in parts(width))
    )
    for _, carry, _ in below:
        passed = yield from conjunction(side, propagate, carry, 1)
        generate = generate ^ passed
    result: Array = top ^ generate
    return result


def _carried(side: Replicated, part: _Part, x: Array, shifted: list[Array]) -> Interactive[tuple[Array, Array, Array]]:
    """Single bits of one part of a word: its top bit without a carry, the carry out of it or, of the top part, into the
    sign, and whether it passes on one from below. Rounds: 2 and log2 of its width.
    """
    width = part.width
    bits = Bits(width)
    first, second, third = (part.of(word) for word in shifted)
    sums = part.of(x)
    carries = yield from majority(side, first, second, third, width)
    propagate: Array = sums ^ carries
    top = propagate >> np.uint64(width - 1)
    generate: Array = yield from conjunction(side, sums, carries, width)
    if part.top:  # the sign takes part as a group that passes every carry on, so what comes out is the carry into it
        below = np.uint64((1 << (width - 1)) - 1)
        generate = generate & below
        propagate = plus(side.over(bits), propagate & below, np.asarray(bits.ones ^ below))
    generate, propagate = yield from collected(side, generate, propagate, width, passes=part.passes)
    return top, generate, propagate


def collected(
    side: Replicated, generate: Array, propagate: Array, width: int, *, passes: bool
) -> Interactive[tuple[Array, Array]]:
    """The groups of words whose bits lie `apart`, joined until one is left: whether it makes a carry, and, if `passes`,
    whether it passes one on. Rounds: log2 of the width.
    """
    while width > 1:
        half = width // 2
        shift, mask = np.uint64(half), Bits(half).ones
        high = propagate >> shift
        if half > 1 or passes:
            both = (generate & mask) | ((propagate & mask) << shift)
            joined = yield from conjunction(side, high | (high << shift), both, width)
        else:
            joined = yield from conjunction(side, high, generate & mask, 1)
        generate = (generate >> shift) ^ (joined & mask)
        propagate = joined >> shift
        width = half
    return generate, propagate


def carry_out(side: Replicated, x: Array, y: Array) -> Interactive[Array]:
    """Whether the sum of two Boolean words is 2^64 or more: single bits. Rounds: 7, 24 bytes for each."""
    generate = yield from conjunction(side, x, y)
    result, _ = yield from collected(side, apart(generate), apart(x ^ y), WORD, passes=False)
    return result


def _difference(side: Replicated, x: Array, y: Array) -> Array:
    """x - y. Rounds: 0. Raises SchemeError for shares over another ring than Z/2^64."""
    needed(side, Z64)
    result: Array = x - y
    return result


def less(side: Replicated, x: Array, y: Array, width: int = WORD) -> Interactive[Array]:
    """1 where x < y, if their difference has up to `width` bits with its sign. Rounds: `rounds`."""
    result = yield from sign(side, _difference(side, x, y), width)
    return result


def is_zero(side: Replicated, x: Array) -> Interactive[Array]:
    """1 where x = 0 modulo 2^64, over the whole ring. Rounds: 8, 24 bytes for each.

    Two words add up to 0 just where each bit of their XOR is the OR of both one place lower: no carry chain is needed.
    """
    first, second = yield from carry_save(side, x)
    either = yield from disjunction(side, first, second)
    result = yield from all_bits(side, negation(side, first ^ second ^ (either << _ONE)))
    return result


def equal(side: Replicated, x: Array, y: Array) -> Interactive[Array]:
    """1 where x = y. Rounds: 8."""
    result = yield from is_zero(side, _difference(side, x, y))
    return result


def inside(side: Replicated, x: Array, low: Array, high: Array) -> Interactive[Array]:
    """1 where low <= x <= high, for shared bounds. Rounds: 9."""
    outside = yield from sign(side, np.stack([_difference(side, x, low), _difference(side, high, x)], axis=1))
    within = negation(side, outside, 1)
    result = yield from conjunction(side, within[:, 0], within[:, 1], 1)
    return result
