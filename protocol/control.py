"""Records on `control`: the one log in which parties and collector decide about windows (SPEC 8).

Each is signed by its sender and bound to task, roster and window. The first valid one of a kind and sender counts, for
the sender too. They hold no shares, no counts and no labels in clear: aggregate shares are sealed to the collector.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final, TypeAlias

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from protocol.canonical import tagged_hash
from protocol.codec import Reader, Writer, begin
from protocol.contribution import FAULTS
from protocol.errors import WireError
from protocol.roster import Roster
from protocol.signed import open_signed, party_identity
from protocol.task import Task

MANIFEST, CLOSE, GIVE_UP, AGGREGATE_SHARE, OUTCOME = 16, 17, 18, 19, 20
COLLECTOR: Final = 255
_SIGNED: Final = b"sotto/1 control record\0"


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class Entry:
    """A gateway's contribution that a party holds in full."""

    gateway: str
    contribution: bytes


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class Fault:
    """A gateway that a party refused in this window, and why."""

    gateway: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """What a party holds in full. `last_seal`: the latest time of the seals (gateways' clocks), for measuring."""

    window: int
    party: int
    floor: int
    last_seal: int
    entries: tuple[Entry, ...]
    faults: tuple[Fault, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Close:
    """End the wait for silent parties: of their manifests (phase 1) or of their aggregate shares (phase 2)."""

    window: int
    party: int
    phase: int


@dataclass(frozen=True, slots=True, kw_only=True)
class GiveUp:
    """The window has waited too long for a party that it cannot do without."""

    window: int
    party: int


@dataclass(frozen=True, slots=True, kw_only=True)
class AggregateShare:
    """A party's sums over the agreed set (`digest` names it), sealed to the collector."""

    window: int
    party: int
    floor: int
    digest: bytes
    key_id: bytes
    sealed: bytes = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """By the collector: the window's aggregate is on the topic `aggregates`; `digest` is SHA-256 of its bytes."""

    window: int
    floor: int
    digest: bytes


ControlRecord: TypeAlias = Manifest | Close | GiveUp | AggregateShare | Outcome


def set_digest(
    *, task_hash: bytes, roster_hash: bytes, window: int, entries: Iterable[Entry], parties: Iterable[int]
) -> bytes:
    """Return the digest of an agreed set: the contributions, and the parties whose manifests counted."""
    writer = Writer().raw(task_hash, 32).raw(roster_hash, 32).i64(window)
    ordered = sorted(entries)
    writer.u16(len(ordered))
    for entry in ordered:
        writer.text(entry.gateway).raw(entry.contribution, 32)
    for party in sorted(parties):
        writer.u8(party)
    return tagged_hash("agreed set", writer.done())


def _kind(record: ControlRecord) -> int:
    match record:
        case Manifest():
            return MANIFEST
        case Close():
            return CLOSE
        case GiveUp():
            return GIVE_UP
        case AggregateShare():
            return AGGREGATE_SHARE
        case Outcome():
            return OUTCOME


def _write(record: ControlRecord, writer: Writer) -> None:
    match record:
        case Manifest():
            writer.i64(record.floor).i64(record.last_seal).u16(len(record.entries))
            for entry in record.entries:
                writer.text(entry.gateway).raw(entry.contribution, 32)
            writer.u16(len(record.faults))
            for fault in record.faults:
                writer.text(fault.gateway).u8(FAULTS.index(fault.reason))
        case Close():
            writer.u8(record.phase)
        case GiveUp():
            pass
        case AggregateShare():
            writer.i64(record.floor).raw(record.digest, 32).raw(record.key_id, 16).blob(record.sealed)
        case Outcome():
            writer.i64(record.floor).raw(record.digest, 32)


def encode(record: ControlRecord, *, task: Task, roster: Roster, identity: Ed25519PrivateKey) -> bytes:
    """Write and sign a record."""
    sender = COLLECTOR if isinstance(record, Outcome) else record.party
    writer = begin(_kind(record)).raw(task.hash, 32).raw(roster.hash, 32).i64(record.window).u8(sender)
    _write(record, writer)
    statement = writer.done()
    return statement + identity.sign(_SIGNED + statement)


def decode(data: bytes, *, task: Task, roster: Roster) -> ControlRecord:
    """Read a record and check its signature against the task's identities. Raises WireError."""
    kind, window, sender, reader = open_signed(
        data,
        kinds=range(MANIFEST, OUTCOME + 1),
        task=task,
        roster=roster,
        identity=lambda kind, sender: _identity(kind, sender, task),
        signed=lambda statement: _SIGNED + statement,
    )
    record = _read(kind, window, sender, reader, roster)
    reader.end()
    return record


def _identity(kind: int, sender: int, task: Task) -> bytes:
    if kind == OUTCOME:
        if sender != COLLECTOR:
            raise WireError("other_party")
        return task.collector.identity
    return party_identity(task, sender)


def _read(kind: int, window: int, party: int, reader: Reader, roster: Roster) -> ControlRecord:
    if kind == MANIFEST:
        return _read_manifest(window, party, reader, roster)
    if kind == CLOSE:
        phase = reader.u8()
        if phase not in (1, 2):
            raise WireError("not_canonical")
        return Close(window=window, party=party, phase=phase)
    if kind == GIVE_UP:
        return GiveUp(window=window, party=party)
    if kind == AGGREGATE_SHARE:
        floor, digest, key_id = reader.i64(), reader.raw(32), reader.raw(16)
        return AggregateShare(
            window=window, party=party, floor=floor, digest=digest, key_id=key_id, sealed=reader.blob()
        )
    return Outcome(window=window, floor=reader.i64(), digest=reader.raw(32))


def _read_manifest(window: int, party: int, reader: Reader, roster: Roster) -> Manifest:
    floor, last_seal = reader.i64(), reader.clock()
    entries = tuple(Entry(gateway=reader.text(), contribution=reader.raw(32)) for _ in range(reader.u16()))
    faults = []
    for _ in range(reader.u16()):
        gateway, reason = reader.text(), reader.u8()
        if reason >= len(FAULTS):
            raise WireError("unknown_fault")
        faults.append(Fault(gateway=gateway, reason=FAULTS[reason]))
    for names in ([entry.gateway for entry in entries], [fault.gateway for fault in faults]):
        if names != sorted(set(names)):
            raise WireError("not_canonical")
        if not roster.gateways.keys() >= set(names):
            raise WireError("unknown_gateway")
    if {entry.gateway for entry in entries} & {fault.gateway for fault in faults}:
        raise WireError("not_canonical")
    return Manifest(window=window, party=party, floor=floor, last_seal=last_seal, entries=entries, faults=tuple(faults))
