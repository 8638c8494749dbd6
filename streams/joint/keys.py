"""The keys of one joint run: agreed by the parties in pairs, from contributions that travel sealed (SPEC 8.4).

A contribution is derived from its party's storage secret and from what the run is about. So a party that is
started again says the same, and no key serves two runs: another window or another agreed set gives other keys.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESSIV

from protocol.canonical import tagged_hash
from protocol.codec import Writer
from protocol.derive import derive
from protocol.errors import WireError
from protocol.hpke import SUITES
from protocol.keys import Card, KeyFile

PROGRAM: Final = 1
"""The version of what is said and drawn in a run, raised with each change of it.

An old and a new worker would otherwise cover two different messages of one round with one mask.
"""
_SIZE = 32


@dataclass(frozen=True, slots=True, kw_only=True)
class RunPlace:
    """Which run: task, roster, window, and the digest of the agreed set, which names participants."""

    task_hash: bytes
    roster_hash: bytes
    window: int
    digest: bytes

    def encode(self) -> bytes:
        """Return the bytes to which keys and the first history are bound."""
        writer = Writer().u16(PROGRAM).raw(self.task_hash, 32).raw(self.roster_hash, 32).i64(self.window)
        return writer.raw(self.digest, 32).done()

    def first_history(self, records: Sequence[bytes]) -> bytes:
        """h0: over this place and the SHA-256 of each party's keys record, by party."""
        return tagged_hash("joint keys", self.encode(), *records)


def next_history(history: bytes, records: Sequence[bytes]) -> bytes:
    """h(r+1): over h(r) and the SHA-256 of each party's record of round r, by party."""
    return tagged_hash("joint round", history, *records)


class PartyKeys:
    """One party's side of the agreement on keys. `cards`: of all parties, by number; `party` is its own."""

    def __init__(self, *, key: KeyFile, cards: Sequence[Card], party: int) -> None:
        self.party = party
        self._key = key
        self._cards = tuple(cards)

    @property
    def peers(self) -> tuple[int, ...]:
        """The other parties, ascending."""
        return tuple(number for number in range(len(self._cards)) if number != self.party)

    def contribution(self, place: RunPlace, peer: int) -> bytes:
        """What this party adds to the key that it shares with a peer: 32 bytes."""
        context = place.encode() + bytes([self.party, peer])
        return derive(self._key.storage, tag="joint contribution", context=context)

    def seal(self, place: RunPlace, peer: int) -> bytes:
        """Seal the contribution to its peer. Two seals differ; what is in them does not."""
        card = self._cards[peer]
        assert card.suite is not None, "internal error: a party without a sealing key"
        info = contribution_info(place, card, sender=self.party, receiver=peer)
        return SUITES[card.suite].seal(self.contribution(place, peer), card.public_key(), info)

    def open(self, place: RunPlace, peer: int, sealed: bytes) -> bytes:
        """Open what a peer has sealed to this party. Raises WireError."""
        card = self._cards[self.party]
        assert card.suite is not None, "internal error: a party without a sealing key"
        info = contribution_info(place, card, sender=peer, receiver=self.party)
        contribution = SUITES[card.suite].open(sealed, self._key.private_key(), info)
        if len(contribution) != _SIZE:
            raise WireError("not_canonical")
        return contribution

    def pair(self, place: RunPlace, peer: int, sealed: bytes) -> PairKeys:
        """The keys shared with a peer, whose sealed contribution this is. Raises WireError."""
        own, other = self.contribution(place, peer), self.open(place, peer, sealed)
        low, high = sorted((self.party, peer))
        secret = own + other if self.party == low else other + own
        return PairKeys(derive(secret, tag="joint pair", context=place.encode() + bytes([low, high])))


def contribution_info(place: RunPlace, card: Card, *, sender: int, receiver: int) -> bytes:
    """HPKE's `info`. `card`: the receiver's."""
    assert card.suite is not None, "internal error: a party without a sealing key"
    writer = Writer().raw(b"sotto/1 joint contribution\0").u8(SUITES[card.suite].code).raw(place.encode())
    return writer.u8(sender).u8(receiver).raw(card.key_id, 16).done()


class PairKeys:
    """What two parties share in one run: a box for messages and the key of a stream of randomness.

    `message_key`: 64 bytes for AES-SIV; `randomness`: 32 bytes for `mpc_ops.randomness`.
    """

    def __init__(self, secret: bytes) -> None:
        halves = (derive(secret, tag="joint messages", context=bytes([half])) for half in range(2))
        self.message_key = b"".join(halves)
        self.randomness = derive(secret, tag="joint randomness", context=b"")
        self._box = AESSIV(self.message_key)

    def seal(self, message: bytes, associated: bytes) -> bytes:
        """AES-SIV (RFC 5297), so that the same message at the same place gives the same bytes: no nonce to lose."""
        return self._box.encrypt(message, [associated])

    def open(self, sealed: bytes, associated: bytes) -> bytes:
        """Raises WireError where it was not sealed under this key for this place."""
        try:
            return self._box.decrypt(sealed, [associated])
        except (InvalidTag, ValueError) as error:
            raise WireError("cannot_open") from error
