"""From rows to records: the last place where a reading is known.

Quantised rows of one window are laid out by cell, shared, and sealed to each party. What leaves this module can be
written to disk and to Kafka: no single party, and nobody else, can read anything in it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from mpc_ops.cells import layout, sums
from mpc_ops.schemes import Scheme, scheme
from mpc_ops.sharing import shard
from protocol.batch import (
    BatchCore,
    Core,
    Epoch,
    Place,
    SealCore,
    Segment,
    cores_hash,
    header_of,
    sign_record,
    unsealed,
)
from protocol.body import Body, CellTable, Component, SealNotes, component_commitment, seal_body, segment_info
from protocol.derive import Fresh
from protocol.hpke import SUITES
from protocol.keys import Card, Entropy, KeyFile
from protocol.roster import Cell, Roster
from protocol.task import Task
from protocol.topics import partition_of_segment


@dataclass(frozen=True, slots=True, kw_only=True)
class Rows:
    """Quantised readings of one window: `cells` in any order, `cell_ids` (intp[n]) into it, `units` (uint64[n])."""

    cells: tuple[Cell, ...]
    cell_ids: NDArray[np.intp] = field(repr=False)
    units: NDArray[np.uint64] = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Outgoing:
    """A record for one party's topic of shares; `readings` are those of a batch, 0 in a seal."""

    party: str
    window: int
    readings: int
    partition: int
    key: bytes
    value: bytes = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class SegmentState:
    """What a seal needs of a segment: kept in the spool, since the seal may be made by a later start."""

    epoch: Epoch
    batches: int
    cores: bytes


@dataclass(frozen=True, slots=True)
class SegmentKey:
    """A segment's key for one party, and its encapsulation. In memory only, and gone with the segment."""

    secret: bytes = field(repr=False)
    encapsulation: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class _Shared:
    """A batch in the clear, shared: what the bodies are put together from."""

    table: CellTable
    columns: list[NDArray[np.uint64]] = field(repr=False)
    seeds: tuple[bytes, ...] = field(repr=False)
    blinds: tuple[bytes, ...] = field(repr=False)
    table_blind: bytes = field(repr=False)


class Sharder:
    """Makes the records of one gateway in one epoch (one start of the process)."""

    def __init__(
        self,
        *,
        task: Task,
        roster: Roster,
        key: KeyFile,
        cards: Mapping[str, Card],
        entropy: Entropy,
        epoch: Epoch,
    ) -> None:
        self._task = task
        self._roster = roster
        self._key = key
        self._cards = [cards[party] for party in task.party_names]
        self._entropy = entropy
        self._epoch = epoch
        self._scheme: Scheme = scheme(task.scheme.name, len(task.party))
        self._suite = SUITES[task.scheme.sealing]
        self._public_keys = [card.public_key() for card in self._cards]
        self._segment_keys: dict[int, list[SegmentKey]] = {}

    def batch(self, *, window: int, rows: Rows, sequence: int) -> tuple[list[Outgoing], bytes]:
        """Share and seal one batch of the window: one record for each party, and the hash of the core for the seal."""
        place = self._place(window)
        ranks = np.empty(len(rows.cells), dtype=np.intp)
        ranks[sorted(range(len(rows.cells)), key=rows.cells.__getitem__)] = np.arange(len(rows.cells))
        order, counts = layout(ranks[rows.cell_ids], len(rows.cells))
        present = np.flatnonzero(counts)
        cells = sorted(rows.cells)
        table = CellTable(cells=tuple(cells[i] for i in present), rows=counts[present])
        units = rows.units[order]
        digest = hashlib.sha256(table.encoded + units.tobytes()).digest()
        fresh = self._fresh(place, sequence.to_bytes(4, "little"), digest)
        seeds = tuple(fresh.take("seed", j) for j in range(self._scheme.components - 1))
        blinds = tuple(fresh.take("blind", j) for j in range(self._scheme.components))
        shared = _Shared(table, shard(units, seeds), seeds, blinds, fresh.take("table blind"))
        core = self._core(place, sequence, shared)
        return self._bodies(core, shared, fresh), core.hash

    def seal(
        self,
        *,
        window: int,
        segments: Sequence[SegmentState],
        sealed_at: int,
        notes: SealNotes | None = None,
        cold: bool = False,
    ) -> list[Outgoing]:
        """Close the window for good, over the segments of all epochs. Notes are told to the parties alone."""
        core = SealCore(
            place=self._place(window),
            sealed_at=sealed_at,
            cold=cold,
            segments=tuple(
                Segment(epoch=state.epoch, batches=state.batches, cores=cores_hash(state.cores))
                for state in sorted(segments, key=lambda state: state.epoch)
                if state.batches
            ),
        )
        if notes:
            body = notes.encode()
            fresh = self._fresh(core.place, core.encoded, body)
            sealed = [self._seal(core, party, body, fresh.take("salt", party)) for party in range(self._scheme.parties)]
        else:
            sealed = [
                self._outgoing(core, party, unsealed(core, party=party, identity=self._key.identity).encode())
                for party in range(self._scheme.parties)
            ]
        self._segment_keys.pop(window, None)
        return sealed

    def _place(self, window: int) -> Place:
        partition = partition_of_segment(self._task.hash, self._key.name, window, self._roster.partitions)
        return Place(
            task_hash=self._task.hash,
            roster_hash=self._roster.hash,
            scheme=self._scheme.code,
            gateway=self._key.name,
            epoch=self._epoch,
            window=window,
            partition=partition,
        )

    def _fresh(self, place: Place, *content: bytes) -> Fresh:
        return Fresh.draw(self._entropy, self._key.storage, place.encode(0).done(), *content)

    def _core(self, place: Place, sequence: int, shared: _Shared) -> BatchCore:
        bare = BatchCore(place=place, sequence=sequence, commitments=(), table=b"")
        rows = shared.table.rows
        return BatchCore(
            place=place,
            sequence=sequence,
            commitments=tuple(
                component_commitment(bare, j, blind, sums(column, rows))
                for j, (blind, column) in enumerate(zip(shared.blinds, shared.columns, strict=True))
            ),
            table=shared.table.commitment(bare, shared.table_blind),
        )

    def _bodies(self, core: BatchCore, shared: _Shared, fresh: Fresh) -> list[Outgoing]:
        last = self._scheme.components - 1
        records = []
        for party in range(self._scheme.parties):
            body = Body(
                table=shared.table,
                table_blind=shared.table_blind,
                components={
                    j: Component(blind=shared.blinds[j], values=shared.columns[last])
                    if j == last
                    else Component(blind=shared.blinds[j], seed=shared.seeds[j])
                    for j in self._scheme.held_by(party)
                },
            )
            salt = fresh.take("salt", party)
            records.append(self._seal(core, party, body.encode(), salt, shared.table.total))
        return records

    def _seal(self, core: Core, party: int, plaintext: bytes, salt: bytes, readings: int = 0) -> Outgoing:
        key = self._segment_key(core.place, party)
        key_id = self._cards[party].key_id
        header = header_of(core, party=party, key_id=key_id, salt=salt, encapsulation=key.encapsulation)
        record = sign_record(
            core,
            party=party,
            key_id=key_id,
            salt=salt,
            encapsulation=key.encapsulation,
            ciphertext=seal_body(plaintext, segment_key=key.secret, core=core, salt=salt, header=header),
            identity=self._key.identity,
        )
        return self._outgoing(core, party, record.encode(), readings)

    def _segment_key(self, place: Place, party: int) -> SegmentKey:
        keys = self._segment_keys.get(place.window)
        if keys is None:
            fresh = self._fresh(place, b"segment")
            keys = [self.encapsulate(place, p, fresh.take("segment key", p)) for p in range(self._scheme.parties)]
            self._segment_keys[place.window] = keys
        return keys[party]

    def encapsulate(self, place: Place, party: int, secret: bytes) -> SegmentKey:
        """Seal a segment key to a party. HPKE draws its own randomness; test vectors put known bytes here."""
        info = segment_info(
            place,
            suite=self._suite.code,
            identity=self._key.public_identity,
            party=party,
            key_id=self._cards[party].key_id,
        )
        return SegmentKey(secret, self._suite.seal(secret, self._public_keys[party], info))

    def _outgoing(self, core: Core, party: int, value: bytes, readings: int = 0) -> Outgoing:
        return Outgoing(
            party=self._task.party_names[party],
            window=core.place.window,
            readings=readings,
            partition=core.place.partition,
            key=self._key.name.encode(),
            value=value,
        )
