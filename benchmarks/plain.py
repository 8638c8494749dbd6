"""The other side of the comparison: packed plaintext, as a careful person without Sotto would write it.

Two kinds, since "plaintext" can mean two things:
    bare    a header, the cell table and one column of 64-bit units. Nothing is encrypted, signed or checked for origin.
    sealed  the same content in Sotto's own envelope for one reader: AES-256-GCM under a segment key, an Ed25519
            signature over header and hash. What remains between this and Sotto is sharing: several records, seeds,
            commitments, and the sums of components instead of values.

Both use the layout, codec and sums that the real roles use.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from ingest.shard import Rows
from mpc_ops.cells import layout, sums
from protocol.batch import BatchCore, Place, decode_record, header_of, sign_record
from protocol.body import CellTable, open_body, seal_body
from protocol.codec import Reader, Writer
from protocol.contribution import BatchSums, ContributionBox, encode
from protocol.keys import Entropy, KeyFile

_KEY_ID = bytes(16)


def packed(rows: Rows) -> bytes:
    """Lay rows out by cell and pack them: cell table, then the column."""
    cells = sorted(rows.cells)
    rank = {cell: number for number, cell in enumerate(cells)}
    ranks = np.array([rank[cell] for cell in rows.cells], dtype=np.intp)
    order, counts = layout(ranks[rows.cell_ids], len(cells))
    present = np.flatnonzero(counts)
    table = CellTable(cells=tuple(cells[i] for i in present), rows=counts[present])
    return Writer().raw(table.encoded).words(rows.units[order]).done()


def unpacked(data: bytes, *, labels: int) -> tuple[CellTable, NDArray[np.uint64]]:
    """Read what `packed` wrote."""
    reader = Reader(data)
    table = CellTable.decode(reader, labels)
    column = reader.unsigned_words(table.total)
    reader.end()
    return table, column


@dataclass(frozen=True, slots=True, kw_only=True)
class Envelope:
    """Seals and signs packed rows for one reader: what `sealed` plaintext has in common with Sotto."""

    place: Place
    key: KeyFile = field(repr=False)
    segment_key: bytes = field(repr=False)
    encapsulation: bytes = field(repr=False)
    entropy: Entropy = field(repr=False)

    def close(self, content: bytes, sequence: int) -> bytes:
        """Return the record of one batch."""
        core = BatchCore(place=self.place, sequence=sequence, commitments=(), table=bytes(32))
        salt = self.entropy(32)
        header = header_of(core, party=0, key_id=_KEY_ID, salt=salt, encapsulation=self.encapsulation)
        return sign_record(
            core,
            party=0,
            key_id=_KEY_ID,
            salt=salt,
            encapsulation=self.encapsulation,
            ciphertext=seal_body(content, segment_key=self.segment_key, core=core, salt=salt, header=header),
            identity=self.key.identity,
        ).encode()

    def open(self, record: bytes) -> tuple[BatchCore, bytes]:
        """Verify and open a record."""
        found = decode_record(record)
        found.verify(self.key.public_identity)
        core = found.core
        assert isinstance(core, BatchCore)
        content = open_body(
            found.ciphertext, segment_key=self.segment_key, core=core, salt=found.salt, header=found.header
        )
        return core, content


def summed(content: bytes, core: BatchCore, *, labels: int) -> BatchSums:
    """Sum packed rows by cell: the contribution of a party that sees everything."""
    table, column = unpacked(content, labels=labels)
    return BatchSums(
        gateway=core.place.gateway,
        epoch=core.place.epoch,
        sequence=core.sequence,
        core_hash=bytes(32),
        table=table,
        sums=sums(column, table.rows).reshape(1, -1),
    )


def bare_contribution(content: bytes, core: BatchCore, *, labels: int) -> bytes:
    """Read a packed record, sum by cell, write the contribution in clear. No signature, no cipher, no hash."""
    return encode(summed(content, core, labels=labels))


def sealed_contribution(record: bytes, envelope: Envelope, box: ContributionBox, *, labels: int) -> bytes:
    """Verify and open the record, sum by cell, seal the contribution as a party seals its own."""
    core, content = envelope.open(record)
    return box.seal(summed(content, core, labels=labels), core.place.window)
