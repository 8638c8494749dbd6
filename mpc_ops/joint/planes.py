"""Bits of shares over a large field F_P, P = 2^k - 1: one plane of lanes for each place.

Boolean shares here are (2, k, words): plane i holds bit i of up to 64 values in each word. Modulo P addition is
addition of k bits in a ring: the carry out of the top place enters at the bottom. So the three components, each
known to two parties, are added by a carry-save adder whose carries turn around, and a prefix adder that turns around
too.

Zero has two forms, all bits 0 and all bits 1, and an adder may end with either. So signs are read off 2 x + 1.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mpc_ops.joint.base import SchemeError, plus
from mpc_ops.joint.gates import conjunction, majority
from mpc_ops.joint.replicated import PARTIES, Replicated, needed
from mpc_ops.rings import Bits, PrimeField
from mpc_ops.rounds import Array, Interactive


@dataclass(frozen=True, slots=True)
class Lanes:
    """How `count` values lie in words: `width` lanes a word, `words` words."""

    count: int

    @property
    def width(self) -> int:
        return min(64, 1 << max(self.count - 1, 0).bit_length())

    @property
    def words(self) -> int:
        return -(-self.count // 64)

    def pack(self, bits: Array) -> Array:
        """(..., count) of single bits to (..., words)."""
        octets = np.zeros((*bits.shape[:-1], 8 * self.words), dtype=np.uint8)
        packed = np.packbits(bits.astype(np.uint8), axis=-1, bitorder="little")
        octets[..., : packed.shape[-1]] = packed
        return octets.view("<u8").astype(np.uint64, copy=False)

    def unpack(self, words: Array) -> Array:
        """(..., words) to (..., count) of single bits."""
        octets = np.ascontiguousarray(words).astype("<u8", copy=False).view(np.uint8)
        return np.unpackbits(octets, axis=-1, count=self.count, bitorder="little").astype(np.uint64)


def turned(octets: NDArray[np.uint8], places: int) -> Array:
    """From the bytes of `count` numbers (..., count, width) to planes (..., places, words)."""
    bits = np.unpackbits(octets, axis=-1, count=places, bitorder="little")
    return Lanes(octets.shape[-2]).pack(np.swapaxes(bits, -1, -2))


def component_planes(side: Replicated, x: Array, field: PrimeField) -> list[Array]:
    """The three components of a share (2, count), each as Boolean planes. Rounds: 0."""
    planes, bits = turned(field.octets(x), field.bits), Bits(Lanes(x.shape[1]).width)
    return [side.over(bits).component(planes, j) for j in range(PARTIES)]


def _two_words(side: Replicated, x: Array, field: PrimeField) -> Interactive[tuple[Array, Array, int]]:
    """Planes of two numbers that add up to x modulo P. Rounds: 1."""
    width = Lanes(x.shape[1]).width
    first, second, third = component_planes(side, x, field)
    carry = yield from majority(side, first, second, third, width)
    return first ^ second ^ third, np.roll(carry, 1, axis=1), width


def sign_rounds(field: PrimeField) -> int:
    """How many rounds `to_planes` and `negative` take."""
    return 2 + (field.bits - 1).bit_length()


def to_planes(side: Replicated, x: Array) -> Interactive[Array]:
    """The bits of x in [0, P) for x != 0, from a share (2, count). Rounds: `sign_rounds`, 9, 12 or 13."""
    field = large(side)
    first, second, width = yield from _two_words(side, x, field)
    generate: Array = yield from conjunction(side, first, second, width)
    half = propagate = first ^ second
    step = 1
    while step < field.bits:
        last = 2 * step >= field.bits
        below = [np.roll(generate, step, axis=1)] + ([] if last else [np.roll(propagate, step, axis=1)])
        new = yield from conjunction(side, np.stack([propagate] * len(below), axis=1), np.stack(below, axis=1), width)
        generate = generate ^ new[:, 0]
        propagate = new[:, -1]
        step *= 2
    return half ^ np.roll(generate, 1, axis=1)


def negative(side: Replicated, x: Array) -> Interactive[Array]:
    """1 where x, read as signed, is below 0: single bits (2, count). |x| must be below P / 4. Rounds: 9, 12 or 13."""
    field = large(side)
    doubled = plus(side, field.add(x, x), field.element(1))
    first, second, width = yield from _two_words(side, doubled, field)
    propagate: Array = first ^ second
    top = propagate[:, -1]
    # only the carry into the top place: it comes from all others and, around the turn, from the top place itself
    generate: Array = yield from conjunction(side, first, second, width)
    generate, propagate = np.roll(generate, 1, axis=1), np.roll(propagate, 1, axis=1)
    while generate.shape[1] > 1:
        half = generate.shape[1] // 2
        high_p = propagate[:, 1 : 2 * half : 2]
        low = np.stack([generate[:, 0 : 2 * half : 2], propagate[:, 0 : 2 * half : 2]], axis=1)
        new = yield from conjunction(side, np.stack([high_p, high_p], axis=1), low, width)
        odd = slice(2 * half, None)
        generate = np.concatenate([generate[:, 1 : 2 * half : 2] ^ new[:, 0], generate[:, odd]], axis=1)
        propagate = np.concatenate([new[:, 1], propagate[:, odd]], axis=1)
    return Lanes(x.shape[1]).unpack(top ^ generate[:, 0])


def leading(side: Replicated, planes: Array, width: int) -> Interactive[Array]:
    """Only the highest 1 of each lane is left. Rounds: log2 of the number of planes, rounded up."""
    seen: Array = planes
    step = 1
    while step < seen.shape[1]:
        above = np.concatenate([seen[:, step:], np.zeros_like(seen[:, :step])], axis=1)
        rest = slice(0, seen.shape[1] - step)
        both = yield from conjunction(side, seen[:, rest], above[:, rest], width)
        joined = seen ^ above
        joined[:, rest] ^= both
        seen = joined
        step *= 2
    shifted = np.concatenate([seen[:, 1:], np.zeros_like(seen[:, :1])], axis=1)
    result: Array = seen ^ shifted
    return result


def large(side: Replicated) -> PrimeField:
    """The large field that a side works over. Raises SchemeError for another ring."""
    needed(side)
    if not isinstance(side.ring, PrimeField):
        raise SchemeError(f"{side.ring.name} is no large field")
    return side.ring
