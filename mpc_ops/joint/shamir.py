"""Shamir sharing over the field of 2^61 - 1 (CACM 1979), any n parties and threshold t.

Party i holds f(i + 1) for a polynomial f of degree t with f(0) = x. Private against t parties; any t + 1 reveal. Of
n shares that are opened, c = min(t, (n - t - 1) // 2) wrong ones are corrected and n - t - 1 - c noticed. Multiplies
where 2t < n: the product of two shares lies on a polynomial of degree 2t, which each party shares anew (Gennaro,
Rabin and Rabin, PODC 1998). Products are semi-honest: a party that shares another number anew is not noticed.

When a party shares a number, t of the others take their share from the key that they have with it, so that it sends
n - 1 - t.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from mpc_ops.joint.base import SchemeError, exchange, matrix_shape, same_shape
from mpc_ops.joint.decoding import decode, interpolation
from mpc_ops.randomness import Stream
from mpc_ops.rings import F61, Ring
from mpc_ops.rounds import Array, Interactive, Item, Round, Sent
from mpc_ops.sessions import Party


@dataclass(frozen=True, slots=True)
class Shamir:
    """One party's side. Raises ValueError unless 1 <= threshold < parties."""

    party: Party
    threshold: int
    held = 1

    def __post_init__(self) -> None:
        if not 1 <= self.threshold < self.party.parties:
            raise ValueError(f"threshold {self.threshold} does not suit {self.party.parties} parties")

    @property
    def ring(self) -> Ring:
        return F61

    def public(self, values: Array) -> Array:
        return values[None].copy()

    def zero(self, shape: tuple[int, ...]) -> Array:
        return np.zeros((1, *shape), dtype=np.uint64)

    def open(self, share: Array) -> Interactive[Array]:
        """Rounds: 1. Wrong shares are corrected where n allows; raises CheckFailedError where it does not."""
        parts = yield from exchange(F61, self.party, share[0], range(self.party.parties))
        values, _ = reveal({index: part[None] for index, part in parts.items()}, self.threshold)
        return values

    def multiply(self, x: Array, y: Array) -> Interactive[Array]:
        same_shape(x, y)
        result = yield from self._reduce(F61.mul(x[0], y[0]))
        return result

    def matmul(self, x: Array, y: Array) -> Interactive[Array]:
        matrix_shape(x, y)
        result = yield from self._reduce(F61.matmul(x[0], y[0]))
        return result

    def contribute(self, values: Array) -> Interactive[list[Array]]:
        """Every party shares numbers of its own, of equal shapes: the shares by author. Rounds: 1."""
        party, n, t = self.party, self.party.parties, self.threshold
        me, shape = party.index, values.shape

        def keyed_by(author: int) -> list[int]:
            return [(author + k) % n for k in range(1, t + 1)]

        # in the order of authors, so that both ends of a pair draw from its stream alike
        drawn: dict[tuple[int, int], Array] = {}
        for author in range(n):
            for peer in keyed_by(author):
                if me in (author, peer):
                    drawn[author, peer] = F61.draw(party.stream(author, peer), shape)
        # through the number itself at 0 and the keyed values at t others, the polynomial is settled everywhere
        known = [values, *(drawn[me, peer] for peer in keyed_by(me))]
        told = [peer for peer in range(n) if peer not in keyed_by(me)]
        weights = interpolation([0, *(peer + 1 for peer in keyed_by(me))], [peer + 1 for peer in told], F61.order)
        shares = {peer: _weighted(row, known) for peer, row in zip(told, weights, strict=True)}
        authors = [author for author in range(n) if author != me]
        keyed = {author: drawn[author, me] for author in authors if (author, me) in drawn}
        received = yield Round(
            send={peer: (Sent(F61, part),) for peer, part in shares.items() if peer != me},
            expect={author: (Item(F61, shape),) for author in authors if author not in keyed},
        )
        parts = {me: shares[me]} | keyed | {author: received[author][0] for author in received}
        return [parts[author][None] for author in range(n)]

    def _reduce(self, product: Array) -> Interactive[Array]:
        """From degree 2t to t: sum of weight_i * (what party i shared), the weights those of f(0)."""
        n = self.party.parties
        if 2 * self.threshold >= n:
            raise SchemeError(f"Shamir sharing multiplies only where 2t < n, not {self.threshold} of {n}")
        parts = yield from self.contribute(product)
        (weights,) = interpolation(range(1, n + 1), [0], F61.order)
        return _weighted(weights, parts)


def _weighted(weights: list[int], parts: list[Array]) -> Array:
    total: Array | None = None
    for weight, part in zip(weights, parts, strict=True):
        term = F61.mul(part, np.asarray(np.uint64(weight)))
        total = term if total is None else F61.add(total, term)
    assert total is not None, "internal error: no part"
    return total


def share(values: Array, stream: Stream, parties: int, threshold: int) -> list[Array]:
    """Share field elements among n parties: shares (1, ...) by party."""
    coefficients = [F61.draw(stream, values.shape) for _ in range(threshold)]
    shares = []
    for x in range(1, parties + 1):
        point = np.asarray(np.uint64(x))
        total = np.zeros_like(values)
        for coefficient in reversed(coefficients):
            total = F61.mul(F61.add(total, coefficient), point)
        shares.append(F61.add(total, values)[None])
    return shares


def reveal(shares: Mapping[int, Array], threshold: int) -> tuple[Array, frozenset[int]]:
    """The values from the shares of some parties, and which of these parties sent wrong ones.

    Raises ValueError with fewer than t + 1 shares, CheckFailedError where they do not agree and cannot be corrected.
    """
    parties = sorted(shares)
    if len(parties) <= threshold:
        raise ValueError(f"{threshold + 1} shares are needed, {len(parties)} are there")
    parts = [shares[party][0] for party in parties]
    basis = parts[: threshold + 1]
    first, *checks = _weights(tuple(parties), threshold)
    values = _weighted(first, basis)
    disagree = np.zeros(values.shape, dtype=bool)
    for weights, part in zip(checks, parts[threshold + 1 :], strict=True):
        disagree |= _weighted(weights, basis) != part
    liars: set[int] = set()
    points = [party + 1 for party in parties]
    for where in zip(*np.nonzero(disagree), strict=True) if values.ndim else [()] * bool(disagree):
        f, wrong = decode(points, [int(part[where]) for part in parts], threshold, F61.order, most=threshold)
        values[where] = f[0] if f else 0
        liars |= {parties[index] for index in wrong}
    return values, frozenset(liars)


@lru_cache(maxsize=256)
def _weights(parties: tuple[int, ...], threshold: int) -> list[list[int]]:
    """From the first t + 1 shares to the value at 0, and to each of the other shares."""
    points = [party + 1 for party in parties]
    return interpolation(points[: threshold + 1], [0, *points[threshold + 1 :]], F61.order)
