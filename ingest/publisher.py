"""From the spool to Kafka: in order, bounded in flight, deleted after Kafka has confirmed. A thread of its own.

Idempotence of kafka-python holds for one producer; after anything that goes wrong a new one begins again with the
oldest record that is not confirmed. So a record may arrive twice, byte for byte the same, and parties ignore the
second one by its number.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Final, NamedTuple, Protocol

import structlog

from ingest.disk import SpoolError
from ingest.spool import Stored
from ingest.trust import Answer
from protocol.errors import SottoError
from protocol.topics import Topics

_log = structlog.get_logger("sotto.publisher")

_MOST: Final = 2_000
_MOST_BYTES: Final = 4 << 20
_AT_ONCE: Final = 64
_PAUSE: Final = 0.2
_SILENT: Final = 5.0
"""Seconds without an answer after which Kafka counts as away; kafka-python itself goes on trying for a minute."""
_LONGEST_PAUSE: Final = 5.0
_FIRST_TIME: Final = 946_684_800_000
"""2000-01-01 in ms: a clock that says less was never set. An embedded Kafka (librdkafka's mock) answers with a small
constant, a machine without a clock chip with 1970: neither is a time, and no gateway may wait for it for ever."""


class Future(Protocol):
    """What is used of kafka-python's futures."""

    is_done: bool

    def get(self, timeout: float | None = None) -> object:
        """Return Kafka's answer, or raise it."""
        ...

    def add_both(self, callback: Callable[..., None]) -> object:
        """Call back when there is an answer."""
        ...


class Producer(Protocol):
    """What is used of kafka.KafkaProducer."""

    def send(self, topic: str, value: bytes, key: bytes, *, partition: int) -> Future:
        """Queue a record."""
        ...

    def close(self, timeout: float | None = None) -> None:
        """Close the connection."""
        ...


class Outbox(Protocol):
    """What is used of the spool."""

    def after(self, last: int, *, most: int, most_bytes: int) -> list[Stored]:
        """Return the next records in order."""
        ...

    def delete(self, upto: int) -> None:
        """Forget records that are confirmed."""
        ...


class _Sent(NamedTuple):
    """A record on its way: by the monotonic clock in seconds, and between which moments of the wall clock, in ms."""

    record: Stored
    future: Future
    since: float
    wall: tuple[int, int]


class Publisher:
    """Drains the spool into Kafka until it is stopped."""

    def __init__(self, *, outbox: Outbox, topics: Topics, connect: Callable[[], Producer]) -> None:
        """`connect` makes a producer; it may block and raise, and is called again and again."""
        self._outbox = outbox
        self._topics = {party: topics.shares(party) for party in topics.parties}
        self._connect = connect
        self._thread = threading.Thread(target=self._run, name="publisher", daemon=True)
        self._wake = threading.Event()
        self._stop = threading.Event()
        self._idle = threading.Event()
        self._flight: deque[_Sent] = deque()
        self._bytes = 0
        self.connected = False
        self.last_error = "not connected yet"
        self.sent: dict[str, int] = dict.fromkeys(topics.parties, 0)
        self.seconds: deque[float] = deque(maxlen=10_000)
        self.answer: Answer | None = None
        """The last time that Kafka said; None where its topics keep the time of the sender."""
        self.failed: SpoolError | None = None
        """Why nothing more can be sent by this process: the spool cannot be read, and waiting does not mend it."""
        self._confirmed = 0
        self._deleted = 0
        self._last: Stored | None = None
        self._asked = False

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def wake(self) -> None:
        """Say that there is something new in the spool."""
        self._idle.clear()
        self._wake.set()

    def ask(self) -> None:
        """Have Kafka say its time soon: the last record is sent again, which parties ignore."""
        self._asked = True
        self._wake.set()

    def drain(self, timeout: float) -> bool:
        """Wait until all is sent, at most `timeout` seconds; tell whether it is."""
        return self._idle.wait(timeout)

    def stop(self) -> None:
        """Stop; what is not confirmed stays in the spool."""
        self._stop.set()
        self._wake.set()
        if self._thread.ident is None:
            return  # never started
        self._thread.join(3)  # it may be inside a connection attempt; as a daemon it ends with the process

    def _run(self) -> None:
        pause = _PAUSE
        while not self._stop.is_set():
            producer = None
            try:
                producer = self._connect()
                self.connected = True
                _log.info("connected", dependency="kafka")
                self._drain(producer)
            except SpoolError as error:
                self.failed = error
                return
            except Exception as error:  # noqa: BLE001  whatever it is: the records are in the spool, and are tried again
                self.connected = False
                self.last_error = error.what if isinstance(error, SottoError) else type(error).__name__
                _log.warning("connection_lost", dependency="kafka", reason=self.last_error)
                pause = _PAUSE if self._flight else min(pause * 2, _LONGEST_PAUSE)
                self._stop.wait(pause)
            finally:
                self._flight.clear()
                self._bytes = 0
                if producer is not None:
                    _close(producer)

    def _drain(self, producer: Producer) -> None:
        last = self._confirmed
        while not self._stop.is_set():
            self._wake.clear()
            found = self._next(last)
            if self._asked and self._last is not None and not found and not self._flight:
                found = [self._last]
            self._asked = self._asked and not found
            for record in found:
                self._send(producer, record)
                last = max(last, record.id)
            confirmed = self._reap()
            self._confirmed = max(self._confirmed, confirmed)
            self._forget()
            silent = bool(self._flight) and time.monotonic() - self._flight[0].since > _SILENT
            self.connected, self.last_error = not silent, "no answer" if silent else ""
            if not found and not self._flight:
                if not self._wake.is_set():
                    self._idle.set()
                self._wake.wait(1.0)
            elif not found and not confirmed:
                self._flight[0].future.add_both(lambda *_: self._wake.set())
                self._wake.wait(0.05)

    def _next(self, last: int) -> list[Stored]:
        """Read on in the spool as far as there is room in flight: the backlog stays on the disk."""
        room, bytes_left = _MOST - len(self._flight), _MOST_BYTES - self._bytes
        if room <= 0 or bytes_left <= 0:
            return []
        try:
            return self._outbox.after(last, most=min(room, _AT_ONCE), most_bytes=bytes_left)
        except SpoolError as error:
            self._wait_for(error)
            return []

    def _forget(self) -> None:
        """Delete what is confirmed; where the disk does not let us, later, without sending it again meanwhile."""
        if self._confirmed == self._deleted:
            return
        try:
            self._outbox.delete(self._confirmed)
        except SpoolError as error:
            self._wait_for(error)
        else:
            self._deleted = self._confirmed

    def _wait_for(self, error: SpoolError) -> None:
        if not error.transient:
            raise error
        _log.error("spool_failed", reason=error.what, where=error.where, remedy=error.remedy)
        self._stop.wait(_PAUSE)

    def _send(self, producer: Producer, record: Stored) -> None:
        since, before = time.monotonic(), time.time_ns() // 1_000_000
        future = producer.send(self._topics[record.party], record.value, record.key, partition=record.partition)
        self._flight.append(_Sent(record, future, since, (before, time.time_ns() // 1_000_000)))
        self._bytes += len(record.value)

    def _reap(self) -> int:
        """Take the records off that are confirmed, in order; return the id of the last one, 0 where there is none."""
        confirmed = 0
        while self._flight and self._flight[0].future.is_done:
            record, future, since, wall = self._flight.popleft()
            metadata = future.get(timeout=0)  # raises what Kafka answered
            self._bytes -= len(record.value)
            self.sent[record.party] += 1
            now = time.monotonic()
            self.seconds.append(now - since)
            stamp = getattr(metadata, "timestamp", None)
            # with CreateTime the client puts its own time there, read in the moment of sending: it proves nothing
            if isinstance(stamp, int) and stamp >= _FIRST_TIME and not wall[0] <= stamp <= wall[1]:
                self.answer = Answer(sent=int(since * 1000), confirmed=int(now * 1000), stamp=stamp)
            self._last = record
            confirmed = record.id
        return confirmed


def _close(producer: Producer) -> None:
    try:
        producer.close(timeout=2)
    except Exception as error:  # noqa: BLE001  it is given up anyway
        _log.debug("close_failed", dependency="kafka", reason=type(error).__name__)
