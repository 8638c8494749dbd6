"""The loop of a gateway: from the inbox to the spool, then the acknowledgement. `ingest.gateway` decides."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Final, Protocol

import structlog

from ingest.batcher import Ack
from ingest.commit import Commit
from ingest.gateway import Gateway
from ingest.inbox import Inbox
from ingest.metrics import GatewayMetrics
from ingest.publisher import Publisher
from ingest.spool import Spool, SpoolError
from protocol.task import Task
from protocol.units import iso
from runtime.serving import Health

_log = structlog.get_logger("sotto.gateway")

_TURN: Final = 0.2
_CHUNK: Final = 500
_SETTLED: Final = 500
_LAST_WORDS: Final = 5.0
_LOOK: Final = 1_000
_OFF: Final = 5.0


class Broker(Protocol):
    """What the loop needs of `ingest.mqtt.Mqtt`."""

    removed: frozenset[str]
    reconnects: int
    broker_dropped: int | None
    last_error: str

    @property
    def connected(self) -> bool:
        """Whether messages can come."""
        ...

    def acknowledge(self, acks: Iterable[Ack]) -> None:
        """Tell the broker that these are durable."""
        ...

    def stop(self) -> None:
        """Disconnect."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Clock:
    """Where the loop gets the time from: `wall` and `monotonic` in milliseconds, `synchronised` or None."""

    wall: Callable[[], int]
    monotonic: Callable[[], int]
    synchronised: Callable[[], bool | None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """`require_sync` holds for sealing by the wall clock only."""

    spool_bytes: int
    require_sync: bool


class Service:
    """One running gateway."""

    def __init__(
        self,
        *,
        gateway: Gateway,
        epoch: int,
        spool: Spool,
        mqtt: Broker,
        inbox: Inbox,
        publisher: Publisher,
        task: Task,
        limits: Limits,
        clock: Clock,
        metrics: GatewayMetrics,
    ) -> None:
        self._gateway = gateway
        self._epoch = epoch
        self._spool = spool
        self._mqtt = mqtt
        self._inbox = inbox
        self._publisher = publisher
        self._task = task
        self._limits = limits
        self._clock = clock
        self._metrics = metrics
        self._connected_since: int | None = None
        self._held_since: int | None = None
        self._looked = 0
        self._full = False
        self._clock_right = True
        self._sent_before: dict[str, int] = {}
        self._state = "starting"
        self.health = Health(clock=clock.monotonic, status=self.status)
        self.health.expect("mqtt", "kafka", "clock", "spool")
        metrics.spool_limit.set(limits.spool_bytes)

    def run(self, stop: threading.Event, until: int | None = None) -> None:
        """Work until `stop` or the monotonic time `until`. Raises SpoolError where waiting does not mend the spool."""
        while not stop.is_set() and (until is None or self._clock.monotonic() < until):
            self.turn(stop)
        self._finish(stop)

    def turn(self, stop: threading.Event) -> None:
        """Go round once: take, decide, store, acknowledge."""
        self.health.beat()
        self._look()
        if self._full:
            # Nothing is taken, so the inbox fills, so the socket is not read, so the broker keeps the messages.
            stop.wait(_TURN)
            messages = []
        else:
            wait = self._gateway.wait(self._clock.wall())
            messages = self._inbox.take(_TURN if wait is None else min(_TURN, wait / 1000))
        now = self._clock.wall()
        for start in range(0, len(messages), _CHUNK):
            for message in messages[start : start + _CHUNK]:
                self._gateway.on_message(message, now)
            if self._gateway.wait(now) == 0:
                self._store(self._gateway.tick(now, hold=True), stop)
        self._store(self._gateway.tick(now, hold=self._hold(now)), stop)

    def _hold(self, now: int) -> bool:
        """Tell whether sealing has to wait.

        For the clock and for a full spool it waits as long as it takes. For messages that are known to be on their way
        (just connected again, or not connected) it waits for half the deadline, then other organisations have waited
        enough.
        """
        monotonic = self._clock.monotonic()
        if not self._mqtt.connected:
            self._connected_since = None
        elif self._connected_since is None:
            self._connected_since = monotonic
        self._state = "running"
        if self._full or not self._clock_right:
            self._state = "waits for room in the spool" if self._full else "waits for the clock"
            return True
        settled = (
            self._connected_since is not None and monotonic - self._connected_since >= _SETTLED and not len(self._inbox)
        )
        if settled or not self._gateway.book.due(now):
            self._held_since = None
            return not settled
        if self._held_since is None:
            self._held_since = monotonic
        return monotonic - self._held_since < self._task.window.deadline // 2

    def _store(self, commit: Commit | None, stop: threading.Event) -> None:
        if commit is None:
            return
        if commit.writes:
            with self._metrics.commit_seconds.time():
                while not self._stored(commit, stop):
                    stop.wait(1.0)
            self._publisher.wake()
        self._mqtt.acknowledge(commit.acks)
        for sealed in commit.sealed:
            offset = self._task.window.utc_offset
            _log.info(
                "window_sealed",
                window=iso(sealed.window, offset),
                readings=sealed.readings,
                gaps=sealed.gaps,
                late=sealed.late,
                refused=sealed.refused,
                **({"cold": True} if sealed.cold else {}),
            )
            self._metrics.last_sealed.set(sealed.window / 1000)

    def _stored(self, commit: Commit, stop: threading.Event) -> bool:
        try:
            self._spool.commit(commit, epoch=self._epoch, now=self._clock.wall())
        except SpoolError as error:
            # Not acknowledged, so not lost: the broker sends it again, to this process or to the next one.
            self.health.set_ready("spool", False, error.what)
            if not error.transient or stop.is_set():
                raise
            _log.error("spool_failed", reason=error.what, where=error.where, remedy=error.remedy)
            self.health.beat()
            return False
        self.health.set_ready("spool", True)
        return True

    def _look(self) -> None:
        """Once a second: counters, health, what needs no decision."""
        monotonic = self._clock.monotonic()
        size = self._spool.size
        full = size >= self._limits.spool_bytes
        if full != self._full:
            self._full = full
            _log.warning("spool_full" if full else "spool_has_room", bytes=size, limit=self._limits.spool_bytes)
        if monotonic - self._looked < _LOOK:
            return
        self._looked = monotonic
        self._look_at_clock()
        now, metrics, tally = self._clock.wall(), self._metrics, self._gateway.tally
        for (source, reason), count in tally.refused.items():
            _log.warning("refused", source=source or "no source", reason=reason, count=count)
        metrics.count(tally, now)
        metrics.unacknowledged.set(self._gateway.unacknowledged + len(self._inbox))
        metrics.open_windows.set(len(self._gateway.book.open))
        metrics.spool_bytes.set(size)
        oldest = self._spool.oldest()
        metrics.spool_oldest.set(0 if oldest is None else max(0, now - oldest) / 1000)
        metrics.reconnects.set(self._mqtt.reconnects)
        if self._mqtt.broker_dropped is not None:
            metrics.broker_dropped.set(self._mqtt.broker_dropped)
        for party, count in self._publisher.sent.items():
            metrics.batches_sent.labels(party).set(count)
        while self._publisher.seconds:
            metrics.send_seconds.observe(self._publisher.seconds.popleft())
        for name, up, why in (
            ("mqtt", self._mqtt.connected, self._mqtt.last_error),
            ("kafka", self._publisher.connected, self._publisher.last_error),
        ):
            metrics.dependency_up.labels(name).set(up)
            self.health.set_ready(name, up, why)
        self.health.set_ready("spool", not full, "full")
        if self._mqtt.removed:
            self._spool.unsubscribed(set(self._mqtt.removed))

    def _look_at_clock(self) -> None:
        offset, synchronised = self._publisher.clock_offset, self._clock.synchronised()
        if offset is not None:
            self._metrics.clock_offset.set(offset)
        self._metrics.clock_synchronised.set(synchronised is not False)
        off = offset is not None and abs(offset) > _OFF
        right = not self._limits.require_sync or (synchronised is not False and not off)
        if not right and self._clock_right:
            _log.warning(
                "clock_not_right",
                reason="more than 5 s off Kafka's" if off else "not synchronised",
                remedy="Nothing is sealed until it is right; run: timedatectl set-ntp true",
            )
        self._clock_right = right
        self.health.set_ready("clock", right, "not synchronised")

    def status(self) -> Mapping[str, object]:
        """Return what /status shows; called from another thread."""
        book, offset = self._gateway.book, self._task.window.utc_offset
        return {
            "role": "gateway",
            "state": self._state,
            "task": self._task.id,
            "open_windows": [iso(window, offset) for window in sorted(book.open.copy())],
            "next_seal": None if book.next is None else iso(book.next, offset),
            "spool_bytes": self._spool.size,
            "unacknowledged": self._gateway.unacknowledged,
            "mqtt": self._mqtt.connected,
            "kafka": self._publisher.connected,
        }

    def _finish(self, stop: threading.Event) -> None:
        """Store and acknowledge what was taken; give Kafka a moment. The rest is in the spool, or with the broker."""
        stop.set()
        self._store(self._gateway.tick(self._clock.wall(), hold=True, flush=True), stop)
        self._inbox.close()
        self._mqtt.stop()
        if self._publisher.connected:
            self._publisher.drain(_LAST_WORDS)
        self._publisher.stop()
        self._looked = -_LOOK
        self._look()
        _log.info("stopped", spool=self._spool.size)
