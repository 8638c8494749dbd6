"""Replicated sharing among three parties, over any ring (Araki et al., CCS 2016; Mohassel and Rindal, CCS 2018).

x = x0 + x1 + x2, party i holds x_i and x_(i+1), indices modulo 3: component j is held by parties j and j - 1, who
share a key, so that any random component costs nothing. Private against one party. In the semi-honest protocols
of this module a party that lies is believed, except in `open_checked`; `mpc_ops.joint.checked` notices it everywhere.
All three are needed. Multiplies in one round, with one element from each party.

Over words of bits the same scheme shares Booleans: + is XOR and * is AND.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from mpc_ops.joint.base import Scheme, SchemeError, matrix_shape, pass_on, same_shape
from mpc_ops.randomness import Stream
from mpc_ops.rings import DIGEST, Ring
from mpc_ops.rounds import Array, CheckFailedError, Interactive, Item, Round, Sent
from mpc_ops.sessions import Party

PARTIES = 3


@dataclass(frozen=True, slots=True)
class Replicated:
    """One party's side. Raises ValueError where there are not three parties."""

    party: Party
    ring: Ring
    held = 2

    def __post_init__(self) -> None:
        if self.party.parties != PARTIES:
            raise ValueError("replicated sharing is for exactly 3 parties")

    @property
    def after(self) -> int:
        """The party that holds x_(i+1) too."""
        return (self.party.index + 1) % PARTIES

    @property
    def before(self) -> int:
        """The party that holds x_i too."""
        return (self.party.index - 1) % PARTIES

    def failed(self, reason: str) -> None:
        """Stop here: a party has lied. Raises CheckFailedError."""
        raise CheckFailedError(reason)

    def over(self, ring: Ring) -> Replicated:
        """The same party, another ring."""
        return Replicated(self.party, ring)

    def key(self, component: int) -> Stream:
        """The stream of the holders of a component. Raises KeyError where this party is none of them."""
        return self.party.stream((component - 1) % PARTIES, component % PARTIES)

    def only(self, component: int, values: Array) -> Array:
        """The sharing that is `values` in one component and 0 in the others; only its holders' values matter."""
        share = self.zero(values.shape)
        for slot in range(2):
            if (self.party.index + slot) % PARTIES == component:
                share[slot] = values
        return share

    def component(self, share: Array, component: int) -> Array:
        """One component as a sharing of its own: share j of x, read as x_j. Its holders know the value."""
        slot = (component - self.party.index) % PARTIES
        return self.only(component, share[slot] if slot < 2 else share[0])

    def public(self, values: Array) -> Array:
        return self.only(0, values)

    def zero(self, shape: tuple[int, ...]) -> Array:
        return np.zeros((2, *shape), dtype=self.ring.dtype)

    def random(self, shape: tuple[int, ...]) -> Array:
        """Uniform values that nobody knows. Rounds: 0."""
        return np.stack([self.ring.draw(self.key(self.party.index + slot), shape) for slot in range(2)])

    def zero_sharing(self, shape: tuple[int, ...]) -> Array:
        """A random z_i such that z_0 + z_1 + z_2 = 0: what hides a product before it is passed on. Rounds: 0."""
        mine, next_one = (self.ring.draw(self.key(self.party.index + slot), shape) for slot in range(2))
        return self.ring.sub(mine, next_one)

    def reshare(self, summand: Array) -> Interactive[Array]:
        """From one masked summand at each party to the sharing of their sum. Rounds: 1, one element from each."""
        received = yield from pass_on(self.ring, to=self.before, values=summand, source=self.after)
        return np.stack([summand, received])

    def _product(self, x: Array, y: Array, of: Callable[[Array, Array], Array], shape: tuple[int, ...]) -> Array:
        """x_i (y_i + y_(i+1)) + x_(i+1) y_i + z_i: with the other two the sum is x y."""
        ring = self.ring
        cross = ring.add(of(x[0], ring.add(y[0], y[1])), of(x[1], y[0]))
        return ring.add(cross, self.zero_sharing(shape))

    def multiply(self, x: Array, y: Array) -> Interactive[Array]:
        same_shape(x, y)
        result = yield from self.reshare(self._product(x, y, self.ring.mul, x.shape[1:]))
        return result

    def select(self, x: Array, component: int, bits: Array) -> Interactive[Array]:
        """x where a bit is 1 that the holders of one component know, and 0 elsewhere: the product of a share (2, ...)
        with `only(component, bits)`, for less work. Rounds: 1.
        """
        ring, slot = self.ring, (component - self.party.index) % PARTIES
        summand = self.zero_sharing(x.shape[1:])
        if slot < 2:
            mine = ring.add(x[0], x[1]) if slot == 0 else x[0]
            summand = ring.add(summand, np.where(bits != 0, mine, np.zeros((), dtype=ring.dtype)))
        result = yield from self.reshare(summand)
        return result

    def matmul(self, x: Array, y: Array) -> Interactive[Array]:
        shape = matrix_shape(x, y)
        result = yield from self.reshare(self._product(x, y, self.ring.matmul, shape))
        return result

    def open(self, share: Array) -> Interactive[Array]:
        missing = yield from pass_on(self.ring, to=self.after, values=share[0], source=self.before)
        return self.ring.add(self.ring.add(share[0], share[1]), missing)

    def open_checked(self, share: Array) -> Interactive[Array]:
        """Open so that one party that lies is noticed: one holder sends, the other sends a hash. Rounds: 1.

        Raises CheckFailedError where the two do not agree.
        """
        ring = self.ring
        tag = hashlib.sha256(ring.encode(share[1])).digest()
        received = yield Round(
            send={
                self.after: (Sent(ring, share[0]),),
                self.before: (Sent(DIGEST, np.frombuffer(tag, dtype=np.uint8)),),
            },
            expect={self.before: (Item(ring, share[0].shape),), self.after: (Item(DIGEST, (len(tag),)),)},
        )
        missing = received[self.before][0]
        if received[self.after][0].tobytes() != hashlib.sha256(ring.encode(missing)).digest():
            self.failed("two parties sent different copies of one component: one of them lies")
        return ring.add(ring.add(share[0], share[1]), missing)


def needed(side: Scheme, ring: Ring | None = None) -> None:
    """Say which scheme an operation is for. Raises SchemeError for another one, or over another ring than `ring`."""
    if not isinstance(side, Replicated):
        raise SchemeError(f"this needs replicated shares: {type(side).__name__} does not offer it")
    if ring is not None and side.ring is not ring:
        raise SchemeError(f"these are shares over {side.ring.name}, not over {ring.name}")


def share(ring: Ring, values: Array, stream: Stream) -> list[Array]:
    """Share values among three parties: a list of shares (2, ...), by party. For who knows them: a gateway, a test."""
    x0, x1 = (ring.draw(stream, values.shape) for _ in range(2))
    x2 = ring.sub(ring.sub(values, x0), x1)
    return [np.stack(pair) for pair in ((x0, x1), (x1, x2), (x2, x0))]


def reveal(ring: Ring, shares: list[Array]) -> Array:
    """The values from all three shares. Raises CheckFailedError where two parties hold different copies."""
    for index in range(PARTIES):
        if not np.array_equal(shares[index][1], shares[(index + 1) % PARTIES][0]):
            raise CheckFailedError("two parties hold different copies of one component")
    return ring.add(ring.add(shares[0][0], shares[1][0]), shares[2][0])
