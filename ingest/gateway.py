"""The gateway's decisions, from message to commit. No I/O: the clock is an argument, the spool is the caller's.

The order that makes "once" and "durable at the edge" true (DESIGN 4): a message is decoded into the batcher; a tick
turns what was collected into one `Commit`; the caller stores it; only then the caller acknowledges `Commit.acks`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from ingest.batcher import Ack, Batcher
from ingest.columns import Columns, columns
from ingest.commit import BatchMark, Commit, GivenUp, Kept, KeptWindow, SealedWindow, Waiting
from ingest.config import BatchSection
from ingest.decode import Decoders, Row, Tally
from ingest.receipts import Receipts
from ingest.refusal import RefusedError
from ingest.repeats import SALT_SIZE, Repeats
from ingest.shard import Outgoing, Rows, SegmentState
from ingest.windows import WindowBook
from protocol.batch import Epoch
from protocol.body import SealNotes
from protocol.roster import Cell


class Seals(Protocol):
    """What the gateway needs of `ingest.shard.Sharder`."""

    def batch(self, *, window: int, rows: Rows, sequence: int) -> tuple[list[Outgoing], bytes]:
        """Share and seal one batch."""
        ...

    def seal(
        self,
        *,
        window: int,
        segments: Sequence[SegmentState],
        sealed_at: int,
        notes: SealNotes | None = None,
        cold: bool = False,
    ) -> list[Outgoing]:
        """Close a window for good."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """One MQTT message as it came; `connection` counts the connections, since an id is good on one of them only."""

    topic: str
    payload: bytes = field(repr=False)
    qos: int = 1
    retain: bool = False
    dup: bool = False
    mid: int = 0
    connection: int = 0


@dataclass(slots=True, kw_only=True)
class _Open:
    """A window with readings: its segment of this epoch, those of earlier ones, and what was counted."""

    repeats: Repeats
    earlier: tuple[SegmentState, ...]
    rows: NDArray[np.int64]
    cores: list[bytes] = field(default_factory=list)
    readings: int = 0
    gaps: int = 0
    refused: int = 0
    given_up: bool = False
    """It was dropped from the spool: what still comes for it is counted and not shared."""


@dataclass(slots=True)
class _Draft:
    """A commit in the making."""

    outgoing: list[Outgoing] = field(default_factory=list)
    batches: list[BatchMark] = field(default_factory=list)
    salts: list[tuple[int, bytes]] = field(default_factory=list)
    counted: list[tuple[int, int, int]] = field(default_factory=list)
    sealed: list[SealedWindow] = field(default_factory=list)


class Gateway:
    """One gateway in one epoch."""

    def __init__(
        self,
        *,
        decoders: Decoders,
        cells: tuple[Cell, ...],
        book: WindowBook,
        batch: BatchSection,
        max_payload: int,
        max_rows: int,
        sharder: Seals,
        epoch: Epoch,
        kept: Kept,
        secret: bytes,
        entropy: Callable[[int], bytes],
    ) -> None:
        """Take all `cells` of the roster, `max_rows` for each, and as `secret` the key file's storage secret."""
        self.tally = Tally()
        self.book = book
        self._decoders = decoders
        self._cells = cells
        self._batch = batch
        self._batcher = Batcher(batch)
        self._max_payload = max_payload
        self._max_rows = max_rows
        self._sharder = sharder
        self._epoch = epoch
        self._secret = secret
        self._entropy = entropy
        self._late = kept.late
        self._noted = (kept.late, kept.dropped)
        self._dropped = kept.dropped
        self._receipts = Receipts(secret=secret, kept=kept.receipts, now=book.heard)
        self._open: dict[int, _Open] = {}
        for window, found in kept.windows.items():
            repeats = Repeats(secret=secret, salt=found.salt, window=window, remembered=found.fingerprints)
            self._open[window] = _Open(
                repeats=repeats,
                earlier=found.segments,
                rows=_rows_of(found, len(cells)),
                readings=int(found.rows.sum()),
                gaps=found.gaps,
                refused=found.refused,
                given_up=found.given_up,
            )

    @property
    def unacknowledged(self) -> int:
        """Messages that wait for the next commit."""
        return self._batcher.unacknowledged

    def open_windows(self) -> dict[int, int]:
        """Windows that are not sealed -> this gateway's own readings in them."""
        return {window: found.readings for window, found in self._open.items()}

    def wait(self, now: int) -> int | None:
        """Milliseconds until `tick` has a batch to make, None where nothing is collected."""
        return self._batcher.wait(now)

    def clock_set(self, by: int) -> None:
        """The clock was set by so many milliseconds: what is measured by it as a duration goes on as if it was not."""
        self.book.clock_set(by)
        self._batcher.clock_set(by)
        self._receipts.clock_set(by)

    def on_message(self, message: Message, now: int) -> None:
        """Take one message in. Never raises for anything that a message can hold."""
        self.book.heard = now
        self._batcher.heard(now, Ack(message.connection, message.mid) if message.qos else None)
        self._receipts.heard(message.connection, now)
        number = self._decoders.of(message.topic)
        if number is None:
            self.tally.refused["", "unknown_topic"] += 1
            return
        source = self._decoders.all[number]
        tally = self.tally
        tally.messages[source.name] += 1
        if message.qos == 0:
            tally.qos0[source.name] += 1
        try:
            if message.retain and not source.accepts_retained:
                raise RefusedError("retained")  # the broker repeats it, nobody knows how old it is
            if len(message.payload) > self._max_payload:
                raise RefusedError("too_large")
            if not source.timed and self._was_delivered(message):
                tally.repeats += 1
                return
            rows = source.rows(message.topic, message.payload, now * 1_000_000, tally)
        except RefusedError as refusal:
            tally.refused[source.name, refusal.reason] += 1
            return
        for row in rows:
            time = row.time // 1_000_000
            window = self.book.place(time, now)
            if isinstance(window, str):
                readings = sum(value == value for value in row.values)  # noqa: PLR0124  NaN is a gap
                if readings:
                    tally.refused[source.name, window] += readings
                if window == "late" and readings:
                    self._late += readings
                    self.tally.late[self.book.window_of(time)] += readings
                continue
            self.book.took(window, now)
            self._batcher.add(window, number, row)

    def _was_delivered(self, message: Message) -> bool:
        return message.qos > 0 and self._receipts.repeated(
            message.topic,
            message.payload,
            mid=message.mid,
            dup=message.dup,
        )

    def tick(
        self, now: int, *, hold: bool = False, flush: bool = False, most: int | None = None, tells: bool = True
    ) -> Commit | None:
        """Return what has to be stored now, if anything.

        `hold` puts off sealing (the clock is not right, or messages are known to wait), `most` limits how many windows
        are sealed; `flush` ends the batch at once. Seals have notes only where one `tells`: while Kafka is away they
        may come too late for everybody, and what they say with them.
        """
        if not (flush or self._batcher.due(now) or (not hold and self.book.due(now))):
            return None
        collected = self._batcher.drain()
        draft = _Draft()
        receipts, forgotten = self._receipts.take(now) if collected.acks else ((), ())
        for window in sorted(collected.rows):
            if window in self._open or self.book.may_open(window, self._open):
                self._store(window, collected.rows[window], draft)
            else:
                self._refuse(collected.rows[window])
        for window in [] if hold else self.book.due(now)[:most]:  # after the rows: by event time they move the clock
            self._seal(window, now, draft, tells=tells)
        commit = self._commit(draft, receipts=receipts, forgotten=forgotten, acks=tuple(collected.acks))
        return commit if commit.writes or commit.acks else None

    def give_up(self, waiting: Waiting, now: int) -> Commit:
        """Return what takes a window out of the spool whose records Kafka cannot get in time, or ever.

        The whole window goes, never single batches: parties would wait for those that the seal counts. What was sent of
        it before stays without a seal, or (where the seal was on its way, too) is held in full by some party: a cold
        seal contradicts neither. What was lost is told by the next seal that counts (SPEC 6.3).
        """
        window, draft, readings = waiting.window, _Draft(), waiting.readings
        state = self._open.get(window)
        if state is None:
            self._late += waiting.late
            self._dropped += waiting.dropped
            draft.outgoing += self._sharder.seal(window=window, segments=(), sealed_at=now, cold=True)
        else:
            # its seal comes when it is due, as every window's, and knows by then of all that was lost
            readings = state.readings
            state.given_up, state.earlier, state.readings = True, (), 0
            state.cores.clear()
        self._dropped += readings
        return self._commit(draft, given_up=(GivenUp(window=window, readings=readings),))

    def _commit(
        self,
        draft: _Draft,
        *,
        receipts: tuple[tuple[int, bytes], ...] = (),
        forgotten: tuple[int, ...] = (),
        acks: tuple[Ack, ...] = (),
        given_up: tuple[GivenUp, ...] = (),
    ) -> Commit:
        before, self._noted = self._noted, (self._late, self._dropped)
        return Commit(
            outgoing=tuple(draft.outgoing),
            batches=tuple(draft.batches),
            salts=tuple(draft.salts),
            counted=tuple(draft.counted),
            sealed=tuple(draft.sealed),
            receipts=receipts,
            forgotten=forgotten,
            following=self.book.next,
            contributes_from=self.book.contributes_from,
            late=self._late,
            dropped=self._dropped,
            acks=acks,
            given_up=given_up,
            noted=before != self._noted,
        )

    def _store(self, window: int, by_source: dict[int, list[Row]], draft: _Draft) -> None:
        state = self._open.get(window)
        if state is None:
            salt = self._entropy(SALT_SIZE)
            state = self._open[window] = _Open(
                repeats=Repeats(secret=self._secret, salt=salt, window=window),
                earlier=(),
                rows=np.zeros(len(self._cells), dtype=np.int64),
            )
            draft.salts.append((window, salt))
        found = []
        for number, rows in by_source.items():
            source = self._decoders.all[number]
            one = columns(rows, source, state.repeats)
            if self.book.rules.seals_by == "event":
                for row, refused in zip(rows, one.refused.tolist(), strict=True):
                    if not refused:
                        self.book.events.heard(row.sensor, row.time // 1_000_000)
            found.append(self._within_limit(one, source.name, state))
            if state.given_up:
                self._dropped += len(found[-1][0])
                self.tally.refused[source.name, "dropped"] += len(found[-1][0])
            else:
                for measure, count in zip(source.measures, one.readings, strict=True):
                    self.tally.readings[measure] += count
            if one.out_of_range:
                self.tally.refused[source.name, "out_of_range"] += one.out_of_range
            self.tally.repeats += one.repeats
            state.gaps += one.gaps
            state.refused += one.out_of_range
        if state.gaps or state.refused:
            draft.counted.append((window, state.gaps, state.refused))
        if state.given_up:
            return
        cells = np.concatenate([one[0] for one in found])
        units = np.concatenate([one[1] for one in found])
        fingerprints = b"".join(one[2] for one in found)
        state.readings += len(cells)
        size = self._batch.max_rows
        for start in range(0, len(cells), size):
            last = start + size >= len(cells)
            present, cell_ids = np.unique(cells[start : start + size], return_inverse=True)
            outgoing, core = self._sharder.batch(
                window=window,
                rows=Rows(
                    cells=tuple(self._cells[number] for number in present.tolist()),
                    cell_ids=cell_ids.astype(np.intp, copy=False),
                    units=units[start : start + size],
                ),
                sequence=len(state.cores),
            )
            draft.outgoing += outgoing
            draft.batches.append(
                BatchMark(
                    window=window,
                    sequence=len(state.cores),
                    core=core,
                    rows=np.bincount(cells[start : start + size], minlength=len(self._cells)),
                    fingerprints=fingerprints if last else b"",
                )
            )
            state.cores.append(core)

    def _refuse(self, by_source: dict[int, list[Row]]) -> None:
        """Count what lies too far ahead of the readings' clock. It moves that clock as ever: else it could stand."""
        for number, rows in by_source.items():
            readings = sum(value == value for row in rows for value in row.values)  # noqa: PLR0124  NaN is a gap
            self.tally.refused[self._decoders.all[number].name, "too_far_ahead"] += readings
            for row in rows:
                self.book.events.heard(row.sensor, row.time // 1_000_000)

    def _within_limit(
        self, one: Columns, source: str, state: _Open
    ) -> tuple[NDArray[np.intp], NDArray[np.uint64], bytes]:
        """Refuse what would exceed the task's rows for a cell: parties refuse the whole gateway otherwise."""
        state.rows += np.bincount(one.cells, minlength=len(state.rows))
        if state.rows.max(initial=0) <= self._max_rows:
            return one.cells, one.units, one.fingerprints
        keep = np.ones(len(one.cells), dtype=np.bool_)
        for cell in np.flatnonzero(state.rows > self._max_rows).tolist():
            here = np.flatnonzero(one.cells == cell)
            over = min(len(here), int(state.rows[cell]) - self._max_rows)
            keep[here[len(here) - over :]] = False
            state.rows[cell] -= over
        refused = int(len(keep) - np.count_nonzero(keep))
        self.tally.refused[source, "too_many_rows"] += refused
        state.refused += refused
        return one.cells[keep], one.units[keep], one.fingerprints

    def _seal(self, window: int, now: int, draft: _Draft, *, tells: bool) -> None:
        state = self._open.pop(window, None)
        cold = self.book.is_cold(window) or (state is not None and state.given_up)
        notes = SealNotes(late=self._late, dropped=self._dropped) if tells and not cold else SealNotes()
        segments: list[SegmentState] = []
        if state is not None:
            segments += state.earlier
            if state.cores:
                segments.append(SegmentState(epoch=self._epoch, batches=len(state.cores), cores=b"".join(state.cores)))
        draft.outgoing += self._sharder.seal(
            window=window,
            segments=segments,
            sealed_at=now,
            notes=None if cold else notes,
            cold=cold,
        )
        draft.sealed.append(
            SealedWindow(
                window=window,
                readings=state.readings if state else 0,
                gaps=state.gaps if state else 0,
                late=notes.late,
                dropped=notes.dropped,
                refused=state.refused if state else 0,
                cold=cold,
            )
        )
        self._late -= notes.late  # a cold seal tells nothing: the next one that counts does
        self._dropped -= notes.dropped
        self.book.sealed(window)


def _rows_of(found: KeptWindow, cells: int) -> NDArray[np.int64]:
    """Rows by cell; under another roster, whose cells are others, all of them for every cell: the limit stays safe."""
    if len(found.rows) == cells:
        return found.rows.copy()
    return np.full(cells, found.rows.sum(), dtype=np.int64)
