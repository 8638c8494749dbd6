"""Logic on replicated bits: gates, adders, and the ways between arithmetic and Boolean sharing.

A Boolean share is a replicated share over `Bits(width)`: uint64 words of `width` bits, of which n take
n * width / 8 bytes on the wire. XOR and NOT are local; every other gate is an AND and takes one round.

An arithmetic share x0 + x1 + x2 becomes bits for free, component by component: each is known to two parties, who
hold it as a Boolean sharing too. Then the three words are added: a carry-save adder (one round) leaves two, a prefix
adder (Kogge and Stone 1973; 1 + 6 rounds) their sum.
"""

from __future__ import annotations

import numpy as np

from mpc_ops.joint.base import plus
from mpc_ops.joint.replicated import Replicated, needed
from mpc_ops.rings import Z64, Bits, Ring
from mpc_ops.rounds import Array, Interactive

WORD = 64


def negation(side: Replicated, x: Array, width: int = WORD) -> Array:
    """NOT of every bit. Rounds: 0."""
    needed(side)
    bits = Bits(width)
    return plus(side.over(bits), x, np.asarray(bits.ones))


def conjunction(side: Replicated, x: Array, y: Array, width: int = WORD) -> Interactive[Array]:
    """x AND y, bit by bit. Rounds: 1, `width` bits for each word from each party."""
    needed(side)
    result = yield from side.over(Bits(width)).multiply(x, y)
    return result


def disjunction(side: Replicated, x: Array, y: Array, width: int = WORD) -> Interactive[Array]:
    """x OR y. Rounds: 1."""
    both = yield from conjunction(side, x, y, width)
    return x ^ y ^ both


def choose(side: Replicated, condition: Array, x: Array, y: Array, width: int = WORD) -> Interactive[Array]:
    """x where a bit of `condition` is 1, y where it is 0, bit by bit. Rounds: 1."""
    difference = yield from conjunction(side, condition, x ^ y, width)
    return y ^ difference


def spread(bit: Array, width: int = WORD) -> Array:
    """From shares of one bit to words of `width` equal bits, as conditions of `choose`. Rounds: 0."""
    return (np.uint64(0) - bit) & Bits(width).ones


def all_bits(side: Replicated, x: Array, width: int = WORD) -> Interactive[Array]:
    """1 where all bits of a word are 1: the halves are joined until one bit is left. Rounds: log2 width."""
    while width > 1:
        width //= 2
        x = yield from conjunction(side, x & Bits(width).ones, x >> np.uint64(width), width)
    return x


def all_along(side: Replicated, x: Array, width: int = WORD) -> Interactive[Array]:
    """AND along the last axis, in a tree. Rounds: log2 of its length, rounded up. Raises ValueError for no operand."""
    if x.shape[-1] == 0:
        raise ValueError("an AND of nothing")
    while x.shape[-1] > 1:
        half = x.shape[-1] // 2
        joined = yield from conjunction(side, x[..., :half], x[..., half : 2 * half], width)
        x = np.concatenate([joined, x[..., 2 * half :]], axis=-1)
    return x[..., 0]


def words_of(side: Replicated, x: Array) -> tuple[Array, Array, Array]:
    """The three components of an arithmetic share over Z/2^64, each as a Boolean sharing. Rounds: 0.

    Raises SchemeError for a side over another ring: residues of a field are no such words.
    """
    needed(side, Z64)
    return side.component(x, 0), side.component(x, 1), side.component(x, 2)


def majority(side: Replicated, x: Array, y: Array, z: Array, width: int = WORD) -> Interactive[Array]:
    """Where at least two of three bits are 1: the carries of an adder. Rounds: 1."""
    both = yield from conjunction(side, x ^ z, y ^ z, width)
    return both ^ z


def carry_save(side: Replicated, x: Array) -> Interactive[tuple[Array, Array]]:
    """Two Boolean words whose sum is the arithmetic x modulo 2^64. Rounds: 1.

    The XOR of the three components is x itself, read as a Boolean share.
    """
    carry = yield from majority(side, *words_of(side, x))
    return x, carry << np.uint64(1)


def carries(side: Replicated, x: Array, y: Array) -> Interactive[Array]:
    """The carry out of each place when two Boolean words are added, modulo 2^64. Rounds: 7."""
    generate: Array = yield from conjunction(side, x, y)
    propagate: Array = x ^ y
    for level in range(6):
        step = np.uint64(1 << level)
        below = np.stack([generate << step, propagate << step], axis=1)[:, : 2 if level < 5 else 1]
        new = yield from conjunction(side, np.stack([propagate] * below.shape[1], axis=1), below)
        generate = generate ^ new[:, 0]
        propagate = new[:, -1]
    return generate


def add(side: Replicated, x: Array, y: Array) -> Interactive[Array]:
    """x + y modulo 2^64 of two Boolean words. Rounds: 7."""
    carry = yield from carries(side, x, y)
    return x ^ y ^ (carry << np.uint64(1))


def subtract(side: Replicated, x: Array, y: Array) -> Interactive[Array]:
    """x - y modulo 2^64 of two Boolean words: NOT (NOT x + y). Rounds: 7."""
    total = yield from add(side, negation(side, x), y)
    return negation(side, total)


def to_bits(side: Replicated, x: Array) -> Interactive[Array]:
    """From an arithmetic share over Z/2^64 to Boolean words. Rounds: 8."""
    first, second = yield from carry_save(side, x)
    result = yield from add(side, first, second)
    return result


def from_bit(side: Replicated, bit: Array, ring: Ring) -> Interactive[Array]:
    """From shares of single bits to arithmetic shares over any ring. Rounds: 2, one element in each.

    x XOR y = x + y - 2 x y, first for two of the components, then with the third. Each is known to two parties.
    """
    needed(side)
    over, bits = side.over(ring), side.over(Bits(1))
    if bit.size and int(bit.max()) > 1:
        raise ValueError("not single bits")
    known = [bits.component(bit, component).max(axis=0) for component in range(3)]
    result = over.only(0, ring.element(known[0]))
    for component in (1, 2):
        both = yield from over.select(result, component, known[component])
        either = ring.add(result, over.only(component, ring.element(known[component])))
        result = ring.sub(either, ring.add(both, both))
    return result


def from_bits(side: Replicated, words: Array, ring: Ring, width: int = WORD) -> Interactive[Array]:
    """From Boolean words to arithmetic shares, of the number that the `width` low bits are, without sign. Rounds: 2."""
    bits = (words[..., None] >> np.arange(width, dtype=np.uint64)) & np.uint64(1)
    shares = yield from from_bit(side, bits, ring)
    weights = ring.element([1 << position for position in range(width)])
    return ring.total(ring.mul(shares, weights), -1)
