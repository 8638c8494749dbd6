"""Records on the topics `shares.<party>`: batches and seals (SPEC 6).

A record is a header in clear, an encapsulation, a sealed body and a signature. The first part of the header, the
*core*, is the same bytes on every party's topic: parties that compare cores know that they hold shares of the same
readings. This module packs and unpacks; what is inside a body is in `protocol.body`.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cached_property
from typing import Final, TypeAlias

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from protocol.canonical import tagged_hash
from protocol.codec import Reader, Writer, begin, open_record, peek_kind
from protocol.errors import WireError

BATCH: Final = 1
SEAL: Final = 2
_COLD: Final = 1
_ZEROS: Final = bytes(32)
_SIGNED: Final = b"sotto/1 shares record\0"


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class Epoch:
    """One start of a gateway: a counter that never goes back, and 16 random bytes that a clone cannot share."""

    counter: int
    nonce: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """What every record of a gateway is bound to."""

    task_hash: bytes
    roster_hash: bytes
    scheme: int
    gateway: str
    epoch: Epoch
    window: int
    partition: int

    def encode(self, kind: int, flags: int = 0) -> Writer:
        """Begin a core."""
        writer = begin(kind).u16(flags).raw(self.task_hash, 32).raw(self.roster_hash, 32).u8(self.scheme)
        writer.text(self.gateway).u64(self.epoch.counter).raw(self.epoch.nonce, 16)
        return writer.i64(self.window).u32(self.partition)

    @classmethod
    def decode(cls, reader: Reader) -> Place:
        """Read what `encode` wrote behind the flags."""
        return cls(
            task_hash=reader.raw(32),
            roster_hash=reader.raw(32),
            scheme=reader.u8(),
            gateway=reader.text(),
            epoch=Epoch(counter=reader.u64(), nonce=reader.raw(16)),
            window=reader.i64(),
            partition=reader.u32(),
        )


@dataclass(frozen=True, kw_only=True)
class BatchCore:
    """The core of a batch: one blinded commitment for each component, and one to the cell table."""

    place: Place
    sequence: int
    commitments: tuple[bytes, ...]
    table: bytes

    @cached_property
    def context(self) -> bytes:
        """The core without its commitments: what the commitments are bound to."""
        return self.place.encode(BATCH).u32(self.sequence).done()

    @cached_property
    def encoded(self) -> bytes:
        """The core's bytes."""
        writer = Writer().raw(self.context).u8(len(self.commitments))
        for commitment in self.commitments:
            writer.raw(commitment, 32)
        return writer.raw(self.table, 32).done()

    @cached_property
    def hash(self) -> bytes:
        """The 32 bytes that the seal counts."""
        return tagged_hash("core", self.encoded)


@dataclass(frozen=True, slots=True, kw_only=True)
class Segment:
    """What a seal says of one segment: how many batches it had, and the hash of their cores' hashes in order."""

    epoch: Epoch
    batches: int
    cores: bytes


def cores_hash(core_hashes: bytes) -> bytes:
    """Return the hash over the concatenated 32-byte hashes of a segment's cores, in order of sequence."""
    return tagged_hash("cores", core_hashes)


@dataclass(frozen=True, kw_only=True)
class SealCore:
    """The end of a gateway's window: all its segments.

    `cold`: the gateway lost its state, or gave the window's readings up, and has nothing to contribute.
    """

    place: Place
    sealed_at: int
    cold: bool
    segments: tuple[Segment, ...]

    @cached_property
    def encoded(self) -> bytes:
        """The core's bytes."""
        writer = self.place.encode(SEAL, _COLD if self.cold else 0).i64(self.sealed_at).u16(len(self.segments))
        for segment in self.segments:
            writer.u64(segment.epoch.counter).raw(segment.epoch.nonce, 16).u32(segment.batches).raw(segment.cores, 32)
        return writer.done()

    @cached_property
    def contribution(self) -> bytes:
        """The contribution id: it names epochs, batches and, through the cores, every component's sums."""
        return tagged_hash("contribution", self.encoded)


Core: TypeAlias = BatchCore | SealCore


@dataclass(frozen=True, kw_only=True)
class ShareRecord:
    """A record as it is on the topic of one party. An empty `ciphertext` (a seal with nothing to add) needs no key."""

    core: Core
    party: int
    key_id: bytes
    salt: bytes
    encapsulation: bytes
    ciphertext: bytes
    signature: bytes

    @cached_property
    def header(self) -> bytes:
        """All bytes before the encapsulation: associated data of the body."""
        return header_of(
            self.core,
            party=self.party,
            key_id=self.key_id,
            salt=self.salt,
            encapsulation=self.encapsulation,
        )

    def encode(self) -> bytes:
        """Return the record's bytes."""
        writer = Writer().raw(self.header).blob(self.encapsulation).blob(self.ciphertext)
        return writer.raw(self.signature, 64).done()

    def verify(self, identity: bytes) -> None:
        """Check the gateway's signature; nothing of a record counts before. Raises WireError."""
        try:
            key = Ed25519PublicKey.from_public_bytes(identity)
            key.verify(self.signature, _statement(self.header, self.ciphertext))
        except (InvalidSignature, ValueError):
            raise WireError("wrong_signature") from None


def header_of(core: Core, *, party: int, key_id: bytes, salt: bytes, encapsulation: bytes) -> bytes:
    """Return the header of a record: the associated data of its body."""
    digest = hashlib.sha256(encapsulation).digest() if encapsulation else _ZEROS
    return Writer().raw(core.encoded).u8(party).raw(key_id, 16).raw(salt, 32).raw(digest).done()


def _statement(header: bytes, ciphertext: bytes) -> bytes:
    # Hash first: Ed25519 over 80 kB costs ten times as much as over 300 bytes.
    return _SIGNED + len(header).to_bytes(4, "little") + header + hashlib.sha256(ciphertext).digest()


def sign_record(
    core: Core,
    *,
    party: int,
    key_id: bytes,
    salt: bytes,
    encapsulation: bytes,
    ciphertext: bytes,
    identity: Ed25519PrivateKey,
) -> ShareRecord:
    """Put a record together and sign it."""
    header = header_of(core, party=party, key_id=key_id, salt=salt, encapsulation=encapsulation)
    record = ShareRecord(
        core=core,
        party=party,
        key_id=key_id,
        salt=salt,
        encapsulation=encapsulation,
        ciphertext=ciphertext,
        signature=identity.sign(_statement(header, ciphertext)),
    )
    record.__dict__["header"] = header
    return record


def unsealed(core: SealCore, *, party: int, identity: Ed25519PrivateKey) -> ShareRecord:
    """Make a seal that carries no body: signed, and without any key, so that a restarted gateway can close a window."""
    return sign_record(
        core, party=party, key_id=bytes(16), salt=_ZEROS, encapsulation=b"", ciphertext=b"", identity=identity
    )


def decode_record(data: bytes) -> ShareRecord:
    """Read a record of either kind. Raises WireError for anything that `encode` does not write."""
    kind = peek_kind(data)
    if kind not in (BATCH, SEAL):
        raise WireError("other_kind")
    reader = open_record(data, kind)
    flags = reader.u16()
    if flags & ~(_COLD if kind == SEAL else 0):
        raise WireError("unknown_flags")
    place = Place.decode(reader)
    core = _decode_batch(place, reader) if kind == BATCH else _decode_seal(place, flags, reader)
    party = reader.u8()
    key_id, salt, digest = reader.raw(16), reader.raw(32), reader.raw(32)
    header = reader.taken()
    encapsulation, ciphertext = reader.blob(), reader.blob()
    signature = reader.raw(64)
    reader.end()
    if digest != (hashlib.sha256(encapsulation).digest() if encapsulation else _ZEROS):
        raise WireError("wrong_encapsulation")
    bare = not ciphertext and not encapsulation and key_id == bytes(16) and salt == _ZEROS
    if not bare and not (ciphertext and encapsulation):
        raise WireError("not_canonical")
    if bare and kind == BATCH:
        raise WireError("empty_batch")
    if isinstance(core, SealCore) and core.cold and not bare:
        raise WireError("not_canonical")
    record = ShareRecord(
        core=core,
        party=party,
        key_id=key_id,
        salt=salt,
        encapsulation=encapsulation,
        ciphertext=ciphertext,
        signature=signature,
    )
    record.__dict__["header"] = header  # there is one encoding of a header, too
    return record


def _decode_batch(place: Place, reader: Reader) -> BatchCore:
    sequence = reader.u32()
    context = reader.taken()
    commitments = tuple(reader.raw(32) for _ in range(reader.u8()))
    core = BatchCore(place=place, sequence=sequence, commitments=commitments, table=reader.raw(32))
    # There is one encoding of a core, so what was read is what would be written.
    core.__dict__.update(context=context, encoded=reader.taken())
    return core


def _decode_seal(place: Place, flags: int, reader: Reader) -> SealCore:
    sealed_at = reader.clock()
    segments = tuple(
        Segment(
            epoch=Epoch(counter=reader.u64(), nonce=reader.raw(16)),
            batches=reader.u32(),
            cores=reader.raw(32),
        )
        for _ in range(reader.u16())
    )
    core = SealCore(place=place, sealed_at=sealed_at, cold=bool(flags & _COLD), segments=segments)
    epochs = [segment.epoch for segment in segments]
    if epochs != sorted(set(epochs)) or any(segment.batches == 0 for segment in segments):
        raise WireError("not_canonical")
    if core.cold and segments:
        raise WireError("not_canonical")
    return core
