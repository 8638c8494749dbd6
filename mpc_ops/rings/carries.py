"""Numbers modulo 2^bits - 1 in 64-bit words: sums and carries, for arrays of them at once.

Arrays are uint64 (n, words), little-endian, words = bits // 64 + 1: n numbers from 0 to 2^bits - 1 each, contiguous, so
that one number's highest word lies just before the next one's lowest; it has a free bit and so never overflows into
it. What is 2^bits or more comes in again at the bottom, since 2^bits = 1; of the two names of 0 the ones are avoided.
"""

from __future__ import annotations

from itertools import pairwise
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

Words: TypeAlias = NDArray[np.uint64]

WORD = np.dtype("<u8")
_ONES = np.uint64((1 << 64) - 1)
_BLOCK = 1 << 14
"""Words that are added in one go: few enough that what lies between stays in the cache."""


def words_for(bits: int) -> int:
    """How many words a number takes."""
    return bits // 64 + 1


def constant(value: int, bits: int) -> Words:
    """One number below 2^bits: (words,)."""
    return np.frombuffer(value.to_bytes(8 * words_for(bits), "little"), dtype=WORD)


def add(x: Words, y: Words, bits: int) -> Words:
    """x + y, reduced."""
    result = np.empty_like(x)
    rows = _BLOCK // x.shape[1]
    for start in range(0, len(x), rows):
        block = slice(start, start + rows)
        total, left = result[block].reshape(-1), x[block].reshape(-1)
        np.add(left, y[block].reshape(-1), out=total)
        carry = (total < left)[:-1]
        total[1:] += carry
        _ripple(total, np.flatnonzero(carry & (total[1:] == 0)) + 1)
        fold(result[block], bits)
    return result


def subtract(x: Words, y: Words, bits: int) -> Words:
    """x - y, reduced: the number with the bits of y inverted is -y."""
    return add(x, y ^ constant((1 << bits) - 1, bits), bits)


def fold(numbers: Words, bits: int) -> None:
    """Reduce numbers of any size that these words hold, in place."""
    top, free = numbers[:, -1], np.uint64(bits % 64)
    while (over := top >> free).any():
        top &= ~(_ONES << free)
        _carry_in(numbers, over)
    ones = np.flatnonzero(numbers[:, 0] == _ONES)
    if ones.size:
        numbers[ones[(numbers[ones] == constant((1 << bits) - 1, bits)).all(axis=1)]] = 0


def joined(digits: Words, size: int, bits: int) -> Words:
    """The reduced sums of digits[i] 2^(size i), for (bits / size, n) digits that are below 2^63 each.

    Of `size` bits, 16 or 32, is what is left of a digit when its carry has gone to the next. Changes `digits`.
    """
    places, count = digits.shape
    shift, carry = np.uint64(size), np.empty(count, dtype=np.uint64)
    for lower, higher in pairwise(digits):
        np.right_shift(lower, shift, out=carry)
        np.add(higher, carry, out=higher)
    last = np.uint64(bits - size * (places - 1))
    over = digits[-1] >> last
    digits[-1] &= ~(_ONES << last)
    numbers = np.zeros((count, words_for(bits)), dtype=WORD)
    numbers.view(f"<u{size // 8}")[:, :places] = digits.T  # which leaves out what was carried
    _carry_in(numbers, over)
    fold(numbers, bits)
    return numbers


def _carry_in(numbers: Words, over: Words) -> None:
    """Add a word to each number."""
    low = numbers[:, 0]
    low += over
    _ripple(numbers.reshape(-1), np.flatnonzero(low < over) * numbers.shape[1])


def _ripple(words: Words, wrapped: NDArray[np.intp]) -> None:
    """Add 1 to the word after each of those that have become 0, and so on while these become 0 too."""
    while wrapped.size:
        wrapped = wrapped + 1
        words[wrapped] += np.uint64(1)
        wrapped = wrapped[words[wrapped] == 0]
