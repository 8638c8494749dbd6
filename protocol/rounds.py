"""Records on `rounds`: what parties say to each other in a joint computation of one window (SPEC 8.4).

Each is signed by its party and bound to task, roster, window and agreed set. What it says to a peer is sealed to that
peer; everybody sees who spoke to whom in which round, and how long it was.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import Final, TypeAlias

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from protocol.codec import Reader, Writer, begin
from protocol.errors import WireError
from protocol.roster import Roster
from protocol.signed import open_signed, party_identity
from protocol.task import Task

KEYS, ROUND, STOP = 32, 33, 34
STOPS: Final = ("cannot_open", "wrong_message", "check_failed")
"""Why a party goes no further: a record for it does not open, holds another message than the protocol expects, or
all messages are well-formed and a check of the computation fails."""
_SIGNED: Final = b"sotto/1 rounds record\0"


@dataclass(frozen=True, slots=True, kw_only=True)
class Keys:
    """A party's contributions to the keys that it shares with each peer, sealed to them, by peer ascending."""

    window: int
    party: int
    digest: bytes
    contributions: tuple[bytes, ...] = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Messages:
    """What a party says in one round: (peer, sealed message) by peer ascending, for those that get one.

    `history`: the hash of all records that have counted before this round.
    """

    window: int
    party: int
    digest: bytes
    number: int
    history: bytes
    sealed: tuple[tuple[int, bytes], ...] = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Stop:
    """A party says nothing in this round, nor in any other: the run has ended. `suspects`: one of them has lied."""

    window: int
    party: int
    digest: bytes
    number: int
    history: bytes
    reason: str
    suspects: tuple[int, ...]


RoundsRecord: TypeAlias = Keys | Messages | Stop


def associated(*, task_hash: bytes, roster_hash: bytes, record: Messages, receiver: int) -> bytes:
    """Return what the message to `receiver` is bound to: the record up to its messages, and the receiver."""
    return _place(task_hash, roster_hash, record).u8(receiver).done()


def _place(task_hash: bytes, roster_hash: bytes, record: RoundsRecord) -> Writer:
    kind = {Keys: KEYS, Messages: ROUND, Stop: STOP}[type(record)]
    writer = begin(kind).raw(task_hash, 32).raw(roster_hash, 32).i64(record.window).u8(record.party)
    writer.raw(record.digest, 32)
    return writer if isinstance(record, Keys) else writer.u32(record.number).raw(record.history, 32)


def encode(record: RoundsRecord, *, task: Task, roster: Roster, identity: Ed25519PrivateKey) -> bytes:
    """Write and sign a record. The same record gives the same bytes."""
    writer = _place(task.hash, roster.hash, record)
    match record:
        case Keys():
            for contribution in record.contributions:
                writer.blob(contribution)
        case Messages():
            writer.u8(len(record.sealed))
            for receiver, sealed in record.sealed:
                writer.u8(receiver).blob(sealed)
        case Stop():
            writer.u8(STOPS.index(record.reason)).u8(len(record.suspects))
            for suspect in record.suspects:
                writer.u8(suspect)
    statement = writer.done()
    return statement + identity.sign(_signed(statement))


def _signed(statement: bytes | memoryview) -> bytes:
    """A record has up to megabytes, which Ed25519 would hash by SHA-512, and twice where it signs."""
    return _SIGNED + hashlib.sha256(statement).digest()


def decode(data: bytes, *, task: Task, roster: Roster, own: bytes = b"") -> RoundsRecord:
    """Read a record and check its signature against the task's identities. Raises WireError.

    `own`: the record that this party has written last, and so need not check when it reads it.
    """
    kind, window, party, reader = open_signed(
        data,
        kinds=range(KEYS, STOP + 1),
        task=task,
        roster=roster,
        identity=lambda _, party: party_identity(task, party),
        signed=None if data == own else _signed,
    )
    record = _read(kind, window, party, reader, len(task.party_names))
    reader.end()
    return record


def _read(kind: int, window: int, party: int, reader: Reader, parties: int) -> RoundsRecord:
    digest = reader.raw(32)
    if kind == KEYS:
        contributions = tuple(reader.blob() for _ in range(parties - 1))
        return Keys(window=window, party=party, digest=digest, contributions=contributions)
    number, history = reader.u32(), reader.raw(32)
    if kind == ROUND:
        sealed = tuple((reader.u8(), reader.blob()) for _ in range(reader.u8()))
        _check_peers([receiver for receiver, _ in sealed], party, parties)
        return Messages(window=window, party=party, digest=digest, number=number, history=history, sealed=sealed)
    reason = reader.u8()
    if reason >= len(STOPS):
        raise WireError("unknown_reason")
    suspects = tuple(reader.u8() for _ in range(reader.u8()))
    _check_peers(suspects, party, parties)
    return Stop(
        window=window,
        party=party,
        digest=digest,
        number=number,
        history=history,
        reason=STOPS[reason],
        suspects=suspects,
    )


def _check_peers(peers: list[int] | tuple[int, ...], party: int, parties: int) -> None:
    """Refuse a list of peers that is not ascending, or names the sender, or nobody."""
    if list(peers) != sorted(set(peers) - {party}) or any(peer >= parties for peer in peers):
        raise WireError("not_canonical")
