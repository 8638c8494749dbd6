"""The loop of a gateway: from the inbox to the spool, then the acknowledgement. `ingest.gateway` decides."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Final, Protocol, TypeVar

import structlog

from ingest.batcher import Ack
from ingest.commit import Commit, Waiting
from ingest.disk import SpoolError
from ingest.gateway import Gateway, Message
from ingest.inbox import Inbox
from ingest.metrics import GatewayMetrics
from ingest.page import Look, Page
from ingest.publisher import Publisher
from ingest.room import Bounds, Room
from ingest.spool import Spool
from ingest.trust import ClockWatch
from protocol.errors import SottoError
from protocol.task import Task
from protocol.units import iso
from runtime.serving import Health

_log = structlog.get_logger("sotto.gateway")

_TURN: Final = 0.2
_CHUNK: Final = 500
_SETTLED: Final = 500
_QUIET: Final = 2_000
_LAST_WORDS: Final = 5.0
_LOOK: Final = 1_000
_ASK: Final = 5_000
_LATE_WINDOWS: Final = 24
_AGAIN: Final = 1.0

_T = TypeVar("_T")


def patiently(action: Callable[[], _T], stop: threading.Event, failed: Callable[[SpoolError], None]) -> _T:
    """Do something with the spool, again and again while the disk does not let us; tell `failed` each time.

    Raises SpoolError where waiting does not mend it, or nobody wants to wait any more.
    """
    while True:
        try:
            return action()
        except SpoolError as error:
            failed(error)
            if not error.transient or stop.is_set():
                raise
            _log.error("spool_failed", reason=error.what, where=error.where, remedy=error.remedy)
            stop.wait(_AGAIN)


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
    """`require_sync` holds for sealing by the wall clock only: nothing is taken or sealed by a clock in doubt."""

    spool: Bounds
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
        self._room = Room(limits.spool, spool, window_size=task.window.size, utc_offset=task.window.utc_offset)
        self._full: SottoError | None = None
        self._dropped = 0
        self._watch = ClockWatch()
        self._kernel = clock.synchronised()
        self._clock_right = True
        self._asked = 0
        self._taken: list[Message] = []
        self._sealed = False
        self._beginning = not gateway.book.begun
        self._late: dict[int, int] = {}
        self._sent_before: dict[str, int] = {}
        self._state = "starting"
        self._page = Page()
        self.health = Health(clock=clock.monotonic, status=self.status)
        self.health.expect("mqtt", "kafka", "clock", "spool")
        metrics.spool_limit.set(limits.spool.max_size)

    def run(self, stop: threading.Event, until: int | None = None) -> None:
        """Work until `stop` or the monotonic time `until`. Raises SpoolError where waiting does not mend the spool."""
        while not stop.is_set() and (until is None or self._clock.monotonic() < until):
            self.turn(stop)
        self._finish(stop)

    def turn(self, stop: threading.Event) -> None:
        """Go round once: take, decide, store, acknowledge."""
        self.health.beat()
        if self._publisher.failed is not None:
            raise self._publisher.failed
        self._look(stop)
        self._look_at_clock(stop)
        self._look_at_spool(stop)
        if self._full or not self._clock_right:
            # Nothing is taken, so the inbox fills, so the socket is not read, so the broker keeps the messages.
            stop.wait(_TURN)
        else:
            wait = self._gateway.wait(self._clock.wall())
            self._taken += self._inbox.take(_TURN if wait is None else min(_TURN, wait / 1000))
        now = self._look_at_clock(stop)
        messages: list[Message] = []
        if self._clock_right:
            messages, self._taken = self._taken, []
        for start in range(0, len(messages), _CHUNK):
            for message in messages[start : start + _CHUNK]:
                self._gateway.on_message(message, now)
            if self._gateway.wait(now) == 0:
                self._store(self._gateway.tick(now, hold=True), stop)
        most = self._most()
        hold, tells = self._hold(now) or most == 0, self._publisher.connected
        self._store(self._gateway.tick(now, hold=hold, most=most, tells=tells), stop)

    def _most(self) -> int | None:
        """Until Kafka has answered once its time is not known: a wrong clock may cost one window, not a month of them.

        It costs nothing to wait: without Kafka no seal reaches anybody.
        """
        if not self._limits.require_sync or any(self._publisher.sent.values()):
            return None
        return 0 if self._sealed else 1

    def _hold(self, now: int) -> bool:
        """Tell whether sealing has to wait.

        For the clock and for a full spool it waits as long as it takes. For messages that are known to be on their way
        (just connected again, not connected, or overdue readings still come) it waits for half the deadline, then other
        organisations have waited enough.
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
            self._connected_since is not None
            and monotonic - self._connected_since >= _SETTLED
            and not len(self._inbox)
            and not self._gateway.book.catching_up(now, quiet=_QUIET)
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
                # Until it is stored it is not acknowledged: the broker sends it again, to us or to the next process.
                patiently(
                    lambda: self._spool.commit(commit, epoch=self._epoch, now=self._clock.wall()), stop, self._failed
                )
            self._publisher.wake()
        self._mqtt.acknowledge(commit.acks)
        self._sealed = self._sealed or bool(commit.sealed)
        self._page.sealed.extend(commit.sealed)
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

    def _failed(self, error: SpoolError) -> None:
        self.health.beat()
        self.health.set_ready("spool", False, error.what)

    def _look_at_spool(self, stop: threading.Event) -> None:
        """Find out whether there is room, and let windows go where the configuration says so."""
        room = self._room

        def look() -> tuple[Waiting, str] | None:
            return room.look(
                wall=self._clock.wall(),
                monotonic=self._clock.monotonic(),
                right=self._clock_right,
                connected=self._publisher.connected,
            )

        while (leaving := patiently(look, stop, self._failed)) is not None:
            self._give_up(*leaving, stop)
        if room.full and self._full is None:
            self._full = patiently(lambda: room.full_error(self._clock.wall()), stop, self._failed)
            _log.error("spool_full", reason=self._full.what, where=self._full.where, remedy=self._full.remedy)
        elif not room.full and self._full is not None:
            self._full = None
            _log.info("spool_has_room", bytes=self._spool.size, limit=room.bounds.max_size)
        self.health.set_ready("spool", self._full is None, "full")

    def _give_up(self, waiting: Waiting, why: str, stop: threading.Event) -> None:
        commit = self._gateway.give_up(waiting, self._clock.wall())
        self._store(commit, stop)
        for one in commit.given_up:
            _log.error(
                "window_dropped",
                window=iso(one.window, self._task.window.utc_offset),
                readings=one.readings,
                reason=why,
                remedy="These readings are lost; the next window of this gateway that counts says how many.",
            )
            self._page.drop(one, why)
            self._dropped += one.readings
            self._metrics.dropped.inc(one.readings)
            self._metrics.dropped_windows.inc()

    def _look(self, stop: threading.Event) -> None:
        """Once a second: counters, health, what needs no decision."""
        monotonic = self._clock.monotonic()
        size = self._spool.size
        if monotonic - self._looked < _LOOK:
            return
        self._looked = monotonic
        self._kernel = self._clock.synchronised()
        now, metrics, tally = self._clock.wall(), self._metrics, self._gateway.tally
        self._tell_late(tally.late)
        for (source, reason), count in tally.refused.items():
            _log.warning("refused", source=source or "no source", reason=reason, count=count)
            self._dropped += count if reason == "dropped" else 0
        self._page.count(tally)
        metrics.count(tally, now)
        metrics.unacknowledged.set(self._gateway.unacknowledged + len(self._inbox))
        metrics.open_windows.set(len(self._gateway.book.open))
        metrics.spool_bytes.set(size)
        oldest = None if self._room.oldest is None else max(0, now - self._room.oldest.stored_at)
        metrics.spool_oldest.set((oldest or 0) / 1000)
        metrics.spool_full.set(self._full is not None)
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
        kafka = self._watch.kafka
        self._page.look(
            Look(
                now=monotonic,
                windows=self._gateway.open_windows(),
                next_seal=self._gateway.book.next,
                unacknowledged=self._gateway.unacknowledged + len(self._inbox),
                spool_bytes=size,
                spool_limit=self._room.bounds.max_size,
                spool_says=None if self._full is None else self._room.way_out,
                dropped=self._dropped,
                oldest=oldest,
                links={
                    "mqtt": (self._mqtt.connected, self._mqtt.last_error),
                    "kafka": (self._publisher.connected, self._publisher.last_error),
                },
                offset=None if kafka is None else self._clock.wall() - kafka,
                synchronised=self._kernel,
                clock_right=self._clock_right,
                late=dict(self._late),
            )
        )
        if self._mqtt.removed:
            removed = set(self._mqtt.removed)
            patiently(lambda: self._spool.unsubscribed(removed), stop, self._failed)

    def _tell_late(self, late: Mapping[int, int]) -> None:
        for window, count in sorted(late.items()):
            _log.warning("late", window=iso(window, self._task.window.utc_offset), readings=count)
            self._late[window] = self._late.get(window, 0) + count
            self._metrics.late_window.set(window / 1000)
        for window in sorted(self._late)[:-_LATE_WINDOWS]:
            del self._late[window]

    def _look_at_clock(self, stop: threading.Event) -> int:
        """Return the time, and know whether it can be trusted: nothing lies between this look and its use."""
        wall, monotonic = self._clock.wall(), self._clock.monotonic()
        answer = self._publisher.answer
        by = self._watch.look(wall, monotonic, synchronised=self._kernel, answer=answer)
        if by:
            self._gateway.clock_set(by)
            self._kernel = self._clock.synchronised()
            _log.warning("clock_was_set", seconds=by / 1000)
        kafka = self._watch.kafka
        if kafka is not None:
            self._metrics.clock_offset.set((wall - kafka) / 1000)
        right = self._watch.right or not self._limits.require_sync
        if not right and answer is not None and monotonic - self._asked >= _ASK:
            self._asked = monotonic
            self._publisher.ask()
        if right != self._clock_right:
            self._clock_right = right
            self._tell_clock(wall, kafka)
        self.health.set_ready("clock", right, self._watch.reason)
        self._begin(wall, stop)
        return wall

    def _tell_clock(self, wall: int, kafka: int | None) -> None:
        if self._clock_right:
            _log.info("clock_right")
            return
        offset = self._task.window.utc_offset
        says = {} if kafka is None else {"kafka_says": iso(kafka, offset)}
        _log.error(
            "clock_not_right",
            reason=self._watch.reason,
            clock_says=iso(wall, offset),
            **says,
            remedy="Nothing is sealed until it is right; messages stay with the MQTT broker."
            " Run: timedatectl set-ntp true",
        )

    def _begin(self, now: int, stop: threading.Event) -> None:
        """A cold gateway begins when its clock is right, and again if Kafka's first answer shows that it was not."""
        if not self._beginning:
            return
        book = self._gateway.book
        if not self._clock_right:
            book.next = None
        elif not book.begun:
            book.begin(now)
            patiently(lambda: self._spool.begin_book(book.next, book.contributes_from), stop, self._failed)
        elif book.open or any(self._publisher.sent.values()):
            self._beginning = False

    def status(self) -> Mapping[str, object]:
        """Return what /status shows; called from another thread."""
        named = {"task": self._task.name, "task_id": self._task.id}
        return {"role": "gateway", **named, "state": self._state, **self._page.document()}

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
        self._look(stop)
        _log.info("stopped", spool=self._spool.size)
