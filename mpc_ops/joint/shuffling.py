"""Shuffling replicated shares by an order that nobody knows, and the check that it was only a shuffle.

Three steps, in each of which two parties permute by an order that the third does not know (Laur, Willemson and
Zhang, ISC 2011; Araki et al., CCS 2021, section 3). Whoever lies in a step adds something to the list that he knows.
Where results are checked, the lists before and after are compared as rational functions (Haboeck, "Multivariate
lookups based on logarithmic derivatives", 2022): both are lifted to F_p with p = 2^127 - 1, and

    sum of 1 / (gamma - x_i - beta y_i)    is the same for both lists

for random beta and gamma that are opened when the shuffle is over: a difference passes with probability 2 n / p.
"""

from __future__ import annotations

from math import prod

import numpy as np

from mpc_ops.joint.base import plus
from mpc_ops.joint.checked import Checked
from mpc_ops.joint.replicated import PARTIES, Replicated, needed
from mpc_ops.joint.rounding import lift
from mpc_ops.rings import F127, Ring
from mpc_ops.rounds import Array, Interactive, Item, Received, Round, Sent, together


def shuffle(side: Replicated, x: Array) -> Interactive[Array]:
    """Permute (columns, ..., n) along the last axis, all columns alike, each list by an order nobody knows. Rounds: 3.

    In step k parties k and k + 1 hold all three components between them. They permute x_k + x_(k+1) and x_(k+2) by
    an order from their common key, and share the result anew: components k and k + 2 from keys with the third party,
    who needs no message, component k + 1 the rest, as the sum of what each of the two has left.
    """
    needed(side)
    lists = x.shape[2:]
    for step in range(PARTIES):
        first, second, third = ((step + offset) % PARTIES for offset in range(PARTIES))
        me, ring = side.party.index, side.ring
        if me == third:
            x = np.stack([ring.draw(side.key(third), x.shape[1:]), ring.draw(side.key(first), x.shape[1:])])
            yield Round()  # only now: streams belong to the round in which the other two draw
            continue
        random = side.key(second).words(prod(lists)).reshape(lists)
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


def confirm(side: Replicated, x: Array, shuffled: Array, *, bits: int = 63) -> Interactive[None]:
    """Test that lists (2, ..., n) over Z/2^64 hold, as tuples, the values of x (..., n) and the index that each has
    there. Does nothing for parties unchecked.

    Values and indices lie in [-2^bits, 2^bits). Rounds: 13 for up to 61 bits, 20 for more. Raises CheckFailedError.
    """
    if not isinstance(side, Checked):
        return
    alone = Checked(side.party, side.ring)  # its own journal, so that what is compared meanwhile need not wait
    over = alone.over(F127)
    columns = np.concatenate([x[:, None], shuffled], axis=1)
    lifted, stream = yield from together(lift(alone, columns, F127, bits=bits), side.challenge())
    indices = np.broadcast_to(F127.element(list(range(x.shape[-1]))), x.shape[1:])
    weight, gamma = (F127.draw(stream, (1,)) for _ in range(2))
    before = plus(over, lifted[:, 0], F127.mul(indices, weight))
    after = F127.add(lifted[:, 1], F127.mul(lifted[:, 2], weight))
    sums = np.stack([before, after], axis=1)
    gamma = np.broadcast_to(gamma, sums.shape[1:])
    terms = yield from _inverses(over, plus(over, F127.sub(over.zero(sums.shape[1:]), sums), gamma))
    totals = F127.total(terms, -1)
    difference = F127.sub(totals[:, 0], totals[:, 1]).reshape(2, -1)
    hidden = yield from over.multiply(difference, over.random(difference.shape[1:]))
    opened = yield from over.open(hidden)
    if not F127.is_zero(opened).all():
        side.failed("a shuffled list is another list: one of the parties lies")


def _inverses(side: Checked, x: Array) -> Interactive[Array]:
    """1 / x over F_127. Rounds: 2.

    Each x is opened times a random number: uniform, whatever x is and whoever lies, so it needs no check before. What
    was multiplied is in the journal.
    """
    mask = side.random(x.shape[1:])
    product = yield from side.multiply(x, mask)
    opened = yield from side.open_checked(product)
    if F127.is_zero(opened).any():
        side.failed("a masked number is 0: one of the parties lies")  # or it has happened once in 2^127 / n
    return F127.mul(mask, F127.inverse(opened))
