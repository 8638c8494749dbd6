"""Additive sharing over Z/2^64 among n >= 2 parties, and products with the help of a dealer.

x = x_0 + ... + x_(n-1), party i holds x_i. Private against n - 1 parties; survives no loss; a lie is not noticed.
Products need a dealer (Beaver, CRYPTO 1991) who colludes with nobody: whoever sees his triples and one party's
openings knows the factors. He must follow the protocol; nothing here checks him (semi-honest).

The dealer is the participant after the last party, with keys of his own to each. He runs the same program, with
shares that are empty of meaning (zeros of the right shape), and gets nothing back: `Additive.dealing` says who one
is. Triples cost one message: n - 1 parties expand theirs from the key that they share with him, the last gets a
correction, which travels beside the openings, so a product takes one round.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from mpc_ops.joint.base import SchemeError, exchange, matrix_shape, same_shape
from mpc_ops.randomness import Stream
from mpc_ops.rings import Z64, Ring
from mpc_ops.rounds import Array, Interactive, Item, Round, Sent
from mpc_ops.sessions import Party


@dataclass(frozen=True, slots=True)
class Additive:
    """One party's side, or the dealer's. `dealer`: the last participant deals and holds nothing.

    Raises ValueError with fewer than two parties beside the dealer.
    """

    party: Party
    dealer: bool = False
    ring: Ring = Z64
    held = 1

    def __post_init__(self) -> None:
        if self.parties < 2:
            raise ValueError("additive sharing needs at least 2 parties")

    @property
    def parties(self) -> int:
        """Parties that hold shares."""
        return self.party.parties - self.dealer

    @property
    def dealing(self) -> bool:
        """Whether this participant is the dealer."""
        return self.party.index == self.parties

    def public(self, values: Array) -> Array:
        return (values if self.party.index == 0 else np.zeros_like(values))[None]

    def zero(self, shape: tuple[int, ...]) -> Array:
        return np.zeros((1, *shape), dtype=self.ring.dtype)

    def open(self, share: Array) -> Interactive[Array]:
        if self.dealing:
            yield Round()
            return np.zeros(share.shape[1:], dtype=self.ring.dtype)
        parts = yield from exchange(self.ring, self.party, share[0], range(self.parties))
        return _sum(self.ring, list(parts.values()))

    def multiply(self, x: Array, y: Array) -> Interactive[Array]:
        same_shape(x, y)
        result = yield from self._beaver(x, y, self.ring.mul, x.shape[1:])
        return result

    def matmul(self, x: Array, y: Array) -> Interactive[Array]:
        result = yield from self._beaver(x, y, self.ring.matmul, matrix_shape(x, y))
        return result

    def _beaver(
        self, x: Array, y: Array, of: Callable[[Array, Array], Array], shape: tuple[int, ...]
    ) -> Interactive[Array]:
        """x y = c + d b + a e + d e with d = x - a, e = y - b opened and a, b, c = a b shared by the dealer."""
        if not self.dealer:
            raise SchemeError("additive sharing multiplies only with a dealer")
        ring, last = self.ring, self.parties - 1
        if self.dealing:
            yield Round(send={last: (Sent(ring, self._correction(x.shape[1:], y.shape[1:], of, shape)),)})
            return self.zero(shape)
        a, b, c = self._triple(self.party.index, x.shape[1:], y.shape[1:], shape)
        d, e = ring.sub(x[0], a), ring.sub(y[0], b)
        others = [peer for peer in range(self.parties) if peer != self.party.index]
        expect = {peer: (Item(ring, d.shape), Item(ring, e.shape)) for peer in others}
        if self.party.index == last:
            expect[self.parties] = (Item(ring, shape),)  # type: ignore[assignment]  # one array from the dealer
        received = yield Round(send={peer: (Sent(ring, d), Sent(ring, e)) for peer in others}, expect=expect)
        d, e = (_sum(ring, [own, *(received[peer][k] for peer in others)]) for k, own in enumerate((d, e)))
        if self.party.index == last:
            c = received[self.parties][0]
        product = ring.add(c, ring.add(of(d, b), of(a, e)))
        return (ring.add(product, of(d, e)) if self.party.index == 0 else product)[None]

    def _triple(
        self, party: int, left: tuple[int, ...], right: tuple[int, ...], shape: tuple[int, ...]
    ) -> tuple[Array, Array, Array]:
        """One party's a, b, c from the key that it shares with the dealer; the last one's c is not used."""
        stream = self.party.stream(party, self.parties)
        return self.ring.draw(stream, left), self.ring.draw(stream, right), self.ring.draw(stream, shape)

    def _correction(
        self,
        left: tuple[int, ...],
        right: tuple[int, ...],
        of: Callable[[Array, Array], Array],
        shape: tuple[int, ...],
    ) -> Array:
        """The last party's c: what makes the sum of all c the product of the sums."""
        ring = self.ring
        triples = [self._triple(party, left, right, shape) for party in range(self.parties)]
        a, b = (_sum(ring, [triple[k] for triple in triples]) for k in range(2))
        return ring.sub(of(a, b), _sum(ring, [triple[2] for triple in triples[:-1]]))


def _sum(ring: Ring, parts: list[Array]) -> Array:
    total = parts[0]
    for part in parts[1:]:
        total = ring.add(total, part)
    return total


def share(ring: Ring, values: Array, stream: Stream, parties: int) -> list[Array]:
    """Share values among n parties: shares (1, ...) by party."""
    parts = [ring.draw(stream, values.shape) for _ in range(parties - 1)]
    return [part[None] for part in [*parts, ring.sub(values, _sum(ring, parts))]]


def reveal(ring: Ring, shares: list[Array]) -> Array:
    """The values from all shares."""
    return _sum(ring, [part[0] for part in shares])
