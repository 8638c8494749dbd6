"""Shuffling replicated shares by an order that nobody knows, and the check that it was only a shuffle.

Three steps, in each of which two parties permute by an order that the third does not know (Laur, Willemson and
Zhang, ISC 2011; Araki et al., CCS 2021, section 3). Whoever lies in a step adds something to the list that he knows.
Where results are checked, the lists before and after are compared as polynomials (Neff, CCS 2001): both are lifted
to F_p with p = 2^127 - 1, and

    product of (gamma - alpha x_i - beta y_i)    is the same for both lists

for random alpha, beta, gamma that are opened only then: a difference passes with probability 2 n / p.
"""

from __future__ import annotations

from math import prod

import numpy as np

from mpc_ops.joint.base import plus
from mpc_ops.joint.checked import Checked
from mpc_ops.joint.replicated import PARTIES, Replicated, needed
from mpc_ops.joint.rounding import lift
from mpc_ops.rings import F127, Ring
from mpc_ops.rounds import Array, Interactive, Item, Received, Round, Sent


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


def confirm(side: Replicated, before: Array, after: Array) -> Interactive[None]:
    """Test that lists (columns, ..., n) over Z/2^64 hold the same tuples, in any order. Does nothing for parties
    unchecked.

    Rounds: 19 and log2 n, rounded up. Raises CheckFailedError.
    """
    if not isinstance(side, Checked):
        return
    over = side.over(F127)
    lifted = yield from lift(side, np.stack([before, after], axis=1), F127)
    stream = yield from side.challenge()
    columns, lists = before.shape[1], before.shape[2:]
    weights = F127.draw(stream, (columns, *[1] * len(lists)))
    sums = F127.total(F127.mul(lifted, weights), 2)
    gamma = np.broadcast_to(F127.draw(stream, (1,)), sums.shape[1:])
    product = plus(over, F127.sub(over.zero(sums.shape[1:]), sums), gamma)
    while product.shape[-1] > 1:
        half = product.shape[-1] // 2
        joined = yield from over.multiply(product[..., :half], product[..., half : 2 * half])
        product = np.concatenate([joined, product[..., 2 * half :]], axis=-1)
    difference = F127.sub(product[:, 0], product[:, 1])
    hidden = yield from over.multiply(difference, over.random(difference.shape[1:]))
    opened = yield from over.open(hidden)
    if opened.any():
        side.failed("a shuffled list is another list: one of the parties lies")
