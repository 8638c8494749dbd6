"""Sorting, and what is read from it: minimum, maximum, arg-max, top k, median. Replicated shares over Z/2^64.

    rounds 1, 2   shuffle: each pair of parties permutes by an order that the third does not know
    then          compare all pairs at once, in words as short as values and indices allow (mpc_ops.joint.comparing)
    last round    open the results of the comparisons, and put the shuffled shares in order

What is opened is the order of a list that was shuffled by an order nobody knows: a uniformly random permutation,
whatever the values are (Hamada et al., "Practically efficient multi-party sorting protocols from comparison sort
algorithms", ICISC 2012). That needs distinct keys, so equal values are told apart by their index, the lower one
first. 11 rounds at most for any number of lists at once, where a tournament takes 9 for each doubling of their length.

All pairs of n values are n (n - 1) / 2 comparisons: right up to some 200 values, allowed up to `MOST`.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from mpc_ops.joint import comparing
from mpc_ops.joint.base import plus
from mpc_ops.joint.checked import Checked
from mpc_ops.joint.ranges import within
from mpc_ops.joint.replicated import Replicated, needed
from mpc_ops.joint.shuffling import confirm, shuffle
from mpc_ops.rings import Z64, Bits
from mpc_ops.rounds import Array, CheckFailedError, Interactive, together

MOST = 512


@dataclass(frozen=True, slots=True)
class Sorted:
    """Shares (2, ..., n) of the values in ascending order, and of the index that each had."""

    values: Array = field(repr=False)
    indices: Array = field(repr=False)

    def minimum(self) -> Array:
        """The lowest value: a share (2, ...)."""
        return self.values[..., 0]

    def maximum(self) -> Array:
        """The highest value."""
        return self.values[..., -1]

    def first_lowest(self) -> Array:
        """The index of the lowest value, of equal ones the first."""
        return self.indices[..., 0]

    def last_highest(self) -> Array:
        """The index of the highest value, of equal ones the last."""
        return self.indices[..., -1]

    def twice_median(self) -> Array:
        """Twice the median, so that it is a whole number: the sum of the two values in the middle."""
        count = self.values.shape[-1]
        total: Array = self.values[..., (count - 1) // 2] + self.values[..., count // 2]
        return total

    def top(self, count: int) -> Sorted:
        """The `count` highest, the highest first, with their indices. Raises ValueError where there are not so many."""
        if not 0 <= count <= self.values.shape[-1]:
            raise ValueError(f"the top {count} of {self.values.shape[-1]}")
        return Sorted(self.values[..., ::-1][..., :count], self.indices[..., ::-1][..., :count])


def key_bits(count: int, bits: int) -> int:
    """How long the difference of two keys is, with its sign: a value of `bits` bits, and the index that tells ties."""
    return bits + (count - 1).bit_length() + 1


def rounds(count: int, bits: int) -> int:
    """How many rounds `order` takes for lists of `count` values, unchecked and without `largest`."""
    return 2 + comparing.rounds(key_bits(count, bits)) + 1


def order(side: Replicated, x: Array, bits: int, *, largest: int | None = None) -> Interactive[Sorted]:
    """Sort along the last axis. Every value must lie in [-2^(bits - 1), 2^(bits - 1)). Rounds: `rounds`, up to 11.

    With `largest`, |x| <= `largest` is tested before the order is opened: keys that wrap could otherwise make it tell
    where values lie. Raises RangeError otherwise. Rounds: 3 and those of `within`.

    Raises ValueError where there is no value, too many, or `bits` and the bits of an index are more than 63.
    """
    needed(side, Z64)
    count = x.shape[-1]
    if not 1 <= count <= MOST:
        raise ValueError(f"{count} values: 1 to {MOST} can be sorted")
    index_bits = (count - 1).bit_length()
    if bits < 1 or bits + index_bits > 63:
        raise ValueError(f"values of {bits} bits and an index of {index_bits} need more than 63")
    indices = np.broadcast_to(np.arange(count, dtype=np.uint64), x.shape[1:])
    columns = np.stack([x, plus(side, side.zero(x.shape[1:]), indices)], axis=1)
    shuffled = yield from shuffle(side, columns)
    keys = (shuffled[:, 0] << np.uint64(index_bits)) + shuffled[:, 1]
    # a value out of range must not look like a party's lie: until all are known to be in it they can be any words
    known = max(bits - 1, index_bits) if largest is None else 63
    tests = [confirm(side, x, shuffled, bits=known)]
    if largest is not None:
        tests.append(within(side, x.reshape(2, -1), [largest] * x[0].size))
    below, *_ = yield from together(_checked(side, comparisons(side, keys, key_bits(count, bits))), *tests)
    ranks = yield from ranking(side, below, count)
    places = np.argsort(ranks, axis=-1)
    result = np.take_along_axis(shuffled, np.broadcast_to(places, shuffled.shape), axis=-1)
    return Sorted(result[:, 0], result[:, 1])


def _checked(side: Replicated, comparing: Interactive[Array]) -> Interactive[Array]:
    """Check them as soon as they are there, beside what else is checked."""
    below = yield from comparing
    if isinstance(side, Checked):
        yield from side.verify()
    return below


def comparisons(side: Replicated, keys: Array, width: int) -> Interactive[Array]:
    """For each pair i < j of keys along the last axis, whether key i is below key j: single bits. Their differences
    have up to `width` bits, with their sign. Rounds: those of `comparing`.
    """
    left, right = np.triu_indices(keys.shape[-1], 1)
    result = yield from comparing.less(side, np.take(keys, left, axis=-1), np.take(keys, right, axis=-1), width)
    return result


def ranking(side: Replicated, below: Array, count: int) -> Interactive[NDArray[np.int64]]:
    """Open the comparisons of all pairs of `count` distinct keys: the rank of each. Rounds: 1.

    Only for keys in an order that nobody knows. Raises CheckFailedError where the comparisons contradict each other.
    """
    left, right = np.triu_indices(count, 1)
    lower = yield from side.over(Bits(1)).open(below)
    wins = np.zeros((*below.shape[1:-1], count, count), dtype=np.int64)
    wins[..., right, left] = lower.astype(np.int64)
    wins[..., left, right] = 1 - lower.astype(np.int64)
    ranks: NDArray[np.int64] = wins.sum(axis=-1)
    if not np.array_equal(np.sort(ranks, axis=-1), np.broadcast_to(np.arange(count), ranks.shape)):
        raise CheckFailedError("comparisons contradict each other")
    return ranks
