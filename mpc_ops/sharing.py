"""Sharing over Z/2^64: pseudorandom components from seeds, the last one explicit.

The gateway shards, a party expands what it holds, the collector reveals sums. All but one component of a value are
the keystream of AES-256-CTR under a 32-byte seed, so the wire carries the seed in their place (DESIGN 5.2).

A seed is a one-time pad in small: the same seed over two different columns gives their difference to
whoever sees both explicit components. It is the caller that never uses one twice; nothing here keeps state.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from sys import byteorder

import numpy as np
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import AES256
from cryptography.hazmat.primitives.ciphers.modes import CTR
from numpy.typing import NDArray

SEED_SIZE = 32

_BLOCK = 1 << 14
"""Values per block: 128 kB, so that keystream, column and difference stay in the second-level cache."""

_ZEROS = bytes(8 * _BLOCK)
_IV = bytes(16)  # fixed: a key is used once, so the pair of key and counter never repeats


class Keystream:
    """AES-256-CTR under `seed` from counter 0, read as little-endian 64-bit words."""

    def __init__(self, seed: bytes) -> None:
        if len(seed) != SEED_SIZE:
            raise ValueError(f"a seed has {SEED_SIZE} bytes")
        self._cipher = Cipher(AES256(seed), CTR(_IV)).encryptor()
        self._zeros = memoryview(_ZEROS)

    def into(self, words: NDArray[np.uint64]) -> None:
        """Fill at most _BLOCK words with the next ones."""
        self._cipher.update_into(self._zeros[: words.nbytes], words.view(np.uint8).data)
        if byteorder == "big":
            words.byteswap(inplace=True)

    def words(self, count: int) -> NDArray[np.uint64]:
        """The next `count` words: uint64[count], native byte order, writable."""
        words = np.empty(count, dtype=np.uint64)
        for block in _blocks(count):
            self.into(words[block])
        return words


def expand(seed: bytes, count: int) -> NDArray[np.uint64]:
    """The first `count` words of a seed's component: uint64[count], native byte order, writable.

    Raises ValueError for a seed of another size than 32 bytes.
    """
    return Keystream(seed).words(count)


def shard(values: NDArray[np.uint64], seeds: Sequence[bytes]) -> list[NDArray[np.uint64]]:
    """All components of uint64[n], each uint64[n]: `expand(seeds[j], n)` for j < m-1, and the explicit last one.

    The last is values minus the others, modulo 2^64; `values` stays as it is. The gateway needs the expanded ones as
    well, for the commitments to their sums. Raises ValueError without a seed, or for one of another size.
    """
    streams = [Keystream(seed) for seed in seeds]
    if not streams:
        raise ValueError("a value needs at least two components")
    components = [np.empty(len(values), dtype=np.uint64) for _ in range(len(seeds) + 1)]
    explicit = components[-1]
    for block in _blocks(len(values)):
        source, target = values[block], explicit[block]
        for stream, component in zip(streams, components, strict=False):
            piece = component[block]
            stream.into(piece)
            np.subtract(source, piece, out=target)
            source = target
    return components


def reveal(components: Sequence[NDArray[np.uint64]]) -> NDArray[np.int64]:
    """The values, or the sums of values: all components added modulo 2^64, read as signed: int64[k].

    Signed, because noise and differences are; the task's bounds keep every true sum below 2^63.
    """
    if not components or len({part.shape for part in components}) != 1:
        raise ValueError("needs all components, each with the same number of values")
    total = components[0].copy()
    for part in components[1:]:
        total += part
    return total.view(np.int64)


def _blocks(count: int) -> Iterator[slice]:
    return (slice(start, start + _BLOCK) for start in range(0, count, _BLOCK))
