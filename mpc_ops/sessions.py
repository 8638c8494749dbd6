"""Running protocols: one party's `Session` for any transport, and `run`, which drives all parties in one process.

A message is all that one party sends another in one round:

    offset  size  field
    0       2     tag 0x4a53
    2       1     sender
    3       1     receiver
    4       4     round, little-endian, from 0
    8       8     schema: the first bytes of SHA-256 over kinds and shapes of the arrays, in order
    16      ...   the arrays, each of exactly the size that its kind and shape give

Nothing in it says what it is for: task, window and job are bound by whoever seals it. The session is strict: every
message that is expected must be there, no other may be, and each must have exactly the tag, parties, round, schema,
size and canonical elements that the protocol expects.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from math import prod
from typing import Generic, TypeVar

from mpc_ops.randomness import HASH_SIZE, Randomness, Stream, trial_keys
from mpc_ops.rounds import MAX_PARTIES, Array, Interactive, Item, MessageError, Round, Sent

_HEADER = struct.Struct("<HBBI8s")
_TAG = 0x4A53
HEADER_SIZE = _HEADER.size
T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Party:
    """Who runs: party `index` of `parties`, with its keys."""

    index: int
    parties: int
    randomness: Randomness = field(repr=False)

    def __post_init__(self) -> None:
        if not 0 <= self.index < self.parties <= MAX_PARTIES:
            raise ValueError(f"party {self.index} of {self.parties}")

    def stream(self, *holders: int) -> Stream:
        """This round's stream of the key of exactly these parties."""
        return self.randomness.stream(holders)


class Session(Generic[T]):
    """One party's run of one program: `outgoing` holds what it sends in the round that is open.

    `program` makes the generator; it is started at once. A session that raised is over.
    """

    def __init__(self, party: Party, program: Callable[[Party], Interactive[T]]) -> None:
        self.party = party
        self.round_number = 0
        self.outgoing: dict[int, bytes] = {}
        self.done = False
        self._result: list[T] = []
        self._round = Round()
        party.randomness.advance(0, bytes(HASH_SIZE))
        self._generator = program(party)
        self._resume(None)

    @property
    def result(self) -> T:
        """What the program returned. Raises ValueError before its end."""
        if not self._result:
            raise ValueError("the protocol has not ended")
        return self._result[0]

    @property
    def awaited(self) -> frozenset[int]:
        """The parties whose message this round needs."""
        return frozenset(self._round.expect)

    def check(self, sender: int, message: bytes) -> None:
        """Raise MessageError unless this is what `sender` must send in the round that is open. Changes nothing."""
        if sender not in self._round.expect:
            raise MessageError("nothing is expected", sender=sender, round_number=self.round_number)
        self._decode(sender, message)

    def deliver(self, messages: Mapping[int, bytes], history: bytes) -> None:
        """End the round: `messages` by sender, `history` the hash of all messages of all parties up to this round.

        Raises MessageError where one is missing, not expected, or not exactly what it has to be; then the round is
        still open. What the protocol raises ends the session.
        """
        if self.done:
            raise MessageError("the protocol has ended")
        for sender in messages.keys() - self._round.expect.keys():
            raise MessageError("nothing is expected", sender=sender, round_number=self.round_number)
        received = {sender: self._decode(sender, messages.get(sender)) for sender in self._round.expect}
        self.round_number += 1
        self.party.randomness.advance(self.round_number, history)
        self._resume(received)

    def _resume(self, received: dict[int, list[Array]] | None) -> None:
        try:
            self._round = next(self._generator) if received is None else self._generator.send(received)
        except StopIteration as stop:
            self.done = True
            self.outgoing = {}
            self._round = Round()
            self._result.append(stop.value)
            return
        peers = set(range(self.party.parties)) - {self.party.index}
        assert {*self._round.send, *self._round.expect} <= peers, "internal error: a message to no peer"
        self.outgoing = {to: self._encode(to, sent) for to, sent in self._round.send.items()}

    def _encode(self, receiver: int, sent: Sequence[Sent]) -> bytes:
        schema = _schema([Item(item.kind, item.values.shape) for item in sent])
        header = _HEADER.pack(_TAG, self.party.index, receiver, self.round_number, schema)
        return b"".join([header, *(item.kind.encode(item.values) for item in sent)])

    def _decode(self, sender: int, message: bytes | None) -> list[Array]:
        def bad(reason: str) -> MessageError:
            return MessageError(reason, sender=sender, round_number=self.round_number)

        items = self._round.expect[sender]
        if message is None:
            raise bad("missing")
        sizes = [item.kind.size(prod(item.shape)) for item in items]
        if len(message) < HEADER_SIZE:
            raise bad("shorter than a header")
        tag, author, receiver, number, schema = _HEADER.unpack_from(message)
        if tag != _TAG:
            raise bad("not a joint message")
        if (author, receiver) != (sender, self.party.index):
            raise bad("of another sender or to another receiver")
        if number != self.round_number:
            raise bad("of another round")
        if schema != _schema(items):
            raise bad("arrays of other kinds or shapes")
        if len(message) != HEADER_SIZE + sum(sizes):
            raise bad("wrong size")
        arrays, offset = [], HEADER_SIZE
        for item, size in zip(items, sizes, strict=True):
            try:
                arrays.append(item.kind.decode(message[offset : offset + size], item.shape))
            except MessageError as error:
                raise bad(error.reason) from error
            offset += size
        return arrays


def _schema(items: Sequence[Item]) -> bytes:
    text = ";".join(f"{item.kind.name}{list(item.shape)}" for item in items)
    return hashlib.sha256(text.encode()).digest()[:8]


def advance_history(history: bytes, messages: Mapping[tuple[int, int], bytes]) -> bytes:
    """The history after a round: SHA-256 over the one before and each message with its (sender, receiver), sorted.

    For runs in one process. On a log the caller hashes the sealed records, since nobody can open them all.
    """
    digest = hashlib.sha256(history)
    for (sender, receiver), message in sorted(messages.items()):
        digest.update(struct.pack("<BBQ", sender, receiver, len(message)))
        digest.update(message)
    return digest.digest()


@dataclass(frozen=True, slots=True, kw_only=True)
class Run(Generic[T]):
    """What all parties got, and what it took. Bytes are per party, without (`sent`) and with headers (`wire`)."""

    results: tuple[T, ...]
    rounds: int
    messages: int
    sent: tuple[int, ...]
    wire: tuple[int, ...]


Tamper = Callable[[int, int, int, bytes], bytes | None]
"""(round, sender, receiver, message) -> what arrives; None for nothing."""


def run(
    program: Callable[[Party], Interactive[T]],
    *,
    parties: int,
    seed: bytes = b"",
    context: bytes = bytes(HASH_SIZE),
    tamper: Tamper | None = None,
    observe: Callable[[int, int, int, bytes], None] | None = None,
) -> Run[T]:
    """Drive all parties in one process: the same messages, checks and streams as over a transport.

    For tests and benchmarks: keys come from `seed`. `tamper` stands for a party that lies or a message that is
    lost, `observe` sees what arrives. Raises what a party raises: MessageError, CheckFailedError.
    """
    sessions = [
        Session(Party(index=index, parties=parties, randomness=Randomness(keys, context=context)), program)
        for index, keys in enumerate(trial_keys(parties, seed))
    ]
    history = bytes(HASH_SIZE)
    rounds = messages = 0
    sent, wire = [0] * parties, [0] * parties
    while not all(session.done for session in sessions):
        posted = {(s.party.index, to): message for s in sessions for to, message in s.outgoing.items()}
        arriving: dict[int, dict[int, bytes]] = {index: {} for index in range(parties)}
        for (sender, receiver), message in posted.items():
            sent[sender] += len(message) - HEADER_SIZE
            wire[sender] += len(message)
            messages += 1
            arrives = message if tamper is None else tamper(rounds, sender, receiver, message)
            if arrives is not None:
                if observe is not None:
                    observe(rounds, sender, receiver, arrives)
                arriving[receiver][sender] = arrives
        history = advance_history(history, posted)
        rounds += 1
        for session in sessions:
            if not session.done:
                session.deliver(arriving[session.party.index], history)
            elif arriving[session.party.index]:
                raise MessageError("a party that has ended gets a message")
    return Run(
        results=tuple(session.result for session in sessions),
        rounds=rounds,
        messages=messages,
        sent=tuple(sent),
        wire=tuple(wire),
    )
