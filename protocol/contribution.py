"""Records on `contributions.<party>`: what a party's leafs tell its roots (SPEC 7).

One record for each batch (its sums by cell), for each seal, for each refused batch, and now and then how far a leaf has
read. They are sealed to the party itself with AES-256-GCM-SIV: for Kafka's operator, who sees this topic of all
parties, the shares of one gateway would add up to its readings. The nonce comes from the content, so that
what is sent again is byte for byte what was sent before.
"""

from __future__ import annotations

import hmac
from dataclasses import dataclass, field
from typing import Final, TypeAlias

import numpy as np
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCMSIV
from numpy.typing import NDArray

from protocol.batch import Epoch, Segment
from protocol.body import CellTable
from protocol.codec import Reader, Writer, begin, open_record
from protocol.derive import derive
from protocol.errors import WireError
from protocol.roster import Cell

CONTRIBUTION: Final = 3
_BATCH, _SEAL, _FAULT, _PROGRESS = 1, 2, 3, 4
FAULTS: Final = ("unequal_copies", "not_canonical", "too_many_rows", "two_cores", "two_seals", "unknown_cell")


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchSums:
    """A batch, summed: rows by cell and, for each component that the party holds, sums by cell (uint64[held, c])."""

    gateway: str
    epoch: Epoch
    sequence: int
    core_hash: bytes
    table: CellTable
    sums: NDArray[np.uint64] = field(repr=False)

    @property
    def cells(self) -> tuple[Cell, ...]:
        """The cells of the batch, ascending."""
        return self.table.cells

    @property
    def rows(self) -> NDArray[np.int64]:
        """How many rows each cell has."""
        return self.table.rows


@dataclass(frozen=True, slots=True, kw_only=True)
class SealSeen:
    """A seal, verified. `contribution` is its id; `late` and `dropped` are its notes (`protocol.body.SealNotes`)."""

    gateway: str
    contribution: bytes
    segments: tuple[Segment, ...]
    sealed_at: int
    late: int
    cold: bool
    dropped: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class FaultSeen:
    """Something that this gateway signed and that cannot be right: it takes no part in this window."""

    gateway: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """The party's leaf has read partition `partition` of its shares up to (excluding) `offset`."""

    partition: int
    offset: int


Contribution: TypeAlias = BatchSums | SealSeen | FaultSeen | Progress


def _epoch(writer: Writer, epoch: Epoch) -> Writer:
    return writer.u64(epoch.counter).raw(epoch.nonce, 16)


def _read_epoch(reader: Reader) -> Epoch:
    return Epoch(counter=reader.u64(), nonce=reader.raw(16))


def encode(contribution: Contribution) -> bytes:
    """Write the content of a record, unsealed."""
    writer = Writer()
    match contribution:
        case BatchSums():
            _epoch(writer.u8(_BATCH).text(contribution.gateway), contribution.epoch)
            writer.u32(contribution.sequence).raw(contribution.core_hash, 32)
            writer.raw(contribution.table.encoded)
            writer.u8(len(contribution.sums)).words(contribution.sums)
        case SealSeen():
            writer.u8(_SEAL).text(contribution.gateway).raw(contribution.contribution, 32)
            writer.i64(contribution.sealed_at).u32(contribution.late).u32(contribution.dropped)
            writer.u8(contribution.cold)
            writer.u16(len(contribution.segments))
            for segment in contribution.segments:
                _epoch(writer, segment.epoch).u32(segment.batches).raw(segment.cores, 32)
        case FaultSeen():
            writer.u8(_FAULT).text(contribution.gateway).u8(FAULTS.index(contribution.reason))
        case Progress():
            writer.u8(_PROGRESS).u32(contribution.partition).u64(contribution.offset)
    return writer.done()


def decode(data: bytes, *, labels: int) -> Contribution:
    """Read what `encode` wrote for a task with `labels` label keys. Raises WireError."""
    reader = Reader(data)
    kind = reader.u8()
    found: Contribution
    if kind == _BATCH:
        gateway, epoch, sequence, core_hash = reader.text(), _read_epoch(reader), reader.u32(), reader.raw(32)
        table = CellTable.decode(reader, labels)
        held = reader.u8()
        sums = reader.unsigned_words(held * len(table.cells)).reshape(held, len(table.cells))
        found = BatchSums(
            gateway=gateway,
            epoch=epoch,
            sequence=sequence,
            core_hash=core_hash,
            table=table,
            sums=sums,
        )
    elif kind == _SEAL:
        gateway, contribution = reader.text(), reader.raw(32)
        sealed_at, late, dropped, cold = reader.i64(), reader.u32(), reader.u32(), bool(reader.u8())
        segments = tuple(
            Segment(epoch=_read_epoch(reader), batches=reader.u32(), cores=reader.raw(32)) for _ in range(reader.u16())
        )
        found = SealSeen(
            gateway=gateway,
            contribution=contribution,
            segments=segments,
            sealed_at=sealed_at,
            late=late,
            cold=cold,
            dropped=dropped,
        )
    elif kind == _FAULT:
        gateway, reason = reader.text(), reader.u8()
        if reason >= len(FAULTS):
            raise WireError("unknown_fault")
        found = FaultSeen(gateway=gateway, reason=FAULTS[reason])
    elif kind == _PROGRESS:
        found = Progress(partition=reader.u32(), offset=reader.u64())
    else:
        raise WireError("unknown_contribution")
    reader.end()
    return found


class ContributionBox:
    """Seals and opens the records of one party and task. All workers of the party have the same key file."""

    def __init__(self, *, storage: bytes, task_hash: bytes, party: int) -> None:
        context = task_hash + bytes([party])
        self._key = AESGCMSIV(derive(storage, tag="contributions", context=context))
        self._nonce_key = derive(storage, tag="contribution nonces", context=context)
        self._task_hash = task_hash
        self._party = party

    def _header(self, window: int) -> bytes:
        return begin(CONTRIBUTION).raw(self._task_hash, 32).u8(self._party).i64(window).done()

    def seal(self, contribution: Contribution, window: int) -> bytes:
        """Return the record. Windows are in clear (they place the record), all else is sealed."""
        header = self._header(window)
        plaintext = encode(contribution)
        nonce = hmac.digest(self._nonce_key, header + plaintext, "sha256")[:12]
        return header + nonce + self._key.encrypt(nonce, plaintext, header)

    def open(self, record: bytes, *, labels: int) -> tuple[int, Contribution]:
        """Return the window and the content of a record, or raise WireError."""
        reader = open_record(record, CONTRIBUTION)
        if reader.raw(32) != self._task_hash:
            raise WireError("other_task")
        if reader.u8() != self._party:
            raise WireError("other_party")
        window = reader.i64()
        nonce = reader.raw(12)
        try:
            plaintext = self._key.decrypt(nonce, record[reader.place :], self._header(window))
        except InvalidTag:
            raise WireError("cannot_open") from None
        return window, decode(plaintext, labels=labels)
