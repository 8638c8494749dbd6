"""The leaf: one record of shares in, one contribution record out. It keeps nothing.

It verifies before it believes: signature, place, sealing, canonical form, and that its components are those that the
gateway committed to on every party's topic. What it cannot accept it refuses with a reason; what a gateway signed and
cannot be right it reports as a fault, so that the gateway takes no part in the window and is named.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field
from typing import Final, Protocol

import numpy as np
from numpy.typing import NDArray

from mpc_ops.cells import sums
from mpc_ops.schemes import Scheme, scheme
from mpc_ops.sharing import expand
from protocol.batch import BatchCore, Place, SealCore, ShareRecord, decode_record
from protocol.body import Body, SealNotes, component_commitment, open_body, segment_info
from protocol.contribution import BatchSums, Contribution, ContributionBox, FaultSeen, SealSeen
from protocol.errors import WireError
from protocol.hpke import SUITES
from protocol.keys import KeyFile
from protocol.roster import Cell, Roster
from protocol.task import Task
from protocol.topics import Topics, partition_of_segment, partition_of_window

_REMEMBERED_KEYS: Final = 4_096
_FAULT_OF: Final = {"cannot_open": "unequal_copies", "too_many_rows": "too_many_rows"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Contributed:
    """A contribution record, and where it goes. `rows` is the number of readings in it."""

    topic: str
    partition: int
    key: bytes
    value: bytes = field(repr=False)
    window: int
    gateway: str
    rows: int
    fault: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """One share of one reading, as this process holds it: shown by a trial's party on request, and never otherwise."""

    window: int
    gateway: str
    cell: Cell
    components: dict[int, int]


class Opening(Protocol):
    """What only keys can do: `PartyKeys`, or in a simulation what stands in for them."""

    def verify(self, record: ShareRecord, identity: bytes) -> None:
        """Check the gateway's signature. Raises WireError."""
        ...

    def segment_key(self, encapsulation: bytes, info: bytes) -> bytes:
        """Return the 32 bytes that were sealed to this party under `info`. Raises WireError."""
        ...


class PartyKeys:
    """The private key of one party."""

    def __init__(self, *, task: Task, key: KeyFile) -> None:
        self._suite = SUITES[task.scheme.sealing]
        self._private = key.private_key()
        # Opened segment keys by what binds them: a cache, so that one HPKE decapsulation serves a whole segment.
        self._opened: OrderedDict[tuple[bytes, bytes], bytes] = OrderedDict()

    def verify(self, record: ShareRecord, identity: bytes) -> None:
        """Check the gateway's signature. Raises WireError."""
        record.verify(identity)

    def segment_key(self, encapsulation: bytes, info: bytes) -> bytes:
        """Open an encapsulation, or remember what it was. Raises WireError."""
        known = self._opened.get((info, encapsulation))
        if known is not None:
            self._opened.move_to_end((info, encapsulation))
            return known
        secret = self._suite.open(encapsulation, self._private, info)
        if len(secret) != 32:
            raise WireError("cannot_open")
        self._opened[info, encapsulation] = secret
        if len(self._opened) > _REMEMBERED_KEYS:
            self._opened.popitem(last=False)
        return secret


class Leaf:
    """Turns records of shares into contributions for one party."""

    def __init__(
        self, *, task: Task, roster: Roster, key: KeyFile, topics: Topics, opening: Opening | None = None
    ) -> None:
        """Verify and open with the keys of `key`, or with `opening` in their place."""
        self._task = task
        self._roster = roster
        self._party = task.party_names.index(key.name)
        self._scheme: Scheme = scheme(task.scheme.name, len(task.party))
        self._held = self._scheme.held_by(self._party)
        self._suite = SUITES[task.scheme.sealing].code
        self._opening = PartyKeys(task=task, key=key) if opening is None else opening
        self._key_id = key.card().key_id
        self._box = ContributionBox(storage=key.storage, task_hash=task.hash, party=self._party)
        self._topic = topics.contributions(key.name)
        self._cells = frozenset(roster.cells(task))

    def contribute(self, value: bytes, *, partition: int) -> Contributed:
        """Check one record from this party's topic and return its contribution. Raises WireError with the reason."""
        place, contribution, rows = self.read(value, partition=partition)
        return self._pack(contribution, place, rows)

    def read(self, value: bytes, *, partition: int) -> tuple[Place, Contribution, int]:
        """Check one record; return its place, what it contributes, and how many readings. Raises WireError."""
        record = decode_record(value)
        self._admit(record, partition)
        core = record.core
        if isinstance(core, SealCore):
            return core.place, self._seal_seen(record, core), 0
        try:
            body, contribution = self._sum(record, core)
        except _FaultError as fault:
            return core.place, FaultSeen(gateway=core.place.gateway, reason=fault.reason), 0
        return core.place, contribution, body.table.total

    def sample(self, value: bytes, *, cells: frozenset[Cell], gateway: str | None) -> Sample | None:
        """Return this party's components of the first row of one of the cells, if the batch has one (trials only)."""
        record = decode_record(value)
        core = record.core
        if not isinstance(core, BatchCore) or gateway not in (None, core.place.gateway):
            return None
        body = self._body(record, core)
        start = 0
        for cell, rows in zip(body.table.cells, body.table.rows.tolist(), strict=True):
            if cell in cells:
                columns = self._columns(body)
                components = {j: int(column[start]) for j, column in columns.items()}
                return Sample(window=core.place.window, gateway=core.place.gateway, cell=cell, components=components)
            start += rows
        return None

    def _admit(self, record: ShareRecord, partition: int) -> None:
        place = record.core.place
        if place.task_hash != self._task.hash:
            raise WireError("other_task")
        if place.roster_hash != self._roster.hash:
            raise WireError("other_roster")
        if place.scheme != self._scheme.code:
            raise WireError("other_scheme")
        if record.party != self._party:
            raise WireError("other_party")
        gateway = self._roster.gateways.get(place.gateway)
        if gateway is None:
            raise WireError("unknown_gateway")
        if not self._task.has_window(place.window):
            raise WireError("outside_task")
        expected = partition_of_segment(self._task.hash, place.gateway, place.window, self._roster.partitions)
        if place.partition != expected or partition != expected:
            raise WireError("other_partition")
        if record.ciphertext and record.key_id != self._key_id:
            raise WireError("other_key")
        self._opening.verify(record, gateway.identity)

    def _seal_seen(self, record: ShareRecord, core: SealCore) -> SealSeen:
        notes = SealNotes.decode(self._open(record)) if record.ciphertext else SealNotes()
        return SealSeen(
            gateway=core.place.gateway,
            contribution=core.contribution,
            segments=core.segments,
            sealed_at=core.sealed_at,
            late=notes.late,
            cold=core.cold,
            dropped=notes.dropped,
        )

    def _sum(self, record: ShareRecord, core: BatchCore) -> tuple[Body, BatchSums]:
        """Expand, sum by cell, and compare with the commitments that all parties see."""
        try:
            body = self._body(record, core)
        except WireError as error:
            # The signature held, so it was the gateway that made this.
            raise _FaultError(_FAULT_OF.get(error.reason, "not_canonical")) from error
        if len(core.commitments) != self._scheme.components:
            raise _FaultError("not_canonical")
        if not self._cells.issuperset(body.table.cells):
            raise _FaultError("unknown_cell")
        if int(body.table.rows.max()) > self._task.limits.max_rows:
            raise _FaultError("too_many_rows")
        bare = BatchCore(place=core.place, sequence=core.sequence, commitments=(), table=b"")
        if body.table.commitment(bare, body.table_blind) != core.table:
            raise _FaultError("unequal_copies")
        totals = []
        for number, column in self._columns(body).items():
            total = sums(column, body.table.rows)
            if component_commitment(bare, number, body.components[number].blind, total) != core.commitments[number]:
                raise _FaultError("unequal_copies")
            totals.append(total)
        return body, BatchSums(
            gateway=core.place.gateway,
            epoch=core.place.epoch,
            sequence=core.sequence,
            core_hash=core.hash,
            table=body.table,
            sums=np.stack(totals),
        )

    def _columns(self, body: Body) -> dict[int, NDArray[np.uint64]]:
        columns = {}
        for number, component in body.components.items():
            if component.seed is not None:
                columns[number] = expand(component.seed, body.table.total)
            else:
                assert component.values is not None, "internal error: a component has a seed or values"
                columns[number] = component.values
        return columns

    def _body(self, record: ShareRecord, core: BatchCore) -> Body:
        return Body.decode(
            self._open(record),
            labels=len(self._task.labels),
            held=self._held,
            components=self._scheme.components,
        )

    def _open(self, record: ShareRecord) -> bytes:
        return open_body(
            record.ciphertext,
            segment_key=self._segment_key(record),
            core=record.core,
            salt=record.salt,
            header=record.header,
        )

    def _segment_key(self, record: ShareRecord) -> bytes:
        place = record.core.place
        info = segment_info(
            place,
            suite=self._suite,
            identity=self._roster.gateways[place.gateway].identity,
            party=self._party,
            key_id=self._key_id,
        )
        return self._opening.segment_key(record.encapsulation, info)

    def _pack(self, contribution: Contribution, place: Place, rows: int) -> Contributed:
        window = place.window
        return Contributed(
            topic=self._topic,
            partition=partition_of_window(self._task.hash, window, self._roster.partitions),
            key=window.to_bytes(8, "little", signed=True),
            value=self._box.seal(contribution, window),
            window=window,
            gateway=place.gateway,
            rows=rows,
            fault=contribution.reason if isinstance(contribution, FaultSeen) else None,
        )


class _FaultError(Exception):
    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason
