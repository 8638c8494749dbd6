"""The loop: nothing is acknowledged before it is stored, or sealed before it may be, or lost on the way to Kafka."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from ingest.batcher import Ack
from ingest.disk import SpoolError
from ingest.gateway import Message
from ingest.inbox import Inbox
from ingest.metrics import GatewayMetrics
from ingest.publisher import Publisher
from ingest.room import Bounds
from ingest.service import Clock, Limits, Service
from ingest.spool import Stored
from ingest.trust import Answer
from protocol.topics import Topics
from tests.ingest.made import HOUR, MINUTE, START, Made, at

BOUNDS = Bounds(max_size=10**9, max_age=7 * 24 * HOUR, when_full="stop", kafka="kafka-1:9092", file="north-1.toml")


class FakeBroker:
    """What the loop sees of MQTT."""

    def __init__(self) -> None:
        self.connected = True
        self.removed: frozenset[str] = frozenset()
        self.reconnects = 0
        self.broker_dropped: int | None = None
        self.last_error = ""
        self.acknowledged: list[int] = []

    def acknowledge(self, acks: Iterable[Ack]) -> None:
        self.acknowledged += [ack.mid for ack in acks]

    def stop(self) -> None:
        self.connected = False


class FakePublisher:
    """What the loop sees of Kafka."""

    connected = True
    last_error = ""
    failed: SpoolError | None = None
    answer: Answer | None = None

    def __init__(self) -> None:
        self.sent: dict[str, int] = {}
        self.seconds: list[float] = []

    def wake(self) -> None:
        pass

    def ask(self) -> None:
        pass

    def drain(self, timeout: float) -> bool:
        return True

    def stop(self) -> None:
        pass


class Stop(threading.Event):
    """Nobody waits in a test: time goes on instead."""

    def __init__(self, later: Callable[[], None]) -> None:
        super().__init__()
        self.later = later

    def wait(self, timeout: float | None = None) -> bool:
        self.later()
        return self.is_set()


class Loop:
    """A service around `Made`."""

    def __init__(self, folder: Path, *, bounds: Bounds = BOUNDS, require_sync: bool = False, **options: Any) -> None:
        self.made = Made(folder, require_sync=require_sync, **options)
        self.broker, self.publisher, self.inbox = FakeBroker(), FakePublisher(), Inbox()
        self.monotonic, self.synchronised = 0, True
        self.stop = Stop(self.later)
        assert self.made.spool is not None
        self.spool = self.made.spool
        self.service = Service(
            gateway=self.made.gateway,
            epoch=self.made.epoch.counter,
            spool=self.spool,
            mqtt=self.broker,
            inbox=self.inbox,
            publisher=self.publisher,  # type: ignore[arg-type]
            task=self.made.trial.task,
            limits=Limits(spool=bounds, require_sync=require_sync),
            clock=Clock(
                wall=lambda: self.made.now, monotonic=lambda: self.monotonic, synchronised=lambda: self.synchronised
            ),
            metrics=GatewayMetrics(CollectorRegistry(), self.made.trial.task, self.made.trial.roster),
        )
        self.inbox.take = self._take  # type: ignore[method-assign]
        self.mid = 0

    def _take(self, timeout: float) -> list[Message]:
        found = list(self.inbox._queue)
        self.inbox._queue.clear()
        return found

    def later(self, ms: int = 1_000) -> None:
        self.monotonic += ms
        self.made.now += ms

    def answer(self, *, ahead: int) -> Answer:
        """Return a confirmation of just now, by a Kafka whose clock is ahead of ours by so many milliseconds."""
        return Answer(sent=self.monotonic, confirmed=self.monotonic, stamp=self.made.now + ahead)

    def send(self, time: int, no2: int) -> None:
        self.mid += 1
        payload = f'{{"time":"{at(time)}","NO2":{no2},"TEMP":null}}'.encode()
        self.inbox.put(Message(topic="air/ring/G", payload=payload, mid=self.mid, connection=1))

    def turn(self, times: int = 1) -> None:
        for _ in range(times):
            self.service.turn(self.stop)


def test_a_message_is_acknowledged_when_it_is_stored(tmp_path: Path) -> None:
    """A disk that is full holds the acknowledgement back until there is room; the same commit is tried again."""
    loop = Loop(tmp_path)
    loop.send(START, 5)
    loop.turn()
    assert loop.broker.acknowledged == []
    real, failures = loop.spool.commit, 3

    def commit(*arguments: Any, **options: Any) -> None:
        nonlocal failures
        if failures:
            failures -= 1
            assert loop.broker.acknowledged == []
            raise SpoolError("the disk is full", where="x", remedy="y", transient=True)
        real(*arguments, **options)

    loop.spool.commit = commit  # type: ignore[method-assign]
    loop.later(50)
    loop.turn()
    assert failures == 0
    assert loop.broker.acknowledged == [1]
    assert len(loop.spool.after(0, most=10, most_bytes=10**6)) == 3
    assert loop.made.sum_of("no2") == (1, 5)


def test_a_spool_that_cannot_be_mended_ends_the_gateway_without_an_acknowledgement(tmp_path: Path) -> None:
    """The broker keeps the messages for the next start."""
    loop = Loop(tmp_path)
    loop.send(START, 5)

    def commit(*_: Any, **__: Any) -> None:
        raise SpoolError("the spool is damaged", where="x", remedy="y", transient=False)

    loop.spool.commit = commit  # type: ignore[method-assign]
    loop.turn()
    loop.later(50)
    with pytest.raises(SpoolError):
        loop.turn()
    assert loop.broker.acknowledged == []


def test_a_full_spool_stops_reading_and_sealing(tmp_path: Path) -> None:
    """What waits at the broker must not become late by our own doing; with room again everything goes on."""
    loop = Loop(tmp_path, bounds=replace(BOUNDS, max_size=10), seals_by="wall")
    loop.send(START, 5)
    loop.turn()
    loop.later(50)
    loop.turn()
    assert loop.spool.size > 10
    loop.send(START + 1, 6)
    loop.later(2 * HOUR)
    loop.turn(3)
    assert len(loop.inbox) == 1
    assert not loop.made.sharder.seals
    assert loop.service.health.unready["spool"] == "full"
    page: Any = loop.service.status()
    assert page["spool"]["full"] == "Open the way to kafka-1:9092 or raise max_size"  # nothing that is soon untrue
    loop.spool.delete(10**9)
    loop.turn()
    loop.later(2_000)
    loop.turn()
    assert loop.broker.acknowledged == [1, 2]
    assert loop.made.sum_of("no2") == (2, 11)
    assert set(loop.made.sharder.seals) == {START}


def test_nothing_is_sealed_while_the_clock_is_not_right(tmp_path: Path) -> None:
    """Not set by NTP, or more than 5 s off Kafka's clock."""
    loop = Loop(tmp_path, seals_by="wall", require_sync=True)
    loop.publisher.sent["party-1"] = 1
    loop.turn(2)
    loop.synchronised = False
    loop.later(2 * HOUR)
    loop.turn(2)
    assert not loop.made.sharder.seals
    assert "clock" in loop.service.health.unready
    loop.synchronised = True
    loop.later(1_000)
    loop.publisher.answer = loop.answer(ahead=6_000)
    loop.turn(2)
    assert not loop.made.sharder.seals
    loop.later(1_000)
    loop.publisher.answer = loop.answer(ahead=100)
    loop.turn(2)
    assert set(loop.made.sharder.seals) == {START}


def test_after_a_connection_sealing_waits_for_what_the_broker_kept(tmp_path: Path) -> None:
    """But not for ever: after half the deadline the others have waited enough."""
    loop = Loop(tmp_path, seals_by="wall")
    loop.broker.connected = False
    loop.later(HOUR + 10 * MINUTE)
    loop.turn()
    assert not loop.made.sharder.seals
    loop.broker.connected = True
    loop.turn()
    loop.later(400)
    loop.turn()
    assert not loop.made.sharder.seals
    loop.later(100)
    loop.turn()
    assert set(loop.made.sharder.seals) == {START}
    loop.broker.connected = False
    loop.later(HOUR)
    loop.turn()
    assert len(loop.made.sharder.seals) == 1
    loop.later(7 * MINUTE + 30_000)
    loop.turn()
    assert len(loop.made.sharder.seals) == 2


def test_a_broker_that_pauses_while_it_delivers_what_it_kept_loses_nothing(tmp_path: Path) -> None:
    """A moment without messages in the middle of a backlog is not its end: what follows would be late."""
    loop = Loop(tmp_path, seals_by="wall")
    loop.later(HOUR + 10 * MINUTE)
    loop.turn()
    loop.send(START, 5)
    loop.later(400)
    loop.turn()
    loop.later(1_500)
    loop.turn()
    assert not loop.made.sharder.seals
    loop.send(START + 1_000, 7)
    loop.turn()
    loop.later(2_000)
    loop.turn()
    assert loop.made.sum_of("no2") == (2, 12)
    assert set(loop.made.sharder.seals) == {START}


def test_readings_that_stay_overdue_hold_a_window_up_for_half_the_deadline_only(tmp_path: Path) -> None:
    """A sensor that is always behind cannot keep a window open."""
    loop = Loop(tmp_path, seals_by="wall")
    loop.later(HOUR + 10 * MINUTE)
    loop.turn()
    waited = 0
    while not loop.made.sharder.seals:
        loop.send(START + waited, 5)
        loop.later(1_000)
        loop.turn()
        waited += 1_000
        assert waited <= loop.made.trial.task.window.deadline
    assert waited > loop.made.trial.task.window.deadline // 2 - 2_000


def test_the_end_stores_and_acknowledges_what_was_taken(tmp_path: Path) -> None:
    """SIGTERM loses nothing and leaves as little as possible to be sent again."""
    loop = Loop(tmp_path)
    loop.send(START, 5)
    loop.turn()
    loop.stop.set()
    loop.service.run(loop.stop)
    assert loop.broker.acknowledged == [1]
    assert len(loop.spool.after(0, most=10, most_bytes=10**6)) == 3
    assert not loop.broker.connected


class FakeFuture:
    """Kafka's answer, when a test gives it."""

    def __init__(self) -> None:
        self.is_done = False
        self.error: Exception | None = None

    def answer(self, error: Exception | None = None) -> None:
        self.is_done, self.error = True, error

    def get(self, timeout: float | None = None) -> object:
        if self.error is not None:
            raise self.error
        return None

    def add_both(self, callback: Callable[..., None]) -> object:
        callback()
        return None


class FakeKafka:
    """Answers as a script says: for each send True, False (an error), or None (no answer in this session)."""

    def __init__(self, script: list[bool | None]) -> None:
        self.script = script
        self.sessions: list[list[int]] = []
        self.closed = 0

    def connect(self) -> FakeKafka:
        self.sessions.append([])
        return self

    def send(self, topic: str, value: bytes, key: bytes, *, partition: int) -> FakeFuture:
        self.sessions[-1].append(int(value))
        future = FakeFuture()
        answer = self.script.pop(0) if self.script else True
        if answer is not None:
            future.answer(None if answer else RuntimeError("no"))
        return future

    def close(self, timeout: float | None = None) -> None:
        self.closed += 1


class FakeOutbox:
    """A spool in memory."""

    def __init__(self, number: int) -> None:
        self.records = [
            Stored(id=n, party="party-1", partition=0, key=b"g", value=str(n).encode()) for n in range(1, number + 1)
        ]
        self.deleted: list[int] = []
        self.empty = threading.Event()

    def after(self, last: int, *, most: int, most_bytes: int) -> list[Stored]:
        return [record for record in self.records if record.id > last][:most]

    def delete(self, upto: int) -> None:
        self.deleted.append(upto)
        self.records = [record for record in self.records if record.id > upto]
        if not self.records:
            self.empty.set()


@pytest.mark.parametrize(
    "script", [[], [True, False, True], [False, True, True], [None, True, False], [True, True, False]]
)
def test_records_are_sent_in_order_until_each_is_confirmed(script: list[bool | None], made: Made) -> None:
    """After an error everything that is not confirmed is sent again, in order, over a new connection."""
    silent = None in script
    outbox = FakeOutbox(5)
    kafka = FakeKafka(list(script))
    publisher = Publisher(outbox=outbox, topics=Topics.of(made.trial.task), connect=kafka.connect)
    publisher.start()
    publisher.wake()
    if silent:  # an unanswered record holds everything back
        assert not outbox.empty.wait(0.3)
        assert outbox.deleted == []
        publisher.stop()
        return
    assert outbox.empty.wait(60)
    publisher.stop()
    assert kafka.closed == len(kafka.sessions)
    assert outbox.deleted == sorted(set(outbox.deleted))
    for session in kafka.sessions:
        assert session == list(range(session[0], session[0] + len(session))) if session else True
    assert sorted({one for session in kafka.sessions for one in session}) == [1, 2, 3, 4, 5]


class FailingOutbox(FakeOutbox):
    """A disk on which nothing can be deleted, or read, for a while."""

    def __init__(self, number: int, *, deletes: list[SpoolError], reads: list[SpoolError]) -> None:
        super().__init__(number)
        self._deletes, self._reads = deletes, reads

    def after(self, last: int, *, most: int, most_bytes: int) -> list[Stored]:
        if self._reads:
            raise self._reads.pop()
        return super().after(last, most=most, most_bytes=most_bytes)

    def delete(self, upto: int) -> None:
        if self._deletes:
            raise self._deletes.pop()
        super().delete(upto)


def disk_error(*, transient: bool) -> SpoolError:
    return SpoolError("the disk is full", where="x", remedy="y", transient=transient)


def test_what_is_confirmed_is_not_sent_again_because_the_disk_is_full(made: Made) -> None:
    """Kafka's disk must not fill because ours is: it is deleted when it can be."""
    outbox = FailingOutbox(5, deletes=[disk_error(transient=True)] * 2, reads=[disk_error(transient=True)])
    kafka = FakeKafka([])
    publisher = Publisher(outbox=outbox, topics=Topics.of(made.trial.task), connect=kafka.connect)
    publisher.start()
    publisher.wake()
    assert outbox.empty.wait(60)
    publisher.stop()
    assert kafka.sessions == [[1, 2, 3, 4, 5]]
    assert publisher.failed is None


def test_a_damaged_spool_ends_the_gateway_from_the_publishers_side_too(made: Made, tmp_path: Path) -> None:
    """It is not a Kafka that is away: waiting would not mend it."""
    outbox = FailingOutbox(5, deletes=[], reads=[disk_error(transient=False)])
    publisher = Publisher(outbox=outbox, topics=Topics.of(made.trial.task), connect=FakeKafka([]).connect)
    publisher.start()
    publisher._thread.join(60)
    assert publisher.failed is not None
    loop = Loop(tmp_path)
    loop.publisher.failed = publisher.failed
    with pytest.raises(SpoolError, match="disk is full"):
        loop.turn()


@pytest.fixture
def made() -> Made:
    return Made()


def test_an_inbox_that_is_full_waits(made: Made) -> None:
    """By number or by bytes; and lets go when it is closed."""
    inbox = Inbox(most=2)
    for _ in range(2):
        inbox.put(Message(topic="a", payload=b"1"))
    thread = threading.Thread(target=lambda: inbox.put(Message(topic="a", payload=b"2")))
    thread.start()
    assert len(inbox.take(0)) == 2
    thread.join(60)
    assert [message.payload for message in inbox.take(1)] == [b"2"]
    heavy = Inbox(most_bytes=3)
    heavy.put(Message(topic="a", payload=b"xxxx"))
    thread = threading.Thread(target=lambda: heavy.put(Message(topic="a", payload=b"2")))
    thread.start()
    heavy.close()
    thread.join(60)
    assert len(heavy) == 1
