"""Comparison of arithmetic shares over Z/2^64, as bits that nobody knows.

Numbers are signed. What is compared must differ by less than 2^63 (a task's ranges see to it), so that x < y is the
sign of x - y. The sign, the most significant bit of three added words, needs their carries only at one place:

    round 1      carry-save: three words become two, s and m << 1                          64 ANDs
    round 2      generate: where both have a bit                                           64
    rounds 3..8  (g, p) of neighbouring groups are joined, 64 groups, then 32, .. 1:
                 g = g_high XOR p_high g_low, p = p_high p_low                             64 + 32 + 16 + 8 + 4 + 1

253 ANDs, so 8 rounds and 32 bytes from each party for a comparison. Neighbours are joined as halves of a word: bit i
is first moved to the place whose number is i's six digits read backwards.
"""

from __future__ import annotations

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
from mpc_ops.joint.replicated import Replicated
from mpc_ops.rings import BITS, Bits
from mpc_ops.rounds import Array, Interactive

ROUNDS = 8
_ONE = np.uint64(1)
_TOP = np.uint64(63)
_BELOW = np.uint64((1 << 63) - 1)


def _swap(first: int, second: int) -> tuple[np.uint64, np.uint64]:
    places = [i for i in range(64) if i >> first & 1 and not i >> second & 1]
    return np.uint64((1 << second) - (1 << first)), np.uint64(sum(1 << i for i in places))


_SWAPS = [_swap(0, 5), _swap(1, 4), _swap(2, 3)]


def apart(words: Array) -> Array:
    """Each word with neighbouring bits half a word apart, pairs of them a quarter, and so on. Rounds: 0."""
    result = words.copy()
    for distance, mask in _SWAPS:
        moved = ((result >> distance) ^ result) & mask
        result ^= moved ^ (moved << distance)
    return result


def sign(side: Replicated, x: Array) -> Interactive[Array]:
    """1 where x, read as signed, is negative: shares of single bits. Rounds: 8, 32 bytes for each."""
    first, second, third = (apart(word << _ONE) for word in words_of(side, x))
    sums = apart(x)
    carries = yield from majority(side, first, second, third)
    propagate: Array = sums ^ carries
    top = propagate >> _TOP
    generate: Array = yield from conjunction(side, sums, carries)
    # the top place takes part as a group that passes every carry on, so what comes out is the carry into it
    generate = generate & _BELOW
    propagate = plus(side.over(BITS), propagate & _BELOW, np.full(x.shape[1:], ~_BELOW, dtype=np.uint64))
    width = 64
    while width > 1:
        half = width // 2
        shift, mask = np.uint64(half), Bits(half).ones
        high = propagate >> shift
        if half > 1:
            both = (generate & mask) | ((propagate & mask) << shift)
            joined = yield from conjunction(side, high | (high << shift), both, width)
        else:
            joined = yield from conjunction(side, high, generate & mask, 1)
        generate = (generate >> shift) ^ (joined & mask)
        propagate = joined >> shift
        width = half
    result: Array = top ^ generate
    return result


def less(side: Replicated, x: Array, y: Array) -> Interactive[Array]:
    """1 where x < y. Rounds: 8."""
    result = yield from sign(side, x - y)
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
    result = yield from is_zero(side, x - y)
    return result


def inside(side: Replicated, x: Array, low: Array, high: Array) -> Interactive[Array]:
    """1 where low <= x <= high, for shared bounds. Rounds: 9."""
    outside = yield from sign(side, np.stack([x - low, high - x], axis=1))
    within = negation(side, outside, 1)
    result = yield from conjunction(side, within[:, 0], within[:, 1], 1)
    return result
