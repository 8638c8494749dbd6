"""Replicated sharing in which one party that lies is noticed, and nothing is revealed.

`Checked` stands wherever a `Replicated` does. It notes every product, and before anything is opened it checks all that
were made so far; the opening itself compares two copies. So what a lie has touched is never seen by anybody.
A lie changes a product by something that the liar knows, and nothing else, which is what these checks find:

Products over a field, n of them, and matrix products (Freivalds): a random combination makes them one inner product,
<a, b> = c. With a random r that nobody knows, u = r a and v = <u, b> are computed, then r is opened, and

    v - r c + <beta, u - r a> = 0           (after Chida et al., CRYPTO 2018, batched after the fact)

is tested, multiplied by another random number so that it tells nothing but whether it is 0. A lie passes with
probability 2 / p. 6 rounds, one element for each product or for each column of a matrix.

ANDs, in words of 64: each word is compared with B words of random ANDs, dealt by an order that is drawn when all ANDs
are done; B more are opened (Furukawa et al., EUROCRYPT 2017; Araki et al., S&P 2017). A lie passes with probability
2^-40 at most. The random ones are made in the rounds of the others, so 3 rounds are added, and 3 B bits for each AND,
where B is 2 from 741,000 words on, 3 from 6,300, 4 from 570.

Over Z/2^64 products are refused: a random combination there misses an error of 2^63 every second time. Lift to a
field instead (`mpc_ops.joint.rounding.lift`). Challenges are shared random numbers, opened when all that they test
has been sent.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from math import comb
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from mpc_ops.joint.base import SchemeError
from mpc_ops.joint.replicated import Replicated
from mpc_ops.randomness import Stream
from mpc_ops.rings import BITS, DIGEST, Bits, Ring
from mpc_ops.rounds import Array, Interactive, Item, Round, Sent, together

SECURITY_BITS = 40
FIELD_ROUNDS = 6
AND_ROUNDS = 3


class Product(NamedTuple):
    """Shares x, y and what came out: elementwise, or of matrices."""

    ring: Ring
    x: Array
    y: Array
    z: Array
    matrices: bool


class RandomAnds(NamedTuple):
    """a, b and c = a AND b, unless somebody has lied: shares (2, n) of words."""

    a: Array
    b: Array
    c: Array


@dataclass(frozen=True, slots=True)
class Checked(Replicated):
    """One party's side; `journal` holds the products that no check has taken up yet, over all rings, `spare` the random
    ANDs that wait for them: a, b and c = a AND b, shares (2, n) of words. `running` has an entry for each check.
    """

    journal: list[Product] = field(default_factory=list, repr=False, compare=False)
    spare: list[RandomAnds] = field(default_factory=list, repr=False, compare=False)
    running: list[object] = field(default_factory=list, repr=False, compare=False)

    def over(self, ring: Ring) -> Checked:
        return Checked(self.party, ring, self.journal, self.spare, self.running)

    def unchecked(self, ring: Ring) -> Replicated:
        """The protocols that notice nothing, for the checks themselves."""
        return Replicated(self.party, ring)

    def multiply(self, x: Array, y: Array) -> Interactive[Array]:
        _checkable(self.ring)
        beside = [self._supply(_words(self.ring, x))] if isinstance(self.ring, Bits) else []
        z: Array
        z, *_ = yield from together(self.unchecked(self.ring).multiply(x, y), *beside)
        self.journal.append(Product(self.ring, x, y, z, matrices=False))
        return z

    def select(self, x: Array, component: int, bits: Array) -> Interactive[Array]:
        _checkable(self.ring)
        z = yield from self.unchecked(self.ring).select(x, component, bits)
        self.journal.append(Product(self.ring, x, self.only(component, self.ring.element(bits)), z, matrices=False))
        return z

    def matmul(self, x: Array, y: Array) -> Interactive[Array]:
        _checkable(self.ring)
        if isinstance(self.ring, Bits):
            raise SchemeError("matrix products of bits are not checked")
        z = yield from self.unchecked(self.ring).matmul(x, y)
        self.journal.append(Product(self.ring, x, y, z, matrices=True))
        return z

    def open(self, share: Array) -> Interactive[Array]:
        """Check all products so far, then open. Raises CheckFailedError. Rounds: 1, and those of `verify`."""
        yield from self.verify()
        result = yield from self.open_checked(share)
        return result

    def challenge(self) -> Interactive[Stream]:
        """A stream that nobody could foresee, the same for all. Rounds: 1."""
        plain = self.unchecked(BITS)
        words = yield from plain.open_checked(plain.random((4,)))
        return Stream(hashlib.sha256(b"sotto challenge" + BITS.encode(words)).digest())

    def _supply(self, more: int) -> Interactive[None]:
        """Make as many random ANDs as the words in the journal, and `more`, lack. Rounds: 1, or 0 where none do.

        Nobody can aim at what they will be compared with: which of them that is, is drawn when all of it is done.
        """
        pending = (product for product in self.journal if isinstance(product.ring, Bits))
        words = more + sum(_words(product.ring, product.x) for product in pending)
        lacking = needed_for(words) - sum(made.a.shape[1] for made in self.spare)
        if lacking > 0:
            made = yield from _random_ands(self.unchecked(BITS), lacking)
            self.spare.append(made)

    def verify(self, first: Stream | None = None) -> Interactive[None]:
        """Check all products so far. Raises CheckFailedError. Rounds: 0, or AND_ROUNDS, or FIELD_ROUNDS, one less with
        `first`: a challenge that was opened when all products over fields had been sent.

        Every product is checked once: what another opening beside this one checks already is waited for. Where random
        ANDs are too few, since products beside each other count on the same, more are made in a round more.
        """
        products, others, mine = list(self.journal), list(self.running), object()
        self.journal.clear()
        self.running.append(mine)
        bits = [product for product in products if isinstance(product.ring, Bits)]
        rings = {product.ring.name: product.ring for product in products if product.ring.field}
        checks = [
            _check_products(self, ring, [p for p in products if p.ring == ring], first) for ring in rings.values()
        ]
        yield from together(*checks, *([_check_ands(self, bits)] if bits else []))
        self.running.remove(mine)
        while any(other in self.running for other in others):
            yield Round()


def _checkable(ring: Ring) -> None:
    if not ring.field and not isinstance(ring, Bits):
        raise SchemeError(f"products over {ring.name} cannot be checked: lift to a field first")


def _check_products(side: Checked, ring: Ring, products: list[Product], first: Stream | None) -> Interactive[None]:
    plain = side.unchecked(ring)
    if first is None:
        first = yield from side.challenge()
    a, b, c = _combined(ring, products, first)
    size = a.shape[1]
    if size == 0:
        return
    secret = plain.random((2,))  # r, and the number that hides how far the test is from 0
    u = yield from plain.multiply(np.repeat(secret[:, :1], size, axis=1), a)
    v = yield from plain.matmul(u[:, None], b[..., None])
    opened, second = yield from together(plain.open_checked(secret[:, :1]), side.challenge())
    beta = ring.draw(second, (size,))
    left = ring.add(v[:, 0, 0], ring.total(ring.mul(u, beta), 1))
    right = ring.mul(ring.add(c, ring.total(ring.mul(a, beta), 1)), opened)
    test = yield from plain.multiply(ring.sub(left, right)[:, None], secret[:, 1:])
    result = yield from plain.open_checked(test)
    if not ring.is_zero(result).all():
        side.failed("a product is wrong: one of the parties lies")


def _combined(ring: Ring, products: list[Product], challenge: Stream) -> tuple[Array, Array, Array]:
    """One inner product for all of them: shares a, b (2, n) and c (2,) with <a, b> = c if all are right."""
    parts_a, parts_b = [], []
    total: Array = np.zeros(2, dtype=ring.dtype)
    for product in products:
        x, y, z = product.x, product.y, product.z
        if product.matrices:
            rows = ring.draw(challenge, (*z.shape[1:-1],))
            columns = ring.draw(challenge, (*z.shape[1:-2], z.shape[-1]))
            x = ring.matmul(rows[..., None, :], x)[..., 0, :]
            y = ring.matmul(y, columns[..., :, None])[..., 0]
            z = ring.mul(z, ring.mul(rows[..., :, None], columns[..., None, :]))
        else:
            weights = ring.draw(challenge, z.shape[1:])
            x, z = ring.mul(x, weights), ring.mul(z, weights)
        parts_a.append(x.reshape(2, -1))
        parts_b.append(y.reshape(2, -1))
        total = ring.add(total, ring.total(z.reshape(2, -1), 1))
    return np.concatenate(parts_a, axis=1), np.concatenate(parts_b, axis=1), total


def bucket(words: int) -> int:
    """How many random words of ANDs each word is compared with: the fewest that leave a liar a chance of 2^-40.

    Of (n + 1) B dealt at random, those that he spoiled must be just the B of each word that he spoiled.
    """
    size = 1
    while comb((words + 1) * size, size) < 1 << SECURITY_BITS:
        size += 1
    return size


def needed_for(words: int) -> int:
    """How many random words of ANDs it takes to check so many, with those that are opened."""
    return (words + 1) * bucket(words) if words else 0


def _words(ring: Ring, share: Array) -> int:
    """How many words of 64 bits a share is, `_packed`."""
    return -(-ring.size(share[0].size) // 8)


def _random_ands(plain: Replicated, count: int) -> Interactive[RandomAnds]:
    """So many new ones. Rounds: 1."""
    a, b = plain.random((count,)), plain.random((count,))
    c = yield from plain.multiply(a, b)
    return RandomAnds(a, b, c)


def _check_ands(side: Checked, products: list[Product]) -> Interactive[None]:
    plain = side.unchecked(BITS)
    x = np.concatenate([_packed(product.ring, product.x) for product in products], axis=1)
    y = np.concatenate([_packed(product.ring, product.y) for product in products], axis=1)
    z = np.concatenate([_packed(product.ring, product.z) for product in products], axis=1)
    count = x.shape[1]
    if count == 0:
        return
    size = bucket(count)
    total = (count + 1) * size
    lacking = total - sum(made.a.shape[1] for made in side.spare)
    taken = list(side.spare)
    side.spare.clear()
    if lacking > 0:
        more = yield from _random_ands(plain, lacking)
        taken.append(more)
    a, b, c = (np.concatenate(parts, axis=1) for parts in zip(*taken, strict=True))
    side.spare.append(RandomAnds(a[:, total:], b[:, total:], c[:, total:]))
    stream = yield from side.challenge()
    order = _permutation(stream, total)
    spare, dealt = order[:size], order[size:].reshape(size, count)
    # in parts that stay in the cache: each is compared with all words
    hidden = [np.take(a, part, axis=1) ^ x for part in dealt] + [np.take(b, part, axis=1) ^ y for part in dealt]
    hidden += [part[:, spare] for part in (a, b, c)]
    opened = yield from plain.open_checked(np.concatenate(hidden, axis=1))
    rho, sigma = opened[: 2 * size * count].reshape(2, size, count)
    spare_a, spare_b, spare_c = opened[2 * size * count :].reshape(3, size)
    if ((spare_a & spare_b) ^ spare_c).any():
        side.failed("a random AND is wrong: one of the parties lies")
    # a = x + rho and b = y + sigma, so c - z = x sigma + y rho + rho sigma
    rest = [
        np.take(c, part, axis=1) ^ z ^ (x & one_sigma) ^ (y & one_rho) ^ plain.public(one_rho & one_sigma)
        for part, one_rho, one_sigma in zip(dealt, rho, sigma, strict=True)
    ]
    yield from _all_zero(side, np.concatenate(rest, axis=1))


def _all_zero(side: Checked, words: Array) -> Interactive[None]:
    """Test that shared bits are 0. Rounds: 1.

    Then two components determine the third, which each of the others holds. Every pair compares in both directions,
    so that both honest parties notice, and neither goes on to an opening alone.
    """
    digest = Sent(DIGEST, np.frombuffer(_hash(words[0] ^ words[1]), dtype=np.uint8))
    item = Item(DIGEST, digest.values.shape)
    received = yield Round(
        send={side.after: (digest,), side.before: (digest,)}, expect={side.before: (item,), side.after: (item,)}
    )
    for peer, third in ((side.before, words[1]), (side.after, words[0])):
        if received[peer][0].tobytes() != _hash(third):
            side.failed("an AND is wrong: one of the parties lies")


def _hash(words: Array) -> bytes:
    return hashlib.sha256(BITS.encode(words)).digest()


def _packed(ring: Ring, share: Array) -> Array:
    """A share of words of any width as words of 64 bits: (2, n), the last one filled with 0."""
    assert isinstance(ring, Bits), "internal error: an AND of what are no bits"
    return ring.packed(share.reshape(2, -1))


def _permutation(stream: Stream, count: int) -> NDArray[np.intp]:
    """A random order: numbers drawn at random, made distinct by their index in the low bits, are sorted."""
    mask = np.uint64((1 << (count - 1).bit_length()) - 1)
    keys = (stream.words(count) & ~mask) | np.arange(count, dtype=np.uint64)
    return (np.sort(keys) & mask).astype(np.intp)
