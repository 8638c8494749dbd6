"""Shuffling replicated shares by an order that nobody knows, and the check that it was only a shuffle.

Three permutations, each known to two parties and not to the third (Laur, Willemson and Zhang, ISC 2011), in two
rounds (Araki et al., CCS 2021, section 3). Whoever lies adds something to the list that he knows.
Where results are checked, the lists before and after are compared as rational functions (Haboeck, "Multivariate
lookups based on logarithmic derivatives", 2022): both are lifted to F_p with p = 2^127 - 1, and

    sum of 1 / (gamma - x_i - beta y_i)    is the same for both lists

for random beta and gamma that are opened when the shuffle is over: a difference passes with probability 2 n / p.
"""

from __future__ import annotations

from math import prod

import numpy as np
from numpy.typing import NDArray

from mpc_ops.joint.base import plus
from mpc_ops.joint.checked import Checked
from mpc_ops.joint.replicated import Replicated, needed
from mpc_ops.joint.rounding import lift
from mpc_ops.randomness import Stream
from mpc_ops.rings import F127, Ring
from mpc_ops.rounds import Array, Interactive, Item, Received, Round, Sent, together


def shuffle(side: Replicated, x: Array) -> Interactive[Array]:
    """Permute (columns, ..., n) along the last axis, all columns alike, each list by an order nobody knows. Rounds: 2.

    Parties 0 and 1 hold the list between them, as x_0 + x_1 and x_2. Both permute by an order that 2 does not know, and
    mask. Party 0 goes on by one that 1 does not know, under another mask, and hands its summand to 1; party 1 hands
    its own to 2, who does likewise. These two permute by an order that 0 does not know, and share the result anew:
    components 0 and 1 from keys with party 0, component 2 what is left, as the sum of what each of the two has left.
    """
    needed(side)
    ring, me, shape = side.ring, side.party.index, x.shape[1:]
    if me == 0:
        part = ring.add(x[0], x[1])
        for component in (1, 0):
            order, mask = _order(side, component, shape), ring.draw(side.key(component), shape)
            part = _permuted(ring.add(part, mask), order)
        yield Round(send={1: (Sent(ring, part),)})
        keyed = [ring.draw(side.key(component), shape) for component in range(2)]
        yield Round()
        return np.stack(keyed)
    component = 2 - me  # of those shared with party 0
    order, mask = _order(side, component, shape), ring.draw(side.key(component), shape)
    last = _order(side, 2, shape)
    if me == 1:
        handed = _permuted(ring.sub(x[1], mask), order)
        received: Received = yield Round(send={2: (Sent(ring, handed),)}, expect={0: (Item(ring, shape),)})
        part = received[0][0]
    else:
        received = yield Round(expect={1: (Item(ring, shape),)})
        part = _permuted(ring.sub(received[1][0], mask), order)
    keyed_one = ring.draw(side.key(component), shape)
    part = ring.sub(_permuted(part, last), keyed_one)
    received = yield _swap(ring, 3 - me, part)
    rest = ring.add(part, received[3 - me][0])
    return np.stack([keyed_one, rest] if me == 1 else [rest, keyed_one])


def _order(side: Replicated, component: int, shape: tuple[int, ...]) -> NDArray[np.intp]:
    """An order for each list that only the holders of a component know, the same in all columns."""
    lists = shape[1:]
    random = side.key(component).words(prod(lists)).reshape(lists)
    return np.broadcast_to(np.argsort(random, axis=-1, kind="stable"), shape)


def _permuted(values: Array, order: NDArray[np.intp]) -> Array:
    return np.take_along_axis(values, order, axis=-1)


def _swap(ring: Ring, peer: int, values: Array) -> Round:
    return Round(send={peer: (Sent(ring, values),)}, expect={peer: (Item(ring, values.shape),)})


def confirm(side: Replicated, x: Array, shuffled: Array, *, bits: int = 63) -> Interactive[None]:
    """Test that lists (2, ..., n) over Z/2^64 hold, as tuples, the values of x (..., n) and the index that each has
    there. Does nothing for parties unchecked.

    Values and indices lie in [-2^bits, 2^bits). Rounds: 11 for up to 61 bits, 18 for more. Raises CheckFailedError.
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
    terms, first = yield from _inverses(over, plus(over, F127.sub(over.zero(sums.shape[1:]), sums), gamma))
    totals = F127.total(terms, -1)
    difference = F127.sub(totals[:, 0], totals[:, 1]).reshape(2, -1)
    # whatever a liar adds to this product, it is 0 no more and tells nothing: it needs no check of its own
    plain = over.unchecked(F127)
    masked = plain.multiply(difference, plain.random(difference.shape[1:]))
    hidden, _ = yield from together(masked, over.verify(first))
    opened = yield from plain.open_checked(hidden)
    if not F127.is_zero(opened).all():
        side.failed("a shuffled list is another list: one of the parties lies")


def _inverses(side: Checked, x: Array) -> Interactive[tuple[Array, Stream]]:
    """1 / x over F_127, and a challenge to all products so far. Rounds: 2.

    Each x is opened times a random number: uniform, whatever x is and whoever lies, so it needs no check before. What
    was multiplied is in the journal.
    """
    mask = side.random(x.shape[1:])
    product = yield from side.multiply(x, mask)
    opened, challenge = yield from together(side.open_checked(product), side.challenge())
    if F127.is_zero(opened).any():
        side.failed("a masked number is 0: one of the parties lies")  # or it has happened once in 2^127 / n
    return F127.mul(mask, F127.inverse(opened)), challenge
