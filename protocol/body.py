"""What is inside a batch's sealed body: the cell table and a party's components (SPEC 6.3), and the sealing of it.

The keys: a *segment key* for each segment and party, sealed to the party by HPKE (the encapsulation); from it a key for
each batch, with the batch's number and 32 fresh bytes (the salt). Segment keys live in memory only.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Final

import numpy as np
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from numpy.typing import NDArray

from protocol.batch import BATCH, SEAL, BatchCore, Core, Place
from protocol.canonical import tagged_hash
from protocol.codec import Reader, Writer
from protocol.derive import derive
from protocol.errors import WireError
from protocol.roster import Cell

MOST_ROWS: Final = 1 << 20
_MOST_NOTED: Final = 2**32 - 1
_SEED: Final = 0
_EXPLICIT: Final = 1
# A batch key is used for one body, so the nonce is fixed: (key, nonce) cannot repeat unless the salt does.
_NONCE: Final = bytes(12)


@dataclass(frozen=True, kw_only=True)
class CellTable:
    """The cells of a batch, ascending, and how many rows each has (int64, at least 1)."""

    cells: tuple[Cell, ...]
    rows: NDArray[np.int64] = field(repr=False)

    @property
    def total(self) -> int:
        """Rows of all cells together."""
        return int(self.rows.sum())

    @cached_property
    def encoded(self) -> bytes:
        """The table's bytes."""
        writer = Writer().u16(len(self.cells))
        for cell, rows in zip(self.cells, self.rows.tolist(), strict=True):
            for value in cell.labels:
                writer.text(value)
            writer.u16(cell.measure).u32(rows)
        return writer.done()

    @classmethod
    def decode(cls, reader: Reader, labels: int) -> CellTable:
        start = reader.place
        cells, rows = [], []
        for _ in range(reader.u16()):
            cells.append(Cell(tuple(reader.text() for _ in range(labels)), reader.u16()))
            rows.append(reader.u32())
        if any(a >= b for a, b in itertools.pairwise(cells)) or not cells or 0 in rows:
            raise WireError("not_canonical")
        table = cls(cells=tuple(cells), rows=np.array(rows, dtype=np.int64))
        table.__dict__["encoded"] = reader.taken(start)  # there is one encoding of a table: it is this
        return table

    def commitment(self, core: BatchCore, blind: bytes) -> bytes:
        """Return c_L: no unblinded hash of counts or labels is ever published, since it could be guessed."""
        return tagged_hash("table commitment", core.context, blind, self.encoded)


def component_commitment(core: BatchCore, component: int, blind: bytes, sums: NDArray[np.uint64]) -> bytes:
    """Return c_j over a component's sums by cell: its holders know, without talking, that they hold the same."""
    return tagged_hash("component commitment", core.context, bytes([component]), blind, Writer().words(sums).done())


@dataclass(frozen=True, slots=True, kw_only=True)
class Component:
    """One component of every row: a seed to expand, or the values themselves (uint64, laid out by cell)."""

    blind: bytes = field(repr=False)
    seed: bytes | None = field(default=None, repr=False)
    values: NDArray[np.uint64] | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Body:
    """What one party learns of a batch: how many rows each cell has, and its components."""

    table: CellTable
    table_blind: bytes = field(repr=False)
    components: Mapping[int, Component]

    def encode(self) -> bytes:
        writer = Writer().raw(self.table.encoded).raw(self.table_blind, 32)
        for number, component in self.components.items():
            writer.u8(number).raw(component.blind, 32)
            if component.seed is not None:
                writer.u8(_SEED).raw(component.seed, 32)
            else:
                assert component.values is not None, "internal error: a component has a seed or values"
                writer.u8(_EXPLICIT).words(component.values)
        return writer.done()

    @classmethod
    def decode(cls, data: bytes, *, labels: int, held: Sequence[int], components: int) -> Body:
        """Read the body of a party that holds the components `held` (ascending) of `components`. Raises WireError."""
        reader = Reader(data)
        table = CellTable.decode(reader, labels)
        # A few bytes of seed could otherwise make a party expand gigabytes.
        if table.total > MOST_ROWS:
            raise WireError("too_many_rows")
        blind = reader.raw(32)
        found: dict[int, Component] = {}
        for number in held:
            if reader.u8() != number:
                raise WireError("other_component")
            own_blind = reader.raw(32)
            form = reader.u8()
            if form != (_EXPLICIT if number == components - 1 else _SEED):
                raise WireError("other_form")
            if form == _SEED:
                found[number] = Component(blind=own_blind, seed=reader.raw(32))
            else:
                found[number] = Component(blind=own_blind, values=reader.unsigned_words(table.total))
        reader.end()
        return cls(table=table, table_blind=blind, components=found)


@dataclass(frozen=True, slots=True, kw_only=True)
class SealNotes:
    """What a seal tells the parties alone, of the time since the gateway's last seal that was not cold.

    `late` readings came after their window had been sealed; `dropped` ones were of windows that the gateway gave up,
    because its spool was full or they were too old.
    """

    late: int = 0
    dropped: int = 0

    def __bool__(self) -> bool:
        """Tell whether there is anything to tell; a seal without it has no body."""
        return bool(self.late or self.dropped)

    def encode(self) -> bytes:
        return Writer().u32(min(self.late, _MOST_NOTED)).u32(min(self.dropped, _MOST_NOTED)).done()

    @classmethod
    def decode(cls, data: bytes) -> SealNotes:
        reader = Reader(data)
        notes = cls(late=reader.u32(), dropped=reader.u32())
        reader.end()
        if not notes:
            raise WireError("not_canonical")
        return notes


def segment_info(place: Place, *, suite: int, identity: bytes, party: int, key_id: bytes) -> bytes:
    """Return HPKE's `info`: without the gateway in it, a copied encapsulation could be signed by another gateway."""
    writer = Writer().raw(b"sotto/1 segment key\0").u8(suite).raw(place.task_hash, 32).raw(place.roster_hash, 32)
    writer.text(place.gateway).raw(identity, 32).u8(party).raw(key_id, 16)
    return writer.u64(place.epoch.counter).raw(place.epoch.nonce, 16).u32(place.partition).i64(place.window).done()


def body_key(segment_key: bytes, core: Core, salt: bytes) -> bytes:
    """Return the key of one body. Raises nothing; a wrong segment key shows when the body does not open."""
    kind, number = (BATCH, core.sequence) if isinstance(core, BatchCore) else (SEAL, 0)
    context = bytes([kind]) + number.to_bytes(4, "little")
    return derive(segment_key, tag="body key", context=context, salt=salt)


def seal_body(plaintext: bytes, *, segment_key: bytes, core: Core, salt: bytes, header: bytes) -> bytes:
    """Seal a body with AES-256-GCM; the whole header is associated data."""
    return AESGCM(body_key(segment_key, core, salt)).encrypt(_NONCE, plaintext, header)


def open_body(ciphertext: bytes, *, segment_key: bytes, core: Core, salt: bytes, header: bytes) -> bytes:
    """Open a body, or raise WireError."""
    try:
        return AESGCM(body_key(segment_key, core, salt)).decrypt(_NONCE, ciphertext, header)
    except InvalidTag:
        raise WireError("cannot_open") from None
