"""Sorting, and what is read from it: minimum, maximum, arg-max, top k, median. Replicated shares over Z/2^64.

    rounds 1..3   shuffle: each pair of parties permutes by an order that the third does not know
    rounds 4..11  compare all pairs at once (mpc_ops.joint.comparing)
    round 12      open the results of the comparisons, and put the shuffled shares in order

What is opened is the order of a list that was shuffled by an order nobody knows: a uniformly random permutation,
whatever the values are (Hamada et al., "Practically efficient multi-party sorting protocols from comparison sort
algorithms", ICISC 2012). That needs distinct keys, so equal values are told apart by their index, the lower one
first. 12 rounds for any number of lists at once, where a tournament takes 9 for each doubling of their length.

All pairs of n values are n (n - 1) / 2 comparisons: right up to some 200 values, allowed up to `MOST`.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from mpc_ops.joint.base import plus
from mpc_ops.joint.comparing import less
from mpc_ops.joint.replicated import PARTIES, Replicated
from mpc_ops.rings import Bits, Ring
from mpc_ops.rounds import Array, CheckFailedError, Interactive, Item, Received, Round, Sent

MOST = 512
ROUNDS = 12


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

    def top(self, count: int) -> Array:
        """The `count` highest values, the highest first. Raises ValueError where there are not so many."""
        if not 0 <= count <= self.values.shape[-1]:
            raise ValueError(f"the top {count} of {self.values.shape[-1]}")
        return self.values[..., ::-1][..., :count]


def order(side: Replicated, x: Array, bits: int) -> Interactive[Sorted]:
    """Sort along the last axis. Every value must lie in [-2^(bits - 1), 2^(bits - 1)). Rounds: 12.

    Raises ValueError where there is no value, too many, or `bits` and the bits of an index are more than 63.
    """
    count = x.shape[-1]
    if not 1 <= count <= MOST:
        raise ValueError(f"{count} values: 1 to {MOST} can be sorted")
    index_bits = (count - 1).bit_length()
    if bits < 1 or bits + index_bits > 63:
        raise ValueError(f"values of {bits} bits and an index of {index_bits} need more than 63")
    indices = np.broadcast_to(np.arange(count, dtype=np.uint64), x.shape[1:])
    columns = np.stack([x, plus(side, side.zero(x.shape[1:]), indices)], axis=1)
    columns = yield from shuffle(side, columns)
    ranks = yield from ranking(side, (columns[:, 0] << np.uint64(index_bits)) + columns[:, 1])
    places = np.argsort(ranks, axis=-1)
    result = np.take_along_axis(columns, np.broadcast_to(places, columns.shape), axis=-1)
    return Sorted(result[:, 0], result[:, 1])


def shuffle(side: Replicated, x: Array) -> Interactive[Array]:
    """Permute (columns, ..., n) along the last axis, all columns alike, each list by an order nobody knows. Rounds: 3.

    In step k parties k and k + 1 hold all three components between them. They permute x_k + x_(k+1) and x_(k+2) by
    an order from their common key, and share the result anew: components k and k + 2 from keys with the third party,
    who needs no message, component k + 1 the rest, as the sum of what each of the two has left.
    """
    lists = x.shape[2:]
    for step in range(PARTIES):
        first, second, third = ((step + offset) % PARTIES for offset in range(PARTIES))
        me, ring = side.party.index, side.ring
        if me == third:
            x = np.stack([ring.draw(side.key(third), x.shape[1:]), ring.draw(side.key(first), x.shape[1:])])
            yield Round()  # only now: streams belong to the round in which the other two draw
            continue
        random = side.key(second).words(int(np.prod(lists, dtype=np.int64))).reshape(lists)
        permutation = np.broadcast_to(np.argsort(random, axis=-1, kind="stable"), x.shape[1:])
        mine = ring.add(x[0], x[1]) if me == first else x[1]
        keyed = ring.draw(side.key(first if me == first else third), x.shape[1:])
        part = ring.sub(np.take_along_axis(mine, permutation, axis=-1), keyed)
        received: Received = yield _swap(ring, second if me == first else first, part)
        rest = ring.add(part, received[second if me == first else first][0])
        x = np.stack([keyed, rest] if me == first else [rest, keyed])
    return x


def _swap(ring: Ring, peer: int, values: Array) -> Round:
    return Round(send={peer: (Sent(ring, values),)}, expect={peer: (Item(ring, values.shape),)})


def ranking(side: Replicated, keys: Array) -> Interactive[NDArray[np.int64]]:
    """Open the rank of each of n distinct keys along the last axis, by comparing all pairs. Rounds: 9.

    Only for keys in an order that nobody knows. Raises CheckFailedError where the comparisons contradict each other.
    """
    count = keys.shape[-1]
    left, right = np.triu_indices(count, 1)
    bit = yield from less(side, keys[..., left], keys[..., right])
    lower = yield from side.over(Bits(1)).open(bit)
    wins = np.zeros((*keys.shape[1:], count), dtype=np.int64)
    wins[..., right, left] = lower.astype(np.int64)
    wins[..., left, right] = 1 - lower.astype(np.int64)
    ranks: NDArray[np.int64] = wins.sum(axis=-1)
    if not np.array_equal(np.sort(ranks, axis=-1), np.broadcast_to(np.arange(count), ranks.shape)):
        raise CheckFailedError("comparisons contradict each other")
    return ranks
