"""One worker at work: one partition number of one flow, from one assignment to the next.

A lane lives for one generation. When partitions are assigned or revoked the runner closes every lane and
forgets it: its task is cancelled at its next await, so nothing of an older generation is taken, decided or
committed any more. (What was on its way to Kafka may still arrive; readers bear repetitions.)
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import structlog

from runtime.fold import Effect, Flow, Fold, Log, LogError, Map, Moment, Output, Place, Record, Start, Undeliverable

_log = structlog.get_logger("sotto.fold")

QUEUED = 200
"""Records that wait in a lane. Shares are some 100 kB each: this bounds memory, not speed."""
IN_FLIGHT = 64
"""Records of a map whose outputs are on their way."""
TICK = 0.2
PATIENCE = 5.0
"""Seconds without a record although Kafka has some, or between two seeks, before we seek (again)."""
SEEKS = 3
"""So often a gap must come back unchanged before it is believed to be Kafka's own (a transaction's marker)."""
_YIELD = 32


class Clock(Protocol):
    """The two clocks of a process. `wall` in ms since 1970, `monotonic` in s from anywhere."""

    def wall(self) -> int: ...
    def monotonic(self) -> float: ...


@dataclass(slots=True)
class Counts:
    """What happened in all lanes of one flow since the process started."""

    records: dict[str, int] = field(default_factory=dict)
    again: int = 0
    repeated: int = 0
    sought: int = 0
    undelivered: int = 0


@dataclass(slots=True)
class _Gap:
    expected: int
    got: int
    seeks: int
    at: float


class Lane:
    """See the module. `moment` is asked at each tick; `seen` is shared by all generations, to count what is
    folded again; `held_up`: a record waits for room in some lane, and those for all others behind it."""

    def __init__(
        self,
        *,
        flow: Flow,
        number: int,
        log: Log,
        clock: Clock,
        counts: Counts,
        seen: dict[Place, int],
        moment: Callable[[Lane], Moment],
        held_up: Callable[[], bool],
    ) -> None:
        self.flow = flow
        self.number = number
        self.worker: Fold | Map | Effect | None = None
        self.next: dict[str, int] = {}
        self.done: dict[str, int] = {}
        self.committed: dict[str, int] = {}
        self.was_caught_up = False
        self.outages = 0
        self._log = log
        self._clock = clock
        self._counts = counts
        self._seen = seen
        self._moment = moment
        self._held_up = held_up
        self._closed = False
        self._queue: asyncio.Queue[Record] = asyncio.Queue(QUEUED)
        self._flying: deque[tuple[str, int, asyncio.Task[None] | None]] = deque()
        self._landed = asyncio.Event()
        self._gaps: dict[str, _Gap] = {}
        self._moved = 0.0
        self._tick_at = 0.0
        self._failure: BaseException | None = None

    # -- from the runner -------------------------------------------------------------------------------------

    async def put(self, record: Record) -> None:
        """Hand over a record; waits while the lane is full. A closed lane takes and forgets it."""
        if not self._closed:
            await self._queue.put(record)

    def close(self) -> None:
        """Let nobody wait for this lane any more. Its task is the runner's to cancel."""
        self._closed = True
        while not self._queue.empty():
            self._queue.get_nowait()
        for _topic, _offset, task in self._flying:
            if task is not None:
                task.cancel()

    def to_commit(self) -> dict[Place, int]:
        """What may be committed and is not yet."""
        return {
            Place(topic, self.number): offset
            for topic, offset in self.done.items()
            if offset > self.committed.get(topic, -1)
        }

    @property
    def places(self) -> list[Place]:
        return [Place(topic, self.number) for topic in self.flow.topics]

    async def run(self) -> None:
        """Work until cancelled. Raises what the worker raises."""
        starts = await self._starts()
        self.next = {topic: start.first for topic, start in starts.items()}
        self.done = dict(self.next)
        self.committed = dict(self.next)
        self._moved = self._clock.monotonic()
        self.worker = self.flow.make(self.number, starts)
        taken = 0
        while True:
            if self._failure is not None:
                raise self._failure
            if self._clock.monotonic() >= self._tick_at:
                await self._tick(self.worker)
                self._tick_at = self._clock.monotonic() + TICK
            record = await self._waiting()
            if record is not None and await self._expected(record):
                await self._take(self.worker, record)
                taken += 1
                if taken % _YIELD == 0:
                    await asyncio.sleep(0)

    # -- reading ---------------------------------------------------------------------------------------------

    async def _starts(self) -> dict[str, Start]:
        while True:
            try:
                starts = await self._log.starts(self.places)
            except LogError as error:
                _log.warning("kafka_does_not_answer", wanted="offsets", flow=self.flow.name, detail=str(error))
                await asyncio.sleep(1)
            else:
                return {place.topic: starts[place] for place in self.places}

    async def _waiting(self) -> Record | None:
        if not self._queue.empty():
            return self._queue.get_nowait()
        try:
            async with asyncio.timeout(max(0.0, self._tick_at - self._clock.monotonic())):
                return await self._queue.get()
        except TimeoutError:
            return None

    async def _expected(self, record: Record) -> bool:
        """Whether this is the next record of its partition. Repetitions are left out, gaps are read again."""
        topic, offset = record.topic, record.offset
        expected = self.next[topic]
        if offset == expected:
            self._gaps.pop(topic, None)
            return True
        if offset < expected:
            self._counts.repeated += 1
            return False
        return await self._gap(topic, expected, offset)

    async def _gap(self, topic: str, expected: int, offset: int) -> bool:
        place = Place(topic, self.number)
        now = self._clock.monotonic()
        gap = self._gaps.get(topic)
        if gap is None or gap.expected != expected:
            gap = self._gaps[topic] = _Gap(expected=expected, got=offset, seeks=0, at=-PATIENCE)
        if offset > gap.got and now - gap.at < PATIENCE:
            return False  # fetched before the seek
        if offset == gap.got and gap.seeks >= SEEKS:
            _log.warning("offsets_skipped", topic=topic, partition=self.number, first=expected, next=offset)
            self.next[topic] = offset
            return True
        if offset == gap.got and gap.seeks:
            await asyncio.sleep(1)  # the same again: let what was on its way pass before it is believed
        try:
            oldest = (await self._log.starts([place]))[place].first if gap.seeks else expected
            if oldest > expected:
                # Retention took what nobody had committed: it is gone for every reader alike.
                _log.error("records_expired", topic=topic, partition=self.number, first=expected, next=oldest)
                self.next[topic] = oldest
                if offset == oldest:
                    return True
            gap.seeks += 1
            gap.got = min(gap.got, offset)
            gap.at = self._clock.monotonic()
            await self._seek(place)
        except LogError as error:
            _log.warning("kafka_does_not_answer", wanted="seek", flow=self.flow.name, detail=str(error))
        return False

    async def _seek(self, place: Place) -> None:
        self._counts.sought += 1
        _log.info("reads_again", topic=place.topic, partition=place.partition, offset=self.next[place.topic])
        await self._log.seek(place, self.next[place.topic])

    # -- working ---------------------------------------------------------------------------------------------

    async def _take(self, worker: Fold | Map | Effect, record: Record) -> None:
        now = self._clock.wall()
        following = record.offset + 1
        if isinstance(worker, Map):
            while len(self._flying) >= IN_FLIGHT:
                if self._failure is not None:
                    raise self._failure
                self._landed.clear()
                await self._landed.wait()
            outputs = worker.record(record, now)
            task = asyncio.get_running_loop().create_task(self._side_by_side(outputs)) if outputs else None
            self._flying.append((record.topic, following, task))
            if task is not None:
                task.add_done_callback(self._land)
        elif isinstance(worker, Fold):
            await self._in_order(worker.record(record, now))
        else:
            await worker.write(record, now)
        self._took(record.topic, following)
        self._settle(worker)

    def _took(self, topic: str, following: int) -> None:
        self.next[topic] = following
        self._moved = self._clock.monotonic()
        place = Place(topic, self.number)
        self._counts.records[topic] = self._counts.records.get(topic, 0) + 1
        if following <= self._seen.get(place, 0):
            self._counts.again += 1
        else:
            self._seen[place] = following

    def _land(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled() and self.worker is not None:
            self._failure = self._failure or task.exception()
            if self._failure is None:
                self._settle(self.worker)
        self._landed.set()

    def _settle(self, worker: Fold | Map | Effect) -> None:
        """Raise what may be committed. Called only when every output up to here is delivered, except for a
        map, whose records are settled strictly in order of offset."""
        if isinstance(worker, Map):
            while self._flying:
                topic, following, task = self._flying[0]
                if task is not None and (not task.done() or task.cancelled() or task.exception() is not None):
                    return
                self._flying.popleft()
                self.done[topic] = following
        elif isinstance(worker, Fold):
            for topic, offset in worker.committable().items():
                self.done[topic] = max(self.done.get(topic, 0), min(offset, self.next[topic]))
        else:
            self.done.update(self.next)

    async def _tick(self, worker: Fold | Map | Effect) -> None:
        moment = self._moment(self)
        self.was_caught_up = self.was_caught_up or moment.caught_up
        if isinstance(worker, Map):
            await self._side_by_side(worker.tick(moment, dict(self.done)))
        elif isinstance(worker, Fold):
            await self._in_order(worker.tick(moment))
            self._settle(worker)
        else:
            worker.tick(moment)
        await self._unstall(moment)

    async def _unstall(self, moment: Moment) -> None:
        """Faust can drop the last records of a partition without one behind them that would show the gap."""
        now = self._clock.monotonic()
        if self._held_up():
            self._moved = now  # what is missing waits in the feed behind another lane's records
        if not self._queue.empty() or now - self._moved < PATIENCE or not moment.connected:
            return
        for topic, lag in moment.lag.items():
            if lag:
                self._moved = now
                try:
                    await self._seek(Place(topic, self.number))
                except LogError as error:
                    _log.warning("kafka_does_not_answer", wanted="seek", flow=self.flow.name, detail=str(error))

    # -- writing ---------------------------------------------------------------------------------------------

    async def _side_by_side(self, outputs: Sequence[Output]) -> None:
        """Return when all are in Kafka: in their order within a partition, partitions beside each other."""
        rows: dict[tuple[str, int], list[Output]] = {}
        for output in outputs:
            rows.setdefault((output.topic, output.partition), []).append(output)
        if len(rows) > 1:
            await asyncio.gather(*(self._in_order(row) for row in rows.values()))
        else:
            await self._in_order(outputs)

    async def _in_order(self, outputs: Sequence[Output]) -> None:
        """Return when all are in Kafka; none is sent before the one ahead of it is confirmed."""
        for output in outputs:
            pause = 0.1
            while True:
                try:
                    await self._log.send(output)
                    break
                except LogError as error:
                    self._counts.undelivered += 1
                    _log.warning("not_delivered", topic=output.topic, partition=output.partition, detail=str(error))
                    await asyncio.sleep(pause)
                    pause = min(2.0, pause * 2)
                except Undeliverable as error:
                    _log.error("undeliverable", topic=output.topic, size=len(output.value), detail=str(error))
                    raise


def lags(lane: Lane, ends: Mapping[Place, int]) -> dict[str, int]:
    """Topic -> records in Kafka that the lane has not taken; only topics whose end is known."""
    return {
        place.topic: max(0, ends[place] - lane.next[place.topic])
        for place in lane.places
        if place in ends and place.topic in lane.next
    }
