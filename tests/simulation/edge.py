"""The world around one gateway: the MQTT broker, the disk, and what survives which death."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np

from ingest.batcher import Ack
from ingest.commit import BatchMark, Commit, Kept, KeptWindow
from ingest.gateway import Message
from ingest.shard import Outgoing, SegmentState
from protocol.batch import Epoch
from tests.simulation.setting import Reading

MOST_IN_FLIGHT = 20
MOST_IDS = 7  # few, so that ids are used again soon


class Broker:
    """One persistent session of QoS 1: in order, kept until acknowledged, sent again with DUP on a new connection."""

    def __init__(self) -> None:
        self.queue: deque[Reading | bytes] = deque()
        self.connection = 1
        self._flight: dict[int, Reading | bytes] = {}
        self._again: deque[int] = deque()
        self._last = 0

    @property
    def idle(self) -> bool:
        """Whether everything is acknowledged."""
        return not self.queue and not self._flight

    @property
    def waiting(self) -> bool:
        """Whether there is something to deliver."""
        return bool(self._again) or (bool(self.queue) and len(self._flight) < min(MOST_IN_FLIGHT, MOST_IDS))

    def deliver(self) -> tuple[Message, Reading | bytes]:
        """Deliver the next message."""
        if self._again:
            mid, dup = self._again.popleft(), True
        else:
            mid, dup = self._free(), False
            self._flight[mid] = self.queue.popleft()
        what = self._flight[mid]
        topic, payload = ("t/one", what) if isinstance(what, bytes) else (what.topic, what.payload)
        return Message(topic=topic, payload=payload, mid=mid, dup=dup, connection=self.connection), what

    def acknowledge(self, acks: Iterable[Ack]) -> list[Reading | bytes]:
        """Take acknowledgements; those of an older connection never arrived. Returns what is done with."""
        found = []
        for ack in acks:
            if ack.connection == self.connection and ack.mid in self._flight and ack.mid not in self._again:
                found.append(self._flight.pop(ack.mid))
        return found

    def reconnect(self) -> bool:
        """The connection breaks, and there is a new one: what is not acknowledged comes again, in order."""
        self.connection += 1
        self._again = deque(self._flight)
        return bool(self._flight)

    def _free(self) -> int:
        while True:
            self._last = self._last % MOST_IDS + 1
            if self._last not in self._flight:
                return self._last


@dataclass(frozen=True, slots=True)
class Stored:
    """A record on its way to Kafka."""

    id: int
    out: Outgoing


@dataclass
class Disk:
    """What `ingest.spool.Spool` promises: commits are whole and last; a deletion may be undone by a loss of power."""

    epochs: list[Epoch] = field(default_factory=list)
    meta: dict[str, int] = field(default_factory=dict)
    windows: dict[int, bytes] = field(default_factory=dict)
    counted: dict[int, tuple[int, int]] = field(default_factory=dict)
    """Open window -> gaps, refused."""
    batches: dict[tuple[int, int, int], BatchMark] = field(default_factory=dict)
    """(window, epoch, sequence) -> what a restart needs of it."""
    receipts: dict[int, bytes] = field(default_factory=dict)
    outgoing: list[Stored] = field(default_factory=list)
    unsynced: list[Stored] = field(default_factory=list)
    last: int = 0
    cells: int = 1

    def copy(self) -> Disk:
        return Disk(
            epochs=list(self.epochs),
            meta=dict(self.meta),
            windows=dict(self.windows),
            counted=dict(self.counted),
            batches=dict(self.batches),
            receipts=dict(self.receipts),
            outgoing=list(self.outgoing),
            unsynced=[],
            last=self.last,
        )

    def begin_epoch(self, now: int, nonce: bytes) -> Epoch:
        counter = max(self.epochs[-1].counter + 1 if self.epochs else 1, now)
        used = {key[1] for key in self.batches}
        self.epochs = [epoch for epoch in self.epochs if epoch.counter in used]
        self.epochs.append(Epoch(counter=counter, nonce=nonce))
        return self.epochs[-1]

    def begin_book(self, following: int | None, contributes_from: int | None) -> None:
        found = {"following": following, "contributes_from": contributes_from}
        self.meta.update((key, value) for key, value in found.items() if value is not None)

    def kept(self) -> Kept:
        if not self.epochs:
            return Kept(cold=True)
        windows = {window: self._kept_window(window, salt) for window, salt in self.windows.items()}
        return Kept(
            cold="following" not in self.meta and not windows,
            following=self.meta.get("following"),
            contributes_from=self.meta.get("contributes_from"),
            late=self.meta.get("late", 0),
            dropped=self.meta.get("dropped", 0),
            windows=windows,
            receipts=dict(self.receipts),
        )

    def _kept_window(self, window: int, salt: bytes) -> KeptWindow:
        marks = [(key[1], self.batches[key]) for key in sorted(key for key in self.batches if key[0] == window)]
        cores: dict[int, list[bytes]] = {}
        for counter, mark in marks:
            cores.setdefault(counter, []).append(mark.core)
        epochs = {epoch.counter: epoch for epoch in self.epochs}
        segments = tuple(
            SegmentState(epoch=epochs[counter], batches=len(found), cores=b"".join(found))
            for counter, found in cores.items()
        )
        gaps, refused = self.counted.get(window, (0, 0))
        return KeptWindow(
            salt=salt,
            fingerprints=b"".join(mark.fingerprints for _, mark in marks),
            rows=sum((mark.rows for _, mark in marks), np.zeros(self.cells, dtype=np.int64)),
            segments=segments,
            gaps=gaps,
            refused=refused,
        )

    def commit(self, commit: Commit, *, epoch: int) -> None:
        """Store a commit whole. It syncs the log, and with it every deletion before."""
        self.unsynced.clear()
        for out in commit.outgoing:
            self.last += 1
            self.outgoing.append(Stored(self.last, out))
        self.windows.update(commit.salts)
        for mark in commit.batches:
            self.batches[mark.window, epoch, mark.sequence] = mark
        self.counted.update((window, (gaps, refused)) for window, gaps, refused in commit.counted)
        for mid in commit.forgotten:
            self.receipts.pop(mid, None)
        self.receipts.update(commit.receipts)
        for sealed in commit.sealed:
            self.windows.pop(sealed.window, None)
            self.counted.pop(sealed.window, None)
            for key in [key for key in self.batches if key[0] == sealed.window]:
                del self.batches[key]
        self.begin_book(commit.following, commit.contributes_from)
        self.meta.update(late=commit.late, dropped=commit.dropped)

    def delete(self, upto: int) -> None:
        """Forget records that Kafka has confirmed; not synced before the next commit."""
        gone = [stored for stored in self.outgoing if stored.id <= upto]
        self.unsynced += gone
        self.outgoing = self.outgoing[len(gone) :]

    def lose_power(self) -> None:
        """What was not synced did not happen."""
        self.outgoing = self.unsynced + self.outgoing
        self.unsynced = []
