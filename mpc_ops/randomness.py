"""The randomness of joint computation: keyed streams, so that a restarted party sends the same bytes again.

A key belongs to a set of parties: to one alone, to a pair, to the holders of a component, to all of them. In each
round, each key gives one stream,

    seed = HMAC-SHA-256(key, tag | context | round | history | holders)

expanded by AES-256-CTR. `context` says what is computed (task, roster, window, agreed set, participants, job),
`history` is the hash of all messages of all rounds before. So the same past gives the same bytes, and a party that
is shown another past (a forked log, another set, a peer that changed its message) draws other masks: no mask ever
covers two values.

Parties that hold a key draw from its stream in the same order: the order in which the one code they all run asks.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from mpc_ops.rounds import MAX_PARTIES
from mpc_ops.sharing import SEED_SIZE, Keystream

_TAG = b"sotto joint stream v1\0"
HASH_SIZE = 32


@dataclass(slots=True)
class Stream:
    """The words of one seed, in order; what was drawn never comes again."""

    seed: bytes = field(repr=False)
    _keystream: Keystream = field(init=False, repr=False)

    def __post_init__(self) -> None:
        self._keystream = Keystream(self.seed)

    def words(self, count: int) -> NDArray[np.uint64]:
        """The next `count` words: uint64[count], writable."""
        return self._keystream.words(count)


class Randomness:
    """The streams of one party in one run. `keys`: set of parties -> 32 bytes that exactly those parties know.

    Raises ValueError for a key or a context of the wrong size.
    """

    def __init__(self, keys: Mapping[frozenset[int], bytes], *, context: bytes) -> None:
        if len(context) != HASH_SIZE:
            raise ValueError(f"a context is a hash of {HASH_SIZE} bytes")
        for holders, key in keys.items():
            if len(key) != SEED_SIZE or not holders or not 0 <= min(holders) <= max(holders) < MAX_PARTIES:
                raise ValueError(f"a key has {SEED_SIZE} bytes and belongs to parties 0..{MAX_PARTIES - 1}")
        self._keys = dict(keys)
        self._context = context
        self._streams: dict[frozenset[int], Stream] = {}
        self._round = 0
        self._history = bytes(HASH_SIZE)

    def advance(self, round_number: int, history: bytes) -> None:
        """Begin a round: streams start anew, bound to all that was said before."""
        if len(history) != HASH_SIZE:
            raise ValueError(f"a history is a hash of {HASH_SIZE} bytes")
        self._round, self._history = round_number, history
        self._streams.clear()

    def stream(self, holders: Iterable[int]) -> Stream:
        """This round's stream of the key of exactly these parties. Raises KeyError where this party has none."""
        who = frozenset(holders)
        stream = self._streams.get(who)
        if stream is None:
            key = self._keys.get(who)
            if key is None:
                raise KeyError(f"no key shared by exactly the parties {sorted(who)}")
            label = self._round.to_bytes(8, "little") + self._history + bytes([len(who), *sorted(who)])
            stream = Stream(hmac.digest(key, _TAG + self._context + label, hashlib.sha256))
            self._streams[who] = stream
        return stream


def trial_keys(parties: int, master: bytes) -> list[dict[frozenset[int], bytes]]:
    """Keys for `parties` parties from one secret, for tests and benchmarks in one process: for each party its own.

    Every party alone, every pair, and all of them. Real parties agree on each key by themselves.
    """
    sets = {frozenset({a, b}) for a in range(parties) for b in range(parties)} | {frozenset(range(parties))}
    keys = {who: hmac.digest(master, b"trial" + bytes(sorted(who)), hashlib.sha256) for who in sets}
    return [{who: key for who, key in keys.items() if party in who} for party in range(parties)]
